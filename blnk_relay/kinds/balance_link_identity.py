"""The kind ``balance.link_identity``: say whose balance it is (contract §2.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from marshmallow import Schema

from blnk_relay.families.update import is_message, judge_update, order_of, send_to, settled, target_id, untouched
from blnk_relay.intents.decision import Decision, Done
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import missing
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import BalanceId, IdentityId

NAME = "balance.link_identity"


class LinkIdentitySchema(Schema):
    """Fields of contract §2.9."""

    balance_id = BalanceId(required=True)
    identity_id = IdentityId(required=True)


SCHEMA = LinkIdentitySchema()


def link_identity(balance_id: str | ResultOf, identity_id: str | ResultOf) -> Intent:
    """Link a balance to an identity (contract §2.9); a link that it has already is replaced.

    Args:
        balance_id: ``bln_…``, or a link to a balance (``result_of``).
        identity_id: ``idt_…``, or a link to an identity.

    Returns:
        The validated intent. It needs a key of yours. Writes to one balance are sent in accept order.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> from blnk_relay import result_of
        >>> link_identity(result_of("wallet", "balance_id"), result_of("mara", "identity_id")).order_key
        'balance:wallet'
    """
    return intent(load(NAME, SCHEMA, {"balance_id": balance_id, "identity_id": identity_id}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, order_key=order_of("balance", payload["balance_id"]))


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """None before the first send; then the balance."""
    return () if untouched(progress) else missing(found, _by_id(entry))


def _by_id(entry: Entry) -> Lookup:
    return Lookup("balances", "balance_id", target_id(entry, "balance_id"))


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it; after an ambiguous answer compare the balance's identity."""
    send = send_to(target_id(entry, "balance_id"))
    if untouched(progress):
        return send
    shown = any(record.value("identity_id") == entry.payload["identity_id"] for record in found.matching(_by_id(entry)))
    return settled(shown=shown, done=_done(entry), again=send, progress=progress, policy=policy)


def _done(entry: Entry) -> Done:
    return Done("updated", target_id(entry, "balance_id"))


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``PUT /balances/<id>/identity``."""
    path = f"/balances/{quote(target_id(entry, 'balance_id'), safe='')}/identity"
    return Request("PUT", path, "link", {"identity_id": entry.payload["identity_id"]}, sync=True, alone=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; one code stands for an unknown balance and an unknown identity."""
    named = is_message(response)
    return judge_update(_done(entry), named=named, progress=progress, request=request, response=response, policy=policy)


ABOUT = About(
    builder=link_identity,
    confirmed="The `200` has the message of this route. After an ambiguous answer the balance shows the identity "
    "(contract §4).",
    ends=(),
    example=Example(
        {
            "balance_id": "bln_b8b14245-914f-475d-9e9d-7aa1eeb3df23",
            "identity_id": "idt_98fcd9f5-5708-4197-a44e-faae002e049f",
        },
        key="wallet-bob-owner",
    ),
)

KIND = Kind(
    name=NAME,
    method="PUT",
    path="/balances/:id/identity",
    summary="Link a balance to an identity.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
)
