"""An intent that was trimmed from its journal, as every face tells of it: by what history has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from worker.cli.output import clock, plain, say, stamp, table

if TYPE_CHECKING:
    from blnk_relay import Operator, Status
    from blnk_relay.history.values import Life
    from worker.cli.intent import Seen

_LIVES = ("died", "class", "code", "message", "what became of it")


class Recollection:
    """What history adds to what is left of an intent in its journal.

    Args:
        operator: Its settings name the database.
        status: What the journal has.
        seen: What it has besides.

    Attributes:
        status: What is known by both; the one of the journal where history adds nothing.
        seen: The same of all else.
        told: In words, what history was asked; empty where the journal has the intent itself.
    """

    def __init__(self, operator: Operator, status: Status, seen: Seen) -> None:
        self.status, self.seen, self.told = status, seen, ""
        self._lives: tuple[Life, ...] = ()
        if status.kind or not operator.settings.history_url:
            return
        from blnk_relay import HistoryUnavailable, InvalidSettings
        from blnk_relay.journal.recalling import recalled

        try:
            past = recalled(operator.journals.any_of(status.target), status)
        except (HistoryUnavailable, InvalidSettings) as error:
            self.told = f"It was trimmed from its journal, and history could not be read: {error}."
            return
        if past is None:
            self.told = "It was trimmed from its journal, and history does not have it."
            return
        self.told = "It was trimmed from its journal; this is what history has."
        self.status, self._lives = past.status, past.lives
        self.seen = replace(seen, attempts=past.attempts)

    def json(self) -> dict[str, Any]:
        """The same for programs; nothing where the journal has the intent itself."""
        if not self.told:
            return {}
        lives = [
            {
                "died": stamp(_at(life.died_ms)), "dead_class": life.dead_class, "code": life.code,
                "message": life.message, "closed": life.closed, "closed_at": stamp(_at(life.closed_ms)),
            }
            for life in self._lives
        ]  # fmt: skip
        return {"history": {"told": self.told, "letters": lives}}

    def say(self) -> None:
        """Its lives as a letter, and where all this comes from, for people."""
        rows = [
            (
                clock(_at(life.died_ms)), life.dead_class, life.code, life.message,
                f"{life.closed} {clock(_at(life.closed_ms))}" if life.closed else "",
            )
            for life in self._lives
        ]  # fmt: skip
        table(_LIVES, rows, title="As a dead letter", name="letters", unless_empty=True)
        if self.told:
            say(plain(self.told))


def _at(ms: int | None) -> Any:
    from blnk_relay.journal.status import moment

    return moment(ms) if ms else None
