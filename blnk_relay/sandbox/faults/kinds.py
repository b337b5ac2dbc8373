"""The ways a request can go wrong between client and ledger (contract §8).

A table of kinds, and what each means: whether Core acts, what is answered, and how the connection
ends. Which request is hit is decided in :mod:`blnk_relay.sandbox.faults.plans`; here nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from blnk_relay.sandbox.faults.effects import NO_EFFECTS, Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, html_answer, text_answer


class Delivery(StrEnum):
    """What becomes of the answer."""

    SEND = "send"
    DROP = "drop"
    TRUNCATE = "truncate"


class Fits(StrEnum):
    """Which requests a kind makes sense for."""

    ANY = "any"
    READ = "read"
    WRITE = "write"
    #: Done in the background: transactions, refunds, commits and voids in queue mode.
    QUEUED = "queued"
    #: Of these, what stores a QUEUED row first: transactions and refunds.
    STORED = "stored"
    #: Of these, commits and voids.
    SETTLED = "settled"
    #: The same requests in skip mode.
    SKIPPED = "skipped"
    #: Atomic batches in skip mode.
    ATOMIC = "atomic"
    TOGETHER = "together"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a plan is told of a request.

    Attributes:
        method: In capitals.
        path: As sent.
        identity: What the request is about, the same for every repeat and every run: the reference of
            a transaction, the reference of the row behind an id.
        read: Whether it only reads.
        queued: Whether Core would do it in the background.
        skipped: Whether it is a transaction, hold or refund done inside the request.
        hold: Whether it is a commit or a void.
        atomic: Whether it is an atomic batch in skip mode.
        together: Whether it is one, or an atomic transaction in skip mode.
    """

    method: str
    path: str
    identity: str
    read: bool = False
    queued: bool = False
    skipped: bool = False
    hold: bool = False
    atomic: bool = False
    together: bool = False

    def suits(self, fits: Fits) -> bool:
        """Whether a kind that fits such requests makes sense for this one."""
        return {
            Fits.ANY: True,
            Fits.READ: self.read,
            Fits.WRITE: not self.read,
            Fits.QUEUED: self.queued,
            Fits.STORED: self.queued and not self.hold,
            Fits.SETTLED: self.queued and self.hold,
            Fits.SKIPPED: self.skipped,
            Fits.ATOMIC: self.atomic,
            Fits.TOGETHER: self.together,
        }[fits]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table.

    Attributes:
        name: As in plans, headers and the request log.
        meaning: For people.
        acts: Whether Core does its work.
        fits: Which requests it makes sense for.
        answer: Replaces Core's answer, given the fault's seconds; None leaves it.
        delivery: What becomes of the answer.
        effects: What goes wrong behind the answer, given the fault's seconds.
        wait_before: Wait the fault's seconds before Core acts.
        wait_after: Wait the fault's seconds before the answer is sent.
        default_s: Seconds when nothing else is said.
        weight: How often a seeded plan picks it, relative to the others.
        burst: How many requests in a row a seeded plan hits with it.
    """

    name: str
    meaning: str
    acts: bool = True
    fits: Fits = Fits.ANY
    answer: Callable[[float], Answer] | None = None
    delivery: Delivery = Delivery.SEND
    effects: Callable[[float], Effects] = field(default=lambda _: NO_EFFECTS)
    wait_before: bool = False
    wait_after: bool = False
    default_s: float = 0.0
    weight: float = 1.0
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind with its seconds: what happens to one request."""

    kind: FaultKind
    seconds: float

    @classmethod
    def of(cls, name: str, seconds: float | None = None) -> Fault:
        """The fault of a name.

        Raises:
            ValueError: There is no such kind; the text lists them.
        """
        kind = KINDS.get(name)
        if kind is None:
            raise ValueError(f"no fault is called {name!r}; there are {', '.join(KINDS)}")
        return cls(kind, kind.default_s if seconds is None else seconds)

    @property
    def effects(self) -> Effects:
        """What goes wrong behind the answer."""
        return self.kind.effects(self.seconds)


def _with_and_without_effect(name: str, meaning: str, answer: Answer) -> tuple[FaultKind, FaultKind]:
    return (
        FaultKind(f"{name}_no_effect", f"{meaning}; nothing happened", acts=False, answer=lambda _: answer),
        FaultKind(f"{name}_with_effect", f"{meaning}; it happened", answer=lambda _: answer),
    )


def _refusal(
    name: str, meaning: str, answer: Answer, fits: Fits = Fits.ANY, *, weight: float = 1.0, burst: int = 1
) -> FaultKind:
    """Core never sees the request."""
    return FaultKind(name, meaning, acts=False, fits=fits, answer=lambda _: answer, weight=weight, burst=burst)


def _inside(name: str, meaning: str, fits: Fits, effects: Effects, *, weight: float = 1.0) -> FaultKind:
    """Something breaks within Core, and its own answer tells what it can."""
    return FaultKind(name, meaning, fits=fits, effects=lambda _: effects, weight=weight)


def _retry_after(seconds: float) -> Answer:
    return replace(_LIMITED, headers={**_LIMITED.headers, "Retry-After": f"{seconds:.0f}"})


