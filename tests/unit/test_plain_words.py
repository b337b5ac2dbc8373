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

#: Papers that no reader of a message has, and English that is a German's.
AWKWARD = re.compile(
    r"§|ledger-findings|\bfindings? (?:parts? |[DR])\d|does not match \^"
    r"|(?<!there )\b(is|are) no (?!longer|more)[a-zA-Z]"
)

SOURCES = [
    path
    for folder in ("blnk_relay", "tasks", "worker")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "sandbox" not in path.parts and "demo" not in path.parts
]


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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_cites_what_its_reader_has_not_or_speaks_in_riddles(path):
    bad = [text for text in told_in(path.read_text(encoding="utf-8")) if AWKWARD.search(text)]
    assert not bad


def test_what_is_wrong_with_no_field_in_particular_is_told_without_a_word_of_the_library_beneath():
    with pytest.raises(InvalidIntent) as caught:
        prepare(Settings(), Write(intent={"source": "@bank"}, key="order"))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "intent is not valid: Must be what a builder such as transaction(…) returns, not a dict."
    )
    assert list(caught.value.errors) == ["_schema"]
