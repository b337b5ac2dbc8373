"""All routes of the imitated service, one line each (contract §1.6, §1.7)."""

from __future__ import annotations

from . import reads, records, writes
from .resources import BALANCES, IDENTITIES, LEDGERS, TRANSACTIONS
from .routing import Route, RouteTable, Scope

_WRITE, _READ, _DATA = Scope.PROXY_WRITE, Scope.PROXY_READ, Scope.DATA_READ


def build_routes() -> RouteTable:
    """The table of routes."""
    return RouteTable((*_writes(), *_reads(), *_core_reads()))


def _writes() -> list[Route]:
    return [
        Route("POST", "/proxy/transactions", _WRITE, writes.create_transaction, queueable=True),
        Route("PUT", "/proxy/transactions/inflight/:id", _WRITE, writes.update_inflight, queueable=True),
        Route("POST", "/proxy/refund-transaction/:id", _WRITE, writes.refund_transaction, queueable=True),
        Route("POST", "/proxy/ledgers", _WRITE, records.create_ledger),
        Route("POST", "/proxy/balances", _WRITE, records.create_balance),
        Route("POST", "/proxy/:id/metadata", _WRITE, records.merge_metadata),
    ]


def _reads() -> list[Route]:
    routes = [
        Route(
            "POST",
            "/transactions/filter",
            _DATA,
            reads.filter_records(TRANSACTIONS, stats=True, estimates=True),
        ),
        Route("POST", "/balances/filter", _DATA, reads.filter_records(BALANCES, stats=True, estimates=False)),
        Route("POST", "/ledger/filter", _DATA, reads.filter_records(LEDGERS, stats=False, estimates=False)),
        Route(
            "POST",
            "/identities/filter",
            _DATA,
            reads.filter_records(IDENTITIES, stats=True, estimates=False),
        ),
    ]
    for resource in (TRANSACTIONS, BALANCES, LEDGERS, IDENTITIES):
        routes.append(Route("GET", f"/data/{resource.name}", _DATA, reads.data_list(resource)))
        routes.append(Route("GET", f"/data/{resource.name}/:id", _DATA, reads.data_detail(resource)))
    return routes


def _core_reads() -> list[Route]:
    """What Core has and Cloud does not list; whether Cloud forwards it nobody knows (contract §1.6)."""
    by_reference = "/proxy/transactions/reference/:reference"
    by_indicator = "/proxy/balances/indicator/:indicator/currency/:currency"
    return [
        Route("GET", "/proxy/transactions/:id", _READ, reads.core_transaction, listed=False),
        Route("GET", by_reference, _READ, reads.core_transaction_by_reference, listed=False),
        Route("GET", "/proxy/balances/:id", _READ, reads.core_balance, listed=False),
        Route("GET", by_indicator, _READ, reads.core_balance_by_indicator, listed=False),
    ]
