"""The kind ``reconciliation.start_instant``: compare records that are sent along with the ledger's rows.

The ids of its records are unique at the ledger, so a run is known by the first of them (contract §4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields, validate, validates

from blnk_relay.families.run import (
    RECORD_S,
    UNTOLD,
    UNTOLD_END,
    RunSchema,
    refused_unseen,
    send_by_turn,
    started,
    stored_of,
    turns_of,
)
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, refused
from blnk_relay.intents.evidence import Difference, Evidence, Known, Past, Sort, difference
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import look_again, missing
from blnk_relay.intents.verdicts import rule_for, verdict_for
from blnk_relay.schema.loading import load
from blnk_relay.schema.statement import record_problem, sought_of

NAME = "reconciliation.start_instant"

MAX_RECORDS = 10_000

#: JSON bytes of the records of an instant run: with room to spare below the 5 MiB that the ledger reads.
MAX_RECORDS_BYTES = 4_000_000

_RECORD_FIELDS = frozenset({"id", "amount", "reference", "currency", "description", "date", "source"})


class InstantSchema(RunSchema):
    """Fields of contract §2.12, start-instant."""

    external_transactions = fields.List(
        fields.Dict(keys=fields.String()), required=True, validate=validate.Length(1, MAX_RECORDS)
    )

    @validates("external_transactions")
    def _readable(self, value: list[dict[str, Any]], **_: Any) -> None:
        seen = set()
        for number, record in enumerate(value, start=1):
            problem = record_problem(record)
            if isinstance(record.get("amount"), str):
                problem = "amount must be a number without quotes: the ledger does not read text there."
            if not _RECORD_FIELDS.issuperset(record):
                problem = f"must not have fields other than {', '.join(sorted(_RECORD_FIELDS))}."
            if problem or record["id"] in seen:
                raise ValidationError(
                    f"Record {number}: {problem or 'its id is that of an earlier record; each id is stored once.'}"
                )
            seen.add(record["id"])
        if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_RECORDS_BYTES:
            raise ValidationError(f"Must not take more than {MAX_RECORDS_BYTES:,} bytes; upload a file instead.")


SCHEMA = InstantSchema()


def start_instant_reconciliation(
    external_transactions: Sequence[Mapping[str, Any]],
    strategy: str,
    matching_rule_ids: Sequence[str | ResultOf],
    *,
    grouping_criteria: str | None = None,
    dry_run: bool = False,
) -> Intent:
    """Start a reconciliation of records that are sent along (contract §2.12).

    Args:
        external_transactions: 1 to 10,000 objects of ``id`` (unique for ever at the ledger), ``amount`` (a number, in
            units), ``date`` (RFC 3339), and ``reference``, ``currency``, ``description``, ``source``.
        strategy: As in :func:`start_reconciliation`, like the rest.
        matching_rule_ids: 1 to 100 of ``rule_…``, or links to rules.
        grouping_criteria: What the strategies with "many" group by.
        dry_run: Count matches, and store none.

    Returns:
        The validated intent. It needs a key of yours.

    Raises:
        InvalidIntent: With the messages by field; they name records by number and quote nothing.

    Example:
        >>> record = {"id": "stmt-2", "amount": 50.0, "currency": "EUR", "date": "2026-11-20T10:00:00Z"}
        >>> rule = "rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4"
        >>> start_instant_reconciliation([record], "one_to_one", [rule]).kind
        'reconciliation.start_instant'
    """
    given = {name: value for name, value in locals().items() if value is not None and value is not False}
    given["external_transactions"] = [dict(record) for record in external_transactions]
    given["matching_rule_ids"] = list(matching_rule_ids)
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, orders=turns_of(*_ids(payload)))


def _ids(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Ids of its first record, and of the one that it is looked for by."""
    records = payload["external_transactions"]
    return records[0]["id"], sought_of(record["id"] for record in records)


def _sought(entry: Entry) -> Lookup:
    return Lookup("external-transactions", "id", _ids(entry.payload)[1])


