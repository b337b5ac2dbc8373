"""The state diagram of ``docs/architecture.md`` against the scripts: every arrow happens, and nothing else does."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Relay, Write, bulk_transactions
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.states import State
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.lua import Scripts
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.status import Status
from tests.support.payments import payment

ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
ARROW = re.compile(r"^ +(\S+) --> (\S+): (\w+)$", re.MULTILINE)

LANE = "transactions"
WORKER = "somewhere:1:abc"

#: Where an intent comes from, and where it goes when it is trimmed.
NOWHERE = "[*]"

#: More than one script deals with of what waits for one intent.
CROWD = 250

#: Every record and its state in one answer: it is asked for after each script.
STATES_OF_ALL = """
local told = {}
for _, name in ipairs(redis.call('KEYS', ARGV[1])) do
  told[#told + 1] = name
  told[#told + 1] = redis.call('HGET', name, 'state') or ''
end
return told
"""

Arrow = tuple[str, str, str]


def drawn() -> list[Arrow]:
    """From, to and script of every arrow."""
    return [(start, end, script) for start, end, script in ARROW.findall(ARCHITECTURE.read_text(encoding="utf-8"))]


class Watcher:
    """Notes every transition that a script makes, by what stood in the journal before it and after."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self._journal = journal
        self._last: dict[str, str] = {}
        self.seen: set[Arrow] = set()
        for name in ("run", "run_and_wait"):
            monkeypatch.setattr(Scripts, name, self._watched(getattr(Scripts, name)))

    def _watched(self, run: Any) -> Any:
        def watched(scripts: Scripts, name: str, *arguments: Any) -> Any:
            answer = run(scripts, name, *arguments)
            # Nothing but scripts moves a state, so what stood before is what was seen after the last one.
            before, self._last = self._last, self._states()
            for id_, _ in before.items() ^ self._last.items():
                self.seen.add((before.get(id_, NOWHERE), self._last.get(id_, NOWHERE), name))
            return answer

        return watched

    def _states(self) -> dict[str, str]:
        told: Any = self._journal.client.eval(STATES_OF_ALL, 0, self._journal.key("intent:*"))
        return dict(zip(told[::2], told[1::2], strict=True))


class Play:
    """What producers, workers and operators do with a journal, in words."""

    def __init__(self, relay: Relay) -> None:
        self.relay, self.journal = relay, relay.journal()
        self.operator = Operator(relay.journals, relay.bells)

    def enqueue(self, key: str, **options: Any) -> None:
        self.relay.enqueue_many([Write(intent=payment(), key=key, **options)])

    def batch(self, key: str, **options: Any) -> None:
        """One that takes turns with all others of its sort."""
        self.relay.enqueue_many(
            [
                Write(
                    intent=bulk_transactions([payment(f"{key}-item")], atomic=True, skip_queue=True), key=key, **options
                )
            ]
        )

    def crowd(self, of: str) -> None:
        """Many that wait for one."""
        waiting = [Write(intent=payment(), key=f"{of}-{number}", after=[of]) for number in range(CROWD)]
        self.relay.enqueue_many(waiting)

    def claim(self, key: str) -> Claimed:
        """The lane is empty but for this one."""
        (claimed,) = self.journal.claim(LANE, WORKER, 1).items
        assert claimed.entry.key == key
        return claimed

    def take(self, key: str) -> Claimed:
        (taken,) = self.journal.take(WORKER, 1, 10).items
        assert taken.entry.key == key
        return taken

    def settle(self, claimed: Claimed, origin: str, to: str) -> None:
        fields = {"done": {"outcome": "applied"}, "dead": {"class": "refused", "code": "NO", "message": "no"}}
        self.journal.settle(WORKER, [Settlement(claimed, origin, to, 0, fields.get(to, {}))], [])
        # Nothing is in its hands any more.
        self.journal.take(WORKER, 0, 10, leave=True)

    def end(self, key: str, to: str = "done") -> None:
        """Claim what is the only one ready, and settle it."""
        self.settle(self.claim(key), "sending", to)

    def post(self, key: str) -> None:
        self.end(key, "posted")

    def bury(self, key: str) -> None:
        self.end(key, "dead")

    def pass_deadline(self, key: str) -> None:
        self.journal.client.zadd(self.journal.key("expiring"), {self.id(key): 1})

    def note(self, key: str, **fields: str | int) -> None:
        """As if it had gone through that before."""
        self.journal.client.hset(self.journal.key(f"intent:{self.id(key)}"), mapping=fields)  # type: ignore[arg-type]

    def sweep(self) -> None:
        self.journal.client.delete(self.journal.key("sweep"))
        assert self.journal.sweep().swept

    def reject(self, id_: str) -> None:
        self.journal.scripts.run("reject", id_, "{}", "transaction", LANE, "INVALID", "no", 100, "")

    @staticmethod
    def id(key: str) -> str:
        return id_of(DEFAULT_TARGET, key)

    def status(self, key: str) -> Status:
        found = self.journal.status(self.id(key))
        assert found is not None
        return found

    def state(self, key: str) -> str:
        return self.status(key).state

    def replay(self, key: str) -> None:
        self.operator.replay(self.status(key), who="me", reason="a test")

    def discard(self, key: str) -> None:
        self.operator.discard(self.status(key), who="me", reason="a test")

    def clear(self) -> None:
        """Cancel all that is left over."""
        for state in ("ready", "waiting"):
            for status in list(self.operator.listed(state)):
                if self.journal.status(status.id).state in ("ready", "waiting"):  # type: ignore[union-attr]
                    self.relay.cancel(status.id)


def an_intent_goes_its_way(play: Play) -> None:
    for number, to in enumerate(("done", "dead", "ready")):
        play.enqueue(f"sent-{number}")
        play.end(f"sent-{number}", to)
    play.settle(play.claim("sent-2"), "sending", "posted")
    play.settle(play.take("sent-2"), "posted", "ready")
    play.post("sent-2")
    play.settle(play.take("sent-2"), "posted", "done")
    play.enqueue("looked-at")
    play.post("looked-at")
    play.settle(play.take("looked-at"), "posted", "dead")
    play.discard("looked-at")
    play.reject("a-letter")
    play.operator.discard(play.journal.status("a-letter"), who="me", reason="a test")  # type: ignore[arg-type]
    play.reject("a-letter")


def workers_die(play: Play) -> None:
    play.enqueue("lapsed")
    play.claim("lapsed")
    play.journal.client.zadd(play.journal.key(f"leased:{WORKER}"), {play.id("lapsed"): 1})
    play.sweep()
    assert play.state("lapsed") == "posted"
    play.settle(play.take("lapsed"), "posted", "done")
    # Those that were let go are cancelled, so that the lane is empty again.
    play.batch("kills-claims")
    play.batch("behind-claims")
    play.note("kills-claims", claims=99)
    assert play.journal.claim(LANE, WORKER, 1).items == ()
    assert (play.state("kills-claims"), play.state("behind-claims")) == ("dead", "ready")
    play.clear()
    play.batch("kills-looks")
    play.batch("behind-looks")
    play.post("kills-looks")
    play.note("kills-looks", looks=99, worker=WORKER)
    assert play.journal.take(WORKER, 1, 10).items == ()
    assert (play.state("kills-looks"), play.state("behind-looks")) == ("dead", "ready")
    play.clear()


def deadlines_pass(play: Play) -> None:
    play.enqueue("never-sent")
    for key in ("late", "in-doubt"):
        play.enqueue(key, after=["never-sent"], deadline=_LATER)
    play.batch("late-in-turn", after=["never-sent"], deadline=_LATER)
    play.batch("behind-late")
    for key in ("late", "in-doubt", "late-in-turn"):
        play.pass_deadline(key)
    play.note("in-doubt", lost=1)
    play.sweep()
    assert [play.state(key) for key in ("late", "in-doubt", "behind-late")] == ["dead", "posted", "ready"]
    play.replay("late")
    assert play.state("late") == "waiting"
    play.settle(play.take("in-doubt"), "posted", "done")
    play.clear()


def letters_are_replayed_and_discarded(play: Play) -> None:
    play.enqueue("again")
    play.bury("again")
    play.replay("again")
    play.bury("again")
    play.note("again", sent=1)
    play.replay("again")
    assert play.state("again") == "posted"
    play.settle(play.take("again"), "posted", "done")
    play.enqueue("closed", order_key="a row")
    play.enqueue("behind-closed", order_key="a row")
    play.enqueue("needs-closed", after=["closed"])
    play.bury("closed")
    play.discard("closed")
    assert (play.state("behind-closed"), play.state("needs-closed")) == ("ready", "dead")
    play.clear()


def others_wait(play: Play) -> None:
    play.enqueue("taken-back", order_key="a row")
    play.enqueue("behind-taken-back", order_key="a row")
    play.enqueue("never-had-its-turn", order_key="a row")
    play.relay.cancel("never-had-its-turn")
    play.crowd("taken-back")
    play.relay.cancel("taken-back")
    play.sweep()
    assert {play.state(f"taken-back-{number}") for number in range(CROWD)} == {"dead"}
    play.clear()
    play.enqueue("awaited")
    play.crowd("awaited")
    play.end("awaited")
    play.sweep()
    assert {play.state(f"awaited-{number}") for number in range(CROWD)} == {"ready"}
    play.clear()


def all_of_it_is_trimmed(play: Play) -> None:
    client, done = play.journal.client, play.journal.key("done")
    client.zadd(done, dict.fromkeys(client.zrange(done, 0, -1), 1))
    play.sweep()


#: The test lets it pass by itself.
_LATER = timedelta(hours=1)


@pytest.mark.timeout(300)
def test_every_arrow_of_the_diagram_happens_and_nothing_else_does(relay, monkeypatch):
    watcher, play = Watcher(relay.journal(), monkeypatch), Play(relay)
    for scene in (
        an_intent_goes_its_way,
        workers_die,
        deadlines_pass,
        letters_are_replayed_and_discarded,
        others_wait,
        all_of_it_is_trimmed,
    ):
        scene(play)
    arrows = drawn()
    assert len(set(arrows)) == len(arrows)
    assert watcher.seen - set(arrows) == set(), "happens, and is not drawn"
    assert set(arrows) - watcher.seen == set(), "is drawn, and does not happen"


def test_the_diagram_has_all_states_and_no_other():
    assert {state for start, end, _ in drawn() for state in (start, end)} - {NOWHERE} == set(State)
