"""Drills in which wall clocks are set, back and forth, while steady clocks go on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.drills.crew import RAISES, Sort
from tests.drills.report import Report, Terms, too_few
from tests.drills.scene import Scene
from tests.support.door import Door
from tests.support.shim import Clock, NoCompiler, build, run_clocks
from tests.support.valkey import LastingValkey

#: What somebody sets a clock by: less than a lease, some leases, some hours; back and forth.
_STEPS_S = (-7200.0, -3600.0, -300.0, -45.0, -5.0, 5.0, 45.0, 300.0, 3600.0, 7200.0)

#: How fast the clocks go while the ledger is away, and how often some of the story is told meanwhile.
_RATE, _TURNS = 60, 20

#: Names the file of the clocks in a process that goes by them.
_HOUR = "DRILL_CLOCK_FILE"

#: A line of a worker's log: its time, and who wrote it.
_LINE = re.compile(r"(\d{4}-\S+Z) .*\[worker=([^\s\]]+)")

#: What is a second by these clocks is little for a machine that goes on as before.
_HOURLY: Mapping[str, Any] = {
    "redis_timeout_s": 60.0,
    "durability_timeout_s": 30.0,
    "connect_timeout_s": 10.0,
    "read_timeout_s": 10.0,
    "sync_read_timeout_s": 10.0,
    "lease_s": 240.0,
    "dead_worker_s": 120.0,
    "stalled_s": 600.0,
    "probe_s": 5.0,
}


def clock_redis(terms: Terms) -> Report:
    """The clock of Redis steps back and forth, up to two hours, while workers are killed and frozen."""
    return _with_library("clock-redis", terms, _redis)


def clock_workers(terms: Terms) -> Report:
    """The clocks of single workers, each its own, step back and forth, up to two hours, and at last so does Redis's."""
    return _with_library("clock-workers", terms, _workers)


def target_hour(terms: Terms) -> Report:
    """The ledger is away for an hour of all clocks, which go sixty times as fast meanwhile; connects are counted."""
    return _with_library("target-hour", terms, _hour)


def _with_library(name: str, terms: Terms, play: Callable[[Terms, Path, Path], Report]) -> Report:
    with tempfile.TemporaryDirectory(prefix="blnk-relay-clock-") as folder:
        try:
            library = build(Path(folder))
        except NoCompiler as error:
            return Report(name, terms.seed, skipped=str(error))
        return play(terms, library, Path(folder))


class _Gateway(Door):
    """A fixed address before the ledger of a scene, which can be shut."""

    def __init__(self) -> None:
        super().__init__(0)

    @property
    def target(self) -> int:
        """The ledger's port."""
        return self.leads_to

    @target.setter
    def target(self, port: int) -> None:
        self.leads_to = port
        self.open()

    def stop(self) -> None:
        """Give the port back."""
        self.close()


def _hour(terms: Terms, library: Path, folder: Path) -> Report:
    """Play it in a process whose own clocks, and those of all that it starts, are the drill's."""
    if _HOUR not in os.environ:
        clock = Clock(library, folder / "all")
        command = [sys.executable, "-m", "tests.drills", "--alone", "--only", "target-hour", "--seed", str(terms.seed)]
        command += ["--pool", terms.pool, *(["--quick"] if terms.quick else [])]
        command += ["--log", str(terms.log)] if terms.log else []
        whole = {**os.environ, **clock.environment, _HOUR: str(folder / "all")}
        start_s = time.monotonic()
        done = subprocess.run(command, env=whole, stdout=subprocess.PIPE, text=True, check=False)
        # It counts by its own clocks.
        return replace(Report.of_line(done.stdout), seconds=round(time.monotonic() - start_s, 1))
    clock = Clock(library, Path(os.environ[_HOUR]))
    gateway = _Gateway()
    away_s = terms.of(3_600, 600)
    with Scene("target-hour", terms, intents=terms.of(200, 100), workers=2, settings=_HOURLY, front=gateway) as scene:
        settings = scene.stage.settings
        before_s, wall_s = time.monotonic(), time.time()
        gateway.shut()
        clock.count(gateway.port)
        run_clocks(_RATE)
        try:
            for _ in scene.blows(_TURNS, (away_s / _TURNS, away_s / _TURNS)):
                scene.struck("turn")
        finally:
            run_clocks(1)
        gone_s = time.monotonic() - before_s
        connects = clock.connects
        gateway.open()
        # One probe at a time for reads and one for writes; and what was on its way as it went.
        most = round(2 * gone_s / settings.probe_s) + 2 * 2 * settings.connections
        scene.struck("connect", connects)
        report = scene.report(
            {"connect": round(gone_s / settings.probe_s / 4)},
            alive=True,
            away_s=round(gone_s),
            rate=_RATE,
            wall_s=round(time.time() - wall_s),
            most_connects=most,
            probe_s=settings.probe_s,
        )
        return report if connects <= most else report.wrong(f"stampede: {connects} connects in {gone_s:.0f} s")


