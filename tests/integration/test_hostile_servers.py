"""Before servers that drip, stall, hang up or say too much: every exchange ends in time, and is believed rightly."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from blnk_relay import Settings
from blnk_relay.intents.exchange import LEASE_OVER, Failure, Request, Response
from blnk_relay.journal.clock import steady_s
from tests.support.hostile import HostileServer, answer, answering, dripping, read_request
from worker.ledger.credentials import Key
from worker.ledger.deadlines import sending_s
from worker.ledger.proxy import Proxy

WRITE = Request("PUT", "/transactions/inflight/txn_x", "inflight", {"status": "commit", "precise_amount": 5}, sync=True)

#: Times of these tests; a drip of a byte each 0.05 s is far from each of them.
TIMES = {"connect_timeout_s": 0.5, "read_timeout_s": 0.5, "sync_read_timeout_s": 0.5}

#: Well beyond one exchange on a busy machine, and far below what a drip would take.
SOON_S = 5.0


def settings(base_url: str, **changes: float) -> Settings:
    return Settings(base_url=base_url, token="t", instance_id="i", **{**TIMES, **changes})  # noqa: S106


def proxy_to(base_url: str, **changes: float) -> Proxy:
    return Proxy(settings(base_url, **changes))


def sent(base_url: str, request: Request = WRITE, start_by_s: float = float("inf")) -> Response:
    proxy = proxy_to(base_url)
    try:
        return proxy.send(request, "request-1", start_by_s=start_by_s)
    finally:
        proxy.close()


@pytest.fixture(autouse=True)
def egress(monkeypatch) -> Iterator[pytest.MonkeyPatch]:
    """No proxy of the machine that the tests run on; a test may set one of its own."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


# -- one deadline for the whole -----------------------------------------------------------------------------------


def silent(connection: socket.socket) -> None:
    connection.recv(65_536)
    while connection.recv(65_536):
        pass


def test_a_server_that_never_agrees_on_tls_was_sent_nothing():
    with HostileServer(silent) as server:
        start_s = time.monotonic()
        response = sent(server.url.replace("http:", "https:"))
    assert response.failure is Failure.NOT_SENT
    assert time.monotonic() - start_s < SOON_S


