"""Taking an intent back that was never sent, as a flow."""

from __future__ import annotations

import json

from blnk_relay.errors import TooLate
from blnk_relay.intents.states import State
from blnk_relay.journal.flows import Flow, Run
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import Status, find_flow, status_flow, unknown
from blnk_relay.settings import Settings

#: Why an intent in a state cannot be cancelled any more.
_TOO_LATE = {
    State.SENDING: "is being sent",
    State.POSTED: "was sent, and the ledger may act on it",
    "sent": "may have been sent already",
    State.DEAD: "is a dead letter: replay or discard it",
}


def cancel_flow(settings: Settings, seal: Seal, target: str, key: str) -> Flow[tuple[Status, list[str]]]:
    """Cancel by key or id; see :meth:`blnk_relay.Relay.cancel`, and :func:`cancel_one_flow`."""
    status = yield from find_flow(settings.prefix(target), seal, target, key)
    return (yield from cancel_one_flow(settings, seal, target, status.id))


def cancel_one_flow(
    settings: Settings, seal: Seal, target: str, id_: str, *, line: str = "", action: str = ""
) -> Flow[tuple[Status, list[str]]]:
    """Cancel the intent with an id, whatever key looks like it.

    Args:
        settings: Of the journal.
        seal: Shows what it hides.
        target: Whose journal it is.
        id_: Of which intent.
        line: For its log; that of a program when empty.
        action: What is noted among the actions of operators; nothing when empty.

    Returns:
        The status afterwards, and lanes to ring.
    """
    if not line:
        now_ms, _ = yield Run("now", ())
        line = json.dumps({"at": now_ms, "what": "cancelled"})
    state, bells = yield Run("cancel", (id_, line, settings.events_max, action))
    if state == "":
        raise unknown(id_, target)
    if state == "doubtful":
        raise TooLate(
            f"intent {id_} may have been sent in the last moments that Redis has lost: it is looked up at the "
            "ledger when its turn comes, and cannot be cancelled before"
        )
    if state != State.CANCELLED:
        raise TooLate(f"intent {id_} cannot be cancelled, because it {_TOO_LATE.get(state, f'is {state}')}")
    after = yield from status_flow(settings.prefix(target), seal, target, id_)
    if after is None:
        raise unknown(id_, target)
    return after, bells
