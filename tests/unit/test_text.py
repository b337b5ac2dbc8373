"""What identifies may not look like something else: no unseen characters, one Unicode form, and a sentence about it."""

from __future__ import annotations

import json
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from casebook import payment
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay import (
    InvalidIntent,
    Leg,
    Settings,
    Write,
    bulk_transactions,
    commit_hold,
    create_balance,
    create_identity,
    create_ledger,
    create_matching_rule,
    intent_of,
    refund,
    result_of,
    split_transaction,
    start_instant_reconciliation,
    transaction,
    update_metadata,
    upload_records,
    void_hold,
)
from blnk_relay.intake import prepare, prepare_many
from blnk_relay.intents.links import link_of, resolved
from blnk_relay.journal.entries import entry_of
from blnk_relay.text import foreign, identity_problem, text_problem, unseen_problem
from worker.cli.jsonl_line import write_of

NOTHING_TO_SEE = [
    ("@alice\u200b", "U+200B ZERO WIDTH SPACE (its character 7), which cannot be seen"),
    ("@alice\ufeff", "U+FEFF ZERO WIDTH NO-BREAK SPACE (its character 7)"),
    ("or\u00adder", "U+00AD SOFT HYPHEN (its character 3)"),
    ("\u202eorder", "U+202E RIGHT-TO-LEFT OVERRIDE (its character 1)"),
    ("a\u200db", "U+200D ZERO WIDTH JOINER (its character 2)"),
    ("a\u2028b", "U+2028 LINE SEPARATOR (its character 2)"),
    ("a\u2029b", "U+2029 PARAGRAPH SEPARATOR (its character 2)"),
    ("a\tb", "U+0009 TAB (its character 2)"),
    ("a\nb", "U+000A LINE FEED (its character 2)"),
    ("a\x00b", "U+0000 NUL (its character 2)"),
    ("a\x7f", "U+007F DELETE (its character 2)"),
    ("a\x9f", "U+009F (a control character) (its character 2)"),
    ("a\u0378", "U+0378 (not a character of Unicode) (its character 2)"),
    ("a\uffff", "U+FFFF (not a character of Unicode) (its character 2)"),
    ("a\ue000", "U+E000 (for private use) (its character 2)"),
    ("a\ud800", "U+D800 (half of a surrogate pair) (its character 2)"),
    ("a\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A (its character 2)"),
    ("a\u00a0b", "U+00A0 NO-BREAK SPACE (its character 2), which looks like a plain space"),
    ("a\u3000", "U+3000 IDEOGRAPHIC SPACE (its character 2), which looks like a plain space"),
    ("a\u2009b", "U+2009 THIN SPACE (its character 2), which looks like a plain space"),
    ("a\ufe0f", "U+FE0F VARIATION SELECTOR-16 (its character 2), which cannot be seen"),
    ("a\u034fb", "U+034F COMBINING GRAPHEME JOINER (its character 2), which cannot be seen"),
    ("a\u3164", "U+3164 HANGUL FILLER (its character 2), which cannot be seen"),
    ("a\u2800", "U+2800 BRAILLE PATTERN BLANK (its character 2), which cannot be seen"),
]

TWO_FORMS = [
    ("caf\u0065\u0301", "From its character 4 on it is not: U+0065 LATIN SMALL LETTER E and U+0301 COMBINING ACUTE"),
    ("caf\u0065\u0301", "should be U+00E9 LATIN SMALL LETTER E WITH ACUTE"),
    (
        "\u212b",
        "From its character 1 on it is not: U+212B ANGSTROM SIGN should be U+00C5 LATIN CAPITAL LETTER A WITH RING",
    ),
    ("\u1100\u1161", "should be U+AC00 HANGUL SYLLABLE GA"),
    ("q\u0307\u0323", "U+0323 COMBINING DOT BELOW and U+0307 COMBINING DOT ABOVE"),
]

PADDED = [
    ("", "Must not be blank."),
    ("   ", "Must not be blank."),
    (" a", "Must not begin or end with white space."),
    ("a ", "Must not begin or end with white space."),
]


@pytest.mark.parametrize(("text", "says"), NOTHING_TO_SEE + TWO_FORMS + PADDED)
def test_the_sentence_names_the_character_and_its_place(text, says):
    assert says in (identity_problem(text) or "")


