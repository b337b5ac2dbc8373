"""The server's clock steps: silences begin again, and nothing that was due is held up (docs/guarantees.md)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import JournalUnavailable, Settings, Write, commit_hold, create_ledger
from blnk_relay.intents.states import State
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.lua import Scripts
from blnk_relay.journal.settlement import Settlement
from blnk_relay.sandbox import Faults, Rule, Sandbox
from tasks.confirm import confirm
from tasks.deliver import deliver
from tests.support.clocks import let_the_clock_be_set, step
from tests.support.hands import hands
from tests.support.haste import HASTE, HASTY_LEDGER, commits, drive, settle
from tests.support.journal import WORKER
from tests.support.payments import hold, payment
from tests.support.stages import fields_of
from tests.support.waiting import wait_until

HOLDS = 5

#: How long the ledger takes for each commit; the clock steps meanwhile.
SLOW_S = 2.0


@pytest.fixture
def ledger() -> Iterator[Sandbox]:
    with Sandbox(HASTY_LEDGER) as sandbox:
        yield sandbox


@pytest.fixture
def given(settings: Settings, ledger: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    let_the_clock_be_set(monkeypatch)
    return Settings(**HASTE, redis_url=settings.redis_url, base_url=ledger.url)


@pytest.mark.parametrize("seconds", [60, 3600, -120])
def test_a_part_is_committed_once_although_the_clock_steps_while_it_is_under_way(
    given: Settings, ledger: Sandbox, seconds: int
) -> None:
    names = [f"hold-{number}" for number in range(HOLDS)]
    with hands(given) as sender, hands(given) as other:
        settle(sender, [Write(intent=hold(name, precise_amount=10_000)) for name in names], drive, "the holds")
        other.journal.sweep()
        ledger.set_faults(
            Faults.script([Rule("delay_before", path="/proxy/transactions/", times=None, seconds=SLOW_S)])
        )
        parts = [Write(intent=commit_hold(name, amount=10, currency="EUR"), key=f"part of {name}") for name in names]
        sender.relay.enqueue_many(parts)
        sending = threading.Thread(target=deliver, args=(sender, "writes"))
        sending.start()
        # Recorded, and so on its way to a ledger that takes its time.
        ids = [other.relay.get(part.key or "").id for part in parts]
        wait_until(lambda: all("before" in (memo or "") for memo in fields_of(other.relay, ids, "memo")), 20)
        step(other.journal, seconds)

        def over() -> bool:
            # What another worker does: it finds the leases lapsed, looks, and sends what it thinks was never sent.
            other.journal.client.delete(other.journal.key("sweep"))
            other.journal.sweep()
            confirm(other)
            deliver(other, "writes")
            return all(other.relay.get(part.key or "").finished for part in parts)

        wait_until(over, 60)
        sending.join(60)
        told = [other.relay.get(part.key or "") for part in parts]
        assert [commits(ledger, name) for name in names] == [1] * HOLDS
        assert {(status.state, status.outcome) for status in told} == {("done", "applied")}


@pytest.mark.parametrize("seconds", [600, -600])
def test_what_was_claimed_is_in_hand_although_the_step_cannot_be_told_and_the_next_trip_tells_it(
    given: Settings, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay = payment()
    with hands(given) as runtime:
        journal = runtime.journal
        journal.claim("writes", WORKER, 0)
        runtime.relay.enqueue(pay, key="a")
        before_ms = journal.now_ms()
        step(journal, seconds)
        run = Scripts.run

        def away(self: Scripts, name: str, *args: str | int) -> Any:
            if name == "step":
                raise JournalUnavailable("away")
            return run(self, name, *args)

        with monkeypatch.context() as hiccup:
            hiccup.setattr(Scripts, "run", away)
            claimed = journal.claim("writes", WORKER, 1).items
        # By a clock that has gone back it is not due yet.
        assert [item.entry.key for item in claimed] == (["a"] if seconds > 0 else [])
        assert all(abs(item.progress.now_ms - before_ms) < 30_000 for item in claimed)
        assert abs(journal.now_ms() - before_ms - seconds * 1000) < 30_000
        journal.claim("writes", WORKER, 0)
        assert abs(journal.now_ms() - before_ms) < 30_000


@pytest.mark.parametrize("seconds", [600, -600])
def test_silences_begin_again_after_a_step(given: Settings, seconds: int) -> None:
    """What was quiet for an hour by a clock that has stepped since may have been sent a moment ago."""
    pay = payment()
    with hands(given) as runtime:
        journal = runtime.journal
        runtime.relay.enqueue(pay, key="sent")
        (claimed,) = journal.claim("writes", "worker", 1).items
        an_hour_ago = {"sent": "1", "sent_last": str(journal.now_ms() - 3_600_000)}
        journal.settle("worker", [Settlement(claimed, State.SENDING, State.POSTED, 0, an_hour_ago)], [])
        (before,) = journal.take("worker", 1, 10).items
        assert before.progress.quiet_for_s >= 3_600
        journal.settle("worker", [Settlement(before, State.POSTED, State.POSTED)], [])
        step(journal, seconds)
        journal.sweep()
        with hands(given) as later:
            (after,) = later.journal.take("later", 1, 10).items
        assert after.progress.quiet_for_s < 60


@pytest.mark.parametrize(("seconds", "told"), [(0, True), (600, True), (600, False), (-600, True)])
def test_who_begins_takes_silences_for_granted_only_where_somebody_had_compared_the_clock_before(
    given: Settings, seconds: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign of life by which a worker sees a step is there, though it may die before it tells of it."""
    with hands(given) as runtime:
        journal = runtime.journal
        runtime.relay.enqueue(payment(), key="sent")
        (claimed,) = journal.claim("writes", "worker", 1).items
        an_hour_ago = {"sent": "1", "sent_last": str(journal.now_ms() - 3_600_000)}
        journal.settle("worker", [Settlement(claimed, State.SENDING, State.POSTED, 0, an_hour_ago)], [])
        journal.claim("writes", "worker", 0)
        step(journal, seconds)
        run = Scripts.run

        def dying(self: Scripts, name: str, *args: str | int) -> Any:
            if name == "step" and not told:
                raise JournalUnavailable("away")
            return run(self, name, *args)

        with monkeypatch.context() as ending:
            ending.setattr(Scripts, "run", dying)
            journal.claim("writes", "worker", 0)
        with hands(given) as later:
            (after,) = later.journal.take("later", 1, 10).items
        assert (after.progress.quiet_for_s >= 3_600) == (seconds == 0)


