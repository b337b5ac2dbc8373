"""Ledgers, balances, identities and their metadata."""

from __future__ import annotations

import uuid

from tests.fidelity.odd.asking import Page, each, family, payment, settled, skip
from tests.fidelity.telling import NO_ID, Teller

PAGE = Page()


@PAGE.story("ledger")
def _tell(teller: Teller) -> None:
    made = teller.ask("make", "POST /ledgers", {"name": teller.name("ledger"), "meta_data": {"wq": "x", "n": 2**60}})
    ledger = made.id("ledger_id")
    teller.ask("read", f"GET /ledgers/{ledger}")
    teller.ask("the same name", "POST /ledgers", {"name": teller.name("ledger")})
    each(
        teller,
        "POST /ledgers",
        {
            "empty name": {"name": ""},
            "blank name": {"name": " "},
            "name as a number": {"name": 5},
            "no name": {"meta_data": {}},
            "metadata as text": {"name": "x", "meta_data": "x"},
            "metadata null": {"name": teller.name("null"), "meta_data": None},
            "nul": {"name": "x\u0000y"},
            "nul in metadata": {"name": "x", "meta_data": {"a": "b\u0000c"}},
            "nine thousand bytes": {"name": "x", "meta_data": {"x": "y" * 9000}},
            "an id of ours": {"name": teller.name("own"), "ledger_id": f"ldg_{NO_ID[5:]}"},
        },
    )
    for name, body in {
        "rename": {"name": teller.name("other")},
        "rename to nothing": {"name": ""},
        "no name given": {},
    }.items():
        teller.ask(name, f"PUT /ledgers/{ledger}", body)
    teller.ask("rename nothing", f"PUT /ledgers/ldg_{NO_ID[5:]}", {"name": "x"})
    for name, rule in {
        "by id": {"field": "ledger_id", "operator": "in", "values": [ledger]},
        "by name": {"field": "name", "operator": "eq", "value": teller.name("other")},
        "by mark": {"field": "meta_data.wq", "operator": "eq", "value": teller.name("nobody")},
    }.items():
        teller.ask(name, "POST /ledgers/filter", {"filters": [rule], "include_count": True})


@PAGE.story("balance")
def _tell(teller: Teller) -> None:
    ledger = teller.ask("ledger", "POST /ledgers", {"name": teller.name("ledger")}).id("ledger_id")
    person = teller.ask("person", "POST /identities", {"first_name": "A"}).id("identity_id")
    made = teller.ask("make", "POST /balances", {"ledger_id": ledger, "currency": "EUR", "meta_data": {"wq": "x"}})
    balance = made.id("balance_id")
    teller.ask("read", f"GET /balances/{balance}")
    named = f"@till.{teller.scene}"
    each(
        teller,
        "POST /balances",
        {
            "with an owner": {"ledger_id": ledger, "currency": "EUR", "identity_id": person},
            "no ledger": {"currency": "EUR"},
            "no currency": {"ledger_id": ledger},
            "unknown ledger": {"ledger_id": f"ldg_{NO_ID[5:]}", "currency": "EUR"},
            "unknown owner": {"ledger_id": ledger, "currency": "EUR", "identity_id": f"idt_{NO_ID[5:]}"},
            "ledger as a number": {"ledger_id": 5, "currency": "EUR"},
            "precision": {"ledger_id": ledger, "currency": "EUR", "precision": 1000},
            "lineage": {"ledger_id": ledger, "currency": "EUR", "identity_id": person, "track_fund_lineage": True},
            "lineage of nobody": {"ledger_id": ledger, "currency": "EUR", "track_fund_lineage": True},
            "strategy": {"ledger_id": ledger, "currency": "EUR", "allocation_strategy": " lifo "},
            "unknown strategy": {"ledger_id": ledger, "currency": "EUR", "allocation_strategy": "BEST"},
            "nine thousand bytes": {"ledger_id": ledger, "currency": "EUR", "meta_data": {"x": "y" * 9000}},
            "indicator": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": named},
            "indicator again": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": named},
            "indicator, other currency": {"ledger_id": "general_ledger_id", "currency": "USD", "indicator": named},
            "indicator elsewhere": {"ledger_id": ledger, "currency": "EUR", "indicator": f"@else.{teller.scene}"},
            "indicator without @": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": "till"},
            "indicator of two words": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": "@a b"},
            "sums of ours": {"ledger_id": ledger, "currency": "EUR", "balance": 500, "credit_balance": 500},
        },
    )
    teller.ask("by indicator", f"GET /balances/indicator/{named}/currency/EUR")
    teller.ask("by indicator, other currency", f"GET /balances/indicator/{named}/currency/GBP")
    link = f"PUT /balances/{balance}/identity"
    teller.ask("link", link, {"identity_id": person})
    teller.ask("link again", link, {"identity_id": person})
    teller.ask("linked", f"GET /balances/{balance}")
    teller.ask("link to nobody", link, {"identity_id": f"idt_{NO_ID[5:]}"})
    teller.ask("link to an empty name", link, {"identity_id": ""})
    teller.ask("link nothing", f"PUT /balances/bln_{NO_ID[5:]}/identity", {"identity_id": person})
    teller.ask("delete the owner", f"DELETE /identities/{person}")
    for name, rule in {
        "by id": {"field": "balance_id", "operator": "in", "values": [balance]},
        "by owner": {"field": "identity_id", "operator": "eq", "value": person},
        "by indicators": {"field": "indicator", "operator": "in", "values": [named, "@nobody-at-all"]},
    }.items():
        body = {"filters": [rule], "include_count": True, "sort_by": "currency", "sort_order": "asc"}
        teller.ask(name, "POST /balances/filter", body, loose=True)


