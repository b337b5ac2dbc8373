"""What others did to payments of ours, by requests of their own: an audit of the time in which they did it finds it.

All that is ours ended before that time, as in the rolling audit of a worker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from blnk_relay import Leg, Relay, Write, bulk_transactions, commit_hold, refund, split_transaction
from blnk_relay.audit import Place, Report
from blnk_relay.journal.audited import Audited
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.status import moment
from blnk_relay.sandbox import Sandbox
from blnk_relay.sandbox.books.rows import Row
from tests.support.counting import wait_for_all
from tests.support.falsify import changed, falsified
from tests.support.journal import WORKER
from tests.support.payments import AMOUNT, CURRENCY, hold, payment, poor
from tests.support.waiting import wait_until
from worker.audit import opened
from worker.demo.stage import Stage
from worker.telemetry import Telemetry

#: Reads show at once what was done.
PROMPT: dict[str, Any] = {"read_lag_s": 0.2, "quiet_s": 0.8}

#: A date that no test sees.
FAR = "2030-01-01T00:00:00Z"

LEGS = [Leg("@a", precise_amount=300), Leg("@b", precise_amount=700)]


def split(key: str) -> Any:
    return split_transaction(
        currency=CURRENCY,
        description="Shares",
        source="@world",
        destinations=LEGS,
        precise_amount=AMOUNT,
        precision=100,
        allow_overdraft=True,
        reference=key,
    )


def ours() -> list[Any]:
    """One of each sort that something can be done to."""
    return [
        *(payment(key) for key in ("pay-1", "pay-2", "pay-3")),
        poor("poor-1"),
        *(hold(key) for key in ("hold-1", "hold-2", "hold-3")),
        Write(intent=commit_hold("hold-1", precise_amount=400, currency=CURRENCY), key="part-1"),
        Write(intent=refund("pay-3"), key="back-3", after=["pay-3"]),
        Write(intent=bulk_transactions([payment("item-1"), poor("item-2")]), key="bulk-1"),
        hold("expires", inflight_expiry_date=FAR, skip_queue=True),
        hold("commits", inflight_commit_date=FAR, skip_queue=True),
        split("split-1"),
    ]


@dataclass(frozen=True)
class Shop:
    """A shop whose worker has gone home, and the time since which nothing of its own has happened."""

    stage: Stage
    relay: Relay
    since_ms: int

    def row(self, key: str) -> str:
        """Id of the row that an intent came to."""
        return self.relay.get(key).transaction_id

    def under(self, reference: str) -> Row:
        return next(row for row in self.stage.sandbox.books().rows if row.reference == reference)

    def audit(self, since_ms: int | None = None, **options: Any) -> Report:
        """What an audit of the time since then says."""
        with self.opened(**options) as made:
            return made.audit.run(made.audit.begin(moment(self.since_ms if since_ms is None else since_ms)))

    def opened(self, *, settings: Any = None, **options: Any) -> Any:
        settings = settings or self.stage.settings
        given: dict[str, Any] = {"rate": 5_000, "patience_s": 5, "pause": time_out, **options}
        return opened(settings, self.relay.journal(), Telemetry(settings), **given)


def time_out(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def shown(relay: Relay) -> int:
    """Wait until reads show all that was done; the time of the journal, then."""
    journal = relay.journal()
    ended_ms = journal.now_ms()
    wait_until(lambda: journal.now_ms() > ended_ms + 1000 * PROMPT["read_lag_s"] + 50, 20, "reads to show all")
    return journal.now_ms()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Stage(settings=PROMPT) as stage, Relay(stage.settings) as relay:
        stage.start_worker()
        wait_for_all(relay, relay.enqueue_many(ours()), 60)
        stage.stop_workers()
        taken_back = relay.enqueue(payment("never-1"), key="never-1", not_before=datetime.now(UTC) + timedelta(hours=1))
        relay.cancel(taken_back.key)
        yield Shop(stage, relay, shown(relay))


def asked(sandbox: Sandbox, method: str, path: str, **body: Any) -> dict[str, Any]:
    """A request of somebody else's."""
    answer = requests.request(
        method,
        f"{sandbox.url}/proxy{path}",
        params={"instance_id": sandbox.options.instance_id},
        headers={"Authorization": f"Bearer {sandbox.options.token}"},
        json=body,
        timeout=10,
    )
    assert answer.ok, answer.text
    return dict(answer.json())


