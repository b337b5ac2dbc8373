"""What both ways to start a reconciliation share (contract §2.12)."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from blnk_relay.intents.fields import Flag, RuleId, Text
from blnk_relay.intents.model import Done, Request, Response, Verdict
from blnk_relay.intents.verdicts import Meaning, rule_for

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
    run = (response.body or {}).get("reconciliation_id")
    done = rule_for(request, response).meaning is Meaning.DONE
    if done and isinstance(run, str) and run.startswith("recon_"):
        return Verdict(Done("started", run), acted=True, accepted=True)
    return None
