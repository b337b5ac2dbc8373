"""The first screen: what is wrong, since when, what to do; how far behind are we, and is it getting better."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from blnk_relay import Verdict
from worker.cli.show import emptying
from worker.console.asking import Ask, Page, part

#: Where in the console a verdict is gone after, by its sort.
WHERE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "no-worker": ("/workers", "Workers"),
        "worker-unwell": ("/workers", "Workers"),
        "worker-died": ("/workers", "Workers"),
        "versions-mixed": ("/workers", "Workers"),
        "target-refuses": ("/lanes", "Lanes and targets"),
        "target-unreachable": ("/lanes", "Lanes and targets"),
        "target-paused": ("/lanes", "Lanes and targets"),
        "target-slowed": ("/lanes", "Lanes and targets"),
        "lane-paused": ("/lanes", "Lanes and targets"),
        "journal-away": ("/doctor", "Doctor"),
        "journal-shape": ("/journals", "Journals"),
        "journal-foreign": ("/journals", "Journals"),
        "encryption-key": ("/journals", "Journals"),
        "journal-lost": ("/audit", "Audit"),
        "clocks-apart": ("/doctor", "Doctor"),
        "redis-memory": ("/doctor", "Doctor"),
        "redis-persistence": ("/doctor", "Doctor"),
        "redis-eviction": ("/doctor", "Doctor"),
        "dead-letters": ("/problems", "Problems"),
        "oldest-open": ("/intents", "What is open"),
        "confirmations-late": ("/intents?state=posted", "What waits for its confirmation"),
        "history-behind": ("/history", "History"),
    }
)


def overview(ask: Ask) -> Page:
    """The journals at a glance."""
    glance = ask.operator.glance()
    hour = ask.operator.hour() if glance.overview.lanes else ()
    values = {
        "glance": glance,
        "overview": glance.overview,
        "rates": glance.rates,
        "empty_in": emptying(glance.rates),
        "came": [came for came, _ in hour],
        "went": [went for _, went in hour],
        "now": ask.operator.now() if glance.overview.lanes else None,
        "where": where,
        "alive": sum(worker.alive for worker in glance.workers),
    }
    return Page("overview.html", values)


def where(verdict: Verdict) -> tuple[str, str] | None:
    """Where a verdict is gone after; the intent to look at first, where it is about one."""
    if verdict.intent:
        return f"/intents/{part(verdict.target)}/{part(verdict.intent)}", "The oldest"
    return WHERE.get(verdict.sort)
