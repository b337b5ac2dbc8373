"""ledger.create and balance.create: whose answer it is, and what is made otherwise than asked (contract §2.1, §2.2)."""

from __future__ import annotations

from typing import Any

import pytest
from kindbook import BALANCE, LEDGER, MARK, QUIET_S, an_id, decided, entry_of, judged, ok, requested, sent

from blnk_relay import create_balance, create_ledger
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Record
from blnk_relay.intents.intent import Intent
from blnk_relay.replay import plan_replay

WALLETS = create_ledger("Wallets EUR")
WALLET = create_balance(LEDGER, "EUR", identity_id=an_id("idt"))
NAMED = create_balance("general_ledger_id", "EUR", indicator="@fees")

MADE = [(WALLETS, {"ledger_id": LEDGER}), (WALLET, {"balance_id": BALANCE}), (NAMED, {"balance_id": BALANCE})]


def shown(intent: Intent, ids: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What the ledger answers: what was asked, its id, and changes; None for what it leaves out."""
    body = {**requested(intent).body, **ids, **changes}
    return {name: value for name, value in body.items() if value is not None}


@pytest.mark.parametrize(("intent", "ids"), MADE)
def test_what_was_made_as_it_was_asked_for_is_done(intent, ids):
    (made,) = ids.values()
    assert judged(intent, ok(201, **shown(intent, ids))).decision == Done("created", made)


@pytest.mark.parametrize(("intent", "ids"), MADE)
@pytest.mark.parametrize("meta", [None, {}, {MARK: "another"}, "text", [MARK]])
def test_an_answer_without_our_mark_is_another_ones(intent, ids, meta):
    verdict = judged(intent, ok(201, **shown(intent, ids, meta_data=meta)))
    assert isinstance(verdict.decision, Look)
    assert (verdict.acted, verdict.accepted) == (True, False)


@pytest.mark.parametrize(
    ("intent", "ids", "changes", "field"),
    [
        (WALLETS, {"ledger_id": LEDGER}, {"name": "Wallets USD"}, "name"),
        (WALLET, {"balance_id": BALANCE}, {"currency": "USD"}, "currency"),
        (WALLET, {"balance_id": BALANCE}, {"ledger_id": an_id("ldg", 7)}, "ledger_id"),
        (WALLET, {"balance_id": BALANCE}, {"identity_id": ""}, "identity_id"),
        (NAMED, {"balance_id": BALANCE}, {"indicator": None}, "indicator"),
        (NAMED, {"balance_id": BALANCE}, {"indicator": ""}, "indicator"),
        (NAMED, {"balance_id": BALANCE}, {"indicator": "@other"}, "indicator"),
    ],
)
def test_what_was_made_otherwise_is_no_success_and_is_named(intent, ids, changes, field):
    end = judged(intent, ok(201, **shown(intent, ids, **changes))).decision
    assert isinstance(end, Dead)
    assert (end.dead_class, end.code) == (DeadClass.PARTIAL, "MADE_OTHERWISE")
    assert f"made as {next(iter(ids.values()))}, but not as it was asked for: {field}." in end.message


def test_a_balance_without_its_indicator_is_no_success_when_it_is_looked_up_either():
    data = {"balance_id": BALANCE, "ledger_id": "general_ledger_id", "currency": "EUR"}
    record = Record("balances", {**data, "meta_data": {MARK: entry_of(NAMED).id}})
    end = decided(NAMED, sent(), record)
    assert (end.dead_class, end.code) == (DeadClass.PARTIAL, "MADE_OTHERWISE")
    assert BALANCE in end.message
    with_indicator = Record("balances", {**record.data, "indicator": "@fees"})
    assert decided(NAMED, sent(), with_indicator) == Done("created", BALANCE)


def test_whose_balance_it_became_later_is_no_contradiction():
    data = {"balance_id": BALANCE, "ledger_id": LEDGER, "currency": "EUR", "identity_id": an_id("idt", 9)}
    record = Record("balances", {**data, "meta_data": {MARK: entry_of(WALLET).id}})
    assert decided(WALLET, sent(), record) == Done("created", BALANCE)


@pytest.mark.parametrize("intent", [WALLETS, WALLET, NAMED])
def test_what_is_not_shown_is_made_again_only_when_no_request_can_be_under_way(intent):
    for answered in (False, True):
        assert isinstance(decided(intent, sent(QUIET_S - 2, accepted=answered)), Look)
        assert decided(intent, sent(QUIET_S, accepted=answered)) == Send()


@pytest.mark.parametrize("intent", [WALLETS, WALLET, NAMED])
def test_what_was_refused_and_is_not_shown_is_not_sent_again(intent):
    refused = sent(QUIET_S, refuse=True, code="GEN_CONFLICT", message="There is one like it.")
    assert decided(intent, refused) == Dead(DeadClass.REFUSED, "GEN_CONFLICT", "There is one like it.")


@pytest.mark.parametrize(("intent", "ids"), MADE)
def test_what_was_made_was_sent_and_taken(intent, ids):
    verdict = judged(intent, ok(201, **shown(intent, ids)))
    assert (verdict.acted, verdict.accepted) == (True, True)


@pytest.mark.parametrize("kind", ["ledger.create", "balance.create", "identity.create"])
def test_no_replay_makes_another_one(kind):
    plan = plan_replay(kind, "partial", "MADE_OTHERWISE")
    assert plan.way.value == "no"
    assert "new key" not in plan.why
