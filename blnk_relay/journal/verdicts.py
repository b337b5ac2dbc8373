"""What is wrong, since when, how much of it there is, and what to do: from facts to verdicts, worst first. Pure.

Each sort of verdict stands once in :data:`SORTS`, with what it means; its name is also that of its part of the runbook
and of its alert. A verdict that somebody else finds (telemetry) needs an entry there and a :func:`verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from blnk_relay.environment import PREFIX
from blnk_relay.journal.overview import GateView, Overview
from blnk_relay.journal.question import NO_CODE
from blnk_relay.journal.status import moment
from blnk_relay.journal.troubles import (
    BEHIND_S,
    Severity,
    Trouble,
    clock_trouble,
    eviction_trouble,
    identity_trouble,
    key_trouble,
    loss_trouble,
    memory_trouble,
    persistence_trouble,
    shape_trouble,
    span,
    step_trouble,
)
from blnk_relay.journal.vitals import JournalVitals, ServerVitals
from blnk_relay.journal.workers import WorkerView, serving
from blnk_relay.journal.workers import together as workers_together
from blnk_relay.settings import CONFIRM_LANE, Settings

#: For how long the death of a worker is news.
_DEATH_NEWS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of verdict.

    Attributes:
        name: Stable: for programs, alerts and the runbook.
        severity: How bad it is at its worst.
        means: What it means for whoever enqueues, in one sentence.
    """

    name: str
    severity: Severity
    means: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that is wrong.

    Attributes:
        sort: Of which sort; see :data:`SORTS`.
        target: Which ledger it is about; empty where it is about none alone.
        lane: Which lane; empty where it is about none alone.
        severity: How bad it is.
        since: Since when, by the journal's clock; None where nobody can tell.
        count: How many intents, letters, workers or servers it is about; 0 where it is about none.
        what: What was seen, in one sentence.
        means: What that means.
        remedy: What to do: a command to type, or a sentence.
        intent: The id of the intent to look at first; empty where it is about none, or nobody knows which.
    """

    sort: str
    target: str
    lane: str
    severity: Severity
    since: datetime | None
    count: int
    what: str
    means: str
    remedy: str
    intent: str = ""

    @property
    def fails(self) -> bool:
        """Whether ``status --check`` fails for it: it is critical or a warning. A notice needs nobody now."""
        return self.severity != Severity.NOTICE


def _sorts(*sorts: Sort) -> Mapping[str, Sort]:
    return MappingProxyType({sort.name: sort for sort in sorts})


_CRITICAL, _WARNING, _NOTICE = Severity.CRITICAL, Severity.WARNING, Severity.NOTICE

#: All sorts, in the order in which those of one severity are told.
SORTS: Mapping[str, Sort] = _sorts(
    Sort("journal-away", _CRITICAL, "Nothing is accepted or posted for this target, and nobody can see what is open."),
    Sort("journal-shape", _CRITICAL, "This version leaves the journal alone, or works with it as an older one would."),
    Sort("journal-foreign", _CRITICAL, "Producers and workers of these settings are refused: another ledger is meant."),
    Sort(
        "encryption-key",
        _CRITICAL,
        "Who lacks the key can neither send nor confirm what needs it, nor read its letters; nothing of it is lost.",
    ),
    Sort("redis-memory", _CRITICAL, "Once Redis is full nothing new is accepted; work that is there goes on."),
    Sort("redis-persistence", _CRITICAL, "A restart of Redis may lose receipts."),
    Sort("redis-eviction", _CRITICAL, "Redis may throw away intents that it has given receipts for."),
    Sort("no-worker", _CRITICAL, "What is accepted waits until somebody works for it; nothing is lost meanwhile."),
    Sort("worker-unwell", _CRITICAL, "It holds or hears work and finishes nothing; it ends by itself if that goes on."),
    Sort(
        "target-refuses",
        _CRITICAL,
        "The ledger takes no request of ours; one probe after the other asks whether it does again.",
    ),
    Sort(
        "target-unreachable",
        _CRITICAL,
        "Nothing gets to the ledger; one probe after the other asks whether it is back.",
    ),
    Sort(
        "target-paused", _WARNING, "A human has stopped all requests; nothing is sent before a human lets them go on."
    ),
    Sort("lane-paused", _WARNING, "A human has stopped this lane; nothing of it is sent before a human lets it go on."),
    Sort("oldest-open", _WARNING, "Somebody has waited for this outcome longer than is meant to be."),
    Sort("confirmations-late", _WARNING, "What was sent is not looked for at the ledger, so its outcome is not told."),
    Sort("dead-letters", _WARNING, "These writes are not in the books, or nobody can tell; each waits for a human."),
    Sort(
        "journal-lost", _WARNING, "Receipts of the last moments before may be gone; what was sent is looked up first."
    ),
    Sort(
        "worker-died",
        _WARNING,
        "It left without a farewell; what it held is looked up at the ledger before anything else.",
    ),
    Sort("history-behind", _WARNING, "What is over stays in Redis until it is copied, and needs room there."),
    Sort(
        "clocks-apart", _WARNING, "Times that applications reckon by their own clocks mean another time to the journal."
    ),
    Sort("target-slowed", _NOTICE, "The ledger asked for less; the pace rises again by itself."),
    Sort("versions-mixed", _NOTICE, "A rollout is under way, or a worker was forgotten."),
)

_ORDER = {name: place for place, name in enumerate(SORTS)}
_SEVERITIES = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Facts:
    """All that verdicts rest on, as it was read.

    Attributes:
        settings: What is asked for.
        journals: One for each target.
        servers: Each Redis that keeps a journal, with the targets whose journals those are.
    """

    settings: Settings
    journals: tuple[JournalVitals, ...] = ()
    servers: tuple[tuple[ServerVitals, tuple[str, ...]], ...] = ()


def verdict(
    sort: str,
    what: str,
    remedy: str,
    *,
    target: str = "",
    lane: str = "",
    since: datetime | None = None,
    count: int = 0,
    severity: Severity | None = None,
    intent: str = "",
) -> Verdict:
    """A verdict of a sort that :data:`SORTS` knows.

    Args:
        sort: Its name.
        what: What was seen.
        remedy: What to do.
        target: Which ledger it is about.
        lane: Which lane.
        since: Since when.
        count: How many it is about.
        severity: How bad it is; that of the sort when None.
        intent: The id of the one to look at first.
    """
    known = SORTS[sort]
    return Verdict(sort, target, lane, severity or known.severity, since, count, what, known.means, remedy, intent)


def verdicts(facts: Facts) -> tuple[Verdict, ...]:
    """All that is wrong, worst first; the same facts come to the same verdicts in the same order."""
    found: list[Verdict] = []
    for journal in facts.journals:
        if journal.failure:
            remedy = "blnk-relay doctor"
            found.append(verdict("journal-away", journal.failure, remedy, target=journal.target))
            continue
        for judge in _OF_JOURNAL:
            found += judge(journal, facts.settings)
    for server, targets in facts.servers:
        found += _of_server(server, targets)
    found += _of_workers(facts)
    return tuple(sorted(found, key=_place))


def _place(one: Verdict) -> tuple[int, int, str, str, int, str]:
    return _SEVERITIES[one.severity], _ORDER[one.sort], one.target, one.lane, -one.count, one.what


def _from_trouble(sort: str, trouble: Trouble | None, target: str, count: int = 0) -> Iterator[Verdict]:
    if trouble is not None:
        what = f"{trouble.saw}: {trouble.why}"
        yield verdict(sort, what, trouble.mend, target=target, count=count, severity=trouble.severity)


# -- of a journal ----------------------------------------------------------------------------------------------------


def _ground(journal: JournalVitals, _settings: Settings) -> Iterator[Verdict]:
    yield from _from_trouble("journal-shape", shape_trouble(journal), journal.target)
    yield from _from_trouble("journal-foreign", identity_trouble(journal), journal.target)
    locked = sum(one.count for one in journal.locked) + journal.locked_letters.count
    yield from _from_trouble("encryption-key", key_trouble(journal), journal.target, locked)
    yield from _from_trouble("clocks-apart", step_trouble(journal), journal.target)
    trouble = loss_trouble(journal)
    if trouble is not None:
        since = None if journal.lost_s is None else _ago(journal, journal.lost_s)
        what = f"{trouble.saw}: {trouble.why}"
        yield verdict("journal-lost", what, trouble.mend, target=journal.target, since=since)


def _lanes(journal: JournalVitals, settings: Settings) -> Iterator[Verdict]:
    """Lanes that nobody serves, and those that are paused."""
    overview = journal.overview
    if overview is None:
        return
    working = [worker for worker in journal.workers if worker.state == "running"]
    # What was a target once, and has nothing left to do, needs nobody.
    if not working and (overview.open or journal.target in settings.ledgers):
        yield _nobody(journal, settings, overview, "")
    for depth in overview.lanes:
        count = depth.due + depth.later
        if working and not serving(working, depth.lane) and (count or depth.lane in settings.lanes):
            yield _nobody(journal, settings, overview, depth.lane)
        if depth.pause is not None:
            who, why = depth.pause.who or "somebody", f": {depth.pause.reason}" if depth.pause.reason else ""
            yield verdict(
                "lane-paused",
                f"paused by {who}{why}; {_many(count, 'intent')} in it; it has no end of its own",
                f"blnk-relay resume {depth.lane}",
                target=journal.target,
                lane=depth.lane,
                since=depth.pause.since,
                count=count,
                severity=_WARNING if count else _NOTICE,
            )


def _nobody(journal: JournalVitals, settings: Settings, overview: Overview, lane: str) -> Verdict:
    """That no worker takes from a lane, or from any."""
    depth = next((depth for depth in overview.lanes if lane and depth.lane == lane), None)
    count = overview.open if depth is None else depth.due + depth.later
    left = [worker for worker in journal.workers if worker.state != "running" and _serves(worker, lane)]
    last = max((worker.seen for worker in left if not worker.alive), default=None)
    hushed = [worker for worker in left if worker.alive]
    what = f"no worker serves {f'lane {lane}' if lane else 'this target'}"
    if hushed:
        what += f"; {_many(len(hushed), 'worker')} {'is' if len(hushed) == 1 else 'are'} quiet or stopping"
    elif last is not None:
        what += f"; the last one fell silent at {last:%H:%M:%SZ}"
    remedy = "blnk-relay worker" if depth is None else f"blnk-relay worker --lane {lane}"
    if journal.target not in settings.ledgers:
        # A worker of these settings would not serve it either; the doctor says the same.
        what += "; the settings do not name it"
        remedy = f"name it in {PREFIX}TARGETS of a worker"
    waiting = f"; {_many(count, 'intent')} wait{'s' if count == 1 else ''}" if count else ""
    return verdict(
        "no-worker",
        what + waiting,
        remedy,
        target=journal.target,
        lane=lane,
        since=None if hushed else last,
        count=count,
        severity=_CRITICAL if count else _WARNING,
    )


def _serves(worker: WorkerView, lane: str) -> bool:
    return not lane or lane in worker.sign.lanes


def _gates(journal: JournalVitals, _settings: Settings) -> Iterator[Verdict]:
    """What the ledger does not let through, or a human."""
    overview = journal.overview
    gates = () if overview is None else overview.gates
    shut: dict[tuple[str, str], list[GateView]] = {}
    for gate in gates:
        shut.setdefault((_sort_of(gate), gate.side if gate.side.startswith("lane:") else ""), []).append(gate)
    for (sort, side), those in shut.items():
        first = min(those, key=lambda gate: gate.since or datetime.max.replace(tzinfo=UTC))
        sides = " and ".join({"write": "writes", "read": "reads"}.get(gate.side, gate.side) for gate in those)
        lane = side.removeprefix("lane:")
        yield verdict(
            sort,
            _gate_seen(sort, first, sides),
            _GATE_REMEDIES[sort].format(target=journal.target),
            target=journal.target,
            lane=lane,
            since=first.since,
            count=0 if overview is None else _held_up(overview, lane, those),
        )


def _sort_of(gate: GateView) -> str:
    if gate.manual:
        return "target-paused"
    return {"unreachable": "target-unreachable", "paused": "target-refuses"}.get(gate.state, "target-slowed")


_GATE_REMEDIES = {
    "target-paused": "blnk-relay resume --target {target}",
    "target-refuses": "put the credential right ({target}); see 'blnk-relay doctor --target {target}'",
    "target-unreachable": "blnk-relay doctor --target {target}",
    "target-slowed": "nothing; if it stays, ask the ledger's operator for a higher limit",
}


def _gate_seen(sort: str, gate: GateView, sides: str) -> str:
    note = f": {gate.note}" if gate.note else ""
    match sort:
        case "target-paused":
            return f"{sides} paused by {gate.who or 'somebody'}{note}; it has no end of its own"
        case "target-refuses":
            return f"{sides} refused with {gate.code}{note}"
        case "target-unreachable":
            return f"{sides} do not arrive ({gate.code}){note}"
    return f"{sides} slowed to {gate.rate} a second ({gate.code}){note}"


def _held_up(overview: Overview, lane: str, gates: Sequence[GateView]) -> int:
    """How many intents wait for it."""
    if lane:
        return sum(depth.due + depth.later for depth in overview.lanes if depth.lane == lane)
    if all(gate.side == "read" for gate in gates):
        return overview.posted
    return overview.open


def _ages(journal: JournalVitals, settings: Settings) -> Iterator[Verdict]:
    """What has been open for too long, and looks that nobody makes."""
    overview = journal.overview
    if overview is None:
        return
    rows = [
        *((depth.lane, depth.oldest_open_s, depth.late, depth.oldest_open) for depth in overview.lanes),
        ("", overview.oldest_waiting_s, overview.late_waiting, overview.oldest_waiting),
    ]
    for lane, age_s, late, oldest in rows:
        if age_s > settings.late_s:
            state = "has waited for another intent" if not lane else "has been open"
            yield verdict(
                "oldest-open",
                f"the oldest {state} for {span(age_s)}; {PREFIX}LATE_S is {settings.late_s:g}",
                f"blnk-relay show {oldest} --target {journal.target}",
                target=journal.target,
                lane=lane,
                since=_ago(journal, age_s),
                count=max(1, late),
                intent=oldest,
            )
    if overview.oldest_posted_s > BEHIND_S:
        yield verdict(
            "confirmations-late",
            f"{overview.posted:,} sent and unconfirmed; the first look is overdue for {span(overview.oldest_posted_s)}",
            "blnk-relay workers; see that one runs, and that reads of the ledger answer",
            target=journal.target,
            lane=CONFIRM_LANE,
            since=_ago(journal, overview.oldest_posted_s),
            count=overview.posted,
        )


def _letters(journal: JournalVitals, _settings: Settings) -> Iterator[Verdict]:
    """Dead letters of the last hour that nobody has dealt with, by what they died of."""
    for cause in journal.fresh:
        last = "" if cause.last == cause.first else f", the last of them at {cause.last:%H:%M:%SZ}"
        code = cause.code or "no code"
        yield verdict(
            "dead-letters",
            f"{cause.kind}: {_many(cause.count, 'letter')} {cause.dead_class} with {code} within the last hour" + last,
            f"blnk-relay dead list --code {cause.code or NO_CODE} --kind {cause.kind} --target {journal.target}",
            target=journal.target,
            since=cause.first,
            count=cause.count,
        )
    # Those of further causes, and those that no cause accounts for.
    rest = journal.new_letters - sum(cause.count for cause in journal.fresh)
    if rest > 0:
        yield verdict(
            "dead-letters",
            f"{_many(rest, 'letter')}{' of other causes' if journal.fresh else ''} within the last hour",
            f"blnk-relay dead summary --target {journal.target}",
            target=journal.target,
            count=rest,
        )


def _history(journal: JournalVitals, _settings: Settings) -> Iterator[Verdict]:
    """What is over and not copied, and what keeps it from being copied."""
    lag = journal.history
    if lag is None:
        return
    alone = lag.on and not lag.trouble and (lag.seen_s is None or lag.seen_s > BEHIND_S)
    if not (lag.trouble or alone or (lag.on and lag.oldest_s > BEHIND_S)):
        return
    count = lag.uncopied + lag.walking
    what = f"{_many(count, 'finished intent')} not copied" if lag.on else "history has not begun"
    if lag.held:
        what += f", {lag.held:,} of them kept for that alone"
    why, remedy = _IN_THE_WAY.get(lag.trouble, (f"the database: {lag.trouble}", _BRING_BACK))
    if alone and lag.begun_s is not None and lag.begun_s <= _PAGE_S:
        why, remedy = "a worker has begun a page, and the database has not answered it yet", _BRING_BACK
    elif alone:
        why, remedy = _NOBODY_COPIES
    elif not lag.trouble:
        why, remedy = "the workers that copy do not keep up", f"blnk-relay history status --target {journal.target}"
    yield verdict(
        "history-behind",
        f"{what}; {why}",
        remedy,
        target=journal.target,
        since=_ago(journal, max(lag.trouble_s, lag.oldest_s, (lag.seen_s or 0.0) if alone else 0.0)),
        count=count,
    )


#: After which whoever has begun a page is no more: each of its statements ends within about a minute, or the page does.
_PAGE_S = 600.0

_BRING_BACK = "bring the database back; see 'blnk-relay history status'"

#: What keeps history from going on, by the word that is noted: in a sentence, and what to do.
_IN_THE_WAY = {
    "schema": ("the database does not have the tables of this version", "blnk-relay history upgrade"),
    "newer": ("the tables of the database are of a newer version", "bring the workers up to that version"),
    "encoding": ("the database has an encoding that does not hold every text", "make one with encoding UTF8"),
    "unforeseen": ("an error of this version, which workers log as history_behind", "report it"),
    "shape": ("the journal has an older shape", "blnk-relay upgrade"),
    "database": (
        "workers copy into different databases",
        f"give all workers the same {PREFIX}HISTORY_URL",
    ),
    "journal": (
        "another journal of this name is copied into the same database",
        f"give one of the two another {PREFIX}HISTORY_URL",
    ),
}

_NOBODY_COPIES = (
    "no worker looks for what is to be copied",
    f"start a worker with {PREFIX}HISTORY_URL, or: blnk-relay history off --reason 'no longer kept'",
)


def _ago(journal: JournalVitals, seconds: float) -> datetime:
    return moment(int(journal.now_ms - seconds * 1000))


_OF_JOURNAL: tuple[Callable[[JournalVitals, Settings], Iterator[Verdict]], ...] = (
    _ground,
    _lanes,
    _gates,
    _ages,
    _letters,
    _history,
)


# -- of servers and workers ---------------------------------------------------------------------------------


def _of_server(server: ServerVitals, targets: Sequence[str]) -> Iterator[Verdict]:
    if server.failure:
        # Their journals say so, one by one.
        return
    target = targets[0] if len(targets) == 1 else ""
    for sort, trouble in (
        ("redis-memory", memory_trouble(server)),
        ("redis-persistence", persistence_trouble(server)),
        ("redis-eviction", eviction_trouble(server)),
        ("clocks-apart", clock_trouble(server)),
    ):
        if trouble is not None:
            what = f"the Redis of {server.variable}: {trouble.saw}: {trouble.why}"
            yield verdict(sort, what, trouble.mend, target=target, count=len(targets), severity=trouble.severity)


def _of_workers(facts: Facts) -> Iterator[Verdict]:
    """Those who died, make no progress, or are of several versions; each once, however many targets they serve."""
    now_ms = max((journal.now_ms for journal in facts.journals), default=0)
    workers = workers_together([journal.workers for journal in facts.journals])
    for worker in workers:
        if worker.alive and worker.sign.unwell:
            yield verdict(
                "worker-unwell",
                f"{worker.name}: {worker.sign.unwell}",
                f"blnk-relay workers stop {worker.name} --reason 'no progress'",
                count=worker.in_hand,
            )
    dead = [worker for worker in workers if not worker.alive and moment(now_ms) - worker.seen <= _DEATH_NEWS]
    if dead:
        held = sum(worker.held for worker in dead)
        names = ", ".join(worker.place for worker in dead[:3]) + (", …" if len(dead) > 3 else "")  # noqa: PLR2004
        yield verdict(
            "worker-died",
            f"{_many(len(dead), 'worker')} left silently within the last hour ({names}), holding {held:,}",
            "blnk-relay workers",
            since=min(worker.seen for worker in dead),
            count=len(dead),
        )
    versions = sorted({worker.version or "of before" for worker in workers if worker.alive})
    if len(versions) > 1:
        yield verdict(
            "versions-mixed",
            f"workers of versions {', '.join(versions)}",
            "blnk-relay workers; replace the older ones",
            count=sum(worker.alive for worker in workers),
        )


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
