"""The kind ``identity.update``: change fields of an identity (contract §2.8, §3.11).

The ledger writes only what is not empty, so nothing can be cleared; and it replaces metadata as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NoReturn

from marshmallow import ValidationError, fields, validates_schema

from blnk_relay.families.kept import Values, keeps_metadata, only_meta
from blnk_relay.families.update import Update
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Send
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.found import Found, Record
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.schema.identity import TEXTS, TOKENIZABLE, IdentityFields, IdentityMeta, columns, shows_columns
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import IdentityId
from blnk_relay.schema.values import same, shows

NAME = "identity.update"


class NoMetaData(fields.Field[Any]):
    """Always refused: here metadata would be replaced, not merged."""

    takes, limits = "nothing", "always refused"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> NoReturn:
        raise ValidationError(
            "Must not be given: it would replace all metadata of the identity, its tokenized_fields included. Use "
            "update_metadata to merge, or replace_meta_data if that is what you want."
        )


class IdentityUpdateSchema(IdentityFields):
    """Fields of contract §2.8."""

    identity_id = IdentityId(required=True)
    meta_data = NoMetaData()
    replace_meta_data = IdentityMeta()

    @validates_schema(skip_on_field_errors=True)
    def _effective(self, data: dict[str, Any], **_: Any) -> None:
        if len(data) == 1:
            raise ValidationError("Must change at least one field besides naming the identity.")


SCHEMA = IdentityUpdateSchema()


def update_identity(
    identity_id: str | ResultOf,
    *,
    first_name: str | None = None,
    last_name: str | None = None,
    other_names: str | None = None,
    email_address: str | None = None,
    phone_number: str | None = None,
    nationality: str | None = None,
    gender: str | None = None,
    dob: str | date | None = None,
    street: str | None = None,
    city: str | None = None,
    state: str | None = None,
    post_code: str | None = None,
    country: str | None = None,
    organization_name: str | None = None,
    category: str | None = None,
    identity_type: str | None = None,
    meta_data: Mapping[str, Any] | None = None,
    replace_meta_data: Mapping[str, Any] | None = None,
) -> Intent:
    """Change fields of an identity (contract §2.8); those left out stay as they are.

    An empty text is refused: the ledger would ignore it, so a field can never be cleared. A field that is tokenized is
    refused too, once that is known: plain text over a token could never be read back.

    Args:
        identity_id: ``idt_…``, or a link to an identity (``result_of``).
        first_name: First name; this and the rest as in :func:`create_identity`.
        last_name: Last name.
        other_names: Other names.
        email_address: Not checked.
        phone_number: Not checked.
        nationality: Such as ``US``.
        gender: Such as ``male``.
        dob: Date of birth, ``YYYY-MM-DD`` or a date.
        street: Of the address.
        city: Of the address.
        state: Of the address.
        post_code: Of the address.
        country: Of the address.
        organization_name: If it is an organization.
        category: Such as ``individual``.
        identity_type: Such as ``customer``.
        meta_data: Refused, because it would be replaced and not merged: use :func:`update_metadata`.
        replace_meta_data: Takes the place of **all** metadata: our tag is lost, and values that are tokenized can no
            longer be read back. To merge, use :func:`update_metadata`.

    Returns:
        The validated intent. It needs a key of yours. Writes to one identity are sent in accept order.

    Raises:
        InvalidIntent: With the messages by field; they quote no value.

    Example:
        >>> update_identity("idt_98fcd9f5-5708-4197-a44e-faae002e049f", city="Malmo").order_key
        'identity:idt_98fcd9f5-5708-4197-a44e-faae002e049f'
    """
    given = {name: value for name, value in locals().items() if value is not None}
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, order_key=UPDATE.order(payload))


def _at_risk(entry: Entry) -> list[str]:
    """Columns of the payload that can be tokenized."""
    return [column for column in TOKENIZABLE.values() if column in entry.payload]


def _is_at_risk(entry: Entry) -> bool:
    return bool(_at_risk(entry))


def _identity(entry: Entry, found: Found) -> Record | None:
    return next(iter(found.matching(UPDATE.lookup(entry))), None)


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it, unless a field is tokenized; afterwards compare what the ledger shows."""
    decision = UPDATE.decide(entry, progress, found, policy)
    if isinstance(decision, Send) and (names := _tokenized(entry, found)):
        # Behind a token nobody can see whether an earlier request was applied.
        return Dead(
            DeadClass.UNKNOWN if progress.sent else DeadClass.REFUSED,
            "FIELD_TOKENIZED",
            f"Tokenized: {', '.join(names)}. Plain text over a token could never be read back.",
        )
    return decision


