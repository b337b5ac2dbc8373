"""Leave a journal with something in every state, and freeze it: ``.venv/bin/python -m tests.frozen``.

It is made once for each shape, by the last code that has that shape as its newest, and never again: what it is there
for is that later code finishes what this code has begun.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import redis

from blnk_relay import (
    Leg,
    Operator,
    Settings,
    Write,
    bulk_transactions,
    commit_hold,
    create_balance,
    create_ledger,
    refund,
    result_of,
    split_transaction,
    upload_records,
    void_hold,
)
from blnk_relay.bell import queue_of
from blnk_relay.intents.decision import Dead, DeadClass
from blnk_relay.intents.exchange import GateAction, GateChange
from blnk_relay.intents.intent import Entry
from blnk_relay.journal import shape
from blnk_relay.journal.events import Events
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.tokens import Tokens, TokenStore
from blnk_relay.sandbox import Sandbox
from tasks.confirm import confirm
from tasks.deliver import deliver
from tests.frozen.store import frozen, path_of
from tests.support.hands import Hands, hands
from tests.support.haste import HASTE, HASTY_LEDGER
from tests.support.journal import trim
from tests.support.payments import hold, payment, poor
from tests.support.waiting import wait_until
from worker.demo.valkey import start_valkey

NAMESPACE = "frozen"

#: Of the journals that are frozen, and of those who go on with them.
SETTINGS: dict[str, Any] = {
    **HASTE,
    "lanes": ("writes", "slow", "held"),
    "routes": ("inflight.commit=held", "inflight.void=held"),
    "retention_s": 100_000.0,
    "key_retention_s": 1_000_000.0,
    "deadline_s": 100_000.0,
    "namespace": NAMESPACE,
}

#: Payments that the ledger has, and of which the journal does not know it: what a worker had sent when it died.
SENT = ("sent-1", "sent-2", "posted-1", "posted-2")

CSV = b"id,amount,reference,currency,description,date,source\nx,1.00,r,EUR,d,2026-01-01T00:00:00Z,bank\n"


def work(runtime: Hands, *keys: str) -> None:
    """Work until some intents are over."""

    def is_over() -> bool:
        for lane in runtime.settings.lanes:
            deliver(runtime, lane)
        confirm(runtime)
        runtime.journal.sweep()
        return all(runtime.relay.get(key).finished for key in keys)

    wait_until(is_over, 30, f"{keys} to be over")


def play(runtime: Hands, operator: Operator) -> None:
    """Leave something in every state."""
    relay, journal = runtime.relay, runtime.journal
    journal.sweep()

    # What is over, and was trimmed; one of them owns a reference that is not its key.
    relay.enqueue(payment("its-own-reference"), key="trimmed-1")
    relay.enqueue(create_ledger("Trimmed"), key="trimmed-2")
    relay.enqueue(payment(), key="trimmed-3", not_before=timedelta(days=1))
    relay.cancel("trimmed-3")
    work(runtime, "trimmed-1", "trimmed-2")
    trim(journal)

    # What is over and still there: a hold with its commit and void, a refund, a split, a bulk.
    relay.enqueue_many(
        [
            hold("hold-done"),
            Write(intent=commit_hold("hold-done", precise_amount=400, currency="EUR"), key="commit-done"),
            Write(intent=void_hold("hold-done"), key="void-done"),
            Write(intent=payment(), key="paid"),
            Write(intent=refund("paid"), key="refund-done"),
            Write(intent=split(), key="split-done"),
            Write(intent=bulk("bulk-done"), key="bulk-done"),
            hold("hold-open"),
        ]
    )
    work(runtime, "commit-done", "void-done", "refund-done", "split-done", "bulk-done", "hold-open")

    # Dead letters: rejected, unknown, invalid, discarded; and what waits behind one.
    relay.enqueue_many([Write(intent=poor(), key=f"poor-{number}") for number in (1, 2, 3)])
    work(runtime, "poor-1", "poor-2", "poor-3")
    operator.discard(relay.get("poor-3"), who="frozen", reason="by hand")
    relay.enqueue(payment(), key="unknown")
    (claimed,) = journal.claim("writes", "someone:1:abc", 1).items
    fields = {"class": "unknown", "code": "NOTHING_CAN_TELL", "message": "Nobody knows."}
    journal.settle("someone:1:abc", [Settlement(claimed, "sending", "dead", 0, fields)], [])
    relay.enqueue(payment(), key="behind-a-letter", after=["poor-1"])
    entry = Entry("a" * 26, "transaction", "default", "writes", key="", reference="", payload={})
    journal.reject(entry, '{"task":"tasks.enqueue_transaction"}', Dead(DeadClass.INVALID, "INVALID", "It is none."))

    # Cancelled, and what is waited for.
    relay.enqueue(payment(), key="cancelled", not_before=timedelta(days=1))
    relay.cancel("cancelled")

    # Events: one reader holds some, another has left.
    Events(journal, "bookkeeping", "first").read(0)

    # A pause, gates, tokens, and the word that the ledger has moved.
    operator.pause_lane("held", who="frozen", reason="to be resumed")
    runtime.journal.complain("lane:slow", GateChange(GateAction.SLOW, "QUEUE_BACKPRESSURE", 5.0))
    tokens = TokenStore(journal, "a refresh token")
    tokens.done(tokens.read().version, Tokens("an access token", "the next refresh token", 3600.0))

    # What a worker had in hand when it died: sent and not told, and never sent.
    relay.enqueue_many([Write(intent=payment(), key=key) for key in ("sent-1", "sent-2", "unsent-1")])
    dying = "gone:1:abc"
    assert len(journal.claim("writes", dying, 10).items) == 3
    # What was handed over, and not seen yet; with some of its attempts told.
    relay.enqueue_many([Write(intent=payment(), key=key) for key in ("posted-1", "posted-2", "lost-1")])
    posted = journal.claim("writes", "gone:2:def", 10).items
    sent = {"sent": "1", "attempts": "1", "sends": "1", "sent_first": str(journal.now_ms()), "accepted": "1"}
    line = {"at": journal.now_ms(), "what": "sent", "status": 201, "code": "", "took": 0.01, "note": "", "worker": "w"}
    told = json.dumps(line)
    journal.settle(
        "gone:2:def",
        [
            Settlement(one, "sending", "posted", 0, {**sent, "sent_last": sent["sent_first"]}, log=told)
            for one in posted
        ],
        ["write"],
    )
    journal.take("gone:2:def", 1, 5.0)

    # Ready, waiting, later: a chain whose ids are not known yet, parts of a hold, an upload.
    ready = ("ready-1", "ready-2")
    relay.enqueue_many(
        [
            *(Write(intent=payment(), key=key) for key in ready),
            Write(intent=payment("another-reference"), key="ready-3", lane="slow"),
            Write(intent=payment(), key="later", not_before=timedelta(seconds=3)),
            Write(intent=create_ledger("Wallets"), key="chain-1"),
            Write(intent=create_balance(result_of("chain-1", "ledger_id"), "EUR"), key="chain-2"),
            Write(intent=payment(destination=result_of("chain-2", "balance_id")), key="chain-3"),
            Write(intent=commit_hold("hold-open", precise_amount=300, currency="EUR"), key="part-1"),
            Write(intent=commit_hold("hold-open", precise_amount=200, currency="EUR"), key="part-2"),
            Write(intent=void_hold("hold-open"), key="rest"),
            Write(intent=upload_records("bank", CSV, name="x.csv"), key="upload"),
            Write(intent=bulk("bulk-open"), key="bulk-open"),
        ]
    )
    # One that was given back, and one that two workers have died of.
    (given,) = journal.claim("writes", "gone:3:fed", 1).items
    journal.settle("gone:3:fed", [Settlement(given, "sending", "ready", 0, {"attempts": "1"}, log=told)], [])
    journal.client.hset(
        journal.key(f"intent:{relay.get('ready-2').id}"), mapping={"claims": 2, "charged": "a:1:a\nb:2:b"}
    )


def split() -> Any:
    """A split in two."""
    return split_transaction(
        source="@world",
        currency="EUR",
        precise_amount=1000,
        precision=100,
        description="Split",
        allow_overdraft=True,
        destinations=[Leg("@one", percent="30"), Leg("@other", left=True)],
    )


def bulk(name: str) -> Any:
    """Two payments at once."""
    return bulk_transactions([payment(f"{name}-{number}") for number in (1, 2)], atomic=False)


def make() -> str:
    """Play it all, and freeze it."""
    valkey = start_valkey()
    try:
        with Sandbox(HASTY_LEDGER) as sandbox, redis.Redis(port=valkey.port) as client:
            settings = Settings(**SETTINGS, redis_url=f"redis://127.0.0.1:{valkey.port}/0", base_url=sandbox.url)
            with hands(settings) as runtime, Operator(runtime.relay.journals, runtime.relay.bells) as operator:
                play(runtime, operator)
                ids = {
                    key.decode().rpartition(":")[2]
                    for key in client.scan_iter(match=f"{runtime.journal.prefix}intent:*")
                }
                about = {
                    "prefix": runtime.journal.prefix,
                    "shape": shape.NEWEST,
                    "now_ms": runtime.journal.now_ms(),
                    "base_url": sandbox.url,
                    "states": {runtime.relay.get(id_).key or id_: runtime.relay.get(id_).state for id_ in sorted(ids)},
                }
                queues = [queue_of(settings, lane) for lane in settings.lanes]
                return frozen(client, [f"{{{NAMESPACE}:v1", *queues, queue_of(settings, "confirm")], about)
    finally:
        valkey.stop()


if __name__ == "__main__":
    path_of(shape.NEWEST).write_text(make())
