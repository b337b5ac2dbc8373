"""What became of an intent by what history has of it, where its journal has no more than what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from blnk_relay.history.opening import database_of
from blnk_relay.intents.states import State
from blnk_relay.journal.copying import OPEN
from blnk_relay.journal.seal import Seal, keys_in
from blnk_relay.journal.status import Attempt, Status, moment

if TYPE_CHECKING:
    from blnk_relay.history.values import Ended, Life, Line
    from blnk_relay.intents.dead_class import DeadClassName
    from blnk_relay.intents.outcomes import OutcomeName
    from blnk_relay.intents.states import StateName
    from blnk_relay.journal.journal import Journal
    from blnk_relay.journal.status import AttemptName

#: States in history that are not the last one.
UNSURE = (State.DEAD, OPEN)


@dataclass(frozen=True, slots=True)
class Past:
    """What history has of an intent.

    Attributes:
        status: What it came to.
        attempts: What was tried for it, and what operators did with it, oldest first.
        lives: Each of its lives as a letter, oldest first.
    """

    status: Status
    attempts: tuple[Attempt, ...]
    lives: tuple[Life, ...]


def recalled(journal: Journal, left: Status) -> Past | None:
    """What history has of an intent that was trimmed; None for nothing.

    Args:
        journal: Its journal, whose settings name the database.
        left: What is left of it there.

    Raises:
        HistoryUnavailable: The database cannot be used.
        InvalidSettings: Its address cannot be, or what it needs is not installed.
    """
    settings = journal.settings
    database = database_of(settings)
    try:
        from blnk_relay.history.recall import recall

        database.id()
        copied = database.journals().get(f"{settings.namespace}:{journal.target}")
        if copied is None:
            return None
        with database.reading() as connection:
            found = recall(connection, copied.number, left.id)
    finally:
        database.close()
    if found is None:
        return None
    status = status_of(journal.target, found.ended, journal.seal)
    if found.ended.state in UNSURE:
        status = ended_since(status, left)
    return Past(
        status,
        tuple(_attempt(line) for line in found.lines),
        tuple(replace(life, message=journal.seal.told(left.id, "message", life.message)) for life in found.lives),
    )


def status_of(target: str, one: Ended, seal: Seal | None = None) -> Status:
    """What history has of an intent, as a status.

    Args:
        target: Of its journal.
        one: What stands there.
        seal: Shows what is hidden; without it that is said to be.
    """
    keys = keys_in(one.encrypted)
    message = one.message if not one.message.startswith("\x01") else "(encrypted)"
    return Status(
        id=one.id, key=one.key, kind=one.kind, target=target, lane=one.lane,
        state=cast("StateName", "ready" if one.state == OPEN else one.state),
        outcome=cast("OutcomeName", one.outcome), transaction_id=one.transaction_id, parent_id=one.parent_id,
        reference=one.reference, dead_class=cast("DeadClassName", one.dead_class), code=one.code,
        message=message if seal is None else seal.told(one.id, "message", one.message),
        attempts=one.attempts, generation=one.generation, created=moment(one.created_ms),
        updated=moment(one.ended_ms), encrypted=tuple(name.partition(".")[0] for name in keys),
    )  # fmt: skip


def ended_since(status: Status, left: Status) -> Status:
    """What history has of an intent that was not over when it was copied, as it ended by what is left of it.

    Args:
        status: What history has.
        left: What its journal has kept of it.
    """
    return replace(
        status, state=left.state, outcome=left.outcome, dead_class="", code="", message="",
        transaction_id=left.transaction_id or status.transaction_id,
    )  # fmt: skip


def _attempt(line: Line) -> Attempt:
    return Attempt(
        moment(line.at_ms), cast("AttemptName", line.what), line.status, line.code, line.latency_ms, line.worker,
        line.note, line.request_id, line.count, None if line.last_ms is None else moment(line.last_ms),
    )  # fmt: skip
