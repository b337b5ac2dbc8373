"""What a command that only looks need not pay for while it starts; half of its time is the import of modules."""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def uncollected() -> Iterator[None]:
    """The collector of garbage at rest, where nearly all that is made stays: while modules are imported above all.

    In the process of a command, which begins by :func:`gc.freeze`, it never looks through what was made here; in a
    process of somebody else's nothing is kept from it.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count():
            gc.freeze()
        if collects:
            gc.enable()


#: What the machinery of imports asks a module for, and what is there before it is executed.
_OF_IMPORTS = frozenset(
    {"__class__", "__dict__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__"}
)

#: Noted in its spec once a module is executed, or is being so.
_EXECUTED = "executed"

#: Held by the thread that executes a module; others wait for all of it.
_executing = threading.RLock()


class _Later(ModuleType):
    """A module that is executed when the first of its names is used, and by nothing less.

    ``importlib.util.LazyLoader`` executes it as soon as a second module imports it: each import asks for ``__spec__``.
    """

    def __getattribute__(self, name: str) -> Any:
        """Execute it before anything of it is given; what is executed itself has what there is so far."""
        if name not in _OF_IMPORTS:
            with _executing:
                spec = self.__spec__
                if spec is not None and spec.loader is not None and spec.loader_state != _EXECUTED:
                    spec.loader_state = _EXECUTED
                    spec.loader.exec_module(self)
                    self.__class__ = ModuleType  # type: ignore[assignment]
        return ModuleType.__getattribute__(self, name)


def leave_metadata() -> None:
    """Let ``importlib.metadata`` be executed when the first of its names is used.

    redis-py imports it to tell a server its own version, which it is told in :mod:`blnk_relay.journal.connection`, and
    SQLAlchemy for plugins; it imports all that reads e-mail. Whoever needs the module finds it, under the same name.
    """
    name, package = "importlib.metadata", importlib
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    module.__class__ = _Later
    # Otherwise "from importlib import metadata" would ask the module whether it is there, and so execute it.
    package.metadata = module
