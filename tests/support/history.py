"""Databases for history: SQLite in a file, and a real PostgreSQL where it is installed."""

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

import sqlalchemy as sa

from blnk_relay.history import schema
from blnk_relay.history.database import Database
from blnk_relay.history.upgrading import upgrade
from blnk_relay.journal.copier import Copier
from blnk_relay.journal.journal import Journal
from tests.support.waiting import wait_until

#: Users that PostgreSQL may run as; it refuses to run as root.
_USERS = ("postgres", "nobody")


def sqlite_url(folder: Path) -> str:
    """The address of a database in a file that is not there yet."""
    return f"sqlite:///{folder / 'history.db'}"


def made(url: str) -> Database:
    """A database with its tables."""
    database = Database(url)
    upgrade(database)
    return database


def made_to(url: str, revision: str) -> Database:
    """A database with the tables of an older revision."""
    database = Database(url)
    upgrade(database, revision)
    return database


def copy(journal: Journal, database: Database) -> int:
    """Copy all that there is; returns how many pages that took."""
    copier, rounds = Copier(journal, database), 0
    while copier.round().more:
        rounds += 1
        assert rounds < 200
    return rounds


def postgres_program(name: str) -> str | None:
    """Where a program of PostgreSQL is; distributions put the server's own beside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


def why_no_postgres() -> str:
    """Why there is no PostgreSQL for tests; empty where there is."""
    if postgres_program("initdb") is None or postgres_program("postgres") is None:
        return "PostgreSQL is not installed"
    return "" if os.getuid() or _user() else "PostgreSQL refuses to run as root, and there is no other user"


def _user() -> str:
    names = {one.pw_name for one in pwd.getpwall()}
    return next((name for name in _USERS if name in names), "")


class Postgres:
    """A PostgreSQL of our own, in a folder that goes with it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="blnk-relay-postgres-"))
        self._as: dict[str, Any] = {}
        if not os.getuid():
            user = pwd.getpwnam(_user())
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._data = self._folder / "data"
        self._run("initdb", "-D", self._data, "-U", "relay", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self._server: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.start()

    def _run(self, name: str, *arguments: object) -> None:
        command = [str(postgres_program(name)), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **self._as)

    def start(self) -> None:
        """Start it, or start it again."""
        self._launch()
        wait_until(self._answers, 30, "PostgreSQL to begin")

    def _launch(self) -> None:
        options = {"fsync": "off", "unix_socket_directories": str(self._folder), "max_connections": "50"}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [str(postgres_program("postgres")), "-D", str(self._data), "-p", str(self.port), *arguments]
        self._server = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder, **self._as
        )

    def _answers(self) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            # What was left of the one before it was still in its way.
            self._launch()
        try:
            self.ask("select 1")
        except Exception:  # noqa: BLE001 - it is not there yet
            return False
        return True

    def ask(self, statement: str) -> Any:
        """Run one statement as its owner."""
        import psycopg

        with psycopg.connect(self._dsn("postgres"), autocommit=True, connect_timeout=5) as connection:
            return connection.execute(statement).pgresult

    def _dsn(self, name: str) -> str:
        return f"postgresql://relay@127.0.0.1:{self.port}/{name}"

    def url(self) -> str:
        """The address of an empty database."""
        self._made += 1
        self.ask(f"create database history_{self._made}")
        return self._dsn(f"history_{self._made}")

    def crash(self) -> None:
        """End it as a power cut would, but for what the system has to write yet."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()
        # Its children notice a moment later, and hold its memory until then.
        pid = self._data / "postmaster.pid"
        pid.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it for good, and remove its files."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(2)
            self._server.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for as long as the block lasts."""
    server = Postgres()
    try:
        yield server
    finally:
        server.stop()


def rows_of(database: Database, table: sa.Table, *order: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    with database.reading() as connection:
        rows = connection.execute(sa.select(table).order_by(*(table.c[name] for name in order)))
        return [dict(row._mapping) for row in rows]


def books_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All that stands in the database, to be compared: without what says how it came there."""
    found = {}
    for table in schema.metadata.sorted_tables:
        if table.name in (f"{schema.NAMES}database", f"{schema.NAMES}journals"):
            continue
        with database.reading() as connection:
            found[table.name] = sorted(tuple(map(str, row)) for row in connection.execute(sa.select(table)))
    return found
