"""What an audit says of records that were made and of values that were set (``families.kept``).

Each case is a ledger, an intent and what others of ours did. Shown is what is asked, which difference is told, by which
id and with the names of which values, and that nobody is accused of what a later write of ours may have replaced.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import row, txn
from kindbook import BALANCE, BATCH, IDENTITY, LEDGER, MARK, an_id
from test_evidence import answers, compared, known_of, past, tagged, told

from blnk_relay import (
    create_balance,
    create_identity,
    create_ledger,
    delete_matching_rule,
    link_identity,
    result_of,
    tokenize_identity,
    update_identity,
    update_matching_rule,
    update_metadata,
)
from blnk_relay.families.kept import keeps_metadata, made, meta_fields, one_value, only_meta
from blnk_relay.intents.evidence import Difference, Past, Sort, Writes
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.intent import Intent
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds import (
    balance_link_identity,
    identity_update,
    ledger_create,
    matching_rule_update,
    metadata_update,
)
from blnk_relay.kinds.registry import KINDS
from tests.support.specimens import NOW_MS

LATER_MS = NOW_MS + 5
RULE = an_id("rule")
OTHER_LEDGER, OTHER_BALANCE, OTHER_IDENTITY = an_id("ldg", 2), an_id("bln", 2), an_id("idt", 2)


def only(it: Past, *shown: Row | Record, others: tuple[Past, ...] = ()) -> Difference:
    """The one difference that there is."""
    (one,) = compared(it, shown, others)
    return one


def asked(it: Past, *shown: Row | Record) -> list[list[Lookup]]:
    """What an audit asks for, round by round."""
    evidence, found, rounds = KINDS[it.entry.kind].evidence, Found(), []
    while lookups := evidence.lookups(it, found):
        rounds.append(list(lookups))
        some = [one for lookup in lookups for one in answers(lookup, shown)]
        found = found.plus(
            [one for one in some if isinstance(one, Row)], [one for one in some if isinstance(one, Record)], lookups
        )
    return rounds


def writes(it: Past) -> Writes | None:
    """The values that count as set by an intent."""
    return KINDS[it.entry.kind].evidence.writes(it)


def later(intent: Intent, state: str = "done", **changes: Any) -> Past:
    """Another intent, which ended after those that are compared."""
    return past(intent, state, **{"of": "z", "ended_ms": LATER_MS} | changes)


# -- records that carry our id ----------------------------------------------------------------------------------------

LEDGER_INTENT = create_ledger("Books", meta_data={"team": "a", "tier": 1})
BALANCE_INTENT = create_balance(LEDGER, "EUR", identity_id=IDENTITY)
IDENTITY_INTENT = create_identity(first_name="Mara", dob="1990-01-01")
MADE = past(LEDGER_INTENT, outcome="created", transaction_id=LEDGER)
WALLET = past(BALANCE_INTENT, outcome="created", transaction_id=BALANCE)
WHO = past(IDENTITY_INTENT, outcome="created", transaction_id=IDENTITY)
OURS = "i" * 26


def ledger(id_: str = LEDGER, tag: str = OURS, **changes: Any) -> Record:
    return tagged("ledgers", id_, tag, **{"name": "Books", "meta": {"team": "a", "tier": 1}} | changes)


def wallet(id_: str = BALANCE, **changes: Any) -> Record:
    return tagged("balances", id_, **{"ledger_id": LEDGER, "currency": "EUR", "identity_id": IDENTITY} | changes)


def person(id_: str = IDENTITY, **changes: Any) -> Record:
    return tagged("identities", id_, **{"first_name": "Mara", "dob": "1990-01-01T00:00:00Z"} | changes)


@pytest.mark.parametrize(
    ("it", "resource", "field", "id_"),
    [
        (MADE, "ledgers", "ledger_id", LEDGER),
        (WALLET, "balances", "balance_id", BALANCE),
        (WHO, "identities", "identity_id", IDENTITY),
    ],
)
def test_a_record_is_asked_for_by_its_id_and_by_ours_and_by_ours_alone_where_it_has_none(it, resource, field, id_):
    by_id, by_tag = Lookup(resource, field, id_), Lookup(resource, f"meta_data.{MARK}", OURS)
    assert asked(it) == [[by_id, by_tag]]
    for other in (
        replace(it, transaction_id=""),
        replace(it, state="dead", dead_class="refused"),
        replace(it, state="dead", dead_class="unknown"),
        replace(it, state="cancelled"),
    ):
        assert asked(other) == [[by_tag]]


def test_of_what_was_made_without_our_id_nothing_but_the_record_itself_is_asked():
    untagged = replace(MADE, entry=replace(MADE.entry, tag=""))
    assert asked(untagged) == [[Lookup("ledgers", "ledger_id", LEDGER)]]
    assert told(untagged, ledger(tag="")) == []
    assert writes(untagged) == Writes(LEDGER, ("name", "meta_data.team", "meta_data.tier"))


@pytest.mark.parametrize(
    ("it", "shown", "sort", "shows"),
    [
        (MADE, (), "missing", "no such record among its ledgers"),
        (WALLET, (), "missing", "no such record among its balances"),
        (WHO, (), "missing", "no such record among its identities"),
        (MADE, (ledger(name="Else"),), "other", "other values than were asked for: name"),
        (MADE, (ledger(meta={"team": "b", "tier": 1}),), "other", "other values than were asked for: meta_data.team"),
        (MADE, (ledger(meta={"team": "a"}),), "other", "other values than were asked for: meta_data.tier"),
        (MADE, (ledger(tag="another"),), "other", f"other values than were asked for: meta_data.{MARK}"),
        (MADE, (ledger(tag=""),), "other", f"other values than were asked for: meta_data.{MARK}"),
        (
            MADE,
            (ledger(tag="", name="Else", meta={}),),
            "other",
            "other values than were asked for: name, meta_data.team, meta_data.tier and 1 more",
        ),
        (WALLET, (wallet(currency="USD"),), "other", "other values than were asked for: currency"),
        (WALLET, (wallet(identity_id=OTHER_IDENTITY),), "other", "other values than were asked for: identity_id"),
        (WHO, (person(first_name="Maya"),), "other", "other values than were asked for: first_name"),
        (WHO, (person(dob="1991-01-01T00:00:00Z"),), "other", "other values than were asked for: dob"),
        (MADE, (ledger(), ledger(OTHER_LEDGER)), "twice", f"our id on others as well: {OTHER_LEDGER}"),
        (WALLET, (wallet(), wallet(OTHER_BALANCE)), "twice", f"our id on others as well: {OTHER_BALANCE}"),
    ],
)
def test_what_is_otherwise_with_a_record_is_told_by_its_id_with_the_names_and_never_the_values(it, shown, sort, shows):
    one = only(it, *shown)
    assert (str(one.sort), one.reference, one.shows) == (sort, it.transaction_id, shows)
    assert one.says == f"done (created) as {it.transaction_id}"


@pytest.mark.parametrize("meta", [None, "text", ["team"]])
def test_a_record_without_metadata_lacks_each_key_and_our_id(meta):
    record = Record("ledgers", {"ledger_id": LEDGER, "name": "Books", "meta_data": meta})
    names = f"meta_data.team, meta_data.tier, meta_data.{MARK}"
    assert only(MADE, record).shows == f"other values than were asked for: {names}"


def test_what_a_record_has_besides_what_was_asked_for_is_no_difference():
    assert told(MADE, ledger(meta={"team": "a", "tier": 1, "more": "x"}, created_at="2026")) == []
    assert told(WALLET, wallet(balance=7)) == []
    # Numbers are compared by value, however they are written.
    assert told(MADE, ledger(meta={"team": "a", "tier": 1.0})) == []


def test_each_thing_that_is_wrong_is_told():
    assert told(MADE, ledger(name="Else"), ledger(OTHER_LEDGER)) == [("twice", LEDGER), ("other", LEDGER)]
    assert told(MADE, ledger(OTHER_LEDGER)) == [("twice", LEDGER), ("missing", LEDGER)]


# -- whether it was made ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_told"),
    [
        ({"state": "dead", "dead_class": "refused", "code": "GEN_CONFLICT"}, True),
        ({"state": "dead", "dead_class": "unknown", "code": "UNDECIDED"}, True),
        ({"state": "dead", "dead_class": "invalid", "code": "SOME_CODE"}, True),
        ({"state": "cancelled"}, True),
        # This letter says that it was made.
        ({"state": "dead", "dead_class": "unknown", "code": "MADE_TWICE"}, False),
        # A human has looked at it.
        ({"state": "discarded", "dead_class": "unknown", "code": "UNDECIDED"}, False),
    ],
)
@pytest.mark.parametrize(
    ("it", "shown"), [(MADE, (ledger(),)), (MADE, (ledger(OTHER_LEDGER), ledger())), (WALLET, (wallet(),))]
)
def test_what_is_no_outcome_and_stands_under_our_id_is_told_where_the_letter_does_not_say_it(
    it, shown, changes, is_told
):
    it = replace(it, outcome="", transaction_id="", **changes)
    assert told(it) == []
    assert told(it, ledger(tag="another")) == []
    if not is_told:
        assert told(it, *shown) == []
        return
    one = only(it, *shown)
    ids = sorted(next(iter(record.data.values())) for record in shown)
    assert (str(one.sort), one.reference, one.shows) == ("happened", OURS, f"made as {', '.join(ids)}")


def test_a_letter_that_says_that_it_was_made_does_not_say_that_it_was_made_twice():
    """A gateway that repeats a request makes two, also of what is not as it was asked for."""
    it = replace(WALLET, state="dead", outcome="", transaction_id="", dead_class="partial", code="MADE_OTHERWISE")
    assert told(it) == []
    assert told(it, wallet()) == []
    one = only(it, wallet(), wallet(OTHER_BALANCE))
    assert (str(one.sort), one.reference, one.shows) == ("twice", OURS, f"made as {BALANCE}, {OTHER_BALANCE}")
    assert told(replace(it, state="discarded"), wallet(), wallet(OTHER_BALANCE)) == []


# -- who has set what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("it", "names"),
    [
        (MADE, ("name", "meta_data.team", "meta_data.tier", f"meta_data.{MARK}")),
        (past(create_ledger("Books"), outcome="created", transaction_id=LEDGER), ("name", f"meta_data.{MARK}")),
        (WALLET, ("ledger_id", "currency", "identity_id", f"meta_data.{MARK}")),
        # The id that the caller chose is no value that anybody can set anew.
        (
            past(create_identity(identity_id=IDENTITY, city="Lund"), outcome="created", transaction_id=IDENTITY),
            ("city", f"meta_data.{MARK}"),
        ),
    ],
)
def test_a_record_that_was_made_has_its_values_and_our_id_from_us(it, names):
    set_ = writes(it)
    assert set_ is not None
    assert (set_.record_id, sorted(set_.fields)) == (it.transaction_id, sorted(names))
    for other in (replace(it, transaction_id=""), replace(it, state="dead", dead_class="unknown")):
        assert writes(other) is None


CHANGED = ledger(name="Books", meta={"team": "b", "tier": 2})


@pytest.mark.parametrize(
    ("others", "shows"),
    [
        ((), "meta_data.team, meta_data.tier"),
        ((later(update_metadata(LEDGER, {"team": "b"})),), "meta_data.tier"),
        ((later(update_metadata(LEDGER, {"team": "b", "tier": 2})),), ""),
        # Of another record, earlier, or certainly not written: no answer for what is shown.
        ((later(update_metadata(OTHER_LEDGER, {"team": "b"})),), "meta_data.team, meta_data.tier"),
        ((later(update_metadata(LEDGER, {"team": "b"}), ended_ms=NOW_MS - 1),), "meta_data.team, meta_data.tier"),
        (
            (later(update_metadata(LEDGER, {"team": "b"}), "dead", dead_class="refused"),),
            "meta_data.team, meta_data.tier",
        ),
        ((later(update_metadata(LEDGER, {"team": "b"}), "dead", dead_class="unknown"),), "meta_data.tier"),
        ((later(update_metadata(LEDGER, {"team": "b"}), "discarded", dead_class="unknown"),), "meta_data.tier"),
        ((later(update_metadata(LEDGER, {"team": "b"}), "sending"),), "meta_data.tier"),
        ((later(update_metadata(LEDGER, {"team": "b"}), "posted"),), "meta_data.tier"),
    ],
)
def test_a_made_record_answers_for_the_values_that_no_later_write_of_ours_has_or_may_have_replaced(others, shows):
    differences = compared(MADE, [CHANGED], others)
    assert [one.shows for one in differences] == ([f"other values than were asked for: {shows}"] if shows else [])


def test_metadata_that_was_replaced_as_a_whole_took_our_id_along():
    replaced = later(update_identity(IDENTITY, replace_meta_data={"vip": True}))
    record = tagged("identities", IDENTITY, tag="", first_name="Mara", dob="1990-01-01T00:00:00Z", meta={"vip": True})
    assert told(WHO, record, others=[replaced]) == []
    assert only(WHO, record).shows == f"other values than were asked for: meta_data.{MARK}"


# -- values that were set ---------------------------------------------------------------------------------------------

NOTED = past(update_metadata(LEDGER, {"team": "a", "tier": 1}), outcome="updated")
MOVED = past(update_identity(IDENTITY, city="Lund", street="A 1", replace_meta_data={"vip": True}), outcome="updated")
LINKED = past(link_identity(BALANCE, IDENTITY), outcome="updated")
HIDDEN = past(tokenize_identity(IDENTITY, ["street", "first_name"]), outcome="tokenized")
RULED = past(update_matching_rule(RULE, "exact", [{"field": "amount", "operator": "equals"}]), outcome="updated")
DELETED = past(delete_matching_rule(RULE), outcome="deleted")
ON_ROW = past(update_metadata(txn(2), {"file": "A"}), outcome="updated")
ON_BATCH = past(update_metadata(BATCH, {"file": "A"}), outcome="updated")


def at_home(**changes: Any) -> Record:
    values: dict[str, Any] = {"city": "Lund", "street": "A 1", "meta": {"vip": True}}
    return tagged("identities", IDENTITY, tag="", **values | changes)


def tokens(*names: str) -> Record:
    return Record("tokenized-fields", {"identity_id": IDENTITY, "tokenized_fields": list(names)})


def rule(name: str = "exact") -> Record:
    criteria = [{"field": "amount", "operator": "equals"}]
    return Record("matching-rules", {"rule_id": RULE, "name": name, "description": "", "criteria": criteria})


def paid(number: int = 2, file: str = "A", **changes: Any) -> Row:
    return row(number, f"order_{number}", "APPLIED", meta={"file": file}, **changes)


AS_SET = [
    (NOTED, (ledger(tag=""),), LEDGER),
    (MOVED, (at_home(),), IDENTITY),
    (LINKED, (wallet(),), BALANCE),
    (HIDDEN, (tokens("Street", "FirstName"),), IDENTITY),
    (RULED, (rule(),), RULE),
    (DELETED, (), RULE),
    (ON_ROW, (paid(),), txn(2)),
    (ON_BATCH, (paid(2, parent=BATCH), paid(3, parent=BATCH)), BATCH),
]


def test_values_that_the_ledger_shows_as_they_were_set_are_no_difference():
    assert [told(it, *shown) for it, shown, _ in AS_SET] == [[]] * len(AS_SET)


@pytest.mark.parametrize(("it", "shown", "id_"), AS_SET)
def test_a_write_of_which_nobody_could_tell_is_told_once_the_ledger_shows_it_and_no_human_closed_it(it, shown, id_):
    unknown = replace(it, state="dead", outcome="", dead_class="unknown", code="UNDECIDED")
    one = only(unknown, *shown)
    assert (str(one.sort), one.reference) == ("happened", id_)
    assert "replay the letter" in one.advice
    assert told(replace(unknown, state="discarded"), *shown) == []
    # What is refused, or was taken back, may have its values from anybody.
    for other in (replace(unknown, dead_class="refused"), replace(it, state="cancelled", outcome="cancelled")):
        assert told(other, *shown) == []
        assert asked(other, *shown) == []


@pytest.mark.parametrize(
    ("it", "shown", "shows"),
    [
        (NOTED, ledger(), "the values that were asked for: meta_data.team, meta_data.tier"),
        (LINKED, wallet(), "the values that were asked for: identity_id"),
        (RULED, rule(), "the values that were asked for: rule"),
        (DELETED, None, "it is gone"),
    ],
)
def test_what_happened_after_all_is_told_with_its_names(it, shown, shows):
    unknown = replace(it, state="dead", outcome="", dead_class="unknown", code="UNDECIDED")
    assert only(unknown, *([] if shown is None else [shown])).shows == shows


@pytest.mark.parametrize(
    ("it", "shown", "sort", "shows"),
    [
        (NOTED, (), "missing", "no such record"),
        (MOVED, (), "missing", "no such record"),
        (LINKED, (), "missing", "no such record"),
        (HIDDEN, (), "missing", "no such record"),
        (RULED, (), "missing", "no such record"),
        (ON_ROW, (), "missing", "no such record"),
        (ON_BATCH, (), "missing", "no such record"),
        (NOTED, (ledger(meta={"team": "a", "tier": 2}),), "other", "meta_data.tier"),
        (NOTED, (ledger(meta={"tier": 1}),), "other", "meta_data.team"),
        (NOTED, (ledger(meta={}),), "other", "meta_data.team, meta_data.tier"),
        (MOVED, (at_home(city="Malmo"),), "other", "city"),
        (MOVED, (at_home(city="Malmo", street="B 2", meta={}),), "other", "city, meta_data.vip, street"),
        (MOVED, (at_home(meta={"vip": False}),), "other", "meta_data.vip"),
        (LINKED, (wallet(identity_id=OTHER_IDENTITY),), "other", "identity_id"),
        (RULED, (rule("other"),), "other", "rule"),
        (DELETED, (rule(),), "other", "it is still there"),
        (ON_ROW, (paid(file="B"),), "other", "meta_data.file"),
        (ON_BATCH, (paid(2, parent=BATCH), paid(3, "B", parent=BATCH)), "other", "meta_data.file"),
    ],
)
def test_what_is_otherwise_with_values_that_were_set_is_told_with_the_names_that_differ(it, shown, sort, shows):
    one = only(it, *shown)
    id_ = next(id_ for its, _, id_ in AS_SET if its is it)
    if sort == "other" and it is not DELETED:
        shows = f"other values than were set: {shows}"
    assert (str(one.sort), one.reference, one.shows) == (sort, id_, shows)
    assert one.says == it.told
    # Of a write that nobody could tell of that proves nothing.
    assert told(replace(it, state="dead", outcome="", dead_class="unknown"), *shown) == []


def test_a_row_is_read_with_what_is_below_it_where_it_is_a_hold_or_there_is_none():
    own, below = Lookup("transactions", "transaction_id", txn(2)), Lookup("transactions", "parent_transaction", txn(2))
    assert asked(ON_ROW, paid()) == [[own]]
    assert asked(ON_ROW) == [[own], [below]]
    assert asked(replace(ON_ROW, state="posted"), paid()) == [[own]]
    assert asked(ON_BATCH) == [[Lookup("transactions", "parent_transaction", BATCH)]]
    assert asked(LINKED) == [[Lookup("balances", "balance_id", BALANCE)]]


def test_a_split_shows_what_was_set_in_each_of_its_legs():
    it = past(update_metadata(txn(1), {"file": "A"}), outcome="updated")
    assert told(it, paid(2, parent=txn(1)), paid(3, parent=txn(1))) == []
    assert told(it, paid(2, parent=txn(1)), paid(3, "B", parent=txn(1))) == [("other", txn(1))]


def test_a_link_that_was_never_filled_in_leads_nowhere():
    entry = new_entry(
        update_metadata(result_of("books", "ledger_id"), {"a": 1}), "a-key", "a-lane", not_before="+0", deadline="+1"
    ).entry
    for state, changes in (("cancelled", {}), ("dead", {"dead_class": "unknown"}), ("done", {})):
        it = Past(entry, state, **changes)
        assert writes(it) is None
        assert asked(it) == []
        assert compared(it, []) == ()


# -- what others of ours did ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("it", "shown", "other", "shows"),
    [
        (NOTED, ledger(meta={"team": "b", "tier": 2}), update_metadata(LEDGER, {"team": "b"}), "meta_data.tier"),
        (NOTED, ledger(meta={"team": "b", "tier": 2}), update_metadata(LEDGER, {"team": "b", "tier": 2}), ""),
        (MOVED, at_home(city="Malmo", street="B"), update_identity(IDENTITY, city="Malmo"), "street"),
        (MOVED, at_home(city="Malmo", street="FPT:x:y"), tokenize_identity(IDENTITY, ["street"]), "city"),
        (MOVED, at_home(city="Malmo", meta={"b": 1}), update_identity(IDENTITY, replace_meta_data={"b": 1}), "city"),
        (MOVED, at_home(city="Malmo", meta={"vip": 0}), update_metadata(IDENTITY, {"vip": 0}), "city"),
        (LINKED, wallet(identity_id=OTHER_IDENTITY), link_identity(BALANCE, OTHER_IDENTITY), ""),
        (RULED, rule("new"), update_matching_rule(RULE, "new", [{"field": "amount", "operator": "equals"}]), ""),
        (RULED, None, delete_matching_rule(RULE), ""),
    ],
)
def test_a_write_answers_for_the_values_that_no_later_write_of_ours_has_replaced(it, shown, other, shows):
    shown = [] if shown is None else [shown]
    assert compared(it, shown) != ()
    differences = compared(it, shown, [later(other)])
    assert [one.shows for one in differences] == ([f"other values than were set: {shows}"] if shows else [])
    assert told(it, *shown, others=[later(other, ended_ms=NOW_MS - 1)]) == told(it, *shown)


def test_of_a_write_that_nobody_could_tell_of_the_values_that_are_its_own_are_compared():
    unknown = replace(NOTED, state="dead", outcome="", dead_class="unknown", code="UNDECIDED")
    other = later(update_metadata(LEDGER, {"team": "b"}))
    shown = ledger(meta={"team": "b", "tier": 1})
    assert told(unknown, shown) == []
    assert only(unknown, shown, others=(other,)).shows == "the values that were asked for: meta_data.tier"
    # Nothing is left to tell by.
    both = later(update_metadata(LEDGER, {"team": "a", "tier": 1}))
    assert told(unknown, ledger(), others=[both]) == []


def test_what_was_tokenized_in_part_may_have_put_a_token_in_the_place_of_each_value():
    """Of several fields the ledger keeps those before one that it refuses; the letter names them in words alone."""
    half = later(
        tokenize_identity(IDENTITY, ["first_name", "street"]), "dead", dead_class="partial", code="TOKENIZED_IN_PART"
    )
    shown = person(first_name="FPT:x:y", meta={"tokenized_fields": {"FirstName": True}})
    assert told(WHO, shown, others=[half]) == []
    assert told(WHO, shown, others=[replace(half, state="discarded")]) == []
    assert told(WHO, shown, others=[replace(half, dead_class="refused")]) == [("other", IDENTITY)]
    assert told(half, tokens("FirstName")) == []


BY_ANOTHER = paid(2, "B", parent=BATCH)


@pytest.mark.parametrize(
    ("it", "shown", "on"),
    [
        # The batch was written to, and then the row that is below it.
        (ON_ROW, (BY_ANOTHER,), BATCH),
        (ON_ROW, (paid(2, "B", parent=txn(1)), row(1, "order", "QUEUED")), txn(1)),
        # The row was written to, and then the batch that it is of; or the payment whose row it is.
        (ON_BATCH, (BY_ANOTHER, paid(3, parent=BATCH)), txn(2)),
        (past(update_metadata(txn(1), {"file": "A"}), outcome="updated"), (paid(2, "B", parent=txn(1)),), txn(2)),
    ],
)
def test_a_write_to_a_row_is_replaced_by_a_later_one_to_what_is_above_it_or_below(it, shown, on):
    """On a transaction metadata reaches the row and those directly below it (contract §3.11)."""
    (one,) = compared(it, shown)
    assert (str(one.sort), one.shows) == ("other", "other values than were set: meta_data.file")
    assert told(it, *shown, others=[later(update_metadata(on, {"file": "B"}))]) == []
    assert told(it, *shown, others=[later(update_metadata(on, {"file": "B"}), "posted")]) == []
    # Another key, an earlier write, or one to a row that has nothing to do with it.
    for other in (
        later(update_metadata(on, {"other": "B"})),
        later(update_metadata(on, {"file": "B"}), ended_ms=NOW_MS - 1),
        later(update_metadata(txn(77), {"file": "B"})),
    ):
        assert told(it, *shown, others=[other]) != []


@pytest.mark.parametrize("on", [BATCH, txn(1)])
def test_a_later_write_to_a_row_leaves_the_others_of_its_batch_or_split_to_be_shown(on):
    it = past(update_metadata(on, {"file": "A", "day": 1}), outcome="updated")
    first, second, third = (replace(paid(n, parent=on), meta={"file": "A", "day": 1}) for n in (2, 3, 4))
    first = replace(first, meta={"file": "B", "day": 1})
    on_first = later(update_metadata(txn(2), {"file": "B"}))
    assert told(it, first, second, third, others=[on_first]) == []
    one = only(it, first, replace(second, meta={"file": "C", "day": 1}), third, others=(on_first,))
    assert (str(one.sort), one.reference, one.shows) == ("other", on, "other values than were set: meta_data.file")
    # Of the row that was written to, what that write did not set.
    one = only(it, replace(first, meta={"file": "B", "day": 2}), second, third, others=(on_first,))
    assert one.shows == "other values than were set: meta_data.day"
    # Each name once, in order, whichever rows they are of.
    wrong = [replace(one, meta={"file": "C", "day": 2}) for one in (second, third)]
    assert (
        only(it, first, *wrong, others=(on_first,)).shows == "other values than were set: meta_data.day, meta_data.file"
    )
    # Once the batch was written to again, no row has anything to show.
    again = later(update_metadata(on, {"file": "D", "day": 3}), of="y")
    assert told(it, first, *wrong, others=[on_first, again]) == []


def test_of_a_batch_that_nobody_could_tell_of_the_rows_that_are_left_tell():
    unknown = replace(ON_BATCH, state="dead", outcome="", dead_class="unknown", code="UNDECIDED")
    on_row = later(update_metadata(txn(2), {"file": "B"}))
    second = paid(3, parent=BATCH)
    one = only(unknown, BY_ANOTHER, second, others=(on_row,))
    assert (str(one.sort), one.shows) == ("happened", "the values that were asked for: meta_data.file")
    assert told(unknown, BY_ANOTHER, second, paid(4, "C", parent=BATCH), others=[on_row]) == []
    on_both = [on_row, later(update_metadata(txn(3), {"file": "A"}), of="y")]
    assert told(unknown, BY_ANOTHER, second, others=on_both) == []


def test_a_row_that_has_others_below_it_shows_for_itself():
    """What is below may be younger than the write, and written to for itself."""
    it = past(update_metadata(txn(1), {"file": "A"}), outcome="updated")
    hold = row(1, "order", "INFLIGHT", meta={"file": "B"})
    child = paid(2, "C", parent=txn(1))
    on_child = later(update_metadata(txn(2), {"file": "C"}))
    assert told(it, replace(hold, meta={"file": "A"}), child) == []
    assert told(it, hold, child, others=[on_child]) == [("other", txn(1))]


def test_what_tells_of_tokens_goes_with_the_metadata_that_is_replaced():
    """The ledger notes in metadata which fields have a token; whoever replaces all of it takes the notes along."""
    replaced = later(update_identity(IDENTITY, replace_meta_data={"vip": True}))
    assert only(HIDDEN, tokens("Street")).shows == "other values than were set: meta_data.tokenized_fields.FirstName"
    assert told(HIDDEN, tokens(), others=[replaced]) == []
    assert told(HIDDEN, tokens(), others=[later(update_metadata(IDENTITY, {"vip": True}))]) == [("other", IDENTITY)]
    unknown = replace(HIDDEN, state="dead", outcome="", dead_class="unknown", code="UNDECIDED")
    assert told(unknown, tokens("Street", "FirstName")) == [("happened", IDENTITY)]
    assert told(unknown, tokens("Street", "FirstName"), others=[replaced]) == []
    # What is behind a token is nobody's to show, also once nothing says any more that it is one.
    behind = person(first_name="FPT:x:y", tag="", meta={"vip": True})
    hidden = later(tokenize_identity(IDENTITY, ["first_name"]), of="t")
    assert told(WHO, behind, others=[hidden, replaced]) == []
    assert told(WHO, behind, others=[replaced]) == [("other", IDENTITY)]


# -- by kind ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("it", "fresh", "names"),
    [
        (MADE, lambda: made(ledger_create.CREATION), ("name", "meta_data.team", "meta_data.tier", f"meta_data.{MARK}")),
        (LINKED, lambda: one_value(balance_link_identity.UPDATE, "identity_id"), ("identity_id",)),
        (RULED, lambda: one_value(matching_rule_update.UPDATE, "rule"), ("rule",)),
        (NOTED, metadata_update.VALUES.evidence, ("meta_data.team", "meta_data.tier")),
        (MOVED, identity_update.VALUES.evidence, ("street", "city", "meta_data.vip", "meta_data.*")),
    ],
)
def test_the_evidence_of_a_kind_says_what_was_set_what_is_asked_and_what_is_missing(it, fresh, names):
    evidence, set_ = fresh(), writes(it)
    assert set_ is not None
    assert set_.fields == names
    assert evidence.writes(it) == set_
    assert evidence.shared
    (lookups, *_) = asked(it)
    assert evidence.lookups(it, Found()) == tuple(lookups)
    (one,) = evidence.differences(it, Found(asked=lookups), known_of(it))
    assert (one.sort, one.reference) == (Sort.MISSING, set_.record_id)


# -- names of values --------------------------------------------------------------------------------------------------


def test_values_of_metadata_are_named_by_their_keys():
    assert meta_fields(None) == meta_fields({}) == ()
    assert meta_fields({"a": 1, "b.c": 2}) == ("meta_data.a", "meta_data.b.c")
    assert only_meta({"a": 1, "b": 2, "c": 3}, frozenset({"meta_data.a", "meta_data.c", "b"})) == {"a": 1, "c": 3}


def test_metadata_that_takes_the_place_of_all_sets_all_of_it():
    assert keeps_metadata({}) == ()
    assert keeps_metadata({"meta_data": {"a": 1}}) == ("meta_data.a",)
    assert keeps_metadata({"replace_meta_data": {"a": 1}}) == ("meta_data.a", "meta_data.*")
    assert keeps_metadata({"replace_meta_data": {}}) == ("meta_data.*",)
