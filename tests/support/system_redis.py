"""The Redis that the machine itself has, where it has one: it may be older than the embedded Valkey."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest
import redis

from tests.support.waiting import wait_until


@contextmanager
def system_redis(folder: Path) -> Iterator[int]:
    """Run it with an empty folder of its own and an append-only file, and give its port; skip where there is none."""
    program = which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes", "daemonize": "no"}
    server = subprocess.Popen(
        [program, *(str(word) for name, value in options.items() for word in (f"--{name}", value))],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _answers(port), 10, "the server")
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False
