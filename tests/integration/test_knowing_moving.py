"""What an audit knows of all that is ours while intents go from hand to hand: no write of ours becomes nobody's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations, count
from typing import Any
from uuid import UUID

import pytest

from blnk_relay import Operator, Relay, Settings, commit_hold
from blnk_relay.audit.knowing import Knowing
from blnk_relay.journal.audited import Audited
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.settlement import Settlement
from tests.support.journal import LANE, WORKER, enqueue, finish, kill
from tests.support.moving import carrying

#: A hold's row, and the commit that the ledger shows below it.
ROW, CHILD = (f"txn_{UUID(int=number)}" for number in (1, 2))

#: More trips than it takes to read a journal of one intent.
MOST_TRIPS = 80

_NUMBERS = count()


@dataclass
class Committing:
    """A commit of a part of a hold that the ledger has made, moved by hand.

    Attributes:
        held: What a worker has in hand.
    """

    relay: Relay
    held: Claimed | None = None

    def take(self) -> None:
        [self.held] = self.relay.journal().claim(self.relay.get("part-1").lane, WORKER, 1).items

    def give_back(self) -> None:
        """It was not sent."""
        self._settle("sending", "ready", {})

    def sent(self) -> None:
        """It is sent, and was made; whether it was, nobody has seen yet."""
        self.take()
        self._settle("sending", "posted", {"sent": "1", "memo": json.dumps({"row": ROW, "left": 1000, "before": 0})})

    def back(self) -> None:
        """Looked for, and to be sent again, as where a read does not show it yet."""
        [self.held] = self.relay.journal().take(WORKER, 1, 60).items
        self._settle("posted", "ready", {})

    def held_back(self) -> None:
        """The same, while another one stands before it in its order."""
        journal, id_ = self.relay.journal(), self.relay.get("part-1").id
        order = journal.client.hget(journal.key(f"intent:{id_}"), "orders")
        journal.client.zadd(journal.key(f"order:{order}"), {"another": -1})
        self.back()
        assert self.relay.get("part-1").state == "waiting"

    def again(self) -> None:
        """In hands, to be sent again."""
        self.take()

    def doubted(self) -> None:
        """Nobody can tell whether it happened: a letter."""
        [self.held] = self.relay.journal().take(WORKER, 1, 60).items
        self._settle("posted", "dead", {"class": "unknown", "code": "NO", "message": "no"})

    def replay(self) -> None:
        operator = Operator(self.relay.journals, self.relay.bells)
        operator.replay(operator.get("part-1"), who="ann", reason="looked at")

    def found(self) -> None:
        [self.held] = self.relay.journal().take(WORKER, 1, 60).items
        self._settle("posted", "done", {"outcome": "applied", "txn": CHILD, "parent": ROW})

    def _settle(self, origin: str, to: str, fields: dict[str, str]) -> None:
        assert self.held
        self.relay.journal().settle(WORKER, [Settlement(self.held, origin, to, 0, fields)], [])  # type: ignore[arg-type]


@contextmanager
def committing(settings: Settings) -> Iterator[Committing]:
    """One in a journal that nobody has used."""
    with Relay(replace(settings, namespace=f"{settings.namespace}-{next(_NUMBERS)}")) as relay:
        relay.enqueue(commit_hold(ROW, precise_amount=400, currency="EUR"), key="part-1")
        yield Committing(relay)


def accused(knowing: Knowing) -> bool:
    """Whether an audit would say of the commit that no intent made it."""
    known = knowing.known
    return known.complete and not known.owner(CHILD) and not known.is_unsure(ROW)


#: Where it stands when it is read, and what befalls it meanwhile.
STORIES: list[tuple[list[str], list[str]]] = [
    (["sent"], []),
    (["sent", "back"], []),
    (["sent", "back", "again"], []),
    (["sent", "held_back"], []),
    (["sent", "doubted"], []),
    (["sent"], ["back"]),
    (["sent"], ["held_back"]),
    (["sent"], ["found"]),
    (["sent"], ["doubted"]),
    (["sent", "back"], ["again"]),
    (["sent", "doubted"], ["replay"]),
    (["sent"], ["back", "again"]),
    (["sent", "doubted"], ["replay", "found"]),
    (["sent", "doubted"], ["replay", "back"]),
    (["sent"], ["doubted", "replay"]),
]


def _each(story: tuple[list[str], list[str]]) -> Any:
    stands, befalls = story
    several = [pytest.mark.long] if len(befalls) > 1 else []
    return pytest.param(stands, befalls, id=f"{'-'.join(stands)}, {' and '.join(befalls) or 'nothing'}", marks=several)


@pytest.mark.parametrize(("stands", "befalls"), [_each(story) for story in STORIES])
def test_what_an_intent_of_ours_has_made_is_never_nobodys(settings, monkeypatch, stands, befalls):
    missed, trips = [], MOST_TRIPS
    for moments in combinations(range(MOST_TRIPS), len(befalls)):
        if moments and moments[-1] >= trips:
            continue
        with committing(settings) as it, monkeypatch.context() as patch:
            for step in stands:
                getattr(it, step)()
            knowing = Knowing(Audited(it.relay.journal()))
            steps: dict[int, Callable[[], None]] = {
                at: getattr(it, step) for at, step in zip(moments, befalls, strict=True)
            }
            moved = carrying(patch, steps)
            knowing.prepare(86_400_000)
            if moments and moved() <= moments[-1]:
                trips = moments[-1]
                continue
            missed += [moments] if accused(knowing) else []
    assert not befalls or 3 < trips < MOST_TRIPS
    assert not missed, f"{len(missed)} of {trips}"


@pytest.mark.parametrize("befalls", ["found", "doubted"])
def test_what_ended_before_the_last_that_was_read_by_a_clock_that_went_back_is_known(settings, befalls):
    with committing(settings) as it:
        journal = it.relay.journal()
        it.take()
        enqueue(it.relay, "paid", "died")
        paid, died = journal.claim(LANE, WORKER, 2).items
        finish(journal, paid)
        kill(journal, died)
        it.give_back()
        for state in ("done", "dead"):
            # As by a clock that was a minute ahead.
            for id_ in journal.client.zrange(journal.key(state), 0, -1):
                journal.client.zincrby(journal.key(state), 60_000, id_)
        knowing = Knowing(Audited(journal))
        knowing.prepare(86_400_000)
        it.sent()
        getattr(it, befalls)()
        knowing.refresh()
        assert not accused(knowing)
