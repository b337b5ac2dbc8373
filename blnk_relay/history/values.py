"""What is copied into history, and what is asked of it: values, and how they are drawn out of a payload. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

#: Longest text that stands in an index; longer ones are cut, here and in a question alike.
MOST_INDEXED = 255

#: Longest of all others, but for payloads.
MOST_TEXT = 8_000

#: Values of metadata that are kept of one intent or item: more than go into a row that the ledger records (6,000
#: bytes), or some could not be found, and nobody would say so.
MOST_META = 1_000

#: Names of one sort that are kept of one intent: a bulk has up to 10,000 items, and each may have a row and a queued
#: one, two ends, and a reference of some generations.
MOST_NAMES = 100_000

#: Sorts of names that are none: an intent has more of another sort than are kept; it could not be read, for the key of
#: what is hidden was missing. And their texts.
CUT, UNREAD = "cut", "unread"
MARKS = {CUT: "~cut", UNREAD: "~unread"}

#: How deep metadata and payloads are looked into: 20 levels are taken, and an item of a bulk stands a few deeper.
_DEEPEST = 24

#: Decimals of an amount in units of its currency.
_MOST_PLACES = 64

#: How the ledger names what it makes.
_ID = re.compile(r"[a-z]{2,16}_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

#: What stands before a fingerprint, in the place of a text that a journal hides.
HIDDEN = "~"

#: Largest number of the tables, and of those columns that have half of that.
_LARGEST, _LARGEST_COUNT = 2**63 - 1, 2**31 - 1


def stored(text: str, most: int = MOST_TEXT) -> str:
    """A text as any database takes it: without zero characters and halves of pairs, and no longer than that."""
    return text[:most].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def indexed(text: str) -> str:
    """The same for a text that is looked for."""
    return stored(text, MOST_INDEXED)


def number(text: object) -> int:
    """A number of Redis; 0 for none, and for what is none."""
    try:
        return max(-_LARGEST, min(_LARGEST, int(float(text)) if isinstance(text, str) and "." in text else int(text)))  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 0


def count(text: object) -> int:
    """The same of what is no time: there is room for half as much."""
    return max(-_LARGEST_COUNT, min(_LARGEST_COUNT, number(text)))


@dataclass(frozen=True, slots=True)
class Name:
    """Something that an intent is known by.

    Attributes:
        sort: ``reference`` (its own, of any generation), ``id`` (of the ledger's), ``about`` (what it acts on), or one
            of :data:`MARKS`.
    """

    sort: str
    text: str


@dataclass(frozen=True, slots=True)
class Movement:
    """Money from one balance to another; what is not known is empty.

    Attributes:
        amount: In units of the currency, as short as possible; empty where only minor units are known.
        precise_amount: In minor units.
    """

    currency: str = ""
    amount: str = ""
    precise_amount: str = ""
    source: str = ""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a dead letter.

    Attributes:
        life: What tells it from its others.
        closed: ``replayed`` or ``discarded``; empty while it waits for a human.
    """

    intent: str
    life: str
    died_ms: int
    dead_class: str
    code: str
    message: str
    generation: int
    attempts: int
    closed: str = ""
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an intent's log; see :class:`blnk_relay.Attempt`."""

    at_ms: int
    what: str
    status: int = 0
    code: str = ""
    latency_ms: int = 0
    worker: str = ""
    note: str = ""
    request_id: str = ""
    count: int = 1
    last_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """All that is copied of one intent; see :class:`blnk_relay.Status`.

    Attributes:
        state: ``done``, ``cancelled``, ``dead``, ``discarded``, or ``open`` for a letter that was replayed.
        payload: As the journal has it, hidden where it is; None where it is not to be stored.
        encrypted: Names of the encryption keys that payload and message need, by blanks.
    """

    id: str
    key: str
    kind: str
    lane: str
    state: str
    outcome: str = ""
    dead_class: str = ""
    code: str = ""
    message: str = ""
    reference: str = ""
    generation: int = 0
    attempts: int = 0
    transaction_id: str = ""
    parent_id: str = ""
    created_ms: int = 0
    ended_ms: int = 0
    payload: str | None = field(default=None, repr=False)
    encrypted: str = ""
    names: tuple[Name, ...] = field(default=(), repr=False)
    movements: tuple[Movement, ...] = field(default=(), repr=False)
    meta: tuple[tuple[int, str, str], ...] = field(default=(), repr=False)
    lines: tuple[Line, ...] = field(default=(), repr=False)

    @property
    def hides(self) -> bool:
        """Whether what it is found by stands here hidden, so that it must not stand anywhere in the clear."""
        return any(
            text.startswith(HIDDEN)
            for text in (
                *(name.text for name in self.names if name.sort not in MARKS),
                *(text for one in self.movements for text in (one.currency, one.source, one.destination)),
                *(value for _, _, value in self.meta),
            )
        )

    @property
    def unread(self) -> bool:
        """Whether it could not be read, for the key of what is hidden was missing."""
        return any(name.sort == UNREAD for name in self.names)


@dataclass(frozen=True, slots=True)
class Acted:
    """One entry of the log of operators' actions, as the journal has it."""

    entry: str
    at_ms: int
    who: str
    what: str
    document: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What is searched for; empty for anything. Texts are as they are stored, so hidden ones are fingerprints.

    Attributes:
        keys: Keys of intents; those that may be ids are looked for as ids as well.
        ids: Ids of intents.
        names: References, ids of the ledger.
        movement: Columns of a movement that all have to be those of one leg or item.
        meta: Metadata, all of which has to be there.
        since: Only what ended at or after this time.
        until: Only what ended before this time.
    """

    keys: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    movement: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""
    state: str = ""
    outcome: str = ""
    dead_class: str = ""
    code: str = ""

    def fit(self, one: Ended) -> bool:
        """Whether an intent is one that is searched for; as the database would say."""
        names = ("kind", "state", "outcome", "dead_class", "code")
        texts = {name.text for name in one.names}
        return (
            all(getattr(self, name) in ("", getattr(one, name)) for name in names)
            and (not self.keys or one.key in self.keys or one.id in self.keys)
            and (not self.names or not texts.isdisjoint(self.names))
            and (not self.since or one.ended_ms >= ended_at(self.since))
            and (not self.until or one.ended_ms < ended_at(self.until))
            and self._fit_movements(one)
            and self._fit_meta(one)
        )

    def _fit_movements(self, one: Ended) -> bool:
        return not self.movement or any(
            all(getattr(movement, name) == text for name, text in self.movement.items()) for movement in one.movements
        )

    def _fit_meta(self, one: Ended) -> bool:
        there = {(name, value) for _, name, value in one.meta}
        return all((indexed(name), indexed(value)) in there for name, value in self.meta.items())


#: From when the tables count.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ended_at(at: datetime) -> int:
    """A bound of times as the tables have them: the first whole millisecond that is not before it.

    Example:
        >>> [ended_at(_EPOCH + timedelta(microseconds=micros)) for micros in (2000, 2001, 3000)]
        [2, 3, 3]
    """
    return -((_EPOCH - at) // timedelta(milliseconds=1))


def units(precise_amount: int, precision: int) -> str:
    """An amount in units of its currency, exactly, written as short as possible, so that equal ones are equal texts.

    Example:
        >>> units(2500, 100), units(1050, 100), units(-5, 1000), units(2500, 250), units(1, 3)
        ('25', '10.5', '-0.005', '10', '')
    """
    if precision <= 0:
        return ""
    whole = Fraction(precise_amount, precision)
    places = _places(whole.denominator)
    if places is None:
        return ""
    # Arithmetic would round to the digits of its context.
    sign, digits, _ = Decimal(whole.numerator * (10**places // whole.denominator)).as_tuple()
    return plain_amount(Decimal((sign, digits, -places)))


def _places(denominator: int) -> int | None:
    """How many decimals a fraction has; None where they do not end, or nobody writes so many."""
    for places in range(_MOST_PLACES + 1):
        if not 10**places % denominator:
            return places
    return None


def plain_amount(amount: Decimal) -> str:
    """A decimal number, written as short as possible.

    Example:
        >>> plain_amount(Decimal("25.00")), plain_amount(Decimal("1E3"))
        ('25', '1000')
    """
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def movements_of(payload: Mapping[str, Any]) -> tuple[Movement, ...]:
    """Amounts and ends of a payload: of a split one for each leg and the whole, of a batch one for each item."""
    found = [] if "items" in payload else [_movement(payload, payload)]
    found += [_movement(item, item) for item in _each(payload.get("items"))]
    for side in ("source", "destination"):
        found += [
            _movement(payload, {**leg, side: leg.get("identifier", "")}) for leg in _each(payload.get(f"{side}s"))
        ]
    return tuple(dict.fromkeys(one for one in found if one != Movement()))


def _each(several: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(several, (list, tuple)):
        yield from (one for one in several if isinstance(one, Mapping))


def _movement(whole: Mapping[str, Any], part: Mapping[str, Any]) -> Movement:
    precise, precision = part.get("precise_amount"), whole.get("precision")
    known = isinstance(precise, int) and not isinstance(precise, bool)
    return Movement(
        currency=_text(whole.get("currency")),
        amount=units(int(precise or 0), precision) if known and isinstance(precision, int) else "",
        precise_amount=str(precise) if known else "",
        source=_text(part.get("source", whole.get("source"))),
        destination=_text(part.get("destination", whole.get("destination"))),
    )


def _text(value: object) -> str:
    return indexed(value) if isinstance(value, str) else ""


def meta_of(payload: Mapping[str, Any], wanted: Callable[[str], bool]) -> tuple[tuple[int, str, str], ...]:
    """Values of ``meta_data``, each with the number of its item and its name, nested ones by dots.

    The number is 0 of the whole, and below 0 where the name stands there twice.

    Args:
        payload: The payload.
        wanted: Whether a name of the first level is to be searched for.
    """
    found: list[tuple[int, str, str]] = []
    for place, part in enumerate((payload, *_each(payload.get("items")))):
        values = part.get("meta_data")
        if isinstance(values, Mapping):
            some = ((name, text) for name, text in _flat("", values, 0) if wanted(name.partition(".")[0]))
            found += [(place, indexed(name), indexed(text)) for name, text in islice(some, MOST_META)]
    # A name may stand twice, nested and with a dot of its own: the second one has a number that no place has.
    names = [(place, name) for place, name, _ in found]
    once = {name: at for at, name in reversed(list(enumerate(names)))}
    return tuple(
        (place if once[place, name] == at else -at, name, text) for at, (place, name, text) in enumerate(found)
    )


def _flat(before: str, values: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            if depth < _DEEPEST:
                yield from _flat(f"{before}{name}.", value, depth + 1)
        elif isinstance(value, (str, int, float)):
            yield f"{before}{name}", meta_text(value)


def meta_text(value: object) -> str:
    """A value of metadata as it is compared.

    Example:
        >>> meta_text(True), meta_text(7), meta_text("x")
        ('true', '7', 'x')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def ids_in(payload: object, depth: int = 0) -> Iterator[str]:
    """Ids of the ledger that stand anywhere in a payload."""
    if isinstance(payload, str):
        if _ID.fullmatch(payload):
            yield payload
    elif depth < _DEEPEST:
        if isinstance(payload, Mapping):
            payload = list(payload.values())
        if isinstance(payload, Sequence):
            for one in payload:
                yield from ids_in(one, depth + 1)
