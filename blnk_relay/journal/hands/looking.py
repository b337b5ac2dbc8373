"""What an operator sees of intents and journals."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from blnk_relay.errors import NotFound
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.states import StateName
from blnk_relay.journal.actions import Action, Asked, Place, as_actions, kinds_of, newest_first, wanted_flow
from blnk_relay.journal.gathered import Gathered
from blnk_relay.journal.hands.base import Hands
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import as_far_as_reached, asked_once, first_reached
from blnk_relay.journal.question import Asking, Question
from blnk_relay.journal.status import Attempt, Status, moment

if TYPE_CHECKING:  # each method imports what it needs: a command is over before all of it would be there
    from blnk_relay.journal.around import Around
    from blnk_relay.journal.finding import FindResult
    from blnk_relay.journal.glance import Glance
    from blnk_relay.journal.listing import ListBound
    from blnk_relay.journal.log import Log
    from blnk_relay.journal.overview import Overview
    from blnk_relay.journal.pages import ListPlace
    from blnk_relay.journal.parts import PartStatus
    from blnk_relay.journal.rates import Rates
    from blnk_relay.journal.verdicts import Verdict


#: Letters that are named where a key leads to none.
_MOST_NAMED = 5


def _came_with(ids: Sequence[str]) -> str:
    """What to ask for instead of a key that messages gave that became letters."""
    named = ", ".join(ids[:_MOST_NAMED]) + (", …" if len(ids) > _MOST_NAMED else "")
    if len(ids) == 1:
        return (
            f"a message that gave this key became a letter of class invalid, and has an id of its own: ask for {named}"
        )
    return f"messages that gave this key became letters of class invalid, each with an id of its own: {named}"


def _merged(
    those: Sequence[tuple[Journal, Iterator[tuple[float, Status]]]], *, oldest_first: bool, away: list[str] | None
) -> Iterator[Status]:
    """What is listed of several journals as one list; with ``away``, as far as they can be reached."""

    def merge(some: Iterable[Iterator[tuple[float, Status]]]) -> Iterator[tuple[float, Status]]:
        return heapq.merge(*some, key=lambda found: (found[0], found[1].id), reverse=not oldest_first)

    found = merge(listed for _, listed in those) if away is None else as_far_as_reached(those, merge, away)
    return (status for _, status in found)


def _changed(status: Status) -> float:
    return status.updated.timestamp() if status.updated else 0.0


def _accepted(status: Status) -> float:
    return status.created.timestamp() if status.created else 0.0


class Looking(Hands):
    """Looks at intents and journals, and changes nothing; but for a look at a payload, which is noted."""

    def get(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """What has become of an intent; see :meth:`blnk_relay.Relay.get`.

        Raises:
            NotFound: No intent is known under the key; where it is the key that letters of class *invalid* came with,
                their ids are named.
        """
        try:
            return self.journals.find(key, target)
        except NotFound as error:
            if target not in self.settings.ledgers:
                raise
            from blnk_relay.journal.labels import labelled_flow

            journal = self.journals.of(target)
            ids, _, _ = journal.drive(labelled_flow(journal.prefix, key))
            if not ids:
                raise
            raise NotFound(f"{error}; {_came_with(ids)}") from None

    def current(self, status: Status) -> Status | None:
        """What has become of an intent since; None for one that is gone."""
        return self._journal(status.target).status(status.id)

    def history(self, status: Status) -> tuple[Attempt, ...]:
        """What was tried for an intent, oldest first; at most the last 20 lines."""
        return self._journal(status.target).history(status.id)

    def around(self, status: Status) -> Around:
        """What an intent waits for, what waits for it, and what keeps it; in few trips, however much that is.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.around import around_flow

        journal = self._journal(status.target)
        return journal.drive(around_flow(journal.prefix, journal.seal, status))

    def parts(self, status: Status) -> tuple[PartStatus, ...]:
        """The legs of a split or the items of a bulk, as the ledger showed them last; see :meth:`Relay.parts`.

        Raises:
            NotFound: The intent is gone.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.parts import parts_of_flow

        journal = self._journal(status.target)
        return journal.drive(parts_of_flow(journal.prefix, journal.seal, status, status.id))

    def payload(self, status: Status, *, who: str, reason: str = "") -> Mapping[str, Any]:
        """The canonical payload of an intent. It holds personal data: show it to operators, log it nowhere.

        That somebody looks is noted in the log of actions, before there is anything to see.

        Args:
            status: The intent.
            who: Who looks.
            reason: Why.

        Raises:
            NotFound: The intent was trimmed, or what was recorded of it is broken.
            JournalUnavailable: Redis did not answer, or takes no writes.
        """
        journal = self._journal(status.target)
        self._note(journal, "view", f"payload of {status.key or status.id}", who=who, reason=reason, count=1)
        return journal.payload(status.id)

    def now(self, target: str | None = None) -> datetime:
        """The time of a target's journal, which all times of its intents and letters come from.

        Args:
            target: Which; the first of the settings that can be reached when None.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: It cannot be reached, or none can.
        """
        targets = self.settings.ledgers if target is None else (target,)
        return moment(first_reached(map(self.journals.any_of, targets), Journal.now_ms))

    def overview(self, target: str | None = None) -> Overview:
        """Depths, ages, gates and counters.

        Args:
            target: Of this one only; of all when None, also of those that the settings no longer name.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        from blnk_relay.journal.overview import merged, overview_flow

        parts = self._of_each(lambda journal: journal.drive(overview_flow(self.settings, journal.target)), target)
        return replace(merged(parts), away=parts.away)

    def leases(self) -> dict[str, int]:
        """Intents in the hands of each worker, by its name (host, process id and a random part)."""
        from blnk_relay.journal.overview import leases_flow

        held: Counter[str] = Counter()
        for part in self._of_each(lambda journal: journal.drive(leases_flow(journal.prefix))):
            held.update(part)
        return dict(held)

    def glance(self, target: str | None = None) -> Glance:
        """What is wrong, how much there is, how fast it goes and who works, all of one moment.

        Args:
            target: Of this one only; of all when None, also of those that the settings no longer name.

        Raises:
            NotFound: There is no such target.
        """
        from blnk_relay.journal.glance import glance_of, read_facts

        with asked_once():
            return glance_of(read_facts(self.settings, self._journals(target)))

    def verdicts(self, target: str | None = None) -> tuple[Verdict, ...]:
        """What is wrong, worst first; see :meth:`glance`."""
        return self.glance(target).verdicts

    def rates(self, target: str | None = None) -> Rates:
        """How many intents came and went a second over 1, 5 and 60 minutes, and when none will be open.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        from blnk_relay.journal.overview import overview_flow
        from blnk_relay.journal.rates import merged_rates, rates_of, sample_now, samples_flow

        def read(journal: Journal) -> Rates:
            overview, _ = journal.drive(overview_flow(self.settings, journal.target))
            now = sample_now(journal.now_ms(), overview.counts)
            return rates_of(now, journal.drive(samples_flow(journal.prefix)), overview.open)

        return merged_rates(self._of_each(read, target))

    def hour(self, target: str | None = None) -> tuple[tuple[float, float], ...]:
        """How many intents came and went a second in each minute of the last hour, the oldest first: for a chart.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        from blnk_relay.journal.rates import by_minute, samples_flow

        read = self._of_each(lambda journal: (journal.now_ms(), journal.drive(samples_flow(journal.prefix))), target)
        # Samples are a minute apart: no clock of a journal is so far from another.
        return by_minute([samples for _, samples in read], max(now_ms for now_ms, _ in read))

    def actions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        who: str | None = None,
        what: str | Collection[str] | None = None,
        target: str | None = None,
        most: int = 100,
        after: Place | None = None,
    ) -> Gathered[Action]:
        """What operators did, newest first: one action however many letters and journals it was about.

        Each journal keeps some ten thousand entries, whatever else happens in it; :meth:`log` asks history for older
        ones.

        Args:
            since: Only at or after this time.
            until: Only before this time.
            who: Only by this person.
            what: Only of this sort, or of these; see :class:`Action`.
            target: Only in the journal of this ledger.
            most: How many at most.
            after: Only what is older than the action at this place; see :attr:`Action.place`.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        asked = Asked(since, until, who, kinds_of(what))
        found = self._of_each(
            lambda journal: journal.drive(wanted_flow(journal.prefix, journal.target, asked, most, after)), target
        )
        return Gathered(as_actions(newest_first(part.entries for part in found), most, after), found.away)

    def log(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        who: str | None = None,
        what: str | Collection[str] | None = None,
        target: str | None = None,
        most: int = 100,
        after: Place | None = None,
    ) -> Log:
        """The same, and behind what the journals keep what history has, where there is one.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered, and no history.
        """
        from blnk_relay.journal.log import log_of

        return log_of(self._journals(target), Asked(since, until, who, kinds_of(what)), most, after)

    def listed(
        self,
        state: StateName,
        *,
        kind: str | None = None,
        code: str | None = None,
        dead_class: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        target: str | None = None,
        oldest_first: bool = False,
        bound: ListBound | None = None,
        after: ListPlace | None = None,
    ) -> Iterator[Status]:
        """Intents of a state, newest first, read page by page as they are asked for.

        By the time at which they came into the state; ``ready``, ``sending`` and ``posted`` by when they are due, when
        their lease ends, and when the ledger is looked at next.

        Args:
            state: One of :class:`blnk_relay.intents.states.State`.
            kind: Only of this kind.
            code: Only with this code.
            dead_class: Only letters of this class.
            since: Only what came into this state at or after this time; for ``ready`` and ``posted``: changed since.
            until: Only what came into this state before this time.
            key: Only the intent with this key or id.
            target: Only of this ledger.
            oldest_first: The other way round.
            bound: How far to look for those that fit, where somebody waits for the answer, and who is told where a
                journal did not answer; to the end of all of them when None.
            after: Behind which place to go on, of a state that is listed by the time at which intents came into it.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: A journal did not answer; with a bound, none did.
        """
        from blnk_relay.journal.listing import ListBound, Listing
        from blnk_relay.journal.narrowing import Wanted

        wanted = Wanted(state, kind, code, since, until, dead_class)
        told = bound or ListBound(most=None)
        those = [
            (journal, Listing(journal).listed(wanted, key=key, oldest_first=oldest_first, bound=told, after=after))
            for journal in self._journals(target)
        ]
        return _merged(those, oldest_first=oldest_first, away=told.away if bound else None)

    def listed_together(
        self,
        states: Sequence[StateName],
        *,
        most: int,
        kind: str | None = None,
        code: str | None = None,
        dead_class: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        target: str | None = None,
        oldest_first: bool = False,
        bound: ListBound | None = None,
        after: ListPlace | None = None,
    ) -> list[Status]:
        """Intents of several states as one list: those that changed last first, or those that were accepted first.

        Those of one state are in the order of :meth:`listed`.

        What goes from one of these states to another meanwhile is in the list, and once: the first 125 of each set of
        a journal are read in one moment. What goes on behind these while the list goes on may be missing.

        Args:
            states: Some of :class:`blnk_relay.intents.states.State`.
            most: So many at most; of each state those that :meth:`listed` gives first.
            kind: Only of this kind.
            code: Only with this code.
            dead_class: Only letters of this class.
            since: See :meth:`listed`.
            until: See :meth:`listed`.
            target: Only of this ledger.
            oldest_first: Those that were accepted first; a retry is a change, and makes nothing younger.
            bound: How far to look in each state, and who is told where that was not to the end.
            after: Behind which place to go on, where one state is listed.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: A journal did not answer; with a bound, none did.

        Example:
            >>> operator.listed_together(("ready", "posted"), most=20)  # doctest: +SKIP
        """
        from blnk_relay.journal.listing import ListBound, Listing
        from blnk_relay.journal.narrowing import Wanted

        asked = tuple(dict.fromkeys(states))
        each = [Wanted(state, kind, code, since, until, dead_class, frozenset(asked) - {state}) for state in asked]
        told = bound or ListBound(most=None)
        begun = cache(lambda listing: listing.pages.begun(each, oldest_first=oldest_first))

        def listed(listing: Listing, at: int) -> Iterator[tuple[float, Status]]:
            # What is read is read here, where somebody hears of a journal that is away.
            sets = begun(listing)[at] if len(each) > 1 else None
            yield from listing.listed(each[at], key=None, oldest_first=oldest_first, bound=told, after=after, sets=sets)

        found: dict[tuple[str, str], Status] = {}
        listings = [(journal, Listing(journal)) for journal in self._journals(target)]
        with asked_once():
            for at in range(len(each)):
                away: list[str] = []
                those = [(journal, listed(listing, at)) for journal, listing in listings]
                some = islice(_merged(those, oldest_first=oldest_first, away=away if bound else None), most)
                found |= {(status.target, status.id): status for status in some}
                told.away.extend(name for name in away if name not in told.away)
        if len(each) == 1:
            return list(found.values())
        return sorted(found.values(), key=_accepted if oldest_first else _changed, reverse=not oldest_first)[:most]

    def check_filters(
        self,
        states: Sequence[StateName],
        *,
        kind: str | None = None,
        code: str | None = None,
        target: str | None = None,
    ) -> None:
        """Refuse what cannot match, so that a typing error does not look like an empty list.

        Args:
            states: The states that are listed.
            kind: A kind; one of another version counts as known once an intent of it was enqueued or died.
            code: A code; checked when only dead letters are listed, because any answer's code may stand elsewhere.
            target: A ledger; one that the settings no longer name counts as known while there is a journal of it.

        Raises:
            NotFound: There is no such kind or target, or no letter ever died of this code, as far as all journals say.
            JournalUnavailable: No Redis answered.
        """
        from blnk_relay.journal.listing import Listing
        from blnk_relay.journal.narrowing import check_filters, expect

        if target is not None and target not in self.settings.ledgers:
            expect("target", target, {*self.settings.ledgers, *self.journals.unnamed()})
        if kind is not None or code is not None:
            known = self._of_each(lambda journal: Listing(journal).known(), target)
            if not known.away:
                check_filters(known, states, kind=kind, code=code)

    def codes(self, target: str | None = None) -> tuple[str, ...]:
        """Codes that letters ever died of, from the counters.

        Args:
            target: Of this one only; of all when None.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.listing import Listing

        known = self._of_each(lambda journal: Listing(journal).known(), target)
        return tuple(sorted({code for one in known for code in one.codes}))

    def find(self, *, most: int = 100, **asked: Unpack[Asking]) -> FindResult:
        """Intents by what is known of them, over history and journals alike; all that is given has to hold.

        Args:
            most: Intents at most, the newest.
            **asked: What is looked for, by the names of :class:`Question`.

        Returns:
            What was found, and where it was looked: without a history, or with it away, some of the newest that a
            journal keeps are read where it has no index.

        Raises:
            Refused: Nothing is asked for.
            NotFound: There is no such target.
        """
        from blnk_relay.journal.finding import find

        question = Question(**asked)
        with asked_once():
            return find(self._journals(question.target), question, most)
