"""A server whose clock can be set: the scripts add to its time what stands in a key."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from typing import Any

import pytest

from blnk_relay.journal import lua

_TIME = "redis.call('TIME')"
_SET = "{ redis.call('TIME')[1] + tonumber(redis.call('GET', KEYS[1] .. 'set-by-test') or '0'), redis.call('TIME')[2] }"


def let_the_clock_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, scripts of new journals take :func:`step` into account."""
    plain = lua.script_source

    @cache
    def source(name: str) -> str:
        text = plain(name)
        # Few stand alone and have no time; all others have it from one place.
        assert text.count(_TIME) <= 1, "one place reads the clock"
        return text.replace(_TIME, _SET)

    @cache
    def digest(name: str) -> str:
        return sha1(source(name).encode(), usedforsecurity=False).hexdigest()

    monkeypatch.setattr(lua, "script_source", source)
    monkeypatch.setattr(lua, "script_digest", digest)


def step(journal: Any, seconds: int) -> None:
    """Let the server's clock step."""
    journal.client.incrby(journal.key("set-by-test"), seconds)
