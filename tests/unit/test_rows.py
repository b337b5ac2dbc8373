"""Reading the ledger's rows: which one decides, whose it is, what order they came in (contract §3.4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from casebook import (
    ALICE,
    BANK,
    DAY,
    HOUR,
    MINUTE,
    NOW_MS,
    POLICY,
    SOMEBODY,
    balance,
    payment,
    progress,
    queued_and,
    row,
    sent,
    txn,
)

from blnk_relay.families.movement import differences, rejection_code
from blnk_relay.intents.decision import Dead, DeadClass, Look
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.rows import (
    CLOCKS_APART_MS,
    capped,
    family,
    final_row,
    find_named,
    look_again,
    made_ms,
    missing,
    row_age_s,
    some_of,
    text_of,
    unless_made_since,
)


def by_id(number):
    return Lookup("transactions", "transaction_id", txn(number))


@pytest.mark.parametrize(
    ("rows", "decides"),
    [
        ((), None),
        ((row(1, "R", "QUEUED"),), None),
        ((row(1, "R", "SCHEDULED"),), None),
        ((row(1, "R", "QUEUED"), row(2, "R_q", "QUEUED")), None),
        (queued_and("APPLIED", "R"), txn(2)),
        (queued_and("INFLIGHT", "R"), txn(2)),
        (queued_and("REJECTED", "R"), txn(2)),
        ((row(1, "R", "SCHEDULED"), row(2, "R_q", "APPLIED")), txn(2)),
        ((row(2, "R_q", "APPLIED"),), txn(2)),
        ((row(1, "R", "APPLIED"),), txn(1)),
        ((row(1, "R", "INFLIGHT"),), txn(1)),
        ((row(1, "R", "REJECTED"),), txn(1)),
        ((row(1, "R", "VOID"),), txn(1)),
        ((row(1, "R", "SOMETHING"),), None),
        ((row(1, "S", "APPLIED"), row(2, "R_q_q", "APPLIED")), None),
    ],
)
def test_the_queued_row_never_decides_and_its_child_always_does(rows, decides):
    final = final_row(Found(rows), "R")
    assert (final.transaction_id if final else None) == decides


@pytest.mark.parametrize(
    ("name", "rows", "asked", "found_id", "still_to_ask"),
    [
        ("R", (), (), None, family("R")),
        ("R", (), family("R"), None, ()),
        ("R", queued_and("APPLIED", "R"), family("R"), txn(2), ()),
        ("R", (row(1, "R", "QUEUED"),), family("R"), txn(1), ()),
        # A row id that is final stands for itself.
        (txn(2), (), (), None, (by_id(2),)),
        (txn(2), (), (by_id(2),), None, ()),
        (txn(2), (row(2, "R_q", "INFLIGHT"),), (by_id(2),), txn(2), ()),
        # The id of a queued parent is followed to its child (contract §0.1 fact 11).
        (txn(1), (row(1, "R", "QUEUED"),), (by_id(1),), txn(1), family("R")),
        (txn(1), queued_and("INFLIGHT", "R"), (by_id(1), *family("R")), txn(2), ()),
        (txn(1), (row(1, "R", "SCHEDULED"),), (by_id(1), *family("R")), txn(1), ()),
    ],
)
def test_a_named_transaction_is_followed_to_the_row_that_counts(name, rows, asked, found_id, still_to_ask):
    found = Found(rows, asked=asked)
    named, to_ask = find_named(found, name)
    assert (named.transaction_id if named else None, to_ask) == (found_id, still_to_ask)


def test_nothing_is_asked_twice():
    first, second = family("R")
    assert missing(Found(asked=(first,)), first, second) == (second,)


# -- whose row is it -----------------------------------------------------------------------------------------------


def named_in(different: list[str]) -> list[str]:
    """The fields that differ."""
    return [text.partition(":")[0] for text in different]


def test_what_differs_is_told_with_both_sides():
    shown = row(2, "order_42_q", "APPLIED", precise_amount=2000, currency="USD", source=SOMEBODY)
    found = Found(records=[balance(BANK, "@bank", "EUR")])
    assert differences(payment(source="@bank").payload, shown, found) == [
        "precise_amount: asked 1050, has 2000",
        "currency: asked EUR, has USD",
        f"source: asked @bank ({BANK}), has {SOMEBODY}",
    ]


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({}, []),
        ({"precise_amount": 1051}, ["precise_amount"]),
        ({"precise_amount": 10_500}, ["precise_amount"]),
        ({"currency": "USD"}, ["currency"]),
        ({"source": SOMEBODY}, ["source"]),
        ({"destination": SOMEBODY}, ["destination"]),
        ({"source": ALICE, "destination": BANK}, ["source", "destination"]),
        ({"precise_amount": 1, "currency": "USD"}, ["precise_amount", "currency"]),
        # Some reads leave columns out; what is not told cannot differ.
        ({"precise_amount": None, "currency": "", "source": "", "destination": ""}, []),
    ],
)
def test_a_row_is_compared_field_by_field(changes, different):
    assert named_in(differences(payment().payload, row(2, "order_42_q", "APPLIED", **changes), Found())) == different


@pytest.mark.parametrize(
    ("inflight", "status", "different"),
    [
        (False, "APPLIED", []),
        (True, "INFLIGHT", []),
        (False, "INFLIGHT", ["inflight"]),
        (True, "APPLIED", ["inflight"]),
        (False, "REJECTED", []),
        (True, "REJECTED", []),
    ],
)
def test_a_hold_is_no_payment_and_a_payment_no_hold(inflight, status, different):
    shown = row(2, "order_42_q", status)
    assert named_in(differences(payment(inflight=inflight).payload, shown, Found())) == different


@pytest.mark.parametrize(
    ("balances", "stored", "different"),
    [
        ([balance(BANK, "@bank", "EUR")], BANK, []),
        ([balance(SOMEBODY, "@bank", "EUR")], BANK, ["source"]),
        # The same indicator in another currency is another balance.
        ([balance(BANK, "@bank", "USD"), balance(SOMEBODY, "@bank", "EUR")], BANK, ["source"]),
        ([balance(BANK, "@bank", "EUR"), balance(SOMEBODY, "@bank", "EUR")], BANK, []),
        # Not shown, so not known to be another one.
        ([], BANK, []),
        ([balance(SOMEBODY, "@bank", "USD")], BANK, []),
        ([balance(SOMEBODY, "@other", "EUR")], BANK, []),
        # The ledger may show it as it was sent.
        ([balance(BANK, "@bank", "EUR")], "@bank", []),
    ],
)
def test_an_indicator_is_compared_through_the_balance_it_stands_for(balances, stored, different):
    found = Found(records=balances)
    shown = row(2, "order_42_q", "APPLIED", source=stored)
    assert named_in(differences(payment(source="@bank").payload, shown, found)) == different


# -- small things --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("failed to apply transaction to balances: insufficient funds in source balance", "TXN_INSUFFICIENT_FUNDS"),
        ("failed to apply transaction to balances: transaction exceeds overdraft limit", "TXN_OVERDRAFT_LIMIT"),
        ("exceeded max queued recovery attempts", "TXN_REJECTED"),
        ("", "TXN_REJECTED"),
    ],
)
def test_the_reason_of_a_rejection_has_a_stable_code(text, code):
    assert rejection_code(text) == code


@pytest.mark.parametrize(
    "in_order",
    [
        ["2026-11-20T09:15:31Z", "2026-11-20T09:15:31.1Z", "2026-11-20T09:15:31.12Z", "2026-11-20T09:15:31.2Z"],
        ["2026-11-20T09:15:31.118304+00:00", "2026-11-20T09:15:31.1183041+00:00", "2026-11-20T09:15:32+00:00"],
        ["2026-11-20T09:15:31.999999999Z", "2026-11-20T09:15:32Z"],
    ],
)
def test_children_are_told_oldest_first_however_precise_their_times_are(in_order):
    rows = [
        Row(txn(number), f"ref_{number}", "APPLIED", parent=txn(99), created_at=at)
        for number, at in enumerate(in_order)
    ]
    shown = Found(reversed(rows)).children(txn(99))
    assert [child.created_at for child in shown] == in_order


def test_what_is_shown_later_replaces_what_was_shown_before():
    lookup = by_id(1)
    found = Found((row(1, "R", "QUEUED"),)).plus([row(1, "R", "QUEUED", currency="USD")], [], [lookup])
    assert len(found.rows) == 1
    assert found.row(txn(1)).currency == "USD"
    assert lookup in found.asked


def test_one_looks_again_less_and_less_often_and_in_the_end_a_human_has_to():
    pauses = [look_again(sent(hours * HOUR), POLICY) for hours in (0, 1, 4)]
    assert [type(pause) for pause in pauses] == [Look, Look, Look]
    assert [pause.in_s for pause in pauses] == sorted(pause.in_s for pause in pauses)
    assert look_again(sent(6 * HOUR), POLICY) == Dead(
        DeadClass.UNKNOWN, "UNDECIDED", "It may have been sent, and the ledger never showed what became of it."
    )
    assert look_again(sent(refuse=True), POLICY).refuse


@pytest.mark.parametrize(("length", "kept"), [(0, 0), (300, 300), (301, 300), (10_000, 300)])
def test_messages_are_kept_short(length, kept):
    assert len(capped("x" * length)) == kept


def test_times_of_an_intent_never_run_backwards():
    assert progress(since_ms=progress().now_ms + 1000).age_s == 0
    assert sent(-HOUR).quiet_for_s == 0


def test_no_silence_is_older_than_what_the_journal_can_vouch_for():
    """Its clock was set right, or its tail was lost, after the request had left."""
    assert sent(HOUR).quiet_for_s == 3600
    assert replace(sent(HOUR), solid_ms=NOW_MS - MINUTE).quiet_for_s == 60
    assert replace(sent(MINUTE), solid_ms=NOW_MS - HOUR).quiet_for_s == 60


def test_a_lookup_is_answered_by_the_records_of_its_resource_that_have_that_very_text():
    named = [
        Record("balances", {"indicator": "@bank", "currency": "EUR"}),
        Record("balances", {"indicator": "@bank", "currency": "USD"}),
    ]
    others = [
        Record("balances", {"indicator": ["@bank"]}),
        Record("balances", {}),
        Record("identities", {"indicator": "@bank"}),
    ]
    marked = Record("ledgers", {"meta_data": {"mark": "id-1"}, "meta_data.mark": "id-2"})
    found = Found(records=(*others, *named, marked))
    assert found.matching(Lookup("balances", "indicator", "@bank")) == tuple(named)
    assert found.matching(Lookup("ledgers", "meta_data.mark", "id-1")) == (marked,)
    assert found.matching(Lookup("ledgers", "meta_data.mark", "id-2")) == ()


def test_a_batch_reads_each_record_once_however_many_ask():
    reads = Counter()

    class Watched(dict):
        def get(self, name, default=None):
            reads[name] += 1
            return super().get(name, default)

    names = [f"@wallet-{number}" for number in range(50)]
    found = Found(records=[Record("balances", Watched(indicator=name)) for name in names])
    assert all(len(found.matching(Lookup("balances", "indicator", name))) == 1 for name in names)
    assert reads["indicator"] == len(names)


# -- times ---------------------------------------------------------------------------------------------------------

MADE = "2027-01-15T08:00:00.5Z"
MADE_MS = 1_800_000_000_500


@pytest.mark.parametrize(("text", "ms"), [(MADE, MADE_MS), ("", 0), ("yesterday", 0), ("2027-01-15T08:00:00Z", NOW_MS)])
def test_a_time_of_the_ledger_is_read_or_is_none(text, ms):
    assert made_ms(text) == ms


def test_a_row_is_waited_for_since_it_could_be_and_no_longer_than_the_intent_lives():
    made = row(1, "R", "QUEUED", created_at=MADE)
    old = progress(now_ms=MADE_MS + 100_000, since_ms=MADE_MS - DAY)
    assert row_age_s(made, old) == 100
    assert row_age_s(made, replace(old, since_ms=MADE_MS + 60_000)) == 40
    assert row_age_s(made, replace(old, now_ms=MADE_MS - 1)) == 0, "clocks may differ"
    assert row_age_s(row(1, "R", "QUEUED", created_at="?"), old) == old.age_s


REPEAT = progress(sent=True, last_sent_ms=NOW_MS - DAY, lost_ms=NOW_MS - DAY, again=True)


@pytest.mark.parametrize(("after_ms", "anew"), [(CLOCKS_APART_MS, False), (CLOCKS_APART_MS + 1, True), (-1, False)])
def test_only_a_row_that_is_surely_younger_than_what_is_forgotten_shows_that_nothing_is_repeated(after_ms, anew):
    made = datetime.fromtimestamp((REPEAT.lost_ms + after_ms) / 1000, UTC).isoformat()
    rows = [row(1, "R", "APPLIED", created_at="2020-01-01T00:00:00Z"), row(2, "S", "APPLIED", created_at=made)]
    assert unless_made_since(REPEAT, rows) == (progress() if anew else REPEAT)
    assert unless_made_since(REPEAT, ()) is REPEAT


def test_what_may_have_been_sent_in_lost_moments_or_was_recorded_is_no_repeat_of_what_is_forgotten():
    young = [row(1, "R", "APPLIED", created_at="2030-01-01T00:00:00Z")]
    for other in (replace(REPEAT, again=False), replace(REPEAT, memo={"row": "x"}), progress()):
        assert unless_made_since(other, young) is other


def test_of_many_names_the_first_are_told_and_how_many_there_are_besides():
    assert some_of(["a", "b"]) == "a, b"
    assert some_of(["a", "b", "c"]) == "a, b, c"
    assert some_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("body", "text"),
    [({}, ""), ({"id": 5}, ""), ({"id": None}, ""), ({"id": "x" * 512}, "x" * 512), ({"id": "x" * 513}, "")],
)
def test_what_is_no_text_as_ids_are_counts_as_none(body, text):
    assert text_of(body, "id") == text


def test_a_message_that_fits_is_kept_as_it_is():
    assert capped("x" * 300) == "x" * 300
    assert capped("x" * 301) == "x" * 299 + "…"


@pytest.mark.parametrize(
    ("data", "value"),
    [({"meta_data": {"a": {"b": 1}}}, 1), ({"meta_data": {"a": "b"}}, None), ({"meta_data": None}, None), ({}, None)],
)
def test_a_value_within_what_is_no_object_is_not_there(data, value):
    assert Record("balances", data).value("meta_data.a.b") == value


def test_all_rows_under_a_reference_are_told_though_there_should_be_one():
    first, second, other = row(1, "a", "APPLIED"), row(2, "a", "APPLIED"), row(3, "b", "APPLIED")
    found = Found([first, other, second])
    assert [found.all_under(name) for name in ("a", "b", "c")] == [(first, second), (other,), ()]
    assert found.all_under("a") == (first, second)
