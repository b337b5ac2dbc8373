"""Taking an intent back that was never sent, as a flow."""

from __future__ import annotations

import json

from blnk_relay.errors import TooLate
from blnk_relay.intents.states import State
from blnk_relay.journal.flows import Flow, Run
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import Status, find_flow, unknown
from blnk_relay.settings import Settings

#: Why an intent in a state cannot be cancelled any more.
_TOO_LATE = {
    State.SENDING: "is being sent",
    State.POSTED: "was sent, and the ledger may act on it",
    "sent": "may have been sent already",
    State.DEAD: "is a dead letter: replay or discard it",
}


def cancel_flow(
    settings: Settings, seal: Seal, target: str, key: str, *, line: str = "", action: str = ""
) -> Flow[tuple[Status, list[str]]]:
    """Cancel by key or id; see :meth:`blnk_relay.Relay.cancel`.

    Args:
        settings: Of the journal.
        seal: Shows what it hides.
        target: Whose journal it is.
        key: Key or id.
        line: For its log; that of a program when empty.
        action: What is noted among the actions of operators; nothing when empty.

    Returns:
        The status afterwards, and lanes to ring.
    """
    status = yield from find_flow(settings.prefix(target), seal, target, key)
    if not line:
        now_ms, _ = yield Run("now", ())
        line = json.dumps({"at": now_ms, "what": "cancelled"})
    state, bells = yield Run("cancel", (status.id, line, settings.events_max, action))
    if state == "":
        raise unknown(key, target)
    if state == "doubtful":
        raise TooLate(
            f"intent {status.id} may have been sent in the last moments that Redis has lost: it is looked up at the "
            "ledger when its turn comes, and cannot be cancelled before"
        )
    if state != State.CANCELLED:
        raise TooLate(f"intent {status.id} cannot be cancelled, because it {_TOO_LATE.get(state, f'is {state}')}")
    after = yield from find_flow(settings.prefix(target), seal, target, status.id)
    return after, bells
