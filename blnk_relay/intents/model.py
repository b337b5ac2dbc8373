"""The values that kinds work on: intents, what is known of them, what the ledger showed, and decisions.

Everything here is a frozen value; nothing here does I/O. Times are milliseconds since 1970 by the clock of Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from blnk_relay.intents.about import About

if TYPE_CHECKING:
    from marshmallow import Schema

    from blnk_relay.intents.retry import Backoff

#: The target of those who name none.
DEFAULT_TARGET = "default"


@dataclass(frozen=True, slots=True)
class Intent:
    """A validated write that has not been recorded yet; what the builders return.

    Attributes:
        kind: Name of the kind, such as ``transaction``.
        payload: Canonical, JSON-safe fields.
        natural_key: The idempotency key that follows from the payload, where one exists.
        reference: The ledger reference that the caller asked for, else None.
        order_key: Intents that share it are sent one at a time, in accept order.
        orders: Further such keys, where it writes to several things.
        file: A file to upload, kept beside the payload, which holds its digest.
    """

    kind: str
    payload: Mapping[str, Any]
    natural_key: str | None = None
    reference: str | None = None
    order_key: str | None = None
    orders: tuple[str, ...] = ()
    file: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A recorded intent: the part that never changes.

    Attributes:
        id: 26 characters, derived from target and key.
        key: The caller's idempotency key.
        reference: The reference of generation 0; see :func:`blnk_relay.intents.references.of_generation`.
        mark: Top-level key of ``meta_data`` under which the ledger is given our id, for kinds that it knows by nothing
            else.
        payload: The canonical payload; in a worker's hands with its links filled in.
        orders: Keys of the orders that it stands in: one at a time, in accept order.
        after: Keys of the intents that it waits for.
    """

    id: str
    kind: str
    target: str
    lane: str
    key: str
    reference: str
    payload: Mapping[str, Any]
    mark: str = ""
    orders: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """A recorded intent: the part that moves, as it was when it was claimed.

    Attributes:
        now_ms: Time of the claim.
        since_ms: When its present life began: accepted, or replayed by an operator.
        deadline_ms: When it becomes a dead letter if still undecided.
        attempts: Counted attempts of this life.
        sent: A request may have taken effect at the ledger. Never taken back within a generation.
        first_sent_ms: When such a request was first sent; 0 for never.
        last_sent_ms: When such a request was last sent, or the end of the lapsed lease it may have been sent under.
        sends: How many requests of this life were answered with a 2xx.
        accepted: The last of them was answered with a 2xx.
        refuse: The last answer said no, and only the look-up is missing: absent means refused.
        memo: What the kind recorded before sending, for example the sum of a hold's commits.
        generation: 0, and one more whenever its references were used up to no effect, and it began anew.
        code: Code of the last answer.
        message: Message of the last answer, capped.
        looking: It waits for a look at the ledger, whatever else is known.
        draw: A uniform random number in [0, 1), drawn at the claim, for jitter.
        created_ms: When it was accepted.
        lost_ms: End of the moments that the journal has lost and in which it may have been sent; 0 for none.
        solid_ms: Since when the journal's clock and its tail can be trusted: no silence is older than that.
    """

    now_ms: int
    since_ms: int
    deadline_ms: int
    attempts: int = 0
    sent: bool = False
    first_sent_ms: int = 0
    last_sent_ms: int = 0
    sends: int = 0
    accepted: bool = False
    refuse: bool = False
    memo: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0
    code: str = ""
    message: str = ""
    looking: bool = False
    draw: float = 0.5
    created_ms: int = 0
    lost_ms: int = 0
    solid_ms: int = 0

    @property
    def age_s(self) -> float:
        """Seconds of its present life."""
        return max(0.0, (self.now_ms - self.since_ms) / 1000)

    @property
    def quiet_for_s(self) -> float:
        """Seconds of silence: since a request that may have taken effect was last sent, as far as that is known."""
        return max(0.0, (self.now_ms - max(self.last_sent_ms, self.solid_ms)) / 1000)

    @property
    def forgotten(self) -> bool:
        """It counts as sent only because the journal may have forgotten it: nothing is recorded of that request."""
        return self.lost_ms > 0 and not self.memo


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers that decisions depend on; units and reasons in :class:`blnk_relay.settings.Settings`."""

    retry: Backoff
    confirm: bool
    confirm_first_s: float
    confirm_max_s: float
    read_lag_s: float
    horizon_s: float
    stuck_horizon_s: float
    quiet_s: float
    max_attempts: int
    dob_format: str = "rfc3339"
    own_identity_ids: bool = True


@dataclass(frozen=True, slots=True)
class Lookup:
    """One value to look for: ``Lookup("transactions", "reference", "order_42_q")``."""

    resource: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the ledger's ``transactions`` table, as far as decisions need it (contract §1.7, §3.4).

    Its description and metadata may hold personal data: compare them, log them nowhere.
    """

    transaction_id: str
    reference: str
    status: str
    parent: str = ""
    precise_amount: int | None = None
    currency: str = ""
    source: str = ""
    destination: str = ""
    created_at: str = ""
    rejection: str = ""
    description: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Record:
    """A record of another resource of the ledger: a balance, a ledger, an identity, a rule, and so on.

    Attributes:
        resource: Such as ``balances``.
        data: Its fields as the ledger gave them. They may hold personal data: compare them, log them nowhere.
    """

    resource: str
    data: Mapping[str, Any]

    def value(self, field: str) -> Any:
        """The value of a field; dots lead into objects, as in ``meta_data.blnk_relay``. None when it is not there."""
        if "." not in field:
            return self.data.get(field)
        value: Any = self.data
        for name in field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


