"""Redis loses its last moments under real workers: a short form of the drill of promotions (``make drill``)."""

from __future__ import annotations

import pytest

from tests.drills.promotions import Setting, play_promotions

#: What each durability promises is another thing; who promotes makes no difference to it. The drill plays all of them.
SOON = Setting("memory", "hand")
LATER = [Setting("fsync", "hand"), Setting("replicated:1", "sentinel")]


@pytest.mark.parametrize("setting", [SOON, *(pytest.param(one, marks=pytest.mark.long) for one in LATER)], ids=str)
def test_after_a_promotion_every_receipt_ends_once_and_no_letter_is_untrue(setting: Setting) -> None:
    promotions = 1
    outcome = play_promotions(5, setting, 120, promotions=promotions)
    assert outcome.sound, "\n".join(outcome.sentences)
    assert outcome.numbers["accepted"] == 120
    assert outcome.numbers["promotions"] == promotions
    assert outcome.numbers["epochs"] >= promotions
    if setting.durability == "replicated:1":
        # Their records were not durable while the replica was away, so nothing was sent that nobody could tell.
        assert outcome.numbers["moment_lost"] == 0
