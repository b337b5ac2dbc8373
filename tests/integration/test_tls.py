"""A Redis that is spoken to with TLS only, and wants to see a certificate: for the journal and for the broker alike."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from blnk_relay import AsyncRelay, JournalUnavailable, Relay, Settings
from tests.support.certificates import both_certified
from tests.support.payments import payment
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")


@dataclass(frozen=True)
class Secured:
    """A server with TLS, and the files that a client needs."""

    port: int
    folder: Path

    @property
    def files(self) -> dict[str, Any]:
        return {
            "redis_ca_bundle": str(self.folder / "ca.crt"),
            "redis_client_cert": str(self.folder / "us.crt"),
            "redis_client_key": str(self.folder / "us.key"),
        }


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[Secured]:
    """A server with TLS, and perhaps more options."""
    if SERVER is None or shutil.which("openssl") is None:
        pytest.skip("needs a redis-server with TLS and openssl on the machine; the embedded Valkey has no TLS")
    both_certified(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("wb") as log:
        # fmt: off
        process = subprocess.Popen(
            [
                SERVER, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes",
                "--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.crt",
                "--tls-auth-clients", "yes", *more,
            ],
            cwd=folder, stdout=log, stderr=log,
        )
        # fmt: on
    made = Secured(port, folder)
    try:
        wait_until(lambda: process.poll() is not None or answers(made), 10, "the server")
        if process.poll() is not None:
            pytest.skip(f"{SERVER} of this machine did not start with TLS")
        yield made
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: Any) -> Iterator[Secured]:
    with serving(tmp_path_factory.mktemp("tls")) as made:
        yield made


def client_of(secured: Secured) -> redis.Redis:
    names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    files = dict(zip(names, secured.files.values(), strict=True))
    return redis.Redis(host="127.0.0.1", port=secured.port, ssl=True, **files)


def answers(secured: Secured) -> bool:
    with client_of(secured) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


@pytest.mark.parametrize("how", ["settings", "address"])
def test_a_payment_goes_all_the_way_over_tls_with_a_certificate(secured, how):
    files = secured.files
    url = f"rediss://127.0.0.1:{secured.port}/0"
    if how == "address":
        names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
        url += "?" + "&".join(f"{name}={path}" for name, path in zip(names, files.values(), strict=True))
        files = {}

    async def run(settings: Settings) -> None:
        async with AsyncRelay(settings) as relay:
            assert (await relay.enqueue(payment(f"async-{how}."))).created

    with Stage(settings={"redis_url": url, "namespace": how, **files}) as stage:
        stage.start_worker()
        with Relay(stage.settings) as relay:
            relay.enqueue(payment(f"order-{how}."))
            asyncio.run(run(stage.settings))
            for key in (f"order-{how}.", f"async-{how}."):
                assert relay.wait(key, timeout_s=30).outcome == "applied"
        assert "cannot be" not in stage.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", ["redis_ca_bundle", "redis_client_cert"])
def test_without_its_certificate_or_the_authority_nothing_is_enqueued(secured, missing):
    files = {name: path for name, path in secured.files.items() if missing == "redis_ca_bundle" and name != missing}
    if missing == "redis_client_cert":
        files = {"redis_ca_bundle": secured.files["redis_ca_bundle"]}
    settings = Settings(redis_url=f"rediss://127.0.0.1:{secured.port}/0", **files)
    with Relay(settings) as relay, pytest.raises(JournalUnavailable):
        relay.enqueue(payment("order."))


def test_nodes_of_a_cluster_are_asked_and_used_with_tls(tmp_path, valkey):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bus = probe.getsockname()[1]
    with serving(tmp_path, "--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", str(bus)) as node:
        with client_of(node) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", 20, "the cluster")
        settings = Settings(
            redis_url=f"rediss+cluster://127.0.0.1:{node.port}",
            broker_url=f"redis://127.0.0.1:{valkey.port}/1",
            **node.files,
        )

        async def run() -> None:
            async with AsyncRelay(settings) as relay:
                assert (await relay.enqueue(payment("async."))).created

        with Relay(settings) as relay:
            assert relay.enqueue(payment("order.")).created
            asyncio.run(run())
            assert relay.get("async.").state == "ready"
