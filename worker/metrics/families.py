"""From readings of journals, and from what processes measured, to families of samples. Pure but for what labels it saw.

Labels are bounded: targets and lanes by the settings, kinds, outcomes and classes by our own lists, and codes, which
ledgers may make up, by a number; what is beyond that is ``other``. No key, no reference, no name is among them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.outcomes import OUTCOMES
from blnk_relay.journal.overview import Overview, sides_of
from blnk_relay.journal.readings import Reading
from blnk_relay.journal.workers import serving
from blnk_relay.kinds.registry import KINDS
from blnk_relay.settings import Settings
from tasks.meter import STATUS_CLASSES, status_class
from worker.metrics import names
from worker.metrics.meter import OTHER, Filled
from worker.metrics.names import PREFIX, Name

#: Codes, lanes and resources that get series of their own.
MOST_CODES = 100

#: What a code, a lane or a resource looks like; a ledger that puts sentences there is not quoted.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_:-]{0,63}")


class Words:
    """Values of labels that are not on a list: the first so many that are seen, for as long as the process lives.

    They stay what they were, or a counter would seem to go back.

    Args:
        most: How many.

    Example:
        >>> words = Words(1)
        >>> words.of("TXN_NOT_FOUND"), words.of("GEN_CONFLICT"), words.of("TXN_NOT_FOUND")
        ('TXN_NOT_FOUND', 'other', 'TXN_NOT_FOUND')
    """

    def __init__(self, most: int = MOST_CODES) -> None:
        self._most = most
        self._seen: set[str] = set()

    def of(self, value: str) -> str:
        """A value, or ``other``; none stays none."""
        if value == "" or value in self._seen:
            return value
        if len(self._seen) >= self._most or not _WORD.fullmatch(value):
            return OTHER
        self._seen.add(value)
        return value


def _one_of(known: Collection[str]) -> Callable[[str], str]:
    return lambda value: value if value in known else OTHER


class Families:
    """Makes families, and keeps the labels within their bounds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codes, self._lanes, self._resources = Words(), Words(), Words()
        kind, code = _one_of(KINDS), self._codes.of
        #: Counters of the journal, by the first part of their name: labels that this says, and how each further part
        #: becomes one.
        self._counters: Mapping[str, tuple[Name, tuple[str, ...], tuple[Callable[[str], str], ...]]] = {
            "accepted": (names.ACCEPTED, (), (kind,)),
            "done": (names.DONE, (), (kind, _one_of(OUTCOMES))),
            "dead": (names.DEAD, (), (kind, _one_of(frozenset(DeadClass)), code)),
            "cancelled": (names.CANCELLED, (), ()),
            "replayed": (names.REPLAYED, (), (kind,)),
            "discarded": (names.DISCARDED, (), (kind,)),
            "attempt": (names.ATTEMPTS, (), (_status,)),
            "retried": (names.RETRIES, (), ()),
            "looked_up": (names.LOOK_UPS, (), ()),
            "sent_again": (names.SENT_AGAIN, (), ()),
            "lapsed": (names.LAPSES, (), ()),
            "stale": (names.STALE, (), ()),
            "given_back": (names.GIVEN_BACK, (), ()),
            "fault": (names.FAULTS, (), ()),
            "unread": (names.UNREAD, (), (self._resources.of,)),
            "renewed": (names.RENEWED, (), ()),
            "gate_paused": (names.GATE_CHANGES, ("paused",), (code,)),
            "gate_slowed": (names.GATE_CHANGES, ("slowed",), (code,)),
            "gate_unreachable": (names.GATE_CHANGES, ("unreachable",), (code,)),
            "gate_opened": (names.GATE_CHANGES, ("opened",), (code,)),
            "epochs": (names.EPOCHS, (), ()),
            "clock_stepped": (names.CLOCK_STEPS, (), (_one_of(("forward", "back")),)),
            "oauth_refreshed": (names.OAUTH, ("done",), ()),
            "oauth_failed": (names.OAUTH, ("failed",), ()),
        }

    def of_journals(self, readings: Mapping[str, Reading | None]) -> Iterator[Metric]:
        """What journals say; None for one that could not be read."""
        samples: dict[Name, defaultdict[tuple[str, ...], float]] = {
            name: defaultdict(float) for name in names.NAMES if name.of == "journal"
        }
        for target, reading in readings.items():
            samples[names.UP][target,] = int(reading is not None)
            if reading is not None:
                for name, labels, value in (*self._gauges(reading), *self._counts(reading)):
                    samples[name][(target, *labels)] += value
        for name, values in samples.items():
            yield _family(name, values)

    def of_process(self, version: str, filled: Iterable[Filled]) -> Iterator[Metric]:
        """What this process, and those of its pool, say."""
        yield _family(names.BUILD, {(version,): 1})
        histograms = {
            name: HistogramMetricFamily(PREFIX + name.name, name.help, labels=name.labels)
            for name in names.NAMES
            if name.sort == "histogram"
        }
        for one in filled:
            histograms[one.name].add_metric(one.labels, list(one.buckets), one.total_s)
        yield from histograms.values()

    def _gauges(self, reading: Reading) -> Iterator[tuple[Name, tuple[str, ...], float]]:
        seen = reading.overview
        for lane in seen.lanes:
            name = self._lanes.of(lane.lane)
            yield names.INTENTS, ("due", name), lane.due
            yield names.INTENTS, ("later", name), lane.later
            yield names.OLDEST_OPEN, (name,), lane.oldest_open_s
            yield names.LANE_PAUSED, (name,), int(lane.paused)
        for state in ("waiting", "sending", "posted", "done", "dead", "discarded"):
            yield names.INTENTS, (state, ""), getattr(seen, state)
        yield names.BACKLOG, (), seen.sending + sum(lane.due for lane in seen.lanes)
        yield names.CONFIRMATION_LAG, (), seen.oldest_posted_s
        yield from self._gates(seen)
        yield from self._workers(reading)
        yield names.FOREIGN, (), int(reading.foreign)
        yield names.LOST, (), int(reading.lost)
        yield names.LOCKED, (), sum(one.count for one in reading.locked)
        yield names.LOCKED_LETTERS, (), reading.locked_letters.count
        yield names.CLOCK_AHEAD, (), reading.ahead_s
        if reading.history.on or reading.history.trouble:
            yield names.HISTORY_LAG, (), reading.history.oldest_s
            yield names.HISTORY_UNCOPIED, (), reading.history.uncopied + reading.history.walking
            yield names.HISTORY_TROUBLED, (), int(bool(reading.history.trouble))
        yield from _of_server(reading.server)

    def _workers(self, reading: Reading) -> Iterator[tuple[Name, tuple[str, ...], float]]:
        for state in ("running", "quiet", "stopping", "dead"):
            yield names.WORKERS, (state,), sum(worker.state == state for worker in reading.workers)
        alive = [worker for worker in reading.workers if worker.alive]
        yield names.WORKERS_UNWELL, (), sum(bool(worker.sign.unwell) for worker in alive)
        yield names.WORKER_VERSIONS, (), len({worker.version for worker in alive})
        for depth in reading.overview.lanes:
            yield names.LANE_WORKERS, (self._lanes.of(depth.lane),), serving(alive, depth.lane)

    def _gates(self, seen: Overview) -> Iterator[tuple[Name, tuple[str, ...], float]]:
        shut = {gate.side: gate for gate in seen.gates}
        for side in sides_of(self._settings):
            gate = shut.get(side)
            if gate is None:
                yield names.GATE, (side, "open", "", ""), 1
            else:
                by = "operator" if gate.manual else "worker"
                yield names.GATE, (side, gate.state, by, self._codes.of(gate.code)), 1

    def _counts(self, reading: Reading) -> Iterator[tuple[Name, tuple[str, ...], float]]:
        for name, _, _ in self._counters.values():
            if name.labels == ("target",):
                # There from the beginning, so that the first one is seen as one more.
                yield name, (), 0
        for field, value in reading.overview.counts.items():
            first, *parts = field.split("|")
            if first in self._counters:
                name, said, words = self._counters[first]
                # Whoever counted without saying so much leaves a label empty.
                yield (
                    name,
                    (*said, *(word(part) for word, part in zip(words, [*parts, *[""] * len(words)], strict=False))),
                    value,
                )


