"""A running Core behind the sandbox's edge: what is sent to it, and how its answers are read (``--upstream``).

Pure translation: proxied routes lose their prefix, the Data and Filters API become Core's own filter
routes (limits in the body, bare arrays). The sockets are in :mod:`blnk_relay.sandbox.app`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from blnk_relay.sandbox.edge.exchange import Edge, Exchange
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.http.answers import Answer, dump, error_answer, html_answer, json_answer
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.options import UPSTREAM_LIMITS, Options
from blnk_relay.sandbox.routes.cloud_reads import bad_query_filter, page_of
from blnk_relay.sandbox.routes.filter_fields import body_filters, query_filters
from blnk_relay.sandbox.routes.routing import Scope
from blnk_relay.sandbox.tables.filters import DateLike, Filter, FilterError
from blnk_relay.sandbox.tables.ledger import BALANCES, IDENTITIES, LEDGERS, TRANSACTIONS
from blnk_relay.sandbox.tables.resource import Resource

#: Core answers at most so many rows; a larger limit silently becomes 20 (finding D15).
_MAX_ROWS = 100

#: Fields of Core's rows that are no columns, and that Cloud's reads do not have (contract §1.7).
_NO_COLUMNS = frozenset({"allow_overdraft", "atomic", "inflight", "overdraft_limit", "skip_queue", "amount_string"})

_FILTERED: Mapping[str, Resource] = {
    "/transactions/filter": TRANSACTIONS,
    "/balances/filter": BALANCES,
    "/ledger/filter": LEDGERS,
    "/identities/filter": IDENTITIES,
}
_READ = {resource.name: resource for resource in _FILTERED.values()}

#: Filters API paths of what a Core has no route to read, by what they read.
_FILTERS_WITHOUT_ROUTE = {"/reconciliation/filter": "reconciliations"}

#: Headers of an answer that belong to the connection it came over.
_HOP_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "date", "keep-alive", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Forward:
    """A request to Core.

    Attributes:
        method: In capitals.
        path: With its query, encoded.
        headers: What goes along.
        body: As sent.
        page: The read that it answers; None for a proxied route.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    page: Page | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """How Core's rows become the answer of a read API."""

    resource: Resource
    detail: bool = False
    with_totals: bool = False


def plan(edge: Edge, exchange: Exchange) -> Forward | Answer:
    """What to ask Core, or the answer when it need not be asked."""
    answer = edge.before(exchange)
    if answer is not None:
        return answer
    request, options = exchange.request, edge.core.options
    if exchange.bare:
        return _forward(request, request.path, options)
    if request.path.startswith("/proxy/"):
        return _forward(request, request.path.removeprefix("/proxy"), options)
    route = exchange.route
    if route is None or route.scope is not Scope.DATA_READ:
        # The edge's own: OAuth.
        return answer_locally(edge, exchange)
    try:
        return _read(request, options)
    except FilterError as error:
        if request.method == "GET":
            return bad_query_filter(error)
        return error_answer("GEN_BAD_REQUEST", f"Invalid filter: {error}")
    except LedgerError as error:
        return error_answer("GEN_VALIDATION_ERROR", error.message)


def answer_locally(edge: Edge, exchange: Exchange) -> Answer:
    """A route that is the edge's own, and not Core's."""
    if exchange.route is None:
        return json_answer(404, {"error": "not found"})
    return exchange.route.handler(edge.core, exchange.request, exchange.effects)


def _forward(request: WireRequest, path: str, options: Options) -> Forward:
    query = {name: value for name, value in request.query.items() if name != "instance_id"}
    target = quote(path, safe="/@:") + (f"?{urlencode(query)}" if query else "")
    headers = {"X-Blnk-Key": options.core_key}
    if "content-type" in request.headers:
        headers["Content-Type"] = request.headers["content-type"]
    return Forward(request.method, target, headers, request.sent_body())


def _read(request: WireRequest, options: Options) -> Forward | Answer:
    """A read of the Data or Filters API as a request to Core's filter."""
    page = _FILTERED.get(request.path)
    if page is not None:
        filters = body_filters(options, page, request.fields())
        return _filter(page, filters, request.query, options, Page(page, with_totals=page is TRANSACTIONS))
    _, _, name, *rest = request.path.split("/")
    resource = _READ.get(name)
    if resource is None:
        name = _FILTERS_WITHOUT_ROUTE.get(request.path, name)
        return json_answer(501, {"error": f"The Core behind this edge has no route to read {name}. {UPSTREAM_LIMITS}"})
    if rest:
        by_id = Filter(resource.id_column, "eq", (rest[0],))
        return _filter(resource, [by_id], {}, options, Page(resource, detail=True))
    filters = query_filters(options, resource, request.query)
    return _filter(resource, filters, request.query, options, Page(resource))


def _filter(
    resource: Resource, filters: Sequence[Filter], query: Mapping[str, str], options: Options, page: Page
) -> Forward:
    start, size = page_of(options, resource, query)
    body = {
        "filters": [_written(wanted) for wanted in filters],
        "limit": min(size, _MAX_ROWS),
        "offset": start,
        "include_count": True,
    }
    headers = {"X-Blnk-Key": options.core_key, "Content-Type": "application/json"}
    return Forward("POST", f"/{resource.name}/filter", headers, dump(body), page)


def _written(wanted: Filter) -> dict[str, Any]:
    values = [value.text if isinstance(value, DateLike) else value for value in wanted.values]
    shown: dict[str, Any] = {"field": wanted.column, "operator": wanted.operator}
    if wanted.operator in {"in", "between"}:
        return shown | {"values": values}
    return shown | ({"value": values[0]} if values else {})


def received(options: Options, forward: Forward, answer: Answer) -> Answer:
    """Core's answer as the edge passes it on."""
    page = forward.page
    if page is None or answer.status != HTTPStatus.OK:
        return answer
    try:
        document = answer.document()
    except json.JSONDecodeError:
        return answer
    found = document.get("data") if isinstance(document, dict) else document
    rows = [_columns(row, options) for row in found or []]
    if page.detail:
        return _detail(options, rows)
    total = document.get("total_count", len(rows)) if isinstance(document, dict) else len(rows)
    body: dict[str, Any] = {"data": rows, "total": total}
    if page.with_totals:
        body |= {"stats": {}, "total_is_estimate": False, "total_source": "exact"}
    return json_answer(200, body)


def _detail(options: Options, rows: Sequence[dict[str, Any]]) -> Answer:
    if rows:
        return json_answer(200, {"data": rows[0]} if options.detail_shape == "data" else rows[0])
    if options.detail_missing == "404":
        return json_answer(404, {"error": "record not found"})
    return json_answer(200, {"data": None if options.detail_missing == "null" else []})


def _columns(row: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """A row as a table has it: without what is no column, the mark of a hold back in the metadata."""
    shown = {name: value for name, value in row.items() if name not in _NO_COLUMNS}
    if row.get("inflight") is True:
        shown["meta_data"] = {**(row.get("meta_data") or {}), "inflight": True}
    if options.precise_amount_as == "string":
        minor_units = {"precise_amount", *(name for name in shown if name == "balance" or name.endswith("_balance"))}
        shown |= {name: str(shown[name]) for name in minor_units if isinstance(shown.get(name), int)}
    return shown


def arrived(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """An answer that came over a socket, without what belongs to that socket."""
    kept = {name: value for name, value in headers.items() if name.lower() not in _HOP_HEADERS}
    return Answer(status, body, kept)


def unreachable() -> Answer:
    """What a gateway says when Core does not answer."""
    return html_answer(502, "502 Bad Gateway")
