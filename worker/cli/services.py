"""Commands that run until they are stopped: ``worker`` and ``sandbox``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from worker.cli import exits
from worker.cli.options import answer_option, example
from worker.cli.output import emit, remark, say

#: worker.app.POOLS says the same; imported only when a worker runs.
POOLS = ("threads", "prefork", "solo")

_DEFAULT_RATE = 0.1

#: Where the key of the Core behind the sandbox's edge is read from; an option would show in process lists.
CORE_KEY = "BLNK_CORE_KEY"


@click.command(
    "worker",
    short_help="Run a worker that posts intents and confirms them.",
    epilog=example(
        "blnk-relay worker", "blnk-relay worker --lane refunds --lane inflight --pool prefork --concurrency 4"
    ),
)
@click.option("--lane", "lanes", multiple=True, help="Serve this lane only; again for more.  [default: all]")
@click.option("--pool", type=click.Choice(POOLS), default="threads", show_default=True, help="What runs the work.")
@click.option(
    "--concurrency", type=click.IntRange(1, 1000), help="Processes of the prefork pool.  [default: lanes + 1]"
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    help="Answer /metrics, /healthz and /readyz on this port; 0: on none.  [default: BLNK_RELAY_METRICS_PORT]",
)
@answer_option
def worker(lanes: tuple[str, ...], pool: str, concurrency: int | None, metrics_port: int | None, as_json: bool) -> None:
    """Run a worker until it is told to stop (Ctrl-C or SIGTERM); it finishes what it has in hand.

    Run as many as you like, on as many machines. The ledger and its credential are settings: BLNK_RELAY_BASE_URL,
    BLNK_RELAY_INSTANCE_ID, BLNK_RELAY_TOKEN; several ledgers are named by BLNK_RELAY_TARGETS.
    """
    from celery import signals

    from blnk_relay import Settings
    from worker.process import run_worker

    settings = Settings.from_env(**({} if metrics_port is None else {"metrics_port": metrics_port}))
    served = lanes or settings.lanes
    # Then each line on stderr is an object of the log, which says that it begins and stops.
    only_log = settings.log_format == "json"

    def tell(**_: Any) -> None:
        if as_json:
            first = next(iter(settings.ledgers.values())).base_url
            targets = {name: target.base_url for name, target in settings.ledgers.items()}
            emit({"pid": os.getpid(), "lanes": list(served), "pool": pool, "base_url": first, "targets": targets})
        elif not only_log:
            where = ", ".join(target.base_url for target in settings.ledgers.values())
            remark(f"Ready: {', '.join(served)} to {where}, pool {pool}. Stop with Ctrl-C.")

    signals.worker_ready.connect(tell, weak=False)
    # Celery says on the original stdout that it shuts down; our stdout is for the one object.
    beside = Path(os.devnull).open("w", encoding="utf-8") if only_log else sys.__stderr__  # noqa: SIM115 - open to the end
    sys.__stdout__ = beside  # type: ignore[misc]
    exits.leave(run_worker(settings, lanes=lanes, pool=pool, concurrency=concurrency or 0))


@click.command(
    "sandbox",
    short_help="Run a stand-in for Blnk Cloud and Core, in memory.",
    epilog=example(
        "blnk-relay sandbox",
        "blnk-relay sandbox --port 0 --seed 7 --fault-rate 0.2",
        "blnk-relay sandbox --upstream http://localhost:5001 --core-key-file /run/secrets/core",
    ),
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
@click.option(
    "--core-version",
    type=click.Choice(["0.15.2", "0.15.3", "0.15.4"]),
    help="Which release of Core it plays.  [default: 0.15.3]",
)
@click.option("--upstream", metavar="URL", help="Be only the edge in front of the Blnk Core that runs there.")
@click.option(
    "--core-key-file",
    type=click.Path(exists=True, dir_okay=False, readable=True),
    help=f"File with that Core's key; or set {CORE_KEY}.  [default: the sandbox's own]",
)
@answer_option
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
    core_version: str | None,
    upstream: str | None,
    core_key_file: str | None,
    as_json: bool,
) -> None:
    """Run a stand-in for Blnk Cloud and Core over real HTTP, in memory, until it is stopped.

    For trying out and for tests. With --seed or --fault-rate it misbehaves as networks and ledgers do.

    With --upstream it keeps no books: it is Cloud's edge (token, scopes, instance, injection, faults, Data and Filters
    API) in front of a Core of your own. That Core's key is read from a file or from the environment, never from the
    command line, where every process could see it. Uploads, matching rules and instant runs cannot be confirmed through
    it, because a Core has no route that shows them.
    """
    try:
        import aiohttp  # noqa: F401 - the sandbox imports it only when it starts

        from blnk_relay.sandbox import UPSTREAM_LIMITS, Faults, Options, serve_forever
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"the sandbox needs what is not installed: {error.name}. pip install 'blnk-relay[worker,sandbox]'"
        ) from None
    core = _checked_upstream(upstream)
    given = {"token": token, "instance_id": instance_id, "read_lag_s": read_lag, "apply_s": apply_delay}
    given["core_version"] = core_version
    if core is None:
        if core_key_file is not None:
            raise click.UsageError("--core-key-file is the key of a Core behind --upstream, which is not given.")
    else:
        # The lag of reads, the pace of the queue and the release are that Core's own.
        for name, value in (
            ("--read-lag", read_lag),
            ("--apply-delay", apply_delay),
            ("--core-version", core_version),
        ):
            if value is not None:
                raise click.UsageError(f"{name} is for the imitated Core; the one behind --upstream has its own.")
        given["core_key"] = _core_key(core_key_file)
    options = Options(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    faults = Faults.none()
    if seed is not None or fault_rate is not None:
        faults = Faults.seeded(seed or 0, _DEFAULT_RATE if fault_rate is None else fault_rate)

    def tell(url: str) -> None:
        if as_json:
            limits = None if core is None else UPSTREAM_LIMITS
            told = {"url": url, "instance_id": options.instance_id, "pid": os.getpid(), "upstream": core}
            emit(told | {"limits": limits})
            return
        behind = "" if core is None else f" in front of {core}"
        say(f"The sandbox listens on {url}{behind}. A worker finds it with:")
        say(f"  export BLNK_RELAY_BASE_URL={url}")
        say(f"  export BLNK_RELAY_INSTANCE_ID={options.instance_id}")
        say(f"  export BLNK_RELAY_TOKEN={options.token if token is None else '<the token you gave>'}")
        if core is not None:
            say(UPSTREAM_LIMITS)

    try:
        serve_forever(options, faults, host, port, tell, upstream=core)
    except OSError as error:
        raise exits.BadInput(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _checked_upstream(url: str | None) -> str | None:
    """The base URL of a Core, without a slash at the end; None where none is given.

    Raises:
        click.UsageError: It is no base URL. The sentence does not repeat it, because it may hold a password.
    """
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        # Reading the port is what finds a wrong one.
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment:
        raise click.UsageError("--upstream must be the base URL of a Core, such as http://localhost:5001.")
    if parts.username is not None or parts.password is not None:
        raise click.UsageError(f"--upstream must not hold credentials; the key of that Core comes from {CORE_KEY}.")
    return url.rstrip("/")


def _core_key(path: str | None) -> str | None:
    """The key of the Core behind the edge, from a file or the environment; None: the sandbox's own.

    Raises:
        click.UsageError: It is empty, or nothing that could stand in a header.
    """
    if path is not None:
        where = "the file of --core-key-file"
        try:
            key = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise click.UsageError(f"{where} cannot be read as text.") from None
    elif CORE_KEY in os.environ:
        where, key = CORE_KEY, os.environ[CORE_KEY].strip()
    else:
        return None
    if not key or not key.isascii() or not key.isprintable():
        raise click.UsageError(f"{where} must hold a key: one line of printable ASCII, not blank.")
    return key
