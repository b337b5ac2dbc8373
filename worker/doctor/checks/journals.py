"""What speaks for or against a journal."""

from __future__ import annotations

from collections.abc import Iterator

from blnk_relay.bell import queue_of
from blnk_relay.environment import PREFIX
from blnk_relay.errors import key_in_words
from blnk_relay.journal import shape
from blnk_relay.journal.tried import Access
from blnk_relay.journal.troubles import (
    BEHIND_S,
    epoch_seen,
    identity_trouble,
    key_trouble,
    loss_trouble,
    shape_trouble,
    span,
    step_trouble,
)
from blnk_relay.journal.vitals import JournalVitals
from blnk_relay.journal.workers import serving
from blnk_relay.settings import Settings
from worker.doctor.checks.about import GUARANTEES, REDIS, TARGETS, UPGRADES, About, runbook
from worker.doctor.checks.ways import UNHEARD
from worker.doctor.facts import BrokerFacts, Stray
from worker.doctor.findings import Finding

#: What to do where no worker is.
_START = "start a worker: blnk-relay worker"


def known_shape(journal: JournalVitals) -> Finding:
    """Whether this version knows the shape of the journal."""
    about = About("shape", f"target {journal.target}", "the shape that is noted in the journal", UPGRADES)
    ours = f"this version knows {shape.OLDEST} to {shape.NEWEST}"
    if not journal.shape:
        return about.ok(f"nothing is recorded yet; {ours}")
    if trouble := shape_trouble(journal):
        return about.of(trouble)
    return about.ok(f"{journal.shape}; {ours}")


def identity(journal: JournalVitals) -> Finding:
    """Whether the journal is that of the ledger that the settings mean."""
    about = About(
        "identity", f"target {journal.target}", "the ledger that the journal belongs to", runbook("journal-foreign")
    )
    if not journal.meant or not journal.ledger:
        return about.ok(journal.ledger or journal.meant or "nobody has said yet which ledger it is")
    if trouble := identity_trouble(journal):
        return about.of(trouble)
    return about.ok(journal.ledger)


def losses(journal: JournalVitals) -> Finding:
    """Whether the journal has lost its last moments lately."""
    about = About("epoch", f"target {journal.target}", "the epoch of the journal, and since when", GUARANTEES)
    if not journal.epoch:
        return about.ok("no worker was here yet")
    trouble = loss_trouble(journal)
    return about.of(trouble) if trouble else about.ok(epoch_seen(journal))


def steps(journal: JournalVitals) -> Finding:
    """Whether the clock of its Redis has stepped lately."""
    about = About("steps", f"target {journal.target}", "steps of the clock of Redis", f"{GUARANTEES}#when-clocks-step")
    if trouble := step_trouble(journal):
        return about.of(trouble)
    return about.ok(f"{journal.steps}" if journal.steps else "none")


def programs(journal: JournalVitals) -> Finding:
    """Whether anybody works for it, and all alike."""
    looked_at = "signs of life of worker programs, with their versions"
    link = runbook("versions-mixed" if journal.programs else "no-worker")
    about = About("workers", f"target {journal.target}", looked_at, link)
    overview = journal.overview
    if not journal.programs:
        if overview is not None and overview.open:
            return about.failure(f"none, and {overview.open:,} intents are open", "nothing is posted", _START)
        return about.warning("none", "nothing would be posted", _START)
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


def encryption(journal: JournalVitals) -> Finding:
    """Whether what is open, and what waits for a human, can be read with the keys that are at hand."""
    about = About(
        "encryption",
        f"target {journal.target}",
        "keys that the first intents of each lane and dead letters need",
        runbook("encryption-key"),
    )
    trouble = key_trouble(journal)
    if trouble is None:
        return about.ok("none that is not at hand")
    return (about.failure if journal.locked else about.warning)(trouble.saw, trouble.why, trouble.mend)


def lanes(journal: JournalVitals, broker: BrokerFacts | None, settings: Settings) -> Iterator[Finding]:
    """Whether what is due in each lane is taken, and would be."""
    for depth in () if journal.overview is None else journal.overview.lanes:
        bells = 0 if broker is None or broker.waiting is None else broker.waiting.get(queue_of(settings, depth.lane), 0)
        unheard = bool(depth.due) and bells >= UNHEARD
        alone = not serving(journal.workers, depth.lane) and (depth.lane in settings.lanes or depth.due or depth.later)
        locked = any(one.lane == depth.lane for one in journal.locked)
        sort = "lane-paused" if depth.pause is not None else "no-worker" if unheard or alone else "oldest-open"
        looked_at = "due work, workers that serve the lane, and bells that lie in the broker"
        of = f"target {journal.target}, lane {depth.lane}"
        about = About("lane", of, looked_at, runbook(sort))
        saw = f"{depth.due:,} due, the oldest for {span(depth.oldest_due_s)}"
        if depth.pause is not None:
            yield about.warning(
                f"paused by {depth.pause.who or 'somebody'}; {saw}",
                "nothing in it is sent",
                f"blnk-relay resume {depth.lane}",
            )
        elif unheard or alone:
            why = "no worker listens to this lane" if unheard else "no worker serves this lane"
            start = f"start a worker that serves it: blnk-relay worker --lane {depth.lane}"
            told = about.failure if depth.due or depth.later else about.warning
            yield told(f"{saw}; {bells} bells unheard" if unheard else saw, why, start)
        elif depth.due and depth.oldest_due_s > BEHIND_S and locked:
            yield about.warning(saw, "the first in it need a key that is not at hand", "see the check of encryption")
        elif depth.due and depth.oldest_due_s > BEHIND_S:
            yield about.warning(
                saw, "workers do not keep up, or a gate is shut", "see gates and workers; start more of them"
            )
        else:
            yield about.ok(saw)


