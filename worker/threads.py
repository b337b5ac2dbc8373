"""Parts of a worker program that run in a thread of their own."""

from __future__ import annotations

import threading
from typing import Any

from celery import bootsteps

from blnk_relay.settings import Settings
from worker.shared import Shared


class ThreadStep(bootsteps.StartStopStep):
    """Begins once the worker's pool is up, and is told to end when the worker ends; a part is one of these.

    Attributes:
        thread_name: Name of the thread.
    """

    requires = ("celery.worker.components:Pool",)
    thread_name: str

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._shared: Shared = parent.app.conf.blnk_relay
        self._settings: Settings = self._shared.settings
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, _parent: Any) -> None:
        """Begin, if it is switched on."""
        if self._is_on():
            self._thread = threading.Thread(target=self._run, name=self.thread_name, daemon=True)
            self._thread.start()

    def stop(self, _parent: Any) -> None:
        """Tell it to end, and wait for that, though not for ever."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._longest_end_s())

    def _is_on(self) -> bool:
        """Whether the settings want it."""
        return True

    def _longest_end_s(self) -> float:
        """How long to wait for its end: a trip to Redis that is under way, and another one, as a rule."""
        return self._settings.redis_timeout_s * 2

    def _run(self) -> None:
        """Work until told to stop."""
        raise NotImplementedError
