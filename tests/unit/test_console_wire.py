"""Connections of the console: silent ones end, too many are told so, and every answer carries the headers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from time import monotonic
from urllib.parse import urlsplit

import pytest

from blnk_relay import Settings
from blnk_relay.journal.journals import Journals
from tests.support.visiting import House, listening
from tests.support.waiting import wait_until
from worker.console import wire
from worker.console.guard import HEADERS
from worker.console.settings import ConsoleSettings


@pytest.fixture(scope="module")
def journals() -> Iterator[Journals]:
    made = Journals(Settings(redis_url="unix:///nothing/there", redis_timeout_s=1.5))
    yield made
    made.close()


@pytest.fixture
def house(journals) -> Iterator[House]:
    with listening(journals, ConsoleSettings(port=0, url="https://relay.example.com")) as made:
        yield made


def to(house: House) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(house.url).port), 10)


def all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def refused(connection: socket.socket, sent: bytes) -> bool:
    try:
        connection.sendall(sent)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def carries_all(answer: bytes) -> bool:
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    lines = [f"{name}: {value}".lower() for name, value in HEADERS.items()]
    return all(line in head for line in (*lines, "strict-transport-security: max-age=63072000"))


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 100_000,
        b"GET /" + b"a" * 3_000_000,
    ],
)
def test_what_is_no_request_is_answered_with_all_headers(house, sent):
    with closing(to(house)) as connection:
        connection.sendall(sent)
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert carries_all(answer)


def test_who_still_sends_after_that_is_let_go(house, monkeypatch):
    monkeypatch.setattr(wire, "LINGER_S", 0.3)
    with closing(to(house)) as connection:
        connection.sendall(b"garbage\r\n\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 400 ")
        wait_until(lambda: refused(connection, b"a"), 10)


@pytest.mark.parametrize("origin", ["https://relay.example.com", "https://elsewhere.example.com"])
def test_what_goes_wrong_in_the_middle_of_a_request_ends_it_as_soon(house, monkeypatch, caplog, origin):
    monkeypatch.setattr(wire, "LINGER_S", 0.3)
    head = "POST /signin HTTP/1.1\r\nHost: relay.example.com\r\nTransfer-Encoding: chunked\r\n"
    with closing(to(house)) as connection:
        connection.sendall(f"{head}Origin: {origin}\r\n\r\n".encode())
        if "elsewhere" in origin:
            # It is answered before its end.
            assert connection.recv(65_536).startswith(b"HTTP/1.1 403 ")
        connection.sendall(b"no size of a chunk\r\n")
        with suppress(ConnectionResetError):
            answer = all_of(connection)
            assert answer.startswith(b"HTTP/1.1 400 ") or "elsewhere" in origin
        wait_until(lambda: refused(connection, b"a"), 5)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_who_lingers_holds_up_no_end(journals, caplog):
    with (
        listening(journals, ConsoleSettings(port=0, url="https://relay.example.com")) as made,
        closing(to(made)) as connection,
    ):
        connection.sendall(b"garbage\r\n\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 400 ")
        begun_s = monotonic()
    assert monotonic() - begun_s < wire.LINGER_S
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_who_says_nothing_or_only_drops_is_let_go(house, monkeypatch):
    monkeypatch.setattr(wire, "HEAD_S", 0.5)
    begun = (
        b"",
        b"GET /healthz HT",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    for sent in begun:
        with closing(to(house)) as connection:
            connection.sendall(sent)
            answer = all_of(connection)
            # After an answer it is waited for the next request as long, however little of it comes.
            assert answer.startswith(b"HTTP/1.1 200 ") == sent.endswith(b"\r\n\r\n"), sent


def test_what_is_under_way_is_not_let_go(house, monkeypatch):
    monkeypatch.setattr(wire, "HEAD_S", 0.2)
    with closing(to(house)) as connection:
        head = "POST /signin HTTP/1.1\r\nHost: relay.example.com\r\nConnection: close\r\nContent-Length: 7\r\n"
        connection.sendall(f"{head}Origin: https://relay.example.com\r\n\r\n".encode())
        connection.settimeout(0.6)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(b"token=x")
        assert all_of(connection).startswith(b"HTTP/1.1 403 ")


def test_too_many_are_told_so_with_all_headers(house):
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(to(house))) for _ in range(wire.MOST_CONNECTIONS)]
        connections[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = all_of(connections[-1])
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert carries_all(answer)
