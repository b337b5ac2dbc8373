"""Steps of a journal without any worker: what is claimed, finished, killed, swept and trimmed by hand."""

from __future__ import annotations

from blnk_relay import Relay, Write
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.status import Status
from tests.support.payments import payment

#: A lane, and two workers.
LANE = "transactions"
WORKER = "somewhere:1:abc"
ANOTHER = "elsewhere:2:def"

#: Gates.
WRITE, READ = "write", "read"


def enqueue(relay: Relay, *keys: str) -> None:
    """Enqueue payments."""
    relay.enqueue_many([Write(intent=payment(), key=key) for key in keys])


def kill(journal: Journal, claimed: Claimed, dead_class: str = "refused") -> None:
    """Make a dead letter of what was claimed."""
    fields = {"class": dead_class, "code": "NO", "message": "no"}
    journal.settle(WORKER, [Settlement(claimed, "sending", "dead", 0, fields)], [])


def finish(journal: Journal, *claims: Claimed, worker: str = WORKER) -> None:
    """Make an end of what was claimed."""
    journal.settle(
        worker, [Settlement(claimed, "sending", "done", 0, {"outcome": "applied"}) for claimed in claims], []
    )


def pay(relay: Relay, *keys: str) -> None:
    """Payments that are over."""
    enqueue(relay, *keys)
    finish(relay.journal(), *relay.journal().claim(LANE, WORKER, 100).items)


def bury(relay: Relay, *keys: str, dead_class: str = "refused") -> None:
    """Payments that are dead letters."""
    enqueue(relay, *keys)
    for claimed in relay.journal().claim(LANE, WORKER, 100).items:
        kill(relay.journal(), claimed, dead_class)


def sweep(journal: Journal) -> tuple[str, ...]:
    """Sweep at once; returns the lanes that were rung."""
    journal.client.delete(journal.key("sweep"))
    found = journal.sweep()
    assert found.swept
    return found.bells


def silence(journal: Journal, worker: str) -> None:
    """A worker dies."""
    journal.client.zadd(journal.key("workers"), {worker: 1})
    journal.client.delete(*(journal.key(f"{name}:{worker}") for name in ("looking", "alone", "skipped")))


def trim(journal: Journal) -> None:
    """Let the retention of all that is done pass."""
    for id_ in journal.client.zrange(journal.key("done"), 0, -1):
        journal.client.zadd(journal.key("done"), {id_: 1})
    sweep(journal)


def status(journal: Journal, key: str) -> Status:
    """What is known of an intent of the default target."""
    found = journal.status(id_of(DEFAULT_TARGET, key))
    assert found is not None
    return found
