"""Drills that strike workers: killed, frozen, told to stop, started and stopped in bursts."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Any

from tests.drills.report import Report, Terms
from tests.drills.scene import Scene
from tests.support.waiting import wait_until

#: Leases of seconds, so that the dead are found soon and a freeze outlives its lease.
_SHORT: Mapping[str, Any] = {
    "connect_timeout_s": 0.5,
    "read_timeout_s": 1.5,
    "sync_read_timeout_s": 1.5,
    "lease_s": 4.5,
    "dead_worker_s": 1.5,
}

#: How long a worker that is told to stop may take where its ledger answers.
_STOP_S = 5.0

#: After this a worker has surely begun.
_BEGUN_S = 2.0


def kills(terms: Terms) -> Report:
    """SIGKILL for one worker after another, a thousand times; what one of them had in hand goes on with others."""
    number = terms.of(1_000, 100)
    # A payment that was in so many hands would be suspected of killing them.
    given = {**_SHORT, "max_lapses": 100}
    with Scene("kills", terms, intents=terms.of(800, 120), workers=terms.of(6, 4), settings=given) as scene:
        for _ in scene.blows(number, (0.02, 0.1)):
            scene.struck("kill", scene.crew.kill(scene.rng.choice(scene.crew.present())))
        return scene.report({"kill": number, "lapsed": number // 20}, alive=True)


def fleet(terms: Terms) -> Report:
    """SIGKILL for all workers at once, again and again."""
    number = terms.of(25, 4)
    with Scene("fleet", terms, intents=terms.of(300, 100), settings=_SHORT) as scene:
        for _ in scene.blows(number, (0.4, 1.6)):
            scene.struck("kill", scene.crew.kill(*scene.crew.present()))
            scene.struck("fleet")
        return scene.report({"fleet": number, "kill": 3 * number, "lapsed": number}, alive=True)


def freezes(terms: Terms) -> Report:
    """SIGSTOP for up to three of five workers, SIGCONT long after others have taken over what they held."""
    number = terms.of(30, 6)
    with Scene("freezes", terms, intents=terms.of(350, 120), workers=5, settings=_SHORT) as scene:
        asleep: list[tuple[float, Any]] = []

        def wake(until_left: int) -> None:
            while asleep and (asleep[0][0] <= time.monotonic() or len(asleep) > until_left):
                due_s, worker = asleep.pop(0)
                time.sleep(max(0.0, due_s - time.monotonic()))
                slept_s = scene.crew.wake(worker)
                scene.struck("past_death", slept_s > _SHORT["dead_worker_s"])
                scene.struck("past_lease", slept_s > _SHORT["lease_s"])

        for _ in scene.blows(number, (0.1, 0.6)):
            wake(until_left=2)
            worker = scene.rng.choice(scene.crew.awake())
            scene.crew.freeze(worker)
            scene.struck("freeze")
            asleep.append((time.monotonic() + scene.rng.uniform(0.5, 8.0), worker))
            asleep.sort(key=lambda entry: entry[0])
        wake(until_left=0)
        return scene.report(
            {"freeze": number, "past_death": number // 3, "past_lease": number // 6, "stale": 1}, alive=True
        )


def sigterm(terms: Terms) -> Report:
    """SIGTERM under load: each stops within five seconds, and leaves nothing that has to wait for a lease."""
    return _sigterm("sigterm", terms, number=terms.of(30, 6))


def sigterm_prefork(terms: Terms) -> Report:
    """The same for workers whose pool has processes of its own."""
    return _sigterm("sigterm-prefork", Terms(terms.seed, terms.quick, "prefork", terms.log), number=terms.of(12, 3))


def _sigterm(name: str, terms: Terms, *, number: int) -> Report:
    slowest_s = 0.0
    with Scene(name, terms, intents=terms.of(400, 120)) as scene:
        journal = scene.relay.journal()

        def left(pid: int) -> int:
            holders: Any = journal.client.zrange(journal.key("workers"), 0, -1)
            return sum(journal.client.zcard(journal.key(f"leased:{one}")) for one in holders if f":{pid}:" in one)

        for turn in scene.blows(number, (0.3, 1.2)):
            # Mostly one of them, as in a deployment; sometimes all. None before it has begun: that is another drill.
            ready = wait_until(
                lambda: [one for one in scene.crew.present() if one.born_s < time.monotonic() - _BEGUN_S],
                30,
                "a worker",
            )
            told = ready if turn % 5 == 4 else [scene.rng.choice(ready)]
            for worker, (code, took_s) in scene.crew.stop(*told).items():
                scene.struck("sigterm")
                slowest_s = max(slowest_s, took_s)
                if code != 0 or took_s > _STOP_S:
                    scene.others.append(f"late: worker {worker.pid} ended with {code} after {took_s:.1f} s")
                if still := left(worker.pid):
                    scene.others.append(f"left: worker {worker.pid} stopped, and left {still} leases")
        report = scene.report({"sigterm": number}, alive=True, slowest_stop=round(slowest_s, 2))
        lapsed = report.figures["lapsed"]
        return report if not lapsed else report.wrong(f"left: {lapsed} intents had to wait for a lease")


def restarts(terms: Terms) -> Report:
    """Workers and Redis start and stop in bursts; after each burst payments are done soon, and at the end by each."""
    number = terms.of(8, 2)
    slowest_s = 0.0
    with Scene("restarts", terms, intents=terms.of(250, 100)) as scene:
        for burst in scene.blows(number, (0.1, 0.5)):
            for _ in range(5):
                if burst % 2:
                    scene.valkey.halt() if scene.rng.random() < 0.5 else scene.valkey.crash()
                    scene.valkey.start()
                    scene.struck("restart_redis")
                else:
                    # Some are told before they have begun.
                    time.sleep(scene.rng.uniform(0.0, 0.4))
                    for worker, (code, _) in scene.crew.stop(*scene.crew.present()).items():
                        scene.struck("restart_worker")
                        if code not in (0, -signal.SIGTERM):
                            scene.others.append(f"late: worker {worker.pid} ended with {code}")
                time.sleep(scene.rng.uniform(0.0, 0.3))
            scene.struck("burst")
            slowest_s = max(slowest_s, scene.lively(f"burst-{burst}"))
        return scene.report(
            {"burst": number, "restart_redis": 5 * (number // 2), "restart_worker": 5 * (number // 2)},
            restarts=scene.events["restart_redis"],
            alive=True,
            slowest_alive=round(slowest_s, 2),
        )
