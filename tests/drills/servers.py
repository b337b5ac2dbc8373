"""Drills that strike Redis and the connections to it: cut, paused, killed, and with a tail that is lost."""

from __future__ import annotations

import time

from tests.drills.report import Report, Terms
from tests.drills.scene import Scene
from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until

#: How long it may take until a worker comes by after Redis is there again.
_SEEN_S = 20.0


def storms(terms: Terms) -> Report:
    """CLIENT KILL for every connection, several times in a row."""
    number = terms.of(40, 6)
    with Scene("storms", terms, intents=terms.of(350, 100)) as scene, scene.valkey.client() as client:
        for _ in scene.blows(number, (0.1, 0.7)):
            for _ in range(scene.rng.randint(1, 12)):
                cut = client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                scene.struck("connection_cut", cut)
                time.sleep(0.05)
            scene.struck("storm")
        return scene.report({"storm": number, "connection_cut": 10 * number}, alive=True)


def pauses(terms: Terms) -> Report:
    """CLIENT PAUSE: all commands, or writes only, wait; sometimes for longer than anybody waits for an answer."""
    number = terms.of(20, 4)
    with Scene("pauses", terms, intents=terms.of(300, 100)) as scene, scene.valkey.client() as client:
        for turn in scene.blows(number, (0.1, 0.6)):
            what = ("ALL", "WRITE")[turn % 2]
            paused_s = scene.rng.uniform(0.2, 3.0)
            client.execute_command("CLIENT", "PAUSE", round(paused_s * 1000), what)
            scene.struck(f"pause_{what.lower()}")
            scene.struck("past_timeout", paused_s > scene.stage.settings.redis_timeout_s)
            time.sleep(paused_s)
        return scene.report({"pause_all": number // 2, "pause_write": number // 2, "past_timeout": 1}, alive=True)


def _seen(scene: Scene) -> None:
    """Wait until somebody has seen that another process serves the journal: each crash is an epoch."""
    name = scene.relay.journal().key("ground")
    with scene.valkey.client() as client:
        run_id = client.info("server")["run_id"]
        wait_until(lambda: client.hget(name, "server") in (run_id, run_id.encode()), _SEEN_S, "a worker to come by")


def redis_always(terms: Terms) -> Report:
    """Redis is killed and comes back with its append-only file, which was synced with every write."""
    number = terms.of(15, 3)
    with Scene("redis-always", terms, intents=terms.of(300, 100), settings={"durability": "fsync"}) as scene:
        for _ in scene.blows(number, (0.5, 2.0)):
            scene.valkey.crash()
            scene.struck("crash")
            time.sleep(scene.rng.uniform(0.0, 1.5))
            scene.valkey.start()
            _seen(scene)
        return scene.report({"crash": number, "epochs": number}, restarts=number, alive=True)


def redis_everysec(terms: Terms) -> Report:
    """Redis syncs once a second, is killed, and comes back without what it wrote in its last second."""
    number = terms.of(10, 3)
    valkey = LastingValkey(appendfsync="everysec")
    lost = synced = 0

    def losses() -> int:
        return lost

    given = {"durability": "memory"}
    with Scene(
        "redis-everysec", terms, intents=terms.of(250, 100), valkey=valkey, settings=given, losses=losses
    ) as scene:
        # As much is told before what will not reach the disk as in it.
        for turn in scene.blows(2 * number, (0.0, 0.0)):
            if turn % 2 == 0:
                time.sleep(scene.rng.uniform(0.8, 2.0))
                synced = valkey.written()
                continue
            time.sleep(scene.rng.uniform(0.3, 1.0))
            if turn % 3 == 0:
                scene.struck("kill", scene.crew.kill(scene.rng.choice(scene.crew.present())))
            valkey.crash()
            # Part of a command may have come to the disk.
            cut = valkey.cut(synced + scene.rng.randint(0, 40))
            lost += 1
            scene.struck("crash")
            scene.struck("tail_lost", cut > 0)
            scene.struck("bytes_lost", cut)
            valkey.start()
            _seen(scene)
        least = {"crash": number, "tail_lost": number, "epochs": number}
        report = scene.report(
            least,
            restarts=number,
            alive=True,
            forgotten=dict(scene.teller.forgotten),
            overtaken=len(scene.teller.overtaken),
        )
        if not scene.teller.forgotten:
            report = report.wrong("idle: no receipt was lost with a tail")
        return report
