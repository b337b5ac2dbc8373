"""Encryption keys while intents go from hand to hand: none is passed over that still needs the old one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import combinations, count, cycle

import pytest

from blnk_relay import Operator, Relay, Settings
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.settlement import Settlement
from tests.support.journal import LANE, WORKER, enqueue, finish, kill
from tests.support.moving import carrying
from tests.support.secrecy import a_key

ONE, TWO = a_key("k1"), a_key("k2")

#: More trips than a walk over one intent needs.
MOST_TRIPS = 60

_NUMBERS = count()


@dataclass
class Moving:
    """An intent that is written with the old key, and is moved by hand.

    Attributes:
        one: Who has the old key alone.
        both: Who writes with the new one.
        held: What a worker has in hand.
    """

    one: Relay
    both: Relay
    held: Claimed | None = None

    @property
    def operator(self) -> Operator:
        return Operator(self.both.journals, self.both.bells)

    def take(self) -> None:
        [self.held] = self.both.journal().claim(LANE, WORKER, 1).items

    def back(self) -> None:
        assert self.held
        self.both.journal().settle(WORKER, [Settlement(self.held, "sending", "ready")], [])

    def die(self) -> None:
        self.take()
        assert self.held
        kill(self.both.journal(), self.held)

    def replay(self) -> None:
        self.operator.replay(self.operator.get("a"), who="ann", reason="paid in")

    def finish(self) -> None:
        self.take()
        assert self.held
        finish(self.both.journal(), self.held)

    def needs_the_old_one(self) -> bool:
        journal = self.one.journal()
        sealed = journal.client.hget(journal.key(f"intent:{self.one.get('a').id}"), "sealed")
        return journal.seal.keys().names[0] in str(sealed)


@contextmanager
def moving(settings: Settings) -> Iterator[Moving]:
    """One in a journal that nobody has used."""
    fresh = replace(settings, namespace=f"{settings.namespace}-{next(_NUMBERS)}")
    with ExitStack() as stack:
        one, both = (stack.enter_context(Relay(replace(fresh, encryption_keys=keys))) for keys in (ONE, f"{TWO},{ONE}"))
        enqueue(one, "a")
        yield Moving(one, both)


@pytest.mark.parametrize("story", ["back", "replay"])
def test_a_key_that_is_needed_is_never_said_to_be_needed_no_more(settings, monkeypatch, story):
    missed, trips = [], MOST_TRIPS
    for trip in range(MOST_TRIPS):
        with moving(settings) as it, monkeypatch.context() as patch:
            if story == "back":
                it.take()
            else:
                it.die()
            moved = carrying(patch, {trip: getattr(it, story)})
            [use] = it.operator.key_use()
            if moved() <= trip:
                trips = trip
                break
            # The secret of fingerprints is under the old key as well.
            missed += [trip] if use.old < 2 else []
    assert 5 < trips < MOST_TRIPS
    assert not missed


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_one_that_goes_to_and_fro_is_met(settings, monkeypatch, every, first):
    with moving(settings) as it, monkeypatch.context() as patch:
        steps = cycle((it.take, it.back))
        if first:
            next(steps)()
        moved = carrying(patch, dict(zip(range(0, 10 * MOST_TRIPS, every), steps, strict=False)))
        [use] = it.operator.key_use()
        assert use.old >= 2
        begun = moved()
        done = it.operator.reseal("default")
        assert moved() > begun
    assert not it.needs_the_old_one() or not done.whole


def test_a_letter_that_is_replayed_and_ends_meanwhile_is_put_under_the_new_key(settings, monkeypatch):
    missed, trips = [], 0
    for replayed, ended in combinations(range(MOST_TRIPS), 2):
        if trips and ended >= trips:
            continue
        with moving(settings) as it, monkeypatch.context() as patch:
            it.die()
            moved = carrying(patch, {replayed: it.replay, ended: it.finish})
            done = it.operator.reseal("default")
            if moved() <= ended:
                trips = ended
            elif done.whole and it.needs_the_old_one():
                missed.append((replayed, ended))
    assert 5 < trips < MOST_TRIPS
    assert not missed


def test_what_changed_meanwhile_and_was_put_under_the_new_key_all_the_same_is_not_left(settings, monkeypatch):
    told, trips = [], MOST_TRIPS
    for trip in range(MOST_TRIPS):
        with moving(settings) as it, monkeypatch.context() as patch:
            moved = carrying(patch, {trip: it.die})
            done = it.operator.reseal("default")
            if moved() <= trip:
                trips = trip
                break
            told += [trip] if done.whole == it.needs_the_old_one() else []
    assert 5 < trips < MOST_TRIPS
    assert not told


def test_what_is_written_with_a_new_key_meanwhile_is_counted_once(settings, monkeypatch):
    counted, trips = set(), MOST_TRIPS
    for trip in range(MOST_TRIPS):
        with moving(settings) as it, monkeypatch.context() as patch:
            new = it.both.journal().seal.keys().names[0]

            def write(it=it):
                enqueue(it.both, "b", "c", "d")
                it.both.journal().claim(LANE, WORKER, 4)

            moved = carrying(patch, {trip: write})
            [use] = it.operator.key_use()
            if moved() <= trip:
                trips = trip
                break
            counted.add(use.intents.get(new, 0))
    assert 5 < trips < MOST_TRIPS
    assert counted <= {0, 3}


def test_what_is_looked_at_twice_is_told_once(settings):
    with moving(settings) as it:
        it.take()
        it.back()
        it.die()
        enqueue(it.one, "b", "c")
        for look in (it.operator.key_use, it.operator.reseal):
            told: list[int] = []
            look("default", step=told.append)
            assert sum(told) == 3
