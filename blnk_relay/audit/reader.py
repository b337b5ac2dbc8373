"""The way to the ledger, as an audit needs it: reads alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from blnk_relay.intents.exchange import Response
from blnk_relay.intents.found import Lookup, Record, Row


class Shown(Protocol):
    """What some reads brought."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of transactions."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Of other resources."""

    @property
    def failed(self) -> Mapping[Lookup, Response]:
        """What could not be read, each with the answer that was no success."""


class Reader(Protocol):
    """Reads a ledger, at a pace of its own."""

    def look(self, lookups: Sequence[Lookup]) -> Shown:
        """Read rows and records, many values in few requests; what fails takes nothing else with it."""

    def made_between(self, since: str, until: str) -> Sequence[Row] | Response:
        """All rows that the ledger made in some time, given in RFC 3339; the answer that was no success."""

    @property
    def reads(self) -> int:
        """Requests made so far."""
