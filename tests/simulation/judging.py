"""What is wrong with a run that is over: of its stories, by the books, and of each letter, whatever the books say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.jobs import Job
from blnk_relay.journal.status import Status
from blnk_relay.sandbox.books.frozen import Books
from tests.simulation.excuses import may_be_a_repeat, may_be_found, may_be_lost, may_be_told
from tests.simulation.run import Run
from tests.simulation.stories import Endings

#: What keeps a worker from saying what it did.
_SILENCING = ("crash", "freeze", "lose", "late", "refuse", "away", "stop", "rebind", "trip double")

#: Codes of letters that say that it may have been sent, and nothing more.
_MAY_BE_SENT = frozenset({"EXPIRED", "VANISHED", "STUCK_QUEUED", "UNDECIDED", "NOT_SHOWN"})


def judged(run: Run, statuses: Mapping[str, Status | None], parts: Mapping[str, Mapping[int, str]]) -> Iterator[str]:
    """What is wrong with how it ended.

    Args:
        run: Which is over.
        statuses: Of all that was enqueued, by key.
        parts: What the journal says of the items of letters of which not all is known.
    """
    books = run.ledger.books()
    yield from (f"books: {line}" for line in books.violations())
    # A journal that has trimmed an intent tells what came of it, and not of which kind it was.
    kinds = {item.key: item.intent.kind for told in run.stories for item in told.items}
    for told in run.stories:
        endings = Endings({item.key: _as_told(run, item.key, statuses[item.key]) for item in told.items})
        endings.parts = {
            key: parts[key] for key in endings if key in parts and not _is_of_a_life_before(run, key, statuses[key])
        }
        endings.forgotten = frozenset(key for key in endings if endings[key] is None and _is_forgotten(run, key))
        if any(id_of(DEFAULT_TARGET, key) in run.fencing.blind for key in endings):
            # It was handed out once more before anybody had noticed that the journal was set back.
            continue
        for key in endings:
            status = statuses[key]
            yield from _untrue(run, books, key, kinds[key], status)
            run.say(f"end of {key}: {_told(status)}")
        for problem in told.judge(books, endings):
            doubtful = any(
                _may_be_lost(run, key) or _may_be_another_one(run, books, key, kinds[key], statuses[key])
                for key in endings
            )
            if not (told.excused(problem) and doubtful):
                yield problem


def _is_of_a_life_before(run: Run, key: str, status: Status | None) -> bool:
    """Whether a letter was replayed, the journal has lost that since, and whoever reads the letter is told so."""
    if key not in run.replayed or status is None or status.state not in {"dead", "discarded"}:
        return False
    return status.perhaps_replayed or key in run.closed_in_doubt


def _as_told(run: Run, key: str, status: Status | None) -> Status | None:
    """How it ended, as far as the journal claims to know."""
    if status is None or not _is_of_a_life_before(run, key, status):
        return status
    return replace(status, dead_class="unknown")


def _is_forgotten(run: Run, key: str) -> bool:
    """Whether it was done, and the journal does not keep keys for long."""
    return bool(run.given["forgets"]) and id_of(DEFAULT_TARGET, key) in run.fencing.done


def _may_be_another_one(run: Run, books: Books, key: str, kind: str, status: Status | None) -> bool:
    """Whether what it is done as may count as a forgotten key's own, although another one has made it."""
    over_ms = run.fencing.over_ms.get(id_of(DEFAULT_TARGET, key), 0)
    if not over_ms or status is None or status.state != "done":
        return False
    made = (row.created_ns // 1_000_000 for row in books.rows if row.transaction_id == status.transaction_id)
    return any(may_be_a_repeat(kind, made_ms, over_ms) for made_ms in made)


def _may_be_lost(run: Run, key: str) -> bool:
    return may_be_lost(key, run.first_s.get(key, 0.0), run.losses)


def _may_be_unknown(run: Run, key: str, status: Status, left: int) -> bool:
    """Whether there was a reason for not knowing what became of it: nobody writes to this ledger but the relay."""
    match status.code:
        case "LAPSED_TOO_OFTEN":
            hurt = sum(n for what, n in run.struck.items() if "crash" in what or "freeze" in what)
            return hurt >= run.settings.max_lapses
        case code if code in _MAY_BE_SENT:
            # Whoever had it in hand was silent, and may have sent it for all that anybody can know.
            return left > 0 or _may_be_lost(run, key) or any(word in what for what in run.struck for word in _SILENCING)
        case "KEY_FORGOTTEN":
            return bool(run.given["forgets"])
        case code:
            return _may_be_lost(run, key) and may_be_told(status.kind, code)


def _untrue(run: Run, books: Books, key: str, kind: str, status: Status | None) -> Iterator[str]:
    """What is wrong with an ending whatever the books say."""
    if status is None:
        if key in run.receipts and not _is_forgotten(run, key):
            yield f"lost: {key} has a receipt, and the journal knows nothing of it"
        return
    left = run.ledger.left.get(status.id, 0)
    if status.state in {"dead", "discarded"}:
        if status.code == "CANNOT_BE_HANDLED":
            yield f"error: {key}: {status.message}"
        if status.dead_class == "refused" and "never sent" in status.message and left:
            yield f"untrue: {key}: {status.message!r}, and {left} requests left"
        if status.dead_class == "unknown" and not _may_be_unknown(run, key, status, left):
            yield f"untrue: {key}: unknown {status.code}, and there was no reason: {status.message}"
    found = (_may_be_lost(run, key) and may_be_found(kind)) or _may_be_another_one(run, books, key, kind, status)
    if status.state == "done" and left == 0 and not found:
        # After a loss some are done as well where the ledger shows what they ask for.
        yield f"untrue: {key} is done, and no request left for it"


def miscounted(jobs: Sequence[Job]) -> Iterator[str]:
    """What is wrong with what is said of jobs: each letter of a plan is done, refused or left, never two of these."""
    for job in jobs:
        if job.done + job.refused + job.left != job.total or (job.state == "done" and job.left):
            counts = f"{job.done} done, {job.refused} refused, {job.left} left of {job.total}"
            yield f"untrue: job {job.id} is {job.state}: {counts}"


def _told(status: Status | None) -> str:
    if status is None:
        return "nothing is known of it"
    ended = f"{status.state} {status.outcome}{status.dead_class} {status.code}"
    return f"{ended} {status.transaction_id} {status.message}".strip()
