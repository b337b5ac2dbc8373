"""The first look at intents for what is looked for: whatever would fit passes it, and most of the rest does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blnk_relay.history.values import Terms, meta_of, movements_of
from blnk_relay.journal.sieve import sieve
from blnk_relay.kinds.registry import KINDS, NAMING, WITH_PARTS

TEXTS = st.text(st.characters(exclude_categories=()), min_size=1, max_size=300)
NUMBERS = st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()

PAYLOADS = st.fixed_dictionaries(
    {
        "currency": st.sampled_from(["EUR", "JPY"]),
        "precision": st.sampled_from([1, 100, 10**8]),
        "precise_amount": st.integers(-(10**12), 10**12),
        "source": TEXTS,
        "destination": TEXTS,
        "meta_data": st.dictionaries(TEXTS, TEXTS | NUMBERS, max_size=3),
    }
)


def body(payload: Mapping[str, Any], *, ascii_only: bool = False, **head: Any) -> str:
    """What stands in the journal of an intent."""
    head = {"key": "order-1", "reference": "order-1", **head}
    dumps = json.JSONEncoder(ensure_ascii=ascii_only, separators=(",", ":"), sort_keys=True).encode
    return f'{dumps(head)[:-1]},"payload":{dumps(payload)}}}'


@settings(max_examples=200)
@given(PAYLOADS, st.booleans())
def test_whatever_fits_passes(payload, ascii_only):
    kept = body(payload, ascii_only=ascii_only)
    for movement in movements_of(payload):
        for name in ("currency", "amount", "precise_amount", "source", "destination"):
            assert sieve(Terms(movement={name: getattr(movement, name)}))(kept, "")
    for _, name, value in meta_of(payload, lambda _: True):
        assert sieve(Terms(meta={name: value}))(kept, "")


@pytest.mark.parametrize("name", ["order-1", "order-1.r2", "order-1.r13"])
def test_it_passes_by_a_reference_of_any_generation(name):
    assert sieve(Terms(names=(name,)))(body({}), "")
    assert sieve(Terms(names=("other", name)))(body({}), "")


def test_it_passes_by_an_id_of_the_ledger_that_stands_beside_it():
    assert sieve(Terms(names=("txn_1",)))(body({}), "txn_1 prt_2")
    assert not sieve(Terms(names=("txn_3",)))(body({}), "txn_1 prt_2")


def test_what_is_hidden_or_cannot_be_read_passes_and_what_says_something_else_does_not():
    other = Terms(movement={"destination": "@bob", "amount": "25"}, meta={"order": "7"})
    assert sieve(other)(body({"destination": "@bob", "precise_amount": 2500, "meta_data": {"order": 7}}), "")
    assert not sieve(other)(body({"destination": "@alice", "precise_amount": 2500, "meta_data": {"order": 7}}), "")
    assert not sieve(other)(body({"destination": "@bob", "precise_amount": 1300, "meta_data": {"order": 7}}), "")
    assert not sieve(other)(body({"destination": "@bob", "precise_amount": 2500, "meta_data": {"order": 8}}), "")
    assert sieve(other)(body({})[: -len("{}}")] + '"\\u0001k1.abc"}', "")
    assert sieve(other)("", "")


def test_the_kinds_of_several_parts_are_those_that_say_so():
    assert {name for name, kind in KINDS.items() if kind.parts is not None} == WITH_PARTS


def test_kinds_whose_payloads_name_more_are_known_before_they_are_imported():
    assert {name for name, kind in KINDS.items() if kind.claims is not None or kind.names is not None} == NAMING
