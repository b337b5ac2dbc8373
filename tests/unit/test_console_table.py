"""What the command line does can be done in the console and the other way round, or it is said why not."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.cli import commands
from worker.console.doors import API, SCREENS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "console.md").read_text(encoding="utf-8")

TABLE = PAGE.partition("<!-- commands -->")[2].partition("<!-- /commands -->")[0]

#: Rows of the table: commands, and where that is done, or why it is not.
ROWS = [
    (re.findall(r"`([^`]+)`", first), second.strip())
    for first, second in re.findall(r"^\| (`[^|]+) \|([^|]+)\|$", TABLE, re.MULTILINE)
]

PATHS = [path for _, second in ROWS for path in re.findall(r"`(/[^`]*)`", second)]


def test_every_command_is_done_somewhere_or_it_is_said_why_not():
    told = [command for names, _ in ROWS for command in names]
    assert sorted(told) == sorted(" ".join(path) for path in commands())
    for names, second in ROWS:
        here = re.findall(r"`/", second)
        assert bool(here) != second.startswith("not here: "), names


def test_every_act_of_a_page_is_one_of_the_command_line():
    assert {door.path for door in SCREENS if door.method == "POST"} <= set(PATHS)
    assert set(PATHS) <= {door.path for door in SCREENS}


def test_every_act_of_a_page_is_one_of_the_api_with_the_same_right():
    pages = {(door.path, door.right) for door in SCREENS if door.method == "POST"}
    assert pages == {(door.path.removeprefix("/api/v1"), door.right) for door in API if door.method == "POST"}
