"""The JSON of the command line: values of the library as objects with stable names (docs/cli.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.cli.output import stamp

if TYPE_CHECKING:
    from blnk_relay import (
        Action,
        Around,
        Attempt,
        GateView,
        Glance,
        LaneDepth,
        Overview,
        PartStatus,
        Pause,
        Rates,
        Settings,
        Status,
        Verdict,
        WorkerView,
    )
    from blnk_relay.catalogue.facts import EndFacts, Facts

#: "dead|<kind>|<class>|<code>" in the counters.
_DEAD_PARTS = 4


def intent_json(status: Status) -> dict[str, Any]:
    """What is known of an intent; never its payload."""
    return {
        "id": status.id,
        "key": status.key,
        "kind": status.kind,
        "target": status.target,
        "lane": status.lane,
        "state": status.state,
        "outcome": status.outcome,
        "transaction_id": status.transaction_id,
        "parent_id": status.parent_id,
        "reference": status.reference,
        "generation": status.generation,
        "dead_class": status.dead_class,
        "code": status.code,
        "message": status.message,
        "attempts": status.attempts,
        "created": stamp(status.created),
        "updated": stamp(status.updated),
        "deadline": stamp(status.deadline),
        "waits_for": list(status.waits_for),
        "blocks": status.blocks,
        "unreadable": status.unreadable,
        "encrypted": list(status.encrypted),
        "locked": list(status.locked),
        "perhaps_replayed": status.perhaps_replayed,
    }


def around_json(around: Around) -> dict[str, Any]:
    """What stands around an intent: what it waits for, and what waits for it."""
    return {
        "keeps": around.keeps,
        "ahead": [{**intent_json(one), "why": around.why(one)} for one in around.ahead],
        "more_ahead": around.more_ahead,
        "behind": [{**intent_json(one), "why": around.why(one)} for one in around.behind],
        "more": around.more,
    }


def rows_json(parts: Sequence[PartStatus], lacking: str, most: int) -> dict[str, Any]:
    """The ledger's rows of an intent as last read; never their names, which stand in its payload.

    Args:
        parts: Its legs or items.
        lacking: Why they cannot be told.
        most: Rows at most.
    """
    from blnk_relay.journal.parts import telling

    rows = telling(parts, most)
    return {
        "counts": dict(Counter(part.status for part in parts)),
        "first": [
            {"number": number, "status": part.status, "transaction_id": part.transaction_id} for number, part in rows
        ],
        "more": len(parts) - len(rows),
        "lacking": lacking,
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """One line of an intent's log."""
    return {
        "at": stamp(attempt.at),
        "what": attempt.what,
        "status": attempt.status,
        "code": attempt.code,
        "latency_ms": attempt.latency_ms,
        "worker": attempt.worker,
        "note": attempt.note,
        "request_id": attempt.request_id,
        "count": attempt.count,
        "last": stamp(attempt.last),
    }


def lane_json(depth: LaneDepth, settings: Settings) -> dict[str, Any]:
    """One lane of a target; ``known`` is false where the settings no longer list either, so that nobody serves it."""
    return {
        "lane": depth.lane,
        "target": depth.target,
        "due": depth.due,
        "later": depth.later,
        "oldest_due_s": round(depth.oldest_due_s, 3),
        "oldest_open_s": round(depth.oldest_open_s, 3),
        "oldest_open": depth.oldest_open,
        "paused": depth.paused,
        "pause": None if depth.pause is None else pause_json(depth.pause),
        "known": depth.lane in settings.lanes and depth.target in settings.ledgers,
    }