@pytest.mark.parametrize(
    "play",
    [
        dripping(itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X-Slow: 1\r\n", 400))),
        dripping([b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"]),
        dripping([]),
        silent,
    ],
)
def test_a_tunnel_that_does_not_come_about_was_sent_nothing(egress, play):
    with HostileServer(play) as server:
        egress.setenv("https_proxy", server.url)
        start_s = time.monotonic()
        response = sent("https://ledger.example")
    assert response.failure is Failure.NOT_SENT
    assert time.monotonic() - start_s < SOON_S


@pytest.mark.parametrize(
    "play",
    [
        dripping([b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
        lambda _: None,
    ],
)
def test_a_server_that_knows_no_tls_was_sent_nothing(play):
    with HostileServer(play) as server:
        assert sent(server.url.replace("http:", "https:")).failure is Failure.NOT_SENT


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "http://no-such-host.invalid", "https://127.0.0.1:1"])
def test_what_could_not_connect_was_sent_nothing(base_url):
    assert sent(base_url).failure is Failure.NOT_SENT


def hang_up(connection: socket.socket) -> None:
    read_request(connection)


def test_a_server_that_hangs_up_after_the_request_leaves_it_in_doubt():
    with HostileServer(hang_up) as server:
        assert sent(server.url).failure is Failure.BROKEN


# -- large bodies -------------------------------------------------------------------------------------------------


def upload(size: int) -> Request:
    return Request(
        "POST", "/reconciliation/upload", "upload", {"source": "bank"}, sync=True, file=("a.csv", b"x" * size)
    )


def test_a_large_body_is_given_the_time_that_its_size_needs():
    def reading_slowly(connection: socket.socket) -> None:
        got = b""
        while b"--\r\n" not in got[-10:]:
            got = got[-10:] + connection.recv(65_536)
            time.sleep(0.02)
        connection.sendall(answer())
        connection.recv(1)

    with HostileServer(reading_slowly, receive_bytes=131_072) as server:
        start_s = time.monotonic()
        response = sent(server.url, upload(6_000_000))
        took_s = time.monotonic() - start_s
    assert response.status == 200
    # Longer than the timeouts of connecting and of an answer: neither of them is what bounds the body.
    assert took_s > TIMES["connect_timeout_s"] + TIMES["sync_read_timeout_s"]


def test_a_server_that_stops_reading_holds_a_connection_for_that_time_only():
    def not_reading(connection: socket.socket) -> None:
        connection.recv(1_000)
        server.over.wait()

    with HostileServer(not_reading, receive_bytes=32_768) as server:
        start_s = time.monotonic()
        # More than the buffers of both sides take.
        response = sent(server.url, upload(200_000))
        took_s = time.monotonic() - start_s
    assert response.failure is Failure.BROKEN
    assert took_s < sending_s(200_000) + SOON_S


def test_the_longest_time_of_a_write_grows_with_its_body_and_with_the_work_in_it():
    proxy = proxy_to("http://127.0.0.1:1")
    try:
        small, large = proxy.longest_s(upload(1_000)), proxy.longest_s(upload(4_000_000))
        work = Request("POST", "/transactions/bulk", "bulk", {"transactions": []}, sync=True, work_s=7.0)
        assert large - small == pytest.approx(sending_s(4_000_000))
        assert proxy.longest_s(work) - proxy.longest_s(WRITE) == pytest.approx(7.0)
        assert proxy.longest_s(WRITE) - proxy.ready_s == pytest.approx(TIMES["sync_read_timeout_s"])
    finally:
        proxy.close()


# -- the last moment ----------------------------------------------------------------------------------------------


class SlowKey:
    """A credential that takes its time."""

    wait_s = 1.0

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s

    def current(self) -> Key:
        time.sleep(self._wait_s)
        return Key("t")

    def refused(self, _: Key) -> bool:
        return False

    def close(self) -> None:
        pass


def test_what_waited_for_its_credential_until_its_lease_was_over_is_not_sent():
    got: list[bytes] = []
    with HostileServer(lambda connection: got.append(connection.recv(1))) as server:
        proxy = Proxy(settings(server.url), credentials=SlowKey(0.3))
        try:
            response = proxy.send(WRITE, "request-1", start_by_s=steady_s() + 0.1)
        finally:
            proxy.close()
    assert (response.failure, response.code) == (Failure.NOT_SENT, LEASE_OVER)
    assert b"".join(got) == b""


def test_what_waited_for_its_connection_until_its_lease_was_over_is_not_sent(egress):
    def late_tunnel(connection: socket.socket) -> None:
        read_request(connection)
        time.sleep(0.3)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with HostileServer(late_tunnel) as server:
        egress.setenv("https_proxy", server.url)
        response = sent("https://ledger.example", start_by_s=steady_s() + 0.1)
    assert response.failure is Failure.NOT_SENT


FROZEN = """
import sys
from blnk_relay import Settings
from blnk_relay.intents.kind import Request
from blnk_relay.journal.clock import steady_s
from worker.ledger.credentials import Key
from worker.ledger.proxy import Proxy

class Waiting:
    wait_s = 0.0
    def current(self):
        print("checked", flush=True)
        sys.stdin.readline()
        return Key("t")
    def refused(self, key): return False
    def close(self): pass

proxy = Proxy(Settings(base_url=sys.argv[1], token="t", instance_id="i"), credentials=Waiting())
write = Request("PUT", "/transactions/inflight/txn_x", "inflight", {"status": "commit"}, sync=True)
response = proxy.send(write, "request-1", start_by_s=steady_s() + 0.5)
print(response.failure, response.code, flush=True)
"""


def test_a_process_that_was_frozen_until_its_lease_was_over_sends_nothing():
    got: list[bytes] = []
    with HostileServer(lambda connection: got.append(connection.recv(1))) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", FROZEN, server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout is not None
            assert child.stdin is not None
            assert child.stdout.readline() == "checked\n"
            os.kill(child.pid, signal.SIGSTOP)
            child.stdin.write("go on\n")
            child.stdin.flush()
            thawed_s = steady_s() + 0.7
            threading.Event().wait(thawed_s - steady_s())
            os.kill(child.pid, signal.SIGCONT)
            assert child.stdout.readline() == f"{Failure.NOT_SENT} {LEASE_OVER}\n"
        finally:
            child.kill()
            child.communicate()
    assert b"".join(got) == b""


def test_a_request_in_time_is_sent():
    with HostileServer(answering(answer())) as server:
        assert sent(server.url, start_by_s=steady_s() + 60).status == 200


# -- answers that are nobody's ------------------------------------------------------------------------------------


def two(proxy: Proxy) -> tuple[Response, Response]:
    first = proxy.send(WRITE, "request-1", start_by_s=float("inf"))
    return first, proxy.send(WRITE, "request-2", start_by_s=float("inf"))


def test_of_two_answers_to_one_request_neither_is_believed():
    with HostileServer(answering(answer(b'{"a": 1}') + answer(b'{"a": 2}')), answering(answer(b'{"b": 1}'))) as server:
        proxy = proxy_to(server.url)
        try:
            first, second = two(proxy)
        finally:
            proxy.close()
    assert (first.failure, first.code) == (Failure.BROKEN, "MORE_THAN_AN_ANSWER")
    assert second.body == {"b": 1}


def test_a_connection_on_which_bytes_wait_is_not_used_again():
    waits = threading.Event()

    def saying_too_much(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(b'{"a": 1}'))
        waits.wait(SOON_S)
        connection.sendall(answer(b'{"a": 2}'))
        said.set()
        connection.recv(65_536)

    said = threading.Event()
    with HostileServer(saying_too_much, answering(answer(b'{"b": 1}'))) as server:
        proxy = proxy_to(server.url)
        try:
            first = proxy.send(WRITE, "request-1", start_by_s=float("inf"))
            waits.set()
            assert said.wait(SOON_S)
            second = proxy.send(WRITE, "request-2", start_by_s=float("inf"))
        finally:
            proxy.close()
    assert (first.body, second.body, server.connections) == ({"a": 1}, {"b": 1}, 2)


def test_an_answer_that_only_announces_another_ends_its_connection():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with HostileServer(answering(hints, answer(b'{"a": 1}')), answering(answer(b'{"b": 1}'))) as server:
        proxy = proxy_to(server.url)
        try:
            first, second = two(proxy)
        finally:
            proxy.close()
    assert (first.failure, first.code) == (Failure.BROKEN, "NOT_THE_LAST_ANSWER")
    assert second.body == {"b": 1}


def test_a_healthy_connection_is_used_again():
    with HostileServer(answering(answer(b'{"a": 1}'), answer(b'{"a": 2}'))) as server:
        proxy = proxy_to(server.url)
        try:
            first, second = two(proxy)
        finally:
            proxy.close()
    assert (first.body, second.body, server.connections) == ({"a": 1}, {"a": 2}, 1)


def test_what_is_answered_without_a_name_has_a_connection_of_its_own():
    alone = Request("PUT", "/identities/idt_1", "identity.update", {"city": "Malmo"}, sync=True, alone=True)
    with HostileServer(answering(answer(), answer())) as server:
        proxy = proxy_to(server.url)
        try:
            for request in (WRITE, alone, alone, WRITE):
                assert proxy.send(request, "request-1", start_by_s=float("inf")).status == 200
        finally:
            proxy.close()
    # One for the two that name what they are about, and one for each of the others.
    assert server.connections == 3
