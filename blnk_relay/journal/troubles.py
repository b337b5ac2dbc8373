"""What is wrong with a Redis or a journal, by what it says of itself: rules that whoever looks judges by. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from blnk_relay.environment import PREFIX
from blnk_relay.errors import key_in_words
from blnk_relay.journal import shape
from blnk_relay.journal.locked import LockedLetters
from blnk_relay.journal.vitals import JournalVitals, ServerVitals

#: Where accepting stops (accept.lua), and from where somebody should know.
FULL, NEARLY_FULL = 0.9, 0.75

#: Seconds that clocks may differ by before absolute times mean something else to each side.
APART_S = 2.0

#: Seconds that due work may wait before whoever should do it is behind.
BEHIND_S = 60.0

#: Seconds for which a loss of the journal's last moments is news.
LOSS_NEWS_S = 3600.0

#: Seconds that the time of a journal may differ by from that of its server.
SKEW_S = 1.0


class Severity(StrEnum):
    """How bad something is that is wrong, worst first."""

    CRITICAL = "critical"  #: It breaks the promise, or stops work, now.
    WARNING = "warning"  #: It will, or a human has to do something.
    NOTICE = "notice"  #: Nobody has to do anything now.


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong.

    Attributes:
        severity: How bad it is.
        saw: What was seen.
        why: Why that matters.
        mend: What to do.
    """

    severity: Severity
    saw: str
    why: str
    mend: str


def persistence_trouble(server: ServerVitals) -> Trouble | None:
    """Whether a restart would lose what a receipt was given for."""
    info, options = server.info, server.options
    saving = info.get("rdb_last_bgsave_status", "ok") == "ok"
    if info.get("aof_enabled") == "0":
        snapshots = "" if options is None else f", save {options.get('save') or 'off'}"
        why = "a restart of Redis loses every receipt since its last snapshot"
        mend = "CONFIG SET appendonly yes, and in its file"
        return Trouble(Severity.CRITICAL, f"the append-only file is off{snapshots}", why, mend)
    if info.get("aof_last_write_status", "ok") != "ok":
        why = "what is accepted now is in memory only, and Redis refuses writes until that is over"
        return Trouble(Severity.CRITICAL, "the last write of the append-only file failed", why, "make room on its disk")
    if info.get("aof_last_bgrewrite_status", "ok") != "ok" or not saving:
        what = "snapshot" if not saving else "rewrite of the append-only file"
        why = "the file grows until the disk is full; where snapshots must succeed, Redis refuses writes"
        return Trouble(
            Severity.WARNING, f"the last {what} failed", why, "see the log of Redis: memory or disk are short"
        )
    if (options or {}).get("appendfsync", "everysec") == "no":
        why = "the operating system writes when it likes, so a power cut loses more than a second"
        return Trouble(Severity.CRITICAL, "appendfsync no", why, "CONFIG SET appendfsync everysec, or always")
    return None


def eviction_policy(server: ServerVitals) -> str:
    """What the server does where it is full; empty where it does not say."""
    return server.info.get("maxmemory_policy") or (server.options or {}).get("maxmemory-policy", "")


def eviction_trouble(server: ServerVitals) -> Trouble | None:
    """Whether the server may throw keys away."""
    policy = eviction_policy(server)
    if policy in ("", "noeviction"):
        return None
    mend = "CONFIG SET maxmemory-policy noeviction"
    if server.info.get("maxmemory") == "0":
        why = "nothing is evicted while there is no maxmemory; with one, intents would be"
        return Trouble(Severity.NOTICE, policy, why, mend)
    return Trouble(Severity.CRITICAL, policy, "Redis may evict intents that it has given receipts for", mend)


def memory_of(server: ServerVitals) -> tuple[int, int]:
    """Bytes that count, and how many there may be; 0 for no bound."""
    info = server.info
    used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
    return used, int(info.get("maxmemory", 0))


def memory_seen(server: ServerVitals) -> str:
    """The same in words."""
    used, most = memory_of(server)
    if not most:
        return f"{_mb(used)} used, no maxmemory"
    return f"{_mb(used)} used of {_mb(most)} ({used / most:.0%}); accepting stops at {FULL:.0%}"


def memory_trouble(server: ServerVitals) -> Trouble | None:
    """Whether there is no room."""
    if not server.info:
        return None
    used, most = memory_of(server)
    machine = int(server.info.get("total_system_memory", 0))
    saw = memory_seen(server)
    if not most:
        why = "Redis grows until the system ends it, in the middle of whatever it does"
        return Trouble(Severity.NOTICE, saw, why, "set maxmemory below what the machine has")
    if used >= FULL * most:
        mend = f"raise maxmemory, or lower {PREFIX}RETENTION_S; workers go on and make room"
        return Trouble(Severity.CRITICAL, saw, "nothing new is accepted", mend)
    if used >= NEARLY_FULL * most:
        return Trouble(
            Severity.WARNING, saw, "accepting will stop soon", f"raise maxmemory, or lower {PREFIX}RETENTION_S"
        )
    if machine and most > machine:
        why = "the machine has less, so the system may end Redis before that"
        seen = f"{saw}; the machine has {_mb(machine)}"
        return Trouble(Severity.NOTICE, seen, why, "lower maxmemory, or take a larger machine")
    return None