@pytest.mark.parametrize("seconds", [-30, -120, -7200, 300])
def test_a_step_holds_up_no_retry(given: Settings, ledger: Sandbox, seconds: int) -> None:
    pay = payment()
    with hands(given) as runtime:
        ledger.set_faults(Faults.script([Rule("423", path="/proxy/transactions", times=2)]))
        runtime.journal.sweep()
        runtime.relay.enqueue(pay, key="retried")
        deliver(runtime, "writes")
        step(runtime.journal, seconds)
        runtime.relay.enqueue(pay, key="after the step")
        begun_s = time.monotonic()
        drive(runtime, lambda: all(runtime.relay.get(key).finished for key in ("retried", "after the step")), "both")
        assert time.monotonic() - begun_s < min(25, abs(seconds))


def test_what_is_put_off_before_anybody_has_seen_a_step_is_due_when_it_would_have_been(
    given: Settings, ledger: Sandbox
) -> None:
    """The settlement itself is the first trip by the new time, for a look at what was posted and for a retry."""
    for key, fault in {"looked at": "delay_before", "retried": "423"}.items():
        rules = [Rule("delay_after", path="/proxy/transactions", seconds=1.0)] if fault == "delay_before" else []
        ledger.set_faults(Faults.script(rules or [Rule(fault, path="/proxy/transactions")]))
        with hands(replace(given, retry_base_s=1.0, retry_cap_s=1.0, confirm_first_s=1.0, lease_s=30.0)) as runtime:
            runtime.journal.sweep()
            runtime.relay.enqueue(payment(), key=key)
            settled = runtime.journal.settle

            def stepped(
                *arguments: Any, journal: Journal = runtime.journal, then: Any = settled, **options: Any
            ) -> Any:
                step(journal, 3600)
                return then(*arguments, **options)

            runtime.journal.settle = stepped  # type: ignore[method-assign]
            deliver(runtime, "writes")
            runtime.journal.settle = settled  # type: ignore[method-assign]
            drive(runtime, lambda key=key: runtime.relay.get(key).finished, key)  # type: ignore[misc]


def test_what_waited_in_a_turn_that_began_by_a_stepped_clock_waits_no_longer_than_the_turn(given: Settings) -> None:
    with hands(given) as runtime:
        runtime.journal.sweep()
        step(runtime.journal, 3600)
        runtime.relay.enqueue_many(
            [Write(intent=payment(), key="first"), Write(intent=payment(), key="second", after=["first"])]
        )
        drive(runtime, lambda: runtime.relay.get("second").finished, "the second one")


def test_what_is_accepted_between_two_steps_that_are_seen_as_one_is_due_at_once(given: Settings) -> None:
    with hands(given) as runtime:
        runtime.journal.sweep()
        step(runtime.journal, 3600)
        runtime.relay.enqueue(payment(), key="between")
        step(runtime.journal, -45)
        drive(runtime, lambda: runtime.relay.get("between").finished, "what was accepted between")


