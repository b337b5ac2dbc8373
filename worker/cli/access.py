"""Opening the journals for one command, by the settings of the environment, and closing it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from worker.cli.output import remark
from worker.cli.spans import times_at
from worker.cli.starting import leave_metadata, uncollected

if TYPE_CHECKING:
    from blnk_relay import Operator, Settings


@dataclass(frozen=True, slots=True)
class Access:
    """What an operator's command works with."""

    settings: Settings
    operator: Operator

    def times(
        self, target: str | None, since: datetime | timedelta | None, until: datetime | timedelta | None
    ) -> tuple[datetime | None, datetime | None]:
        """Times as they were given, by the clock of the journals; where none answers by this machine's.

        For what history answers too.

        Args:
            target: Whose journal is meant; None for any.
            since: As :class:`worker.cli.spans.Since` gives it.
            until: The same.

        Raises:
            click.UsageError: There is nothing between them.
        """
        from blnk_relay import JournalUnavailable

        if since is None and until is None:
            return None, None
        try:
            now = self.operator.now(target)
        except JournalUnavailable:
            if isinstance(since, timedelta) or isinstance(until, timedelta):
                remark("The journal does not say what time it is: spans are by the clock of this machine.")
            now = datetime.now(UTC)
        return times_at(since, until, now)


@contextmanager
def opened(*, once: bool = False) -> Iterator[Access]:
    """Open the journals.

    Args:
        once: Whether a server that does not answer is asked once: for a command that looks, and ends with one answer.

    Raises:
        InvalidSettings: The environment does not fit.
    """
    with uncollected():
        leave_metadata()
        from blnk_relay import Operator
        from blnk_relay.journal.journals import asked_once

    with Operator.from_env(via="command line") as operator, asked_once() if once else nullcontext():
        yield Access(operator.settings, operator)
