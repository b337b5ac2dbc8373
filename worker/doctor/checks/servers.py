"""What speaks for or against a Redis."""

from __future__ import annotations

from blnk_relay.environment import PREFIX
from blnk_relay.journal.server import OLDEST, is_cluster, not_a_cluster, out_of_reach, too_old, version_of
from blnk_relay.journal.vitals import ServerVitals
from blnk_relay.settings import Settings
from worker.doctor.checks.about import ALLOW, GUARANTEES, REDIS, About
from worker.doctor.findings import Finding

#: Where accepting stops (accept.lua), and from where somebody should know.
_FULL, _NEARLY_FULL = 0.9, 0.75

#: Seconds that clocks may differ by before absolute times mean something else to each side.
_APART_S = 2.0

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
    saving = info.get("rdb_last_bgsave_status", "ok") == "ok"
    if info.get("aof_enabled") == "0":
        snapshots = "" if options is None else f", save {options.get('save') or 'off'}"
        why = "a restart of Redis loses every receipt since its last snapshot"
        return about.failure(
            f"the append-only file is off{snapshots}", why, "CONFIG SET appendonly yes, and in its file"
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        why = "what is accepted now is in memory only, and Redis refuses writes until that is over"
        return about.failure("the last write of the append-only file failed", why, "make room on its disk")
    if info.get("aof_last_bgrewrite_status", "ok") != "ok" or not saving:
        what = "snapshot" if not saving else "rewrite of the append-only file"
        why = "the file grows until the disk is full; where snapshots must succeed, Redis refuses writes"
        return about.warning(f"the last {what} failed", why, "see the log of Redis: memory or disk are short")
    if options is None:
        return about.unknown(
            "the append-only file is on; how often it is synced cannot be seen, CONFIG is not allowed",
            ALLOW.format(what="CONFIG GET", right="config|get"),
        )
    synced = options.get("appendfsync", "everysec")
    if synced == "no":
        why = "the operating system writes when it likes, so a power cut loses more than a second"
        return about.failure("appendfsync no", why, "CONFIG SET appendfsync everysec, or always")
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
    policy = server.info.get("maxmemory_policy") or (server.options or {}).get("maxmemory-policy", "")
    if not policy:
        return about.unknown("neither INFO nor CONFIG is allowed", ALLOW.format(what="INFO", right="info"))
    if policy == "noeviction":
        return about.ok("noeviction")
    if server.info.get("maxmemory") == "0":
        why = "nothing is evicted while there is no maxmemory; with one, intents would be"
        return about.warning(policy, why, "CONFIG SET maxmemory-policy noeviction")
    return about.failure(
        policy, "Redis may evict intents that it has given receipts for", "CONFIG SET maxmemory-policy noeviction"
    )


def memory(server: ServerVitals) -> Finding:
    """Whether there is room."""
    about = About("memory", server.variable, "INFO memory: used_memory, maxmemory, total_system_memory", REDIS)
    info = server.info
    if not info:
        return about.unknown("INFO is not allowed", ALLOW.format(what="INFO", right="info"))
    most, machine = int(info.get("maxmemory", 0)), int(info.get("total_system_memory", 0))
    used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
    if not most:
        why = "Redis grows until the system ends it, in the middle of whatever it does"
        return about.warning(f"{_mb(used)} used, no maxmemory", why, "set maxmemory below what the machine has")
    saw = f"{_mb(used)} used of {_mb(most)} ({used / most:.0%}); accepting stops at {_FULL:.0%}"
    if used >= _FULL * most:
        mend = f"raise maxmemory, or lower {PREFIX}RETENTION_S; workers go on and make room"
        return about.failure(saw, "nothing new is accepted", mend)
    if used >= _NEARLY_FULL * most:
        return about.warning(saw, "accepting will stop soon", f"raise maxmemory, or lower {PREFIX}RETENTION_S")
    if machine and most > machine:
        why = "the machine has less, so the system may end Redis before that"
        return about.warning(f"{saw}; the machine has {_mb(machine)}", why, "lower maxmemory, or take a larger machine")
    return about.ok(saw)


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
    saw = f"{server.ahead_s:+.2f} s, to within {server.trip_s / 2:.2f} s"
    if abs(server.ahead_s) - server.trip_s / 2 > _APART_S:
        why = "not_before and deadline that applications reckon by their own clocks mean another time to the journal"
        return about.warning(saw, why, "see to the time service of both machines")
    return about.ok(saw)


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"
