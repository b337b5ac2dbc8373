"""What a command that only looks need not pay for while it starts; half of its time is the import of modules."""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """The collector of garbage at rest, where nearly all that is made stays: while modules are imported above all."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def leave_metadata() -> None:
    """Let ``importlib.metadata`` be executed when the first of its names is used.

    redis-py imports it to tell a server its own version, which it is told in :mod:`blnk_relay.journal.connection`; it
    imports all that reads e-mail. This is the recipe for late imports of the standard library's documentation; whoever
    needs the module finds it, under the same name.
    """
    name, package = "importlib.metadata", importlib
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    # Otherwise "from importlib import metadata" would ask the module whether it is there, and so execute it.
    package.metadata = module
