"""The command ``blnk-relay``: sees that nothing stands in the way of our packages, and runs it.

An application may have a ``tasks`` or a ``worker`` of its own, and what stands earlier on Python's path is imported
instead of ours. So the command begins here, under a name that nobody else has.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

#: Our packages, each with a part that no other has.
_OURS = {"worker": "cli", "tasks": "celery_tasks.py"}


def main() -> None:
    """The entry point of ``blnk-relay``; ends the process."""
    if where := in_the_way():
        sys.stderr.write(
            f"Error: {where} stands in the way of a package of blnk-relay: take the folder that it is in out of "
            "PYTHONPATH, or rename it.\n"
        )
        sys.exit(2)
    from worker.cli import main as run

    run()


def in_the_way() -> str:
    """The file that would be imported for one of our packages, and is none; empty where there is none."""
    for name, part in _OURS.items():
        found = find_spec(name)
        if found and not any((Path(place) / part).exists() for place in found.submodule_search_locations or ()):
            return str(found.origin)
    return ""
