"""What each answer of the ledger means, as a table: the rules of contract §5, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from blnk_relay.intents.exchange import LEASE_OVER, GateAction, Request, Response


class Meaning(StrEnum):
    """The verdicts of contract §5."""

    DONE = "done"  #: Finished, and the body says how.
    POSTED = "posted"  #: Handed over; the ledger has to show the outcome.
    VERIFY = "verify"  #: May have happened; look, and send again if it did not.
    VERIFY_NEVER = "verify_never"  #: May have happened; look, and refuse if it did not.
    SOON = "soon"  #: Did not happen; again within seconds.
    BACKOFF = "backoff"  #: Did not happen; again, later and later.
    NEVER = "never"  #: Did not happen and never will.


ACTING = frozenset({Meaning.DONE, Meaning.POSTED, Meaning.VERIFY})

ANY = "*"
#: Routes that move money.
MONEY = frozenset({"transaction", "split", "inflight", "inflight.bulk", "refund", "bulk"})
#: Routes that make a record of which each repeat makes another (contract §4); "create" is one without rows of its own.
CREATE = frozenset({"create", "ledger", "balance", "identity", "rule"})
#: Routes that write values, where a repeat writes the same ones; "update" is one without rows of its own.
UPDATE = frozenset({"update", "identity.update", "link", "metadata", "tokenize", "rule.update", "rule.delete"})
#: Reconciliation runs and uploads.
RECONCILIATION = frozenset({"upload", "start"})
#: Every route, those of kinds to come included.
ALL = frozenset({ANY})
BALANCE = frozenset({"balance"})
IDENTITY = frozenset({"identity"})
BULK = frozenset({"bulk"})
TRANSACTION = frozenset({"transaction"})
SPLIT = frozenset({"split"})
#: Routes of several movements in one request: a failure may have come after some of them (contract §2.4, §3.6).
SEVERAL = BULK | SPLIT | frozenset({"inflight.bulk"})
INFLIGHT = frozenset({"inflight"})
#: Many of them at once; an optional capability, which Cloud may not forward (contract §2.13).
INFLIGHT_BULK = frozenset({"inflight.bulk"})
REFUND = frozenset({"refund"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        status: HTTP status; 0 for no answer; None for any.
        code: ``error_detail.code``; ``""`` for none; ``*`` for any.
        routes: Routes it applies to.
        meaning: What to do.
        tries: With BACKOFF, SOON and VERIFY: counted attempts after which it is refused.
        sync: Only skip mode (True), only queue mode (False), or both (None).
        errors: Only with (True) or without (False) the field ``errors`` in the body (contract §2.0).
        text: The message must contain one of these.
        gate: What it means for the whole target.
        counted: Whether the attempt counts.
        acted: Whether the request may have taken effect; None: follows from the meaning.
        wait_s: Pause for the whole target where the answer names none; 0: it grows with each complaint.
        lane: The gate is that of the lane, not of the whole target.
        why: The reason, for people.
    """

    status: int | None
    code: str
    routes: frozenset[str]
    meaning: Meaning
    why: str
    tries: int | None = None
    sync: bool | None = None
    errors: bool | None = None
    text: tuple[str, ...] = ()
    gate: GateAction | None = None
    counted: bool = True
    acted: bool | None = None
    wait_s: float = 0.0
    lane: bool = False

    @property
    def may_have_acted(self) -> bool:
        """Whether the request may have taken effect."""
        return self.meaning in ACTING if self.acted is None else self.acted

    def fits(self, request: Request, response: Response) -> bool:
        """Whether this row is about that answer."""
        return (
            (self.status is None or self.status == response.status)
            and self.code in (ANY, response.code)
            and (request.route in self.routes or ANY in self.routes)
            and (self.sync is None or self.sync == request.sync)
            and (self.errors is None or self.errors == response.has_errors)
            and (not self.text or any(part in response.message for part in self.text))
        )


