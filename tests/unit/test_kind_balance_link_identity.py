"""balance.link_identity: whose balance it is (contract §2.9, §3.11, §4)."""

from __future__ import annotations

import pytest
from kindbook import (
    AMBIGUOUS,
    BALANCE,
    IDENTITY,
    QUIET_S,
    SEEN_S,
    an_id,
    decided,
    judged,
    ok,
    progress,
    refusal,
    requested,
    sent,
    survives_the_journal,
)

from blnk_relay import InvalidIntent, link_identity, result_of
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup, Record

LINK = link_identity(BALANCE, IDENTITY)
SEND = Send(memo={"id": BALANCE}, exclusive=f"balance:{BALANCE}", seen=(BALANCE,))
DONE = Done("updated", BALANCE)


def balance(identity_id):
    return Record("balances", {"balance_id": BALANCE, "identity_id": identity_id})


def test_the_route_and_its_body():
    request = requested(LINK)
    assert (request.method, request.path) == ("PUT", f"/balances/{BALANCE}/identity")
    assert request.body == {"identity_id": IDENTITY}


def test_links_are_filled_in():
    intent = link_identity(result_of("wallet", "balance_id"), result_of("mara", "identity_id"))
    assert survives_the_journal(intent)
    assert intent.order_key == "balance:wallet"
    assert requested(intent).path.startswith("/balances/bln_")


@pytest.mark.parametrize(
    ("balance_id", "identity_id"),
    [("@bank", IDENTITY), (IDENTITY, BALANCE), (BALANCE, ""), (BALANCE, result_of("w", "balance_id"))],
)
def test_both_must_be_ids(balance_id, identity_id):
    with pytest.raises(InvalidIntent):
        link_identity(balance_id, identity_id)


def test_it_is_sent_without_reading():
    asked: list[Lookup] = []
    assert decided(LINK, progress(), asked=asked) == SEND
    assert asked == []


@pytest.mark.parametrize(
    ("identity_id", "ago_s", "expected"),
    [
        (IDENTITY, 1, Look),
        (IDENTITY, QUIET_S, DONE),
        (IDENTITY, SEEN_S, Look),
        (None, SEEN_S, Look),
        (None, QUIET_S, SEND),
        (an_id("idt", 9), QUIET_S, SEND),
    ],
)
def test_after_an_ambiguous_answer_the_link_is_compared(identity_id, ago_s, expected):
    decision = decided(LINK, sent(ago_s), balance(identity_id))
    assert decision == expected if not isinstance(expected, type) else isinstance(decision, expected)


def test_the_answer_of_the_route_is_the_outcome():
    assert judged(LINK, ok(200, message="Balance identity updated successfully")).decision == DONE


@pytest.mark.parametrize("response", AMBIGUOUS)
def test_an_answer_that_proves_nothing_is_looked_up(response):
    verdict = judged(LINK, response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


def test_an_unknown_balance_or_identity_is_tried_five_times_and_then_refused():
    assert isinstance(judged(LINK, refusal(404, "BAL_NOT_FOUND")).decision, Again)
    last = judged(LINK, refusal(404, "BAL_NOT_FOUND"), progress(attempts=4)).decision
    assert isinstance(last, Dead)
    assert last.dead_class is DeadClass.REFUSED
