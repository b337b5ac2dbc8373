"""Keys and references: one for ever, and never one that another payment needs."""

from __future__ import annotations

from typing import Any

import pytest
from casebook import BANK, payment
from hypothesis import assume, given
from hypothesis import strategies as st

from blnk_relay import commit_hold, refund, transaction
from blnk_relay.intents.references import (
    data_api_problem,
    digest,
    first_of,
    is_digest,
    key_problem,
    of_generation,
    reference_for,
    reference_problem,
    renewed,
    split_reference,
)
from blnk_relay.journal.entries import id_of, new_entry

keys = st.text(min_size=1, max_size=300)
good_keys = keys.filter(lambda key: key_problem(key) is None)
#: Keys that are likely to collide: made of the parts that the ledger and we derive references with.
crafty_keys = st.lists(
    st.sampled_from(("a", "b", "_q", "_refund", ".r2", ".r3", "_commit_act_", "_void_act_", "key-", "txn_", "x" * 26)),
    min_size=1,
    max_size=4,
).map("".join)


def recorded(intent, key, **options: Any):
    return new_entry(intent, key, "lane", **({"not_before": "+0", "deadline": "+1"} | options))


@pytest.mark.parametrize(
    "reference",
    [
        "order_42",
        "42",
        "2026-11-20",
        "ref_1",
        "key-1",
        "bulk_1",
        "a b c",
        "R_1",
        "R-1",
        "order_q_1",
        "q",
        "refund",
        "Zahlung für Müller",
        "注文42",
        "🙂",
        "a/b?c#d%e&f",
        "'\"\\,|",
        "x" * 255,
        "é" * 255,
    ],
)
def test_a_reference_that_the_ledger_takes_is_kept_as_it_is(reference):
    assert reference_problem(reference) is None
    assert reference_for(reference) == reference


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "blank"),
        ("   ", "blank"),
        (" order", "white space"),
        ("order\n", "U+000A LINE FEED"),
        ("x" * 256, "255"),
        ("a\x00b", "NUL"),
        ("\ud800", "surrogate"),
        ("order_q", "_q"),
        ("_q", "_q"),
        ("order_refund", "_refund"),
        ("a_commit_act_b", "_commit_act_"),
        ("a_void_act_b", "_void_act_"),
        ("txn_1", "txn_"),
    ],
)
def test_a_reference_that_would_lose_a_payment_is_refused(reference, message):
    assert message in (reference_problem(reference) or "")


@given(good_keys | crafty_keys)
def test_every_good_key_gets_a_reference_that_the_ledger_takes(key):
    assume(key_problem(key) is None)
    assert reference_problem(reference_for(key)) is None
    assert reference_for(key) == reference_for(key)


@given(st.lists(good_keys | crafty_keys, min_size=2, max_size=20, unique=True))
def test_two_keys_never_share_a_reference(some):
    some = [key for key in some if key_problem(key) is None]
    # And no key is the reference of another, though an application may use what a receipt says as a key.
    some += [reference_for(key) for key in some]
    assert len({reference_for(key) for key in set(some)}) == len(set(some))


@given(good_keys | crafty_keys, good_keys | crafty_keys, st.integers(0, 3), st.integers(0, 3))
def test_what_the_ledger_derives_from_one_reference_is_never_the_reference_of_another_key(one, other, first, second):
    assume(one != other and not key_problem(one) and not key_problem(other))
    mine, yours = of_generation(reference_for(one), first), of_generation(reference_for(other), second)
    assert mine + "_q" != yours
    assert mine + "_refund" != yours
    assert mine + "_refund_q" != yours
    if first == second == 0:
        assert mine != yours


def test_a_reference_that_is_not_its_key_is_claimed_so_that_no_other_intent_can_use_it():
    digested = recorded(payment(reference=None), "order_42_q")
    assert digested.entry.reference.startswith("key-")
    assert digested.references == (f"{digested.entry.reference}",)
    assert digested.namesakes == (id_of("default", digested.entry.reference),)

    chosen = recorded(payment(reference="order_42"), "some-key")
    assert (chosen.references, chosen.namesakes) == (("order_42",), (id_of("default", "order_42"),))

    plain = recorded(payment(), "order_42")
    assert (plain.references, plain.namesakes) == (("order_42",), ("",))


