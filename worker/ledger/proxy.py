"""The way to one target: what a write or a read looks like there, and the credential that it carries (contract §1).

Through Blnk Cloud a write goes below ``/proxy``, names its instance and bears a token; a bare Core takes the same
routes without the prefix, and a key of its own (findings part 13).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from urllib3.filepost import encode_multipart_formdata

from blnk_relay.intents.exchange import Failure, Request, Response
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.verdict_table import KEYLESS
from blnk_relay.settings import Settings
from blnk_relay.targets import Target
from tasks.meter import Meter, status_class
from worker.ledger.credentials import Credentials, key_of
from worker.ledger.deadlines import sending_s
from worker.ledger.wire import Wire

#: Code of a request that was refused for its key, while a newer key is at hand: nothing happened, and it may go again.
KEY_CHANGED = "KEY_CHANGED"


class Proxy:
    """One target's HTTP API.

    Args:
        settings: Timeouts and the number of connections.
        target: The ledger; the default one when None.
        credentials: Who we are there; made of the target's key when None.
        meter: Told of each request; None where nobody measures.

    Raises:
        InvalidSettings: The instance or the credential is missing, or the URL is not one.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target | None = None,
        credentials: Credentials | None = None,
        meter: Meter | None = None,
    ) -> None:
        target = settings.ledgers[DEFAULT_TARGET] if target is None else target
        target.require()
        self._settings = settings
        self._wire = Wire(settings, target)
        self._credentials = credentials or key_of(target)
        self._target, self._meter = target.name, meter
        #: A Core without Cloud.
        self.bare = target.api == "core"
        #: Before the path of a route of Core.
        self.prefix = "" if self.bare else "/proxy"
        self._header, self._scheme = ("X-Blnk-Key", "") if self.bare else ("Authorization", "Bearer ")
        self._query = {} if self.bare else {"instance_id": target.instance_id}

    @property
    def ready_s(self) -> float:
        """Longest time before the first byte of a request leaves: for the credential and the connection."""
        return self._credentials.wait_s + self._settings.connect_timeout_s

    def longest_s(self, request: Request) -> float:
        """Longest time that one write may take, the credential and connecting included.

        It grows with the body, and with what the ledger has to do within the request: a caller that goes away stops
        it in the middle (contract §14.4).
        """
        size = 0
        if request.file is not None:
            size = len(request.file[1])
        elif request.work_s:
            size = len(_json(request.body))
        return self.ready_s + sending_s(size) + self._read_s(request)

    def _read_s(self, request: Request) -> float:
        settings = self._settings
        return (settings.sync_read_timeout_s if request.sync else settings.read_timeout_s) + request.work_s

    def send(self, request: Request, request_id: str, *, start_by_s: float) -> Response:
        """Make one write; never raises for what the network does.

        Args:
            request: What to write.
            request_id: Sent as ``X-Request-Id``.
            start_by_s: On :func:`blnk_relay.journal.clock.steady_s`: after that no first byte leaves, whatever the
                credential and the connection took, and the answer is ``LEASE_OVER``.
        """
        content_type = ""
        if request.file is None:
            body = _json(request.body)
        else:
            name, content = request.file
            parts: dict[str, str | tuple[str, bytes]] = {key: str(value) for key, value in request.body.items()}
            parts["file"] = (name, content)
            body, content_type = encode_multipart_formdata(parts)
        return self.call(
            request.method,
            self.prefix + request.path,
            {},
            body,
            request_id=request_id,
            timeout_s=self._read_s(request),
            content_type=content_type,
            start_by_s=start_by_s,
            alone=request.alone,
            side="write",
            refusable=True,
        )

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        *,
        request_id: str,
        timeout_s: float | None = None,
        content_type: str = "",
        start_by_s: float = float("inf"),
        alone: bool = False,
        side: str = "read",
        refusable: bool = False,
    ) -> Response:
        """Make one HTTP request and read its whole answer.

        Args:
            method: HTTP method.
            path: Absolute path, already quoted.
            query: Query parameters besides ``instance_id``.
            body: The bytes of the body, or None.
            request_id: Sent as ``X-Request-Id``, and kept in the attempt log.
            timeout_s: Longest wait for the whole answer; that of reads when None.
            content_type: Of the body, where it is not JSON.
            start_by_s: After that no first byte leaves.
            alone: Over a connection of its own.
            side: As which it is measured: ``write`` or ``read``.
            refusable: A refusal will be believed; see :meth:`worker.ledger.wire.Wire.exchange`.
        """
        key = self._credentials.current()
        if key is None:
            return Response(code=KEYLESS, message="no access token is at hand", failure=Failure.NOT_SENT)
        headers = {self._header: self._scheme + key.value, "X-Request-Id": request_id}
        if content_type:
            headers["Content-Type"] = content_type
        pairs = {**self._query, **query}
        full = f"{path}?{urlencode(pairs, quote_via=quote)}" if pairs else path
        read_s = timeout_s or self._settings.read_timeout_s
        answer = self._wire.exchange(
            method,
            full,
            headers,
            body,
            read_s=read_s,
            start_by_s=start_by_s,
            alone=alone,
            refusable=refusable,
        )
        if self._meter is not None:
            status = status_class(answer.status, answer.failure)
            self._meter.answered(self._target, side, status, answer.latency_ms / 1000)
        if answer.status == 401 and self._credentials.refused(key):  # noqa: PLR2004
            # Whoever is not let in has not acted; with the newer key the request may simply go again.
            return Response(
                code=KEY_CHANGED,
                message="refused for its key, and a newer one is at hand",
                failure=Failure.NOT_SENT,
                latency_ms=answer.latency_ms,
            )
        return answer

    def rest(self) -> None:
        """Close the connections that nobody uses."""
        self._wire.rest()

    def close(self) -> None:
        """Close all connections."""
        self._credentials.close()
        self._wire.close()


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
