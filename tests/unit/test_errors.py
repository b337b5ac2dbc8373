"""Errors cross the borders of processes as they are."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import blnk_relay
import worker.console
from blnk_relay import InvalidIntent, transaction
from blnk_relay.errors import RelayError

for package in (blnk_relay, worker.console):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def below(error: type[RelayError]) -> Iterator[type[RelayError]]:
    """All sorts of errors."""
    yield error
    for one in error.__subclasses__():
        yield from below(one)


@pytest.mark.parametrize("sort", sorted(set(below(RelayError)), key=str), ids=lambda sort: sort.__name__)
def test_an_error_of_any_sort_is_the_same_on_the_other_side(sort):
    error = sort.__new__(sort)
    error.args = ("what was wrong, where, and what to do",)
    error.index = 3
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert (type(again), str(again), again.index) == (sort, "what was wrong, where, and what to do", 3)


def test_what_a_builder_says_is_said_on_the_other_side():
    with pytest.raises(InvalidIntent) as caught:
        transaction(source="@world", destination="@shop", currency="EUR", amount="1,50", description="x")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (str(again), again.errors, again.kind) == (str(caught.value), caught.value.errors, "transaction")
