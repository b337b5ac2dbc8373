"""Reading the journal: what an intent has come to, and what happened on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from blnk_relay.errors import DoesNotVerify, NotFound
from blnk_relay.intents.dead_class import DeadClassName
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.outcomes import OutcomeName
from blnk_relay.intents.references import MAX_LENGTH, is_digest, key_problem, of_generation
from blnk_relay.intents.states import FINISHED, State, StateName
from blnk_relay.journal.entries import entry_of, id_of
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.seal import Seal, keys_in

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Intents named of those that hold another one back.
MOST_AHEAD = 10

#: What a status is made of; an intent that is there has the first of them.
_FIELDS = (
    "state",
    "kind",
    "lane",
    "orders",
    "created",
    "updated",
    "deadline",
    "gen",
    "attempts",
    "outcome",
    "txn",
    "parent",
    "class",
    "code",
    "message",
    "sealed",
)


def moment(milliseconds: int | str) -> datetime:
    """Milliseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def milliseconds(at: datetime) -> int:
    """A time as whole milliseconds since 1970: those that :func:`moment` was given."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def milliseconds_from(at: datetime) -> int:
    """The first whole millisecond that is not before a time.

    Example:
        >>> [milliseconds_from(datetime(1970, 1, 1, 0, 0, 0, micros, UTC)) for micros in (0, 1, 1000)]
        [0, 1, 1]
    """
    return -((_EPOCH - at) // timedelta(milliseconds=1))


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
        dead_class: With ``dead``: ``refused``, ``rejected``, ``unknown``, ``partial`` or
            ``invalid``; empty for any other.
        code: Code of the last answer that was not a success.
        message: Its message.
        attempts: Counted attempts of its present life.
        waits_for: Ids of the intents that hold it back, at most ten: what it comes after, and what stands before it in
            its orders.
        blocks: Number of intents that it holds back.
        unreadable: What was recorded of it at its acceptance is lost or broken; then key and reference are empty.
        encrypted: Ids of the keys under which payload, file and messages are encrypted; empty where they are not.
        locked: Those of them that this process does not have.
        perhaps_replayed: With ``dead``: it may have been replayed in moments that the journal has lost; then class,
            code and message may be of the life before, and it may have been sent since.
    """

    id: str
    key: str
    kind: str
    target: str
    lane: str
    state: StateName
    outcome: OutcomeName = ""
    transaction_id: str = ""
    parent_id: str = ""
    reference: str = ""
    dead_class: DeadClassName = ""
    code: str = ""
    message: str = ""
    attempts: int = 0
    generation: int = 0
    created: datetime | None = None
    updated: datetime | None = None
    deadline: datetime | None = None
    waits_for: tuple[str, ...] = ()
    blocks: int = 0
    unreadable: bool = False
    encrypted: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    perhaps_replayed: bool = False

    @property
    def finished(self) -> bool:
        """Whether its story is over, for a machine."""
        return self.state in FINISHED


