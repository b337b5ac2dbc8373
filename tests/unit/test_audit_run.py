"""The parts of an audit that read nothing: whose a row is, at what pace and by which gate reads go, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from uuid import UUID

import pytest
from casebook import row, txn

from blnk_relay import GateView, InvalidSettings, Settings
from blnk_relay.audit import Place, Report, Stopped, nothing_to_compare
from blnk_relay.audit.knowing import Knowing
from blnk_relay.audit.ours import above, first_and_generation, is_derived, is_ours_alone, owned_as, refunded_by
from blnk_relay.audit.report import MOST_FINDINGS, Finding
from blnk_relay.intents.references import of_generation, reference_for, split_reference
from worker.audit.opening import Gate
from worker.audit.rolling import Rolling
from worker.ledger.paced import Turns
from worker.telemetry import Telemetry

SPLIT = split_reference("sale-1")


@pytest.mark.parametrize(
    ("reference", "owned", "first", "generation"),
    [
        ("order-42", "order-42", "order-42", 0),
        ("order-42_q", "order-42", "order-42", 0),
        ("order-42.r2_q", "order-42.r2", "order-42", 1),
        (f"{SPLIT}-3", SPLIT, SPLIT, 0),
        (f"{SPLIT}_3_q", SPLIT, SPLIT, 0),
        (f"{of_generation(SPLIT, 2)}-12", f"{SPLIT}.r3", SPLIT, 2),
        ("order.r1", "order.r1", "order.r1", 0),
    ],
)
def test_a_row_leads_to_the_reference_that_an_intent_would_own(reference, owned, first, generation):
    assert owned_as(reference) == owned
    assert first_and_generation(owned) == (first, generation)


def test_only_what_nobody_else_makes_is_ours_alone_unless_it_was_said_how_ours_begin():
    digested = reference_for("order_42_q")
    for ours in (digested, f"{digested}_q", f"{digested}.r2", f"{SPLIT}-1", SPLIT):
        assert is_ours_alone(ours, ())
    for anybodys in ("order-42", "key-42", "order.split.42", "ref_1"):
        assert not is_ours_alone(anybodys, ())
        assert is_ours_alone(anybodys, ("*",))
    assert is_ours_alone("order-42_q", ("refund-", "order-"))
    assert not is_ours_alone("border-42", ("order-",))


def test_what_the_ledger_makes_below_a_row_by_itself_is_told_from_what_was_asked_for():
    asked, queued = row(1, "order_42", "QUEUED"), row(2, "order_42_q", "APPLIED", parent=txn(1))
    settled = row(3, f"ref_{UUID(int=3)}", "APPLIED", parent=txn(2))
    in_turn = row(4, f"{txn(2)}_commit_act_1", "APPLIED", parent=txn(2))
    given_back = row(5, f"{txn(2)}_refund_q", "APPLIED", parent=txn(4))
    # What a split is called is its caller's, though its legs have a parent of no row.
    leg = row(6, "ref_1-1", "APPLIED", parent=txn(9))
    rows = (asked, queued, settled, in_turn, given_back, leg)
    assert [is_derived(one) for one in rows] == [False, False, True, True, True, False]
    assert [refunded_by(one.reference) for one in (queued, settled, given_back)] == ["", "", txn(2)]
    assert [above(one) for one in (settled, in_turn, given_back)] == [txn(2)] * 3


class Clock:
    """A clock that goes on while somebody waits by it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.end_s = float("inf")

    def pause(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.now_s >= self.end_s

    def __call__(self) -> float:
        return self.now_s


def gate_of(clock: Clock, views: list[GateView | None], said: list[str], *, rate: float = 10, patience_s: float = 5):
    """A gate that shows these, one look after the other, and the last for ever."""

    def view() -> GateView | None:
        return views.pop(0) if len(views) > 1 else views[0]

    return Gate(Turns(rate, clock.pause, clock), view, clock.pause, patience_s=patience_s, say=said.append, clock=clock)


def view(state: str, rate: int = 0, code: str = "HTTP_403") -> GateView:
    return GateView("eu", "read", state, code, None, False, "", rate)


def test_reads_are_spaced_evenly_and_no_burst_makes_up_for_what_was_not_used():
    clock = Clock()
    gate = gate_of(clock, [None], [])
    at = []
    for number in range(8):
        gate.wait()
        at.append(round(clock(), 6))
        if number == 3:
            clock.now_s += 10
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert [round(gap, 6) for gap in gaps] == [0.1, 0.1, 0.1, 10, 0.1, 0.1, 0.1]


def test_while_reads_are_slowed_an_audit_takes_a_part_of_what_is_let_through():
    clock = Clock()
    gate = gate_of(clock, [view("slowed", rate=8)], [])
    for _ in range(5):
        gate.wait()
    assert clock() == pytest.approx(4 / 2)


def test_a_shut_gate_is_waited_for_and_said_once():
    clock, said = Clock(), []
    gate = gate_of(clock, [view("paused"), view("paused"), view("paused"), None], said)
    gate.wait()
    assert (clock(), len(said)) == (3.0, 1)
    assert "reads of target eu are paused (HTTP_403)" in said[0]


@pytest.mark.parametrize("state", ["paused", "unreachable"])
def test_patience_has_an_end(state):
    clock = Clock()
    with pytest.raises(Stopped, match=f"are {state}.*go on with it"):
        gate_of(clock, [view(state)], [], patience_s=5).wait()
    assert clock() == pytest.approx(5)


def test_whoever_is_told_to_stop_does_not_wait():
    clock = Clock()
    clock.end_s = 1.0
    with pytest.raises(Stopped, match="told to stop"):
        gate_of(clock, [view("paused")], [], patience_s=500).wait()


def finding(number: int) -> Finding:
    return Finding("default", "missing", "transaction", f"id-{number}", "key", "done", "ref", "a", "b", "c")


def test_a_report_counts_all_and_holds_the_first():
    report = Report("default", 1, 2)
    for number in range(MOST_FINDINGS + 3):
        report.add(finding(number))
    assert (report.found.total(), len(report.findings), report.clean) == (MOST_FINDINGS + 3, MOST_FINDINGS, False)


def test_a_place_survives_where_it_is_kept():
    report = Report("default", 1, 2, trimmed=3, rows=4, whole=True, stopped="told to")
    report.compared["done"] += 2
    report.unread["transactions: 403"] += 1
    stranger = replace(finding(1), intent="", key="", kind="", sort="strange")
    report.add(stranger)
    back = Place.from_kept(json.loads(json.dumps(Place("rows", 7, report, ("a",), ours=("order-",)).kept())))
    assert back == Place("rows", 7, replace(report, whole=False, stopped=""), ("a",), ours=("order-",))
    assert back.report.compared["dead"] == 0
    for nonsense in (None, {}, {"stage": "rows"}, {"stage": "rows", "at_ms": 1, "report": {"target": "x"}}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Place.from_kept(nonsense)  # type: ignore[arg-type]


def test_a_place_holds_no_value_of_an_intent_and_says_whose_were_different():
    report = Report("default", 1, 2)
    secret = replace(finding(7), key="Ms-Sekret", says="Sekret", shows="asked Sekret, has 7")
    for one in (secret, replace(secret, sort="other"), finding(8)):
        report.add(one)
    kept = Place("done", 7, report, (), (finding(3).without_values(),)).kept()
    assert "Sekret" not in json.dumps(kept)
    back = Place.from_kept(json.loads(json.dumps(kept)))
    assert [(one.intent, one.sort) for one in back.again] == [
        ("id-3", "missing"),
        ("id-7", "missing"),
        ("id-7", "other"),
        ("id-8", "missing"),
    ]
    assert {(one.key, one.reference, one.says) for one in back.again} == {("", "", "")}
    assert (back.report.findings, back.report.found.total()) == ([], 0)
    assert report.found.total() == 3


def test_an_audit_that_would_compare_nothing_says_why():
    now, hour = datetime(2026, 11, 20, 9, 15, 31, tzinfo=UTC), timedelta(hours=1)
    assert nothing_to_compare(now - hour, None, now, 10) == ""
    assert nothing_to_compare(now - hour, now + hour, now, 10) == ""
    for ahead in (now + hour, now, now - timedelta(seconds=10)):
        assert "nothing to compare yet" in nothing_to_compare(ahead, None, now, 10)
    assert "it is 2026-11-20 09:15:31Z now" in nothing_to_compare(now, None, now, 10)
    assert "and before 2026-11-20 07:15:31Z" in nothing_to_compare(now - hour, now - 2 * hour, now, 10)


def test_what_makes_an_audit_incomplete():
    report = Report("default", 1, 2, whole=True)
    assert report.complete
    assert not replace(report, trimmed=1).complete
    assert not replace(report, whole=False).complete
    report.unread["x"] += 1
    assert not report.complete


def test_the_window_of_audits_fits_what_is_kept():
    assert Settings().audit_window_s == 0
    assert Settings(audit_window_s=86_400).audit_window_s == 86_400
    for wrong in (700_000.0, 10.0, -1.0):
        with pytest.raises(InvalidSettings, match="BLNK_RELAY_AUDIT_WINDOW_S"):
            Settings(audit_window_s=wrong)
    with pytest.raises(InvalidSettings, match="BLNK_RELAY_AUDIT_RATE"):
        Settings(audit_rate=0.0)


def test_differences_are_told_apart_by_what_they_are_about():
    one = finding(1)
    assert one.digest == replace(one, shows="otherwise now", says="x", state="dead").digest
    assert len({one.digest, replace(one, sort="other").digest, replace(one, reference="r2").digest}) == 3


def test_a_difference_that_grows_is_another_one_and_its_amounts_are_no_part_of_it():
    one = replace(finding(1), shows=f"settled by no intent of the journal: {txn(1)} (APPLIED 400 EUR)")
    more = replace(one, shows=f"{one.shows}, {txn(2)} (APPLIED 600 EUR)")
    in_turn = replace(one, shows=f"{txn(2)}; {txn(1)} (APPLIED 7 EUR)")
    assert one.digest != more.digest == in_turn.digest


class UnderWay:
    """A journal in which much waits for the ledger's outcome."""

    def __init__(self, pages: int) -> None:
        self.pages, self.read = pages, 0

    def ids(self, state, _since, _until):
        for number in range(self.pages if state == "posted" else 0):
            self.read += 1
            yield [(f"id-{number}-{place}", 0.0) for place in range(2)]

    def perhaps_sent(self, **_: object):
        return iter(())

    def of_kinds(self, _ids, _kinds, **_: object):
        return []

    def pasts(self, _ids):
        return {}


def test_no_more_of_what_is_under_way_is_held_than_fits_and_the_audit_says_so(monkeypatch):
    monkeypatch.setattr("blnk_relay.audit.knowing.MOST_KNOWN", 6)
    # Twice, where all of it can be held.
    for pages, read, complete in ((3, 6, True), (100, 4, False)):
        journal = UnderWay(pages)
        knowing = Knowing(journal)
        knowing.refresh()
        assert (journal.read, knowing.known.complete) == (read, complete)
        assert ("writes under way" in knowing.lacks) is not complete


class Settled(UnderWay):
    """A journal that keeps many intents which set values."""

    def __init__(self, pages: int) -> None:
        super().__init__(pages)
        self.looked = 0

    def ids(self, state, _since, _until):
        for number in range(self.pages if state == "done" else 0):
            yield [(f"id-{number}", float(number))]

    def of_kinds(self, ids, kinds, *, sent=False):
        self.looked += 1
        return super().of_kinds(ids, kinds, sent=sent)


def test_whoever_reads_all_of_a_journal_says_that_it_is_alive():
    alive = list[int]()
    journal = Settled(7)
    Knowing(journal, lambda: alive.append(journal.looked)).refresh()
    # Twice; what is there again is not looked at again.
    assert alive == [*range(7), *[7] * 7]


def test_where_there_are_too_many_writes_the_advice_is_one_that_helps(monkeypatch):
    monkeypatch.setattr("blnk_relay.audit.knowing.MOST_KNOWN", -1)
    journal = Settled(3)
    knowing = Knowing(journal)
    knowing.refresh()
    assert "BLNK_RELAY_RETENTION_S" in knowing.lacks
    # Nor is anything more read for what nobody will be told.
    assert journal.looked == 0
    knowing.refresh()
    assert journal.looked == 0


class Told:
    """The journal of a worker's audits: in it another ends one in the moment in which this one takes its turn."""

    target = "default"

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}

    def place(self, _who):
        return dict(self.kept)

    def turn(self, _worker, for_s):
        self.kept = {"over_ms": 1_000} if for_s else self.kept
        return True

    def now_ms(self):
        return 2_000


def test_a_round_that_another_has_just_ended_is_not_made_again(monkeypatch):
    journal = Told()
    monkeypatch.setattr("worker.audit.rolling.Audited", lambda _: journal)
    monkeypatch.setattr(Rolling, "_audit", lambda *_: Report("default", 1, 2))
    settings = Settings(audit_window_s=86_400)
    foreign = SimpleNamespace(target="default", foreign=lambda: None)
    rolling = Rolling(settings, foreign, Telemetry(settings), lambda _: False)  # type: ignore[arg-type]
    assert rolling.go_on() is None
