"""What a worker says of an intent that it had in hand, and what came of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blnk_relay.intents.states import State
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.entries import Renewal


@dataclass(frozen=True, slots=True)
class Settlement:
    """One verdict on its way into the journal; see settle.lua.

    Attributes:
        claimed: The intent and its fencing token.
        origin: The state it was taken from: ``sending`` or ``posted``.
        to: ``done``, ``dead``, ``posted`` or ``ready``.
        in_ms: With ``posted`` and ``ready``: when it is due.
        fields: Fields to set.
        log: A line for the attempt log, or empty.
        tally: Counters to raise by one.
        parts: What was noted of its parts: number to ``"<status> <row id>"``.
        made: Rows that it wrote to, to the ids of those that it made below them.
        renewal: With ``ready``: what it is sent under next, in a new generation.
    """

    claimed: Claimed
    origin: State
    to: State
    in_ms: int = 0
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    log: str = ""
    tally: tuple[str, ...] = ()
    parts: Mapping[int, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    renewal: Renewal | None = None

    def encoded(self, sealed: str = "") -> str:
        """As settle.lua reads it: JSON that can be sent as UTF-8, whatever was answered.

        Args:
            sealed: Name of the encryption key that some of the fields need; empty for none.

        Raises:
            TypeError: It holds what the journal cannot keep; better here than in the middle of the script, where others
                would share its fate.
        """
        entry = self.claimed.entry
        data: dict[str, Any] = {
            "id": entry.id,
            "token": self.claimed.token,
            "from": self.origin,
            "to": self.to,
            "kind": entry.kind,
            "in_ms": self.in_ms,
            "lane": entry.lane,
            "set": self.fields if self.renewal else {**self.claimed.mended, **self.fields},
        }
        if sealed:
            data["sealed"] = sealed
        if self.log:
            data["log"] = self.log
        if self.tally:
            data["tally"] = self.tally
        if self.parts:
            data["parts"] = self.parts
        if self.made:
            data["made"] = self.made
        if self.renewal is not None:
            data["fresh"] = self.renewal.encoded()
        texts = (*self.fields.values(), *self.parts.values(), *self.made.values())
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a settlement holds a value that is not text")
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        # Half of a surrogate pair, from an answer cut short, is no text.
        return text if text.isascii() else text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of settling.

    Attributes:
        bells: Lanes that somebody has to ring.
        found_after_s: The target can be reached again, and could not for so many seconds; None where that is no news.
        stale: Ids of those of which somebody else has the latest word.
        opened: Sides that are no longer paused, with the code of the pause and how many seconds it took.
        looked_at_again: Ids of those that were to be letters, by a decision from before the journal lost its last
            moments: they are looked at again instead.
    """

    bells: tuple[str, ...] = ()
    found_after_s: float | None = None
    stale: frozenset[str] = frozenset()
    opened: tuple[tuple[str, str, float], ...] = ()
    looked_at_again: frozenset[str] = frozenset()
