"""The whole book: what the kinds tell themselves, and what no kind would ask."""

from __future__ import annotations

from tests.fidelity.kinds import kind_stories
from tests.fidelity.odd.book import odd_stories
from tests.fidelity.telling import Story


def the_book() -> list[Story]:
    """All stories, in the order in which they are told."""
    return [*odd_stories(), *kind_stories()]
