"""The command line ``blnk-relay``: it shows and does what the library can, and decides nothing of its own.

One module for each group of commands; what they share is in ``options``, ``opening``, ``output`` and ``exits``.
Heavy parts are imported inside the commands, so that help comes at once.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

from worker.cli.starting import uncollected


def main() -> None:
    """The entry point of ``blnk-relay``; ends the process with one of the codes of :mod:`worker.cli.exits`."""
    if os.getpid() == 1:
        # The first process of a container has no defaults: told to stop while it still begins, it would go on.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # What a command imports stays to its end: the collector never looks through it, from here on.
    gc.freeze()
    try:
        with uncollected():
            from worker.cli.commands import cli
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write("Error: the command line is part of an extra: pip install 'blnk-relay[worker]'\n")
        sys.exit(2)
    try:
        cli.main()
    finally:
        # The process ends, and gives all back at once: nothing of it has to be looked through before.
        gc.freeze()
