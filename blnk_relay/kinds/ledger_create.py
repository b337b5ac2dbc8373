"""The kind ``ledger.create``: a ledger, which groups balances (contract §2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, post_load

from blnk_relay.families.creation import MADE_TWICE, OTHERWISE, OTHERWISE_ADVICE, Creation, tagged, unequal
from blnk_relay.families.kept import made
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.schema.base import MAX_ROW_BYTES, Text
from blnk_relay.schema.loading import load
from blnk_relay.schema.meta_data import MetaData, stored_bytes

NAME = "ledger.create"


class LedgerSchema(Schema):
    """Fields of contract §2.1."""

    name = Text(required=True, most=255)
    meta_data = MetaData()

    @post_load
    def _fits(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if stored_bytes(data["name"], meta_data=data.get("meta_data")) > MAX_ROW_BYTES:
            raise ValidationError(
                f"name and meta_data together must not take more than {MAX_ROW_BYTES:,} bytes.", "meta_data"
            )
        return data


SCHEMA = LedgerSchema()


def create_ledger(name: str, *, meta_data: Mapping[str, Any] | None = None) -> Intent:
    """Make a ledger (contract §2.1).

    Args:
        name: Its display name. The ledger does not keep names unique.
        meta_data: A JSON object, without the keys that the ledger reserves; ours is added.

    Returns:
        The validated intent. It needs a key of yours, because two ledgers may have one name.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> create_ledger("Wallets EUR").kind
        'ledger.create'
    """
    given: dict[str, Any] = {"name": name}
    if meta_data is not None:
        given["meta_data"] = meta_data
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /ledgers``, with our tag."""
    return Request("POST", "/ledgers", "ledger", {**entry.payload, "meta_data": tagged(entry)}, sync=True)


def _differs(payload: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    return unequal(payload, shown, ("name",))


CREATION = Creation(resource="ledgers", id_field="ledger_id", prefix="ldg_", differs=_differs)

ABOUT = About(
    builder=create_ledger,
    confirmed="The `201` names the new `ledger_id`, our id and the name. After an ambiguous answer exactly one ledger "
    "carries our id in its `meta_data` (contract §4).",
    ends=(MADE_TWICE, OTHERWISE),
    example=Example({"name": "Wallets EUR", "meta_data": {"team": "payments"}}, key="wallets-eur"),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/ledgers",
    summary="Make a ledger.",
    schema=SCHEMA,
    intent=intent,
    lookups=CREATION.lookups,
    decide=CREATION.decide,
    request=request,
    judge=CREATION.judge,
    about=ABOUT,
    findable=True,
    tagged=True,
    hopeless=OTHERWISE_ADVICE,
    evidence=made(CREATION),
)
