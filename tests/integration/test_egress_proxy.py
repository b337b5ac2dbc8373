"""Through an HTTP proxy, what urllib3 calls "unable to connect" may be a request that has arrived."""

from __future__ import annotations

import socket
import threading

import pytest

from blnk_relay import Settings
from blnk_relay.intents.exchange import Failure, Request
from worker.ledger.proxy import Proxy

WRITE = Request("PUT", "/transactions/inflight/txn_x", "inflight", {"status": "commit", "precise_amount": 5}, sync=True)


class EgressProxy:
    """A proxy that reads what it gets and then hangs up."""

    def __init__(self) -> None:
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
