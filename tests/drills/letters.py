"""Whether dead letters say what is true: each is held against the books, and against what really befell the workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blnk_relay import Relay, Status
from blnk_relay.journal.operator import Operator
from blnk_relay.replay import ReplayWay
from blnk_relay.sandbox import Books
from tests.drills.crew import RAISING, RAISING_LATE
from tests.support.stages import fields_of
from worker.demo.proof.findings import Recorded

#: What the story makes poor on purpose, and what hangs on it: nothing else has a reason to be refused.
_POOR = "poor"

#: Kinds whose rows bear references of ours, so that the ledger can always tell.
_KEYED = frozenset({"transaction", "transaction.split", "transaction.bulk"})

#: Codes of unknown letters that are true of a keyed kind whose row is nowhere, or stands still.
_NOWHERE = frozenset({"VANISHED", "UNDECIDED", "EXPIRED", "STUCK_QUEUED"})


def untrue(
    recorded: Sequence[Recorded], relay: Relay, books: Books, dead: frozenset[int], restarts: int
) -> Iterator[str]:
    """Sentences, one for each dead letter whose class, code or advice is not true.

    Args:
        recorded: All intents.
        relay: Whose journal has their histories.
        books: The ledger's.
        dead: Process ids of workers that died, or were silent for so long that they count as dead.
        restarts: How often Redis came back as another process.
    """
    operator = Operator(relay.journals, relay.bells)
    rows = {row.reference: row for row in books.rows}
    ends = {item.status.reference or item.status.key: item.status for item in recorded}
    for item in recorded:
        status = item.status
        if status.state != "dead":
            continue
        # Of a worker that was silent while it had it in hand nobody can say whether it sent it; nor of moments that
        # the journal has lost.
        (lapsed,), (lost,) = (fields_of(relay, [status.id], name) for name in ("lapsed", "lost"))
        sent = lapsed == "1" or bool(lost and restarts) or any(line.what == "sent" for line in relay.history(status.id))
        shown = [row for name in references(item) for row in (rows.get(name), rows.get(f"{name}_q")) if row]
        why = _wrong(item, shown, sent, restarts, ends)
        if status.code == "LAPSED_TOO_OFTEN":
            (charged,) = fields_of(relay, [status.id], "charged")
            alive = [name for name in (charged or "").split() if not any(f":{pid}:" in name for pid in dead)]
            if len(dead) < relay.settings.max_lapses or not charged or alive:
                why = f"{len(dead)} workers died or were frozen, and {alive or 'the last of its holders'} did not"
        plan = operator.plan(status)
        if not why and status.dead_class == "rejected" and plan.way is ReplayWay.SAME:
            why = "its advice is to send it again under a reference that is used up"
        if why:
            yield f"{item.name} is {status.dead_class} {status.code} ({status.message!r}; {plan.way}): {why}"


def _wrong(item: Recorded, shown: Sequence[Any], sent: bool, restarts: int, ends: Mapping[str, Status]) -> str:
    """Why a letter is not true; empty when it may be. What has its effect though it says "refused" the proof finds."""
    status = item.status
    effects = [row for row in shown if row.effect != "none"]
    poor = status.key.removeprefix("commit:").removeprefix("void:").startswith(_POOR)
    if status.key in {RAISING, RAISING_LATE}:
        right = status.code == "CANNOT_BE_HANDLED" and status.dead_class == ("unknown" if sent else "refused")
        return "" if right else "its kind raises, and the letter does not say so"
    if status.code == "DEPENDENCY_CLOSED" and status.dead_class == "refused":
        # Whether it had its effect all the same is for the proof.
        return ""
    match status.dead_class:
        case "rejected" if status.code == "ROLLED_BACK":
            # Whether all of it was taken back is for the proof.
            return "" if poor else "nothing stood in its way"
        case "rejected" if status.kind in _KEYED:
            # A payment that does not wait for its top-up may come before it: then the ledger has recorded a refusal.
            return "" if any(row.status == "REJECTED" for row in shown) else "the books show no refusal"
        case "refused" if _behind_the_dead(item, ends):
            return ""
        case "rejected" | "refused" | "partial" if not poor:
            return f"nothing stood in its way; the books show {[str(row.status) for row in shown]}"
        case "unknown" if not sent and status.code != "LAPSED_TOO_OFTEN":
            return "it was never sent"
        case "unknown" if status.code == "MOMENT_LOST" and not restarts:
            return "Redis lost nothing"
        case "unknown" if status.kind in _KEYED and effects:
            return f"the books show {[str(row.status) for row in effects]}"
        case "unknown" if status.kind in _KEYED and status.code not in _NOWHERE:
            return "the ledger can tell"
    return ""


def _behind_the_dead(item: Recorded, ends: Mapping[str, Status]) -> bool:
    """Whether what it acts on is a dead letter itself."""
    name = item.payload.get("hold") or item.payload.get("transaction") or ""
    acted_on = ends.get(str(name))
    return acted_on is not None and acted_on.state == "dead"


def references(item: Recorded) -> list[str]:
    """References of all rows that an intent asks for."""
    match item.status.kind:
        case "transaction.bulk":
            return [str(one["reference"]) for one in item.payload["items"]]
        case "transaction.split":
            legs = item.payload.get("sources") or item.payload["destinations"]
            return [f"{item.status.reference}-{number}" for number in range(1, len(legs) + 1)]
    return [item.status.reference] if item.status.reference else []
