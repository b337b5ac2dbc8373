"""HTTP under ``/_sandbox/`` for other processes: books, time, faults, switches (no part of Blnk).

| request | body | answer |
| --- | --- | --- |
| GET books | (query ``reference``, ``rows``, ``offset``) | sums, violations, counts, balances, rows, all else |
| GET requests | (query ``limit``) | the request log, newest last |
| GET options, POST switches | ``{"read_lag_s": 2}`` | all options |
| POST step | ``{"seconds": 7200}`` | ``{"ran": n, "now": "…"}`` |
| POST faults | ``{"plan": "seeded", "seed": 7}`` | ``{}`` |
| POST balances, POST fund | ``{"currency", "indicator"}``, ``{"name", "currency", "precise_amount"}`` | id |
| POST recover | ``{"threshold_s": 120}`` | ``{"looked_at": n}`` |
| POST login | ``{"scopes": ["proxy:write"]}`` | ``{"code": "…"}``, for POST /oauth/token |
| POST revoke-tokens | | ``{}`` |
| POST crash, POST lose-queue | | ``{"lost": n}`` |
| POST release-archived, POST reset | | ``{"released": n}``, ``{}`` |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from blnk_relay.sandbox.books.bodies import identity_body, row_columns, rule_body, run_body
from blnk_relay.sandbox.clock import rfc3339
from blnk_relay.sandbox.core import recovery
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.plans import Faults
from blnk_relay.sandbox.http.answers import Answer, json_answer
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.instance import Instance
from blnk_relay.sandbox.options import DEFAULT_SCOPES, SECRET

#: All admin paths start so.
PREFIX = "/_sandbox/"

#: Rows of one answer when the client does not say.
_DEFAULT_ROWS = 10_000

_Handler = Callable[[Instance, WireRequest], Any]


def handle(instance: Instance, request: WireRequest) -> Answer:
    """Answer an admin request; problems are 400 with a sentence under ``error``."""
    handler = _HANDLERS.get((request.method, request.path.removeprefix(PREFIX)))
    if handler is None:
        known = ", ".join(f"{method} {name}" for method, name in sorted(_HANDLERS))
        return json_answer(404, {"error": f"no such admin path; there are {known}"})
    try:
        return json_answer(200, handler(instance, request))
    except (ValueError, KeyError, TypeError, LedgerError) as error:
        return json_answer(400, {"error": str(error)})


def _document(request: WireRequest) -> dict[str, Any]:
    document = request.document() if request.body.strip() else {}
    if not isinstance(document, dict):
        raise TypeError("the body must be a JSON object")
    return document


def _books(instance: Instance, request: WireRequest) -> dict[str, Any]:
    books = instance.books()
    reference = request.query.get("reference")
    rows = books.rows if reference is None else books.rows_by_reference(reference)
    start = int(request.query.get("offset", 0))
    shown = rows[start : start + int(request.query.get("rows", _DEFAULT_ROWS))]
    return {
        "now": rfc3339(instance.core.clock.now_ns()),
        "sums": books.sums,
        "violations": books.violations(),
        "counts": Counter(row.status.value for row in books.rows),
        "balances": [asdict(balance) for balance in books.balances],
        "ledgers": [asdict(ledger) for ledger in books.ledgers],
        "identities": [identity_body(identity) for identity in books.identities],
        "rules": [rule_body(rule) for rule in books.rules],
        "uploads": [asdict(upload) for upload in books.uploads],
        "runs": [run_body(run) for run in books.runs],
        "row_count": len(rows),
        "rows": [row_columns(row) | {"effect": row.effect.value} for row in shown],
    }


def _requests(instance: Instance, request: WireRequest) -> dict[str, Any]:
    seen = list(instance.edge.log)[-int(request.query.get("limit", _DEFAULT_ROWS)) :]
    return {"requests": [asdict(line) for line in seen]}


def _options(instance: Instance, _request: WireRequest) -> dict[str, Any]:
    shown = asdict(instance.core.options)
    return {name: value for name, value in shown.items() if name not in SECRET}


def _switches(instance: Instance, request: WireRequest) -> dict[str, Any]:
    instance.switch(_document(request))
    return _options(instance, request)


def _step(instance: Instance, request: WireRequest) -> dict[str, Any]:
    ran = instance.core.clock.step(float(_document(request)["seconds"]))
    return {"ran": ran, "now": rfc3339(instance.core.clock.now_ns())}


def _faults(instance: Instance, request: WireRequest) -> dict[str, Any]:
    instance.edge.faults = Faults.from_json(_document(request))
    return {}


def _balances(instance: Instance, request: WireRequest) -> dict[str, Any]:
    document = _document(request)
    balance_id = instance.create_balance(document["currency"], document.get("indicator", ""))
    return {"balance_id": balance_id}


def _fund(instance: Instance, request: WireRequest) -> dict[str, Any]:
    document = _document(request)
    row_id = instance.fund(document["name"], document["currency"], int(document["precise_amount"]))
    return {"transaction_id": row_id}


def _recover(instance: Instance, request: WireRequest) -> dict[str, Any]:
    threshold_s = float(_document(request).get("threshold_s", 0))
    return {"looked_at": recovery.recover(instance.core, threshold_s)}


def _lose_queue(instance: Instance, _request: WireRequest) -> dict[str, Any]:
    return {"lost": instance.core.lose_queue()}


def _crash(instance: Instance, _request: WireRequest) -> dict[str, Any]:
    return {"lost": instance.core.crash()}


def _release(instance: Instance, _request: WireRequest) -> dict[str, Any]:
    return {"released": instance.release_archived()}


def _login(instance: Instance, request: WireRequest) -> dict[str, Any]:
    scopes = _document(request).get("scopes", DEFAULT_SCOPES)
    return {"code": instance.core.oauth.new_code([str(scope) for scope in scopes])}


def _revoke(instance: Instance, _request: WireRequest) -> dict[str, Any]:
    instance.core.oauth.revoke_all()
    return {}


def _reset(instance: Instance, _request: WireRequest) -> dict[str, Any]:
    instance.reset()
    return {}


_HANDLERS: dict[tuple[str, str], _Handler] = {
    ("GET", "books"): _books,
    ("GET", "requests"): _requests,
    ("GET", "options"): _options,
    ("POST", "switches"): _switches,
    ("POST", "step"): _step,
    ("POST", "faults"): _faults,
    ("POST", "balances"): _balances,
    ("POST", "fund"): _fund,
    ("POST", "recover"): _recover,
    ("POST", "crash"): _crash,
    ("POST", "lose-queue"): _lose_queue,
    ("POST", "release-archived"): _release,
    ("POST", "login"): _login,
    ("POST", "revoke-tokens"): _revoke,
    ("POST", "reset"): _reset,
}
