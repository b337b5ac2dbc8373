"""The kind ``identity.create``: a person or an organization (contract §2.7).

Known by our tag in its ``meta_data`` and, where the settings say so, by an id of our own choice.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from marshmallow import ValidationError

from blnk_relay.families.creation import (
    MADE_TWICE,
    OTHERWISE,
    OTHERWISE_ADVICE,
    Creation,
    bears_our_tag,
    made_twice,
    tagged,
    unequal,
)
from blnk_relay.families.kept import made
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send, refused
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import link_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import look_again, missing
from blnk_relay.schema.identity import TEXTS, IdentityFields, IdentityMeta, columns
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import IdentityId

NAME = "identity.create"

#: What the ids that we choose are derived in; it never changes, or a repeat would not be recognised.
_NAMESPACE = uuid.UUID("6ba1d6a5-4f0e-5f0c-9c0e-5f1f7a2b9d11")

#: What the ledger answers to an id that it has already (contract §0.1 fact 15); it is never about the id's form here.
EXISTS = "IDT_VALIDATION_ERROR"


class OwnIdentityId(IdentityId):
    """An id that the caller chose himself; what another intent came to exists already."""

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """The validated text; never a link."""
        if link_of(value) is not None:
            raise ValidationError("Must be an id of your own, not a link: the result of another intent exists already.")
        return super().deserialize(value, attr, data, **kwargs)


class IdentitySchema(IdentityFields):
    """Fields of contract §2.7."""

    identity_id = OwnIdentityId()
    meta_data = IdentityMeta()


SCHEMA = IdentitySchema()


def create_identity(
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
    identity_id: str | None = None,
    meta_data: Mapping[str, Any] | None = None,
) -> Intent:
    """Make an identity (contract §2.7). All fields are optional; a text has at most 1,000 characters.

    Args:
        first_name: First name.
        last_name: Last name.
        other_names: Other names.
        email_address: Not checked, and not unique at the ledger.
        phone_number: Likewise.
        nationality: Such as ``US``.
        gender: Such as ``male``.
        dob: Date of birth, ``YYYY-MM-DD`` or a date; sent as the setting ``dob_format`` says.
        street: Of the address.
        city: Of the address.
        state: Of the address.
        post_code: Of the address.
        country: Of the address, such as ``US``.
        organization_name: If it is an organization.
        category: ``individual`` or ``organization``, for example.
        identity_type: ``customer`` or ``vendor``, for example.
        identity_id: An id of your own, ``idt_`` and a UUID; when None and the setting ``own_identity_ids`` is on, one
            is derived from the key.
        meta_data: A JSON object, without the keys that the ledger reserves; ours is added.

    Returns:
        The validated intent. It needs a key of yours, because nothing else about a person is unique.

    Raises:
        InvalidIntent: With the messages by field; they quote no value.

    Example:
        >>> create_identity(first_name="Mara", dob="1990-01-01").kind
        'identity.create'
    """
    given = {name: value for name, value in locals().items() if value is not None}
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload)


def own_id(entry: Entry) -> str:
    """The id that is asked for: the caller's, else one that follows from the intent and stays the same.

    Example:
        >>> own_id(Entry("a" * 26, NAME, "default", "a-lane", "mara", "", {}))[:4]
        'idt_'
    """
    given = entry.payload.get("identity_id")
    return str(given) if given else f"idt_{uuid.uuid5(_NAMESPACE, entry.id)}"


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """Before the first send the id that the caller chose; then our tag, and the id that was asked for."""
    if progress.untouched:
        return missing(found, _by_id(entry)) if _is_chosen(entry) else ()
    return missing(found, CREATION.by_tag(entry), _by_id(entry))


def _is_chosen(entry: Entry) -> bool:
    """Whether the caller chose the id himself, so that somebody else may have it."""
    return "identity_id" in entry.payload


def _by_id(entry: Entry) -> Lookup:
    return Lookup("identities", "identity_id", own_id(entry))


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it unless the ledger shows it."""
    by_id = found.matching(_by_id(entry))
    if progress.untouched:
        if not (by_id and _is_chosen(entry)):
            return Send()
        if bears_our_tag(entry, by_id[0].data):
            # Accepted once more, after a server that was set back had lost it.
            return Done("created", own_id(entry))
        return refused("IDENTITY_EXISTS", "The ledger has an identity of that id already, and not from this intent.")
    ours = {str(record.value("identity_id")) for record in found.matching(CREATION.by_tag(entry))}
    if by_id and not _is_chosen(entry):
        # An id that follows from this intent is ours, even where somebody has replaced its metadata since.
        ours.add(own_id(entry))
    if len(ours) == 1:
        return Done("created", ours.pop())
    if ours:
        return made_twice(ours)
    if by_id:
        return Dead(
            DeadClass.UNKNOWN,
            "IDENTITY_EXISTS",
            "The id belongs to an identity without our mark: it was there before, or its metadata was replaced since.",
        )
    if progress.sent and progress.quiet_for_s < policy.quiet_s:
        # A request that is still under way, or a read that lags: a repeat now could make a second one.
        return look_again(progress, policy)
    if progress.refuse and progress.code == EXISTS:
        return Dead(DeadClass.UNKNOWN, "NOT_SHOWN", "The ledger says that it has the id, and shows no such identity.")
    return refused(progress.code, progress.message) if progress.refuse else Send()


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /identities``, with our tag and perhaps our id."""
    body = {**columns(entry.payload, policy), "meta_data": tagged(entry)}
    if policy.own_identity_ids or _is_chosen(entry):
        body["identity_id"] = own_id(entry)
    return Request("POST", "/identities", "identity", body, sync=True)


def _is_ours(entry: Entry, shown: Mapping[str, Any]) -> bool:
    """Whether an answer is about this intent: by our tag, or by the id that follows from it."""
    return bears_our_tag(entry, shown) or shown.get("identity_id") == own_id(entry)


def _differs(payload: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Names only: the values are personal data."""
    names = unequal(payload, shown, (*TEXTS, "identity_id"))
    born = payload.get("dob")
    return names if born is None or str(shown.get("dob") or born)[:10] == born else [*names, "dob"]


CREATION = Creation(resource="identities", id_field="identity_id", prefix="idt_", is_ours=_is_ours, differs=_differs)

ABOUT = About(
    builder=create_identity,
    confirmed="The `201` names the `identity_id` and our id, and contradicts nothing that was sent. After an ambiguous "
    "answer exactly one identity has the id that we chose, or carries our id in its `meta_data` (contract §2.7, §4).",
    ends=(
        MADE_TWICE,
        OTHERWISE,
        End(
            DeadClass.UNKNOWN,
            "IDENTITY_EXISTS",
            "After an ambiguous answer an identity has the id that was asked for, and not our mark: it was there "
            "before, or somebody has replaced its metadata since (contract §2.7).",
        ),
        End(
            DeadClass.UNKNOWN,
            "NOT_SHOWN",
            "The ledger says that it has the id, and shows no such identity (contract §2.7).",
        ),
    ),
    example=Example(
        {
            "first_name": "Mara",
            "last_name": "Lindqvist",
            "email_address": "mara.lindqvist@example.org",
            "dob": "1990-01-01",
            "country": "SE",
            "category": "individual",
            "identity_type": "customer",
        },
        key="customer-7",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/identities",
    summary="Make an identity: a person or an organization.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=CREATION.judge,
    about=ABOUT,
    findable=True,
    tagged=True,
    private=True,
    hopeless=OTHERWISE_ADVICE,
    evidence=made(CREATION),
)
