"""How long is waited for what the ledger does not show: it has to have been seen for that long, after the last send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import DAY, HOUR, MINUTE, NOW_MS, POLICY, SECOND, decided, payment, progress, queued_and, row, sent, txn

from blnk_relay import commit_hold, refund
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Note
from blnk_relay.intents.horizons import Watch, is_unseen, look_on, watch
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.rows import row_age_s

QUEUED = row(1, "order_42", "QUEUED")
SCHEDULED = row(1, "order_42", "SCHEDULED")
LATER = payment(scheduled_for="2027-01-15T07:30:00Z")  # Half an hour before NOW_MS.


def unwatched(ago_ms: int, **changes: Any) -> Progress:
    """One that may have taken effect so long ago, and that nobody could look for since."""
    now = sent(ago_ms, **changes)
    return replace(now, memo={name: value for name, value in now.memo.items() if name != "watched"})


def looked_at(intent: Intent, now: Progress, every_ms: int, *rows: Any, most: int = 2_000) -> tuple[Any, Progress]:
    """Look again and again, as the workers do, until there is another decision than to look again."""
    for _ in range(most):
        decision = decided(intent, now, *rows)
        if not isinstance(decision, Look):
            return decision, now
        memo = now.memo if decision.note is None else decision.note.memo
        now = replace(now, now_ms=now.now_ms + every_ms, memo=memo, looking=True)
    raise AssertionError("it never ended")


# -- what is buried, and when --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "shown", "horizon_s", "code"),
    [
        (payment(), QUEUED, POLICY.stuck_horizon_s, "STUCK_QUEUED"),
        (LATER, SCHEDULED, POLICY.horizon_s, "STUCK_SCHEDULED"),
        (refund(txn(2)), row(9, txn(2) + "_refund", "QUEUED", parent=txn(2)), POLICY.stuck_horizon_s, "STUCK_QUEUED"),
    ],
    ids=["queued", "scheduled", "refund"],
)
def test_what_is_shown_as_undecided_after_a_long_pause_is_watched_before_it_is_buried(intent, shown, horizon_s, code):
    """A target that could not be read for days comes back, and applies what it has a moment later."""
    memo = {"row": txn(2)} if intent.kind == "refund" else {}
    now = unwatched(2 * DAY, accepted=True, memo=memo)
    first = decided(intent, now, shown)
    assert isinstance(first, Look), "the first look buries nobody"
    dead, end = looked_at(intent, now, 30 * SECOND, shown)
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, code)
    assert horizon_s * 1000 <= end.now_ms - NOW_MS <= horizon_s * 1000 + 2 * MINUTE


@pytest.mark.parametrize("intent", [payment(), LATER], ids=["queued", "scheduled"])
def test_a_replayed_letter_is_watched_anew(intent):
    """Sent days ago, dead since, replayed now: what the looks of its last life saw says nothing of this one."""
    shown = QUEUED if intent == payment() else SCHEDULED
    old = replace(sent(9 * DAY, accepted=True), since_ms=NOW_MS - SECOND)
    old = replace(old, memo={"watched": [NOW_MS - 3 * DAY, 6 * HOUR]})
    assert isinstance(decided(intent, old, shown), Look)


def test_the_horizon_runs_from_the_send_that_was_stored_and_not_from_the_first():
    """Sent in vain for hours, and stored at last a minute ago."""
    now = replace(sent(MINUTE, accepted=True), first_sent_ms=NOW_MS - 6 * HOUR)
    assert isinstance(decided(payment(), now, QUEUED), Look)
    assert isinstance(decided(LATER, now, SCHEDULED), Look)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"refuse": True, "code": "TXN_NOT_FOUND"}, "TXN_NOT_FOUND"), ({"accepted": True, "sends": 8}, "VANISHED")],
    ids=["refused", "vanished"],
)
def test_what_is_not_shown_after_a_long_pause_is_watched_for_as_long_as_the_ledger_retries(changes, code):
    now = unwatched(DAY, **changes)
    assert isinstance(decided(payment(), now), Look)
    assert decided(payment(), now, *queued_and("APPLIED")) == Done("applied", txn(2), txn(1))
    dead, end = looked_at(payment(), now, 30 * SECOND)
    assert dead.code == code
    assert end.now_ms - NOW_MS >= POLICY.horizon_s * 1000


def test_what_may_have_been_sent_is_looked_for_past_its_deadline_for_as_long_as_the_ledger_may_be_at_it():
    now = unwatched(SECOND, deadline_ms=NOW_MS)
    assert isinstance(decided(payment(), now), Look), "another send would follow, were there time"
    found, _ = looked_at(payment(), now, 30 * SECOND, *queued_and("APPLIED"))
    assert found == Done("applied", txn(2), txn(1))
    dead, end = looked_at(payment(), now, 30 * SECOND)
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, "EXPIRED")
    assert POLICY.horizon_s * 1000 <= end.now_ms - NOW_MS <= POLICY.horizon_s * 1000 + 2 * MINUTE


@pytest.mark.parametrize("intent", [refund("order_42"), commit_hold("order_42")], ids=lambda intent: intent.kind)
def test_what_waits_for_a_young_row_is_not_buried_for_its_own_age(intent):
    """Both waited for hours behind a target that was away; the row that it acts on was made a moment ago."""
    young = row(1, "order_42", "QUEUED", created_at="2027-01-15T07:59:59.123456789Z")
    old = row(1, "order_42", "QUEUED", created_at="2027-01-15T01:00:00Z")
    late = progress(since_ms=NOW_MS - 10 * HOUR)
    assert isinstance(decided(intent, late, young), Again)
    assert isinstance(decided(intent, late, old), Dead)


# -- what a look counts --------------------------------------------------------------------------------------------


def test_only_time_in_which_the_ledger_could_be_read_is_counted():
    now, seconds = unwatched(0), []
    for pause_ms in (0, MINUTE, 20 * HOUR, MINUTE):
        now = replace(now, now_ms=now.now_ms + pause_ms)
        seen = watch(now, POLICY)
        seconds.append(seen.seconds)
        now = replace(now, memo=seen.memo)
    assert seconds == [0.0, 60.0, 180.0, 240.0]


def test_another_send_begins_a_new_watch():
    now = sent(HOUR)
    assert watch(now, POLICY).seconds == 3600.0
    assert watch(replace(now, last_sent_ms=NOW_MS + SECOND, now_ms=NOW_MS + MINUTE), POLICY).seconds == 0.0


def test_of_what_was_never_sent_nothing_is_remembered():
    """What a kind records before it sends says that it may have been sent, so nothing else may stand there."""
    assert watch(progress(looking=True), POLICY).memo == {}


def test_the_age_of_a_row_that_does_not_say_when_it_was_made_is_that_of_the_intent():
    now = progress(since_ms=NOW_MS - HOUR)
    assert row_age_s(row(1, "r", "QUEUED", created_at="no time"), now) == 3600.0
    assert row_age_s(row(1, "r", "QUEUED", created_at=""), now) == 3600.0


# -- the rule itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize(("refuse", "seconds"), [(False, POLICY.read_lag_s), (True, POLICY.quiet_s)])
def test_unseen_is_what_a_read_may_not_show_and_before_a_refusal_what_may_be_under_way(queued, refuse, seconds):
    silent_ms = int(seconds * 1000)
    assert is_unseen(unwatched(silent_ms - 1, refuse=refuse), POLICY, queued=queued)
    # Nobody could look since, and only before a refusal the ledger's own retries matter.
    assert is_unseen(unwatched(silent_ms, refuse=refuse), POLICY, queued=queued) == (refuse and queued)
    assert not is_unseen(unwatched(HOUR, refuse=refuse, sent=False), POLICY, queued=queued)


@pytest.mark.parametrize("queued", [False, True])
def test_a_refusal_of_what_the_ledger_may_retry_has_to_outlast_its_retries(queued):
    def seen_for(seconds: float) -> Progress:
        watched = [NOW_MS, int(seconds * 1000)]
        return sent(HOUR, refuse=True, memo={"watched": watched})

    assert is_unseen(seen_for(POLICY.horizon_s - 0.001), POLICY, queued=queued) == queued
    assert not is_unseen(seen_for(POLICY.horizon_s), POLICY, queued=queued)


def test_so_has_a_refusal_of_what_the_ledger_may_have_been_handed_in_lost_moments():
    def silent_for(seconds: float) -> Progress:
        since_ms = NOW_MS - int(seconds * 1000)
        return progress(refuse=True, looking=True, lost_ms=since_ms, solid_ms=since_ms)

    assert is_unseen(silent_for(POLICY.horizon_s - 0.001), POLICY, queued=True)
    assert not is_unseen(silent_for(POLICY.horizon_s), POLICY, queued=True)


def test_a_look_counts_from_the_last_send_or_from_when_the_ledger_could_begin():
    now = sent(10 * SECOND, memo={"watched": [NOW_MS - 4 * SECOND, 3000], "row": "x"})
    assert watch(now, POLICY) == Watch(7.0, {"watched": [NOW_MS, 7000]})
    assert watch(now, POLICY, NOW_MS - 4 * SECOND).seconds == 7.0
    assert watch(now, POLICY, NOW_MS - 4 * SECOND + 1) == Watch(0.0, {"watched": [NOW_MS, 0]})
    before = replace(now, memo={"watched": [NOW_MS - 10_001, 3000]})
    assert watch(before, POLICY).seconds == 0.0, "it was sent again since"
    assert look_on(now, POLICY, NOW_MS).note == Note({"watched": [NOW_MS, 0], "row": "x"})


def test_nothing_is_noted_of_looks_for_what_was_not_sent_or_of_which_nothing_is_recorded():
    assert look_on(progress(), POLICY).note is None
    lost = sent(HOUR, memo={}, lost_ms=NOW_MS - HOUR)
    assert watch(lost, POLICY) == Watch(3600.0, {})
    assert look_on(lost, POLICY).note is None


def test_a_silence_that_has_not_begun_is_not_looked_into_all_the_time():
    """After a loss it begins when the longest lease that is lost would be over: of a whole backlog at once."""
    now, looks = sent(-30 * SECOND, memo={}), 0
    while now.now_ms < now.last_sent_ms:
        pause_ms = int(look_on(now, POLICY).in_s * 1000)
        assert pause_ms >= 300
        now, looks = replace(now, now_ms=now.now_ms + pause_ms), looks + 1
    assert looks < 20
    assert now.now_ms - now.last_sent_ms < SECOND


@pytest.mark.parametrize(
    ("ago_s", "in_s"), [(0, 0.3), (1, 0.6), (10, 6.0), (31, 18.6), (1000, 60.0), (-10, 3.0), (-40, 12.0), (-1000, 60.0)]
)
@pytest.mark.parametrize("refuse", [False, True])
def test_looks_come_less_and_less_often_and_until_the_silence_begins_more_and_more_often(ago_s, in_s, refuse):
    look = look_on(sent(ago_s * SECOND, refuse=refuse), POLICY)
    assert look.in_s == pytest.approx(in_s)
    assert look.refuse is refuse


def test_the_first_look_comes_as_soon_as_it_is_set_to():
    assert look_on(sent(0), replace(POLICY, confirm_first_s=0.05)).in_s == 0.05
