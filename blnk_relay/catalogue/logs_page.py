"""The page of all lines in the log: ``python -m blnk_relay.catalogue.logs_page``."""

from __future__ import annotations

import logging
import sys

from blnk_relay.log import FIELDS, Event, events

_HEAD = """# Logs

A worker writes one line for each event on stderr; `BLNK_RELAY_LOG_FORMAT` chooses `human` or `json` (one object a
line, with `time`, `level`, `event`, `message` and the fields). The names of events and fields stay; sentences may
change. In both forms a line is one line, and no longer than some thousand characters.

With `BLNK_RELAY_LOG_LEVEL=info`, the default, a worker that is well says that it starts and that it ends. `debug` tells
each attempt and what it led to besides. What libraries say is held down to warnings, whatever the level is.

Never told are payloads, files, tokens, passwords, what the ledger said in words, and the texts of exceptions, which may
quote any of them: of an exception its type is told, and the places in the code that it came through. A code that looks
like none, `NOT_A_CODE`, is in the journal as it came: `blnk-relay show`. Keys and references are told as the
application chose them, so **keys and references must not be personal data**; where they are, set
`BLNK_RELAY_LOG_KEYS=false`, and intents are told by id alone.

A line that cannot be written, because nobody reads, the disk is full or stderr is closed, is lost and stops nothing;
`lines_lost` says how many were. An application that uses the library has a log of its own: there the same events go
through Python's `logging` under the loggers `blnk_relay.*`, with their names and fields as `relay_event` and
`relay_fields` of the record.
"""


def described() -> str:
    """All events and fields as Markdown tables; ``docs/logs.md`` is its output."""
    lines = [_HEAD, "## Events", "", "| event | level | line | fields besides | what it means |", "| --- " * 5 + "|"]
    lines += [_row(event) for event in events()]
    lines += ["", "## Fields", "", "Every line has `worker`; all others where the event has them.", ""]
    lines += ["| field | what it holds |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items()]
    return "\n".join(lines) + "\n"


def _row(event: Event) -> str:
    level = logging.getLevelName(event.level).lower()
    also = ", ".join(f"`{name}`" for name in event.also)
    return f"| `{event.name}` | {level} | {event.words} | {also} | {event.meaning} |"


if __name__ == "__main__":
    sys.stdout.write(described())
