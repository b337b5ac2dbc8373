"""Reading the journal: what an intent has come to, and what happened on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blnk_relay.errors import NotFound
from blnk_relay.intents.model import DEFAULT_TARGET, Entry
from blnk_relay.intents.references import MAX_LENGTH, key_problem, of_generation
from blnk_relay.journal.connection import reported
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.records import entry_of, id_of
from blnk_relay.journal.trips import Ask, Flow

#: Intents named of those that hold another one back.
_MOST_AHEAD = 10

#: States in which an intent's story is over, for a machine.
FINISHED = frozenset({"done", "dead", "cancelled", "discarded"})


def moment(milliseconds: int | str) -> datetime:
    """Milliseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of an intent.

    Attributes:
        id: Its id in the journal.
        key: The caller's key; empty for one that was trimmed after its retention.
        kind: Such as ``transaction``.
        state: ``waiting``, ``ready``, ``sending``, ``posted``, ``done``, ``dead``, ``cancelled`` or ``discarded``.
        outcome: With ``done``: ``applied``, ``held``, ``voided`` or ``refunded`` for money; ``created``, ``updated``,
            ``deleted``, ``tokenized``, ``uploaded`` or ``started`` for the rest; ``accepted`` where confirmation stops
            at the answer.
        transaction_id: Id of the ledger's row or record that proves it.
        parent_id: Id of the row it belongs to: the queued parent, the hold, or the refunded row.
        reference: What the ledger knows it by; empty where the ledger chooses.
        dead_class: With ``dead``: ``refused``, ``rejected``, ``unknown`` or ``partial``.
        code: Code of the last answer that was not a success.
        message: Its message.
        attempts: Counted attempts of its present life.
        waits_for: Ids of the intents that hold it back, at most ten: what it comes after, and what stands before it in
            its orders.
        blocks: Number of intents that it holds back.
    """

    id: str
    key: str
    kind: str
    target: str
    lane: str
    state: str
    outcome: str = ""
    transaction_id: str = ""
    parent_id: str = ""
    reference: str = ""
    dead_class: str = ""
    code: str = ""
    message: str = ""
    attempts: int = 0
    generation: int = 0
    created: datetime | None = None
    updated: datetime | None = None
    deadline: datetime | None = None
    waits_for: tuple[str, ...] = ()
    blocks: int = 0

    @property
    def finished(self) -> bool:
        """Whether its story is over, for a machine."""
        return self.state in FINISHED


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of an intent's log: a request, a look, or an operator's act.

    Attributes:
        at: When.
        what: ``sent``, ``looked``, ``lapsed``, ``replayed``, ``discarded`` or ``cancelled``.
        status: HTTP status, 0 when there was none.
        code: Code of the answer, or of the verdict.
        latency_ms: From sending to the end of the answer.
        worker: Who did it.
        note: In words: what followed, or an operator's reason.
        request_id: The ``X-Request-Id`` that the request carried.
        count: How many attempts ended alike, one after the other; ``at`` is that of the first, all else of the last.
        last: When the last of them was; None where there was one.
    """

    at: datetime
    what: str
    status: int = 0
    code: str = ""
    latency_ms: int = 0
    worker: str = ""
    note: str = ""
    request_id: str = ""
    count: int = 1
    last: datetime | None = None


def find(journal: Journal, key_or_id: str, target: str = DEFAULT_TARGET) -> Status:
    """What is known under a key, or under an id.

    Raises:
        NotFound: Nothing is known under either.
    """
    return journal.drive(find_flow(journal.settings.prefix, key_or_id, target))


def by_id(journal: Journal, id_: str) -> Status | None:
    """What is known of an intent, or None."""
    return journal.drive(status_flow(journal.settings.prefix, id_))


def find_flow(prefix: str, key_or_id: str, target: str = DEFAULT_TARGET) -> Flow[Status]:
    """See :func:`find`."""
    for id_ in (id_of(target, key_or_id), key_or_id):
        status = yield from status_flow(prefix, id_)
        if status is not None:
            return status
    raise unknown(key_or_id, target)


def unknown(key_or_id: str, target: str = DEFAULT_TARGET) -> NotFound:
    """That nothing is known under a key or id, and whether anything could be.

    What was recorded before a rule about keys is found all the same, so this is only said after looking.
    """
    problem = key_problem(key_or_id)
    why = f"; no key can be like this: {problem}" if problem else ""
    where = "" if target == DEFAULT_TARGET else f" for target {target!r}"
    return NotFound(f"no intent is known under {key_or_id[:MAX_LENGTH]!r}{where}{why}")


