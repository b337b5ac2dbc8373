"""Whether a server can keep a journal, judged by what it says of itself."""

from __future__ import annotations

import logging

import pytest
from redis.exceptions import ClusterDownError, MovedError, ResponseError

from blnk_relay import JournalUnavailable, NotDurable, Settings, UnsuitableServer
from blnk_relay.journal import server
from blnk_relay.journal.connection import unavailable
from blnk_relay.journal.server import FirstUse, facts_of, is_enough, judge

INFO = """# Server\r
redis_version:{version}\r
executable:/usr/bin/redis-server:6\r
\r
# Memory\r
maxmemory:{maxmemory}\r
maxmemory_policy:{policy}\r
# Persistence\r
aof_enabled:{aof}\r
# Replication\r
connected_slaves:{replicas}\r
# Cluster\r
cluster_enabled:{cluster}\r
"""
WELL = {"version": "7.2.4", "maxmemory": 0, "policy": "noeviction", "aof": 1, "replicas": 0, "cluster": 0}


@pytest.mark.parametrize(
    ("durability", "said", "refused", "warned"),
    [
        ("memory", {}, (), ()),
        ("fsync", {}, (), ()),
        ("memory", {"version": "7.0.0"}, (), ()),
        ("memory", {"version": "8.0.1"}, (), ()),
        ("memory", {"version": "255.255.255"}, (), ()),
        ("memory", {"version": "unstable"}, (), ()),
        ("memory", {"version": "6.2.14"}, ("BLNK_RELAY_REDIS_URL is too old (6.2.14)", "Redis 7.0"), ()),
        ("memory", {"version": "5.0.7"}, ("too old (5.0.7)",), ()),
        ("memory", {"cluster": 1}, ("leads to a Redis Cluster", "write redis+cluster://"), ()),
        ("memory", {"maxmemory": 100, "policy": "allkeys-lru"}, (), ("allkeys-lru", "noeviction")),
        ("memory", {"maxmemory": 0, "policy": "allkeys-lru"}, (), ()),
        ("memory", {"aof": 0}, (), ("append-only file is off",)),
        ("fsync", {"aof": 0}, (), ("BLNK_RELAY_DURABILITY is fsync", "no append-only file", "appendonly yes")),
        ("fsync", {"version": "7.0.15"}, (), ("BLNK_RELAY_DURABILITY is fsync", "WAITAOF", "7.2")),
        ("replicated:2", {"replicas": 2}, (), ()),
        ("replicated:2", {"replicas": 1}, (), ("BLNK_RELAY_DURABILITY is replicated:2", "1 replicas")),
    ],
)
def test_a_server_is_judged_by_what_it_says_of_itself(durability, said, refused, warned):
    found = judge(Settings(durability=durability), facts_of(INFO.format(**{**WELL, **said})))
    for part in refused:
        assert part in " ".join(found.refusals)
    for part in warned:
        assert part in " ".join(found.warnings)
    assert bool(found.refusals) == bool(refused)
    assert bool(found.warnings) == bool(warned)


def test_what_a_server_keeps_to_itself_is_not_held_against_it():
    found = judge(Settings(durability="fsync"), facts_of(""))
    assert (found.refusals, found.warnings) == ((), ())


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            ResponseError("ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'"),
            "too old",
        ),
        (MovedError("1234 10.0.0.1:6379", status_code="MOVED"), "Redis Cluster"),
        (ClusterDownError("Hash slot not served", status_code="CLUSTERDOWN"), "Redis Cluster"),
    ],
)
def test_what_no_retry_can_help_is_said_as_it_is(error, says):
    told = unavailable(error)
    assert isinstance(told, UnsuitableServer)
    assert isinstance(told, JournalUnavailable)
    assert says in str(told)
    assert "try again" not in str(told)


@pytest.mark.parametrize(
    ("asked", "reached", "enough"),
    [
        ("memory", "memory", True),
        ("memory", "fsync", True),
        ("fsync", "fsync", True),
        ("fsync", "memory", False),
        ("fsync", "replicated:1", False),
        ("replicated:1", "replicated:1", True),
        ("replicated:1", "replicated:3", True),
        ("replicated:3", "replicated:1", False),
        ("replicated:1", "memory", False),
    ],
)
def test_a_durability_is_enough_or_warned_of_once_or_an_error(monkeypatch, caplog, asked, reached, enough):
    monkeypatch.setattr(server, "_said", set())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            FirstUse(Settings(durability=asked)).weigh(reached)
    assert len(caplog.records) == (not enough)
    assert is_enough(asked, reached) == enough
    if enough:
        FirstUse(Settings(durability=asked, durability_strict=True)).weigh(reached)
        return
    assert reached in caplog.text
    assert "BLNK_RELAY_DURABILITY_STRICT" in caplog.text
    with pytest.raises(NotDurable, match=r"is recorded.*under the same key, which is safe") as caught:
        FirstUse(Settings(durability=asked, durability_strict=True)).weigh(reached)
    assert (caught.value.asked, caught.value.reached) == (asked, reached)
