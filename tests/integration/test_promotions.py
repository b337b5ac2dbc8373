"""Redis loses its last moments under real workers: a short form of the drill of promotions (``make drill``)."""

from __future__ import annotations

import pytest

from tests.drills.promotions import Promotions
from tests.drills.report import Terms

#: What each durability promises is another thing; who promotes makes no difference to it. The drill plays all of them.
SOON = Promotions("memory", "hand")
LATER = [Promotions("fsync", "hand"), Promotions("replicated:1", "sentinel")]


@pytest.mark.parametrize("drill", [SOON, *(pytest.param(one, marks=pytest.mark.long) for one in LATER)], ids=str)
def test_after_a_promotion_every_receipt_ends_once_and_no_letter_is_untrue(drill: Promotions) -> None:
    report = drill(Terms(seed=5, quick=True))
    assert report.sound, "\n".join(report.sentences)
    assert report.accepted == 120
    if drill.durability == "replicated:1":
        # Their records were not durable while the replica was away, so nothing was sent that nobody could tell.
        assert not any(code.endswith("MOMENT_LOST") for code in report.figures["dead_codes"])
