"""Kept-alive connections to one host: bytes out, an answer or the reason why there is none; bounded in time and size.

It decides nothing. Redirects are not followed; integers are exact; any body is tolerated (contract §1.4). How long an
exchange may take, and when its first byte may leave, is kept in :mod:`worker.ledger.deadlines`.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from queue import Empty, Full
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from blnk_relay import __version__
from blnk_relay.errors import InvalidSettings
from blnk_relay.intents.exchange import LEASE_OVER, Failure, Response
from blnk_relay.intents.rows import capped
from blnk_relay.journal.clock import steady_s
from blnk_relay.settings import Settings
from blnk_relay.targets import Target
from worker.ledger.deadlines import Exchange, SpokeFirst, TooLate, timed
from worker.ledger.in_step import is_in_step

#: Largest answer that is read: a page of the Filters API is a hundred rows of at most 8,000 bytes.
MAX_ANSWER_BYTES = 8 * 1024 * 1024

#: Most values in an answer that is read: such a page has fewer bytes, but for what is escaped in them. An empty object
#: takes three bytes of an answer and sixty of memory, so the size alone would bound too little.
MOST_VALUES = 1_000_000

#: Code of an answer that was followed by more than itself: nobody knows which of the two was ours.
MORE_THAN_AN_ANSWER = "MORE_THAN_AN_ANSWER"

#: Code of an answer that only announces another (1xx); where that one would be read later, it would be a stranger's.
NOT_THE_LAST_ANSWER = "NOT_THE_LAST_ANSWER"

#: Code of a refusal on a kept connection of which nobody can tell whether it was said to an earlier request.
NOT_TOLD_APART = "NOT_TOLD_APART"

_CHUNK = 65_536

#: Headers that hold a credential, behind the last blank; and the fewest letters of one.
_CREDENTIALS = ("Authorization", "X-Blnk-Key")
_LEAST_CREDENTIAL = 8


class _Adapter(HTTPAdapter):
    """An adapter for one host, through the hooks that requests has for this: it does once what is the same each time.

    Looking up the pool, taking the path out of the URL, and the cookies and encodings of answers that have neither are
    a fifth of the cost of a request.
    """

    _pool: Any = None

    def __init__(self, size: int, *, kept: bool) -> None:
        super().__init__(pool_connections=1, pool_maxsize=size, max_retries=0, pool_block=False)
        self._making = threading.Lock()
        self._kept = kept

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        if self._pool is None:
            with self._making:
                if self._pool is None:
                    self._pool = timed(super().get_connection_with_tls_context(*args, **kwargs), kept=self._kept)
        return self._pool

    def rest(self) -> None:
        """Close what is idle in the pool, and leave it as it was made: with a place for each connection."""
        idle = None if self._pool is None else self._pool.pool
        if idle is None:
            return
        places = 0
        with suppress(Empty):
            while True:
                connection = idle.get(block=False)
                places += 1
                if connection is not None:
                    connection.close()
        # Some may have been given back meanwhile.
        with suppress(Full):
            for _ in range(places):
                idle.put(None, block=False)

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        if proxies:
            return super().request_url(request, proxies)
        # What follows "https://host" is the path, for only exchange() builds these URLs.
        return "/" + str(request.url).split("/", 3)[3]

    def build_response(self, _: requests.PreparedRequest, resp: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.headers, answer.raw = resp.status, resp.headers, resp
        return answer


def headers_to(target: Target) -> dict[str, str]:
    """What every request to a target says of itself.

    Raises:
        InvalidSettings: The address is no URL.
    """
    try:
        prepared = requests.Request(
            "POST",
            target.base_url.rstrip("/"),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "User-Agent": f"blnk-relay/{__version__}",
            },
        ).prepare()
    except (requests.RequestException, ValueError) as error:
        raise InvalidSettings(f"{target.variable('base_url')} is not a usable URL ({type(error).__name__}).") from None
    return dict(prepared.headers)


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
        self._proxy_secrets = secrets_of(str(requests.utils.select_proxy(self.base, self._proxies) or ""))
        self._adapter = _Adapter(settings.connections + 2, kept=True)
        self._alone = _Adapter(settings.connections + 2, kept=False)
        self._headers = headers_to(target)

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        read_s: float,
        start_by_s: float = float("inf"),
        alone: bool = False,
        refusable: bool = False,
    ) -> Response:
        """Make one HTTP request and read its whole answer; never raises for what the network or the answer does.

        Connecting, TLS and tunnels included, has the connect timeout. From the first byte of the request to the last
        of the answer it takes ``read_s`` at most, and the time of
            :func:`worker.ledger.deadlines.sending_s` for its body.

        Args:
            method: HTTP method.
            path: Absolute path with its query, already quoted.
            headers: Besides those of every request; they win.
            body: The bytes of the body, or None.
            read_s: Longest wait for the whole answer.
            start_by_s: On :func:`blnk_relay.journal.clock.steady_s`: after that no first byte leaves.
            alone: Use a connection of its own, on which no answer to anything else can come: for what is answered by
                words that name nothing of what was asked.
            refusable: A refusal will be believed, though it names nothing: on a connection that has served before it
                is one only once it is known to be the answer to this request.
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
        if alone:
            prepared.headers["Connection"] = "close"
        adapter = self._alone if alone else self._adapter
        exchange = Exchange(self._connect_s, len(body or b""), read_s, start_by_s)
        answer: requests.Response | None = None
        with exchange:
            try:
                answer = adapter.send(
                    prepared,
                    stream=True,
                    timeout=(self._connect_s, read_s),
                    verify=self._verify,
                    proxies=self._proxies,
                )
                if answer.status_code < 200:  # noqa: PLR2004
                    answer.close()
                    return _none(NOT_THE_LAST_ANSWER, f"no final answer: status {answer.status_code}", exchange)
                doubted = refusable and exchange.again and _says_no(answer.status_code)
                connection = self._kept_back(answer) if doubted else None
                raw = self._read(answer)
                if connection is not None:
                    in_step = exchange.surplus or is_in_step(connection, *self._probed(), exchange)
                    connection.close()
                    if not in_step:
                        return _none(NOT_TOLD_APART, _NOT_TOLD_APART, exchange)
            except TooLate:
                return _none(LEASE_OVER, "too little was left of the lease when the request was to leave", exchange)
            except Exception as error:  # noqa: BLE001 - whatever a library makes of an answer, it is no answer
                # A status alone proves nothing. What cannot be decompressed was read to its end, and is no better.
                exchange.spoilt = True
                text = _NO_ANSWER if exchange.begun else _why_unsent(error)
                if answer is not None:
                    text = f"the answer broke off after status {answer.status_code}"
                    answer.close()
                return _none(type(error).__name__, text, exchange)
        if exchange.surplus:
            return _none(MORE_THAN_AN_ANSWER, "more than one answer came back for one request", exchange)
        return _response(answer, without_credential(raw, headers, self._proxy_secrets), _since_ms(exchange.start_s))

    @staticmethod
    def _kept_back(answer: requests.Response) -> Any:
        """The connection of an answer, which from now on is nobody else's; its place in the pool is made anew."""
        raw = answer.raw
        raw._pool = None  # noqa: SLF001 - urllib3 gives a connection back at the last byte of its answer, and has no other way to keep it
        return raw.connection

    def _probed(self) -> tuple[str, str]:
        """What is asked to see whether answers are in step, as a request line and a ``Host`` header name it."""
        address = urlsplit(self.base)
        forwarded = address.scheme == "http" and bool(requests.utils.select_proxy(self.base, self._proxies))
        path = f"{address.path}/health"
        return (f"{self.base}/health" if forwarded else path), address.netloc.rpartition("@")[2]

    @staticmethod
    def _read(answer: requests.Response) -> bytes:
        """Read the whole body, bounded in size; its time is the exchange's."""
        parts: list[bytes] = []
        size = 0
        # read1 gives what has come; read would wait for a whole chunk.
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise OSError("answer too large")
        return b"".join(parts)

    def rest(self) -> None:
        """Close the connections that nobody uses; the next request makes one."""
        self._adapter.rest()

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()
        self._alone.close()


