"""Ctrl-C during work on many things: it ends between two of them, so that what was done can be told exactly.

So it does where it is told to end by SIGTERM, as by whoever stops a container, and with the end of its terminal.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import FrameType, MappingProxyType, TracebackType
from typing import Any, Self

#: What a second one does. Whoever closes a terminal sends several SIGHUP, and means the same by all of them.
_AFTERWARDS: Mapping[signal.Signals, Any] = MappingProxyType(
    {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_IGN,
    }
)


class Stop:
    """While it is entered, the first Ctrl-C, SIGTERM or SIGHUP only sets :attr:`asked`; another ends at once.

    What is ignored stays ignored, as SIGHUP where somebody wants the work to outlive its terminal.

    Attributes:
        asked: Whether somebody wants the work to end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere nobody presses Ctrl-C.
        if threading.current_thread() is threading.main_thread():
            for sort in _AFTERWARDS:
                if sort is signal.SIGINT or signal.getsignal(sort) is not signal.SIG_IGN:
                    self._before[sort] = signal.signal(sort, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sort, before in self._before.items():
            signal.signal(sort, before)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True
        for sort in self._before:
            signal.signal(sort, _AFTERWARDS[sort])
