"""What keeps an open intent, in words; for whoever has waited for it in vain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blnk_relay.intents.states import State
from blnk_relay.journal.entries import head_of
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.status import Status

#: Intents named of those that it waits for.
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Holdup:
    """What was found around an intent.

    Attributes:
        due_in_s: Seconds until it may be sent, below 0 once it may; None where it is not queued.
        lane_paused: Whether an operator has paused its lane.
        writes_paused: Code under which all writes to its target are paused; empty when they are not.
        reads_paused: The same for reads.
        ahead: Key and state of the first intents that it waits for.
        more: How many there are besides.
    """

    due_in_s: float | None = None
    lane_paused: bool = False
    writes_paused: str = ""
    reads_paused: str = ""
    ahead: Sequence[tuple[str, str]] = ()
    more: int = 0


def holdup_flow(prefix: str, status: Status) -> Flow[str]:
    """Read what keeps an intent, and say it."""
    ahead = status.waits_for[:_MOST_NAMED]
    now_ms, _ = yield Run("now", ())
    due, lane, writes, reads, *others = yield Ask(
        (
            ("ZSCORE", f"{prefix}ready:{status.lane}", status.id),
            ("EXISTS", f"{prefix}pause:{status.lane}"),
            *(("HMGET", f"{prefix}gate:{side}", "state", "code") for side in ("write", "read")),
            *(("HGET", f"{prefix}intent:{id_}", "state") for id_ in ahead),
            *(("GET", f"{prefix}body:{id_}") for id_ in ahead),
        )
    )
    states, bodies = others[: len(ahead)], others[len(ahead) :]
    return told(
        status,
        Holdup(
            due_in_s=None if due is None else (float(due) - now_ms) / 1000,
            lane_paused=bool(lane),
            writes_paused=_paused(writes),
            reads_paused=_paused(reads),
            ahead=[
                (head_of(id_, body).key if body else id_, state or "trimmed")
                for id_, state, body in zip(ahead, states, bodies, strict=True)
            ],
            more=len(status.waits_for) - len(ahead),
        ),
    )


def _paused(gate: Sequence[str | None]) -> str:
    state, code = gate
    return code or "no code" if state == "paused" else ""


def told(status: Status, found: Holdup) -> str:
    """What keeps an intent, as the second half of a sentence.

    Example:
        >>> status = Status("id", "order-42", "refund", "default", "refunds", "ready", attempts=2, code="TIMEOUT")
        >>> told(status, Holdup(due_in_s=4.2))
        'it is due again in 4 s; 2 attempts so far, the last one: TIMEOUT'
    """
    tried = f"; {status.attempts} attempt{'' if status.attempts == 1 else 's'} so far" if status.attempts else ""
    last = (
        f", the last one: {status.code}" if status.code and tried else f"; so far: {status.code}" if status.code else ""
    )
    return f"{_why(status, found)}{tried}{last}"


def _why(status: Status, found: Holdup) -> str:
    if status.state == "waiting":
        if not found.ahead:
            return "what it waited for has just ended"
        names = ", ".join(
            f"{key!r} ({state}{': replay or discard it' if state == State.DEAD else ''})" for key, state in found.ahead
        )
        return f"it waits for {names}{f' and {found.more} more' if found.more else ''}"
    if status.state == "sending":
        return "a worker is at it"
    if status.state == "posted":
        if found.reads_paused:
            return f"reads of target {status.target!r} are paused ({found.reads_paused})"
        return "it was sent, and the ledger is asked what became of it"
    if found.lane_paused:
        return f"lane {status.lane!r} is paused by an operator"
    if found.writes_paused:
        return f"writes to target {status.target!r} are paused ({found.writes_paused})"
    if found.due_in_s is not None and found.due_in_s > 0:
        return f"it is due {'again ' if status.attempts or status.code else ''}in {found.due_in_s:.0f} s"
    return f"no worker has taken it yet; is there one for lane {status.lane!r}?"