@PAGE.story("identity")
def _tell(teller: Teller) -> None:
    full = {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "other_names": "K.",
        "gender": "female",
        "dob": "1815-12-10T00:00:00Z",
        "email_address": "ada@example.org",
        "phone_number": "+44 1",
        "nationality": "GB",
        "organization_name": "",
        "category": "individual",
        "identity_type": "individual",
        "street": "St James's Square",
        "country": "GB",
        "state": "",
        "post_code": "SW1",
        "city": "London",
        "meta_data": {"wq": "x"},
    }
    person = teller.ask("make", "POST /identities", full).id("identity_id")
    teller.ask("read", f"GET /identities/{person}")
    own = f"idt_{uuid.uuid5(uuid.NAMESPACE_DNS, teller.scene)}"
    each(
        teller,
        "POST /identities",
        {
            "nothing": {},
            "an id of ours": {"identity_id": own, "first_name": "B"},
            "the same id": {"identity_id": own, "first_name": "C"},
            "an id without a prefix": {"identity_id": own[4:]},
            "an id of no shape": {"identity_id": "idt_nonsense"},
            "a bare date": {"dob": "1990-01-01"},
            "an empty date": {"dob": ""},
            "a date null": {"dob": None},
            "name as a number": {"first_name": 5},
            "metadata as text": {"meta_data": "x"},
            "made long ago": {"first_name": "D", "created_at": "2000-01-01T00:00:00Z"},
            "nul": {"first_name": "a\u0000b"},
        },
    )
    change = f"PUT /identities/{person}"
    for name, body in {
        "change": {"city": "Ockham"},
        "change to nothing": {"city": ""},
        "nothing to change": {"first_name": ""},
        "another id": {"identity_id": own, "state": "Surrey"},
        "a bare date to change": {"dob": "1990-01-01"},
        "metadata anew": {"meta_data": {"other": 1}},
        "metadata emptied": {"meta_data": {}},
        "unknown field to change": {"colour": "red"},
    }.items():
        teller.ask(name, change, body)
    teller.ask("read again", f"GET /identities/{person}")
    teller.ask("change nobody", f"PUT /identities/idt_{NO_ID[5:]}", {"city": "x"})
    by = {"field": "identity_id", "operator": "in", "values": [person]}
    teller.ask("by id", "POST /identities/filter", {"filters": [by], "include_count": True})
    teller.ask("delete", f"DELETE /identities/{person}")
    teller.ask("delete again", f"DELETE /identities/{person}")
    teller.ask("deleted", f"GET /identities/{person}")
    teller.ask("delete ours", f"DELETE /identities/{own}")


