"""The kind ``reconciliation.start``: compare an upload with the ledger's rows.

Each start is another run, and nothing tells one run from another (contract §4): once a start may have happened it is
never sent again by a machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blnk_relay.intents.about import About, End, Example
from blnk_relay.intents.fields import UploadId, load
from blnk_relay.intents.linking import ResultOf
from blnk_relay.intents.model import (
    Dead,
    DeadClass,
    Decision,
    Done,
    Entry,
    Found,
    Intent,
    Kind,
    Lookup,
    Policy,
    Progress,
    Request,
    Response,
    Send,
    Verdict,
)
from blnk_relay.intents.reconciliation_run import RunSchema, started
from blnk_relay.intents.updating import target_id
from blnk_relay.intents.verdicts import rule_for, verdict_for

NAME = "reconciliation.start"

_NEVER_TOLD = "It may have been started, and nothing at the ledger tells one run from another (contract §4)."


class StartSchema(RunSchema):
    """Fields of contract §2.12, start."""

    upload_id = UploadId(required=True)


SCHEMA = StartSchema()


def start_reconciliation(
    upload_id: str | ResultOf,
    strategy: str,
    matching_rule_ids: Sequence[str | ResultOf],
    *,
    grouping_criteria: str | None = None,
    dry_run: bool = False,
) -> Intent:
    """Start a reconciliation of an upload (contract §2.12). It runs on at the ledger; *started* is all that we confirm.

    After an ambiguous answer it is a dead letter of class *unknown*: another start would be another run.

    Args:
        upload_id: ``upload_…``, or a link to an upload (``result_of``).
        strategy: ``one_to_one``, ``one_to_many`` or ``many_to_one``.
        matching_rule_ids: 1 to 100 of ``rule_…``, or links to rules.
        grouping_criteria: What the last two group by, such as ``reference``.
        dry_run: Count matches, and store none.

    Returns:
        The validated intent. It needs a key of yours.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> from blnk_relay import result_of
        >>> start_reconciliation(result_of("nov", "upload_id"), "one_to_one", [result_of("exact", "rule_id")]).kind
        'reconciliation.start'
    """
    given = {name: value for name, value in locals().items() if value is not None and value is not False}
    given["matching_rule_ids"] = list(matching_rule_ids)
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload)


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """None: no read could answer anything."""
    return ()


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it once, and never again after it may have been started."""
    if progress.sent:
        return Dead(DeadClass.UNKNOWN, "NOTHING_CAN_TELL", _NEVER_TOLD)
    if progress.refuse and progress.looking:
        return Dead(DeadClass.REFUSED, progress.code, progress.message)
    return Send(memo={"upload": target_id(entry, "upload_id")})


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /reconciliation/start``."""
    return Request("POST", "/reconciliation/start", "start", entry.payload, sync=True, alone=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; whatever may have started a run without naming it ends as unknown."""
    verdict = started(request, response) or verdict_for(rule_for(request, response), progress, response, policy)
    if verdict.acted and not isinstance(verdict.decision, Done):
        unknown = Dead(DeadClass.UNKNOWN, "NOTHING_CAN_TELL", _NEVER_TOLD)
        return Verdict(unknown, acted=True, counted=verdict.counted, gate=verdict.gate)
    return verdict


ABOUT = About(
    builder=start_reconciliation,
    confirmed="The `200` names the run. That it was *started* is all that is confirmed; the run goes on at the ledger "
    "(contract §2.12).",
    ends=(
        End(
            DeadClass.UNKNOWN,
            "NOTHING_CAN_TELL",
            "After any ambiguous answer: each start is another run, and nothing tells one from another (contract §4).",
        ),
    ),
    example=Example(
        {
            "upload_id": "upload_76113e2b-ba87-4f97-916c-ff5884324a29",
            "strategy": "one_to_one",
            "matching_rule_ids": ["rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4"],
        },
        key="reconcile-2026-11-20",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/reconciliation/start",
    summary="Start a reconciliation of an upload.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
    hopeless={
        "NOTHING_CAN_TELL": "nobody can tell whether it was started: look at the ledger's runs, then discard it, and "
        "enqueue it under a new key if it was not"
    },
)