#: What http.client says of a tunnel; the words after the status are the proxy's own.
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")

_NO_ANSWER = "no answer from the ledger"
_NOT_TOLD_APART = "it was refused on a kept connection, perhaps in answer to an earlier request"

#: What may be half of a pair: JSON may name it, and nothing can store it.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_NOT_A_NUMBER = Decimal("NaN")


def _says_no(status: int) -> bool:
    """Whether it may be an answer that nothing happened; all others are looked into by the ledger's own rows."""
    return status in (307, 308) or 400 <= status < 500  # noqa: PLR2004


def _since_ms(start_s: float) -> int:
    return int((steady_s() - start_s) * 1000)


def _why_unsent(error: BaseException) -> str:
    """What a human has to mend before anything can be sent, in words; empty where the error's name says it."""
    while (under := error.__cause__ or error.__context__) is not None:
        error = under
    if isinstance(error, ssl.SSLCertVerificationError):
        return capped(f"its certificate is not accepted: {error.verify_message}")
    if isinstance(error, SpokeFirst):
        return str(error)
    refused = _TUNNEL.match(str(error))
    return f"the proxy on the way refused the tunnel with {refused[1]}" if refused else ""


def _none(code: str, message: str, exchange: Exchange) -> Response:
    """No usable answer; whether the request left is known exactly, by its first byte (contract §5, last rows)."""
    return Response(
        code=code,
        message=message,
        failure=Failure.BROKEN if exchange.begun else Failure.NOT_SENT,
        latency_ms=_since_ms(exchange.start_s),
    )


