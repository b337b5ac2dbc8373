"""Tables of the command line: the width is kept, words stay whole, what can be spared goes first, CSV is safe."""

from __future__ import annotations

import csv
import io
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.forms import Sheet, as_csv, asks_for_json, csv_cell, picked
from worker.cli.layout import Column, block, draw, fold, measure

COLUMNS = tuple(map(Column.of, ("key", "?kind", "state", "outcome", "???>attempts", "??changed", "+id")))
ROW = ("order-4711", "transaction", "dead", "rejected TXN_INSUFFICIENT_FUNDS", "12", "2026-11-21 11:42:49Z", "abcdef")

#: Words as keys, references and sentences have them.
WORDS = st.text(string.ascii_letters + string.digits + "-_:.é漢", min_size=1, max_size=40)
CELLS = st.lists(WORDS, max_size=8).map(" ".join)


def drawn(width: int | None, *rows: tuple[str, ...]) -> list[str]:
    return list(draw(COLUMNS, rows or (ROW,), width).lines)


def test_a_number_stays_on_one_line_with_its_unit():
    columns = tuple(map(Column.of, ("worker", "state", "version", ">in hand", ">up")))
    row = ("web:22763:46f7f3", "running", "0.1.0", "18", "13.4 s")
    for width in range(20, 60):
        lines = draw(columns, [row], width).lines
        assert any("13.4 s" in line for line in lines), (width, lines)


def test_a_table_that_fits_is_as_wide_as_it_has_to_be():
    head, rule, row = drawn(120)
    assert head.split() == ["key", "kind", "state", "outcome", "attempts", "changed"]
    assert len(rule) == max(len(head), len(row)) < 120
    assert row.index("12") == head.index("attempts") + len("attempts") - len("12")


def test_what_can_be_spared_is_left_out_most_dispensable_first_and_named():
    left = [tuple(draw(COLUMNS, [ROW], width).left_out) for width in (100, 84, 76, 58)]
    assert left == [(), ("attempts",), ("attempts", "changed"), ("kind", "attempts", "changed")]


def test_a_column_without_any_value_goes_before_any_that_has_one_and_is_not_missed():
    columns = tuple(map(Column.of, ("key", "state", "note", "?kind")))
    made = draw(columns, [("order-4711", "dead", "", "transaction")], 32)
    assert made.lines[0].split() == ["key", "state", "kind"]
    assert list(made.left_out) == []


def test_where_no_table_has_room_each_row_is_a_block_with_all_its_values():
    lines = drawn(28)
    assert lines[0].split() == ["key", "order-4711"]
    assert "attempts  12" in lines
    assert max(map(len, lines)) <= 28


def test_a_wide_table_has_every_column_and_folds_nothing():
    head, _, row = drawn(None, (*ROW[:3], "word " * 100, *ROW[4:]))
    assert head.split()[-1] == "id"
    assert "word " * 100 in row


def test_text_is_folded_between_words_beside_the_other_columns():
    sentence = "the ledger has recorded a refusal of the old one and waits for another"
    head, _, *rows = draw(tuple(map(Column.of, ("key", "plan"))), [("order-1", sentence)], 40).lines
    at = head.index("plan")
    assert len(rows) > 1
    assert " ".join(row[at:].strip() for row in rows) == sentence


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5),
    st.integers(20, 200),
    st.tuples(*[st.sampled_from(("", ">", "?", "??"))] * 3),
)
def test_no_line_is_wider_than_the_terminal_and_no_word_that_fits_it_is_broken(rows, width, marks):
    columns = [Column.of(mark + name) for mark, name in zip(marks, ("key", "state", "note"), strict=True)]
    made = draw(columns, rows, width)
    assert all(measure(line) <= width for line in made.lines)
    shown = set(" ".join(made.lines).split())
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            if column.name not in made.left_out:
                assert {word for word in cell.split() if measure(word) <= width} <= shown


@given(CELLS, st.integers(1, 60))
def test_folding_loses_nothing(text, width):
    assert re.sub(r"\s", "", "".join(fold(text, width))) == text.replace(" ", "")


def test_a_value_that_has_no_room_beside_its_name_stands_below_it():
    key = "k" * 30
    assert block([("the ledger shows", key), ("state", "done")], 34) == [
        "the ledger shows",
        key,
        "state             done",
    ]


def test_characters_that_take_two_columns_are_counted_as_two():
    assert measure("漢字") == 4
    assert measure("e\u0301") == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+49 151", "-2+3", "@SUM(A1)", " =1+1", "=cmd|' /C calc'!A0", "\uff1d1+1", "-10.50 EUR", "-"]
)
def test_what_a_spreadsheet_would_run_is_marked_as_text(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["10.50", "-10.50", "+3", "order-42", "a=b", "", "refund:order-1"])
def test_numbers_and_other_texts_stay_what_they_are(text):
    assert csv_cell(text) == text


def test_in_columns_of_numbers_thousands_are_not_grouped_and_nothing_is_empty():
    assert [csv_cell(text, number=True) for text in ("1,204,000", "-1,204.50", "-", "12")] == [
        "1204000",
        "-1204.50",
        "",
        "12",
    ]
    assert csv_cell("1,204") == "1,204"


def test_csv_has_a_header_and_a_line_for_each_row():
    columns = tuple(map(Column.of, ("key", "?>due", "+note")))
    text = as_csv(Sheet("lanes", columns, [("a,b", "1,204", 'say "no"'), ("", "-", "=x")]))
    assert list(csv.reader(io.StringIO(text))) == [
        ["key", "due", "note"],
        ["a,b", "1204", 'say "no"'],
        ["", "", "'=x"],
    ]


def test_of_several_tables_the_main_one_is_printed_and_the_others_are_named():
    first, second = Sheet("fields", (), ()), Sheet("lanes", (), (), main=True)
    assert picked([first, second], "") == (second, "Not printed: --table 1 (fields)")
    assert picked([first, second], "fields") == picked([first, second], "1") == (first, "")
    assert picked([first], "") == (first, "")
    nothing, why = picked([first, second], "gates")
    assert nothing is None
    assert why == "There is no table 'gates' to show here; there is --table 1 (fields), --table 2 (lanes)."


@pytest.mark.parametrize("arguments", [["--json"], ["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]])
def test_however_json_is_asked_for_errors_are_json_too(arguments):
    assert asks_for_json(["list", *arguments])
    assert not asks_for_json(["list", *(argument.replace("json", "wide") for argument in arguments)])
