"""What older code has left in a journal is finished rightly: journals as they were, one for each shape.

Their ledger is a new one, in which only stands what the journal has sent and does not know of, or still builds on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from blnk_relay import KeyConflict, Operator, Relay, Settings, Write
from blnk_relay.journal import shape
from blnk_relay.journal.events import Events
from blnk_relay.journal.tokens import TokenStore
from blnk_relay.sandbox import Sandbox
from tests.frozen.__main__ import NAMESPACE, SENT, SETTINGS, work
from tests.frozen.store import path_of, thawed
from tests.support.hands import hands
from tests.support.haste import HASTY_LEDGER
from tests.support.payments import hold, payment
from tests.support.redis_keys import listed, unlisted

#: What becomes of each that was open.
ENDS = {
    **dict.fromkeys(("sent-1", "sent-2", "unsent-1", "posted-1", "posted-2", "lost-1"), "applied"),
    **dict.fromkeys(("ready-1", "ready-2", "ready-3", "later", "chain-3", "bulk-open"), "applied"),
    **dict.fromkeys(("part-1", "part-2"), "applied"),
    "chain-1": "created",
    "chain-2": "created",
    "rest": "voided",
    "upload": "uploaded",
}


@pytest.fixture
def ledger() -> Iterator[Sandbox]:
    with Sandbox(HASTY_LEDGER) as sandbox:
        yield sandbox


def test_there_is_one_for_each_shape_that_is_known() -> None:
    assert [path_of(number).exists() for number in range(shape.OLDEST, shape.NEWEST + 1)]


@pytest.mark.parametrize("number", range(shape.OLDEST, shape.NEWEST + 1))
def test_todays_code_finishes_what_a_journal_of_this_shape_holds(valkey: Any, ledger: Sandbox, number: int) -> None:
    with redis.Redis(port=valkey.port) as client:
        client.flushall()
        given = Settings(**SETTINGS, redis_url=f"redis://127.0.0.1:{valkey.port}/0", base_url=ledger.url)
        # By a journal of its own.
        with hands(replace(given, namespace="before")) as runtime:
            runtime.relay.enqueue_many([*(Write(intent=payment(), key=key) for key in SENT), hold("hold-open")])
            work(runtime, *SENT, "hold-open")
        about = thawed(client, number)
        assert about["shape"] == number
        keys = {key.decode(): client.type(key).decode() for key in client.scan_iter(match=f"{{{NAMESPACE}:*")}  # type: ignore[union-attr]
        assert number < shape.NEWEST or not unlisted(keys, listed(), given)
        with hands(given) as runtime, Operator(runtime.relay.journals, runtime.relay.bells) as operator:
            # The ledger has moved.
            runtime.journal.rebind(runtime.journal.ledger, who="test", reason="another one plays it")
            check_what_is_over(runtime.relay, operator, about["states"])
            ended = operator.resume_lane("held", who="test")
            assert ended.pause is not None
            assert ended.pause.who == "frozen"
            work(runtime, *ENDS)
            assert {key: runtime.relay.get(key).outcome for key in ENDS} == ENDS
            check_what_humans_do(runtime.relay, operator)
            work(runtime, "behind-a-letter", "poor-2")
            # In the older shape so far, and in the newest from now on.
            operator.upgrade()
            runtime.relay.enqueue(payment(), key="after")
            work(runtime, "after")
        books = ledger.books()
        once = [key for key, outcome in ENDS.items() if outcome == "applied" and not key.startswith(("part", "bulk"))]
        assert {key: books.applied(key) for key in once if key != "ready-3"} == {
            key: 1 for key in once if key != "ready-3"
        }
        assert books.applied("another-reference") == 1
        assert books.violations() == []


def check_what_is_over(relay: Relay, operator: Operator, states: dict[str, str]) -> None:
    """Outcomes, letters and what stays of what was trimmed are told as they were."""
    found = {name: relay.get(name).state for name in states}
    assert found == states
    assert set(states.values()) == {"waiting", "ready", "sending", "posted", "done", "dead", "cancelled", "discarded"}
    for key, state in (("trimmed-1", "done"), ("trimmed-2", "done"), ("trimmed-3", "cancelled")):
        assert relay.get(key).state == state
    assert relay.enqueue(payment("its-own-reference"), key="trimmed-1").created is False
    with pytest.raises(KeyConflict):
        relay.enqueue(payment("its-own-reference"), key="somebody-else")
    with pytest.raises(KeyConflict):
        relay.enqueue(payment(precise_amount=1), key="trimmed-1")
    assert [part.status for part in relay.parts("split-done")] == ["applied", "applied"]
    assert relay.history("poor-1")
    journal = relay.journal()
    tokens = TokenStore(journal, "a refresh token").read()
    assert (tokens.access, tokens.version) == ("an access token", 2)
    assert [(act.who, act.what, act.of) for act in operator.actions()][:1] == [("frozen", "pause", "lane held")]
    held = Events(journal, "bookkeeping", "first").read(0)
    assert {event.event for event in held} >= {"done", "dead", "cancelled", "discarded"}


def check_what_humans_do(relay: Relay, operator: Operator) -> None:
    """Letters of before have a new life, and what waits behind one goes on."""
    assert {letter.key for letter in operator.listed("dead")} >= {"poor-1", "poor-2", "unknown"}
    operator.discard(relay.get("poor-1"), who="test", reason="done by hand")
    operator.replay(relay.get("poor-2"), who="test", reason="a test")
