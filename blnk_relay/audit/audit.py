"""The audit of one journal against its ledger: page by page, in two passes, with a place that can be gone on from.

First the intents: each that ended within the time is read for at the ledger, and compared by its kind's evidence. Then
the rows that the ledger made in that time: those under references of ours have to be known. A difference counts once
the journal and the ledger were read afresh and show it again (decision 49).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from blnk_relay.audit import strays
from blnk_relay.audit.knowing import SHARED, Knowing
from blnk_relay.audit.reader import Reader
from blnk_relay.audit.reading import Reading, Stopped, half_shown, why
from blnk_relay.audit.report import Finding, Report, finding_of
from blnk_relay.audit.rows import OVER, Rows
from blnk_relay.intents.evidence import Difference, Evidence, Past, Sort, difference
from blnk_relay.intents.exchange import SEVERAL_ROWS, Response
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.states import StateName
from blnk_relay.journal.audited import Audited
from blnk_relay.journal.flows import batched
from blnk_relay.journal.status import moment
from blnk_relay.kinds.registry import KINDS

#: Questions that a batch of intents begins with, at most; one intent may have more.
MOST_LOOKUPS = 400

#: Intents in a batch, at most.
MOST_INTENTS = 100

#: Rounds of reading that an intent needs at most.
MAX_ROUNDS = 8

#: States that are compared, in this order; what was cancelled is listed with what is done.
_COMPARED: tuple[StateName, ...] = ("done", "dead")

#: What an audit looks at, one after the other.
_STAGES = (*_COMPARED, "rows")


@dataclass(frozen=True, slots=True)
class Place:
    """How far an audit has come.

    Attributes:
        stage: ``done``, ``dead`` or ``rows``: what is being looked at.
        at_ms: What ended, or was made, before then was looked at.
        report: What was found until then.
        seen: Ids of intents that ended just then and were looked at as well.
        again: Differences that were found of intents, without what differs: that holds values of theirs, which are
            kept nowhere. The intents are compared once more instead.
        ours: How references begin that nobody but users of the journal makes.
    """

    stage: str
    at_ms: int
    report: Report
    seen: tuple[str, ...] = ()
    again: tuple[Finding, ...] = ()
    ours: tuple[str, ...] = ()

    def kept(self) -> dict[str, Any]:
        """As JSON, without a value of any intent."""
        report, again = self.report.without_values()
        kept = {"stage": self.stage, "at_ms": self.at_ms, "report": report.kept(), "ours": list(self.ours)}
        return {**kept, "seen": list(self.seen), "again": [asdict(one) for one in (*self.again, *again)]}

    @classmethod
    def from_kept(cls, kept: Mapping[str, Any]) -> Place:
        """What :meth:`kept` made.

        Raises:
            KeyError, TypeError, ValueError: It is nothing of the sort.
        """
        if kept["stage"] not in _STAGES:
            raise ValueError("there is no such stage")
        seen, again = tuple(str(id_) for id_ in kept["seen"]), tuple(Finding(**one) for one in kept["again"])
        ours = tuple(str(beginning) for beginning in kept["ours"])
        return cls(str(kept["stage"]), int(kept["at_ms"]), Report.from_kept(kept["report"]), seen, again, ours)


def nothing_to_compare(since: datetime, until: datetime | None, now: datetime, read_lag_s: float) -> str:
    """Why an audit of some time would compare nothing, and so say nothing; empty where it would. Pure.

    Args:
        since: What ended at or after then.
        until: And before then; None for up to what reads may not show yet.
        now: The time of the journal.
        read_lag_s: For so many seconds reads may not show what has ended.
    """
    if since >= now - timedelta(seconds=read_lag_s):
        return (
            f"there is nothing to compare yet: what ended since {_for_people(since)} is asked for, and it is "
            f"{_for_people(now)} now; what ended less than {read_lag_s:g} s ago is left out, because reads of the "
            "ledger may not show it yet"
        )
    if until is not None and until <= since:
        return (
            f"there is nothing to compare: what ended since {_for_people(since)} and before {_for_people(until)} is "
            "asked for"
        )
    return ""


def _for_people(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


class Audit:
    """Compares a journal with its ledger by reading both; it changes neither.

    Args:
        journal: The journal.
        reader: The way to its ledger.
        read_lag_s: What ended within so many seconds is not judged: reads may not show it yet.
        retention_s: How long the journal keeps what is finished.
        key_retention_s: And how long after that its keys; 0 for ever.
        ours: How references begin that nobody but users of this journal makes; ``*`` stands for all. An audit that goes
            on has those that it began with.
        keep: Called with the place at the beginning and after each batch.
        pause: Waits so many seconds, and says whether to end.
        stay: Called now and then while the journal is read; may raise to end it.
    """

    def __init__(
        self,
        journal: Audited,
        reader: Reader,
        *,
        read_lag_s: float,
        retention_s: float,
        key_retention_s: float = 0.0,
        ours: Sequence[str] = (),
        keep: Callable[[Place], None] = lambda _: None,
        pause: Callable[[float], bool] | None = None,
        stay: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._reading = Reading(reader, pause)
        self._lag_ms = int(read_lag_s * 1000)
        self._retention_ms = int(retention_s * 1000)
        self._key_retention_ms = int(key_retention_s * 1000)
        self._ours = tuple(ours)
        self._keep = keep
        self._knowing = Knowing(journal, stay)

    def begin(self, since: datetime, until: datetime | None = None) -> Place:
        """The place at which an audit of what ended within some time begins.

        Args:
            since: What ended at or after then.
            until: And before then; up to what reads may not show yet, when None or later than that.
        """
        latest_ms = self._journal.now_ms() - self._lag_ms
        until_ms = latest_ms if until is None else min(_ms(until), latest_ms)
        report = Report(self._journal.target, min(_ms(since), until_ms), until_ms)
        return Place(_COMPARED[0], report.since_ms, report, ours=self._ours)

    def run(self, place: Place) -> Report:
        """Compare from a place on, to the end.

        Returns:
            What was found, in all. Where it could not come to its end, ``stopped`` says why.

        Raises:
            JournalUnavailable: Redis did not answer; the place that was kept last can be gone on from.
        """
        report, before = place.report, self._reading.reads
        earlier = report.reads

        def keep(stage: str, at_ms: int, seen: Sequence[str]) -> None:
            report.reads = earlier + self._reading.reads - before
            self._keep(Place(stage, at_ms, report, tuple(seen), ours=place.ours))

        # Whoever is stopped within the first batch goes on from here, and not from where another audit had to end.
        self._keep(place)
        try:
            self._knowing.prepare(self._retention_ms)
            self._once_more(place.again, report)
            for stage in _STAGES[_STAGES.index(place.stage) :]:
                first = stage == place.stage
                from_ms, seen = (place.at_ms, place.seen) if first else (report.since_ms, ())
                if stage == "rows":
                    for at_ms in self._rows(from_ms, place):
                        keep(stage, at_ms, ())
                else:
                    for at_ms, now_seen in self._intents(stage, from_ms, seen, report):
                        keep(stage, at_ms, now_seen)
            report.whole = True
        except Stopped as stop:
            report.stopped = str(stop)
        report.reads = earlier + self._reading.reads - before
        return report

    # -- the intents ------------------------------------------------------------------------------------------------

    def _intents(
        self, stage: str, from_ms: int, seen: Sequence[str], report: Report
    ) -> Iterator[tuple[int, Sequence[str]]]:
        """Compare those of a state; yields the time up to which that is done, and who was seen of that very time."""
        state: StateName = "done" if stage == "done" else "dead"
        at_ms = from_ms
        for page in self._journal.ids(state, moment(from_ms), moment(report.until_ms)):
            for chunk in batched(page, MOST_INTENTS):
                pasts, unread = self._pasts([id_ for id_, _ in chunk if id_ not in seen], report)
                report.unread.update(unread.values())
                if stage == "done":
                    self._miss_trimmed(at_ms, report)
                for batch in _batches(pasts):
                    report.unread.update(self._batch(batch, report).values())
                # Several may have ended at once, and only some of them be in this chunk.
                before_ms, at_ms = at_ms, int(chunk[-1][1])
                at_once = [id_ for id_, ended_ms in chunk if int(ended_ms) == at_ms]
                seen = [*(seen if at_ms == before_ms else ()), *at_once]
                yield at_ms, seen
        if stage == "done":
            self._miss_trimmed(at_ms, report)

    def _miss_trimmed(self, at_ms: int, report: Report) -> None:
        """Say so where some of what ended after a time, and was not looked at yet, may have been trimmed by now."""
        if at_ms < min(self._journal.kept_since_ms(self._retention_ms), report.until_ms):
            report.trimmed = max(report.trimmed, self._journal.trimmed())

    def _once_more(self, again: Sequence[Finding], report: Report) -> None:
        """Compare what differed; what cannot be compared any more, or is not come to, differs as it did."""
        left: dict[str, list[Finding]] = {}
        for one in again:
            left.setdefault(one.intent, []).append(one)
        unread: dict[str, str] = {}
        try:
            pasts, unread = self._pasts([*left], report)
            there = {past.entry.id for past in pasts}
            left = {id_: theirs for id_, theirs in left.items() if id_ in there or id_ in unread}
            for batch in _batches(pasts):
                unread |= self._batch(batch, report, counted=False)
                for past in batch:
                    if past.entry.id not in unread:
                        del left[past.entry.id]
        finally:
            for id_, theirs in left.items():
                for one in theirs:
                    report.add(one.without_values(unread.get(id_, "")))

    def _pasts(self, ids: Sequence[str], report: Report) -> tuple[list[Past], dict[str, str]]:
        """Those of some intents that are over; and which cannot be compared, and why."""
        found, unread = list[Past](), dict[str, str]()
        for id_, past in self._journal.pasts(ids).items():
            if isinstance(past, Past):
                # One that was replayed since is not over any more.
                found += [past] if past.state in OVER else []
            else:
                unread[id_] = report.reason(past, id_, len(unread))
        return found, unread

    def _batch(self, batch: Sequence[Past], report: Report, *, counted: bool = True) -> dict[str, str]:
        """Compare a batch, which is counted once, in its time. Returns of which nothing can be said, and why."""
        first, unread = self._differences(batch)
        suspects = [past.entry.id for past, differences in first if differences]
        confirmed: dict[str, tuple[Past, tuple[Difference, ...]]] = {}
        if suspects:
            fresh, lost = self._pasts(suspects, report)
            second, failed = self._differences(fresh, again=True)
            unread |= lost | failed
            confirmed = {past.entry.id: (past, differences) for past, differences in second}
        for past, differences in first:
            id_ = past.entry.id
            if id_ in unread:
                continue
            report.compared[past.state] += counted
            if not differences:
                continue
            now, again = confirmed.get(id_, (past, ()))
            known = {(one.sort, one.reference) for one in differences}
            if now.state == past.state:
                for one in again:
                    if (one.sort, one.reference) in known:
                        report.add(finding_of(self._journal.target, now, one))
        return unread

    def _differences(
        self, batch: Sequence[Past], *, again: bool = False
    ) -> tuple[list[tuple[Past, tuple[Difference, ...]]], dict[str, str]]:
        """What differs of each; and of which nothing can be said, because something could not be read.

        Args:
            batch: The intents.
            again: They differed a moment ago.
        """
        found, unread, twice = self._read(batch)
        # After the reads, so that whatever they show of later writes is known to be of ours. What more is known takes
        # differences away and adds none, but for those of whose end nobody could tell: with these, and with what
        # differed, it is time enough, for it means a look at all that is under way.
        if any(_leans_on_others(past) and (again or past.perhaps) for past in batch):
            self._knowing.refresh()
        known = self._knowing.known
        for past in batch:
            known.add(past, None, strays.of_the_ledger(past, found, known))
        judged: list[tuple[Past, tuple[Difference, ...]]] = []
        for past in batch:
            id_, evidence = past.entry.id, KINDS[past.entry.kind].evidence
            if id_ in unread:
                continue
            if id_ in twice:
                judged.append((past, (twice[id_],)))
            elif evidence is None:
                unread[id_] = f"{past.entry.kind}: no evidence is known of this kind"
            elif evidence.shared and not self._knowing.known.complete:
                unread[id_] = self._knowing.lacks
            else:
                judged.append((past, self._judged(evidence, past, found, unread)))
        return [one for one in judged if one[0].entry.id not in unread], unread

    def _judged(self, evidence: Evidence, past: Past, found: Found, unread: dict[str, str]) -> tuple[Difference, ...]:
        try:
            return evidence.differences(past, found, self._knowing.known)
        except Exception as error:  # noqa: BLE001 - whatever a kind's code raises is a matter of this one intent
            unread[past.entry.id] = f"{past.entry.kind}: {type(error).__name__} while it was compared"
            return ()

    def _read(self, batch: Sequence[Past]) -> tuple[Found, dict[str, str], dict[str, Difference]]:
        """Read what a batch needs, round by round.

        Returns:
            What was found; of which nothing can be said, and why; and for which the ledger has several rows under one
            reference, so that nothing more can be told of them than that.
        """
        found, unread = Found(), dict[str, str]()
        twice: dict[str, Difference] = {}
        failed: dict[Lookup, Response] = {}
        answered = False
        open_ = list(batch)
        for _ in range(MAX_ROUNDS):
            wanted: dict[Lookup, None] = {}
            still: list[Past] = []
            for past in open_:
                asked = self._asked(past, found, unread)
                lost = next((lookup for lookup in asked if lookup in failed), None)
                if lost is not None and failed[lost].code == SEVERAL_ROWS:
                    shows = f"several rows under it: {failed[lost].message}"
                    twice[past.entry.id] = difference(Sort.TWICE, past, lost.value, shows)
                elif lost is not None:
                    unread[past.entry.id] = f"{lost.resource}: {why(failed[lost])}"
                elif asked:
                    wanted.update(dict.fromkeys(asked))
                    still.append(past)
            if not wanted:
                break
            rows, records, lost_now = self._reading.look(list(wanted))
            answered = answered or len(lost_now) < len(wanted)
            lost_now |= half_shown(rows, wanted)
            failed |= lost_now
            found = found.plus(rows, records, [lookup for lookup in wanted if lookup not in lost_now])
            open_ = still
        else:
            unread |= {past.entry.id: f"{past.entry.kind}: needs too many rounds of reading" for past in open_}
        self._reading.note(answered=answered or not failed)
        return found, unread, twice

    @staticmethod
    def _asked(past: Past, found: Found, unread: dict[str, str]) -> tuple[Lookup, ...]:
        evidence = KINDS[past.entry.kind].evidence
        try:
            return () if evidence is None else evidence.lookups(past, found)
        except Exception as error:  # noqa: BLE001 - as with all code of a kind
            unread[past.entry.id] = f"{past.entry.kind}: {type(error).__name__} while it was read for"
            return ()

    # -- the ledger's rows ------------------------------------------------------------------------------------------

    def _rows(self, from_ms: int, place: Place) -> Iterator[int]:
        """Look through what the ledger made; yields the time up to which that is done."""
        report, looked = place.report, {one.intent for one in place.again}

        def compare(ids: Iterable[str]) -> None:
            for some in batched([id_ for id_ in ids if id_ not in looked], MOST_INTENTS):
                looked.update(some)
                pasts, unread = self._pasts(some, report)
                for batch in _batches(pasts):
                    unread |= self._batch(batch, report, counted=False)
                report.unread.update(unread.values())

        forgotten_ms = self._journal.now_ms() - self._retention_ms - self._key_retention_ms
        rows = Rows(
            self._journal,
            self._reading,
            self._knowing,
            ours=place.ours,
            known_since_ms=forgotten_ms if self._key_retention_ms else 0,
            report=report,
            compare=compare,
        )
        for at_ms, shown in self._reading.made_between(from_ms, report.until_ms):
            if isinstance(shown, Response):
                report.unread[f"rows by time: {why(shown)}"] += 1
            else:
                report.rows += len(shown)
                for some in batched(shown, MOST_LOOKUPS):
                    rows.compare(some)
            yield at_ms


def _batches(pasts: Sequence[Past]) -> Iterator[list[Past]]:
    """Cut so that the first questions of each are not too many."""
    batch: list[Past] = []
    cost = 0
    for past in pasts:
        evidence = KINDS[past.entry.kind].evidence
        try:
            its = 0 if evidence is None else len(evidence.lookups(past, Found()))
        except Exception:  # noqa: BLE001 - it is told when it is read for
            its = 0
        if batch and cost + its > MOST_LOOKUPS:
            yield batch
            batch, cost = [], 0
        batch.append(past)
        cost += its
    if batch:
        yield batch


def _leans_on_others(past: Past) -> bool:
    """Whether an intent is judged by what others of ours did: to the same record, or to the hold that it made."""
    return past.entry.kind in SHARED or bool(past.entry.payload.get("inflight"))


def _ms(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
