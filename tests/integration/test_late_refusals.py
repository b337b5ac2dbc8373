"""A refusal on a kept connection names nothing of what was asked: it is believed only if no earlier request had it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from urllib3.util.wait import wait_for_read

from blnk_relay import Settings
from blnk_relay.intents.exchange import Failure, Request, Response
from tests.support.certificates import make_certificates
from tests.support.hostile import HostileServer, answer, read_request
from worker.ledger import deadlines
from worker.ledger.proxy import Proxy

WRITE = Request("PUT", "/transactions/inflight/txn_x", "inflight", {"status": "commit", "precise_amount": 5}, sync=True)

#: No answer of these servers takes so long but those that never come.
READ_S = 2.0

DONE = answer(b'{"done": true}')
REFUSAL = b'{"error": "no", "error_detail": {"code": "GEN_VALIDATION_ERROR", "message": "no"}}'
NO = answer(REFUSAL, "400 Bad Request")


@pytest.fixture(autouse=True)
def egress(monkeypatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def probe(connection: socket.socket) -> bytes:
    """What is asked to see whether answers are in step."""
    asked = read_request(connection)
    assert asked.startswith(b"HEAD /health HTTP/1.1\r\nHost: 127.0.0.1:"), asked
    assert b"connection: close" in asked.lower()
    return asked


NO_BODY = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"


def second_of_two(play, *, tls=None, ca="") -> tuple[Response, HostileServer]:
    """The answer to the second of two writes over one connection."""
    with HostileServer(play, tls=tls) as server:
        settings = Settings(
            base_url=server.url,
            token="t",  # noqa: S106
            instance_id="i",
            read_timeout_s=READ_S,
            sync_read_timeout_s=READ_S,
            ca_bundle=ca,
        )
        proxy = Proxy(settings)
        try:
            assert proxy.send(WRITE, "request-1", start_by_s=float("inf")).body == {"done": True}
            return proxy.send(WRITE, "request-2", start_by_s=float("inf")), server
        finally:
            proxy.close()


def honest(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(DONE)
    read_request(connection)
    connection.sendall(NO)
    probe(connection)
    connection.sendall(NO_BODY)


def test_a_refusal_after_which_only_what_was_asked_is_answered_is_believed():
    response, server = second_of_two(honest)
    assert (response.status, response.code, response.failure) == (400, "GEN_VALIDATION_ERROR", None)
    assert server.connections == 1


def test_so_it_is_over_tls(tmp_path):
    make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "good.crt", tmp_path / "good.key")
    response, server = second_of_two(honest, tls=tls, ca=str(tmp_path / "ca.crt"))
    assert (response.status, response.code, response.failure) == (400, "GEN_VALIDATION_ERROR", None)
    assert server.connections == 1


def test_a_second_answer_to_the_request_before_is_no_refusal_of_this_one():
    """It comes once ours has left, and our answer comes later."""

    def late(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(DONE)
        read_request(connection)
        connection.sendall(NO)
        probe(connection)
        connection.sendall(DONE)
        connection.sendall(NO_BODY)

    response, _ = second_of_two(late)
    assert (response.failure, response.code) == (Failure.BROKEN, "NOT_TOLD_APART")


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(b"", id="nothing, and the end"),
        pytest.param(NO_BODY[:-2], id="half of a head, and the end"),
        pytest.param(NO_BODY + b"not found", id="a body that a HEAD has not"),
        pytest.param(b"whatever\r\n\r\n", id="no answer"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="no last answer"),
    ],
)
def test_a_refusal_behind_which_something_else_comes_is_not_believed(then):
    def play(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(DONE)
        read_request(connection)
        connection.sendall(NO)
        probe(connection)
        connection.sendall(then)

    response, _ = second_of_two(play)
    assert (response.failure, response.code) == (Failure.BROKEN, "NOT_TOLD_APART")


def test_a_refusal_that_ends_its_connection_cannot_be_told_apart():
    def play(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(DONE)
        read_request(connection)
        connection.sendall(NO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))

    response, _ = second_of_two(play)
    assert (response.failure, response.code) == (Failure.BROKEN, "NOT_TOLD_APART")


def test_a_server_that_says_nothing_more_is_waited_for_no_longer_than_for_an_answer():
    over = threading.Event()

    def play(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(DONE)
        read_request(connection)
        connection.sendall(NO)
        probe(connection)
        over.wait(10 * READ_S)

    response, _ = second_of_two(play)
    over.set()
    assert (response.failure, response.code) == (Failure.BROKEN, "NOT_TOLD_APART")
    assert response.latency_ms < 5 * READ_S * 1000


def test_the_first_answer_of_a_connection_can_be_to_nobody_else():
    def play(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(NO)
        assert not read_request(connection), "nothing more is asked"

    with HostileServer(play) as server:
        proxy = Proxy(Settings(base_url=server.url, token="t", instance_id="i"))  # noqa: S106
        try:
            response = proxy.send(WRITE, "request-1", start_by_s=float("inf"))
        finally:
            proxy.close()
    assert (response.status, response.failure) == (400, None)


def test_nor_can_the_only_answer_of_one():
    alone = replace(WRITE, alone=True)

    def play(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(NO)
        assert not read_request(connection), "nothing more is asked"

    with HostileServer(play) as server:
        proxy = Proxy(Settings(base_url=server.url, token="t", instance_id="i"))  # noqa: S106
        try:
            said = [proxy.send(alone, f"request-{number}", start_by_s=float("inf")) for number in range(3)]
        finally:
            proxy.close()
    assert [(response.status, response.failure) for response in said] == [(400, None)] * 3
    assert server.connections == 3


def test_what_names_what_was_made_is_not_asked_about():
    def play(connection: socket.socket) -> None:
        for _ in range(2):
            read_request(connection)
            connection.sendall(DONE)
        assert not read_request(connection), "nothing more is asked"

    response, _ = second_of_two(play)
    assert response.body == {"done": True}


def test_what_was_said_before_anything_was_asked_is_no_answer(monkeypatch):
    """Between the moment at which a connection is chosen and the first byte of the request."""
    chosen, nothing_left = threading.Event(), threading.Event()
    real = deadlines._Timed.endheaders

    def once_it_has_spoken(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.sock is not None:
            chosen.set()
            assert wait_for_read(self.sock, timeout=READ_S)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(deadlines._Timed, "endheaders", once_it_has_spoken)

    def play(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(DONE)
        assert chosen.wait(READ_S)
        connection.sendall(NO)
        with suppress(ConnectionResetError):
            assert not read_request(connection)
        nothing_left.set()

    response, _ = second_of_two(play)
    assert response.failure is Failure.NOT_SENT
    assert response.message == "there was something to be read before anything was asked"
    # The other side learns it in a thread of its own, once the connection is closed.
    assert nothing_left.wait(READ_S)


def test_over_tls_a_ticket_is_nothing_that_was_said(monkeypatch, tmp_path):
    make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "good.crt", tmp_path / "good.key")
    real = deadlines._Timed.endheaders

    def once_there_is_something(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.sock is None:
            self.connect()
        # Of TLS 1.3: tickets for other connections, at least.
        assert wait_for_read(self.sock, timeout=READ_S)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(deadlines._Timed, "endheaders", once_there_is_something)

    def sent_to(play) -> Response:
        with HostileServer(play, tls=tls) as server:
            settings = Settings(base_url=server.url, token="t", instance_id="i", ca_bundle=str(tmp_path / "ca.crt"))  # noqa: S106
            proxy = Proxy(settings)
            try:
                return proxy.send(WRITE, "request-1", start_by_s=float("inf"))
            finally:
                proxy.close()

    def asked(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(DONE)

    assert sent_to(asked).body == {"done": True}

    def unasked(connection: socket.socket) -> None:
        connection.sendall(NO)
        read_request(connection)

    # Without tickets, what there is to be read is the answer.
    tls.num_tickets = 0
    assert sent_to(unasked).failure is Failure.NOT_SENT
