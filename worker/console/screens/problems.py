"""Problems: dead letters by what they died of, with what they are worth and what a replay would do."""

from __future__ import annotations

from blnk_relay import Causes
from worker.cli.summary import worth
from worker.console.asking import Ask, Page
from worker.console.screens.filters import Filters
from worker.console.screens.intents import choices


def asked(ask: Ask) -> tuple[Filters, Causes]:
    """What is asked for, and the causes."""
    filters, operator = Filters.read(ask.query), ask.operator
    kind, code, target = filters.kind or None, filters.named_code, filters.target or None
    operator.check_filters(("dead",), kind=kind, code=code, target=target)
    since, until = filters.times(operator.now(target))
    found = operator.causes(
        kind=kind,
        code=code,
        dead_class=filters.dead_class or None,
        target=target,
        since=since,
        until=until,
    )
    return filters, found


def problems(ask: Ask) -> Page:
    """Dead letters by cause, the most letters first."""
    filters, found = asked(ask)
    values = {"filters": filters, "found": found, "now": ask.operator.now(), "worth": worth}
    return Page("problems.html", values | choices(ask.operator))
