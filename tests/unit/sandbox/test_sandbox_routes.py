"""Every documented route that a relay can have to do with is there, and every fault that can strike one does."""

from __future__ import annotations

from typing import Any

import pytest

from blnk_relay.sandbox import Faults, Rule

#: The closed list of contract §1.6, without its reads of the past and of plain texts behind tokens.
DOCUMENTED = [
    ("POST", "/ledgers"),
    ("POST", "/balances"),
    ("POST", "/transactions"),
    ("POST", "/transactions/bulk"),
    ("PUT", "/transactions/inflight/x"),
    ("POST", "/refund-transaction/x"),
    ("POST", "/identities"),
    ("PUT", "/identities/x"),
    ("PUT", "/balances/x/identity"),
    ("POST", "/x/metadata"),
    ("GET", "/identities/x/tokenized-fields"),
    ("POST", "/identities/x/tokenize/FirstName"),
    ("POST", "/identities/x/tokenize"),
    ("POST", "/reconciliation/start"),
    ("POST", "/reconciliation/upload"),
    ("POST", "/reconciliation/matching-rules"),
    ("PUT", "/reconciliation/matching-rules/x"),
    ("DELETE", "/reconciliation/matching-rules/x"),
    ("GET", "/reconciliation/x"),
    ("POST", "/reconciliation/start-instant"),
]


@pytest.mark.parametrize(("method", "path"), DOCUMENTED)
def test_every_documented_route_answers_in_both_shapes_and_asks_for_its_scope(make_desk, method, path):
    desk = make_desk(core_routes=False, tokens={"other": ("data:read",)})
    through_cloud = desk.send(method, f"/proxy{path}", {})
    through_core = desk.core(method, path, {})
    for answer in (through_cloud, through_core):
        assert answer.body != b"404 page not found"
    assert desk.send(method, f"/proxy{path}", {}, authorization="Bearer other").status == 403


IDENTITY = "idt_98fcd9f5-5708-4197-a44e-faae002e049f"
RULE = {"name": "x", "criteria": [{"field": "amount", "operator": "equals"}]}
HALVES = [{"identifier": "@A", "distribution": "50%"}, {"identifier": "@B", "distribution": "50%"}]


def prepared(desk) -> dict[str, str]:
    """One of each thing to write to."""
    desk.send("POST", "/proxy/identities", {"identity_id": IDENTITY, "first_name": "Mara"})
    rule_id = desk.send("POST", "/proxy/reconciliation/matching-rules", RULE).document()["rule_id"]
    return {
        "balance": desk.instance.create_balance("EUR"),
        "rule": rule_id,
        "hold": desk.hold("hold-1"),
        "paid": desk.applied("pay-1"),
    }


def writes(desk, ids) -> dict[str, tuple[str, str, Any]]:
    def paying(**changes: Any) -> dict[str, Any]:
        return desk.payment("new-1", **changes)

    instant = {"external_transactions": [{"id": "s-1"}], "strategy": "one_to_one", "matching_rule_ids": [ids["rule"]]}
    run = {"upload_id": "upload_x", "strategy": "one_to_one", "matching_rule_ids": [ids["rule"]]}
    return {
        "ledger": ("POST", "/proxy/ledgers", {"name": "x"}),
        "balance": ("POST", "/proxy/balances", {"ledger_id": "general_ledger_id", "currency": "EUR"}),
        "transaction": ("POST", "/proxy/transactions", paying()),
        "split": ("POST", "/proxy/transactions", paying(destination=..., destinations=HALVES, skip_queue=True)),
        "bulk": ("POST", "/proxy/transactions/bulk", {"transactions": [paying()]}),
        "commit": ("PUT", f"/proxy/transactions/inflight/{ids['hold']}", {"status": "commit"}),
        "bulk void": ("POST", "/proxy/transactions/inflight/bulk/void", {"transaction_ids": [ids["hold"]]}),
        "refund": ("POST", f"/proxy/refund-transaction/{ids['paid']}", {}),
        "identity": ("POST", "/proxy/identities", {"first_name": "Mara"}),
        "identity update": ("PUT", f"/proxy/identities/{IDENTITY}", {"city": "Lund"}),
        "link": ("PUT", f"/proxy/balances/{ids['balance']}/identity", {"identity_id": IDENTITY}),
        "metadata": ("POST", f"/proxy/{ids['paid']}/metadata", {"meta_data": {"note": 1}}),
        "tokenize": ("POST", f"/proxy/identities/{IDENTITY}/tokenize", {"fields": ["FirstName"]}),
        "rule": ("POST", "/proxy/reconciliation/matching-rules", RULE),
        "rule update": ("PUT", f"/proxy/reconciliation/matching-rules/{ids['rule']}", RULE | {"name": "y"}),
        "rule deletion": ("DELETE", f"/proxy/reconciliation/matching-rules/{ids['rule']}", None),
        "start": ("POST", "/proxy/reconciliation/start", run),
        "start instant": ("POST", "/proxy/reconciliation/start-instant", instant),
    }


NAMES = (
    *("ledger", "balance", "transaction", "split", "bulk", "commit", "bulk void", "refund", "identity"),
    *("identity update", "link", "metadata", "tokenize", "rule", "rule update", "rule deletion", "start"),
    "start instant",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "happens"), [("drop_before", False), ("drop_after", True), ("504_with_effect", True)])
def test_faults_strike_every_write_with_and_without_its_effect(make_desk, name, kind, happens):
    desk = make_desk()
    method, path, body = writes(desk, prepared(desk))[name]
    desk.instance.edge.faults = Faults.script([Rule(kind)])
    before = desk.books
    desk.send(method, path, body)
    desk.step()
    assert (desk.books != before) == happens
    assert desk.instance.edge.log[-1].fault == kind
    assert desk.books.violations() == []
