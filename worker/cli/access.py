"""Opening the journals for one command, by the settings of the environment, and closing it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.cli.starting import leave_metadata, uncollected

if TYPE_CHECKING:
    from blnk_relay import Operator, Settings


@dataclass(frozen=True, slots=True)
class Access:
    """What an operator's command works with."""

    settings: Settings
    operator: Operator


@contextmanager
def opened() -> Iterator[Access]:
    """Open the journals.

    Raises:
        InvalidSettings: The environment does not fit.
    """
    with uncollected():
        leave_metadata()
        from blnk_relay import Operator

    with Operator.from_env(via="command line") as operator:
        yield Access(operator.settings, operator)