def worker_json(worker: WorkerView) -> dict[str, Any]:
    """A worker program, alive or not."""
    sign = worker.sign
    return {
        "name": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "state": worker.state,
        "seen": stamp(worker.seen),
        "lanes": list(sign.lanes),
        "targets": list(worker.journals),
        "pool": sign.pool,
        "processes": list(sign.processes),
        "connections": sign.connections,
        "busy": sign.busy,
        "in_hand": worker.in_hand,
        "started": stamp(datetime.fromtimestamp(sign.started_ms / 1000, UTC)) if sign.started_ms else None,
        "memory": sign.memory,
        "unwell": sign.unwell,
        "held": worker.held,
        "held_ids": list(worker.held_ids),
        "wish": worker.wish,
        "who": worker.who,
        "reason": worker.reason,
    }


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Something that is wrong."""
    return {
        "sort": verdict.sort,
        "severity": str(verdict.severity),
        "target": verdict.target,
        "lane": verdict.lane,
        "since": stamp(verdict.since),
        "count": verdict.count,
        "what": verdict.what,
        "means": verdict.means,
        "remedy": verdict.remedy,
        "intent": verdict.intent,
    }


def rates_json(rates: Rates) -> dict[str, Any]:
    """How fast intents come and go, a second; null where nobody knows yet."""
    return {
        "spans": [
            {
                "minutes": rate.minutes,
                "over_s": round(rate.over_s, 3),
                "accepted": round(rate.accepted, 4),
                "ended": round(rate.ended, 4),
            }
            for rate in rates.spans
        ],
        "empty_s": None if rates.empty_s is None else round(rates.empty_s, 1),
    }


def glance_json(glance: Glance, settings: Settings) -> dict[str, Any]:
    """The journals at a glance, and what is wrong."""
    return {
        "well": glance.well,
        "verdicts": [verdict_json(verdict) for verdict in glance.verdicts],
        **overview_json(glance.overview, settings),
        "rates": rates_json(glance.rates),
    }


def pause_json(pause: Pause | None) -> dict[str, Any]:
    """Whose pause it is, why, and since when."""
    if pause is None:
        return {"who": "", "reason": "", "since": None}
    return {"who": pause.who, "reason": pause.reason, "since": stamp(pause.since)}


def action_json(action: Action) -> dict[str, Any]:
    """What an operator did."""
    return {
        "id": action.id,
        "at": stamp(action.at),
        "what": action.what,
        "of": action.of,
        "who": action.who,
        "via": action.via,
        "reason": action.reason,
        "result": action.result,
        "count": action.count,
        "results": dict(action.results),
        "targets": list(action.targets),
    }


def gate_json(gate: GateView) -> dict[str, Any]:
    """One side of a target that is paused or slowed."""
    return {
        "target": gate.target,
        "side": gate.side,
        "state": gate.state,
        "code": gate.code,
        "since": stamp(gate.since),
        "lasting_s": round(gate.lasting_s, 3),
        "manual": gate.manual,
        "who": gate.who,
        "note": gate.note,
        "rate": gate.rate,
    }


def kind_json(facts: Facts, common: Sequence[EndFacts], lane: str) -> dict[str, Any]:
    """One kind; ``unknown`` are the ends of which nobody can tell whether it happened, those of all kinds included."""
    unknown = [end for end in (*facts.ends, *common) if end.end.dead_class == "unknown"]
    return {
        "kind": facts.kind,
        "method": facts.method,
        "path": facts.path,
        "also": list(facts.also),
        "summary": facts.summary,
        "lane": lane,
        "confirmed": facts.confirmed,
        "unknown": [{"code": end.end.code, "why": end.end.why, "replay": end.replay} for end in unknown],
    }


def deaths(counts: dict[str, int]) -> list[dict[str, Any]]:
    """How many became dead letters ever, by kind, class and code; most first."""
    found = []
    for name, number in counts.items():
        parts = name.split("|", _DEAD_PARTS - 1)
        if parts[0] == "dead" and len(parts) == _DEAD_PARTS:
            found.append({"kind": parts[1], "dead_class": parts[2], "code": parts[3], "count": number})
    return sorted(found, key=lambda death: (-death["count"], death["kind"], death["code"]))


def overview_json(overview: Overview, settings: Settings) -> dict[str, Any]:
    """The journals at a glance."""
    return {
        "open": overview.open,
        "oldest_open_s": round(overview.oldest_open_s, 3),
        "late": overview.late,
        "waiting": overview.waiting,
        "due": sum(lane.due for lane in overview.lanes),
        "later": sum(lane.later for lane in overview.lanes),
        "sending": overview.sending,
        "posted": overview.posted,
        "oldest_posted_s": round(overview.oldest_posted_s, 3),
        "done": overview.done,
        "dead": overview.dead,
        "discarded": overview.discarded,
        "workers": overview.workers,
        "away": list(overview.away),
        "lanes": [lane_json(lane, settings) for lane in overview.lanes],
        "gates": [gate_json(gate) for gate in overview.gates],
        "died": deaths(overview.counts),
        "counts": overview.counts,
    }
