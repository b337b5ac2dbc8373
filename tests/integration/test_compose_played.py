"""The images and the compose file, played without an engine: the same steps, commands and settings, as processes here.

What an engine adds is left out: its network (names of services become this machine), its user, its base image.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from blnk_relay import Operator, Relay, Settings
from tests.support.payments import payment
from tests.support.prometheus import free_port
from tests.support.visiting import Visitor
from tests.support.waiting import wait_until
from worker.demo.valkey import start_valkey

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"]

#: Installing what an image holds, from an index of packages that may be slow.
INSTALL_S = 400.0
WAIT_S = 60.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]


def steps() -> dict[str, tuple[str, list[list[str]]]]:
    """Of each stage of the Dockerfile: what it begins with, and its steps, in words."""
    text = re.sub(r"\\\n", " ", (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    stages: dict[str, tuple[str, list[list[str]]]] = {}
    for line in filter(lambda line: line and not line.startswith("#"), text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            begins_with, _, name = rest.partition(" AS ")
            stages[name] = (begins_with, [])
        else:
            stages[name][1].append([word, rest.strip()])
    return stages


def built(stage: str, folder: Path) -> Path:
    """What a stage that builds leaves below /opt, made in a folder instead. Returns its folder of programs."""
    stages, begins_with, all_steps = steps(), stage, []
    while begins_with in stages:
        begins_with, more = stages[begins_with]
        all_steps = [*more, *all_steps]
    source, prefix = folder / "src", folder / "opt"
    source.mkdir(parents=True)
    for word, rest in all_steps:
        if word == "COPY":
            *copied, to = rest.split()
            for name in copied:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, source / to)
        elif word == "RUN":
            command = rest.replace("/opt/", f"{prefix}/").replace("--no-cache-dir ", "")
            ran = subprocess.run(
                ["sh", "-c", command],
                check=False,
                cwd=source,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
            )
            assert ran.returncode == 0, ran.stderr
    return prefix / "relay" / "bin"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict[str, Path]:
    """The programs of both images, by the stage that a service names."""
    made = {}
    for stage in ("sandbox", "worker"):
        [copied] = [rest for word, rest in steps()[stage][1] if word == "COPY"]
        from_stage = re.match(r"--from=(\S+) /opt/relay /opt/relay", copied)
        assert from_stage, copied
        made[stage] = built(from_stage[1], tmp_path_factory.mktemp(stage))
    return made


class Played:
    """The services of the compose file on this machine, each port of theirs by one that is free."""

    def __init__(self, images: dict[str, Path], valkey_port: int, stack: ExitStack) -> None:
        self._images = images
        self._stack = stack
        self._ports: defaultdict[str, int] = defaultdict(free_port, {"6379": valkey_port})

    def port(self, named: str) -> int:
        """The port that stands for one of the file."""
        return self._ports[named]

    def forget(self, named: str) -> int:
        """Let another port stand for one of the file from now on. Returns the one that did."""
        return self._ports.pop(named)

    def here(self, text: str) -> str:
        """A command or a setting of the file with the names and ports of this machine."""
        text = re.sub(r"\$\{\w+:-(\w*)\}", r"\1", text)
        text = re.sub(rf"//({'|'.join(SERVICES)}):", "//127.0.0.1:", text)
        return re.sub(r"\b(\d{4})\b", lambda found: str(self.port(found[1])), text)

    def start(self, name: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a service as its image would: its command, its environment, and nothing of ours but a PATH."""
        service = SERVICES[name]
        target = service["build"]["target"]
        [command] = [rest for word, rest in steps()[target][1] if word == "CMD"]
        words = service.get("command") or yaml.safe_load(command)
        [entry] = [rest for word, rest in steps()["base"][1] if word == "ENTRYPOINT"]
        environment = {key: self.here(str(value)) for key, value in service.get("environment", {}).items()}
        environment |= {"PATH": f"{self._images[target]}:{os.environ['PATH']}", "HOME": "/nonexistent"}
        return self._run([*yaml.safe_load(entry), *map(self.here, words)], env=environment, **options)

    def gate(self) -> None:
        """What stands in front of the console; its image is a program of the system's."""
        self._run(["socat", *map(self.here, SERVICES["gate"]["command"])])

    def _run(self, words: list[str], **options: Any) -> subprocess.Popen[Any]:
        program = shutil.which(words[0], path=options.get("env", os.environ)["PATH"])
        assert program, words
        process = subprocess.Popen([program, *words[1:]], cwd="/", text=True, **options)
        self._stack.callback(end, process)
        return process


