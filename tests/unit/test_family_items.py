"""The items of a bulk: what is read of them, what is noted, and what they come to together (contract §3.4, §3.10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import (
    ALICE,
    BANK,
    NOW_MS,
    SOMEBODY,
    Showing,
    balance,
    entry_of,
    payment,
    progress,
    row,
    sent,
    settled_by,
    txn,
)
from kindbook import HORIZON_S, QUIET_S, SEEN_S

from blnk_relay import bulk_transactions
from blnk_relay.families.items import WINDOW
from blnk_relay.intents.decision import Dead, Decision, Done, Look, Renew, Send
from blnk_relay.intents.found import Found, Row
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.steps import next_step
from blnk_relay.kinds.registry import KINDS
from tests.support.specimens import POLICY

BATCH = "bulk_1"
LATE_S = POLICY.stuck_horizon_s


def fees(count: int = 3, *, item: dict[str, Any] | None = None, **flags: bool) -> Intent:
    """A bulk of payments of 10.50 EUR from the bank to Alice: fee-0, fee-1, and so on."""
    items = [payment(reference=f"fee-{number}", **(item or {})).payload for number in range(count)]
    named = [{**one, "reference": f"fee-{number}"} for number, one in enumerate(items)]
    return bulk_transactions(named, **flags)


ATOMIC = fees(skip_queue=True, atomic=True)


def queued(number: int, **changes: Any) -> Row:
    """The row of an item that the queue has not worked off."""
    return row(100 + number, f"fee-{number}", "QUEUED", **({"parent": BATCH} | changes))


def shown(status: str, *numbers: int, **changes: Any) -> list[Row]:
    """Both rows of each of these items in queue mode."""
    children = [row(300 + n, f"fee-{n}_q", status, **({"parent": txn(100 + n)} | changes)) for n in numbers]
    return [*(queued(n) for n in numbers), *children]


def at_once(status: str, *numbers: int, **changes: Any) -> list[Row]:
    """The row of each of these items in skip mode."""
    return [row(100 + n, f"fee-{n}", status, **({"parent": BATCH} | changes)) for n in numbers]


def refunds(status: str, *numbers: int) -> list[Row]:
    """The refunds by which the ledger takes these items back."""
    suffix = "_refund" if status == "QUEUED" else "_refund_q"
    return [row(500 + n, txn(100 + n) + suffix, status, parent=txn(100 + n)) for n in numbers]


def undone(*numbers: int) -> list[Row]:
    """Items in skip mode that were taken back."""
    return [*at_once("APPLIED", *numbers), *refunds("APPLIED", *numbers)]


def looked(ago_s: float = 1, **changes: Any) -> Progress:
    """A bulk that was sent so long ago, and looked for ever since."""
    return sent(int(ago_s * 1000), **changes)


def decided(intent: Intent, now: Progress, *rows: Row) -> Decision:
    return settled_by(intent, now, Showing(rows))


def ended(decision: Decision) -> str:
    """What was decided, in a word: of a letter its class and code."""
    return f"{decision.dead_class} {decision.code}" if isinstance(decision, Dead) else type(decision).__name__


def asked_again(intent: Intent, send: Decision) -> list[str]:
    """References in the request that follows on a look."""
    assert isinstance(send, Send)
    assert send.note is not None
    entry = entry_of(intent)
    kind = KINDS[entry.kind]
    ready = looked(looking=False, memo=send.note.memo)
    again = next_step(kind, entry, ready, Found(), POLICY)
    assert isinstance(again, Send)
    body = kind.request(entry, replace(ready, memo=again.memo or {}), POLICY).body
    return [item["reference"] for item in body["transactions"]]


# -- what is read ----------------------------------------------------------------------------------------------------


def asked(intent: Intent, now: Progress, ledger: Showing) -> list[tuple[str, str, str]]:
    settled_by(intent, now, ledger)
    return [(one.resource, one.field, one.value) for one in ledger.asked]


def references(*names: str) -> list[tuple[str, str, str]]:
    return [("transactions", "reference", name) for name in names]


BOTH_NAMES = references("fee-0", "fee-0_q", "fee-1", "fee-1_q")


def test_each_item_is_read_under_both_of_its_names_and_nothing_is_before_a_look():
    assert asked(fees(2), looked(), Showing()) == BOTH_NAMES
    assert asked(fees(2), progress(), Showing()) == []
    assert asked(fees(2), looked(looking=False), Showing()) == []


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([], []),
        ([queued(0)], []),
        (shown("APPLIED", 1, source=SOMEBODY), ["@bank", "@fees"]),
        (shown("APPLIED", 0, 1, source=SOMEBODY), ["@bank", "@fees"]),
    ],
    ids=["nothing", "undecided", "one decided", "both decided"],
)
def test_the_balances_behind_indicators_are_read_once_something_is_to_be_compared(rows, names):
    intent = fees(2, item={"source": "@bank", "destination": "@fees"})
    found = asked(intent, looked(), Showing(rows))
    assert found == [*BOTH_NAMES, *(("balances", "indicator", name) for name in names)]


def test_an_item_is_compared_through_the_balances_behind_its_indicators():
    intent = fees(1, item={"source": "@bank"})
    balances = [balance(BANK, "@bank", "EUR")]
    assert ended(settled_by(intent, looked(), Showing(shown("APPLIED", 0), balances))) == "Done"
    other = shown("APPLIED", 0, source=SOMEBODY)
    dead = settled_by(intent, looked(), Showing(other, balances))
    assert ended(dead) == "unknown REFERENCE_CONFLICT"
    assert f"fee-0 source: asked @bank ({BANK}), has {SOMEBODY}" in dead.message


@pytest.mark.parametrize(
    ("intent", "now", "rows", "names"),
    [
        (ATOMIC, looked(accepted=True), at_once("APPLIED", 0, 1, 2), ()),
        (ATOMIC, looked(accepted=True), at_once("APPLIED", 0, 1), (0, 1)),
        (ATOMIC, looked(), at_once("APPLIED", 0, 1, 2), (0, 1, 2)),
        (ATOMIC, looked(), at_once("APPLIED", 1), (1,)),
        (fees(skip_queue=True), looked(), at_once("APPLIED", 0), ()),
    ],
    ids=["all, accepted", "some, accepted", "all", "one", "not atomic"],
)
def test_whether_items_were_taken_back_is_read_where_they_may_have_been(intent, now, rows, names):
    found = asked(intent, now, Showing(rows))
    undoing = [name for n in names for name in (f"{txn(100 + n)}_refund", f"{txn(100 + n)}_refund_q")]
    assert found[6:] == references(*undoing)


def test_of_holds_of_an_atomic_batch_it_is_read_whether_they_were_voided():
    found = asked(fees(1, skip_queue=True, atomic=True, inflight=True), looked(), Showing(at_once("INFLIGHT", 0)))
    assert found[2:] == [("transactions", "parent_transaction", txn(100))]


# -- what is sent first, and what is looked at -----------------------------------------------------------------------


def test_what_is_known_is_kept_with_the_send():
    assert decided(fees(), progress()) == Send(memo={"marks": "...", "batch": ""})
    ready = looked(looking=False, memo={"marks": "a.q", "batch": BATCH, "go": True})
    assert decided(fees(), ready) == Send(memo={"marks": "a.q", "batch": BATCH})


@pytest.mark.parametrize("refuse", [True, False])
def test_what_may_have_been_sent_is_looked_at_at_once(refuse):
    assert decided(fees(), looked(looking=False, refuse=refuse)) == Look(0.0, refuse)


@pytest.mark.parametrize("refuse", [True, False])
def test_a_look_notes_what_it_saw_and_goes_on_behind_its_window(refuse):
    intent, count = fees(WINDOW + 2), WINDOW + 2
    now = looked(31, refuse=refuse)
    first = decided(intent, now, *shown("APPLIED", 3), *shown("REJECTED", 5), queued(6))
    marks = "...a.rq" + "." * (count - 7)
    began = (NOW_MS, 31_000)
    memo = {"marks": marks, "batch": BATCH, "at": WINDOW, "began": began, "watched": now.memo["watched"]}
    assert isinstance(first, Look)
    assert (first.in_s, first.refuse) == (0.0, refuse)
    assert first.note.memo == memo
    assert first.note.parts == {3: f"applied {txn(303)}", 5: f"rejected {txn(305)}"}


def test_a_pass_ends_behind_its_last_open_item_and_the_next_begins_at_the_first():
    intent = fees(WINDOW + 2)
    marks = "." + "a" * (WINDOW - 1) + "."
    # The last two are known: nothing is left behind the window.
    known = looked(31, memo={"marks": marks + "a", "batch": BATCH})
    send = decided(intent, known)
    assert isinstance(send, Send)
    assert asked_again(intent, send) == ["fee-0", f"fee-{WINDOW}"]
    behind = looked(31, memo={"marks": marks + ".", "batch": BATCH, "at": WINDOW, "began": [NOW_MS - 500, 30_500]})
    ledger = Showing()
    assert isinstance(settled_by(intent, behind, ledger), Send)
    assert [one.value for one in ledger.asked if not one.value.endswith("_q")] == [f"fee-{WINDOW}", f"fee-{WINDOW + 1}"]
    assert "at" not in settled_by(intent, behind, ledger).note.memo


@pytest.mark.parametrize(
    ("skip_queue", "ago_s", "began_s"),
    [(True, QUIET_S + 31, 32), (False, HORIZON_S + 31, 32), (False, HORIZON_S + 31, None)],
    ids=["at once", "queued", "by a worker of before"],
)
def test_what_a_pass_did_not_see_is_judged_by_when_the_pass_began(skip_queue, ago_s, began_s):
    """A pass is interrupted where reads fail or are shut: what comes about meanwhile is there, and no letter."""
    intent, marks = fees(WINDOW + 1, skip_queue=skip_queue), "." * (WINDOW + 1)
    rest = at_once("APPLIED", WINDOW) if skip_queue else shown("APPLIED", WINDOW)

    def behind(began_s: float | None) -> Decision:
        began = {} if began_s is None else {"began": [NOW_MS - int(began_s * 1000), int((ago_s - began_s) * 1000)]}
        memo = {"marks": marks, "batch": BATCH, "at": WINDOW, **began}
        return decided(intent, looked(ago_s, refuse=True, code="TOO_LARGE", memo=memo), *rest)

    again = behind(None if began_s is None else began_s + 1)
    assert isinstance(again, Look)
    assert "at" not in again.note.memo, "all of it is read once more"
    # Nothing could come any more when that began.
    assert ended(behind(30)) == "partial ITEMS_MISSING"


@pytest.mark.parametrize("behind", [".", "q", "x"])
def test_what_is_open_or_another_behind_the_window_is_read_before_anything_is_decided(behind):
    memo = {"marks": "." * WINDOW + behind, "batch": ""}
    look = decided(fees(WINDOW + 1), looked(HORIZON_S, memo=memo))
    assert isinstance(look, Look)
    assert look.note.memo["at"] == WINDOW


@pytest.mark.parametrize(
    ("sign", "read"), [(".", True), ("q", True), ("x", True), ("a", False), ("h", False), ("r", False)]
)
def test_only_what_is_undecided_or_another_is_read_again(sign, read):
    found = asked(fees(2), looked(memo={"marks": f"{sign}.", "batch": ""}), Showing())
    assert found == (BOTH_NAMES if read else BOTH_NAMES[2:])


def test_an_atomic_batch_is_read_as_a_whole_because_what_happened_may_be_taken_back():
    ledger = Showing(undone(0, 1))
    letter = settled_by(ATOMIC, looked(SEEN_S, refuse=True, memo={"marks": "aa.", "batch": BATCH}), ledger)
    assert ended(letter) == "rejected ROLLED_BACK"


# -- the id of the batch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memo", "parents", "batch"),
    [
        ({}, ("bulk_1", "bulk_2"), "bulk_1"),
        ({}, ("txn_9", "bulk_2"), "bulk_2"),
        ({}, ("", "txn_9"), ""),
        ({"batch": "bulk_0"}, ("bulk_1", "bulk_2"), "bulk_0"),
    ],
)
def test_the_batch_is_that_of_the_first_item_that_has_one(memo, parents, batch):
    rows = [one for n, parent in enumerate(parents) for one in at_once("APPLIED", n, parent=parent)]
    done = decided(fees(2, skip_queue=True), looked(memo=memo), *rows)
    assert isinstance(done, Done)
    assert (done.transaction_id, done.note.memo["batch"], done.note.memo["marks"]) == (batch, batch, "aa")


def test_an_item_that_is_another_transaction_still_tells_its_batch():
    rows = at_once("APPLIED", 0, precise_amount=1)
    assert decided(fees(1, skip_queue=True), looked(), *rows).note.memo["batch"] == BATCH


# -- what it comes to ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "rows", "outcome", "word"),
    [
        ({}, shown("APPLIED", 0, 1), "applied", "applied"),
        ({"inflight": True}, shown("INFLIGHT", 0, 1), "held", "held"),
        ({"skip_queue": True, "inflight": True}, at_once("INFLIGHT", 0, 1), "held", "held"),
    ],
)
def test_it_is_done_when_all_items_are_there_as_asked(flags, rows, outcome, word):
    done = decided(fees(2, **flags), looked(), *rows)
    assert isinstance(done, Done)
    assert (done.outcome, done.transaction_id) == (outcome, BATCH)
    assert [text.split()[0] for text in done.note.parts.values()] == [word, word]
    assert done.note.memo["watched"]


def test_what_earlier_looks_saw_counts():
    memo = {"marks": "ah.", "batch": BATCH}
    assert ended(decided(fees(inflight=True), looked(memo=memo), *shown("INFLIGHT", 2))) == "Done"
    dead = decided(fees(inflight=True), looked(memo={**memo, "marks": "hr."}), *shown("INFLIGHT", 2))
    assert ended(dead) == "partial ITEMS_REJECTED"


REFUSED = {"refuse": True, "code": "TXN_VALIDATION_ERROR", "message": "no such balance"}
ACCEPTED = {"sends": 8, "accepted": True}
SAME, NOTHING = shown("APPLIED", 0), ()
REJECTED = shown("REJECTED", 1)
OTHER = shown("APPLIED", 2, precise_amount=99)


@pytest.mark.parametrize(
    ("seconds", "known", "rows", "end"),
    [
        # Not there: sent again once reads show it, unless it was accepted again and again to no effect.
        (SEEN_S - 2, {}, NOTHING, "Look"),
        (SEEN_S, {}, NOTHING, "Send"),
        (SEEN_S, {"sends": 7}, NOTHING, "Send"),
        (SEEN_S, ACCEPTED, NOTHING, "Look"),
        (HORIZON_S - 2, ACCEPTED, NOTHING, "Look"),
        (HORIZON_S, ACCEPTED, NOTHING, "unknown VANISHED"),
        (HORIZON_S, ACCEPTED, SAME, "partial ITEMS_MISSING"),
        (HORIZON_S, ACCEPTED, REJECTED, "partial ITEMS_MISSING"),
        (HORIZON_S, {"sends": 7}, SAME, "Send"),
        (SEEN_S, {}, [*SAME, *REJECTED], "Send"),
        (SEEN_S, {}, OTHER, "Send"),
        # Refused: the ledger's own tries of what was handed to it have to be over.
        (HORIZON_S - 2, REFUSED, NOTHING, "Look"),
        (HORIZON_S, REFUSED, NOTHING, "refused TXN_VALIDATION_ERROR"),
        (HORIZON_S, REFUSED, SAME, "partial ITEMS_MISSING"),
        (HORIZON_S, REFUSED, REJECTED, "partial ITEMS_MISSING"),
        (HORIZON_S, REFUSED, OTHER, "unknown REFERENCE_CONFLICT"),
        (HORIZON_S, REFUSED, [*SAME, *OTHER], "partial REFERENCE_CONFLICT"),
        # Queued: the ledger has it, and may take hours.
        (HORIZON_S, REFUSED, [queued(1)], "Look"),
        (HORIZON_S, ACCEPTED, [queued(1)], "Look"),
        (HORIZON_S, {}, [*SAME, queued(1), *OTHER], "Look"),
        (LATE_S - 1, REFUSED, [queued(1)], "Look"),
        (LATE_S, REFUSED, [queued(1)], "unknown STUCK_QUEUED"),
        (LATE_S, {}, [*SAME, queued(1), *OTHER], "unknown STUCK_QUEUED"),
        # All decided: at once.
        (1, {}, [*SAME, *REJECTED, *OTHER], "partial REFERENCE_CONFLICT"),
        (1, {}, [*shown("REJECTED", 0, 1), *OTHER], "unknown REFERENCE_CONFLICT"),
        (1, {}, [*SAME, *shown("REJECTED", 1, 2)], "partial ITEMS_REJECTED"),
        (1, {}, shown("REJECTED", 0, 1, 2), "rejected ITEMS_REJECTED"),
    ],
)
def test_what_the_items_come_to(seconds, known, rows, end):
    assert ended(decided(fees(), looked(seconds, **known), *rows)) == end


@pytest.mark.parametrize(("seconds", "end"), [(QUIET_S - 2, "Look"), (QUIET_S, "refused TXN_VALIDATION_ERROR")])
def test_what_goes_round_the_queue_is_refused_as_soon_as_no_request_can_be_under_way(seconds, end):
    assert ended(decided(fees(skip_queue=True), looked(seconds, **REFUSED))) == end


def test_holds_that_stand_make_a_partial_end_as_well():
    dead = decided(fees(2, inflight=True), looked(), *shown("INFLIGHT", 0), *REJECTED)
    assert ended(dead) == "partial ITEMS_REJECTED"
    assert dead.note.parts == {0: f"held {txn(300)}", 1: f"rejected {txn(301)}"}


@pytest.mark.parametrize(
    ("seconds", "known", "rows", "told"),
    [
        (HORIZON_S, ACCEPTED, SAME, "2 of 3 items are not at the ledger (sent 8 times): fee-1, fee-2."),
        (
            HORIZON_S,
            REFUSED,
            SAME,
            "2 of 3 items are not at the ledger (TXN_VALIDATION_ERROR: no such balance): fee-1, fee-2.",
        ),
        (HORIZON_S, REFUSED, NOTHING, "no such balance"),
        (
            LATE_S,
            REFUSED,
            [*SAME, queued(1)],
            "1 of 3 items are QUEUED at the ledger, which may still apply them: fee-1.",
        ),
        (
            1,
            {},
            [*SAME, *REJECTED, *shown("APPLIED", 2)],
            "1 of 3 items were rejected by the ledger; their references are used up: fee-1.",
        ),
        (
            1,
            {},
            [*shown("APPLIED", 0, precise_amount=7, currency="USD"), *shown("APPLIED", 1), *OTHER],
            "2 of 3 items have a reference that the ledger knows as another transaction's: fee-0, fee-2. Such as fee-0 "
            "precise_amount: asked 1050, has 7; currency: asked EUR, has USD.",
        ),
    ],
)
def test_a_letter_says_how_many_items_which_and_why(seconds, known, rows, told):
    assert decided(fees(), looked(seconds, **known), *rows).message == told


def test_a_letter_names_the_first_three():
    named = [decided(fees(n), looked(), *shown("REJECTED", *range(n))).message.partition(": ")[2] for n in (3, 4)]
    assert named == ["fee-0, fee-1, fee-2.", "fee-0, fee-1, fee-2, …."]


def test_a_letter_notes_what_became_of_each_item():
    dead = decided(fees(5), looked(LATE_S, **REFUSED), *SAME, *REJECTED, *OTHER, queued(3))
    assert dead.note.parts == {
        0: f"applied {txn(300)}",
        1: f"rejected {txn(301)}",
        2: f"conflict {txn(302)}",
        3: "queued",
        4: "missing",
    }
    assert dead.note.memo == {"marks": "arxq.", "batch": BATCH, "watched": looked(LATE_S).memo["watched"]}


def test_a_look_keeps_what_it_saw_for_the_next():
    look = decided(fees(), looked(), *SAME, queued(1))
    assert look.note.memo == {"marks": "aq.", "batch": BATCH, "watched": looked().memo["watched"]}
    assert look.note.parts == {0: f"applied {txn(300)}"}


def test_a_new_send_begins_to_watch_anew_and_leaves_out_what_is_there():
    send = decided(fees(), looked(SEEN_S), *SAME, *REJECTED)
    assert send.note.memo == {"marks": "ar.", "batch": BATCH, "go": True}
    assert send.note.parts == {0: f"applied {txn(300)}", 1: f"rejected {txn(301)}"}
    assert asked_again(fees(), send) == ["fee-2"]


def test_the_values_of_another_transaction_are_told_although_a_later_window_ends_the_pass():
    intent, many = fees(WINDOW + 1), [*shown("APPLIED", *range(1, WINDOW)), *shown("APPLIED", 0, precise_amount=7)]
    first = decided(intent, looked(), *many)
    assert isinstance(first, Look)
    dead = decided(intent, looked(memo=first.note.memo), *many, *shown("APPLIED", WINDOW))
    assert ended(dead) == "partial REFERENCE_CONFLICT"
    assert dead.message.endswith("Such as fee-0 precise_amount: asked 1050, has 7.")


def test_what_is_told_of_another_transaction_is_that_of_the_present_pass():
    intent, many = fees(WINDOW + 1), [*shown("APPLIED", *range(1, WINDOW)), *shown("APPLIED", 0, precise_amount=7)]
    first = decided(intent, looked(), *many)
    second = decided(intent, looked(memo=first.note.memo), *many)
    assert isinstance(second, Look)
    assert "such" not in second.note.memo
    assert first.note.memo["such"] == "fee-0 precise_amount: asked 1050, has 7"
    assert "such" not in decided(intent, looked(), *shown("APPLIED", *range(WINDOW))).note.memo


def test_a_look_at_what_is_all_decided_is_the_end():
    assert ended(decided(fees(), looked(memo={"marks": "aaa", "batch": BATCH}))) == "Done"


def test_a_letter_without_anything_to_compare_says_just_which():
    """Noted by a release that did not keep the values."""
    marks = {"marks": "x" + "a" * (WINDOW - 1) + ".", "batch": BATCH, "at": WINDOW}
    dead = decided(fees(WINDOW + 1), looked(memo=marks), *shown("APPLIED", WINDOW))
    assert dead.message.endswith("as another transaction's: fee-0.")


# -- all or none -----------------------------------------------------------------------------------------------------

DUPLICATE = {"code": "TXN_DUPLICATE_REFERENCE", "message": "used"}
SHORT = {"refuse": True, "code": "TXN_INSUFFICIENT_FUNDS", "message": "no money"}
STRANGE = at_once("APPLIED", 1, precise_amount=99)
SOMEBODYS = [queued(1)]
SOMEBODYS_NO = shown("REJECTED", 1)


@pytest.mark.parametrize(
    ("seconds", "known", "rows", "end"),
    [
        # An item of somebody else's request waits at the ledger: neither the rest of it is sent, nor all anew.
        (QUIET_S, DUPLICATE, SOMEBODYS, "Look"),
        (QUIET_S, DUPLICATE, [*undone(0), *SOMEBODYS], "Look"),
        (LATE_S - 1, DUPLICATE, [*undone(0), *SOMEBODYS], "Look"),
        (LATE_S, DUPLICATE, [*undone(0), *SOMEBODYS], "unknown STUCK_QUEUED"),
        (LATE_S, SHORT, SOMEBODYS, "unknown STUCK_QUEUED"),
        # It was rejected: nothing of ours can happen under these references.
        (QUIET_S - 2, DUPLICATE, SOMEBODYS_NO, "Look"),
        (QUIET_S, DUPLICATE, SOMEBODYS_NO, "rejected ITEMS_REJECTED"),
        (QUIET_S - 2, DUPLICATE, [*undone(0), *SOMEBODYS_NO], "Look"),
        (QUIET_S, DUPLICATE, [*undone(0), *SOMEBODYS_NO], "rejected ITEMS_REJECTED"),
        (SEEN_S, SHORT, [*undone(0), *SOMEBODYS_NO], "rejected ITEMS_REJECTED"),
        (HORIZON_S, DUPLICATE, [*at_once("APPLIED", 0), *SOMEBODYS_NO], "partial ITEMS_REJECTED"),
        # It is another transaction: a letter, once it is known what became of the others.
        (QUIET_S - 2, DUPLICATE, [*undone(0), *STRANGE], "Look"),
        (QUIET_S, DUPLICATE, [*undone(0), *STRANGE], "unknown REFERENCE_CONFLICT"),
        (QUIET_S, DUPLICATE, STRANGE, "unknown REFERENCE_CONFLICT"),
        (QUIET_S, DUPLICATE, [*undone(0), *STRANGE, queued(2)], "unknown REFERENCE_CONFLICT"),
        (HORIZON_S - 2, DUPLICATE, [*at_once("APPLIED", 0, 2), *STRANGE], "Look"),
        (HORIZON_S, DUPLICATE, [*at_once("APPLIED", 0, 2), *STRANGE], "partial REFERENCE_CONFLICT"),
        (HORIZON_S, DUPLICATE, [*undone(0), *at_once("APPLIED", 2), *STRANGE], "partial REFERENCE_CONFLICT"),
        (LATE_S - 1, DUPLICATE, [*at_once("APPLIED", 0), *refunds("QUEUED", 0), *STRANGE], "Look"),
        (LATE_S, DUPLICATE, [*at_once("APPLIED", 0), *refunds("QUEUED", 0), *STRANGE], "partial REFERENCE_CONFLICT"),
    ],
)
def test_an_atomic_batch_is_never_sent_around_a_reference_that_is_taken(seconds, known, rows, end):
    """The others would happen without that item, or, under new references, it could happen twice."""
    assert ended(decided(ATOMIC, looked(seconds, **known), *rows)) == end


def test_the_letter_of_an_atomic_batch_says_that_its_items_were_taken_back():
    dead = decided(ATOMIC, looked(HORIZON_S, **DUPLICATE), *undone(0), *STRANGE)
    assert dead.message == (
        "1 of 3 items have a reference that the ledger knows as another transaction's: fee-1. Such as fee-1 "
        "precise_amount: asked 1050, has 99."
    )
    assert dead.note.parts == {0: f"undone {txn(100)}", 1: f"conflict {txn(101)}", 2: "missing"}
    assert dead.note.memo == {"marks": "ax.", "batch": BATCH, "watched": looked(HORIZON_S).memo["watched"]}


def test_the_letter_of_an_atomic_batch_names_what_is_queued_or_was_rejected():
    stuck = decided(ATOMIC, looked(LATE_S, **DUPLICATE), *undone(0), *SOMEBODYS)
    assert stuck.message == "1 of 3 items are QUEUED at the ledger, which may still apply them: fee-1."
    assert stuck.note.parts == {0: f"undone {txn(100)}", 1: "queued", 2: "missing"}
    dead = decided(ATOMIC, looked(QUIET_S, **DUPLICATE), *undone(0), *SOMEBODYS_NO)
    assert dead.message == "1 of 3 items were rejected by the ledger; their references are used up: fee-1."
    assert dead.note.parts == {0: f"undone {txn(100)}", 1: f"rejected {txn(301)}", 2: "missing"}


def test_a_look_at_an_atomic_batch_notes_what_is_taken_back_and_what_is_being():
    rows = [*undone(0), *at_once("APPLIED", 1), *refunds("QUEUED", 1)]
    look = decided(ATOMIC, looked(QUIET_S, **DUPLICATE), *rows)
    assert isinstance(look, Look)
    assert look.note.parts == {0: f"undone {txn(100)}", 1: f"undoing {txn(101)}"}
    assert look.note.memo == {"marks": "aa.", "batch": BATCH, "watched": looked(QUIET_S).memo["watched"]}


def test_an_atomic_batch_is_sent_again_as_a_whole_where_nothing_is_there():
    send = decided(ATOMIC, looked(QUIET_S, **DUPLICATE, memo={"marks": "a..", "batch": ""}))
    assert asked_again(ATOMIC, send) == ["fee-0", "fee-1", "fee-2"]
    assert send.note.parts == {}


def test_the_letter_of_an_atomic_batch_of_which_some_stands_names_its_items_and_amounts():
    dead = decided(ATOMIC, looked(HORIZON_S), *undone(0), *at_once("APPLIED", 1))
    assert ended(dead) == "partial ROLLBACK_INCOMPLETE"
    assert dead.message == (
        f"Happened: fee-1 1050 as {txn(101)}. Did not: fee-2 1050. Was taken back: fee-0 1050 as {txn(100)}."
    )
    assert dead.note.parts == {0: f"undone {txn(100)}", 1: f"applied {txn(101)}", 2: "missing"}


def test_what_begins_anew_is_told_as_rolled_back_where_it_may_not():
    renew = decided(ATOMIC, looked(QUIET_S, **DUPLICATE), *undone(0, 1))
    assert isinstance(renew, Renew)
    assert ended(renew.otherwise) == "rejected ROLLED_BACK"
    assert renew.otherwise.note.parts == {0: f"undone {txn(100)}", 1: f"undone {txn(101)}", 2: "missing"}
    assert renew.otherwise.note.memo == {
        "marks": "aa.",
        "batch": BATCH,
        "watched": looked(QUIET_S).memo["watched"],
    }


@pytest.mark.parametrize(("status", "outcome"), [("APPLIED", "applied"), ("INFLIGHT", "held")])
def test_an_atomic_batch_that_stands_is_done(status, outcome):
    intent = fees(skip_queue=True, atomic=True, inflight=status == "INFLIGHT")
    done = decided(intent, looked(accepted=True), *at_once(status, 0, 1, 2))
    assert isinstance(done, Done)
    assert (done.outcome, done.transaction_id) == (outcome, BATCH)
    assert done.note.parts == {n: f"{outcome} {txn(100 + n)}" for n in range(3)}


def test_who_pays_is_part_of_what_is_compared():
    assert ended(decided(fees(1), looked(), *shown("APPLIED", 0, destination=BANK, source=ALICE))) == (
        "unknown REFERENCE_CONFLICT"
    )
