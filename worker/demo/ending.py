"""The end of a program that has started others: however it is told to, they end with it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Between two tries to be heard, in seconds: an exception that is raised while something is given back is swallowed.
_AGAIN_S = 0.5


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
    told: list[SystemExit] = []

    def end(number: int, _frame: FrameType | None) -> None:
        if not told:
            told.append(SystemExit(128 + number))
            # Whoever closes a terminal sends several, and what ends meanwhile should not be interrupted.
            for sort in asked:
                signal.signal(sort, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
        if not _is_handled(told[0]):
            raise told[0]

    for sort in asked:
        signal.signal(sort, end)
    former = signal.signal(signal.SIGALRM, end)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        for sort in asked:
            signal.signal(sort, signal.SIG_DFL)


def _is_handled(error: BaseException) -> bool:
    """Whether the program already ends by it, and gives back what it has."""
    handled = sys.exception()
    while handled is not None and handled is not error:
        handled = handled.__context__
    return handled is error
