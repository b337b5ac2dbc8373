"""A request, what came back for it, and what that means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from blnk_relay.intents.decision import Again, Dead, Done, Look


class GateAction(StrEnum):
    """What an answer means for everybody who writes to the same target."""

    PAUSE = "pause"  #: Nothing more until a probe, or a human, opens it again.
    SLOW = "slow"  #: It asked for less: wait, then begin again at half the pace.
    STRAIN = "strain"  #: A failure that one request may meet; many within a second count as SLOW.
    LOST = "lost"  #: It could not be reached; several on end stop everything but probes until it answers again.


@dataclass(frozen=True, slots=True)
class GateChange:
    """Stop or slow all writes to a target, or those of one lane.

    Attributes:
        action: How.
        code: Why, as a stable code.
        wait_s: Seconds until the next request may go out; 0: they grow with each complaint.
        note: More of why, for people.
        lane: Only the lane of the intent that met it: others may do what this one cannot.
    """

    action: GateAction
    code: str
    wait_s: float
    note: str = ""
    lane: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means.

    Attributes:
        decision: For the intent.
        acted: The request may have taken effect.
        accepted: It was answered with a 2xx.
        counted: The attempt counts towards the limit.
        gate: For the target, if anything.
    """

    decision: Done | Dead | Look | Again
    acted: bool
    accepted: bool = False
    counted: bool = True
    gate: GateChange | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, relative to a target.

    Attributes:
        route: Which rows of the verdict table apply: ``transaction``, ``inflight`` or ``refund``.
        body: JSON fields.
        sync: Skip mode: the ledger works inside the request, so the answer is final and takes longer.
        file: Name and bytes of a file to upload; the body then travels as form fields. A kind leaves the bytes empty:
            they are kept beside the intent, and filled in when it is sent.
        work_s: Seconds that the ledger may need beyond those of any request, because of how much there is in this one:
            cut off by us, it would stop in the middle (contract §14.4).
        alone: Its answer names nothing of what was asked, so it goes over a connection of its own, on which the answer
            to another request cannot come.
    """

    method: str
    path: str
    route: str
    body: Mapping[str, Any] = field(repr=False)
    sync: bool = False
    file: tuple[str, bytes] | None = field(default=None, repr=False)
    work_s: float = 0.0
    alone: bool = False


class Failure(StrEnum):
    """Why there is no usable answer."""

    NOT_SENT = "not_sent"  #: The request never left the machine.
    BROKEN = "broken"  #: It may have arrived.


#: Code of a request that was held back at the last moment, because its lease would not have seen it through.
LEASE_OVER = "LEASE_OVER"

#: Code of a read that shows several rows, each in order, under one reference: the ledger has done there what it never
#: should. Its message names them.
SEVERAL_ROWS = "SEVERAL_ROWS"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back for a request, or why nothing did (contract §1.4, §2.0).

    Attributes:
        status: HTTP status; 0 when there is none.
        code: ``error_detail.code``, or a code of ours for a failure; empty when there is none.
        message: The error text, capped.
        body: The JSON object of the body, or None.
        has_errors: The body carries ``errors``, which marks payload validation (contract §2.0).
        retry_after_s: Of the ``Retry-After`` header.
        failure: Set when there was no whole answer.
        latency_ms: From sending to the end of the answer.
    """

    status: int = 0
    code: str = ""
    message: str = field(default="", repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    has_errors: bool = False
    retry_after_s: float | None = None
    failure: Failure | None = None
    latency_ms: int = 0
