"""Every metric: its name, its type, what it says, its labels. ``docs/metrics.md`` is made from this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: First part of all names.
PREFIX = "blnk_relay_"

Sort = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Name:
    """One metric.

    Attributes:
        name: Without the prefix; of a counter without ``_total``.
        sort: Its type.
        help: What it says.
        labels: Of each of its series.
        of: What it is a fact of: ``journal`` (each process that is asked says the same) or ``process``.
    """

    name: str
    sort: Sort
    help: str
    labels: tuple[str, ...] = ("target",)
    of: Literal["journal", "process"] = "journal"

    @property
    def full(self) -> str:
        """As it stands in queries."""
        return f"{PREFIX}{self.name}{'_total' if self.sort == 'counter' else ''}"


UP = Name("journal_up", "gauge", "Whether the journal could be read now; if not, nothing else is told of it.")
INTENTS = Name(
    "intents",
    "gauge",
    "Intents by state: due and later (both are ready), waiting, sending, posted, done, dead, discarded. Only due and "
    "later are counted by lane; done are those that are still kept, cancelled ones among them.",
    ("target", "state", "lane"),
)
BACKLOG = Name("backlog", "gauge", "Intents that are due or in the hands of workers: the number to scale workers by.")
OLDEST_OPEN = Name(
    "oldest_open_seconds",
    "gauge",
    "Age, since it was accepted, of the oldest intent that is due or was tried in vain; no retry makes it younger.",
    ("target", "lane"),
)
CONFIRMATION_LAG = Name(
    "confirmation_lag_seconds", "gauge", "For how long the most overdue look at the ledger has been due."
)
LANE_PAUSED = Name("lane_paused", "gauge", "Whether an operator has paused the lane.", ("target", "lane"))
GATE = Name(
    "gate",
    "gauge",
    "1 for the state in which a side (write, read, or lane: and its name) of the target is: open, slowed, paused or "
    "unreachable; by names who paused it (operator or worker), code says why.",
    ("target", "side", "state", "by", "code"),
)
WORKERS = Name(
    "workers",
    "gauge",
    "Worker programs by state: running, quiet, stopping; dead: those that left without a farewell within half a day.",
    ("target", "state"),
)
WORKERS_UNWELL = Name("workers_unwell", "gauge", "Worker programs that have something to do and finish nothing.")
LANE_WORKERS = Name("lane_workers", "gauge", "Worker programs that run and serve the lane.", ("target", "lane"))
WORKER_VERSIONS = Name("worker_versions", "gauge", "How many versions those that are alive are of.")
LOCKED = Name(
    "intents_locked",
    "gauge",
    "Open intents, of the first ten of each lane, whose encryption key the process that is asked does not have.",
)
LOCKED_LETTERS = Name(
    "letters_locked",
    "gauge",
    "Dead letters, of the oldest and the newest fifty, whose encryption key the process that is asked does not have.",
)
FOREIGN = Name(
    "journal_foreign",
    "gauge",
    "Whether the journal belongs to another ledger than the settings of the process that is asked mean.",
)
LOST = Name(
    "journal_lost", "gauge", "Whether Redis has come back within the last hour, perhaps without its last moments."
)
REDIS_MEMORY = Name("redis_memory_used_bytes", "gauge", "Memory in use by the Redis that keeps the journal.")
REDIS_LIMIT = Name("redis_memory_limit_bytes", "gauge", "Its maxmemory, or else the memory of its machine.")
REDIS_EVICTS = Name("redis_evicts", "gauge", "Whether it would evict intents when it is full (maxmemory-policy).")
REDIS_APPENDS = Name("redis_append_only", "gauge", "Whether its append-only file is on.")
REDIS_FAILING = Name("redis_persistence_failing", "gauge", "Whether the last write of its append-only file failed.")
REDIS_SNAPSHOTS_FAILING = Name(
    "redis_snapshots_failing", "gauge", "Whether its last snapshot, or rewrite of its append-only file, failed."
)
REDIS_REPLICAS = Name("redis_replicas", "gauge", "Replicas that are connected to it.")
HISTORY_LAG = Name(
    "history_lag_seconds",
    "gauge",
    "For how long the oldest that is over has waited to be copied into history; 0 where none does, nothing where "
    "history is off.",
)
HISTORY_UNCOPIED = Name(
    "history_uncopied", "gauge", "What is over, or was replayed, and is not copied into history yet."
)
HISTORY_TROUBLED = Name(
    "history_troubled", "gauge", "Whether something keeps history from being copied, also where it could not begin."
)
CLOCK_AHEAD = Name(
    "clock_ahead_seconds", "gauge", "How far the journal's time is ahead of the clock of the machine that is asked."
)

ACCEPTED = Name("accepted", "counter", "Intents that were accepted: what came in.", ("target", "kind"))
DONE = Name("done", "counter", "Intents that came to an outcome: what went out.", ("target", "kind", "outcome"))
DEAD = Name("dead", "counter", "Intents that became dead letters.", ("target", "kind", "class", "code"))
CANCELLED = Name("cancelled", "counter", "Intents that were taken back before they were sent.")
REPLAYED = Name("replayed", "counter", "Dead letters that were replayed.", ("target", "kind"))
DISCARDED = Name("discarded", "counter", "Dead letters that were closed by a human.", ("target", "kind"))
ATTEMPTS = Name(
    "attempts", "counter", "Attempts to send, by what came back: 1xx to 5xx, not_sent, broken.", ("target", "status")
)
RETRIES = Name("retries", "counter", "Attempts that were not the first of their intent.")
LOOK_UPS = Name("look_ups", "counter", "Ambiguous attempts that were settled by looking at the ledger.")
SENT_AGAIN = Name("sent_again", "counter", "Intents that were sent again because the ledger did not show them.")
LAPSES = Name("lapses", "counter", "Leases that lapsed: their worker died, or lost touch with the journal.")
STALE = Name("stale_verdicts", "counter", "Verdicts that changed nothing, because somebody else had the lease by then.")
GIVEN_BACK = Name("given_back", "counter", "Intents that were claimed and given back unsent.")
FAULTS = Name("faults", "counter", "Times that the code which handles an intent failed.")
UNREAD = Name("unread", "counter", "Looks that failed because a resource could not be read.", ("target", "resource"))
RENEWED = Name("renewed", "counter", "Intents that the ledger took back, sent again under new references.")
GATE_CHANGES = Name(
    "gate_changes",
    "counter",
    "Times that a side of the target was paused, slowed, found unreachable, or opened.",
    ("target", "change", "code"),
)
EPOCHS = Name("epochs", "counter", "Times that another process of Redis has taken over the journal.")
CLOCK_STEPS = Name(
    "clock_steps", "counter", "Steps of Redis's clock, forward or back, that were taken off.", ("target", "direction")
)
OAUTH = Name("oauth_refreshes", "counter", "Refreshed access tokens: done or failed.", ("target", "result"))

BUILD = Name("build_info", "gauge", "1; the version of blnk-relay that this process runs.", ("version",), "process")
ACCEPT_TO_SENT = Name(
    "accept_to_sent_seconds",
    "histogram",
    "Time from the acceptance of an intent until it was first sent; waits for its turn, for others or for its time are "
    "in it.",
    ("target", "lane"),
    "process",
)
SENT_TO_CONFIRMED = Name(
    "sent_to_confirmed_seconds",
    "histogram",
    "Time from when an intent was first sent until its outcome was confirmed.",
    ("target", "lane"),
    "process",
)
ACCEPT_TO_CONFIRMED = Name(
    "accept_to_confirmed_seconds",
    "histogram",
    "Time from the acceptance of an intent until its outcome was confirmed.",
    ("target", "lane"),
    "process",
)
REQUESTS = Name(
    "request_seconds",
    "histogram",
    "Time that requests to the ledger took, by side (write, read) and by what came back: 1xx to 5xx, not_sent, broken.",
    ("target", "side", "status"),
    "process",
)

#: All of them, in the order of the page.
NAMES: tuple[Name, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Name))
