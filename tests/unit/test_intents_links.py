"""Links: which places of a payload are one, whose they are, and what they are filled in with."""

from __future__ import annotations

import re
from typing import Any

import pytest

from blnk_relay.intents.links import (
    LINKABLE,
    link_of,
    link_problem,
    linked_keys,
    links_in,
    name_of,
    resolved,
    result_of,
)
from blnk_relay.intents.references import MAX_LENGTH

HOLD = {"$result_of": "hold", "field": "transaction_id"}
WALLET = {"$result_of": "wallet", "field": "balance_id"}


@pytest.mark.parametrize("field", sorted(LINKABLE))
def test_a_link_names_another_intent_and_which_of_its_results(field):
    link = result_of("order", field)
    assert link == {"$result_of": "order", "field": field}
    assert link_of(dict(link)) == link
    assert link_problem(link) is None


@pytest.mark.parametrize(
    ("key", "field", "told"),
    [
        (7, "transaction_id", "key: Must be the key of another intent, as a string, not int."),
        ("", "transaction_id", "key: "),
        (" order", "transaction_id", "key: "),
        (
            "order",
            "row",
            "field: 'row' cannot be linked to; it must be one of balance_id, batch_id, identity_id, ledger_id, "
            "reconciliation_id, rule_id, transaction_id, upload_id.",
        ),
    ],
)
def test_what_can_be_no_link_is_refused_with_the_reason(key, field, told):
    with pytest.raises(ValueError, match="^" + re.escape(told)) as refused:
        result_of(key, field)
    assert str(refused.value) != "key: None"


@pytest.mark.parametrize(
    "value",
    [
        "hold",
        None,
        ["$result_of", "field"],
        {},
        {"$result_of": "hold"},
        {"field": "transaction_id"},
        {**HOLD, "more": 1},
        {**HOLD, "field": "row"},
        {**HOLD, "field": 7},
        {**HOLD, "$result_of": 7},
        {**HOLD, "$result_of": ""},
        {**HOLD, "$result_of": "  "},
        {**HOLD, "$result_of": " hold"},
        {**HOLD, "$result_of": "hold "},
        {**HOLD, "$result_of": "ho\x00ld"},
        {**HOLD, "$result_of": "x" * (MAX_LENGTH + 1)},
    ],
)
def test_what_only_looks_like_a_link_is_a_value(value):
    assert link_of(value) is None
    assert list(links_in({"field": value})) == []
    assert resolved(value, {"hold": "txn_1"}) == value


def test_a_recorded_link_is_read_whatever_its_length_up_to_that_of_a_key():
    longest = {**HOLD, "$result_of": "x" * MAX_LENGTH}
    assert link_of(longest) == longest


def test_of_a_recorded_link_that_could_not_be_made_any_more_it_is_told_why():
    """Such as one whose key has a character that cannot be seen: it is read, and no new intent may have it."""
    link = link_of({**HOLD, "$result_of": "ho\u200bld"})
    assert link is not None
    problem = link_problem(link)
    assert problem is not None
    assert problem.startswith("The key in the link: ")
    assert "None" not in problem


PAYLOAD: dict[str, Any] = {
    "source": WALLET,
    "items": [{"hold": HOLD, "legs": [WALLET, {"$result_of": "till", "field": "balance_id"}]}, HOLD, "hold"],
    "amount": 7,
}


def test_links_are_found_however_deep_and_their_keys_are_told_once_in_order():
    assert list(links_in(PAYLOAD)) == [WALLET, HOLD, WALLET, {"$result_of": "till", "field": "balance_id"}, HOLD]
    assert linked_keys(PAYLOAD) == ("wallet", "hold", "till")
    assert linked_keys({"amount": 7}) == ()


def test_a_payload_is_filled_in_with_what_the_others_came_to_and_nothing_else_of_it_changes():
    ids = {"wallet": "bln_1", "hold": "txn_2", "till": "bln_3"}
    assert resolved(PAYLOAD, ids) == {
        "source": "bln_1",
        "items": [{"hold": "txn_2", "legs": ["bln_1", "bln_3"]}, "txn_2", "hold"],
        "amount": 7,
    }


@pytest.mark.parametrize("results", [{}, {"other": "txn_2"}, {"hold": ""}, {"hold": "bln_2"}, {"hold": "2"}])
def test_a_link_to_what_another_intent_did_not_bring_stays_a_link(results):
    assert resolved({"hold": HOLD}, results) == {"hold": HOLD}


def test_a_value_goes_by_its_own_name_and_a_link_by_that_of_the_other_intent():
    assert name_of("@bank") == "@bank"
    assert name_of(WALLET) == "wallet"
