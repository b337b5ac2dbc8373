"""The demo's story: whole at every size, the same for the same seed, and with a part for every kind."""

from __future__ import annotations

import pytest

from blnk_relay import Settings, intent_of
from blnk_relay.errors import InvalidIntent
from blnk_relay.intake import prepare_many
from blnk_relay.intents.links import linked_keys
from blnk_relay.kinds.registry import KINDS
from worker.demo.story import NOT_TOLD, key_of, tell

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_has_a_part(seed):
    story = tell(150, seed)
    told = {write.intent.kind for write in (*story.opening, *story.writes)}
    assert set(KINDS) - told - set(NOT_TOLD) == set()
    assert told.isdisjoint(NOT_TOLD)


@pytest.mark.parametrize("kind", NOT_TOLD)
def test_a_kind_is_left_out_for_a_reason(kind):
    assert "setting" in NOT_TOLD[kind]


@pytest.mark.parametrize("size", [10, 11, 20, 57, 150, 1000])
def test_it_has_as_many_intents_as_asked_for_and_each_builds_on_earlier_ones(size):
    story = tell(size, 3)
    writes = [*story.opening, *story.writes]
    assert len(writes) == size
    assert story.opening
    seen: set[str] = set()
    for write in writes:
        assert seen.issuperset((*linked_keys(write.intent.payload), *write.after)), key_of(write)
        assert key_of(write) not in seen
        seen.add(key_of(write))
    batch = prepare_many(Settings(redis_url="redis://127.0.0.1:1/0"), writes)
    assert batch.order == list(range(size))
    assert len(story.repeated) == len(story.invalid) == max(1, size // 20)
    assert seen.issuperset(key_of(write) for write in story.repeated)


def test_it_is_the_same_for_the_same_seed_and_another_for_another():
    assert tell(300, 7) == tell(300, 7)
    assert tell(300, 7) != tell(300, 8)


def test_what_must_be_refused_is_refused():
    refused = 0
    for kind, fields in tell(1000, 1).invalid:
        with pytest.raises(InvalidIntent):
            intent_of(kind, fields)
        refused += 1
    assert refused == 50
