"""Carrying out jobs, by workers: a small page at a time, each in one script, so that nothing is done twice.

Whoever has the lease of a job carries it out; when it falls silent another one takes over where the job stands in the
journal. A page is read, what needs the payload is prepared, and the script does it only where the job is still at that
place. A job that has parts in several journals is stopped in all of them: where one was away when somebody said so,
whoever carries its part out finds that word in the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.connection import reported
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import asked_once, reached

#: Letters of one page.
PAGE = 25

#: Bytes of bodies from which a page holds no more letters, and where its body stands in what is told of a letter.
_MOST_BYTES, _BODY = 1_000_000, 4

#: For how long a worker that says nothing more is believed to carry a job out.
LEASE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of one page.

    Attributes:
        more: There is more to be done by this worker.
        bells: Lanes to ring.
    """

    more: bool
    bells: tuple[str, ...] = ()


def _unstopped(_job: str, _targets: Sequence[str]) -> str:
    return ""


def carry(
    journal: Journal, worker: str, page: int = PAGE, stopped: Callable[[str, Sequence[str]], str] = _unstopped
) -> Carried:
    """Carry out one page of the job that is to be carried out now, if any, and if nobody else does.

    Args:
        journal: Whose.
        worker: Who carries it out.
        page: Most letters.
        stopped: Whether a job was stopped in another journal, by its name and all targets that have a part of it: the
            action of who said so, empty for nobody. It may take as long as one wait for a Redis.

    Raises:
        JournalUnavailable: Redis did not answer; the page was done or not, and the next call goes on either way.
    """
    job, what, line, items, targets = journal.scripts.run("next", worker, LEASE_MS, page)
    if not job:
        return Carried(more=False)
    if word := stopped(job, [target for target in targets.split(",") if target not in ("", journal.target)]):
        journal.scripts.run("job", "stop", job, word)
        return Carried(more=True)
    arguments: list[str] = []
    size = 0
    for item in items:
        prepared = _prepared(journal, item, what)
        arguments += prepared
        size += len(prepared[_BODY])
        if size > _MOST_BYTES:
            break
    state, _, bells = journal.scripts.run(
        "carry",
        job,
        worker,
        journal.settings.events_max,
        int(journal.settings.deadline_s * 1000),
        json.dumps({"at": journal.now_ms(), **json.loads(line)}, ensure_ascii=False),
        *arguments,
    )
    # Behind one that is done there may be the next.
    return Carried(state in ("running", "done"), tuple(bells))


def stop_said(journals: Iterable[Journal], job: str) -> str:
    """The action of who stopped a job, by what journals say of it that answer; empty where none has heard of that.

    Args:
        journals: Those that have other parts of it. Of several that are silent all are waited for at the same time.
        job: Its name.
    """

    def said(journal: Journal) -> str:
        with reported(variable=journal.variable):
            word: Any = journal.client.hget(journal.key(f"job:{job}"), "stop")
        return word or ""

    with asked_once(), suppress(JournalUnavailable):
        return next((word for _, word in reached(journals, said) if word), "")
    return ""


def _prepared(journal: Journal, item: str, what: str) -> Sequence[str]:
    """A letter as the script takes it; one that cannot be prepared is refused, and the others are done."""
    id_, way, life = item.split(" ", 2)
    if what != "replay" or way != "fresh":
        return (item, "", "", "", "", "")
    try:
        renewal = journal.renewal(id_, int(life.partition("|")[0]))
    except JournalUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever stands there, the others are done
        return (item, type(error).__name__, "", "", "", "")
    return (item, "", *renewal.encoded().values())
