"""Reading back over HTTP before a server that answers somebody else's question, or forgets what it knew."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from blnk_relay import Settings
from blnk_relay.intents.exchange import SEVERAL_ROWS, Failure
from blnk_relay.intents.found import Lookup
from tasks.runtime import Looked
from tests.support.hostile import HostileServer, answer, read_request
from worker.ledger.proxy import Proxy
from worker.ledger.readback import LedgerOverHttp

#: What a server says to a request, by its text; and whether the connection is one of its own.
Says = Callable[[str, bool], tuple[str, Any]]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def saying(says: Says) -> Callable[[socket.socket], None]:
    def play(connection: socket.socket) -> None:
        while request := read_request(connection).decode():
            status, body = says(request, "connection: close" in request.lower())
            connection.sendall(answer(json.dumps(body).encode(), status))

    return play


def looked(says: Says, *lookups: Lookup, route: str = "filters", times: int = 1) -> list[Looked]:
    with HostileServer(saying(says)) as server:
        ledger = LedgerOverHttp(Proxy(Settings(base_url=server.url, token="t", instance_id="i")), route)  # noqa: S106
        try:
            return [ledger.look(lookups) for _ in range(times)]
        finally:
            ledger.close()


def page(*rows: dict[str, Any]) -> tuple[str, Any]:
    return "200 OK", {"data": list(rows), "total": len(rows), "total_is_estimate": False}


OURS = {"transaction_id": "txn_1", "reference": "ours", "status": "APPLIED"}
OTHER = {"transaction_id": "txn_2", "reference": "other", "status": "APPLIED"}
BY_REFERENCE = Lookup("transactions", "reference", "ours")


@pytest.mark.parametrize("route", ["filters", "data"])
@pytest.mark.parametrize("rows", [(OTHER,), (OURS, OTHER), ({"transaction_id": "txn_1", "status": "APPLIED"},)])
def test_a_page_with_a_row_that_was_not_asked_for_is_no_answer(route, rows):
    (result,) = looked(lambda *_: page(*rows), BY_REFERENCE, route=route)
    assert result.failure is not None
    assert (result.failure.failure, result.failure.code) == (Failure.BROKEN, "NOT_THE_ANSWER")
    assert result.rows == ()


@pytest.mark.parametrize("route", ["filters", "data"])
def test_that_there_are_no_rows_is_only_believed_on_a_connection_of_its_own(route):
    (result,) = looked(lambda _, alone: page(OURS) if alone else page(), BY_REFERENCE, route=route)
    assert [row.reference for row in result.rows] == ["ours"]
    (result,) = looked(lambda *_: page(), BY_REFERENCE, route=route)
    assert (result.rows, result.failure) == ((), None)


@pytest.mark.parametrize("route", ["filters", "data"])
def test_a_short_page_is_not_taken_for_the_last_one(route):
    """Whoever is in between may cap pages: a sum over some of a hold's commits would be too small."""
    commits = [
        {**OURS, "transaction_id": f"txn_{number}", "reference": f"c{number}", "parent_transaction": "txn_0"}
        for number in range(5)
    ]

    def says(request: str, _alone: bool) -> tuple[str, Any]:
        number = int(re.search(r"[?&]page=(\d+)", request)[1])  # type: ignore[index]
        body = {"data": commits[2 * number - 2 : 2 * number], "total": len(commits), "total_is_estimate": False}
        return "200 OK", body

    (result,) = looked(says, Lookup("transactions", "parent_transaction", "txn_0"), route=route)
    assert result.failed == {}
    assert [row.transaction_id for row in result.rows] == [f"txn_{number}" for number in range(5)]


def test_a_row_read_by_its_reference_bears_it():
    (result,) = looked(lambda *_: ("200 OK", OTHER), BY_REFERENCE, route="core")
    assert result.failure is not None
    assert result.failure.code == "NOT_THE_ANSWER"


def test_that_a_row_is_absent_is_believed_if_it_is_named_or_asked_for_alone():
    def not_found(name: str) -> tuple[str, Any]:
        text = f"Transaction with reference '{name}' not found"
        return "404 Not Found", {"error": text, "error_detail": {"code": "TXN_NOT_FOUND", "message": text}}

    asked: list[bool] = []

    def naming(_: str, alone: bool) -> tuple[str, Any]:
        asked.append(alone)
        return not_found("ours")

    (result,) = looked(naming, BY_REFERENCE, route="core")
    assert (result.rows, result.failure, asked) == ((), None, [False])
    (result,) = looked(lambda _, alone: ("200 OK", OURS) if alone else not_found("other"), BY_REFERENCE, route="core")
    assert [row.reference for row in result.rows] == ["ours"]


def test_what_names_nothing_is_asked_for_alone():
    def says(request: str, alone: bool) -> tuple[str, Any]:
        if "tokenized-fields" in request:
            return "200 OK", {"tokenized_fields": ["FirstName"] if alone else []}
        return "200 OK", {"data": [], "total": 3 if alone else 0}

    tokenized = Lookup("tokenized-fields", "identity_id", "idt_1")
    (result,) = looked(says, tokenized, Lookup("upload-sizes", "upload_id", "upload_1"))
    names, size = result.records
    assert (names.value("tokenized_fields"), size.value("count")) == (["FirstName"], 3)


