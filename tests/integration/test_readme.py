"""The examples of README and production page, executed: Python in order, and every ``blnk-relay`` line."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from blnk_relay import NotFound, Relay, Status, Write, transaction
from tests.support.cli import run
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.cli.as_json import lane_json, overview_json
from worker.demo.stage import Stage, as_environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRODUCTION = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def commands_of(page: str) -> list[str]:
    lines = [line for block in blocks("console", page) for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.fixture(scope="module")
def stage():
    with Stage() as running:
        running.start_worker()
        yield running


def test_every_python_example_runs_and_prints_what_it_should(stage, monkeypatch, capsys):
    for name, value in as_environment(stage.settings).items():
        monkeypatch.setenv(name, value)
    namespace: dict[str, object] = {}
    examples = blocks("python")
    assert len(examples) == 5
    for example in examples:
        exec(compile(example, "README.md", "exec"), namespace)  # noqa: S102
    relay = namespace["relay"]
    assert isinstance(relay, Relay)
    assert wait_until(lambda: by_name(relay, "top-up-1002"), 60, "the payment that came by task name") == "applied"
    relay.close()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "True top-up-1001"
    assert printed[1].startswith("done applied txn_")
    assert printed[2] == "True"
    assert "float" in printed[3]
    assert printed[4:] == ["applied", "voided", "refunded", "applied"]
    assert stage.sandbox.books().violations() == []


#: Orders in which lanes are let go, and runs in which they never stop.
LANE_ORDERS = [*itertools.permutations(("transactions", "refunds", "inflight")), (), ()]


class OfOneRun(ast.NodeTransformer):
    """Gives the keys and balances of an example a name of their own, so that it can run again on the same ledger."""

    def __init__(self, run: int) -> None:
        self._suffix = f"-run{run}"

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        named = isinstance(node.value, str) and re.fullmatch(r"@?[a-z0-9:]+(-[a-z0-9]+)+", node.value)
        return ast.copy_location(ast.Constant(f"{node.value}{self._suffix}"), node) if named else node


class Conductor:
    """Stops all lanes before an example, and lets them go in a given order once the example waits for an outcome."""

    def __init__(self, relay: Relay, order: tuple[str, ...]) -> None:
        self._operator, self._order, self._stopped = operator_of(relay), order, list[str]()

    def stop(self) -> None:
        for lane in self._order:
            if lane not in self._stopped:
                self._operator.pause_lane(lane, who="test", reason="an order of its own")
                self._stopped.append(lane)

    def go(self) -> None:
        while self._stopped:
            self._operator.resume_lane(self._stopped.pop(0))
            wait_until(self._at_rest, 30, "what this lane can do while the others stand")

    def _at_rest(self) -> bool:
        now = self._operator.overview()
        return not now.sending and not now.posted and not any(lane.due for lane in now.lanes if not lane.paused)


@pytest.mark.timeout(300)
def test_every_python_example_does_the_same_in_whatever_order_the_workers_go(stage, monkeypatch, capsys):
    for name, value in as_environment(stage.settings).items():
        monkeypatch.setenv(name, value)
    stage.start_worker()
    wait = Relay.wait
    with Relay(stage.settings) as ours:
        for run, order in enumerate(LANE_ORDERS):
            conductor = Conductor(ours, order)

            def conducted(
                relay: Relay, key: str, timeout_s: float, *, conductor: Conductor = conductor, **options: str
            ) -> Status:
                conductor.go()
                return wait(relay, key, timeout_s, **options)

            monkeypatch.setattr(Relay, "wait", conducted)
            namespace: dict[str, object] = {}
            for example in blocks("python"):
                conductor.stop()
                exec(compile(OfOneRun(run).visit(ast.parse(example)), "README.md", "exec"), namespace)  # noqa: S102
            conductor.go()
            relay = namespace["relay"]
            assert isinstance(relay, Relay)
            named = f"top-up-1002-run{run}"
            assert wait_until(lambda: by_name(ours, named), 60, f"{named} in the order {order}") == "applied"  # noqa: B023
            relay.close()
            printed = capsys.readouterr().out.splitlines()
            assert printed[0] == f"True top-up-1001-run{run}", order
            assert printed[1].startswith("done applied txn_"), order
            assert printed[2] == "True", order
            assert printed[4:] == ["applied", "voided", "refunded", "applied"], order
    assert stage.sandbox.books().violations() == []


def by_name(relay: Relay, key: str) -> str:
    """The outcome of what came as a message; empty until a worker has taken it in and the ledger shows it."""
    try:
        return relay.get(key).outcome
    except NotFound:
        return ""


def test_every_command_of_the_operators_part_succeeds(stage, tmp_path, monkeypatch):
    with Relay(stage.settings) as relay:
        for number in (1, 2):
            poor = transaction(
                source="@nobody", destination="@shop", currency="EUR", amount="5.00", description="Too poor"
            )
            relay.enqueue_many([Write(intent=poor, key=f"poor-{number}")])
            assert relay.wait(f"poor-{number}", timeout_s=30).dead_class == "rejected"
    payload = {"source": "@world", "destination": "@bob", "currency": "EUR", "amount": "1.00", "description": "Pocket"}
    line = {"kind": "transaction", "key": "from-file-1", "payload": {**payload, "allow_overdraft": True}}
    (tmp_path / "payments.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    commands = commands_of(README)
    assert len(commands) >= 12
    run_all(commands, stage, tmp_path, monkeypatch)


def run_all(commands: Sequence[str], stage: Stage, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands as they stand in a page, in a folder of their own."""
    monkeypatch.chdir(folder)
    for name, value in as_environment(stage.settings).items():
        monkeypatch.setenv(name, value)
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "blnk-relay"
        done = run(*arguments)
        assert done.code == 0, f"{command}: {done.out} {done.err}"


def test_every_command_of_the_production_page_succeeds(stage, tmp_path, monkeypatch):
    commands = commands_of(PRODUCTION)
    assert len(commands) >= 3
    run_all(commands, stage, tmp_path, monkeypatch)


def test_what_the_production_page_says_to_alert_on_is_there(stage):
    with Relay(stage.settings) as relay:
        overview = operator_of(relay).overview()
        told = {*overview_json(overview, stage.settings), *lane_json(overview.lanes[0], stage.settings)}
    watched = re.findall(
        r"^\| `(\w+)`", PRODUCTION.partition("## What to watch")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert set(watched) >= {"dead", "oldest_open_s", "oldest_posted_s", "workers"}
    assert set(watched) <= told


def test_the_production_pages_python_examples_run(stage, capsys):
    with Relay(stage.settings) as relay:
        relay.enqueue(
            transaction(
                source="@world",
                destination="@shop",
                currency="EUR",
                amount="1.00",
                description="Seen",
                allow_overdraft=True,
            ),
            key="seen-in-production",
        )
        assert relay.wait("seen-in-production", timeout_s=60).outcome == "applied"
        names = {"relay": relay}
        for example in blocks("python", PRODUCTION):
            exec(compile(example, "production.md", "exec"), names)  # noqa: S102
    assert "seen-in-production done applied" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_settings_page_is_the_output_of_the_settings_module():
    from blnk_relay.catalogue.settings_page import described

    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == described(), "run: make docs"
