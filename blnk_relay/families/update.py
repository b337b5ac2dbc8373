"""What writes of values have in common: the same request twice does the same, but a late one overwrites newer values.

So they are sent one at a time for each record of the ledger, whatever name it was given, and after an ambiguous answer
the record is read and compared (contract §3.11, §4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from blnk_relay.intents.decision import Decision, Done, Send, refused
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.links import LINKABLE, link_of, name_of
from blnk_relay.intents.outcomes import OutcomeName
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import look_again, missing
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for

#: What is written to, by how its ids begin (contract §7): what it is called, where it is read, and by which field. A
#: batch is only known by its rows.
_RECORDS = {
    "ldg_": ("ledger", "ledgers", "ledger_id"),
    "bln_": ("balance", "balances", "balance_id"),
    "idt_": ("identity", "identities", "identity_id"),
    "txn_": ("transaction", "transactions", "transaction_id"),
    "bulk_": ("batch", "transactions", "parent_transaction"),
    "rule_": ("rule", "matching-rules", "rule_id"),
}


def prefix_of(record_id: str) -> str:
    """How an id begins, and so what it is of."""
    return record_id.partition("_")[0] + "_"


def is_message(entry: Entry, response: Response) -> bool:
    """Whether an answer is the sentence that routes of this family say when they have done it, and nothing else."""
    body = response.body or {}
    return isinstance(body.get("message"), str) and not body.keys() & {"error", "errors", "error_detail"}


def never(entry: Entry) -> bool:
    """Of kinds that need to know nothing before they send."""
    return False


@dataclass(frozen=True, slots=True)
class Update:
    """A kind that writes to a record which is there.

    Attributes:
        id_field: Where the payload has the record's id.
        shows: Whether the ledger shows what was asked for.
        outcome: What it comes to.
        answers: Whether the body of a success is the answer to this request. Most answers name no record, so these
            requests go over connections of their own (:attr:`Request.alone`).
        resource: Where it is read, if not where records of its sort are.
        reads_first: Whether it is read before the first send as well.
        lags: The read may be older than the write before ours, and then equal values prove nothing yet.
    """

    id_field: str
    shows: Callable[[Entry, Found], bool]
    outcome: OutcomeName = "updated"
    answers: Callable[[Entry, Response], bool] = is_message
    resource: str = ""
    reads_first: Callable[[Entry], bool] = never
    lags: bool = True

    def order(self, payload: Mapping[str, Any]) -> str:
        """The order that all writes to one record stand in, such as ``identity:idt_…``.

        A link is known by the key that it links to; what is named in two ways stands in two orders, and only
        :attr:`Send.exclusive` keeps it to one writer at a time.
        """
        value = payload[self.id_field]
        link = link_of(value)
        what, *_ = _RECORDS[LINKABLE[link["field"]] if link is not None else prefix_of(value)]
        return f"{what}:{name_of(value)}"

    def record_id(self, entry: Entry) -> str:
        """The record, once links are filled in."""
        return str(entry.payload[self.id_field])

    def quoted_id(self, entry: Entry) -> str:
        """The same, as it stands in a path."""
        return quote(self.record_id(entry), safe="")

    def lookup(self, entry: Entry) -> Lookup:
        """How the ledger is asked for the record."""
        record_id = self.record_id(entry)
        _, resource, field = _RECORDS[prefix_of(record_id)]
        return Lookup(self.resource or resource, field, record_id)

    def reads(self, entry: Entry, found: Found) -> tuple[Lookup, ...]:
        """What is still to be asked for: the record; then of a hold, or where a transaction has no row, those below it.

        They are written to with it. A split, whose legs name it as their parent, has no row of its own.
        """
        lookup = self.lookup(entry)
        if asked := missing(found, lookup):
            return asked
        row = found.row(lookup.value)
        if lookup.field != "transaction_id" or (row is not None and row.status != "INFLIGHT"):
            return ()
        return missing(found, Lookup(lookup.resource, "parent_transaction", lookup.value))

    def done(self, entry: Entry) -> Done:
        """What it came to."""
        return Done(self.outcome, self.record_id(entry))

    # -- the functions of a kind -------------------------------------------------------------------------------------

    def lookups(self, entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
        """None before the first send, as a rule; then the record."""
        if progress.untouched and not self.reads_first(entry):
            return ()
        return self.reads(entry, found)

    def decide(self, entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
        """Send it as the only writer of its record; after an ambiguous answer compare what the ledger shows."""
        if self.lags and not (progress.sent or progress.refuse):
            # It was certainly never sent, also where a look was asked for, and what a read shows, or does not show yet,
            # may be older than the record itself.
            return self._send(entry, policy)
        shown = self.shows(entry, found)
        if shown and self.lags and progress.forgotten and progress.age_s < policy.read_lag_s:
            # It is only looked for, and may never have been sent: what was written just before its turn came, long
            # after the loss, may not be shown yet.
            return look_again(progress, policy)
        if shown and not (self.lags and progress.sent and progress.quiet_for_s < policy.quiet_s):
            return self.done(entry)
        if progress.sent and progress.quiet_for_s < policy.quiet_s:
            # A request that is still under way would overwrite what comes after a repeat, or after this one where the
            # value was the same before.
            return look_again(progress, policy)
        if progress.refuse and not progress.untouched:
            return refused(progress.code, progress.message)
        return self._send(entry, policy)

    def judge(self, entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
        """The table of contract §5: done when the answer is that of the route, to this request; else it is read."""
        rule = rule_for(request, response)
        verdict = verdict_for(rule, progress, response, policy)
        if rule.meaning is not Meaning.DONE:
            return verdict
        if not self.answers(entry, response):
            # The answer to another request, or a page of somebody in between: it proves nothing.
            return replace(verdict, accepted=False)
        return Verdict(self.done(entry), acted=True, accepted=True)

    # ----------------------------------------------------------------------------------------------------------------

    def _send(self, entry: Entry, policy: Policy) -> Send:
        record_id = self.record_id(entry)
        what, *_ = _RECORDS[prefix_of(record_id)]
        # Earlier writes made nothing but the record itself, so there is nothing below it that a read could miss. Of its
        # values, on which some decide, a read shows those of before for a while.
        settled_s = policy.read_lag_s if self.lags and self.reads_first(entry) else 0.0
        return Send(memo={"id": record_id}, exclusive=f"{what}:{record_id}", seen=(record_id,), settled_s=settled_s)
