"""The packages as they would be with a change that is not made: copied, changed there, and run from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blnk_relay import Settings
from worker.demo.stage import as_environment

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("blnk_relay", "tasks", "worker")

#: Longest wait for one of its processes.
WAIT_S = 60.0


def copied(folder: Path) -> Path:
    """Copy the packages into a folder."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def changed(path: Path, changes: Mapping[str, str]) -> None:
    """Change texts in a file of a copy, each of which has to stand there once."""
    text = path.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{path.name} has {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    path.write_text(text)


class House:
    """Commands of a copy.

    Args:
        folder: Where it is.
        settings: For all of them.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BLNK_RELAY_")}
        self.environment = {**clean, **as_environment(settings), "PYTHONPATH": str(folder)}
        self.folder = folder

    def run(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """The object that a command prints."""
        ran = self.process("-m", "worker.cli", *arguments, "--json", stdin=stdin)
        assert ran.stdout, ran.stderr
        document: dict[str, Any] = json.loads(ran.stdout)
        return document

    def process(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run Python on something of it to its end."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )

    def work(self) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return subprocess.Popen(
            [sys.executable, "-m", "worker.process"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
