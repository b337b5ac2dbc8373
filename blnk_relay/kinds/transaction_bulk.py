"""The kind ``transaction.bulk``: many single transactions in one request, each confirmed by its own reference.

An answer says nothing about the items: in queue mode 201 means "handed over", in skip mode a failure means that the
items before it happened (contract §3.10). So every item is read back, some hundreds at a time, and what is not there
is sent again in a new request: under its own reference an item cannot apply twice (contract §3.2). ``run_async`` is
never used: it works in memory, and we are asynchronous already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

from marshmallow import Schema, ValidationError, fields, post_load

from blnk_relay.families.atomic import PART_S, ROLLBACK, TAKEN_BACK
from blnk_relay.families.items import WINDOW, decide, lookups, named, renewed_items, signs_of
from blnk_relay.families.movement import CONFLICT
from blnk_relay.families.standing import ITEMS
from blnk_relay.intents.decision import DeadClass, Done
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.horizons import MAX_UNSEEN_SENDS
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import name_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for
from blnk_relay.kinds.transaction import NAME as SINGLE
from blnk_relay.kinds.transaction import SCHEMA as ITEM_SCHEMA
from blnk_relay.schema.base import Flag
from blnk_relay.schema.loading import load

NAME = "transaction.bulk"

#: The ledger's own limit (contract §2.4).
MOST_ITEMS = 10_000

#: In skip mode the ledger works through the items inside the request: some 280 a second on one pair of balances
#: (measured). The request is given ``sync_read_timeout_s``, and :data:`PART_S` for each item.
MOST_SYNC_ITEMS = 500

#: Seconds for each item of a request in queue mode: the ledger hands each over inside the request, some 850 a second
#: (measured); this allows for four times as long.
HANDOVER_S = 0.005

#: What may be taken back has to be read as a whole, in one look.
MOST_ATOMIC_ITEMS = WINDOW

#: The ledger takes 5 MiB (contract §2.0); the rest is for what Cloud may add on the way.
MAX_BODY_BYTES = 5_000_000

#: Orders that all balances are shared out to: each atomic batch stands in those of its balances, so that no two that
#: share one are under way at a time, whatever their number.
_ORDERS = 64

#: Invalid items named in one error.
_MOST_ERRORS = 20


class BulkSchema(Schema):
    """Fields of contract §2.4; items are fields of single transactions, each with its reference."""

    items = fields.List(fields.Raw(), required=True)
    atomic = Flag()
    inflight = Flag()
    skip_queue = Flag()

    @post_load
    def _canonical(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        items = data["items"]
        if not 1 <= len(items) <= MOST_ITEMS:
            raise ValidationError(f"Must have 1 to {MOST_ITEMS:,} items, not {len(items):,}.", "items")
        synchronous = bool(data.get("skip_queue"))
        if synchronous and len(items) > MOST_SYNC_ITEMS:
            raise ValidationError(
                f"Must have at most {MOST_SYNC_ITEMS:,} items with skip_queue: the ledger does them "
                "inside the request.",
                "items",
            )
        if data.get("atomic") and not synchronous:
            raise ValidationError(
                "Needs skip_queue: in queue mode the ledger takes nothing back when an item is rejected.",
                "atomic",
            )
        if data.get("atomic") and len(items) > MOST_ATOMIC_ITEMS:
            raise ValidationError(f"Must have at most {MOST_ATOMIC_ITEMS:,} items when it is atomic.", "items")
        flags = {"skip_queue": synchronous, "inflight": bool(data.get("inflight"))}
        loaded = _items(items, flags, atomic=bool(data.get("atomic")))
        payload = {"items": loaded, **{name: True for name, value in data.items() if value is True}}
        if len(json.dumps(_body(payload, loaded), ensure_ascii=False).encode()) > MAX_BODY_BYTES:
            raise ValidationError(f"All items together must not take more than {MAX_BODY_BYTES:,} bytes.", "items")
        return payload


def _items(items: Sequence[Any], flags: Mapping[str, bool], *, atomic: bool) -> list[dict[str, Any]]:
    errors: dict[str, Any] = {}
    loaded: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    for index, item in enumerate(items):
        try:
            loaded.append(_item(item, flags, atomic=atomic))
        except ValidationError as error:
            errors[f"items.{index}"] = error.messages
        else:
            first = places.setdefault(loaded[-1]["reference"], index)
            if first != index:
                errors[f"items.{index}"] = {
                    "reference": [f"Is that of the item at position {first} already; each item needs its own."]
                }
        if len(errors) >= _MOST_ERRORS:
            break
    if errors:
        raise ValidationError(errors)
    return loaded


def _item(item: Any, flags: Mapping[str, bool], *, atomic: bool) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise ValidationError("Must be what transaction() returns, or its fields.")
    for name, value in flags.items():
        if item.get(name) and not value:
            raise ValidationError(
                {name: ["Must be set for the whole batch, not for one item: the ledger would override it."]}
            )
    if "scheduled_for" in item:
        raise ValidationError(
            {
                "scheduled_for": [
                    "Must not be set on an item, which would keep the whole batch open: enqueue that one as a "
                    "transaction of its own."
                ]
            }
        )
    if dated := [name for name in ("inflight_expiry_date", "inflight_commit_date") if atomic and name in item]:
        text = (
            "Must not be set on an item of an atomic batch: where the ledger cannot note the date, it takes the whole "
            "batch back after it has happened. Leave it out, or enqueue that hold as a transaction of its own."
        )
        raise ValidationError({name: [text] for name in dated})
    loaded: dict[str, Any] = ITEM_SCHEMA.load({**item, **flags})
    if "reference" not in loaded:
        raise ValidationError({"reference": ["Is needed: each item is confirmed by a reference of its own."]})
    return {name: value for name, value in loaded.items() if name not in flags}


SCHEMA = BulkSchema()


def bulk_transactions(
    transactions: Sequence[Intent | Mapping[str, Any]],
    *,
    atomic: bool = False,
    inflight: bool | None = None,
    skip_queue: bool = False,
) -> Intent:
    """Make many transactions in one request (contract §2.4, §3.10).

    Single transactions through the queue are the better way where they need not travel together: they are as fast,
    and each has its own outcome. What becomes of each item is told by :meth:`blnk_relay.Relay.parts`.

    Args:
        transactions: 1 to 10,000 single transactions (500 with ``skip_queue``, 200 with ``atomic``), 5,000,000 bytes
            together, each with its own ``reference``: what :func:`blnk_relay.transaction` returns, or its fields.
        atomic: All or none; needs ``skip_queue``. The ledger takes back what it did by refunds or voids, which is no
            database transaction: a caller that goes away in the middle leaves it half done. So the request is given
            0.05 s for each item besides ``sync_read_timeout_s``, and atomic batches that share a balance are sent one
            at a time; keep them small, and keep gateways in front of the ledger as patient. What was taken back is
            tried again under new references: ``fee-1`` is then ``fee-1.r2``, as :meth:`blnk_relay.Relay.parts` tells.
        inflight: Make holds of all items; None: what the items say, which must be the same of all.
        skip_queue: Let the ledger work inside the request, in order, up to the first item that fails.

    Returns:
        The validated intent. It needs a key of yours. Atomic ones are sent in turn with those that share a balance.

    Raises:
        InvalidIntent: With the messages by field, ``items.<position>.<field>``.

    Example:
        >>> from blnk_relay.kinds.transaction import transaction
        >>> fee = transaction(source="@alice", destination="@fees", currency="EUR", amount=1, description="Fee",
        ...                   reference="fee-1")
        >>> bulk_transactions([fee]).payload["items"][0]["reference"]
        'fee-1'
    """
    items = [_given(item) for item in transactions]
    if inflight is None:
        inflight = bool(items) and all(isinstance(item, Mapping) and item.get("inflight") is True for item in items)
    flags = {"atomic": atomic, "inflight": inflight, "skip_queue": skip_queue}
    return intent(load(NAME, SCHEMA, {"items": items, **{name: flag for name, flag in flags.items() if flag}}))


def _given(item: Intent | Mapping[str, Any]) -> Any:
    if not isinstance(item, Intent):
        return item
    if item.kind != SINGLE:
        return None
    return {**item.payload, **({"reference": item.reference} if item.reference else {})}


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent; atomic ones are sent one at a time for each balance.

    Together on one balance they wait for each other inside the ledger, until one of them takes too long and is left
    half done (contract §14.4).
    """
    return Intent(NAME, payload, orders=_orders(payload) if payload.get("atomic") else ())


