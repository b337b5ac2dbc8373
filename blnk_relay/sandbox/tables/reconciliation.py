"""The tables of reconciliation behind the read APIs (contract §1.7, §4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from blnk_relay.sandbox.books.bodies import record_body, rule_body, run_body
from blnk_relay.sandbox.books.reconciliation import ExternalRecord, MatchingRule, Run
from blnk_relay.sandbox.clock import rfc3339
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.tables.filters import Filter, text_of
from blnk_relay.sandbox.tables.resource import Getter, Resource


def _attribute(name: str) -> Getter:
    return lambda record: getattr(record, name)


def _time(name: str) -> Getter:
    def get(record: Any) -> str | None:
        moment_ns = getattr(record, name)
        return None if moment_ns is None else rfc3339(moment_ns)

    return get


def _indexed_records(core: Core, filters: Sequence[Filter]) -> Iterable[ExternalRecord]:
    records = core.books.reconciliation.records
    for wanted in filters:
        if wanted.column == "id" and wanted.operator in {"eq", "in"}:
            names = dict.fromkeys(text_of(value) for value in wanted.values)
            return [records[name] for name in names if name in records]
    return records.values()


def _stored(record: ExternalRecord) -> int:
    return record.stored_ns


def _created(rule: MatchingRule) -> int:
    return rule.created_ns


def _started(run: Run) -> int:
    return run.started_ns


EXTERNAL_TRANSACTIONS = Resource(
    name="external-transactions",
    id_column="id",
    columns={
        name: _attribute(name)
        for name in ["id", "amount", "reference", "currency", "description", "source", "upload_id"]
    }
    | {"date": _time("date_ns")},
    default_page_size=20,
    candidates=_indexed_records,
    stored_ns=_stored,
    order=_stored,
    body=record_body,
    has_meta=False,
)
RECONCILIATIONS = Resource(
    name="reconciliations",
    id_column="reconciliation_id",
    columns={name: _attribute(name) for name in ("reconciliation_id", "upload_id", "status")}
    | {
        "matched_transactions": _attribute("matched_count"),
        "unmatched_transactions": _attribute("unmatched_count"),
        "started_at": _time("started_ns"),
        "completed_at": _time("completed_ns"),
    },
    default_page_size=20,
    candidates=lambda core, _: core.books.reconciliation.runs.values(),
    stored_ns=_started,
    order=_started,
    body=run_body,
    has_meta=False,
)
MATCHING_RULES = Resource(
    name="matching-rules",
    id_column="rule_id",
    columns={name: _attribute(name) for name in ("rule_id", "name", "description")}
    | {"created_at": _time("created_ns"), "updated_at": _time("updated_ns")},
    default_page_size=20,
    candidates=lambda core, _: core.books.reconciliation.rules.values(),
    stored_ns=_created,
    order=_created,
    body=rule_body,
    has_meta=False,
)