def _brought_by(entry: Entry, found: Found) -> str:
    """Id of what brought the record that it is looked for by; empty when it is not there."""
    return next((str(record.value("upload_id")) for record in found.matching(_sought(entry))), "")


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """One record; once something was sent, the run that it came with, and how many came with it."""
    if asked := missing(found, _sought(entry)):
        return asked
    brought_by = _brought_by(entry, found)
    if not brought_by or not progress.sent:
        return ()
    return missing(
        found, Lookup("reconciliations", "upload_id", brought_by), Lookup("upload-sizes", "upload_id", brought_by)
    )


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it if its first record is not there; afterwards look for the run that brought it."""
    brought_by = _brought_by(entry, found)
    if not progress.sent:
        if brought_by:
            first_id, sought_id = _ids(entry.payload)
            which = "its first record" if first_id == sought_id else "one of its records"
            return refused("RECORDS_EXIST", f"The ledger has {which} already.")
        if progress.refuse and not progress.untouched:
            return refused(progress.code, progress.message)
        return send_by_turn(*_ids(entry.payload), policy)
    if brought_by:
        shown = found.matching(Lookup("reconciliations", "upload_id", brought_by))
        runs = {str(record.value("reconciliation_id")) for record in shown}
        if len(runs) == 1 and stored_of(brought_by, found) == len(entry.payload["external_transactions"]):
            return Done("started", runs.pop())
    if progress.quiet_for_s < policy.quiet_s:
        return look_again(progress, policy)
    if brought_by:
        return Dead(
            DeadClass.PARTIAL, "STARTED_IN_PART", "The ledger has some of its records, or shows no run of them."
        )
    if progress.refuse:
        return refused_unseen(_ids(entry.payload)[0], progress)
    return send_by_turn(*_ids(entry.payload), policy)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /reconciliation/start-instant``."""
    work_s = RECORD_S * len(entry.payload["external_transactions"])
    return Request(
        "POST", "/reconciliation/start-instant", "start", entry.payload, sync=True, work_s=work_s, alone=True
    )


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5."""
    return started(request, response) or verdict_for(rule_for(request, response), progress, response, policy)


def _audit_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    return lookups(past.entry, past.progress(), found) if past.done or past.perhaps else ()


def _audit_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    brought_by, wanted = _brought_by(past.entry, found), len(past.entry.payload["external_transactions"])
    shown = found.matching(Lookup("reconciliations", "upload_id", brought_by)) if brought_by else ()
    runs = sorted({str(record.value("reconciliation_id")) for record in shown})
    stored = stored_of(brought_by, found) if brought_by else 0
    if past.done:
        if past.transaction_id and past.transaction_id not in runs:
            return (difference(Sort.MISSING, past, past.transaction_id, "no such run of its records"),)
        if len(runs) > 1:
            return (difference(Sort.TWICE, past, past.transaction_id, f"{len(runs)} runs: {', '.join(runs[:3])}"),)
        if stored != wanted:
            return (difference(Sort.OTHER, past, past.transaction_id, f"records: asked {wanted}, has {stored}"),)
    elif past.perhaps and past.state != "discarded" and len(runs) == 1 and stored == wanted:
        return (difference(Sort.HAPPENED, past, runs[0], "a run of all of its records"),)
    return ()


#: What an audit looks for.
EVIDENCE = Evidence(_audit_lookups, _audit_differences)

ABOUT = About(
    builder=start_instant_reconciliation,
    confirmed="The `200` names the run. After an ambiguous answer one run belongs to the upload that brought the first "
    "record, with as many records as were sent: their ids are unique at the ledger (contract §2.12, §4).",
    ends=(
        End(
            DeadClass.PARTIAL,
            "STARTED_IN_PART",
            "The ledger has some of the records, or shows no run of them, and takes none of them again (contract "
            "§2.12).",
        ),
        UNTOLD_END,
    ),
    example=Example(
        {
            "external_transactions": [
                {
                    "id": "stmt-0002",
                    "amount": 50,
                    "reference": "fee-2026-11-001",
                    "currency": "EUR",
                    "description": "Fee",
                    "date": "2026-11-20T10:00:00Z",
                    "source": "bank-x",
                }
            ],
            "strategy": "one_to_one",
            "matching_rule_ids": ["rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4"],
            "dry_run": True,
        },
        key="reconcile-fees-2026-11",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/reconciliation/start-instant",
    cloud_only="external transactions",
    summary="Start a reconciliation of records that are sent along.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
    private=True,
    hopeless=UNTOLD,
    evidence=EVIDENCE,
)
