"""From enqueue to the ledger's books: real workers of both pools, a real Valkey, the sandbox over HTTP.

One stage plays everything that can go wrong with one request, all at once: the wait is that of the slowest. Each test
then looks at its own intent.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import requests

from blnk_relay import Intent, Receipt, Relay, Status, StillOpen, TooLate, Write, commit_hold, refund, void_hold
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.operator import Operator
from blnk_relay.sandbox import Effect, Faults, Options, RequestSeen, Rule
from tests.support.counting import assert_exactly_once, wait_for_all
from tests.support.payments import AMOUNT, CURRENCY, SHOP, WORLD, hold, payment, poor
from tests.support.waiting import wait_until
from worker.demo.stage import INSTANCE, TOKEN, Stage

#: Everything becomes visible this much later, so that no outcome can be had from a quick look.
READ_LAG_S = 0.2

#: Lags and horizons of this stage's ledger.
PACE = {"read_lag_s": 0.7, "quiet_s": 0.3, "horizon_s": 3.0, "confirm_max_s": 0.5, "max_attempts": 6}

PART = 400

EITHER_WAY = ("500", "500_empty", "502", "503", "504")

#: What may strike any request.
ANY = (
    "drop_before",
    "drop_after",
    *(f"{name}_{effect}" for name in EITHER_WAY for effect in ("no_effect", "with_effect")),
    "truncated",
    "not_json",
)
#: Only what Core does in the background.
QUEUED = ("vanish", "slow_apply", "persist_fails")
#: Only what Core does inside the request.
SKIPPED = ("423", "409_lock_lost")

#: Kind of request -> the faults that can strike it; "" for none.
TABLE = {
    "payment": ("", *ANY, *QUEUED),
    "skip payment": ("", *ANY, *SKIPPED),
    "hold": ("", *ANY, *QUEUED),
    "commit": ("", *ANY, *SKIPPED),
    "part": ("", *ANY, *SKIPPED),
    "void": ("", *ANY, *SKIPPED),
    "refund": ("", *ANY, *QUEUED),
}
CASES = [(kind, fault) for kind, faults in TABLE.items() for fault in faults]

OUTCOMES = {
    "payment": ("applied", Effect.APPLY),
    "skip payment": ("applied", Effect.APPLY),
    "hold": ("held", Effect.HOLD),
    "commit": ("applied", Effect.COMMIT),
    "part": ("applied", Effect.COMMIT),
    "void": ("voided", Effect.VOID),
    "refund": ("refunded", Effect.APPLY),
}


def name_of(kind: str, fault: str) -> str:
    """The reference at the root of a case; no name is the beginning of another."""
    return f"on.{kind.replace(' ', '-')}.{fault or 'well'}."


def groundwork(kind: str, name: str) -> Intent | None:
    """What a case acts on."""
    if kind in ("commit", "part", "void"):
        return hold(name)
    return payment(name) if kind == "refund" else None


def act(kind: str, name: str) -> Write:
    """The write of a case."""
    match kind:
        case "payment":
            return Write(intent=payment(name))
        case "skip payment":
            return Write(intent=payment(name, skip_queue=True))
        case "hold":
            return Write(intent=hold(name))
        case "commit":
            return Write(intent=commit_hold(name))
        case "part":
            return Write(intent=commit_hold(name, precise_amount=PART), key=f"part:{name}")
        case "void":
            return Write(intent=void_hold(name))
    return Write(intent=refund(name))


def ends() -> dict[str, list[Write]]:
    """Cases without faults, each with what it needs before it; they end by the ledger's rules, or by ours."""
    nobody = f"bln_{uuid.uuid4()}"

    def named(intent: Intent, key: str) -> Write:
        return Write(intent=intent, key=key)

    return {
        "without funds": [named(poor(), "end.poor")],
        "without funds, inside the request": [named(poor(skip_queue=True), "end.poor-skip")],
        "unknown balance": [named(payment(destination=nobody), "end.nobody")],
        "unknown balance, inside the request": [named(payment(destination=nobody, skip_queue=True), "end.nobody-skip")],
        "largest amount": [named(payment(precise_amount=2**53 - 1), "end.largest")],
        "scheduled": [
            named(payment(scheduled_for=datetime.now(UTC) + timedelta(seconds=2)), "end.scheduled"),
        ],
        "bottomless": [named(payment(), "end.bottomless.")],
        "commit of a rejected hold": [
            named(poor("end.poor-hold", inflight=True), "end.poor-hold"),
            Write(intent=commit_hold("end.poor-hold")),
        ],
        "commit of nothing": [Write(intent=commit_hold("end.never-sent"))],
        "commit after a void": [
            Write(intent=hold("end.voided")),
            Write(intent=void_hold("end.voided")),
            Write(intent=commit_hold("end.voided")),
        ],
        "commit of too much": [
            Write(intent=hold("end.small")),
            Write(intent=commit_hold("end.small", precise_amount=AMOUNT + 1), key="end.too-much"),
        ],
        "refund of a rejected one": [Write(intent=poor("end.rejected")), Write(intent=refund("end.rejected"))],
        "refund of nothing": [Write(intent=refund("end.never-paid"))],
        "refund of a hold that was committed": [
            Write(intent=hold("end.kept")),
            Write(intent=commit_hold("end.kept")),
            Write(intent=refund("end.kept")),
        ],
        "expired at the door": [
            Write(intent=payment("end.expired"), deadline=timedelta(0)),
        ],
        "not before": [Write(intent=payment("end.patient"), not_before=timedelta(seconds=2))],
        "taken, and different": [Write(intent=payment("end.taken"))],
        "taken, and the same": [Write(intent=payment("end.shared"))],
    }


