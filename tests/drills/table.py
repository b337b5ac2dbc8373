"""The drills by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.drills import broker, clocks, refusals, servers, targets, workers
from tests.drills.moving import moving
from tests.drills.promotions import PROMOTIONS
from tests.drills.report import Report, Terms
from tests.drills.rolling import rolling


@dataclass(frozen=True, slots=True)
class Drill:
    """One of them.

    Attributes:
        play: Plays it.
        soon: Whether its short form is part of the short set.
    """

    play: Callable[[Terms], Report]
    soon: bool = False

    @property
    def about(self) -> str:
        """What it does, in a sentence or two."""
        return " ".join(str(getattr(self.play, "about", self.play.__doc__)).split())


#: The longest first, so that the last ones to end are short.
DRILLS: Mapping[str, Drill] = {
    "kills": Drill(workers.kills, soon=True),
    "moving": Drill(moving),
    **{promotions.name: Drill(promotions) for promotions in PROMOTIONS},
    "clock-redis": Drill(clocks.clock_redis, soon=True),
    "clock-workers": Drill(clocks.clock_workers),
    "refusals": Drill(refusals.refusals, soon=True),
    "maxmemory": Drill(refusals.maxmemory),
    "target-hour": Drill(clocks.target_hour),
    "rolling": Drill(rolling),
    "broker-flushed": Drill(broker.broker_flushed),
    "target-slow": Drill(targets.target_slow),
    "target-hanging": Drill(targets.target_hanging),
    "target-flapping": Drill(targets.target_flapping, soon=True),
    "fleet": Drill(workers.fleet),
    "freezes": Drill(workers.freezes),
    "sigterm": Drill(workers.sigterm),
    "sigterm-prefork": Drill(workers.sigterm_prefork),
    "restarts": Drill(workers.restarts),
    "storms": Drill(servers.storms),
    "pauses": Drill(servers.pauses),
    "redis-always": Drill(servers.redis_always),
    "redis-everysec": Drill(servers.redis_everysec),
}
