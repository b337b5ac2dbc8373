"""All that can go wrong does, at once and at random; then all is still, and judged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import redis

from blnk_relay import JournalUnavailable, NotFound, Receipt, Relay, Write
from blnk_relay.bell import queue_of
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of, new_entry
from blnk_relay.settings import INGEST_LANE
from tests.drills.crew import RAISING, RAISING_LATE
from tests.drills.ground import Ground
from tests.drills.report import Report, Terms
from tests.drills.scene import LIMIT_S, Scene
from tests.support.dripping import Drip
from tests.support.forwarder import Forwarder
from tests.support.messages import FIELDS, TASK, envelope, message
from tests.support.payments import payment
from tests.support.stages import operator_of
from tests.support.valkey import LastingValkey

#: Longest that a producer tries one thing.
_PATIENCE_S = 60.0

#: The slowest answer that drips takes so long; who waits gives up before.
_DRIP_S = 4.0

#: What no worker of ours knows.
_NEWER = "transaction.reversed"

_STRANGERS = 12
_NAMED = 24


def _rubbish(number: int) -> bytes:
    """What comes by name and is no intent, each for another reason."""
    given = {**FIELDS, "key": f"bad-{number}"}
    return [
        message({**given, "amount": "x"}),
        message({**given, "after": ["never"]}),
        message({**given, "options": 1}),
        message(given, task="tasks.enqueue_transactions"),
        message(given, args=[1]),
        message({**given, "not_before": True}),
        envelope(f"\x80 {number}".encode("latin-1")),
        envelope(f"hello {number}".encode(), content_type="text/plain"),
    ][number % 8]


def _insist(act: Callable[[], list[Receipt]]) -> list[Receipt]:
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return act()
        except JournalUnavailable:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.05)


def newer_intents(relay: Relay, rng: random.Random, number: int, first: int = 0) -> list[str]:
    """Enqueue what only a newer version knows; returns the keys."""
    keys = [f"newer-{at}" for at in range(first, first + number)]
    for key in keys:
        lane = rng.choice(relay.settings.lanes)
        known = new_entry(payment(key), key, lane, not_before="+0", deadline="+86400000", tag="blnk_relay")
        new = replace(
            known,
            entry=replace(known.entry, kind=_NEWER),
            body=known.body.replace('"kind":"transaction"', f'"kind":"{_NEWER}"'),
        )
        _insist(lambda new=new: relay._accept([new]))  # type: ignore[misc]
    return keys


class Neighbours:
    """Others beside the one who tells the story: who repeats it, a newer producer, and one that comes by name.

    Args:
        scene: Where.
        relays: One for each of them.
        chaos_s: For about how long.
    """

    def __init__(self, scene: Scene, relays: Sequence[Relay], chaos_s: float) -> None:
        self._scene, self._relays, self._chaos_s = scene, relays, chaos_s
        self.strangers: list[str] = []
        self.named: list[str] = []
        self.rubbish = 0
        self.repeated = 0
        self._failures: list[BaseException] = []
        self._over = threading.Event()
        acts = (self._repeat, self._newer, self._by_name)
        self._threads = [
            threading.Thread(target=self._run, args=(act, relay), name=act.__name__)
            for act, relay in zip(acts, relays, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> Iterator[str]:
        """Have them end; yields what went wrong."""
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        if any(thread.is_alive() for thread in self._threads):
            yield "stuck: a producer never came back"
        for error in self._failures:
            yield f"producer: {error!r}"

    def _run(self, act: Callable[[Relay, random.Random], None], relay: Relay) -> None:
        try:
            act(relay, random.Random(f"{act.__name__}-{self._scene.terms.seed}"))
        except BaseException as error:  # noqa: BLE001 - handed to the drill
            self._failures.append(error)

    def _repeat(self, relay: Relay, rng: random.Random) -> None:
        """What was enqueued already, once more under its key."""
        while not self._over.wait(rng.uniform(0.1, 0.8)):
            told = self._scene.teller.told
            for write in rng.sample(told, min(len(told), 5)):
                (receipt,) = _insist(lambda write=write: relay.enqueue_many([write]))  # type: ignore[misc]
                assert not receipt.created, "a repeat was taken for something new"
                self.repeated += 1

    def _newer(self, relay: Relay, rng: random.Random) -> None:
        """A newer producer, with kinds that the workers do not know."""
        for number in range(_STRANGERS):
            self.strangers += newer_intents(relay, rng, 1, first=number)
            if self._over.wait(rng.uniform(0.5, self._chaos_s / _STRANGERS)):
                return

    def _by_name(self, _: Relay, rng: random.Random) -> None:
        """Messages of a program that does not know the library, good ones and rubbish."""
        for number in range(_NAMED):
            good = number % 2 == 0
            key = f"named-{number}"
            raw = message({**FIELDS, "key": key}, task=TASK) if good else _rubbish(number // 2)
            self._lay(raw)
            if good:
                self.named.append(key)
            else:
                self.rubbish += 1
            if self._over.wait(rng.uniform(0.2, 2 * self._chaos_s / _NAMED)):
                return

    def _lay(self, raw: bytes) -> None:
        end_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                with self._scene.valkey.client() as client:
                    client.lpush(queue_of(self._scene.stage.settings, INGEST_LANE), raw)
            except (redis.RedisError, OSError):
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.1)
            else:
                return


def moving(terms: Terms) -> Report:
    """Redis refuses, stalls and dies, reads are slow, answers drip, workers are struck, strangers come; all at once."""
    number = terms.of(45, 14)
    with ExitStack() as stack:
        valkey = LastingValkey()
        forwarder, drip = Forwarder(valkey.port), Drip(terms.seed, longest_s=_DRIP_S)
        stack.callback(forwarder.stop)
        scene = stack.enter_context(
            Scene(
                "moving",
                terms,
                intents=terms.of(350, 120),
                valkey=valkey,
                settings={"redis_url": f"redis://127.0.0.1:{forwarder.port}/0", **_choices(terms.seed)},
                front=drip,
                among=[Write(intent=payment(key), key=key) for key in (RAISING, RAISING_LATE)],
            )
        )
        relays = [stack.enter_context(Relay(scene.stage.settings)) for _ in range(3)]
        neighbours = Neighbours(scene, relays, chaos_s=float(number))
        ground = Ground(scene, drip)
        for _ in scene.blows(number, (0.1, 0.9)):
            ground.strike()
        ground.still()
        scene.others += neighbours.finish()
        scene.others += _named(scene, neighbours.named)
        scene.others += _letters_by_name(scene.relay, neighbours.rubbish)
        scene.others += strangers_touched(scene.relay, neighbours.strangers)
        for name in ("named", "strangers", "rubbish", "repeated"):
            found = getattr(neighbours, name)
            scene.struck(name, found if isinstance(found, int) else len(found))
        report = scene.report(
            dict.fromkeys([*ground.names, "named", "strangers", "rubbish", "repeated"], 1),
            restarts=scene.events["crash_server"],
            alive=True,
            advised=True,
            dripped=drip.dripped,
            choices=_choices(terms.seed),
        )
        # Nobody turns a bell into a letter while it stops, or touches what it does not know.
        for sentence in (
            *strangers_touched(scene.relay, neighbours.strangers),
            *_letters_by_name(scene.relay, neighbours.rubbish),
        ):
            report = report.wrong(sentence)
        return report


def _choices(seed: int) -> dict[str, Any]:
    """What else an operator may have chosen; each seed has its own."""
    rng = random.Random(f"choices-{seed}")
    return {
        "durability": rng.choice(["fsync", "memory"]),
        "confirm_route": rng.choice(["filters", "filters", "core"]),
        "connections": rng.choice([6, 32]),
    }


def _named(scene: Scene, keys: Sequence[str]) -> Iterator[str]:
    """Wait for what came by name to be recorded, and have it judged with the rest."""
    left, end_s = list(keys), time.monotonic() + LIMIT_S
    while left and time.monotonic() < end_s:
        for key in list(left):
            with suppress(NotFound, JournalUnavailable):
                scene.beside.append(scene.relay.get(key).id)
                left.remove(key)
        time.sleep(0.1)
    for key in left:
        yield f"lost: {key} came by name"


def _letters_by_name(relay: Relay, number: int) -> Iterator[str]:
    """One letter for each message that was none, and no more."""
    end_s = time.monotonic() + 20
    while True:
        letters = [status for status in operator_of(relay).listed("dead") if status.dead_class == "invalid"]
        if len(letters) == number:
            return
        if time.monotonic() > end_s:
            yield f"by name: {number} messages were no intents, and there are {len(letters)} letters"
            return
        time.sleep(0.2)


def strangers_touched(relay: Relay, keys: Sequence[str]) -> Iterator[str]:
    """What nobody here knows is as it was on the first day."""
    for key in keys:
        try:
            status = relay.get(id_of(DEFAULT_TARGET, key))
        except NotFound:
            yield f"lost: {key} of an unknown kind"
            continue
        lines = list(relay.history(status.id))
        if (status.state, status.attempts, status.code, lines) != ("ready", 0, "", []):
            yield f"touched: {key} of an unknown kind is {status.state} {status.code} after {len(lines)} lines"