class Found:
    """What the ledger showed, indexed once for a whole batch of intents. Only :meth:`plus` makes a larger one."""

    __slots__ = ("_by_id", "_by_parent", "_by_reference", "_by_value", "asked", "records", "rows")

    def __init__(
        self,
        rows: Iterable[Row] = (),
        records: Iterable[Record] = (),
        asked: Iterable[Lookup] = (),
    ) -> None:
        self.asked = frozenset(asked)
        self.records = tuple(records)
        self._by_id = {row.transaction_id: row for row in rows}
        self.rows = tuple(self._by_id.values())
        self._by_reference = {row.reference: row for row in self.rows}
        self._by_parent: dict[str, list[Row]] = {}
        for row in self.rows:
            self._by_parent.setdefault(row.parent, []).append(row)
        #: Records by the text that a field of theirs has, for each resource and field that was looked for.
        self._by_value: dict[tuple[str, str], dict[str, list[Record]]] = {}

    def plus(self, rows: Iterable[Row], records: Iterable[Record], asked: Iterable[Lookup]) -> Found:
        """This and more."""
        return Found((*self.rows, *rows), (*self.records, *records), self.asked | frozenset(asked))

    def reference(self, reference: str) -> Row | None:
        """The row under a reference; references are unique over all rows (contract §3.2)."""
        return self._by_reference.get(reference)

    def row(self, transaction_id: str) -> Row | None:
        """The row with an id."""
        return self._by_id.get(transaction_id)

    def children(self, transaction_id: str) -> tuple[Row, ...]:
        """Rows whose parent is the given one, oldest first."""
        return tuple(sorted(self._by_parent.get(transaction_id, ()), key=_instant))

    def matching(self, lookup: Lookup) -> tuple[Record, ...]:
        """Records that answer a look-up; what came with them is left out."""
        known = self._by_value.get((lookup.resource, lookup.field))
        if known is None:
            # Indexed at the first question: a batch asks as many as there are records.
            known = self._by_value[lookup.resource, lookup.field] = {}
            for record in self.records:
                value = record.value(lookup.field) if record.resource == lookup.resource else None
                if isinstance(value, str):
                    known.setdefault(value, []).append(record)
        return tuple(known.get(lookup.value, ()))

    def balance_ids(self, indicator: str, currency: str) -> frozenset[str]:
        """Ids of the balances that an ``@indicator`` stands for in a currency (contract §3.7)."""
        named = self.matching(Lookup("balances", "indicator", indicator))
        return frozenset(str(record.value("balance_id")) for record in named if record.value("currency") == currency)


def _instant(row: Row) -> tuple[str, str]:
    """When a row was made, in an order that holds for fractions of any length ("….1Z" is before "….12Z")."""
    seconds, _, fraction = row.created_at.removesuffix("Z").partition(".")
    return seconds, fraction


class DeadClass(StrEnum):
    """Why a human has to look."""

    REFUSED = "refused"  #: Known not to have happened.
    REJECTED = "rejected"  #: The ledger recorded a refusal; the reference is used up.
    UNKNOWN = "unknown"  #: Must not be sent again by a machine.
    PARTIAL = "partial"  #: A part of it happened, or not as it was asked for.
    INVALID = "invalid"  #: It came by name and does not validate; it was never an intent.


