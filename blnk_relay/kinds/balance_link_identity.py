"""The kind ``balance.link_identity``: say whose balance it is (contract §2.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema

from blnk_relay.families.kept import one_value
from blnk_relay.families.update import Update
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.found import Found
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
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
    return Intent(NAME, payload, order_key=UPDATE.order(payload))


def _shows(entry: Entry, found: Found) -> bool:
    wanted = entry.payload["identity_id"]
    return any(record.value("identity_id") == wanted for record in found.matching(UPDATE.lookup(entry)))


#: Of its errors, one code stands for an unknown balance and an unknown identity.
UPDATE = Update("balance_id", _shows)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``PUT /balances/<id>/identity``."""
    body = {"identity_id": entry.payload["identity_id"]}
    return Request("PUT", f"/balances/{UPDATE.quoted_id(entry)}/identity", "link", body, sync=True, alone=True)


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
    lookups=UPDATE.lookups,
    decide=UPDATE.decide,
    request=request,
    judge=UPDATE.judge,
    about=ABOUT,
    records=True,
    evidence=one_value(UPDATE, "identity_id"),
)