@PAGE.story("tokens")
def _tell(teller: Teller) -> None:
    person = teller.ask("make", "POST /identities", {"first_name": "Ada", "email_address": "a@b.c", "street": "X"})
    base = f"/identities/{person.id('identity_id')}"
    teller.ask("none yet", f"GET {base}/tokenized-fields")
    teller.ask("one", f"POST {base}/tokenize/FirstName")
    teller.ask("again", f"POST {base}/tokenize/FirstName")
    teller.ask("small first letter", f"POST {base}/tokenize/emailAddress")
    teller.ask("snake case", f"POST {base}/tokenize/first_name")
    teller.ask("not tokenizable", f"POST {base}/tokenize/Gender")
    teller.ask("unknown", f"POST {base}/tokenize/Colour")
    teller.ask("several", f"POST {base}/tokenize", {"fields": ["Street", "LastName"]})
    teller.ask("several again", f"POST {base}/tokenize", {"fields": ["PostCode", "Street"]})
    teller.ask("no fields", f"POST {base}/tokenize", {"fields": []})
    teller.ask("fields as text", f"POST {base}/tokenize", {"fields": "Street"})
    teller.ask("unknown among them", f"POST {base}/tokenize", {"fields": ["Colour"]})
    teller.ask("which", f"GET {base}/tokenized-fields", loose=True)
    teller.ask("read", f"GET {base}")
    teller.ask("in the clear", f"GET {base}/detokenize/FirstName")
    teller.ask("in the clear, plain", f"GET {base}/detokenize/Gender")
    teller.ask("several in the clear", f"POST {base}/detokenize", {"fields": ["FirstName"]})
    teller.ask("all in the clear", f"POST {base}/detokenize", {"fields": []})
    teller.ask("none named", f"POST {base}/detokenize", {})
    teller.ask("nobody", f"POST /identities/idt_{NO_ID[5:]}/tokenize/FirstName")
    teller.ask("several of nobody", f"POST /identities/idt_{NO_ID[5:]}/tokenize", {"fields": ["FirstName"]})
    teller.ask("nobody in the clear", f"GET /identities/idt_{NO_ID[5:]}/detokenize/FirstName")


@PAGE.story("metadata")
def _tell(teller: Teller) -> None:
    ledger = teller.ask("ledger", "POST /ledgers", {"name": teller.name("l"), "meta_data": {"a": 1}}).id("ledger_id")
    balance = teller.ask("balance", "POST /balances", {"ledger_id": ledger, "currency": "EUR"}).id("balance_id")
    person = teller.ask("person", "POST /identities", {"first_name": "A"}).id("identity_id")
    paid = teller.ask("payment", "POST /transactions", skip(teller, "paid", meta_data={"a": 1})).id("transaction_id")
    for name, id_ in {"ledger": ledger, "balance": balance, "person": person, "payment": paid}.items():
        teller.ask(f"of the {name}", f"POST /{id_}/metadata", {"meta_data": {"b": {"c": 1.5}, "n": 2**60}})
        teller.ask(f"of the {name}, more", f"POST /{id_}/metadata", {"meta_data": {"a": None, "b": "x"}})
        teller.ask(f"of the {name}, nothing", f"POST /{id_}/metadata", {"meta_data": {}})
    for name, read in {"ledger": f"/ledgers/{ledger}", "balance": f"/balances/{balance}"}.items():
        teller.ask(f"the {name}", f"GET {read}")
    teller.ask("the person", f"GET /identities/{person}")
    teller.ask("the payment", f"GET /transactions/{paid}")
    for name, body in {"null": {"meta_data": None}, "a text": {"meta_data": "x"}, "a list": {"meta_data": [1]}}.items():
        teller.ask(name, f"POST /{ledger}/metadata", body)
    for prefix in ("ldg", "bln", "idt", "txn", "bulk", "rule", "nothing"):
        teller.ask(f"of no {prefix}", f"POST /{prefix}_{NO_ID[5:]}/metadata", {"meta_data": {"a": 1}})
    teller.ask("of no shape", "POST /nonsense/metadata", {"meta_data": {"a": 1}})
    teller.ask("too large for a balance", f"POST /{balance}/metadata", {"meta_data": {"x": "y" * 9000}})
    queued = teller.ask("queued", "POST /transactions", payment(teller, "queued")).id("transaction_id")
    settled(teller, "applied", "queued", "APPLIED")
    teller.ask("of the queued", f"POST /{queued}/metadata", {"meta_data": {"late": True}})
    family(teller, "both rows", "queued")
