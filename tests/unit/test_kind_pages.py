"""The pages of docs/kinds: what is committed is what the code says, and what the code says is true."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from marshmallow import fields

import blnk_relay
from blnk_relay.catalogue import pages
from blnk_relay.catalogue.docstrings import docstring_of
from blnk_relay.catalogue.examples import example_intent
from blnk_relay.catalogue.facts import COMMON_ENDS, ends_of, facts_of, takes
from blnk_relay.intents.decision import DeadClass
from blnk_relay.kinds.registry import KINDS
from blnk_relay.schema.amounts import Amount, WholeNumber
from blnk_relay.schema.base import Plain
from worker.cli.jsonl_line import write_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "kinds"
SOURCES = "".join(
    path.read_text(encoding="utf-8") for path in (ROOT / "blnk_relay").rglob("*") if path.suffix in (".py", ".lua")
)
MADE = pages.pages()

kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def block(kind, language):
    text = (FOLDER / f"{kind.name}.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return found


def written(kind):
    """The line that the page's command hands to ``blnk-relay enqueue -``."""
    echo, line, pipe, *command = shlex.split(block(kind, "sh"))
    assert (echo, pipe, command) == ("echo", "|", ["blnk-relay", "enqueue", "-"])
    return line


def called(kind, monkeypatch):
    """What the page's program hands to ``Relay.enqueue``."""
    calls = []
    monkeypatch.setattr(blnk_relay.Relay, "enqueue", lambda _, intent, key=None: calls.append((intent, key)))
    exec(compile(block(kind, "python"), kind.name, "exec"), {})  # noqa: S102
    (call,) = calls
    return call


def texts(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_the_committed_pages_are_the_output_of_the_generator_and_the_formatter(tmp_path):
    pages.write(tmp_path)
    ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "--config", ROOT / "pyproject.toml", tmp_path]
    subprocess.run(ruff, check=True, timeout=60)
    assert texts(FOLDER) == texts(tmp_path), "run: make docs"


def test_writing_takes_away_what_is_no_longer_made(tmp_path):
    (tmp_path / "gone.md").write_text("a kind that was", encoding="utf-8")
    pages.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(MADE)


@kinds
def test_both_examples_are_one_intent_under_one_key(kind, monkeypatch):
    write = write_of(written(kind).encode())
    intent, key = called(kind, monkeypatch)
    assert write.intent == intent == example_intent(kind)
    assert write.key == key == (kind.about.example.key or None)
    assert intent.natural_key is not None or key, "an example without any key cannot be enqueued"
    assert not (intent.natural_key and key), "a key of the caller's hides the natural one"


@kinds
def test_the_program_is_python_and_fits_on_a_page(kind):
    program = block(kind, "python")
    assert ast.parse(program)
    assert all(len(line) <= 120 or "stmt-0001" in line for line in program.splitlines())


@kinds
def test_every_field_of_the_schema_is_told_with_its_meaning(kind):
    facts = facts_of(kind)
    shown = [field for field in facts.fields if field.argument]
    assert [field.name for field in shown] == [field.data_key or name for name, field in kind.schema.fields.items()]
    assert [field.required for field in shown] == [field.required for field in kind.schema.fields.values()]
    assert [field.name for field in facts.fields if not field.meaning or not field.takes] == []
    page = MADE[f"{kind.name}.md"]
    assert all(f"| `{field.name}` |" in page for field in facts.fields)


@kinds
def test_the_docstring_tells_of_the_arguments_that_there_are(kind):
    told = docstring_of(kind.about.builder).arguments
    assert list(told) == list(inspect.signature(kind.about.builder).parameters)
    assert set(told) == {field.argument for field in facts_of(kind).fields if field.argument}


@kinds
def test_amounts_are_told_with_their_unit(kind):
    meanings = {field.name: field.meaning.lower() for field in facts_of(kind).fields}
    for name, field in kind.schema.fields.items():
        if type(field) is Amount:
            assert "units of the currency" in meanings[name]
        if type(field) is WholeNumber:
            assert "minor units" in meanings[name]


def named(code):
    """A code that stands in one place and goes by its own name elsewhere."""
    return f'{code} = "{code}"' in SOURCES and SOURCES.count(f"        {code},") > 0


def composed(code):
    return code.startswith("STUCK_") and '"STUCK_" + queued.status' in SOURCES


@kinds
def test_what_confirms_it_and_how_it_can_end_is_told(kind):
    about = kind.about
    assert about.confirmed.endswith(".")
    for end in (*about.ends, *COMMON_ENDS):
        assert end.dead_class in (DeadClass.UNKNOWN, DeadClass.PARTIAL, DeadClass.REJECTED)
        assert end.why.endswith(".")
        # A code that no source knows any more would send an operator looking for nothing.
        assert (
            end.code == "*"
            or SOURCES.count(f'"{end.code}"') > 1
            or f"'{end.code}'" in SOURCES
            or (named(end.code) or composed(end.code))
        )
    told = ends_of(kind, about.ends)
    if kind.name == "reconciliation.start":
        assert [end.replay for end in told] == ["no", "no", "no"]
    if kind.name == "transaction":
        assert [end.replay for end in told] == ["fresh", "same", "same", "no", "no"]


@kinds
def test_every_builder_is_a_public_name(kind):
    assert getattr(blnk_relay, kind.about.builder.__name__) is kind.about.builder


def test_a_kind_that_needs_a_setting_names_it():
    assert "`BLNK_RELAY_BULK_INFLIGHT=true`" in MADE["inflight.bulk_void.md"]
    assert "accepted only with" not in MADE["inflight.void.md"]
    assert all(not kind.switch or getattr(blnk_relay.Settings(), kind.switch) is False for kind in KINDS.values())


def test_kinds_that_are_named_are_links():
    assert "[`update_metadata`](metadata.update.md)" in MADE["identity.update.md"]
    assert all(f"[{name}]({name}.md)" in MADE["README.md"] for name in KINDS)


def test_all_links_lead_somewhere():
    for name, text in MADE.items():
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert target in MADE or (ROOT / "docs" / "kinds" / target).exists(), f"{name} links to {target}"


def test_a_field_that_does_not_say_what_it_takes_is_found():
    class Silent(Plain[str]):
        pass

    with pytest.raises(TypeError, match="Silent must say in `takes`"):
        takes(Silent())
    assert takes(fields.List(Amount())) == "list of decimal text or a whole number, in units; never a float"


def test_a_line_of_the_example_is_one_json_object():
    assert json.loads(facts_of(KINDS["refund"]).line) == {"kind": "refund", "payload": {"transaction": "top-up-1001"}}
