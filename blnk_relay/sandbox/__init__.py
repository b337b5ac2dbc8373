"""A stand-in for Blnk Cloud and Blnk Core, over real HTTP on loopback, in memory.

For the demo, for this project's tests and for users' own: it imitates what the other side does with a
write, its traps and its failures included, and shows its books. It answers in two shapes: as Cloud
(``/proxy/…``, ``/data/…``, ``/…/filter``, ``/oauth/…``, with a bearer token) and as a bare Core (the same
routes without ``/proxy`` and Core's own reads, with ``X-Blnk-Key``). With ``upstream`` it is only Cloud's
edge, in front of a Core that runs somewhere; what that Core has no route to read, it cannot show either.

    from blnk_relay.sandbox import Options, Sandbox

    with Sandbox(Options(read_lag_s=0.2)) as sandbox:
        ...  # POST to sandbox.url + "/proxy/transactions?instance_id=inst_sandbox"
        assert sandbox.books().violations() == []

It needs the extra ``sandbox`` (aiohttp) only when it is started, and it imports nothing of the queue.
"""

from __future__ import annotations

from blnk_relay.sandbox.books.frozen import BookBalance, Books
from blnk_relay.sandbox.books.reconciliation import ExternalRecord, MatchingRule, Run, Upload
from blnk_relay.sandbox.books.rows import Effect, IdentityRecord, LedgerRecord, Row, Status
from blnk_relay.sandbox.edge.exchange import FAULT_HEADER, RequestSeen
from blnk_relay.sandbox.faults.kinds import DEFAULT_KINDS, KINDS, FaultKind
from blnk_relay.sandbox.faults.plans import Faults, Rule
from blnk_relay.sandbox.options import UPSTREAM_LIMITS, Options
from blnk_relay.sandbox.server import Sandbox, SandboxError, serve_forever

__all__ = [  # noqa: RUF022 - grouped by what they are for
    # running one
    "Options",
    "Sandbox",
    "SandboxError",
    "UPSTREAM_LIMITS",
    "serve_forever",
    # what goes wrong
    "DEFAULT_KINDS",
    "FAULT_HEADER",
    "FaultKind",
    "Faults",
    "KINDS",
    "Rule",
    # what happened
    "BookBalance",
    "Books",
    "Effect",
    "ExternalRecord",
    "IdentityRecord",
    "LedgerRecord",
    "MatchingRule",
    "RequestSeen",
    "Row",
    "Run",
    "Status",
    "Upload",
]
