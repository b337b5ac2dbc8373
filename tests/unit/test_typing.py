"""A typo in an application is an error of its type checker, and what is right is none."""

from __future__ import annotations

import ast
from pathlib import Path

from mypy import api

import blnk_relay

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = ROOT / "tests" / "typing" / "api.py"

TYPOS = """
from blnk_relay import Attempt, AsyncRelay, Event, PartStatus, Relay, Status, commit_hold, refund, transaction


def misspelt(status: Status, part: PartStatus, attempt: Attempt, event: Event, relay: Relay, queue: AsyncRelay) -> None:
    print(status.state == "done", status.outcome == "applied", status.dead_class == "unknown", part.status == "held")
    print(status.state == "don")  # wrong
    print(status.state in ("dead", "waitng"))  # fine for mypy, which looks at the tuple as text
    print(status.outcome == "aplied")  # wrong
    print(status.dead_class == "unkown")  # wrong
    print(part.status == "hold")  # wrong
    print(attempt.what == "send")  # wrong
    print(event.event == "canceled")  # wrong
    print(event.detail == "refund")  # wrong
    print(status.stat)  # wrong
    relay.enqueue(refund("order-42"), kee="order-42")  # wrong
    relay.wait("order-42", 60).state.result  # wrong
    commit_hold("order-42", ammount="1.00")  # wrong
    transaction(source="@a", destination="@b", currency="EUR", amount=10.5, description="A float")  # wrong
    print(queue.get("order-42").state)  # wrong
"""


def checked(path: Path) -> str:
    out, problems, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary", str(path)])
    assert not problems
    return out


def test_an_application_uses_all_that_is_public_without_an_error():
    tree = ast.parse(APPLICATION.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(blnk_relay.__all__) <= imported & used
    assert checked(APPLICATION) == ""


def test_each_typo_is_an_error(tmp_path):
    path = tmp_path / "misspelt.py"
    path.write_text(TYPOS, encoding="utf-8")
    errors = {int(line.split(":")[1]) for line in checked(path).splitlines() if ": error:" in line}
    assert errors == {at for at, line in enumerate(TYPOS.splitlines(), start=1) if line.endswith("# wrong")}
