"""The log of actions: who did what to the journals, from where, why, and what came of it.

Each journal keeps its own, written by the very scripts that act (actions.lua), so nothing is done without its line. An
entry never changes once it is written. One that was done in several steps, or in several journals, has an entry for
each, which share a mark and are read as one action.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from blnk_relay.errors import Refused
from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.status import moment

#: From where an operator acts. ``worker`` is one that carries out what an operator has begun.
Via = Literal["command line", "console", "API", "library", "worker"]

#: Longest reason or note that is kept, longest name of who gave it, and longest words for what it was about.
MAX_REASON = 500
MAX_WHO = 100
MAX_OF = 200

#: Who did it, where a program leaves that out.
SOMEBODY = "somebody"

#: Longest words for what came of it.
MAX_RESULT = 300

#: Entries read in one trip.
PAGE = 500


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the log of actions, merged over journals: no two entries have the same, so none is passed over.

    Attributes:
        ms: Of the entry's id, ``<ms>-<number>``.
        number: The same.
        target: In whose journal it stands.
    """

    ms: int
    number: int
    target: str

    def __str__(self) -> str:
        """As it is handed on, and read by :meth:`read`."""
        return f"{self.ms}-{self.number} {self.target}"

    @classmethod
    def read(cls, text: str) -> Place:
        """Read one.

        Raises:
            ValueError: It is none.

        Example:
            >>> Place.read("1700000000000-3 eu")
            Place(ms=1700000000000, number=3, target='eu')
        """
        found = re.fullmatch(r"(\d{1,16})-(\d{1,19}) (\S{1,200})", text, re.ASCII)
        if found is None:
            raise ValueError("this is not a place in the action log")
        return cls(int(found[1]), int(found[2]), found[3])


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator did, as one line however many letters it was done to.

    Attributes:
        id: Of its entry in the journal, ``<ms>-<number>``; of several, that of the last. Unique in its target.
        at: When; of several, the last.
        what: ``pause``, ``resume``, ``replay``, ``discard``, ``cancel``, ``rebind``, ``view`` (of a payload),
            ``renew keys``, ``upgrade``, ``recount``, ``audit``, ``history upgrade``, ``history off``, ``quiet``,
            ``stop``, ``stop errand`` (of a console); and of a job ``begin``, ``stop job`` and ``end``.
        of: Such as ``lane refunds``, ``target default``, ``letter order-42`` or the scope of many.
        who: Who said so.
        via: From where: ``command line``, ``console``, ``API``, ``library`` or ``worker``; empty where a version before
            has noted it.
        reason: Why; may be empty where none is asked for.
        result: What came of it, such as ``done``, ``replayed`` or ``refused: changed``; of several that came to
            different ends ``mixed``.
        count: Letters or intents that it was done to; 0 where it is not about any.
        results: Of several: how many came to which end.
        targets: Whose journals it was done to.
        place: Where the log goes on behind it.
    """

    id: str
    at: datetime
    what: str
    of: str
    who: str
    via: str
    reason: str
    result: str
    count: int
    targets: tuple[str, ...]
    place: Place
    results: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a journal's log of actions, as it stands there.

    Attributes:
        mark: What entries of one action share; empty for one that stands for itself.

    The others are as in :class:`Action`.
    """

    id: str
    target: str
    at: datetime
    what: str
    of: str
    who: str
    via: str
    reason: str
    result: str
    count: int
    mark: str = ""

    @property
    def place(self) -> Place:
        """Where it stands."""
        ms, _, number = self.id.partition("-")
        return Place(int(ms), int(number), self.target)

    @property
    def name(self) -> str:
        """What it shares with the others of its action, and with no other."""
        return self.mark or f"{self.target} {self.id}"


def new_mark() -> str:
    """A mark that nobody else has."""
    return secrets.token_hex(6)


@dataclass(frozen=True, slots=True)
class Together:
    """What several acts have in common that are one action in the log.

    Attributes:
        of: What they are about as a whole, such as the scope that their letters were found in.
        mark: By which they are known as one.
    """

    of: str
    mark: str = field(default_factory=new_mark)


def told(what: str, of: str, *, who: str, via: str, reason: str = "", mark: str = "") -> str:
    """An action as the scripts take it (actions.lua), cut to what is kept.

    Args:
        what: What is done.
        of: Of what.
        who: Who says so.
        via: From where.
        reason: Why.
        mark: What it shares with others that are read as one action with it.

    Raises:
        Refused: Nobody says so.
    """
    check_who(who)
    told = {"what": what, "of": of[:MAX_OF], "who": who[:MAX_WHO], "via": via, "reason": reason[:MAX_REASON]}
    if mark:
        told["mark"] = mark
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


def check_who(who: str) -> None:
    """Refuse an act that nobody would stand behind in the log.

    Raises:
        Refused: It names nobody.
    """
    if not who.strip():
        raise Refused("nothing is done in nobody's name: say who does it")


def check_reason(reason: str, what: str) -> None:
    """Refuse an act without a reason.

    Raises:
        Refused: It says nothing.
    """
    if not reason.strip():
        raise Refused(f"a dead letter is only {what} with a reason")


