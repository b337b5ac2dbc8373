"""Long actions as jobs: a replay or a discard of many letters that goes on without the terminal that began it.

A job is made of a plan: the letters one by one, each in the life in which it was looked at. It is kept in the journal
of its target, and workers carry it out in small pages (:mod:`blnk_relay.journal.carrying`). One about the letters of
several targets has a part in the journal of each, under one name.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.question import NO_CODE
from blnk_relay.journal.status import Status, milliseconds, moment
from blnk_relay.replay import ReplayPlan, ReplayWay, closed_how

#: What a job does.
JobName = Literal["replay", "discard"]

#: Most letters of one job, and letters from which a command makes one rather than do it at once.
MOST_OF_A_JOB, FROM_A_JOB = 100_000, 100

#: Letters handed to the journal in one trip.
CHUNK = 500

#: Letters of a plan that are told one by one.
_FIRST = 10


def letters_in_words(
    *,
    kind: str | None = None,
    code: str | None = None,
    dead_class: str | None = None,
    since: datetime | timedelta | None = None,
    until: datetime | timedelta | None = None,
    target: str | None = None,
) -> str:
    """Which letters something is about, for the log of actions: the same words from whatever face.

    Args:
        kind: Of this kind.
        code: With this code.
        dead_class: Of this class.
        since: Those that died since then, or so long before.
        until: Those that died before then.
        target: Of this ledger.

    Example:
        >>> letters_in_words(code="TXN_INSUFFICIENT_FUNDS", since=timedelta(hours=2))
        'letters code=TXN_INSUFFICIENT_FUNDS since=7200s before'
        >>> letters_in_words()
        'letters of all causes'
    """
    asked = {"kind": kind, "class": dead_class, "code": code, "target": target}
    said = [f"{name}={value or NO_CODE}" for name, value in asked.items() if value is not None] or ["of all causes"]
    times = {"since": since, "until": until}
    return " ".join(["letters", *said, *(f"{name}={_time(at)}" for name, at in times.items() if at is not None)])


def _time(at: datetime | timedelta) -> str:
    if isinstance(at, timedelta):
        return f"{at.total_seconds():.0f}s before"
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Planned:
    """One letter of a plan.

    Attributes:
        status: As it was looked at; what waits for it was not, where letters were asked for by what they died of.
        way: What is done with it: ``same``, ``fresh``, ``discard``, or ``no``.
        why: In words.
    """

    status: Status
    way: str
    why: str


@dataclass(slots=True)
class ManyPlan:
    """What a replay or a discard of many letters would do.

    Attributes:
        what: ``replay`` or ``discard``.
        of: What it is about, in words.
        letters: To be acted on, those that have waited longest first.
        ways: How many letters go which way; ``no`` for those that are left alone.
        reasons: Why those are, and how many for each reason.
        codes: How many letters died of which code.
        left: The first letters that are left alone.
        strangers: How many of those that are left alone are not dead letters at all, or not any more.
        sums: What the letters to be acted on are worth, by currency, as far as that is known.
        summed: Of how many of them that is.
        more: There are more than were asked for.
    """

    what: JobName
    of: str
    letters: list[Planned] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    left: list[Planned] = field(default_factory=list)
    strangers: int = 0
    sums: Mapping[str, Decimal] = field(default_factory=dict)
    summed: int = 0
    more: bool = False

    def add(self, letter: Planned, most: int) -> bool:
        """Take a letter in. Returns False where the plan is full; what is left alone takes no room in it."""
        if letter.way != ReplayWay.NO and len(self.letters) == most:
            self.more = True
            return False
        self.ways[letter.way] += 1
        if letter.status.state == "dead":
            self.codes[letter.status.code] += 1
        else:
            self.strangers += 1
        if letter.way == ReplayWay.NO:
            self.reasons[letter.why] += 1
            if len(self.left) < _FIRST:
                self.left.append(letter)
        else:
            self.letters.append(letter)
        return True

    @property
    def first(self) -> list[Planned]:
        """The first letters, for people: those to be acted on, then those that are left alone."""
        return (self.letters[:_FIRST] + self.left)[:_FIRST]


@dataclass(frozen=True, slots=True)
class Job:
    """A job, or the part of it that is about the letters of one target.

    Attributes:
        id: Its name, the same in all targets.
        target: Whose letters it is about.
        what: ``replay`` or ``discard``.
        of: What it is about, in words.
        who: Who began it.
        via: From where.
        reason: Why.
        state: ``running``, ``done`` or ``stopped``.
        total: Letters of its plan.
        done: Letters that were replayed or closed.
        refused: Letters that were left alone when their turn came: they had changed since, or could not be done.
        left: Letters that it has not come to.
        reasons: How many were refused why.
        sums: What the letters are worth that were done, by currency, as far as that is known.
        summed: Of how many of them that is.
        begun: When it was begun.
        ended: When it ended, or was stopped; None while it runs.
        refusals: The first letters that were refused, each with why.
        targets: All targets that have a part of it; none where it is of a version that did not note them.
        told: Whether somebody stopped it, and this part was told: it may have been done by then.
    """

    id: str
    target: str
    what: str
    of: str
    who: str
    via: str
    reason: str
    state: str
    total: int
    done: int
    refused: int
    left: int
    reasons: Mapping[str, int]
    sums: Mapping[str, Decimal]
    summed: int
    begun: datetime
    ended: datetime | None
    refusals: tuple[tuple[str, str], ...] = ()
    targets: tuple[str, ...] = ()
    told: bool = False

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state != "running"


def unseen(parts: Sequence[Job], answered: Collection[str], away: Sequence[str]) -> tuple[str, ...]:
    """Targets in which a job may have a part that nobody has seen. Pure.

    Args:
        parts: Those that were seen.
        answered: Targets whose journals were read.
        away: Targets whose journals could not be.
    """
    named = dict.fromkeys(target for part in parts for target in part.targets)
    return tuple(target for target in (named or away) if target not in answered)


def goes_on(parts: Sequence[Job]) -> tuple[str, ...]:
    """Targets in which a job goes on that was stopped in another one: whoever did so did not reach them. Pure."""
    stopped = any(part.state == "stopped" or part.told for part in parts)
    return tuple(part.target for part in parts if stopped and not part.over)


def stopped_in_part(id_: str, stopped: Sequence[str], done: Sequence[str], untold: Sequence[str]) -> str:
    """That a job could not be stopped everywhere, in words.

    Args:
        id_: Which.
        stopped: Targets in which it is stopped.
        done: Targets whose part was over before.
        untold: Targets whose journals did not answer.
    """
    goes_on = f"job {id_} may go on in {', '.join(untold)}, whose Redis did not answer, as soon as that is back"
    told = ((stopped, "it is stopped"), (done, "it was done before"))
    if not (stopped or done):
        return f"{goes_on}; it is stopped nowhere. Stop it once more then"
    where = "; ".join(f"in {', '.join(targets)} {words}" for targets, words in told if targets)
    return (
        f"{goes_on}; {where}. A worker that reaches both sees by itself that it was stopped, before it goes on; where "
        "it goes on all the same, stop it once more"
    )


def new_id() -> str:
    """A name for a job that no other has, short enough to be typed."""
    return secrets.token_hex(4)


def life_of(status: Status) -> str:
    """The life of a dead letter that a plan rests on, as letters.lua says it."""
    died = "" if status.updated is None else milliseconds(status.updated)
    return f"{status.generation}|{status.dead_class}|{status.code}|{died}"


def life_to_close(status: Status) -> str:
    """The same for who closes it, as closing.lua takes it."""
    return life_of(status) + ("|replayed" if status.perhaps_replayed else "")


def items(letters: Sequence[Planned]) -> Iterator[str]:
    """Letters as a job keeps them."""
    return (
        f"{one.status.id} {one.way} {(life_to_close if one.way == 'discard' else life_of)(one.status)}"
        for one in letters
    )


def planned(status: Status, what: JobName, replay: Callable[[Status], ReplayPlan]) -> Planned:
    """What would be done with one letter of many; whatever is wrong with it, the others are planned all the same.

    Args:
        status: It.
        what: What is done to it.
        replay: Plans its replay. A discard does not ask: what cannot be planned can still be closed.
    """
    if what == "discard":
        if status.state != "dead":
            return Planned(status, ReplayWay.NO.value, f"it is {status.state}, not dead")
        return Planned(status, "discard", closed_how(status.perhaps_replayed))
    try:
        plan = replay(status)
    except Exception as error:  # noqa: BLE001 - the code of one kind must not touch the letters of others
        why = f"it cannot be planned ({type(error).__name__}); the others are not touched by that"
        return Planned(status, ReplayWay.NO.value, why)
    return Planned(status, plan.way.value, plan.why)


def cache_of(replay: Callable[[Status], ReplayPlan]) -> Callable[[Status], ReplayPlan]:
    """The same judgement, made once for all letters that are alike in what it rests on."""
    known: dict[tuple[object, ...], ReplayPlan] = {}

    def judged(status: Status) -> ReplayPlan:
        alike = (
            status.state, status.kind, status.dead_class, status.code, status.unreadable, status.locked,
            status.perhaps_replayed,
        )  # fmt: skip
        if alike not in known:
            known[alike] = replay(status)
        return known[alike]

    return judged


def worth_flow(prefix: str, ids: Sequence[str]) -> Flow[tuple[Counter[str], int]]:
    """What letters are worth, in minor units by ``<currency>/<minor units of one>``, and of how many that is known."""
    sums: Counter[str] = Counter()
    summed = 0
    for at in range(0, len(ids), CHUNK):
        asked = tuple(("HGET", f"{prefix}intent:{id_}", "worth") for id_ in ids[at : at + CHUNK])
        for worth in (yield Ask(asked, whole=False)):
            summed += add_worth(sums, worth or "")
    return sums, summed


def add_worth(sums: Counter[str], worth: str) -> bool:
    """Add what one letter is worth, as its journal keeps it. Returns whether that is known."""
    currency, _, minor = worth.partition(" ")
    if not minor.isdigit():
        return False
    sums[currency] += int(minor)
    return True


def jobs_flow(prefix: str, target: str, most: int) -> Flow[list[Job]]:
    """The jobs of a journal, newest first."""
    [ids] = yield Ask((("ZREVRANGE", f"{prefix}jobs", 0, most - 1),))
    if not ids:
        return []
    answers = yield Ask(
        tuple(
            command
            for id_ in ids
            for command in (("HGETALL", f"{prefix}job:{id_}"), ("LLEN", f"{prefix}planned:{id_}"))
        )
    )
    return [
        _job(id_, target, fields, left, ())
        for id_, fields, left in zip(ids, answers[::2], answers[1::2], strict=True)
        if "begun" in fields
    ]


def job_flow(prefix: str, target: str, id_: str) -> Flow[Job | None]:
    """One job of a journal, with its refusals; None where it has no part there."""
    fields, left, refusals = yield Ask(
        (
            ("HGETALL", f"{prefix}job:{id_}"),
            ("LLEN", f"{prefix}planned:{id_}"),
            ("LRANGE", f"{prefix}refusals:{id_}", 0, -1),
        )
    )
    if "begun" not in fields:
        return None
    pairs = (refusal.partition(" ") for refusal in refusals)
    return _job(id_, target, fields, left, tuple((letter, why) for letter, _, why in pairs))


def _job(id_: str, target: str, fields: Mapping[str, str], left: int, refusals: tuple[tuple[str, str], ...]) -> Job:
    from blnk_relay.journal.causes import sums_of

    def number(name: str) -> int:
        return int(fields.get(name) or 0)

    state = fields.get("state", "")
    return Job(
        id=id_,
        target=target,
        what=fields.get("what", ""),
        of=fields.get("of", ""),
        who=fields.get("who", ""),
        via=fields.get("via", ""),
        reason=fields.get("reason", ""),
        state=state,
        total=number("total"),
        done=number("done"),
        refused=number("refused"),
        left=left if state == "running" else number("left"),
        reasons={name.removeprefix("refused|"): int(fields[name]) for name in fields if name.startswith("refused|")},
        sums=sums_of({name.removeprefix("sum|"): fields[name] for name in fields if name.startswith("sum|")}),
        summed=number("summed"),
        begun=moment(fields["begun"]),
        ended=moment(fields["ended"]) if "ended" in fields else None,
        refusals=refusals,
        targets=tuple(filter(None, fields.get("targets", "").split(","))),
        told="stop" in fields,
    )
