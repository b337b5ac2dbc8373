"""What is left of trimmed intents: the same as before to whoever asks, and in few bytes."""

from __future__ import annotations

import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import redis

from blnk_relay import Intent, Settings, bulk_transactions, refund
from blnk_relay.journal.entries import NewEntry, Settlement, new_entry
from blnk_relay.journal.journal import Journal
from tests.support.journal import WORKER, trim
from tests.support.payments import payment
from tests.support.waiting import wait_until


@pytest.fixture(params=["valkey", "redis"])
def any_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of an empty server: the embedded Valkey, and the system's Redis where there is one."""
    if request.param == "valkey":
        valkey = request.getfixturevalue("valkey")
        with redis.Redis(port=valkey.port) as client:
            client.flushall()
        yield valkey.port
        return
    program = which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(tmp_path),
            "--save",
            "",
            "--daemonize",
            "no",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(port), 10, "the server")
        yield port
    finally:
        server.terminate()
        server.wait(10)


def answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def crowded(new: NewEntry) -> NewEntry:
    """The same under an id that stands in a thousandth of all hashes: as if there were a thousand times as many."""
    return replace(
        new,
        entry=replace(new.entry, id="aa" + new.entry.id[2:]),
        namesakes=tuple(one and "aa" + one[2:] for one in new.namesakes),
    )


def made(journal: Journal, intents: list[tuple[Intent, str]]) -> None:
    """Accept intents, finish them all, and let their retention pass."""
    entries = [crowded(new_entry(one, key, "all", not_before="+0", deadline="+60000")) for one, key in intents]
    for at in range(0, len(entries), 200):
        journal.accept(entries[at : at + 200])
        for claimed in journal.claim("all", WORKER, 200).items:
            fields = {"outcome": "applied", "txn": f"txn_{uuid.uuid4()}"}
            journal.settle(WORKER, [Settlement(claimed, "sending", "done", 0, fields)], [])
    while journal.client.zcard(journal.key("done")):
        trim(journal)


def batch(number: int) -> Intent:
    return bulk_transactions(
        [
            {
                "source": "@world",
                "destination": "@shop",
                "currency": "EUR",
                "amount": 1,
                "description": "x",
                "reference": f"item-{number}-{item}",
                "allow_overdraft": True,
            }
            for item in range(100)
        ]
    )


KINDS: dict[str, tuple[int, int, Any]] = {
    # How many, bytes of each at most, and the intents.
    "a payment with a key": (2_000, 48, lambda number: (payment(), f"order-{number}")),
    "a payment with a reference of its own": (
        1_000,
        96,
        lambda number: (payment(f"reference-{number}"), f"order-{number}"),
    ),
    "a refund": (2_000, 48, lambda number: (refund(f"order-{number}"), f"refund:order-{number}")),
    "a bulk of 100": (20, 101 * 48, lambda number: (batch(number), f"bulk-{number}")),
}


@pytest.mark.parametrize("what", KINDS)
def test_a_trimmed_intent_costs_few_bytes(any_server: int, what: str) -> None:
    number, most, make = KINDS[what]
    journal = Journal(Settings(redis_url=f"redis://127.0.0.1:{any_server}/0"))
    made(journal, [make(one) for one in range(number)])
    hashes = list(journal.client.scan_iter(match=journal.key("past:*"), count=1000))
    kept = sum(journal.client.hlen(key) for key in hashes)
    used = sum(journal.client.memory_usage(key, samples=0) for key in hashes)
    print(f"{what}: {used / number:.1f} bytes, {kept / len(hashes):.0f} fields a hash")
    assert used <= most * number
    assert {journal.client.object("encoding", key) for key in hashes} == {"listpack"}
    families = {key.removeprefix(journal.prefix).partition(":")[0] for key in journal.client.scan_iter(count=1000)}
    assert not families & {"intent", "body", "file", "log", "parts", "order", "deps"}
    journal.close()
