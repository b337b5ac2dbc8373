"""What stories ask with: usual bodies, and rows that are waited for or looked for; and the pages that they stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.fidelity.telling import Story, Teller, Telling, row_is

#: A body that is left out of a table's usual one.
OUT = object()

NOTHING = "txn_00000000-0000-4000-8000-000000000000"


class Page(list[Story]):
    """Stories of one sort, in their order."""

    def story(self, name: str, *, blind: bool = False, luck: Sequence[str] = ()) -> Callable[[Telling], Telling]:
        """A story of this page; ``luck`` names refunds in skip mode, which are made at the first request."""

        def keep(tell: Telling) -> Telling:
            self.append(Story(name, tell, blind, dict.fromkeys(luck, 201)))
            return tell

        return keep


def payment(teller: Teller, reference: str, /, **changes: Any) -> dict[str, Any]:
    """The usual body, in queue mode."""
    body = {
        "precise_amount": 1000,
        "precision": 100,
        "currency": "EUR",
        "reference": teller.name(reference),
        "description": "A test",
        "source": f"@world.{teller.scene}",
        "destination": f"@shop.{teller.scene}",
        "allow_overdraft": True,
    } | changes
    return {name: value for name, value in body.items() if value is not OUT}


def skip(teller: Teller, reference: str, /, **changes: Any) -> dict[str, Any]:
    """The same in skip mode."""
    return payment(teller, reference, **{"skip_queue": True, **changes})


def each(teller: Teller, asked: str, bodies: Mapping[str, Any]) -> None:
    """One request after another, each on its own."""
    for name, body in bodies.items():
        teller.ask(name, asked, body)


def family(teller: Teller, name: str, *references: str) -> None:
    """All rows under some references, with their children of queue mode."""
    values = [one for reference in references for one in (teller.name(reference), f"{teller.name(reference)}_q")]
    body = {"filters": [{"field": "reference", "operator": "in", "values": values}], "include_count": True}
    teller.ask(name, "POST /transactions/filter", body, loose=True)


def below(teller: Teller, name: str, parent: str) -> None:
    """All rows whose parent is this one."""
    body = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": parent}], "include_count": True}
    teller.ask(name, "POST /transactions/filter", body, loose=True)


def held(teller: Teller, name: str, **changes: Any) -> str:
    """A hold made in skip mode; its id."""
    return teller.ask(name, "POST /transactions", skip(teller, name, inflight=True, **changes)).id("transaction_id")


def settled(teller: Teller, name: str, reference: str, status: str) -> str:
    """Wait for a row of queue mode; its id."""
    asked = f"GET /transactions/reference/{teller.name(reference)}_q"
    return teller.until(name, asked, holds=row_is(status)).id("transaction_id")


def has(status: str) -> Callable[[Any], bool]:
    """Whether a page shows a row of a status."""
    return lambda rows: any(row["status"] == status for row in rows or ())


def unlocked(teller: Teller, name: str, asked: str, body: Any) -> None:
    """Ask until the ledger has let go of what it did just now by itself."""
    locked = "GEN_RESOURCE_LOCKED"
    teller.until(name, asked, body, holds=lambda told: told.get("error_detail", {}).get("code") != locked)
