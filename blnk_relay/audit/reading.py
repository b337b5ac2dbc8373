"""Reading a ledger for an audit: what may fare better a moment later is read again, and nothing for ever in vain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from blnk_relay.audit.reader import Reader
from blnk_relay.intents.exchange import SEVERAL_ROWS, Failure, Response
from blnk_relay.intents.found import Lookup, Row
from blnk_relay.journal.status import moment

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

#: What every row that moved money or reserved it has; kinds take what is not shown for what was asked.
_WHOLE = ("precise_amount", "currency", "source", "destination")
_TELLING = frozenset({"APPLIED", "INFLIGHT", "VOID"})


class Stopped(Exception):
    """An audit has to end before it is through; the text is a sentence that says why."""


class Reading:
    """Reads a ledger patiently.

    Args:
        reader: The way there.
        pause: Waits so many seconds, and says whether to end; None for one that never ends.
    """

    def __init__(self, reader: Reader, pause: Callable[[float], bool] | None) -> None:
        self._reader = reader
        self._pause = pause or _sleep
        self._in_vain = 0

    @property
    def reads(self) -> int:
        """Requests made so far."""
        return self._reader.reads

    def look(self, lookups: Sequence[Lookup]) -> tuple[list[Row], list[Any], dict[Lookup, Response]]:
        """Read, and read again what may fare better a moment later.

        Returns:
            Rows, records, and what could not be read.

        Raises:
            Stopped: Nothing can be read.
        """
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

    def made_between(self, from_ms: int, until_ms: int) -> Iterator[tuple[int, Sequence[Row] | Response]]:
        """What the ledger made in some time, slice by slice: up to when, and the rows, or why they cannot be read.

        Where there is no such read, nothing comes after that.

        Raises:
            Stopped: Nothing can be read.
        """
        at_ms, slice_ms = from_ms, _SLICE_MS
        tries = 0
        while at_ms < until_ms:
            end_ms = min(at_ms + slice_ms, until_ms)
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
                if shown.status in _NO_SUCH_READ:
                    yield at_ms, shown
                    return
                self.note(answered=bool(shown.status))
            else:
                self.note(answered=True)
                slice_ms = min(slice_ms * 2, _MOST_SLICE_MS) if len(shown) < _FEW_ROWS else slice_ms
            tries = 0
            at_ms = end_ms
            yield at_ms, shown

    def note(self, *, answered: bool) -> None:
        """Leave the rest where the ledger does not answer at all.

        Raises:
            Stopped: It has not for a while.
        """
        self._in_vain = 0 if answered else self._in_vain + 1
        if self._in_vain >= _MOST_IN_VAIN:
            raise Stopped("the ledger does not answer reads: go on with it once it does")

    def _wait(self, seconds: float, answers: Iterable[Response]) -> None:
        asked_s = max((answer.retry_after_s or 0.0 for answer in answers), default=0.0)
        if self._pause(min(max(seconds, asked_s), _LONGEST_PAUSE_S)):
            raise Stopped("it was told to stop")


def half_shown(rows: Iterable[Row], lookups: Iterable[Lookup]) -> dict[Lookup, Response]:
    """Those of some look-ups that led to a row of which the ledger does not show all that is compared. Pure."""
    found = dict[Lookup, Response]()
    for row in rows:
        lacks = next((name for name in _WHOLE if getattr(row, name) in (None, "")), "")
        if lacks and row.status in _TELLING:
            answer = Response(code=f"the ledger does not show its {lacks}")
            led = {"reference": row.reference, "transaction_id": row.transaction_id, "parent_transaction": row.parent}
            found |= {Lookup("transactions", field, value): answer for field, value in led.items()}
    return {lookup: found[lookup] for lookup in lookups if lookup in found}


def why(answer: Response) -> str:
    """An answer that was no success, in few words."""
    told = answer.code or (f"HTTP {answer.status}" if answer.status else "")
    if answer.failure is not None and not told:
        return "no answer" if answer.failure is not Failure.NOT_SENT else "it cannot be reached"
    return f"{told} ({answer.status})" if answer.status and str(answer.status) not in told else told


def _refuse_hopeless(answer: Response) -> None:
    if answer.status == 401:  # noqa: PLR2004
        raise Stopped("the ledger does not accept the credential for reads (401)")
    if answer.code == "STOPPING":
        raise Stopped("it was told to stop")


def _is_final(answer: Response) -> bool:
    """Whether asking once more is no use."""
    return answer.status in _NO_SUCH_READ or answer.code in _NEVER


def _rfc3339(at_ms: int) -> str:
    return moment(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
