"""The kind ``reconciliation.start``: compare an upload with the ledger's rows.

Each start is another run, and nothing of ours tells one run from another (contract §4). But the runs of an upload can
be counted where the ledger shows them: those that stand there before it is sent are recorded, it is the only start of
its upload meanwhile, and one run more is ours. Where the ledger does not show them, as a bare Core does not, a start
that may have happened is never sent again by a machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from blnk_relay.families.run import RunSchema, started
from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send, refused
from blnk_relay.intents.evidence import Below, Difference, Evidence, Known, Past, Sort, difference
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import MOMENT_LOST, look_again, missing
from blnk_relay.intents.verdicts import rule_for, verdict_for
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import UploadId

NAME = "reconciliation.start"

#: Runs of one upload that are told apart, the bound on what is recorded; those of an upload with more are not counted.
MOST_RUNS = 100

#: Runs that a message names, so that it stays short enough to be kept whole.
_NAMED_RUNS = 4

_NOTHING_CAN_TELL = Dead(
    DeadClass.UNKNOWN,
    "NOTHING_CAN_TELL",
    "It may have been started, and the ledger does not show the runs of its upload, so nothing tells whether it was.",
)


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

    After an ambiguous answer the runs of the upload are counted against those that it had before. A ledger that does
    not show them, such as a bare Core, leaves a dead letter of class *unknown*: another start would be another run.

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


def _runs_of(entry: Entry) -> Lookup:
    return Lookup("upload-runs", "upload_id", str(entry.payload["upload_id"]))


def _shown(entry: Entry, found: Found) -> frozenset[str] | None:
    """Ids of the runs of the upload; None where the ledger does not show them, or shows more than are told apart."""
    runs: set[str] = set()
    for record in found.matching(_runs_of(entry)):
        ids = record.value("runs")
        if ids is None or len(ids) > MOST_RUNS:
            return None
        runs.update(ids)
    return frozenset(runs)


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """The runs of its upload; none where they could not be asked for before it was sent."""
    return () if _uncounted(progress) else missing(found, _runs_of(entry))


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Count the runs before it is sent, and again once it may have been."""
    runs = _shown(entry, found)
    if _uncounted(progress) or (progress.forgotten and runs is None):
        return _NOTHING_CAN_TELL
    if progress.forgotten:
        if progress.quiet_for_s < policy.quiet_s:
            return look_again(progress, policy)
    elif progress.sent:
        became = _became(runs, progress, policy)
        if became is not None:
            return became
    # What lost moments may have started is no less there because a later try was refused.
    if progress.refuse and progress.looking and not (progress.forgotten and runs):
        return refused(progress.code, progress.message)
    upload = str(entry.payload["upload_id"])
    if runs is None:
        return Send(memo={"upload": upload})
    # What stood there before the first send is the measure for all of them: the first may be under way still.
    recorded = progress.sent and not progress.forgotten
    memo = horizons.unwatched(progress.memo) if recorded else {"upload": upload, "runs": sorted(runs)}
    seen = tuple(sorted(runs))
    send = Send(memo=memo, exclusive=f"upload:{upload}", seen=seen)
    if progress.forgotten and runs:
        # Each of them may be ours, unless the journal knows whose it is.
        return replace(send, perhaps_ours=seen, otherwise=_moment_lost(seen))
    return send


def _uncounted(progress: Progress) -> bool:
    """Whether it may have been started, and the runs of its upload were not recorded before."""
    return progress.sent and not progress.forgotten and "runs" not in progress.memo


def _named(runs: Sequence[str]) -> str:
    return ", ".join(runs[:_NAMED_RUNS]) + (" and others" if len(runs) > _NAMED_RUNS else "")


def _moment_lost(runs: Sequence[str]) -> Dead:
    return Dead(
        DeadClass.UNKNOWN,
        MOMENT_LOST,
        "The journal lost its last moments, and this may have been started in them. Runs of its upload that may be it: "
        f"{_named(runs)}.",
    )


