"""An application's own `tasks` or `worker` on the path: the command says which file stands in its way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from worker.cli import exits

#: What the installed command does.
COMMAND = "import sys; from blnk_relay_worker import main; sys.argv[0] = 'blnk-relay'; sys.exit(main())"


def blnk_relay(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        check=False,
        cwd="/",
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("name", ["tasks.py", "worker.py", "tasks/__init__.py", "worker/__init__.py"])
def test_what_is_called_like_a_package_of_ours_is_named_and_nothing_of_it_runs(tmp_path: Path, name: str):
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("raise SystemExit('it ran')\n")
    ran = blnk_relay(f"{tmp_path}:{ROOT}", "--help")
    assert ran.returncode == exits.BAD_INPUT
    assert ran.stderr.startswith(f"Error: {theirs} stands in the way")
    assert "PYTHONPATH" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_behind_ours_it_is_in_nobodys_way(tmp_path: Path):
    (tmp_path / "tasks.py").write_text("raise SystemExit('it ran')\n")
    (tmp_path / "worker").mkdir()
    ran = blnk_relay(f"{ROOT}:{tmp_path}", "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    # A folder without code is no package where there is another.
    (tmp_path / "tasks.py").unlink()
    ran = blnk_relay(f"{tmp_path}:{ROOT}", "--version")
    assert (ran.returncode, ran.stderr) == (0, "")
