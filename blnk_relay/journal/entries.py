"""Between the journal's hashes and our values: what is written, and how it is read back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from blnk_relay.intents.decision import Dead
from blnk_relay.intents.intent import DEFAULT_TARGET, Entry, Intent
from blnk_relay.intents.links import LINK, linked_keys, resolved
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.references import digest, of_generation, reference_for
from blnk_relay.intents.states import State
from blnk_relay.journal.packing import packed
from blnk_relay.kinds.registry import KINDS

#: What a claim returns of an intent, in this order; the same list stands in claims.lua.
FIELDS = (
    "state",
    "since",
    "deadline",
    "token",
    "attempts",
    "sent",
    "lapsed",
    "sent_first",
    "sent_last",
    "sends",
    "accepted",
    "refuse",
    "memo",
    "gen",
    "code",
    "message",
    "results",
    "created",
    "lost",
    "tail",
    "faults",
    "again",
)


#: JSON as it is recorded.
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode

#: A text as JSON.
_quoted = json.encoder.encode_basestring


def id_of(target: str, key: str) -> str:
    """The id of the intent with a key: derived, so that the journal needs no index from keys to ids."""
    return digest(target, key)


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An intent ready to be accepted."""

    entry: Entry
    fingerprint: str
    body: str = field(repr=False)
    #: Milliseconds since 1970, or "+<ms>" from the moment of acceptance by the clock of Redis.
    not_before: str
    deadline: str
    #: References of the ledger that it owns.
    references: tuple[str, ...]
    #: For each of these: id of the intent whose key is that reference; empty where that is its own key.
    namesakes: tuple[str, ...]
    #: Ids of the intents that it waits for.
    after_ids: tuple[str, ...] = ()
    #: A file to upload, packed; empty for none.
    file: str = field(default="", repr=False)
    #: Name of the key under which body and file are encrypted; empty where they are not.
    sealed: str = ""


