"""Which dead letters a bulk command is about: a scope that has to be named, and what was found in it."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from worker.cli.options import NO_CODE, filter_options
from worker.cli.output import progress, stamp
from worker.cli.spans import times_at

if TYPE_CHECKING:
    from blnk_relay import JobName, ManyPlan, Planned, Status
    from worker.cli.access import Access

#: Letters of a plan that are shown one by one.
FIRST = 10

#: Most letters of one bulk command where it does not say.
MOST_AT_A_TIME = 1000

#: The way of a letter that will not be touched.
NO = "no"


@dataclass(frozen=True, slots=True)
class Scope:
    """Keys, or conditions that all have to hold, or everything.

    Attributes:
        target: Only letters of this ledger; with keys the one that they belong to, the default one when None.
        until: Only letters that died before; a plan sets it to its own time, so that what dies again meanwhile is left
            alone.
    """

    keys: tuple[str, ...] = ()
    code: str | None = None
    kind: str | None = None
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    target: str | None = None
    everything: bool = False
    dead_class: str | None = None

    def problem(self) -> str | None:
        """Why this is no scope, or None."""
        filters = (self.code, self.kind, self.dead_class, self.since)
        narrowed = any(item is not None for item in (*filters, self.target))
        if self.keys and (self.everything or self.until is not None or any(item is not None for item in filters)):
            return "--key names letters one by one and goes with no other part of a scope."
        if self.everything and narrowed:
            return "--all takes every dead letter: leave it out to narrow by --code, --kind, --target or times."
        if not self.keys and not self.everything and not narrowed:
            return "Name a scope: --key (again for more), --class, --code, --kind, --target, --since, or --all."
        return None

    def at(self, now: datetime) -> Scope:
        """The same with its times fixed; letters up to and with this millisecond are in it."""
        if self.keys:
            return self
        since, until = times_at(self.since, self.until, now)
        return replace(self, since=since, until=until or now + timedelta(milliseconds=1))

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "keys": list(self.keys),
            "code": self.code,
            "class": self.dead_class,
            "kind": self.kind,
            "target": self.target,
            "since": stamp(self.since) if isinstance(self.since, datetime) else None,
            "until": stamp(self.until) if isinstance(self.until, datetime) else None,
            "all": self.everything,
        }

    def words(self) -> str:
        """In words, for the log of actions."""
        if len(self.keys) == 1:
            return f"letter {self.keys[0]}"
        if self.keys:
            return "letters " + ", ".join(self.keys)
        from blnk_relay.journal.jobs import letters_in_words

        return letters_in_words(
            kind=self.kind,
            code=self.code,
            dead_class=self.dead_class,
            since=self.since,
            until=self.until,
            target=self.target,
        )

    def arguments(self) -> str:
        """As arguments for the same scope once more."""
        parts = [f"--key {shlex.quote(key)}" for key in self.keys]
        parts += [
            f"--{name} {shlex.quote(value or NO_CODE)}"
            for name in ("code", "kind", "target")
            if (value := getattr(self, name)) is not None
        ]
        if self.dead_class:
            parts.append(f"--class {self.dead_class}")
        if isinstance(self.since, datetime):
            parts.append(f"--since {stamp(self.since.astimezone(UTC))}")
        if self.everything:
            parts.append("--all")
        if isinstance(self.until, datetime):
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
        dead_class: str | None,
        since: datetime | timedelta | None,
        until: datetime | timedelta | None,
        everything: bool,
        **kwargs: Any,
    ) -> None:
        scope = Scope(tuple(dict.fromkeys(keys)), code, kind, since, until, target, everything, dead_class)
        if problem := scope.problem():
            raise click.UsageError(problem, click.get_current_context())
        function(*args, scope=scope, **kwargs)

    wrapped: Callable[..., None] = with_scope
    wrapped = click.option("--all", "everything", is_flag=True, help="Every dead letter.")(wrapped)
    wrapped = filter_options(wrapped)
    return click.option("--key", "keys", multiple=True, metavar="KEY", help="This letter; again for more.")(wrapped)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a scope.

    Attributes:
        scope: The scope, with its times fixed.
        most: Letters to act on at most.
        plan: The letters, and what would be done with them.
    """

    scope: Scope
    most: int
    plan: ManyPlan

    def arguments(self) -> str:
        """As arguments for just as much once more."""
        return self.scope.arguments() + ("" if self.most == MOST_AT_A_TIME else f" --max {self.most}")

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        plan = self.plan
        return {
            "scope": self.scope.as_json(),
            "max": self.most,
            "letters": len(plan.letters),
            "ways": dict(sorted(plan.ways.items())),
            "codes": dict(plan.codes.most_common()),
            "reasons": dict(plan.reasons.most_common(FIRST)),
            "first": [_letter_json(letter) for letter in plan.first],
            "more": plan.more,
            "sums": {currency: f"{total:f}" for currency, total in plan.sums.items()},
            "summed": plan.summed,
        }


def died(status: Status) -> datetime | None:
    """When a letter died; None of what is not one."""
    return status.updated if status.state == "dead" else None


def _letter_json(letter: Planned) -> dict[str, Any]:
    status = letter.status
    return {
        "id": status.id,
        "key": status.key,
        "kind": status.kind,
        "dead_class": status.dead_class,
        "code": status.code,
        "died": stamp(died(status)),
        "way": letter.way,
        "why": letter.why,
    }


def look_through(access: Access, scope: Scope, most: int, what: JobName) -> Found:
    """Find the letters of a scope, and say of each what would be done.

    Args:
        access: The journals.
        scope: The scope.
        most: Letters to act on at most.
        what: What is to be done with them.

    Raises:
        NotFound: A key is unknown, or a filter cannot match anything.
    """
    access.operator.check_filters(("dead",), kind=scope.kind, code=scope.code, target=scope.target)
    fixed = scope.at(access.operator.now(scope.target))
    with progress("looking through the dead letters", None) as step:
        if fixed.keys:
            plan = access.operator.plan_these(what, _named(access, fixed), of=fixed.words(), most=most)
        else:
            plan = access.operator.plan_many(
                what,
                of=fixed.words(),
                kind=fixed.kind,
                code=fixed.code,
                dead_class=fixed.dead_class,
                since=fixed.since if isinstance(fixed.since, datetime) else None,
                until=fixed.until if isinstance(fixed.until, datetime) else None,
                target=fixed.target,
                most=most,
                step=step,
            )
    return Found(fixed, most, plan)


def _named(access: Access, scope: Scope) -> Iterable[Status]:
    """The letters that are named one by one, each once."""
    from blnk_relay.intents.intent import DEFAULT_TARGET

    target = scope.target or DEFAULT_TARGET
    known = {status.id: status for status in (access.operator.get(key, target=target) for key in scope.keys)}
    return known.values()
