"""Cloud's edge: who may enter, what it changes in a request, and which fault strikes (contract §1).

Free of sockets: a request goes in, an :class:`Exchange` comes out, and the application around it waits
and sends as the exchange says.
"""

from __future__ import annotations

import html
from collections import deque
from dataclasses import dataclass, replace

from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.edge.admission import KEY_HEADER, cloud_refusal, core_refusal
from blnk_relay.sandbox.edge.injection import inject, object_of
from blnk_relay.sandbox.edge.subject import request_identity
from blnk_relay.sandbox.faults.effects import NO_EFFECTS, Effects
from blnk_relay.sandbox.faults.kinds import Delivery, Fault, Subject
from blnk_relay.sandbox.faults.plans import Faults
from blnk_relay.sandbox.http.answers import Answer, error_answer, unknown_path
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.routes.registry import Routes
from blnk_relay.sandbox.routes.routing import Route, Scope

#: A request may ask for its own fault: ``drop_after`` or ``delay_after;2.5``.
FAULT_HEADER = "x-sandbox-fault"

#: Requests kept in the log.
LOG_SIZE = 10_000

#: Paths that only Cloud has, whatever a request carries.
_CLOUD_PREFIXES = ("/proxy/", "/data/", "/oauth/")

#: What Cloud cuts off a path before Core sees it.
_PROXY = "/proxy"

_TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One line of the request log.

    Attributes:
        method: In capitals.
        path: As sent.
        status: What was answered, 0 when the connection was closed instead.
        fault: The fault that struck, if any.
        request_id: What the client called the attempt.
        identity: The reference the request was about.
        at_ns: When it was answered, on the sandbox's clock.
    """

    method: str
    path: str
    status: int
    fault: str | None
    request_id: str | None
    identity: str
    at_ns: int


@dataclass(slots=True)
class Exchange:
    """One request on its way through: what still has to happen to it."""

    request: WireRequest
    route: Route | None
    subject: Subject
    fault: Fault | None
    refused: Answer | None
    #: It came in the shape of a bare Core, without Cloud.
    bare: bool = False

    @property
    def effects(self) -> Effects:
        """What goes wrong behind the answer."""
        return NO_EFFECTS if self.fault is None else self.fault.effects

    @property
    def wait_before_s(self) -> float:
        """Seconds to wait before Core acts."""
        return self.fault.seconds if self.fault is not None and self.fault.kind.wait_before else 0.0

    @property
    def wait_after_s(self) -> float:
        """Seconds to wait before the answer is sent."""
        return self.fault.seconds if self.fault is not None and self.fault.kind.wait_after else 0.0

    @property
    def delivery(self) -> Delivery:
        """What becomes of the answer."""
        return Delivery.SEND if self.fault is None else self.fault.kind.delivery


class Edge:
    """The edge before one Core.

    Args:
        core: What it passes requests on to.
        routes: What it knows.
        faults: What goes wrong; may be replaced while it runs.
    """

    def __init__(self, core: Core, routes: Routes, faults: Faults) -> None:
        self.core = core
        #: Core is another process, so nothing can go wrong inside it on purpose.
        self.effects_elsewhere = False
        self.routes = routes
        self.faults = faults
        self.log: deque[RequestSeen] = deque(maxlen=LOG_SIZE)

    def open(self, request: WireRequest) -> Exchange:
        """Let a request in or refuse it, and decide what goes wrong with it."""
        bare = self._is_bare(request)
        found = (self.routes.core if bare else self.routes.cloud).find(request.method, request.path)
        if found is not None and not found[0].exists(self.core.options):
            found = None
        route: Route | None = None
        if found is not None:
            route, request.params = found
        refused = (core_refusal if bare else cloud_refusal)(self.core, request, route)
        if route is not None and request.path.endswith("/") and (bare or refused is None):
            # Core's router answers before it asks for a key.
            route, refused = None, moved(request, "" if bare else _PROXY)
        subject = self._subject(request, route)
        fault = None if refused is not None else self._fault(request, subject)
        if isinstance(fault, Answer):
            fault, refused = None, fault
        if fault is not None and self.effects_elsewhere and fault.effects != NO_EFFECTS:
            fault = None
        return Exchange(request, route, subject, fault, refused, bare=bare)

    def act(self, exchange: Exchange) -> Answer:
        """Have Core do its work, as far as the fault allows, and find the answer."""
        answer = self.before(exchange)
        if answer is None and exchange.route is not None:
            answer = exchange.route.handler(self.core, exchange.request, exchange.effects)
        return self.after(exchange, answer or unknown_path())

    def before(self, exchange: Exchange) -> Answer | None:
        """What is answered without Core; None when Core is to act, on a request that is ready for it."""
        if exchange.refused is not None or exchange.route is None:
            return exchange.refused or unknown_path()
        if exchange.fault is not None and not exchange.fault.kind.acts:
            return Answer(0)
        if not exchange.bare:
            inject(self.core.options, exchange.request)
        return None

    def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """What is made of Core's answer on its way back."""
        fault = exchange.fault
        if fault is None or fault.kind.answer is None:
            return answer
        replaced = fault.kind.answer(fault.seconds)
        # A kind without a status of its own only replaces the body.
        return replace(replaced, status=replaced.status or answer.status)

    def close(self, exchange: Exchange, answer: Answer) -> None:
        """Write the exchange into the log."""
        request = exchange.request
        dropped = exchange.delivery is Delivery.DROP
        self.log.append(
            RequestSeen(
                method=request.method,
                path=request.path,
                status=0 if dropped else answer.status,
                fault=None if exchange.fault is None else exchange.fault.kind.name,
                request_id=request.request_id,
                identity=exchange.subject.identity,
                at_ns=self.core.clock.now_ns(),
            )
        )

    def _is_bare(self, request: WireRequest) -> bool:
        """Whether a request is meant for a bare Core: it has its key, or neither a token nor Cloud's path."""
        if request.path.startswith(_CLOUD_PREFIXES):
            return False
        if KEY_HEADER in request.headers:
            # Cloud takes the header too, and names its instance in every request; a Core has none.
            return "instance_id" not in request.query
        if "authorization" in request.headers:
            return False
        return self.routes.cloud.find(request.method, request.path) is None

    def _subject(self, request: WireRequest, route: Route | None) -> Subject:
        document = object_of(request) if route is not None else {}
        # A new token has an effect too: the old refresh token dies.
        writes = route is not None and (route.scope is Scope.PROXY_WRITE or route.pattern == _TOKEN_PATH)
        queueable = route is not None and route.queueable
        skipped = document.get("skip_queue") is True
        return Subject(
            method=request.method,
            path=request.path,
            identity=request_identity(self.core.books, request, route, document),
            read=not writes,
            queued=queueable and not skipped,
            skipped=queueable and skipped,
            together=queueable and skipped and document.get("atomic") is True,
            atomic=queueable and skipped and document.get("atomic") is True and "transactions" in document,
            hold=route is not None and "/transactions/inflight/" in route.pattern,
        )

    def _fault(self, request: WireRequest, subject: Subject) -> Fault | Answer | None:
        asked = request.headers.get(FAULT_HEADER)
        if asked is None:
            return self.faults.decide(subject)
        name, _, seconds = asked.partition(";")
        try:
            return Fault.of(name.strip(), float(seconds) if seconds else None)
        except ValueError as error:
            return error_answer("GEN_BAD_REQUEST", f"{FAULT_HEADER}: {error}")


def moved(request: WireRequest, prefix: str) -> Answer:
    """What Core says of a path with a slash too many at its end: another status for what may be repeated (measured).

    Args:
        request: The request.
        prefix: What was cut off its path on the way to Core.
    """
    path = request.path.removeprefix(prefix).rstrip("/")
    if request.method != "GET":
        return Answer(307, b"", {"Location": path})
    page = f'<a href="{html.escape(path)}">Moved Permanently</a>.\n\n'
    return Answer(301, page.encode(), {"Location": path, "Content-Type": "text/html; charset=utf-8"})
