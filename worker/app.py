"""The Celery application of the workers, configured as Celery on Redis has to be (decisions 54 to 56)."""

from __future__ import annotations

import logging
import os
import sys
from tempfile import gettempdir
from typing import Any

from billiard import pool as billiard_pool
from celery import Celery, bootsteps, signals
from celery.concurrency import get_implementation

from blnk_relay.bell import check_broker, queue_of
from blnk_relay.errors import InvalidSettings
from blnk_relay.history.opening import database_of
from blnk_relay.relay import Relay
from blnk_relay.settings import CONFIRM_LANE, Settings, policy_of
from blnk_relay.transport.broker import Application, configuration
from blnk_relay.transport.queues import queue_named
from tasks.loops import see_through
from tasks.meter import Meter
from tasks.runtime import Reports, Runtime, install, stop, worker_name
from worker.audit.rolling import Auditor
from worker.broker import Broker, leave_packed, listening_options
from worker.by_name import ByName
from worker.copier import Archivist
from worker.ledger.ledgers import check_targets, ledger_of
from worker.shared import Shared
from worker.sweeper import Sweeper
from worker.telemetry import Telemetry

POOLS = ("threads", "prefork", "solo")

#: How often, every tenth of a second, a process of the prefork pool looks at its end whether its results were read.
_RESULT_TRIES = 5

#: How often a broker that has a word for it is asked whether it is there, twice; others are asked by their transport.
_HEARTBEAT_S = 10

#: The exit code for settings that cannot be used (docs/cli.md).
_BAD_SETTINGS = 2

_log = logging.getLogger(__name__)


def build_runtime(
    settings: Settings,
    relay: Relay | None = None,
    target: str | None = None,
    reports: Reports | None = None,
    meter: Meter | None = None,
) -> Runtime:
    """What the loops of one process share that work for one target, with real connections.

    Args:
        settings: The settings.
        relay: That of this process; one of its own when None.
        target: Its name; the first of the settings when None.
        reports: Where failures go that need a human; its own when None.
        meter: Told how long all takes; None where nobody measures.

    Raises:
        InvalidSettings: An instance or a credential is missing.
        NotFound: The settings name no such target.
    """
    relay, reports = relay or Relay(settings), reports or Telemetry(settings)
    name = next(iter(settings.ledgers)) if target is None else target
    journal = relay.journal(name)
    return Runtime(
        settings=settings,
        target=name,
        journal=journal,
        bells=relay.bells,
        ledger=ledger_of(settings, settings.ledgers[name], journal, reports, meter),
        reports=reports,
        meter=meter,
        policy=policy_of(settings),
        worker=worker_name(),
    )


def make_app(settings: Settings, processes: int | None = None) -> Celery:
    """The Celery application of a worker; also what ``celery -A worker.main`` finds.

    Args:
        settings: The settings.
        processes: How many processes its pool has; None where Celery decides.

    Raises:
        InvalidSettings: An instance or a credential of any target is missing: better now than at the first intent. Or
            what the broker needs is not installed.
    """
    check_targets(settings)
    check_broker(settings)
    if settings.history_url:
        database_of(settings).close()
    leave_packed()
    shared = Shared(settings, (os.cpu_count() or 1) if processes is None else processes)
    app = Application("blnk-relay-worker", settings, include=["tasks.celery_tasks"], amqp=Broker)
    app.conf.update(
        configuration(settings, listening_options(settings, shared.hear)),
        broker_heartbeat=_HEARTBEAT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A refusal (READONLY, OOM, BUSY …) is an answer to Celery, not a lost connection, and would end the worker.
        broker_channel_error_retry=True,
        broker_pool_limit=None,
        task_acks_late=True,
        task_create_missing_queues=True,
        task_default_queue=queue_of(settings, settings.lanes[0]),
        # What a worker listens to that is not told otherwise: without the last, nothing would ever be confirmed.
        task_queues=[queue_named(queue_of(settings, lane)) for lane in (*settings.lanes, CONFIRM_LANE)],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # After a lost connection it would listen with fewer places, and forget some for good.
        worker_enable_prefetch_count_reduction=False,
        worker_consumer="worker.consumer:Consumer",
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_serializer="json",
        accept_content=["json"],
    )
    install(settings, lambda target: build_runtime(settings, shared.relay, target, shared.reports, shared.meter))
    app.steps["worker"].update({Sweeper, ByName, Auditor, Archivist, Farewell})
    if settings.metrics_port:
        # What it needs takes its time to load, and memory.
        from worker.metrics.server import Front

        app.steps["worker"].add(Front)
    app.conf.blnk_relay = shared
    return app


