"""Who works in a run: connections, bells and workers, with the real code between them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from blnk_relay import Relay, Settings
from blnk_relay.errors import JournalUnavailable, OtherLedger, OtherShape
from blnk_relay.intents.exchange import GateChange
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.kinds.registry import KINDS
from blnk_relay.settings import policy_of
from tasks.loops import Loops
from tasks.runtime import Runtime, Stopping
from tests.simulation import clockwork
from tests.simulation.clockwork import Process
from tests.simulation.run import Run
from tests.simulation.trouble import Trouble
from worker.carriers import Carriers
from worker.ledger.ledgers import ledger_of
from worker.sweeper import Round

#: What befalls the run that is under way: what is made within it knows no runs.
_trouble: Trouble | None = None


def use(one: Trouble | None) -> None:
    """Begin or end a run."""
    global _trouble  # noqa: PLW0603 - one at a time
    _trouble = one


def _around() -> Trouble:
    if _trouble is None:
        raise clockwork.Broken("nothing is being simulated")
    return _trouble


class SimLine:
    """In the place of :class:`blnk_relay.journal.line.Line`: connections of one process."""

    def __init__(self, settings: Settings, address: Any, _: str) -> None:
        self.address = address
        self._around, self._timeout_s = _around(), settings.redis_timeout_s
        self._run = self._around.run
        self._durability = settings.durability
        self.connections = self
        self.client = self

    def call(self, *command: str | int) -> Any:
        """One command, tried twice if its connection drops, as Connections does."""
        name = self._run.valkey.names.get(str(command[1]), "any")
        return self._around.trip(name, lambda: self._script(name, command), self._timeout_s)

    def _script(self, name: str, command: Sequence[str | int]) -> Any:
        fencing, arguments = self._run.fencing, command[4:]
        was = fencing.before(name, arguments)
        answer = self._run.valkey.run(name, str(command[3]), self._run.server.life(), arguments)
        fencing.after(name, arguments, was, answer)
        return answer

    def pipeline(self, transaction: bool = False) -> _Pipeline:  # noqa: ARG002
        """Several commands at once."""
        return _Pipeline(self)

    def plain(self, *commands: tuple[str | int, ...]) -> list[Any]:
        """Commands that are no scripts, in one trip."""
        return self._around.trip("ask", lambda: self._answered(commands), self._timeout_s)

    def _answered(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """Answers as a client gives them: it raises the first error, and makes a mapping of the fields of a hash."""
        answers = self._run.valkey.several(commands)
        for number, (command, answer) in enumerate(zip(commands, answers, strict=True)):
            if isinstance(answer, Exception):
                raise answer
            if command[0] == "HGETALL":
                # In an order that no server promises.
                answers[number] = dict(sorted(zip(answer[::2], answer[1::2], strict=True)))
        return answers

    def together(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """A script and the waits behind it, or plain commands."""
        first = commands[0]
        if first[0] != "EVALSHA":
            return self.plain(*commands)
        name = self._run.valkey.names.get(str(first[1]), "any")
        answer = self._around.trip(name, lambda: self._script(name, first), self._timeout_s)
        return [answer, *(self._around.durable(self._durability) for _ in commands[1:])]

    def hget(self, key: str, field: str) -> Any:
        return self.plain(("HGET", key, field))[0]

    def hmget(self, key: str, fields: Sequence[str]) -> Any:
        return self.plain(("HMGET", key, *fields))[0]

    def smembers(self, key: str) -> set[str]:
        return set(self.plain(("SMEMBERS", key))[0])

    def sadd(self, key: str, *members: str) -> Any:
        return self.plain(("SADD", key, *members))[0]

    def zrem(self, key: str, *members: str) -> Any:
        return self.plain(("ZREM", key, *members))[0]

    def exists(self, key: str) -> Any:
        return self.plain(("EXISTS", key))[0]

    def zcard(self, key: str) -> Any:
        return self.plain(("ZCARD", key))[0]

    def __getattr__(self, name: str) -> Any:
        # An AttributeError is an error that the relay would log, and try again.
        raise clockwork.Broken(f"{name} of a connection to Redis is not played")

    def close(self) -> None:
        """There is nothing to close."""


class _Pipeline:
    def __init__(self, line: SimLine) -> None:
        self._line = line
        self._commands: list[tuple[str | int, ...]] = []

    def execute_command(self, *command: str | int) -> None:
        self._commands.append(command)

    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: ARG002
        return self._line.together(self._commands)


class SimBells:
    """In the place of :class:`blnk_relay.bell.Bells`."""

    def __init__(self, _: Settings) -> None:
        self._around = _around()

    def ring(self, _: str, lanes: Any) -> None:
        for lane in sorted(lanes):
            self._around.rung(lane)

    def close(self) -> None:
        """There is nothing to close."""


class _Stopping(Stopping):
    """Without the pieces in which the real one waits."""

    def __init__(self) -> None:
        super().__init__()
        self._flag = bytearray(1)  # type: ignore[assignment]

    def wait(self, timeout_s: float) -> bool:
        clockwork.hub().sleep(timeout_s)
        return self.is_set()


class Unheard:
    """Takes note of nothing: letters are judged where they are kept."""

    def dead(self, entry: Any, death: Any) -> None: ...

    def more_dead(self, target: str, cause: str, count: int) -> None: ...

    def paused(self, target: str, side: str, change: GateChange) -> None: ...

    def found(self, target: str, lost_s: float) -> None: ...

    def opened(self, target: str, side: str, code: str, shut_s: float) -> None: ...

    def healed(self, target: str, cause: str) -> None: ...

    def outdated(self, error: OtherShape) -> None: ...

    def different(self, finding: Any) -> None: ...


class Worker:
    """A worker, restarted by its supervisor whenever it dies.

    Attributes:
        number: Which.
        process: Its present process.
    """

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number
        self.born = 0
        self.settings = run.settings
        self.boot()

    def boot(self) -> None:
        """Begin: everything is new but the journal."""
        run, self.born = self.run, self.born + 1
        self.process = Process(f"w{self.number}.{self.born}")
        run.say(f"{self.process} begins")
        self.relay = Relay(self.settings)
        journal = self.relay.journal(DEFAULT_TARGET)
        if run.lacks and self.number == 0:
            # An older version: it does not know one of the kinds.
            journal._kinds = ",".join(name for name in KINDS if name != run.lacks)
        self.runtime = Runtime(
            settings=self.settings,
            target=DEFAULT_TARGET,
            journal=journal,
            bells=self.relay.bells,
            ledger=ledger_of(self.settings, self.settings.ledgers[DEFAULT_TARGET], journal, Unheard()),
            reports=Unheard(),
            policy=policy_of(self.settings),
            worker=f"host:{self.number}:{self.born}",
            stopping=_Stopping(),
        )
        self.loops = Loops()
        self.heard: set[str] = set()
        shared = SimpleNamespace(settings=self.settings, relay=self.relay, heard=self.heard, reports=Unheard())
        self._round = Round(shared, DEFAULT_TARGET, f"program {self.process}", run.idle_s, 1.0)  # type: ignore[arg-type]
        run.hub.spawn(self.process, self._sweep, "sweeper")
        self._carriers: Carriers | None = None
        if run.has_jobs:
            self._carriers = Carriers(shared)  # type: ignore[arg-type]
            # Elsewhere each process has a name of its own.
            self._carriers._name = self.runtime.worker
            run.hub.spawn(self.process, lambda: self._carriers.run(clockwork.Event()), "carrier")  # type: ignore[union-attr]

    def _sweep(self) -> None:
        sweep_s = self.settings.sweep_s
        while True:
            now_s = self.run.hub.now_s
            self.run.hub.sleep(min(max(self._round.due_s - now_s, sweep_s / 20), 4 * sweep_s))
            if self._round.is_due(self.run.hub.now_s):
                with suppress(JournalUnavailable, OtherLedger):
                    self._round.sweep()
                    if self._carriers is not None:
                        self._carriers.look(DEFAULT_TARGET)

    def hear(self, lane: str) -> None:
        """A bell."""
        if self.process.alive:
            self.heard.add(DEFAULT_TARGET)
            self.loops.start(self.runtime, lane)

    def die(self, back_s: float) -> None:
        """It is killed, and begun again after a while."""
        if self.process.alive:
            self.run.say(f"{self.process} dies")
            self.process.alive = False
            self.run.hub.call(back_s, self.boot)
