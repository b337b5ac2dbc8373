"""How fast intents come and go, from samples of the counters that sweeps keep once a minute."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from blnk_relay.journal.flows import Ask, Flow

#: Minutes that rates are told over.
SPANS = (1, 5, 60)

#: The rate by which it is told when the backlog will be empty, and the one where there is no such yet.
_FORECAST = (5, 1)

#: How much shorter or longer than its name a span may be, because samples are a minute apart.
_SHORTEST, _LONGEST = 0.5, 2.5

#: Samples that are kept; sweep.lua says the same.
_SAMPLES = 62

_ENDED = ("done", "dead", "cancelled")


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of a journal at one moment.

    Attributes:
        at_ms: When, by the journal's clock.
        accepted: Intents that were accepted until then.
        ended: Those that were done, cancelled, or became dead letters.
        died: The latter by ``<kind>|<class>|<code>``.
    """

    at_ms: int
    accepted: int
    ended: int
    died: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many came and went in a second.

    Attributes:
        minutes: The span that is meant.
        over_s: The seconds that it was really told by: samples are a minute apart.
        accepted: Came, a second.
        ended: Went, a second: done, cancelled or dead.
    """

    minutes: int
    over_s: float
    accepted: float
    ended: float


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast intents come and go.

    Attributes:
        spans: One for each of 1, 5 and 60 minutes, as far as the journal has samples for it.
        open: Intents that are not over.
        empty_s: Seconds until none is open, if it goes on as in the last minutes; None where it does not shrink, or
            nobody knows yet.
    """

    spans: tuple[Rate, ...] = ()
    open: int = 0
    empty_s: float | None = None

    def over(self, minutes: int) -> Rate | None:
        """The rate over so many minutes; None where there is none yet."""
        return next((rate for rate in self.spans if rate.minutes == minutes), None)


def samples_flow(prefix: str) -> Flow[tuple[Sample, ...]]:
    """The samples of a journal, newest first."""
    [lines] = yield Ask((("LRANGE", f"{prefix}samples", 0, _SAMPLES - 1),))
    return tuple(map(sample_of, lines))


def sample_of(line: str) -> Sample:
    """One sample as it stands in the journal.

    Example:
        >>> sample_of('{"at":5,"accepted":2,"ended":1,"died":{}}').accepted
        2
    """
    told = json.loads(line)
    return Sample(int(told["at"]), int(told["accepted"]), int(told["ended"]), dict(told["died"]))


def sample_now(now_ms: int, counts: Mapping[str, int]) -> Sample:
    """The same of the counters as they are now."""
    sums = {"accepted": 0, "ended": 0}
    for name, number in counts.items():
        sort = name.partition("|")[0]
        if sort == "accepted" or sort in _ENDED:
            sums["accepted" if sort == "accepted" else "ended"] += number
    died = {name.removeprefix("dead|"): number for name, number in counts.items() if name.startswith("dead|")}
    return Sample(now_ms, sums["accepted"], sums["ended"], died)


def rates_of(now: Sample, samples: Sequence[Sample], open_: int) -> Rates:
    """How fast intents came and went until now. Pure.

    Args:
        now: The counters as they are.
        samples: Former ones, in any order.
        open_: Intents that are not over.
    """
    spans = tuple(rate for minutes in SPANS if (rate := _rate(now, samples, minutes)) is not None)
    return _with_forecast(spans, open_)


def _rate(now: Sample, samples: Sequence[Sample], minutes: int) -> Rate | None:
    wanted_ms = minutes * 60_000
    fit = [one for one in samples if _SHORTEST * wanted_ms <= now.at_ms - one.at_ms <= _LONGEST * wanted_ms]
    if not fit:
        return None
    then = min(fit, key=lambda one: abs(now.at_ms - one.at_ms - wanted_ms))
    over_s = (now.at_ms - then.at_ms) / 1000
    # What Redis has lost with its last moments was counted before.
    came, went = max(0, now.accepted - then.accepted), max(0, now.ended - then.ended)
    return Rate(minutes, over_s, came / over_s, went / over_s)


def by_minute(samples: Sequence[Sequence[Sample]], now_ms: int) -> tuple[tuple[float, float], ...]:
    """How many came and went a second in each minute of the last hour, the oldest first, of several journals. Pure.

    Args:
        samples: Of each journal, in any order.
        now_ms: The time now.
    """
    minutes = SPANS[-1]
    came, went = [0.0] * minutes, [0.0] * minutes
    for of_one in samples:
        rising = sorted(of_one, key=lambda sample: sample.at_ms)
        for before, after in pairwise(rising):
            over_s = (after.at_ms - before.at_ms) / 1000
            place = minutes - 1 - (now_ms - after.at_ms) // 60_000
            if over_s > 0 and 0 <= place < minutes:
                came[place] += max(0, after.accepted - before.accepted) / over_s
                went[place] += max(0, after.ended - before.ended) / over_s
    return tuple(zip(came, went, strict=True))


def merged_rates(several: Sequence[Rates]) -> Rates:
    """Those of several journals as one. Pure."""
    spans = []
    for minutes in SPANS:
        found = [rate for one in several if (rate := one.over(minutes)) is not None]
        if found:
            accepted, ended = sum(rate.accepted for rate in found), sum(rate.ended for rate in found)
            spans.append(Rate(minutes, max(rate.over_s for rate in found), accepted, ended))
    return _with_forecast(tuple(spans), sum(one.open for one in several))


def _with_forecast(spans: tuple[Rate, ...], open_: int) -> Rates:
    if not open_:
        return Rates(spans, 0, 0.0)
    by = {rate.minutes: rate for rate in spans}
    rate = next((by[minutes] for minutes in _FORECAST if minutes in by), None)
    shrinks = rate.ended - rate.accepted if rate is not None else 0.0
    return Rates(spans, open_, open_ / shrinks if shrinks > 0 else None)
