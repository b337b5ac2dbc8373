"""A real RabbitMQ, which can be killed and started again, for tests on machines that have one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import KombuError

from tests.support.waiting import wait_until

#: How long it may take to come up on a busy machine.
START_S = 90.0

#: Where systems put the script that asks for no rights of root.
_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")


#: Where they put the port mapper of Erlang.
_ERLANG = os.pathsep.join([os.environ.get("PATH", ""), *map(str, Path("/usr/lib/erlang").glob("erts-*/bin"))])


def _programs() -> tuple[str, str] | None:
    """The server and the port mapper."""
    server = next((found for script in _SCRIPTS if (found := shutil.which(script))), None)
    mapper = shutil.which("epmd", path=_ERLANG)
    return (server, mapper) if server and mapper else None


needs_rabbit = pytest.mark.skipif(_programs() is None, reason="no RabbitMQ here: install rabbitmq-server")


class Rabbit:
    """One node, in a folder of its own, with the user guest.

    Args:
        tls: A folder with certificates, for one that takes no connection without TLS and a certificate of its own.
    """

    def __init__(self, tls: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="blnk-relay-rabbit-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        programs = _programs()
        assert programs is not None
        self._server, mapper = programs
        self._control = str(Path(self._server).resolve().with_name("rabbitmqctl"))
        self.port, dist, names = _free_ports(3)
        home = Path(self._folder.name)
        self.tls = tls
        (home / "rabbitmq.conf").write_text(self._config())
        (home / "enabled_plugins").write_text("[].\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"blnk{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        # A port mapper of its own, which it would start else and leave behind.
        self._mapper = subprocess.Popen([mapper, "-port", str(names), "-address", "127.0.0.1"], env=self._environment)
        self.start()

    def _config(self) -> str:
        if self.tls is None:
            return f"listeners.tcp.default = 127.0.0.1:{self.port}\nloopback_users = none\n"
        lines = {
            "listeners.tcp": "none",
            "listeners.ssl.default": f"127.0.0.1:{self.port}",
            "ssl_options.cacertfile": self.tls / "ca.crt",
            "ssl_options.certfile": self.tls / "server.crt",
            "ssl_options.keyfile": self.tls / "server.key",
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
            "loopback_users": "none",
        }
        return "".join(f"{name} = {value}\n" for name, value in lines.items())

    @property
    def url(self) -> str:
        """Its address, without any word of certificates."""
        return f"{'amqps' if self.tls else 'amqp'}://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it, or start it again with what its files hold."""
        log = Path(self._folder.name) / "out.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [self._server], env=self._environment, stdout=out, stderr=out, start_new_session=True
            )
        try:
            wait_until(self._up, START_S, "RabbitMQ to listen", poll_s=0.2)
        except AssertionError:
            self.kill()
            raise AssertionError(log.read_text(errors="replace")[-2000:]) from None

    def _up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "RabbitMQ ended while it started"
        with suppress(OSError, KombuError), self.client() as connection:
            connection.connect()
            return True
        return False

    def client(self) -> Any:
        """A plain connection, to be closed by the caller."""
        files = {"ca_certs": "ca.crt", "certfile": "us.crt", "keyfile": "us.key"}
        ssl = {name: str(self.tls / file) for name, file in files.items()} if self.tls else False
        return Connection(self.url, ssl=ssl, connect_timeout=2, transport_options={"confirm_publish": True})

    def control(self, *words: str) -> None:
        """What an operator tells it."""
        done = subprocess.run(
            [self._control, "-q", *words],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        assert not done.returncode, done.stdout + done.stderr

    def kill(self) -> None:
        """SIGKILL for all of it."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def depth(self, queue: str) -> int:
        """Messages that lie in a queue and are nobody's; 0 where there is no such queue."""
        with self.client() as connection:
            try:
                return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
            except connection.channel_errors:
                return 0

    def stop(self) -> None:
        """Stop it for good and remove its files."""
        self.kill()
        self._mapper.kill()
        self._mapper.wait(20)
        self._folder.cleanup()


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def rabbit(tls: Path | None = None) -> Iterator[Rabbit]:
    """A RabbitMQ for as long as the block runs."""
    made = Rabbit(tls)
    try:
        yield made
    finally:
        made.stop()
