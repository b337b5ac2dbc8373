"""Tokenization of identities: which fields, in which order, and what a token looks like (contract §2.11).

A token is ``FPT:<look-alike>:<ciphertext>``. The cipher is a toy, good enough that no plain text is left
in the books; the key is the instance's and means nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from blnk_relay.sandbox.books.rows import IdentityRecord
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import Fields, WireRequest
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.routes.identities import IDENTITY_CODES

#: Go's names of the fields that can be tokenized, and their columns. Only the first letter is normalised.
TOKENIZABLE: Mapping[str, str] = {
    "FirstName": "first_name",
    "LastName": "last_name",
    "OtherNames": "other_names",
    "EmailAddress": "email_address",
    "PhoneNumber": "phone_number",
    "Street": "street",
    "PostCode": "post_code",
}

#: The metadata key that says which fields are tokenized.
MARK = "tokenized_fields"

_KEY = b"the sandbox keeps no secrets"
_NONCE = 12
_DIGITS, _LOWER = "0123456789", "abcdefghijklmnopqrstuvwxyz"


def tokenize_field(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /identities/:id/tokenize/:field."""
    try:
        _tokenize(core, request.params["id"], request.params["field"])
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade=IDENTITY_CODES)
    return json_answer(200, {"message": "Field tokenized successfully"})


def tokenize_fields(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /identities/:id/tokenize; stops at the first error and leaves the earlier fields done."""
    try:
        names = _names(request.fields())
        if not names:
            return error_answer("GEN_VALIDATION_ERROR", "at least one field must be specified")
        for name in names:
            _tokenize(core, request.params["id"], name)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade=IDENTITY_CODES)
    return json_answer(200, {"message": "Fields tokenized successfully"})


def tokenized_fields(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /identities/:id/tokenized-fields; a mark of a foreign shape is shown with all metadata."""
    try:
        identity = core.books.require_identity(request.params["id"])
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade=IDENTITY_CODES)
    body: dict[str, Any] = {"tokenized_fields": _tokenized(identity)}
    if MARK in (identity.meta or {}) and not isinstance((identity.meta or {})[MARK], dict):
        body["debug_info"] = {"has_metadata": True, "raw_metadata": identity.meta}
    return json_answer(200, body)


def detokenized_field(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /identities/:id/detokenize/:field."""
    name = request.params["field"]
    try:
        value = _in_the_clear(core.books.require_identity(request.params["id"]), name)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade=IDENTITY_CODES)
    return json_answer(200, {"field": name, "value": value})


def detokenized_fields(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /identities/:id/detokenize; no name stands for all that are tokenized."""
    try:
        names = _names(request.fields(), "DetokenizeRequest")
        identity = core.books.require_identity(request.params["id"])
        values = {name: _in_the_clear(identity, name) for name in names or _tokenized(identity)}
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade=IDENTITY_CODES)
    return json_answer(200, {"fields": values})


def _in_the_clear(identity: IdentityRecord, name: str) -> str:
    column = TOKENIZABLE.get(_go_name(name))
    if column is None or _go_name(name) not in _tokenized(identity):
        # The real one shows all of the identity's metadata here: personal data perhaps (contract §2.11).
        shown = json.dumps(identity.meta, separators=(",", ":"), sort_keys=True)
        raise LedgerError(f"field {name} is not tokenized. Metadata: {shown}", "IDT_FIELD_NOT_TOKENIZED")
    sealed = base64.b64decode(identity.texts[column].rpartition(":")[2])
    return _cipher(sealed[:_NONCE], sealed[_NONCE:]).decode()


def _names(fields: Fields, request: str = "TokenizeRequest") -> list[str]:
    if not fields.has("fields"):
        raise MalformedRequestError(
            f"Key: '{request}.Fields' Error:Field validation for 'Fields' failed on the 'required' tag"
        )
    names = fields.items("fields")
    if not all(isinstance(name, str) for name in names):
        raise MalformedRequestError("json: cannot unmarshal a value into field fields of type string")
    return names


def _go_name(name: str) -> str:
    return name[:1].upper() + name[1:]


def _tokenized(identity: IdentityRecord) -> list[str]:
    marks = (identity.meta or {}).get(MARK)
    return [name for name, marked in marks.items() if marked is True] if isinstance(marks, dict) else []


def _tokenize(core: Core, identity_id: str, name: str) -> None:
    column = TOKENIZABLE.get(_go_name(name))
    if column is None:
        raise LedgerError(f"field {name} is not tokenizable")
    identity = core.books.require_identity(identity_id)
    if _go_name(name) in _tokenized(identity):
        raise LedgerError(f"field {name} is already tokenized")
    if not core.options.tokenization:
        text = "tokenization is disabled: the instance has no tokenization secret of 32 bytes"
        raise LedgerError(text, "IDT_TOKENIZATION_DISABLED")
    core.books.before_change(identity)
    identity.texts[column] = _token(identity.texts[column])
    marks = dict.fromkeys(_tokenized(identity), True) | {_go_name(name): True}
    identity.meta = {**(identity.meta or {}), MARK: marks}


def _token(value: str) -> str:
    nonce = new_id("n").encode()[-_NONCE:]
    sealed = base64.b64encode(nonce + _cipher(nonce, value.encode())).decode()
    return f"FPT:{_look_alike(value)}:{sealed}"


def _cipher(nonce: bytes, text: bytes) -> bytes:
    stream = hashlib.shake_256(_KEY + nonce).digest(len(text))
    return bytes(left ^ right for left, right in zip(text, stream, strict=True))


def _look_alike(value: str) -> str:
    """Digits for digits, letters for letters, the rest as it is; the same for the same value."""
    seed = hashlib.shake_256(_KEY + value.encode()).digest(len(value))
    shown = []
    for char, noise in zip(value, seed, strict=True):
        if char.isdigit():
            shown.append(_DIGITS[noise % len(_DIGITS)])
        elif char.isalpha():
            letter = _LOWER[noise % len(_LOWER)]
            shown.append(letter.upper() if char.isupper() else letter)
        else:
            shown.append(char)
    return "".join(shown)
