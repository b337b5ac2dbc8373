"""The examples of docs/kinds, executed against a real journal: the program and the command make one intent."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from blnk_relay import Relay, Settings
from blnk_relay.kinds.registry import KINDS
from tests.support.cli import run

PAGES = Path(__file__).resolve().parents[2] / "docs" / "kinds"


@pytest.fixture(autouse=True)
def _all_switched_on(environment) -> None:
    for switch in filter(None, {kind.switch for kind in KINDS.values()}):
        environment.setenv(f"BLNK_RELAY_{switch.upper()}", "true")


@pytest.mark.parametrize("name", KINDS)
def test_the_examples_of_a_page_are_accepted_as_one_intent(name):
    blocks = dict(
        re.findall(r"^```(\w+)\n(.*?)^```", (PAGES / f"{name}.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
    exec(compile(blocks["python"], name, "exec"), {})  # noqa: S102
    _, line, _, program, *arguments = shlex.split(blocks["sh"])
    assert program == "blnk-relay"
    ran = run(*arguments, "--json", stdin=line)
    assert ran.code == 0
    assert (ran.json["created"], ran.json["existing"]) == (0, 1)
    with Relay(Settings.from_env()) as relay:
        key = KINDS[name].about.example.key
        assert not key or relay.get(key).kind == name
