"""Gates: how a target is slowed, paused, lost and found again, by the word of workers and of operators."""

from __future__ import annotations

import math

from blnk_relay import Relay, commit_hold
from blnk_relay.intents.exchange import GateAction, GateChange
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.overview import GateView
from blnk_relay.journal.settlement import Settlement
from tests.support.journal import (
    LANE,
    READ,
    WORKER,
    WRITE,
    enqueue,
    sweep,
)
from tests.support.payments import payment
from tests.support.waiting import wait_until


def test_a_slowed_target_waits_then_begins_again_slowly(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(100)))
    assert journal.change_gate("write", GateAction.SLOW, "HTTP_429", 3600)
    assert journal.claim(LANE, WORKER, 100).items == ()
    gate = journal.key(f"gate:{WRITE}")
    now_ms = journal.now_ms()
    journal.client.hset(gate, mapping={"hold_until": now_ms - 1, "raised": now_ms - 1, "stamp": now_ms - 1})

    def claimed_and_earned(since_ms: int) -> tuple[int, int]:
        claimed = len(journal.claim(LANE, WORKER, 100).items)
        rate = float(journal.client.hget(gate, "rate"))
        # On a slow machine it goes on earning while it is asked.
        return claimed, math.ceil(rate * (journal.now_ms() - since_ms) / 1000)

    claimed, earned = claimed_and_earned(now_ms - 1)
    assert 1 <= claimed <= max(1, earned)
    # A second later it has earned its rate.
    second_ago_ms = journal.now_ms() - 1000
    journal.client.hset(gate, mapping={"tokens": 0, "stamp": second_ago_ms})
    claimed, earned = claimed_and_earned(second_ago_ms)
    assert 1 <= claimed <= earned


def test_a_slowed_target_that_is_well_is_free_again(relay, journal):
    enqueue(relay, "order")
    journal.change_gate("write", GateAction.SLOW, "HTTP_429", 0.001)
    gate = journal.key(f"gate:{WRITE}")
    for _ in range(20):
        if not journal.client.exists(gate):
            break
        past_ms = journal.now_ms() - 1001
        journal.client.hset(gate, mapping={"hold_until": past_ms, "raised": past_ms, "stamp": past_ms})
        journal.claim("refunds", WORKER, 1)
        enqueue(relay, f"order-{_}")
        journal.claim(LANE, WORKER, 1)
    assert not journal.client.exists(gate)


def test_one_failure_in_a_hundred_slows_nobody_and_many_at_once_do(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(200)))
    journal.claim(LANE, WORKER, 100)
    for _ in range(4):
        assert not journal.change_gate("write", GateAction.STRAIN, "HTTP_502", 0)
    journal.client.delete(journal.key(f"pace:{WRITE}"))
    journal.claim(LANE, WORKER, 12)
    second = journal.client.hget(journal.key(f"pace:{WRITE}"), "second")
    news = [journal.change_gate("write", GateAction.STRAIN, "HTTP_502", 0) for _ in range(6)]
    if journal.now_ms() // 1000 == int(second):  # else the clock has turned to the next second in between
        assert news.count(True) == 1


def test_reads_are_counted_as_they_are_made(relay, journal):
    """A look at three intents is three, whatever a batch could hold: strain is a share of what went through."""
    enqueue(relay, *(f"order-{number}" for number in range(3)))
    claims = journal.claim(LANE, WORKER, 3).items
    journal.settle(WORKER, [Settlement(claimed, "sending", "posted") for claimed in claims], [])
    assert len(journal.take(WORKER, 200, 10).items) == 3
    assert journal.client.hget(journal.key(f"pace:{READ}"), "n") == "3"


def test_an_operators_pause_is_not_undone_by_a_good_answer(relay, journal, operator):
    enqueue(relay, "before", "after")
    first = journal.claim(LANE, WORKER, 1).items[0]
    operator.pause_target(DEFAULT_TARGET, who="me", reason="maintenance")
    journal.settle(WORKER, [Settlement(first, "sending", "done", 0, {"outcome": "applied"})], [WRITE, READ])
    assert journal.claim(LANE, WORKER, 1).items == ()
    assert operator.resume_target(DEFAULT_TARGET)
    assert len(journal.claim(LANE, WORKER, 1).items) == 1


