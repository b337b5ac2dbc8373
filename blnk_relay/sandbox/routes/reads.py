"""The read routes: Data API, Filters API, and the Core reads a proxy may forward (contract §1.7)."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from blnk_relay.sandbox.books.bodies import balance_body, ledger_body, transaction_body
from blnk_relay.sandbox.books.rows import Txn
from blnk_relay.sandbox.core.core import Core
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer
from blnk_relay.sandbox.http.request import Fields, WireRequest
from blnk_relay.sandbox.options import Options
from blnk_relay.sandbox.routes.route import Handler
from blnk_relay.sandbox.tables.filters import BODY_OPERATORS, QUERY_OPERATORS, Filter, FilterError, coerced
from blnk_relay.sandbox.tables.resources import Resource

#: Query parameters that are never filters (contract §1.7).
RESERVED = frozenset(
    (
        *("page", "pagesize", "per_page", "limit", "offset", "sort", "order", "order_by", "order_dir"),
        *("instance_id", "org_id", "strict_total"),
    )
)

#: Filters one request may carry.
MAX_FILTERS = 20

_BETWEEN = 2


def data_list(resource: Resource) -> Handler:
    """GET /data/<resource>."""

    def handler(core: Core, request: WireRequest, effects: Effects) -> Answer:
        try:
            filters = query_filters(core.options, resource, request.query)
        except FilterError as error:
            return bad_query_filter(error)
        data, total = _select(core, resource, filters, request.query, effects)
        return json_answer(200, {"data": data, "total": total})

    return handler


def data_detail(resource: Resource) -> Handler:
    """GET /data/<resource>/<id>."""

    def handler(core: Core, request: WireRequest, effects: Effects) -> Answer:
        wanted = Filter(resource.id_column, "eq", (request.params["id"],))
        data, _ = _select(core, resource, [wanted], {}, effects)
        if data:
            return json_answer(200, {"data": data[0]} if core.options.detail_shape == "data" else data[0])
        missing = core.options.detail_missing
        if missing == "404":
            return json_answer(404, {"error": "record not found"})
        return json_answer(200, {"data": None if missing == "null" else []})

    return handler


def filter_records(resource: Resource, *, stats: bool, estimates: bool) -> Handler:
    """POST /<resource>/filter, with the extra fields of each resource's answer (contract §1.7)."""

    def handler(core: Core, request: WireRequest, effects: Effects) -> Answer:
        try:
            filters = body_filters(core.options, resource, request.fields())
        except FilterError as error:
            return error_answer("GEN_BAD_REQUEST", f"Invalid filter: {error}")
        except LedgerError as error:
            return error_answer("GEN_VALIDATION_ERROR", error.message)
        data, total = _select(core, resource, filters, request.query, effects)
        body: dict[str, Any] = {"data": data, "total": total}
        if stats:
            body["stats"] = {}
        if estimates:
            exact = request.query.get("strict_total") == "true" or not core.options.estimate_totals
            # A planner's guess is a round number that has little to do with the page.
            body["total"] = total if exact else max(total, 1) * 10
            body["total_is_estimate"] = not exact
            body["total_source"] = "exact" if exact else "estimate"
        return json_answer(200, body)

    return handler


def query_filters(options: Options, resource: Resource, query: Mapping[str, str]) -> list[Filter]:
    """Filters from ``<field>_<operator>=value`` parameters.

    Raises:
        FilterError: Too many, an unknown field, or values that do not suit the operator.
    """
    read = coerced if options.coerce_query_values else str
    filters: list[Filter] = []
    for name, text in query.items():
        column, separator, operator = name.rpartition("_")
        if name.lower() in RESERVED or not separator or operator not in QUERY_OPERATORS:
            continue
        parts = [text]
        if operator == "in":
            parts = [part.strip() for part in text.split(",")]
        elif operator == "between":
            parts = text.split("|")
        plain = operator in {"like", "ilike"}
        filters.append(_checked(options, resource, column, operator, [part if plain else read(part) for part in parts]))
    return _limited(filters)


def body_filters(options: Options, resource: Resource, fields: Fields) -> list[Filter]:
    """Filters from ``{"filters": [{"field", "operator", "value" | "values"}]}``.

    Raises:
        FilterError: As :func:`query_filters`.
        MalformedRequestError: The body has another shape.
    """
    filters: list[Filter] = []
    for item in fields.items("filters"):
        if not isinstance(item, dict):
            raise FilterError("a filter must be an object")
        column, operator = str(item.get("field", "")), str(item.get("operator", ""))
        if operator not in BODY_OPERATORS:
            raise FilterError(f"unknown operator {operator!r} for field {column!r}")
        if operator in {"in", "between"}:
            values = item.get("values")
            if not isinstance(values, list) or not values:
                raise FilterError(f"operator {operator!r} for field {column!r} requires at least one value in 'values'")
        else:
            values = [] if item.get("value") is None else [item["value"]]
        filters.append(_checked(options, resource, column, operator, values))
    return _limited(filters)


