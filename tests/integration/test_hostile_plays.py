"""Whatever a server does in the place of an answer: the verdict is right and in time, and the next is not harmed."""

from __future__ import annotations

import gc
import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Settings
from blnk_relay.intents.decision import Again, Dead, Look
from blnk_relay.intents.exchange import Failure, GateAction, Response, Verdict
from blnk_relay.intents.found import Lookup
from blnk_relay.journal.tokens import Tokens
from blnk_relay.kinds.registry import KINDS
from tests.support.certificates import BAD, make_certificates
from tests.support.hostile import HostileServer, answer, answering, read_request
from tests.support.plays import GROUPS, PLAYS, Answer, Ends, Play
from tests.support.specimens import POLICY, SPECIMENS, First, Specimen
from worker.ledger.oauth import tokens_of
from worker.ledger.proxy import Proxy
from worker.ledger.readback import LedgerOverHttp
from worker.ledger.wire import Wire

#: A kind that the ledger knows by a reference of ours, and one that it does not know again.
WRITES = ("transaction-skip", "ledger.create")

#: What only a deadline ends has a short one; all else has time enough for a busy machine.
SHORT_S, LONG_S = 0.25, 10.0

#: Well beyond one exchange on a busy machine, and far below what a drip would take.
SOON_S = 6.0

