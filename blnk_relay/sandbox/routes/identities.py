"""The routes of identities: create, update, link to a balance, read (contract §2.7 to §2.9)."""

from __future__ import annotations

from dataclasses import replace

from blnk_relay.sandbox.books.bodies import identity_body
from blnk_relay.sandbox.books.constraints import driver_error
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.routes.identity_fields import check_identity_id, is_empty, overwrite, read_identity, stored_dob

#: A duplicate id is a conflict inside Core, and 400 on its way out (contract §0.1 fact 15).
_CREATE_CODES = {"GEN_CONFLICT": "IDT_VALIDATION_ERROR", "GEN_BAD_REQUEST": "IDT_VALIDATION_ERROR"}

_IDENTITY_REQUIRED = (
    "Key: 'UpdateBalanceIdentity.IdentityId' Error:Field validation for 'IdentityId' failed on the 'required' tag"
)

#: What an unknown identity is called on its own routes.
IDENTITY_CODES = {"GEN_NOT_FOUND": "IDT_NOT_FOUND"}


def create_identity(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /identities; without an id of the caller's own, a repeat is another identity."""
    try:
        identity = read_identity(request.fields(), dob_dates=core.options.dob_dates)
        if identity.identity_id:
            check_identity_id(identity.identity_id)
        else:
            identity.identity_id = new_id("idt")
        identity.created_ns = core.clock.now_ns()
        core.books.add_identity(replace(identity, texts=dict(identity.texts), dob=stored_dob(identity.dob)))
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade=_CREATE_CODES)
    return json_answer(201, identity_body(identity))


def update_identity(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """PUT /identities/:id; what is empty is left alone, so that no field can be cleared."""
    try:
        changes = read_identity(request.fields(), dob_dates=core.options.dob_dates)
        if is_empty(changes):
            return error_answer("GEN_BAD_REQUEST", "No fields provided for update")
        identity = core.books.require_identity(request.params["id"])
        core.books.before_change(identity)
        overwrite(identity, changes)
    except LedgerError as error:
        return refusal(error.bare(), default="GEN_INTERNAL", upgrade=IDENTITY_CODES)
    return json_answer(200, {"message": "Identity updated successfully"})


def delete_identity(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """DELETE /identities/:id; one that owns a balance stays (contract §14.10)."""
    try:
        identity = core.books.require_identity(request.params["id"])
        if any(balance.identity_id == identity.identity_id for balance in core.books.balances.values()):
            failed = "Failed to delete identity"
            raise driver_error(failed, "23503", "it is referenced from balances", "balances_identity_id_fkey")
    except LedgerError as error:
        return refusal(error.bare(), default="GEN_INTERNAL", upgrade=IDENTITY_CODES)
    core.books.before_change(identity)
    del core.books.identities[identity.identity_id]
    return json_answer(200, {"message": "Identity deleted successfully"})


def link_identity(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """PUT /balances/:id/identity; one code for an unknown balance and an unknown identity (contract §2.9)."""
    try:
        identity_id = request.fields().text("identity_id")
        if not identity_id:
            return error_answer("GEN_MALFORMED_REQUEST", _IDENTITY_REQUIRED)
        core.books.require_identity(identity_id)
        balance = core.books.require_balance(request.params["id"])
        core.books.before_change(balance)
        balance.identity_id = identity_id
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade={"GEN_NOT_FOUND": "BAL_NOT_FOUND"})
    return json_answer(200, {"message": "Balance identity updated successfully"})
