"""One step of an intent, the same for all kinds: read, decide, and nothing sent past the deadline."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from casebook import (
    DAY,
    HOUR,
    NOW_MS,
    POLICY,
    SECOND,
    Showing,
    decided,
    entry_of,
    payment,
    progress,
    queued_and,
    row,
    sent,
    settled_by,
    txn,
)
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay import Settings, bulk_transactions, commit_hold, create_ledger, refund, result_of, void_hold
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Renew, Send
from blnk_relay.intents.found import Found
from blnk_relay.intents.steps import EXPIRED, UNDECIDED, does_not_verify, next_step
from blnk_relay.kinds.registry import KINDS
from blnk_relay.settings import policy_of
from tasks.lookups import MAX_ROUNDS

PART = commit_hold("order_42", precise_amount=300)
INTENTS = [
    payment(),
    payment(source="@bank"),
    refund("order_42"),
    refund(txn(1)),
    commit_hold("order_42"),
    PART,
    void_hold(txn(1)),
]
MEMO = {"row": txn(2), "before": "0"}


def now_of(intent, **changes: Any):
    """Progress of an intent, with what its kind records before it sends."""
    return progress(memo=MEMO if KINDS[intent.kind].records else {}, **changes)


def test_the_policy_is_made_of_the_settings():
    settings = Settings(retry_base_s=1, retry_cap_s=2, confirm="accepted", horizon_s=3, quiet_s=99, max_attempts=4)
    policy = policy_of(settings)
    assert (policy.retry.base_s, policy.retry.cap_s, policy.confirm) == (1, 2, False)
    for field in dataclasses.fields(policy):
        if field.name not in ("retry", "confirm", "quiet_s"):
            assert getattr(policy, field.name) == getattr(settings, field.name)
    # What is under way for so long and arrives then shows only after the read lag.
    assert policy.quiet_s == settings.quiet_s + settings.read_lag_s


def test_every_kind_is_registered_under_its_own_name():
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
    assert set(KINDS) > {"transaction", "refund", "inflight.commit", "inflight.void", "ledger.create", "balance.create"}


def test_what_acts_on_a_transaction_names_it():
    assert KINDS["transaction"].names is None
    for intent in (refund("order_42"), commit_hold("order_42"), void_hold("order_42")):
        assert KINDS[intent.kind].names(intent.payload) == ("order_42",)


def a_history(given_, ago_ms, last_ms):
    """A state that can be: what waits for its refusal is always being looked for."""
    times = {"first_sent_ms": NOW_MS - ago_ms, "last_sent_ms": NOW_MS - min(ago_ms, last_ms)}
    return given_ | times | {"looking": given_["looking"] or given_["refuse"]}


histories = st.builds(
    a_history,
    st.fixed_dictionaries(
        {
            "sent": st.booleans(),
            "looking": st.booleans(),
            "accepted": st.booleans(),
            "refuse": st.booleans(),
            "attempts": st.integers(0, 30),
            "sends": st.integers(0, 10),
            "code": st.sampled_from(("X", "GEN_CONFLICT", "TXN_ALREADY_COMMITTED", "TXN_DUPLICATE_REFERENCE")),
            "since_ms": st.integers(NOW_MS - 10 * DAY, NOW_MS),
            "deadline_ms": st.sampled_from((NOW_MS - 1, NOW_MS + DAY)),
        }
    ),
    st.integers(0, 10 * HOUR),
    st.integers(0, 10 * HOUR),
)
statuses = st.sampled_from(("QUEUED", "SCHEDULED", "INFLIGHT", "APPLIED", "REJECTED", "VOID", "SOMETHING"))
shown = st.lists(
    st.builds(
        lambda number, reference, status, parent, amount: row(
            number, reference, status, parent=parent, precise_amount=amount
        ),
        st.integers(1, 12),
        st.sampled_from(("order_42", "order_42_q", txn(2) + "_refund", txn(2) + "_refund_q", "ref_1", "ref_2")),
        statuses,
        st.sampled_from(("", txn(1), txn(2), "bulk_1")),
        st.sampled_from((None, 0, 300, 1050)),
    ),
    max_size=6,
)


def test_a_link_that_brings_nothing_refuses_only_what_cannot_have_been_sent():
    entry = dataclasses.replace(entry_of(commit_hold(result_of("hold", "transaction_id"))), after=("hold",))

    def letter(**changes: Any) -> tuple[DeadClass, str]:
        told = next_step(KINDS[entry.kind], entry, progress(**changes), Found(), POLICY)
        assert isinstance(told, Dead)
        return told.dead_class, told.code

    assert letter() == (DeadClass.REFUSED, "LINK_EMPTY")
    assert letter(lost_ms=NOW_MS - HOUR) == (DeadClass.UNKNOWN, "LINK_EMPTY")
    assert letter(sent=True) == (DeadClass.UNKNOWN, "LINK_EMPTY")


@given(st.sampled_from(INTENTS), histories, shown)
def test_whatever_is_known_and_shown_there_is_a_decision_within_the_rounds_of_a_look(intent, history, rows):
    now = now_of(intent, **history)
    decision = settled_by(intent, now, Showing(rows))
    if isinstance(decision, Send):
        assert now.deadline_ms > NOW_MS, "nothing is sent past its deadline"
        assert not now.refuse, "nothing is sent after a clear no"
    if isinstance(decision, Look | Again):
        assert 0 < decision.in_s <= POLICY.confirm_max_s, "nobody looks in a hurry, and nobody forgets"
    if isinstance(decision, Look):
        assert decision.refuse == now.refuse, "a clear no is not forgotten by looking"
    if isinstance(decision, Done):
        assert decision.transaction_id in {shown_row.transaction_id for shown_row in rows}, (
            "the id is that of a real row"
        )
    if isinstance(decision, Dead):
        assert decision.code


@given(st.sampled_from(INTENTS), histories)
def test_what_may_have_happened_and_is_not_shown_never_becomes_done(intent, history):
    decision = decided(intent, now_of(intent, **history))
    assert not isinstance(decision, Done)


@pytest.mark.parametrize("intent", [intent for intent in INTENTS if KINDS[intent.kind].records])
def test_what_records_before_it_sends_always_says_what_it_writes_to(intent):
    hold = isinstance(intent.payload.get("hold"), str)
    decision = decided(intent, progress(), *queued_and("INFLIGHT" if hold else "APPLIED"))
    assert isinstance(decision, Send)
    assert decision.exclusive == decision.memo["row"] == txn(2)


def test_the_first_step_of_a_new_transaction_needs_no_reading():
    entry = entry_of(payment())
    assert next_step(KINDS["transaction"], entry, progress(), Found(), POLICY) == Send()


@pytest.mark.parametrize("intent", INTENTS)
def test_at_its_deadline_an_intent_that_was_never_sent_is_refused(intent):
    now = progress(deadline_ms=NOW_MS, since_ms=NOW_MS)
    hold = isinstance(intent.payload.get("hold"), str)
    for rows in ((), queued_and("INFLIGHT" if hold else "APPLIED")):
        decision = decided(intent, now, *rows)
        assert (decision.dead_class, decision.code) == (DeadClass.REFUSED, "EXPIRED")


def test_at_its_deadline_an_intent_that_may_have_been_sent_is_unknown():
    decision = decided(payment(), sent(HOUR, deadline_ms=NOW_MS))
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "EXPIRED")


def test_the_rounds_are_as_many_as_the_longest_way_needs():
    # A refund named by the queued parent of a committed hold: the row, its family, the children, their refund.
    class Counting(Showing):
        rounds = 0

        def look(self, lookups: Any) -> Any:
            self.rounds += 1
            return super().look(lookups)

    ledger = Counting((*queued_and("INFLIGHT"), row(9, "ref_9", "APPLIED", parent=txn(2))))
    assert settled_by(refund(txn(1)), progress(), ledger).exclusive == txn(9)
    assert ledger.rounds == MAX_ROUNDS - 1


# -- moments that the journal has lost -----------------------------------------------------------------------------


def test_what_may_have_been_sent_in_lost_moments_is_looked_for_before_it_is_called_late():
    lost = progress(deadline_ms=NOW_MS, lost_ms=NOW_MS - SECOND)
    assert isinstance(decided(payment(), lost), Look), "it may be under way"
    assert decided(payment(), *shown(lost)) == Done("applied", txn(2), txn(1))
    long_ago = progress(deadline_ms=NOW_MS, lost_ms=NOW_MS - DAY)
    assert decided(payment(), long_ago) == UNDECIDED
    assert decided(payment(), progress(deadline_ms=NOW_MS)) == EXPIRED


def shown(now: Any) -> tuple[Any, ...]:
    return now, *queued_and("APPLIED")


def test_what_counts_as_sent_is_not_called_late_and_what_only_may_be_a_repeat_is():
    counted = sent(DAY, deadline_ms=NOW_MS, lost_ms=NOW_MS - DAY, memo={})
    assert decided(create_ledger("A"), counted) == UNDECIDED
    assert decided(create_ledger("A"), dataclasses.replace(counted, again=True)) == EXPIRED


@pytest.mark.parametrize(
    ("changes", "dead_class", "code"),
    [
        ({}, "refused", "LINK_EMPTY"),
        ({"lost_ms": NOW_MS - HOUR}, "unknown", "LINK_EMPTY"),
        ({"sent": True}, "unknown", "LINK_EMPTY"),
        ({"lost_ms": NOW_MS - HOUR, "deadline_ms": NOW_MS}, "unknown", "EXPIRED"),
        ({"lost_ms": NOW_MS - HOUR, "deadline_ms": NOW_MS, "again": True}, "unknown", "LINK_EMPTY"),
    ],
)
def test_a_link_that_brought_nothing_is_named_and_nothing_that_may_have_been_sent_is_called_refused(
    changes, dead_class, code
):
    linked = payment(source=result_of("wallet", "balance_id"), destination=result_of("till", "balance_id"))
    end = decided(linked, progress(**changes))
    assert isinstance(end, Dead)
    assert (end.dead_class, end.code) == (dead_class, code)
    assert ("'wallet', 'till'." in end.message) == (code == "LINK_EMPTY")
    assert ("may have been sent" in end.message) == (dead_class == "unknown")


def test_a_deletion_that_was_certainly_never_sent_is_sent_though_a_look_does_not_show_the_rule():
    kind = KINDS["matching_rule.delete"]
    entry = entry_of(kind.intent({"rule_id": "rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4"}))
    # Its lease lapsed before anything was recorded, and reads lag behind the making of the rule.
    assert isinstance(kind.decide(entry, progress(looking=True), Found(), POLICY), Send)


@pytest.mark.parametrize(
    ("now", "dead_class", "told"),
    [
        (progress(), "refused", "It was never sent."),
        (progress(lost_ms=NOW_MS - HOUR, again=True), "refused", "It was never sent."),
        (progress(lost_ms=NOW_MS - HOUR), "unknown", "It may have been sent before."),
        (sent(), "unknown", "It may have been sent before."),
    ],
    ids=["never sent", "a repeat at most", "lost moments", "sent"],
)
def test_what_was_recorded_and_does_not_verify_is_refused_only_where_it_was_never_sent(now, dead_class, told):
    letter = does_not_verify(now)
    assert (letter.dead_class, letter.code) == (dead_class, "DOES_NOT_VERIFY")
    assert letter.message.endswith(f"or belongs to another intent. {told}")


def test_what_was_taken_back_ends_at_its_deadline_unless_it_may_have_begun_anew_in_lost_moments():
    items = [payment(reference=name, skip_queue=True).payload | {"reference": name} for name in ("fee-1", "fee-2")]
    batch = bulk_transactions(items, skip_queue=True, atomic=True)
    rows = row(1, "fee-1", "APPLIED"), row(2, txn(1) + "_refund_q", "APPLIED", parent=txn(1))
    assert isinstance(decided(batch, sent(HOUR), *rows), Renew)
    late = sent(HOUR, deadline_ms=NOW_MS)
    ended = decided(batch, late, *rows)
    assert isinstance(ended, Dead)
    assert (ended.dead_class, ended.code) == (DeadClass.REJECTED, "ROLLED_BACK")
    # Then the next generation is looked for before anything is told.
    assert isinstance(decided(batch, dataclasses.replace(late, lost_ms=NOW_MS - HOUR), *rows), Renew)
