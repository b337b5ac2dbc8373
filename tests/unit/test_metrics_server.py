"""The small HTTP server of a worker: whoever asks nonsense, asks slowly or finds no room takes nothing from others."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.prometheus import answer_of, is_served
from tests.support.waiting import wait_until
from worker.metrics import Answer
from worker.metrics import server as module
from worker.metrics.server import MOST_AT_ONCE, MOST_WAITING, Server


class Well:
    """Answers at once, whatever is asked."""

    #: Cleared, metrics are waited for: Redis hangs.
    goes_on = threading.Event()

    def answer(self, path: str) -> Answer:
        if path == "/metrics":
            assert self.goes_on.wait(10)
        return Answer(200, "text/plain; charset=utf-8", f"{path}\n".encode())


def serve() -> tuple[Server, threading.Event, threading.Thread]:
    server, stop = Server(("127.0.0.1", 0), Well()), threading.Event()  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_until, args=(stop,), daemon=True)
    thread.start()
    return server, stop, thread


@pytest.fixture
def port() -> Iterator[int]:
    server, stop, thread = serve()
    with server:
        yield server.server_port
        stop.set()
        thread.join(5)


def test_who_sends_a_request_bit_by_bit_has_no_longer_for_it_than_who_sends_nothing(port, monkeypatch):
    monkeypatch.setattr(module, "REQUEST_S", 0.5)
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_AT_ONCE)]
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.1):
            for one in slow:
                try:
                    one.sendall(b"X-Slow: yes\r\n")
                except OSError:
                    return

    for one in slow:
        one.sendall(b"GET /healthz HTTP/1.0\r\n")
    wait_until(lambda: not is_served(port), 5, "all places to be taken")
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        wait_until(lambda: is_served(port), 5, "room for others, though none of them has given up")
    finally:
        stop.set()
        dripping.join()
        for one in slow:
            one.close()


def test_a_request_for_which_there_was_no_thread_leaves_its_place_to_others(port, monkeypatch):
    start = threading.Thread.start

    def fails(thread: threading.Thread) -> None:
        if "process_request" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", fails)
        for _ in range(MOST_AT_ONCE + 1):
            assert not is_served(port)
    assert answer_of(port, "/healthz") == (200, "/healthz\n")


def test_while_all_wait_for_metrics_the_health_is_told(port):
    Well.goes_on.clear()
    try:
        with ThreadPoolExecutor(MOST_AT_ONCE) as asking:
            metrics = [asking.submit(answer_of, port, "/metrics") for _ in range(MOST_AT_ONCE)]
            wait_until(lambda: sum(one.done() for one in metrics) == MOST_AT_ONCE - MOST_WAITING, 5)
            assert answer_of(port, "/healthz") == (200, "/healthz\n")
            Well.goes_on.set()
        told = sorted(one.result()[0] for one in metrics)
        assert told == [200] * MOST_WAITING + [503] * (MOST_AT_ONCE - MOST_WAITING)
    finally:
        Well.goes_on.set()


def without_files() -> None:
    """In a process of its own: no file is left for the connection that waits."""
    server, _, _ = serve()
    asking = socket.socket()
    time.sleep(0.5)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    asking.connect(("127.0.0.1", server.server_port))
    before_s = time.process_time()
    time.sleep(1)
    print(time.process_time() - before_s)


def test_a_connection_that_cannot_be_taken_because_no_file_is_left_costs_no_time_of_the_processor():
    program = "from tests.unit.test_metrics_server import without_files; without_files()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=True)
    assert float(done.stdout) < 0.3


def test_a_port_has_one_worker_whatever_this_python_would_allow():
    # Of two, the kernel would choose one for each scrape: their series would be mixed into one.
    assert Server.allow_reuse_port is False
    assert "allow_reuse_port" in vars(Server)
