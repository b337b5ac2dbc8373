"""Reading the ledger's rows: which one decides, what a hold has left, whether a row is ours (contract §3.4, §3.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Dead, DeadClass, Look
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.progress import Policy, Progress

#: Statuses after which a row's own story is over (contract §3.4).
FINAL = frozenset({"APPLIED", "INFLIGHT", "REJECTED", "VOID"})

#: Code of a dead letter that only a human can tell from an outcome, because the journal has lost what it knew.
MOMENT_LOST = "MOMENT_LOST"

#: The same, because the journal has forgotten keys.
KEY_FORGOTTEN = "KEY_FORGOTTEN"

#: How far apart the clocks of the ledger and of the journal may be.
CLOCKS_APART_MS = 300_000

_MAX_MESSAGE = 300

#: Parts, items or holds that a message names.
MOST_NAMED = 3

#: Longest id, code or reference that is taken from an answer, and may be kept: those of the ledger are 41 characters, a
#: reference has 255, and what the ledger derives from one some more.
_MAX_ID = 512


def family(reference: str) -> tuple[Lookup, Lookup]:
    """Look-ups for everything that a single transaction can leave behind: ``R`` and ``R_q`` (contract §3.4)."""
    return Lookup("transactions", "reference", reference), Lookup("transactions", "reference", reference + "_q")


def final_row(found: Found, reference: str) -> Row | None:
    """The row that decides a reference: its queued child, else the row itself once it is final (contract §3.5)."""
    child = found.reference(reference + "_q")
    if child is not None and child.status in FINAL:
        return child
    own = found.reference(reference)
    return own if own is not None and own.status in FINAL else None


def is_row_id(text: str) -> bool:
    """Whether a text names a row rather than a reference; references never start so (contract §3.4)."""
    return text.startswith("txn_")


def missing(found: Found, *wanted: Lookup) -> tuple[Lookup, ...]:
    """Those of the look-ups that were not asked yet."""
    return tuple(lookup for lookup in wanted if lookup not in found.asked)


def find_named(found: Found, name: str) -> tuple[Row | None, tuple[Lookup, ...]]:
    """The deciding row of a transaction named by row id or by reference.

    The id of a queued parent is followed to its child, because the parent stays QUEUED for ever and acting on it
    proves nothing (contract §0.1 facts 4 and 11).

    Args:
        found: What was read so far.
        name: ``txn_…`` or a reference.

    Returns:
        The row, or None when it is not there (yet), and the look-ups that are still missing.
    """
    if not is_row_id(name):
        return final_row(found, name) or found.reference(name), missing(found, *family(name))
    row = found.row(name)
    if row is None:
        return None, missing(found, Lookup("transactions", "transaction_id", name))
    if row.status in FINAL:
        return row, ()
    return final_row(found, row.reference) or row, missing(found, *family(row.reference))


def text_of(body: Mapping[str, Any], field: str) -> str:
    """A field of an answer that is a text as ids, codes and references are; else, or if it is endless, an empty one."""
    value = body.get(field)
    return value if isinstance(value, str) and len(value) <= _MAX_ID else ""


def look_again(progress: Progress, policy: Policy) -> Look | Dead:
    """Look again, less and less often; in the end a human has to."""
    if horizons.watch(progress, policy).seconds > policy.stuck_horizon_s:
        return Dead(
            DeadClass.UNKNOWN, "UNDECIDED", "It may have been sent, and the ledger never showed what became of it."
        )
    return horizons.look_on(progress, policy)


def made_ms(created_at: str) -> int:
    """When the ledger made a row, in milliseconds since 1970; 0 where that cannot be read.

    Example:
        >>> made_ms("2026-11-25T10:00:00.123456789Z")
        1795600800123
    """
    try:
        return int(datetime.fromisoformat(created_at).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def unless_made_since(progress: Progress, rows: Iterable[Row]) -> Progress:
    """Progress of what may repeat an intent whose key is forgotten, once it is seen that it does not.

    What is forgotten was over long ago; a row that was made since then is somebody else's.
    """
    if not (progress.again and progress.forgotten):
        return progress
    latest_ms = max((made_ms(row.created_at) for row in rows), default=0)
    if latest_ms <= progress.lost_ms + CLOCKS_APART_MS:
        return progress
    return replace(progress, sent=False, last_sent_ms=0, lost_ms=0, again=False)


def row_age_s(row: Row, progress: Progress) -> float:
    """Seconds for which an intent has waited for a row that is undecided, and could have: not before it was made.

    The clock that it was made by is the ledger's; against hours, what that differs by does not matter.
    """
    made = made_ms(row.created_at)
    return min(progress.age_s, max(0.0, (progress.now_ms - made) / 1000)) if made else progress.age_s


def some_of(names: Sequence[str]) -> str:
    """The first of many names, and how many there are more."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def capped(text: str) -> str:
    """A message short enough to keep."""
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"
