"""The version of a journal's shape: what stands below its keys, and what it means.

Two versions are told apart. That in the name of each key (``v1``, :meth:`blnk_relay.settings.Settings.prefix`) is of
where things are: another one is another, empty journal. The shape is of what stands there: it is noted in the journal,
compared by each script in the trip that it makes anyway, and raised in place.

Code knows a range of shapes. One that it does not know it leaves alone: its scripts refuse before they read or write
anything. One that is not its newest it works with as it is, side by side with older code, until an operator says that
the older code is gone (:mod:`blnk_relay.journal.upgrade`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from blnk_relay._version import __version__
from blnk_relay.errors import OtherShape

#: The shapes that this code works with, from the oldest to the newest. A release that raises the newest lowers nothing:
#: its scripts do for each shape what belongs to it (``SHAPE`` in common.lua), so that it can run beside the one before.
OLDEST = 1
NEWEST = 2

#: For each shape but the oldest the script that brings what stands in a journal to it, a bounded piece at a time.
#:
#: Its arguments are what is noted as the shape meanwhile, which it must find there or change nothing, and where to go
#: on ("" at the beginning); it returns where to go on ("" at the end). It is run again from the beginning where that
#: was not reached, and so has to pass over what it finds done.
STEPS: Mapping[int, str] = {2: "with_history"}

#: How the target stands in the prefix of a journal.
_TARGET = re.compile(r":([a-z0-9_]+)\}:$")


def other_shape(found: str, prefix: str) -> OtherShape:
    """That a journal has a shape which this code does not know.

    Args:
        found: What is noted in it.
        prefix: Of its keys.
    """
    named = _TARGET.search(prefix)
    return OtherShape(named[1] if named else prefix, found, (OLDEST, NEWEST), __version__)


class Program(NamedTuple):
    """What a worker program says of itself where it gives its sign of life.

    Attributes:
        name: Host, process id and a random part.
        version: Of its package; empty where it does not say.
        shape: The newest that it knows.
    """

    name: str
    version: str
    shape: int

    @property
    def sign(self) -> str:
        """As it stands in the journal.

        Example:
            >>> program_of(Program("host:1:abc", "1.0", 2).sign).shape
            2
        """
        return f"{self.name} {self.version} {self.shape}"


def this_program(name: str) -> Program:
    """The worker program that runs this code."""
    return Program(name, __version__, NEWEST)


def program_of(sign: str) -> Program:
    """Read a sign of life; whoever says nothing of its shape knows the first."""
    name, version, shape = (*sign.split(" "), "", "")[:3]
    return Program(name, version, int(shape) if shape.isdigit() else 1)


def number_of(version: str) -> tuple[int, ...]:
    """A version to be compared; one that says nothing comes before all.

    Example:
        >>> number_of("0.10.1") > number_of("0.9") > number_of("")
        True
    """
    return tuple(int(digits) for digits in re.findall(r"\d{1,9}", version))