def test_which_balance_an_indicator_stands_for_is_read_anew_each_time():
    ids = iter(["bln_before", "bln_after"])

    def says(_request: str, _alone: bool) -> tuple[str, Any]:
        return page({"balance_id": next(ids), "indicator": "@shop", "currency": "EUR"})

    first, second = looked(says, Lookup("balances", "indicator", "@shop"), times=2)
    assert [record.value("balance_id") for record in (*first.records, *second.records)] == ["bln_before", "bln_after"]


def test_what_an_answer_contradicts_costs_what_it_is_about_and_not_the_page():
    lookups = [Lookup("transactions", "reference", name) for name in ("ours", "other")]
    whole = {**OTHER, "precise_amount": 5}

    def looked_at(*rows: str) -> Looked:
        text = ", ".join((*rows, json.dumps(whole)))
        body = f'{{"data": [{text}]}}'.encode()

        def play(connection: socket.socket) -> None:
            while read_request(connection):
                connection.sendall(answer(body))

        with HostileServer(play) as server:
            ledger = LedgerOverHttp(Proxy(Settings(base_url=server.url, token="t", instance_id="i")), "filters")  # noqa: S106
            try:
                return ledger.look(lookups)
            finally:
                ledger.close()

    def ours(**fields: str) -> str:
        shown = {"transaction_id": '"txn_1"', "reference": '"ours"', "status": '"APPLIED"', **fields}
        return "{" + ", ".join(f'"{name}": {text}' for name, text in shown.items() if text) + "}"

    good = looked_at(ours(precise_amount="5"))
    assert {row.reference for row in good.rows} == {"ours", "other"}
    assert not good.failed
    for rows in (
        # Amounts that are none, of which one may be any.
        *((ours(precise_amount=amount),) for amount in (
            "1e99999999999999999999", "1e400", "NaN", "Infinity", "9" * 5000, "10.5", "true", "[]", "{}", '"ten"',
        )),
        # Rows that do not say which they are, or how they stand.
        *((ours(transaction_id=text),) for text in ("", "null", "1", '""', '["txn_1"]', f'"{"t" * 600}"')),
        *((ours(status=text),) for text in ("", "null", "1", '""', '["APPLIED"]')),
        # What is not a text, where it would be compared with one.
        *((ours(**{name: text}),) for name in ("currency", "source", "parent_transaction") for text in ("1", "[]")),
        # Two for which there can be one.
        (ours(), ours(status='"REJECTED"')),
        (ours(transaction_id='"txn_3"', currency="1"), ours()),
    ):  # fmt: skip
        found = looked_at(*rows)
        assert {row.reference for row in found.rows} == {"other"}, rows
        assert {lookup.value: answer.code for lookup, answer in found.failed.items()} == {
            "ours": "CONTRADICTS_ITSELF"
        }, rows
    # Each in order, and two: the ledger has done there what it never should.
    found = looked_at(ours(), ours(transaction_id='"txn_3"'))
    assert {row.reference for row in found.rows} == {"other"}
    ((lookup, said),) = found.failed.items()
    assert (lookup.value, said.code, said.message) == ("ours", SEVERAL_ROWS, "txn_1 (APPLIED), txn_3 (APPLIED)")


@pytest.mark.parametrize("identity", [None, 7, "", ["idt_1"], {"$ne": 1}])
def test_a_record_without_an_id_is_not_one_that_was_made(identity):
    record = {"identity_id": identity, "meta_data": {"blnk_relay": "us"}}
    (result,) = looked(lambda *_: page(record), Lookup("identities", "meta_data.blnk_relay", "us"))
    assert result.records == ()
    assert result.failure is not None


def test_an_external_record_of_no_upload_is_not_one_that_was_uploaded():
    (result,) = looked(lambda *_: page({"id": "e1", "upload_id": None}), Lookup("external-transactions", "id", "e1"))
    assert result.records == ()
    assert result.failure is not None


def test_a_run_without_an_id_is_not_counted_as_none():
    run = {"upload_id": "upload_1", "status": "started"}
    (result,) = looked(lambda *_: page(run), Lookup("upload-runs", "upload_id", "upload_1"))
    assert result.records == ()
    assert result.failure is not None


@pytest.mark.parametrize("odd", ["400 Bad Request", "404 Not Found", "405 Method Not Allowed", "501 Not Implemented"])
def test_one_odd_answer_does_not_say_that_the_ledger_has_no_such_read(odd):
    upload_runs = Lookup("upload-runs", "upload_id", "upload_1")
    run = {"reconciliation_id": "recon_1", "upload_id": "upload_1", "status": "started"}
    answers = iter([(odd, {"error": "something else"}), page(run)])
    (result,) = looked(lambda *_: next(answers), upload_runs)
    assert [record.value("runs") for record in result.records] == [["recon_1"]]
    (result,) = looked(lambda *_: (odd, {"error": "something else"}), upload_runs)
    assert [record.value("runs") for record in result.records] == [None]


@pytest.mark.parametrize("body", [{"data": [], "total": 1}, {"data": None, "total": 3}])
def test_a_page_without_rows_that_counts_some_is_no_answer(body):
    (result,) = looked(lambda *_: ("200 OK", body), BY_REFERENCE)
    assert result.failure is not None