def _orders(payload: Mapping[str, Any]) -> tuple[str, ...]:
    balances = {name_of(item[side]) for item in payload["items"] for side in ("source", "destination")}
    return tuple(sorted({f"turn:atomic:{crc32(name.encode()) % _ORDERS:02}" for name in balances}))


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /transactions/bulk`` with the items that the ledger does not show (contract §3.10)."""
    signs = signs_of(entry, progress)
    items = [item for item, sign in zip(entry.payload["items"], signs, strict=True) if sign == "."]
    sync = bool(entry.payload.get("skip_queue"))
    work_s = (PART_S if sync else HANDOVER_S) * len(items)
    return Request(
        "POST", "/transactions/bulk", "bulk", _body(entry.payload, items), sync=sync, work_s=work_s, alone=True
    )


def _body(payload: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    flags = {name: bool(payload.get(name)) for name in ("atomic", "inflight", "skip_queue")}
    return {**flags, "transactions": [_sent(item) for item in items]}


def _sent(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**item, "overdraft_limit": json.loads(item["overdraft_limit"])} if "overdraft_limit" in item else item


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; whatever the answer, the items are read."""
    rule = rule_for(request, response)
    verdict = verdict_for(rule, progress, response, policy)
    if rule.meaning is not Meaning.POSTED:
        return verdict
    body = response.body or {}
    batch, count = text_of(body, "batch_id"), body.get("transaction_count")
    if not batch.startswith("bulk_") or count not in (None, len(request.body["transactions"])):
        # Not the answer to this request: it proves nothing, not even that it was handed over.
        return replace(verdict, accepted=False)
    if not policy.confirm:
        return Verdict(Done("accepted", batch), acted=True, accepted=True)
    return verdict


