"""Why an intent became a dead letter: one list for all kinds."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class DeadClass(StrEnum):
    """Why a human has to look."""

    REFUSED = "refused"  #: Known not to have happened.
    REJECTED = "rejected"  #: The ledger recorded a refusal; the reference is used up.
    UNKNOWN = "unknown"  #: Must not be sent again by a machine.
    PARTIAL = "partial"  #: A part of it happened, or not as it was asked for.
    INVALID = "invalid"  #: It came by name and does not validate; it was never an intent.


#: The same as a type; empty for what is not dead. See :data:`blnk_relay.intents.states.StateName`.
DeadClassName = Literal["", "refused", "rejected", "unknown", "partial", "invalid"]
