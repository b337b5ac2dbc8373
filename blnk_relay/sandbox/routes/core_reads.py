"""Core's own reads: by id, lists and filters (findings part 7; contract §1.7).

Its filter routes look like Cloud's and are not: limits are in the body, the answer is a bare array, and
metadata can be filtered one level deep. They read the database itself, without any lag.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from blnk_relay.sandbox.books.bodies import balance_body, identity_body, ledger_body, transaction_body
from blnk_relay.sandbox.books.rows import Balance, Row, Txn
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer
from blnk_relay.sandbox.http.request import Fields, WireRequest
from blnk_relay.sandbox.routes.filter_fields import body_filters, query_filters
from blnk_relay.sandbox.routes.routing import Handler
from blnk_relay.sandbox.tables.filters import FilterError
from blnk_relay.sandbox.tables.ledger import BALANCES, IDENTITIES, LEDGERS, TRANSACTIONS
from blnk_relay.sandbox.tables.resource import Resource

#: Rows of an answer; more than the largest asked for silently becomes the default.
_DEFAULT_LIMIT, _MAX_LIMIT = 20, 100

#: Rows of a list of ledgers or balances when the client does not say.
_STRICT_LIMIT = 10

_META_KEY = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")


def core_filter(resource: Resource, body: Callable[[Any], dict[str, Any]], *, empty: bool) -> Handler:
    """POST /<resource>/filter of Core.

    Args:
        resource: What is read.
        body: A record as Core answers it.
        empty: No match is an empty array; otherwise it is null.
    """

    def handler(core: Core, request: WireRequest, effects: Effects) -> Answer:
        try:
            fields = request.fields() if request.body.strip() else _no_body()
            found = _select(core, resource, fields, effects)
            start = max(fields.integer("offset") or 0, 0)
            limit = fields.integer("limit") or 0
            page = found[start : start + (limit if 0 < limit <= _MAX_LIMIT else _DEFAULT_LIMIT)]
            shown = [body(record) for record in page] or ([] if empty else None)
            if fields.flag("include_count"):
                # Measured: the count comes with the rows, so an empty page has none.
                return json_answer(200, {"data": shown} | ({"total_count": len(found)} if page else {}))
        except FilterError as error:
            return error_answer("GEN_BAD_REQUEST", f"Invalid filter: {error}")
        except MalformedRequestError as error:
            return error_answer("GEN_VALIDATION_ERROR", error.message)
        return json_answer(200, shown)

    return handler


def core_list(resource: Resource, body: Callable[[Any], dict[str, Any]], *, empty: bool, strict: bool) -> Handler:
    """GET /<resource> of Core, filtered by the query; its limit has no upper bound (measured).

    Args:
        resource: What is read.
        body: A record as Core answers it.
        empty: No match is an empty array; otherwise it is null.
        strict: A limit or offset that is none is refused, and ten are shown by default; else it is ignored, and twenty.
    """

    def handler(core: Core, request: WireRequest, effects: Effects) -> Answer:
        default = _STRICT_LIMIT if strict else _DEFAULT_LIMIT
        limit, offset = _whole(request, "limit", default), _whole(request, "offset", 0)
        if strict and (limit is None or limit < 1):
            return error_answer("GEN_VALIDATION_ERROR", "Invalid limit value")
        if strict and (offset is None or offset < 0):
            return error_answer("GEN_VALIDATION_ERROR", "Invalid offset value")
        try:
            filters = query_filters(core.options, resource, request.query)
        except FilterError as error:
            return error_answer("GEN_BAD_REQUEST", f"Invalid filter: {error}")
        start = max(offset or 0, 0)
        limit = default if limit is None or limit < 1 else limit
        page = resource.select(core, filters, effects.lag_s)[start : start + limit]
        return json_answer(200, [body(record) for record in page] or ([] if empty else None))

    return handler


def _whole(request: WireRequest, name: str, default: int) -> int | None:
    text = request.query.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        return None


def _no_body() -> Fields:
    raise MalformedRequestError("EOF")


def _select(core: Core, resource: Resource, fields: Fields, effects: Effects) -> list[Any]:
    for item in fields.items("filters"):
        column = str(item.get("field", "")) if isinstance(item, dict) else ""
        if column.startswith("meta_data.") and _META_KEY.fullmatch(column.removeprefix("meta_data.")) is None:
            raise FilterError(f"invalid JSON key in field '{column}'")
    filters = body_filters(core.options, resource, fields)
    joined = (fields.text("logical_operator") or "and").lower()
    if joined not in {"and", "or"}:
        raise MalformedRequestError("invalid logical_operator: must be 'and' or 'or'")
    if joined == "or":
        found = {id(record): record for wanted in filters for record in resource.select(core, [wanted], effects.lag_s)}
        records = resource.newest_first(found.values())
    else:
        records = resource.select(core, filters, effects.lag_s)
    get = resource.columns.get(fields.text("sort_by").strip().lower())
    if get is not None:
        records.sort(key=lambda record: (get(record) is not None, get(record)), reverse=True)
    return records[::-1] if fields.text("sort_order").strip().lower() == "asc" else records


def _transaction(row: Row) -> dict[str, Any]:
    txn = Txn.from_row(row)
    txn.effective_ns = row.effective_ns
    return transaction_body(txn)


def _balance(balance: Balance) -> dict[str, Any]:
    # Measured: the filter knows neither.
    shown = balance_body(balance) | {"version": 0}
    return {name: value for name, value in shown.items() if name != "allocation_strategy"}


@dataclass(frozen=True, slots=True)
class _Shown:
    """How Core shows one resource; a list of transactions or ledgers is never null (measured)."""

    resource: Resource
    body: Callable[[Any], dict[str, Any]]
    empty: bool
    strict: bool


_SHOWN = (
    _Shown(TRANSACTIONS, _transaction, empty=True, strict=False),
    _Shown(BALANCES, _balance, empty=False, strict=True),
    _Shown(LEDGERS, ledger_body, empty=True, strict=True),
    _Shown(IDENTITIES, identity_body, empty=False, strict=False),
)


def core_filters() -> dict[str, Handler]:
    """Core's filter routes by the plural of what they read."""
    return {one.resource.name: core_filter(one.resource, one.body, empty=one.empty) for one in _SHOWN}


