"""Requests that no route can make sense of: bodies, paths, keys."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fidelity.odd.asking import NOTHING, Page, skip
from tests.fidelity.telling import NO_ID, Teller

PAGE = Page()


_ROUTES = (
    "POST /transactions",
    "POST /transactions/bulk",
    f"PUT /transactions/inflight/{NOTHING}",
    f"POST /refund-transaction/{NOTHING}",
    "POST /transactions/inflight/bulk/commit",
    "POST /transactions/inflight/bulk/void",
    "POST /ledgers",
    "POST /balances",
    f"PUT /balances/bln_{NO_ID[5:]}/identity",
    "POST /identities",
    f"PUT /identities/idt_{NO_ID[5:]}",
    f"POST /identities/idt_{NO_ID[5:]}/tokenize",
    f"POST /ldg_{NO_ID[5:]}/metadata",
    "POST /reconciliation/start",
    "POST /reconciliation/start-instant",
    "POST /reconciliation/matching-rules",
    f"PUT /reconciliation/matching-rules/rule_{NO_ID[5:]}",
    "POST /transactions/filter",
    "POST /balances/filter",
    "POST /ledgers/filter",
    "POST /identities/filter",
)

_BODIES: Mapping[str, bytes] = {
    "bad": b"{bad",
    "empty": b"",
    "an array": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "no fields": b"{}",
    "cut off": b'{"a": "b',
    "a comma too many": b'{"a": 1,}',
    "no utf-8": b'{"name": "\xff\xfe"}',
}


@PAGE.story("bodies")
def _tell(teller: Teller) -> None:
    for asked in _ROUTES:
        for name, body in _BODIES.items():
            # An empty identity is made of nothing, and a page of all that there is shows everything.
            if name in ("no fields", "null", "no utf-8") and asked.endswith(("/filter", "/identities")):
                continue
            teller.ask(f"{asked} {name}", asked, body)
    pay = skip(teller, "trailing")
    teller.ask(
        "text after the value",
        "POST /transactions",
        str(pay).replace("'", '"').replace("True", "true").encode() + b" x",
    )


@PAGE.story("paths")
def _tell(teller: Teller) -> None:
    for asked in (
        "GET /nothing",
        "POST /nothing",
        "GET /transactions/inflight",
        "DELETE /transactions",
        "PUT /transactions",
        "PATCH /ledgers",
        "DELETE /ledgers/x",
        "POST /transactions/",
        "GET /ledgers/",
        f"GET /transactions/{NOTHING}/",
        f"GET /transactions/{NOTHING}",
        "GET /transactions/reference/nothing-at-all",
        f"GET /balances/bln_{NO_ID[5:]}",
        "GET /balances/indicator/@nothing-at-all/currency/EUR",
        f"GET /ledgers/ldg_{NO_ID[5:]}",
        f"GET /identities/idt_{NO_ID[5:]}",
        f"GET /identities/idt_{NO_ID[5:]}/tokenized-fields",
        f"GET /reconciliation/recon_{NO_ID[5:]}",
        "GET /reconciliation/matching-rules",
        "GET /reconciliations",
        "GET /external-transactions",
        "POST /reconciliation/filter",
        "POST /ledger/filter",
        "GET /transactions/nonsense",
        "GET /ledgers/nonsense",
        "GET /health",
    ):
        teller.ask(asked, asked)


@PAGE.story("keys")
def _tell(teller: Teller) -> None:
    for name, headers in {
        "none": {"X-Blnk-Key": None},
        "a wrong one": {"X-Blnk-Key": "wrong"},
        "an empty one": {"X-Blnk-Key": ""},
        "a bearer": {"X-Blnk-Key": None, "Authorization": "Bearer wrong"},
    }.items():
        teller.ask(f"{name}, read", f"GET /transactions/{NOTHING}", headers=headers)
        teller.ask(f"{name}, write", "POST /ledgers", {"name": "x"}, headers=headers)
        teller.ask(f"{name}, unknown path", "GET /nothing", headers=headers)