def gates(journal: JournalVitals) -> Finding:
    """Whether requests go through."""
    found = () if journal.overview is None else journal.overview.gates
    shut = [gate for gate in found if gate.state in ("paused", "unreachable")]
    ours = [gate for gate in shut if not gate.manual]
    away = any(gate.state == "unreachable" for gate in ours)
    sort = "target-unreachable" if away else "target-refuses" if ours else "target-paused"
    about = About("gates", f"target {journal.target}", "gates of writes, reads and lanes", runbook(sort))
    told = ", ".join(f"{gate.side} {gate.state} ({gate.code})" for gate in shut)
    if ours:
        mend = "put the credential or the way there right: one request tries each probe, and the gate opens by itself"
        return about.failure(told, "nothing goes through it", mend)
    if shut:
        return about.warning(told, "nothing goes through it", f"blnk-relay resume --target {journal.target}")
    slowed = ", ".join(f"{gate.side} ({gate.code}, {gate.rate}/s)" for gate in found)
    return about.ok(f"slowed: {slowed}" if slowed else "all open")


def letters(journal: JournalVitals) -> Finding:
    """Whether dead letters wait for a human, and grow."""
    about = About(
        "letters", f"target {journal.target}", "dead letters, and those of the last hour", runbook("dead-letters")
    )
    dead = 0 if journal.overview is None else journal.overview.dead
    saw = f"{dead:,}, {journal.new_letters:,} of them of the last hour"
    if journal.new_letters:
        return about.warning(
            saw, "something makes letters now", "blnk-relay dead list; put the cause right, then replay"
        )
    if dead:
        return about.warning(saw, "each waits for a human", "blnk-relay dead list; replay or discard them")
    return about.ok("none")


def causes(journal: JournalVitals) -> Finding:
    """Whether each dead letter stands in the list of its cause, and nothing else does."""
    about = About(
        "causes", f"target {journal.target}", "dead letters, and the lists of them by cause", runbook("dead-letters")
    )
    if journal.uncounted:
        return about.warning(
            f"{journal.uncounted:,} not accounted for",
            "sums and counts by cause miss them, or tell of letters that are gone, as an older version left them",
            "blnk-relay dead summary --recount",
        )
    return about.ok("all are accounted for")


def oldest(journal: JournalVitals, settings: Settings) -> Finding:
    """Whether anything has been open for too long."""
    about = About("oldest", f"target {journal.target}", "ages of what is open", runbook("oldest-open"))
    if journal.overview is None:
        return about.ok("nothing is open")
    age_s = max(journal.overview.oldest_open_s, journal.overview.oldest_posted_s)
    if age_s > settings.late_s:
        why = f"{PREFIX}LATE_S is {settings.late_s:g}; at {PREFIX}DEADLINE_S it becomes a dead letter"
        return about.warning(span(age_s), why, "blnk-relay status; see gates, workers and the ledger's own queue")
    return about.ok(f"the oldest that is due or was tried: {span(age_s)}")


def readable(journal: JournalVitals) -> Finding:
    """Whether the journal could be read at all."""
    about = About("journal", f"target {journal.target}", "the journal's own keys", runbook("journal-away"))
    if journal.failure:
        return about.failure(journal.failure, "nothing is accepted or posted for this target", "see the sentence")
    return about.ok("it can be read")


def writes(access: Access) -> Finding:
    """Whether the server takes writes for the journal, and its user has the rights that they need."""
    looked_at = "a script that could write, and asks for the rights of its user instead"
    about = About("writes", f"target {access.target}", looked_at, REDIS)
    if access.failure:
        mend = "see the sentence; INFO of that server says why it refuses: a snapshot that failed, too few replicas …"
        return about.failure(access.failure, "nothing is accepted or posted for this target", mend)
    if access.refused:
        why = "what needs it fails, some of it half way: an end may be recorded of which nobody is told"
        mend = f"allow it {' '.join(f'+{command}' for command in access.refused)} in its ACL"
        return about.failure(f"the user may not: {', '.join(access.refused)}", why, mend)
    return about.ok("the server takes writes, and the user has the rights for them")


def secret(access: Access) -> Finding:
    """Whether producers that begin with these settings can enqueue, and what they enqueue is hidden."""
    about = About(
        "secret",
        f"target {access.target}",
        "the key of the secret that fingerprints are made with",
        runbook("encryption-key"),
    )
    if not access.under:
        return about.ok("there is none yet, or it is not seen")
    if access.keyless:
        why = "what is enqueued with these settings stands in the clear, and repeats of what is encrypted are refused"
        mend = f"set {PREFIX}ENCRYPTION_KEYS here too, unless encryption is to end"
        return about.warning(f"under key {key_in_words(access.under)}; here there is no key", why, mend)
    if not access.held:
        why = "no producer that begins with these settings can enqueue"
        mend = f"give the key back, behind the others in {PREFIX}ENCRYPTION_KEYS (of the target or of all)"
        return about.failure(
            f"it is under key {key_in_words(access.under)}, which is not in the settings here", why, mend
        )
    return about.ok("its key is at hand")


def stray(found: Stray) -> Finding:
    """Whether work lies where nobody looks."""
    about = About("strays", f"target {found.target}", f"journals on the Redis of {found.where}", TARGETS)
    what = "the settings have its journal on another Redis" if found.moved else "the settings do not name it"
    if not found.has_open:
        return about.ok(f"{what}; nothing in it is open")
    if found.programs and not found.moved:
        return about.ok(f"{what}; {found.programs} worker programs with other settings work for it")
    mend = "start a worker whose settings have it there" if found.moved else f"name it in {PREFIX}TARGETS of a worker"
    return about.failure(f"{what}; intents in it are open and nobody works for it", "they are never posted", mend)
