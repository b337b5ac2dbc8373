"""What is in the two wheels: an application that only enqueues never gets `tasks` or `worker` (decision 36)."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from blnk_relay import __version__

ROOT = Path(__file__).parents[2]
PROJECTS = {"blnk_relay": ROOT, "blnk_relay_worker": ROOT / "wheels" / "worker"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, zipfile.ZipFile]:
    """Both wheels, by the name of the distribution, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    for project in PROJECTS.values():
        subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=60)
    return {name: zipfile.ZipFile(next(folder.glob(f"{name}-{__version__}-*.whl"))) for name in PROJECTS}


def _tops(wheel: zipfile.ZipFile) -> set[str]:
    return {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}


def _metadata(wheel: zipfile.ZipFile, file: str) -> str:
    (name,) = [name for name in wheel.namelist() if name.endswith(f".dist-info/{file}")]
    return wheel.read(name).decode()


def test_a_producer_gets_one_name_at_the_top_of_its_site_packages(wheels):
    assert _tops(wheels["blnk_relay"]) == {"blnk_relay"}
    names = wheels["blnk_relay"].namelist()
    assert "blnk_relay/sandbox/server.py" in names
    assert "blnk_relay/journal/scripts/accept.lua" in names
    assert "blnk_relay/py.typed" in names


def test_a_producer_has_no_command_that_would_not_run(wheels):
    assert "console_scripts" not in _metadata(wheels["blnk_relay"], "entry_points.txt")
    assert "blnk-relay = blnk_relay_worker:main" in _metadata(wheels["blnk_relay_worker"], "entry_points.txt")


def test_workers_get_the_rest(wheels):
    assert _tops(wheels["blnk_relay_worker"]) == {"blnk_relay_worker.py", "tasks", "worker"}
    names = wheels["blnk_relay_worker"].namelist()
    assert {"tasks/py.typed", "worker/py.typed", "worker/cli/commands.py"} <= set(names)
    assert {"worker/console/templates/base.html", "worker/console/static/htmx-LICENSE.txt"} <= set(names)
    assert not any("__pycache__" in name for name in names)


def test_the_two_are_of_one_version():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["worker"] == [f"blnk-relay-worker=={__version__}"]
    worker = tomllib.loads((PROJECTS["blnk_relay_worker"] / "pyproject.toml").read_text())["project"]
    assert f"blnk-relay=={__version__}" in worker["dependencies"]