#: Tries of what the contract does not know: it may be passing, and only what stays is a human's.
UNKNOWN_TRIES = 5

_M = Meaning
_PAUSE = GateAction.PAUSE
_SLOW = GateAction.SLOW
_STRAIN = GateAction.STRAIN

TABLE: tuple[Rule, ...] = (
    # Success.
    Rule(200, ANY, INFLIGHT, _M.DONE, "the child is in the answer", sync=True),
    Rule(200, ANY, INFLIGHT, _M.POSTED, "queued", sync=False),
    Rule(200, ANY, INFLIGHT_BULK, _M.POSTED, "each item has an answer of its own"),
    Rule(201, ANY, TRANSACTION | SPLIT, _M.DONE, "applied inside the request", sync=True),
    Rule(201, ANY, MONEY, _M.POSTED, "handed over, nothing stored yet (contract §3.1)"),
    Rule(202, ANY, MONEY, _M.POSTED, "handed over"),
    Rule(201, ANY, CREATE, _M.DONE, "made"),
    Rule(200, ANY, UPDATE | RECONCILIATION, _M.DONE, "finished"),
    # 400: not always "nothing happened" (contract §0.1 fact 18).
    Rule(400, "GEN_MALFORMED_REQUEST", ALL, _M.NEVER, "our JSON is wrong or too big"),
    Rule(400, "GEN_VALIDATION_ERROR", ALL, _M.NEVER, "our payload"),
    Rule(400, "GEN_MISSING_PARAMETER", ALL, _M.NEVER, "our payload"),
    Rule(400, "TXN_VALIDATION_ERROR", ALL, _M.NEVER, "our payload", errors=True),
    Rule(
        400,
        "TXN_VALIDATION_ERROR",
        SEVERAL,
        _M.VERIFY_NEVER,
        "a refusal that no repeat can change; earlier ones were recorded",
        errors=False,
        text=("overdraft limit", "failed to split", "must be positive"),
        acted=True,
    ),
    Rule(
        400,
        "TXN_VALIDATION_ERROR",
        ALL,
        _M.VERIFY_NEVER,
        "a refusal that no repeat can change",
        errors=False,
        text=("overdraft limit", "failed to split", "must be positive"),
    ),
    Rule(
        400,
        "TXN_VALIDATION_ERROR",
        ALL,
        _M.VERIFY,
        "a failure that may have been applied",
        errors=False,
        tries=3,
    ),
    Rule(400, "TXN_INSUFFICIENT_FUNDS", SEVERAL, _M.VERIFY_NEVER, "earlier ones were recorded", acted=True),
    Rule(400, "TXN_INVALID_AMOUNT", SEVERAL, _M.VERIFY_NEVER, "earlier ones were recorded", acted=True),
    Rule(400, "TXN_PRECISION_NOT_INTEGER", SEVERAL, _M.VERIFY_NEVER, "earlier ones were recorded", acted=True),
    Rule(400, "TXN_INVALID_DISTRIBUTION", SEVERAL, _M.VERIFY_NEVER, "earlier ones were recorded", acted=True),
    Rule(400, "TXN_INSUFFICIENT_FUNDS", ALL, _M.VERIFY_NEVER, "refused, the reference is still free"),
    Rule(400, "TXN_INVALID_AMOUNT", ALL, _M.NEVER, "our payload"),
    Rule(400, "TXN_PRECISION_NOT_INTEGER", ALL, _M.NEVER, "our payload"),
    Rule(400, "TXN_INVALID_DISTRIBUTION", ALL, _M.NEVER, "our payload"),
    Rule(400, "TXN_INVALID_STATUS_ACTION", ALL, _M.NEVER, "our payload"),
    Rule(
        400,
        "TXN_NOT_INFLIGHT",
        INFLIGHT,
        _M.VERIFY,
        "settled already, or not stored yet",
        tries=5,
        acted=False,
    ),
    Rule(400, "TXN_COMMIT_AMOUNT_EXCEEDED", INFLIGHT, _M.VERIFY_NEVER, "perhaps we succeeded", acted=True),
    Rule(400, "GEN_BAD_REQUEST", BALANCE, _M.NEVER, "unknown ledger or identity"),
    Rule(400, "GEN_BAD_REQUEST", UPDATE, _M.NEVER, "nothing to update"),
    # Several at once have no code for it (contract §2.4); what it says is what is said of one alone.
    Rule(
        400,
        "GEN_BAD_REQUEST",
        SEVERAL,
        _M.VERIFY_NEVER,
        "a refusal that no repeat can change; earlier ones were recorded",
        text=("overdraft limit",),
        acted=True,
    ),
    Rule(400, "GEN_BAD_REQUEST", ALL, _M.VERIFY, "unclassified, often transient", tries=5),
    Rule(400, "IDT_VALIDATION_ERROR", IDENTITY, _M.VERIFY_NEVER, "its id exists", acted=True),
    Rule(400, "META_INVALID_ENTITY_ID", UPDATE, _M.NEVER, "wrong id"),
    Rule(400, "META_UNSUPPORTED_ENTITY", UPDATE, _M.NEVER, "wrong id"),
    Rule(400, "IDT_FIELD_NOT_TOKENIZABLE", UPDATE, _M.NEVER, "wrong field"),
    Rule(400, "IDT_FIELD_NOT_TOKENIZED", UPDATE, _M.NEVER, "wrong field"),
    Rule(400, "IDT_FIELD_NOT_FOUND", UPDATE, _M.NEVER, "wrong field"),
    Rule(400, "TXN_BULK_EMPTY", BULK | INFLIGHT_BULK, _M.NEVER, "our payload"),
    Rule(400, "TXN_BULK_LIMIT_EXCEEDED", BULK | INFLIGHT_BULK, _M.NEVER, "our payload"),
    *(
        Rule(400, code, CREATE | UPDATE | RECONCILIATION, _M.NEVER, "our payload")
        for code in (
            "RECON_UPLOAD_FAILED",
            "RECON_UPLOAD_URL_INVALID",
            "RECON_UPLOAD_HOST_NOT_ALLOWED",
            "RECON_MATCHING_RULES_REQUIRED",
            "RECON_EXTERNAL_TXNS_REQUIRED",
            "RECON_RULE_INVALID",
        )
    ),
    # A page in the place of the ledger's words: "failed to queue inflight expiry", said of a hold that was made, is
    # such a 400 too, and so is "insufficient funds" at the third item of a bulk. One read more, and nothing that moved
    # money is called refused.
    Rule(400, "", MONEY, _M.VERIFY, "whose words it is cannot be told; it may be there", tries=UNKNOWN_TRIES),
    Rule(400, "", ALL, _M.BACKOFF, "answered by Cloud, not by the ledger", tries=UNKNOWN_TRIES),
    # Credentials: nobody's backlog becomes dead letters because a token ran out.
    Rule(401, ANY, ALL, _M.BACKOFF, "token expired or revoked", gate=_PAUSE, counted=False),
    Rule(
        403,
        "AUTH_UNKNOWN_RESOURCE",
        frozenset({"metadata"}),
        _M.NEVER,
        "a key with scopes may not write metadata, whatever the scopes are; everything else it may",
    ),
    Rule(403, "IDT_TOKENIZATION_DISABLED", UPDATE, _M.NEVER, "the instance has no secret for it"),
    # That an optional route is not forwarded must not pause the target for the routes that are.
    Rule(403, ANY, INFLIGHT_BULK, _M.BACKOFF, "not forwarded, perhaps, or not allowed", tries=5),
    Rule(404, "", INFLIGHT_BULK, _M.NEVER, "Blnk Cloud does not forward this route"),
    Rule(405, ANY, INFLIGHT_BULK, _M.NEVER, "Blnk Cloud does not forward this route"),
    Rule(
        403,
        ANY,
        ALL,
        _M.BACKOFF,
        "scope missing, address not allowed, wrong instance",
        gate=_PAUSE,
        counted=False,
    ),
    # 404.
    Rule(404, "TXN_NOT_FOUND", TRANSACTION, _M.NEVER, "a balance is unknown", sync=True),
    Rule(404, "TXN_NOT_FOUND", SEVERAL, _M.VERIFY_NEVER, "unknown balance; earlier ones recorded", acted=True),
    Rule(404, "TXN_NOT_FOUND", INFLIGHT | REFUND, _M.VERIFY, "not stored or applied yet", tries=8, acted=False),
    # What v0.15.4 says of the balance of a transaction (contract §14.2).
    Rule(404, "BAL_NOT_FOUND", TRANSACTION, _M.NEVER, "a balance is unknown"),
    Rule(404, "BAL_NOT_FOUND", SEVERAL, _M.VERIFY_NEVER, "unknown balance; earlier ones recorded", acted=True),
    Rule(404, "BAL_NOT_FOUND", INFLIGHT | REFUND, _M.VERIFY, "not stored or applied yet", tries=8, acted=False),
    Rule(404, "META_ENTITY_NOT_FOUND", UPDATE, _M.BACKOFF, "unknown, not stored yet, or a database error", tries=5),
    Rule(404, "RECON_RULE_NOT_FOUND", UPDATE, _M.VERIFY_NEVER, "unknown, or deleted already"),
    *(
        Rule(404, code, CREATE | UPDATE | RECONCILIATION, _M.BACKOFF, "unknown, or not stored yet", tries=5)
        for code in ("BAL_NOT_FOUND", "IDT_NOT_FOUND", "LGR_NOT_FOUND", "RECON_NOT_FOUND")
    ),
    Rule(404, "", ALL, _M.BACKOFF, "unknown path or instance", gate=_PAUSE, counted=False),
    Rule(405, ANY, ALL, _M.BACKOFF, "the proxy's contract changed", gate=_PAUSE, counted=False),
    Rule(415, ANY, ALL, _M.BACKOFF, "the proxy's contract changed", gate=_PAUSE, counted=False),
    Rule(408, ANY, ALL, _M.VERIFY, "a gateway gave up"),
    # 409 means four different things (contract §0.1 fact 19).
    Rule(
        409,
        "TXN_DUPLICATE_REFERENCE",
        TRANSACTION,
        _M.VERIFY,
        "the reference exists, probably by our own hand",
        acted=False,
    ),
    Rule(409, "TXN_DUPLICATE_REFERENCE", SEVERAL, _M.VERIFY, "one exists, probably by our own hand"),
    Rule(409, "GEN_CONFLICT", SEVERAL, _M.VERIFY, "optimistic lock lost, perhaps after some", tries=5),
    # On a busy balance for as long as the burst lasts.
    Rule(409, "GEN_CONFLICT", TRANSACTION, _M.BACKOFF, "optimistic lock lost, nothing written", sync=True, tries=10),
    Rule(409, "GEN_CONFLICT", INFLIGHT, _M.VERIFY, "an action for this hold is queued", acted=False),
    Rule(409, "GEN_CONFLICT", REFUND, _M.VERIFY_NEVER, "refunded, or failed in part; see whether by us", acted=True),
    Rule(409, "TXN_ALREADY_REFUNDED", REFUND, _M.VERIFY_NEVER, "refunded, or a refund; see whether by us", acted=True),
    Rule(409, "TXN_ALREADY_COMMITTED", INFLIGHT, _M.VERIFY_NEVER, "settled; see whether by us", acted=True),
    Rule(409, "TXN_ALREADY_VOIDED", INFLIGHT, _M.VERIFY_NEVER, "settled; see whether by us", acted=True),
    # Or a gateway has repeated it behind our back, and shows the copy that lost.
    Rule(409, "GEN_CONFLICT", BALANCE, _M.VERIFY_NEVER, "indicator and currency exist", acted=True),
    Rule(409, "IDT_FIELD_ALREADY_TOKENIZED", UPDATE, _M.VERIFY, "done before, at least in part", acted=False),
    Rule(409, "LGR_DUPLICATE", CREATE, _M.VERIFY_NEVER, "not expected"),
    Rule(413, ANY, ALL, _M.NEVER, "too large"),
    Rule(422, ANY, ALL, _M.BACKOFF, "not used by the ledger: somebody in between", tries=UNKNOWN_TRIES),
    # A gateway may repeat a request behind our back and show us the copy that lost: then the lock is our own, and what
    # it guards may have happened (measured, finding R5). The text is only a hint.
    Rule(423, ANY, INFLIGHT, _M.VERIFY, "a lock of this very hold", text=("inflight-commit:", "inflight-void:")),
    Rule(423, ANY, REFUND, _M.VERIFY, "a lock of this very refund", text=("refund:",)),
    # Not "soon": the locks of a worker of the ledger that was killed stand for five minutes (finding D7).
    Rule(423, ANY, SEVERAL, _M.VERIFY, "a lock is held; earlier ones were recorded"),
    Rule(423, ANY, ALL, _M.BACKOFF, "a lock is held, nothing written"),
    Rule(429, ANY, ALL, _M.SOON, "a limiter; nothing written", gate=_SLOW, counted=False),
    # 5xx: the classic ambiguity.
    Rule(
        500,
        "RECON_UPLOAD_PROCESSING_FAILED",
        RECONCILIATION,
        _M.VERIFY_NEVER,
        "bad file, or uploaded before",
        acted=True,
    ),
    Rule(500, ANY, ALL, _M.VERIFY, "failed, or committed and the connection broke"),
    # Not counted, like 503: reads go round Core (contract §1.7), so a backlog would use up its tries in an outage.
    Rule(502, ANY, ALL, _M.VERIFY, "Cloud could not reach the instance", gate=_STRAIN, counted=False),
    Rule(
        503,
        "QUEUE_BACKPRESSURE",
        ALL,
        _M.VERIFY,
        "its Redis is full (contract §3.5): what goes round its queue is not concerned",
        gate=_SLOW,
        counted=False,
        wait_s=30.0,
        lane=True,
    ),
    Rule(503, ANY, ALL, _M.VERIFY, "down, or its queue is full", gate=_STRAIN, counted=False),
    Rule(504, ANY, ALL, _M.VERIFY, "Cloud could not wait for the instance", gate=_STRAIN),
)