def status_flow(prefix: str, id_: str) -> Flow[Status | None]:
    """See :func:`by_id`."""
    fields, body, past = yield Ask(
        (
            ("HGETALL", f"{prefix}intent:{id_}"),
            ("GET", f"{prefix}body:{id_}"),
            ("HGET", f"{prefix}past:{id_[:3]}", id_),
        )
    )
    if not fields:
        return _trimmed(id_, past) if past else None
    entry = entry_of(id_, body)
    ahead, blocks = yield from _held(prefix, entry, fields["state"])
    generation = int(fields.get("gen", 0))
    return Status(
        id=id_,
        key=entry.key,
        kind=entry.kind,
        target=entry.target,
        lane=entry.lane,
        state=fields["state"],
        outcome=fields.get("outcome", ""),
        transaction_id=fields.get("txn", ""),
        parent_id=fields.get("parent", ""),
        reference=of_generation(entry.reference, generation) if entry.reference else "",
        dead_class=fields.get("class", ""),
        code=fields.get("code", ""),
        message=fields.get("message", ""),
        attempts=int(fields.get("attempts", 0)),
        generation=generation,
        created=moment(fields["created"]),
        updated=moment(fields.get("updated") or fields["created"]),
        deadline=moment(fields["deadline"]),
        waits_for=ahead,
        blocks=blocks,
    )


def _trimmed(id_: str, past: str) -> Status:
    """What is left of an intent after its retention."""
    _, outcome, transaction_id = (past + "  ").split(" ")[:3]
    state = "cancelled" if outcome == "cancelled" else "done"
    return Status(id_, "", "", "", "", state, outcome=outcome, transaction_id=transaction_id)


def _held(prefix: str, entry: Entry, state: str) -> Flow[tuple[tuple[str, ...], int]]:
    """Ids of the intents that hold an intent back, at most ten, and how many it holds back itself."""
    others = [id_of(entry.target, key) for key in entry.after] if state == "waiting" else []
    orders = [f"{prefix}order:{order}" for order in entry.orders]
    blocks, *answers = yield Ask(
        (
            ("SCARD", f"{prefix}deps:{entry.id}"),
            *(("HGET", f"{prefix}intent:{id_}", "state") for id_ in others),
            *(("ZRANK", order, entry.id) for order in orders),
            *(("ZCARD", order) for order in orders),
        )
    )
    states, rest = answers[: len(others)], answers[len(others) :]
    ahead = [id_ for id_, other in zip(others, states, strict=True) if other is not None and other != "done"]
    for order, rank, size in zip(orders, rest[: len(orders)], rest[len(orders) :], strict=True):
        if rank is not None:
            blocks += size - rank - 1
            if rank:
                [first] = yield Ask((("ZRANGE", order, max(0, rank - _MOST_AHEAD), rank - 1),))
                ahead += first
    return tuple(dict.fromkeys(ahead))[:_MOST_AHEAD], blocks


def payload_of(journal: Journal, id_: str) -> Mapping[str, Any]:
    """The canonical payload of an intent. It holds personal data: show it to operators, log it nowhere.

    Raises:
        NotFound: The intent is unknown, or trimmed.
    """
    with reported():
        body: Any = journal.client.get(journal.key(f"body:{id_}"))
    if body is None:
        raise NotFound(f"no payload is kept for {id_!r}")
    return entry_of(id_, body).payload


def history_of(journal: Journal, id_: str) -> tuple[Attempt, ...]:
    """The log of an intent, oldest line first; at most the last 20."""
    return journal.drive(history_flow(journal.settings.prefix, id_))


def history_flow(prefix: str, id_: str) -> Flow[tuple[Attempt, ...]]:
    """See :func:`history_of`."""
    [lines] = yield Ask((("LRANGE", f"{prefix}log:{id_}", 0, -1),))
    return tuple(_attempt(json.loads(line)) for line in lines)


def _attempt(line: Mapping[str, Any]) -> Attempt:
    return Attempt(
        at=moment(line["at"]),
        what=line["what"],
        status=line.get("status", 0),
        code=line.get("code", ""),
        latency_ms=line.get("ms", 0),
        worker=line.get("by", ""),
        note=line.get("note", ""),
        request_id=line.get("request", ""),
        count=line.get("count", 1),
        last=moment(line["last"]) if "last" in line else None,
    )
