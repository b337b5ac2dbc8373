"""A client whose commands are taken above ``maxmemory`` as well: for what workers and operators do.

They bring work to its end, and so make room again; what they write is little. Scripts carry the flag that allows it
themselves, except that which accepts.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError

#: Commands, each behind the number of its words, for a server that takes none of them otherwise.
_WITHOUT_ROOM = """#!lua flags=allow-oom
local at, answers = 1, {}
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  answers[#answers + 1] = redis.call(unpack(ARGV, at + 1, last)) or false
  at = last + 1
end
return answers
"""


def _without_room(commands: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    words = [word for command in commands for word in (len(command), *command)]
    return ("EVAL", _WITHOUT_ROOM, 0, *words)


class _RoomyPipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = [command for command, _ in self.command_stack]
        try:
            return super().execute(raise_on_error)
        except OutOfMemoryError:
            # A transaction that was refused was refused whole.
            answers: list[Any] = self.immediate_execute_command(*_without_room(commands))  # type: ignore[no-untyped-call]
            return answers


class RoomyRedis(redis.Redis):
    """A client that has a command which was refused for want of memory carried out all the same."""

    def execute_command(self, *command: Any, **options: Any) -> Any:
        """See redis-py; a command of one word, such as ``HSET``."""
        try:
            return super().execute_command(*command, **options)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            return super().execute_command(*_without_room([command]))[0]  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """See redis-py; a transaction is carried out whole all the same, other pipelines are as they were."""
        kind = _RoomyPipeline if transaction else Pipeline
        return kind(self.connection_pool, self.response_callbacks, transaction, shard_hint)
