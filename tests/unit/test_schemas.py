"""What is valid: refused is only what the ledger would lose, double or misplace (contract §2.0, §2.3, §3.4, §6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
from casebook import ALICE, BANK, payment, txn
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from blnk_relay import InvalidIntent, commit_hold, intent_of, refund, transaction, void_hold
from blnk_relay.intents.references import key_problem
from blnk_relay.kinds.registry import KINDS
from blnk_relay.kinds.transaction import SCHEMA
from blnk_relay.money import PRECISIONS
from blnk_relay.schema.base import MAX_ROW_BYTES
from blnk_relay.schema.meta_data import RESERVED_META_KEYS, stored_bytes

UUID_IN_CAPITALS = "bln_" + "A" * 36


class Colour(Enum):
    RED = 1


# -- refused: field, value, part of the message --------------------------------------------------------------------

REFUSED = [
    # Amounts (contract §6).
    ("amount", 10.5, "a float cannot hold money"),
    ("amount", True, "a float cannot hold money"),
    ("amount", float("nan"), "a float cannot hold money"),
    ("amount", "NaN", "finite"),
    ("amount", "Infinity", "finite"),
    ("amount", Decimal("-Infinity"), "finite"),
    ("amount", "1e99", "64 digits"),
    ("amount", "1e-99", "64 digits"),
    ("amount", Decimal("1e999999"), "64 digits"),
    ("amount", "ten", "decimal number"),
    ("amount", "", "decimal number"),
    ("amount", b"10", "float"),
    ("amount", "10.505", "more decimals than precision 100"),
    ("amount", "0.001", "more decimals than precision 100"),
    ("amount", 0, "above 0"),
    ("amount", "0.00", "above 0"),
    ("amount", "-1", "above 0"),
    ("amount", None, "exactly one of amount (in units) and precise_amount (in minor units)"),
    ("precise_amount", 1050, "exactly one of amount (in units) and precise_amount (in minor units)"),
    # Precision: a multiplier, not a number of digits; above 10^18 the row vanishes.
    ("precision", 0, "whole number above 0"),
    ("precision", -100, "whole number above 0"),
    ("precision", "1.5", "whole number above 0"),
    ("precision", 100.0, "float"),
    ("precision", True, "float"),
    ("precision", 10**18 + 1, "10^18"),
    ("precision", 10**19, "10^18"),
    # Currency: required, and exactly as it is, because @indicators are one balance per currency.
    ("currency", None, "required"),
    ("currency", "", "blank"),
    ("currency", " ", "blank"),
    ("currency", " EUR", "white space"),
    ("currency", "EUR\n", "U+000A"),
    ("currency", "X" * 33, "32 characters"),
    ("currency", 978, "string"),
    # Description: required by the ledger (contract §0.1 fact 17).
    ("description", None, "required"),
    ("description", "", "blank"),
    ("description", " \t\n", "blank"),
    ("description", "a\x00b", "NUL"),
    ("description", "\ud800", "surrogate"),
    ("description", 5, "string"),
    ("description", b"bytes", "string"),
    ("description", "x" * 6001, "6,000 characters"),
    # Balances: anything else gets a 201 and is never recorded, or makes a new balance (contract §3.3, §3.7).
    ("source", None, "required"),
    ("source", "", "blank"),
    ("source", "mainaccount", "bln_"),
    ("source", "general_ledger_id", "bln_"),
    ("source", "ldg_" + BANK[4:], "bln_"),
    ("source", BANK[:-1], "bln_"),
    ("source", BANK + "0", "bln_"),
    ("source", BANK + "\n", "U+000A LINE FEED (its character 41)"),
    ("source", " " + BANK, "white space"),
    ("source", UUID_IN_CAPITALS, "lower case"),
    ("source", "@", "@name"),
    ("source", "@a b", "white space"),
    ("source", "@bank\n", "U+000A"),
    ("source", "@a\u00a0b", "U+00A0 NO-BREAK SPACE (its character 3), which looks like a plain space"),
    ("source", "@a\x00", "NUL"),
    ("source", "@" + "x" * 255, "@name"),
    ("source", ["@a"], "string"),
    ("source", ALICE, "differ from source"),
    ("destination", BANK, "differ from source"),
    ("destination", "alice", "bln_"),
    # References (contract §3.4).
    ("reference", "", "blank"),
    ("reference", "order_q", "_q"),
    ("reference", "order_refund", "_refund"),
    ("reference", "x_commit_act_1", "_commit_act_"),
    ("reference", "x_void_act_1", "_void_act_"),
    ("reference", "txn_5", "txn_"),
    ("reference", " order", "white space"),
    ("reference", "order\n", "U+000A"),
    ("reference", "o\x00", "NUL"),
    ("reference", "\udfff", "surrogate"),
    ("reference", "x" * 256, "255 characters"),
    ("reference", 42, "string"),
    # Flags: exactly true or false.
    ("inflight", 1, "true or false"),
    ("inflight", "true", "true or false"),
    ("allow_overdraft", "yes", "true or false"),
    ("skip_queue", 0, "true or false"),
    # Options that the ledger would lose, or turn against somebody else's money.
    ("overdraft_limit", "10", "Needs skip_queue"),
    ("effective_date", "2026-01-01T00:00:00Z", "Needs skip_queue"),
    ("inflight_expiry_date", "2027-01-01T00:00:00Z", "set inflight"),
    ("inflight_commit_date", "2027-01-01T00:00:00Z", "set inflight"),
    # Times.
    ("scheduled_for", "tomorrow", "RFC 3339"),
    ("scheduled_for", "2026-13-01T00:00:00Z", "RFC 3339"),
    ("scheduled_for", "2026-11-20", "offset"),
    ("scheduled_for", "2026-11-20T09:00:00", "offset"),
    ("scheduled_for", datetime(2026, 11, 20), "offset"),  # noqa: DTZ001 - that is the point
    ("scheduled_for", datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "years"),
    ("scheduled_for", "0001-01-01T00:00:00+05:00", "years"),
    ("scheduled_for", 1_800_000_000, "datetime"),
    # Metadata (contract §2.0).
    ("meta_data", [], "object"),
    ("meta_data", "{}", "object"),
    *(("meta_data", {key: 1}, "reserved by the ledger") for key in sorted(RESERVED_META_KEYS)),
    ("meta_data", {"_shadow_for": "x"}, "reserved by the ledger"),
    ("meta_data", {"_anything": "x"}, "reserved by the ledger"),
    ("meta_data", {1: "x"}, "keys must be strings"),
    ("meta_data", {"a": {2: "x"}}, "keys must be strings"),
    ("meta_data", {"a": float("nan")}, "finite"),
    ("meta_data", {"a": [float("-inf")]}, "finite"),
    ("meta_data", {"a": "\x00"}, "NUL"),
    ("meta_data", {"a": {"\x00": 1}}, "NUL"),
    ("meta_data", {"a": ["\udc00"]}, "surrogate"),
    ("meta_data", {"a": Decimal(1)}, "not a value of type Decimal"),
    ("meta_data", {"a": {1, 2}}, "not a value of type set"),
    ("meta_data", {"a": datetime(2026, 1, 1, tzinfo=UTC)}, "not a value of type datetime"),
    ("meta_data", {"a": Colour.RED}, "not a value of type Colour"),
    ("meta_data", {"a": b"x"}, "not a value of type bytes"),
    ("meta_data", {"a": 2**53}, "2^53"),
    ("meta_data", {"a": [-(10**5000)]}, "2^53"),
    ("meta_data", {"a": "x" * 6000}, "answers a larger row with 201 and never records it"),
    ("meta_data", {"a": "\n" * 3000}, "answers a larger row with 201 and never records it"),
    # What the ledger takes, and we do not, because it means something else there (contract §2.3, §3.6).
    ("sources", [{"identifier": "@a", "distribution": "100%"}], "Unknown field"),
    ("destinations", [], "Unknown field"),
    ("dry_run", True, "Unknown field"),
    ("atomic", True, "Unknown field"),
    ("balance_id", BANK, "Unknown field"),
    ("refernce", "a-typo", "Unknown field"),
]


def as_data(**changes: Any):
    """The payment of the casebook as it would come from a file."""
    fields = {
        "source": BANK,
        "destination": ALICE,
        "currency": "EUR",
        "amount": "10.50",
        "description": "Top-up",
        "reference": "order_42",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_what_would_be_lost_or_misplaced_is_refused_by_field(field, value, message):
    with pytest.raises(InvalidIntent) as caught:
        intent_of("transaction", as_data(**{field: value}))
    words = {name: " ".join(messages) for name, messages in caught.value.errors.items()}
    assert message in " ".join(words.values())
    assert len(words) == 1, f"one thing is wrong, so one field should be named: {words}"


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"skip_queue": True, "scheduled_for": "2027-01-01T00:00:00Z"}, "scheduled_for", "applies at once"),
        ({"inflight": True, "inflight_expiry_date": "2027-01-01T00:00:00Z"}, "inflight_expiry_date", "other holds"),
        ({"inflight": True, "inflight_commit_date": "2027-01-01T00:00:00Z"}, "inflight_commit_date", "skip_queue"),
        ({"currency": "eur"}, "precision", "'eur' is not a known currency; did you mean 'EUR'?"),
        ({"currency": "GOLD"}, "precision", "'GOLD' is not a known currency: send its minor units per unit"),
        ({"skip_queue": True, "overdraft_limit": 0.5}, "overdraft_limit", "float"),
        ({"skip_queue": True, "overdraft_limit": "0"}, "overdraft_limit", "above 0"),
        ({"skip_queue": True, "overdraft_limit": "1234567890.123456"}, "overdraft_limit", "15 digits"),
        ({"skip_queue": True, "overdraft_limit": "9.995"}, "overdraft_limit", "more decimals"),
        ({"skip_queue": True, "overdraft_limit": "92233720368547759"}, "overdraft_limit", "15 digits"),
        ({"skip_queue": True, "overdraft_limit": "93e15"}, "overdraft_limit", "minor units"),
        ({"amount": None, "precise_amount": 10.0}, "precise_amount", "float"),
        ({"amount": None, "precise_amount": "10.5"}, "precise_amount", "whole number"),
        ({"amount": None, "precise_amount": 0}, "precise_amount", "whole number above 0"),
        ({"amount": None, "precise_amount": True}, "precise_amount", "float"),
        ({"amount": "0.5", "precision": 3}, "amount", "more decimals than precision 3"),
        ({"currency": "JPY", "amount": "0.5"}, "amount", "more decimals than precision 1"),
        ({"currency": "KWD", "amount": "0.0005"}, "amount", "more decimals than precision 1000"),
    ],
)
def test_what_contradicts_something_else_is_refused(changes, field, message):
    with pytest.raises(InvalidIntent) as caught:
        intent_of("transaction", as_data(**changes))
    assert message in " ".join(caught.value.errors[field])


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InvalidIntent) as caught:
        intent_of("transaction", {"amount": 1.5, "meta_data": {"sequence": 1, "x": 1}, "nonsense": 1})
    assert set(caught.value.errors) == {
        *("source", "destination", "currency", "description", "amount", "meta_data", "nonsense")
    }


# -- taken: everything that the ledger would take ------------------------------------------------------------------

TAKEN = [
    ("reference", "order_42"),
    ("reference", "42"),
    ("reference", "2026-11-20"),
    ("reference", "with spaces inside"),
    ("reference", "x" * 255),
    ("reference", "Überweisung-№7-🙂"),
    ("reference", "a/b?c#d%e&f,g|h"),
    ("reference", "bulk_order"),
    ("reference", "ref_1"),
    ("reference", "R_1"),
    ("description", " with spaces around "),
    ("description", "two\nlines, a tab\tand \u0007"),
    ("description", "x" * 5900),
    ("description", "日本語" * 600),
    ("source", "@bank"),
    ("source", "@Käse-№1"),
    ("source", "@" + "x" * 254),
    ("source", "@@"),
    ("amount", 10),
    ("amount", Decimal("10.50")),
    ("amount", "1e2"),
    ("amount", "0.01"),
    ("amount", "123456789012345678901234567890.12"),
    ("precision", 1000),
    ("precision", "100"),
    ("precision", 10**18),
    ("inflight", True),
    ("allow_overdraft", True),
    ("skip_queue", True),
    ("skip_queue", False),
    ("scheduled_for", "2027-01-01T00:00:00+05:30"),
    ("scheduled_for", datetime(2027, 1, 1, tzinfo=UTC)),
    ("meta_data", {}),
    ("meta_data", {"order": 5, "shop": {"nested": [1, 2.5, None, True, "x"]}}),
    ("meta_data", {"Inflight": True, "ATOMIC": 1, "inflight_": 1}),
    ("meta_data", {"nested": {"inflight": True, "_x": 1}}),
    ("meta_data", {"": "", " ": " "}),
    ("meta_data", {"big": 2**53 - 1, "small": -(2**53 - 1)}),
    ("meta_data", {"a": "x" * 5900}),
]


@pytest.mark.parametrize(("field", "value"), TAKEN)
def test_what_the_ledger_takes_is_taken(field, value):
    payload = intent_of("transaction", as_data(**{field: value})).payload
    assert payload["precise_amount"] > 0
    assert json.loads(json.dumps(payload)) == payload


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "GOLD", "precision": 3, "amount": "7"},
        {"currency": "€ uro", "precision": 100},
        {"skip_queue": True, "overdraft_limit": "9.99"},
        {"skip_queue": True, "allow_overdraft": True, "overdraft_limit": 10},
        {"skip_queue": True, "effective_date": "2020-02-29T00:00:00Z"},
        {"skip_queue": True, "inflight": True, "inflight_expiry_date": "2027-01-01T00:00:00Z"},
        {"skip_queue": True, "inflight": True, "inflight_commit_date": "2027-01-01T00:00:00Z"},
        {"inflight": True, "scheduled_for": "2027-01-01T00:00:00Z"},
        {"amount": None, "precise_amount": 2**53 + 1},
        {"amount": None, "precise_amount": "1050"},
        {"reference": None},
    ],
)
def test_what_the_ledger_takes_together_is_taken_together(changes):
    assert intent_of("transaction", as_data(**changes)).kind == "transaction"


# -- properties ----------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.decimals()
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
amounts = anything | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=0).map(str)
names = st.sampled_from([*sorted(KINDS["transaction"].schema.fields), "sources", "dry_run"])


def exactly_or_refused(data):
    try:
        payload = intent_of("transaction", data).payload
    except InvalidIntent as refusal:
        errors = refusal.errors
        assert errors
        assert all(errors.values())
        return
    precision = payload["precision"]
    assert precision == (Decimal(data["precision"]) if "precision" in data else PRECISIONS[payload["currency"]])
    assert type(payload["precise_amount"]) is int
    assert payload["precise_amount"] > 0
    if "amount" in data:
        assert payload["precise_amount"] == Fraction(Decimal(data["amount"])) * precision
    else:
        assert payload["precise_amount"] == Fraction(Decimal(data["precise_amount"]))
    assert json.loads(json.dumps(payload)) == payload


@given(amounts, st.none() | st.integers(-2, 2000), st.sampled_from(("EUR", "JPY", "KWD", "CLF", "GOLD")))
def test_an_amount_becomes_exactly_amount_times_precision_or_nothing(amount, precision, currency):
    exactly_or_refused(as_data(amount=amount, precision=precision, currency=currency))


@given(st.dictionaries(names, anything, max_size=4))
def test_whatever_comes_in_is_exact_or_refused_and_never_anything_else(changes):
    exactly_or_refused(as_data() | changes)


@given(st.dictionaries(names, anything, max_size=4), st.sets(names, max_size=2))
def test_the_direct_way_through_a_schema_comes_to_the_same_as_marshmallows_own(changes, left_out):
    given_ = {name: value for name, value in (as_data() | changes).items() if name not in left_out}
    ways = []
    for way in (SCHEMA.load, partial(Schema.load, SCHEMA)):
        try:
            ways.append(way(given_))
        except ValidationError as error:
            ways.append(error.messages)
    assert ways[0] == ways[1]


@given(st.sampled_from(sorted(KINDS)), anything)
def test_no_input_breaks_a_schema(kind, given_):
    try:
        intent = intent_of(kind, given_)
    except InvalidIntent:
        return
    # An identity without any field is one for the ledger too (contract §2.7).
    assert json.loads(json.dumps(intent.payload)) == intent.payload


@given(
    st.builds(
        as_data,
        amount=st.decimals("0.01", 10**12, places=2).map(str),
        description=st.text(min_size=1, max_size=200),
        reference=st.none() | st.text(min_size=1, max_size=40),
        meta_data=st.none()
        | st.dictionaries(st.text(max_size=8), st.recursive(st.integers() | st.text(), st.lists, max_leaves=4)),
        inflight=st.booleans(),
        scheduled_for=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_a_canonical_payload_is_stable_under_reload(data):
    try:
        first = intent_of("transaction", data)
    except InvalidIntent:
        return
    again = intent_of("transaction", json.loads(json.dumps(dict(first.payload))))
    assert again.payload == first.payload
    assert first.reference == data.get("reference")
    assert "reference" not in first.payload
    assert first.natural_key is None or key_problem(first.natural_key) is None


@given(st.text(min_size=1, max_size=3000), st.text(max_size=3000))
def test_what_is_taken_fits_a_row_of_the_ledger(description, value):
    try:
        payload = payment(description=description, meta_data={"a": value}).payload
    except InvalidIntent:
        return
    as_told = json.dumps({name: payload[name] for name in ("description", "meta_data")}, ensure_ascii=False)
    assert len(as_told.encode()) <= MAX_ROW_BYTES + 100


def test_a_row_is_counted_as_the_database_tells_of_it():
    # Measured: a quote and a newline take 2 bytes, other control characters 6, the euro sign 3, an emoji 4.
    assert [stored_bytes(text) for text in ('"', "\n", "\u0007", "€", "🙂", "a")] == [2, 2, 6, 3, 4, 1]
    assert stored_bytes("ab", "c", meta_data={"a": [1, 2]}) == 3 + len('{"a": [1, 2]}')


# -- canonical forms -----------------------------------------------------------------------------------------------


def test_an_intent_cannot_be_changed_through_what_it_was_made_of():
    inner = {"items": [1]}
    intent = payment(meta_data=MappingProxyType({"order": MappingProxyType(inner), "lines": (1, 2)}))
    inner["items"].append(2)
    assert intent.payload["meta_data"] == {"order": {"items": [1]}, "lines": [1, 2]}


def test_times_are_kept_in_utc():
    moment = datetime(2027, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=1)))
    for given_ in (moment, "2027-01-01T01:30:00+01:00", "2027-01-01T00:30:00Z"):
        assert payment(scheduled_for=given_).payload["scheduled_for"] == "2027-01-01T00:30:00Z"


def test_flags_that_are_off_are_left_out():
    assert not {"inflight", "skip_queue", "allow_overdraft"} & set(payment(inflight=False).payload)


def test_a_currency_is_needed_only_where_its_precision_is_known_nowhere_else():
    assert payment(currency="JPY", amount=7).payload["precise_amount"] == 7
    assert payment(currency="JPY", amount=7, precision=100).payload["precise_amount"] == 700


# -- the other kinds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["order_42", "bulk_order", "with spaces", txn(1), "x" * 255, "key-" + "a" * 26])
def test_a_transaction_is_named_by_reference_or_row(name):
    assert refund(name).payload == {"transaction": name}
    assert commit_hold(name).payload == {"hold": name}
    assert void_hold(name).payload == {"hold": name}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "blank"),
        (7, "string"),
        ("bulk_" + txn(1)[4:], "every row of the batch"),
        ("txn_1", "txn_ followed by a UUID"),
        ("txn_" + "A" * 36, "lower case"),
        (txn(1) + "\n", "U+000A"),
        ("order_42_q", "_q"),
        (txn(1)[4:] + "_refund", "_refund"),
        ("x" * 256, "255"),
        ("a\x00", "NUL"),
    ],
)
@pytest.mark.parametrize(
    ("builder", "field"),
    [(refund, "transaction"), (commit_hold, "hold"), (void_hold, "hold")],
    ids=["refund", "commit", "void"],
)
def test_a_name_that_means_no_single_transaction_is_refused(builder, field, name, message):
    with pytest.raises(InvalidIntent) as caught:
        builder(name)
    assert message in " ".join(caught.value.errors[field])


@pytest.mark.parametrize(
    ("part", "units"),
    [
        ({"amount": "40.00", "currency": "EUR"}, 4000),
        ({"amount": "40", "precision": 1000}, 40_000),
        ({"amount": 5, "currency": "JPY"}, 5),
        ({"precise_amount": 4000}, 4000),
        ({"precise_amount": "4000", "precision": 100}, 4000),
    ],
)
def test_a_part_of_a_hold_is_exact(part, units):
    intent = commit_hold("hold-1", **part)
    assert intent.payload == {"hold": "hold-1", "precise_amount": units}
    assert intent.natural_key is None


@pytest.mark.parametrize(
    ("part", "field", "message"),
    [
        ({"amount": "40"}, "precision", "or give an ISO 4217 currency"),
        ({"amount": "40", "currency": "GOLD"}, "precision", "'GOLD' is not a known currency"),
        ({"amount": "40.001", "currency": "EUR"}, "amount", "more decimals"),
        ({"amount": 40.0, "currency": "EUR"}, "amount", "float"),
        ({"amount": "40", "precise_amount": 4000}, "amount", "not both"),
        # A part whose amount is None would be all that remains.
        ({"amount": None, "currency": "EUR"}, "currency", "Says nothing without amount"),
        ({"precision": 100}, "precision", "Says nothing without amount"),
        ({"precise_amount": 0}, "precise_amount", "above 0"),
        ({"precise_amount": -1}, "precise_amount", "above 0"),
        ({"precise_amount": 1.0}, "precise_amount", "float"),
        ({"precise_amount": True}, "precise_amount", "float"),
        ({"amount": "40", "precision": 10**19}, "precision", "10^18"),
        ({"amount": "40", "currency": "EUR "}, "currency", "white space"),
    ],
)
def test_a_part_of_a_hold_that_is_not_exact_is_refused(part, field, message):
    with pytest.raises(InvalidIntent) as caught:
        commit_hold("hold-1", **part)
    assert message in " ".join(caught.value.errors[field])


def test_a_void_takes_no_amount_because_the_ledger_would_ignore_it():
    with pytest.raises(InvalidIntent, match="Unknown field"):
        intent_of("inflight.void", {"hold": "hold-1", "precise_amount": 5})


def test_keys_follow_from_what_can_only_be_done_once():
    assert refund("order_42").natural_key == "refund:order_42"
    assert commit_hold("hold-1").natural_key == "commit:hold-1"
    assert void_hold("hold-1").natural_key == "void:hold-1"


def test_what_acts_on_one_hold_goes_one_at_a_time():
    orders = {commit_hold("h").order_key, commit_hold("h", precise_amount=1).order_key, void_hold("h").order_key}
    assert orders == {"hold:h"}
    assert void_hold("other").order_key != void_hold("h").order_key


@pytest.mark.parametrize("kind", ["transfer", "", None, [], {}, 5])
def test_an_unknown_kind_is_refused_with_the_known_ones(kind):
    with pytest.raises(InvalidIntent, match=r"inflight\.commit"):
        intent_of(kind, {})


def test_an_error_in_a_batch_says_where():
    error = InvalidIntent("refund", {"transaction": ["Must not be blank."]}).at(7)
    assert (error.index, error.kind) == (7, "refund")
    assert str(error) == "refund at position 7 is not valid: transaction: Must not be blank."


def test_builders_leave_out_what_was_not_given():
    intent = transaction(source="@a", destination="@b", currency="EUR", amount=1, description="d")
    assert set(intent.payload) == {"source", "destination", "currency", "description", "precision", "precise_amount"}