@dataclass(frozen=True, slots=True)
class Note:
    """What a look leaves with an intent of several parts: a split's legs, a bulk's items.

    Attributes:
        memo: Takes the place of the memo.
        parts: Number of a part, from 0, to ``"<status>"`` or ``"<status> <row id>"``; others stay as they were noted.
        made: Rows that the intent wrote to, to the ids of those that it made below them; see :attr:`Send.seen`.
    """

    memo: Mapping[str, Any]
    parts: Mapping[int, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Send it now.

    Attributes:
        memo: To be recorded before sending, or None when nothing must be.
        exclusive: A row, or rows, that only one intent may be writing to; empty for none.
        seen: Ids of the rows below it, or them, that the decision rests on. The journal knows those that earlier
            intents made; should one of them be missing here, the read lagged, and the decision is not carried out.
        note: Where a look at the ledger led to it: what that look leaves.
        perhaps_ours: Ids of rows below it, or them, that may be this very intent's work, from moments that the journal
            has lost. It is sent only if the journal knows each as the work of another intent.
        otherwise: What it comes to if it does not.
    """

    memo: Mapping[str, Any] | None = None
    exclusive: str | tuple[str, ...] = ""
    seen: tuple[str, ...] = ()
    note: Note | None = None
    perhaps_ours: tuple[str, ...] = ()
    otherwise: Dead | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The ledger shows the outcome. The ids are those of real rows, never a phantom's (contract §3.2)."""

    outcome: str
    transaction_id: str = ""
    parent_id: str = ""
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """A human has to decide."""

    dead_class: DeadClass
    code: str
    message: str
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Read the ledger again after a pause, and decide then.

    Attributes:
        in_s: Seconds until then.
        refuse: If nothing is found by then, it is refused rather than sent again.
    """

    in_s: float
    refuse: bool = False
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing happened; try again after a pause.

    Attributes:
        in_s: Seconds until then.
        counted: Whether this attempt counts towards the limit.
    """

    in_s: float
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Renew:
    """The ledger took back all that it did, for a reason that may pass: send it again, under fresh references.

    Attributes:
        otherwise: What it comes to when nothing may be sent any more.
    """

    otherwise: Dead


Decision = Send | Done | Dead | Look | Again | Renew


class GateAction(StrEnum):
    """What an answer means for everybody who writes to the same target."""

    PAUSE = "pause"  #: Nothing more until a probe, or a human, opens it again.
    SLOW = "slow"  #: It asked for less: wait, then begin again at half the pace.
    STRAIN = "strain"  #: A failure that one request may meet; many within a second count as SLOW.
    LOST = "lost"  #: It could not be reached; several on end stop everything but probes until it answers again.


@dataclass(frozen=True, slots=True)
class GateChange:
    """Stop or slow all writes to a target, or those of one lane.

    Attributes:
        action: How.
        code: Why, as a stable code.
        wait_s: Seconds until the next request may go out; 0: they grow with each complaint.
        note: More of why, for people.
        lane: Only the lane of the intent that met it: others may do what this one cannot.
    """

    action: GateAction
    code: str
    wait_s: float
    note: str = ""
    lane: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means.

    Attributes:
        decision: For the intent.
        acted: The request may have taken effect.
        accepted: It was answered with a 2xx.
        counted: The attempt counts towards the limit.
        gate: For the target, if anything.
    """

    decision: Done | Dead | Look | Again
    acted: bool
    accepted: bool = False
    counted: bool = True
    gate: GateChange | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, relative to a target.

    Attributes:
        route: Which rows of the verdict table apply: ``transaction``, ``inflight`` or ``refund``.
        body: JSON fields.
        sync: Skip mode: the ledger works inside the request, so the answer is final and takes longer.
        file: Name and bytes of a file to upload; the body then travels as form fields. A kind leaves the bytes empty:
            they are kept beside the intent, and filled in when it is sent.
        work_s: Seconds that the ledger may need beyond those of any request, because of how much there is in this one:
            cut off by us, it would stop in the middle (contract §14.4).
        alone: Its answer names nothing of what was asked, so it goes over a connection of its own, on which the answer
            to another request cannot come.
    """

    method: str
    path: str
    route: str
    body: Mapping[str, Any]
    sync: bool = False
    file: tuple[str, bytes] | None = None
    work_s: float = 0.0
    alone: bool = False


class Failure(StrEnum):
    """Why there is no usable answer."""

    NOT_SENT = "not_sent"  #: The request never left the machine.
    BROKEN = "broken"  #: It may have arrived.


#: Code of a request that was held back at the last moment, because its lease would not have seen it through.
LEASE_OVER = "LEASE_OVER"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back for a request, or why nothing did (contract §1.4, §2.0).

    Attributes:
        status: HTTP status; 0 when there is none.
        code: ``error_detail.code``, or a code of ours for a failure; empty when there is none.
        message: The error text, capped.
        body: The JSON object of the body, or None.
        has_errors: The body carries ``errors``, which marks payload validation (contract §2.0).
        retry_after_s: Of the ``Retry-After`` header.
        failure: Set when there was no whole answer.
        latency_ms: From sending to the end of the answer.
    """

    status: int = 0
    code: str = ""
    message: str = ""
    body: Mapping[str, Any] | None = None
    has_errors: bool = False
    retry_after_s: float | None = None
    failure: Failure | None = None
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of write: a bundle of pure functions.

    Attributes:
        name: Such as ``inflight.commit``.
        method: HTTP method.
        path: Path of the route, below the proxy.
        summary: One line for people.
        schema: What is valid; ``load`` gives the canonical payload.
        intent: From the canonical payload to the intent, with its natural key and order.
        lookups: What still has to be read before :attr:`decide` can decide.
        decide: What to do next, from what is known.
        request: The request to send.
        judge: What its answer means.
        about: What people are told of it.
        records: It decides from what it has recorded before sending; and its reference is the ledger's to choose, not
            ours.
        keyed: The ledger knows each request by references of ours, so that a repeat changes nothing. What is not is
            recorded as durably as the settings ask before it is sent, for nothing else would tell a repeat.
        marked: The ledger knows what it makes by nothing of ours but the mark in its ``meta_data``.
        names: The transactions that it acts on, by reference or row id; while one is still in our own queue, not
            finding it at the ledger proves nothing.
        shape: Makes references of a shape of its own out of a caller's, or a key's.
        claims: References that stand in the payload and are owned by the intent as well.
        renewed: The payload of the next generation, from that of a generation: with fresh references in place of those
            that stand in it.
        parts: What the parts of a payload are called, in order, where it has several: legs, items.
        private: The ledger's error messages may quote personal data, so only their codes are kept.
        also: Further paths of the same method that it is sent to in some cases.
        cloud_only: What only Cloud can read of all that it is proven by; empty where a bare Core can read it as well.
        absent: Code of the dead letter that only says that the ledger does not show what it ``names``.
        hopeless: Codes of dead letters that no replay can help, each with what a human can do instead.
        resumable: Codes of partial ends of which a replay sends only what is not there yet.
        switch: Name of the setting that has to be on for it to be accepted; empty for none.
    """

    name: str
    method: str
    path: str
    summary: str
    schema: Schema
    intent: Callable[[Mapping[str, Any]], Intent]
    lookups: Callable[[Entry, Progress, Found], tuple[Lookup, ...]]
    decide: Callable[[Entry, Progress, Found, Policy], Decision]
    request: Callable[[Entry, Progress, Policy], Request]
    judge: Callable[[Entry, Progress, Request, Response, Policy], Verdict]
    about: About
    records: bool = False
    keyed: bool = False
    marked: bool = False
    names: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    shape: Callable[[str], str] | None = None
    claims: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    renewed: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None = None
    parts: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    private: bool = False
    also: tuple[str, ...] = ()
    cloud_only: str = ""
    absent: str = ""
    hopeless: Mapping[str, str] = field(default_factory=dict, hash=False)
    resumable: frozenset[str] = frozenset()
    switch: str = ""

    @property
    def recorded(self) -> bool:
        """Whether something is recorded before each send, so that an intent of which nothing is was never sent."""
        return self.records or not self.keyed

    @property
    def referenced(self) -> bool:
        """Whether the ledger knows it by one reference of ours."""
        return self.shape is not None or not (self.records or self.marked)

    @property
    def renewable(self) -> bool:
        """Whether it can be sent under fresh references, where the ledger has used up the old ones to no effect."""
        return self.referenced or self.renewed is not None
