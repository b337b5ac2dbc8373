"""Pages that follow what happens: one stream of server-sent events a page, and one look at the journals for all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from blnk_relay import JournalUnavailable, Operator, RelayError
from blnk_relay.journal.journals import asked_once
from worker.console.errands import Errands
from worker.console.hands import Hands

#: Between two looks at the journals, and longest time without word: ages grow also where nothing happens.
LOOK_S, STILL_S = 2.0, 15.0

#: Longest life of a stream; the browser begins a new one, which is asked who it is again.
_LIFE_S = 600.0

#: Most streams at a time.
MOST_STREAMS = 200


#: Jobs that are followed: the newest.
_MOST_JOBS = 10


class Pulse:
    """Looks at the journals every few seconds for as long as a page is open somewhere, once for all of them.

    Args:
        hands: Threads to look with.
        operator: Looks.
        errands: Are looked at besides.
    """

    def __init__(self, hands: Hands, operator: Operator, errands: Errands) -> None:
        self._hands = hands
        self._operator = operator
        self._errands = errands
        self._looking: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.seen = ""
        self.streams = 0

    async def changed(self, seen: str) -> str:
        """Wait until something has changed, or a look's time has gone by; what there is now, as a fingerprint."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        if seen not in ("", self.seen):
            return self.seen
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), LOOK_S)
        return self.seen

    async def _look(self) -> None:
        while self.streams:
            try:
                seen = await self._hands.do(lambda: fingerprint(self._operator, self._errands))
            except RelayError as error:
                seen = type(error).__name__
            if seen != self.seen:
                self.seen = seen
                self._changed.set()
                self._changed = asyncio.Event()
            await asyncio.sleep(LOOK_S)


@asked_once()
def fingerprint(operator: Operator, errands: Errands) -> str:
    """Changes when anything does that a page shows, but for ages."""
    going = [(one.id, one.state, one.steps, one.said) for one in errands.all()]
    try:
        overview = operator.overview()
    except JournalUnavailable:
        return _digest(("away", going))
    seen = (
        overview.counts,
        [(lane.lane, lane.target, lane.due, lane.later, lane.pause) for lane in overview.lanes],
        (overview.waiting, overview.sending, overview.posted, overview.done, overview.dead, overview.discarded),
        [(gate.target, gate.side, gate.state, gate.code, gate.manual, gate.rate) for gate in overview.gates],
        (overview.workers, overview.away),
        [(job.id, job.state, job.done, job.refused) for job in operator.jobs(most=_MOST_JOBS)],
        [action.id for action in operator.actions(most=1)],
        going,
    )
    return _digest(seen)


def _digest(seen: object) -> str:
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def stream(request: Request, pulse: Pulse, lasting: Callable[[], bool]) -> Response:
    """Events of one page: ``changed`` when it should look again.

    Args:
        request: The page's.
        pulse: Looks at the journals.
        lasting: Whether whoever asks is still signed in.
    """
    if pulse.streams >= MOST_STREAMS:
        return Response("", 503, {"Retry-After": "30"})
    return StreamingResponse(_events(request, pulse, lasting), media_type="text/event-stream")


async def _events(request: Request, pulse: Pulse, lasting: Callable[[], bool]) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    now_s = loop.time()
    # Whoever comes back has perhaps missed something, and whoever is the first as well: nobody has looked before.
    watched = pulse.seen if pulse.streams else ""
    end_s, told_s, told = now_s + _LIFE_S, now_s, request.headers.get("last-event-id", watched)
    pulse.streams += 1
    try:
        yield "retry: 2000\n: nothing has happened yet\n\n"
        seen = watched or told
        while loop.time() < end_s and not await request.is_disconnected():
            if seen != told or loop.time() - told_s >= STILL_S:
                yield f"event: changed\nid: {seen}\ndata: {seen}\n\n"
                told_s = loop.time()
                if not lasting():
                    return
            told = seen
            seen = await pulse.changed(seen)
    finally:
        pulse.streams -= 1
