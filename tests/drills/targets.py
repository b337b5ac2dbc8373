"""Drills in which the ledger is slow, hangs, drips, or refuses everybody."""

from __future__ import annotations

import time

from blnk_relay.sandbox.faults.kinds import Fault
from tests.drills.report import Report, Terms
from tests.drills.scene import FAULT_RATE, SLOW_S, Scene
from tests.drills.trouble import Trouble
from tests.support.dripping import Drip

#: How late reads are answered.
_READS_S = (0.05, 3.0)

#: Refusals of everybody, and the last one with how long to wait.
_FLAPPING = ("401", "403", "429", "429_retry_after")

#: The slowest answer that drips takes so long; who waits gives up before.
_DRIP_S = 6.0


def target_slow(terms: Terms) -> Report:
    """Reads take from 50 ms to 3 s, as long as anybody waits for them, and writes up to a second."""
    number = terms.of(25, 5)
    trouble = Trouble(terms.seed, FAULT_RATE, slow_s=1.0)
    with Scene("target-slow", terms, intents=terms.of(250, 100), trouble=trouble) as scene:
        for turn in scene.blows(number, (0.8, 1.6)):
            shortest_s, longest_s = _READS_S
            trouble.read_s = shortest_s + (longest_s - shortest_s) * (turn % 5) / 4
            scene.struck("slowness")
        scene.events.update(trouble.fell)
        return scene.report({"slowness": number, "slow_read": number}, alive=True)


def target_hanging(terms: Terms) -> Report:
    """The ledger takes requests and never answers, before or after it acts; or answers byte by byte, for too long."""
    number = terms.of(16, 4)
    trouble = Trouble(terms.seed, FAULT_RATE, SLOW_S)
    drip = Drip(terms.seed, longest_s=_DRIP_S)
    with Scene("target-hanging", terms, intents=terms.of(250, 100), trouble=trouble, front=drip) as scene:
        # Longer than anybody waits; by then the connection is gone.
        hangs_s = 2 * max(scene.stage.settings.read_timeout_s, scene.stage.settings.sync_read_timeout_s)
        for turn in scene.blows(number, (0.3, 1.5)):
            if turn % 2:
                drip.share = scene.rng.uniform(0.3, 1.0)
                time.sleep(scene.rng.uniform(1.0, 3.0))
                drip.share = 0.0
                scene.struck("drip")
            else:
                kind = ("delay_before", "delay_after")[turn // 2 % 2]
                trouble.every = Fault.of(kind, hangs_s)
                time.sleep(scene.rng.uniform(0.5, 2.5))
                trouble.every = None
                scene.struck("hang")
        scene.events.update(trouble.fell)
        scene.struck("dripped", drip.dripped)
        least = {"hang": number // 2, "drip": number // 2, "delay_before": 1, "delay_after": 1, "dripped": number}
        return scene.report(least, alive=True)


def target_flapping(terms: Terms) -> Report:
    """The ledger refuses everybody by turns with 401, 403 and 429, with and without a time to wait, and lets all in."""
    number = terms.of(40, 8)
    with Scene("target-flapping", terms, intents=terms.of(300, 100)) as scene:
        for turn in scene.blows(number, (0.1, 0.8)):
            scene.trouble.every = Fault.of(_FLAPPING[turn % len(_FLAPPING)])
            time.sleep(scene.rng.uniform(0.1, 1.2))
            scene.trouble.every = None
            scene.struck("flap")
        scene.events.update(scene.trouble.fell)
        return scene.report({"flap": number, **dict.fromkeys(_FLAPPING, 1)}, alive=True)