ABOUT = About(
    builder=bulk_transactions,
    confirmed="Each item by its own reference, as a single transaction is; some hundreds in one look. The answer to "
    "the request proves nothing of them (contract §3.10).",
    ends=(
        End(
            DeadClass.PARTIAL,
            "ITEMS_REJECTED",
            "The ledger recorded a refusal of some items, whose references are used up. *rejected* if it was all, or "
            "if of an atomic batch nothing stands.",
        ),
        End(
            DeadClass.PARTIAL,
            "ITEMS_MISSING",
            "Some items are not at the ledger, and it refuses the request that would bring them (contract §3.10).",
        ),
        End(
            DeadClass.PARTIAL,
            "REFERENCE_CONFLICT",
            "The ledger has other transactions under some references. *unknown* if no item happened, or none that was "
            "not taken back.",
        ),
        End(
            DeadClass.PARTIAL,
            "ROLLBACK_INCOMPLETE",
            "With `atomic`: an item failed, or the request was cut off, and the ledger did not take all others back "
            "(contract §3.10, §14.4).",
        ),
        End(
            DeadClass.REJECTED,
            "ROLLED_BACK",
            "With `atomic`: an item failed and the others were taken back, so nothing happened; the references are "
            "used up. What may pass, such as a lock, was tried again under new references before.",
        ),
        End(
            DeadClass.UNKNOWN,
            TAKEN_BACK,
            "With `atomic`: all items happened and all were taken back, and no answer said that it was accepted: the "
            "ledger does that when it fails after the last item was recorded, and somebody else may have (contract "
            "§3.10).",
        ),
        End(
            DeadClass.UNKNOWN,
            "STUCK_QUEUED",
            "Items stayed `QUEUED` for `stuck_horizon_s`: the ledger may still apply them (contract §3.5).",
        ),
        End(
            DeadClass.UNKNOWN,
            "VANISHED",
            f"It was accepted {MAX_UNSEEN_SENDS} times, and no item ever left a row (contract §3.3).",
        ),
    ),
    example=Example(
        {
            "items": [
                {
                    "source": "@wallet-alice",
                    "destination": "@fees",
                    "currency": "EUR",
                    "amount": "1.00",
                    "description": "Fee",
                    "reference": "fee-2026-11-alice",
                },
                {
                    "source": "@wallet-bob",
                    "destination": "@fees",
                    "currency": "EUR",
                    "amount": "1.00",
                    "description": "Fee",
                    "reference": "fee-2026-11-bob",
                },
            ]
        },
        key="fees-2026-11",
    ),
    renamed={"items": "transactions"},
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/transactions/bulk",
    summary="Make many transactions in one request.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    keyed=True,
    findable=True,
    records=True,
    hopeless={**CONFLICT, **ROLLBACK},
    resumable=frozenset({"ITEMS_MISSING"}),
    claims=named,
    renewed=renewed_items,
    parts=named,
    evidence=ITEMS,
)
