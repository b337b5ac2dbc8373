"""Messages are for people who have neither our papers nor our patterns before them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from blnk_relay import InvalidIntent, Settings, Write
from blnk_relay.intake import prepare

ROOT = Path(__file__).resolve().parents[2]

#: Calls whose texts somebody reads: errors, dead letters, what the command line says.
TOLD = frozenset(
    {
        "ValidationError",
        "ValueError",
        "InvalidSettings",
        "InvalidIntent",
        "JournalUnavailable",
        "NotFound",
        "Refused",
        "TooLate",
        "KeyConflict",
        "UsageError",
        "BadInput",
        "ClickException",
        "Dead",
        "say",
        "remark",
        "fail",
        "refuse",
        "_refuse",
        "_refused",
        "warning",
        "error",
    }
)

#: Papers that no reader of a message has.
CITED = re.compile(r"§|ledger-findings|\bfindings? (?:parts? |[DR])\d|does not match \^")

#: English that is a German's: "is no number" for "is not a number", "knows no such thing", "takes no writes".
AWKWARD = re.compile(
    r"(?<!there )\b(?:is|are|was|were|be) (?:no(?! longer| more\b)|none of (?:its|these|ours))\b"
    r"|\b(?:knows?|reads?|tokenizes|names?) no(?:ne)?\b(?! (?:longer|rows))"
    r"|\btakes no (?:writes|id)\b|\b(?:may|must|can) (?:write|hold) no\b|\bholds no (?:text|number)\b",
    re.IGNORECASE,
)

SOURCES = [
    path
    for folder in ("blnk_relay", "tasks", "worker")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "sandbox" not in path.parts and "demo" not in path.parts
]

#: Everything that may be said to somebody.
SPOKEN = [
    path
    for folder in ("blnk_relay", "tasks", "worker")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "sandbox" not in path.parts
]

SCRIPTS = sorted((ROOT / "blnk_relay" / "journal" / "scripts").glob("*.lua"))


def texts_in(node: ast.AST) -> Iterator[str]:
    """All constant text within an expression, that of f-strings too."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in inner.values)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def told_in(source: str) -> Iterator[str]:
    """Texts that end before somebody's eyes: arguments of the calls above, and lists of messages by field."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in TOLD:
                for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                    yield from texts_in(argument)
        elif isinstance(node, ast.Assign) and any("errors" in ast.unparse(target) for target in node.targets):
            yield from texts_in(node.value)


def said_in(source: str) -> Iterator[str]:
    """All text of a module that is not documentation of its code."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_cites_what_its_reader_has_not(path):
    assert [text for text in told_in(path.read_text(encoding="utf-8")) if CITED.search(text)] == []


@pytest.mark.parametrize("path", SPOKEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_messages_are_plain_english(path):
    assert [text for text in said_in(path.read_text(encoding="utf-8")) if AWKWARD.search(text)] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_so_are_the_messages_of_scripts(path):
    code = "\n".join(
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("--")
    )
    assert [text for text in re.findall(r"'([^'\n]* [^'\n]*)'", code) if AWKWARD.search(text)] == []


@pytest.mark.parametrize(
    "awkward",
    [
        "'x' is no setting",
        "its headers are no objects",
        "a message that is no bell",
        "Must be no text.",
        "The leg is none of its legs.",
        "Redis 7.0 knows no WAITAOF",
        "the ledger reads no text there",
        "Redis takes no writes",
        "a key may write no metadata",
    ],
)
def test_what_is_not_plain_is_noticed(awkward):
    assert AWKWARD.search(awkward)


@pytest.mark.parametrize(
    "plain",
    ["there is no key in it", "it is no longer kept", "'x' is not a setting", "no intent is known", "it has no offset"],
)
def test_what_is_plain_is_left_alone(plain):
    assert not AWKWARD.search(plain)


def test_what_is_wrong_with_no_field_in_particular_is_told_without_a_word_of_the_library_beneath():
    with pytest.raises(InvalidIntent) as caught:
        prepare(Settings(), Write(intent={"source": "@bank"}, key="order"))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "intent is not valid: Must be what a builder such as transaction(…) returns, not a dict."
    )
    assert list(caught.value.errors) == ["_schema"]
