"""Asking a sandbox as an application would, over HTTP."""

from __future__ import annotations

from typing import Any

import requests

#: Nothing here takes longer, even on a busy machine.
PATIENCE_S = 10.0


def payment_body(reference: str, /, **changes: Any) -> dict[str, Any]:
    """What is asked for with a payment; ``...`` leaves a field out."""
    body = {
        "precise_amount": 10000,
        "precision": 100,
        "currency": "EUR",
        "reference": reference,
        "description": "Wallet top-up",
        "source": "@World",
        "destination": "@Wallet",
        "allow_overdraft": True,
    } | changes
    return {name: value for name, value in body.items() if value is not ...}


class Client(requests.Session):
    """A session that is allowed in.

    Args:
        url: Where the sandbox listens.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.headers["Authorization"] = "Bearer blnk_sandbox"
        self.params = {"instance_id": "inst_sandbox"}

    def ask(self, method: str, path: str, json: Any = None, **more: Any) -> requests.Response:
        """Ask, and follow nothing."""
        return self.request(method, self.url + path, json=json, timeout=PATIENCE_S, allow_redirects=False, **more)

    def pay(self, reference: str, fault: str | None = None, **changes: Any) -> requests.Response:
        """Make a payment, perhaps with a fault that is ordered for it."""
        headers = {"X-Sandbox-Fault": fault} if fault else {}
        return self.ask("POST", "/proxy/transactions", payment_body(reference, **changes), headers=headers)

    def filtered(self, *references: str, query: str = "") -> dict[str, Any]:
        """The answer to a filter for the rows with some references."""
        body = {"filters": [{"field": "reference", "operator": "in", "values": list(references)}]}
        answer = self.ask("POST", f"/transactions/filter{query}", body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def rows(self, *references: str) -> list[dict[str, Any]]:
        """The rows of some payments, those of the ledger's own queue among them."""
        both = [f"{name}{end}" for name in references for end in ("", "_q")]
        rows: list[dict[str, Any]] = self.filtered(*both)["data"]
        return rows
