"""An intent that cannot be read as others are: what can be read of it, field by field, so that it holds up no other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from blnk_relay.errors import JournalUnavailable
from blnk_relay.history.values import Ended, Life
from blnk_relay.intents.states import State
from blnk_relay.journal.copying import FIELDS, Wanted, ended_flow, ended_of, hide_flow, life_in, life_of
from blnk_relay.journal.flows import ask_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.seal import hidden

#: Intents of one page that are set aside. Where more cannot be read it is this version that cannot read them, and what
#: it would write of them is worth less than that they stay in the journal.
_MOST = 5


class Salvage:
    """Reads the intents of a page, each as far as it goes.

    Args:
        journal: Where they are.
        wanted: What of them is copied.

    Attributes:
        aside: Ids of those that could not be read as a whole, each with what of it and why; never a value.
    """

    def __init__(self, journal: Journal, wanted: Wanted) -> None:
        self._journal = journal
        self._wanted = wanted
        self._failed: dict[str, str] = {}
        self.aside: dict[str, str] = {}

    def read(self, ids: Sequence[str]) -> tuple[list[Ended], list[Life]]:
        """See :func:`ended_flow`; where that fails, half of them at a time, down to the one that it fails for.

        Raises:
            JournalUnavailable: Redis did not answer.
            Exception: More than some of them cannot be read.
        """
        journal = self._journal
        try:
            return journal.drive(ended_flow(journal.prefix, journal.seal, self._wanted, ids))
        except JournalUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised again where it is more than some of them
            if len(ids) > 1:
                halves = [self.read(ids[: len(ids) // 2]), self.read(ids[len(ids) // 2 :])]
                return [one for ended, _ in halves for one in ended], [one for _, lives in halves for one in lives]
            self._set_aside(ids[0], error)
            return self._by_fields(ids[0])

    def lives(self, lines: Sequence[str]) -> list[Life]:
        """What letters were, out of the lines that lives.lua has left; what cannot be read is left out, and told.

        Raises:
            Exception: More than some of them cannot be read.
        """
        found = []
        for number, line in enumerate(lines):
            try:
                found.append(life_in(line))
            except Exception as error:  # noqa: BLE001 - whatever it is, the rest of the page is worth to be kept
                self._set_aside(f"of line {number} of lives as a letter", error)
        return found

    def _set_aside(self, what: str, error: Exception) -> None:
        if len(self.aside) >= _MOST:
            raise error
        self.aside[what] = type(error).__name__

    def _by_fields(self, id_: str) -> tuple[list[Ended], list[Life]]:
        journal, prefix = self._journal, self._journal.prefix
        self._failed = {}
        fields = {name: self._asked("HGET", f"{prefix}intent:{id_}", name) or "" for name in FIELDS}
        if not fields["state"]:
            return [], []
        hide = journal.drive(hide_flow(journal.seal)) if hidden(fields["sealed"]) else None
        told = partial(ended_of, id_, fields, seal=journal.seal, wanted=self._wanted, hide=hide)
        body = self._asked("GET", f"{prefix}body:{id_}") or ""
        log = (self._asked("LRANGE", f"{prefix}log:{id_}", 0, -1) or ()) if self._wanted.log else ()
        parts = self._asked("HVALS", f"{prefix}parts:{id_}") or ()
        try:
            one = told(body=body, log=log, parts=parts)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed["what stands beside it"] = type(error).__name__
            one = told(body=body, log=(), parts=())
        if self._failed:
            self.aside[id_] = ", ".join(f"{name}: {sort}" for name, sort in self._failed.items())
        is_letter = self._wanted.log and fields["state"] in (State.DEAD, State.DISCARDED)
        return [one], [life_of(id_, fields, None)] if is_letter else []

    def _asked(self, *command: str | int) -> Any:
        """What one command answers; None where that cannot be read."""
        try:
            return self._journal.drive(ask_flow(*command))
        except JournalUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest of the intent is worth to be kept
            name = command[2] if command[0] == "HGET" else str(command[1]).rpartition(":")[0].rpartition(":")[2]
            self._failed[str(name)] = type(error).__name__
            return None
