"""Reading back: rows, pages and filters."""

from __future__ import annotations

from typing import Any

from tests.fidelity.odd.asking import NOTHING, OUT, Page, each, held, payment, skip
from tests.fidelity.telling import NO_ID, Teller

PAGE = Page()


@PAGE.story("filters")
def _tell(teller: Teller) -> None:
    for number in range(3):
        meta = {"wq": teller.name("mark"), "n": number, "flag": number == 1, "deep": {"key": "x"}}
        body = skip(teller, f"row{number}", precise_amount=1000 + number, meta_data=meta)
        teller.ask(f"row {number}", "POST /transactions", body)
    mine = {"field": "reference", "operator": "like", "value": f"row%.{teller.scene}"}
    rules: dict[str, Any] = {
        "like": [mine],
        "ilike": [{**mine, "operator": "ilike", "value": f"ROW%.{teller.scene}"}],
        "one": [{**mine, "operator": "eq", "value": teller.name("row1")}],
        "others": [mine, {**mine, "operator": "ne", "value": teller.name("row1")}],
        "some": [{"field": "reference", "operator": "in", "values": [teller.name("row0"), teller.name("row2")]}],
        "none": [{"field": "reference", "operator": "in", "values": [teller.name("nobody")]}],
        "in nothing": [{"field": "reference", "operator": "in", "values": []}],
        "in by value": [{"field": "reference", "operator": "in", "value": teller.name("row0")}],
        "more than": [mine, {"field": "amount", "operator": "gt", "value": 10}],
        "at least": [mine, {"field": "amount", "operator": "gte", "value": 10.01}],
        "less than": [mine, {"field": "amount", "operator": "lt", "value": 10.01}],
        "at most": [mine, {"field": "amount", "operator": "lte", "value": 10.01}],
        "between": [mine, {"field": "amount", "operator": "between", "values": [10.005, 10.015]}],
        "status": [mine, {"field": "status", "operator": "eq", "value": "APPLIED"}],
        "no parent": [mine, {"field": "parent_transaction", "operator": "isnull"}],
        "a parent": [mine, {"field": "parent_transaction", "operator": "isnotnull"}],
        "by mark": [{"field": "meta_data.wq", "operator": "eq", "value": teller.name("mark")}],
        "by a number": [mine, {"field": "meta_data.n", "operator": "eq", "value": 1}],
        "by a flag": [mine, {"field": "meta_data.flag", "operator": "eq", "value": True}],
        "by two levels": [mine, {"field": "meta_data.deep.key", "operator": "eq", "value": "x"}],
        "by all metadata": [mine, {"field": "meta_data", "operator": "eq", "value": "x"}],
        "unknown field": [{"field": "colour", "operator": "eq", "value": "red"}],
        "unknown operator": [{**mine, "operator": "near"}],
        "no operator": [{"field": "reference", "value": "x"}],
        "no field": [{"operator": "eq", "value": "x"}],
        "no value": [{"field": "reference", "operator": "eq"}],
        "a list as value": [{"field": "reference", "operator": "eq", "value": ["x"]}],
        "a rule of text": ["x"],
    }
    for name, filters in rules.items():
        teller.ask(name, "POST /transactions/filter", {"filters": filters}, loose=True)
    for name, more in {
        "counted": {"include_count": True},
        "the first": {"limit": 1, "sort_by": "reference", "sort_order": "asc", "include_count": True},
        "the second": {"limit": 1, "offset": 1, "sort_by": "reference", "sort_order": "asc", "include_count": True},
        "the last": {"limit": 1, "sort_by": "reference", "sort_order": "desc"},
        "after the last": {"offset": 10, "include_count": True},
        "limit zero": {"limit": 0},
        "limit negative": {"limit": -1},
        "limit as text": {"limit": "1"},
        "limit beyond": {"limit": 101},
        "offset negative": {"offset": -1},
        "sorted by nothing known": {"sort_by": "colour"},
        "sorted in no order": {"sort_by": "reference", "sort_order": "sideways"},
        "any of them": {"logical_operator": "or"},
    }.items():
        teller.ask(name, "POST /transactions/filter", {"filters": [mine], **more}, loose="sort_by" not in more)
    teller.ask("filters as text", "POST /transactions/filter", {"filters": "x"})
    for resource in ("ledgers", "balances", "identities"):
        nobody = {"filters": [{"field": "created_at", "operator": "lt", "value": "1960-01-01"}]}
        teller.ask(f"no {resource}", f"POST /{resource}/filter", nobody)
        teller.ask(f"no {resource}, counted", f"POST /{resource}/filter", {**nobody, "include_count": True})
        unknown = {"filters": [{"field": "colour", "operator": "eq", "value": "red"}]}
        teller.ask(f"{resource} by nothing known", f"POST /{resource}/filter", unknown)


