"""Whatever prefix of its writes a journal goes back to, going on from there doubles and loses nothing."""

from __future__ import annotations

import pytest

from tests.simulation.prefixes import resumed, run_of
from tests.simulation.runs import playing
from tests.simulation.stories import STORIES

#: Shown with all tests; the others take longer.
SHORT = ("transaction-hold", "transaction.bulk-skip", "ledger.create", "reconciliation.upload", "inflight.bulk_void")

#: Its retries are the same few trips over and over again.
_LONGEST = "poor payment"


@pytest.mark.parametrize(
    "story",
    [pytest.param(story, marks=() if story in SHORT else pytest.mark.long) for story in STORIES if story != _LONGEST],
)
def test_a_journal_that_goes_back_to_any_prefix_keeps_the_promise(story):
    with playing() as one:
        broken = {cut: ended.problems for cut, ended in resumed(run_of(story), one) if ended.problems}
    assert broken == {}
