"""Through an HTTP proxy, what urllib3 calls "unable to connect" may be a request that has arrived."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable

import pytest

from blnk_relay import Settings
from blnk_relay.intents.exchange import Failure, Request
from worker.ledger.proxy import Proxy

WRITE = Request("PUT", "/transactions/inflight/txn_x", "inflight", {"status": "commit", "precise_amount": 5}, sync=True)


class EgressProxy:
    """A proxy that reads what it gets, answers what it is told to, and then hangs up."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _: b"") -> None:
        self._answer = answer
        self.server = socket.create_server(("127.0.0.1", 0))
        self.got: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                self.got.append(connection.recv(65_536))
                connection.sendall(self._answer(self.got[-1]))

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self._thread.join()


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_proxy_that_hangs_up_after_the_request_leaves_it_in_doubt(no_proxies):
    egress = EgressProxy()
    no_proxies.setenv("http_proxy", egress.url)
    proxy = Proxy(Settings(base_url="http://ledger.example", token="t", instance_id="i"))  # noqa: S106
    try:
        response = proxy.send(WRITE, "request-1", start_by_s=float("inf"))
    finally:
        proxy.close()
        egress.close()
    assert egress.got[0].startswith(b"PUT http://ledger.example/proxy/transactions/inflight/")
    assert response.failure is Failure.BROKEN


def test_a_proxy_that_is_not_there_leaves_no_doubt(no_proxies):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    no_proxies.setenv("http_proxy", f"http://127.0.0.1:{port}")
    proxy = Proxy(Settings(base_url="http://ledger.example", token="t", instance_id="i"))  # noqa: S106
    try:
        assert proxy.send(WRITE, "request-1", start_by_s=float("inf")).failure is Failure.NOT_SENT
    finally:
        proxy.close()


def test_a_proxy_that_says_back_what_it_was_shown_puts_its_password_into_no_letter(no_proxies):
    shown = base64.b64encode(b"relay:pass+word of the proxy").decode()

    def refuse(request: bytes) -> bytes:
        assert f"Proxy-Authorization: Basic {shown}".encode() in request
        told = f"{shown} is relay with 'pass+word of the proxy' (pass%2Bword%20of%20the%20proxy), who may not"
        body = json.dumps({"error": told}).encode()
        return b"HTTP/1.1 407 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    egress = EgressProxy(refuse)
    address = egress.url.replace("//", "//relay:pass%2Bword%20of%20the%20proxy@")
    no_proxies.setenv("http_proxy", address)
    proxy = Proxy(Settings(base_url="http://ledger.example", token="t", instance_id="i"))  # noqa: S106
    try:
        response = proxy.send(WRITE, "request-1", start_by_s=float("inf"))
    finally:
        proxy.close()
        egress.close()
    assert response.status == 407
    assert response.message == "[credential] is relay with '[credential]' ([credential]), who may not"
