"""A journal that is filled in bulk is what the scripts would have made of it, key by key, but for times and tokens."""

from __future__ import annotations

from typing import Any

import redis

from blnk_relay import Relay, Write
from blnk_relay.journal.settlement import Settlement
from tests.support.bulk import FUNDS, LANE, MESSAGE, Fill, a_payment, fill

FILLS = (Fill("dead", "poor", 3), Fill("dead", "odd", 1, code="ODD"), Fill("done", "paid", 2), Fill("open", "next", 4))

#: Of what the scripts leave: what is only there for a moment, or tells of a server, a worker or its pace.
PASSING = ("bell:", "room", "pace:", "workers")

#: Fields and members that differ between any two runs.
TIMES = ("created", "since", "deadline", "updated", "token", "lost", "epoch", "server", "solid", "mark:")


def by_scripts(relay: Relay) -> None:
    journal = relay.journal()
    for one in FILLS:
        keys = [f"{one.name}-{at}" for at in range(1, one.number + 1)]
        relay.enqueue_many([Write(intent=a_payment(key), key=key) for key in keys])
        if one.fate == "open":
            continue
        for item in journal.claim(LANE, "bench", 500).items:
            fields = {"outcome": "applied", "txn": f"txn_{item.entry.id}"}
            if one.fate == "dead":
                fields = {"class": "rejected", "code": one.code, "message": MESSAGE}
            journal.settle("bench", [Settlement(item, "sending", one.fate, fields=fields)], ())


def timeless(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if not name.startswith(TIMES)}


def contents(client: redis.Redis, prefix: str) -> dict[str, Any]:
    """All that a journal holds, without times."""
    found: dict[str, Any] = {}
    for name in client.scan_iter(f"{prefix}*"):
        short = name.removeprefix(prefix)
        if short.startswith(PASSING):
            continue
        sort = client.type(name)
        if sort == "string":
            found[short] = client.get(name)
        elif sort == "hash":
            found[short] = timeless(client.hgetall(name))
        elif sort == "set":
            found[short] = client.smembers(name)
        elif sort == "zset":
            found[short] = set(client.zrange(name, 0, -1))
        else:
            assert sort == "stream", (name, sort)
            found[short] = sorted(str(sorted(fields.items())) for _, fields in client.xrange(name))
        found[short, "expires"] = client.ttl(name) >= 0
    return found


def test_a_bulk_fill_is_what_the_scripts_make_of_the_same_intents(relay):
    prefix = relay.journal().prefix
    with redis.Redis.from_url(relay.settings.redis_url, decode_responses=True) as client:
        by_scripts(relay)
        real, targets = contents(client, prefix), client.smembers("{relay:v1}:targets")
        client.flushall()
        fill(relay, *FILLS)
        filled = contents(client, prefix)
        assert client.smembers("{relay:v1}:targets") == targets
    real["counts"].pop("epochs", None)
    # Up to when a worker has compared the clock is no matter of the intents.
    real["ground"].pop("watched", None)
    assert filled.keys() == real.keys()
    assert {name: (filled[name], real[name]) for name in real if filled[name] != real[name]} == {}


def test_what_was_filled_in_bulk_is_read_claimed_and_known_again_as_any_other(relay):
    fill(relay, *FILLS)
    assert relay.get("poor-2").code == FUNDS
    assert not relay.enqueue(a_payment("next-1"), key="next-1").created
    claimed = relay.journal().claim(LANE, "bench", 10).items
    assert [item.entry.key for item in claimed] == ["next-1", "next-2", "next-3", "next-4"]
