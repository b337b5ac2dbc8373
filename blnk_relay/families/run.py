"""What both ways to start a reconciliation share (contract §2.12)."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from blnk_relay.intents.decision import Done, Send
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.progress import Policy
from blnk_relay.intents.references import digest
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


def send_by_turn(first_id: str, policy: Policy) -> Send:
    """Send what brings the external record of this id, once a read shows what the one before it has brought.

    Args:
        first_id: Of its first record, which no read has shown.
        policy: Says how old a read may be.
    """
    return Send(memo={"first": first_id}, exclusive=turn_of(first_id), seen=None, settled_s=policy.read_lag_s)
