"""What can be decided of an intent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blnk_relay.intents.dead_class import DeadClass as DeadClass  # noqa: PLC0414 - a decision names it
from blnk_relay.intents.outcomes import OutcomeName


@dataclass(frozen=True, slots=True)
class Note:
    """What a look leaves with an intent of several parts: a split's legs, a bulk's items.

    Attributes:
        memo: Takes the place of the memo.
        parts: Number of a part, from 0, to ``"<status>"`` or ``"<status> <row id>"``; others stay as they were noted.
        made: Rows that the intent wrote to, to the ids of those that it made below them; see :attr:`Send.seen`.
    """

    memo: Mapping[str, Any]
    parts: Mapping[int, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Send it now.

    Attributes:
        memo: To be recorded before sending, or None when nothing must be.
        exclusive: A row, or rows, that only one intent may be writing to; empty for none.
        seen: Ids of the rows below it, or them, that the decision rests on. The journal knows those that earlier
            intents made; should one of them be missing here, the read lagged, and the decision is not carried out.
            None where what was made may be gone by now, so that nothing follows from its absence.
        note: Where a look at the ledger led to it: what that look leaves.
        perhaps_ours: Ids of rows below it, or them, that may be this very intent's work, from moments that the journal
            has lost. It is sent only if the journal knows each as the work of another intent.
        otherwise: What it comes to if it does not.
        settled_s: Seconds before the read that the decision rests on in which nothing of ours may have been written to
            the row: what a read shows of its values may be older.
    """

    memo: Mapping[str, Any] | None = None
    exclusive: str | tuple[str, ...] = ""
    seen: tuple[str, ...] | None = ()
    note: Note | None = None
    perhaps_ours: tuple[str, ...] = ()
    otherwise: Dead | None = None
    settled_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """The ledger shows the outcome. The ids are those of real rows, never a phantom's (contract §3.2)."""

    outcome: OutcomeName
    transaction_id: str = ""
    parent_id: str = ""
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """A human has to decide."""

    dead_class: DeadClass
    code: str
    message: str
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Read the ledger again after a pause, and decide then.

    Attributes:
        in_s: Seconds until then.
        refuse: If nothing is found by then, it is refused rather than sent again.
    """

    in_s: float
    refuse: bool = False
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing happened; try again after a pause.

    Attributes:
        in_s: Seconds until then.
        counted: Whether this attempt counts towards the limit.
    """

    in_s: float
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Renew:
    """The ledger took back all that it did, for a reason that may pass: send it again, under fresh references.

    Attributes:
        otherwise: What it comes to when nothing may be sent any more.
    """

    otherwise: Dead


Decision = Send | Done | Dead | Look | Again | Renew


def refused(code: str, message: str) -> Dead:
    """It is known not to have happened, and the code says why."""
    return Dead(DeadClass.REFUSED, code, message)