def clock_trouble(server: ServerVitals) -> Trouble | None:
    """Whether its clock and that of this machine are apart; not where the way there is too slow to tell."""
    if server.ahead_s is None or abs(server.ahead_s) <= APART_S + server.trip_s / 2:
        return None
    why = "not_before and deadline that applications reckon by their own clocks mean another time to the journal"
    return Trouble(Severity.WARNING, clock_seen(server), why, "see to the time service of both machines")


def clock_seen(server: ServerVitals) -> str:
    """How far the clock of a server is ahead of that of this machine, in words."""
    return f"{server.ahead_s or 0.0:+.2f} s, to within {server.trip_s / 2:.2f} s"


def shape_trouble(journal: JournalVitals) -> Trouble | None:
    """Whether this version may use the journal."""
    ours = f"this version knows {shape.OLDEST} to {shape.NEWEST}"
    if not journal.shape:
        return None
    if ">" in journal.shape:
        why = "nobody may use the journal until that is over"
        return Trouble(Severity.CRITICAL, f"{journal.shape}, half way", why, "blnk-relay upgrade")
    number = int(journal.shape) if journal.shape.isdigit() else -1
    if not shape.OLDEST <= number <= shape.NEWEST:
        why = "workers and producers of this version leave the journal alone"
        return Trouble(Severity.CRITICAL, f"{journal.shape}; {ours}", why, "start a version that knows it")
    if number < shape.NEWEST:
        why = "newer code works as the older would, and the release after it may not know that shape any more"
        return Trouble(
            Severity.WARNING, f"{journal.shape}; {ours}", why, "blnk-relay upgrade, once all are of this version"
        )
    return None


def identity_trouble(journal: JournalVitals) -> Trouble | None:
    """Whether the journal is that of another ledger than the settings mean."""
    if not journal.meant or not journal.ledger or journal.ledger == journal.meant:
        return None
    why = "workers with these settings do nothing for it, and producers are refused: work would be made twice"
    rebind = f"blnk-relay target rebind {journal.target}"
    mend = f"use another name for another ledger; for the same one at another address: {rebind}"
    return Trouble(
        Severity.CRITICAL, f"the journal is of {journal.ledger}, the settings say {journal.meant}", why, mend
    )


def key_trouble(journal: JournalVitals) -> Trouble | None:
    """Whether what is open, or waits for a human, needs an encryption key that whoever looks does not have."""
    letters = _letters_seen(journal.locked_letters)
    if not journal.locked:
        return _letters_trouble(letters) if letters else None
    number = sum(one.count for one in journal.locked)
    keys = " and ".join(dict.fromkeys(key_in_words(one.key) for one in journal.locked))
    longest_s = max(one.due_s for one in journal.locked)
    # One that a worker can read is taken as soon as it is due.
    overdue = longest_s > BEHIND_S
    lasting = f", the first of them for {span(longest_s)}" if overdue else ""
    intents = "1 open intent needs" if number == 1 else f"{number:,} open intents at least need"
    saw = f"{intents} encryption key {keys}, which is not in the settings here{lasting}"
    saw = f"{saw}; {letters}" if letters else saw
    why = "whoever lacks it leaves them alone: they are not sent, or not confirmed, before a worker has it"
    mend = f"give it back to all workers, behind the others in {PREFIX}ENCRYPTION_KEYS (of the target or of all)"
    return Trouble(Severity.CRITICAL if overdue else Severity.WARNING, saw, why, mend)


def _letters_trouble(saw: str) -> Trouble:
    why = "nobody can read here what they were; with a new reference none can be replayed, and others stand still"
    mend = f"give it back, behind the others in {PREFIX}ENCRYPTION_KEYS, before they are replayed; or discard them"
    return Trouble(Severity.WARNING, saw, why, mend)


def _letters_seen(letters: LockedLetters) -> str:
    """Dead letters that cannot be read here, in words; empty for none."""
    if not letters.count:
        return ""
    number = "1 dead letter" if letters.count == 1 else f"{letters.count:,} dead letters"
    least, needs = "" if letters.whole else " at least", "needs" if letters.count == 1 else "need"
    keys = " and ".join(map(key_in_words, letters.keys))
    return f"{number}{least} {needs} encryption key {keys}, which is not in the settings here"


def loss_trouble(journal: JournalVitals) -> Trouble | None:
    """Whether the journal has lost its last moments lately."""
    if journal.lost_s is None or journal.lost_s >= LOSS_NEWS_S:
        return None
    why = "Redis was restarted, failed over or set back: receipts of its last moments may be gone with it"
    mend = "enqueue again, under the old keys, what may have been accepted just before"
    return Trouble(Severity.WARNING, epoch_seen(journal), why, mend)


def epoch_seen(journal: JournalVitals) -> str:
    """The epoch of a journal in words."""
    number = journal.epoch.partition("-")[0]
    since = "nothing was ever lost" if journal.lost_s is None else f"since {span(journal.lost_s)}"
    return f"epoch {number}{'; ' if journal.lost_s is None else ', '}{since}"


def step_trouble(journal: JournalVitals) -> Trouble | None:
    """Whether the clock of its Redis has stepped lately."""
    if abs(journal.skew_s) < SKEW_S:
        return None
    why = "times of the journal are off from those of its server by as much, until they have come together again"
    saw = f"{journal.steps}, the last of which is {journal.skew_s:+.1f} s off"
    return Trouble(Severity.WARNING, saw, why, "see to the time service there")


def span(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> span(90)
        '1.5 min'
    """
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.1f} s"


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"
