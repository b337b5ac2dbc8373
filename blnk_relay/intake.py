"""From an application's words to what is recorded: keys, lanes, times, limits, batches. Pure.

The library and its async counterpart share it; neither decides anything of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from blnk_relay.errors import DuplicateInBatch, InvalidIntent, KeyConflict
from blnk_relay.intents.intent import DEFAULT_TARGET, Intent
from blnk_relay.intents.references import data_api_problem, key_problem
from blnk_relay.journal.accept import Accepted
from blnk_relay.journal.entries import NewEntry, new_entry
from blnk_relay.kinds.registry import KINDS
from blnk_relay.settings import PREFIX, Settings

#: Most intents in one call of ``enqueue_many``; beyond it a file should be cut into parts.
MAX_BATCH = 100_000

#: Longest ``not_before`` or ``deadline`` as a span: ten years.
LONGEST_SPAN = timedelta(days=10 * 366)

#: The last time that either may name. What counts on from it, as the deadline of the settings does, is still a date.
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The promise: this intent ends as exactly one outcome in the ledger or one dead letter.

    Attributes:
        id: Id of the intent in the journal.
        key: Its idempotency key.
        reference: What the ledger will know it by; empty where the ledger chooses.
        created: False when the same intent had been accepted before.
        durability: What was reached: ``memory``, ``fsync`` or ``replicated:N``.
    """

    id: str
    key: str
    reference: str
    created: bool
    durability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An intent with the options of :meth:`Relay.enqueue`, for :meth:`Relay.enqueue_many`."""

    intent: Intent
    key: str | None = None
    target: str = DEFAULT_TARGET
    lane: str | None = None
    not_before: datetime | timedelta | None = None
    deadline: datetime | timedelta | None = None
    after: Sequence[str] = ()
    order_key: str | None = None


def prepare(settings: Settings, write: Write) -> NewEntry:
    """Check an intent and its options, and say what would be recorded.

    Raises:
        InvalidIntent: The key, the target, the lane or a time is not valid, the amount is beyond the settings' limit,
            or the target has no read that could prove the outcome.
    """
    intent = write.intent
    if not isinstance(intent, Intent):
        raise InvalidIntent(
            "intent",
            {"_schema": [f"Must be what a builder such as transaction(…) returns, not a {type(intent).__name__}."]},
        )
    key = intent.natural_key if write.key is None else write.key
    errors: dict[str, list[str]] = {}
    switch = KINDS[intent.kind].switch
    if switch and not getattr(settings, switch):
        errors["kind"] = [
            f"Is only accepted where {PREFIX}{switch.upper()} is true, because Blnk Cloud does not list its route."
        ]
    if key is None:
        errors["key"] = ["Is needed: an idempotency key of yours, unique for ever, such as your order's id."]
    elif problem := _key_problem(key):
        errors["key"] = [problem]
    target = settings.ledgers.get(write.target) if isinstance(write.target, str) else None
    if target is None:
        errors["target"] = [f"Unknown target {write.target!r}; the settings name {', '.join(settings.ledgers)}."]
    elif target.api == "core" and (unread := KINDS[intent.kind].cloud_only):
        errors["target"] = [
            f"A Core without Cloud has no read of {unread}, so nothing could prove what became of this, nor that a "
            "repeat would not double it. Use a target whose api is cloud, or do it by hand."
        ]
    lane = settings.route(intent.kind) if write.lane is None else write.lane
    if lane not in settings.lanes:
        errors["lane"] = [f"Unknown lane {lane!r}; the settings list {', '.join(settings.lanes)}."]
    payload = intent.payload
    if _largest(payload) > settings.max_precise_amount:
        errors["amount"] = [
            f"Must not be above {settings.max_precise_amount:,} minor units "
            "(BLNK_RELAY_MAX_PRECISE_AMOUNT), beyond which "
            "the way to the ledger may not keep it exact. Note that amount counts units, and "
            "precise_amount minor units."
        ]
    for name in ("meta_data", "replace_meta_data"):
        if settings.meta_key in (payload.get(name) or ()):
            errors[name] = [f"Must not have the key {settings.meta_key!r}, which is ours (BLNK_RELAY_META_KEY)."]
    if intent.file is not None and len(intent.file) > settings.upload_max_bytes:
        errors["file"] = [f"Must not be larger than {settings.upload_max_bytes:,} bytes (BLNK_RELAY_UPLOAD_MAX_BYTES)."]
    not_before = _moment(write.not_before, "+0", "not_before", errors)
    deadline = _moment(write.deadline, f"~{int(settings.deadline_s * 1000)}", "deadline", errors)
    if not errors and _contradict(write):
        errors["deadline"] = ["Must lie after not_before, or it would never be sent."]
    after: Any = write.after
    if isinstance(after, Iterable) and not isinstance(after, str | Mapping):
        # What can be walked through once only is walked through here.
        after = tuple(after)
    if problem := _after_problem(after, key):
        errors["after"] = [problem]
    if write.order_key is not None and (problem := _key_problem(write.order_key)):
        errors["order_key"] = [problem]
    if errors or key is None or target is None:
        raise InvalidIntent(intent.kind, errors)
    new = new_entry(
        intent,
        key,
        lane,
        target=target.name,
        not_before=not_before,
        deadline=deadline,
        tag=settings.meta_key,
        after=after or (),
        order_key=write.order_key,
    )
    if target.confirm_route == "data":
        for claimed in new.references:
            if problem := data_api_problem(claimed):
                raise InvalidIntent(intent.kind, {"reference": [problem]})
    return new


def _largest(payload: Mapping[str, Any]) -> int:
    """The largest amount in minor units that a payload moves at once, be it that of an item."""
    amounts: list[int] = [payload.get("precise_amount", 0)]
    amounts += [item.get("precise_amount", 0) for item in payload.get("items", ())]
    return max(amounts)


def _key_problem(key: object) -> str | None:
    return key_problem(key) if isinstance(key, str) else f"Must be a string, not {type(key).__name__}."


def _after_problem(after: object, key: object) -> str | None:
    """Why an intent cannot wait for these, or None."""
    if not after:
        return None
    if not isinstance(after, tuple):
        return 'Must be a list of keys of other intents, such as ["order-42"].'
    for position, other in enumerate(after):
        if problem := _key_problem(other):
            return f"Must be keys of other intents; at position {position}: {problem}"
    return "Must be keys of other intents; it cannot wait for itself." if key in after else None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch in the order in which it is recorded, and the way back to the order in which it was given."""

    entries: list[NewEntry]
    order: list[int]

    def receipts(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Receipts in the order in which the batch was given."""
        placed = dict(zip(self.order, receipts, strict=True))
        return [placed[index] for index in range(len(placed))]

    def placed(self, error: KeyConflict | InvalidIntent) -> KeyConflict | InvalidIntent:
        """An error that tells of the position as it was given."""
        if error.index is None:
            return error
        if isinstance(error, InvalidIntent):
            return error.at(self.order[error.index])
        error.index = self.order[error.index]
        return error


def prepare_many(settings: Settings, writes: Iterable[Intent | Write]) -> Batch:
    """Check a whole batch.

    Raises:
        InvalidIntent: One is not valid, there are too many, or some wait for each other in a circle; ``index`` says
            where.
        DuplicateInBatch: A key or a reference stands twice; ``positions`` says where.
    """
    entries: list[NewEntry] = []
    seen: dict[tuple[str, str], int] = {}
    for index, item in _walked(writes):
        if index >= MAX_BATCH:
            raise InvalidIntent(
                "batch", {"_schema": [f"At most {MAX_BATCH:,} intents go into one call; cut it into parts."]}, index
            )
        try:
            new = prepare(settings, item if isinstance(item, Write) else Write(intent=item))
        except InvalidIntent as error:
            raise error.at(index) from None
        target = new.entry.target
        for name in (("key", new.entry.id), *((target, reference) for reference in new.references)):
            if name in seen:
                first = seen[name]
                reference = "" if name[0] == "key" else name[1]
                raise DuplicateInBatch(
                    new.entry.kind, new.entry.key, first, index, reference=reference, first_key=entries[first].entry.key
                )
            seen[name] = index
        entries.append(new)
    order = in_dependency_order(entries)
    return Batch([entries[index] for index in order], order)


def _walked(writes: Iterable[Intent | Write]) -> Iterator[tuple[int, Intent | Write]]:
    """Each with its position, which an error of a builder tells of as well where they are built on the way."""
    left = iter(writes)
    for index in count():
        try:
            item = next(left)
        except StopIteration:
            return
        except InvalidIntent as error:
            raise error.at(index) if error.index is None else error from None
        yield index, item


def split_by_target(entries: Sequence[NewEntry]) -> dict[str, list[int]]:
    """Positions of a batch by target, in the order in which the targets come first."""
    found: dict[str, list[int]] = {}
    for position, new in enumerate(entries):
        found.setdefault(new.entry.target, []).append(position)
    return found


@contextmanager
def placed(positions: Sequence[int]) -> Iterator[None]:
    """Errors about one of some intents tell of its position in the whole batch."""
    try:
        yield
    except KeyConflict as conflict:
        if conflict.index is not None:
            conflict.index = positions[conflict.index]
        raise
    except InvalidIntent as error:
        if error.index is None:
            raise
        raise error.at(positions[error.index]) from None


def receipts_of(entries: Sequence[NewEntry], accepted: Sequence[Accepted], durability: str) -> list[Receipt]:
    """The receipts for what the journal accepted."""
    return [
        Receipt(answer.id, new.entry.key, new.entry.reference, answer.created, durability)
        for new, answer in zip(entries, accepted, strict=True)
    ]


def in_dependency_order(entries: Sequence[NewEntry]) -> list[int]:
    """Positions of a batch in an order in which nothing stands before what it waits for; otherwise as given.

    Raises:
        InvalidIntent: They wait for each other in a circle; ``index`` says where.
    """
    if not any(new.after_ids for new in entries):
        return list(range(len(entries)))
    position = {new.entry.id: index for index, new in enumerate(entries)}
    sorter = TopologicalSorter[int]()
    for index, new in enumerate(entries):
        sorter.add(index, *(position[id_] for id_ in new.after_ids if id_ in position))
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[int] = error.args[1]
        keys = " → ".join(repr(entries[index].entry.key) for index in reversed(circle))
        kind = entries[circle[0]].entry.kind
        raise InvalidIntent(
            kind,
            {"after": [f"They wait for each other in a circle, so that none would ever be sent: {keys}."]},
            circle[0],
        ) from None
    # The earliest that may go is taken first, so that nothing moves without need: accept order means something.
    ordered: list[int] = []
    free = list(sorter.get_ready())
    heapify(free)
    while free:
        index = heappop(free)
        ordered.append(index)
        sorter.done(index)
        for following in sorter.get_ready():
            heappush(free, following)
    return ordered


def _contradict(write: Write) -> bool:
    """Whether a deadline cannot be met; judged by the two alone, so that a repeat is judged as the first was."""
    start, end = write.not_before, write.deadline
    if isinstance(start, timedelta) and isinstance(end, timedelta):
        return end <= start
    # Two times of one zone would be compared by what its clocks show, which stands twice in an hour of autumn.
    return isinstance(start, datetime) and isinstance(end, datetime) and end.timestamp() <= start.timestamp()


def _moment(given: datetime | timedelta | None, default: str, name: str, errors: dict[str, list[str]]) -> str:
    """A time as the journal takes it: milliseconds since 1970, or from the moment of acceptance (``+``)."""
    if given is None:
        return default
    if isinstance(given, timedelta):
        if given < timedelta(0):
            errors[name] = ["Must not lie in the past: a span counts from now."]
        if given > LONGEST_SPAN:
            errors[name] = [f"Must not be longer than ten years, or {LONGEST_SPAN.days:,} days."]
        return f"+{int(given.total_seconds() * 1000)}"
    if not isinstance(given, datetime) or given.tzinfo is None:
        errors[name] = ["Must be a datetime with an offset from UTC, or a timedelta from now."]
        return default
    if given.timestamp() > LATEST.timestamp():
        errors[name] = [f"Must not lie beyond {LATEST:%Y-%m-%d}; leave it out for the default of the settings."]
        return default
    return str(int(given.timestamp() * 1000))