#: Case -> state, outcome or class, code of its last intent.
ENDS = {
    "without funds": ("dead", "rejected", "TXN_INSUFFICIENT_FUNDS"),
    "without funds, inside the request": ("dead", "refused", "TXN_INSUFFICIENT_FUNDS"),
    "unknown balance": ("dead", "refused", "TXN_NOT_FOUND"),
    "unknown balance, inside the request": ("dead", "refused", "TXN_NOT_FOUND"),
    "largest amount": ("done", "applied", ""),
    "scheduled": ("done", "applied", ""),
    "bottomless": ("dead", "refused", "GEN_INTERNAL"),
    "commit of a rejected hold": ("dead", "refused", "HOLD_REJECTED"),
    "commit of nothing": ("dead", "refused", "HOLD_NOT_FOUND"),
    "commit after a void": ("dead", "refused", "TXN_ALREADY_VOIDED"),
    "commit of too much": ("dead", "refused", "TXN_COMMIT_AMOUNT_EXCEEDED"),
    "refund of a rejected one": ("dead", "refused", "NOT_REFUNDABLE"),
    "refund of nothing": ("dead", "refused", "TRANSACTION_NOT_FOUND"),
    "refund of a hold that was committed": ("done", "refunded", ""),
    "expired at the door": ("dead", "refused", "EXPIRED"),
    "not before": ("done", "applied", ""),
    "taken, and different": ("dead", "unknown", "REFERENCE_CONFLICT"),
    "taken, and the same": ("done", "applied", ""),
}

#: Holds that are committed and voided under two names at once.
TWO_NAMES = 4

PARTS = (310, 20, 130, 50, 240)


@dataclass
class Played:
    """What was played on a stage."""

    stage: Stage
    relay: Relay
    receipts: list[Receipt] = field(default_factory=list)
    of_case: dict[tuple[str, str], Receipt] = field(default_factory=dict)
    of_end: dict[str, list[Receipt]] = field(default_factory=dict)

    @property
    def operator(self) -> Operator:
        return Operator(self.relay.journals, self.relay.bells)

    def enqueue(self, *writes: Write) -> list[Receipt]:
        receipts = self.relay.enqueue_many(writes)
        self.receipts += receipts
        return receipts

    def status(self, receipt: Receipt) -> Status:
        return self.relay.get(receipt.id)

    def seen(self, name: str, method: str = "") -> list[RequestSeen]:
        """Requests about a name; reads of many at once have no name."""
        return [
            seen for seen in self.stage.sandbox.requests_seen() if name in seen.identity and method in ("", seen.method)
        ]

    def by_hand(self, reference: str, amount: int) -> str:
        """A payment that somebody else posts; returns its row's id."""
        body = {
            "precise_amount": amount,
            "precision": 100,
            "currency": CURRENCY,
            "reference": reference,
            "description": "Order",
            "source": WORLD,
            "destination": SHOP,
            "allow_overdraft": True,
            "skip_queue": True,
        }
        answer = requests.post(
            f"{self.stage.sandbox.url}/proxy/transactions?instance_id={INSTANCE}",
            data=json.dumps(body),
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=10,
        )
        assert answer.status_code == 201
        return str(answer.json()["transaction_id"])

    def gate(self, code: str) -> None:
        """Wait until one side of the target is shut or slowed for a reason."""
        wait_until(lambda: any(gate.code == code for gate in self.operator.overview().gates), 10, code)

    def sweeps(self, number: int) -> None:
        """Wait until somebody has swept so many times: workers are alive and had every reason to act."""
        journal, begun = self.relay.journal(), set[str | None]()

        def swept() -> bool:
            """The lock says when the last sweep began."""
            begun.add(journal.client.get(journal.key("sweep")))
            return len(begun - {None}) > number

        wait_until(swept, 10 * number, f"{number} sweeps", poll_s=0.005)


