"""What settings change about posting: where confirmation stops, how the ledger is read, who is told of failures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from blnk_relay import InvalidIntent, Receipt, Relay, Write, commit_hold, refund, void_hold
from blnk_relay._version import __version__
from blnk_relay.sandbox import Faults, Rule
from tests.support.counting import recorded_of, wait_for_all
from tests.support.payments import AMOUNT, hold, payment, poor
from tests.support.sentry import FakeSentry
from tests.support.waiting import wait_until
from worker.demo.proof.prove import prove
from worker.demo.stage import TOKEN, Stage

PERSONAL = "Ms Sekret, Hidden Lane 7"

#: Name of a choice -> what it sets. Each has a journal and a worker of its own, and all share one ledger.
CHOICES: dict[str, dict[str, Any]] = {
    "accepted": {"confirm": "accepted"},
    "data": {"confirm_route": "data"},
    "core": {"confirm_route": "core"},
    "told": {"confirm_route": "filters"},
}


@dataclass
class Playing:
    """One ledger and a relay for each choice."""

    stage: Stage
    relays: dict[str, Relay]
    given: list[tuple[Relay, Receipt]] = field(default_factory=list)

    def enqueue(self, name: str, *writes: Write) -> list[Receipt]:
        receipts = self.relays[name].enqueue_many(writes)
        self.given += [(self.relays[name], receipt) for receipt in receipts]
        wait_for_all(self.relays[name], receipts, 40)
        return receipts

    def strike(self, kind: str, identity: str, times: int = 1) -> None:
        rule = Rule(kind, method="POST", path="/proxy/", identity=identity, times=times)
        self.stage.sandbox.set_faults(Faults.script([rule]))


@pytest.fixture(scope="module")
def sentry() -> Iterator[FakeSentry]:
    with FakeSentry() as running:
        yield running


@pytest.fixture(scope="module")
def playing(sentry) -> Iterator[Playing]:
    """One relay for each choice, with a worker that has made it."""
    with Stage(settings={"read_lag_s": 1.0, "quiet_s": 0.5, "horizon_s": 4.0}) as stage, ExitStack() as stack:
        relays: dict[str, Relay] = {}
        base = stage.settings
        for name, choice in CHOICES.items():
            dsn = sentry.dsn if name == "told" else ""
            stage.settings = replace(base, namespace=name, sentry_dsn=dsn, **choice)
            stage.start_worker()
            relays[name] = stack.enter_context(Relay(stage.settings))
        yield Playing(stage, relays)


@pytest.fixture
def sandbox(playing):
    return playing.stage.sandbox


def cases(name: str) -> dict[str, Write]:
    """Every kind, a struck one and a poor one, under names of a choice."""
    return {
        "payment": Write(intent=payment(f"{name}.payment.")),
        "skip": Write(intent=payment(f"{name}.skip.", skip_queue=True)),
        "struck": Write(intent=payment(f"{name}.drop-after.")),
        "hold": Write(intent=hold(f"{name}.hold.")),
        "part": Write(intent=commit_hold(f"{name}.hold.", precise_amount=AMOUNT // 4), key=f"{name}.part."),
        "void": Write(intent=void_hold(f"{name}.hold.")),
        "kept": Write(intent=hold(f"{name}.kept.")),
        "commit": Write(intent=commit_hold(f"{name}.kept.")),
        "refund": Write(intent=refund(f"{name}.payment.")),
        "refund of a commit": Write(intent=refund(f"{name}.kept.")),
        "poor": Write(intent=poor(f"{name}.poor.")),
        "nobody": Write(intent=payment(f"{name}.nobody.", destination=f"bln_{uuid.uuid4()}", skip_queue=True)),
    }


@pytest.mark.parametrize(
    ("name", "route"), [("data", "/data/transactions"), ("core", "/proxy/transactions/reference/")]
)
def test_outcomes_are_read_back_by_other_routes_as_well(playing, sandbox, name, route):
    playing.strike("drop_after", f"{name}.drop-after.")
    before = len(sandbox.requests_seen())
    writes = cases(name)
    receipts = playing.enqueue(name, *writes.values())
    ended = [playing.relays[name].get(receipt.id) for receipt in receipts]
    told = [status.outcome or f"{status.dead_class} {status.code}" for status in ended]
    assert dict(zip(writes, told, strict=True)) == {
        "payment": "applied",
        "skip": "applied",
        "struck": "applied",
        "hold": "held",
        "part": "applied",
        "void": "voided",
        "kept": "held",
        "commit": "applied",
        "refund": "refunded",
        "refund of a commit": "refunded",
        "poor": "rejected TXN_INSUFFICIENT_FUNDS",
        "nobody": "refused TXN_NOT_FOUND",
    }
    reads = [seen.path for seen in sandbox.requests_seen()[before:] if seen.method == "GET"]
    assert any(path.startswith(route) for path in reads)
    assert all(path.startswith("/" + route.split("/")[1]) for path in reads)


def test_whoever_is_content_with_acceptance_is_done_at_the_2xx(playing, sandbox):
    receipts = playing.enqueue("accepted", *(Write(intent=payment(f"accepted.{number}.")) for number in range(20)))
    relay = playing.relays["accepted"]
    assert {relay.get(receipt.id).outcome for receipt in receipts} == {"accepted"}
    assert all(len(relay.history(receipt.id)) == 1 for receipt in receipts)
    wait_until(lambda: all(sandbox.books().applied(receipt.reference) for receipt in receipts), 10)


@pytest.mark.parametrize(("fault", "outcome"), [("drop_after", "applied"), ("500_no_effect", "accepted")])
def test_an_unclear_answer_is_looked_up_even_then(playing, sandbox, fault, outcome):
    playing.strike(fault, f"accepted.{fault}.")
    (receipt,) = playing.enqueue("accepted", Write(intent=payment(f"accepted.{fault}.")))
    assert playing.relays["accepted"].get(receipt.id).outcome == outcome
    wait_until(lambda: sandbox.books().applied(receipt.reference) == 1, 10)


def test_what_happens_inside_the_request_is_told_as_it_is(playing):
    (paid,) = playing.enqueue("accepted", Write(intent=payment("accepted.skip.", skip_queue=True)))
    status = playing.relays["accepted"].get(paid.id)
    assert status.outcome == "applied"
    assert status.transaction_id.startswith("txn_")


def test_a_reference_that_the_data_api_could_not_find_is_refused_at_the_door(playing):
    with pytest.raises(InvalidIntent) as invalid:
        playing.relays["data"].enqueue(payment("1,000"))
    assert set(invalid.value.errors) == {"reference"}


def test_a_dead_letter_is_told_once_and_without_anything_personal(playing, sentry):
    before = len(sentry.events())
    personal = {"description": PERSONAL, "meta_data": {"shop": {"customer": PERSONAL}}, "source": "@sekret-wallet"}
    (receipt,) = playing.enqueue("told", Write(intent=poor(**personal), key="told.sekret-key"))
    status = playing.relays["told"].get(receipt.id)
    event = wait_until(lambda: sentry.events()[before:], 10, "an envelope")[0]
    assert event["tags"]["code"] == status.code == "TXN_INSUFFICIENT_FUNDS"
    assert event["tags"]["kind"] == "transaction"
    assert event["tags"]["class"] == "rejected"
    assert event["fingerprint"] == [
        "dead",
        "default",
        "transaction",
        "rejected",
        "TXN_INSUFFICIENT_FUNDS",
        f"blnk-relay@{__version__}",
    ]
    assert event["extra"]["intent"] == receipt.id
    told = "".join(sentry.envelopes).lower()
    for secret in ("sekret", "hidden lane", TOKEN, "insufficient funds in source", str(AMOUNT), "@shop"):
        assert secret not in told
    # One of another kind is told at once, which shows that the first was told no more than once.
    (other,) = playing.enqueue("told", Write(intent=refund("told.nothing.")))
    wait_until(lambda: any(found["extra"].get("intent") == other.id for found in sentry.events()), 10)
    assert [found["extra"]["intent"] for found in sentry.events()[before:]] == [receipt.id, other.id]


def test_a_paused_target_is_told_once_for_all_that_meet_it(playing, sentry):
    before = len(sentry.events())
    playing.strike("401", "told.many.", times=8)
    playing.enqueue("told", *(Write(intent=payment(f"told.many.{number}.")) for number in range(8)))
    told = [(event["level"], event["tags"]) for event in sentry.events()[before:]]
    sides = sorted((level, tags["side"], tags["code"]) for level, tags in told if "side" in tags)
    # That it is well again is told as well.
    ends = [("info", "read", "HTTP_401"), ("info", "write", "HTTP_401")]
    assert [side for side in sides if side not in ends] == [
        ("error", "read", "HTTP_401"),
        ("error", "write", "HTTP_401"),
    ]


def test_nothing_was_lost_or_doubled(playing, sandbox):
    books = sandbox.books()
    recorded = [recorded_of(relay, receipt.id) for relay, receipt in playing.given]
    confirmed = [item for item in recorded if item.status.outcome != "accepted"]
    accepted = {item.status.reference for item in recorded} - {item.status.reference for item in confirmed}
    proof = prove(confirmed, [row for row in books.rows if row.reference.removesuffix("_q") not in accepted])
    assert (proof.lost, proof.doubled, books.violations()) == ([], [], [])
    assert all(books.applied(reference) == 1 for reference in accepted)
