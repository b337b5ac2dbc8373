"""How a worker writes its log: one line an event, for people or as JSON, and never in the way of the work.

Lines are handed to a thread that writes them, so that a pipe which nobody reads, a full disk or a closed stderr costs
lines and no time; how many were lost is told with the next that can be written. What libraries say is told without the
values that they would fill in, and no exception by its text.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import socket
import sys
import threading
import time
import warnings
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from celery import signals

from blnk_relay.log import CHOSEN, LIBRARY, LOST_LINES, THREAD_FAILED, one_line, tell, types_of, way_of
from blnk_relay.settings import Settings

#: Whose lines are told at the level of the settings; all others only from a warning on.
OURS = ("blnk_relay", "worker", "tasks")

#: Lines that wait to be written; more are lost, and counted.
MOST_WAITING = 2_000

#: Longest wait for what is not written yet when a process ends.
_FAREWELL_S = 1.0

_log = logging.getLogger(__name__)


class Lines(logging.Formatter):
    """Makes a line of a record.

    Args:
        form: ``human`` or ``json``.
        keys: Whether keys and references are told.
    """

    def __init__(self, form: str, *, keys: bool) -> None:
        super().__init__()
        self._json = form == "json"
        self._left_out = frozenset() if keys else CHOSEN
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        """One line; its text never holds what is not in the table of fields."""
        event, given, words = told_of(record)
        fields = {"worker": f"{self._host}:{os.getpid()}"}
        fields |= {name: value for name, value in given.items() if name not in self._left_out}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level = record.levelname
        if self._json:
            return json.dumps({"time": at, "level": level.lower(), "event": event, "message": words, **fields})
        beside = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
        return f"{at} {level} {event}: {words} [{beside}]"


def told_of(record: logging.LogRecord) -> tuple[str, dict[str, Any], str]:
    """The event, fields and sentence of a record; one that did not come through our table is a library's."""
    event = getattr(record, "relay_event", None)
    if isinstance(event, str):
        return event, dict(record.relay_fields), record.getMessage()  # type: ignore[attr-defined]
    fields: dict[str, Any] = {"logger": one_line(record.name, 100), "place": f"{record.filename}:{record.lineno}"}
    if record.args and isinstance(record.msg, str):
        # Only then it is a pattern; without values to fill in, they stand in it already.
        fields["template"] = one_line(record.msg, 200)
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error is not None:
        fields |= {"error": types_of(error), "trace": way_of(error)}
    shown = {"template": "", **fields}
    return LIBRARY.name, fields, LIBRARY.words.format_map(shown).removesuffix(": ")


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "[]=') else text


class Writer(logging.Handler):
    """Hands lines to a thread that writes them.

    Args:
        stream: Where to; what has no file behind it, or is None, loses all lines.
        most: See MOST_WAITING.
    """

    def __init__(self, stream: TextIO | None, most: int = MOST_WAITING) -> None:
        super().__init__()
        self._file = _descriptor(stream)
        self._most = most
        self._begin()

    def _begin(self) -> None:
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._lost = 0
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; never waits for whoever reads it, and never raises."""
        if self._file is None:
            return
        try:
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        except Exception:  # noqa: BLE001 - whatever a library logs, it is not worth the work it comes from
            self._lost += 1
            return
        with self._changed:
            if len(self._lines) >= self._most:
                self._lost += 1
                return
            self._lines.append(line)
            self._start()
            self._changed.notify()

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or Python is ending: the next line, or the end, tries again
            return
        self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                while not self._lines:
                    self._changed.wait()
                self._busy = True
                line = self._lines.popleft()
            self._write(line)

    def _write(self, line: bytes) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            line = self._told_lost(lost) + line
        while line:
            try:
                line = line[os.write(self._file, line) :]  # type: ignore[arg-type] # there is one, or nothing was taken
            except BlockingIOError:
                time.sleep(0.05)
            except (OSError, ValueError):
                self._lost += lost + 1
                return

    def _told_lost(self, lost: int) -> bytes:
        record = _log.makeRecord(_log.name, LOST_LINES.level, "", 0, "%s", (), None)
        record.relay_event, record.relay_fields = LOST_LINES.name, {"count": lost}
        record.msg, record.args = LOST_LINES.words.format(count=lost), ()
        return (self.format(record) + "\n").encode()

    def flush(self) -> None:
        """Wait for what was taken, but not for long: a process must end though nobody reads."""
        end_s = time.monotonic() + _FAREWELL_S
        with self._changed:
            while (self._lines or self._busy) and self._thread is not None:
                left_s = end_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    return

    def forked(self) -> None:
        """A child has no thread of its parent's, and none of its lines."""
        self.createLock()
        self._begin()


def _descriptor(stream: TextIO | None) -> int | None:
    """A copy of the file of a stream, so that nobody who closes that has us write into what comes in its place."""
    try:
        return None if stream is None else os.dup(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None


_writer: Writer | None = None


def begin(settings: Settings, stream: TextIO | None = None) -> Writer:
    """Have this process, and those that are forked from it, log as the settings say.

    Args:
        settings: Format, level, and whether keys are told.
        stream: Where to; stderr when None.
    """
    global _writer  # noqa: PLW0603 - one for each process
    end()
    writer = Writer(sys.stderr if stream is None else stream)
    writer.setFormatter(Lines(settings.log_format, keys=settings.log_keys))
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(settings.log_level.upper())
    warnings.showwarning = _warned
    threading.excepthook = _thread_failed
    _writer = writer
    return writer


def end() -> None:
    """Write what was taken, and take nothing more."""
    global _writer
    used, _writer = _writer, None
    if used is not None:
        used.flush()
        logging.getLogger().removeHandler(used)


def flush() -> None:
    """Write what was taken: the process is about to become another program, or to end at once."""
    if _writer is not None:
        _writer.flush()


def _warned(  # noqa: PLR0917 - as Python calls it
    message: Warning | str,  # noqa: ARG001 - it may quote values
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """A warning of a library: of which sort, and where it comes from."""
    tell(_log, LIBRARY, logger="warnings", place=f"{Path(filename).name}:{lineno}", template=category.__name__)


def _thread_failed(given: threading.ExceptHookArgs) -> None:
    """Python's own would print the text of the exception."""
    if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
        tell(_log, THREAD_FAILED, failed=given.exc_value)


@signals.setup_logging.connect
def _stays(**_: Any) -> None:
    """Celery sets nothing up where somebody hears this: it is set up already, or by whoever started Celery by hand."""


def _forked() -> None:
    if _writer is not None:
        _writer.forked()


os.register_at_fork(after_in_child=_forked)
atexit.register(flush)
