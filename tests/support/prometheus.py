"""Prometheus's own programs, where the machine has them: promtool judges, and a server scrapes and answers queries."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.waiting import wait_until

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"

#: Debian's package has both.
HINT = "is not installed (apt-get install prometheus), and only it can say"


def program(name: str) -> str:
    """Where one of them is; a test that needs it is skipped where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} {HINT}")
    return found


def promtool(*arguments: str, given: bytes = b"") -> str:
    """What promtool says, which has to be content."""
    done = subprocess.run([program("promtool"), *arguments], input=given, capture_output=True, timeout=60, check=False)
    told = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, told
    return told


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        number: int = held.getsockname()[1]
        return number


def answer_of(port: int, path: str) -> tuple[int, str]:
    """Status and body of what is served on this machine."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def is_served(port: int) -> bool:
    """Whether a worker answers there."""
    try:
        return answer_of(port, "/healthz")[0] == 200
    except OSError:
        return False


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """An exposition, by name and labels."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(text: str, name: str, **labels: str) -> float:
    """The sum of all series of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (found, has), value in samples(text).items() if found == name and wanted <= has)


class Server:
    """A Prometheus that scrapes a few ports of this machine each second."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **query: str) -> Any:
        """What its API answers."""
        url = f"{self._url}{path}?{urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on this machine
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """The series that a query has now."""
        found: list[Any] = self.ask("/api/v1/query", query=expression)["result"]
        return found

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            self.ask("/api/v1/status/buildinfo")
        except OSError:
            return False
        return True


@contextmanager
def running(ports: Sequence[int], folder: Path) -> Iterator[Server]:
    """A server that scrapes these ports, with our alerts, until it is no longer needed."""
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(MONITORING / "alerts.yaml")],
        "scrape_configs": [
            {"job_name": "blnk-relay", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
        ],
    }
    place = folder / "prometheus.yaml"
    place.write_text(json.dumps(config), encoding="utf-8")
    log = (folder / "prometheus.log").open("wb")
    server = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={place}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=log,
        stderr=log,
    )
    try:
        asked = Server(port)
        wait_until(asked.is_up, 30, "Prometheus to answer")
        yield asked
    finally:
        server.terminate()
        server.wait(20)
        log.close()
