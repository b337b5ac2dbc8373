"""What a release of Core does that others do not, as measured on v0.15.2 and its head (contract §14)."""

from __future__ import annotations

import pytest

from blnk_relay.sandbox.core import recovery
from blnk_relay.sandbox.options import CORE_VERSIONS, Options
from worker.cli.services import sandbox


def test_by_default_the_release_is_played_that_the_contract_was_checked_against(desk):
    assert desk.instance.core.options.core_version == "0.15.3"
    desk.instance.switch({"core_version": "0.15.2"})
    with pytest.raises(ValueError, match="core_version"):
        desk.instance.switch({"core_version": "1.0"})


def test_the_command_offers_every_release_and_names_the_default():
    (option,) = [parameter for parameter in sandbox.params if parameter.name == "core_version"]
    assert tuple(option.type.choices) == CORE_VERSIONS
    assert f"[default: {Options().core_version}]" in option.help


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("amount", [{"precise_amount": 1000}, {"precise_amount": ..., "amount": -10}])
def test_a_negative_precision_is_taken_before_0_15_3(make_desk, error_code, skip, amount):
    fields = {"precision": -100, "skip_queue": skip} | amount
    old = make_desk(core_version="0.15.2")
    body = old.pay("pay-1", **fields).document()
    assert (body["amount"], body["precise_amount"], body["precision"]) == (-10, 1000, -100)
    old.step()
    assert old.balance("@Wallet") == 1000
    assert error_code(make_desk().pay("pay-1", **fields)) == "TXN_VALIDATION_ERROR"


def test_a_negative_amount_is_taken_in_queue_mode_before_0_15_3_and_nothing_comes_of_it(make_desk, error_code):
    old = make_desk(core_version="0.15.2")
    assert old.pay("pay-1", precise_amount=-10).status == 201
    old.step(15 * 60)
    assert old.books.applied("pay-1") == 0
    assert error_code(old.pay("pay-2", precise_amount=-10, skip_queue=True)) == "TXN_VALIDATION_ERROR"
    assert error_code(make_desk().pay("pay-1", precise_amount=-10)) == "TXN_VALIDATION_ERROR"


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("fields", [{"amount": 10, "precision": -100}, {"amount": -10, "precision": 100}])
def test_an_amount_whose_product_is_negative_cannot_be_divided_among_nobody(make_desk, error_code, skip, fields):
    old = make_desk(core_version="0.15.2")
    answer = old.pay("pay-1", precise_amount=..., skip_queue=skip, **fields)
    assert (answer.status, error_code(answer)) == (400, "TXN_VALIDATION_ERROR")
    assert answer.document()["error"].startswith("failed to split transaction")


def test_a_balance_that_pays_itself_is_only_noticed_late_before_0_15_3(make_desk, error_code):
    old = make_desk(core_version="0.15.2")
    answer = old.pay("pay-1", destination="@World", skip_queue=True)
    assert (answer.status, error_code(answer)) == (409, "GEN_CONFLICT")
    assert old.pay("pay-2", destination="@World").status == 201
    old.step()
    assert [row.status for row in old.books.rows_by_reference("pay-2")] == ["QUEUED"]
    refused = make_desk().pay("pay-1", destination="@World", skip_queue=True)
    assert (refused.status, "errors" in refused.document()) == (400, True)


