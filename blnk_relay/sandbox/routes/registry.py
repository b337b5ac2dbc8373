"""All routes of the imitated service, one line each (contract §1.6, §1.7)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, json_answer
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.routes import (
    balances,
    bulk,
    cloud_reads,
    core_reads,
    identities,
    ledgers,
    matching_rules,
    metadata,
    oauth,
    reconciliation,
    tokenization,
    transactions,
    uploads,
    watching,
)
from blnk_relay.sandbox.routes.routing import Handler, Route, RouteTable, Scope
from blnk_relay.sandbox.tables.ledger import BALANCES, IDENTITIES, LEDGERS, TRANSACTIONS
from blnk_relay.sandbox.tables.reconciliation import EXTERNAL_TRANSACTIONS, MATCHING_RULES, RECONCILIATIONS

_WRITE, _READ, _DATA = Scope.PROXY_WRITE, Scope.PROXY_READ, Scope.DATA_READ


@dataclass(frozen=True, slots=True)
class Routes:
    """The two faces of one instance.

    Attributes:
        cloud: Proxy, Data API, Filters API and OAuth.
        core: A bare Core: the proxied routes without their prefix, and its own reads.
    """

    cloud: RouteTable
    core: RouteTable


def build_routes() -> Routes:
    """The tables of routes."""
    proxied = (*_writes(), *_reconciliation(), *_reads(), *_core_reads(), *_watching())
    return Routes(
        cloud=RouteTable((*proxied, *_forwarded(), *_data_reads(), *_oauth())),
        core=RouteTable((*(_bare(route) for route in proxied), *_core_only())),
    )


def _bare(route: Route) -> Route:
    """A proxied route as Core itself has it."""
    return replace(route, pattern=route.pattern.removeprefix("/proxy"), listed=True)


def _forwarded() -> list[Route]:
    """Core's filters and health as the official client asks Cloud for them; whether it forwards them nobody knows."""
    filters = core_reads.core_filters().items()
    return [
        *(Route("POST", f"/proxy/{name}/filter", _READ, handler, listed=False) for name, handler in filters),
        Route("GET", "/proxy/health", _READ, _health, listed=False),
    ]


def _core_only() -> list[Route]:
    filters = core_reads.core_filters().items()
    return [
        *(Route("POST", f"/{name}/filter", _DATA, handler) for name, handler in filters),
        Route("GET", "/health", Scope.NONE, _health),
    ]


def _watching() -> list[Route]:
    """What a client of Core may ask for beside the ledger; through Cloud it is not known."""
    monitors, hooks = "/proxy/balance-monitors", "/proxy/hooks"
    return [
        Route("POST", monitors, _WRITE, watching.create_monitor, listed=False),
        Route("GET", monitors, _READ, watching.list_monitors, listed=False),
        Route("GET", f"{monitors}/:id", _READ, watching.read_monitor, listed=False),
        Route("GET", f"{monitors}/balances/:id", _READ, watching.monitors_of, listed=False),
        Route("PUT", f"{monitors}/:id", _WRITE, watching.update_monitor, listed=False),
        Route("DELETE", f"{monitors}/:id", _WRITE, watching.delete_monitor, listed=False),
        Route("POST", hooks, _WRITE, watching.create_hook, listed=False),
        Route("GET", hooks, _READ, watching.list_hooks, listed=False),
        Route("GET", f"{hooks}/:id", _READ, watching.read_hook, listed=False),
        Route("PUT", f"{hooks}/:id", _WRITE, watching.update_hook, listed=False),
        Route("DELETE", f"{hooks}/:id", _WRITE, watching.delete_hook, listed=False),
    ]


def _health(_core: Core, _request: WireRequest, _effects: Effects) -> Answer:
    return json_answer(200, {"status": "UP"})


def _writes() -> list[Route]:
    return [
        Route("POST", "/proxy/transactions", _WRITE, transactions.create_transaction, queueable=True),
        Route("PUT", "/proxy/transactions/inflight/:id", _WRITE, transactions.update_inflight, queueable=True),
        Route("POST", "/proxy/refund-transaction/:id", _WRITE, transactions.refund_transaction, queueable=True),
        Route("POST", "/proxy/transactions/bulk", _WRITE, bulk.create_transactions, queueable=True),
        _bulk_inflight("commit", bulk.commit_holds),
        _bulk_inflight("void", bulk.void_holds),
        Route("POST", "/proxy/ledgers", _WRITE, ledgers.create_ledger),
        Route("PUT", "/proxy/ledgers/:id", _WRITE, ledgers.update_ledger, listed=False),
        Route("POST", "/proxy/balances", _WRITE, balances.create_balance),
        Route("POST", "/proxy/:id/metadata", _WRITE, metadata.merge_metadata),
        Route("POST", "/proxy/identities", _WRITE, identities.create_identity),
        Route("PUT", "/proxy/identities/:id", _WRITE, identities.update_identity),
        Route("DELETE", "/proxy/identities/:id", _WRITE, identities.delete_identity, listed=False),
        Route("PUT", "/proxy/balances/:id/identity", _WRITE, identities.link_identity),
        Route("POST", "/proxy/identities/:id/tokenize/:field", _WRITE, tokenization.tokenize_field),
        Route("POST", "/proxy/identities/:id/tokenize", _WRITE, tokenization.tokenize_fields),
    ]


