from __future__ import annotations

import random

import pytest

from blnk_relay.sandbox import DEFAULT_KINDS, KINDS, Faults, Rule
from blnk_relay.sandbox.faults.kinds import Delivery, Subject


def subject(reference: str, **changes: object) -> Subject:
    values = {"method": "POST", "path": "/proxy/transactions", "identity": reference, "queued": True}
    return Subject(**(values | changes))  # type: ignore[arg-type]


def drawn(plan: Faults, subjects: list[Subject]) -> list[tuple[str, str]]:
    found = [(each.identity, plan.decide(each)) for each in subjects]
    return [(identity, fault.kind.name) for identity, fault in found if fault is not None]


NO_BURSTS = [name for name in DEFAULT_KINDS if KINDS[name].burst == 1]


def test_the_same_seed_hits_the_same_requests_in_any_order():
    subjects = [subject(f"pay-{number}") for number in range(500)]
    first = drawn(Faults.seeded(7, kinds=NO_BURSTS), subjects)
    random.Random(1).shuffle(subjects)
    second = drawn(Faults.seeded(7, kinds=NO_BURSTS), subjects)
    assert sorted(first) == sorted(second)
    assert 25 < len(first) < 75
    assert sorted(drawn(Faults.seeded(8, kinds=NO_BURSTS), subjects)) != sorted(first)


def test_a_repeat_is_judged_anew_so_that_nothing_fails_for_ever():
    plan = Faults.seeded(7, rate=0.5, kinds=["drop_before"])
    outcomes = [plan.decide(subject("pay-1")) is not None for _ in range(50)]
    assert {True, False} == set(outcomes)


def test_reads_have_a_rate_of_their_own():
    subjects = [subject(f"read-{number}", read=True, queued=False) for number in range(400)]
    assert drawn(Faults.seeded(7, rate=1.0, read_rate=0.0), subjects) == []
    hit = drawn(Faults.seeded(7, rate=0.0, read_rate=1.0), subjects)
    assert len(hit) == 400
    assert "read_lag" in {name for _, name in hit}
    assert "vanish" not in {name for _, name in hit}


def test_a_limit_ends_a_plan():
    subjects = [subject(f"pay-{number}") for number in range(100)]
    assert len(drawn(Faults.seeded(7, rate=1.0, limit=5), subjects)) == 5


def test_a_lost_token_strikes_several_requests_in_a_row_and_rarely():
    plan = Faults.seeded(7, rate=1.0, kinds=["401"], limit=3)
    assert [plan.decide(subject("pay-1")).kind.name for _ in range(3)] == ["401"] * 3
    subjects = [subject(f"pay-{number}") for number in range(5000)]
    names = [name for _, name in drawn(Faults.seeded(7, rate=1.0), subjects)]
    assert 0 < names.count("401") < names.count("drop_after")


@pytest.mark.parametrize(
    ("kind", "changes", "hit"),
    [
        ("vanish", {}, True),
        ("vanish", {"hold": True}, False),
        ("vanish", {"queued": False, "skipped": True}, False),
        ("slow_apply", {"hold": True}, True),
        ("archived", {"hold": True}, True),
        ("archived", {}, False),
        ("423", {"queued": False, "skipped": True}, True),
        ("423", {}, False),
        ("read_lag", {"queued": False, "read": True}, True),
        ("read_lag", {}, False),
    ],
)
def test_a_kind_strikes_only_where_it_makes_sense(kind, changes, hit):
    for plan in (Faults.script([Rule(kind)]), Faults.seeded(7, rate=1.0, read_rate=1.0, kinds=[kind])):
        assert (plan.decide(subject("pay-1", **changes)) is not None) is hit


def test_a_script_hits_what_its_rules_say():
    plan = Faults.script(
        [
            Rule("drop_after", method="PUT", path="/proxy/transactions/inflight/", identity="hold-1", times=2),
            Rule("503_no_effect", skip=1, times=None),
        ]
    )
    hold = subject("/proxy/transactions/inflight/hold-1_q#x", method="PUT")
    hold = Subject("PUT", "/proxy/transactions/inflight/txn_1", hold.identity)
    other = subject("pay-1")
    struck = [plan.decide(each) for each in (hold, other, hold, other, hold, other)]
    names = [fault and fault.kind.name for fault in struck]
    assert names == ["drop_after", None, "drop_after", "503_no_effect", "503_no_effect", "503_no_effect"]


def test_a_plan_comes_from_json():
    plan = Faults.from_json({"plan": "script", "rules": [{"kind": "drop_after", "times": 1}]})
    assert plan.decide(subject("pay-1")).kind.delivery is Delivery.DROP
    assert Faults.from_json({"plan": "none"}).decide(subject("pay-1")) is None
    assert Faults.from_json({"plan": "seeded", "seed": 7, "rate": 1.0}).decide(subject("x")) is not None


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"plan": "other"},
        {"plan": "seeded"},
        {"plan": "seeded", "seed": 1, "rate": 2},
        {"plan": "seeded", "seed": 1, "kinds": ["no_such"]},
        {"plan": "script", "rules": [{"kind": "no_such"}]},
        {"plan": "script"},
    ],
)
def test_a_bad_plan_is_refused(document):
    with pytest.raises(ValueError, match=r"plan|kind|fault|rate"):
        Faults.from_json(document)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.fits.value == "any"])
def test_every_kind_acts_or_does_not_as_its_name_says(desk, kind):
    desk.send("POST", "/proxy/transactions", desk.payment("pay-1"), **{"x-sandbox-fault": kind.name})
    desk.step(30)
    assert desk.books.applied("pay-1") == (1 if kind.acts else 0)
    assert desk.instance.edge.log[-1].fault == kind.name
    if kind.name.endswith(("_no_effect", "_with_effect")):
        assert kind.acts == kind.name.endswith("_with_effect")


def test_a_fault_can_be_asked_for_by_header_with_its_seconds(desk):
    answer = desk.send("POST", "/proxy/transactions", desk.payment("p"), **{"x-sandbox-fault": "slow_apply;60"})
    assert answer.status == 201
    desk.step(59)
    assert desk.books.outcome("p").value == "QUEUED"
    assert desk.send("GET", "/data/ledgers", **{"x-sandbox-fault": "no_such"}).status == 400


def test_503_names_backpressure_and_429_a_time_to_wait(desk):
    kinds = ("503_backpressure", "429_retry_after", "429", "500_empty_no_effect")
    busy, limited, bare, empty = (desk.send("GET", "/data/ledgers", **{"x-sandbox-fault": kind}) for kind in kinds)
    assert busy.document()["error_detail"]["code"] == "QUEUE_BACKPRESSURE"
    assert limited.headers["Retry-After"] == "1"
    assert "Retry-After" not in bare.headers
    assert (empty.status, empty.body) == (500, b"")


def test_the_identity_of_a_request_does_not_depend_on_random_ids(make_desk):
    seen = []
    for _ in range(2):
        desk = make_desk()
        hold = desk.hold("hold-1")
        desk.settle(hold, "commit", precise_amount=4000)
        desk.step()
        desk.refund(desk.books.children(hold)[0].transaction_id)
        desk.step()
        seen.append([line.identity for line in desk.instance.edge.log])
    assert seen[0] == seen[1]
    assert seen[0][1].startswith("/proxy/transactions/inflight/hold-1_q#")
    assert seen[0][2].startswith("/proxy/refund-transaction/hold-1_q_commit#")
