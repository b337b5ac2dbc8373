"""The process that copies into history is killed, again and again, wherever it happens to be."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from blnk_relay import Relay, Settings
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.status import milliseconds
from tests.support.copying import copiers
from tests.support.history import copy, rows_of
from tests.support.journal import LANE, WORKER, enqueue, status, trim
from tests.support.stages import operator_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

#: How often it is killed, and what ends in between: some pages.
ROUNDS, PAID, DEAD = 40, 24, 6

#: Steps of some pages: what one of them says to Redis and to the database, before and after each.
STEPS = 120


@pytest.fixture(params=["sqlite", "postgresql"])
def sort(request: pytest.FixtureRequest) -> str:
    """The sort of the database."""
    return str(request.param)


@dataclass
class Books:
    """What happened in a journal, by the keys of intents: what history has to come to."""

    relay: Relay
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    lines: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    lives: Counter[str] = field(default_factory=Counter)
    acts: int = 0

    def settle(self, to: str, count: int) -> list[str]:
        """Make an end of what is due."""
        journal = self.relay.journal()
        claims = journal.claim(LANE, WORKER, count).items
        assert len(claims) == count
        fields = {"outcome": "applied"} if to == "done" else {"class": "refused", "code": "NO", "message": "no"}
        line = json.dumps({"at": journal.now_ms(), "what": "sent", "status": 201, "by": WORKER})
        journal.settle(WORKER, [Settlement(one, "sending", to, 0, fields, line) for one in claims], [])
        keys = [one.entry.key for one in claims]
        self.lives.update(keys if to == "dead" else ())
        return keys

    def note(self, *keys: str) -> None:
        """Take down what stands in the journal, before it may be trimmed."""
        for key in keys:
            now = status(self.relay.journal(), key)
            self.states[key] = (now.state, now.outcome)
            self.lines[key] = sorted((milliseconds(one.at), one.what) for one in self.relay.history(key))

    def go_on(self, number: int) -> None:
        """Payments, letters, of which one is replayed and one closed, and an operator's act."""
        relay, operator = self.relay, operator_of(self.relay)
        enqueue(relay, *(f"dead-{number}-{place}" for place in range(DEAD)))
        dead = self.settle("dead", DEAD)
        operator.replay(status(relay.journal(), dead[0]), who="me", reason="again")
        self.settle("done", 1)
        operator.discard(status(relay.journal(), dead[1]), who="me", reason="by hand")
        enqueue(relay, *(f"paid-{number}-{place}" for place in range(PAID)))
        paid = self.settle("done", PAID)
        operator.pause_lane("refunds", who="me", reason="a look")
        operator.resume_lane("refunds", who="me")
        self.acts += 4
        self.note(*dead, *paid)

    def check_nothing_is_lost(self, database: Database) -> int:
        """What the journal has no more stands in the database, as it ended. Returns how much that is."""
        journal = self.relay.journal()
        gone = [
            key for key in self.states if not journal.client.exists(journal.key(f"intent:{id_of(DEFAULT_TARGET, key)}"))
        ]
        copied = {row["key"]: (row["state"], row["outcome"]) for row in rows_of(database, schema.intents)}
        assert {key: copied.get(key) for key in gone} == {key: self.states[key] for key in gone}
        return len(gone)

    def check(self, database: Database) -> None:
        """Everything is there, and nothing twice."""
        rows = rows_of(database, schema.intents)
        assert Counter(row["key"] for row in rows) == Counter(dict.fromkeys(self.states, 1))
        assert {row["key"]: (row["state"], row["outcome"]) for row in rows} == self.states
        keys = {row["id"]: row["key"] for row in rows}
        assert Counter(keys[row["intent"]] for row in rows_of(database, schema.letters)) == self.lives
        lines: dict[str, list[tuple[int, str]]] = {key: [] for key in self.states}
        for row in rows_of(database, schema.attempts):
            lines[keys[row["intent"]]].append((row["at_ms"], row["what"]))
        assert {key: sorted(found) for key, found in lines.items()} == self.lines
        assert len(rows_of(database, schema.movements)) == len(self.states)
        assert len(rows_of(database, schema.actions)) == self.acts


def page(relay: Relay) -> int:
    """How many pages the journal was told of."""
    journal = relay.journal()
    return int(journal.client.hget(journal.key("history"), "page") or 0)


@pytest.mark.parametrize("side_by_side", [False, True], ids=["one", "two at once"])
def test_killed_wherever_it_is_nothing_is_lost_or_doubled_or_trimmed_before(
    settings: Settings, database: Database, url: str, *, side_by_side: bool
) -> None:
    """By turns at a moment, and between two things that it says to Redis or to the database."""
    chance = random.Random(7)
    settings = replace(settings, history_url=url, history_batch=3, history_payload=True, sweep_s=0.05)
    interrupted = trimmed = 0
    with copiers(settings) as another, Relay(settings) as relay:
        # What was over before it is switched on is kept by nothing.
        books = Books(relay)
        enqueue(relay, "first")
        books.note(*books.settle("done", 1))
        copy(relay.journal(), database)
        others = [another(None)] if side_by_side else []
        for number in range(ROUNDS):
            before = page(relay)
            books.go_on(number)
            others.append(another(chance.randint(5, STEPS) if number % 2 else None))
            killed = others.pop(0)
            if not number % 2 or side_by_side:
                wanted = before + chance.randint(1, (PAID + DEAD) // 3)
                wait_until(lambda: page(relay) >= wanted, 60, "a page", poll_s=0.001)  # noqa: B023
                time.sleep(chance.uniform(0, 0.02))
                killed.kill()
            killed.join(60)
            assert killed.exitcode == -signal.SIGKILL
            interrupted += relay.journal().history_lag().uncopied > 0
            # Whoever comes next may trim at once.
            trim(relay.journal())
            trimmed = books.check_nothing_is_lost(database)
        another(None)
        wait_until(lambda: not relay.journal().history_lag().uncopied, 60, "all to be copied")
        books.check(database)
        # One sweep trims so many; then all of it may go.
        while relay.journal().client.zcard(relay.journal().key("done")):
            gone = trimmed
            trim(relay.journal())
            trimmed = books.check_nothing_is_lost(database)
            assert trimmed > gone
    assert trimmed > ROUNDS
    assert side_by_side or interrupted > ROUNDS / 4
