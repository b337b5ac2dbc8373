"""What is written of an intent and never changes, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from blnk_relay.intents.decision import Dead
from blnk_relay.intents.intent import DEFAULT_TARGET, Entry, Intent
from blnk_relay.intents.links import LINK, linked_keys
from blnk_relay.intents.references import digest, of_generation, reference_for
from blnk_relay.journal.packing import packed
from blnk_relay.kinds.registry import KINDS

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
