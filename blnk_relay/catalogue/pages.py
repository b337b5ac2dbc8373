"""The pages of ``docs/kinds``: one for each kind, and an index. ``make docs`` writes and formats them; a test compares.

Example:
    ::

        python -m blnk_relay.catalogue.pages docs/kinds
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from blnk_relay.bell import enqueue_task
from blnk_relay.catalogue.facts import COMMON_ENDS, EndFacts, Facts, FieldFacts, ends_of, facts_of
from blnk_relay.intents.kind import Kind
from blnk_relay.kinds.registry import KINDS

#: File of the index.
INDEX = "README.md"

_MADE = "<!-- Made from the code by `make docs`; changes go into the kind's module. -->"

_END_HEAD = ("class", "code", "why", "replay")

#: Columns of the longest example that is shown beside its field; the rest stand in the example alone.
_LONGEST_SHOWN = 60

_CODE = re.compile(r"`(\w+)`")


def pages(kinds: Mapping[str, Kind] = KINDS) -> dict[str, str]:
    """All pages, by file name."""
    facts = [facts_of(kind) for kind in kinds.values()]
    made = {f"{one.kind}.md": page(one, facts) for one in facts}
    return {INDEX: index(facts, ends_of(next(iter(kinds.values())), COMMON_ENDS)), **made}


def page(facts: Facts, others: Iterable[Facts] = ()) -> str:
    """The page of one kind.

    Args:
        facts: What it tells.
        others: Kinds whose builders are made links where they are named.
    """
    links = {one.builder: one.kind for one in others if one.builder != facts.builder}

    def linked(text: str) -> str:
        return _CODE.sub(lambda match: f"[{match[0]}]({links[match[1]]}.md)" if match[1] in links else match[0], text)

    key = facts.key or "It needs a key of yours."
    shown = [f"`{facts.natural_key}`"] if facts.natural_key else []
    example_key = f" Of the example below it is {shown[0]}." if shown else ""
    order = f" The example is sent in turn with all that stands in `{facts.order}`." if facts.order else ""
    blocks = [
        f"# {facts.kind}",
        _MADE,
        linked(facts.text),
        _table(
            ("", ""),
            [
                ("route", ", or ".join(f"`{facts.method} {path}`" for path in (facts.path, *facts.also))),
                *([("accepted only with", f"`{facts.setting}=true`")] if facts.setting else []),
                ("in Python", f"`{facts.builder}`"),
                ("by task name", f"`{enqueue_task(facts.kind)}`"),
                ("key", linked(key) + example_key + order),
                ("reference at the ledger", facts.reference),
                ("confirmed by", facts.confirmed),
                *_targets(facts),
            ],
        ),
        "## Fields",
        _table(("field", "takes", "required", "meaning", "example"), [_field(field, linked) for field in facts.fields])
        if facts.fields
        else "None.",
        _renamed(facts),
        "## Example",
        "As a line of a file:",
        f"```sh\necho {shlex.quote(facts.line)} | blnk-relay enqueue -\n```",
        "In Python:",
        f"```python\n{facts.python}```",
        "## Ends that need judgement",
        _ends(facts.ends),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _field(field: FieldFacts, linked: Callable[[str], str]) -> tuple[str, ...]:
    takes = field.takes + (f" ({field.limits})" if field.limits else "")
    example = f"`{field.example}`" if 0 < len(field.example) <= _LONGEST_SHOWN else ""
    return f"`{field.name}`", takes, "yes" if field.required else "", linked(field.meaning), example


def _targets(facts: Facts) -> list[tuple[str, str]]:
    if not facts.cloud_only:
        return []
    return [
        ("targets", f"Blnk Cloud only: a Core without it has no read of {facts.cloud_only}, so it is refused there.")
    ]


def _renamed(facts: Facts) -> str:
    other = [field for field in facts.fields if field.argument and field.argument != field.name]
    return " ".join(f"In Python `{field.name}` is the argument `{field.argument}`." for field in other)


def _ends(ends: Sequence[EndFacts]) -> str:
    common = f"Besides those [that any intent can meet]({INDEX}#ends-of-all-kinds)"
    if not ends:
        return f"{common} there are none: what a look at the ledger cannot decide at once, a later one does."
    return f"{common}:\n\n{_table(_END_HEAD, map(_end, ends))}"


def _end(end: EndFacts) -> tuple[str, ...]:
    code = "the ledger's" if end.end.code == "*" else f"`{end.end.code}`"
    return end.end.dead_class.value, code, end.end.why, f"none: {end.why}" if end.replay == "no" else end.why


def index(facts: Sequence[Facts], common: Sequence[EndFacts]) -> str:
    """The page that lists all kinds, and tells what they have in common."""
    rows = [
        (f"[{one.kind}]({one.kind}.md)", f"`{one.method} {one.path}`", f"`{one.builder}`", one.summary) for one in facts
    ]
    blocks = [
        "# Kinds of writes",
        _MADE,
        "One page for each: its fields with their units, its key, what has to be seen before it counts as done, and "
        "how "
        'it can end without anybody knowing. "contract §n" is a section of '
        "[the other side](../contract.md): what is believed of the ledger, and how it is known.",
        _table(("kind", "route, below the proxy", "in Python", "what it does"), rows),
        "## Amounts, links and keys",
        "An `amount` is in units of the currency and exact: a decimal text or a whole number, never `10.5`. A "
        "`precise_amount` is in minor units, and `precision` says how many of them make one unit; it may be left out "
        "for currencies of ISO 4217.",
        'Where a field takes a link, `{"$result_of": "<key>", "field": "<name>"}` stands in for the id that another '
        "intent will bring, in Python `result_of(key, field)`; the intent then waits until that one is done.",
        "A key is unique for ever. Kinds with a natural key need none of yours; the rest need one that you can make "
        "again, such as your order's id.",
        "## Ends of all kinds",
        "*refused* means that it did not happen, and its code says why. *rejected*: the ledger recorded a refusal. "
        "*partial*: some of it happened. *unknown*: nobody can tell whether it happened, so no machine sends it again. "
        "An intent of any kind can end as:",
        _table(_END_HEAD, map(_end, common)),
    ]
    return "\n\n".join(blocks) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines)


def write(folder: Path) -> None:
    """Write all pages, and take away those of kinds that are gone.

    Args:
        folder: Where they stand; made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for stale in set(folder.glob("*.md")) - {folder / name for name in made}:
        stale.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != len(("pages", "folder")):
        sys.exit("usage: python -m blnk_relay.catalogue.pages FOLDER")
    write(Path(sys.argv[1]))
