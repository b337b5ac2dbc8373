"""Reconciliation: uploads, rules and runs."""

from __future__ import annotations

from typing import Any

from tests.fidelity.odd.asking import Page, each
from tests.fidelity.telling import NO_ID, Teller, row_is

PAGE = Page()


_CRITERIA = [{"field": "reference", "operator": "equals"}]


@PAGE.story("rules")
def _tell(teller: Teller) -> None:
    rules = "/reconciliation/matching-rules"
    rule = {"name": teller.name("rule"), "description": "d", "criteria": _CRITERIA}
    made = teller.ask("make", f"POST {rules}", rule).id("rule_id")
    teller.ask("the same again", f"POST {rules}", rule)
    drift = {"field": "amount", "operator": "equals", "allowable_drift": 0.01, "value": "1", "pattern": "x"}
    odd: dict[str, Any] = {
        "a drift": {**rule, "criteria": [drift]},
        "too much drift": {**rule, "criteria": [{**drift, "allowable_drift": 1.5}]},
        "a negative drift": {**rule, "criteria": [{**drift, "allowable_drift": -1}]},
        "no name": {"criteria": _CRITERIA},
        "no criteria": {"name": "x"},
        "empty criteria": {"name": "x", "criteria": []},
        "unknown field": {"name": "x", "criteria": [{"field": "colour", "operator": "equals"}]},
        "unknown operator": {"name": "x", "criteria": [{"field": "amount", "operator": "like"}]},
        "no operator": {"name": "x", "criteria": [{"field": "amount"}]},
        "criteria as text": {"name": "x", "criteria": "x"},
        "a long name": {"name": "x" * 256, "criteria": _CRITERIA},
    }
    each(teller, f"POST {rules}", odd)
    for name, body in {
        "change": {**rule, "name": teller.name("other")},
        "change to no name": {"criteria": _CRITERIA},
    }.items():
        teller.ask(name, f"PUT {rules}/{made}", body)
    teller.ask("change nothing", f"PUT {rules}/rule_{NO_ID[5:]}", rule)
    teller.ask("delete", f"DELETE {rules}/{made}")
    teller.ask("delete again", f"DELETE {rules}/{made}")
    teller.ask("delete nonsense", f"DELETE {rules}/nonsense")


@PAGE.story("uploads")
def _tell(teller: Teller) -> None:
    head = "ID,Amount,Currency,Reference,Description,Date\n"
    line = f"u-{teller.scene},1.5,EUR,r,d,2026-11-20T10:00:00Z\n"

    def file(name: str, text: str) -> dict[str, Any]:
        return {"file": (name, text.encode())}

    source = {"source": "bank"}
    upload = "POST /reconciliation/upload"
    made = teller.ask("csv", upload, files=file("a.csv", head + line), form=source).id("upload_id")
    teller.ask("the same again", upload, files=file("a.csv", head + line), form=source)
    document = (
        f'[{{"id":"j-{teller.scene}","amount":1.5,"currency":"EUR","reference":"r","date":"2026-11-20T10:00:00Z"}}]'
    )
    teller.ask("json", upload, files=file("a.json", document), form=source)
    teller.ask("no source", upload, files=file("b.csv", head + line.replace("u-", "v-")), form={})
    teller.ask("no file", upload, files={"other": ("a.csv", b"x")}, form=source)
    teller.ask("an empty file", upload, files=file("a.csv", ""), form=source)
    teller.ask("a head alone", upload, files=file("a.csv", head), form=source)
    teller.ask("no columns", upload, files=file("a.csv", "a,b\n1,2\n"), form=source)
    teller.ask("bad json", upload, files=file("a.json", "{bad"), form=source)
    teller.ask("words", upload, files=file("a.txt", "hello"), form=source)
    odd = head + f"w-{teller.scene},much,EUR,r,d,yesterday\n"
    teller.ask("a bad amount and date", upload, files=file("c.csv", odd), form=source)
    teller.ask("no body", upload)
    teller.ask("a url", upload, {"url": "http://127.0.0.1/x.csv", "source": "bank"})
    teller.ask("a url of no shape", upload, {"url": "nonsense", "source": "bank"})
    rule = {"name": teller.name("rule"), "criteria": _CRITERIA}
    rule_id = teller.ask("rule", "POST /reconciliation/matching-rules", rule).id("rule_id")
    start: dict[str, Any] = {
        "upload_id": made,
        "strategy": "one_to_one",
        "matching_rule_ids": [rule_id],
        "dry_run": True,
    }
    begun = teller.ask("start", "POST /reconciliation/start", start).id("reconciliation_id")
    teller.until("run", f"GET /reconciliation/{begun}", holds=row_is("completed"))
    for name, changes in {
        "no upload": {"upload_id": ""},
        "no strategy": {"strategy": ""},
        "no rules": {"matching_rule_ids": []},
        "rules as text": {"matching_rule_ids": "x"},
    }.items():
        teller.ask(name, "POST /reconciliation/start", {**start, **changes})
    for name, changes, end in (
        ("unknown rule", {"matching_rule_ids": [f"rule_{NO_ID[5:]}"]}, "failed"),
        ("unknown strategy", {"strategy": "best"}, "completed"),
        ("unknown upload", {"upload_id": f"upload_{NO_ID[5:]}"}, "completed"),
    ):
        begun = teller.ask(name, "POST /reconciliation/start", {**start, **changes}).id("reconciliation_id")
        teller.until(f"{name}, run", f"GET /reconciliation/{begun}", holds=row_is(end))


@PAGE.story("instant runs")
def _tell(teller: Teller) -> None:
    rule = {"name": teller.name("rule"), "criteria": _CRITERIA}
    rule_id = teller.ask("rule", "POST /reconciliation/matching-rules", rule).id("rule_id")
    record = {
        "id": f"i-{teller.scene}",
        "amount": 1,
        "reference": "r",
        "currency": "EUR",
        "date": "2026-11-20T10:00:00Z",
    }
    body: dict[str, Any] = {
        "external_transactions": [record],
        "strategy": "one_to_one",
        "matching_rule_ids": [rule_id],
        "dry_run": True,
    }
    asked = "POST /reconciliation/start-instant"
    begun = teller.ask("start", asked, body).id("reconciliation_id")
    teller.until("run", f"GET /reconciliation/{begun}", holds=row_is("completed"))
    teller.ask("the same records", asked, body)
    for name, changes in {
        "no records": {"external_transactions": []},
        "records null": {"external_transactions": None},
        "too many": {"external_transactions": [{}] * 10_001},
        "no rules": {"matching_rule_ids": []},
        "no strategy": {"strategy": ""},
        "a bare date": {"external_transactions": [{**record, "id": f"d-{teller.scene}", "date": "2026-11-20"}]},
        "an amount as text": {"external_transactions": [{**record, "id": f"t-{teller.scene}", "amount": "1"}]},
        "a long reference": {"external_transactions": [{**record, "id": f"l-{teller.scene}", "reference": "x" * 256}]},
    }.items():
        teller.ask(name, asked, {**body, **changes})
