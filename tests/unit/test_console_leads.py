"""What is said to somebody in a browser names nothing that is only there in a terminal, but where a page says so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from blnk_relay.journal.verdicts import SORTS
from tests.support.cli import commands
from worker.console.doors import DOORS
from worker.console.leads import SCREENS, Lead, lead
from worker.console.screens.overview import WHERE

ROOT = Path(__file__).resolve().parents[2]

#: An option of the command line, or one of its commands.
TERMINAL = re.compile(r"(?<![\w-])--[a-z]|blnk-relay [a-z]")

#: Whose texts no page and no answer of the API hands on as a sentence, and why.
ELSEWHERE = {
    "blnk_relay/log.py": "lines of a log, which is read beside a terminal",
    "blnk_relay/journal/copier.py": "a line of a log",
    "blnk_relay/journal/verdicts.py": "remedies, shown as commands",
    "blnk_relay/journal/troubles.py": "what the doctor would mend, shown as commands",
    "blnk_relay/settings.py": "help of settings, for their page of the documentation",
    "blnk_relay/catalogue": "pages of the documentation",
    "blnk_relay/sandbox": "a program of its own",
    "worker/cli": "the terminal itself; what the console borrows of it is walked through in a browser",
    "worker/demo": "a program of its own",
    "worker/metrics": "a page of the documentation",
    "worker/doctor": "what the doctor would mend, shown as commands",
    "worker/console/command.py": "the command that starts it",
    "worker/console/leads.py": "takes commands apart",
}


def said(path: Path) -> Iterator[str]:
    """Texts of a module but for its documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def naming(folder: str) -> list[str]:
    """Texts that name something of the terminal."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not any(name == one or name.startswith(f"{one}/") for one in ELSEWHERE):
            found += [f"{name}: {text}" for text in said(path) if TERMINAL.search(text)]
    return found


@pytest.mark.parametrize("folder", ["blnk_relay", "worker"])
def test_no_sentence_that_may_come_to_a_browser_names_a_command_or_an_option(folder):
    assert naming(folder) == []


def test_what_is_elsewhere_is_there():
    assert [name for name in ELSEWHERE if not (ROOT / name).exists()] == []


def test_templates_show_commands_as_commands_alone():
    for path in (ROOT / "worker" / "console" / "templates").glob("*.html"):
        text = re.sub(r"{{ parts\.command\('[^']*'\) }}", "", path.read_text(encoding="utf-8"))
        assert not TERMINAL.search(text), path.name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("set it", Lead("set it")),
        ("blnk-relay upgrade", Lead("", "blnk-relay upgrade", ("/journals", "Journals"))),
        ("start blnk-relay worker", Lead("start", "blnk-relay worker")),
        (
            "blnk-relay upgrade, once all are of this version",
            Lead("once all are of this version", "blnk-relay upgrade", ("/journals", "Journals")),
        ),
        (
            "start a worker with X, or: blnk-relay history off --reason 'no longer kept'",
            Lead("start a worker with X", "blnk-relay history off --reason 'no longer kept'", ("/history", "History")),
        ),
        (
            "put it right (eu); see 'blnk-relay doctor --target eu'",
            Lead("put it right (eu)", "blnk-relay doctor --target eu", ("/doctor", "Doctor")),
        ),
        (
            "blnk-relay dead list; put the cause right, then replay",
            Lead("put the cause right, then replay", "blnk-relay dead list", ("/letters", "Dead letters")),
        ),
        (
            "blnk-relay dead summary --recount",
            Lead("", "blnk-relay dead summary --recount", ("/journals", "Journals")),
        ),
    ],
)
def test_what_to_do_is_taken_apart_into_words_a_command_and_a_screen(text, found):
    assert lead(text) == found
    assert not TERMINAL.search(lead(text).words)


def test_every_screen_of_a_command_is_of_one_that_there_is():
    known = {" ".join(path[:size]) for path in commands() for size in (1, 2)}
    assert {name.partition(" --")[0] for name in SCREENS} <= known


def test_whatever_is_wrong_is_gone_after_on_some_screen():
    assert set(WHERE) == set(SORTS)
    assert {path.partition("?")[0] for path, _ in WHERE.values()} <= {door.path for door in DOORS}
