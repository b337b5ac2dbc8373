"""What ledgers, balances and identities have in common: the ledger has no idempotency key for them (contract §4).

Each repeat makes another record, so ours carries our id in ``meta_data`` under one top-level key, and is looked up by
it before any repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send, refused
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.kind import End
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import capped, look_again, missing, text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for

#: How such a record can end without anybody knowing which one is ours.
MADE_TWICE = End(
    DeadClass.UNKNOWN,
    "MADE_TWICE",
    "The ledger shows it more than once. It has no key that would forbid a repeat, so a gateway that repeats a request "
    "makes two (contract §4).",
)

#: How such a record can end that is there, and not as it was asked for.
OTHERWISE = End(
    DeadClass.PARTIAL,
    "MADE_OTHERWISE",
    "The ledger made it, and shows it with other values than were asked for; the letter names them, and its id.",
)

#: Why no replay can help that: it would make another one.
OTHERWISE_ADVICE = {
    "MADE_OTHERWISE": "it was made, but not as it was asked for, and a repeat would make another: use it by the id "
    "in the letter, or put right by hand what differs; then discard this letter"
}

#: From what was asked for and a record of the ledger to the names of what differs, as far as the record tells.
Differs = Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]


def tagged(entry: Entry) -> dict[str, Any]:
    """The ``meta_data`` that is sent: the caller's, and our id."""
    return {**(entry.payload.get("meta_data") or {}), entry.tag: entry.id}


def bears_our_tag(entry: Entry, shown: Mapping[str, Any]) -> bool:
    """Whether a record carries our id in its ``meta_data``."""
    meta = shown.get("meta_data")
    return isinstance(meta, Mapping) and meta.get(entry.tag) == entry.id


def unequal(payload: Mapping[str, Any], shown: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Names of fields that a record shows with another value than was asked for; one it does not show is none."""
    return [name for name in names if name in payload and shown.get(name) is not None and shown[name] != payload[name]]


def nothing_differs(payload: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Of kinds whose records may be changed by others as soon as they are made."""
    return []


def made_twice(ids: Iterable[str]) -> Dead:
    """The ledger shows several records as ours."""
    return Dead(
        DeadClass.UNKNOWN, "MADE_TWICE", capped(f"The ledger shows it more than once: {', '.join(sorted(ids))}.")
    )


@dataclass(frozen=True, slots=True)
class Creation:
    """A kind that makes a record.

    Attributes:
        resource: Where such records are read.
        id_field: What the ledger calls their id.
        prefix: How such ids begin (contract §7).
        is_ours: Whether an answer is about this intent, and not about another one.
        differs: Compares all that an answer tells.
        differs_for_ever: Compares what nobody can have changed since.
        otherwise: What follows where something differs, as a sentence.
    """

    resource: str
    id_field: str
    prefix: str
    is_ours: Callable[[Entry, Mapping[str, Any]], bool] = bears_our_tag
    differs: Differs = nothing_differs
    differs_for_ever: Differs = nothing_differs
    otherwise: str = ""

    def by_tag(self, entry: Entry) -> Lookup:
        """How the ledger is asked for what we made."""
        return Lookup(self.resource, f"meta_data.{entry.tag}", entry.id)

    # -- the functions of a kind -------------------------------------------------------------------------------------

    def lookups(self, entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
        """None before the first send; then by our tag."""
        return () if progress.untouched else missing(found, self.by_tag(entry))

    def decide(self, entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
        """Send it unless the ledger shows it."""
        if progress.untouched:
            return Send()
        # Other look-ups of the same batch may have shown the same record.
        shown = {str(record.value(self.id_field)): record for record in found.matching(self.by_tag(entry))}
        if len(shown) == 1:
            ((record_id, record),) = shown.items()
            return self._made(record_id, self.differs_for_ever(entry.payload, record.data))
        if shown:
            return made_twice(shown)
        if progress.sent and progress.quiet_for_s < policy.quiet_s:
            # A request that is still under way, or a read that lags: a repeat now could make a second one.
            return look_again(progress, policy)
        return refused(progress.code, progress.message) if progress.refuse else Send()

    def judge(self, entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
        """Made when the answer names the new id, and us; else the ledger is read."""
        rule = rule_for(request, response)
        verdict = verdict_for(rule, progress, response, policy)
        if rule.meaning is not Meaning.DONE:
            return verdict
        body = response.body or {}
        record_id = text_of(body, self.id_field)
        if not record_id.startswith(self.prefix) or not self.is_ours(entry, body):
            # The answer to another request, or a page of somebody in between: it proves nothing.
            return replace(verdict, accepted=False)
        return Verdict(self._made(record_id, self.differs(entry.payload, body)), acted=True, accepted=True)

    # ----------------------------------------------------------------------------------------------------------------

    def _made(self, record_id: str, different: list[str]) -> Done | Dead:
        """What a record that was made came to."""
        if not different:
            return Done("created", record_id)
        text = f"It was made as {record_id}, but not as it was asked for: {', '.join(different)}. {self.otherwise}"
        return Dead(DeadClass.PARTIAL, "MADE_OTHERWISE", capped(text.strip()))
