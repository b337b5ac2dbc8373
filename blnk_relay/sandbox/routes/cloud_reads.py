"""The reads of Cloud: Data API and Filters API (contract §1.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.options import Options
from blnk_relay.sandbox.routes.filter_fields import body_filters, query_filters
from blnk_relay.sandbox.routes.routing import Handler
from blnk_relay.sandbox.tables.filters import Filter, FilterError
from blnk_relay.sandbox.tables.resource import Resource


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