def entries_flow(prefix: str, target: str, before: str, most: int) -> Flow[tuple[list[Entry], bool]]:
    """Entries of a journal, newest first, then those that a version before has kept; and whether that is all.

    Args:
        prefix: Of the journal's keys.
        target: Whose journal it is.
        before: Id of the entry behind which to go on; empty for the newest.
        most: At most so many, and those of a version before.
    """
    newest = f"({before}" if before else "+"
    found, former = yield Ask(
        (("XREVRANGE", f"{prefix}actions", newest, "-", "COUNT", most), ("LRANGE", f"{prefix}acts", 0, -1))
    )
    entries = [entry_in(id_, target, fields) for id_, fields in found]
    if len(found) == most:
        return entries, False
    return entries + [_former(target, json.loads(line)) for line in former], True


def entry_in(id_: str, target: str, fields: Mapping[str, str]) -> Entry:
    """Read one; whatever stands there, the others are read as well."""
    try:
        action = json.loads(fields["action"])
    except (ValueError, KeyError):
        action = {}
    texts = {name: str(action.get(name, "")) for name in ("what", "of", "who", "via", "reason", "mark")}
    count = fields.get("count", "0")
    return Entry(
        id=id_,
        target=target,
        at=moment(fields.get("at") or id_.partition("-")[0]),
        result=fields.get("result", ""),
        count=int(count) if count.isdigit() else 0,
        **texts,
    )


def _former(target: str, line: Mapping[str, Any]) -> Entry:
    at, what, of, who, reason = (line[name] for name in ("at", "what", "of", "who", "why"))
    return Entry(f"{at}-0", target, moment(at), what, of, who, "", reason, "done", 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for of the log; None for anything."""

    since: datetime | None = None
    until: datetime | None = None
    who: str | None = None
    what: Collection[str] | None = None

    def fits(self, entry: Entry) -> bool:
        """Whether an entry is asked for."""
        return (
            (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
            and (self.who is None or entry.who == self.who)
            and (self.what is None or entry.what in self.what)
        )


def as_actions(entries: Iterable[Entry], most: int, after: Place | None = None) -> tuple[Action, ...]:
    """Actions of entries that come newest first: one for each mark, and one for each entry without.

    An action stands where its newest entry does. Behind a place are those of which no entry stands before it, so that
    one whose steps go on below it is not told again.

    Args:
        entries: Of whatever journals, merged by their place.
        most: Actions at most.
        after: Behind which place to begin.
    """
    groups: dict[str, list[Entry]] = {}
    told = set[str]()
    for entry in entries:
        if after is not None and entry.place >= after:
            told.add(entry.name)
        elif entry.name not in told and (entry.name in groups or len(groups) < most):
            groups.setdefault(entry.name, []).append(entry)
    return tuple(_action(group) for group in groups.values())


def _action(group: Sequence[Entry]) -> Action:
    last = group[0]
    # In several journals it is one, however many letters it is about in each.
    counted = [entry for entry in group if entry.count or entry.result.startswith("refused")]
    results: Counter[str] = Counter()
    for entry in counted if len(counted) > 1 else ():
        results[entry.result] += entry.count or 1
    return Action(
        id=last.id,
        at=last.at,
        what=last.what,
        of=last.of,
        who=last.who,
        via=last.via,
        reason=last.reason,
        result="mixed" if len(results) > 1 else last.result,
        count=sum(entry.count for entry in group),
        targets=tuple(dict.fromkeys(entry.target for entry in reversed(group))),
        place=last.place,
        results=dict(results),
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """What a journal keeps of what is asked for.

    Attributes:
        entries: Those that are asked for, newest first.
        oldest: Where the oldest that was read of the journal stands, asked for or not; None where it has none.
        enough: Whether nothing that is older is asked for.
    """

    entries: Sequence[Entry]
    oldest: Place | None
    enough: bool = False


def wanted_flow(prefix: str, target: str, asked: Asked, most: int, after: Place | None = None) -> Flow[Kept]:
    """Entries of a journal that are asked for, newest first; few trips, for the log has a bound.

    Args:
        prefix: Of the journal's keys.
        target: Whose journal it is.
        asked: Which.
        most: Of how many actions at most; entries of one more may be among them.
        after: Behind which place those are counted; what stands before it comes as well, for it says what was told.
    """
    found: list[Entry] = []
    before, names = "", set[str]()
    oldest: Place | None = None
    while len(names) <= most:
        page, whole = yield from entries_flow(prefix, target, before, PAGE)
        oldest = page[-1].place if page else oldest
        for entry in filter(asked.fits, page):
            if after is None or entry.place < after:
                names.add(entry.name)
            found.append(entry)
        if page and asked.since is not None and page[-1].at < asked.since:
            return Kept(found, oldest, enough=True)
        if whole:
            return Kept(found, oldest, enough=len(names) > most)
        before = page[-1].id
    return Kept(found, oldest, enough=True)


def kinds_of(what: str | Collection[str] | None) -> Collection[str] | None:
    """What is asked for, whether it is one sort of action or several."""
    return (what,) if isinstance(what, str) else what


def newest_first(entries: Iterable[Sequence[Entry]]) -> Iterator[Entry]:
    """Entries of several journals as one list, in an order in which no two are alike."""
    return iter(sorted((entry for some in entries for entry in some), key=lambda entry: entry.place, reverse=True))