@pytest.fixture(scope="module", params=["threads", pytest.param("prefork", marks=pytest.mark.long)])
def played(request) -> Iterator[Played]:
    options = Options(token=TOKEN, instance_id=INSTANCE, read_lag_s=READ_LAG_S)
    with (
        Stage(options=options, pool=request.param, settings=PACE) as stage,
        Relay(stage.settings) as relay,
    ):
        stage.start_worker()
        stage.start_worker()
        playing = Played(stage, relay)
        ground = [
            *(groundwork(kind, name_of(kind, fault)) for kind, fault in CASES),
            *(hold(f"two-names.{number}.") for number in range(TWO_NAMES)),
            hold("parts."),
        ]
        wait_for_all(relay, playing.enqueue(*(Write(intent=intent) for intent in ground if intent is not None)), 30)
        playing.by_hand("end.taken", AMOUNT + 1)
        playing.by_hand("end.shared", AMOUNT)
        stage.sandbox.set_faults(
            Faults.script(
                [
                    *(
                        Rule(
                            fault,
                            method="PUT" if kind in ("commit", "part", "void") else "POST",
                            path="/proxy/",
                            identity=name_of(kind, fault),
                            seconds=1.5 if fault == "slow_apply" else None,
                        )
                        for kind, fault in CASES
                        if fault
                    ),
                    Rule("500_no_effect", identity="end.bottomless.", times=None),
                    Rule("delay_before", method="PUT", identity="two-names.", times=None, seconds=0.2),
                ]
            )
        )
        cases = [act(kind, name_of(kind, fault)) for kind, fault in CASES]
        names = list(ends())
        batches = list(ends().values())
        two_names = [
            write
            for number in range(TWO_NAMES)
            for name in [f"two-names.{number}."]
            for write in (
                Write(intent=commit_hold(name, precise_amount=PART), key=f"part:{name}"),
                Write(intent=void_hold(relay.get(name).transaction_id)),
                Write(intent=commit_hold(relay.get(name).transaction_id)),
            )
        ]
        parts = [
            Write(intent=commit_hold("parts.", precise_amount=part), key=f"parts-{number}")
            for number, part in enumerate(PARTS)
        ]
        playing.of_case = dict(zip(CASES, playing.enqueue(*cases), strict=True))
        playing.of_end = {name: playing.enqueue(*batch) for name, batch in zip(names, batches, strict=True)}
        playing.enqueue(*two_names, *parts, Write(intent=commit_hold("parts.")))
        wait_for_all(relay, playing.receipts, 60)
        yield playing


def unreachable(name: str) -> Faults:
    """No write about a name ever arrives, and nobody is told so."""
    return Faults.script([Rule("drop_before", method="POST", path="/proxy/", identity=name, times=None)])


@pytest.mark.parametrize(("kind", "fault"), CASES, ids=lambda value: value or "well")
def test_it_happens_exactly_once_whatever_befalls_the_request(played, kind, fault):
    outcome, effect = OUTCOMES[kind]
    status = played.status(played.of_case[kind, fault])
    assert (status.state, status.outcome, status.dead_class) == ("done", outcome, "")
    books = played.stage.sandbox.books()
    row = next(row for row in books.rows if row.transaction_id == status.transaction_id)
    assert row.effect is effect
    assert row.precise_amount == (PART if kind == "part" else AMOUNT)
    struck = [seen.fault for seen in played.seen(name_of(kind, fault))]
    assert struck.count(fault) == bool(fault), "the fault of this case must have struck, once"


