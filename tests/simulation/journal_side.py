"""Redis as the simulated system has it: the real scripts on a real server, under a clock and a life of our own.

The text of each script gets a few lines before it that shadow ``redis``: the time comes from an argument, what expires
does so by that time, and what the server says of itself is what the run says. Everything else is the script's own.
"""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Protocol

import hiredis
from lupa.luajit21 import LuaRuntime
from redis.exceptions import ResponseError

from blnk_relay.journal import lua
from tests.simulation.clockwork import Broken

#: Databases of the real server: the journal as it is, and the first of those that a loss goes back to.
LIVE, OLDER = 0, 1

#: How many of the latter there are; the first few are for losses by the clock, the others for the last trips.
OLDER_MOST = 48

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
  function own.PERSIST(key) return call('ZREM', expiring, key) end
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
  for _, command in ipairs({ 'EXPIRE', 'PEXPIREAT', 'PTTL', 'TTL', 'SETEX', 'PSETEX', 'GETEX' }) do
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
    assert text.count("redis.call('TIME')") <= 1, "one place reads the clock, if any"
    flags = _FLAGS if text.startswith(_FLAGS) else ""
    return flags + _SHADOW + text.removeprefix(flags)


def _sources(changed: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, plain text and played text of each script."""
    for path in sorted((Path(lua.__file__).parent / "scripts").glob("*.lua")):
        text = path.read_text(encoding="utf-8")
        if path.stem != "common" and "\n-- ARGV" in f"\n{text}" and not text.startswith("-- Part of"):
            plain = lua.script_source(path.stem)
            yield path.stem, plain, changed.get(path.stem, plain)


class Server(Protocol):
    """What keeps the journal of a run.

    Attributes:
        names: Digest of what a client sends to the name of the script.
        sent: How many commands and scripts it has carried out.
    """

    names: dict[str, str]
    sent: int

    def run(self, name: str, prefix: str, life: tuple[str, str, str], arguments: Sequence[str | int]) -> Any:
        """Run a script; ``life`` is the server's time in ms, its run id, and what INFO says of its memory."""

    def several(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Commands that are no scripts; errors are among the answers."""

    def empty(self) -> None:
        """Begin anew."""

    def keep(self, place: int) -> None:
        """Note what there is, to go back to it."""

    def go_back(self, place: int) -> None:
        """To what was noted there."""

    def stop(self) -> None:
        """End it."""


class Model:
    """A server played in this process: the real scripts in a Lua of their own, over a model of the commands.

    Args:
        changed: Other texts for some scripts, by name: deliberate bugs.
    """

    def __init__(self, changed: Mapping[str, str] | None = None) -> None:
        self._lua = LuaRuntime(register_eval=False)
        self._play = self._lua.execute((Path(__file__).parent / "server_model.lua").read_text(encoding="utf-8"))
        self._lua.globals().cjson = self._lua.table_from({"decode": self._decoded, "encode": self._encoded})
        self._reader = hiredis.Reader(encoding="utf-8", replyError=ResponseError, protocolError=ResponseError)
        self.names = {}
        self.sent = 0
        self._scripts: dict[str, Any] = {}
        for name, plain, played in _sources(changed or {}):
            self.names[sha1(plain.encode(), usedforsecurity=False).hexdigest()] = name
            self._scripts[name] = self._play.script(played.removeprefix(_FLAGS))
        self._run, self._command = self._play.run, self._play.command

    names: dict[str, str]

    def _decoded(self, text: str) -> Any:
        return self._lua.table_from(json.loads(text), recursive=True)

    @staticmethod
    def _encoded(table: Any) -> str:
        if isinstance(table, str):
            return json.dumps(table)
        return json.dumps(
            {
                name: int(value) if isinstance(value, float) and value.is_integer() else value
                for name, value in table.items()
            }
        )

    def _read(self, by: str, answer: str) -> Any:
        if answer.startswith("!"):
            # No error of Redis, which the relay would take for one of its many, and try again.
            raise Broken(f"the server that is played cannot do this of {by}: {answer[1:]}")
        self._reader.feed(answer.encode())
        return self._reader.gets()

    def run(self, name: str, prefix: str, life: tuple[str, str, str], arguments: Sequence[str | int]) -> Any:
        """Run a script."""
        self.sent += 1
        answer = self._read(name, self._run(self._scripts[name], prefix, *life, *map(str, arguments)))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def several(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Commands that are no scripts."""
        self.sent += len(commands)
        return [self._read("a client", self._command(*map(str, command))) for command in commands]

    def empty(self) -> None:
        """Begin anew."""
        self._play.empty()

    def keep(self, place: int) -> None:
        """Note what there is."""
        self._play.keep(place)

    def go_back(self, place: int) -> None:
        """To what was noted there."""
        self._play.go_back(place)

    def stop(self) -> None:
        """There is nothing to end."""


class Valkey:
    """An embedded server of our own, spoken to over a unix socket; nothing of it is on a disk.

    Args:
        changed: Other texts for some scripts, by name: deliberate bugs.
    """

    def __init__(self, changed: Mapping[str, str] | None = None) -> None:
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
        self.sent = 0
        for name, plain, played in _sources(changed or {}):
            self.names[sha1(plain.encode(), usedforsecurity=False).hexdigest()] = name
            self._played[name] = self.one("SCRIPT", "LOAD", played_source(played))
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
