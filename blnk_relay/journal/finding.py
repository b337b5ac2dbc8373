"""Where is the payment with this amount, this reference, this id: over history and journals alike, and where it looked.

What a journal answers at once (keys, ids, references, the row that an intent writes to) it answers for all that it
keeps. Everything else is a matter of history; of the journal some of the newest are read, and it is said how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from blnk_relay.errors import HistoryUnavailable, InvalidSettings, JournalUnavailable
from blnk_relay.history.opening import database_of
from blnk_relay.history.values import CUT, MOST_NAMES, UNREAD, Ended, ended_at, indexed, meta_text, plain_amount
from blnk_relay.history.values import number as read
from blnk_relay.intents.states import State
from blnk_relay.journal.at_once import Command, at_once_flow
from blnk_relay.journal.beside import owners_flow
from blnk_relay.journal.copying import META, OPEN, Wanted, ended_flow, locked_flow, spellings_flow
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.flows import Ask, Flow, batched
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import asked_of
from blnk_relay.journal.labels import labelled_flow
from blnk_relay.journal.lag import HistoryLag
from blnk_relay.journal.question import Question
from blnk_relay.journal.recalling import UNSURE, ended_since, status_of
from blnk_relay.journal.sieve import sifted_flow
from blnk_relay.journal.status import Status, milliseconds, statuses_flow
from blnk_relay.money import exact_decimal

if TYPE_CHECKING:
    from blnk_relay.history.values import Terms
    from blnk_relay.settings import Settings

#: Intents of a journal that are read where it has no index.
MOST_READ = 500

#: Intents in one trip: at most, and at least while there are more.
_AT_ONCE, _FEW = 50, 10

#: What the ledger puts behind a reference of ours for rows of its own.
_DERIVED = ("_q", "_refund")

#: What is not looked at where this process does not have the key.
_LOCKED = "what is encrypted, for its key is not here"

_ANYTHING = Wanted(payload=False, meta=frozenset({"*"}), log=False)


@dataclass(frozen=True, slots=True)
class Located:
    """An intent that was found.

    Attributes:
        status: What is known of it.
        where: ``journal``, or ``history`` where it stands there alone.
    """

    status: Status
    where: Literal["journal", "history"]


@dataclass(frozen=True, slots=True)
class Looked:
    """One place that was looked at.

    Attributes:
        place: Such as ``history`` or ``journal of target eu``.
        whole: Whether all that is there was looked at.
        told: In words: what was, or why not.
        read: Whether it could be looked at; a history that there is not has nothing to be read.
    """

    place: str
    whole: bool
    told: str
    read: bool = True


@dataclass(frozen=True, slots=True)
class FindResult:
    """What was found, the newest first.

    Attributes:
        found: The intents.
        looked: Where it was looked, and where it could not be.
        more: There may be more than was asked for.
    """

    found: tuple[Located, ...]
    looked: tuple[Looked, ...]
    more: bool = False

    @property
    def unread(self) -> tuple[str, ...]:
        """Places that could not be looked at, and may have more."""
        return tuple(one.place for one in self.looked if not one.read)


def find(journals: Sequence[Journal], question: Question, most: int) -> FindResult:
    """See :meth:`blnk_relay.Operator.find`.

    An intent goes from a journal to history and never back: whoever asks in that order meets each at least once.
    """
    question.check()
    questions = question.each()
    found: dict[tuple[str, str], Located] = {}
    there: list[Looked] = []
    for journal in journals:
        some, told = _in_journal(journal, questions, most)
        found |= {(one.target, one.id): Located(one, "journal") for one in some}
        there.append(told)
    past, more, history = _in_history(journals, questions, most)
    # Nobody but the journal knows what became of a letter; and of what both have otherwise, what it is by now.
    unsure = [
        (target, one)
        for target, one in past
        if one.state in UNSURE or ((target, one.id) in found and found[target, one.id].status.state != one.state)
    ]
    now = _now(journals, unsure)
    for target, one in past:
        place, located = (target, one.id), Located(status_of(target, one), "history")
        if (since := now.get(place)) is None:
            found.setdefault(place, located)
            continue
        found.pop(place, None)
        if since.kind:
            located = Located(since, "journal")
        elif one.state in UNSURE:
            # What is left of one that was trimmed says less than history does, and later.
            located = replace(located, status=ended_since(located.status, since))
        if _still(located.status, question):
            found[place] = located
    newest = sorted(found.values(), key=lambda one: _at(one.status), reverse=True)
    return FindResult(tuple(newest[:most]), (history, *there), more or len(newest) > most)


def _at(status: Status) -> float:
    return status.updated.timestamp() if status.updated else 0.0


def _still(status: Status, question: Question) -> bool:
    """Whether what can change of an intent is as it is asked for."""
    state = status.state if status.state in ("done", "dead", "discarded", "cancelled") else OPEN
    names = ("outcome", "code", "kind", "dead_class")
    at_ms = milliseconds(status.updated) if status.updated else 0
    return (
        question.state in ("", state)
        and all(getattr(question, name) in ("", getattr(status, name)) for name in names)
        and (not question.since or at_ms >= ended_at(question.since))
        and (not question.until or at_ms < ended_at(question.until))
    )


def _now(journals: Sequence[Journal], past: Sequence[tuple[str, Ended]]) -> dict[tuple[str, str], Status]:
    """What journals say by now of intents in history; nothing where one is away."""
    found: dict[tuple[str, str], Status] = {}
    for journal in journals:
        ids = [one.id for target, one in past if target == journal.target]
        try:
            read = asked_of(journal, lambda one, ids=ids: list(_statuses(one, ids)))  # type: ignore[misc]
            found |= {(status.target, status.id): status for status in read}
        except JournalUnavailable:
            # It was said of it already that it could not be read, or it is copied once it is there.
            continue
    return found


def _statuses(journal: Journal, ids: Sequence[str]) -> Iterator[Status]:
    for some in batched(list(dict.fromkeys(ids)), _AT_ONCE):
        for status in journal.drive(statuses_flow(journal.prefix, journal.seal, journal.target, some)):
            if status is not None:
                yield status


# -- history -----------------------------------------------------------------------------------------------------------


def _in_history(
    journals: Sequence[Journal], questions: Sequence[Question], most: int
) -> tuple[list[tuple[str, Ended]], bool, Looked]:
    if not journals[0].settings.history_url:
        return [], False, Looked("history", whole=False, told="there is none: BLNK_RELAY_HISTORY_URL is not set")
    settings = journals[0].settings
    targets = {f"{settings.namespace}:{journal.target}": journal.target for journal in journals}
    found: dict[tuple[str, str], Ended] = {}
    within = any(_is_within(question) for question in questions)
    without = [*_not_kept(settings, questions), *([_LOCKED] if _are_locked(journals, questions) else [])]
    more = False
    try:
        database = database_of(settings)
        try:
            from blnk_relay.history.search import marked, search

            database.id()
            known = database.journals()
            numbers = {known[name].number: target for name, target in targets.items() if name in known}
            with database.reading() as connection:
                for terms in _variants(journals, questions):
                    some, further = search(connection, terms, numbers, most, by_class=database.finds_classes)
                    found |= {(target, one.id): one for target, one in some}
                    more = more or further
                if any(_names(question) for question in questions) and marked(connection, numbers, CUT):
                    without.append(f"names beyond {MOST_NAMES:,} of one intent")
                if within and marked(connection, numbers, UNREAD):
                    without.append("what was encrypted and copied by a worker without its key")
        finally:
            database.close()
    except (HistoryUnavailable, InvalidSettings) as error:
        return [], False, Looked("history", whole=False, told=f"could not be searched: {error}", read=False)
    behind = sum(lag.uncopied + lag.walking for lag in _lags(journals))
    told = f"what was copied, without {' and '.join(without)}" if without else "all that was copied"
    told += f"; {behind:,} intents are not copied yet" if behind else ""
    if questions[0].dead_class and not database.finds_classes:
        told += "; it has no index of classes until its tables are upgraded"
    return [(target, one) for (target, _), one in found.items()], more, Looked("history", whole=not without, told=told)


def _not_kept(settings: Settings, questions: Sequence[Question]) -> Iterator[str]:
    """What of it is asked for and not copied, as far as the settings here are those of the workers."""
    kept = Wanted(payload=False, meta=frozenset(settings.history_meta))
    if not all(kept.names(name.partition(".")[0]) for question in questions for name in question.meta):
        yield "metadata" + (f" other than {', '.join(settings.history_meta)}" if settings.history_meta else "")


def _lags(journals: Sequence[Journal]) -> Iterator[HistoryLag]:
    for journal in journals:
        try:
            yield asked_of(journal, Journal.history_lag)
        except JournalUnavailable:
            continue


def _variants(journals: Sequence[Journal], questions: Sequence[Question]) -> list[Terms]:
    """What is searched for, in the clear, and for each journal that hides what it keeps."""
    found = [_terms(question) for question in questions]
    within = [question for question in questions if _is_within(question)]
    for journal in journals if within else ():
        # Where it is away, it is said that what it hides was not searched for.
        with suppress(JournalUnavailable):
            if journal.seal.keys():
                found += asked_of(journal, lambda one: [terms for some in within for terms in _hidden(one, some)])
    return found


def _hidden(journal: Journal, question: Question) -> list[Terms]:
    return journal.drive(_hidden_flow(journal, question))


def _are_locked(journals: Sequence[Journal], questions: Sequence[Question]) -> bool:
    """Whether some journals hide something that is asked for, and it cannot be said how."""
    if not any(_is_within(question) for question in questions):
        return False
    for journal in journals:
        try:
            if asked_of(journal, lambda one: one.drive(locked_flow(one.seal))):
                return True
        except JournalUnavailable:
            if journal.seal.keys():
                return True
    return False


def _is_within(question: Question) -> bool:
    """Whether something is asked for that stands in payloads alone, where a journal may hide it."""
    return bool(_movement(question) or question.meta or question.reference or question.ledger_id)


def _terms(question: Question) -> Terms:
    from blnk_relay.history.values import Terms

    return Terms(
        keys=(indexed(question.key),) if question.key else (),
        names=_names(question),
        movement=_movement(question),
        meta={name: meta_text(value) for name, value in question.meta.items()},
        since=question.since,
        until=question.until,
        kind=indexed(question.kind),
        state=indexed(question.state),
        outcome=indexed(question.outcome),
        dead_class=indexed(question.dead_class),
        code=indexed(question.code),
    )


def _movement(question: Question) -> dict[str, str]:
    """What has to hold of one movement."""
    asked = {
        "currency": question.currency,
        "amount": "" if question.amount is None else plain_amount(exact_decimal(question.amount)),
        "precise_amount": "" if question.precise_amount is None else str(question.precise_amount),
        "source": question.source,
        "destination": question.destination,
    }
    return {name: indexed(text) for name, text in asked.items() if text}


def _names(question: Question) -> tuple[str, ...]:
    """References and ids; what the ledger derives from a reference leads to that."""
    names = [question.ledger_id] if question.ledger_id else []
    return tuple(dict.fromkeys(indexed(name) for name in [*names, *_references(question)]))


def _references(question: Question) -> list[str]:
    asked = question.reference
    return [asked, *(asked.removesuffix(end) for end in _DERIVED if asked.endswith(end))] if asked else []


def _hidden_flow(journal: Journal, question: Question) -> Flow[list[Terms]]:
    """As a journal hides it; of metadata also as versions before did, which left its names in the clear."""
    plain = _terms(question)
    movement, meta, before, names = dict(plain.movement), {}, {}, list(plain.names)
    for name, text in movement.items():
        movement[name] = (yield from spellings_flow(journal.seal, name, text))[-1]
    for name, text in plain.meta.items():
        before[name] = (yield from spellings_flow(journal.seal, f"meta.{name}", text))[-1]
        meta[(yield from spellings_flow(journal.seal, META, name))[-1]] = before[name]
    for text in plain.names:
        names += (yield from spellings_flow(journal.seal, "name", text))[1:]
    hidden = replace(plain, movement=movement, meta=meta, names=tuple(names))
    return [hidden, replace(hidden, meta=before)] if meta else [hidden]


# -- journals ----------------------------------------------------------------------------------------------------------


def _in_journal(journal: Journal, questions: Sequence[Question], most: int) -> tuple[list[Status], Looked]:
    """Intents of a journal that fit, somewhat more than wanted where there are more, and where was looked."""
    place = f"journal of target {journal.target}"
    try:
        found, whole, told = asked_of(journal, lambda one: _found_in_journal(one, questions, most))
    except JournalUnavailable as error:
        return [], Looked(place, whole=False, told=f"could not be read: {error}", read=False)
    return found, Looked(place, whole=whole, told=told)


def _found_in_journal(journal: Journal, questions: Sequence[Question], most: int) -> tuple[list[Status], bool, str]:
    """What fits, whether all that there is was looked at, and what was."""
    found: list[Status] = []
    told: list[str] = []
    whole = True

    def fitting(ids: Sequence[str], asked: Question) -> list[Status]:
        nonlocal whole
        fit, unread = _fitting(journal, ids, asked, most)
        if unread:
            whole = False
            told.append(f"without {_LOCKED}")
        return fit

    for question in questions:
        seen: set[str] = set()
        if question.key:
            told.append("by its key")
            labelled, looked_at, all_there = journal.drive(labelled_flow(journal.prefix, question.key))
            if looked_at:
                letters = f"{'' if all_there else 'the newest '}{looked_at:,} letter{'s' if looked_at > 1 else ''}"
                told.append(f"by the keys that {letters} of class invalid came with")
            whole = whole and all_there
            ids = [id_of(journal.target, question.key), question.key, *labelled]
            found += fitting(list(dict.fromkeys(ids)), question)
            continue
        if question.reference or question.ledger_id:
            told.append("by what owns it or writes to it")
            named = journal.drive(_by_name_flow(journal, question))
            found += fitting(named, replace(question, reference="", ledger_id=""))
            seen.update(named)
        if question.dead_class and question.state in ("", "dead"):
            ids, all_there = journal.drive(_letters_flow(journal.prefix, question))
            told.append("the letters of that class" if all_there else "some of the letters of that class")
            found += fitting(journal.drive(sifted_flow(journal.prefix, ids, _terms(question))), question)
            seen.update(ids)
            if question.state:
                whole = whole and all_there
                continue
        # Others may name it in a payload, as what they act on.
        ids, there, all_there = journal.drive(_newest_flow(journal.prefix, question.state))
        told.append(f"the newest {len(ids):,} of {there:,} that are {_CALLED[question.state]}")
        whole = whole and all_there
        # Of those that were met before, what fits is found, or is older than as many as are wanted.
        others = [id_ for id_ in ids if id_ not in seen]
        found += fitting(journal.drive(sifted_flow(journal.prefix, others, _terms(question))), question)
    return found, whole, ", and ".join([", ".join(told[:-1]), told[-1]] if told[1:] else told)


def _by_name_flow(journal: Journal, question: Question) -> Flow[list[str]]:
    found: list[str] = []
    references = _references(question)
    if references:
        found += [owner.id for owner in (yield from owners_flow(journal.target, references)) if owner.state]
    if question.ledger_id:
        [holder] = yield Ask((("GET", f"{journal.prefix}excl:{question.ledger_id}"),))
        found += [holder] if holder else []
    return found


def _letters_flow(prefix: str, question: Question) -> Flow[tuple[list[str], bool]]:
    """The newest letters of a class, by their causes, and whether these are all that died in the time asked for."""
    from blnk_relay.journal.causes import counted_flow, fits

    counted = yield from counted_flow(prefix)
    asked = (question.kind or None, question.dead_class, question.code or None)
    names = [name for name in counted.letters if fits(name, *asked)]
    if not names:
        return [], not counted.uncounted
    least = str(ended_at(question.since)) if question.since else "-inf"
    most = f"({ended_at(question.until)}" if question.until else "+inf"
    keys = [f"{prefix}letters:{name}" for name in names]
    # With each trip, for whoever makes them anew takes the lists away: letters would be in none of them.
    all_ = (("ZCARD", f"{prefix}dead"), *(("ZCARD", f"{prefix}letters:{name}") for name in counted.letters))
    dead, *answers = yield Ask((*all_, *(("ZCOUNT", key, least, most) for key in keys)))
    there = sum(answers[len(counted.letters) :])
    whole = there <= MOST_READ and dead == sum(answers[: len(counted.letters)])
    # Of each so many that a page of them is all that is read, however many causes there are.
    share = there if there <= MOST_READ else MOST_READ // len(keys) + 1
    ask = (("ZREVRANGEBYSCORE", key, most, least, "LIMIT", 0, share) for key in keys)
    dead, *answers = yield Ask((*all_, *ask))
    found = [id_ for some in answers[len(counted.letters) :] for id_ in some]
    return found[:MOST_READ], whole and not counted.uncounted and dead == sum(answers[: len(counted.letters)])


def _newest_flow(prefix: str, state: str) -> Flow[tuple[list[str], int, bool]]:
    """The newest intents that may be in the state that is asked for, how many there are, and whether these are all."""

    def asked(lanes: Sequence[str], workers: Sequence[str]) -> Iterator[Command]:
        for name in _sets(state, lanes, workers):
            yield "ZCARD", f"{prefix}{name}"
            yield "ZREVRANGE", f"{prefix}{name}", 0, MOST_READ - 1

    lanes, workers, answers = yield from at_once_flow(prefix, asked)
    names = _sets(state, lanes, workers)
    found: list[Sequence[str]] = []
    there, missed = 0, False
    for name, number, some in zip(names, *[answers] * 2, strict=True):
        # What is not copied stands in another set as well.
        there += number if name != _FIRST else 0
        missed = missed or number > len(some)
        found.append(some)
    # Of each some, by turns, so that none of them takes all the room.
    turns = (some[at] for at in range(MOST_READ) for some in found if at < len(some))
    ids = list(_some(turns, MOST_READ))
    return ids, there, not missed and len(ids) == len(set().union(*found))


#: What has ended or changed and is not copied: history knows nothing of it yet, so it goes first.
_FIRST = "uncopied"

#: How what stands in the sets of a state is called.
_CALLED = {
    "": "open, dead, or over and still there",
    OPEN: "open",
    State.DEAD: "dead",
    State.DISCARDED: "discarded and still there",
    State.DONE: "over and still there",
    State.CANCELLED: "over and still there",
}


def _sets(state: str, lanes: Iterable[str], workers: Iterable[str]) -> list[str]:
    """Names of the sets that hold all intents which may be in a state, of those that are told apart here."""
    open_ = ["waiting", *(f"ready:{lane}" for lane in lanes), *(f"leased:{worker}" for worker in workers), "posted"]
    if state == OPEN:
        return open_
    if state:
        return ["done" if state == State.CANCELLED else state]
    return [_FIRST, "dead", *open_, "done", "discarded"]


def _some(ids: Iterable[str], most: int) -> Iterator[str]:
    seen: set[str] = set()
    for id_ in ids:
        seen.add(id_)
        yield id_
        if len(seen) >= most:
            return


def _fitting(journal: Journal, ids: Sequence[str], question: Question, most: int) -> tuple[list[Status], bool]:
    """Those that fit; of more than are wanted the newest, and some that say so. And whether some could not be read."""
    within, unread = _is_within(question), False
    variants = _variants([journal], [question]) if ids and (within or question.key) else []
    found: list[Status] = []
    left = list(journal.drive(_by_time_flow(journal.prefix, ids)) if len(ids) > most else ids)
    while left and len(found) <= most:
        # No more than may be wanted still, where most of them fit; and not one by one, where few do.
        number = min(_AT_ONCE, max(_FEW, most + 1 - len(found)))
        some, left = left[:number], left[number:]
        if variants:
            # What is asked for stands in its body; all else its status tells.
            ended, _ = journal.drive(ended_flow(journal.prefix, journal.seal, _ANYTHING, some))
            some = [one.id for one in ended if any(terms.fit(one) for terms in variants)]
            unread = unread or (within and any(one.unread for one in ended))
        # What is left of one that was trimmed says less than history does.
        found += [status for status in _statuses(journal, some) if status.kind and _still(status, question)]
    return found[: most + 1], unread


def _by_time_flow(prefix: str, ids: Sequence[str]) -> Flow[list[str]]:
    """Some intents, what has changed last before all others."""
    asked = tuple(("HMGET", f"{prefix}intent:{id_}", "updated", "created") for id_ in ids)
    changed = [read(updated or created) for updated, created in (yield Ask(asked, whole=False))]
    return [id_ for _, id_ in sorted(zip(changed, ids, strict=True), key=lambda one: one[0], reverse=True)]
