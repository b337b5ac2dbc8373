"""Cloud's edge: who may enter, what it changes in a request, and which fault strikes (contract §1).

Free of sockets: a request goes in, an :class:`Exchange` comes out, and the application around it waits
and sends as the exchange says.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from .answers import Answer, MalformedRequestError, error_answer, json_answer, text_answer
from .core import NO_EFFECTS, Core
from .faults import Delivery, Fault, Subject
from .identity import identity_of
from .ids import new_id
from .plans import Faults
from .reads import unknown_path
from .routing import Route, RouteTable, Scope
from .wire import WireRequest, through_floats

#: A request may ask for its own fault: ``drop_after`` or ``delay_after;2.5``.
FAULT_HEADER = "x-sandbox-fault"

#: Requests kept in the log.
LOG_SIZE = 10_000

#: What Cloud fills in when a transaction names no precision (contract §1.5).
_INJECTED_PRECISION = 100

_CREATE_PATH = "/proxy/transactions"


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

    def __init__(self, core: Core, routes: RouteTable, faults: Faults) -> None:
        self.core = core
        self.routes = routes
        self.faults = faults
        self.log: deque[RequestSeen] = deque(maxlen=LOG_SIZE)

    def open(self, request: WireRequest) -> Exchange:
        """Let a request in or refuse it, and decide what goes wrong with it."""
        found = self.routes.find(request.method, request.path)
        if found is not None and not found[0].listed and not self.core.options.core_routes:
            found = None
        route: Route | None = None
        if found is not None:
            route, request.params = found
        refused = self._refusal(request, route)
        subject = self._subject(request, route)
        fault = None if refused is not None else self._fault(request, subject)
        if isinstance(fault, Answer):
            return Exchange(request, route, subject, None, fault)
        return Exchange(request, route, subject, fault, refused)

    def act(self, exchange: Exchange) -> Answer:
        """Have Core do its work, as far as the fault allows, and find the answer."""
        if exchange.refused is not None or exchange.route is None:
            return exchange.refused or unknown_path()
        fault = exchange.fault
        answer = Answer(0)
        if fault is None or fault.kind.acts:
            self._inject(exchange.request)
            effects = NO_EFFECTS if fault is None else fault.effects
            answer = exchange.route.handler(self.core, exchange.request, effects)
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

    def _refusal(self, request: WireRequest, route: Route | None) -> Answer | None:
        """The edge's own refusals; their status and body are a guess (contract §1.2)."""
        options = self.core.options
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return self._says(401, "AUTH_MISSING_API_KEY", "missing token")
        scopes = ("*",) if token == options.token else options.tokens.get(token)
        if scopes is None:
            return self._says(401, "AUTH_INVALID_API_KEY", "invalid or expired token")
        instance_id = request.query.get("instance_id", "")
        if not instance_id:
            return self._says(400, "GEN_MISSING_PARAMETER", "instance_id is required")
        if instance_id != options.instance_id:
            return self._says(404, "GEN_NOT_FOUND", "instance not found")
        if route is None:
            return unknown_path()
        if "*" not in scopes and route.scope.value not in scopes:
            return self._says(403, "AUTH_INSUFFICIENT_PERMISSIONS", f"the token lacks the scope {route.scope.value}")
        return None

    def _says(self, status: int, code: str, message: str) -> Answer:
        shape = self.core.options.edge_errors
        if shape == "text":
            return text_answer(status, message)
        body: dict[str, Any] = {"error": message}
        if shape == "error_detail":
            body["error_detail"] = {"code": code, "message": message}
        return json_answer(status, body)

    def _subject(self, request: WireRequest, route: Route | None) -> Subject:
        document = _object_of(request) if route is not None else {}
        reads = route is None or route.scope is not Scope.PROXY_WRITE
        queueable = route is not None and route.queueable
        skipped = document.get("skip_queue") is True
        return Subject(
            method=request.method,
            path=request.path,
            identity=self._identity(request, document),
            read=reads,
            queued=queueable and not skipped,
            skipped=queueable and skipped,
            hold=request.path.startswith("/proxy/transactions/inflight/"),
        )

    def _identity(self, request: WireRequest, document: dict[str, Any]) -> str:
        if request.path == _CREATE_PATH and request.method == "POST":
            return str(document.get("reference", ""))
        named = next(iter(request.params.values()), None)
        digest = ""
        if request.body:
            digest = "#" + hashlib.blake2b(request.body, digest_size=6).hexdigest()
        if named is None:
            return request.path + digest
        prefix = request.path[: request.path.index(named)] if named in request.path else request.path
        return f"{prefix}{identity_of(self.core.books, named)}{digest}"

    def _fault(self, request: WireRequest, subject: Subject) -> Fault | Answer | None:
        asked = request.headers.get(FAULT_HEADER)
        if asked is None:
            return self.faults.decide(subject)
        name, _, seconds = asked.partition(";")
        try:
            return Fault.of(name.strip(), float(seconds) if seconds else None)
        except ValueError as error:
            return error_answer("GEN_BAD_REQUEST", f"{FAULT_HEADER}: {error}")

    def _inject(self, request: WireRequest) -> None:
        """What Cloud does to a body on its way: defaults, and perhaps damage (contract §1.5, §6.3)."""
        options = self.core.options
        if request.method == "POST" and request.path == _CREATE_PATH and options.inject_defaults:
            document = _object_of(request)
            missing: dict[str, Any] = {}
            if document.get("precision") is None:
                missing["precision"] = _INJECTED_PRECISION
            if document.get("reference") is None:
                missing["reference"] = new_id("ref")
            if missing and document:
                request.replace_document({**document, **missing})
        if options.round_big_ints and request.body:
            try:
                request.replace_document(through_floats(request.document()))
            except MalformedRequestError:
                return


def _object_of(request: WireRequest) -> dict[str, Any]:
    """The body when it is a JSON object, else an empty one; never raises."""
    if not request.body:
        return {}
    try:
        document = request.document()
    except MalformedRequestError:
        return {}
    return document if isinstance(document, dict) else {}
