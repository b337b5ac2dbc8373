"""Dead letters by cause: what scripts keep beside the letters (letters.lua), so that nobody has to look at each.

A cause is a kind, a class and a code. How many letters it has and when they died is read off a sorted set of them; sums
are kept as letters come and go, as far as payloads tell them in the clear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from blnk_relay.journal.flows import Ask, Flow, batched
from blnk_relay.journal.fresh import named
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import milliseconds_from, moment, statuses_flow
from blnk_relay.replay import ReplayWay, plan_replay

#: Letters and orders of a cause that are named, and causes of a journal whose letters are.
_NAMED, _CAUSES_NAMED = 3, 30

#: Causes that are read in one moment.
_AT_ONCE = 100

#: How often letters are counted at most, where a cause is new.
_TRIES = 3

#: Before an order of the caller's own, as it stands in the journal.
_OWN = "own:"


@dataclass(frozen=True, slots=True)
class Cause:
    """What some dead letters of one target died of.

    Attributes:
        target: Whose letters they are.
        kind: Their kind.
        dead_class: Their class.
        code: Their code.
        count: How many there are now, of the time that was asked for.
        first: When the first of them died.
        last: When the last of them did.
        way: What a replay would do with them: ``same``, ``fresh`` or ``no``.
        why: In words, for the person who decides.
        sums: What they are worth together, by currency, as far as it is known; empty where a time was asked for that
            leaves some of them out, because sums are kept of a cause as a whole.
        summed: Of how many letters the sums are: what is encrypted, a bulk, or says no amount is in none.
        orders: How many of the caller's orders have letters of it, of whatever time; an order key may be a customer.
        some_orders: Of these the first few with most letters, each with how many.
        some_keys: Keys of the letters that have waited longest.
    """

    target: str
    kind: str
    dead_class: str
    code: str
    count: int
    first: datetime
    last: datetime
    way: ReplayWay
    why: str
    sums: Mapping[str, Decimal]
    summed: int
    orders: int
    some_orders: tuple[tuple[str, int], ...]
    some_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Causes:
    """Dead letters by cause, the most letters first.

    Attributes:
        causes: Them.
        uncounted: Letters that no cause accounts for, or that are accounted for and gone, as a version before has left
            them. They are taken in by :meth:`blnk_relay.Operator.recount`.
        away: Targets whose journal could not be reached.
    """

    causes: tuple[Cause, ...]
    uncounted: int = 0
    away: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """How many letters are accounted for.

    Attributes:
        letters: By the name of their cause.
        dead: How many there are.
    """

    letters: Mapping[str, int]
    dead: int

    @property
    def uncounted(self) -> int:
        """How many too few or too many are accounted for."""
        return abs(self.dead - sum(self.letters.values()))


def fits(cause: str, kind: str | None, dead_class: str | None, code: str | None) -> bool:
    """Whether a cause is one of those that are asked for; None for any."""
    return all(wanted in (None, is_) for wanted, is_ in zip((kind, dead_class, code), named(cause), strict=True))


def counted_flow(prefix: str) -> Flow[Counted]:
    """How many letters each cause has, in one moment; two trips, and more where somebody dies of what nobody had."""
    [names] = yield Ask((("SMEMBERS", f"{prefix}causes"),))
    for left in reversed(range(_TRIES)):
        ordered = sorted(names)
        commands = (("SMEMBERS", f"{prefix}causes"), ("ZCARD", f"{prefix}dead"))
        names, dead, *numbers = yield Ask((*commands, *(("ZCARD", f"{prefix}letters:{name}") for name in ordered)))
        if not left or {*names} <= {*ordered}:
            break
    return Counted(dict(zip(ordered, numbers, strict=True)), dead)


def uncounted_flow(prefix: str) -> Flow[int]:
    """How many letters are not accounted for."""
    return (yield from counted_flow(prefix)).uncounted


@dataclass(frozen=True, slots=True)
class Window:
    """Of which causes and times; None for any."""

    kind: str | None = None
    dead_class: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def causes_flow(prefix: str, seal: Seal, target: str, window: Window) -> Flow[tuple[list[Cause], int]]:
    """The causes of one journal, in some commands a cause; and how many letters are not accounted for."""
    counted = yield from counted_flow(prefix)
    names = [name for name in counted.letters if fits(name, window.kind, window.dead_class, window.code)]
    least = str(milliseconds_from(window.since)) if window.since else "-inf"
    most = f"({milliseconds_from(window.until)}" if window.until else "+inf"
    read: list[_Read] = []
    for some in batched(names, _AT_ONCE):
        commands: list[tuple[str | int, ...]] = []
        for name in some:
            letters, affected = f"{prefix}letters:{name}", f"{prefix}affected:{name}"
            commands += [
                ("ZCOUNT", letters, least, most),
                ("ZRANGEBYSCORE", letters, least, most, "WITHSCORES", "LIMIT", 0, _NAMED),
                ("ZREVRANGEBYSCORE", letters, most, least, "WITHSCORES", "LIMIT", 0, 1),
                ("ZCARD", letters),
                ("HGETALL", f"{prefix}sums:{name}"),
                ("ZCARD", affected),
                ("ZREVRANGE", affected, 0, _NAMED - 1, "WITHSCORES"),
            ]
        # Together, so that no sum is of more letters than are counted.
        answers = iter((yield Ask(tuple(commands))))
        read += [_read(name, answers) for name in some]
    found = sorted((one for one in read if one.count), key=lambda one: (-one.count, one.name))
    ids = [id_ for one in found[:_CAUSES_NAMED] for id_ in one.ids]
    statuses = (yield from statuses_flow(prefix, seal, target, ids)) if ids else []
    keys = {status.id: status.key or status.id for status in statuses if status is not None}
    return [one.told(target, keys) for one in found], counted.uncounted


@dataclass(frozen=True, slots=True)
class _Read:
    """A cause as it was read."""

    name: str
    whole: int
    count: int
    ids: tuple[str, ...]
    first: float
    last: float
    sums: Mapping[str, str]
    orders: int
    some_orders: tuple[tuple[str, int], ...]

    def told(self, target: str, keys: Mapping[str, str]) -> Cause:
        """As it is shown."""
        kind, dead_class, code = named(self.name)
        plan = plan_replay(kind, dead_class, code)
        partly = self.count < self.whole
        return Cause(
            target=target,
            kind=kind,
            dead_class=dead_class,
            code=code,
            count=self.count,
            first=moment(int(self.first)),
            last=moment(int(self.last)),
            way=plan.way,
            why=plan.why,
            sums={} if partly else sums_of(self.sums),
            summed=0 if partly else int(self.sums.get("known", 0)),
            orders=self.orders,
            some_orders=self.some_orders,
            some_keys=tuple(keys[id_] for id_ in self.ids if id_ in keys),
        )


def _read(name: str, answers: Iterator[Any]) -> _Read:
    count, oldest, newest, whole, sums, orders, most_hit = (next(answers) for _ in range(7))
    return _Read(
        name=name,
        whole=whole,
        count=count if oldest and newest else 0,
        ids=tuple(id_ for id_, _ in oldest),
        first=oldest[0][1] if oldest else 0.0,
        last=newest[0][1] if newest else 0.0,
        sums=sums,
        orders=orders,
        some_orders=tuple((order.removeprefix(_OWN), int(number)) for order, number in most_hit),
    )


def sums_of(fields: Mapping[str, str]) -> dict[str, Decimal]:
    """Sums by currency, in units, of what is kept in minor units by currency and precision.

    Example:
        >>> sums_of({"EUR/100": "1050", "EUR/1000": "500", "known": "2"})
        {'EUR': Decimal('11')}
    """
    found: dict[str, Decimal] = {}
    for name, minor in sorted(fields.items()):
        currency, _, precision = name.partition("/")
        if precision.isdigit() and int(precision) and int(minor):
            found[currency] = found.get(currency, Decimal(0)) + Decimal(minor) / Decimal(precision)
    return {currency: _plain(total) for currency, total in found.items()}


def _plain(total: Decimal) -> Decimal:
    """Without zeros at its end, and without an exponent."""
    return total.quantize(Decimal(1)) if total == total.to_integral_value() else total.normalize()


def together(parts: Sequence[tuple[Sequence[Cause], int]], away: tuple[str, ...]) -> Causes:
    """Those of several journals, the most letters first."""
    causes = [cause for some, _ in parts for cause in some]
    causes.sort(key=lambda cause: (-cause.count, cause.target, cause.kind, cause.code))
    return Causes(tuple(causes), sum(number for _, number in parts), away)
