"""The compose file, read as compose would read it: no container engine is needed to see that it hangs together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from blnk_relay import Settings
from worker.cli.commands import cli
from worker.console.settings import ConsoleSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]

#: What may stand at the head of the file, as the specification of compose has it.
HEADS = {"name", "services", "networks", "volumes", "configs", "secrets"}


def environment(name: str, patch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        patch.setenv(variable, value)


def test_each_service_is_one_and_names_only_what_is_there():
    assert set(COMPOSE) <= HEADS
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    for name, config in COMPOSE["configs"].items():
        assert set(config) <= {"content", "file", "name", "environment"}, name
    for name, service in SERVICES.items():
        assert ("image" in service) != ("build" in service), name
        if "build" in service:
            assert service["build"]["target"] in stages, name
            assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert service.get("command", ["worker"])[0] in cli.commands, name
        others = [*service.get("depends_on", ()), *filter(None, [service.get("network_mode", "").partition(":")[2]])]
        assert set(others) <= set(SERVICES), name
        assert {config["source"] for config in service.get("configs", ())} <= set(COMPOSE["configs"])
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / "docker" / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_workers_are_asked_whether_they_are_well_by_a_command_that_there_is():
    how, program, command, *arguments = SERVICES["worker"]["healthcheck"]["test"]
    assert (how, program) == ("CMD", "blnk-relay")
    assert not cli.commands[command].load().make_context(command, arguments).params["ready"]  # type: ignore[attr-defined]


def test_images_have_what_any_setting_of_their_services_may_need():
    """Installed for real by tests/integration/test_compose_played.py, which takes minutes."""
    parts = {"history": "wheels/worker", "console": "wheels/worker", "encryption": ""}
    text = re.sub(r"\\\n", " ", (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    installed = [line for line in text.splitlines() if "pip install" in line]
    assert installed
    for line in installed:
        for extra, of in parts.items():
            assert re.search(rf"'\.{re.escape('/' + of if of else '')}\[[^\]']*\b{extra}\b", line), (extra, line)


def test_the_console_begins_with_its_settings_and_is_reached_where_it_says(monkeypatch):
    environment("console", monkeypatch)
    command, *arguments = SERVICES["console"]["command"]
    given = cli.commands[command].load().make_context(command, arguments).params  # type: ignore[attr-defined]
    ours = ConsoleSettings.from_env(host=given["host"], port=given["port"])
    assert Settings.from_env().base_url == "http://ledger:8080"
    # What stands in front of it shares its network, and is what the machine's port leads to.
    front = SERVICES[SERVICES["console"]["network_mode"].removeprefix("service:")]
    listens, leads_to = front["command"]
    assert leads_to == f"TCP:{ours.host}:{ours.port}"
    [port] = front["ports"]
    assert port.startswith("127.0.0.1:"), "not for others: whoever has the token may do everything"
    assert ours.url == f"http://{port.rpartition(':')[0]}"
    assert listens.partition(",")[0] == f"TCP-LISTEN:{port.rpartition(':')[2]}"


def test_workers_and_the_console_look_at_one_journal(monkeypatch):
    seen = []
    for name in ("worker", "console"):
        with monkeypatch.context() as patch:
            environment(name, patch)
            settings = Settings.from_env()
            seen.append((settings.redis_url, settings.instance_id, settings.token))
    assert seen[0] == seen[1]
