"""What nothing of ours asks, and a client of Core may."""

from __future__ import annotations

from typing import Any

from tests.fidelity.odd.asking import Page, each, skip
from tests.fidelity.telling import NO_ID, Teller

PAGE = Page()


@PAGE.story("monitors")
def _tell(teller: Teller) -> None:
    balance = teller.ask("balance", "POST /balances", {"ledger_id": "general_ledger_id", "currency": "EUR"})
    condition = {"field": "credit_balance", "operator": ">=", "precision": 100, "value": 10}
    monitor: dict[str, Any] = {"balance_id": balance.id("balance_id"), "condition": condition, "description": "d"}
    made = teller.ask("make", "POST /balance-monitors", monitor).id("monitor_id")
    each(
        teller,
        "POST /balance-monitors",
        {
            "nothing": {},
            "no condition": {"balance_id": balance.id("balance_id")},
            "unknown field": {**monitor, "condition": {**condition, "field": "colour"}},
            "half a value": {**monitor, "condition": {**condition, "value": 10.5}},
        },
    )
    path = f"/balance-monitors/{made}"
    teller.ask("read", f"GET {path}")
    teller.ask("of the balance", f"GET /balance-monitors/balances/{balance.id('balance_id')}")
    teller.ask("of no balance", f"GET /balance-monitors/balances/bln_{NO_ID[5:]}")
    teller.ask("change", f"PUT {path}", {**monitor, "condition": {**condition, "value": 20}})
    teller.ask("changed", f"GET {path}")
    teller.ask("change nothing", f"PUT /balance-monitors/mon_{NO_ID[5:]}", monitor)
    teller.ask("delete", f"DELETE {path}")
    teller.ask("delete again", f"DELETE {path}")
    teller.ask("deleted", f"GET {path}")
    teller.ask("all", "GET /balance-monitors")


@PAGE.story("hooks")
def _tell(teller: Teller) -> None:
    hook = {"name": "n", "url": "https://example.org/h", "type": "PRE_TRANSACTION", "active": False}
    hook |= {"timeout": 5, "retry_count": 0}
    path = f"/hooks/{teller.ask('make', 'POST /hooks', hook).id('id')}"
    teller.ask("nothing", "POST /hooks", {})
    teller.ask("unknown type", "POST /hooks", {**hook, "type": "x"})
    teller.ask("read", f"GET {path}")
    teller.ask("of its type", "GET /hooks?type=PRE_TRANSACTION")
    teller.ask("of the other", "GET /hooks?type=POST_TRANSACTION")
    teller.ask("of all types", "GET /hooks")
    teller.ask("change", f"PUT {path}", {**hook, "name": "m"})
    teller.ask("change nothing", "PUT /hooks/nothing", hook)
    teller.ask("delete", f"DELETE {path}")
    teller.ask("delete again", f"DELETE {path}")
    teller.ask("deleted", f"GET {path}")


@PAGE.story("balance/at a time")
def _tell(teller: Teller) -> None:
    balance = teller.ask("balance", "POST /balances", {"ledger_id": "general_ledger_id", "currency": "EUR"})
    path = f"/balances/{balance.id('balance_id')}/at"
    pay = {"destination": balance.id("balance_id")}
    teller.ask("pay", "POST /transactions", skip(teller, "now", **pay))
    teller.ask("pay long ago", "POST /transactions", skip(teller, "then", effective_date="2020-06-01T00:00:00Z", **pay))
    teller.ask("spend", "POST /transactions", skip(teller, "back", source=balance.id("balance_id"), precise_amount=300))
    teller.ask("now", f"GET {path}")
    teller.ask("then", f"GET {path}?timestamp=2021-01-01T00:00:00Z&from_source=true")
    teller.ask("before all", f"GET {path}?timestamp=2020-01-01T00:00:00Z")
    teller.ask("at no time", f"GET {path}?timestamp=nonsense")
    teller.ask("nothing", f"GET /balances/bln_{NO_ID[5:]}/at")
    teller.ask("recovery at no time", "POST /transactions/recover?threshold=x")
    teller.ask("recovery after a year", "POST /transactions/recover?threshold=9000h")
