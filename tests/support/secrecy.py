"""Keys to encrypt with, marks that no one else writes, and where they may stand in what a server keeps."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import redis


def a_key(id_: str) -> str:
    """A new encryption key as the settings take it."""
    return f"{id_}:{base64.b64encode(os.urandom(32)).decode()}"


def a_mark(start: str = "mark") -> str:
    """A text that stands nowhere else, and that may be a name, a word of a sentence, or a letter's."""
    return f"{start}{secrets.token_hex(7)}"


def forms_of(mark: str) -> set[bytes]:
    """The ways in which a text may stand somewhere: as it is, escaped, in hex, or in base64, wherever it begins."""
    raw = mark.encode()
    forms = {raw, json.dumps(mark)[1:-1].encode(), urllib.parse.quote(mark).encode(), ascii(mark)[1:-1].encode()}
    forms |= {raw.hex().encode(), raw.hex().upper().encode(), mark.encode("utf-16-le")}
    for before in range(3):
        # What stands before and behind changes the letters at both ends.
        whole = base64.b64encode(b"\0" * before + raw + b"\0" * 2)
        inner = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def found_in(marks: Iterable[str], data: bytes) -> set[str]:
    """Those of some marks that stand in bytes, in any form."""
    return {mark for mark in marks if any(form in data for form in forms_of(mark))}


def kept_by(port: int, folder: Path) -> bytes:
    """All that a server keeps: names and values of all keys, and the bytes of its files, those of the past as well."""
    with redis.Redis(port=port) as client:
        # Not compressed, or nothing in it could be found.
        client.config_set("rdbcompression", "no")
        saved = client.lastsave()
        while time.time() < saved.timestamp() + 1:  # it counts in seconds
            time.sleep(0.05)
        client.save()
        data = [part for key in client.scan_iter(count=1000) for part in (key, client.dump(key), *_values(client, key))]
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    assert any(b"REDIS" in file[:5] or b"VALKEY" in file[:6] for file in files), "there is no snapshot"
    assert any(b"HSET" in file for file in files), "there is no append-only file"
    return b"\n".join([*(part for part in data if part is not None), *files])


def _values(client: redis.Redis, key: bytes) -> list[bytes]:
    """The value of a key as its type has it."""
    kind = client.type(key)
    read: Any
    match kind:
        case b"string":
            read = [client.get(key)]
        case b"hash":
            read = [part for pair in client.hgetall(key).items() for part in pair]
        case b"list":
            read = client.lrange(key, 0, -1)
        case b"set":
            read = client.smembers(key)
        case b"zset":
            read = client.zrange(key, 0, -1)
        case b"stream":
            read = [part for _, entry in client.xrange(key) for pair in entry.items() for part in pair]
        case b"none":  # it has expired meanwhile
            read = []
        case _:
            raise AssertionError(f"no key of ours is a {kind!r}")
    return [part for part in read if isinstance(part, bytes)]
