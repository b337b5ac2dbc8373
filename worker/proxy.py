"""The way to the ledger: requests over kept-alive connections to the Blnk Cloud API (contract §1).

It decides nothing: it turns a request into a response, or into the reason why there is none, and is bounded in time
and in size. Writes follow no redirects; integers are exact both ways; any body is tolerated (contract §1.4).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, SSLError
from urllib3.exceptions import MaxRetryError as _MaxRetryError
from urllib3.exceptions import ProxyError as _ProxyError
from urllib3.filepost import encode_multipart_formdata

from blnk_relay import __version__
from blnk_relay.errors import InvalidSettings
from blnk_relay.intents.model import Failure, Request, Response
from blnk_relay.intents.rows import capped
from blnk_relay.settings import Settings

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
        # What follows "https://host" is the path, for only call() builds these URLs.
        return "/" + str(request.url).split("/", 3)[3]

    def build_response(self, _: requests.PreparedRequest, resp: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.headers, answer.raw = resp.status, resp.headers, resp
        return answer


class Proxy:
    """One target's HTTP API.

    Args:
        settings: Base URL, instance, credential, timeouts.

    Raises:
        InvalidSettings: The instance or the credential is missing, or the URL is not one.
    """

    def __init__(self, settings: Settings) -> None:
        for name, value in (("INSTANCE_ID", settings.instance_id), ("TOKEN", settings.token)):
            if not value:
                raise InvalidSettings(f"BLNK_RELAY_{name} is needed to post to the ledger (contract §1.1).")
        self._settings = settings
        self._base = settings.base_url.rstrip("/")
        self._verify: bool | str = settings.ca_bundle or True
        self._proxies = dict(requests.utils.get_environ_proxies(self._base))
        self._adapter = _Adapter(
            pool_connections=1, pool_maxsize=settings.connections + 2, max_retries=0, pool_block=False
        )
        try:
            prepared = requests.Request(
                "POST",
                self._base,
                headers={
                    "Authorization": f"Bearer {settings.token}",
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip, deflate",
                    "User-Agent": f"blnk-relay/{__version__}",
                },
            ).prepare()
        except (requests.RequestException, ValueError) as error:
            raise InvalidSettings(f"BLNK_RELAY_BASE_URL is no usable URL ({type(error).__name__}).") from None
        self._headers = dict(prepared.headers)

    def longest_s(self, *, sync: bool) -> float:
        """Longest time that one write may take, connecting included."""
        settings = self._settings
        return settings.connect_timeout_s + (settings.sync_read_timeout_s if sync else settings.read_timeout_s)

    def send(self, request: Request, request_id: str) -> Response:
        """Make one write below ``/proxy``; never raises for what the network does."""
        content_type = ""
        if request.file is None:
            body = json.dumps(request.body, ensure_ascii=False, separators=(",", ":")).encode()
        else:
            name, content = request.file
            parts: dict[str, str | tuple[str, bytes]] = {key: str(value) for key, value in request.body.items()}
            parts["file"] = (name, content)
            body, content_type = encode_multipart_formdata(parts)
        timeout_s = self._settings.sync_read_timeout_s if request.sync else self._settings.read_timeout_s
        return self.call(
            request.method,
            "/proxy" + request.path,
            {},
            body,
            request_id=request_id,
            timeout_s=timeout_s,
            content_type=content_type,
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
        """
        read_s = timeout_s or self._settings.read_timeout_s
        prepared = requests.PreparedRequest()
        prepared.method = method
        pairs = {"instance_id": self._settings.instance_id, **query}
        prepared.url = f"{self._base}{path}?{urlencode(pairs, quote_via=quote)}"
        # A plain dict: names have one spelling here, and folding their case twice is a tenth of a request's cost.
        headers = {**self._headers, "X-Request-Id": request_id, "Content-Length": str(len(body or b""))}
        prepared.headers = headers  # type: ignore[assignment]
        if content_type:
            headers["Content-Type"] = content_type
        prepared.body = body
        start_s = time.monotonic()
        try:
            answer = self._adapter.send(
                prepared,
                stream=True,
                timeout=(self._settings.connect_timeout_s, read_s),
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
    """The JSON object of a body, whatever its content type says; None when it is none (contract §1.4)."""
    try:
        value = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
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
