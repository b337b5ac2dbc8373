"""The kind ``identity.tokenize``: put tokens in the place of an identity's personal data (contract §2.11).

A repeat of several fields would stop at the first that is done already, so what is tokenized is read before every
send, and only the rest is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from marshmallow import Schema, ValidationError, fields

from blnk_relay.families.kept import Values
from blnk_relay.families.update import Update
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Send
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.schema.identity import TOKENIZABLE
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import IdentityId

NAME = "identity.tokenize"

#: The ledger tokenizes field by field, and stops at one that has a token.
_DONE_ALREADY = "IDT_FIELD_ALREADY_TOKENIZED"

_LEDGER_NAMES = {column: name for name, column in TOKENIZABLE.items()}


class TokenFields(fields.Field[list[str]]):
    """Names of fields, as an identity has them or as the ledger calls them here; kept in the ledger's spelling."""

    takes, limits = "list of names", "at least one"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValidationError("Must be a list of names.")
        names = []
        for name in value:
            known = _LEDGER_NAMES.get(name, name) if isinstance(name, str) else None
            if known not in TOKENIZABLE:
                raise ValidationError(
                    f"Must be of {', '.join(TOKENIZABLE.values())}: the ledger does not tokenize other fields."
                )
            names.append(known)
        if not names:
            raise ValidationError("Must name at least one field.")
        # In one order, so that the same fields are the same intent.
        return [name for name in TOKENIZABLE if name in names]


class TokenizeSchema(Schema):
    """Fields of contract §2.11."""

    identity_id = IdentityId(required=True)
    fields_ = TokenFields(required=True, data_key="fields", attribute="fields")


SCHEMA = TokenizeSchema()


def tokenize_identity(identity_id: str | ResultOf, fields: Sequence[str]) -> Intent:
    """Tokenize fields of an identity (contract §2.11). What is tokenized already stays as it is.

    Args:
        identity_id: ``idt_…``, or a link to an identity (``result_of``).
        fields: Of ``first_name``, ``last_name``, ``other_names``, ``email_address``, ``phone_number``, ``street`` and
            ``post_code``, or their names at the ledger, such as ``FirstName``.

    Returns:
        The validated intent. It needs a key of yours. Writes to one identity are sent in accept order.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> tokenize_identity("idt_98fcd9f5-5708-4197-a44e-faae002e049f", ["email_address"]).payload["fields"]
        ['EmailAddress']
    """
    return intent(load(NAME, SCHEMA, {"identity_id": identity_id, "fields": fields}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, order_key=UPDATE.order(payload))


def _remaining(entry: Entry, found: Found) -> list[str]:
    """Fields without a token; all of them where the identity is not known."""
    shown = [record.value("tokenized_fields") for record in found.matching(UPDATE.lookup(entry))]
    done = [name for names in shown if isinstance(names, list) for name in names]
    return [name for name in entry.payload["fields"] if name not in done]


#: What is tokenized already is read before every send; that read is the ledger's own and does not lag.
UPDATE = Update(
    "identity_id",
    lambda entry, found: not _remaining(entry, found),
    outcome="tokenized",
    resource="tokenized-fields",
    reads_first=lambda _: True,
    lags=False,
)


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send what is not tokenized yet; what is refused in the end may have come about in part."""
    decision, remaining = UPDATE.decide(entry, progress, found, policy), _remaining(entry, found)
    if isinstance(decision, Send):
        return replace(decision, memo={**(decision.memo or {}), "fields": remaining})
    done = [name for name in entry.payload["fields"] if name not in remaining]
    if isinstance(decision, Dead) and decision.dead_class is DeadClass.REFUSED and progress.sent and done:
        text = f"Tokenized: {', '.join(done)}. Not: {', '.join(remaining)}. The rest was refused: {decision.code}."
        return Dead(DeadClass.PARTIAL, "TOKENIZED_IN_PART", text)
    return decision


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /identities/<id>/tokenize``, or ``…/tokenize/<field>`` for one."""
    path = f"/identities/{UPDATE.quoted_id(entry)}/tokenize"
    names = list(progress.memo["fields"])
    if len(names) == 1:
        # An object rather than no body: what Cloud does with an empty one is not known (contract §12).
        return Request("POST", f"{path}/{quote(names[0], safe='')}", "tokenize", {}, sync=True, alone=True)
    return Request("POST", path, "tokenize", {"fields": names}, sync=True, alone=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """As of all writes of values; but of several fields some may be done before one that is done already."""
    verdict = UPDATE.judge(entry, progress, request, response, policy)
    several = len(progress.memo["fields"]) > 1
    return replace(verdict, acted=True) if several and response.code == _DONE_ALREADY else verdict


def _mark(name: str) -> str:
    """Where it is noted that a field has a token: in metadata, which may be replaced as a whole (contract §2.8)."""
    return f"meta_data.tokenized_fields.{name}"


def _marks(payload: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_mark(name) for name in payload["fields"])


def _only(payload: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    return {**payload, "fields": [name for name in payload["fields"] if _mark(name) in names]}


def _covers(payload: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(TOKENIZABLE[name] for name in payload["fields"])


#: What an audit looks for.
VALUES = Values(UPDATE, _marks, _only, covers=_covers)

ABOUT = About(
    builder=tokenize_identity,
    confirmed="The `200` has the message of this route. After an ambiguous answer the ledger lists every field as "
    "tokenized; that read is the ledger's own and does not lag (contract §2.11, §4).",
    ends=(
        End(
            DeadClass.PARTIAL,
            "TOKENIZED_IN_PART",
            "Some fields are tokenized, and the ledger refuses the rest: it tokenizes one after the other, and keeps "
            "those before one that fails (contract §2.11).",
        ),
    ),
    example=Example(
        {"identity_id": "idt_98fcd9f5-5708-4197-a44e-faae002e049f", "fields": ["email_address", "phone_number"]},
        key="customer-7-tokens",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/identities/:id/tokenize",
    also=("/identities/:id/tokenize/:field",),
    summary="Put tokens in the place of an identity's personal data.",
    schema=SCHEMA,
    intent=intent,
    lookups=UPDATE.lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
    private=True,
    resumable=frozenset({"TOKENIZED_IN_PART"}),
    evidence=VALUES.evidence(),
)
