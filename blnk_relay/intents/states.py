"""The states of an intent, and the sets of them that mean something; docs/architecture.md draws how they follow."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal


class State(StrEnum):
    """How far an intent has come."""

    WAITING = "waiting"  #: For its turn in an order, or for other intents.
    READY = "ready"  #: Due, now or later.
    SENDING = "sending"  #: In the hands of a worker, under a lease.
    POSTED = "posted"  #: Handed over; the ledger has to show the outcome.
    DONE = "done"  #: The outcome stands in the ledger.
    CANCELLED = "cancelled"  #: Taken back before it was sent.
    DEAD = "dead"  #: A dead letter: a human has to decide.
    DISCARDED = "discarded"  #: A dead letter that a human has closed.


#: The same as a type: a state that is compared with a misspelt name is an error of types, as it would not be with the
#: enum. Values in hand are of this type; the enum is for what is written, listed and walked through.
StateName = Literal["waiting", "ready", "sending", "posted", "done", "cancelled", "dead", "discarded"]

#: How far one comes without a human, and what is told in the stream of events.
EventName = Literal["done", "dead", "cancelled", "discarded"]

#: A machine is still at it.
OPEN: Final[frozenset[str]] = frozenset({State.WAITING, State.READY, State.SENDING, State.POSTED})

#: Its story is over, for a machine.
FINISHED: Final[frozenset[str]] = frozenset(State) - OPEN

#: Not over, or waiting for a human.
UNFINISHED: Final[tuple[State, ...]] = (*(state for state in State if state in OPEN), State.DEAD)

#: Closed or to be closed by a human.
LETTERS: Final[frozenset[str]] = frozenset({State.DEAD, State.DISCARDED})

#: Its set in the journal is scored by the time at which an intent came into it.
TIMED: Final[frozenset[str]] = FINISHED | {State.WAITING}