def test_a_pause_by_a_bad_token_lets_one_probe_through_at_a_time(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(10)))
    assert journal.change_gate("write", GateAction.PAUSE, "HTTP_401", 3600)
    assert journal.claim(LANE, WORKER, 10).items == ()
    journal.client.hset(journal.key(f"gate:{WRITE}"), "probe_at", 1)
    (probe,) = journal.claim(LANE, WORKER, 10).items
    assert journal.claim(LANE, "another", 10).items == ()
    journal.settle(WORKER, [Settlement(probe, "sending", "posted", 10_000)], [WRITE])
    assert len(journal.claim(LANE, WORKER, 10).items) == 9


LOST = GateChange(GateAction.LOST, "UNREACHABLE", 2.0, "ConnectionError")


def gate_of(operator: Operator, side: str = "write") -> GateView | None:
    return next((gate for gate in operator.overview().gates if gate.side == side), None)


def make_due(journal: Journal, gate: str, name: str = "probe_at") -> None:
    journal.client.hset(journal.key(f"gate:{gate}"), name, 1)


def test_a_target_that_nothing_reaches_is_left_alone_and_probed_less_and_less_often(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(100)))
    journal.claim(LANE, WORKER, 10)
    assert journal.complain("write", LOST, times=4) == (False, False), "four may be chance"
    assert journal.complain("write", LOST) == (True, True)
    assert journal.complain("write", LOST) == (False, True), "that is known"
    assert (gate := gate_of(operator)) is not None
    assert (gate.state, gate.code, gate.note) == ("unreachable", "UNREACHABLE", "ConnectionError")
    pauses = []
    for _ in range(6):
        assert journal.claim(LANE, WORKER, 100).items == ()
        make_due(journal, WRITE)
        before_ms = journal.now_ms()
        assert len(journal.claim(LANE, WORKER, 100).items) == 1
        pauses.append(int(journal.client.hget(journal.key(f"gate:{WRITE}"), "probe_at")) - before_ms)
    assert [round(pause / 250) for pause in pauses] == [1, 2, 4, 8, 8, 8], "and never less often than was said"
    later = gate_of(operator)
    assert later is not None
    assert later.since == gate.since


def test_a_batch_that_fails_together_is_as_many_complaints(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(20)))
    journal.claim(LANE, WORKER, 20)
    assert journal.complain("write", LOST, times=20) == (True, True)


def test_many_failures_in_one_batch_slow_a_target(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(20)))
    journal.claim(LANE, WORKER, 20)
    strain = GateChange(GateAction.STRAIN, "HTTP_502", 0.0)
    assert journal.complain("write", strain, times=4) == (False, False)
    assert journal.complain("write", strain, times=16) == (True, True)


def test_reads_and_writes_go_to_one_address(relay, journal, operator):
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    assert journal.complain("read", LOST, times=4) == (False, False)
    journal.settle(WORKER, [Settlement(claimed, "sending", "posted", 10_000)], [WRITE])
    assert journal.complain("read", LOST, times=4) == (False, False), "a write has just arrived"
    assert journal.complain("write", LOST) == (True, True)
    assert {gate.side: gate.state for gate in operator.overview().gates} == {
        "write": "unreachable",
        "read": "unreachable",
    }


def test_a_bad_request_among_good_ones_shuts_nothing(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(300)))
    for _ in range(10):
        claims = journal.claim(LANE, WORKER, 30).items
        assert len(claims) == 30
        assert journal.complain("write", LOST) == (False, False)
        journal.settle(WORKER, [Settlement(claimed, "sending", "posted", 10_000) for claimed in claims], [WRITE])
    assert gate_of(operator) is None
    # Many at once, and still few of all.
    enqueue(relay, *(f"more-{number}" for number in range(100)))
    journal.claim(LANE, WORKER, 100)
    second = journal.client.hget(journal.key(f"pace:{WRITE}"), "second")
    told = journal.complain("write", LOST, times=6)
    if journal.now_ms() // 1000 - int(second) <= 1:
        assert told == (False, False)


def test_a_target_that_is_found_again_begins_slowly_and_its_gate_remembers_when_it_was_lost(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(3000)))
    journal.complain("write", LOST, times=5)
    lost = gate_of(operator)
    assert lost is not None
    make_due(journal, WRITE)
    (probe,) = journal.claim(LANE, WORKER, 100).items
    # An answer of any kind is an answer.
    settled = journal.settle(WORKER, [Settlement(probe, "sending", "posted", 10_000)], [f"{WRITE}?"])
    assert settled.found_after_s is not None
    assert (reads := gate_of(operator, "read")) is not None
    assert reads.state == "slowed", "it has one address"
    slowed = gate_of(operator)
    assert slowed is not None
    assert (slowed.state, slowed.since) == ("slowed", lost.since)
    assert len(journal.claim(LANE, WORKER, 3000).items) <= 2, "not all at once"
    for quiet_ms, most in ((1001, 32), (3001, 256)):
        past_ms = journal.now_ms() - quiet_ms
        journal.client.hset(journal.key(f"gate:{WRITE}"), mapping={"raised": past_ms, "stamp": past_ms})
        assert 16 <= len(journal.claim(LANE, WORKER, 3000).items) <= most
    journal.client.hset(journal.key(f"gate:{WRITE}"), "raised", journal.now_ms() - 20_000)
    assert len(journal.claim(LANE, WORKER, 100).items) == 100
    assert gate_of(operator) is None