@pytest.mark.parametrize("name", ENDS)
def test_it_ends_as_the_ledger_and_our_own_rules_have_it(played, name):
    status = played.status(played.of_end[name][-1])
    assert (status.state, status.outcome or status.dead_class) == ENDS[name][:2]
    if status.state == "dead":
        assert status.code == ENDS[name][2]
        assert status.message


def test_nothing_was_lost_or_doubled(played):
    (foreign,) = played.stage.sandbox.books().rows_by_reference("end.taken")
    assert_exactly_once(
        played.relay, played.receipts, played.stage.sandbox, foreign=frozenset({foreign.transaction_id})
    )


def test_what_has_expired_was_never_sent(played):
    assert played.seen("end.expired") == []


def test_nothing_is_sent_before_its_time(played):
    first = played.seen("end.patient")[0]
    created = played.relay.get("end.patient").created
    assert first.at_ns / 1e9 >= created.timestamp() + 2


def test_the_ids_are_those_of_real_rows_never_a_phantoms(played):
    """Somebody had posted the same payment: our own 201 named a row that will never exist."""
    shared = played.relay.get("end.shared")
    (row,) = played.stage.sandbox.books().rows_by_reference("end.shared")
    assert shared.transaction_id == row.transaction_id


def test_what_was_queued_names_its_parent_as_well(played):
    status = played.status(played.of_case["payment", ""])
    parent, child = played.stage.sandbox.books().rows_by_reference(name_of("payment", ""))
    assert (status.transaction_id, status.parent_id) == (child.transaction_id, parent.transaction_id)


def test_an_unknown_balance_is_told_by_a_probe_in_skip_mode(played):
    """Queue mode answers 201 and records nothing; the probe under the same reference gets the error."""
    sends = played.seen("end.nobody", "POST")
    sends = [seen for seen in sends if not seen.identity.startswith("end.nobody-skip")]
    assert [seen.status for seen in sends] == [201, 201, 201, 404]


def test_history_shows_every_attempt(played):
    status = played.status(played.of_case["payment", "500_no_effect"])
    lines = played.relay.history(status.id)
    sent = [line for line in lines if line.what == "sent"]
    assert [(line.status, line.code) for line in sent] == [(500, "GEN_INTERNAL"), (201, "")]
    assert all(line.worker and line.request_id and line.latency_ms >= 0 for line in sent)
    seen = played.seen(name_of("payment", "500_no_effect"), "POST")
    assert [line.request_id for line in sent] == [one.request_id for one in seen]
    assert lines[-1].note == "applied"
    assert [line.at for line in lines] == sorted(line.at for line in lines)


def test_commits_of_one_hold_go_out_in_the_order_in_which_they_were_accepted(played):
    books = played.stage.sandbox.books()
    children = books.children(books.hold("parts.").transaction_id)
    assert [row.precise_amount for row in children] == [*PARTS, AMOUNT - sum(PARTS)]


def test_a_hold_under_two_names_is_written_to_by_one_intent_at_a_time(played):
    books = played.stage.sandbox.books()
    for number in range(TWO_NAMES):
        seen = played.seen(f"two-names.{number}.", "PUT")
        ends_s = sorted(one.at_ns / 1e9 for one in seen)
        # Each took 0.2 s before it acted, so two that ran side by side would have ended closer together.
        assert all(later - earlier >= 0.2 for earlier, later in pairwise(ends_s))
        row = books.hold(f"two-names.{number}.")
        children = books.children(row.transaction_id)
        assert sum(child.precise_amount for child in children) == AMOUNT


def test_an_intent_that_is_enqueued_again_is_not_sent_again(played):
    reference = name_of("payment", "")
    (again,) = played.relay.enqueue_many([Write(intent=payment(reference))])
    assert not again.created
    assert played.relay.wait(reference, 5).outcome == "applied"
    assert len(played.seen(reference, "POST")) == 1