def _became(runs: frozenset[str] | None, progress: Progress, policy: Policy) -> Decision | None:
    """What became of a start that may have happened; None when it did not."""
    before = frozenset(progress.memo["runs"])
    if runs is None or not before <= runs or progress.quiet_for_s < policy.quiet_s:
        # Runs are never deleted, so a read without an earlier one is older than that; and until nothing of ours can be
        # under way any more, a second run may still join the first.
        return look_again(progress, policy)
    new = sorted(runs - before)
    if len(new) == 1:
        return Done("started", new[0])
    if new:
        return Dead(
            DeadClass.UNKNOWN,
            "SEVERAL_RUNS",
            f"The upload has {len(new)} runs more than before it was sent, and nobody can tell which is ours: "
            f"{_named(new)}.",
        )
    return None


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /reconciliation/start``."""
    return Request("POST", "/reconciliation/start", "start", entry.payload, sync=True, alone=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; where the ledger shows no runs, whatever may have started one ends as unknown."""
    verdict = started(request, response) or verdict_for(rule_for(request, response), progress, response, policy)
    if verdict.acted and not isinstance(verdict.decision, Done) and "runs" not in progress.memo:
        return Verdict(_NOTHING_CAN_TELL, acted=True, counted=verdict.counted, gate=verdict.gate)
    return verdict


def _audit_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    return missing(found, _runs_of(past.entry)) if past.done else ()


def _audit_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    """Of a done one: its run is there, and its upload has none that nobody started."""
    runs = _shown(past.entry, found)
    upload = str(past.entry.payload["upload_id"])
    if not past.done or runs is None:
        return ()
    if past.transaction_id and past.transaction_id not in runs:
        return (difference(Sort.MISSING, past, past.transaction_id, f"no such run of {upload}"),)
    strange = known.unexplained(sorted(runs))
    if strange and not known.is_unsure(upload) and not known.may_be_older(past):
        text = f"runs that no intent of the journal started: {_named(strange)}"
        return (difference(Sort.TWICE, past, upload, text, says="the runs of this upload"),)
    return ()


def _started(past: Past) -> tuple[Below, ...]:
    upload = past.entry.payload["upload_id"]
    return (Below(upload, past.transaction_id if past.done else ""),) if isinstance(upload, str) else ()


#: What an audit looks for.
EVIDENCE = Evidence(_audit_lookups, _audit_differences, below=_started)

ABOUT = About(
    builder=start_reconciliation,
    confirmed="The `200` names the run. After an ambiguous answer the upload has exactly one run more than before it "
    "was sent; one intent at a time starts a run of an upload, and what others start of it meanwhile is taken for "
    "ours. That it was *started* is all that is confirmed; the run goes on at the ledger (contract §2.12, §4).",
    ends=(
        End(
            DeadClass.UNKNOWN,
            "NOTHING_CAN_TELL",
            "After an ambiguous answer of a ledger that does not show the runs of an upload, as a bare Core does not, "
            f"or of an upload with more than {MOST_RUNS} runs: each start is another run (contract §4).",
        ),
        End(
            DeadClass.UNKNOWN,
            "SEVERAL_RUNS",
            "After an ambiguous answer the upload has several runs more than before: somebody else started one, or a "
            "gateway repeated the request. The message names them.",
        ),
        End(
            DeadClass.UNKNOWN,
            MOMENT_LOST,
            "Redis lost its last moments, in which it may have been started, and the upload has runs that no other "
            "intent is known to have started ([guarantees](../guarantees.md)).",
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
        "enqueue it under a new key if it was not",
        "SEVERAL_RUNS": "several runs were started, so another would be one more: look at those that it names, then "
        "discard it",
        MOMENT_LOST: "nobody can tell whether it was started: see at the ledger whether one of the runs that the "
        "letter names is this one. If one is, discard it as done; if none is, it did not happen",
    },
    evidence=EVIDENCE,
)