def _status(text: str) -> str:
    return status_class(int(text), None) if text.isdigit() else text if text in STATUS_CLASSES else OTHER


def _of_server(info: Mapping[str, str]) -> Iterator[tuple[Name, tuple[str, ...], float]]:
    """What INFO tells; what it leaves out, or does not let us read, is left out here."""

    def number(field: str) -> float | None:
        text = info.get(field, "")
        return float(text) if text.isdigit() else None

    if (used := number("used_memory")) is not None:
        yield names.REDIS_MEMORY, (), used
    if limit := number("maxmemory") or number("total_system_memory"):
        yield names.REDIS_LIMIT, (), limit
    if "maxmemory_policy" in info:
        yield names.REDIS_EVICTS, (), int(info["maxmemory_policy"] != "noeviction" and number("maxmemory") != 0)
    if (appends := number("aof_enabled")) is not None:
        yield names.REDIS_APPENDS, (), appends
    for name, fields in (
        (names.REDIS_FAILING, ("aof_last_write_status",)),
        (names.REDIS_SNAPSHOTS_FAILING, ("rdb_last_bgsave_status", "aof_last_bgrewrite_status")),
    ):
        if states := [info[field] for field in fields if field in info]:
            yield name, (), int(any(state != "ok" for state in states))
    if (replicas := number("connected_slaves")) is not None:
        yield names.REDIS_REPLICAS, (), replicas


def _family(name: Name, values: Mapping[tuple[str, ...], float]) -> Metric:
    kind = CounterMetricFamily if name.sort == "counter" else GaugeMetricFamily
    family = kind(PREFIX + name.name, name.help, labels=name.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