@PAGE.story("lists")
def _tell(teller: Teller) -> None:
    teller.ask("row", "POST /transactions", skip(teller, "row"))
    teller.ask("one", f"GET /transactions?reference_eq={teller.name('row')}")
    teller.ask("one of two", f"GET /transactions?reference_in={teller.name('row')},{teller.name('none')}")
    for asked in (
        "GET /transactions?reference_eq=nothing-at-all",
        "GET /transactions?colour_eq=red",
        "GET /ledgers?name_eq=nothing-at-all",
        "GET /ledgers?limit=0",
        "GET /ledgers?limit=x",
        "GET /ledgers?offset=-1",
        "GET /balances?currency_eq=XXX",
        "GET /balances?limit=0",
        "GET /identities?first_name_eq=nothing-at-all",
        "GET /identities?colour_eq=red",
    ):
        teller.ask(asked, asked, loose=True)


@PAGE.story("dry runs")
def _tell(teller: Teller) -> None:
    dry = {"dry_run": True, "skip_queue": True}
    hold = held(teller, "hold")
    paid = teller.ask("paid", "POST /transactions", skip(teller, "paid")).id("transaction_id")
    poor = {"source": f"@poor.{teller.scene}", "allow_overdraft": OUT}
    each(
        teller,
        "POST /transactions",
        {
            "pay": payment(teller, "dry1", **dry),
            "without funds": payment(teller, "dry2", **dry, **poor),
            "a used reference": payment(teller, "paid", **dry),
            "unknown balance": payment(teller, "dry3", **dry, destination=f"bln_{NO_ID[5:]}"),
            "beyond a limit": payment(teller, "dry4", **dry, **poor, overdraft_limit=1),
            "invalid": payment(teller, "dry5", **dry, description=""),
        },
    )
    teller.ask("commit", f"PUT /transactions/inflight/{hold}", {"status": "commit", **dry, "precise_amount": 400})
    teller.ask(
        "commit too much", f"PUT /transactions/inflight/{hold}", {"status": "commit", **dry, "precise_amount": 4000}
    )
    teller.ask("commit nothing", f"PUT /transactions/inflight/{NOTHING}", {"status": "commit", **dry})
    teller.ask("refund", f"POST /refund-transaction/{paid}", dry)
    teller.ask("refund nothing", f"POST /refund-transaction/{NOTHING}", dry)
    items = [payment(teller, "dry6"), payment(teller, "dry6")]
    teller.ask("bulk", "POST /transactions/bulk", {"transactions": items, **dry})
    teller.ask(
        "bulk without funds", "POST /transactions/bulk", {"transactions": [payment(teller, "dry7", **poor)], **dry}
    )
    many = {"transactions": [{"transaction_id": hold}, {"transaction_id": NOTHING}], **dry}
    teller.ask("commit many", "POST /transactions/inflight/bulk/commit", many)
    teller.ask("void many", "POST /transactions/inflight/bulk/void", {"transaction_ids": [hold], **dry})
