"""One hold among many: how it is remembered, what a loss means for it, and what its own answer says."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from casebook import HOUR, NOW_MS, POLICY, SECOND, progress, sent, txn

from blnk_relay.families.hold_item import Item, items_of, judge_item, memo_of

ASKED = Item(txn(11), "250", asked=True)


@pytest.mark.parametrize("flags", list(product([False, True], repeat=4)))
def test_what_is_recorded_of_an_item_is_read_back(flags):
    item = Item(txn(11), "250", *flags, code="TXN_ALREADY_VOIDED", child=txn(50))
    assert items_of(progress(memo=memo_of([item, Item()])), 2) == [item, Item()]


def test_what_others_read_of_a_record_stays_where_it_is():
    """An audit, and workers of another version, read it as well."""
    item = Item(txn(11), "250", sent=True, asked=True, accepted=True, refuse=True, code="X", child=txn(50))
    assert memo_of([item]) == {"items": [[txn(11), "250", "sqar", "X", txn(50)]]}


@pytest.mark.parametrize("lost_ms", [0, NOW_MS - HOUR])
def test_where_nothing_is_recorded_each_was_sent_only_if_it_was_in_lost_moments(lost_ms):
    assert items_of(progress(lost_ms=lost_ms), 2) == [Item(sent=bool(lost_ms))] * 2


def test_in_lost_moments_all_that_was_recorded_may_have_been_sent_and_nothing_else():
    """What was recorded of none was decided before the others were sent."""
    tried, settled, never = Item(txn(11), code="GEN_RESOURCE_LOCKED"), Item(txn(21), sent=True, child=txn(50)), Item()
    memo = memo_of([tried, settled, never])
    assert items_of(sent(memo=memo), 3) == [tried, settled, never]
    assert items_of(sent(memo=memo, lost_ms=NOW_MS), 3) == [replace(tried, sent=True), settled, never]


# -- its own answer --------------------------------------------------------------------------------------------------


def test_what_succeeded_is_looked_for_soon_and_forgets_an_older_no():
    before = replace(ASKED, refuse=True, code="TXN_ALREADY_COMMITTED")
    told = judge_item(before, {"status": "succeeded"}, progress(), POLICY)
    assert told == (Item(txn(11), "250", sent=True, accepted=True), POLICY.confirm_first_s)


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        ("ALREADY_COMMITTED", "why", ("TXN_ALREADY_COMMITTED", True, True)),
        ("NOT_FOUND", "why", ("TXN_NOT_FOUND", False, False)),
        ("LOCKED", "a balance is locked", ("GEN_RESOURCE_LOCKED", False, False)),
        # The lock of this very hold: a gateway may have repeated the request and show the copy that lost.
        ("LOCKED", "inflight-commit:txn_1 is locked", ("GEN_RESOURCE_LOCKED", True, False)),
        ("LOCKED", "inflight-void:txn_1 is locked", ("GEN_RESOURCE_LOCKED", True, False)),
        ("", "why", ("GEN_BAD_REQUEST", True, False)),
        (7, ["why"], ("GEN_BAD_REQUEST", True, False)),
    ],
)
@pytest.mark.parametrize("earlier", [False, True], ids=["first", "sent before"])
def test_what_failed_is_judged_by_the_rules_of_one_alone(code, message, told, earlier):
    single, acted, refuse = told
    result = {"status": "failed", "code": code, "message": message}
    item, _ = judge_item(replace(ASKED, sent=earlier), result, progress(attempts=0), POLICY)
    assert item == Item(txn(11), "250", sent=acted or earlier, refuse=refuse, code=single)


def test_what_failed_without_effect_waits_as_long_as_one_alone_would():
    now = progress(attempts=4, draw=0.5)
    # It is tried again after a pause that grows; the one that will never be is looked for at once.
    pause_s = POLICY.retry.wait_s(4, 0.5)
    assert pause_s > POLICY.confirm_first_s
    assert judge_item(ASKED, {"code": "LOCKED"}, now, POLICY)[1] == pause_s
    assert judge_item(ASKED, {"code": "NOT_FOUND"}, progress(attempts=0), POLICY)[1] == POLICY.confirm_first_s


def test_what_would_end_one_alone_is_refused_and_looked_at_with_the_others():
    last = progress(attempts=POLICY.max_attempts - 1, since_ms=NOW_MS - SECOND)
    item, wait_s = judge_item(ASKED, {"code": "LOCKED"}, last, POLICY)
    assert item == Item(txn(11), "250", refuse=True, code="GEN_RESOURCE_LOCKED")
    assert wait_s == POLICY.confirm_first_s
