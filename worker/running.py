"""Starting a worker process."""

from __future__ import annotations

import logging
import os
import socket

from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.journal import Journal
from blnk_relay.settings import Settings
from worker.app import make_app, worker_arguments

_log = logging.getLogger(__name__)


def run_worker(settings: Settings, *, lanes: tuple[str, ...] = (), pool: str = "threads", concurrency: int = 0) -> None:
    """Run a worker until it is told to stop.

    Args:
        settings: The settings.
        lanes: Lanes to serve; all when empty.
        pool: ``threads`` (recommended: it stops within a second), ``prefork`` or ``solo``.
        concurrency: Tasks at a time; 0 for one a lane and one for the read-back.

    Raises:
        InvalidSettings: Something is missing or contradicts.
        OtherLedger: The journal belongs to other ledgers than the settings name, for every target.
    """
    served = lanes or settings.lanes
    arguments = worker_arguments(
        settings,
        served,
        pool,
        concurrency or len(served) + 1,
        f"blnk-relay-{os.getpid()}@{socket.gethostname()}",
    )
    app = make_app(settings)
    journal = Journal(settings)
    try:
        for warning in journal.check_server():
            _log.warning("%s", warning)
        foreign = journal.foreign()
        for error in foreign:
            _log.error("%s", error)
        if foreign and len(foreign) == len(settings.ledgers):
            raise foreign[0]
    except JournalUnavailable as error:
        _log.warning("the journal cannot be reached yet: %s", error)
    finally:
        journal.close()
    app.worker_main(arguments)


if __name__ == "__main__":
    import sys

    run_worker(Settings.from_env(), pool=sys.argv[1] if len(sys.argv) > 1 else "threads")
