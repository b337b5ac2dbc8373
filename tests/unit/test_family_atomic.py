"""What is left of several movements that were to happen together: each one's fate, and what they come to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from casebook import NOW_MS, POLICY, row, sent, txn
from kindbook import HORIZON_S, QUIET_S, SEEN_S

from blnk_relay.families.atomic import Fate, Part, decide_together, fate_of, undoing_lookups
from blnk_relay.intents.decision import Dead, Decision, Look, Renew, Send
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.rows import CLOCKS_APART_MS

LATE_S = POLICY.stuck_horizon_s + 1


def refund(status: str, first: bool = False) -> Row:
    """The refund of row 1, first as it was queued and then as it was done."""
    return row(2, txn(1) + ("_refund" if first else "_refund_q"), status, parent=txn(1))


def child(number: int, status: str) -> Row:
    """A row below the hold 1."""
    return row(number, f"ref_{number}", status, parent=txn(1))


APPLIED, HELD = row(1, "r", "APPLIED"), row(1, "r", "INFLIGHT")


@pytest.mark.parametrize(
    ("movement", "others", "fate"),
    [
        (None, [], Fate.ABSENT),
        (APPLIED, [], Fate.STANDS),
        (APPLIED, [refund("QUEUED", first=True)], Fate.UNDOING),
        (APPLIED, [refund("QUEUED", first=True), refund("APPLIED")], Fate.UNDONE),
        (APPLIED, [refund("APPLIED", first=True)], Fate.UNDONE),
        (APPLIED, [refund("QUEUED", first=True), refund("REJECTED")], Fate.STANDS),
        (HELD, [], Fate.STANDS),
        (HELD, [child(3, "VOID")], Fate.UNDONE),
        (HELD, [child(3, "APPLIED")], Fate.STANDS),
        (HELD, [child(3, "APPLIED"), child(4, "VOID")], Fate.STANDS),
    ],
)
def test_the_fate_of_a_movement_is_read_from_its_refund_or_from_what_settled_the_hold(movement, others, fate):
    shown = [*([movement] if movement else []), *others, row(9, "somebody", "VOID", parent=txn(8))]
    assert fate_of(movement, Found(shown)) == fate


def test_refunds_are_looked_for_by_their_names_and_voids_below_their_holds():
    rows = [row(1, "a", "APPLIED"), row(2, "b", "INFLIGHT"), row(3, "c", "APPLIED")]
    asked = (
        Lookup("transactions", "reference", f"{txn(1)}_refund"),
        Lookup("transactions", "reference", f"{txn(1)}_refund_q"),
        Lookup("transactions", "parent_transaction", txn(2)),
        Lookup("transactions", "reference", f"{txn(3)}_refund"),
        Lookup("transactions", "reference", f"{txn(3)}_refund_q"),
    )
    assert undoing_lookups(rows, Found()) == asked
    assert undoing_lookups(rows, Found(asked=asked[:3])) == asked[3:]


def part(number: int, fate: Fate = Fate.STANDS, status: str = "APPLIED", made: str = "") -> Part:
    """The movement called after its number, of ten times that."""
    there = (
        None if fate is Fate.ABSENT else row(number, f"r-{number}", status, **({"created_at": made} if made else {}))
    )
    return Part(f"leg-{number}", number * 10, there, fate)


@pytest.mark.parametrize(
    ("one", "noted", "words"),
    [
        (part(1), f"applied {txn(1)}", f"leg-1 10 as {txn(1)}"),
        (part(1, status="INFLIGHT"), f"held {txn(1)}", f"leg-1 10 as {txn(1)}"),
        (part(2, Fate.UNDONE), f"undone {txn(2)}", f"leg-2 20 as {txn(2)}"),
        (part(2, Fate.UNDOING, "INFLIGHT"), f"undoing {txn(2)}", f"leg-2 20 as {txn(2)}"),
        (part(3, Fate.ABSENT), "missing", "leg-3 30"),
    ],
)
def test_a_movement_is_told_with_its_amount_and_its_row(one, noted, words):
    assert (one.noted(), one.in_words()) == (noted, words)


def ended(decision: Decision | None) -> str:
    match decision:
        case None:
            return "all stand"
        case Dead(dead_class, code):
            return f"{dead_class} {code}"
    return type(decision).__name__


def looked(ago_s: float = 1, **changes: Any) -> Progress:
    """A request that was sent so long ago, and looked for ever since."""
    return sent(int(ago_s * 1000), **changes)


STANDS, UNDONE, UNDOING, ABSENT = Fate.STANDS, Fate.UNDONE, Fate.UNDOING, Fate.ABSENT
ACCEPTED = {"accepted": True, "sends": 1}
LOCKED = {"code": "GEN_RESOURCE_LOCKED", "message": "locked"}
SHORT = {"refuse": True, "code": "TXN_INSUFFICIENT_FUNDS", "message": "no money"}
IN_VAIN = {"accepted": True, "sends": 8}
PARTIAL = "partial ROLLBACK_INCOMPLETE"


@pytest.mark.parametrize(
    ("fates", "seconds", "known", "end"),
    [
        # All of it is there.
        ((STANDS, STANDS), 1, ACCEPTED, "all stand"),
        ((UNDONE, UNDONE), 1, ACCEPTED, "all stand"),
        ((STANDS, STANDS), SEEN_S - 2, LOCKED, "Look"),
        ((STANDS, STANDS), SEEN_S - 1, LOCKED, "all stand"),
        ((UNDONE, UNDONE), SEEN_S - 2, LOCKED, "Look"),
        ((UNDONE, UNDONE), SEEN_S - 1, LOCKED, "unknown TAKEN_BACK"),
        ((UNDONE, STANDS), HORIZON_S - 2, LOCKED, "Look"),
        ((UNDONE, STANDS), HORIZON_S - 1, LOCKED, PARTIAL),
        ((UNDONE, UNDOING), HORIZON_S, LOCKED, "Look"),
        ((UNDONE, UNDOING), LATE_S - 2, LOCKED, "Look"),
        ((UNDONE, UNDOING), LATE_S - 1, LOCKED, PARTIAL),
        # Some of it is there.
        ((STANDS, ABSENT), HORIZON_S - 2, LOCKED, "Look"),
        ((STANDS, ABSENT), HORIZON_S - 1, LOCKED, PARTIAL),
        ((STANDS, ABSENT), HORIZON_S - 1, ACCEPTED, PARTIAL),
        ((STANDS, UNDONE, ABSENT), SEEN_S, SHORT, "Look"),
        ((STANDS, UNDONE, ABSENT), HORIZON_S, SHORT, PARTIAL),
        ((UNDOING, UNDONE, ABSENT), LATE_S - 2, SHORT, "Look"),
        ((UNDOING, UNDONE, ABSENT), LATE_S - 1, SHORT, PARTIAL),
        # What was there was taken back: for good, or for a reason that may pass.
        ((UNDONE, ABSENT), SEEN_S - 2, SHORT, "Look"),
        ((UNDONE, ABSENT), SEEN_S - 1, SHORT, "rejected ROLLED_BACK"),
        ((UNDONE, ABSENT), SEEN_S - 1, LOCKED, "Look"),
        ((UNDONE, ABSENT), QUIET_S - 2, LOCKED, "Look"),
        ((UNDONE, ABSENT), QUIET_S - 1, LOCKED, "Renew"),
        # Nothing is there.
        ((ABSENT, ABSENT), QUIET_S - 2, LOCKED, "Look"),
        ((ABSENT, ABSENT), QUIET_S - 1, LOCKED, "Send"),
        ((ABSENT, ABSENT), SEEN_S - 2, ACCEPTED, "Look"),
        ((ABSENT, ABSENT), SEEN_S - 1, ACCEPTED, "Send"),
        ((ABSENT, ABSENT), QUIET_S - 2, {**SHORT, "accepted": True}, "Look"),
        ((ABSENT, ABSENT), QUIET_S - 2, SHORT, "Look"),
        ((ABSENT, ABSENT), QUIET_S - 1, SHORT, "refused TXN_INSUFFICIENT_FUNDS"),
        ((ABSENT, ABSENT), HORIZON_S - 2, IN_VAIN, "Look"),
        ((ABSENT, ABSENT), HORIZON_S - 1, IN_VAIN, "unknown VANISHED"),
    ],
)
def test_what_movements_come_to_together(fates, seconds, known, end):
    parts = [part(number, fate) for number, fate in enumerate(fates, 1)]
    assert ended(decide_together(parts, looked(seconds, **known), POLICY)) == end


def test_a_look_is_watched_and_a_new_send_records_nothing_of_it():
    look = decide_together([part(1), part(2, ABSENT)], looked(SEEN_S, **SHORT), POLICY)
    assert isinstance(look, Look)
    assert look.refuse
    assert look.note is not None
    assert look.note.memo == looked(SEEN_S).memo
    assert decide_together([part(1, ABSENT)], looked(QUIET_S), POLICY) == Send()


@pytest.mark.parametrize(
    ("fates", "seconds", "known", "told"),
    [
        (
            (STANDS, UNDOING, ABSENT, UNDONE),
            LATE_S,
            SHORT,
            f"Happened: leg-1 10 as {txn(1)}, leg-2 20 as {txn(2)}. Did not: leg-3 30. "
            f"Was taken back: leg-4 40 as {txn(4)}. TXN_INSUFFICIENT_FUNDS: no money",
        ),
        ((STANDS, ABSENT), HORIZON_S, {}, f"Happened: leg-1 10 as {txn(1)}. Did not: leg-2 20."),
        (
            (STANDS, ABSENT, ABSENT, ABSENT, ABSENT),
            HORIZON_S,
            {},
            f"Happened: leg-1 10 as {txn(1)}. Did not: leg-2 20, leg-3 30, leg-4 40 and 1 more.",
        ),
        (
            (UNDONE, UNDONE),
            SEEN_S,
            LOCKED,
            "All of it happened, and all was taken back, by the ledger or since: "
            f"leg-1 10 as {txn(1)}, leg-2 20 as {txn(2)}. GEN_RESOURCE_LOCKED: locked",
        ),
        (
            (UNDONE,),
            SEEN_S,
            {},
            f"All of it happened, and all was taken back, by the ledger or since: leg-1 10 as {txn(1)}.",
        ),
        (
            (UNDONE, ABSENT),
            SEEN_S,
            SHORT,
            "One failed, and the ledger took the others back. TXN_INSUFFICIENT_FUNDS: no money",
        ),
        ((ABSENT,), QUIET_S, SHORT, "no money"),
        ((ABSENT,), HORIZON_S, IN_VAIN, "Sent 8 times, and the ledger shows no row for it."),
    ],
)
def test_a_letter_says_what_stands_what_does_not_and_why(fates, seconds, known, told):
    parts = [part(number, fate) for number, fate in enumerate(fates, 1)]
    letter = decide_together(parts, looked(seconds, **known), POLICY)
    assert isinstance(letter, Dead)
    assert letter.message == told


@pytest.mark.parametrize(("known", "more"), [(LOCKED, " GEN_RESOURCE_LOCKED: locked"), ({}, "")])
def test_what_cannot_begin_anew_ends_as_taken_back_with_the_reason(known, more):
    renew = decide_together([part(1, UNDONE), part(2, ABSENT)], looked(QUIET_S, **known), POLICY)
    assert isinstance(renew, Renew)
    assert ended(renew.otherwise) == "rejected ROLLED_BACK"
    assert renew.otherwise.message == "One failed, and the ledger took the others back." + more


def at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


FORGOTTEN_MS = NOW_MS - 9_000_000


@pytest.mark.parametrize(
    ("again", "made_ms", "end"),
    [
        (True, (FORGOTTEN_MS, FORGOTTEN_MS), "all stand"),
        (True, (FORGOTTEN_MS, FORGOTTEN_MS + CLOCKS_APART_MS), "all stand"),
        (True, (FORGOTTEN_MS, FORGOTTEN_MS + CLOCKS_APART_MS + 1), "unknown TAKEN_BACK"),
        (True, (FORGOTTEN_MS + CLOCKS_APART_MS + 1, FORGOTTEN_MS), "unknown TAKEN_BACK"),
        (False, (FORGOTTEN_MS, FORGOTTEN_MS), "unknown TAKEN_BACK"),
    ],
)
def test_what_had_all_happened_before_its_key_was_forgotten_was_done_then(again, made_ms, end):
    """Whatever took it back came after the outcome that was told under that key."""
    parts = [part(number, UNDONE, made=at(ms)) for number, ms in enumerate(made_ms, 1)]
    assert ended(decide_together(parts, looked(SEEN_S, again=again, lost_ms=FORGOTTEN_MS), POLICY)) == end