def paid(reference: str, **changes: Any) -> Callable[[Shop], Any]:
    """A payment like ours."""
    body = {
        "precise_amount": AMOUNT,
        "precision": 100,
        "currency": CURRENCY,
        "description": "Order",
        "source": "@world",
        "destination": "@shop",
        "allow_overdraft": True,
        "skip_queue": True,
        "reference": reference,
        **changes,
    }
    given = {name: value for name, value in body.items() if value is not None}
    return lambda shop: asked(shop.stage.sandbox, "POST", "/transactions", **given)


def shared(reference: str, **changes: Any) -> Callable[[Shop], Any]:
    """A split like ours."""
    shares = [{"identifier": "@a", "precise_distribution": "300"}, {"identifier": "@b", "distribution": "left"}]
    return paid(reference, destination=None, destinations=shares, **changes)


def settled(key: str, status: str, **body: Any) -> Callable[[Shop], Any]:
    def change(shop: Shop) -> Any:
        path = f"/transactions/inflight/{shop.row(key)}"
        return asked(shop.stage.sandbox, "PUT", path, status=status, skip_queue=True, **body)

    return change


def given_back(row: Callable[[Shop], str]) -> Callable[[Shop], Any]:
    return lambda shop: asked(shop.stage.sandbox, "POST", f"/refund-transaction/{row(shop)}", skip_queue=True)


@contextmanager
def strangers(shop: Shop, *changes: Callable[[Shop], Any]) -> Iterator[None]:
    """Books in which others did something, for as long as the block runs; seen by all reads."""
    with falsified(shop.stage.sandbox, lambda _: None):
        for change in changes:
            change(shop)
        shown(shop.relay)
        yield


def told(report: Report) -> list[tuple[str, str]]:
    """Sort and intent of each difference, by the key of the intent where that is known."""
    assert (report.unread, report.stopped) == ({}, "")
    return sorted((one.sort, one.key) for one in report.findings)


def test_where_nobody_else_did_anything_nothing_is_told(shop):
    assert told(shop.audit(ours=("*",))) == []
    assert told(shop.audit(since_ms=shop.since_ms - 3_600_000, ours=("*",))) == []


@pytest.mark.parametrize(
    ("reference", "changes", "expected"),
    [
        ("pay-2.r2", {}, ("twice", "pay-2")),
        ("never-1", {}, ("happened", "never-1")),
        ("poor-1.r2", {"source": "@empty"}, ("happened", "poor-1")),
        ("item-1.r2", {}, ("twice", "bulk-1")),
    ],
)
def test_a_payment_under_a_reference_of_an_intent_that_was_over_before_is_found(shop, reference, changes, expected):
    with strangers(shop, paid(reference, **changes)):
        assert told(shop.audit()) == [expected]


@pytest.mark.parametrize(
    ("key", "status", "body"),
    [
        ("hold-1", "commit", {"precise_amount": 100}),
        ("hold-2", "commit", {}),
        ("hold-3", "void", {}),
        # The ledger voids the one by itself, and commits the other.
        ("expires", "commit", {}),
        ("commits", "void", {}),
    ],
)
def test_what_others_settle_of_a_hold_that_was_made_before_is_found(shop, key, status, body):
    with strangers(shop, settled(key, status, **body)):
        (one,) = shop.audit().findings
    assert (one.sort, one.kind, one.key) == ("twice", "transaction", key)
    assert "settled by no intent" in one.shows


@pytest.mark.parametrize(("key", "status"), [("expires", "void"), ("commits", "commit")])
def test_what_the_ledger_settles_by_itself_is_nobody_s(shop, key, status):
    with strangers(shop, settled(key, status)):
        assert told(shop.audit()) == []
        assert told(shop.audit(since_ms=shop.since_ms - 3_600_000)) == []


