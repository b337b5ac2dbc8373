"""Drills in which Redis loses its last moments: its replica is cut off, it is killed, and the replica is promoted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.drills.report import Report, Terms
from tests.drills.scene import Scene
from tests.support.succession import Promoter, Succession

#: Between two changes of primary; how long the old one goes on alone; how long the new one does.
_PEACE_S = (2.0, 4.0)
_ALONE_S = (0.3, 2.5)
_WIDOWED_S = (0.0, 2.0)

#: How often the primary is lost; sentinels take their time.
_NUMBER: Mapping[Promoter, int] = {"hand": 3, "sentinel": 2}


@dataclass(frozen=True, slots=True)
class Promotions:
    """Redis loses its last moments: a replica that was cut off is promoted.

    Attributes:
        durability: Of receipts, and of records of writes that the ledger could not tell from a repeat.
        promoter: Who promotes the replica.
    """

    durability: str
    promoter: Promoter

    @property
    def name(self) -> str:
        """That of the drill."""
        return f"promotions-{self.durability.partition(':')[0]}-{self.promoter}"

    @property
    def about(self) -> str:
        """What it does."""
        return f"A replica is promoted by {self.promoter} without the last second; receipts are {self.durability}."

    def __call__(self, terms: Terms) -> Report:
        """Play it."""
        succession = Succession(self.promoter)
        number = terms.of(_NUMBER[self.promoter], 1)
        with Scene(
            self.name,
            terms,
            intents=terms.of(200, 120),
            workers=2,
            valkey=succession,
            settings={"redis_url": succession.url, "durability": self.durability},
            losses=lambda: succession.promotions,
        ) as scene:
            # As much is told before each cut as between it and the promotion.
            cut_at = 0
            for turn in scene.blows(2 * number, (0.0, 0.0)):
                if turn % 2 == 0:
                    time.sleep(scene.rng.uniform(*_PEACE_S))
                    succession.cut()
                    cut_at = succession.written()
                    scene.struck("cut")
                    continue
                time.sleep(scene.rng.uniform(*_ALONE_S))
                if turn % 4 == 1:
                    scene.struck("kill", scene.crew.kill(scene.rng.choice(scene.crew.present())))
                # More may be written until it is killed; this much is lost at least.
                lost = succession.written() - cut_at
                scene.struck("tail_lost", lost > 0)
                scene.struck("bytes_lost", lost)
                succession.promote()
                scene.struck("promotion")
                time.sleep(scene.rng.uniform(*_WIDOWED_S))
                succession.bring_back()
            report = scene.report(
                least_of(self.durability, number),
                restarts=succession.promotions,
                forgotten=dict(scene.teller.forgotten),
                overtaken=len(scene.teller.overtaken),
            )
            for sentence in self._receipts_say(scene):
                report = report.wrong(sentence)
            return report

    def _receipts_say(self, scene: Scene) -> Iterator[str]:
        """At the end both servers are there: each receipt says what was asked for."""
        for key, receipt in scene.teller.receipts.items():
            if receipt.durability != self.durability:
                yield f"durability: the last receipt of {key} says {receipt.durability}"


def least_of(durability: str, number: int) -> Mapping[str, int]:
    """What has to fall and to show of so many promotions: what was written to the old primary alone is lost.

    Where receipts wait for a replica, few are given without one.

    Args:
        durability: Of receipts.
        number: Promotions.
    """
    forgotten = 1 if durability.startswith("replicated") else number
    return {"promotion": number, "epochs": number, "tail_lost": number, "forgotten": forgotten}


#: One for each durability, promoted by hand and by Sentinel.
PROMOTIONS = [
    Promotions(durability, promoter)
    for promoter in ("hand", "sentinel")
    for durability in ("memory", "fsync", "replicated:1")
]
