"""The ledger as the simulated system has it: the sandbox's own core and edge, called in process, by virtual time.

The real reading back (``LedgerOverHttp`` on ``Proxy``) stands before it; only the wire between is played here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from blnk_relay.intents.exchange import LEASE_OVER, Failure, Response
from blnk_relay.sandbox import Options
from blnk_relay.sandbox.books.frozen import Books
from blnk_relay.sandbox.clock import MANUAL_START_NS, SECOND_NS
from blnk_relay.sandbox.core import recovery
from blnk_relay.sandbox.core.rollback import roll_back
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.edge.exchange import Edge
from blnk_relay.sandbox.faults.kinds import Delivery, Fault, Subject
from blnk_relay.sandbox.faults.plans import Faults
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.instance import Instance
from blnk_relay.sandbox.routes.registry import build_routes
from blnk_relay.settings import Settings
from blnk_relay.targets import Target
from tests.simulation.clockwork import BEGIN_S, hub
from worker.ledger.wire import MORE_THAN_AN_ANSWER, _response

_ROUTES = build_routes()

#: What is answered to whoever comes second with a reference, where both have raced.
_LOST_A_RACE = b"Failed to record transaction"


@dataclass
class Delivered:
    """One write that has reached the ledger.

    Attributes:
        intent: Id of the intent that it was made for.
        at_s: When it arrived.
        status: What was answered.
        acted: Whether Core saw it.
    """

    intent: str
    at_s: float
    status: int
    acted: bool


class _Next(Faults):
    """Strikes the next request with what is said for it, where that makes sense for it."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.struck = False

    def decide(self, subject: Subject) -> Fault | None:
        fault, self.fault = self.fault, None
        self.struck = fault is not None and subject.suits(fault.kind.fits)
        return fault if self.struck else None


class SimLedger:
    """One ledger, with a clock that follows the hub's.

    Attributes:
        writes: All writes that have arrived, in order.
        left: Writes that have left a worker, by intent: whatever became of them.
    """

    def __init__(self, options: Options) -> None:
        self._next = _Next()
        self.instance = Instance.__new__(Instance)
        self.instance.elsewhere = False
        self.core = self.instance.core = Core(options, roll_back)
        recovery.start(self.core)
        self.edge = self.instance.edge = Edge(self.core, _ROUTES, self._next)
        self.writes: list[Delivered] = []
        self.left: dict[str, int] = {}

    def catch_up(self) -> None:
        """Let its own time pass up to now."""
        ahead_ns = int((hub().now_s - BEGIN_S) * SECOND_NS) - (self.core.clock.now_ns() - MANUAL_START_NS)
        if ahead_ns > 0:
            self.core.clock.step(ahead_ns / SECOND_NS)

    def act(self, request: WireRequest, fault: Fault | None) -> tuple[Any, bytes, Delivery]:
        """What it does with a request that has arrived: its answer, the bytes of it, and what becomes of them."""
        self.catch_up()
        self._next.fault, self._next.struck = fault, False
        exchange = self.edge.open(request)
        answer = self.edge.act(exchange)
        if fault is not None and fault.effects.race and _LOST_A_RACE not in answer.body:
            # Nobody was faster.
            self._next.struck = False
        self.edge.close(exchange, answer)
        return answer, answer.body, exchange.delivery

    @property
    def struck(self) -> bool:
        """Whether the last fault made sense for its request, and found what it befalls."""
        return self._next.struck

    def books(self) -> Books:
        """The books as they are now."""
        self.catch_up()
        return self.instance.books()


@dataclass
class Strike:
    """What befalls one exchange.

    Attributes:
        fault: Within the ledger or its edge.
        lose: ``unsent`` (nothing leaves), ``request`` (it does not arrive) or ``answer``.
        late_s: It arrives so much later, long after it was given up.
        doubled: More than one answer comes back.
        before: Called before anything leaves (a crash, a freeze).
        after: Called after it has arrived and before the answer is there.
        met: Called as it meets its fault, with whether it is struck by it: one that does not suit it befalls nothing.
    """

    fault: Fault | None = None
    lose: str = ""
    late_s: float = 0.0
    doubled: bool = False
    before: Callable[[], None] = field(default=lambda: None)
    after: Callable[[], None] = field(default=lambda: None)
    met: Callable[[bool], None] = field(default=lambda _: None)


class _Answer:
    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status_code, self.headers = status, headers


class SimWire:
    """In the place of :class:`worker.ledger.wire.Wire`.

    Attributes:
        ledger: The ledger of the run.
        strike: What befalls the next exchange: asked with whether it is a write, and how long its answer is waited for.
        intent: Whose write the current actor makes.
    """

    ledger: SimLedger
    strike: Callable[[bool, float], Strike]
    intent: Callable[[], str]

    def __init__(self, settings: Settings, _: Target) -> None:
        self._connect_s = settings.connect_timeout_s

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        read_s: float,
        start_by_s: float = float("inf"),
        alone: bool = False,  # noqa: ARG002 - the signature of the wire
        refusable: bool = False,  # noqa: ARG002
    ) -> Response:
        one, ledger = hub(), self.ledger
        write = method != "GET" and not path.partition("?")[0].endswith("/filter")
        strike = self.strike(write, read_s)
        intent = self.intent() if write else ""
        strike.before()
        one.sleep(one.random.random() * 0.004)
        begun_s = one.now_s
        if begun_s > start_by_s:
            return Response(code=LEASE_OVER, message="too late", failure=Failure.NOT_SENT)
        if strike.lose == "unsent":
            one.sleep(one.random.random() * self._connect_s)
            return Response(code="ConnectTimeout", message="no answer from the ledger", failure=Failure.NOT_SENT)
        place, _, query = path.partition("?")
        request = WireRequest(
            method=method,
            path=unquote(place),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in headers.items()},
            body=body or b"",
        )
        if write:
            ledger.left[intent] = ledger.left.get(intent, 0) + 1
        answer: Any = None

        def arrive() -> None:
            nonlocal answer
            answer = ledger.act(request, strike.fault)
            if strike.fault is not None:
                strike.met(ledger.struck)
            if write:
                acted = strike.fault is None or not ledger.struck or strike.fault.kind.acts
                ledger.writes.append(Delivered(intent, one.now_s, answer[0].status, acted))

        if strike.late_s:
            one.call(strike.late_s, arrive)
        elif strike.lose != "request":
            # What has left is on its way, whatever becomes of the process meanwhile.
            way_s = one.random.random() * 0.01
            one.call(way_s, arrive)
            one.sleep(way_s)
            strike.after()
            one.sleep(one.random.random() * 0.01)
        seconds = one.now_s - begun_s
        if answer is None or strike.lose == "answer" or answer[2] is not Delivery.SEND or strike.doubled:
            if answer is None or strike.lose == "answer":
                one.sleep(max(0.0, read_s - seconds))
            code = MORE_THAN_AN_ANSWER if strike.doubled else "ReadTimeout"
            return Response(
                code=code,
                message="no answer from the ledger",
                failure=Failure.BROKEN,
                latency_ms=int((one.now_s - begun_s) * 1000),
            )
        if seconds > read_s:
            return Response(code="ReadTimeout", message="late", failure=Failure.BROKEN, latency_ms=int(seconds * 1000))
        told, raw, _ = answer
        return _response(_Answer(told.status, told.headers), raw, int(seconds * 1000))  # type: ignore[arg-type]

    def rest(self) -> None:
        """There is nothing to close."""

    def close(self) -> None:
        """There is nothing to close."""
