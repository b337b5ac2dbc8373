"""Each journal's own: what one loses, or whose clock steps, is no matter of another one's (docs/guarantees.md)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import Receipt, Relay, Settings, Target, Write, commit_hold
from blnk_relay.journal.journal import Journal
from blnk_relay.sandbox import Sandbox
from tasks.confirm import confirm
from tasks.deliver import deliver
from tests.support.clocks import let_the_clock_be_set, step
from tests.support.fleet import faults, ledgers, play_to_all
from tests.support.haste import HASTE, HASTY_LEDGER, commits
from tests.support.payments import hold, payment
from tests.support.stages import insist
from tests.support.succession import Succession
from tests.support.waiting import wait_until
from worker.app import build_runtime
from worker.demo.stage import Stage
from worker.demo.story import key_of, tell
from worker.demo.valkey import start_valkey

SEED = 23
INTENTS = 120
WAIT_S = 100.0


def ground(journal: Journal) -> dict[str, str]:
    """What a journal knows of its ground, without what grows with its trips: marks, and until when one was shown."""
    known: Any = journal.client.hgetall(journal.key("ground"))
    moving = ("names", "watched")
    return {name: value for name, value in known.items() if name not in moving and not name.startswith("mark:")}


def mark(journal: Journal) -> int:
    known: Any = journal.client.hgetall(journal.key("ground"))
    return sum(int(value) for name, value in known.items() if name.startswith("mark:"))


def in_doubt(journal: Journal) -> list[str]:
    """Intents that may have been sent in moments that the journal has lost, as far as it says so."""
    client: Any = journal.client
    return [
        key
        for key in client.scan_iter(journal.key("intent:*"), count=1000)
        if client.hget(key, "lost") or client.hget(key, "code") == "MOMENT_LOST"
    ]


@pytest.mark.long
def test_a_journal_that_loses_its_tail_puts_nothing_in_doubt_in_another() -> None:
    lossy, other = Succession("hand"), Succession("hand")
    stage = Stage(faults=faults(SEED), settings={"redis_url": lossy.url, "durability": "replicated:1"})
    stage._start_valkey = lambda: lossy
    try:
        with stage, ledgers(stage, ["us"], SEED + 1, redis_url=other.url) as boxes, Relay(stage.settings) as relay:
            for _ in range(2):
                stage.start_worker()
            story, mine, theirs = tell(INTENTS, SEED), relay.journal("us"), relay.journal()
            before: dict[str, Any] = {}

            def blow() -> list[Receipt]:
                before.update(ground=ground(mine), mark=mark(mine), theirs=ground(theirs))
                lossy.cut()
                done = _finished(theirs)
                late = [Write(intent=payment(f"late-{number}.")) for number in range(20)]
                insist(relay, late)
                wait_until(lambda: _finished(theirs) >= done + 5, WAIT_S, "some of what will be lost")
                lossy.promote()
                lossy.bring_back()
                # What was lost with its receipt is enqueued again under its key.
                return insist(relay, [*story.opening, *_once(story.writes), *late], WAIT_S)[-len(late) :]

            counted = play_to_all(stage, boxes, INTENTS, blow, seed=SEED, timeout_s=WAIT_S)
            assert counted == {"accepted": 2 * INTENTS + 20, "lost": 0, "doubled": 0, "violations": 0}
            assert ground(mine) == before["ground"]
            assert mark(mine) > before["mark"]
            assert in_doubt(mine) == []
            # And the one that lost it knows.
            assert ground(theirs)["epoch"] != before["theirs"]["epoch"]
            assert "lost" in ground(theirs)
    finally:
        other.stop()


def _once(writes: Iterable[Write]) -> list[Write]:
    return list({key_of(write): write for write in writes}.values())


def _finished(journal: Journal) -> int:
    client: Any = journal.client
    return int(client.zcard(journal.key("done")) + client.zcard(journal.key("dead")))


@contextmanager
def two_ledgers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, dict[str, Sandbox]]]:
    """Two ledgers whose journals are on two servers, the clocks of which can be set."""
    let_the_clock_be_set(monkeypatch)
    with ExitStack() as stack:
        first, second = (start_valkey() for _ in range(2))
        stack.callback(first.stop)
        stack.callback(second.stop)
        boxes = {name: stack.enter_context(Sandbox(HASTY_LEDGER)) for name in ("default", "us")}
        us = Target(
            name="us",
            base_url=boxes["us"].url,
            token=HASTE["token"],
            instance_id=HASTE["instance_id"],
            redis_url=f"redis://127.0.0.1:{second.port}/0",
        )
        redis_url = f"redis://127.0.0.1:{first.port}/0"
        yield Settings(**HASTE, redis_url=redis_url, base_url=boxes["default"].url, targets=(us,)), boxes


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_that_steps_begins_the_silences_of_no_other_journal_again(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    with two_ledgers(monkeypatch) as (settings, boxes), Relay(settings) as relay:
        # What one worker process has: a runtime for each target, and one relay.
        runtimes = {name: build_runtime(settings, relay, name) for name in boxes}
        journals = {name: relay.journal(name) for name in boxes}

        def see_through(writes: list[Write]) -> None:
            all_ = [replace(write, target=name) for write in writes for name in boxes]
            ids = {name: [] for name in boxes}  # type: dict[str, list[str]]
            for write, receipt in zip(all_, relay.enqueue_many(all_), strict=True):
                ids[write.target].append(receipt.id)

            def over() -> bool:
                for runtime in runtimes.values():
                    deliver(runtime, "writes")
                    confirm(runtime)
                    runtime.journal.sweep()
                return all(relay.get(id_).finished for those in ids.values() for id_ in those)

            wait_until(over, WAIT_S, "all of it")

        try:
            names = [f"hold-{number}" for number in range(4)]
            see_through([Write(intent=hold(name, precise_amount=10_000)) for name in names])
            before = ground(journals["us"])
            step(journals["default"], seconds)
            see_through(
                [Write(intent=commit_hold(name, amount=10, currency="EUR"), key=f"part of {name}") for name in names]
            )
            assert ground(journals["us"]) == before
            assert float(before.get("skew", 0)) == 0
            assert int(before.get("steps", 0)) == 0
            assert in_doubt(journals["us"]) == in_doubt(journals["default"]) == []
            assert ground(journals["default"])["steps"] == "1"
            assert abs(float(ground(journals["default"])["skew"]) + seconds * 1000) < 5_000
            assert all(abs(journal.now_ms() / 1000 - time.time()) < 5 for journal in journals.values())
            for box in boxes.values():
                assert [commits(box, name) for name in names] == [1] * len(names)
                assert box.books().violations() == []
        finally:
            for runtime in runtimes.values():
                runtime.stopping.set()
                runtime.ledger.close()  # type: ignore[attr-defined]
