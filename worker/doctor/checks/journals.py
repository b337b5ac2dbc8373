"""What speaks for or against what was read: one small pure function for each question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from blnk_relay.bell import queue_of
from blnk_relay.environment import PREFIX
from blnk_relay.journal import shape
from blnk_relay.journal.server import OLDEST, is_cluster, not_a_cluster, out_of_reach, too_old, version_of
from blnk_relay.journal.vitals import JournalVitals, ServerVitals
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE, Settings
from worker.doctor.facts import BrokerFacts, Facts, Reach, Stray, TargetFacts
from worker.doctor.findings import Finding, Level

#: Where accepting stops (accept.lua), and from where somebody should know.
_FULL, _NEARLY_FULL = 0.9, 0.75

#: Days of a certificate below which somebody should renew it.
_DAYS_LEFT = 14.0

#: Seconds that clocks may differ by before absolute times mean something else to each side.
_APART_S = 2.0

#: Seconds after which a replica that was not heard of would lose much, whatever the durability.
_FAR_BEHIND_S = 10

#: Bells of one lane that lie in the broker before somebody is missed: one comes each 1.5 s.
_UNHEARD = 4

#: Seconds that due work may wait before a lane is behind.
_BEHIND_S = 60.0

_REDIS = "docs/production.md#redis"
_BROKER = "docs/production.md#broker"
_DOCTOR = "docs/production.md#doctor"
_UPGRADES = "docs/production.md#upgrades"
_WRONG = "docs/production.md#when-something-is-wrong"
_GUARANTEES = "docs/guarantees.md"

_ALLOW = "allow the user {what} (+{right} in its ACL), or look with a user who may"


class _About:
    """Makes the findings of one check of one thing."""

    def __init__(self, check: str, of: str, looked_at: str, link: str = "") -> None:
        self._common = {"check": check, "of": of, "looked_at": looked_at}
        self._link = link

    def ok(self, saw: str) -> Finding:
        return Finding(**self._common, level=Level.OK, saw=saw)

    def warning(self, saw: str, why: str, mend: str) -> Finding:
        return Finding(**self._common, level=Level.WARNING, saw=saw, why=why, mend=mend, link=self._link)

    def failure(self, saw: str, why: str, mend: str) -> Finding:
        return Finding(**self._common, level=Level.FAILURE, saw=saw, why=why, mend=mend, link=self._link)

    def unknown(self, saw: str, mend: str, why: str = "nobody knows whether this is well") -> Finding:
        return Finding(**self._common, level=Level.UNKNOWN, saw=saw, why=why, mend=mend, link=self._link or _DOCTOR)


# -- a Redis ---------------------------------------------------------------------------------------------------------


def answering(server: ServerVitals) -> Finding:
    """Whether it answers at all."""
    about = _About("answers", server.variable, "PING", _REDIS)
    if server.failure:
        return about.failure(server.failure, "nothing is accepted or posted without it", "see the sentence")
    return about.ok(f"it answers within {server.trip_s * 1000:.0f} ms")


def version(settings: Settings, server: ServerVitals, *, journal: bool, by_cluster: bool) -> Finding:
    """Whether it can be used at all."""
    about = _About("version", server.variable, "INFO: redis_version, valkey_version, cluster_enabled, role", _REDIS)
    info = server.info
    if not info:
        return about.unknown("INFO is not allowed", _ALLOW.format(what="INFO", right="info"))
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
    about = _About("persistence", server.variable, "INFO persistence; CONFIG GET appendfsync, save", _REDIS)
    info, options = server.info, server.options
    if not info:
        return about.unknown("INFO is not allowed", _ALLOW.format(what="INFO", right="info"))
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
            _ALLOW.format(what="CONFIG GET", right="config|get"),
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
    about = _About("eviction", server.variable, "INFO memory: maxmemory_policy; CONFIG GET maxmemory-policy", _REDIS)
    policy = server.info.get("maxmemory_policy") or (server.options or {}).get("maxmemory-policy", "")
    if not policy:
        return about.unknown("neither INFO nor CONFIG is allowed", _ALLOW.format(what="INFO", right="info"))
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
    about = _About("memory", server.variable, "INFO memory: used_memory, maxmemory, total_system_memory", _REDIS)
    info = server.info
    if not info:
        return about.unknown("INFO is not allowed", _ALLOW.format(what="INFO", right="info"))
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
    about = _About("replicas", server.variable, "INFO replication: state, lag and offset of each replica", _GUARANTEES)
    if not server.info:
        return about.unknown("INFO is not allowed", _ALLOW.format(what="INFO", right="info"))
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
    about = _About(
        "clock", server.variable, "TIME, beside the clock of this machine", f"{_GUARANTEES}#when-clocks-step"
    )
    if server.ahead_s is None:
        return about.unknown("TIME is not allowed", _ALLOW.format(what="TIME", right="time"))
    saw = f"{server.ahead_s:+.2f} s, to within {server.trip_s / 2:.2f} s"
    if abs(server.ahead_s) - server.trip_s / 2 > _APART_S:
        why = "not_before and deadline that applications reckon by their own clocks mean another time to the journal"
        return about.warning(saw, why, "see to the time service of both machines")
    return about.ok(saw)


# -- a journal -------------------------------------------------------------------------------------------------------


def known_shape(journal: JournalVitals) -> Finding:
    """Whether this version knows the shape of the journal."""
    about = _About("shape", f"target {journal.target}", "the shape that is noted in the journal", _UPGRADES)
    ours = f"this version knows {shape.OLDEST} to {shape.NEWEST}"
    if not journal.shape:
        return about.ok(f"nothing is recorded yet; {ours}")
    if ">" in journal.shape:
        why = "nobody may use the journal until that is over"
        return about.failure(f"{journal.shape}, half way", why, "blnk-relay upgrade")
    number = int(journal.shape) if journal.shape.isdigit() else -1
    if not shape.OLDEST <= number <= shape.NEWEST:
        why = "workers and producers of this version leave the journal alone"
        return about.failure(f"{journal.shape}; {ours}", why, "start a version that knows it")
    if number < shape.NEWEST:
        why = "newer code works as the older would, and the release after it may not know that shape any more"
        return about.warning(f"{journal.shape}; {ours}", why, "blnk-relay upgrade, once all are of this version")
    return about.ok(f"{journal.shape}; {ours}")


def identity(journal: JournalVitals) -> Finding:
    """Whether the journal is that of the ledger that the settings mean."""
    about = _About("identity", f"target {journal.target}", "the ledger that the journal belongs to", _WRONG)
    if not journal.meant or not journal.ledger:
        return about.ok(journal.ledger or journal.meant or "nobody has said yet which ledger it is")
    if journal.ledger != journal.meant:
        why = "workers with these settings do nothing for it, and producers are refused: work would be made twice"
        rebind = f"blnk-relay target rebind {journal.target}"
        mend = f"use another name for another ledger; for the same one at another address: {rebind}"
        return about.failure(f"the journal is of {journal.ledger}, the settings say {journal.meant}", why, mend)
    return about.ok(journal.ledger)


def losses(journal: JournalVitals) -> Finding:
    """Whether the journal has lost its last moments lately."""
    about = _About("epoch", f"target {journal.target}", "the epoch of the journal, and since when", _GUARANTEES)
    if not journal.epoch:
        return about.ok("no worker was here yet")
    number = journal.epoch.partition("-")[0]
    if journal.lost_s is None:
        return about.ok(f"epoch {number}; nothing was ever lost")
    saw = f"epoch {number}, since {_span(journal.lost_s)}"
    if journal.lost_s < 3600:  # noqa: PLR2004 - an hour
        why = "Redis was restarted, failed over or set back: receipts of its last moments may be gone with it"
        return about.warning(saw, why, "enqueue again, under the old keys, what may have been accepted just before")
    return about.ok(saw)


def steps(journal: JournalVitals) -> Finding:
    """Whether the clock of its Redis has stepped lately."""
    about = _About(
        "steps", f"target {journal.target}", "steps of the clock of Redis", f"{_GUARANTEES}#when-clocks-step"
    )
    if abs(journal.skew_s) >= 1:
        why = "times of the journal are off from those of its server by as much, until they have come together again"
        return about.warning(
            f"{journal.steps}, the last of which is {journal.skew_s:+.1f} s off", why, "see to the time service there"
        )
    return about.ok(f"{journal.steps}" if journal.steps else "none")


def programs(journal: JournalVitals) -> Finding:
    """Whether anybody works for it, and all alike."""
    about = _About(
        "workers", f"target {journal.target}", "signs of life of worker programs, with their versions", _UPGRADES
    )
    overview = journal.overview
    if not journal.programs:
        if overview is not None and overview.open:
            return about.failure(
                f"none, and {overview.open:,} intents are open", "nothing is posted", "start blnk-relay worker"
            )
        return about.warning("none", "nothing would be posted", "start blnk-relay worker")
    versions = sorted({program.version or "of before" for program in journal.programs})
    saw = f"{len(journal.programs)}, of {', '.join(versions)}"
    if any(program.shape < shape.NEWEST for program in journal.programs):
        return about.warning(
            f"{saw}; some do not know shape {shape.NEWEST}", "the journal cannot have it yet", "replace them"
        )
    if len(versions) > 1:
        why = "that is a rollout under way, or a worker that was forgotten"
        return about.warning(saw, why, "replace the older ones")
    return about.ok(saw)


def lanes(journal: JournalVitals, broker: BrokerFacts | None, settings: Settings) -> Iterator[Finding]:
    """Whether what is due in each lane is taken."""
    for depth in () if journal.overview is None else journal.overview.lanes:
        about = _About(
            "lane", f"target {journal.target}, lane {depth.lane}", "due work, and bells that lie in the broker", _WRONG
        )
        bells = 0 if broker is None or broker.waiting is None else broker.waiting.get(queue_of(settings, depth.lane), 0)
        saw = f"{depth.due:,} due, the oldest for {_span(depth.oldest_due_s)}"
        if depth.pause is not None:
            yield about.warning(
                f"paused by {depth.pause.who or 'somebody'}; {saw}",
                "nothing in it is sent",
                f"blnk-relay resume {depth.lane}",
            )
        elif depth.due and bells >= _UNHEARD:
            why = "no worker listens to this lane"
            yield about.failure(
                f"{saw}; {bells} bells unheard", why, f"start a worker without --lane, or with --lane {depth.lane}"
            )
        elif depth.due and depth.oldest_due_s > _BEHIND_S:
            yield about.warning(
                saw, "workers do not keep up, or a gate is shut", "see gates and workers; start more of them"
            )
        else:
            yield about.ok(saw)


def gates(journal: JournalVitals) -> Finding:
    """Whether requests go through."""
    about = _About("gates", f"target {journal.target}", "gates of writes, reads and lanes", _WRONG)
    found = () if journal.overview is None else journal.overview.gates
    shut = [gate for gate in found if gate.state in ("paused", "unreachable")]
    told = ", ".join(f"{gate.side} {gate.state} ({gate.code})" for gate in shut)
    if any(not gate.manual for gate in shut):
        mend = "put the credential or the way there right: one request tries each probe, and the gate opens by itself"
        return about.failure(told, "nothing goes through it", mend)
    if shut:
        return about.warning(told, "nothing goes through it", f"blnk-relay resume --target {journal.target}")
    slowed = ", ".join(f"{gate.side} ({gate.code}, {gate.rate}/s)" for gate in found)
    return about.ok(f"slowed: {slowed}" if slowed else "all open")


def letters(journal: JournalVitals) -> Finding:
    """Whether dead letters wait for a human, and grow."""
    about = _About("letters", f"target {journal.target}", "dead letters, and those of the last hour", _WRONG)
    dead = 0 if journal.overview is None else journal.overview.dead
    saw = f"{dead:,}, {journal.new_letters:,} of them of the last hour"
    if journal.new_letters:
        return about.warning(
            saw, "something makes letters now", "blnk-relay dead list; put the cause right, then replay"
        )
    if dead:
        return about.warning(saw, "each waits for a human", "blnk-relay dead list; replay or discard them")
    return about.ok("none")


def oldest(journal: JournalVitals, settings: Settings) -> Finding:
    """Whether anything has been open for too long."""
    about = _About("oldest", f"target {journal.target}", "ages of what is open", _WRONG)
    if journal.overview is None:
        return about.ok("nothing is open")
    age_s = max(journal.overview.oldest_open_s, journal.overview.oldest_posted_s)
    if age_s > settings.horizon_s:
        why = (
            f"the ledger should be done within {settings.horizon_s:g} s; at {PREFIX}DEADLINE_S it becomes a dead letter"
        )
        return about.warning(_span(age_s), why, "blnk-relay status; see gates, workers and the ledger's own queue")
    return about.ok(f"the oldest that is due or was tried: {_span(age_s)}")


def readable(journal: JournalVitals) -> Finding:
    """Whether the journal could be read at all."""
    about = _About("journal", f"target {journal.target}", "the journal's own keys", _REDIS)
    if journal.failure:
        return about.failure(journal.failure, "nothing is accepted or posted for this target", "see the sentence")
    return about.ok("it can be read")


def stray(found: Stray) -> Finding:
    """Whether work lies where nobody looks."""
    about = _About("strays", f"target {found.target}", f"journals on the Redis of {found.where}", _WRONG)
    what = "the settings have its journal on another Redis" if found.moved else "the settings do not name it"
    if not found.has_open:
        return about.ok(f"{what}; nothing in it is open")
    if found.programs and not found.moved:
        return about.ok(f"{what}; {found.programs} worker programs with other settings work for it")
    mend = "start a worker whose settings have it there" if found.moved else f"name it in {PREFIX}TARGETS of a worker"
    return about.failure(f"{what}; intents in it are open and nobody works for it", "they are never posted", mend)


# -- a ledger and the broker -----------------------------------------------------------------------------------------


def reached(check: str, of: str, reach: Reach, mend: str, link: str) -> Finding:
    """Whether a place can be reached, and for how long its certificate holds."""
    about = _About(check, of, f"name, connection and TLS of {reach.address}", link)
    if reach.skipped:
        return about.ok(reach.skipped)
    done = "; ".join(reach.steps)
    if reach.failure:
        return about.failure("; ".join((*reach.steps, reach.failure)), "nothing can be sent there", mend)
    if reach.days_left is not None and reach.days_left < _DAYS_LEFT:
        why = "when it is over, no connection is made any more"
        return about.warning(done, why, "renew the certificate")
    return about.ok(done)


def scopes(target: TargetFacts) -> Finding:
    """What its credential may read; whether it may write, no read can tell, but the gate of writes does."""
    about = _About("scopes", f"target {target.name}", "reads of the ledger for what is not there", _WRONG)
    if target.skipped:
        return about.unknown(target.skipped, "look with the settings of a worker")
    saw = ", ".join(f"{read.resource} {read.status or read.code}" for read in target.reads)
    statuses = {read.status for read in target.reads}
    payments = [read for read in target.reads if read.resource in ("transactions", "balances")]
    mend = "give it proxy:write and data:read (and proxy:read for tokenized fields and runs); of a Core the master key"
    if 401 in statuses:  # noqa: PLR2004
        return about.failure(saw, "the ledger does not know the credential: it pauses the target", "give it a new key")
    if any(read.status == 403 for read in payments):  # noqa: PLR2004
        return about.failure(saw, "no outcome can be read back, so nothing is ever confirmed", mend)
    if not all(read.status == 200 for read in payments):  # noqa: PLR2004
        return about.failure(saw, "no outcome can be read back now", "see whether the ledger is well")
    if any(read.status == 403 for read in target.reads):  # noqa: PLR2004
        return about.warning(saw, "kinds that need it are not confirmed", mend)
    return about.ok(saw)


def bells(broker: BrokerFacts, settings: Settings) -> Finding:
    """Whether bells gather in the broker."""
    about = _About("bells", broker.variable, "messages in the queues of bells, and of what comes by name", _BROKER)
    if broker.failure:
        return about.failure(broker.failure, "no work begins, but by the workers' round", "see the sentence")
    if broker.waiting is None:
        return about.ok("not counted: each question to this broker costs money")
    saw = ", ".join(f"{queue} {number}" for queue, number in sorted(broker.waiting.items()))
    unheard = [
        lane for lane in (*settings.lanes, CONFIRM_LANE) if broker.waiting.get(queue_of(settings, lane), 0) >= _UNHEARD
    ]
    if unheard:
        why = "workers are away, or do not listen to these lanes"
        return about.warning(
            saw, f"bells of {', '.join(unheard)} are not heard: {why}", "start workers that serve them"
        )
    if broker.waiting.get(queue_of(settings, INGEST_LANE), 0) >= 100:  # noqa: PLR2004
        return about.warning(saw, "what comes by name is not recorded as fast as it comes", "see the log of workers")
    return about.ok(saw)


# -- settings --------------------------------------------------------------------------------------------------------


def durability(settings: Settings) -> Finding:
    """Whether somebody has chosen what a receipt means."""
    about = _About("durability", "settings", f"{PREFIX}DURABILITY", _GUARANTEES)
    if settings.durability_chosen:
        return about.ok(settings.durability)
    why = "a failover or a power cut can lose the last receipts, and what is enqueued again may be made twice"
    return about.warning(
        "not set, so memory", why, "set it to fsync or replicated:N, or to memory if that is what you want"
    )


def timeouts(settings: Settings) -> Finding:
    """Whether times fit together that no single setting can tell."""
    about = _About("times", "settings", "timeouts, leases, horizons and deadlines", "docs/settings.md")
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
    about = _About("names", "settings", "the ledger of each target", _WRONG)
    if shared:
        return about.warning("; ".join(shared), "they do not wait for each other", "keep one of the names")
    return about.ok("each target is a ledger of its own")


def files(settings: Settings, limit: int, servers: int) -> Finding:
    """Whether a worker may have as many connections as it could need."""
    about = _About(
        "files", "settings", "RLIMIT_NOFILE of this process, which workers may share", "docs/production.md#sizing"
    )
    needed = len(settings.ledgers) * (settings.connections + 8) + servers * settings.redis_connections + 64
    saw = f"{limit:,} allowed, at most {needed:,} needed ({len(settings.ledgers)} targets, {servers} Redis)"
    if 0 <= limit < needed:
        return about.warning(saw, "with all of them in use a worker could open no more", "raise ulimit -n for workers")
    return about.ok(saw)


# -- all of them -----------------------------------------------------------------------------------------------------


def findings(facts: Facts) -> tuple[Finding, ...]:
    """All checks of all that was read."""
    return tuple(_findings(facts))


def _findings(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    yield durability(settings)
    yield timeouts(settings)
    yield one_ledger(facts.shared)
    yield files(settings, facts.files, len(facts.servers))
    journals = {settings.journal_address(name).variable: settings.journal_address(name) for name in settings.ledgers}
    for server in facts.servers:
        address = journals.get(server.variable)
        if reach := facts.reaches.get(server.variable):
            yield reached("way", server.variable, reach, f"see {server.variable}, and the network between", _REDIS)
        yield answering(server)
        if not server.failure:
            by_cluster = address is not None and address.is_cluster
            yield version(settings, server, journal=address is not None, by_cluster=by_cluster)
            if address is not None:
                yield from (check(server) for check in _of_a_journals_server(settings))
    for journal in facts.journals:
        yield readable(journal)
        if not journal.failure:
            yield from _of_a_journal(journal, facts)
    yield from map(stray, facts.strays)
    if facts.strays_failure:
        about = _About("strays", "all targets", "journals that the settings do not name", _WRONG)
        yield about.unknown(facts.strays_failure, "look again when each Redis answers")
    for target in facts.targets:
        address_of = settings.ledgers[target.name].variable("base_url")
        yield reached(
            "way", f"target {target.name}", target.reach, f"see {address_of}, and the network between", _WRONG
        )
        yield scopes(target)
    if facts.broker is not None:
        mend = f"see {facts.broker.variable}, and the network between"
        if facts.broker.variable not in facts.reaches:
            yield reached("way", facts.broker.variable, facts.broker.reach, mend, _BROKER)
        yield bells(facts.broker, settings)


def _of_a_journals_server(settings: Settings) -> tuple[Callable[[ServerVitals], Finding], ...]:
    return (
        lambda server: persistence(settings, server),
        eviction,
        memory,
        lambda server: replicas(settings, server),
        clock,
    )


def _of_a_journal(journal: JournalVitals, facts: Facts) -> Iterator[Finding]:
    yield known_shape(journal)
    yield identity(journal)
    if journal.shape and journal.overview is None:
        # Its shape is not known: what stands in it may mean something else.
        return
    yield losses(journal)
    yield steps(journal)
    yield programs(journal)
    yield gates(journal)
    yield from lanes(journal, facts.broker, facts.settings)
    yield letters(journal)
    yield oldest(journal, facts.settings)


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.1f} s"
