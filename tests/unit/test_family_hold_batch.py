"""Many holds in one request: what it comes to together, what is recorded of it, and what its letters say.

What becomes of each hold is decided by the single kinds (test_inflight.py); most of the rest is in
test_kind_inflight_bulk.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import DAY, HOUR, NOW_MS, POLICY, SECOND, decided, entry_of, progress, row, sent, txn

from blnk_relay import InvalidIntent, commit_hold, commit_holds, result_of, void_holds
from blnk_relay.families.atomic import PART_S
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Request, Response
from blnk_relay.kinds.registry import KINDS

# Holds of 1000: rows 11, 21, 31 are INFLIGHT; 10, 20, 30 are their queued parents.
NAMES = ("a", "b", "c")
ROWS = {name: txn(10 * number + 1) for number, name in enumerate(NAMES, 1)}
HELD = [
    one
    for number, name in enumerate(NAMES, 1)
    for one in (
        row(10 * number, name, "QUEUED", precise_amount=1000),
        row(10 * number + 1, f"{name}_q", "INFLIGHT", parent=txn(10 * number), precise_amount=1000),
    )
]
COMMIT = commit_holds(NAMES)
PARTS = commit_holds([commit_hold(name, precise_amount=300) for name in NAMES])
VOID = void_holds(NAMES)
QUIET_MS = int(POLICY.quiet_s * 1000)


def below(name: str, number: int, amount: int = 1000, status: str = "APPLIED", **changes: Any):
    given: dict[str, Any] = {"parent": ROWS[name], "precise_amount": amount} | changes
    return row(number, f"ref_{number}", status, **given)


def item(name: str, flags: str = "q", code: str = "", before: str = "0", child: str = "") -> list[str]:
    return [ROWS[name], before, flags, code, child]


NEVER = ["", "0", "", "", ""]


def after(*items: list[str], ago_ms: int = SECOND, **changes: Any):
    """It was sent so long ago, and this was recorded of the holds."""
    return sent(ago_ms, memo={"items": list(items or [item(name) for name in NAMES])}, **changes)


def asked(send: Send) -> list[str]:
    return [name for name, one in zip(NAMES, send.memo["items"], strict=True) if "q" in one[2]]


# -- the request -----------------------------------------------------------------------------------------------------


def test_only_what_is_to_be_settled_now_is_asked_for_and_given_its_time():
    kind = KINDS[VOID.kind]
    now = after(item("a", "s", child=txn(50)), item("b"), item("c"))
    assert kind.request(entry_of(VOID), now, POLICY) == Request(
        "POST",
        "/transactions/inflight/bulk/void",
        "inflight.bulk",
        {"transaction_ids": [ROWS["b"], ROWS["c"]], "skip_queue": True},
        sync=True,
        work_s=2 * PART_S,
    )


@pytest.mark.parametrize("count", [1, 100])
def test_as_many_holds_as_the_ledger_takes_may_be_named(count):
    names = [f"h-{number}" for number in range(count)]
    assert len(commit_holds(names).payload["items"]) == len(void_holds(names).payload["holds"]) == count


@pytest.mark.parametrize(
    ("build", "field", "named"),
    [
        (lambda: commit_holds(["x", "a", "b", "a"]), "items", "'a'"),
        (lambda: void_holds(["x", "b", "a", "b"]), "holds", "'b'"),
        (lambda: void_holds([result_of("k", "transaction_id"), result_of("k", "transaction_id")]), "holds", "'k'"),
    ],
)
def test_a_hold_that_is_named_twice_is_named_in_the_complaint(build, field, named):
    with pytest.raises(InvalidIntent) as caught:
        build()
    assert caught.value.errors[field] == [f"Must name each hold once in one request; {named} is named twice."]


# -- before anything was sent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "told"), [(["a", txn(11)], "a and {0}"), (["b", "a", txn(10)], "a and {1}")])
def test_the_letter_of_a_hold_under_two_names_says_both(names, told):
    twice = told.format(txn(11), txn(10))
    decision = decided(commit_holds(names), progress(), *HELD)
    assert decision == Dead(DeadClass.REFUSED, "HOLD_TWICE", f"{twice} are one hold: name it once.")


@pytest.mark.parametrize("intent", [COMMIT, VOID], ids=["commit", "void"])
def test_holds_that_are_nowhere_are_named_and_those_that_are_late_are_waited_for(intent):
    old = progress(since_ms=NOW_MS - HOUR)
    told = "The ledger shows no such hold, and nothing was sent: b, c."
    assert decided(intent, old, *HELD[:2]) == Dead(DeadClass.REFUSED, "HOLD_NOT_FOUND", told)
    # One that is queued is waited for, as long as no other makes it pointless.
    assert decided(intent, old, *HELD[:3], *HELD[4:]) == Again(POLICY.confirm_max_s, counted=False)
    assert decided(intent, old, *HELD[:3]).code == "HOLD_NOT_FOUND"


def test_a_hold_that_nobody_waits_for_any_more_keeps_none_of_the_others():
    send = decided(VOID, progress(since_ms=NOW_MS - DAY), *HELD[:3], *HELD[4:])
    assert asked(send) == ["a", "c"]
    assert send.memo == {"items": [item("a"), NEVER, item("c")]}


# -- what it comes to ------------------------------------------------------------------------------------------------


def test_what_was_found_of_holds_of_which_nothing_was_recorded_is_noted_and_no_record_feigned():
    lost = sent(HOUR, memo={}, lost_ms=NOW_MS - HOUR)
    voids = [below(name, 50 + number, status="VOID") for number, name in enumerate(NAMES)]
    done = decided(VOID, lost, *HELD, *voids)
    assert isinstance(done, Done)
    assert done.outcome == "voided"
    assert done.note.memo == {}
    assert done.note.parts == {number: f"voided {txn(50 + number)}" for number in range(3)}
    assert done.note.made == {ROWS[name]: txn(50 + number) for number, name in enumerate(NAMES)}


def test_a_letter_names_each_hold_that_was_refused_and_why():
    rows = [below("a", 40), below("b", 41, status="VOID"), below("c", 42, 701)]
    decision = decided(PARTS, progress(), *HELD, *rows)
    assert (decision.dead_class, decision.code) == (DeadClass.REFUSED, "ITEMS_REFUSED")
    assert decision.message == (
        "3 of 3 holds were not applied: a (TXN_COMMIT_AMOUNT_EXCEEDED), b (TXN_ALREADY_VOIDED), "
        "c (TXN_COMMIT_AMOUNT_EXCEEDED)."
    )
    assert decision.note.memo == {}
    assert decision.note.parts == {0: "refused", 1: "refused", 2: "refused"}


@pytest.mark.parametrize(
    ("amounts", "dead_class", "code", "told", "parts"),
    [
        # b was voided before the others were sent; what somebody else changed is told first.
        (
            (300, 7),
            DeadClass.PARTIAL,
            "ITEMS_UNKNOWN",
            "1 of 3 holds cannot be told: c (HOLD_CHANGED).",
            {0: f"applied {txn(50)}", 1: "refused", 2: "unknown"},
        ),
        (
            (300, 300),
            DeadClass.PARTIAL,
            "ITEMS_REFUSED",
            "1 of 3 holds were not applied: b (TXN_ALREADY_VOIDED).",
            {0: f"applied {txn(50)}", 1: "refused", 2: f"applied {txn(52)}"},
        ),
        (
            (9, 7),
            DeadClass.UNKNOWN,
            "ITEMS_UNKNOWN",
            "2 of 3 holds cannot be told: a (HOLD_CHANGED), c (HOLD_CHANGED).",
            {0: "unknown", 1: "refused", 2: "unknown"},
        ),
    ],
    ids=["some unknown", "some refused", "none done"],
)
def test_a_letter_counts_and_names_what_nobody_can_tell_else_what_was_refused(amounts, dead_class, code, told, parts):
    now = after(item("a"), NEVER, item("c"))
    rows = [below("a", 50, amounts[0]), below("b", 51, status="VOID"), below("c", 52, amounts[1])]
    decision = decided(PARTS, now, *HELD, *rows)
    assert (decision.dead_class, decision.code, decision.message) == (dead_class, code, told)
    assert decision.note.parts == parts
    made = {ROWS["ac"[n]]: txn(50 + 2 * n) for n, amount in enumerate(amounts) if amount == 300}
    assert decision.note.made == made
    # What was done of it stays known, for a replay and for an audit; so does how long it has been looked for.
    assert [one[4] for one in decision.note.memo["items"]] == [made.get(ROWS["a"], ""), "", made.get(ROWS["c"], "")]
    assert "watched" in decision.note.memo


@pytest.mark.parametrize("refuse", [False, True])
def test_the_next_look_comes_when_the_first_of_those_that_wait_is_due_and_keeps_what_was_answered(refuse):
    now = after(item("a"), item("b", "sa"), item("c", child=txn(52)), ago_ms=10 * SECOND, refuse=refuse, code="X")
    look = decided(PARTS, now, *HELD)
    assert isinstance(look, Look)
    assert (look.in_s, look.refuse) == (6.0, refuse)
    assert look.note.parts == {2: f"applied {txn(52)}"}
    assert look.note.made == {ROWS["c"]: txn(52)}
    assert look.note.memo["items"] == [item("a"), item("b", "sa"), item("c", child=txn(52))]


# -- what is sent again ----------------------------------------------------------------------------------------------


def test_a_second_request_records_what_may_have_been_settled_by_the_first():
    now = after(item("a", "q", before="100"), item("b", "s", child=txn(51)), NEVER, ago_ms=HOUR)
    shown = [below("a", 40, 100), below("b", 51, 300), below("c", 52, 200)]
    send = decided(PARTS, now, *HELD, *shown)
    assert isinstance(send, Send)
    # Of a the first sum counts; c was not in the first request, and no more than what is below it now is its own.
    assert send.memo == {
        "items": [item("a", "sq", before="100"), item("b", "s", child=txn(51)), item("c", before="200")]
    }
    assert send.exclusive == (ROWS["a"], ROWS["b"], ROWS["c"])
    assert send.seen == (txn(40), txn(51), txn(52))
    assert (send.perhaps_ours, send.otherwise) == ((), None)


def test_what_never_acted_is_not_recorded_as_sent():
    """A request that was answered with a lock: it is under way no more, and did nothing."""
    memo = {"items": [item(name, before="7") for name in NAMES]}
    send = decided(PARTS, progress(memo=memo, attempts=1), *HELD, below("a", 40, 100))
    assert send.memo == {"items": [item("a", before="100"), item("b"), item("c")]}


def test_an_expiry_under_the_queued_parent_has_to_be_seen_and_nothing_else_that_is_there():
    now = after(item("a"), item("b"), item("c"), ago_ms=HOUR)
    expired = below("b", 70, status="VOID", parent=txn(20))
    send = decided(VOID, now, *HELD, expired, below("a", 41, 200))
    assert asked(send) == ["a", "c"]
    assert send.seen == (txn(41), txn(70))


def test_what_an_answer_called_settled_is_not_sent_again_while_reads_may_be_older():
    now = after(item("a", "sa"), item("b", "sa"), item("c", "sa"), ago_ms=QUIET_MS - 1)
    assert isinstance(decided(VOID, now, *HELD), Look)
    later = after(item("a", "sa"), item("b", "sa"), item("c", "sa"), ago_ms=QUIET_MS)
    assert asked(decided(VOID, later, *HELD)) == ["a", "b", "c"]


@pytest.mark.parametrize(("count", "waves"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_a_silence_counts_as_long_as_the_ledger_may_need_for_so_many_four_at_a_time(count, waves):
    names = [f"h-{number}" for number in range(count)]
    intent = commit_holds([commit_hold(name, precise_amount=1) for name in names])
    rows = [row(100 + n, name, "INFLIGHT", precise_amount=10) for n, name in enumerate(names)]
    items = [[one.transaction_id, "0", "q", "", ""] for one in rows]
    assert isinstance(decided(intent, after(*items, ago_ms=waves * QUIET_MS - 1), *rows), Look)
    assert isinstance(decided(intent, after(*items, ago_ms=waves * QUIET_MS), *rows), Send)
    # The same of holds that reads may not show, after a loss.
    lag_ms = waves * int(POLICY.read_lag_s * 1000)
    lost = sent(lag_ms - 1, memo={}, lost_ms=NOW_MS - HOUR, since_ms=NOW_MS - DAY)
    assert isinstance(decided(intent, lost), Look)
    assert decided(intent, replace(lost, last_sent_ms=NOW_MS - lag_ms)).code == "HOLD_NOT_FOUND"


def test_an_old_refusal_stands_in_nobodys_way_after_a_replay_and_a_new_one_does():
    refused = [item("a", "sr", "GEN_BAD_REQUEST"), item("b", "s", child=txn(51)), item("c", "s", child=txn(52))]
    replayed = after(*refused, ago_ms=HOUR, attempts=0)
    assert asked(decided(COMMIT, replayed, *HELD)) == ["a"]
    tried = decided(COMMIT, after(*refused, ago_ms=HOUR, attempts=1), *HELD)
    assert (tried.dead_class, tried.code) == (DeadClass.PARTIAL, "ITEMS_REFUSED")
    assert "a (GEN_BAD_REQUEST)" in tried.message


def test_a_hold_that_a_read_lacks_keeps_its_lock_and_none_of_the_others():
    send = decided(PARTS, after(ago_ms=HOUR), *HELD[:3], *HELD[4:])
    assert asked(send) == ["a", "c"]
    assert send.exclusive == (ROWS["a"], ROWS["b"], ROWS["c"])


def test_a_record_of_another_number_of_holds_is_no_record_of_these():
    """Nothing is sent or decided by it: to guess which is which could settle another hold."""
    kind, now = KINDS[VOID.kind], after(item("a"), item("b"), ago_ms=HOUR)
    with pytest.raises(ValueError, match="zip"):
        kind.request(entry_of(VOID), now, POLICY)
    with pytest.raises(ValueError, match="zip"):
        decided(VOID, now, *HELD)


# -- after a loss ----------------------------------------------------------------------------------------------------


def test_the_commits_of_all_holds_have_to_be_known_as_anothers_or_a_letter_names_those_of_the_first():
    lost = sent(HOUR, memo={}, lost_ms=NOW_MS - HOUR)
    made = [below("a", 40, 300), below("b", 41, 200), below("c", 42, 300), below("c", 43, 300)]
    send = decided(PARTS, lost, *HELD, *made)
    assert isinstance(send, Send)
    assert send.perhaps_ours == (txn(40), txn(42), txn(43))
    assert (send.otherwise.dead_class, send.otherwise.code) == (DeadClass.UNKNOWN, "MOMENT_LOST")
    assert txn(40) in send.otherwise.message
    assert [one[2] for one in send.memo["items"]] == ["sq", "sq", "sq"]


def test_what_was_found_before_the_others_were_sent_is_written_to_no_row_without_a_name():
    lost = sent(HOUR, memo={}, lost_ms=NOW_MS - HOUR)
    send = decided(VOID, lost, *HELD, below("b", 51, status="VOID"))
    assert asked(send) == ["a", "c"]
    assert send.note.made == {ROWS["b"]: txn(51)}
    later = sent(SECOND, memo=send.memo)
    voids = [below(name, 50 + number, status="VOID") for number, name in enumerate(NAMES)]
    done = decided(VOID, later, *HELD, *voids)
    assert isinstance(done, Done)
    assert done.note.parts[1] == f"voided {txn(51)}"
    assert done.note.made == {ROWS["a"]: txn(50), ROWS["c"]: txn(52)}


def test_while_one_may_be_under_way_from_before_a_loss_all_wait_for_it():
    now = sent(10 * SECOND, memo={}, lost_ms=NOW_MS - HOUR)
    mixed = commit_holds(["a", commit_hold("b", precise_amount=300), "c"])
    look = decided(mixed, now, *HELD, below("c", 52))
    assert isinstance(look, Look)
    assert (look.in_s, look.refuse) == (6.0, False)
    assert look.note.memo == {}
    assert look.note.parts == {2: f"applied {txn(52)}"}


# -- what the answer means -------------------------------------------------------------------------------------------


def answered(intent, now, policy=POLICY, **answers: str):
    """After a 200 with these codes, ``ok`` for what was done."""
    results = [
        {"transaction_id": ROWS[name], "status": "succeeded"}
        if code == "ok"
        else {"transaction_id": ROWS[name], "status": "failed", "code": code, "message": "why"}
        for name, code in answers.items()
    ]
    entry, kind = entry_of(intent), KINDS[intent.kind]
    response = Response(status=200, body={"results": results})
    return kind.judge(entry, now, kind.request(entry, now, policy), response, policy)


def test_an_answer_is_about_those_that_were_asked_for_and_leaves_the_others_as_they_were():
    first = after(item("a", "sa"), item("b"), item("c", "s", child=txn(52)))
    verdict = answered(COMMIT, first, b="LOCKED")
    assert verdict.decision.note.memo == {
        "items": [item("a", "sa"), item("b", "", "GEN_RESOURCE_LOCKED"), item("c", "s", child=txn(52))]
    }
    assert (verdict.acted, verdict.accepted, verdict.counted) == (True, True, True)
    assert not verdict.decision.refuse
    # About more, or about another, it is not the answer to this request.
    for others in ({"a": "ok", "b": "ok"}, {"c": "ok"}):
        strange = answered(COMMIT, first, **others)
        assert (strange.decision.note, strange.accepted) == (None, False)


def test_the_longest_pause_that_an_answer_asks_for_is_kept():
    now = progress(memo={"items": [item(name) for name in NAMES]}, attempts=6, draw=0.9)
    pause_s = POLICY.retry.wait_s(6, 0.9)
    assert answered(COMMIT, now, a="LOCKED", b="ok", c="ok").decision.in_s == pause_s
    assert answered(COMMIT, now, a="ok", b="ok", c="LOCKED").decision.in_s == pause_s
    assert answered(COMMIT, now, a="ok", b="ok", c="ok").decision.in_s == POLICY.confirm_first_s


def test_who_believes_answers_believes_those_of_earlier_requests_as_well():
    believing = replace(POLICY, confirm=False)
    now = after(item("a", "sa"), item("b"), item("c", "s", child=txn(52)))
    verdict = answered(VOID, now, believing, b="ok")
    assert isinstance(verdict.decision, Done)
    assert verdict.decision.outcome == "voided"
    assert verdict.decision.note.memo == {"items": [item("a", "sa"), item("b", "sa"), item("c", "s", child=txn(52))]}
    assert (verdict.acted, verdict.accepted) == (True, True)
    # Of one that was refused before the others were sent no answer tells.
    assert isinstance(answered(VOID, after(NEVER, item("b"), item("c")), believing, b="ok", c="ok").decision, Look)
