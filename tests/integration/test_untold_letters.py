"""Letters that come of a cancel or a discard: no worker buries them, and one tells of them all the same, each once."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest

from blnk_relay import Relay, Settings, Write
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal, Swept
from tests.support.journal import bury, enqueue, status
from tests.support.payments import payment
from tests.support.sentry import FakeSentry
from worker import telemetry
from worker.shared import Shared
from worker.sweeper import Round

SCRIPTS = files("blnk_relay.journal") / "scripts"
#: Letters that are kept to be told one by one, and those that one sweep hands out.
MOST_KEPT = int(re.search(r"MOST_UNTOLD = (\d+)", (SCRIPTS / "letters.lua").read_text())[1])
MOST_AT_ONCE = int(re.search(r"MOST_TOLD = (\d+)", (SCRIPTS / "sweep.lua").read_text())[1])

CLOSED = ("dead_letter", "refused", "DEPENDENCY_CLOSED")


class Worker:
    """The sweeps of one worker, and what it has said of letters."""

    def __init__(self, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
        self.shared = Shared(settings)
        self._journal = self.shared.relay.journal()
        self._round = Round(self.shared, DEFAULT_TARGET, "host:1:a", 1.0, 1.0)
        self._caplog = caplog

    def sweep(self) -> list[dict[str, Any]]:
        """Sweep at once; what was said."""
        self._caplog.clear()
        self._journal.client.delete(self._journal.key("sweep"))
        self._round.sweep()
        records = [one for one in self._caplog.records if getattr(one, "relay_event", "").startswith("dead_letter")]
        return [{"event": one.relay_event, **one.relay_fields} for one in records]


@pytest.fixture
def worker(settings: Settings, caplog: pytest.LogCaptureFixture) -> Iterator[Worker]:
    caplog.set_level(logging.INFO)
    made = Worker(settings, caplog)
    yield made
    made.shared.relay.close()


def family(relay: Relay, number: int, **more: Any) -> list[str]:
    """An intent and some that wait for it; returns their keys."""
    keys = [f"after-{at}" for at in range(number)]
    writes = [Write(intent=payment(), key=key, after=["first"], **more) for key in keys]
    relay.enqueue_many([Write(intent=payment(), key="first"), *writes])
    return keys


def told(said: list[dict[str, Any]]) -> Counter[tuple[str, str, str, str]]:
    return Counter((one["event"], one["class"], one["code"], one.get("key", "")) for one in said)


def all_swept(journal: Journal) -> Iterator[Swept]:
    """Sweeps at once, until there is nothing to tell."""
    while True:
        journal.client.delete(journal.key("sweep"))
        found = journal.sweep()
        if not (found.untold or found.beyond or journal.client.exists(journal.key("owed"))):
            return
        yield found


@pytest.mark.parametrize("by", ["cancel", "discard"])
def test_each_is_told_once_by_the_next_worker_that_sweeps(relay, journal, operator, worker, by):
    if by == "cancel":
        keys = family(relay, 3)
        relay.cancel("first")
    else:
        bury(relay, "first")
        keys = [f"after-{at}" for at in range(3)]
        relay.enqueue_many([Write(intent=payment(), key=key, after=["first"]) for key in keys])
        operator.discard(status(journal, "first"), who="me", reason="closed")
    assert {status(journal, key).code for key in keys} == {"DEPENDENCY_CLOSED"}
    said = worker.sweep()
    assert told(said) == {(*CLOSED, key): 1 for key in keys}
    assert {(one["kind"], one["lane"], one["target"]) for one in said} == {("transaction", "transactions", "default")}
    assert worker.sweep() == []
    assert not journal.client.exists(journal.key("untold"), journal.key("untold-more"))


def test_sentry_hears_of_them_as_of_others(relay, journal):
    with FakeSentry() as sentry:
        reports = telemetry.Telemetry(Settings(sentry_dsn=sentry.dsn))
        family(relay, 3)
        relay.cancel("first")
        (found,) = all_swept(journal)
        for entry, death in found.untold:
            reports.dead(entry, death)
        reports.more_dead("default", "transaction|refused|DEPENDENCY_CLOSED", 40)
        reports.more_dead("eu", "transaction|refused|Ms Sekret's words", 7)
        telemetry.close()
        counts: Counter[tuple[str, ...]] = Counter()
        for event in sentry.events():
            assert event["level"] == "error"
            counts[tuple(event["fingerprint"][:5])] += event["extra"]["count"]
        assert "Sekret" not in "".join(sentry.envelopes)
    closed = ("dead", "default", "transaction", "refused", "DEPENDENCY_CLOSED")
    assert counts == {closed: 43, ("dead", "eu", "transaction", "refused", "NOT_A_CODE"): 7}


def test_of_more_than_are_kept_the_rest_is_told_as_a_number_of_each_cause(relay, journal):
    number = MOST_KEPT + 300
    family(relay, number)
    relay.cancel("first")
    # Those that are owed are dealt with here, and nobody tells of them meanwhile.
    while journal.scripts.run("owed", 1000)[0]:
        pass
    one_by_one: Counter[str] = Counter()
    beyond: Counter[str] = Counter()
    for found in all_swept(journal):
        assert len(found.untold) <= MOST_AT_ONCE
        assert found.next_s is not None
        assert found.next_s <= 1.0 or not journal.client.exists(journal.key("untold")), "the others follow soon"
        one_by_one.update(entry.id for entry, _ in found.untold)
        beyond.update(found.beyond)
    assert (len(one_by_one), set(one_by_one.values())) == (MOST_KEPT, {1})
    assert beyond == {"transaction|refused|DEPENDENCY_CLOSED": 300}


def test_the_rest_is_said_as_a_number(worker, journal):
    journal.client.hset(journal.key("untold-more"), "refund|unknown|DEPENDENCY_CLOSED", 12)
    (said,) = worker.sweep()
    assert (said["event"], said["count"], said["kind"]) == ("dead_letters_more", 12, "refund")
    assert worker.sweep() == []


def test_a_letter_that_was_told_of_before_is_told_of_as_what_it_is_now_and_only_where_that_is_another(
    relay, journal, worker
):
    enqueue(relay, "first", "second")
    late = {"after": ["first", "second"], "deadline": timedelta(hours=1)}
    relay.enqueue(payment(), key="late", **late)
    journal.client.zadd(journal.key("expiring"), {id_of(DEFAULT_TARGET, "late"): 1})
    assert told(worker.sweep()) == {("dead_letter", "refused", "EXPIRED", "late"): 1}
    relay.cancel("first")
    assert told(worker.sweep()) == {(*CLOSED, "late"): 1}, "of its first cause there is none left"
    relay.cancel("second")
    assert worker.sweep() == []


def test_one_that_a_human_has_dealt_with_meanwhile_is_not_told_of(relay, journal, operator, worker):
    family(relay, 2)
    relay.cancel("first")
    operator.discard(status(journal, "after-0"), who="me", reason="seen")
    assert told(worker.sweep()) == {(*CLOSED, "after-1"): 1}


def test_large_ones_are_handed_over_in_bearable_parts(relay, journal):
    for key in family(relay, 8):
        body = journal.key(f"body:{id_of(DEFAULT_TARGET, key)}")
        journal.client.append(body, " " * 900_000)
    relay.cancel("first")
    assert [len(found.untold) for found in all_swept(journal)] == [3, 3, 2]


def test_whoever_cannot_tell_of_one_tells_of_the_others(relay, worker, monkeypatch):
    family(relay, 3)
    relay.cancel("first")
    calls: list[str] = []

    def dead(_self: Any, entry: Any, _death: Any) -> None:
        calls.append(entry.key)
        if len(calls) == 1:
            raise RuntimeError("Ms Sekret")

    monkeypatch.setattr(telemetry.Telemetry, "dead", dead)
    assert [one["event"] for one in worker.sweep()] == ["dead_letter_untold"]
    assert sorted(calls) == ["after-0", "after-1", "after-2"]
