"""What the command line does can be done in the console and the other way round, or it is said why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from starlette.routing import compile_path

from tests.bench.screens import SCREENS as MEASURED
from tests.support.cli import commands
from worker.cli.commands import cli
from worker.cli.deferred import loaded
from worker.console.doors import API, SCREENS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "console.md").read_text(encoding="utf-8")

TABLE = PAGE.partition("<!-- commands -->")[2].partition("<!-- /commands -->")[0]

#: Rows of the table: commands, and where that is done, or why it is not.
ROWS = [
    (re.findall(r"`([^`]+)`", first), second.strip())
    for first, second in re.findall(r"^\| (`[^|]+) \|([^|]+)\|$", TABLE, re.MULTILINE)
]

#: Options that say how something is written or asked for in a terminal, and who acts: whoever has signed in here.
GENERAL = {"--json", "--table", "--output", "--yes", "--limit", "--who"}

#: Others that have no field here, and where the same is done.
ELSEWHERE = {
    ("show", "--payload"): "an address of its own",
    ("list", "--whole"): "for the terminal",
    ("dead list", "--whole"): "for the terminal",
    ("dead show", "--payload"): "as of show",
    ("dead show", "--reason"): "as of show",
    ("dead replay", "--key"): "the address of the letter",
    ("dead discard", "--key"): "the address of the letter",
    ("dead replay", "--plan"): "what is asked for before it is done",
    ("dead discard", "--plan"): "what is asked for before it is done",
    ("dead replay", "--max"): "count, which has to be the number itself",
    ("dead discard", "--max"): "count, which has to be the number itself",
    ("dead summary", "--recount"): "an address of its own",
    ("status", "--check"): "the answer says whether all is well",
    ("status", "--watch"): "a page follows what happens",
    ("status", "--interval"): "a page follows what happens",
    ("jobs show", "--follow"): "a page follows what happens",
    ("audit", "--place"): "kept in the journal",
    ("audit", "--patience"): "an audit here ends where a gate is shut, and is gone on with",
    ("history status", "--target"): "all are shown",
    ("encryption keys", "--whole"): "all are looked at",
}

#: What a field here is called that has another name there.
CALLED = {"id": "ledger_id", "oldest": "order"}

#: Names of the one thing that an address is about.
PLACES = {"target", "name"}

PATHS = [path for _, second in ROWS for path in re.findall(r"`(/[^`]*)`", second)]


def test_every_command_is_done_somewhere_or_it_is_said_why_not():
    told = [command for names, _ in ROWS for command in names]
    assert sorted(told) == sorted(" ".join(path) for path in commands())
    for names, second in ROWS:
        here = re.findall(r"`/", second)
        assert bool(here) != second.startswith("not here: "), names


def options_of(name: str) -> set[str]:
    """The options of a command, as they are written out."""
    node: Any = cli
    for part in name.split():
        node = loaded(node.commands[part])
    return {next(word for word in one.opts if word.startswith("--")) for one in node.params if one.opts[0][0] == "-"}


def fields_of(path: str) -> set[str]:
    """What is taken in an address of the API, in its query, and in what is sent to it."""
    found = set(re.findall(r"{([a-z]+)}", path))
    for door in (door for door in API if door.path == f"/api/v1{'/overview' if path == '/' else path}"):
        for schema in (door.about[sort]() for sort in ("query", "body") if sort in door.about):
            found |= {field.data_key or name for name, field in schema.fields.items()}
    return found | (PLACES if found & PLACES else set())


def test_every_option_of_a_command_is_taken_here_or_it_is_said_why_not():
    missing = set()
    for names, second in ROWS:
        taken = {field for path in re.findall(r"`(/[^`]*)`", second) for field in fields_of(path)}
        for name in names if taken or not second.startswith("not here: ") else ():
            for option in options_of(name) - GENERAL:
                field = option.removeprefix("--").replace("-", "_")
                if CALLED.get(field, field) not in taken:
                    missing.add((name, option))
    assert missing == set(ELSEWHERE)


def test_every_act_of_a_page_is_one_of_the_command_line():
    assert {door.path for door in SCREENS if door.method == "POST"} <= set(PATHS)
    assert set(PATHS) <= {door.path for door in SCREENS}


def test_every_act_of_a_page_is_one_of_the_api_with_the_same_right():
    pages = {(door.path, door.right) for door in SCREENS if door.method == "POST"}
    assert pages == {(door.path.removeprefix("/api/v1"), door.right) for door in API if door.method == "POST"}


def test_every_screen_is_measured_over_a_long_backlog_or_it_is_said_why_not():
    measured = [path.format(open="/intents/x/y", letter="/intents/x/y").partition("?")[0] for path in MEASURED]
    screens = {door.path for door in SCREENS if door.method == "GET"}
    missing = {path for path in screens if not any(compile_path(path)[0].fullmatch(one) for one in measured)}
    assert missing == {"/jobs/{id}", "/errands/{id}"}, "a job is read by its id, and an errand is in memory"
