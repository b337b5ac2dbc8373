"""What status says of dead letters of the last hour rests on the letters that are there."""

from __future__ import annotations

from typing import Any

import pytest

from blnk_relay.journal.fresh import fresh_flow
from tests.support.cli import FUNDS, count, letters, run

pytestmark = pytest.mark.usefixtures("environment")


def told() -> list[tuple[int, str]]:
    """How many letters each verdict about them is about, and what it says."""
    found: list[dict[str, Any]] = run("status", "--json").json["verdicts"]
    return [(one["count"], one["what"]) for one in found if one["sort"] == "dead-letters"]


def test_what_died_before_the_first_sample_is_told(relay):
    letters(relay, *(f"a-{at}" for at in range(30)))
    relay.journal().sweep("w", 60.0, "")
    assert count(relay, "dead") == 30
    letters(relay, "b", dead_class="expired", code="EXPIRED")
    (first, what), (second, other) = told()
    assert (first, second) == (30, 1)
    assert f"30 letters rejected with {FUNDS} within the last hour" in what
    assert "1 letter expired with EXPIRED within the last hour" in other


def test_what_a_human_has_dealt_with_is_told_no_more(relay):
    letters(relay, *(f"a-{at}" for at in range(4)))
    letters(relay, "b", "c", dead_class="unknown", code="VANISHED")
    assert run("dead", "discard", "--code", FUNDS, "--reason", "x", "--yes").code == 0
    ((number, what),) = told()
    assert (number, "VANISHED" in what) == (2, True)


def test_of_more_causes_than_are_told_apart_the_others_are_one(relay):
    for at in range(22):
        letters(relay, *(f"{at}-{one}" for one in range(2 if at else 3)), code=f"CODE_{at}")
    found = told()
    assert len(found) == 21
    assert (3, "transaction: 3 letters rejected with CODE_0 within the last hour") in found
    assert sum(number for number, _ in found) == 45
    assert (4, "4 letters of other causes within the last hour") in found


def test_letters_that_no_cause_accounts_for_are_told_and_older_ones_are_not(relay):
    letters(relay, "a", "b")
    journal = relay.journal()
    (name,) = journal.client.smembers(journal.key("causes"))
    (id_, *_) = journal.client.zrange(journal.key(f"letters:{name}"), 0, -1)
    journal.client.zrem(journal.key(f"letters:{name}"), id_)
    assert [number for number, _ in told()] == [1, 1]
    assert journal.drive(fresh_flow(journal.prefix, journal.now_ms() + 1)) == (0, ())