def test_a_hold_is_told_once_whenever_it_was_made(shop):
    with strangers(shop, settled("hold-2", "commit")):
        assert told(shop.audit(since_ms=shop.since_ms - 3_600_000)) == [("twice", "hold-2")]


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (lambda shop: shop.row("pay-1"), "pay-1"),
        (lambda shop: shop.row("part-1"), "part-1"),
        (lambda shop: shop.row("back-3"), "back-3"),
        # Of a bulk that came to nothing in part, what did happen.
        (lambda shop: shop.under("item-1_q").transaction_id, "bulk-1"),
        (lambda shop: shop.under(f"{shop.relay.get('split-1').reference}-1").transaction_id, "split-1"),
    ],
    ids=["a payment", "a commit", "a refund", "an item", "a leg"],
)
def test_what_others_give_back_of_ours_is_found(shop, row, key):
    with strangers(shop, given_back(row)):
        for since_ms in (shop.since_ms, shop.since_ms - 3_600_000):
            found = told(shop.audit(since_ms=since_ms))
            # A refund of a refund is a second movement in the time of the first as well.
            assert found[0] == ("strange", key)
            assert {name for _, name in found} == {key}


def test_a_split_of_others_is_told_where_all_references_are_ours(shop):
    with strangers(shop, shared("their-split")):
        report = shop.audit(ours=("*",))
        assert report.found == {"strange": 2}
        assert {one.reference for one in report.findings} == {"their-split-1", "their-split-2"}
        assert shop.audit().others == 2


@pytest.mark.parametrize("changes", [{}, {"skip_queue": False}], ids=["bare", "queued"])
def test_a_split_that_was_sent_once_more_in_another_way_is_found(shop, changes):
    reference = shop.relay.get("split-1").reference
    again = paid(reference) if not changes else shared(reference, **changes)
    with strangers(shop, again):
        found = shop.audit().findings
    assert {(one.sort, one.kind, one.key) for one in found} == {("twice", "transaction.split", "split-1")}


def test_a_leg_that_is_one_too_many_by_far_is_found(shop):
    with strangers(shop, paid(f"{shop.relay.get('split-1').reference}-4")):
        assert told(shop.audit()) == [("twice", "split-1")]


def test_items_are_judged_by_dates_of_their_own(make_stage):
    stage = make_stage(settings=PROMPT)
    stage.start_worker()
    with Relay(stage.settings) as relay:
        wait_for_all(relay, [relay.enqueue(payment("pay-1"))], 60)
        dated = {"inflight_expiry_date": datetime.now(UTC) + timedelta(seconds=5), "skip_queue": True}
        items = [hold("dated-1", **dated), hold("dated-2", skip_queue=True), hold("dated-3", **dated)]
        write = Write(intent=bulk_transactions(items, inflight=True, skip_queue=True), key="bulk-1")
        wait_for_all(relay, relay.enqueue_many([write]), 60)
        stage.stop_workers()
        assert relay.get("bulk-1").state == "done"
        shop = Shop(stage, relay, shown(relay))
        early = settled_row(shop, "dated-3", "commit")
        wait_until(lambda: voided(shop, "dated-1"), 20, "the hold to expire")
        shown(relay)
        for since_ms in (shop.since_ms, shop.since_ms - 3_600_000):
            (one,) = shop.audit(since_ms=since_ms).findings
            assert (one.sort, one.key) == ("twice", "bulk-1")
            assert early in one.shows


def test_what_ours_has_made_is_not_a_stranger_s_while_it_waits_to_be_sent_once_more(make_stage):
    stage = make_stage(settings=PROMPT)
    stage.start_worker()
    with Relay(stage.settings) as relay:
        wait_for_all(relay, [relay.enqueue(hold("hold-1"))], 60)
        stage.stop_workers()
        journal, shop = relay.journal(), Shop(stage, relay, shown(relay))
        commit = relay.enqueue(commit_hold("hold-1", precise_amount=400, currency=CURRENCY), key="part-1")
        [held] = journal.claim(relay.get(commit.key).lane, WORKER, 1).items
        settled("hold-1", "commit", precise_amount=400)(shop)
        sent = {"sent": "1", "memo": json.dumps({"row": shop.row("hold-1"), "left": AMOUNT, "before": 0})}
        journal.settle(WORKER, [Settlement(held, "sending", "posted", 0, sent)], [])
        [held] = journal.take(WORKER, 1, 60).items
        # As where reads did not show it, and writes are paused since.
        journal.settle(WORKER, [Settlement(held, "posted", "ready", 3_600_000)], [])
        shown(relay)
        for since_ms in (shop.since_ms, shop.since_ms - 3_600_000):
            assert told(shop.audit(since_ms=since_ms)) == []


def settled_row(shop: Shop, reference: str, status: str) -> str:
    path = f"/transactions/inflight/{shop.under(reference).transaction_id}"
    return str(asked(shop.stage.sandbox, "PUT", path, status=status, skip_queue=True)["transaction_id"])


