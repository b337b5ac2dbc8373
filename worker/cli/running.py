"""Commands that run until they are stopped: ``worker`` and ``sandbox``."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from worker.cli import exits
from worker.cli.options import example, json_option
from worker.cli.output import emit, remark, say

#: worker.app.POOLS says the same; imported only when a worker runs.
POOLS = ("threads", "prefork", "solo")

_DEFAULT_RATE = 0.1


@click.command(
    "worker",
    short_help="Run a worker that posts intents and confirms them.",
    epilog=example("blnk-relay worker", "blnk-relay worker --lane refunds --lane inflight --concurrency 4"),
)
@click.option("--lane", "lanes", multiple=True, help="Serve this lane only; again for more.  [default: all]")
@click.option("--pool", type=click.Choice(POOLS), default="threads", show_default=True, help="How tasks run.")
@click.option("--concurrency", type=click.IntRange(1, 1000), help="Tasks at a time.  [default: lanes + 1]")
@json_option
def worker(lanes: tuple[str, ...], pool: str, concurrency: int | None, as_json: bool) -> None:
    """Run a worker until it is told to stop (Ctrl-C or SIGTERM); it finishes what it has in hand.

    Run as many as you like, on as many machines. The ledger and its credential are settings: BLNK_RELAY_BASE_URL,
    BLNK_RELAY_INSTANCE_ID, BLNK_RELAY_TOKEN; several ledgers are named by BLNK_RELAY_TARGETS.
    """
    from celery import signals

    from blnk_relay import Settings
    from worker.running import run_worker

    settings = Settings.from_env()
    served = lanes or settings.lanes

    def tell(**_: Any) -> None:
        if as_json:
            first = next(iter(settings.ledgers.values())).base_url
            targets = {name: target.base_url for name, target in settings.ledgers.items()}
            emit({"pid": os.getpid(), "lanes": list(served), "pool": pool, "base_url": first, "targets": targets})
        else:
            where = ", ".join(target.base_url for target in settings.ledgers.values())
            remark(f"Ready: {', '.join(served)} to {where}, pool {pool}. Stop with Ctrl-C.")

    signals.worker_ready.connect(tell, weak=False)
    # Celery says on the original stdout that it shuts down; our stdout is for the one object.
    sys.__stdout__ = sys.__stderr__  # type: ignore[misc]
    run_worker(settings, lanes=lanes, pool=pool, concurrency=concurrency or 0)


@click.command(
    "sandbox",
    short_help="Run a stand-in for Blnk Cloud and Core, in memory.",
    epilog=example("blnk-relay sandbox", "blnk-relay sandbox --port 0 --seed 7 --fault-rate 0.2"),
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=5010, show_default=True, help="0: any free port.")
@click.option("--token", help="The bearer token that is allowed everything.  [default: blnk_sandbox]")
@click.option("--instance-id", help="The instance that it serves.  [default: inst_sandbox]")
@click.option("--seed", type=int, help="Faults on, drawn with this seed.")
@click.option(
    "--fault-rate",
    type=click.FloatRange(0, 1),
    help=f"Faults on, for this share of writes.  [default: {_DEFAULT_RATE}]",
)
@click.option("--read-lag", type=click.FloatRange(0), help="Seconds that a stored row stays invisible to reads.")
@click.option("--apply-delay", type=click.FloatRange(0), help="Seconds from a queued row to its outcome.")
@json_option
def sandbox(
    *,
    host: str,
    port: int,
    token: str | None,
    instance_id: str | None,
    seed: int | None,
    fault_rate: float | None,
    read_lag: float | None,
    apply_delay: float | None,
    as_json: bool,
) -> None:
    """Run a stand-in for Blnk Cloud and Core over real HTTP, in memory, until it is stopped.

    For trying out and for tests. With --seed or --fault-rate it misbehaves as networks and ledgers do.
    """
    try:
        import aiohttp  # noqa: F401 - the sandbox imports it only when it starts

        from sandbox import Faults, Options, serve_forever
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"the sandbox needs what is not installed: {error.name}. pip install 'blnk-relay[worker,sandbox]'"
        ) from None
    given = {"token": token, "instance_id": instance_id, "read_lag_s": read_lag, "apply_s": apply_delay}
    options = Options(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    faults = Faults.none()
    if seed is not None or fault_rate is not None:
        faults = Faults.seeded(seed or 0, _DEFAULT_RATE if fault_rate is None else fault_rate)

    def tell(url: str) -> None:
        if as_json:
            emit({"url": url, "instance_id": options.instance_id, "pid": os.getpid()})
            return
        say(f"The sandbox listens on {url}. A worker finds it with:")
        say(f"  export BLNK_RELAY_BASE_URL={url}")
        say(f"  export BLNK_RELAY_INSTANCE_ID={options.instance_id}")
        say(f"  export BLNK_RELAY_TOKEN={options.token if token is None else '<the token you gave>'}")

    try:
        serve_forever(options, faults, host, port, tell)
    except OSError as error:
        raise exits.BadInput(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
