"""Which dead letters a bulk command is about: a scope that has to be named, and what was found in it."""

from __future__ import annotations

import functools
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from worker.cli.options import filter_options
from worker.cli.output import progress, stamp
from worker.cli.spans import Time, since_at

if TYPE_CHECKING:
    from blnk_relay import Status
    from worker.cli.access import Access

#: Letters of a plan that are shown one by one.
FIRST = 10

#: The way of a letter that will not be touched.
NO = "no"


@dataclass(frozen=True, slots=True)
class Scope:
    """Keys, or conditions that all have to hold, or everything.

    Attributes:
        target: Only letters of this ledger; with keys the one that they belong to, the default one when None.
        until: Only letters that died before; set by the plan, so that what dies again meanwhile is left alone.
    """

    keys: tuple[str, ...] = ()
    code: str | None = None
    kind: str | None = None
    since: datetime | timedelta | None = None
    until: datetime | None = None
    target: str | None = None
    everything: bool = False

    def problem(self) -> str | None:
        """Why this is no scope, or None."""
        filters = (self.code, self.kind, self.since)
        narrowed = any(item is not None for item in (*filters, self.target))
        if self.keys and (self.everything or self.until is not None or any(item is not None for item in filters)):
            return "--key names letters one by one and goes with no other part of a scope."
        if self.everything and narrowed:
            return "--all takes every dead letter: leave it out to narrow by --code, --kind, --target or --since."
        if not self.keys and not self.everything and not narrowed:
            return "Name a scope: --key (again for more), --code, --kind, --target, --since, or --all."
        return None

    def at(self, now: datetime) -> Scope:
        """The same with its times fixed; letters up to and with this millisecond are in it."""
        if self.keys:
            return self
        until = self.until or now + timedelta(milliseconds=1)
        return replace(self, since=since_at(self.since, now), until=until)

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "keys": list(self.keys),
            "code": self.code,
            "kind": self.kind,
            "target": self.target,
            "since": stamp(self.since) if isinstance(self.since, datetime) else None,
            "until": stamp(self.until),
            "all": self.everything,
        }

    def words(self) -> str:
        """In words, for the log of actions."""
        if len(self.keys) == 1:
            return f"letter {self.keys[0]}"
        if self.keys:
            return "letters " + ", ".join(self.keys)
        since = f" since {self.since.total_seconds():.0f} s before" if isinstance(self.since, timedelta) else ""
        return f"letters {self.arguments()}{since}"

    def arguments(self) -> str:
        """As arguments for the same scope once more."""
        parts = [f"--key {shlex.quote(key)}" for key in self.keys]
        parts += [
            f"--{name} {shlex.quote(value)}" for name in ("code", "kind", "target") if (value := getattr(self, name))
        ]
        if isinstance(self.since, datetime):
            parts.append(f"--since {stamp(self.since.astimezone(UTC))}")
        if self.everything:
            parts.append("--all")
        if self.until is not None:
            parts.append(f"--until {stamp(self.until)}")
        return " ".join(parts)


def scope_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of a scope, handed on as one ``scope``; without one the command ends with a sentence."""

    @functools.wraps(function)
    def with_scope(
        *args: Any,
        keys: tuple[str, ...],
        code: str | None,
        kind: str | None,
        target: str | None,
        since: datetime | timedelta | None,
        until: datetime | None,
        everything: bool,
        **kwargs: Any,
    ) -> None:
        scope = Scope(tuple(dict.fromkeys(keys)), code, kind, since, until, target, everything)
        if problem := scope.problem():
            raise click.UsageError(problem, click.get_current_context())
        function(*args, scope=scope, **kwargs)

    wrapped: Callable[..., None] = with_scope
    wrapped = click.option("--until", type=Time(), help="Only letters that died before: as an earlier run printed it.")(
        wrapped
    )
    wrapped = click.option("--all", "everything", is_flag=True, help="Every dead letter.")(wrapped)
    wrapped = filter_options(wrapped)
    return click.option("--key", "keys", multiple=True, metavar="KEY", help="This letter; again for more.")(wrapped)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter and what would be done with it."""

    status: Status
    way: str
    why: str

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        status = self.status
        return {
            "id": status.id,
            "key": status.key,
            "kind": status.kind,
            "dead_class": status.dead_class,
            "code": status.code,
            "died": stamp(status.updated),
            "way": self.way,
            "why": self.why,
        }


@dataclass(slots=True)
class Plan:
    """What was found in a scope.

    Attributes:
        letters: To be acted on, oldest first, at most ``most``.
        refused: The first of those that will not be touched.
        more: There are more in the scope than ``most``.
    """

    scope: Scope
    most: int
    letters: list[Letter] = field(default_factory=list)
    refused: list[Letter] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    more: bool = False

    def add(self, letter: Letter) -> bool:
        """Take a letter in. Returns False when the plan is full; what cannot be acted on takes no room in it."""
        if letter.way != NO and len(self.letters) == self.most:
            self.more = True
            return False
        self.ways[letter.way] += 1
        self.codes[letter.status.code] += 1
        if letter.way != NO:
            self.letters.append(letter)
        elif len(self.refused) < FIRST:
            self.refused.append(letter)
        return True

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "scope": self.scope.as_json(),
            "max": self.most,
            "letters": len(self.letters),
            "ways": dict(sorted(self.ways.items())),
            "codes": dict(self.codes.most_common()),
            "first": [letter.as_json() for letter in (self.letters[:FIRST] + self.refused)[:FIRST]],
            "more": self.more,
        }


def plan(access: Access, scope: Scope, most: int, way_of: Callable[[Status], tuple[str, str]]) -> Plan:
    """Find the letters of a scope, and say of each what would be done.

    Args:
        access: The journals.
        scope: The scope.
        most: Letters to act on at most.
        way_of: From a letter to a way (``no`` for none) and why.

    Raises:
        NotFound: A key is unknown, or a filter cannot match anything.
    """
    access.operator.check_filters(("dead",), kind=scope.kind, code=scope.code, target=scope.target)
    made = Plan(scope.at(access.operator.now(scope.target)), most)
    with progress("looking through the dead letters", None) as step:
        for status in _found(access, made.scope):
            step(1)
            if not made.add(Letter(status, *_way(status, way_of))):
                break
    return made


def _way(status: Status, way_of: Callable[[Status], tuple[str, str]]) -> tuple[str, str]:
    """What would be done with one letter; whatever is wrong with it, the others are planned all the same."""
    from blnk_relay import RelayError

    try:
        return way_of(status)
    except RelayError:
        raise
    except Exception as error:  # noqa: BLE001 - one letter must not touch its neighbours
        return NO, f"it cannot be planned ({type(error).__name__}); the others are not touched by that"


def _found(access: Access, scope: Scope) -> Iterator[Status]:
    from blnk_relay.intents.intent import DEFAULT_TARGET

    if scope.keys:
        target = scope.target or DEFAULT_TARGET
        known = {status.id: status for status in (access.operator.get(key, target=target) for key in scope.keys)}
        yield from known.values()
        return
    since = scope.since if isinstance(scope.since, datetime) else None
    # What waits longest comes first, and what a cap cuts off is what died last.
    yield from access.operator.listed(
        "dead",
        kind=scope.kind,
        code=scope.code,
        target=scope.target,
        since=since,
        until=scope.until,
        oldest_first=True,
    )
