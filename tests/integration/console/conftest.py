"""Who visits the console: an approver, an operator, a script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.console import KEYS
from tests.support.visiting import House, Visitor, listening
from worker.console.settings import ConsoleSettings


@pytest.fixture
def house(relay) -> Iterator[House]:
    """A console with a key for each sort of right."""
    with listening(relay.journals, ConsoleSettings(port=0, api_keys=tuple(KEYS.values())), bells=relay.bells) as made:
        yield made


@pytest.fixture
def ann(house) -> Visitor:
    """An approver, who has signed in with the printed token."""
    return house.let_in()


@pytest.fixture
def script(house) -> Visitor:
    """A script whose key may do everything."""
    return house.visitor(Authorization="Bearer all")


@pytest.fixture
def mere(relay) -> Iterator[Visitor]:
    """An operator who is not an approver, and may see no payload."""
    settings = ConsoleSettings(port=0, token_rights=("operator",))
    with listening(relay.journals, settings, bells=relay.bells, holder="ben") as made:
        yield made.let_in()
