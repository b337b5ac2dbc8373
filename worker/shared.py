"""What each process of a worker has one of: a relay, with its journals and bells, and reports. Its threads share it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blnk_relay.relay import Relay
from blnk_relay.settings import Settings
from worker.telemetry import Telemetry

if TYPE_CHECKING:
    from worker.metrics.meter import SharedMeter
    from worker.presence import Presence


class Shared:
    """Handed on to whatever runs in a worker; a process of its pool, which is a fork, has a relay of its own.

    Nobody closes it: loops may settle until the last moment, and what is open ends with the process.

    Args:
        settings: The settings.
        processes: How many processes its pool has besides this one.

    Attributes:
        meter: What its processes measure with, all of them; None where nobody asks for metrics.
    """

    def __init__(self, settings: Settings, processes: int = 0) -> None:
        self.settings = settings
        self.meter: SharedMeter | None = None
        if settings.metrics_port:
            from worker.metrics.meter import SharedMeter

            self.meter = SharedMeter(settings, processes)
        #: Targets that were heard of since their journals were last swept.
        self.heard: set[str] = set()
        #: The worker program as it shows itself; None before it sweeps, and in a process of its pool.
        self.presence: Presence | None = None
        self._relays: dict[int, Relay] = {}
        self._reports: dict[int, Telemetry] = {}

    def hear(self, target: str) -> None:
        """A bell was heard for a target: something is there, or will be due. Others may ring for what is none here."""
        if target in self.settings.ledgers:
            self.heard.add(target)
            if self.presence is not None:
                self.presence.rung()

    @property
    def relay(self) -> Relay:
        """The relay of this process."""
        # Without a lock, which another thread might hold in the moment of a fork: one too many costs nothing, for a
        # relay connects when it is used.
        known = self._relays.get(os.getpid())
        return known if known is not None else self._relays.setdefault(os.getpid(), Relay(self.settings))

    @property
    def reports(self) -> Telemetry:
        """Where this process tells of failures that need a human."""
        known = self._reports.get(os.getpid())
        return known if known is not None else self._reports.setdefault(os.getpid(), Telemetry(self.settings))