def _redis(terms: Terms, library: Path, folder: Path) -> Report:
    number = terms.of(20, 6)
    clock = Clock(library, folder / "redis")
    with Scene("clock-redis", terms, intents=terms.of(300, 100), valkey=LastingValkey(clock=clock)) as scene:
        restarts = 0
        for turn in scene.blows(number, (0.5, 2.5)):
            seconds = scene.rng.choice(_STEPS_S)
            if turn % 6 == 5:
                # It was set while the server was away.
                scene.valkey.crash()
                clock.step(seconds)
                scene.valkey.start()
                restarts += 1
            else:
                clock.step(seconds)
            scene.struck("step_back" if seconds < 0 else "step_forward")
            if turn % 4 == 1:
                scene.struck("kill", scene.crew.kill(scene.rng.choice(scene.crew.present())))
            if turn % 4 == 3:
                _nap(scene, 1.5)
        return scene.report(
            least_of_redis(number),
            restarts=restarts,
            alive=True,
        )


def _workers(terms: Terms, library: Path, folder: Path) -> Report:
    number = terms.of(24, 6)
    clocks = [Clock(library, folder / f"worker-{place}") for place in range(3)]
    server = Clock(library, folder / "redis")
    sizes = {Sort(RAISES, clock.environment): 1 for clock in clocks}
    begin = datetime.now(UTC)
    with Scene(
        "clock-workers", terms, intents=terms.of(300, 100), workers=sizes, valkey=LastingValkey(clock=server)
    ) as scene:
        for turn in scene.blows(number, (0.3, 1.5)):
            seconds = scene.rng.choice(_STEPS_S)
            one = server if turn == number - 1 else scene.rng.choice(clocks)
            one.step(seconds)
            scene.struck("step_back" if seconds < 0 else "step_forward")
            if turn % 4 == 1:
                scene.struck("kill", scene.crew.kill(scene.rng.choice(scene.crew.present())))
        report = scene.report(least_of_workers(number), alive=True)
        # Those that were there at the end have said goodbye by now.
        lines = scene.stage.log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = len(astray(lines, begin, datetime.now(UTC)))
        report = replace(report, figures={**report.figures, "astray": told})
        for sentence in too_few({"astray": told}, {"astray": least_astray(number)}):
            report = report.wrong(sentence)
        return report


def least_of_redis(number: int) -> Mapping[str, int]:
    """What has to fall and show of so many steps of the clock of Redis; two that come close may be noticed as one."""
    return {
        "step_back": 1,
        "step_forward": 1,
        "kill": number // 4,
        "freeze": number // 4,
        "noticed": number // 2,
    }


def least_of_workers(number: int) -> Mapping[str, int]:
    """The same of so many steps, of which the last is Redis's: nobody notices that the clock of a worker steps."""
    return {"step_back": 1, "step_forward": 1, "kill": number // 4, "noticed": 1}


def least_astray(number: int) -> int:
    """Of how many workers the log has to show that they went by a clock that was set, after so many steps."""
    return max(1, number // 8)


def astray(lines: Iterable[str], begin: datetime, end: datetime) -> frozenset[str]:
    """Workers that have written into the log a time at which nothing was played, so that their clocks were set. Pure.

    Args:
        lines: Of the log of all workers.
        begin: Since then they have been there, by a clock that nobody set.
        end: And until then.

    Example:
        >>> ten, eleven = datetime(2030, 1, 1, 10, tzinfo=UTC), datetime(2030, 1, 1, 11, tzinfo=UTC)
        >>> sorted(astray(["2030-01-01T12:30:00.000Z INFO stop: it stops [worker=host:7 ended=1]"], ten, eleven))
        ['host:7']
    """
    found = (match.groups() for line in lines if (match := _LINE.match(line)))
    return frozenset(who for at, who in found if not begin <= datetime.fromisoformat(at) <= end)


def _nap(scene: Scene, seconds: float) -> None:
    """One worker is frozen while a clock steps."""
    worker = scene.rng.choice(scene.crew.present())
    scene.crew.freeze(worker)
    time.sleep(seconds)
    scene.crew.wake(worker)
    scene.struck("freeze")