def _bulk_inflight(verb: str, handler: Handler) -> Route:
    """Core has them, Cloud does not list them (contract §2.13)."""
    path = f"/proxy/transactions/inflight/bulk/{verb}"
    return Route("POST", path, _WRITE, handler, listed=False, queueable=True, switch="bulk_inflight")


def _oauth() -> list[Route]:
    return [
        Route("GET", "/oauth/authorize", Scope.NONE, oauth.authorize),
        Route("POST", "/oauth/token", Scope.NONE, oauth.token),
    ]


def _reconciliation() -> list[Route]:
    base = "/proxy/reconciliation"
    return [
        Route("POST", f"{base}/upload", _WRITE, uploads.upload),
        Route("POST", f"{base}/start", _WRITE, reconciliation.start),
        Route("POST", f"{base}/start-instant", _WRITE, reconciliation.start_instant),
        Route("GET", f"{base}/:id", _READ, reconciliation.read_run),
        Route("POST", f"{base}/matching-rules", _WRITE, matching_rules.create_rule),
        Route("PUT", f"{base}/matching-rules/:id", _WRITE, matching_rules.update_rule),
        Route("DELETE", f"{base}/matching-rules/:id", _WRITE, matching_rules.delete_rule),
    ]


def _reads() -> list[Route]:
    return [
        Route("GET", "/proxy/identities/:id/tokenized-fields", _READ, tokenization.tokenized_fields),
        Route("GET", "/proxy/identities/:id/detokenize/:field", _READ, tokenization.detokenized_field),
        # A write by its method, and a read by what it does (contract §1.2).
        Route("POST", "/proxy/identities/:id/detokenize", _WRITE, tokenization.detokenized_fields),
    ]


def _data_reads() -> list[Route]:
    """Data and Filters API; the Filters API calls one of its resources in the singular (contract §1.7)."""
    filters = {
        "transactions": cloud_reads.filter_records(TRANSACTIONS, stats=True, estimates=True),
        "balances": cloud_reads.filter_records(BALANCES, stats=True, estimates=False),
        "ledger": cloud_reads.filter_records(LEDGERS, stats=False, estimates=False),
        "identities": cloud_reads.filter_records(IDENTITIES, stats=True, estimates=False),
        "reconciliation": cloud_reads.filter_records(RECONCILIATIONS, stats=True, estimates=False),
    }
    routes = [Route("POST", f"/{name}/filter", _DATA, handler) for name, handler in filters.items()]
    for resource in (TRANSACTIONS, BALANCES, LEDGERS, IDENTITIES):
        routes.append(Route("GET", f"/data/{resource.name}", _DATA, cloud_reads.data_list(resource)))
        routes.append(Route("GET", f"/data/{resource.name}/:id", _DATA, cloud_reads.data_detail(resource)))
    lists = (RECONCILIATIONS, MATCHING_RULES, EXTERNAL_TRANSACTIONS)
    routes += [Route("GET", f"/data/{resource.name}", _DATA, cloud_reads.data_list(resource)) for resource in lists]
    return routes


def _core_reads() -> list[Route]:
    """What Core has and Cloud does not list; whether Cloud forwards it nobody knows (contract §1.6)."""
    by_reference = "/proxy/transactions/reference/:reference"
    by_indicator = "/proxy/balances/indicator/:indicator/currency/:currency"
    lists = core_reads.core_lists().items()
    details = core_reads.core_details().items()
    return [
        Route("GET", by_reference, _READ, core_reads.core_transaction_by_reference, listed=False),
        Route("GET", by_indicator, _READ, core_reads.core_balance_by_indicator, listed=False),
        Route("GET", "/proxy/balances/:id/at", _READ, core_reads.core_balance_at),
        Route("POST", "/proxy/transactions/recover", _WRITE, core_reads.recover_queued, listed=False),
        *(Route("GET", f"/proxy/{name}", _READ, handler, listed=False) for name, handler in lists),
        *(Route("GET", f"/proxy/{name}/:id", _READ, handler, listed=False) for name, handler in details),
    ]
