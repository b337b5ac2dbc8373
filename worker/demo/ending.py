"""The end of a program that has started others: however it is told to, they end with it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
