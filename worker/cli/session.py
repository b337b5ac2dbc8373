"""Opening the journal for one command, by the settings of the environment, and closing it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from blnk_relay import Settings
    from blnk_relay.journal.journal import Journal
    from blnk_relay.journal.operator import Operator


@dataclass(frozen=True, slots=True)
class Desk:
    """What an operator's command works with."""

    settings: Settings
    journal: Journal
    operator: Operator

    def now(self) -> datetime:
        """The time by the clock of Redis, which all times in the journal come from."""
        from blnk_relay.journal.status import moment

        return moment(self.journal.now_ms())


@contextmanager
def opened() -> Iterator[Desk]:
    """Open the journal.

    Raises:
        InvalidSettings: The environment does not fit.
    """
    from blnk_relay import Settings
    from blnk_relay.bell import Bells
    from blnk_relay.journal.journal import Journal
    from blnk_relay.journal.operator import Operator

    settings = Settings.from_env()
    journal, bells = Journal(settings), Bells(settings)
    try:
        yield Desk(settings, journal, Operator(journal, bells))
    finally:
        bells.close()
        journal.close()
