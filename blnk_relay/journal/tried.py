"""Trying whether a journal can be written to: by a script that could write, and does not.

A server refuses such a script whenever it would refuse those of the journal (too few replicas, a snapshot that failed,
a replica), and tells a script what its user may do. So it is seen before the first intent, and nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from blnk_relay.encryption import name_in
from blnk_relay.journal.connection import unavailable
from blnk_relay.journal.journal import Journal

#: What scripts of the journal ask for, each with its key in the first place; a test compares it with them.
COMMANDS = (
    *("DEL", "EXISTS", "GET", "GETRANGE", "HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY", "HINCRBYFLOAT", "HLEN"),
    *("HMGET", "HSET", "HSETNX", "INCR", "LINDEX", "LLEN", "LPOP", "LPUSH", "LRANGE", "LSET", "LTRIM", "PERSIST"),
    *("PEXPIRE", "RPUSH", "SADD", "SCARD", "SET", "SISMEMBER", "SMEMBERS", "SPOP", "SREM", "STRLEN", "UNLINK", "XACK"),
    *("XADD", "XCLAIM", "XDEL", "XLEN", "XPENDING", "XRANGE", "XREVRANGE", "ZADD", "ZCARD", "ZCOUNT", "ZINCRBY"),
    *("ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZREVRANGEBYSCORE"),
    *("ZSCORE", "XGROUP CREATE", "XGROUP DELCONSUMER", "XINFO STREAM"),
)

#: Its key stands elsewhere.
READ_GROUP = "XREADGROUP"

#: Without INFO it works, and other checks say that they do not know; TIME is the clock's.
NOT_ASKED = frozenset({"INFO", "TIME"})

# Of a command that the server does not know the check of its version tells.
_SCRIPT = """#!lua flags=allow-oom
local function may(...)
  local known, answer = pcall(redis.acl_check_cmd, ...)
  return not known or answer
end
local refused = {}
for number = 1, #ARGV do
  local words = {}
  for word in string.gmatch(ARGV[number], '%S+') do words[#words + 1] = word end
  words[#words + 1] = KEYS[1]
  if not may(unpack(words)) then refused[#refused + 1] = ARGV[number] end
end
if not may('READ_GROUP', 'GROUP', '-', '-', 'STREAMS', KEYS[1], '>') then refused[#refused + 1] = 'READ_GROUP' end
return refused
""".replace("READ_GROUP", READ_GROUP)


@dataclass(frozen=True, slots=True)
class Access:
    """What came of trying whether a journal can be written to, without writing.

    Attributes:
        target: Whose journal it is.
        refused: Commands that the user may not give, or not for keys of the journal, in small letters.
        failure: Why nothing can be written, or was tried.
        under: Name of the encryption key that its secret is under; empty where there is no secret.
        held: Whether that key is at hand.
        keyless: Whether no key at all is.
    """

    target: str
    refused: tuple[str, ...] = ()
    failure: str = ""
    under: str = ""
    held: bool = True
    keyless: bool = False


def tried(journal: Journal) -> Access:
    """Try it."""
    target, keys = journal.target, journal.seal.keys()
    try:
        refused: Any = journal.client.eval(_SCRIPT, 1, journal.key("ground"), *COMMANDS)
        sealed: Any = journal.client.hget(journal.key("secret"), "sealed")
    except NoPermissionError as error:
        # Whoever may not run scripts can do nothing at all; of keys, the check of the journal itself tells.
        if "command" in str(error):
            return Access(target, refused=("eval", "evalsha"))
        return Access(target, failure=str(unavailable(error, "", journal.variable)))
    except RedisError as error:
        return Access(target, failure=str(unavailable(error, "", journal.variable)))
    name = name_in(sealed or "")
    return Access(
        target,
        refused=tuple(dict.fromkeys(str(command).partition(" ")[0].lower() for command in refused)),
        under=name,
        held=name in ("", *keys.names),
        keyless=not keys,
    )