def core_lists() -> dict[str, Handler]:
    """Core's lists by the plural of what they read."""
    return {one.resource.name: core_list(one.resource, one.body, empty=one.empty, strict=one.strict) for one in _SHOWN}


def core_detail(resource: Resource, noun: str, code: str, body: Callable[[Any], dict[str, Any]]) -> Handler:
    """GET /<resource>/:id of Core; no read lag.

    Args:
        resource: What is read.
        noun: What Core calls one of them when there is none.
        code: The code it says that with.
        body: A record as Core answers it.
    """

    def handler(core: Core, request: WireRequest, _effects: Effects) -> Answer:
        record = resource.records(core.books).get(request.params["id"])
        if record is None:
            return error_answer(code, f"{noun} with ID '{request.params['id']}' not found", {})
        return json_answer(200, body(record))

    return handler


def core_details() -> dict[str, Handler]:
    """Core's reads of one record by the plural of what they read."""
    return {
        one.name: core_detail(one, noun, code, body)
        for one, noun, code, body in (
            (TRANSACTIONS, "Transaction", "TXN_NOT_FOUND", lambda row: transaction_body(Txn.from_row(row))),
            (BALANCES, "Balance", "BAL_NOT_FOUND", balance_body),
            (LEDGERS, "Ledger", "LGR_NOT_FOUND", ledger_body),
            (IDENTITIES, "Identity", "IDT_NOT_FOUND", identity_body),
        )
    }


def core_transaction_by_reference(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /transactions/reference/:reference; knows neither precision nor hash (contract §1.7)."""
    reference = request.params["reference"]
    row = core.books.with_reference(reference)
    if row is None:
        return error_answer("TXN_NOT_FOUND", f"Transaction with reference '{reference}' not found", {})
    txn = Txn.from_row(row)
    txn.precision, txn.hash = 0, ""
    return json_answer(200, transaction_body(txn))


def core_balance_by_indicator(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balances/indicator/:indicator/currency/:currency."""
    balance = core.books.with_indicator(request.params["indicator"], request.params["currency"])
    if balance is None:
        text = f"balance with indicator '{request.params['indicator']}' not found"
        return error_answer("BAL_NOT_FOUND", text)
    return json_answer(200, balance_body(balance))
