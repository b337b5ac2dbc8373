"""OAuth with refresh tokens that rotate: two workers, one refresher at a time, and what follows when one fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from blnk_relay import Relay, Write
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.tokens import Tokens, TokenStore
from blnk_relay.sandbox import Faults, Options, Rule
from tests.support.counting import assert_exactly_once, wait_for_all
from tests.support.oauth import log_in, refreshes, with_client
from tests.support.payments import payment
from tests.support.sentry import FakeSentry
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.demo.stage import INSTANCE, Stage
from worker.ledger.oauth import REFRESH_FAILED

WAIT_S = 40.0

#: An access token of the sandbox lives so long here: every test outlives several.
LIFE_S = 3.0


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    """A ledger whose access tokens live for seconds, with an OAuth client that has logged in."""
    running: Stage = make_stage(
        options=Options(token="blnk_unused", instance_id=INSTANCE, oauth_expires_s=LIFE_S),  # noqa: S106
        settings={"probe_s": 0.5},
    )
    running.settings = with_client(running, log_in(running.sandbox))
    return running


@pytest.fixture
def relay(stage: Stage) -> Iterator[Relay]:
    with Relay(stage.settings) as running:
        yield running


def pay(relay: Relay, name: str, number: int) -> list[Any]:
    keys = [f"{name}-{at}" for at in range(number)]
    return relay.enqueue_many([Write(intent=payment(key), key=key) for key in keys])


def paused(relay: Relay) -> set[tuple[str, str]]:
    return {(gate.side, gate.code) for gate in operator_of(relay).overview().gates if gate.state == "paused"}


def stored(relay: Relay, field: str) -> str:
    value: Any = relay.journal().client.hget(relay.journal().key("oauth"), field)
    return value or ""


def silent_about_tokens(stage: Stage, *tokens: str) -> bool:
    text = stage.log.read_text()
    return not any(token and token in text for token in (*tokens, stage.sandbox.options.oauth_client_secret))


def test_two_workers_share_tokens_that_expire_and_rotate_and_one_refreshes_at_a_time(stage, relay):
    first = stage.settings.oauth_refresh_token
    for _ in range(2):
        stage.start_worker()
    receipts = []
    for turn in range(16):
        receipts += pay(relay, f"turn-{turn}", 10)
        wait_for_all(relay, receipts, WAIT_S)
        if turn % 4 == 0:
            known = len(refreshes(stage.sandbox))
            wait_until(lambda known=known: len(refreshes(stage.sandbox)) > known, 10)
    asked = refreshes(stage.sandbox)
    # A refresh token works once: had two been at it at once, one of them had been refused.
    assert set(asked) == {200}
    assert int(stored(relay, "version")) == len(asked) + 1
    assert stored(relay, "refresh") != first
    assert relay.journal().client.hget(relay.journal().key("counts"), "oauth_refreshed") == str(len(asked))
    assert {relay.get(receipt.id).state for receipt in receipts} == {"done"}
    assert not [seen for seen in stage.sandbox.requests_seen() if seen.status == 401]
    assert_exactly_once(relay, receipts, stage.sandbox)
    assert silent_about_tokens(stage, first, stored(relay, "refresh"), stored(relay, "access"))


def test_a_token_that_is_refused_before_its_time_is_refreshed_at_once(stage, relay):
    stage.sandbox.set_switches(oauth_expires_s=3600.0)
    stage.start_worker()
    wait_for_all(relay, pay(relay, "before", 5), WAIT_S)
    assert refreshes(stage.sandbox) == [200]
    # The whole of what was sent meets a 401, and counts as one refusal of one token.
    stage.sandbox.set_faults(Faults.script([Rule("401", path="/proxy/", times=8)]))
    receipts = pay(relay, "after", 30)
    wait_for_all(relay, receipts, WAIT_S)
    assert refreshes(stage.sandbox) in ([200, 200], [200, 200, 200])
    assert {relay.get(receipt.id).outcome for receipt in receipts} == {"applied"}
    codes = [attempt.code for receipt in receipts for attempt in relay.history(receipt.id)]
    assert "KEY_CHANGED" in codes


def test_a_refresh_that_fails_pauses_the_target_and_a_new_login_opens_it(make_stage):
    with FakeSentry() as sentry:
        stage = make_stage(
            options=Options(token="blnk_unused", instance_id=INSTANCE, oauth_expires_s=LIFE_S),  # noqa: S106
            settings={"probe_s": 0.5, "sentry_dsn": sentry.dsn},
        )
        stage.settings = with_client(stage, log_in(stage.sandbox))
        for _ in range(2):
            stage.start_worker()
        with Relay(stage.settings) as relay:
            before = pay(relay, "before", 10)
            wait_for_all(relay, before, WAIT_S)
            stage.sandbox.revoke_tokens()
            at = len(refreshes(stage.sandbox))
            wait_until(lambda: paused(relay) == {("write", REFRESH_FAILED), ("read", REFRESH_FAILED)}, 10)
            stuck = pay(relay, "stuck", 20)
            wait_until(lambda: len(refreshes(stage.sandbox)) >= at + 4, 15)
            assert set(refreshes(stage.sandbox)[at:]) == {400}
            assert relay.journal().client.hget(relay.journal().key("counts"), "oauth_failed") is not None
            told = [event["tags"]["side"] for event in sentry.events() if event["tags"]["code"] == REFRESH_FAILED]
            assert sorted(told) == ["read", "write"]
            statuses = [relay.get(receipt.id) for receipt in stuck]
            assert {(status.state, status.attempts) for status in statuses} == {("ready", 0)}
            # Neither worker hammers: together they ask once in probe_s.
            seen = [item.at_ns for item in stage.sandbox.requests_seen() if item.path == "/oauth/token"][1 + at :]
            assert min(later - earlier for earlier, later in pairwise(seen)) >= 0.45e9
            login = log_in(stage.sandbox)
            stage.settings = replace(stage.settings, oauth_refresh_token=login)
            stage.start_worker()
            wait_for_all(relay, stuck, WAIT_S)
            assert {relay.get(receipt.id).outcome for receipt in stuck} == {"applied"}
            assert_exactly_once(relay, [*before, *stuck], stage.sandbox)
            assert silent_about_tokens(stage, login, stored(relay, "refresh"))
            assert login not in "".join(sentry.envelopes)


def test_an_answer_that_was_lost_pauses_the_target_and_is_cleared_by_the_next_that_comes(stage, relay):
    # Here an old refresh token goes on working, as one does that Cloud has not let die (contract §12.9).
    stage.sandbox.set_switches(oauth_rotation=False)
    stage.sandbox.set_faults(Faults.script([Rule("drop_after", path="/oauth/token", times=2)]))
    stage.start_worker()
    receipts = pay(relay, "lost", 10)
    wait_until(lambda: paused(relay) == {("write", REFRESH_FAILED), ("read", REFRESH_FAILED)}, 10)
    wait_for_all(relay, receipts, WAIT_S)
    assert refreshes(stage.sandbox)[:3] == [0, 0, 200]
    assert {relay.get(receipt.id).outcome for receipt in receipts} == {"applied"}
    assert all(relay.get(receipt.id).attempts <= 1 for receipt in receipts)


def test_a_worker_that_comes_later_uses_what_is_stored_and_not_the_first_login(stage, relay):
    stage.start_worker()
    wait_for_all(relay, pay(relay, "first", 5), WAIT_S)
    version = int(stored(relay, "version"))
    stage.stop_workers()
    stage.start_worker()
    wait_for_all(relay, pay(relay, "second", 5), WAIT_S)
    assert int(stored(relay, "version")) >= version
    assert set(refreshes(stage.sandbox)) == {200}


# -- the store -----------------------------------------------------------------------------------------------------


def test_only_one_may_refresh_until_it_is_done_or_its_lock_has_lapsed(journal):
    store = TokenStore(journal, "login-1")
    stored = store.read()
    assert (stored.version, stored.access, stored.failed) == (1, "", False)
    assert store.begin(1, "a", 30.0, 0.0) == "login-1"
    assert store.begin(1, "b", 30.0, 0.0) is None
    assert store.done(1, Tokens("access-2", "refresh-2", 60.0))
    known = store.read()
    assert (known.version, known.access, known.life_s) == (2, "access-2", 60.0)
    assert 59 < known.left_s <= 60
    assert store.begin(1, "b", 30.0, 0.0) is None
    assert store.begin(2, "b", 0.02, 0.0) == "refresh-2"
    assert wait_until(lambda: store.begin(2, "c", 30.0, 0.0), 5) == "refresh-2"


def test_an_answer_that_comes_after_the_lock_has_lapsed_is_kept_unless_somebody_was_faster(journal):
    store = TokenStore(journal, "login")
    assert store.read().version == 1
    assert store.begin(1, "slow", 0.01, 0.0) == "login"
    assert wait_until(lambda: store.begin(1, "quick", 30.0, 0.0), 5) == "login"
    assert store.done(1, Tokens("of the slow", "refresh-slow", 60.0))
    # What the quick one met is no longer about the tokens that are stored now.
    assert store.fail(1, "quick", 5.0) is None
    assert not store.done(1, Tokens("of the quick", "refresh-quick", 60.0))
    assert store.read().access == "of the slow"


def test_a_failure_is_news_once_and_puts_the_next_try_off(journal):
    store = TokenStore(journal, "login")
    store.read()
    store.begin(1, "a", 30.0, 0.0)
    assert store.fail(1, "a", 0.02) is True
    assert store.read().failed
    assert wait_until(lambda: store.begin(1, "b", 30.0, 0.0), 5) == "login"
    assert store.fail(1, "b", 60.0) is False
    assert store.begin(1, "c", 30.0, 0.0) is None
    assert store.read().retry_s > 50


def test_a_refresh_before_its_time_is_rare(journal):
    store = TokenStore(journal, "login")
    store.read()
    assert store.begin(1, "a", 30.0, 60.0) == "login"
    store.done(1, Tokens("access", "refresh", 60.0))
    assert store.begin(2, "b", 30.0, 60.0) is None
    assert store.begin(2, "b", 30.0, 0.0) == "refresh"


def test_a_new_login_takes_the_place_of_what_is_stored_and_an_old_one_never_does(journal):
    old, new = TokenStore(journal, "login-1"), TokenStore(journal, "login-2")
    old.read()
    old.begin(1, "a", 30.0, 0.0)
    old.fail(1, "a", 60.0)
    stored = new.read()
    assert (stored.version, stored.failed, stored.retry_s) == (2, False, 0)
    assert new.begin(2, "b", 30.0, 0.0) == "login-2"
    assert new.done(2, Tokens("access", "refresh-3", 60.0))
    for store in (old, new, TokenStore(journal, "")):
        assert (store.read().version, store.read().access) == (3, "access")


def test_tokens_are_kept_as_durably_as_receipts(settings):
    fsync = Journal(replace(settings, durability="fsync"))
    store = TokenStore(fsync, "login")
    store.read()
    store.begin(1, "a", 30.0, 0.0)
    assert store.done(1, Tokens("access", "refresh", 60.0))
    assert store.read().access == "access"
    fsync.close()
