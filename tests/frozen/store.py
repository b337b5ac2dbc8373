"""A journal on Redis as a list of plain commands, and back: readable, and the same for each server and its version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

#: Bytes that are no text stand as halves of surrogate pairs.
_CODING = ("utf-8", "surrogateescape")

Command = list[str]


def path_of(shape: int) -> Path:
    """Where the journal of a shape is kept."""
    return Path(__file__).parent / f"shape-{shape}.jsonl"


def _text(value: Any) -> str:
    return value.decode(*_CODING) if isinstance(value, bytes) else str(value)


def commands_for(client: redis.Redis, key: bytes) -> Iterator[Command]:
    """What makes a key what it is, with what is left of its time."""
    name, type_ = _text(key), _text(client.type(key))
    read: dict[str, Any] = {
        "string": lambda: [("SET", name, client.get(key))],
        "hash": lambda: [("HSET", name, *_flat(sorted(client.hgetall(key).items())))],  # type: ignore[union-attr]
        "set": lambda: [("SADD", name, *sorted(client.smembers(key)))],  # type: ignore[arg-type]
        "list": lambda: [("RPUSH", name, *client.lrange(key, 0, -1))],  # type: ignore[misc]
        "zset": lambda: [("ZADD", name, *_flat(_scores(client, key)))],
        "stream": lambda: _stream(client, key),
    }
    for command in read[type_]():
        yield [_text(part) for part in command]
    left_ms: Any = client.pttl(key)
    if left_ms > 0:
        yield ["PEXPIRE", name, str(left_ms)]


def _flat(pairs: Sequence[Any]) -> list[Any]:
    return [part for pair in pairs for part in pair]


def _scores(client: redis.Redis, key: bytes) -> list[tuple[str, bytes]]:
    found: Any = client.zrange(key, 0, -1, withscores=True)
    return [(repr(score), member) for member, score in found]


def _stream(client: redis.Redis, key: bytes) -> Iterator[Sequence[Any]]:
    entries: Any = client.xrange(key)
    for id_, fields in entries:
        yield ("XADD", key, id_, *_flat(list(fields.items())))
    groups: Any = client.xinfo_groups(key)
    for group in groups:
        yield ("XGROUP", "CREATE", key, group["name"], group["last-delivered-id"])
        pending: Any = client.xpending_range(key, group["name"], "-", "+", 1000)
        for one in pending:
            yield ("XCLAIM", key, group["name"], one["consumer"], 0, one["message_id"], "FORCE", "JUSTID")


def frozen(client: redis.Redis, prefixes: Sequence[str], about: dict[str, Any]) -> str:
    """Everything below some prefixes as lines; what has to be known of it stands in the first."""
    keys = sorted(key for prefix in prefixes for key in client.scan_iter(match=f"{prefix}*", count=1000))
    commands = [command for key in keys for command in commands_for(client, key)]
    return "\n".join(json.dumps(line) for line in (about, *commands)) + "\n"


def thawed(client: redis.Redis, shape: int) -> dict[str, Any]:
    """Put a journal onto a server as if no time had passed: its own clock goes on where it stood.

    Args:
        client: To a server without such keys.
        shape: Which.

    Returns:
        What has to be known of it.
    """
    first, *commands = map(json.loads, path_of(shape).read_text().splitlines())
    about: dict[str, Any] = first
    for command in commands:
        client.execute_command(*(part.encode(*_CODING) for part in command))  # type: ignore[no-untyped-call]
    server: Any = client.info("server")
    seconds, microseconds = client.time()  # type: ignore[misc]
    ground = f"{about['prefix']}ground"
    client.hset(ground, "skew", about["now_ms"] - (seconds * 1000 + microseconds // 1000))
    # The code is another one, and not the server.
    client.hset(ground, "server", server["run_id"])
    return about
