"""The tables of reconciliation behind the read APIs (contract §1.7, §4)."""

from __future__ import annotations

from operator import attrgetter

from blnk_relay.sandbox.books.bodies import record_body, rule_body, run_body
from blnk_relay.sandbox.tables.resource import Resource, attributes, moment

EXTERNAL_TRANSACTIONS = Resource(
    name="external-transactions",
    id_column="id",
    records=attrgetter("reconciliation.records"),
    columns={
        **attributes("id", "amount", "reference", "currency", "description", "source", "upload_id"),
        "date": moment("date_ns"),
    },
    body=record_body,
    stored_ns=attrgetter("stored_ns"),
    has_meta=False,
)
RECONCILIATIONS = Resource(
    name="reconciliations",
    id_column="reconciliation_id",
    records=attrgetter("reconciliation.runs"),
    columns={
        **attributes("reconciliation_id", "upload_id", "status"),
        "matched_transactions": attrgetter("matched_count"),
        "unmatched_transactions": attrgetter("unmatched_count"),
        "started_at": moment("started_ns"),
        "completed_at": moment("completed_ns"),
    },
    body=run_body,
    stored_ns=attrgetter("started_ns"),
    has_meta=False,
)
MATCHING_RULES = Resource(
    name="matching-rules",
    id_column="rule_id",
    records=attrgetter("reconciliation.rules"),
    columns={
        **attributes("rule_id", "name", "description"),
        "created_at": moment("created_ns"),
        "updated_at": moment("updated_ns"),
    },
    body=rule_body,
    has_meta=False,
)