#: Code of the gate of a target that cannot be reached.
UNREACHABLE = "UNREACHABLE"

#: Code of a request that was not made because there was nothing to prove who we are with.
KEYLESS = "NO_ACCESS_TOKEN"

NOT_SENT = Rule(0, ANY, ALL, _M.BACKOFF, "it never left the machine", gate=GateAction.LOST, counted=False)
HELD_BACK = Rule(0, LEASE_OVER, ALL, _M.BACKOFF, "its lease would not have seen it through", counted=False)
BROKEN = Rule(0, ANY, ALL, _M.VERIFY, "it may have arrived")
#: Who says "see there" may have done what it was asked first (RFC 9110 §15.4); 307 and 308 mean that it did not.
REDIRECT = Rule(None, ANY, ALL, _M.VERIFY, "not followed; it may have been done first", gate=_PAUSE, counted=False)
NOT_HERE = Rule(None, ANY, ALL, _M.BACKOFF, "not followed, and not done here", gate=_PAUSE, counted=False)
STRANGE_2XX = Rule(None, ANY, ALL, _M.VERIFY, "not the answer of this route")
STRANGE_4XX = Rule(None, ANY, ALL, _M.VERIFY, "an answer that the contract does not know", tries=UNKNOWN_TRIES)
STRANGE_5XX = Rule(None, ANY, ALL, _M.VERIFY, "an answer that the contract does not know")