@pytest.mark.parametrize(
    "text",
    [
        "order-42",
        "a b",
        "@alice",
        "Zahlung für Müller",
        "注文42",
        "Ελλάδα",
        "🙂",
        "q\u0323\u0307",
        "가",
        "a/b?c#d%e&'\"\\,|",
    ],
)
def test_what_can_be_seen_is_taken_as_it_is(text):
    assert identity_problem(text) is None


@given(st.text(min_size=1))
def test_two_texts_that_are_taken_are_equal_where_their_usual_form_without_what_cannot_be_seen_is(text):
    seen = "".join(char for char in unicodedata.normalize("NFC", text) if char.isprintable()).strip()
    if identity_problem(text) is None:
        assert seen == text
        assert text_problem(text) is None
    else:
        assert seen != text or unseen_problem(text)


def test_a_foreign_letter_is_named():
    assert foreign("\u0415UR") == "U+0415 CYRILLIC CAPITAL LETTER IE"
    assert foreign("EUR") == ""


# -- every way in ----------------------------------------------------------------------------------------------------

UUID = "00000000-0000-0000-0000-000000000001"
BANK, ALICE = f"bln_{UUID}", "@alice"
ODD = "\u200b"
#: Fields that make a payment.
PAY = {"source": BANK, "destination": ALICE, "currency": "EUR", "amount": "1.00", "description": "Top-up"}


def record(**changes: Any) -> dict[str, Any]:
    return {"id": "s-1", "amount": 1, "date": "2026-11-20T09:15:31Z", **changes}


def csv(**changes: str) -> bytes:
    fields = {"id": "s-1", "amount": "1", "currency": "EUR", "reference": "r", "description": "d"} | changes
    line = ",".join((*fields.values(), "2026-11-20T09:15:31Z"))
    return f"ID,Amount,Currency,Reference,Description,Date\n{line}\n".encode()


IDENTIFYING = {
    "source": lambda: transaction(**PAY | {"source": "@bank" + ODD}),
    "destination": lambda: transaction(**PAY | {"destination": ALICE + ODD}),
    "a balance's id": lambda: transaction(**PAY | {"source": BANK + ODD}),
    "currency": lambda: transaction(**PAY | {"currency": "EUR" + ODD}),
    "currency with a precision": lambda: transaction(**PAY | {"currency": "EUR" + ODD, "precision": 100}),
    "reference": lambda: transaction(**PAY, reference="order" + ODD),
    "leg": lambda: split_transaction(
        source=BANK,
        destinations=[Leg("@shop" + ODD, percent=90), Leg("@fees", left=True)],
        currency="EUR",
        amount="1.00",
        description="Sale",
    ),
    "item": lambda: bulk_transactions([{**PAY, "reference": "item" + ODD}]),
    "hold": lambda: void_hold("hold" + ODD),
    "hold of a commit": lambda: commit_hold("hold" + ODD),
    "transaction": lambda: refund("order" + ODD),
    "indicator": lambda: create_balance("general_ledger_id", "EUR", indicator=ALICE + ODD),
    "balance's currency": lambda: create_balance("general_ledger_id", "EUR" + ODD),
    "ledger": lambda: create_balance(f"ldg_{UUID}{ODD}", "EUR"),
    "identity": lambda: create_identity(first_name="Alice", identity_id=f"idt_{UUID}{ODD}"),
    "entity": lambda: update_metadata(f"txn_{UUID}{ODD}", {"a": 1}),
    "rule's name": lambda: create_matching_rule("exact" + ODD, [{"field": "reference", "operator": "equals"}]),
    "link": lambda: refund({"$result_of": "order" + ODD, "field": "transaction_id"}),
    "external id": lambda: upload_records("bank", csv(id="s-1" + ODD), name="statement.csv"),
    "external reference": lambda: upload_records("bank", csv(reference="r" + ODD), name="statement.csv"),
    "external currency": lambda: upload_records("bank", csv(currency="EUR" + ODD), name="statement.csv"),
    "external source": lambda: upload_records("bank" + ODD, csv(), name="statement.csv"),
    "record's id": lambda: start_instant_reconciliation([record(id="s" + ODD)], "one_to_one", [f"rule_{UUID}"]),
    "by name": lambda: intent_of("transaction", PAY | {"source": "@bank" + ODD}),
    "from a file": lambda: write_of(
        json.dumps({"kind": "transaction", "key": "k", "payload": PAY | {"source": "@bank" + ODD}}).encode()
    ),
}


@pytest.mark.parametrize("way", IDENTIFYING)
def test_no_way_in_takes_an_unseen_character_in_what_identifies(way):
    with pytest.raises(InvalidIntent, match=r"U\+200B ZERO WIDTH SPACE \(its character \d+\)"):
        IDENTIFYING[way]()


