"""All that an operator sees first: what is wrong, how much there is, how fast it goes, and who works. Read in one go.

Each journal and each Redis is asked a bounded number of commands, however much is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import silent_among
from blnk_relay.journal.overview import Overview, merged
from blnk_relay.journal.rates import Rates, merged_rates, rates_of, sample_now
from blnk_relay.journal.verdicts import Facts, Verdict, verdicts
from blnk_relay.journal.vitals import JournalVitals, ServerVitals, journal_vitals, server_vitals
from blnk_relay.journal.workers import WorkerView, together
from blnk_relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Glance:
    """The journals of all targets, or of one, at one moment.

    Attributes:
        verdicts: What is wrong, worst first.
        overview: Depths, ages, gates and counters.
        rates: How fast intents come and go.
        workers: Worker programs, those that died lately among them.
        known: Whether any journal could be read; else no figure here says anything.
    """

    verdicts: tuple[Verdict, ...]
    overview: Overview
    rates: Rates
    workers: tuple[WorkerView, ...]
    known: bool = True

    @property
    def well(self) -> bool:
        """Whether nothing is wrong that is more than a notice."""
        return not any(verdict.fails for verdict in self.verdicts)


def read_facts(settings: Settings, journals: Sequence[Journal]) -> Facts:
    """Read what verdicts rest on. A server that does not answer costs one timeout, however many journals it has.

    One that is known to be silent costs none (:func:`blnk_relay.journal.journals.asked_once`).

    Args:
        settings: What is asked for, and the bounds.
        journals: Which.
    """
    servers: list[tuple[ServerVitals, tuple[str, ...]]] = []
    there: list[tuple[Journal, list[str]]] = []
    for journal in journals:
        known = next((targets for one, targets in there if one.address == journal.address), None)
        # In a cluster each journal may be on a node of its own.
        if known is None or journal.address.is_cluster:
            there.append((journal, [journal.target]))
        else:
            known.append(journal.target)
    silent = silent_among(journals)
    for journal, targets in there:
        error = silent.get(journal.client)
        told = server_vitals(settings, journal.address, targets[0]) if error is None else None
        servers.append((told or ServerVitals(journal.variable, failure=str(error)), tuple(targets)))
    away = {target: server.failure for server, targets in servers for target in targets if server.failure}
    vitals = tuple(
        JournalVitals(journal.target, failure=away[journal.target]) if journal.target in away else _vitals(journal)
        for journal in journals
    )
    return Facts(settings, vitals, tuple(servers))


def _vitals(journal: Journal) -> JournalVitals:
    try:
        return journal_vitals(journal)
    except JournalUnavailable as error:
        return JournalVitals(journal.target, failure=str(error))


def glance_of(facts: Facts) -> Glance:
    """What an operator sees of facts. Pure."""
    seen = [journal for journal in facts.journals if journal.overview is not None]
    overviews = [(one.overview, tuple(program.name for program in one.programs)) for one in seen if one.overview]
    away = tuple(journal.target for journal in facts.journals if journal.unread)
    return Glance(
        verdicts=verdicts(facts),
        overview=replace(merged(overviews), away=away),
        rates=merged_rates([_rates(journal) for journal in seen]),
        workers=together([journal.workers for journal in facts.journals]),
        known=len(away) < len(facts.journals),
    )


def _rates(journal: JournalVitals) -> Rates:
    if journal.overview is None:
        return Rates()
    now = sample_now(journal.now_ms, journal.overview.counts)
    return rates_of(now, journal.samples, journal.overview.open)
