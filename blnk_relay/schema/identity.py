"""Fields of an identity (contract §2.7). They hold personal data: no message quotes a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields

from blnk_relay.intents.progress import Policy
from blnk_relay.schema.base import Text
from blnk_relay.schema.meta_data import IdentityMetaData
from blnk_relay.schema.values import json_bytes

#: Longest text of one field, in characters; the ledger itself sets no limit.
MAX_TEXT = 1_000

#: UTF-8 bytes of the metadata. Identities have no limit of this kind at the ledger (contract §2.0); this one keeps
#: intents small.
MAX_META_BYTES = 60_000

#: The text columns.
TEXTS = (
    "first_name",
    "last_name",
    "other_names",
    "email_address",
    "phone_number",
    "nationality",
    "gender",
    "street",
    "city",
    "state",
    "post_code",
    "country",
    "organization_name",
    "category",
    "identity_type",
)

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLEARED = "Must not be blank: the ledger ignores an empty value, so a field can be changed but never cleared."


class IdentityText(Text):
    """A text of an identity; to the ledger an empty one is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=MAX_TEXT, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, str) and not value.strip():
            raise ValidationError(_CLEARED)
        text: str = super()._deserialize(value, attr, data, **kwargs)
        return text


class DateOfBirth(fields.Field[str]):
    """A day, as ``YYYY-MM-DD`` or as a ``datetime.date``; kept as text."""

    takes, limits = "day as `YYYY-MM-DD`", "after 0001-01-01"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, str):
            try:
                if not _DAY.fullmatch(value):
                    raise ValueError  # noqa: TRY301 - one message for both
                day = date.fromisoformat(value)
            except ValueError:
                raise ValidationError("Must be a day as YYYY-MM-DD, such as 1990-12-31.") from None
        elif isinstance(value, date) and not isinstance(value, datetime):
            day = value
        else:
            raise ValidationError("Must be a day: YYYY-MM-DD or a datetime.date.")
        if day == date.min:
            raise ValidationError("Must not be 0001-01-01, which the ledger takes for no day at all.")
        return day.isoformat()


class IdentityMeta(IdentityMetaData):
    """Metadata of an identity, bounded."""

    limits = f"at most {MAX_META_BYTES:,} bytes"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._deserialize(value, attr, data, **kwargs)
        if json_bytes(meta) > MAX_META_BYTES:
            raise ValidationError(f"Must not take more than {MAX_META_BYTES:,} bytes.")
        return meta


class IdentityFields(Schema):
    """What creating and updating share."""

    first_name = IdentityText()
    last_name = IdentityText()
    other_names = IdentityText()
    email_address = IdentityText()
    phone_number = IdentityText()
    nationality = IdentityText()
    gender = IdentityText()
    dob = DateOfBirth()
    street = IdentityText()
    city = IdentityText()
    state = IdentityText()
    post_code = IdentityText()
    country = IdentityText()
    organization_name = IdentityText()
    category = IdentityText()
    identity_type = IdentityText()


def columns(payload: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """The columns of a payload as they are sent; the ledger itself wants a date-time (contract §0.1 fact 16)."""
    sent = {name: payload[name] for name in TEXTS if name in payload}
    if "dob" in payload:
        sent["dob"] = f"{payload['dob']}T00:00:00Z" if policy.dob_format == "rfc3339" else payload["dob"]
    return sent


def shows_columns(payload: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Whether a stored identity has the columns of a payload."""
    texts = all(stored.get(name) == payload[name] for name in TEXTS if name in payload)
    return texts and ("dob" not in payload or str(stored.get("dob"))[:10] == payload["dob"])


#: The ledger's names of what can be tokenized, and the fields of an identity that they stand for.
TOKENIZABLE: Mapping[str, str] = {
    "FirstName": "first_name",
    "LastName": "last_name",
    "OtherNames": "other_names",
    "EmailAddress": "email_address",
    "PhoneNumber": "phone_number",
    "Street": "street",
    "PostCode": "post_code",
}