def voided(shop: Shop, reference: str) -> bool:
    id_ = shop.under(reference).transaction_id
    return any(row.parent_transaction == id_ and row.status == "VOID" for row in shop.stage.sandbox.books().rows)


class Cut(Exception):
    """Somebody pulls the plug."""


def cut_short(shop: Shop, after: int, **options: Any) -> Place:
    """The place, out of where it was kept, of an audit that ends when it was kept so often."""
    places: list[str] = []

    def keep(place: Place) -> None:
        places.append(json.dumps(place.kept()))
        if len(places) == after:
            raise Cut

    with shop.opened(keep=keep, **options) as made, pytest.raises(Cut):
        made.audit.run(made.audit.begin(moment(shop.since_ms)))
    return Place.from_kept(json.loads(places[-1]))


def test_an_audit_that_goes_on_knows_how_ours_begin(shop):
    with strangers(shop, paid("order-1")):
        place = cut_short(shop, 1, ours=("order-",))
        with shop.opened() as made:
            report = made.audit.run(place)
    assert told(report) == [("strange", "")]


def test_what_others_did_is_kept_without_a_value_of_ours_and_counts_once_it_goes_on(shop):
    again = paid("pay-2.r3")
    with strangers(shop, given_back(lambda shop: shop.row("pay-1")), again, settled("expires", "commit")):
        whole = shop.audit()
        place = cut_short(shop, 2)
        with shop.opened() as made:
            report = made.audit.run(place)
    kept = json.dumps(place.kept())
    assert whole.found == report.found == {"strange": 2, "twice": 1}
    assert (str(AMOUNT) in kept, "pay-" in kept, "expires" in kept) == (False, False, False)
    assert {one.intent for one in report.findings} == {shop.relay.get(key).id for key in ("pay-1", "pay-2", "expires")}
    assert [one.digest for one in report.findings] == [one.digest for one in whole.findings]


@pytest.mark.parametrize("name", ["currency", "source", "destination"])
@pytest.mark.parametrize("key", ["pay-1", "part-1", "back-3"])
def test_a_row_that_shows_not_all_of_itself_is_not_taken_for_what_was_asked(shop, key, name):
    with falsified(shop.stage.sandbox, changed(shop.row(key), **{name: ""})):
        report = shop.audit(since_ms=shop.since_ms - 3_600_000)
    assert (report.findings, report.complete) == ([], False)
    assert any(f"does not show its {name}" in reason for reason in report.unread)


def test_rows_of_keys_that_may_be_forgotten_are_not_looked_at(shop):
    with strangers(shop, paid("gone-1")):
        made_ms = shop.relay.journal().now_ms()
        wait_until(lambda: shop.relay.journal().now_ms() > made_ms + 1_200, 10, "it to be old enough")
        settings = replace(shop.stage.settings, retention_s=0.5, key_retention_s=0.6, deadline_s=0.1)
        report = shop.audit(settings=settings, ours=("*",))
        assert (report.findings, list(report.unread.values())) == ([], [1])
        assert "keys of that time may be forgotten" in next(iter(report.unread))
        report = shop.audit(settings=replace(settings, key_retention_s=3_600.0), ours=("*",))
        assert [one.sort for one in report.findings] == ["strange"]


def test_what_workers_trimmed_sooner_than_the_audit_thinks_accuses_nobody(make_stage):
    stage = make_stage(settings={**PROMPT, "retention_s": 3.0, "sweep_s": 0.2})
    stage.start_worker()
    with Relay(stage.settings) as relay:
        receipts = relay.enqueue_many(
            [hold("hold-1"), Write(intent=commit_hold("hold-1", precise_amount=1, currency=CURRENCY), key="part-1")]
        )
        wait_for_all(relay, receipts, 60)
        audited = Audited(relay.journal())
        wait_until(lambda: audited.trimmed() == 2, 30, "the sweep")
        later = commit_hold("hold-1", precise_amount=2, currency=CURRENCY)
        wait_for_all(relay, [relay.enqueue(later, key="part-2")], 60)
        stage.stop_workers()
        shop = Shop(stage, relay, shown(relay))
        report = shop.audit(since_ms=shop.since_ms - 3_600_000, settings=replace(stage.settings, retention_s=604_800.0))
        assert (told(replace(report, trimmed=0)), report.complete) == ([], False)