def test_no_link_is_made_to_a_key_that_cannot_be_one():
    with pytest.raises(ValueError, match=r"key: .*U\+200B"):
        result_of("order" + ODD, "transaction_id")
    with pytest.raises(ValueError, match="not int"):
        result_of(7, "transaction_id")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'row' cannot be linked to"):
        result_of("order", "row")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"key": "order" + ODD}, "key"),
        ({"key": "cafe\u0301"}, "key"),
        ({"key": "order", "order_key": "a" + ODD}, "order_key"),
        ({"key": "order", "order_key": "a\nb"}, "order_key"),
        ({"key": "order", "after": ["other" + ODD]}, "after"),
        ({"key": "order", "lane": "transactions" + ODD}, "lane"),
        ({"key": "order", "target": "default" + ODD}, "target"),
    ],
)
def test_no_option_of_enqueue_takes_one_either(options, field):
    with pytest.raises(InvalidIntent) as caught:
        prepare(Settings(), Write(intent=payment(), **options))
    assert list(caught.value.errors) == [field]
    [said] = caught.value.errors[field]
    assert "U+" in said or "\\u200b" in said


def test_names_of_people_descriptions_and_metadata_stay_free():
    odd = "Zoe\u0308 \u200d\u00a0\ufe0f\n"
    assert transaction(**PAY | {"description": odd, "meta_data": {odd: odd}}).payload["description"] == odd
    assert create_identity(first_name=odd).payload["first_name"] == odd
    assert create_ledger(odd).payload["name"] == odd


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_but_not_for_what_no_database_stores(text):
    for given_ in ({"description": text}, {"meta_data": {"a": text}}, {"meta_data": {text: "a"}}):
        with pytest.raises(InvalidIntent, match="its character 2"):
            transaction(**PAY | given_)


@pytest.mark.parametrize("odd", ["order\u200b", "cafe\u0301", "a\tb"])
def test_what_was_recorded_before_there_was_this_rule_is_still_read(odd):
    link = {"$result_of": odd, "field": "transaction_id"}
    body = {"kind": "refund", "target": "default", "lane": "refunds", "key": odd, "reference": odd}
    entry = entry_of("x", json.dumps({**body, "payload": {"transaction": link}, "after": [odd]}))
    assert (entry.key, entry.reference, entry.after) == (odd, odd, (odd,))
    assert link_of(link) == link
    assert resolved(entry.payload, {odd: f"txn_{UUID}"}) == {"transaction": f"txn_{UUID}"}


# -- currencies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("currency", ["eur", "Eur", "\uff25\uff35\uff32"])
@pytest.mark.parametrize("kind", ["transaction", "transaction.split", "inflight.commit", "transaction.bulk"])
def test_a_currency_that_is_nearly_a_known_one_asks_whether_that_was_meant(currency, kind):
    pay = PAY | {"currency": currency}
    split = {
        "source": BANK,
        "destinations": [{"identifier": "@a", "percent": 50}, {"identifier": "@b", "left": True}],
        **{name: pay[name] for name in ("currency", "amount", "description")},
    }
    fields = {
        "transaction": pay,
        "transaction.split": split,
        "inflight.commit": {"hold": "h", "amount": "1.00", "currency": currency},
        "transaction.bulk": {"items": [{**pay, "reference": "i"}]},
    }[kind]
    with pytest.raises(InvalidIntent) as caught:
        intent_of(kind, fields)
    [(field, [said])] = caught.value.errors.items()
    assert field.endswith("precision")
    assert f"{currency!r} is not a known currency; did you mean 'EUR'?" in said


def test_a_currency_in_other_letters_is_unmasked():
    with pytest.raises(InvalidIntent, match=r"is not a known currency \(it has U\+0415 CYRILLIC CAPITAL LETTER IE\)"):
        transaction(**PAY | {"currency": "\u0415UR"})


def test_a_currency_of_ones_own_is_taken_with_its_precision():
    assert transaction(**PAY | {"currency": "eur", "precision": 100}).payload["precise_amount"] == 100


def test_all_options_together_are_told_at_once():
    write = Write(intent=payment(), key="a" + ODD, order_key=" ", after=["b" + ODD], deadline=timedelta(-1))
    with pytest.raises(InvalidIntent) as caught:
        prepare_many(Settings(), [write])
    assert set(caught.value.errors) == {"key", "order_key", "after", "deadline"}
