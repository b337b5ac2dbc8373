"""A real PgBouncer before a PostgreSQL of ours: each transaction is carried out over whichever connection is free."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

#: It refuses to run as root.
_USER = "nobody"


def pooler_program() -> str | None:
    """Where it is; distributions put it where only root's path leads."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def why_no_pooler() -> str:
    """Why there is none for tests; empty where there is."""
    return "" if pooler_program() else "PgBouncer is not installed"


@contextmanager
def pooling(port: int) -> Iterator[int]:
    """Its port, for as long as the block lasts; it has no more than two connections to the server at a port."""
    folder = Path(tempfile.mkdtemp(prefix="blnk-relay-pooler-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own: int = free.getsockname()[1]
    settings = {
        "listen_addr": "127.0.0.1", "listen_port": own, "unix_socket_dir": "", "auth_type": "any",
        "pool_mode": "transaction", "default_pool_size": 2, "logfile": folder / "log", "pidfile": folder / "pid",
    }  # fmt: skip
    lines = [f"{name} = {value}" for name, value in settings.items()]
    file = folder / "pgbouncer.ini"
    file.write_text(
        "\n".join(["[databases]", f"* = host=127.0.0.1 port={port} user=relay", "[pgbouncer]", *lines, ""]),
        encoding="utf-8",
    )
    as_: dict[str, Any] = {}
    if not os.getuid():
        user = pwd.getpwnam(_USER)
        for path in (folder, file):
            os.chown(path, user.pw_uid, user.pw_gid)
        as_ = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    program = subprocess.Popen(
        [str(pooler_program()), str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **as_
    )

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", own)) == 0

    try:
        wait_until(listens, 15, "PgBouncer to begin")
        yield own
    finally:
        program.terminate()
        program.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