def _fingerprint(text: str) -> str:
    """What tells a repeat from another intent under the same key."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def new_entry(
    intent: Intent,
    key: str,
    lane: str,
    *,
    target: str = DEFAULT_TARGET,
    not_before: str,
    deadline: str,
    tag: str = "",
    after: Sequence[str] = (),
    order_key: str | None = None,
) -> NewEntry:
    """Put an intent into the form in which it is recorded."""
    kind = KINDS[intent.kind]
    reference = (intent.reference or reference_for(key)) if kind.referenced else ""
    if kind.shape is not None:
        reference = kind.shape(reference)
    claims = (*((reference,) if reference else ()), *(kind.claims(intent.payload) if kind.claims else ()))
    # An order of the caller's own never meets one that follows from a payload.
    orders = (_unsaid(intent.order_key), *intent.orders, f"own:{order_key}" if order_key else None)
    # Sorted, so that the order in which a caller gives metadata makes no other payload of it; and written once, for
    # fingerprint and body, because it is most of the cost of both.
    payload = _text(intent.payload)
    # Few payloads have links, and to walk through one that has none costs as much as to write it.
    links = linked_keys(intent.payload) if LINK in payload else ()
    after = tuple(dict.fromkeys((*after, *links))) if after or links else ()
    entry = Entry(
        id=id_of(target, key),
        kind=intent.kind,
        target=target,
        lane=lane,
        key=key,
        reference=reference,
        payload=intent.payload,
        tag=tag if kind.tagged else "",
        orders=tuple([order for order in orders if order]),
        after=after,
    )
    return NewEntry(
        entry=entry,
        fingerprint=_fingerprint(f"{target}\0{intent.kind}\0{reference}\0{payload}"),
        body=_body(_head(entry), payload),
        not_before=not_before,
        deadline=deadline,
        references=claims,
        namesakes=tuple(["" if claim == key and not kind.claims else id_of(target, claim) for claim in claims]),
        after_ids=tuple([id_of(target, key) for key in after]),
        file="" if intent.file is None else packed(intent.file),
    )


#: Orders that are named by a text of the payload, and not by an id or a reference.
_SAYING = "matching_rule:"


def _unsaid(order: str | None) -> str | None:
    """The name of an order, which stands in keys on Redis, without what a payload says."""
    if order is None or not order.startswith(_SAYING):
        return order
    return _SAYING + digest(order)


def _head(entry: Entry) -> str:
    """What is recorded of an intent besides its payload, without the closing brace.

    Put together here: to have it encoded costs several times as much, and each enqueue pays it. What is empty for most
    is left out.
    """
    head = (
        f'{{"key":{_quoted(entry.key)},"kind":{_quoted(entry.kind)},"lane":{_quoted(entry.lane)},'
        f'"reference":{_quoted(entry.reference)},"target":{_quoted(entry.target)}'
    )
    if entry.tag:
        head += f',"mark":{_quoted(entry.tag)}'
    if entry.orders:
        head += f',"orders":{_text(entry.orders)}'
    if entry.after:
        head += f',"after":{_text(entry.after)}'
    return head


def _body(head: str, payload: str) -> str:
    """What is recorded; the payload comes last, so that it can be cut off (statuses.lua)."""
    return f'{head},"payload":{payload}}}'


#: What stands before the payload of a body. A quote inside a text is escaped, so that it is the name of the field.
_BEFORE_PAYLOAD = ',"payload":'


def cut(body: str) -> tuple[str, str]:
    """A body as its head and its payload, both as they are written."""
    head, between, payload = body.partition(_BEFORE_PAYLOAD)
    if not between:
        # As a body looks that was written with blanks.
        head, between, payload = body.partition(', "payload":')
    if not between or not payload.endswith("}"):
        raise ValueError("what was recorded has no payload")
    return head, payload[:-1].lstrip()


def joined(head: str, payload: str) -> str:
    """A body of its head and its payload."""
    return _body(head, payload)


def entry_of(id_: str, body: str) -> Entry:
    """Read the unchanging part back.

    Raises:
        ValueError: It cannot be read, or its payload is still hidden.
    """
    data = json.loads(body)
    if not isinstance(data["payload"], dict):
        raise ValueError("the payload is hidden, or none")
    return _entry(id_, data, data["payload"])


def head_of(id_: str, body: str) -> Entry:
    """The same without a payload, which may be hidden."""
    return _entry(id_, json.loads(body), {})


def _entry(id_: str, data: Mapping[str, Any], payload: Mapping[str, Any]) -> Entry:
    return Entry(
        id=id_,
        kind=data["kind"],
        target=data["target"],
        lane=data["lane"],
        key=data["key"],
        reference=data["reference"],
        payload=payload,
        tag=data.get("mark", ""),
        orders=tuple(data.get("orders", ())),
        after=tuple(data.get("after", ())),
    )


@dataclass(frozen=True, slots=True)
class Renewal:
    """What an intent is sent under in its next generation.

    Attributes:
        references: Those that it owns from then on, besides the old ones.
        namesakes: For each of these: id of the intent whose key is that reference.
        body: What never changes, with the references of the new generation where they stand in the payload, so that
            whoever reads it, older workers too, knows these alone; empty where none stand there.
    """

    references: tuple[str, ...]
    namesakes: tuple[str, ...]
    body: str = field(default="", repr=False)
    #: Name of the key under which that body is encrypted; empty where it is not.
    sealed: str = ""

    def encoded(self) -> dict[str, str]:
        """As the scripts take it."""
        return {
            "references": "\0".join(self.references),
            "namesakes": ",".join(self.namesakes),
            "body": self.body,
            "sealed": self.sealed,
        }


def renewal_of(body: str, generation: int, shown: Callable[[], str]) -> Renewal:
    """What follows on a generation.

    Args:
        body: What was recorded of the intent.
        generation: The one that its references were used up in.
        shown: The same with its payload to be read; only asked for where references stand in there.
    """
    data = json.loads(body)
    kind, target, renewed_body = KINDS[data["kind"]], data["target"], ""
    claims: tuple[str, ...] = (of_generation(data["reference"], generation + 1),) if data["reference"] else ()
    if kind.renewed is not None and kind.claims is not None:
        data = json.loads(shown())
        payload = kind.renewed(data.pop("payload"), generation)
        claims += kind.claims(payload)
        renewed_body = _body(_text(data)[:-1], _text(payload))
    return Renewal(
        references=claims,
        namesakes=tuple([id_of(target, claim) for claim in claims]),
        body=renewed_body,
    )


@dataclass(frozen=True, slots=True)
class Claimed:
    """An intent in a worker's hands.

    Attributes:
        entry: What never changes.
        progress: What was known at the claim.
        token: Fencing token; a settlement with an older one changes nothing.
        lease_end_s: When the lease lapses, by the worker's own steady clock.
        claimed_s: When it was claimed, by the same clock: the moment of ``progress.now_ms``.
        faults: How often in a row the code that handles it has failed.
        mended: Times of it that a clock which had stepped ahead has noted, as they are at the latest; they are written
            with the next settlement.
    """

    entry: Entry
    progress: Progress
    token: str
    lease_end_s: float = 0.0
    claimed_s: float = 0.0
    faults: int = 0
    mended: Mapping[str, str] = field(default_factory=dict)


def claimed_of(
    values: Sequence[str],
    now_ms: int,
    lease_end_s: float,
    solid_ms: int = 0,
    claimed_s: float = 0.0,
    *,
    longest_lease_s: float = 0.0,
) -> Claimed:
    """Read one claimed intent as the scripts return it.

    Args:
        values: Id, body and the fields.
        now_ms: The journal's time.
        lease_end_s: When the lease lapses, by our steady clock; 0 for none.
        solid_ms: Since when the journal's clock and tail can be trusted.
        claimed_s: The moment of ``now_ms``, by our steady clock.
        longest_lease_s: For how long whoever claimed it in lost moments, or by a clock that was set right since, may
            still begin to send it.
    """
    entry = entry_of(values[0], values[1])
    fields = dict(zip(FIELDS, values[2:], strict=True))
    if entry.after:
        entry = replace(entry, payload=resolved(entry.payload, results_of(entry, fields["results"])))
    mended = mended_times(fields, now_ms)
    progress = progress_of(entry.kind, fields | mended, now_ms, solid_ms, int(longest_lease_s * 1000))
    return Claimed(entry, progress, fields["token"], lease_end_s, claimed_s, int(fields["faults"] or 0), mended)


def mended_times(fields: Mapping[str, str], now_ms: int) -> dict[str, str]:
    """Times that a clock which had stepped ahead, and has come back, has noted: as they are at the latest.

    What is over is over by now, whatever the clock said. Without this, silences would begin only once the clock has
    reached those times again. The end of a lease that lapsed may truly lie ahead, and nothing tells it from one that
    does not: it stays as it is.

    Args:
        fields: Of an intent.
        now_ms: Time of the claim.

    Example:
        >>> mended_times({"since": "7190000", "sent": "1", "sent_last": "7200000"}, 1_000_000)
        {'since': '1000000', 'sent_last': '1000000'}
        >>> mended_times({"since": "7190000", "lapsed": "1", "sent_last": "7230000"}, 1_000_000)
        {'since': '1000000'}
        >>> mended_times({"since": "7190000", "sent": "1", "sent_last": "7200000"}, 7_210_000)
        {}
    """
    over = ("since", "sent_first", *(() if fields.get("lapsed") == "1" else ("sent_last",)))
    return {name: str(now_ms) for name in over if int(fields.get(name) or 0) > now_ms}


def unreadable_of(values: Sequence[str], target: str, names: Sequence[str], now_ms: int) -> Claimed:
    """What is left of a claimed intent that cannot be read: enough to settle it.

    Args:
        values: As the scripts return them.
        target: Whose journal it stands in.
        names: Its kind and lane, which stand beside what cannot be read.
        now_ms: Time of the claim.
    """
    kind, lane = names
    fields = dict(zip(FIELDS, values[2:], strict=True))
    maybe_sent = "1" in (fields["sent"], fields["lapsed"]) or bool(fields["lost"])
    progress = Progress(now_ms, now_ms, now_ms, sent=maybe_sent, looking=fields["state"] == State.POSTED)
    entry = Entry(values[0], kind, target, lane, key="", reference="", payload={})
    faults = int(fields["faults"]) if fields["faults"].isdigit() else 0
    return Claimed(entry, progress, fields["token"], faults=faults)


def results_of(entry: Entry, lines: str) -> dict[str, str]:
    """Ids that other intents came to, by their keys; the journal keeps them by id."""
    ids = dict(line.split(" ", 1) for line in lines.splitlines())
    return {key: ids.get(id_of(entry.target, key), "") for key in entry.after}


def progress_of(
    kind: str, fields: Mapping[str, str], now_ms: int, solid_ms: int = 0, longest_lease_ms: int = 0
) -> Progress:
    """Read the moving part back.

    A lapsed lease counts as sent, unless it is recorded before each send and nothing was recorded. What may have been
    sent in moments that the journal has lost counts as sent too, unless the ledger recognises a repeat; and so does
    what may repeat one whose key is forgotten, until it is recorded that it is sent itself. What was sent, and of which
    the record that was made before is gone, was recorded in lost moments: a server was set back, and the worker told it
    afterwards what it had sent.
    """

    def number(name: str) -> int:
        return int(fields.get(name) or 0)

    memo = json.loads(fields["memo"]) if fields.get("memo") else {}
    known = KINDS[kind]
    lapsed = fields.get("lapsed") == "1" and bool(memo or not known.recorded)
    again = bool(number("again")) and not (number("lost") or memo or known.keyed) and known.findable
    lost_ms = number("again" if again else "lost")
    if not lost_ms and known.records and not known.keyed and fields.get("sent") == "1" and not memo:
        lost_ms = number("sent_last") or now_ms
    if lost_ms > now_ms:
        # Noted by a clock that had stepped ahead; that was seen at the latest when the ground could be trusted again.
        lost_ms = min(now_ms, solid_ms or now_ms)
    forgotten = lost_ms > 0 and not known.keyed
    # Whoever claimed it in lost moments may begin to send it for as long as the lease that is lost would have been.
    last_sent_ms = max(number("sent_last"), lost_ms + longest_lease_ms if lost_ms and not again else 0)
    if lapsed and last_sent_ms < solid_ms:
        # The clock was set right since: how long ago that end was nobody knows, and whoever held it may do so yet.
        last_sent_ms = solid_ms + longest_lease_ms
    return Progress(
        now_ms=now_ms,
        since_ms=number("since"),
        deadline_ms=number("deadline"),
        attempts=number("attempts"),
        sent=fields.get("sent") == "1" or lapsed or forgotten,
        first_sent_ms=number("sent_first"),
        # The end of a lapsed lease may lie ahead; a request under it may still go out until then.
        last_sent_ms=last_sent_ms,
        sends=number("sends"),
        accepted=fields.get("accepted") == "1",
        refuse=fields.get("refuse") == "1",
        memo=memo,
        generation=number("gen"),
        code=fields.get("code", ""),
        message=fields.get("message", ""),
        looking=fields.get("state") == State.POSTED,
        draw=random.random(),
        created_ms=number("created"),
        lost_ms=lost_ms,
        tail_ms=number("tail") if lost_ms and not again else 0,
        again=again,
        solid_ms=solid_ms,
    )


@dataclass(frozen=True, slots=True)
class Settlement:
    """One verdict on its way into the journal; see settle.lua.

    Attributes:
        claimed: The intent and its fencing token.
        origin: The state it was taken from: ``sending`` or ``posted``.
        to: ``done``, ``dead``, ``posted`` or ``ready``.
        in_ms: With ``posted`` and ``ready``: when it is due.
        fields: Fields to set.
        log: A line for the attempt log, or empty.
        tally: Counters to raise by one.
        parts: What was noted of its parts: number to ``"<status> <row id>"``.
        made: Rows that it wrote to, to the ids of those that it made below them.
        renewal: With ``ready``: what it is sent under next, in a new generation.
    """

    claimed: Claimed
    origin: State
    to: State
    in_ms: int = 0
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    log: str = ""
    tally: tuple[str, ...] = ()
    parts: Mapping[int, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    renewal: Renewal | None = None

    def encoded(self, sealed: str = "") -> str:
        """As settle.lua reads it: JSON that can be sent as UTF-8, whatever was answered.

        Args:
            sealed: Name of the encryption key that some of the fields need; empty for none.

        Raises:
            TypeError: It holds what the journal cannot keep; better here than in the middle of the script, where others
                would share its fate.
        """
        entry = self.claimed.entry
        data: dict[str, Any] = {
            "id": entry.id,
            "token": self.claimed.token,
            "from": self.origin,
            "to": self.to,
            "kind": entry.kind,
            "in_ms": self.in_ms,
            "lane": entry.lane,
            "set": self.fields if self.renewal else {**self.claimed.mended, **self.fields},
        }
        if sealed:
            data["sealed"] = sealed
        if self.log:
            data["log"] = self.log
        if self.tally:
            data["tally"] = self.tally
        if self.parts:
            data["parts"] = self.parts
        if self.made:
            data["made"] = self.made
        if self.renewal is not None:
            data["fresh"] = self.renewal.encoded()
        texts = (*self.fields.values(), *self.parts.values(), *self.made.values())
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a settlement holds a value that is not text")
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        # Half of a surrogate pair, from an answer cut short, is no text.
        return text if text.isascii() else text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of settling.

    Attributes:
        bells: Lanes that somebody has to ring.
        found_after_s: The target can be reached again, and could not for so many seconds; None where that is no news.
        stale: Ids of those of which somebody else has the latest word.
        opened: Sides that are no longer paused, with the code of the pause and how many seconds it took.
        looked_at_again: Ids of those that were to be letters, by a decision from before the journal lost its last
            moments: they are looked at again instead.
    """

    bells: tuple[str, ...] = ()
    found_after_s: float | None = None
    stale: frozenset[str] = frozenset()
    opened: tuple[tuple[str, str, float], ...] = ()
    looked_at_again: frozenset[str] = frozenset()


def buried_of(pairs: Sequence[Sequence[str]]) -> tuple[Entry, ...]:
    """Intents that were buried on the way, of id and body each."""
    return tuple(_buried(id_, body) for id_, body in pairs)


def untold_of(told: Sequence[Sequence[str]]) -> tuple[tuple[Entry, Dead], ...]:
    """Dead letters of id, body, class and code each; their messages stay in the journal."""
    return tuple(
        (_buried(id_, body), Dead(dead_class, code, ""))  # type: ignore[arg-type]
        for id_, body, dead_class, code in told
    )


def _buried(id_: str, body: str) -> Entry:
    """What never changes; empty but for its id where it cannot be read."""
    try:
        return head_of(id_, body)
    except Exception:  # noqa: BLE001 - whatever stands there, the others are buried as well
        return Entry(id_, "", "", "", key="", reference="", payload={})