@signals.worker_init.connect
def _refuse_other_pools(sender: Any, **_: Any) -> None:
    """Celery's own command knows pools that nothing here was made for; of an exception it would only tell its log."""
    try:
        check_pool(sender.pool_cls)
    except InvalidSettings as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(_BAD_SETTINGS)


def check_pool(pool: str | type) -> None:
    """See that a pool is one of ours, and has what it needs.

    Args:
        pool: Its name, or its class.

    Raises:
        InvalidSettings: It is not, or has not.
    """
    if pool not in (*POOLS, *map(get_implementation, POOLS)):
        name = pool if isinstance(pool, str) else pool.__module__.rpartition(".")[2]
        raise InvalidSettings(f"unknown pool {name!r}; use one of {', '.join(POOLS)}")
    if pool in ("prefork", get_implementation("prefork")):
        # Its locks are made there, and what Celery says without one is no sentence.
        try:
            gettempdir()
        except FileNotFoundError:
            raise InvalidSettings(
                "the pool prefork needs a folder that it may write temporary files to, such as /tmp or the one that "
                "TMPDIR names, and there is none: mount one, or use the pool threads."
            ) from None


@signals.worker_shutting_down.connect
def _stop_claiming(**_: Any) -> None:
    """A warm shutdown settles what is in hand and claims nothing new."""
    stop()


class Farewell(bootsteps.StartStopStep):
    """Waits at the end of a worker for the loops of its own process: what is begun is seen through."""

    #: It is stopped before the sweeper, which tells others what will be due of what loops have settled last.
    requires = ("celery.worker.components:Pool", Sweeper)

    def start(self, _parent: Any) -> None:
        """There is nothing to begin."""

    def stop(self, _parent: Any) -> None:
        """Wait; the processes of its pool, which end after it, claim nothing more meanwhile."""
        stop()
        see_through()


@signals.worker_process_shutdown.connect
def _see_through(**_: Any) -> None:
    """The same at the end of a process of the prefork pool."""
    see_through()


@signals.worker_process_init.connect
def _expect_no_reader(**_: Any) -> None:
    """A process of the prefork pool ends without its results having been read: there is nothing in them.

    Celery drops what its processes have not taken up yet when it begins to stop, and reads no result of it. A process
    that had just got a bell then waited half a minute for somebody to read that it was done.
    """
    billiard_pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _RESULT_TRIES


def worker_options(
    settings: Settings, lanes: tuple[str, ...], pool: str, concurrency: int, name: str
) -> dict[str, Any]:
    """The options of Celery's own worker for one of ours.

    Args:
        settings: The settings.
        lanes: Lanes to serve; the read-back is always served as well.
        pool: ``threads``, ``prefork`` or ``solo``.
        concurrency: With ``prefork``: processes. Whatever it is, each lane of each target that has work has a loop.
        name: Celery node name.

    Raises:
        InvalidSettings: A lane or the pool is unknown.
    """
    unlisted = [lane for lane in lanes if lane not in settings.lanes]
    if unlisted:
        raise InvalidSettings(f"unknown lane {unlisted[0]!r}; BLNK_RELAY_LANES lists {', '.join(settings.lanes)}")
    check_pool(pool)
    return {
        "quiet": True,  # its banner would stand on stdout, which is the command line's
        "queues": [queue_of(settings, lane) for lane in (*lanes, CONFIRM_LANE)],
        "pool": pool,
        "concurrency": concurrency,
        "hostname": name,
        "without_gossip": True,
        "without_mingle": True,
        "without_heartbeat": True,
        "loglevel": "WARNING",
    }