def test_what_is_being_sent_is_not_cancelled_and_what_is_cancelled_is_not_sent(played):
    soon = timedelta(milliseconds=300)
    receipts = played.enqueue(*(Write(intent=payment(f"race.{number}."), not_before=soon) for number in range(150)))

    def cancel(receipt: Receipt) -> bool:
        try:
            return played.relay.cancel(receipt.id).state == "cancelled"
        except TooLate:
            return False

    with ThreadPoolExecutor(4) as pool:
        cancelled = list(pool.map(cancel, reversed(receipts)))
    assert any(cancelled), "the race must be one"
    wait_for_all(played.relay, receipts, 20)
    books = played.stage.sandbox.books()
    for receipt, taken_back in zip(receipts, reversed(cancelled), strict=True):
        assert books.applied(receipt.reference) == (not taken_back)
        assert (played.seen(receipt.reference) == []) == taken_back


def test_waiting_ends_with_the_last_known_status_when_there_is_no_outcome_yet(played):
    (receipt,) = played.enqueue(Write(intent=payment("later."), not_before=timedelta(hours=1)))
    with pytest.raises(StillOpen) as still_open:
        played.relay.wait(receipt.key, 0.1)
    assert still_open.value.status.state == "ready"
    assert played.relay.cancel(receipt.key).state == "cancelled"
    assert played.relay.wait(receipt.key, 0.1).state == "cancelled"


def test_a_paused_lane_sends_nothing_until_it_is_resumed(played):
    played.operator.pause_lane("refunds", who="a test")
    held_back, expiring = played.enqueue(
        Write(intent=payment("paused-lane."), lane="refunds"),
        Write(intent=payment("expiring-in-lane."), lane="refunds", deadline=timedelta(seconds=0.2)),
    )
    (other,) = played.enqueue(Write(intent=payment("open-lane.")))
    wait_for_all(played.relay, [other], 10)
    played.sweeps(2)
    assert played.status(held_back).state == "ready"
    assert played.seen("paused-lane.") == []
    assert played.operator.resume_lane("refunds")
    wait_for_all(played.relay, [held_back, expiring], 10)
    assert played.status(held_back).outcome == "applied"
    assert (played.status(expiring).code, played.seen("expiring-in-lane.")) == ("EXPIRED", [])


def test_an_operators_pause_of_the_target_stops_every_request(played):
    (posted,) = played.enqueue(
        Write(intent=payment("paused-after.", scheduled_for=datetime.now(UTC) + timedelta(seconds=1)))
    )
    wait_until(lambda: played.status(posted).state == "posted", 10)
    played.operator.pause_target(DEFAULT_TARGET, who="a test", reason="to see")
    played.sweeps(1)
    (held_back,) = played.enqueue(Write(intent=payment("paused-before.")))
    before = len(played.stage.sandbox.requests_seen())
    played.sweeps(3)
    assert len(played.stage.sandbox.requests_seen()) == before
    assert [played.status(one).state for one in (posted, held_back)] == ["posted", "ready"]
    assert played.operator.resume_target(DEFAULT_TARGET)
    wait_for_all(played.relay, [posted, held_back], 10)
    assert [played.status(one).outcome for one in (posted, held_back)] == ["applied", "applied"]


def test_a_rejected_payment_applies_under_a_new_reference_once_there_is_money(played):
    (receipt,) = played.enqueue(Write(intent=poor(source="@later-rich"), key="replayed."))
    wait_for_all(played.relay, [receipt], 10)
    assert played.status(receipt).dead_class == "rejected"
    funding = Write(intent=payment("riches.", destination="@later-rich"))
    wait_for_all(played.relay, played.enqueue(funding), 10)
    played.operator.replay(played.status(receipt), who="a test", reason="funded now")
    wait_for_all(played.relay, [receipt], 10)
    status = played.status(receipt)
    books = played.stage.sandbox.books()
    assert (status.outcome, status.reference) == ("applied", "replayed..r2")
    assert books.outcome("replayed.") == "REJECTED"
    assert books.applied("replayed..r2") == 1
    assert [line.note for line in played.relay.history(receipt.id) if line.what == "replayed"] == ["funded now"]


