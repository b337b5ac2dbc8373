"""Monitors of balances, and hooks: kept and shown, never called. Nothing of ours asks for them; clients of Core may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blnk_relay.sandbox.books.constraints import driver_error
from blnk_relay.sandbox.clock import ZERO_TIME, rfc3339
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.http.answers import STATUS_OF, Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import Fields
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.money import json_number

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects
    from blnk_relay.sandbox.http.request import WireRequest

#: What a monitor may look at.
_WATCHED = frozenset(
    (
        *("balance", "credit_balance", "debit_balance"),
        *("inflight_balance", "inflight_credit_balance", "inflight_debit_balance"),
    )
)

_HOOK_TYPES = frozenset({"PRE_TRANSACTION", "POST_TRANSACTION"})

#: Monitors, and hooks, of one sandbox at most.
_MOST = 10_000


def create_monitor(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /balance-monitors."""
    try:
        fields = request.fields()
        condition = _condition(fields)
        problems = {} if fields.text("balance_id") else {"balance_id": "cannot be blank"}
        wrong = _condition_problems(condition)
        if wrong:
            problems["condition"] = f"({_sentence(wrong)})"
        if problems:
            return error_answer("GEN_VALIDATION_ERROR", _sentence(problems), legacy_key="errors")
        _check_stored("Database error occurred", condition, room=len(core.monitors) < _MOST)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL")
    monitor_id = new_id("mon")
    core.monitors[monitor_id] = {
        "monitor_id": monitor_id,
        "balance_id": fields.text("balance_id"),
        "created_at": rfc3339(core.clock.now_ns()),
        "condition": condition,
    }
    return json_answer(201, core.monitors[monitor_id])


def update_monitor(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """PUT /balance-monitors/:id, a full replacement that is not validated."""
    try:
        fields = request.fields()
        condition = _condition(fields)
        _check_stored("Failed to update monitor", condition)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL")
    monitor = core.monitors.get(request.params["id"])
    if monitor is None:
        return _no_monitor(request.params["id"])
    # Measured: what was worked out of the first value stays.
    condition["precise_value"] = monitor["condition"]["precise_value"]
    monitor |= {"balance_id": fields.text("balance_id"), "condition": condition}
    if fields.text("description"):
        monitor["description"] = fields.text("description")
    return json_answer(200, {"message": "BalanceMonitor updated successfully"})


def read_monitor(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balance-monitors/:id."""
    monitor = core.monitors.get(request.params["id"])
    return _no_monitor(request.params["id"], {}) if monitor is None else json_answer(200, monitor)


def list_monitors(core: Core, _request: WireRequest, _effects: Effects) -> Answer:
    """GET /balance-monitors; none is null."""
    return json_answer(200, list(core.monitors.values()) or None)


def monitors_of(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balance-monitors/balances/:id; none is null."""
    found = [one for one in core.monitors.values() if one["balance_id"] == request.params["id"]]
    return json_answer(200, found or None)


def delete_monitor(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """DELETE /balance-monitors/:id."""
    if core.monitors.pop(request.params["id"], None) is None:
        return _no_monitor(request.params["id"], {})
    return json_answer(200, {"message": "BalanceMonitor deleted successfully"})


def _no_monitor(monitor_id: str, details: Any = None) -> Answer:
    return error_answer("BAL_MONITOR_NOT_FOUND", f"Monitor with ID '{monitor_id}' not found", details)


def _condition(fields: Fields) -> dict[str, Any]:
    given = Fields(fields.mapping("condition") or {})
    value, precision = given.number("value"), given.number("precision")
    return {
        "value": json_number(value),
        "precision": json_number(precision),
        "precise_value": int(value * precision),
        "field": given.text("field"),
        "operator": given.text("operator"),
    }


def _condition_problems(condition: dict[str, Any]) -> dict[str, str]:
    problems = {name: "cannot be blank" for name in ("field", "operator", "precision", "value") if not condition[name]}
    if condition["field"] and condition["field"] not in _WATCHED:
        problems["field"] = "must be a valid value"
    return problems


def _check_stored(failed: str, condition: dict[str, Any], *, room: bool = True) -> None:
    if not isinstance(condition["value"], int):
        raise driver_error(failed, "22P02", f'invalid input syntax for type bigint: "{condition["value"]}"')
    if not room:
        raise driver_error(failed, "53100", f"the sandbox holds at most {_MOST} monitors")


def _sentence(problems: dict[str, str]) -> str:
    return "; ".join(f"{name}: {problems[name]}" for name in sorted(problems)) + "."


def create_hook(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /hooks."""
    hook = _read_hook(request)
    if hook is None or len(core.hooks) >= _MOST:
        return _hook_refused("INVALID_INPUT", "HOOK_OPERATION_FAILED", "failed to register hook")
    hook = {"id": new_id("hook"), **hook, "created_at": rfc3339(core.clock.now_ns())}
    core.hooks[hook["id"]] = {**hook, "last_run": ZERO_TIME, "last_success": False}
    return json_answer(201, core.hooks[hook["id"]])


def update_hook(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """PUT /hooks/:id."""
    known, hook = core.hooks.get(request.params["id"]), _read_hook(request)
    if known is None or hook is None:
        code = "HOOK_NOT_FOUND" if known is None else "HOOK_OPERATION_FAILED"
        return _hook_refused("INVALID_INPUT", code, "failed to update hook")
    known |= hook
    return json_answer(200, known)


def read_hook(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /hooks/:id."""
    hook = core.hooks.get(request.params["id"])
    return _hook_refused("NOT_FOUND", "HOOK_NOT_FOUND", "hook not found") if hook is None else json_answer(200, hook)


def list_hooks(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /hooks, all of them or those of a type; before 0.15.3 none without a type."""
    wanted = request.query.get("type", "")
    every = not wanted and core.options.since("0.15.3")
    return json_answer(200, [hook for hook in core.hooks.values() if every or hook["type"] == wanted])


def delete_hook(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """DELETE /hooks/:id."""
    if core.hooks.pop(request.params["id"], None) is None:
        return _hook_refused("INVALID_INPUT", "HOOK_NOT_FOUND", "failed to delete hook")
    return json_answer(200, {"message": "hook deleted successfully"})


def _read_hook(request: WireRequest) -> dict[str, Any] | None:
    """A hook from a body; None where it is not one."""
    try:
        fields = request.fields()
        hook = {
            **{name: fields.text(name) for name in ("name", "url", "type")},
            "active": fields.flag("active"),
            "timeout": fields.integer("timeout") or 0,
            "retry_count": fields.integer("retry_count") or 0,
        }
    except LedgerError:
        return None
    return hook if hook["url"] and hook["type"] in _HOOK_TYPES else None


def _hook_refused(legacy: str, code: str, message: str) -> Answer:
    """These routes still say everything twice, in a shape of their own."""
    body = {"code": legacy, "message": message, "details": {}}
    return json_answer(STATUS_OF[code], {**body, "error_detail": {**body, "code": code}})
