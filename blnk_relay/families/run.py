"""What both ways to start a reconciliation share (contract §2.12)."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send, refused
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.kind import End
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.references import data_api_problem, digest
from blnk_relay.intents.rows import text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for
from blnk_relay.schema.base import Flag, Text
from blnk_relay.schema.names import RuleId

STRATEGIES = ("one_to_one", "one_to_many", "many_to_one")

#: What the strategies with "many" group by; another value is only noticed after the run has started.
GROUPINGS = (
    "transaction_id",
    "parent_transaction",
    "source",
    "reference",
    "currency",
    "destination",
    "status",
    "created_at",
)

MAX_RULES = 100


class RunSchema(Schema):
    """What both ways to start a run share."""

    strategy = Text(required=True, validate=validate.OneOf(STRATEGIES))
    matching_rule_ids = fields.List(RuleId(), required=True, validate=validate.Length(1, MAX_RULES))
    grouping_criteria = Text(validate=validate.OneOf(GROUPINGS))
    dry_run = Flag()


def started(request: Request, response: Response) -> Verdict | None:
    """The verdict on an answer that names the run."""
    run = text_of(response.body or {}, "reconciliation_id")
    done = rule_for(request, response).meaning is Meaning.DONE
    if done and run.startswith("recon_"):
        return Verdict(Done("started", run), acted=True, accepted=True)
    return None


#: Code of the dead letter of records that cannot be looked for.
NOTHING_CAN_TELL = "NOTHING_CAN_TELL"

#: Seconds for each record: the ledger stores one after the other inside the request, and what it has stored when the
#: caller goes away it takes from nobody again. A row each, as fast as skip mode writes them with an account (measured).
RECORD_S = 0.002


def stored_of(upload_id: str, found: Found) -> int:
    """How many external records the ledger has of an upload."""
    sizes = found.matching(Lookup("upload-sizes", "upload_id", upload_id))
    counts = (record.value("count") for record in sizes)
    return max((count for count in counts if isinstance(count, int)), default=0)


def turn_of(first_id: str) -> str:
    """The order of all that brings the external record of this id: one at a time, for it is known by it.

    Side by side both would find the record missing, and the one that the ledger refuses would take the other's for its
    own. A dead letter holds up nobody: a corrected file has the record that the first one had.

    Args:
        first_id: Of its first record.

    Example:
        >>> turn_of("stmt-1") == turn_of("stmt-1"), turn_of("stmt-1").startswith("turn:external:")
        (True, True)
    """
    return f"turn:external:{digest(first_id)}"


def turns_of(first_id: str, sought_id: str) -> tuple[str, ...]:
    """The orders of what brings these external records: of its first, and of the one that it is looked for by."""
    return tuple(sorted({turn_of(first_id), turn_of(sought_id)}))


def send_by_turn(first_id: str, sought_id: str, policy: Policy) -> Send:
    """Send what brings these external records, once a read shows what the one before it has brought.

    Args:
        first_id: Of its first record.
        sought_id: Of the one that it is looked for by, which no read has shown.
        policy: Says how old a read may be.
    """
    turns = turns_of(first_id, sought_id)
    exclusive = turns if len(turns) > 1 else turns[0]
    return Send(memo={"first": first_id}, exclusive=exclusive, seen=None, settled_s=policy.read_lag_s)


def refused_unseen(first_id: str, progress: Progress) -> Decision:
    """What was sent comes to where the answer was a refusal, and none of its records is shown.

    Args:
        first_id: Of its first record. Where that cannot be looked for, nobody has seen that it is not there: the ledger
            keeps the records before one that it cannot store, also where it is looked for by a later one.
        progress: The intent so far.
    """
    if data_api_problem(first_id) is None:
        return refused(progress.code, progress.message or "The ledger could not process the records.")
    why = f"{progress.code}: {progress.message}".removesuffix(": ")
    return Dead(
        DeadClass.UNKNOWN,
        NOTHING_CAN_TELL,
        f"It was refused ({why}), and may have been sent before; the ledger cannot be asked for its first record.",
    )


#: Dead letters of records that cannot be looked for, and why no replay can help them.
UNTOLD = {
    NOTHING_CAN_TELL: "nobody can tell whether its records are there: look for them at the ledger, then discard it, "
    "and bring them again if they are not"
}

#: The same, for people.
UNTOLD_END = End(
    DeadClass.UNKNOWN,
    NOTHING_CAN_TELL,
    "An ambiguous answer, then a refusal, and the ledger cannot be asked for the first record: it reads ids from a "
    "query string, and takes `0042` or `1e5` for a number (contract §1.7). Ids that begin with a letter have no such "
    "end.",
)
