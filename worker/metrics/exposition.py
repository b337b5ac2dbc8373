"""What is answered to ``/metrics``, ``/healthz`` and ``/readyz``, whoever serves it: a worker, or the console."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

from blnk_relay._version import __version__
from blnk_relay.journal.health import Health
from blnk_relay.journal.journals import Journals
from worker.metrics.families import Families
from worker.metrics.meter import SharedMeter
from worker.metrics.readings import Readings

_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP.

    Attributes:
        status: Its status.
        content_type: Of its body.
        body: The body.
    """

    status: int
    content_type: str
    body: bytes


class Exposition:
    """Answers for one process. Threads share it; each answer comes within three seconds, whatever Redis does.

    Args:
        journals: Those of all targets; they stay their owner's to close.
        meter: What the processes of this worker measure; None where nothing is sent from here.
        health: Whether this process is well by its own word; None where only its journals can ail it.

    Example:
        ::

            exposition = Exposition(operator.journals)
            answer = exposition.answer("/metrics")
    """

    def __init__(
        self,
        journals: Journals,
        meter: SharedMeter | None = None,
        health: Callable[[], Health] | None = None,
    ) -> None:
        self._readings = Readings(journals)
        self._families = Families(journals.settings)
        self._meter = meter
        self._health = health
        self._paths = {"/metrics": self.metrics, "/healthz": self.healthz, "/readyz": self.readyz}
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry

    def answer(self, path: str) -> Answer:
        """What is answered to a path; its query does not matter."""
        made = self._paths.get(path.partition("?")[0])
        return made() if made else _said(404, f"There is no {', '.join(self._paths)} at this path; use one of these.")

    def metrics(self) -> Answer:
        """All metrics, in the text format of Prometheus."""
        filled = () if self._meter is None else self._meter.filled()
        families = chain(
            self._families.of_journals(self._readings.latest()), self._families.of_process(__version__, filled)
        )
        body = generate_latest(_Collected(families)) + generate_latest(self._registry)
        return Answer(200, CONTENT_TYPE_LATEST, body)

    def healthz(self) -> Answer:
        """Whether this process should go on; if not (503), it is to be started anew. Nobody is asked."""
        health = _WELL if self._health is None else self._health()
        return _said(200, _GOES_ON) if health.live else _said(503, *health.why)

    def readyz(self) -> Answer:
        """Whether this process can do its work now; if not (503), it may be able to later."""
        health = self._read_health() if self._health is None else self._health()
        return _said(200 if health.ready else 503, *(health.why or (_READY,)))

    def _read_health(self) -> Health:
        """That of somebody who needs one journal at least."""
        readings = self._readings.latest()
        away = sum(reading is None for reading in readings.values())
        # Anybody may ask: not which, for targets have names that are nobody else's business.
        why = (f"{away} of {len(readings)} journals cannot be read.",) if away else ()
        return Health(live=True, ready=away < len(readings), why=why)


_WELL = Health(live=True, ready=True)

_GOES_ON, _READY = "This process is well.", "All journals can be read."


class _Collected:
    """Families that were made already, as a registry has them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _said(status: int, *sentences: str) -> Answer:
    return Answer(status, _TEXT, "".join(f"{sentence}\n" for sentence in sentences).encode())
