"""Kinds of writes: what each does, by which route and lane, and how it can end; the same as ``blnk-relay kinds``."""

from __future__ import annotations

from blnk_relay import NotFound
from blnk_relay.catalogue.facts import COMMON_ENDS, ends_of, facts_of
from blnk_relay.kinds.registry import KINDS
from worker.cli.show import uncited
from worker.console.asking import Ask, Page


def kinds(ask: Ask) -> Page:
    """All kinds; with a name that of one."""
    name, settings = ask.query.get("name", ""), ask.operator.settings
    if name:
        check(name)
        facts = facts_of(KINDS[name])
        values = {"facts": facts, "ends": (*facts.ends, *ends_of(KINDS[name], COMMON_ENDS)), "uncited": uncited}
        return Page("kind.html", values | {"lane": settings.route(name)})
    return Page("kinds.html", {"kinds": KINDS.values(), "route": settings.route})


def check(name: str) -> None:
    """Refuse what is no kind.

    Raises:
        NotFound: It is none.
    """
    if name not in KINDS:
        raise NotFound(f"unknown kind {name!r}; the kinds are {', '.join(KINDS)}")
