"""Payments with several sources or destinations."""

from __future__ import annotations

from typing import Any

from tests.fidelity.odd.asking import OUT, Page, payment, skip
from tests.fidelity.telling import NO_ID, Teller

PAGE = Page()


def _legs(teller: Teller, **shares: str) -> list[dict[str, str]]:
    return [{"identifier": f"@{name}.{teller.scene}", "distribution": share} for name, share in shares.items()]


@PAGE.story("split/skip mode", blind=True)
def _tell(teller: Teller) -> None:
    to = {"destination": OUT, "destinations": _legs(teller, a="50%", b="2.50", c="left")}
    teller.ask("to three", "POST /transactions", skip(teller, "split", **to))
    by = {"field": "reference", "operator": "like", "value": f"split.{teller.scene}%"}
    teller.ask("legs", "POST /transactions/filter", {"filters": [by]}, loose=True)
    teller.ask("again", "POST /transactions", skip(teller, "split", **to))
    from_ = {"source": OUT, "sources": _legs(teller, a="50%", b="left"), "precise_amount": 100}
    teller.ask("from two", "POST /transactions", skip(teller, "from", **from_))
    by = {"field": "reference", "operator": "like", "value": f"from.{teller.scene}%"}
    teller.ask("its legs", "POST /transactions/filter", {"filters": [by]}, loose=True)


@PAGE.story("split/queue mode", blind=True)
def _tell(teller: Teller) -> None:
    to = {"destination": OUT, "destinations": _legs(teller, a="50%", b="left")}
    made = teller.ask("to two", "POST /transactions", payment(teller, "split", **to))
    parent = {"field": "meta_data.QUEUED_PARENT_TRANSACTION", "operator": "eq", "value": made.id("transaction_id")}

    def both(rows: Any) -> bool:
        return sum(row["status"] == "APPLIED" for row in rows or ()) == 2

    teller.until("legs", "POST /transactions/filter", {"filters": [parent]}, holds=both, loose=True)


@PAGE.story("split/what cannot be", blind=True)
def _tell(teller: Teller) -> None:
    given: dict[str, dict[str, Any]] = {
        "more than all": {"destinations": _legs(teller, a="60%", b="60%")},
        "less than all": {"destinations": _legs(teller, a="60%")},
        "more than there is": {"destinations": _legs(teller, a="60.00")},
        "two for the rest": {"destinations": _legs(teller, a="left", b="left")},
        "nonsense": {"destinations": _legs(teller, a="some", b="left")},
        "no share": {"destinations": [{"identifier": "@a"}]},
        "no name": {"destinations": [{"distribution": "left"}]},
        "nobody": {"destinations": []},
        "a share as a number": {"destinations": [{"identifier": "@a", "distribution": 5}]},
        "a negative share": {"destinations": _legs(teller, a="-5.00", b="left")},
        "to itself": {"destinations": _legs(teller, world="50%", b="left")},
        "precise shares": {
            "destinations": [
                {"identifier": f"@a.{teller.scene}", "precise_distribution": "400"},
                {"identifier": f"@b.{teller.scene}", "distribution": "left"},
            ]
        },
        "one alone": {"destinations": _legs(teller, a="left")},
        "to somebody unknown": {"destinations": [{"identifier": f"bln_{NO_ID[5:]}", "distribution": "left"}]},
        "without funds": {
            "source": f"@poor.{teller.scene}",
            "allow_overdraft": OUT,
            "destinations": _legs(teller, a="left"),
        },
        "on both sides": {
            "source": OUT,
            "sources": _legs(teller, s="left"),
            "destinations": _legs(teller, a="left"),
        },
    }
    for number, (name, it) in enumerate(given.items()):
        teller.ask(name, "POST /transactions", skip(teller, f"odd{number}", destination=OUT, **it))
    atomic = {"atomic": True, "source": f"@purse.{teller.scene}", "allow_overdraft": OUT}
    teller.ask("a purse", "POST /transactions", skip(teller, "purse", destination=f"@purse.{teller.scene}"))
    to = _legs(teller, a="left")
    teller.ask("atomic", "POST /transactions", skip(teller, "atomic", destination=OUT, destinations=to, **atomic))
