"""What may be asked of history and journals: no question costs more than its answer is worth, and each is one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from blnk_relay.errors import Refused
from blnk_relay.journal.finding import _terms
from blnk_relay.journal.question import Question


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"amount": Decimal("1E300000000")}, "^amount: Must not have more than 64 digits"),
        ({"amount": Decimal("1E-300000000")}, "^amount: .*64 digits"),
        ({"amount": Decimal("NaN")}, "^amount: .*finite"),
        ({"amount": 25.5}, "^amount: .*float"),
        ({"precise_amount": 10**5000}, "^precise_amount: .*64 digits"),
        ({"precise_amount": True}, "^precise_amount: .*bool"),
        ({"code": "\ud800"}, "^code: a character of it is incomplete"),
        ({"key": "order-\udfff"}, "^key: a character of it is incomplete"),
        ({"target": "default"}, "nothing is asked for"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anybody_is(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        Question(**asked).check()


def test_an_amount_of_as_many_digits_as_any_has_is_asked_for_exactly() -> None:
    largest = Decimal(f"{'9' * 36}.{'9' * 18}")
    question = Question(amount=largest, precise_amount=-(10**38))
    question.check()
    assert dict(_terms(question).movement) == {"amount": str(largest), "precise_amount": str(-(10**38))}


def test_texts_are_asked_for_as_the_tables_have_them() -> None:
    question = Question(key="a\0b", code="\0", kind="k" * 300)
    question.check()
    terms = _terms(question)
    assert (terms.keys, terms.code, terms.kind) == (("a\ufffdb",), "\ufffd", "k" * 255)
