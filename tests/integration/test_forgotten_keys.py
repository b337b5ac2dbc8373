"""Keys are forgotten after a time, and what comes again after that happens once all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from blnk_relay import KeyConflict, Relay, Settings, Write, refund
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox import Sandbox
from tests.support.hands import hands
from tests.support.haste import (
    AFTERWARDS_S,
    HASTE,
    HASTY_LEDGER,
    drive,
    effects,
    needed,
    scene_of,
    settle,
)
from tests.support.journal import LANE, WORKER, enqueue, finish, status, sweep, trim
from tests.support.payments import payment
from tests.support.specimens import SPECIMENS
from tests.support.waiting import wait_until

#: Keys are forgotten, but not while a test goes on.
LATE = {"retention_s": 1_000.0, "key_retention_s": 2_000.0}


def forget(settings: Settings) -> None:
    """Let pass all the time for which anything is kept."""
    journal = Journal(replace(settings, retention_s=0.001, key_retention_s=0.002))

    def is_over() -> bool:
        sweep(journal)
        left = any(journal.client.scan_iter(match=journal.key("past:[ab]:*"), count=1000))
        return not left and not journal.client.exists(journal.key("done"))

    wait_until(is_over, 60, "everything to be forgotten", poll_s=0.001)
    journal.close()


def forgetful(settings: Settings) -> Settings:
    return replace(settings, retention_s=LATE["retention_s"], key_retention_s=LATE["key_retention_s"])


def test_what_comes_again_after_its_key_was_forgotten_happens_once(valkey: Any) -> None:
    with Sandbox(HASTY_LEDGER) as sandbox:
        redis_url = f"redis://127.0.0.1:{valkey.port}/0"
        given = Settings(**HASTE, **LATE, redis_url=redis_url, base_url=sandbox.url, namespace="forgotten")
        scenes = {name: scene_of(name, "forgotten") for name in SPECIMENS}
        with hands(given) as runtime:
            runtime.journal.sweep()
            ids = needed(runtime, list(SPECIMENS.values()), scenes, drive)
            writes = [
                Write(intent=one.make(scenes[name], ids[name]), key=scenes[name]) for name, one in SPECIMENS.items()
            ]
            first = settle(runtime, writes, drive, "the first time")
            assert {one.state for one in first.values()} == {"done"}
        sandbox.step(AFTERWARDS_S)
        before = effects(sandbox.books())
        forget(given)
        with hands(given) as runtime:
            for name, specimen in SPECIMENS.items():
                known = runtime.journal.status(id_of(DEFAULT_TARGET, scenes[name]))
                assert (known is None) == KINDS[specimen.kind].findable, name
            again = settle(runtime, writes, drive, "the second time")
        sandbox.step(AFTERWARDS_S)
        books = sandbox.books()
        for name, specimen in SPECIMENS.items():
            one, other, parts = first[scenes[name]], again[scenes[name]], specimen.parts(books, scenes[name], ids[name])
            told = f"{name}: {other.state} {other.dead_class} {other.code} {other.message}; {parts}"
            assert all(len(part) == 1 for part in parts), told
            assert (other.state, other.outcome) == ("done", one.outcome), told
            assert other.transaction_id == one.transaction_id, told
        assert books.violations() == []
        assert effects(books) == before, "nothing moved twice"


def test_what_is_new_after_keys_were_forgotten_happens(valkey: Any) -> None:
    with Sandbox(HASTY_LEDGER) as sandbox:
        redis_url = f"redis://127.0.0.1:{valkey.port}/0"
        given = Settings(**HASTE, **LATE, redis_url=redis_url, base_url=sandbox.url, namespace="new")
        with hands(given) as runtime:
            runtime.journal.sweep()
            settle(runtime, [Write(intent=payment("old"), key="old")], drive, "something to forget")
        forget(given)
        chosen = {name: one for name, one in SPECIMENS.items() if KINDS[one.kind].findable}
        scenes = {name: scene_of(name, "new") for name in chosen}
        with hands(given) as runtime:
            ids = needed(runtime, list(chosen.values()), scenes, drive)
            before = effects(sandbox.books())
            writes = [Write(intent=one.make(scenes[name], ids[name]), key=scenes[name]) for name, one in chosen.items()]
            told = settle(runtime, writes, drive, "what is new")
            assert {one.state for one in told.values()} == {"done"}, told
            # Another key for what was just done is another's work, and not a repeat.
            twice = settle(runtime, [Write(intent=refund("old"), key="back")], drive, "a refund")["back"]
            assert twice.outcome == "refunded"
            other = settle(runtime, [Write(intent=refund("old"), key="back again")], drive, "another")["back again"]
            assert other.state in ("dead", "done")
        books = sandbox.books()
        moved = sum(len(one.parts(books, scenes[name], ids[name])) for name, one in chosen.items() if one.moves)
        assert effects(books) == before + moved + 1
        assert books.violations() == []


def test_what_is_forgotten_is_free_and_what_is_open_or_dead_keeps_all_that_it_owns(
    settings: Settings, relay: Relay, journal: Journal
) -> None:
    given = forgetful(settings)
    others = Journal(given)
    sweep(others)
    relay.enqueue(payment("reference"), key="order")
    relay.enqueue(payment("kept"), key="open", not_before=timedelta(hours=1))
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    trim(others)
    with pytest.raises(KeyConflict):
        relay.enqueue(payment(), key="reference")
    forget(given)
    assert relay.enqueue(payment(), key="reference").created
    assert relay.enqueue(payment("another"), key="order").created
    with pytest.raises(KeyConflict):
        relay.enqueue(payment(), key="kept")
    others.close()


def test_what_was_cancelled_and_what_went_under_new_references_is_kept_for_ever(
    settings: Settings, relay: Relay, journal: Journal
) -> None:
    given = forgetful(settings)
    others = Journal(given)
    sweep(others)
    enqueue(relay, "cancelled", "renewed", "plain")
    relay.cancel("cancelled")
    journal.client.hset(journal.key(f"intent:{id_of(DEFAULT_TARGET, 'renewed')}"), "gen", 1)
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    others.close()
    forget(given)
    assert status(journal, "cancelled").state == "cancelled"
    assert status(journal, "renewed").state == "done"
    assert journal.status(id_of(DEFAULT_TARGET, "plain")) is None


def test_keys_are_kept_for_at_least_as_long_as_the_setting_says_and_for_ever_without_it(
    settings: Settings, relay: Relay, journal: Journal
) -> None:
    enqueue(relay, "for ever")
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    trim(journal)
    others = Journal(forgetful(settings))
    sweep(others)
    enqueue(relay, "for a time")
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    trim(others)
    # The time passes once: what was trimmed in it is not that old yet.
    others.client.hset(others.key("ground"), "keys_since", others.now_ms() - 2_000_001)
    for _ in range(40):
        sweep(others)
    assert others.client.hget(others.key("ground"), "keys") == "b"
    assert status(journal, "for a time").state == "done"
    assert not others.client.hexists(others.key("ground"), "forgot")
    others.close()
    forget(forgetful(settings))
    assert status(journal, "for ever").state == "done"
    assert journal.status(id_of(DEFAULT_TARGET, "for a time")) is None
