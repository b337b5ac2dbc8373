"""How the background work of one request goes wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effects:
    """How one request's background work goes wrong; set by faults (contract §8).

    Attributes:
        vanish: Nothing happens after the 201 (contract §3.3).
        persist_fails: The QUEUED row cannot be stored and the original is queued instead (S3).
        crash_before_enqueue: The QUEUED row is stored, its task is lost (contract §3.5).
        apply_failures: So many attempts to apply fail for a passing reason (contract §3.1).
        slow_apply_s: Added to the time until the effect.
        race: A duplicate reference in skip mode answers 500 with the driver's error (contract §3.2).
        cut_batch: An atomic batch in skip mode ends half-way, and is not rolled back (contract §14.4, §14.8).
        lock_batch: The last of several movements that are to happen or not together meets a lock (contract §2.4).
        archive: A queued commit or void ends archived, without effect (contract §3.8).
        lag_s: Added to the read lag of this request's own answer.
    """

    vanish: bool = False
    persist_fails: bool = False
    crash_before_enqueue: bool = False
    apply_failures: int = 0
    slow_apply_s: float = 0.0
    race: bool = False
    cut_batch: bool = False
    lock_batch: bool = False
    archive: bool = False
    lag_s: float = 0.0


#: Nothing goes wrong.
NO_EFFECTS = Effects()
