"""The first screen: is anything wrong, and how far behind are we."""

from __future__ import annotations

from worker.console.asking import Ask, Page
from worker.console.screens.filters import now_of


def overview(ask: Ask) -> Page:
    """The journals at a glance."""
    found = ask.operator.overview()
    return Page("overview.html", {"overview": found, "now": now_of(ask.operator)})
