"""Reading what the parts of an intent have come to: the legs of a split, the items of a bulk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from blnk_relay._version import __version__
from blnk_relay.errors import NotFound
from blnk_relay.intents.outcomes import PartName
from blnk_relay.journal.entries import entry_of
from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import Status, find_flow
from blnk_relay.kinds.registry import KINDS, WITH_PARTS


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One leg or item.

    Attributes:
        name: The leg's balance as it was given, the item's reference, or the hold as it was named.
        status: ``applied``, ``held``, ``voided``, ``rejected``, ``queued``, ``missing``, ``conflict`` (the reference is
            another transaction's), ``undone`` or ``undoing`` (taken back by the ledger), ``refused`` (did not happen),
            ``unknown`` (nobody can tell), ``partial`` (not as it was asked for), or ``open``: not known yet.
        transaction_id: Id of its row, where the ledger showed one.
    """

    name: str
    status: PartName
    transaction_id: str = ""


def telling(parts: Sequence[PartStatus], most: int) -> list[tuple[int, PartStatus]]:
    """Some of the legs or items, each with its number from 1 on: those that came to what few did before the others.

    Whoever looks at a bulk of thousands looks for the three that were rejected.

    Args:
        parts: All of them.
        most: So many at most; they stand in their own order.
    """
    counts = Counter(part.status for part in parts)
    numbered = list(enumerate(parts, 1))
    return sorted(sorted(numbered, key=lambda one: (counts[one[1].status], one[0]))[:most], key=lambda one: one[0])


def parts_flow(prefix: str, seal: Seal, target: str, key_or_id: str) -> Flow[tuple[PartStatus, ...]]:
    """See :meth:`blnk_relay.Relay.parts`."""
    status = yield from find_flow(prefix, seal, target, key_or_id)
    return (yield from parts_of_flow(prefix, seal, status, key_or_id))


def parts_of_flow(prefix: str, seal: Seal, status: Status, named: str) -> Flow[tuple[PartStatus, ...]]:
    """The same of an intent that is at hand; ``named`` is what it is called in errors."""
    body, noted = yield Ask((("GET", f"{prefix}body:{status.id}"), ("HGETALL", f"{prefix}parts:{status.id}")))
    if body is None:
        raise NotFound(f"the parts of {named!r} were trimmed with it after its retention")
    if status.unreadable:
        raise NotFound(f"the parts of {named!r} cannot be told: what was recorded of it is broken")
    if status.kind not in KINDS:
        raise NotFound(
            f"the parts of {named!r} cannot be told: blnk-relay {__version__} does not know kind {status.kind!r}"
        )
    names = KINDS[status.kind].parts if status.kind in WITH_PARTS else None
    if names is None:
        return ()
    entry = entry_of(status.id, seal.shown_body(status.id, body))
    return tuple(_part(name, noted.get(str(number), "open")) for number, name in enumerate(names(entry.payload)))


def _part(name: str, noted: str) -> PartStatus:
    status, _, transaction_id = noted.partition(" ")
    return PartStatus(name, cast("PartName", status), transaction_id)