ROW = {"transaction_id": "txn_1", "reference": "ours", "status": "APPLIED", "precise_amount": 1050}
LOOKUP = Lookup("transactions", "reference", "ours")
PAGE = Answer(200, json.dumps({"data": [ROW], "total": 1, "total_is_estimate": False}).encode())


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@dataclass(frozen=True)
class Secured:
    """Certificates in a folder."""

    folder: Path

    @property
    def authority(self) -> str:
        """The authority that is trusted."""
        return str(self.folder / "ca.crt")

    def shows(self, name: str) -> ssl.SSLContext:
        """What a server shows of itself."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Secured:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return Secured(folder)


@contextmanager
def proxy_to(base_url: str, read_s: float, ca_bundle: str = "") -> Iterator[Proxy]:
    times = {"connect_timeout_s": LONG_S, "read_timeout_s": read_s, "sync_read_timeout_s": read_s}
    proxy = Proxy(Settings(base_url=base_url, token="t", instance_id="i", ca_bundle=ca_bundle, **times))  # noqa: S106
    try:
        yield proxy
    finally:
        proxy.close()


def read_s_for(play: Play) -> float:
    return SHORT_S if play.lasts else LONG_S


def judged(specimen: Specimen, first: First, response: Response) -> Verdict:
    return KINDS[specimen.kind].judge(first.entry, first.progress, first.request, response, POLICY)


def is_unclear(verdict: Verdict) -> bool:
    """Whether nothing is claimed, and the ledger is asked."""
    return isinstance(verdict.decision, Look) and verdict.acted and not verdict.decision.refuse


def after_a_write(play: Play, specimen: Specimen, tls: Secured | None = None) -> None:
    first = specimen.first()
    status, body = specimen.proof(first.request, first.ids)
    whole = Answer(status, json.dumps(body).encode())
    good = judged(specimen, first, Response(status=status, body=body))
    with (
        HostileServer(play.before(whole), answering(whole.whole), tls=tls and tls.shows("good")) as server,
        proxy_to(server.url, read_s_for(play), tls.authority if tls else "") as proxy,
    ):
        start_s = time.monotonic()
        response = proxy.send(first.request, "request-1", start_by_s=float("inf"))
        took_s = time.monotonic() - start_s
        verdict = judged(specimen, first, response)
        assert took_s < SOON_S
        assert not isinstance(verdict.decision, Dead), verdict
        if response.failure is Failure.NOT_SENT:
            # Only whoever hung up before it had heard anything was perhaps told nothing.
            assert play.hears == 0
            assert isinstance(verdict.decision, Again)
            assert not verdict.acted
        elif play.ends is Ends.UNCLEAR:
            assert is_unclear(verdict), (response, verdict)
        elif play.ends is Ends.FINE:
            assert verdict == good, (response, verdict)
        elif play.ends is Ends.EITHER:
            assert verdict == good or is_unclear(verdict), (response, verdict)
        else:
            assert verdict.gate is not None
            assert verdict.gate.action is GateAction.PAUSE
            elsewhere = response.status in (307, 308)
            assert (type(verdict.decision), verdict.acted) == ((Again, False) if elsewhere else (Look, True))
        if response.failure:
            # What broke off, or came with too much, is no connection for the next request.
            second = proxy.send(first.request, "request-2", start_by_s=float("inf"))
            assert judged(specimen, first, second) == good, second
            assert server.connections == 2


def after_a_read(play: Play) -> None:
    with (
        HostileServer(play.before(PAGE), answering(PAGE.whole)) as server,
        proxy_to(server.url, read_s_for(play)) as proxy,
    ):
        ledger = LedgerOverHttp(proxy, "filters")
        start_s = time.monotonic()
        looked = ledger.look([LOOKUP])
        assert time.monotonic() - start_s < SOON_S
        found = [row.transaction_id for row in looked.rows]
        # Never that there is nothing.
        assert bool(found) != bool(looked.failed)
        if play.ends is Ends.FINE:
            assert found == ["txn_1"], looked
        elif play.ends is not Ends.EITHER:
            assert set(looked.failed) == {LOOKUP}, looked
        failure = looked.failure
        if failure is not None and failure.failure is Failure.BROKEN and not failure.status:
            assert [row.transaction_id for row in ledger.look([LOOKUP]).rows] == ["txn_1"]
            assert server.connections == 2


def groups(*first: str) -> list[Any]:
    """All groups: some in each run of the tests, the others in the long one."""
    return [name if name in first else pytest.param(name, marks=pytest.mark.long) for name in GROUPS]


def side_by_side(group: str, after: Callable[[Play], None]) -> None:
    """Try the plays of a group, several at a time: most of them wait."""
    with ThreadPoolExecutor(8) as threads:
        ends = {name: threads.submit(after, play) for name, play in GROUPS[group].items()}
    wrong = {name: error for name, end in ends.items() if (error := end.exception()) is not None}
    for name, error in wrong.items():
        error.add_note(f"It was: {name!r}; {len(wrong)} of {len(ends)} went wrong.")
        raise error


@pytest.mark.parametrize(
    "kind", [*WRITES, *(pytest.param(name, marks=pytest.mark.long) for name in SPECIMENS if name not in WRITES)]
)
@pytest.mark.parametrize("group", GROUPS)
def test_a_write_is_never_called_done_or_refused_by_what_is_no_answer(group: str, kind: str) -> None:
    side_by_side(group, lambda play: after_a_write(play, SPECIMENS[kind]))


@pytest.mark.parametrize("group", GROUPS)
def test_a_read_never_shows_what_is_not_there_nor_that_nothing_is(group: str) -> None:
    side_by_side(group, after_a_read)


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["resets", "hang-ups", "lengths", "out of step"])
def test_so_it_is_over_tls_whose_end_is_never_said(group: str, certified: Secured) -> None:
    side_by_side(group, lambda play: after_a_write(play, SPECIMENS["ledger.create"], certified))


@pytest.mark.parametrize("wrong", BAD)
def test_whoever_shows_a_wrong_certificate_is_sent_nothing_and_the_gate_says_what_is_wrong(
    wrong: str, certified: Secured
) -> None:
    heard: list[bytes] = []
    first = SPECIMENS["ledger.create"].first()
    with (
        HostileServer(lambda connection: heard.append(connection.recv(1)), tls=certified.shows(wrong)) as server,
        proxy_to(
            server.url.replace("127.0.0.1", "localhost") if wrong == "other-name" else server.url,
            LONG_S,
            certified.authority,
        ) as proxy,
    ):
        response = proxy.send(first.request, "request-1", start_by_s=float("inf"))
        looked = LedgerOverHttp(proxy, "filters").look([LOOKUP])
    verdict = judged(SPECIMENS["ledger.create"], first, response)
    assert (response.failure, verdict.acted, type(verdict.decision)) == (Failure.NOT_SENT, False, Again)
    assert verdict.gate is not None
    assert verdict.gate.action is GateAction.LOST
    assert verdict.gate.note.startswith(f"SSLError: its certificate is not accepted: {BAD[wrong]}")
    assert looked.failed[LOOKUP].failure is Failure.NOT_SENT
    assert b"".join(heard) == b""


def shaking_hands(said: bytes, *, reset: bool) -> Callable[[socket.socket], None]:
    def play(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(said)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return play


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "said",
    [b"", b"\x16\x03\x03\x00\x7a\x02\x00", b"\x15\x03\x03\0\2\2\x28", b"HTTP/1.1 201 Created\r\n\r\n{}", bytes(500)],
    ids=["nothing", "half of a greeting", "an alert", "an answer in the clear", "NULs"],
)
def test_whoever_drops_the_handshake_was_sent_nothing(said: bytes, reset: bool) -> None:
    first = SPECIMENS["ledger.create"].first()
    with (
        HostileServer(shaking_hands(said, reset=reset)) as server,
        proxy_to(server.url.replace("http:", "https:"), LONG_S) as proxy,
    ):
        response = proxy.send(first.request, "request-1", start_by_s=float("inf"))
    assert (response.failure, response.status) == (Failure.NOT_SENT, 0)


# -- a proxy on the way out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["resets", "hang-ups", "lengths", "redirects", "out of step"])
def test_so_it_is_with_a_proxy_on_the_way(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = SPECIMENS["ledger.create"]
    first = specimen.first()
    status, body = specimen.proof(first.request, first.ids)
    for name, play in GROUPS[group].items():
        with HostileServer(play.before(Answer(status, json.dumps(body).encode()))) as server:
            monkeypatch.setenv("http_proxy", server.url)
            with proxy_to("http://ledger.example", read_s_for(play)) as proxy:
                response = proxy.send(first.request, "request-1", start_by_s=float("inf"))
        verdict = judged(specimen, first, response)
        assert not isinstance(verdict.decision, Dead), name
        if play.ends is Ends.UNCLEAR and response.failure is not Failure.NOT_SENT:
            assert is_unclear(verdict), name


@pytest.mark.parametrize("group", groups("hang-ups", "statuses"))
def test_through_a_tunnel_that_is_none_nothing_is_sent(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = SPECIMENS["ledger.create"].first()
    times = {"connect_timeout_s": SHORT_S, "read_timeout_s": LONG_S, "sync_read_timeout_s": LONG_S}

    def after_a_connect(play: Play) -> None:
        with HostileServer(play.before(Answer(200, b"{}"))) as server:
            # Two of a group must not have each other's proxy.
            with setting:
                monkeypatch.setenv("https_proxy", server.url)
                proxy = Proxy(Settings(base_url="https://ledger.example", token="t", instance_id="i", **times))  # noqa: S106
            try:
                start_s = time.monotonic()
                response = proxy.send(first.request, "request-1", start_by_s=float("inf"))
                assert time.monotonic() - start_s < SOON_S
            finally:
                proxy.close()
        assert (response.failure, response.status) == (Failure.NOT_SENT, 0), response

    setting = threading.Lock()
    with warnings.catch_warnings():
        # Where the proxy is gone before the handshake begins, ssl leaves an unfinished socket to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        side_by_side(group, after_a_connect)
        gc.collect()


def test_through_a_tunnel_that_is_gone_before_the_handshake_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(connection: socket.socket) -> None:
        # What the other side says into this connection from here on is answered with a reset.
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    first = SPECIMENS["ledger.create"].first()
    with warnings.catch_warnings(), HostileServer(gone) as server:
        warnings.simplefilter("ignore", ResourceWarning)
        monkeypatch.setenv("https_proxy", server.url)
        with proxy_to("https://ledger.example", LONG_S) as proxy:
            answers = [proxy.send(first.request, "request-1", start_by_s=float("inf")) for _ in range(50)]
        gc.collect()
    assert {one.failure for one in answers} == {Failure.NOT_SENT}


# -- a token endpoint ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", groups("bodies", "lengths"))
def test_no_token_is_taken_from_what_is_no_answer(group: str) -> None:
    body = {"access_token": "blnk_at_2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "blnk_rt_2"}

    def after_a_refresh(play: Play) -> None:
        with HostileServer(play.before(Answer(200, json.dumps(body).encode()))) as server:
            settings = Settings(base_url=server.url, token="t", instance_id="i", connect_timeout_s=LONG_S)  # noqa: S106
            wire = Wire(settings, settings.ledgers["default"])
            try:
                answered = wire.exchange("POST", "/oauth/token", {}, b"a=b", read_s=read_s_for(play), alone=True)
            finally:
                wire.close()
        tokens = tokens_of(answered, "blnk_rt_1")
        good = Tokens("blnk_at_2", "blnk_rt_2", 3600.0)
        assert (
            tokens == good
            if play.ends is Ends.FINE
            else tokens in ((None, good) if play.ends is Ends.EITHER else (None,))
        )

    side_by_side(group, after_a_refresh)


# -- nothing goes elsewhere ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_nobody_follows_a_redirect_and_no_cookie_or_key_goes_anywhere_else(status: int) -> None:
    heard: list[bytes] = []
    first = SPECIMENS["ledger.create"].first()

    def elsewhere(connection: socket.socket) -> None:
        heard.append(read_request(connection))

    with HostileServer(elsewhere) as other:
        places = (
            f"{other.url}/",
            "/again",
            "//127.0.0.1:1/",
            "file:///etc/passwd",
            "",
            "\t",
            "javascript:1",
            "http://[",
        )

        def redirecting(connection: socket.socket) -> None:
            for place in left:
                requests.append(read_request(connection))
                headers = f"Location: {place}\r\nSet-Cookie: a=b; Domain=127.0.0.1\r\nRefresh: 0; url={other.url}\r\n"
                connection.sendall(f"HTTP/1.1 {status} There\r\n{headers}Content-Length: 0\r\n\r\n".encode())
                if status in (307, 308) and len(requests) % 2 == 0:
                    # The second of a connection says that it did nothing: whether it is the answer is asked.
                    assert read_request(connection).startswith(b"HEAD ")
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    return

        left = iter(places)
        requests: list[bytes] = []
        with HostileServer(redirecting) as server, proxy_to(server.url, LONG_S) as proxy:
            for _ in places:
                response = proxy.send(first.request, "request-1", start_by_s=float("inf"))
                assert (response.status, response.failure) == (status, None)
    assert (len(requests), heard) == (len(places), [])
    assert not any(b"cookie" in request.lower() for request in requests)


# -- out of step -----------------------------------------------------------------------------------------------------


def test_an_answer_about_another_is_not_believed_whenever_it_comes() -> None:
    for name in ("transaction-skip", "ledger.create", "inflight.void", "refund"):
        specimen = SPECIMENS[name]
        first, other = specimen.first(), specimen.first("another-key", scene="other")
        status, body = specimen.proof(other.request, other.ids)
        whole = Answer(status, json.dumps(body).encode()).whole
        with HostileServer(answering(whole)) as server, proxy_to(server.url, LONG_S) as proxy:
            verdict = judged(specimen, first, proxy.send(first.request, "request-1", start_by_s=float("inf")))
        assert is_unclear(verdict), (name, verdict)
        assert not verdict.accepted


def test_what_has_chunks_and_a_length_is_the_last_on_its_connection() -> None:
    both = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"a": 1}\r\n0\r\n\r\n'
    first = SPECIMENS["ledger.create"].first()
    with (
        HostileServer(answering(both, answer(b'{"a": 2}')), answering(answer(b'{"b": 1}'))) as server,
        proxy_to(server.url, LONG_S) as proxy,
    ):
        bodies = [proxy.send(first.request, "request-1", start_by_s=float("inf")).body for _ in range(2)]
        assert (bodies, server.connections) == ([{"a": 1}, {"b": 1}], 2)


# -- memory ----------------------------------------------------------------------------------------------------------

#: What one answer may cost a process, whatever it is.
MOST_BYTES = 192 * 1024 * 1024

#: Those that are made to be large.
LARGE = (
    "endless status line", "endless headers", "endless header line", "100 Continue for ever",
    "endless body with a length", "endless body without a length", "endless chunked body", "endless tiny chunks",
    "endless size of a chunk",
    "endless trailers", "a hundred megabytes of JSON", "a million values, and more", "a hundred thousand levels",
    "a gzip bomb", "a gzip bomb in a gzip", "a gzip bomb in chunks", "a length of thirty digits", "an enormous chunk",
)  # fmt: skip

#: As much as is read of an answer at all, made of what costs most.
DEAREST = {
    "numbers": b"1.1111,",
    "objects": b'{"a":1.1},',
    "depth": b"[" * 900 + b"]" * 900 + b",",
}

ASKING = """
import sys
from blnk_relay import Settings
from worker.ledger.oauth import tokens_of
from worker.ledger.proxy import Proxy