def test_an_indicator_that_was_ignored_makes_another_balance_at_its_first_payment(make_desk):
    desk = make_desk(core_version="0.15.2")
    body = {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": "@Wallet"}
    made = [desk.send("POST", "/proxy/balances", body).document() for _ in range(2)]
    assert ["indicator" in balance for balance in made] == [False, False]
    desk.pay("pay-1", skip_queue=True)
    assert desk.books.balance_of("@Wallet", "EUR").balance_id not in {balance["balance_id"] for balance in made}


@pytest.mark.parametrize(
    ("version", "codes"),
    [
        ("0.15.3", ("GEN_CONFLICT", "GEN_CONFLICT", "TXN_NOT_FOUND")),
        ("0.15.4", ("TXN_ALREADY_REFUNDED", "GEN_CONFLICT", "BAL_NOT_FOUND")),
    ],
)
def test_codes_of_refusals_change_with_0_15_4(make_desk, error_code, version, codes):
    twice, in_part, missing = codes
    desk = make_desk(core_version=version)
    paid = desk.applied("pay-1")
    desk.refund(paid)
    desk.step()
    answer = desk.refund(paid)
    assert (answer.status, error_code(answer)) == (409, twice)
    hold = desk.hold("hold-1")
    for amount in (3000, 4000):
        desk.settle(hold, "commit", precise_amount=amount, skip_queue=True)
    desk.refund(desk.books.children(hold)[0].transaction_id)
    desk.step()
    answer = desk.refund(hold)
    assert (answer.status, error_code(answer)) == (409, in_part)
    for more in ({"skip_queue": True}, {"dry_run": True}):
        answer = desk.pay("pay-2", destination="bln_nope", **more)
        assert (answer.status, error_code(answer)) == (404, missing)


def test_a_refund_is_not_refunded_since_0_15_4(make_desk, error_code):
    desk = make_desk(core_version="0.15.4")
    paid = desk.applied("pay-1")
    refunded = desk.refund(paid, skip_queue=True).document()["transaction_id"]
    for target in (refunded, paid):
        answer = desk.refund(target, skip_queue=True)
        assert (answer.status, error_code(answer)) == (409, "TXN_ALREADY_REFUNDED")
    assert desk.balance("@Wallet") == 0


@pytest.mark.parametrize(("version", "ends"), [("0.15.2", ["APPLIED", "INFLIGHT"]), ("0.15.3", ["APPLIED", "APPLIED"])])
def test_a_refund_of_a_commit_may_become_a_hold_before_0_15_3(make_desk, version, ends):
    desk = make_desk(core_version=version)
    holds = [desk.hold(f"hold-{number}") for number in range(2)]
    commits = [desk.settle(hold, "commit", skip_queue=True).document()["transaction_id"] for hold in holds]
    for commit in commits:
        assert desk.refund(commit).status == 201
    # Applied together, as what waits on the same balances is: then the mark of the hold is obeyed (findings part 15).
    desk.step()
    rows = [desk.books.rows_by_reference(f"{commit}_refund")[-1] for commit in commits]
    assert sorted(str(row.status) for row in rows) == ends


def test_one_failure_is_told_as_it_is_since_0_15_4(make_desk):
    told = {}
    for version in ("0.15.3", "0.15.4"):
        desk = make_desk(core_version=version)
        hold = desk.hold("hold-1")
        desk.settle(hold, "void", skip_queue=True)
        told[version] = desk.settle(hold, "void", skip_queue=True).document()["error"]
    assert told == {
        "0.15.3": "error occurred during processing: [transaction has already been voided]",
        "0.15.4": "transaction has already been voided",
    }


def test_several_sources_and_several_destinations_are_refused_since_0_15_4(make_desk, error_code):
    parts = [{"identifier": "@a", "distribution": "left"}]
    fields = {"source": ..., "destination": ..., "sources": parts, "destinations": parts}
    assert make_desk().pay("pay-1", **fields).status == 201
    answer = make_desk(core_version="0.15.4").pay("pay-1", **fields)
    assert (answer.status, error_code(answer)) == (400, "TXN_VALIDATION_ERROR")


def test_a_lost_redis_strands_what_is_scheduled_and_the_dates_of_holds(desk):
    desk.pay("later", scheduled_for="2026-01-01T01:00:00Z")
    desk.pay("held", inflight=True, skip_queue=True, inflight_expiry_date="2026-01-01T01:00:00Z")
    desk.pay("now")
    desk.step(0.01)
    assert desk.instance.core.lose_queue() == 3
    desk.step(20 * 3600)
    # Recovery finds what is QUEUED, and nothing else.
    assert desk.books.applied("now") == 1
    assert [row.status for row in desk.books.rows_by_reference("later")] == ["SCHEDULED"]
    assert desk.inflight("@Wallet") == 10000
    assert recovery.recover(desk.instance.core, 0) == 0


@pytest.mark.parametrize(("fault", "status"), [("batch_disconnected", 0), ("batch_not_rolled_back", 400)])
def test_an_atomic_batch_that_is_cut_off_stays_half_done(desk, fault, status):
    items = [desk.payment(f"item-{number}") for number in range(4)]
    body = {"transactions": items, "atomic": True, "skip_queue": True}
    answer = desk.send("POST", "/proxy/transactions/bulk", body, **{"x-sandbox-fault": fault})
    assert desk.instance.edge.log[-1].status == status
    assert "Failed to roll back all transactions: context canceled" in answer.document()["error"]
    desk.step(3600)
    assert [desk.books.applied(f"item-{number}") for number in range(4)] == [1, 1, 0, 0]
    assert desk.balance("@Wallet") == 20000
    # It is about nothing else.
    plain = {"transactions": [desk.payment("plain")], "skip_queue": True}
    assert desk.send("POST", "/proxy/transactions/bulk", plain, **{"x-sandbox-fault": fault}).status == 201
    assert desk.books.applied("plain") == 1
