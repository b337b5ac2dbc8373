"""An identity between JSON and the books: its fields, its date of birth, its id (contract §2.7). Pure."""

from __future__ import annotations

import re

from blnk_relay.sandbox.books.rows import IDENTITY_TEXTS, IdentityRecord
from blnk_relay.sandbox.clock import ZERO_TIME, bad_time, parse_rfc3339
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.http.request import Fields

_PREFIX = "idt_"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_OFFSET = re.compile(r"(Z|[+-]\d\d:\d\d)$")


def read_identity(fields: Fields, *, dob_dates: bool) -> IdentityRecord:
    """An identity from a request body; nothing is required.

    Args:
        fields: The JSON object.
        dob_dates: Whether a bare date is accepted as date of birth.

    Raises:
        MalformedRequestError: A field has the wrong type, or ``dob`` is no date-time.
    """
    _moment(fields, "created_at")
    return IdentityRecord(
        identity_id=fields.text("identity_id"),
        texts={name: fields.text(name) for name in IDENTITY_TEXTS},
        dob=_date_of_birth(fields, dob_dates=dob_dates),
        meta=fields.mapping("meta_data"),
    )


def check_identity_id(identity_id: str) -> None:
    """Refuse an id of the caller's own that Core could not have made.

    Raises:
        LedgerError: ``GEN_BAD_REQUEST``, which the route answers as ``IDT_VALIDATION_ERROR``.
    """
    if not identity_id.startswith(_PREFIX):
        raise LedgerError("identity_id must start with the 'idt_' prefix", "GEN_BAD_REQUEST")
    if _UUID.fullmatch(identity_id.removeprefix(_PREFIX)) is None:
        raise LedgerError("identity_id suffix after 'idt_' must be a valid UUID", "GEN_BAD_REQUEST", {})


def overwrite(identity: IdentityRecord, changes: IdentityRecord) -> None:
    """Write what is not empty over an identity; metadata is replaced as a whole (contract §2.8)."""
    texts = {name: value for name, value in changes.texts.items() if value}
    identity.texts.update(texts)
    if changes.dob != ZERO_TIME:
        identity.dob = stored_dob(changes.dob)
    if changes.meta is not None:
        identity.meta = changes.meta


def is_empty(changes: IdentityRecord) -> bool:
    """Whether an update would write nothing."""
    return not any(changes.texts.values()) and changes.dob == ZERO_TIME and changes.meta is None


def stored_dob(sent: str) -> str:
    """What the column keeps of a date of birth: the day and time as written, without the offset.

    >>> stored_dob("1990-01-01T00:00:00+02:00")
    '1990-01-01T00:00:00Z'
    """
    return _OFFSET.sub("Z", sent)


def _date_of_birth(fields: Fields, *, dob_dates: bool) -> str:
    text = fields.text("dob") if fields.has("dob") else ZERO_TIME
    if dob_dates and _DATE.fullmatch(text):
        text += "T00:00:00Z"
    if text != ZERO_TIME:
        _moment(fields, "dob", text)
    return text


def _moment(fields: Fields, name: str, text: str | None = None) -> None:
    if not fields.has(name):
        return
    text = fields.text(name) if text is None else text
    try:
        if text != ZERO_TIME:
            parse_rfc3339(text)
    except ValueError as error:
        raise MalformedRequestError(bad_time(text)) from error