_LIMITED = error_answer("GEN_RATE_LIMITED", "rate limit exceeded")
_LOCKED = error_answer("GEN_RESOURCE_LOCKED", "failed to acquire lock: lock is held")
_LOCK_LOST = error_answer(
    "GEN_CONFLICT", "Optimistic locking failure: the balance may have been updated by another transaction"
)
_FULL = error_answer("QUEUE_BACKPRESSURE", "queue is under backpressure")
_TOO_LARGE = html_answer(413, "413 Request Entity Too Large")
_NO_EXPIRY = error_answer("TXN_VALIDATION_ERROR", "failed to queue inflight expiry: no Redis")

_STORED, _SKIPPED, _ATOMIC = Fits.STORED, Fits.SKIPPED, Fits.ATOMIC

_TABLE: tuple[FaultKind, ...] = (
    FaultKind("drop_before", "connection closed, nothing happened", acts=False, delivery=Delivery.DROP),
    FaultKind("drop_after", "connection closed after it happened", delivery=Delivery.DROP),
    FaultKind("delay_before", "happens and answers late", wait_before=True, default_s=1.0, weight=0.0),
    FaultKind("delay_after", "happens at once, answers late", wait_after=True, default_s=1.0, weight=0.0),
    *_with_and_without_effect("500", "500 GEN_INTERNAL", error_answer("GEN_INTERNAL", "internal server error")),
    *_with_and_without_effect("500_empty", "500 with an empty body", Answer(500, b"", {})),
    *_with_and_without_effect("502", "502 from a gateway", html_answer(502, "502 Bad Gateway")),
    *_with_and_without_effect("503", "503 in plain text", text_answer(503, "no healthy upstream")),
    *_with_and_without_effect("504", "504 from a gateway", html_answer(504, "504 Gateway Time-out")),
    _refusal("503_backpressure", "503 QUEUE_BACKPRESSURE", _FULL, weight=0.3),
    _refusal("429", "429 without Retry-After", _LIMITED, weight=0.15, burst=3),
    FaultKind(
        "429_retry_after", "429 with Retry-After", acts=False, answer=_retry_after, default_s=1.0, weight=0.15, burst=3
    ),
    _refusal(
        "401",
        "the edge does not know the token",
        Answer(401, b'{"error":"invalid or expired token"}'),
        weight=0.05,
        burst=3,
    ),
    _refusal("403", "the edge denies access", Answer(403, b'{"error":"forbidden"}'), weight=0.05, burst=3),
    FaultKind("truncated", "it happened, half of the answer arrives", delivery=Delivery.TRUNCATE),
    FaultKind("not_json", "it happened, the body is a web page", answer=lambda _: html_answer(0, "Welcome")),
    _inside("vanish", "201, and nothing is ever stored", _STORED, Effects(vanish=True)),
    FaultKind(
        "slow_apply",
        "the row stays QUEUED for long",
        fits=Fits.QUEUED,
        effects=lambda seconds: Effects(slow_apply_s=seconds),
        default_s=3.0,
    ),
    _inside("persist_fails", "the QUEUED row cannot be stored: shape S3", _STORED, Effects(persist_fails=True)),
    _inside(
        "apply_fails",
        "one try to apply fails, Core retries in 15 to 44 s",
        _STORED,
        Effects(apply_failures=1),
        weight=0.0,
    ),
    _inside(
        "task_lost",
        "the row is stored, its task is lost: recovery after 2 h",
        _STORED,
        Effects(crash_before_enqueue=True),
        weight=0.0,
    ),
    _inside("archived", "the queued commit or void ends archived", Fits.SETTLED, Effects(archive=True), weight=0.0),
    _refusal("423", "423 GEN_RESOURCE_LOCKED", _LOCKED, _SKIPPED),
    _refusal("409_lock_lost", "409 GEN_CONFLICT, the optimistic lock was lost", _LOCK_LOST, _SKIPPED),
    _inside(
        "500_duplicate",
        "a duplicate reference in skip mode answers 500 instead of 409, as when two requests race",
        _SKIPPED,
        Effects(race=True),
    ),
    _refusal("413", "413 from a gateway, which another try need not meet", _TOO_LARGE, Fits.WRITE, weight=0.0),
    FaultKind(
        "400_with_effect",
        "400 with `error`: the transaction was taken, registering its dates failed (contract §2.3)",
        answer=lambda _: _NO_EXPIRY,
        fits=Fits.WRITE,
        weight=0.0,
    ),
    FaultKind(
        "batch_disconnected",
        "the connection ends amid an atomic batch: half of it is done, and its rollback is cancelled (contract §14.4)",
        fits=_ATOMIC,
        delivery=Delivery.DROP,
        effects=lambda _: Effects(cut_batch=True),
        weight=0.0,
    ),
    _inside(
        "batch_not_rolled_back",
        "the database restarts amid an atomic batch: 400, half of it done and not rolled back (contract §14.8)",
        _ATOMIC,
        Effects(cut_batch=True),
        weight=0.0,
    ),
    _inside(
        "batch_locked",
        "the last movement of an atomic batch or split meets a lock: 423, and those before it are taken back",
        Fits.TOGETHER,
        Effects(lock_batch=True),
        weight=0.0,
    ),
    FaultKind(
        "read_lag",
        "the read shows an older state",
        fits=Fits.READ,
        effects=lambda seconds: Effects(lag_s=seconds),
        default_s=2.0,
    ),
)

#: Every kind by name.
KINDS: Mapping[str, FaultKind] = {kind.name: kind for kind in _TABLE}

#: What seeded plans use unless told otherwise: all that needs neither long waits nor a human.
DEFAULT_KINDS: tuple[str, ...] = tuple(kind.name for kind in _TABLE if kind.weight > 0)
