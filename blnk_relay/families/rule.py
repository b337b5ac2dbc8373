"""What changes of a matching rule share."""

from __future__ import annotations

from urllib.parse import quote

from blnk_relay.families.update import target_id, untouched
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.rows import missing

UNKNOWN_RULE = "RECON_RULE_NOT_FOUND"


def rule_lookup(entry: Entry) -> Lookup:
    """How the ledger is asked for the rule."""
    return Lookup("matching-rules", "rule_id", target_id(entry, "rule_id"))


def rule_lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """None before the first send; then the rule."""
    return () if untouched(progress) else missing(found, rule_lookup(entry))


def rule_path(entry: Entry) -> str:
    """The path of the rule."""
    return f"/reconciliation/matching-rules/{quote(target_id(entry, 'rule_id'), safe='')}"