def used():
    # The kernel's ru_maxrss would begin with that of the process which started this one.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))

def ask(url, read_s):
    proxy = Proxy(Settings(base_url=url, token="t", instance_id="i"))
    proxy.call("GET", "/a", {}, None, request_id="r", timeout_s=float(read_s))
    proxy.close()

print(used(), flush=True)
for line in sys.stdin:
    ask(*line.split())
    print(used(), flush=True)
"""


def most_bytes(plays: dict[str, tuple[Callable[[socket.socket], None], float]]) -> dict[str, int]:
    """What answers cost a process that asks for one after the other, each at its highest so far."""
    child = subprocess.Popen([sys.executable, "-c", ASKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    most: dict[str, int] = {}
    try:
        before = int(child.stdout.readline())
        for name, (play, read_s) in plays.items():
            with HostileServer(play) as server:
                child.stdin.write(f"{server.url} {read_s}\n")
                child.stdin.flush()
                most[name] = int(child.stdout.readline()) - before
    finally:
        child.kill()
        child.communicate()
    return most


def test_no_answer_that_is_large_costs_more_memory_than_is_said() -> None:
    most = most_bytes({name: (PLAYS[name].before(PAGE), read_s_for(PLAYS[name])) for name in LARGE})
    # One at least was read up to what is read at all.
    assert 8 * 1024 * 1024 < max(most.values()) < MOST_BYTES, most


@pytest.mark.long
@pytest.mark.parametrize("name", DEAREST)
def test_nor_does_one_that_is_read_to_its_end(name: str) -> None:
    piece = DEAREST[name]
    values = sum(map(piece.count, (b",", b"[", b"{")))
    times = min(8_300_000 // len(piece), 999_990 // values)
    body = b'{"data": [' + piece * times + b'1], "a": "' + b"x" * (8_380_000 - times * len(piece)) + b'"}'
    most = most_bytes({name: (answering(answer(body)), LONG_S)})
    # It was read, and not thrown away.
    assert MOST_BYTES / 4 < most[name] < MOST_BYTES