def test_an_answer_that_is_no_good_one_opens_no_gate_that_a_bad_token_shut(relay, journal, operator):
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    journal.complain("write", LOST, times=5)
    assert journal.change_gate("write", GateAction.PAUSE, "HTTP_401", 5), "its answer is news"
    journal.settle(WORKER, [Settlement(claimed, "sending", "ready", 10)], [f"{WRITE}?"])
    gate = gate_of(operator)
    assert gate is not None
    assert (gate.state, gate.code) == ("paused", "HTTP_401")


def test_a_slowed_gate_that_complains_again_keeps_the_time_at_which_its_trouble_began(journal, operator):
    assert journal.change_gate("write", GateAction.SLOW, "HTTP_429", 0.001)
    first = gate_of(operator)
    journal.client.hset(journal.key(f"gate:{WRITE}"), "hold_until", 1)
    wait_until(lambda: journal.change_gate("write", GateAction.SLOW, "HTTP_429", 0.001), 5)
    assert first is not None
    assert (again := gate_of(operator)) is not None
    assert again.since == first.since
    assert 0 < journal.client.pttl(journal.key(f"gate:{WRITE}")) <= 61_000, "and is forgotten when nobody asks it"


def posted(relay: Relay, journal: Journal, number: int) -> None:
    enqueue(relay, *(f"order-{index}" for index in range(number)))
    claims = journal.claim(LANE, WORKER, number).items
    journal.settle(WORKER, [Settlement(claimed, "sending", "posted") for claimed in claims], [])


def test_a_backlog_that_cannot_be_read_is_not_moved_and_nobody_is_called_for_it(relay, journal):
    posted(relay, journal, 30)
    journal.complain("read", LOST, times=5)
    before = journal.client.zrange(journal.key("posted"), 0, -1, withscores=True)
    claims = journal.take(WORKER, 200, 10)
    assert claims.items == ()
    assert 0 < claims.next_ms <= 250, "the next probe is waited for"
    assert journal.client.zrange(journal.key("posted"), 0, -1, withscores=True) == before
    assert journal.take(WORKER, 0, 10, leave=True).bells == ()
    operator_pause = GateChange(GateAction.PAUSE, "HTTP_403", 3600)
    journal.complain("read", operator_pause)
    assert "confirm" not in sweep(journal)
    make_due(journal, READ)
    assert "confirm" in sweep(journal)
    assert len(journal.take(WORKER, 200, 10).items) == 1, "a probe"
    moved = set(journal.client.zrange(journal.key("posted"), 0, -1, withscores=True)) - set(before)
    assert len(moved) == 1


def test_reads_that_ask_for_many_intents_each_are_lost_by_their_requests(relay, journal):
    posted(relay, journal, 200)
    for _ in range(4):
        journal.take(WORKER, 200, 0.001)
        assert journal.complain("read", LOST) == (False, False)
    assert journal.complain("read", LOST) == (True, True), "five requests, whatever they asked for"


def test_a_ledger_whose_queue_is_full_is_spared_by_the_lane_that_met_it_alone(relay, journal, operator):
    relay.enqueue_many([payment("order"), commit_hold("hold-1")])
    full = GateChange(GateAction.SLOW, "QUEUE_BACKPRESSURE", 30.0, lane=True)
    assert journal.complain(f"lane:{LANE}", full) == (True, True)
    assert journal.claim(LANE, WORKER, 10).items == ()
    assert LANE not in sweep(journal)
    assert len(journal.claim("inflight", WORKER, 10).items) == 1, "it goes round the ledger's queue"
    gate = gate_of(operator, f"lane:{LANE}")
    assert gate is not None
    assert (gate.state, gate.code) == ("slowed", "QUEUE_BACKPRESSURE")
    assert operator.resume_target(DEFAULT_TARGET)
    assert len(journal.claim(LANE, WORKER, 10).items) == 1