def _checked(options: Options, resource: Resource, column: str, operator: str, values: Sequence[Any]) -> Filter:
    unverified = not resource.has_meta and not options.reconciliation_filters
    if not resource.has_column(column) or unverified:
        raise FilterError(f"{resource.name} cannot be filtered by {column!r}")
    if operator == "between" and len(values) != _BETWEEN:
        raise FilterError(f"between on {column!r} needs exactly 2 values")
    if len(values) > options.max_in_values:
        raise FilterError(f"in on {column!r} takes at most {options.max_in_values} values")
    null_test = operator in {"isnull", "isnotnull", "exists", "notexists"}
    if column.count(".") > 1 and not options.nested_meta_filters:
        raise FilterError(f"{column!r} reaches deeper than one level into the metadata")
    if not values and not null_test:
        raise FilterError(f"{operator} on {column!r} needs a value")
    return Filter(column, operator, tuple(values))


def _limited(filters: list[Filter]) -> list[Filter]:
    if len(filters) > MAX_FILTERS:
        raise FilterError(f"at most {MAX_FILTERS} filters")
    return filters


def bad_query_filter(error: FilterError) -> Answer:
    """What the Data API says of a query that it cannot use."""
    return json_answer(
        400,
        {
            "errors": [str(error)],
            "error_detail": {"code": "GEN_VALIDATION_ERROR", "message": "invalid filter parameters"},
        },
    )


def _select(
    core: Core,
    resource: Resource,
    filters: Sequence[Filter],
    query: Mapping[str, str],
    effects: Effects,
) -> tuple[list[dict[str, Any]], int]:
    """One page of the records that fulfil all filters, and how many there are."""
    found = resource.select(core, filters, core.options.read_lag_s + effects.lag_s)
    start, size = page_of(core.options, resource, query)
    return [resource.write(core, record) for record in found[start : start + size]], len(found)


def page_of(options: Options, resource: Resource, query: Mapping[str, str]) -> tuple[int, int]:
    """Where a page begins, and how many records it has."""
    size = _positive(query, "pageSize", resource.default_page_size)
    if size > options.max_page_size:
        size = options.max_page_size if options.oversized_page == "cut" else resource.default_page_size
    return (_positive(query, "page", 1) - 1) * size, size


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else default


def core_transaction(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /transactions/:id, Core's own read; no read lag."""
    row = core.books.rows.get(request.params["id"])
    if row is None:
        return error_answer("TXN_NOT_FOUND", f"Transaction with ID '{request.params['id']}' not found", {})
    return json_answer(200, transaction_body(Txn.from_row(row)))


def core_transaction_by_reference(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /transactions/reference/:reference; knows neither precision nor hash (contract §1.7)."""
    reference = request.params["reference"]
    row = core.books.with_reference(reference)
    if row is None:
        return error_answer("TXN_NOT_FOUND", f"Transaction with reference '{reference}' not found", {})
    txn = Txn.from_row(row)
    txn.precision, txn.hash = 0, ""
    return json_answer(200, transaction_body(txn))


def core_balance(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balances/:id."""
    balance = core.books.balances.get(request.params["id"])
    if balance is None:
        return error_answer("BAL_NOT_FOUND", f"Balance with ID '{request.params['id']}' not found", {})
    return json_answer(200, balance_body(balance))


def core_balance_by_indicator(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balances/indicator/:indicator/currency/:currency."""
    balance = core.books.with_indicator(request.params["indicator"], request.params["currency"])
    if balance is None:
        text = f"balance with indicator '{request.params['indicator']}' not found"
        return error_answer("BAL_NOT_FOUND", text)
    return json_answer(200, balance_body(balance))


def core_ledger(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /ledgers/:id."""
    ledger = core.books.ledgers.get(request.params["id"])
    if ledger is None:
        return error_answer("LGR_NOT_FOUND", f"Ledger with ID '{request.params['id']}' not found", {})
    return json_answer(200, ledger_body(ledger))


def moved(request: WireRequest, prefix: str) -> Answer:
    """What Core says of a path with a slash too many at its end: another status for what may be repeated (measured).

    Args:
        request: The request.
        prefix: What was cut off its path on the way to Core.
    """
    path = request.path.removeprefix(prefix).rstrip("/")
    if request.method != "GET":
        return Answer(307, b"", {"Location": path})
    page = f'<a href="{html.escape(path)}">Moved Permanently</a>.\n\n'
    return Answer(301, page.encode(), {"Location": path, "Content-Type": "text/html; charset=utf-8"})