def test_an_unknown_outcome_is_looked_up_before_a_replay_sends_anything(played):
    """It was never seen at the ledger, expired, and then turned up there after all."""
    played.stage.sandbox.set_faults(unreachable("turned-up."))
    (receipt,) = played.enqueue(Write(intent=payment("turned-up."), deadline=timedelta(seconds=0.4)))
    wait_for_all(played.relay, [receipt], 15)
    status = played.status(receipt)
    assert (status.state, status.dead_class, status.code) == ("dead", "unknown", "EXPIRED")
    played.stage.sandbox.set_faults(Faults.none())
    row_id = played.by_hand("turned-up.", AMOUNT)
    played.stage.sandbox.step(READ_LAG_S)
    sends = len(played.seen("turned-up.", "POST"))
    played.operator.replay(status, who="a test", reason="a test")
    wait_for_all(played.relay, [receipt], 10)
    status = played.status(receipt)
    assert (status.outcome, status.transaction_id) == ("applied", row_id)
    assert len(played.seen("turned-up.", "POST")) == sends


def test_an_unknown_outcome_that_is_not_there_is_sent_again_by_a_replay(played):
    played.stage.sandbox.set_faults(unreachable("not-there."))
    (receipt,) = played.enqueue(Write(intent=payment("not-there."), deadline=timedelta(seconds=0.4)))
    wait_for_all(played.relay, [receipt], 15)
    assert played.status(receipt).code == "EXPIRED"
    played.stage.sandbox.set_faults(Faults.none())
    played.operator.replay(played.status(receipt), who="a test", reason="a test")
    wait_for_all(played.relay, [receipt], 15)
    assert played.status(receipt).outcome == "applied"
    assert played.stage.sandbox.books().applied("not-there.") == 1


def test_a_discarded_dead_letter_lets_the_next_of_its_order_go(played):
    reference = "blocked."
    first, second = played.enqueue(
        Write(intent=commit_hold(reference, precise_amount=AMOUNT * 2), key="blocking."),
        Write(intent=commit_hold(reference)),
    )
    wait_for_all(played.relay, played.enqueue(Write(intent=hold(reference))), 10)
    wait_for_all(played.relay, [first], 10)
    assert played.status(first).state == "dead"
    assert played.status(second).waits_for == (first.id,)
    played.operator.discard(played.status(first), who="a test", reason="too much")
    wait_for_all(played.relay, [second], 10)
    assert played.status(second).outcome == "applied"


def test_a_bad_token_pauses_the_target_and_a_probe_finds_it_well_again(played):
    played.stage.sandbox.set_faults(Faults.script([Rule("401", method="POST", path="/proxy/", times=4)]))
    receipts = played.enqueue(*(Write(intent=payment(f"unauthorised.{number}.")) for number in range(40)))
    played.gate("HTTP_401")
    wait_for_all(played.relay, receipts, 30)
    assert [played.status(receipt).outcome for receipt in receipts] == ["applied"] * 40
    assert not any(gate.state == "paused" for gate in played.operator.overview().gates)
    struck = [seen for seen in played.seen("unauthorised.") if seen.fault]
    assert len(struck) == 4


def test_a_limiter_slows_the_target_for_as_long_as_it_asks(played):
    played.stage.sandbox.set_faults(
        Faults.script([Rule("429_retry_after", method="POST", path="/proxy/", identity="limited.first", seconds=1.0)])
    )
    (first,) = played.enqueue(Write(intent=payment("limited.first")))
    played.gate("GEN_RATE_LIMITED")
    others = played.enqueue(*(Write(intent=payment(f"limited.{number}.")) for number in range(30)))
    wait_for_all(played.relay, [first, *others], 30)
    assert {played.status(receipt).outcome for receipt in (first, *others)} == {"applied"}
    limit, *later = sorted(seen.at_ns / 1e9 for seen in played.seen("limited.", "POST"))
    assert min(later) >= limit + 1.0


def test_a_ledger_under_backpressure_is_left_alone_until_told_otherwise(played):
    played.stage.sandbox.set_faults(Faults.script([Rule("503_backpressure", identity="brimful.")]))
    (receipt,) = played.enqueue(Write(intent=payment("brimful.")))
    played.gate("QUEUE_BACKPRESSURE")
    (waiting,) = played.enqueue(Write(intent=payment("kept-away.")))
    played.sweeps(3)
    assert played.seen("kept-away.") == []
    assert played.operator.resume_target(DEFAULT_TARGET)
    wait_for_all(played.relay, [receipt, waiting], 15)
    assert {played.status(one).outcome for one in (receipt, waiting)} == {"applied"}


def test_after_all_of_it_nothing_was_lost_or_doubled(played):
    test_nothing_was_lost_or_doubled(played)