def end(process: subprocess.Popen[Any]) -> None:
    """Tell a process to end, and see that it does."""
    process.terminate()
    process.wait(WAIT_S)
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def playing(images: dict[str, Path]) -> Iterator[Played]:
    command = SERVICES["valkey"]["command"]
    options = dict(zip((word.lstrip("-") for word in command[1::2]), command[2::2], strict=True))
    with ExitStack() as stack:
        server = start_valkey(options)
        stack.callback(server.stop)
        yield Played(images, server.port, stack)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.skipif(
    not shutil.which("socat"), reason="socat, which the compose file puts before the console, is not installed"
)
def test_what_the_compose_file_starts_works_together(images, monkeypatch):
    with playing(images) as played:
        ledger = played.start("ledger")
        workers = [played.start("worker")]
        # The engine gives each replica a network of its own; here the second needs ports of its own.
        metrics = played.forget("9464")
        workers.append(played.start("worker"))
        console = played.start("console", stdout=subprocess.PIPE)
        assert console.stdout is not None
        played.gate()

        for variable, value in SERVICES["console"]["environment"].items():
            monkeypatch.setenv(variable, played.here(value))
        monkeypatch.delenv("BLNK_RELAY_CONSOLE_URL")
        with Relay(Settings.from_env()) as relay:
            receipt = relay.enqueue(payment("composed."))
            wait_until(lambda: relay.get(receipt.id).state == "done", WAIT_S, "the payment to be done")
        with Operator.from_env() as operator:
            wait_until(lambda: not operator.verdicts(), WAIT_S, "nothing to be wrong, with the server as it is set")
        assert "blnk_relay_" in requests.get(f"http://127.0.0.1:{metrics}/metrics", timeout=10).text

        told = ""
        while "/signin#" not in told:
            line = console.stdout.readline()
            assert line, told
            told += line
        url, _, token = re.search(r"(http://\S+)/signin#(\S+)", told)[0].partition("/signin#")
        assert url == f"http://127.0.0.1:{played.port('8571')}", "the address that leads through the gate"
        wait_until(lambda: answers(f"{url}/healthz"), WAIT_S, "the console behind its gate")
        visitor = Visitor(url)
        assert visitor.post("/signin", token=token).status_code == 303
        assert "composed. transaction done applied" in visitor.page("/intents?state=done")
        for process in [*workers, console, ledger]:
            process.terminate()
            assert process.wait(float(SERVICES["worker"]["stop_grace_period"].rstrip("s"))) in {0, -15}, process.args


@pytest.mark.parametrize("stage", ["sandbox", "worker"])
def test_an_image_holds_what_its_commands_need(images, stage, tmp_path):
    environment = {"BLNK_RELAY_HISTORY_URL": f"sqlite:///{tmp_path}/history.db", "HOME": "/nonexistent"}
    for arguments in ("--version", "kinds", "console --help", "history upgrade"):
        ran = subprocess.run(
            [images[stage] / "blnk-relay", *shlex.split(arguments)],
            check=False,
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        assert ran.returncode == 0, ran.stderr
    needed = "cryptography, psycopg, authlib, joserfc, uvicorn"
    subprocess.run([images[stage] / "python", "-c", f"import {needed}"], check=True, env=environment, timeout=WAIT_S)
