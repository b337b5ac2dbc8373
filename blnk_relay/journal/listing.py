"""Lists of intents by state: their statuses page by page, in order, with a bound on what is held and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from blnk_relay.intents.states import StateName
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.flows import ask_flow, batched, run_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.narrowing import Known, Wanted, of_state
from blnk_relay.journal.pages import Begun, ListPlace, Pages, limits
from blnk_relay.journal.status import Status, letters_flow, statuses_flow

#: Intents read in full in one trip, and letters read for a plan.
_CHUNK, _LETTERS = 50, 100

#: "dead|<kind>|<class>|<code>" in the counters.
_DEATH_PARTS = 4

#: Intents that fit not, after which a list that no index answers ends; a fraction of a second of somebody's time.
MOST_MISSED = 2_000


@dataclass(frozen=True, slots=True)
class CutShort:
    """Where a list ended early.

    Attributes:
        target: In whose journal.
        looked: How many intents it looked at, the first in its order.
        there: How many it would have had to look at.
        state: Of which state.
    """

    target: str
    looked: int
    there: int
    state: StateName


@dataclass(slots=True)
class ListBound:
    """How far a list looks for intents that fit, and where that was not to the end.

    Letters are kept by their cause, and all that is over by its time: of these what fits is found at once. Of what is
    open nothing leads to a kind, a code or a time, so each intent is looked at, and somebody waits for it meanwhile.

    Attributes:
        most: So many of each journal may turn out not to fit; None to look at all of them, however many there are.
        step: Told how many more were looked at.
        cut: The journals in which it ended early; complete once the list has ended.
        away: Targets of the journals that did not answer, or not to the end: nothing more of them is in the list.
            Known of all once the list has begun, but for those that go away meanwhile.
    """

    most: int | None = MOST_MISSED
    step: Callable[[int], None] = lambda _: None
    cut: list[CutShort] = field(default_factory=list)
    away: list[str] = field(default_factory=list)


class Listing:
    """Lists intents of one journal.

    Args:
        journal: Whose.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._prefix = journal.prefix
        self.pages = Pages(journal)

    def listed(
        self,
        wanted: Wanted,
        *,
        key: str | None,
        oldest_first: bool,
        bound: ListBound,
        after: ListPlace | None = None,
        sets: Begun | None = None,
    ) -> Iterator[tuple[float, Status]]:
        """See :meth:`blnk_relay.Operator.listed`; each with the score that it is listed by."""
        if key is not None:
            for status in wanted.those_of(self._read((id_of(self._journal.target, key), key))):
                yield 0.0, status
            return
        looked = missed = 0
        for page in self.pages.of(wanted, oldest_first=oldest_first, after=after, sets=sets):
            if bound.most is not None and missed >= bound.most:
                there = max(looked, self.pages.number(wanted))
                bound.cut.append(CutShort(self._journal.target, looked, there, wanted.state))
                return
            scores, fit = dict(page), 0
            ids = self._matching(list(scores), wanted) if wanted.narrow else list(scores)
            bound.step(len(scores))
            for chunk in batched(ids, _CHUNK):
                for status in wanted.those_of(self._read(chunk)):
                    fit += 1
                    yield scores[status.id], status
            looked, missed = looked + len(scores), missed + len(scores) - fit

    def letters(self, wanted: Wanted, step: Callable[[int], None]) -> Iterator[tuple[float, Status, str]]:
        """Dead letters for a plan of many, the oldest first: each with its score, and what it is worth.

        Args:
            wanted: Which.
            step: Told how many more were looked at.
        """
        sets = self.pages.sets(wanted)
        # Where each letter is accounted for by its cause, what stands there is what is asked for.
        sifted = wanted.narrow and [*sets] == [wanted.state]
        for page in self.pages.of(wanted, oldest_first=True, sets=sets):
            scores = dict(page)
            step(len(scores))
            for ids in batched(self._matching(list(scores), wanted) if sifted else scores, _LETTERS):
                flow = letters_flow(self._journal.seal, self._journal.target, ids)
                for status, worth in self._journal.drive(flow):
                    if status is not None and wanted.fits(status):
                        yield scores[status.id], status, worth

    def ids(self, state: StateName) -> Iterator[list[str]]:
        """Ids of the intents that may be in a state, page by page, the oldest first."""
        for page in self.pages.of(of_state(state), oldest_first=True):
            yield [id_ for id_, _ in page]

    def known(self) -> Known:
        """What filters may ask for here."""
        parts = [name.split("|", _DEATH_PARTS - 1) for name in self._ask("HKEYS", f"{self._prefix}counts")]
        return Known(
            kinds=frozenset(part[1] for part in parts if part[0] in ("accepted", "dead")),
            codes=frozenset(part[3] for part in parts if part[0] == "dead" and len(part) == _DEATH_PARTS),
        )

    def _ask(self, *command: str | int) -> Any:
        return self._journal.drive(ask_flow(*command))

    def _read(self, ids: Sequence[str]) -> list[Status | None]:
        return self._journal.drive(statuses_flow(self._prefix, self._journal.seal, self._journal.target, ids))

    def _matching(self, ids: Sequence[str], wanted: Wanted) -> list[str]:
        """Those of a page whose fields have the wanted values now, and that changed within the wanted times."""
        fields = [text for pair in wanted.fields().items() for text in pair]
        within = limits(wanted.since, wanted.until)
        return self._journal.drive(run_flow("matching", *within, len(wanted.fields()), *fields, *ids))


def recount(journal: Journal) -> int:
    """See :meth:`blnk_relay.Operator.recount`."""
    counted: int = journal.scripts.run("recount", "drop")
    for ids in Listing(journal).ids("dead"):
        counted = journal.scripts.run("recount", "join", *ids)
    return counted
