"""Redis as the simulated system has it: the real scripts on a real server, under a clock and a life of our own.

The text of each script gets a few lines before it that shadow ``redis``: the time comes from an argument, what expires
does so by that time, and what the server says of itself is what the run says. Everything else is the script's own.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import hiredis
from redis.exceptions import ResponseError

from blnk_relay.journal import lua

#: Databases of the real server: the journal as it is, and the first of those that a loss goes back to.
LIVE, OLDER = 0, 1

#: How many of the latter there are.
OLDER_MOST = 8

_FLAGS = "#!lua flags=allow-oom\n"

#: KEYS: prefix; the server's time in ms; its run id; the text of INFO memory.
_SHADOW = """
local redis = (function(real)
  local now, call, tonumber, string, math = tonumber(KEYS[2]), real.call, tonumber, string, math
  local expiring = KEYS[1] .. 'expiring-by-test'
  for _, key in ipairs(call('ZRANGEBYSCORE', expiring, 0, KEYS[2])) do
    call('DEL', key)
    call('ZREM', expiring, key)
  end
  local own = {}
  function own.TIME()
    return { string.format('%d', math.floor(now / 1000)), string.format('%d', now % 1000 * 1000) }
  end
  function own.SET(key, value, option, ms)
    if option == 'PX' then
      call('ZADD', expiring, string.format('%d', now + ms), key)
    else
      call('ZREM', expiring, key)
    end
    return call('SET', key, value)
  end
  function own.PEXPIRE(key, ms)
    if call('EXISTS', key) == 0 then return 0 end
    call('ZADD', expiring, string.format('%d', now + ms), key)
    return 1
  end
  function own.DEL(...)
    call('ZREM', expiring, ...)
    return call('DEL', ...)
  end
  function own.UNLINK(...) return call('DEL', ...) end
  function own.INFO(section)
    if section == 'server' then return 'run_id:' .. KEYS[3] end
    return KEYS[4]
  end
  function own.SPOP(key, number)
    local members = call('SMEMBERS', key)
    table.sort(members)
    local some = {}
    for place = 1, math.min(tonumber(number), #members) do
      some[place] = members[place]
      call('SREM', key, members[place])
    end
    return some
  end
  local function played(command, ...)
    local ours = own[command]
    if ours then return ours(...) end
    return call(command, ...)
  end
  for _, command in ipairs({ 'EXPIRE', 'PEXPIREAT', 'PTTL', 'TTL', 'SETEX', 'PSETEX', 'GETEX', 'PERSIST' }) do
    own[command] = function() error(command .. ' is not played by the simulator') end
  end
  return { call = played, pcall = played, error_reply = real.error_reply, status_reply = real.status_reply,
    sha1hex = real.sha1hex }
end)(redis)
"""

_KEEP = """
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[1], 'REPLACE') end
return 1
"""


def played_source(text: str) -> str:
    """The text of a script under a clock that is given to it."""
    assert text.count("redis.call('TIME')") == 1, "one place reads the clock"
    flags = _FLAGS if text.startswith(_FLAGS) else ""
    return flags + _SHADOW + text.removeprefix(flags)


class Valkey:
    """An embedded server of our own, spoken to over a unix socket; nothing of it is on a disk."""

    def __init__(self) -> None:
        from worker.demo.valkey import start_valkey

        self._folder = tempfile.TemporaryDirectory(prefix="blnk-relay-sim-")
        path = str(Path(self._folder.name) / "valkey")
        self._server = start_valkey(
            {
                "appendonly": "no",
                "save": "",
                "unixsocket": path,
                "maxmemory": 0,
                "databases": OLDER + OLDER_MOST,
                "hz": 1,
            }
        )
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._reader = hiredis.Reader(encoding="utf-8", replyError=ResponseError, protocolError=ResponseError)
        #: Digest of the plain text (what a client sends) to name; name to the digest of what is played.
        self.names: dict[str, str] = {}
        self._played: dict[str, str] = {}
        self._keep = ""
        self.sent = 0

    def load(self, sources: dict[str, str] | None = None) -> None:
        """Load all scripts.

        Args:
            sources: Other texts for some, by name: deliberate bugs.
        """
        folder = Path(lua.__file__).parent / "scripts"
        for path in sorted(folder.glob("*.lua")):
            text = path.read_text(encoding="utf-8")
            if text.startswith("-- Part of") or path.stem == "common" or "\n-- ARGV" not in f"\n{text}":
                continue
            plain = lua.script_source(path.stem)
            self.names[sha1(plain.encode(), usedforsecurity=False).hexdigest()] = path.stem
            self._played[path.stem] = self.one("SCRIPT", "LOAD", played_source((sources or {}).get(path.stem, plain)))
        self._keep = self.one("SCRIPT", "LOAD", _KEEP)

    def one(self, *command: str | int) -> Any:
        """One command and its answer."""
        [answer] = self.several([command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def several(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Several at once; errors are among the answers."""
        self._socket.sendall(b"".join(hiredis.pack_command(command) for command in commands))
        answers: list[Any] = []
        reader, receive = self._reader, self._socket.recv
        while len(answers) < len(commands):
            answer = reader.gets()
            if answer is False:
                reader.feed(receive(65536))
            else:
                answers.append(answer)
        self.sent += len(commands)
        return answers

    def run(self, name: str, prefix: str, life: tuple[str, str, str], arguments: Sequence[str | int]) -> Any:
        """Run a script of ours."""
        return self.one("EVALSHA", self._played[name], 4, prefix, *life, *arguments)

    def empty(self) -> None:
        """Begin anew."""
        self.one("FLUSHALL", "SYNC")

    def keep(self, place: int) -> None:
        """Note what there is in one of the other databases, to go back to it."""
        self.several([("SELECT", place), ("FLUSHDB", "SYNC"), ("SELECT", LIVE), ("EVALSHA", self._keep, 0, place)])

    def go_back(self, place: int) -> None:
        """To what was noted there."""
        self.several([("FLUSHDB", "SYNC"), ("SWAPDB", LIVE, place)])

    def stop(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._socket.close()
        self._server.stop()
        self._folder.cleanup()
