"""Bulk commits and voids: each item is one of its own, only the request is shared (contract §2.13, §3.8, §4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import HOUR, MINUTE, POLICY, SECOND, Showing, decided, entry_of, progress, row, sent, settled_by, txn
from kindbook import survives_the_journal

from blnk_relay import InvalidIntent, Settings, Write, commit_hold, commit_holds, result_of, void_hold, void_holds
from blnk_relay.intake import prepare
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Failure, GateAction, Response
from blnk_relay.kinds.registry import KINDS
from blnk_relay.replay import plan_replay

# Three holds of 1000: rows 11, 21, 31 are INFLIGHT; 10, 20, 30 are their queued parents.
NAMES = ("a", "b", "c")


def held(name, status="INFLIGHT", amount=1000):
    number = 10 * (NAMES.index(name) + 1)
    parent = row(number, name, "QUEUED", precise_amount=amount)
    return parent, row(number + 1, f"{name}_q", status, parent=txn(number), precise_amount=amount)


HELD = [one for name in NAMES for one in held(name)]
ROWS = {"a": txn(11), "b": txn(21), "c": txn(31)}


def below(name, number, amount=1000, status="APPLIED"):
    parent = ROWS[name]
    return row(number, f"ref_{number}", status, parent=parent, precise_amount=amount)


COMMIT = commit_holds(["a", commit_hold("b", precise_amount=300), "c"])
VOID = void_holds(NAMES)
BOTH = pytest.mark.parametrize("intent", [COMMIT, VOID], ids=["commit", "void"])


def memo_of(**items: str | tuple[str, ...]):
    """What was remembered: for each name its flags, or ``(flags, code, before, child)``, the last ones left out."""
    packed = []
    for name in NAMES:
        given = items.get(name, "q")
        flags, code, before, child, *_ = (given, "", "0", "") if isinstance(given, str) else (*given, "", "0", "")[:4]
        packed.append([ROWS[name], before or "0", flags, code, child])
    return {"items": packed}


def after(ago_ms=SECOND, items=None, **changes: Any):
    """A request for all three that may have acted so long ago."""
    return sent(ago_ms, memo=items or memo_of(), **changes)


def asked(send):
    """Names of the holds that a request is about."""
    return [name for name, item in zip(NAMES, send.memo["items"], strict=True) if "q" in item[2]]


def request_of(intent, send, now=None):
    entry = entry_of(intent)
    return KINDS[intent.kind].request(entry, replace(now or progress(), memo=send.memo), POLICY)


def answered(intent, response, now=None, memo=None, policy=POLICY):
    entry, now = entry_of(intent), replace(now or progress(attempts=0), memo=memo or memo_of())
    kind = KINDS[intent.kind]
    return kind.judge(entry, now, kind.request(entry, now, policy), response, policy)


def results(**answers: str):
    """A 200 of this route."""
    shown = []
    for name, answer in answers.items():
        status = {"status": "succeeded"} if answer == "ok" else {"status": "failed", "code": answer, "message": "why"}
        shown.append({"transaction_id": ROWS[name], **status})
    failed = sum(answer != "ok" for answer in answers.values())
    return Response(
        status=200, body={"succeeded": len(shown) - failed, "failed": failed, "results": shown}, latency_ms=5
    )


# -- what is valid, and for whom -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "field", "text"),
    [
        (lambda: commit_holds([]), "items", "between 1 and 100"),
        (lambda: commit_holds([f"h-{n}" for n in range(101)]), "items", "between 1 and 100"),
        (lambda: commit_holds(["a", commit_hold("a", precise_amount=1)]), "items", "'a' is named twice"),
        (lambda: commit_holds(["a", {"hold": "b", "amount": 1.5}]), "items.1.amount", "float"),
        (lambda: commit_holds([{"hold": "bulk_" + txn(1)[4:]}]), "items.0.hold", "batch"),
        (lambda: commit_holds([void_hold("a")]), "items.0", "Must be a commit"),
        (lambda: void_holds([]), "holds", "between 1 and 100"),
        (lambda: void_holds(["a", "a"]), "holds", "'a' is named twice"),
        (lambda: void_holds(["a_q"]), "holds.0", "_q"),
    ],
)
def test_what_could_not_be_settled_hold_by_hold_is_refused(build, field, text):
    with pytest.raises(InvalidIntent) as caught:
        build()
    assert text in " ".join(caught.value.errors[field])


@BOTH
def test_it_stands_in_the_order_of_every_hold_as_single_writes_do(intent):
    entry = entry_of(intent)
    assert entry.orders == tuple(f"hold:{name}" for name in NAMES)
    assert entry.orders[0] == entry_of(commit_hold("a")).orders[0] == entry_of(void_hold("a")).orders[0]
    assert entry.reference == ""
    assert KINDS[intent.kind].parts(intent.payload) == KINDS[intent.kind].names(intent.payload) == NAMES
    assert survives_the_journal(intent)


def test_holds_may_be_links_to_what_will_make_them():
    linked = result_of("order-1", "transaction_id")
    for intent in (commit_holds([linked, "b"]), void_holds([linked, "b"])):
        assert entry_of(intent).after == ("order-1",)
        assert intent.orders == ("hold:order-1", "hold:b")


@BOTH
def test_it_is_only_accepted_where_the_setting_is_on(intent):
    write = Write(intent=intent, key="a-key")
    with pytest.raises(InvalidIntent, match="BLNK_RELAY_BULK_INFLIGHT") as caught:
        prepare(Settings(), write)
    assert list(caught.value.errors) == ["kind"]
    new = prepare(Settings(bulk_inflight=True), write)
    assert new.entry.lane == "inflight"


def test_an_amount_beyond_the_limit_of_the_settings_is_refused_in_an_item_too():
    intent = commit_holds([commit_hold("a", precise_amount=1001)])
    with pytest.raises(InvalidIntent, match="minor units"):
        prepare(Settings(bulk_inflight=True, max_precise_amount=1000), Write(intent=intent, key="a-key"))


# -- the first request -----------------------------------------------------------------------------------------------


def test_a_request_names_inflight_rows_only_and_goes_in_skip_mode():
    # One by its reference, one by the queued parent's id, one by its row: never the queued parent's id at the ledger.
    by_any_name = commit_holds(["a", commit_hold(txn(20), precise_amount=300), txn(31)])
    send = decided(by_any_name, progress(), *HELD)
    assert isinstance(send, Send)
    request = request_of(by_any_name, send)
    assert (request.method, request.path, request.sync) == ("POST", "/transactions/inflight/bulk/commit", True)
    assert request.body == {
        "transactions": [
            {"transaction_id": txn(11)},
            {"transaction_id": txn(21), "precise_amount": 300},
            {"transaction_id": txn(31)},
        ],
        "skip_queue": True,
    }
    voided = request_of(VOID, decided(VOID, progress(), *HELD))
    assert voided.path == "/transactions/inflight/bulk/void"
    assert voided.body == {"transaction_ids": [txn(11), txn(21), txn(31)], "skip_queue": True}


@BOTH
def test_all_rows_are_locked_and_all_that_is_below_them_must_have_been_seen(intent):
    send = decided(intent, progress(), *HELD, below("b", 40, 200), below("c", 41, 100))
    assert send.exclusive == (txn(11), txn(21), txn(31))
    assert send.seen == (txn(40), txn(41))
    assert [item[1] for item in send.memo["items"]] == ["0", "200", "100"]


@BOTH
def test_nothing_is_sent_while_a_hold_is_still_queued(intent):
    queued = [*held("a"), held("b")[0], *held("c")]
    assert isinstance(decided(intent, progress(), *queued), Again)


@BOTH
def test_a_hold_that_is_nowhere_ends_it_before_anything_was_sent(intent):
    some = [*held("a"), *held("c")]
    assert isinstance(decided(intent, progress(), *some), Again)
    dead = decided(intent, progress(since_ms=progress().now_ms - 16 * MINUTE), *some)
    assert isinstance(dead, Dead)
    # The code under which the workers wait for what is still in our own queue.
    assert (dead.dead_class, dead.code) == (DeadClass.REFUSED, "HOLD_NOT_FOUND")
    assert dead.message.endswith(": b.")


def test_two_names_of_one_hold_are_refused():
    dead = decided(commit_holds(["a", txn(10)]), progress(), *HELD)
    assert (dead.dead_class, dead.code) == (DeadClass.REFUSED, "HOLD_TWICE")
    assert txn(10) in dead.message


@BOTH
def test_a_hold_that_was_voided_already_does_not_keep_the_others(intent):
    send = decided(intent, progress(), *HELD, below("b", 40, status="VOID"))
    assert asked(send) == ["a", "c"]
    assert send.exclusive == (txn(11), txn(31))
    # Sent and settled, the two make a partial end that names the third.
    memo = {"items": [send.memo["items"][0], ["", "0", "", "", ""], send.memo["items"][2]]}
    status = "APPLIED" if intent is COMMIT else "VOID"
    settled = (below("a", 50, status=status), below("c", 51, status=status))
    dead = decided(intent, sent(memo=memo), *HELD, below("b", 40, status="VOID"), *settled)
    assert (dead.dead_class, dead.code) == (DeadClass.PARTIAL, "ITEMS_REFUSED")
    assert "b (TXN_ALREADY_VOIDED)" in dead.message
    word = "applied" if intent is COMMIT else "voided"
    assert dead.note.parts == {0: f"{word} {txn(50)}", 1: "refused", 2: f"{word} {txn(51)}"}


@BOTH
def test_where_no_hold_can_be_settled_it_is_refused_unsent(intent):
    dead = decided(intent, progress(), *HELD, *(below(name, 40 + n, status="VOID") for n, name in enumerate(NAMES)))
    assert (dead.dead_class, dead.code) == (DeadClass.REFUSED, "ITEMS_REFUSED")
    assert dead.message.startswith("3 of 3 holds")


def test_a_part_that_is_more_than_remains_is_refused_and_the_rest_goes():
    send = decided(COMMIT, progress(), *HELD, below("b", 40, 800))
    assert asked(send) == ["a", "c"]


# -- after a request that may have acted -----------------------------------------------------------------------------


@BOTH
def test_it_is_done_when_every_hold_shows_it(intent):
    status = "APPLIED" if intent is COMMIT else "VOID"
    part = 300 if intent is COMMIT else 1000
    shown = (below("a", 50, status=status), below("b", 51, part, status), below("c", 52, status=status))
    done = decided(intent, after(), *HELD, *shown)
    assert isinstance(done, Done)
    assert done.outcome == ("applied" if intent is COMMIT else "voided")
    assert list(done.note.parts) == [0, 1, 2]
    # So that a later sum that lacks one of them is known to be too old.
    assert done.note.made == {txn(11): txn(50), txn(21): txn(51), txn(31): txn(52)}


def test_only_what_is_open_is_sent_again_and_all_rows_stay_locked():
    shown = (below("a", 50),)
    send = decided(COMMIT, after(HOUR), *HELD, *shown)
    assert asked(send) == ["b", "c"]
    assert send.exclusive == (txn(11), txn(21), txn(31))
    assert txn(50) in send.seen
    assert send.memo["items"][0][4] == txn(50)
    assert send.note.parts == {0: f"applied {txn(50)}"}


def test_a_part_is_not_sent_again_before_the_silence_is_over():
    send = decided(COMMIT, after(SECOND), *HELD, below("a", 50))
    # The full commit can be repeated, for the ledger refuses a second; the part cannot.
    assert asked(send) == ["c"]
    quiet_ms = int(POLICY.quiet_s * 1000) + SECOND
    assert asked(decided(COMMIT, after(quiet_ms), *HELD, below("a", 50))) == ["b", "c"]


def test_the_silence_is_as_long_as_a_request_of_so_many_may_take():
    """The ledger works on a few at a time: a part of a large request may be booked long after that of a small one."""
    names = [f"h-{number}" for number in range(40)]
    intent = commit_holds([commit_hold(name, precise_amount=1) for name in names])
    rows = [row(100 + n, name, "INFLIGHT", precise_amount=10) for n, name in enumerate(names)]
    memo = {"items": [[one.transaction_id, "0", "q", "", ""] for one in rows]}
    quiet_ms = int(POLICY.quiet_s * 1000)
    assert isinstance(decided(intent, sent(9 * quiet_ms, memo=memo), *rows), Look)
    assert isinstance(decided(intent, sent(10 * quiet_ms + SECOND, memo=memo), *rows), Send)
    refused = sent(9 * int(POLICY.read_lag_s * 1000), memo=memo, refuse=True, code="GEN_BAD_REQUEST")
    full = replace(intent, payload={"items": [{"hold": name} for name in names]})
    assert isinstance(decided(full, refused, *rows), Look)


def test_a_part_that_its_answer_called_settled_is_never_sent_again():
    now = after(HOUR, memo_of(a="sa", b="sa", c="sa"))
    look = decided(COMMIT, now, *HELD, below("a", 50), below("c", 51))
    assert isinstance(look, Look)
    assert look.note.parts == {0: f"applied {txn(50)}", 2: f"applied {txn(51)}"}
    late = after(6 * HOUR, memo_of(a="sa", b="sa", c="sa"))
    dead = decided(COMMIT, late, *HELD, below("a", 50), below("c", 51))
    assert (dead.dead_class, dead.code) == (DeadClass.PARTIAL, "ITEMS_UNKNOWN")
    assert "b (UNDECIDED)" in dead.message


def test_a_full_commit_that_its_answer_called_settled_is_looked_for_while_reads_may_lag():
    now = after(SECOND, memo_of(a="sa", b="sa", c="sa"))
    look = decided(COMMIT, now, *HELD)
    assert isinstance(look, Look)
    assert not look.refuse


def test_a_part_of_which_nobody_can_tell_makes_a_partial_end_that_names_it():
    other = below("b", 60, 450)
    dead = decided(COMMIT, after(), *HELD, below("a", 50), other, below("c", 52))
    assert (dead.dead_class, dead.code) == (DeadClass.PARTIAL, "ITEMS_UNKNOWN")
    assert "b (HOLD_CHANGED)" in dead.message
    assert dead.note.parts[1] == "unknown"
    assert dead.note.made == {txn(11): txn(50), txn(31): txn(52)}


def test_where_nothing_can_be_told_of_any_it_is_unknown():
    intent = commit_holds([commit_hold("a", precise_amount=100)])
    memo = {"items": [[txn(11), "0", "q", "", ""]]}
    dead = decided(intent, sent(memo=memo), *HELD, below("a", 60, 50))
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, "ITEMS_UNKNOWN")


def test_a_sum_smaller_than_the_recorded_one_is_a_read_that_lags():
    memo = {"items": [[txn(11), "200", "q", "", ""]]}
    assert isinstance(decided(commit_holds([commit_hold("a", precise_amount=100)]), sent(memo=memo), *HELD), Look)


def test_what_is_settled_stays_so_whatever_others_write_to_the_hold_later():
    memo = memo_of(a=("s", "", "0", txn(50)), b=("s", "", "0", txn(51)), c="q")
    later = (below("a", 50), below("b", 51, 300), below("b", 70, 100))
    done = decided(COMMIT, after(items=memo), *HELD, *later, below("c", 52))
    assert isinstance(done, Done)
    assert done.note.parts[1] == f"applied {txn(51)}"


def test_a_hold_that_was_not_in_the_request_is_not_taken_for_ours():
    memo = {"items": [[txn(11), "0", "q", "", ""], ["", "0", "", "", ""], [txn(31), "0", "q", "", ""]]}
    voids = [below(name, 50 + n, status="VOID") for n, name in enumerate(NAMES)]
    dead = decided(VOID, sent(memo=memo), *HELD, *voids)
    assert (dead.dead_class, dead.code) == (DeadClass.PARTIAL, "ITEMS_REFUSED")
    assert dead.note.parts[1] == "refused"


def test_a_hold_that_expired_by_itself_is_seen_under_its_queued_parent():
    expired = row(70, "ref_70", "VOID", parent=txn(20), precise_amount=1000)
    assert asked(decided(VOID, progress(), *HELD, expired)) == ["a", "c"]


def test_rows_that_were_resolved_are_read_by_their_ids():
    ledger = Showing([*HELD, below("a", 50)])
    settled_by(COMMIT, after(HOUR), ledger)
    assert {(one.field, one.value) for one in ledger.asked} == {
        *(("transaction_id", row_id) for row_id in ROWS.values()),
        *(("parent_transaction", row_id) for row_id in ROWS.values()),
        *(("parent_transaction", txn(number)) for number in (10, 20, 30)),
    }


# -- what the answer means -------------------------------------------------------------------------------------------


@BOTH
def test_a_200_is_never_an_outcome_because_it_shows_no_child(intent):
    verdict = answered(intent, results(a="ok", b="ok", c="ok"))
    assert isinstance(verdict.decision, Look)
    assert (verdict.acted, verdict.accepted) == (True, True)
    assert [item[2] for item in verdict.decision.note.memo["items"]] == ["sa", "sa", "sa"]


@BOTH
def test_the_operator_may_choose_to_believe_it(intent):
    policy = replace(POLICY, confirm=False)
    done = answered(intent, results(a="ok", b="ok", c="ok"), policy=policy).decision
    assert isinstance(done, Done)
    assert isinstance(answered(intent, results(a="ok", b="ok", c="LOCKED"), policy=policy).decision, Look)


@pytest.mark.parametrize(
    ("code", "flags", "single"),
    [
        ("ALREADY_COMMITTED", "sr", "TXN_ALREADY_COMMITTED"),
        ("ALREADY_VOIDED", "sr", "TXN_ALREADY_VOIDED"),
        ("INVALID_AMOUNT", "sr", "TXN_COMMIT_AMOUNT_EXCEEDED"),
        ("NOT_INFLIGHT", "", "TXN_NOT_INFLIGHT"),
        ("NOT_FOUND", "", "TXN_NOT_FOUND"),
        ("LOCKED", "", "GEN_RESOURCE_LOCKED"),
        ("INTERNAL_ERROR", "s", "GEN_BAD_REQUEST"),
        ("A_NEW_ONE", "s", "GEN_BAD_REQUEST"),
    ],
)
def test_a_failed_item_is_judged_as_the_single_route_would_be(code, flags, single):
    items = answered(COMMIT, results(a="ok", b=code, c="ok")).decision.note.memo["items"]
    assert [item[2] for item in items] == ["sa", flags, "sa"]
    assert items[1][3] == single


@pytest.mark.parametrize("code", ["NOT_INFLIGHT", "NOT_FOUND", "LOCKED", "INTERNAL_ERROR"])
def test_an_item_that_fails_again_and_again_is_refused_in_the_end(code):
    items = answered(COMMIT, results(a="ok", b=code, c="ok"), progress(attempts=24)).decision.note.memo["items"]
    assert "r" in items[1][2]


def test_200_although_all_failed_settles_nothing():
    verdict = answered(VOID, results(a="ALREADY_COMMITTED", b="ALREADY_COMMITTED", c="ALREADY_COMMITTED"))
    memo = verdict.decision.note.memo
    full = [below(name, 50 + n) for n, name in enumerate(NAMES)]
    dead = decided(VOID, sent(memo=memo, accepted=True), *HELD, *full)
    assert (dead.dead_class, dead.code) == (DeadClass.REFUSED, "ITEMS_REFUSED")


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"results": "none"},
        {"results": [1, 2, 3]},
        {"results": []},
        {"results": [{"transaction_id": txn(11), "status": "succeeded"}] * 3},
        {"results": [{"transaction_id": txn(n), "status": "succeeded"} for n in (11, 21, 99)]},
    ],
)
def test_a_200_that_is_not_about_these_holds_proves_nothing(body):
    verdict = answered(COMMIT, Response(status=200, body=body))
    assert isinstance(verdict.decision, Look)
    assert verdict.decision.note is None
    assert (verdict.acted, verdict.accepted) == (True, False)


@pytest.mark.parametrize(
    "response",
    [Response(failure=Failure.BROKEN), Response(status=500), Response(status=502), Response(status=504)],
)
@BOTH
def test_after_an_ambiguous_answer_every_hold_is_read(intent, response):
    verdict = answered(intent, response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted
    assert not verdict.accepted


@pytest.mark.parametrize(
    "response",
    [
        Response(status=404, message="404 page not found"),
        Response(status=405),
        Response(status=400, code="TXN_BULK_LIMIT_EXCEEDED", message="why"),
        Response(status=400, code="GEN_MALFORMED_REQUEST", message="why"),
    ],
)
@BOTH
def test_a_route_that_is_not_forwarded_refuses_the_intent_and_pauses_nobody(intent, response):
    verdict = answered(intent, response)
    assert isinstance(verdict.decision, Dead)
    assert verdict.decision.dead_class is DeadClass.REFUSED
    assert verdict.gate is None
    assert not verdict.acted


def test_what_is_not_allowed_is_tried_a_few_times_and_pauses_nobody():
    assert isinstance(answered(COMMIT, Response(status=403)).decision, Again)
    spent = answered(COMMIT, Response(status=403), progress(attempts=4))
    assert (spent.decision.dead_class, spent.gate) == (DeadClass.REFUSED, None)
    assert answered(COMMIT, Response(status=401)).gate.action is GateAction.PAUSE


def test_a_refusal_of_the_whole_request_refuses_only_what_was_in_it():
    # The first request settled a and was answered with success for b; the second was for c alone.
    memo = memo_of(a=("s", "", "0", txn(50)), b="sa", c="sq")
    now = after(HOUR, memo, refuse=True, code="GEN_VALIDATION_ERROR", message="why")
    look = decided(COMMIT, now, *HELD, below("a", 50))
    assert isinstance(look, Look)
    assert look.note.parts == {0: f"applied {txn(50)}", 2: "refused"}
    dead = decided(COMMIT, now, *HELD, below("a", 50), below("b", 51, 300))
    assert (dead.dead_class, dead.code) == (DeadClass.PARTIAL, "ITEMS_REFUSED")
    assert "c (GEN_VALIDATION_ERROR)" in dead.message


# -- operators -------------------------------------------------------------------------------------------------------


def test_a_replay_after_a_refusal_of_some_sends_only_those():
    assert plan_replay("inflight.bulk_commit", "partial", "ITEMS_REFUSED").way == "same"
    assert plan_replay("inflight.bulk_commit", "partial", "ITEMS_UNKNOWN").way == "no"
    memo = memo_of(a=("s", "", "0", txn(50)), b=("s", "", "0", txn(51)), c=("sr", "GEN_BAD_REQUEST", "0", ""))
    replayed = after(HOUR, memo, attempts=0)
    send = decided(COMMIT, replayed, *HELD, below("a", 50), below("b", 51, 300))
    assert asked(send) == ["c"]


# -- after a loss ----------------------------------------------------------------------------------------------------

#: It may have been sent in lost moments, and nothing is recorded of that.
FORGOTTEN = sent(HOUR, memo={}, lost_ms=1)
PARTS = commit_holds([commit_hold("a", precise_amount=400), commit_hold("b", precise_amount=300), "c"])


def test_what_is_decided_of_a_hold_before_the_others_are_sent_counts_as_never_sent_afterwards():
    voided = [*HELD, below("a", 40, status="VOID")]
    send = decided(PARTS, FORGOTTEN, *voided)
    assert isinstance(send, Send)
    assert asked(send) == ["b", "c"]
    settled = [*voided, below("b", 41, 300), below("c", 42)]
    ended = decided(PARTS, sent(HOUR, memo=send.memo), *settled)
    assert isinstance(ended, Dead)
    assert (ended.dead_class, ended.code) == (DeadClass.PARTIAL, "ITEMS_REFUSED")


def test_what_met_a_lock_before_the_loss_may_have_been_sent_again_in_the_lost_moments():
    memo = {"items": [[ROWS[name], "0", "", "GEN_RESOURCE_LOCKED", ""] for name in "abc"]}
    settled = [*HELD, below("a", 40, 400), below("b", 41, 300), below("c", 42)]
    before = sent(HOUR, memo=memo)
    assert isinstance(decided(PARTS, replace(before, lost_ms=before.now_ms - HOUR), *settled), Done)
    assert not isinstance(decided(PARTS, before, *settled), Done)


def test_nothing_is_sent_while_one_of_them_may_still_be_on_its_way_from_before_the_loss():
    # All that remains could be sent at once; what is recorded with it would end the doubt about the parts.
    assert isinstance(decided(PARTS, replace(FORGOTTEN, last_sent_ms=FORGOTTEN.now_ms - SECOND), *HELD), Look)
    assert isinstance(decided(PARTS, FORGOTTEN, *HELD), Send)


@BOTH
def test_a_look_before_the_first_send_records_nothing_by_which_a_loss_could_not_be_told(intent):
    lagging = [one for one in HELD if one.transaction_id != ROWS["b"]]
    looked = decided(intent, replace(FORGOTTEN, last_sent_ms=FORGOTTEN.now_ms - SECOND), *lagging)
    assert isinstance(looked, Again | Look)
    assert not (isinstance(looked, Look) and looked.note and looked.note.memo)
    lapsed = decided(intent, progress(looking=True), *HELD)
    assert isinstance(lapsed, Send)
    assert not (lapsed.note and lapsed.note.memo), "it goes back to its lane, and is recorded there"
