"""What speaks for or against a Redis."""

from __future__ import annotations

from blnk_relay.environment import PREFIX
from blnk_relay.journal.server import OLDEST, is_cluster, not_a_cluster, out_of_reach, too_old, version_of
from blnk_relay.journal.troubles import (
    clock_seen,
    clock_trouble,
    eviction_policy,
    eviction_trouble,
    memory_seen,
    memory_trouble,
    persistence_trouble,
)
from blnk_relay.journal.vitals import ServerVitals
from blnk_relay.settings import Settings
from worker.doctor.checks.about import ALLOW, GUARANTEES, REDIS, About
from worker.doctor.findings import Finding

#: Seconds after which a replica that was not heard of would lose much, whatever the durability.
_FAR_BEHIND_S = 10


def answering(server: ServerVitals) -> Finding:
    """Whether it answers at all."""
    about = About("answers", server.variable, "PING", REDIS)
    if server.failure:
        return about.failure(server.failure, "nothing is accepted or posted without it", "see the sentence")
    return about.ok(f"it answers within {server.trip_s * 1000:.0f} ms")


def version(settings: Settings, server: ServerVitals, *, journal: bool, by_cluster: bool) -> Finding:
    """Whether it can be used at all."""
    about = About("version", server.variable, "INFO: redis_version, valkey_version, cluster_enabled, role", REDIS)
    info = server.info
    if not info:
        return about.unknown("INFO is not allowed", ALLOW.format(what="INFO", right="info"))
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info.get('redis_version', '?')}"
    mode = info.get("redis_mode", "standalone")
    found = version_of(info)
    if journal and found and found < OLDEST:
        return about.failure(f"{name}, {mode}", too_old(info.get("redis_version", ""), server.variable), "upgrade it")
    if info.get("cluster_enabled") == "1" and not by_cluster:
        mend = "give its address as redis+cluster://, or another server to the broker"
        return about.failure(f"{name}, {mode}", is_cluster(server.variable), mend)
    if info.get("cluster_enabled") == "0" and by_cluster:
        return about.failure(f"{name}, {mode}", not_a_cluster(server.variable), "give its address as redis://")
    if info.get("role") == "slave":
        why = "it refuses writes, and what it has may be older than what its primary has"
        return about.failure(f"{name}, a replica", why, f"let {server.variable} lead to the primary")
    if journal and (unreachable := out_of_reach(settings, info)):
        why = f"no receipt can have the durability {settings.durability}: {unreachable}"
        return about.failure(f"{name}, {mode}", why, f"put that right, or choose another {PREFIX}DURABILITY")
    return about.ok(f"{name}, {mode}, a primary")


def persistence(settings: Settings, server: ServerVitals) -> Finding:
    """Whether a restart would lose what a receipt was given for."""
    about = About("persistence", server.variable, "INFO persistence; CONFIG GET appendfsync, save", REDIS)
    info, options = server.info, server.options
    if not info:
        return about.unknown("INFO is not allowed", ALLOW.format(what="INFO", right="info"))
    if trouble := persistence_trouble(server):
        return about.of(trouble)
    if options is None:
        return about.unknown(
            "the append-only file is on; how often it is synced cannot be seen, CONFIG is not allowed",
            ALLOW.format(what="CONFIG GET", right="config|get"),
        )
    synced = options.get("appendfsync", "everysec")
    if settings.durability == "fsync" and synced != "always":
        why = (
            "each receipt waits for a sync that comes once a second, and where that is later than "
            f"{PREFIX}DURABILITY_TIMEOUT_S ({settings.durability_timeout_s:g} s) it has less than fsync"
        )
        return about.warning(f"appendfsync is {synced}", why, "CONFIG SET appendfsync always")
    return about.ok(f"the append-only file is on, appendfsync {synced}")


def eviction(server: ServerVitals) -> Finding:
    """Whether the server may throw keys away."""
    about = About("eviction", server.variable, "INFO memory: maxmemory_policy; CONFIG GET maxmemory-policy", REDIS)
    if not eviction_policy(server):
        return about.unknown("neither INFO nor CONFIG is allowed", ALLOW.format(what="INFO", right="info"))
    trouble = eviction_trouble(server)
    return about.of(trouble) if trouble else about.ok(eviction_policy(server))


def memory(server: ServerVitals) -> Finding:
    """Whether there is room."""
    about = About("memory", server.variable, "INFO memory: used_memory, maxmemory, total_system_memory", REDIS)
    if not server.info:
        return about.unknown("INFO is not allowed", ALLOW.format(what="INFO", right="info"))
    trouble = memory_trouble(server)
    return about.of(trouble) if trouble else about.ok(memory_seen(server))


def replicas(settings: Settings, server: ServerVitals) -> Finding:
    """Whether replicas keep up with what the durability asks of them."""
    about = About("replicas", server.variable, "INFO replication: state, lag and offset of each replica", GUARANTEES)
    if not server.info:
        return about.unknown("INFO is not allowed", ALLOW.format(what="INFO", right="info"))
    kind, _, number = settings.durability.partition(":")
    wanted = int(number) if kind == "replicated" else 0
    online = sorted((one for one in server.replicas if one.online), key=lambda one: (one.lag_s, one.behind))
    saw = f"{len(online)} online of {len(server.replicas)}"
    if online:
        slowest = online[-1]
        saw += f"; the slowest was heard of {slowest.lag_s} s ago and lacks {slowest.behind:,} bytes"
    if len(online) < wanted:
        why = f"no receipt is {settings.durability}, and writes that the ledger could not tell from a repeat wait"
        return about.failure(saw, why, "bring replicas back")
    if wanted and online[wanted - 1].lag_s > max(1.0, settings.durability_timeout_s):
        why = f"receipts wait {PREFIX}DURABILITY_TIMEOUT_S and are then less than {settings.durability}"
        return about.failure(saw, why, "see why that replica does not answer: its machine, its network, its disk")
    if online and online[-1].lag_s >= _FAR_BEHIND_S:
        return about.warning(saw, "promoted now, it would have lost all that it lacks", "see why it does not answer")
    return about.ok(saw)


def clock(server: ServerVitals) -> Finding:
    """Whether its clock and that of this machine agree."""
    about = About("clock", server.variable, "TIME, beside the clock of this machine", f"{GUARANTEES}#when-clocks-step")
    if server.ahead_s is None:
        return about.unknown("TIME is not allowed", ALLOW.format(what="TIME", right="time"))
    trouble = clock_trouble(server)
    return about.of(trouble) if trouble else about.ok(clock_seen(server))
