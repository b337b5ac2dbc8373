"""Being told to end: between two of many things, so that what was done can be told exactly, or with all that runs."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self


class Stop:
    """While it is entered, the first Ctrl-C only sets :attr:`asked`; a second one interrupts at once.

    Attributes:
        asked: Whether somebody wants the work to end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere nobody presses Ctrl-C.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def unwound() -> Iterator[None]:
    """End by SIGTERM, and by the terminal's end, as by Ctrl-C: what was begun within is ended first.

    By default both end the process at once, and leave running what it has started. What is ignored stays ignored, as
    where somebody wants it to outlive its terminal.

    Raises:
        SystemExit: With 128 and the number of the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = [sort for sort in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(sort) is signal.SIG_DFL]

    def end(number: int, _frame: FrameType | None) -> None:
        # Once: whoever closes a terminal sends several, and what ends meanwhile should not be interrupted.
        for sort in asked:
            signal.signal(sort, signal.SIG_IGN)
        sys.exit(128 + number)

    for sort in asked:
        signal.signal(sort, end)
    try:
        yield
    finally:
        for sort in asked:
            signal.signal(sort, signal.SIG_DFL)
