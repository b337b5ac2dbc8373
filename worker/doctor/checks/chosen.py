"""What speaks for or against the settings, and what the machine allows."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay.environment import PREFIX
from blnk_relay.settings import Settings
from worker.doctor.checks.about import GUARANTEES, TARGETS, About
from worker.doctor.findings import Finding


def durability(settings: Settings) -> Finding:
    """Whether somebody has chosen what a receipt means."""
    about = About("durability", "settings", f"{PREFIX}DURABILITY", GUARANTEES)
    if settings.durability_chosen:
        return about.ok(settings.durability)
    why = "a failover or a power cut can lose the last receipts, and what is enqueued again may be made twice"
    return about.warning(
        "not set, so memory", why, "set it to fsync or replicated:N, or to memory if that is what you want"
    )


def timeouts(settings: Settings) -> Finding:
    """Whether times fit together that no single setting can tell."""
    about = About("times", "settings", "timeouts, leases, horizons and deadlines", "docs/settings.md")
    amiss = [
        (
            settings.redis_timeout_s >= settings.dead_worker_s,
            "REDIS_TIMEOUT_S",
            "DEAD_WORKER_S",
            "a worker that waits for one slow answer of Redis counts as dead, and what it sends is looked up",
        ),
        (
            settings.deadline_s <= settings.horizon_s,
            "HORIZON_S",
            "DEADLINE_S",
            "an intent is a dead letter before the ledger was watched for long enough to tell",
        ),
        (
            settings.stuck_horizon_s < settings.horizon_s,
            "HORIZON_S",
            "STUCK_HORIZON_S",
            "a row that is queued is given up before one that is not there",
        ),
        (
            settings.confirm_max_s >= settings.horizon_s,
            "CONFIRM_MAX_S",
            "HORIZON_S",
            "the horizon passes between two looks",
        ),
        (
            settings.retention_s <= settings.deadline_s / 24,
            "DEADLINE_S / 24",
            "RETENTION_S",
            "what is done is trimmed while others may still ask for it",
        ),
    ]
    told = [f"{one} is not below {other}: {why}" for wrong, one, other, why in amiss if wrong]
    if told:
        return about.warning(
            "; ".join(told), "each is allowed, and together they contradict", "raise the second or lower the first"
        )
    return about.ok(
        f"lease {settings.lease_s:g} s, dead after {settings.dead_worker_s:g} s, horizon {settings.horizon_s:g} s"
    )


def one_ledger(shared: Sequence[str]) -> Finding:
    """Whether one ledger stands under several names."""
    about = About("names", "settings", "the ledger of each target", TARGETS)
    if shared:
        return about.warning("; ".join(shared), "they do not wait for each other", "keep one of the names")
    return about.ok("each target is a ledger of its own")


def files(settings: Settings, limit: int, servers: int) -> Finding:
    """Whether a worker may have as many connections as it could need."""
    about = About(
        "files", "settings", "RLIMIT_NOFILE of this process, which workers may share", "docs/production.md#sizing"
    )
    needed = len(settings.ledgers) * (settings.connections + 8) + servers * settings.redis_connections + 64
    allowed = f"{limit:,}" if limit >= 0 else "any number"
    saw = f"{allowed} allowed, at most {needed:,} needed (targets: {len(settings.ledgers)}, Redis: {servers})"
    if 0 <= limit < needed:
        return about.warning(saw, "with all of them in use a worker could open no more", "raise ulimit -n for workers")
    return about.ok(saw)