def secrets_of(proxy: str) -> tuple[str, ...]:
    """What is shown to a proxy on the way, in the spellings in which it may say it back.

    Args:
        proxy: Its address, as the environment has it; empty for none.

    Example:
        >>> secrets_of("http://relay:pass%20word@proxy.example:3128")
        ('cmVsYXk6cGFzcyB3b3Jk', 'pass%20word', 'pass word')
    """
    try:
        password = urlsplit(proxy).password or ""
        shown = HTTPAdapter().proxy_headers(proxy).get("Proxy-Authorization", "")
    except ValueError:
        # It is no address, and nothing is ever sent there.
        return ()
    return tuple(dict.fromkeys(text for text in (shown.rpartition(" ")[2], password, unquote(password)) if text))


def without_credential(raw: bytes, headers: Mapping[str, str], more: Iterable[str] = ()) -> bytes:
    """An answer without the credentials that were shown for it: what it says is kept, and shown to operators.

    Args:
        raw: Its body.
        headers: Those of the request.
        more: What was shown beside them.

    Example:
        >>> without_credential(b"Bearer blnk_secret is no good", {"Authorization": "Bearer blnk_secret"})
        b'Bearer [credential] is no good'
    """
    for text in (*(headers.get(name, "").rpartition(" ")[2] for name in _CREDENTIALS), *more):
        credential = text.encode()
        # What is shorter is none, and may be a part of any word.
        if len(credential) >= _LEAST_CREDENTIAL and credential in raw:
            raw = raw.replace(credential, b"[credential]")
    return raw


def _response(answer: requests.Response, raw: bytes, latency_ms: int) -> Response:
    body = _object(raw)
    detail = body.get("error_detail") if body is not None else None
    code = message = ""
    if isinstance(detail, dict):
        code, message = _text(detail.get("code")), _text(detail.get("message"))
    if body is not None and not message:
        message = _text(body.get("error")) or _text(body.get("errors"))
    return Response(
        status=answer.status_code,
        code=code[:64],
        message=capped(message),
        body=body,
        has_errors=bool(body and "errors" in body),
        retry_after_s=_retry_after_s(answer.headers.get("Retry-After")),
        latency_ms=latency_ms,
    )


def _text(value: Any) -> str:
    """What an error says, in whatever shape it says it."""
    try:
        return str(value or "")
    except (ValueError, RecursionError):
        return ""


def _object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object of a body, whatever its content type says; None when it is none (contract §1.4).

    An array is the ``data`` of one. A number that Python cannot hold is NaN, which is like nothing that was sent; half
    of a pair of surrogates, which nothing can store, is a question mark. JSON is UTF-8, and an object in which a name
    stands twice has no value for it that could be believed: what is neither of the two is nobody's answer.
    """
    if len(raw) > MOST_VALUES and sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:
        return None
    try:
        text = raw.decode("utf-8-sig")
        value = _loads(text)
        if _SURROGATE.search(text):
            value = _storable(value)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        # Core's own filter answers a bare array (finding D13).
        return {"data": value}
    return value if isinstance(value, dict) else None


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_constant, object_pairs_hook=_once)
    except InvalidOperation:
        pass
    except ValueError as error:
        if isinstance(error, (json.JSONDecodeError, _Twice)):
            raise
    # A number of thousands of digits, or an exponent of twenty: one field that is unreadable, not all of them.
    return json.loads(text, parse_float=_decimal, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_once)


class _Twice(ValueError):
    """A name stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice
    return made


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NOT_A_NUMBER


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        return _NOT_A_NUMBER


def _constant(_: str) -> Decimal:
    return _NOT_A_NUMBER


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


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