def test_where_the_ledger_chooses_the_reference_none_is_claimed():
    for intent in (refund("order_42"), commit_hold("hold-1")):
        new = recorded(intent, "a-key")
        assert (new.entry.reference, new.references, new.namesakes) == ("", (), ())


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_a_digest_stands_for_its_parts_alone(one, other):
    assert (digest(*one) == digest(*other)) == (one == other)
    assert len(digest(*one)) == 26
    assert reference_problem(digest(*one)) is None


@given(good_keys)
def test_the_same_key_is_the_same_intent_on_one_target_and_another_one_elsewhere(key):
    assert recorded(payment(), key).entry.id == recorded(payment(amount="99"), key).entry.id == id_of("default", key)
    assert id_of("default", key) != id_of("elsewhere", key)


FINGERPRINTED = [
    payment(),
    payment(amount="10.51"),
    payment(currency="USD"),
    payment(precision=1000),
    payment(source="@bank"),
    payment(destination="@bank"),
    payment(description="Another"),
    payment(reference="order_43"),
    payment(inflight=True),
    payment(allow_overdraft=True),
    payment(skip_queue=True),
    payment(skip_queue=True, overdraft_limit="10"),
    payment(skip_queue=True, overdraft_limit="11"),
    payment(scheduled_for="2027-01-01T00:00:00Z"),
    payment(meta_data={"a": 1}),
    payment(meta_data={"a": "1"}),
    payment(meta_data={"a": {"b": 1}}),
    refund("order_42"),
    refund("order_43"),
    commit_hold("order_42"),
    commit_hold("order_42", precise_amount=1),
    commit_hold("order_42", precise_amount=2),
]


def test_every_other_payload_has_another_fingerprint():
    prints = [recorded(intent, "one-key").fingerprint for intent in FINGERPRINTED]
    assert len(set(prints)) == len(prints)


def test_the_same_payload_has_the_same_fingerprint_however_it_was_written():
    same = [
        payment(amount="10.5", meta_data={"a": 1, "b": [1, 2]}),
        payment(amount="10.500", meta_data={"b": (1, 2), "a": 1}),
        payment(amount=None, precise_amount=1050, precision=100, meta_data={"b": [1, 2], "a": 1}),
    ]
    assert len({recorded(intent, "one-key").fingerprint for intent in same}) == 1


def test_lane_and_times_are_no_part_of_the_fingerprint():
    first = recorded(payment(), "one-key")
    second = new_entry(payment(), "one-key", "other", not_before="+5", deadline="+9")
    assert first.fingerprint == second.fingerprint


def test_from_the_reference_of_a_generation_one_comes_to_the_first_and_to_the_next():
    for number in range(4):
        reference = of_generation("order_42", number)
        assert first_of(reference, number) == "order_42"
        assert renewed(reference, number) == of_generation("order_42", number + 1)
    assert first_of("order_42.r2", 0) == "order_42.r2", "that is how the caller named it"


def test_ids_and_references_that_were_made_once_are_made_alike_for_ever():
    """Journals and ledgers are full of them."""
    assert digest("default", "order-42") == "53rhdmvpkpecamt54rbbj7ulam"
    assert digest("\ud800") == "jevwwoguyxcvoi73af5bkzud24", "recorded before there was a rule against it"
    assert split_reference("order_42") == "order_42.split." + digest("split", "order_42")


def test_a_key_that_looks_like_the_reference_of_another_is_not_taken_for_it():
    made = reference_for("order_42_q")
    assert made not in ("order_42_q", reference_for(made))


def test_generations_of_a_reference():
    assert [of_generation("order_42", number) for number in range(3)] == ["order_42", "order_42.r2", "order_42.r3"]


@pytest.mark.parametrize(
    "reference", ["42", "a,b", "a|b", "true", "False", "null", "NaN", "inf", "Infinity", "2026-11-20T09:15:31Z"]
)
def test_the_data_api_could_take_these_references_for_something_else(reference):
    assert reference_problem(reference) is None
    assert data_api_problem(reference)


def test_the_data_api_finds_plain_references():
    assert data_api_problem("order_42") is None
    assert data_api_problem("a1") is None


def test_what_may_be_an_id_of_the_journal_looks_like_one():
    assert is_digest(digest("default", "order-42"))
    for text in ("", "order-42", digest("a") + "a", digest("a")[1:], digest("a").upper()):
        assert not is_digest(text)


def test_a_transaction_is_keyed_by_its_reference():
    assert payment(reference="order_42").natural_key == "order_42"
    assert payment(reference=None).natural_key is None
    assert transaction(source=BANK, destination="@a", currency="EUR", amount=1, description="d").reference is None
