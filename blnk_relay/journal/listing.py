"""Going through the journal's sorted sets page by page: in order, several at once, with a bound on what is held.

A page is a list of ids. Time limits are left to Redis where the score of a set is the time at which an intent came into
its state; elsewhere they are for the reader of the statuses.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from blnk_relay.intents.states import TIMED, State
from blnk_relay.journal.connection import reported
from blnk_relay.journal.journal import Journal

T = TypeVar("T")

#: Ids in a page.
PAGE = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pages(
    journal: Journal,
    state: str,
    target: str | None,
    since: datetime | None,
    until: datetime | None,
    *,
    oldest_first: bool,
) -> Iterator[list[str]]:
    """Ids of the intents that may be in a state, by the scores of its sets.

    Args:
        journal: The journal.
        state: One of the states.
        target: Only of this ledger, where that tells sets apart; None for all.
        since: Where scores are times: not before this.
        until: Where scores are times: before this.
        oldest_first: Lowest scores first instead of highest.

    Yields:
        Pages that are not empty. What leaves the sets meanwhile makes none pass over another.
    """
    limits = _limits(since, until) if state in TIMED else _limits(None, None)
    members = [_members(journal, name, limits, oldest_first=oldest_first) for name in _sets(journal, state, target)]
    merged = heapq.merge(*members, key=lambda member: member[1], reverse=not oldest_first)
    return batched((id_ for id_, _ in merged), PAGE)


def matching(
    journal: Journal,
    ids: Sequence[str],
    wanted: Mapping[str, str],
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[str]:
    """Those of a page whose fields have the wanted values now, and that changed since one time and before another."""
    fields = [text for pair in wanted.items() for text in pair]
    found: list[str] = journal.scripts.run("matching", *_limits(since, until), len(wanted), *fields, *ids)
    return found


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _limits(since: datetime | None, until: datetime | None) -> tuple[str, str]:
    return _ms(since) if since else "-inf", _ms(until) if until else "+inf"


def _ms(moment: datetime) -> str:
    """The first whole millisecond that is not before a time."""
    return str(-((_EPOCH - moment) // timedelta(milliseconds=1)))


def _sets(journal: Journal, state: str, target: str | None) -> list[str]:
    """Names of the sets that hold the intents of a state."""
    if state not in (State.READY, State.SENDING):
        return [State.DONE if state == State.CANCELLED else state]
    with reported():
        if state == State.READY:
            queues: Any = journal.client.smembers(journal.key("queues"))
            return [f"ready:{queue}" for queue in sorted(queues) if target in (None, queue.partition("|")[2])]
        workers: Any = journal.client.zrange(journal.key("workers"), 0, -1)
        return [f"leased:{worker}" for worker in workers]


def _members(
    journal: Journal, name: str, limits: tuple[str, str], *, oldest_first: bool
) -> Iterator[tuple[str, float]]:
    """Ids of one set and their scores."""
    score, member = "", ""
    while True:
        flat = journal.scripts.run("page", name, "0" if oldest_first else "1", *limits, score, member, PAGE)
        if not flat:
            return
        for id_, at in zip(flat[::2], flat[1::2], strict=True):
            yield id_, float(at)
        member, score = flat[-2:]
