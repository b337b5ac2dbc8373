"""Core's own reads: by id, lists and filters (findings part 7; contract §1.7).

Its filter routes look like Cloud's and are not: limits are in the body, the answer is a bare array, and
metadata can be filtered one level deep. They read the database itself, without any lag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from blnk_relay.sandbox.books.bodies import balance_body, identity_body, ledger_body, transaction_body
from blnk_relay.sandbox.books.constraints import driver_error
from blnk_relay.sandbox.books.rows import Balance, Row, Status, Txn
from blnk_relay.sandbox.clock import SECOND_NS, parse_rfc3339, rfc3339
from blnk_relay.sandbox.core import recovery
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import Fields, WireRequest
from blnk_relay.sandbox.routes.filter_fields import body_filters, query_filters
from blnk_relay.sandbox.routes.routing import Handler
from blnk_relay.sandbox.tables.filters import Filter, FilterError
from blnk_relay.sandbox.tables.ledger import BALANCES, IDENTITIES, LEDGERS, TRANSACTIONS
from blnk_relay.sandbox.tables.resource import META, Resource

#: Rows of an answer; more than the largest asked for silently becomes the default.
_DEFAULT_LIMIT, _MAX_LIMIT = 20, 100

#: Rows of a list of ledgers or balances when the client does not say.
_STRICT_LIMIT = 10

#: Recovery by hand takes nothing that is younger.
_LEAST_THRESHOLD_S = 120

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
            return error_answer("GEN_BAD_REQUEST", f"Invalid filter: {error}", {})
        except MalformedRequestError as error:
            return error_answer("GEN_VALIDATION_ERROR", error.message)
        except LedgerError as error:
            return refusal(error, default="GEN_INTERNAL")
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
            return error_answer("GEN_VALIDATION_ERROR", f"{_invalid(resource)} limit value")
        if strict and (offset is None or offset < 0):
            return error_answer("GEN_VALIDATION_ERROR", f"{_invalid(resource)} offset value")
        try:
            filters = query_filters(core.options, resource, request.query)
        except FilterError as error:
            return error_answer("GEN_BAD_REQUEST", f"Invalid filter: {error}", {})
        start = max(offset or 0, 0)
        limit = default if limit is None or limit < 1 else limit
        page = resource.select(core, filters, effects.lag_s)[start : start + limit]
        return json_answer(200, [body(record) for record in page] or ([] if empty else None))

    return handler


def _invalid(resource: Resource) -> str:
    return "invalid" if resource is BALANCES else "Invalid"


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
        key = column.removeprefix("meta_data.")
        if column.startswith("meta_data.") and _META_KEY.fullmatch(key) is None:
            pattern = f"must match pattern ^{_META_KEY.pattern}$"
            raise FilterError(f"invalid JSON key '{key}' in field '{column}': {pattern}")
    filters = body_filters(core.options, resource, fields)
    _check_values(resource, filters)
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


def _check_values(resource: Resource, filters: Sequence[Filter]) -> None:
    """Refuse what the database cannot compare: a list with a column, a text that is no JSON with all metadata.

    Raises:
        LedgerError: ``GEN_INTERNAL``.
    """
    failed = f"Failed to retrieve {resource.name}"
    for one in filters:
        if any(isinstance(value, list | dict) for value in one.values):
            raise LedgerError(failed, "GEN_INTERNAL", {})
        if one.column == META and any(not _is_json(value) for value in one.values):
            raise driver_error(failed, "22P02", "invalid input syntax for type json")


def _is_json(value: Any) -> bool:
    try:
        json.loads(str(value))
    except ValueError:
        return False
    return True


def _transaction(row: Row) -> dict[str, Any]:
    txn = Txn.from_row(row)
    txn.effective_ns = row.effective_ns
    return transaction_body(txn)


def _balance(balance: Balance) -> dict[str, Any]:
    # Measured: the filter knows none of them.
    shown = balance_body(balance) | {"version": 0, "track_fund_lineage": False}
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
            named = noun if resource is LEDGERS else f"{noun} with ID '{request.params['id']}'"
            return error_answer(code, f"{named} not found", {})
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


def core_balance_at(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balances/:id/at: what a balance was at a time, added up from the rows that are dated before it."""
    text = request.query.get("timestamp", "")
    try:
        at_ns = parse_rfc3339(text) if text else core.clock.now_ns()
    except ValueError:
        wanted = "invalid timestamp format. Please use ISO 8601 format (e.g., 2024-01-01T15:04:05Z)"
        return error_answer("BAL_INVALID_TIMESTAMP", wanted)
    balance = core.books.balances.get(request.params["id"])
    if balance is None:
        return error_answer("BAL_NOT_FOUND", f"Balance '{request.params['id']}' not found", {})
    rows = [row for row in core.books.rows.values() if row.status is Status.APPLIED and _date_of(row) <= at_ns]
    credit = sum(row.precise_amount for row in rows if row.destination == balance.balance_id)
    debit = sum(row.precise_amount for row in rows if row.source == balance.balance_id)
    shown: dict[str, Any] = {"balance": credit - debit, "debit_balance": debit, "credit_balance": credit}
    shown |= {"currency": balance.currency, "balance_id": balance.balance_id}
    moment = text or rfc3339(at_ns // SECOND_NS * SECOND_NS)
    from_source = request.query.get("from_source", "") in {"true", "1"}
    return json_answer(200, {"balance": shown, "timestamp": moment, "from_source": from_source})


def _date_of(row: Row) -> int:
    return row.created_ns if row.effective_ns is None else row.effective_ns


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def recover_queued(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /transactions/recover: do at once for what is stranded what Core does after two hours (finding D20)."""
    text = request.query.get("threshold", "2m")
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return error_answer("GEN_VALIDATION_ERROR", f'invalid threshold duration: time: invalid duration "{text}"')
    hours, minutes, seconds = (int(number or 0) for number in found.groups())
    threshold_s = hours * 3600 + minutes * 60 + seconds
    # Less than two minutes are raised to two, and the answer shows what was asked (finding R7).
    recovered = recovery.recover(core, max(threshold_s, _LEAST_THRESHOLD_S))
    shown = f"{threshold_s // 3600}h" if threshold_s >= 3600 else ""  # noqa: PLR2004
    shown += f"{threshold_s % 3600 // 60}m" if threshold_s >= 60 else ""  # noqa: PLR2004
    return json_answer(200, {"recovered": recovered, "threshold": f"{shown}{threshold_s % 60}s"})


def core_balance_by_indicator(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balances/indicator/:indicator/currency/:currency."""
    balance = core.books.with_indicator(request.params["indicator"], request.params["currency"])
    if balance is None:
        text = f"balance with indicator '{request.params['indicator']}' not found"
        return error_answer("BAL_NOT_FOUND", text)
    return json_answer(200, balance_body(balance))