#: What a line of a log tells of.
AttemptName = Literal[
    "sent",
    "not_sent",
    "looked",
    "given_back",
    "failed",
    "replayed",
    "discarded",
    "cancelled",
    "unreadable",
]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of an intent's log: a request, a look, or an operator's act.

    Attributes:
        at: When.
        what: ``sent`` or ``not_sent``, ``looked``, ``given_back``, or ``failed`` (the worker's own code); an act:
            ``replayed``, ``discarded`` or ``cancelled``; ``unreadable`` for a line that is broken.
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
    what: AttemptName
    status: int = 0
    code: str = ""
    latency_ms: int = 0
    worker: str = ""
    note: str = ""
    request_id: str = ""
    count: int = 1
    last: datetime | None = None


def find_flow(prefix: str, seal: Seal, target: str, key_or_id: str) -> Flow[Status]:
    """See :meth:`blnk_relay.journal.journal.Journal.find`."""
    for id_ in (id_of(target, key_or_id), *((key_or_id,) if is_digest(key_or_id) else ())):
        status = yield from status_flow(prefix, seal, target, id_)
        if status is not None:
            return status
    raise unknown(key_or_id, target)


def unknown(key_or_id: str, target: str) -> NotFound:
    """That nothing is known under a key or id, and whether anything could be.

    What was recorded before a rule about keys is found all the same, so this is only said after looking.
    """
    problem = key_problem(key_or_id)
    why = f"; no key can be like this: {problem}" if problem else ""
    where = "" if target == DEFAULT_TARGET else f" for target {target!r}"
    return NotFound(f"no intent is known under {key_or_id[:MAX_LENGTH]!r}{where}{why}")


def check_key(key_or_id: object) -> None:
    """Refuse to look for what is no text: whoever has a number for a key has to write it as they enqueued it.

    Raises:
        NotFound: It is none. It is not quoted: it may be anything, a payload as well.
    """
    if not isinstance(key_or_id, str):
        raise NotFound(
            f"no intent is known under this key, and none can be: it must be a string, not {type(key_or_id).__name__}"
        )


def status_flow(prefix: str, seal: Seal, target: str, id_: str) -> Flow[Status | None]:
    """See :meth:`blnk_relay.journal.journal.Journal.status`."""
    [status] = yield from statuses_flow(prefix, seal, target, [id_])
    return status


def statuses_flow(prefix: str, seal: Seal, target: str, ids: Sequence[str]) -> Flow[list[Status | None]]:
    """What is known of some intents, in few trips; None for each that is unknown.

    Args:
        prefix: Of the journal's keys.
        seal: Shows what it hides.
        target: Whose journal it is.
        ids: At most a hundred or so: they are read in one script.
    """
    found = yield from _read_flow(seal, target, ids, _FIELDS)
    held = yield from _held(prefix, [head for _, head, _ in found if head is not None])
    return [
        replace(status, waits_for=held[status.id][0], blocks=held[status.id][1])
        if status is not None and held.get(status.id, _NOT_HELD) != _NOT_HELD
        else status
        for status, _, _ in found
    ]


def letters_flow(seal: Seal, target: str, ids: Sequence[str]) -> Flow[list[tuple[Status | None, str]]]:
    """What a plan takes of some letters, in one trip, each with what it is worth, as the journal keeps it.

    What holds them back, and what they hold back, is not looked at.

    Args:
        seal: Shows what the journal hides.
        target: Whose journal it is.
        ids: At most a hundred or so, as above.
    """
    found = yield from _read_flow(seal, target, ids, (*_FIELDS, "worth"))
    return [(status, fields.get("worth", "")) for status, _, fields in found]


def _read_flow(
    seal: Seal, target: str, ids: Sequence[str], names: Sequence[str]
) -> Flow[list[tuple[Status | None, _Head | None, Mapping[str, str]]]]:
    """Each as it stands for itself, with its head and its fields where there are any."""
    if not ids:
        return []
    answers = yield Run("statuses", (",".join(names), *ids))
    found: list[tuple[Status | None, _Head | None, Mapping[str, str]]] = []
    for id_, (values, body, past, doubt) in zip(ids, answers, strict=True):
        fields = dict(zip(names, values, strict=True))
        if not fields["state"]:
            found.append((_trimmed(id_, target, past) if past else None, None, {}))
            continue
        head = _head(id_, target, fields, body)
        status = _status(head, fields, seal)
        found.append((replace(status, perhaps_replayed=True) if doubt == "1" else status, head, fields))
    return found


#: Of what nothing holds back, and what holds nothing back.
_NOT_HELD: tuple[tuple[str, ...], int] = ((), 0)


@dataclass(frozen=True, slots=True)
class _Head:
    """What never changes of an intent, without its payload; whatever it was, it is made of what can be read."""

    id: str
    state: StateName
    target: str
    orders: tuple[str, ...]
    key: str = ""
    reference: str = ""
    after: tuple[str, ...] = ()
    unreadable: bool = False


def _head(id_: str, target: str, fields: Mapping[str, str], body: str) -> _Head:
    state = cast("StateName", fields["state"])
    orders = tuple(order for order in fields["orders"].split("\n") if order)
    try:
        data = json.loads(body)
        key, reference, after = data["key"], data["reference"], tuple(data.get("after", ()))
    except (ValueError, TypeError, KeyError, AttributeError):
        key = None
    if key is None or not all(isinstance(text, str) for text in (key, reference, *after)):
        return _Head(id_, state, target, orders, unreadable=True)
    return _Head(id_, state, target, orders, key, reference, after)


def _status(head: _Head, fields: Mapping[str, str], seal: Seal) -> Status:
    keys, sealed = seal.keys(), keys_in(fields["sealed"])
    generation = int(fields["gen"] or 0)
    return Status(
        id=head.id,
        key=head.key,
        kind=fields["kind"],
        target=head.target,
        lane=fields["lane"],
        state=head.state,
        outcome=cast("OutcomeName", fields["outcome"]),
        transaction_id=fields["txn"],
        parent_id=fields["parent"],
        reference=of_generation(head.reference, generation) if head.reference else "",
        dead_class=cast("DeadClassName", fields["class"]),
        code=fields["code"],
        message=seal.told(head.id, "message", fields["message"]),
        attempts=int(fields["attempts"] or 0),
        generation=generation,
        created=_moment_or_none(fields["created"]),
        updated=_moment_or_none(fields["updated"] or fields["created"]),
        deadline=_moment_or_none(fields["deadline"]),
        unreadable=head.unreadable,
        encrypted=tuple(name.partition(".")[0] for name in sealed),
        locked=tuple(name.partition(".")[0] for name in sealed if name not in keys),
    )


def _moment_or_none(milliseconds: str) -> datetime | None:
    try:
        return moment(milliseconds) if milliseconds else None
    except (OverflowError, ValueError):
        # As versions before took it, for "never".
        return datetime.max.replace(tzinfo=UTC)


def _trimmed(id_: str, target: str, past: str) -> Status:
    """What is left of an intent after its retention."""
    outcome, _, transaction_id = past.partition(" ")
    state: StateName = "cancelled" if outcome == "cancelled" else "done"
    return Status(id_, "", "", target, "", state, outcome=cast("OutcomeName", outcome), transaction_id=transaction_id)


def _held(prefix: str, heads: Sequence[_Head]) -> Flow[dict[str, tuple[tuple[str, ...], int]]]:
    """For each: ids of the intents that hold it back, at most ten, and how many it holds back itself."""
    if not heads:
        return {}
    before = [[id_of(head.target, key) for key in head.after] if head.state == "waiting" else [] for head in heads]
    commands: list[tuple[str | int, ...]] = []
    for head, others in zip(heads, before, strict=True):
        commands.append(("SCARD", f"{prefix}deps:{head.id}"))
        commands += [("HGET", f"{prefix}intent:{id_}", "state") for id_ in others]
        for order in head.orders:
            commands += [("ZRANK", f"{prefix}order:{order}", head.id), ("ZCARD", f"{prefix}order:{order}")]
    answers: Iterator[Any] = iter((yield Ask(tuple(commands))))
    ahead: dict[str, list[str]] = {}
    blocks: dict[str, int] = {}
    behind: list[tuple[str, str, int]] = []
    for head, others in zip(heads, before, strict=True):
        blocks[head.id] = next(answers)
        states = [(id_, next(answers)) for id_ in others]
        ahead[head.id] = [id_ for id_, state in states if state is not None and state != State.DONE]
        for order in head.orders:
            rank, size = next(answers), next(answers)
            if rank is not None:
                blocks[head.id] += size - rank - 1
                if rank:
                    behind.append((head.id, order, rank))
    if behind:
        firsts = yield Ask(
            tuple(
                ("ZRANGE", f"{prefix}order:{order}", max(0, rank - MOST_AHEAD), rank - 1) for _, order, rank in behind
            )
        )
        for (id_, _, _), first in zip(behind, firsts, strict=True):
            ahead[id_] += first
    return {head.id: (tuple(dict.fromkeys(ahead[head.id]))[:MOST_AHEAD], blocks[head.id]) for head in heads}


def payload_flow(prefix: str, seal: Seal, id_: str) -> Flow[Mapping[str, Any]]:
    """See :meth:`blnk_relay.journal.journal.Journal.payload`."""
    [body] = yield Ask((("GET", f"{prefix}body:{id_}"),))
    if body is None:
        raise NotFound(f"no payload is kept for {id_!r}")
    try:
        return entry_of(id_, seal.shown_body(id_, body)).payload
    except DoesNotVerify:
        raise NotFound(
            f"the payload of {id_!r} cannot be read back: it is encrypted, and does not verify, so it was changed or "
            "belongs to another intent"
        ) from None
    except (ValueError, TypeError, KeyError):
        raise NotFound(f"the payload of {id_!r} cannot be read back: what was recorded of it is broken") from None


def history_flow(prefix: str, id_: str) -> Flow[tuple[Attempt, ...]]:
    """See :meth:`blnk_relay.journal.journal.Journal.history`."""
    [lines] = yield Ask((("LRANGE", f"{prefix}log:{id_}", 0, -1),))
    return tuple(attempt_of(line) for line in lines)


def attempt_of(text: str) -> Attempt:
    """One line of a log, as it stands there."""
    try:
        line = json.loads(text)
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
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError):
        # The last two are of times that no calendar has.
        return Attempt(moment(0), "unreadable")
