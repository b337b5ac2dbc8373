"""Filters as requests write them: in a query, or in a body (contract §1.7). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blnk_relay.sandbox.errors import MalformedRequestError
from blnk_relay.sandbox.http.request import Fields
from blnk_relay.sandbox.options import Options
from blnk_relay.sandbox.tables.filters import BODY_OPERATORS, QUERY_OPERATORS, Filter, FilterError, coerced
from blnk_relay.sandbox.tables.resource import Resource

#: Query parameters that are never filters (contract §1.7).
RESERVED = frozenset(
    (
        *("page", "pagesize", "per_page", "limit", "offset", "sort", "order", "order_by", "order_dir"),
        *("instance_id", "org_id", "strict_total"),
    )
)

#: Filters one request may carry.
MAX_FILTERS = 20

#: Values of one filter. Measured: lists of 2,000 references work.
MAX_VALUES = 2000

_BETWEEN = 2

#: Operators that take no value.
NULL_TESTS = frozenset({"isnull", "isnotnull", "exists", "notexists"})

#: The first of the operators of a body: those that Core itself knows.
_CORE_OPERATORS = 12


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
            raise MalformedRequestError("json: cannot unmarshal a value into a filter")
        column, operator = str(item.get("field", "")), str(item.get("operator", ""))
        if not resource.has_column(column):
            raise _unknown(resource, column)
        if operator not in BODY_OPERATORS:
            known = ", ".join(BODY_OPERATORS[:_CORE_OPERATORS])
            raise FilterError(f"invalid operator {operator!r} for field {column!r}: must be one of {known}")
        if operator in {"in", "between"}:
            values = item.get("values")
            if not isinstance(values, list) or not values:
                raise FilterError(f"operator {operator!r} for field {column!r} requires at least one value in 'values'")
        else:
            values = [] if operator in NULL_TESTS else [item.get("value")]
        filters.append(_checked(options, resource, column, operator, values))
    return _limited(filters)


def _checked(options: Options, resource: Resource, column: str, operator: str, values: Sequence[Any]) -> Filter:
    unverified = not resource.has_meta and not options.reconciliation_filters
    if not resource.has_column(column) or unverified:
        raise _unknown(resource, column)
    if operator == "between" and len(values) != _BETWEEN:
        raise FilterError(f"between on {column!r} needs exactly 2 values")
    if len(values) > MAX_VALUES:
        raise FilterError(f"in on {column!r} takes at most {MAX_VALUES} values")
    return Filter(column, operator, tuple(values))


def _unknown(resource: Resource, column: str) -> FilterError:
    table = "identity" if resource.name == "identities" else resource.name
    return FilterError(f"invalid field {column!r} for table '{table}'")


def _limited(filters: list[Filter]) -> list[Filter]:
    if len(filters) > MAX_FILTERS:
        raise FilterError(f"at most {MAX_FILTERS} filters")
    return filters
