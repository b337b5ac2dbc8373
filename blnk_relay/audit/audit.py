"""The audit of one journal against its ledger: page by page, in two passes, with a place that can be gone on from.

First the intents: each that ended within the time is read for at the ledger, and compared by its kind's evidence. Then
the rows that the ledger made in that time: those under references of ours have to be known. A difference counts once
the journal and the ledger were read afresh and show it again (decision 49).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from blnk_relay.audit.ours import first_and_generation, is_derived, is_ours_alone, owned_as, refunded_by
from blnk_relay.audit.reader import Reader
from blnk_relay.audit.report import Finding, Report, finding_of
from blnk_relay.intents.evidence import ADVICE, Difference, Evidence, Known, Past, Sort, difference
from blnk_relay.intents.exchange import SEVERAL_ROWS, Failure, Response
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.states import State, StateName
from blnk_relay.journal.answers import Owner
from blnk_relay.journal.audited import GONE, Audited
from blnk_relay.journal.listing import batched
from blnk_relay.journal.status import moment
from blnk_relay.kinds.registry import KINDS

#: Questions that a batch of intents begins with, at most; one intent may have more.
MOST_LOOKUPS = 400

#: Intents in a batch, at most.
MOST_INTENTS = 100

#: Rounds of reading that an intent needs at most.
MAX_ROUNDS = 8

#: Writes and rows of ours that are held in memory to tell who was last and whose a row is.
MOST_KNOWN = 500_000

#: Times that a read is tried again which may fare better, and seconds before the first of them.
_TRIES, _FIRST_PAUSE_S = 3, 1.0

#: Longest pause that an answer asks for and that is made.
_LONGEST_PAUSE_S = 60.0

#: Batches on end of which nothing could be read, after which the rest is left.
_MOST_IN_VAIN = 3

#: The ledger's rows are read for so long a time at first, and for no shorter and no longer one.
_SLICE_MS, _LEAST_SLICE_MS, _MOST_SLICE_MS = 600_000, 1_000, 21_600_000

#: A slice with fewer rows is followed by one twice as long.
_FEW_ROWS = 1_000

#: Answers after which asking again is no use.
_NO_SUCH_READ = frozenset({400, 403, 404, 405, 501})

#: Codes of ours for the same: no such read of a bare Core, and more than is read for one question.
_NEVER = frozenset({"NO_SUCH_READ", "TOO_MANY_ROWS", SEVERAL_ROWS})

#: What an evidence is asked of: all intents whose kinds have one.
_SHARED = frozenset(name for name, kind in KINDS.items() if kind.evidence is not None and kind.evidence.shared)

#: States that are compared, in this order; what was cancelled is listed with what is done.
_COMPARED: tuple[StateName, ...] = ("done", "dead")

#: What an audit looks at, one after the other.
_STAGES = (*_COMPARED, "rows")

#: The states of what is compared.
_OVER = frozenset({State.DONE, State.CANCELLED, State.DEAD})

#: States of intents that may be writing at this moment, and of letters.
_OPEN: tuple[StateName, ...] = ("sending", "posted")
_LETTERS: tuple[StateName, ...] = ("dead", "discarded")


class Stopped(Exception):
    """An audit has to end before it is through; the text is a sentence that says why."""


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
    """

    stage: str
    at_ms: int
    report: Report
    seen: tuple[str, ...] = ()
    again: tuple[Finding, ...] = ()

    def kept(self) -> dict[str, Any]:
        """As JSON, without a value of any intent."""
        report, again = self.report.without_values()
        kept = {"stage": self.stage, "at_ms": self.at_ms, "report": report.kept()}
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
        return cls(str(kept["stage"]), int(kept["at_ms"]), Report.from_kept(kept["report"]), seen, again)


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
        ours: How references begin that nobody but users of this journal makes; ``*`` stands for all.
        keep: Called with the place at the beginning and after each batch.
        pause: Waits so many seconds, and says whether to end.
    """

    def __init__(
        self,
        journal: Audited,
        reader: Reader,
        *,
        read_lag_s: float,
        retention_s: float,
        ours: Sequence[str] = (),
        keep: Callable[[Place], None] = lambda _: None,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._lag_ms = int(read_lag_s * 1000)
        self._retention_ms = int(retention_s * 1000)
        self._ours = tuple(ours)
        self._keep = keep
        self._pause = pause or _sleep
        self._known = _Knowing(journal)
        self._in_vain = 0

    def begin(self, since: datetime, until: datetime | None = None) -> Place:
        """The place at which an audit of what ended within some time begins.

        Args:
            since: What ended at or after then.
            until: And before then; up to what reads may not show yet, when None or later than that.
        """
        latest_ms = self._journal.now_ms() - self._lag_ms
        until_ms = latest_ms if until is None else min(_ms(until), latest_ms)
        report = Report(self._journal.target, min(_ms(since), until_ms), until_ms)
        return Place(_COMPARED[0], report.since_ms, report)

    def run(self, place: Place) -> Report:
        """Compare from a place on, to the end.

        Returns:
            What was found, in all. Where it could not come to its end, ``stopped`` says why.

        Raises:
            JournalUnavailable: Redis did not answer; the place that was kept last can be gone on from.
        """
        report, before = place.report, self._reader.reads
        earlier = report.reads

        def keep(stage: str, at_ms: int, seen: Sequence[str]) -> None:
            report.reads = earlier + self._reader.reads - before
            self._keep(Place(stage, at_ms, report, tuple(seen)))

        # Whoever is stopped within the first batch goes on from here, and not from where another audit had to end.
        self._keep(place)
        try:
            self._known.prepare(self._journal.now_ms() - self._retention_ms)
            self._once_more(place.again, report)
            for stage in _STAGES[_STAGES.index(place.stage) :]:
                first = stage == place.stage
                from_ms, seen = (place.at_ms, place.seen) if first else (report.since_ms, ())
                if stage == "rows":
                    for at_ms in self._rows(from_ms, report):
                        keep(stage, at_ms, ())
                else:
                    for at_ms, now_seen in self._intents(stage, from_ms, seen, report):
                        keep(stage, at_ms, now_seen)
            report.whole = True
        except Stopped as stop:
            report.stopped = str(stop)
        report.reads = earlier + self._reader.reads - before
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
        if at_ms < min(self._journal.now_ms() - self._retention_ms, report.until_ms):
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
                unread |= self._batch(batch, report, anew=True)
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
                found += [past] if past.state in _OVER else []
            else:
                few = len(report.unread) + len(unread) < _MOST_REASONS
                unread[id_] = f"{past} (intent {id_})" if few else past
        return found, unread

    def _batch(self, batch: Sequence[Past], report: Report, *, anew: bool = False) -> dict[str, str]:
        """Compare a batch; ``anew`` where it was counted already. Returns of which nothing can be said, and why."""
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
            report.compared[past.state] += not anew
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
            self._known.refresh()
        judged: list[tuple[Past, tuple[Difference, ...]]] = []
        for past in batch:
            id_, evidence = past.entry.id, KINDS[past.entry.kind].evidence
            if id_ in unread:
                continue
            if id_ in twice:
                judged.append((past, (twice[id_],)))
            elif evidence is None:
                unread[id_] = f"{past.entry.kind}: no evidence is known of this kind"
            elif evidence.shared and not self._known.known.complete:
                unread[id_] = self._known.lacks
            else:
                judged.append((past, self._judged(evidence, past, found, unread)))
        return [one for one in judged if one[0].entry.id not in unread], unread

    def _judged(self, evidence: Evidence, past: Past, found: Found, unread: dict[str, str]) -> tuple[Difference, ...]:
        try:
            return evidence.differences(past, found, self._known.known)
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
                    unread[past.entry.id] = f"{lost.resource}: {_why(failed[lost])}"
                elif asked:
                    wanted.update(dict.fromkeys(asked))
                    still.append(past)
            if not wanted:
                break
            rows, records, lost_now = self._look(list(wanted))
            failed |= lost_now
            answered = answered or len(lost_now) < len(wanted)
            found = found.plus(rows, records, [lookup for lookup in wanted if lookup not in lost_now])
            open_ = still
        else:
            unread |= {past.entry.id: f"{past.entry.kind}: needs too many rounds of reading" for past in open_}
        self._note(answered or not failed)
        return found, unread, twice

    @staticmethod
    def _asked(past: Past, found: Found, unread: dict[str, str]) -> tuple[Lookup, ...]:
        evidence = KINDS[past.entry.kind].evidence
        try:
            return () if evidence is None else evidence.lookups(past, found)
        except Exception as error:  # noqa: BLE001 - as with all code of a kind
            unread[past.entry.id] = f"{past.entry.kind}: {type(error).__name__} while it was read for"
            return ()

    def _look(self, lookups: Sequence[Lookup]) -> tuple[list[Row], list[Any], dict[Lookup, Response]]:
        """Read, and read again what may fare better a moment later."""
        rows: list[Row] = []
        records: list[Any] = []
        left, failed = list(lookups), dict[Lookup, Response]()
        for attempt in range(_TRIES + 1):
            shown = self._reader.look(left)
            rows += shown.rows
            records += shown.records
            for answer in shown.failed.values():
                _refuse_hopeless(answer)
            passing = {lookup: answer for lookup, answer in shown.failed.items() if not _is_final(answer)}
            failed |= {lookup: answer for lookup, answer in shown.failed.items() if _is_final(answer)}
            if not passing:
                break
            if attempt == _TRIES:
                failed |= passing
                break
            left = list(passing)
            self._wait(_FIRST_PAUSE_S * 2**attempt, passing.values())
        return rows, records, failed

    def _wait(self, seconds: float, answers: Iterable[Response]) -> None:
        asked_s = max((answer.retry_after_s or 0.0 for answer in answers), default=0.0)
        if self._pause(min(max(seconds, asked_s), _LONGEST_PAUSE_S)):
            raise Stopped("it was told to stop")

    def _note(self, answered: bool) -> None:
        """Leave the rest where the ledger does not answer at all."""
        self._in_vain = 0 if answered else self._in_vain + 1
        if self._in_vain >= _MOST_IN_VAIN:
            raise Stopped("the ledger does not answer reads: go on with it once it does")

    # -- the ledger's rows ------------------------------------------------------------------------------------------

    def _rows(self, from_ms: int, report: Report) -> Iterator[int]:
        """Look through what the ledger made; yields the time up to which that is done."""
        at_ms, slice_ms = from_ms, _SLICE_MS
        tries = 0
        while at_ms < report.until_ms:
            end_ms = min(at_ms + slice_ms, report.until_ms)
            shown = self._reader.made_between(_rfc3339(at_ms), _rfc3339(end_ms))
            if isinstance(shown, Response):
                _refuse_hopeless(shown)
                if shown.code == "TOO_MANY_ROWS" and slice_ms > _LEAST_SLICE_MS:
                    slice_ms = max(_LEAST_SLICE_MS, slice_ms // 4)
                    continue
                if not _is_final(shown) and tries < _TRIES:
                    self._wait(_FIRST_PAUSE_S * 2**tries, [shown])
                    tries += 1
                    continue
                report.unread[f"rows by time: {_why(shown)}"] += 1
                if shown.status in _NO_SUCH_READ:
                    return
                self._note(answered=bool(shown.status))
            else:
                self._note(answered=True)
                report.rows += len(shown)
                for rows in batched(shown, MOST_LOOKUPS):
                    self._compare_rows(rows, report)
                slice_ms = min(slice_ms * 2, _MOST_SLICE_MS) if len(shown) < _FEW_ROWS else slice_ms
            tries = 0
            at_ms = end_ms
            yield at_ms

    def _compare_rows(self, rows: Sequence[Row], report: Report) -> None:
        effective = [row for row in rows if row.status != "REJECTED" and not is_derived(row)]
        names = dict.fromkeys(owned_as(row.reference) for row in effective)
        firsts = dict.fromkeys(first_and_generation(name)[0] for name in names)
        owners = self._owners([*dict.fromkeys([*names, *firsts])])
        for row in effective:
            name = owned_as(row.reference)
            first, generation = first_and_generation(name)
            if name in owners:
                continue
            owner = owners.get(first)
            if generation and owner is not None:
                # Of the generation after the intent's own its evidence has told.
                if generation > int(owner.gen or 0) + 1:
                    self._strange(row, f"under a reference that intent {owner.id} was never given", report)
            elif is_ours_alone(row.reference, self._ours):
                self._strange(row, "no intent with this reference", report)
            else:
                report.others += 1
        self._compare_refunds([row for row in rows if row.status == "APPLIED" and refunded_by(row.reference)], report)

    def _owners(self, references: Sequence[str]) -> dict[str, Owner]:
        """Of some references those that an intent owns, or did before it was trimmed."""
        owners = self._journal.owners(references)
        from_before = self._journal.known_ids([owner.id for owner in owners.values() if not owner.state])
        return {name: owner for name, owner in owners.items() if owner.state or owner.id in from_before}

    def _strange(self, row: Row, says: str, report: Report) -> None:
        shows = f"{row.transaction_id} ({row.status} {row.precise_amount} {row.currency})"
        one = Difference(Sort.STRANGE, row.reference, says, shows, ADVICE[Sort.STRANGE])
        report.add(finding_of(self._journal.target, None, one))

    def _compare_refunds(self, rows: Sequence[Row], report: Report) -> None:
        """Refunds of payments of ours that no intent of the journal asked for."""
        if rows:
            self._known.refresh()
        known = self._known.known
        rows = [row for row in rows if not known.owner(row.transaction_id) and not known.is_unsure(_base(row))]
        if rows and not known.complete:
            report.unread[f"refunds that no intent asked for: {self._known.lacks}"] += len(rows)
        if not rows or not known.complete:
            return
        shown, _, failed = self._look([Lookup("transactions", "transaction_id", _base(row)) for row in rows])
        for answer in failed.values():
            report.unread[f"transactions: {_why(answer)}"] += 1
        paid = {row.transaction_id: row for row in shown}
        owners = self._owners([*dict.fromkeys(owned_as(row.reference) for row in paid.values())])
        for row in rows:
            base = paid.get(_base(row))
            owner = None if base is None else owners.get(owned_as(base.reference))
            # What the ledger took back by itself, because all of it was to happen or none, is of no done intent.
            if base is not None and owner is not None and owner.state == State.DONE and not int(owner.gen or 0):
                self._strange(row, f"no refund of {base.reference} (intent {owner.id})", report)


#: Reasons that are told apart in a report.
_MOST_REASONS = 50


class _Knowing:
    """What the journal knows of all intents that can only be judged together, and how it is kept up to date."""

    def __init__(self, journal: Audited) -> None:
        self._journal = journal
        self._since_ms: dict[StateName, int] = {}
        #: Those that wait for the ledger's outcome and were read: what they wrote to is known from before they were
        #: sent, so there is nothing new in them until they end. There may be very many.
        self._posted: set[str] = set()
        self.known = Known()
        #: Why it does not know everything; empty where it does.
        self.lacks = ""

    def prepare(self, kept_since_ms: int) -> None:
        """Read all of them.

        Args:
            kept_since_ms: Nothing that ended since then was trimmed.
        """
        self.known.since_ms = kept_since_ms if self._journal.trimmed() else 0
        self.refresh()

    def refresh(self) -> None:
        """Read those that ended since, and those that are under way."""
        for state in ("done", *_LETTERS):
            since_ms = self._since_ms.get(state, 0)
            for page in self._journal.ids(state, moment(since_ms), None):
                self._take(page)
                self._since_ms[state] = int(page[-1][1])
        for state in _OPEN:
            posted = state == "posted"
            still: set[str] = set()
            for page in self._journal.ids(state, None, None):
                if not self.known.complete:
                    return
                if posted:
                    still.update(id_ for id_, _ in page)
                    if len(still) > MOST_KNOWN:
                        self._lack(f"more than {MOST_KNOWN:,} writes under way: audit once there are fewer")
                        return
                    page = [one for one in page if one[0] not in self._posted]  # noqa: PLW2901
                self._take(page)
            if posted:
                self._posted = still

    def _take(self, page: Sequence[tuple[str, float]]) -> None:
        if len(self.known) > MOST_KNOWN:
            self._lack(f"more than {MOST_KNOWN:,} writes to tell apart: audit a shorter time")
        if not page or not self.known.complete:
            return
        for id_, past in self._journal.pasts(self._journal.of_kinds([id_ for id_, _ in page], _SHARED)).items():
            if past == GONE:
                continue
            if not isinstance(past, Past):
                # What it set or settled would be nobody's, and whoever is compared with that accused of it.
                self._lack(f"nobody can tell what intent {id_} did: {past}")
                return
            evidence = KINDS[past.entry.kind].evidence
            if evidence is None:
                continue
            try:
                self.known.add(past, evidence.writes(past), evidence.below(past))
            except Exception as error:  # noqa: BLE001 - as with all code of a kind
                self._lack(f"nobody can tell what intent {id_} did: {type(error).__name__} while it was looked at")
                return

    def _lack(self, why: str) -> None:
        self.known.complete, self.lacks = False, why


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
    return past.entry.kind in _SHARED or bool(past.entry.payload.get("inflight"))


def _refuse_hopeless(answer: Response) -> None:
    if answer.status == 401:  # noqa: PLR2004
        raise Stopped("the ledger does not accept the credential for reads (401)")
    if answer.code == "STOPPING":
        raise Stopped("it was told to stop")


def _is_final(answer: Response) -> bool:
    """Whether asking once more is no use."""
    return answer.status in _NO_SUCH_READ or answer.code in _NEVER


def _why(answer: Response) -> str:
    """An answer that was no success, in few words."""
    told = answer.code or (f"HTTP {answer.status}" if answer.status else "")
    if answer.failure is not None and not told:
        return "no answer" if answer.failure is not Failure.NOT_SENT else "it cannot be reached"
    return f"{told} ({answer.status})" if answer.status and str(answer.status) not in told else told


def _base(row: Row) -> str:
    return refunded_by(row.reference)


def _ms(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def _rfc3339(at_ms: int) -> str:
    return moment(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
