"""What no kind would ask: every refusal that can be provoked, requests that are odd, and what is repeated.

One function a story; requests that stand alone come in tables of a name and a body.
"""

from __future__ import annotations

from tests.fidelity.odd import (
    batches,
    holds,
    other_clients,
    payments,
    reading,
    reconciliation,
    records,
    refunds,
    requests,
    splits,
)
from tests.fidelity.telling import Story

#: In the order in which they are told.
_PAGES = (
    payments,
    requests,
    holds,
    refunds,
    splits,
    batches,
    records,
    reconciliation,
    other_clients,
    reading,
)


def odd_stories() -> list[Story]:
    """All of them, in the order of the pages."""
    return [story for page in _PAGES for story in page.PAGE]