def test_moments_that_are_lost_while_the_clock_steps_are_not_in_doubt_for_as_long_as_the_step(given: Settings) -> None:
    with hands(given) as runtime:
        runtime.journal.sweep()
        runtime.relay.enqueue_many([Write(intent=create_ledger("Wallets"), key="before")])
        ground = runtime.journal.key("ground")
        # Another process serves the journal, and its clock is another one.
        runtime.journal.client.hset(ground, "server", "another")
        step(runtime.journal, 3600)
        drive(runtime, lambda: runtime.relay.get("before").finished, "what may have been sent")
        lost: Any = runtime.journal.client.hget(ground, "lost")
        assert 0 < float(lost) <= runtime.journal.now_ms()
        assert runtime.relay.get("before").state == "done"


def test_what_was_claimed_before_a_loss_is_in_doubt_also_where_a_clock_set_back_notes_its_end(given: Settings) -> None:
    with hands(given) as dead:
        dead.journal.sweep()
        receipt = dead.relay.enqueue(create_ledger("Wallets"), key="held")
        assert dead.journal.claim("writes", WORKER, 1).items
    # Another process serves the journal, by a clock that is behind for a while, and nobody has seen another time.
    journal = Journal(given)
    journal.client.hset(journal.key("ground"), "server", "another")
    step(journal, -60)
    journal.sweep()
    step(journal, 60)
    later = Journal(given)
    later.client.zadd(later.key("workers"), {WORKER: later.now_ms() - 60_000})
    later.client.delete(later.key("sweep"))
    later.sweep()
    later.close()
    state, lost = journal.client.hmget(journal.key(f"intent:{receipt.id}"), ["state", "lost"])
    assert state == "posted"
    assert lost is not None, "what was recorded of it may be lost: the ledger is asked before it is sent"
    journal.close()


def test_a_worker_that_dies_before_anybody_has_seen_a_step_is_found_dead_soon(given: Settings) -> None:
    with hands(given) as dead, hands(given) as other:
        dead.relay.enqueue(payment(), key="held")
        dead.journal.sweep()
        step(dead.journal, 3600)
        # By this trip it sees the step, and no more of it is ever heard.
        assert dead.journal.claim("writes", WORKER, 1).items
        journal = other.journal
        spoke_ms, until_ms = (
            journal.client.zscore(journal.key("workers"), WORKER),
            journal.client.zrange(journal.key(f"leased:{WORKER}"), 0, 0, withscores=True)[0][1],
        )
        assert spoke_ms <= journal.now_ms() + 1_000
        assert until_ms <= journal.now_ms() + given.lease_s * 1_000 + 1_000
        journal.client.zadd(journal.key("workers"), {WORKER: spoke_ms - 60_000})
        drive(other, lambda: other.relay.get("held").finished, "what the dead one held")


def test_a_gate_that_shuts_before_anybody_has_seen_a_step_opens_as_soon_as_without(given: Settings) -> None:
    journal = Journal(given)
    journal.sweep()
    step(journal, 3600)
    assert journal.change_gate("write", "slow", "HTTP_429", 2.0)
    journal.client.delete(journal.key("sweep"))
    journal.sweep()
    gate: Any = journal.client.hgetall(journal.key("gate:write"))
    for name in ("hold_until", "raised", "stamp"):
        assert float(gate[name]) <= journal.now_ms() + 2_500, name
    journal.close()


def test_a_bell_is_rung_after_a_step_back(given: Settings) -> None:
    journal = Journal(given)
    pay = payment()
    with hands(given) as runtime:
        journal.sweep()
        runtime.relay.enqueue(pay, key="before")
        step(journal, -3600)
        # Whoever sweeps first notices, and the lane is rung within a bell's own time.
        wait_until(lambda: "writes" in journal.sweep().bells, 10)
    journal.close()


def test_the_time_of_the_journal_comes_back_to_that_of_the_server_bit_by_bit(given: Settings) -> None:
    journal = Journal(given)
    journal.sweep()
    before_ms = journal.now_ms()
    step(journal, 60)
    journal.sweep()
    assert abs(journal.now_ms() - before_ms) < 5_000, "no step is seen in the journal"

    def skew() -> float:
        return float(journal.client.hget(journal.key("ground"), "skew") or 0)

    assert -61_000 < skew() < -59_000
    for _ in range(10):
        journal.client.delete(journal.key("sweep"))
        journal.sweep()
    assert skew() > -60_500 + 10 * 15, "20 ms a sweep"
    journal.close()


def test_only_one_of_many_workers_sets_the_clock_right(given: Settings) -> None:
    journals = [Journal(given) for _ in range(4)]
    for journal in journals:
        journal.sweep()
    step(journals[0], 600)
    for _ in range(3):
        for journal in journals:
            journal.sweep()
    ground: Any = journals[0].client.hgetall(journals[0].key("ground"))
    assert ground["steps"] == "1"
    assert abs(float(ground["skew"]) + 600_000) < 1_000
    for journal in journals:
        journal.close()
