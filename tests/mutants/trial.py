"""Whether the tests catch a bug: run in a copy, within a time, and what came of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.mutants.copies import environment
from tests.mutants.mutant import Mutant

#: How long tests that are told to stop have to end what they started.
_FAREWELL_S = 10.0

#: Words of a failure that say that the code does not even load: such a bug is none that a test has to find.
_UNLOADED = (
    "SyntaxError",
    "IndentationError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "Error compiling script",
    "nonexistent global variable",
)

#: Exit codes of pytest, of which all but these two say that it could not run what it was given.
_PASSED, _FAILED = 0, 1


class End(StrEnum):
    """What came of a run."""

    CAUGHT = "caught"  #: A test said no.
    SURVIVED = "survived"  #: All passed.
    LATE = "late"  #: They were not through within the time.
    BROKEN = "broken"  #: Nothing was tried: it does not load, or the tests are not there.


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of the tests in a copy.

    Attributes:
        end: What.
        by: The test that said no, or the seeds.
        seconds: How long it took.
        words: What there was to be read, where it is neither caught nor survived.
    """

    end: End
    by: str
    seconds: float
    words: str = ""


def tried(folder: Path, mutant: Mutant) -> Trial:
    """Run what ought to catch a bug, one after the other until something does."""
    seconds = 0.0
    trial = Trial(End.BROKEN, "", 0.0, "nothing was run")
    if mutant.tests:
        trial = run_tests(folder, mutant.tests, mutant.within_s)
        seconds = trial.seconds
    if mutant.seeds and trial.end is not End.CAUGHT:
        trial = run_seeds(folder, mutant.seeds, mutant.within_s)
        seconds += trial.seconds
    return Trial(trial.end, trial.by, seconds, trial.words)


def run_tests(folder: Path, tests: Sequence[str], within_s: float) -> Trial:
    """Run tests in a copy until one fails."""
    with tempfile.TemporaryDirectory(prefix="blnk-relay-report-") as place:
        report = Path(place) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        code, seconds, words = _run(folder, command, within_s)
        if code is None:
            return Trial(End.LATE, "", seconds, words)
        if code == _PASSED:
            return Trial(End.SURVIVED, "", seconds)
        failure = _failure(report) if code == _FAILED else None
    if failure is None:
        return Trial(End.BROKEN, "", seconds, words)
    by, told = failure
    if any(word in told for word in _UNLOADED):
        return Trial(End.BROKEN, by, seconds, told)
    return Trial(End.CAUGHT, by, seconds, told)


def run_seeds(folder: Path, seeds: int, within_s: float) -> Trial:
    """Run the simulator over seeds in a copy until one fails."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", str(seeds)]
    code, seconds, words = _run(folder, command, within_s)
    if code is None:
        return Trial(End.LATE, "", seconds, words)
    if code == _PASSED:
        return Trial(End.SURVIVED, "", seconds)
    if code != _FAILED or any(word in words for word in _UNLOADED):
        return Trial(End.BROKEN, "", seconds, words)
    return Trial(End.CAUGHT, f"the simulator, {seeds} seeds", seconds, words)


def _failure(report: Path) -> tuple[str, str] | None:
    """The test that failed, and what it said; None where it was not the test itself that did, but what it stands on."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        failed = case.find("failure")
        if failed is not None:
            file = case.get("classname", "").replace(".", "/") + ".py"
            return f"{file}::{case.get('name')}", failed.get("message", "")
    return None


def _run(folder: Path, command: Sequence[str], within_s: float) -> tuple[int | None, float, str]:
    """Exit code (None: it was not through in time), seconds, and the last of what was said."""
    start_s = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        # In a group of its own, so that it can be stopped with all that it started.
        with subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as running:
            try:
                code: int | None = running.wait(within_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _stop(running)
        said.seek(0)
        return code, time.monotonic() - start_s, said.read()[-3000:]


def _stop(running: subprocess.Popen[bytes]) -> None:
    """First as a person would, so that the tests stop the servers that they started; then what is left of the group."""
    if running.poll() is None:
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(_FAREWELL_S)
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
