"""Carrying out jobs, by workers: a small page at a time, each in one script, so that nothing is done twice.

Whoever has the lease of a job carries it out; when it falls silent another one takes over where the job stands in the
journal. A page is read, what needs the payload is prepared, and the script does it only where the job is still at that
place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.journal import Journal

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


def carry(journal: Journal, worker: str, page: int = PAGE) -> Carried:
    """Carry out one page of the job that is to be carried out now, if any, and if nobody else does.

    Args:
        journal: Whose.
        worker: Who carries it out.
        page: Most letters.

    Raises:
        JournalUnavailable: Redis did not answer; the page was done or not, and the next call goes on either way.
    """
    job, what, line, items = journal.scripts.run("next", worker, LEASE_MS, page)
    if not job:
        return Carried(more=False)
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
