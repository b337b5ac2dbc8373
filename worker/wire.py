"""Kept-alive connections to one host: bytes out, an answer or the reason why there is none; bounded in time and size.

It decides nothing. Redirects are not followed; integers are exact; any body is tolerated (contract §1.4).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, SSLError
from urllib3.exceptions import MaxRetryError as _MaxRetryError
from urllib3.exceptions import ProxyError as _ProxyError

from blnk_relay import __version__
from blnk_relay.errors import InvalidSettings
from blnk_relay.intents.model import Failure, Response
from blnk_relay.intents.rows import capped
from blnk_relay.settings import Settings
from blnk_relay.targets import Target

#: Largest answer that is read: a page of the Filters API is a hundred rows of at most 8,000 bytes.
MAX_ANSWER_BYTES = 8 * 1024 * 1024

_CHUNK = 65_536


class _Adapter(HTTPAdapter):
    """An adapter for one host, through the hooks that requests has for this: it does once what is the same each time.

    Looking up the pool, taking the path out of the URL, and the cookies and encodings of answers that have neither are
    a fifth of the cost of a request.
    """

    _pool: Any = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        if proxies:
            return super().request_url(request, proxies)
        # What follows "https://host" is the path, for only exchange() builds these URLs.
        return "/" + str(request.url).split("/", 3)[3]

    def build_response(self, _: requests.PreparedRequest, resp: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.headers, answer.raw = resp.status, resp.headers, resp
        return answer


class Wire:
    """Connections of one process to one target, and to nobody else.

    Args:
        settings: Timeouts and the number of connections.
        target: Its address and the authorities to trust.

    Raises:
        InvalidSettings: The address is no URL.
    """

    def __init__(self, settings: Settings, target: Target) -> None:
        self.base = target.base_url.rstrip("/")
        self._connect_s = settings.connect_timeout_s
        self._verify: bool | str = target.ca_bundle or True
        self._proxies = dict(requests.utils.get_environ_proxies(self.base))
        self._adapter = _Adapter(
            pool_connections=1, pool_maxsize=settings.connections + 2, max_retries=0, pool_block=False
        )
        try:
            prepared = requests.Request(
                "POST",
                self.base,
                headers={
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip, deflate",
                    "User-Agent": f"blnk-relay/{__version__}",
                },
            ).prepare()
        except (requests.RequestException, ValueError) as error:
            raise InvalidSettings(
                f"{target.variable('base_url')} is not a usable URL ({type(error).__name__})."
            ) from None
        self._headers = dict(prepared.headers)

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, *, read_s: float
    ) -> Response:
        """Make one HTTP request and read its whole answer; never raises for what the network does.

        Args:
            method: HTTP method.
            path: Absolute path with its query, already quoted.
            headers: Besides those of every request; they win.
            body: The bytes of the body, or None.
            read_s: Longest wait for the whole answer.
        """
        prepared = requests.PreparedRequest()
        prepared.method = method
        prepared.url = self.base + path
        # A plain dict: names have one spelling here, and folding their case twice is a tenth of a request's cost.
        prepared.headers = {  # type: ignore[assignment]
            **self._headers,
            "Content-Length": str(len(body or b"")),
            **headers,
        }
        prepared.body = body
        start_s = time.monotonic()
        try:
            answer = self._adapter.send(
                prepared,
                stream=True,
                timeout=(self._connect_s, read_s),
                verify=self._verify,
                proxies=self._proxies,
            )
        except requests.RequestException as error:
            return Response(
                code=type(error).__name__,
                message="no answer from the ledger",
                failure=Failure.NOT_SENT if _never_left(error) else Failure.BROKEN,
                latency_ms=_since_ms(start_s),
            )
        try:
            raw = self._read(answer, start_s + read_s)
        except (HTTPError, OSError, TimeoutError) as error:
            # The answer broke off: a status alone proves nothing.
            answer.close()
            return Response(
                code=type(error).__name__,
                message=f"the answer broke off after status {answer.status_code}",
                failure=Failure.BROKEN,
                latency_ms=_since_ms(start_s),
            )
        return _response(answer, raw, _since_ms(start_s))

    @staticmethod
    def _read(answer: requests.Response, end_s: float) -> bytes:
        """Read the whole body, bounded in size and in time: a server that drips bytes must not hold a thread."""
        parts: list[bytes] = []
        size = 0
        # read1 gives what has come; read would wait for a whole chunk, each byte of it with a timeout of its own.
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise OSError("answer too large")
            if time.monotonic() > end_s:
                raise TimeoutError("answer too slow")
        return b"".join(parts)

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()


def _since_ms(start_s: float) -> int:
    return int((time.monotonic() - start_s) * 1000)


def _never_left(error: requests.RequestException) -> bool:
    """Whether a request certainly never left this machine (contract §5, last rows)."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.InvalidURL):
        return True
    reason = error.args[0] if error.args else None
    if isinstance(reason, _MaxRetryError):
        reason = reason.reason
    if isinstance(reason, _ProxyError):
        # urllib3 says "unable to connect to proxy" also of a connection that broke after the request had gone out.
        reason = reason.original_error
        if str(reason).startswith("Tunnel connection failed"):
            return True
    # TLS is agreed on before the first byte of a request; an SSL error later on is a protocol error.
    if isinstance(reason, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(reason):
        return True
    return isinstance(reason, ConnectTimeoutError | NewConnectionError | NameResolutionError)


def _response(answer: requests.Response, raw: bytes, latency_ms: int) -> Response:
    body = _object(raw)
    detail = body.get("error_detail") if body is not None else None
    code = message = ""
    if isinstance(detail, dict):
        code, message = str(detail.get("code") or ""), str(detail.get("message") or "")
    if body is not None and not message:
        message = str(body.get("error") or body.get("errors") or "")
    return Response(
        status=answer.status_code,
        code=code[:64],
        message=capped(message),
        body=body,
        has_errors=bool(body and "errors" in body),
        retry_after_s=_retry_after_s(answer.headers.get("Retry-After")),
        latency_ms=latency_ms,
    )


def _object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object of a body, whatever its content type says; None when it is none (contract §1.4).

    An array is the ``data`` of one.
    """
    try:
        value = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        # Core's own filter answers a bare array (docs/ledger-findings.md D13).
        return {"data": value}
    return value if isinstance(value, dict) else None


def _retry_after_s(text: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header; the form with a date is read as well."""
    text = (text or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
