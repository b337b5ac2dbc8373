"""How long intents take, told to whoever measures it: by the clock of the journal, once it has the verdict."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import Protocol

from blnk_relay.intents.states import State
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.settlement import Settlement


class Span(StrEnum):
    """From where to where in the life of an intent."""

    SENT = "accept_to_sent"  #: From its acceptance until it was first sent.
    SETTLED = "sent_to_confirmed"  #: From there until the ledger had shown what it came to.
    WHOLE = "accept_to_confirmed"  #: Both together.


class Meter(Protocol):
    """Takes what was measured. Threads share it, and it must cost next to nothing."""

    def took(self, span: Span, target: str, lane: str, seconds: float) -> None:
        """How long an intent took."""

    def answered(self, target: str, side: str, status: str, seconds: float) -> None:
        """One request to a ledger.

        Args:
            target: Which ledger.
            side: ``write`` or ``read``.
            status: Of the answer, see :func:`status_class`.
            seconds: From sending to the end of the answer.
        """


#: Every answer that there can be.
STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "not_sent", "broken", "other")


def status_class(status: int, failure: str | None) -> str:
    """An answer as one of few words.

    Example:
        >>> status_class(201, None), status_class(0, "broken"), status_class(999, None)
        ('2xx', 'broken', 'other')
    """
    told = failure or f"{status // 100}xx"
    return told if told in STATUS_CLASSES else "other"


def tell(meter: Meter, target: str, settlements: Sequence[Settlement], stale: Collection[str]) -> None:
    """Tell how long intents took whose verdicts the journal has just been given; stale ones are somebody else's."""
    for settlement in settlements:
        claimed = settlement.claimed
        if claimed.entry.id not in stale:
            now_ms = claimed.progress.now_ms + (steady_s() - claimed.claimed_s) * 1000
            for span, seconds in spans(settlement, now_ms):
                meter.took(span, target, claimed.entry.lane, seconds)


def spans(settlement: Settlement, now_ms: float) -> Iterator[tuple[Span, float]]:
    """What a verdict brings to its end.

    An intent is first sent once, whatever references it is sent under later. What was done without being sent by us,
    or was sent in moments that nobody remembers, says nothing of how long the ledger took.

    Args:
        settlement: The verdict.
        now_ms: The time, by the clock of the journal.
    """
    progress = settlement.claimed.progress
    if not progress.created_ms:
        # It cannot be read.
        return
    first_ms = progress.first_sent_ms or int(settlement.fields.get("sent_first", "0"))
    if first_ms and not progress.first_sent_ms and not progress.generation:
        yield Span.SENT, max(0.0, first_ms - progress.created_ms) / 1000
    if settlement.to == State.DONE:
        if first_ms:
            yield Span.SETTLED, max(0.0, now_ms - first_ms) / 1000
        yield Span.WHOLE, max(0.0, now_ms - progress.created_ms) / 1000
