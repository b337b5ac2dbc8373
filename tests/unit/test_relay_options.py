"""What is checked before anything is recorded: key, lane, times and the limit on amounts. Needs no Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from casebook import payment

from blnk_relay import InvalidIntent, Relay, Settings, Write, commit_hold, refund, result_of
from blnk_relay.intake import prepare

FAR = datetime(2100, 1, 1, tzinfo=UTC)
FAR_MS = int(FAR.timestamp() * 1000)
DAY_MS = 86_400_000
#: An hour that stands twice on the clocks of its zone; the first of the two.
AUTUMN = datetime(2100, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.fixture(scope="module")
def relay():
    with Relay(Settings(redis_url="redis://127.0.0.1:1/0")) as relay:
        yield relay


def prepared(relay, intent=None, **options: Any):
    return prepare(relay.settings, Write(intent=intent or payment(), **options))


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"key": ""}, "key", "blank"),
        ({"key": " "}, "key", "blank"),
        ({"key": " order"}, "key", "white space"),
        ({"key": "x" * 256}, "key", "255"),
        ({"key": "a\x00"}, "key", "NUL"),
        ({"key": "\ud800"}, "key", "surrogate"),
        ({"key": 42}, "key", "string"),
        ({"lane": "no-such"}, "lane", "transactions, refunds, inflight"),
        ({"not_before": timedelta(seconds=-1)}, "not_before", "past"),
        ({"not_before": datetime(2100, 1, 1)}, "not_before", "offset"),  # noqa: DTZ001 - that is the point
        ({"not_before": "tomorrow"}, "not_before", "datetime"),
        ({"deadline": 5}, "deadline", "timedelta"),
        ({"after": "order-1"}, "after", "list of keys"),
        ({"after": [7]}, "after", "at position 0: Must be a string, not int"),
        ({"after": ["order"], "key": "order"}, "after", "wait for itself"),
        ({"not_before": timedelta(days=2), "deadline": timedelta(days=1)}, "deadline", "after not_before"),
        ({"not_before": FAR, "deadline": FAR}, "deadline", "after not_before"),
        ({"not_before": AUTUMN.replace(fold=1), "deadline": AUTUMN}, "deadline", "after not_before"),
        # What is written for "never" would be no date any more once it is counted on from.
        ({"deadline": datetime.max.replace(tzinfo=UTC)}, "deadline", "beyond 9000-01-01"),
        ({"not_before": datetime(9999, 12, 31, 12, tzinfo=UTC)}, "not_before", "beyond 9000-01-01"),
        ({"deadline": timedelta.max}, "deadline", "ten years"),
    ],
)
def test_an_option_that_cannot_be_kept_is_refused(relay, options, field, message):
    with pytest.raises(InvalidIntent) as caught:
        prepared(relay, **options)
    assert message in " ".join(caught.value.errors[field])


def test_what_has_no_natural_key_needs_one(relay):
    for intent in (payment(reference=None), commit_hold("hold-1", precise_amount=5)):
        with pytest.raises(InvalidIntent, match="an idempotency key of yours"):
            prepared(relay, intent)
        assert prepared(relay, intent, key="mine").entry.key == "mine"


@pytest.mark.parametrize(
    ("intent", "lane"), [(payment(), "transactions"), (refund("order_42"), "refunds"), (commit_hold("h"), "inflight")]
)
def test_every_kind_goes_to_its_lane_unless_told_otherwise(relay, intent, lane):
    assert prepared(relay, intent).entry.lane == lane
    assert prepared(relay, intent, lane="refunds").entry.lane == "refunds"


def test_amounts_that_the_way_to_the_ledger_may_damage_need_a_setting(relay):
    big = payment(amount=None, precise_amount=2**53)
    with pytest.raises(InvalidIntent, match="BLNK_RELAY_MAX_PRECISE_AMOUNT"):
        prepared(relay, big)
    assert prepared(relay, payment(amount=None, precise_amount=2**53 - 1))
    with pytest.raises(InvalidIntent, match="BLNK_RELAY_MAX_PRECISE_AMOUNT"):
        prepared(relay, commit_hold("hold-1", precise_amount=2**53), key="a-part")
    with Relay(Settings(max_precise_amount=10**30)) as generous:
        assert prepared(generous, big).entry.payload["precise_amount"] == 2**53


@pytest.mark.parametrize(
    ("options", "not_before", "deadline"),
    [
        ({}, "+0", f"~{DAY_MS}"),
        ({"deadline": timedelta(hours=1)}, "+0", "+3600000"),
        ({"deadline": FAR}, "+0", str(FAR_MS)),
        # Without a deadline of its own it gets the settings' time after it may first be sent.
        ({"not_before": timedelta(days=2)}, f"+{2 * DAY_MS}", f"~{DAY_MS}"),
        ({"not_before": FAR}, str(FAR_MS), f"~{DAY_MS}"),
        ({"not_before": datetime(2000, 1, 1, tzinfo=UTC)}, "946684800000", f"~{DAY_MS}"),
        # A deadline that has passed is no error: who repeats an enqueue late still gets the first receipt.
        ({"deadline": datetime(2000, 1, 1, tzinfo=UTC)}, "+0", "946684800000"),
    ],
)
def test_times_are_recorded_by_the_clock_of_redis(relay, options, not_before, deadline):
    new = prepared(relay, **options)
    assert (new.not_before, new.deadline) == (not_before, deadline)


def test_the_later_of_two_hours_of_one_name_is_later(relay):
    assert prepared(relay, not_before=AUTUMN, deadline=AUTUMN.replace(fold=1))


@pytest.mark.parametrize("after", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}.keys(), map(str, "ab"), (k for k in "ab")])
def test_it_waits_for_what_it_is_told_however_that_is_listed(relay, after):
    assert list(prepared(relay, after=after).entry.after) == ["a", "b"]


def test_no_list_is_an_empty_one(relay):
    linked = refund(result_of("order_42", "transaction_id"))
    assert list(prepared(relay, linked, after=None).entry.after) == ["order_42"]


def test_references_that_the_data_api_could_not_find_are_refused_where_it_is_used():
    with Relay(Settings(confirm_route="data")) as relay:
        assert prepared(relay).entry.reference == "order_42"
        assert prepared(relay, refund("42")).entry.reference == ""
        for key in ("42", "a,b"):
            with pytest.raises(InvalidIntent, match="Data API"):
                prepared(relay, payment(reference=None), key=key)