def _tokenized(entry: Entry, found: Found) -> list[str]:
    """Columns of the payload that hold a token now."""
    identity = _identity(entry, found)
    marks = identity.value("meta_data.tokenized_fields") if identity is not None else None
    go_names = marks if isinstance(marks, Mapping | list) else ()
    columns_ = {TOKENIZABLE[name] for name in go_names if isinstance(name, str) and name in TOKENIZABLE}
    return [column for column in _at_risk(entry) if column in columns_]


def _shows(entry: Entry, found: Found) -> bool:
    identity, payload = _identity(entry, found), entry.payload
    if identity is None:
        return False
    if "replace_meta_data" in payload and not same(payload["replace_meta_data"], identity.value("meta_data") or {}):
        return False
    return shows_columns(payload, identity.data)


#: The identity is read before sending where a field might be tokenized.
UPDATE = Update("identity_id", _shows, reads_first=_is_at_risk)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``PUT /identities/<id>``."""
    body = columns(entry.payload, policy)
    if "replace_meta_data" in entry.payload:
        body["meta_data"] = entry.payload["replace_meta_data"]
    return Request("PUT", f"/identities/{UPDATE.quoted_id(entry)}", NAME, body, sync=True, alone=True)


def _fields(payload: Mapping[str, Any]) -> tuple[str, ...]:
    return (*(name for name in (*TEXTS, "dob") if name in payload), *keeps_metadata(payload))


def _only(payload: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    kept = {name: value for name, value in payload.items() if name == "identity_id" or name in names}
    meta = only_meta(payload.get("replace_meta_data") or {}, names)
    return {**kept, "replace_meta_data": meta} if meta else kept


def _still_shows(entry: Entry, found: Found) -> bool:
    """Like what is asked after a request, but for keys of metadata that were merged into it since."""
    identity, payload = _identity(entry, found), entry.payload
    if identity is None:
        return False
    return shows_columns(payload, identity.data) and shows(
        payload.get("replace_meta_data") or {}, identity.value("meta_data") or {}
    )


#: What an audit looks for.
VALUES = Values(UPDATE, _fields, _only, _still_shows)

ABOUT = About(
    builder=update_identity,
    confirmed="The `200` has the message of this route. After an ambiguous answer the identity shows every field that "
    "was sent (contract §4).",
    ends=(
        End(
            DeadClass.UNKNOWN,
            "FIELD_TOKENIZED",
            "A field was tokenized after a request that may have changed it: behind a token nobody can compare "
            "(contract §2.8, §2.11).",
        ),
    ),
    example=Example(
        {"identity_id": "idt_98fcd9f5-5708-4197-a44e-faae002e049f", "city": "Malmo", "post_code": "21119"},
        key="customer-7-moved",
    ),
)

KIND = Kind(
    name=NAME,
    method="PUT",
    path="/identities/:id",
    summary="Change fields of an identity.",
    schema=SCHEMA,
    intent=intent,
    lookups=UPDATE.lookups,
    decide=decide,
    request=request,
    judge=UPDATE.judge,
    about=ABOUT,
    records=True,
    private=True,
    evidence=VALUES.evidence(),
)
