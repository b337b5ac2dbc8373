"""Many holds in one request: what ``inflight.bulk_commit`` and ``inflight.bulk_void`` share (contract §2.13). Pure.

Each item is a commit or a void like any other: decided by the single kinds' own functions, from what was recorded of it
and what the ledger shows of its hold. Only the request is shared. It names INFLIGHT rows alone and goes in skip mode,
where the route settles exactly the rows that it is given: the id of a QUEUED parent would take other holds' money, so
nothing is sent before every name has led to its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from marshmallow import ValidationError

from blnk_relay.families.atomic import PART_S
from blnk_relay.families.hold import HoldAction
from blnk_relay.families.hold_item import Item, items_of, judge_item, memo_of
from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Done, Look, Note, Send, refused
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.links import name_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import capped, find_named, look_again, some_of, text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for

#: The ledger's own limit (contract §2.13).
MOST_ITEMS = 100

ROUTE = "inflight.bulk"

#: The setting that has to be on.
SWITCH = "bulk_inflight"

#: Items that the ledger works on at a time; it has eight workers for one request (read in its source), and as few as
#: four are counted on.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class HoldBatch:
    """A kind that acts on many holds.

    Attributes:
        single: The kind of which each item is one.
        wanted: The payloads of the single kind, one for each item.
        path: Of the route.
        body: From the payloads and the rows that they lead to, to the body.
    """

    single: HoldAction
    wanted: Callable[[Mapping[str, Any]], list[Mapping[str, Any]]]
    path: str
    body: Callable[[Sequence[tuple[str, Mapping[str, Any]]]], Mapping[str, Any]]

    def names(self, payload: Mapping[str, Any]) -> tuple[str, ...]:
        """The holds as they were named, in order."""
        return tuple(name_of(item["hold"]) for item in self.wanted(payload))

    def orders(self, payload: Mapping[str, Any]) -> tuple[str, ...]:
        """The orders of the holds: the same that single commits and voids stand in."""
        return tuple(f"hold:{name}" for name in self.names(payload))

    # -- the functions of a kind -------------------------------------------------------------------------------------

    def lookups(self, entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
        """What each item's own kind would read; of items that are decided as well, because all rows stay locked."""
        asked = (self.single.lookups(one, now, found) for _, one, now in self._singles(entry, progress))
        return tuple(dict.fromkeys(lookup for lookups in asked for lookup in lookups))

    def decide(self, entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
        """Each item for itself, and then what that comes to together."""
        fresh = not progress.sent or progress.forgotten
        if fresh and (twice := self._twice(entry, progress, found)):
            text = f"{twice[0]} and {twice[1]} are one hold: name it once."
            return refused("HOLD_TWICE", capped(text))
        seen = horizons.watch(progress, policy)
        policy = _patient(policy, len(self.wanted(entry.payload)))
        items: list[Item] = []
        decisions: list[Decision] = []
        for item, one, now in self._singles(entry, progress):
            decision = self._own(item, one, now, found, policy)
            decisions.append(decision)
            items.append(replace(item, child=decision.transaction_id) if isinstance(decision, Done) else item)
        if fresh and (early := self._too_early(entry, decisions)):
            return early
        note = self._note(items, decisions, seen.memo)
        sends = {index: decision for index, decision in enumerate(decisions) if isinstance(decision, Send)}
        doubts = [
            decision.in_s
            for item, decision in zip(items, decisions, strict=True)
            if isinstance(decision, Look) and item.sent and not item.row
        ]
        if sends and doubts:
            # What is recorded ends the doubt of all that may have been sent in lost moments, so nothing is sent before
            # each of them is decided.
            return Look(min(doubts), progress.refuse, note)
        if sends:
            return _together(items, sends, found, note, again=progress.sent)
        waits = [decision.in_s for decision in decisions if isinstance(decision, Look | Again)]
        if waits:
            return Look(min(waits), progress.refuse, note)
        if all(isinstance(decision, Done) for decision in decisions):
            return Done(self.single.outcome, note=note)
        return self._ended(entry, decisions, note)

    def request(self, entry: Entry, progress: Progress, policy: Policy) -> Request:
        """The items that were recorded for this request, by their INFLIGHT rows, in skip mode."""
        payloads = self.wanted(entry.payload)
        asked = [
            (item.row, payload)
            for item, payload in zip(items_of(progress, len(payloads)), payloads, strict=True)
            if item.asked
        ]
        body = {**self.body(asked), "skip_queue": True}
        return Request("POST", self.path, ROUTE, body, sync=True, work_s=PART_S * len(asked))

    def judge(self, entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
        """The table of contract §5 for the request, and the single route's rows of it for each item."""
        rule = rule_for(request, response)
        verdict = verdict_for(rule, progress, response, policy)
        if rule.meaning is not Meaning.POSTED:
            return verdict
        items = items_of(progress, len(self.wanted(entry.payload)))
        results = _results(items, response)
        if results is None:
            # A page of somebody in between, perhaps: it proves nothing of any item.
            return replace(verdict, accepted=False)
        wait_s, judged = policy.confirm_first_s, []
        for item in items:
            if item.asked:
                item, item_s = judge_item(item, results[item.row], progress, policy)  # noqa: PLW2901
                wait_s = max(wait_s, item_s)
            judged.append(item)
        note = Note(memo_of(judged))
        if not policy.confirm and all(item.accepted or item.child for item in judged):
            return Verdict(Done(self.single.outcome, note=note), acted=True, accepted=True)
        return Verdict(Look(wait_s, note=note), acted=True, accepted=True)

    # ----------------------------------------------------------------------------------------------------------------

    def _singles(self, entry: Entry, progress: Progress) -> Iterator[tuple[Item, Entry, Progress]]:
        """Each item, with the entry and the progress that its own kind would see."""
        payloads = self.wanted(entry.payload)
        for item, payload in zip(items_of(progress, len(payloads)), payloads, strict=True):
            named = {**payload, "hold": item.row} if item.row and progress.sent else payload
            # In a new life, after a replay, an old refusal must not stand in the way of another try.
            refuse = (item.refuse and progress.attempts > 0) or (progress.refuse and item.asked)
            now = replace(
                progress,
                sent=progress.sent and (item.sent or item.asked),
                accepted=item.accepted,
                refuse=refuse,
                code=item.code or progress.code,
                memo={**progress.memo, "row": item.row, "before": item.before} if item.row else {},
            )
            yield item, replace(entry, payload=named), now

    def _own(self, item: Item, one: Entry, now: Progress, found: Found, policy: Policy) -> Decision:
        """What the single kind decides of an item."""
        if item.child:
            # Settled for good: what others write to the hold later does not concern it.
            return Done("", item.child)
        decision = self.single.decide(one, now, found, policy)
        if isinstance(decision, Send) and item.accepted and now.quiet_for_s < policy.quiet_s:
            # The answer said that it succeeded; the read is older than that.
            return look_again(now, policy)
        return decision

    def _twice(self, entry: Entry, progress: Progress, found: Found) -> tuple[str, str] | None:
        """Two names that lead to one row: the ledger would settle it twice, and a part would be booked twice."""
        first: dict[str, str] = {}
        for name, (_, one, _) in zip(self.names(entry.payload), self._singles(entry, progress), strict=True):
            row, _ = find_named(found, one.payload["hold"])
            if row is not None and first.setdefault(row.transaction_id, name) != name:
                return first[row.transaction_id], name
        return None

    def _too_early(self, entry: Entry, decisions: Sequence[Decision]) -> Again | Dead | None:
        """Before anything was sent: a hold that is not there yet is waited for, one that is not there ends it all."""
        absent = [
            name
            for name, decision in zip(self.names(entry.payload), decisions, strict=True)
            if isinstance(decision, Dead) and decision.code == "HOLD_NOT_FOUND"
        ]
        if absent:
            text = f"The ledger shows no such hold, and nothing was sent: {some_of(absent)}."
            return refused("HOLD_NOT_FOUND", capped(text))
        return next((decision for decision in decisions if isinstance(decision, Again)), None)

    def _note(self, items: Sequence[Item], decisions: Sequence[Decision], watched: Mapping[str, Any]) -> Note:
        parts, made = {}, {}
        for index, (item, decision) in enumerate(zip(items, decisions, strict=True)):
            if isinstance(decision, Done):
                parts[index] = f"{self.single.outcome} {decision.transaction_id}"
                if row := item.row or decision.parent_id:
                    made[row] = decision.transaction_id
            elif isinstance(decision, Dead):
                parts[index] = decision.dead_class.value
        # What is recorded before it is sent must not seem to be there: by that a loss is told (Progress.forgotten).
        memo = {**memo_of(items), **watched} if any(item.row for item in items) else {}
        return Note(memo, parts, made)

    def _ended(self, entry: Entry, decisions: Sequence[Decision], note: Note) -> Dead:
        """Nothing more will come of it, and not all of it happened."""
        named = list(zip(self.names(entry.payload), decisions, strict=True))
        ends = [(name, decision) for name, decision in named if isinstance(decision, Dead)]
        unknown = [(name, end) for name, end in ends if end.dead_class is not DeadClass.REFUSED]
        shown = [f"{name} ({end.code})" for name, end in unknown or ends]
        what = "cannot be told" if unknown else f"were not {self.single.outcome}"
        text = capped(f"{len(shown)} of {len(named)} holds {what}: {some_of(shown)}.")
        if len(ends) < len(named):
            return Dead(DeadClass.PARTIAL, "ITEMS_UNKNOWN" if unknown else "ITEMS_REFUSED", text, note)
        if unknown:
            return Dead(DeadClass.UNKNOWN, "ITEMS_UNKNOWN", text, note)
        return Dead(DeadClass.REFUSED, "ITEMS_REFUSED", text, note)


def check_distinct(field: str, holds: Sequence[str | Mapping[str, Any]]) -> None:
    """Refuse a hold that is named twice.

    Args:
        field: Where they stand.
        holds: Their names, or links to them.

    Raises:
        ValidationError: Which one.
    """
    names = [name_of(hold) for hold in holds]
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise ValidationError(f"Must name each hold once in one request; {twice!r} is named twice.", field)


def _patient(policy: Policy, count: int) -> Policy:
    """How long a request of so many items may be under way unseen, told from the same of one.

    A part that is sent again, or called refused, while the ledger is still at the first request would be booked twice,
    or in spite of its dead letter.
    """
    waves = -(-count // _AT_ONCE)
    return replace(policy, quiet_s=policy.quiet_s * waves, read_lag_s=policy.read_lag_s * waves)


def _together(items: Sequence[Item], sends: Mapping[int, Send], found: Found, note: Note, *, again: bool) -> Send:
    """One request for all that is to be sent now; every row that was ever in one stays this intent's alone."""
    recorded = []
    for index, item in enumerate(items):
        sent = again and (item.sent or item.asked)
        send = sends.get(index)
        if send is None:
            # Of one that was never recorded it was only feared that it was sent, and now it is decided.
            recorded.append(replace(item, sent=sent and bool(item.row), asked=False))
        else:
            memo = send.memo or {}
            recorded.append(Item(memo["row"], memo["before"], sent=sent, asked=True))
    rows = tuple(item.row for item in recorded if item.row)
    seen = tuple(child.transaction_id for row in rows for child in _below(row, found))
    doubts = [send for send in sends.values() if send.perhaps_ours]
    return Send(
        memo=memo_of(recorded),
        exclusive=rows,
        seen=seen,
        note=note,
        perhaps_ours=tuple(row for send in doubts for row in send.perhaps_ours),
        otherwise=doubts[0].otherwise if doubts else None,
    )


def _below(row_id: str, found: Found) -> Iterator[Any]:
    yield from found.children(row_id)
    row = found.row(row_id)
    if row is not None and row.parent:
        # A hold that expired by itself was voided under its queued parent (contract §3.8).
        yield from (child for child in found.children(row.parent) if child.status == "VOID")


def _results(items: Sequence[Item], response: Response) -> dict[str, Mapping[str, Any]] | None:
    """The answer for each row that was sent; None where it is not the answer to this request."""
    given = (response.body or {}).get("results")
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        return None
    results = {text_of(one, "transaction_id"): one for one in given}
    asked = {item.row for item in items if item.asked}
    return results if results.keys() == asked and len(given) == len(asked) else None
