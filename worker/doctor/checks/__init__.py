"""What speaks for or against what was read: one small pure function for each question, by what it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from blnk_relay.journal.vitals import JournalVitals, ServerVitals
from blnk_relay.settings import Settings
from worker.doctor.checks import chosen, journals, servers, ways
from worker.doctor.checks.about import BROKER, REDIS, TARGETS, About, runbook
from worker.doctor.facts import Facts
from worker.doctor.findings import Finding


def findings(facts: Facts) -> tuple[Finding, ...]:
    """All checks of all that was read."""
    return tuple(_findings(facts))


def _findings(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    yield chosen.durability(settings)
    yield chosen.timeouts(settings)
    yield chosen.one_ledger(facts.shared)
    yield chosen.files(settings, facts.files, len(facts.servers))
    addresses = {settings.journal_address(name).variable: settings.journal_address(name) for name in settings.ledgers}
    for server in facts.servers:
        address = addresses.get(server.variable)
        if reach := facts.reaches.get(server.variable):
            yield ways.reached("way", server.variable, reach, f"see {server.variable}, and the network between", REDIS)
        yield servers.answering(server)
        if not server.failure:
            by_cluster = address is not None and address.is_cluster
            yield servers.version(settings, server, journal=address is not None, by_cluster=by_cluster)
            if address is not None:
                yield from (check(server) for check in _of_a_journals_server(settings))
    for journal in facts.journals:
        yield journals.readable(journal)
        if not journal.failure:
            yield from _of_a_journal(journal, facts)
        for access in (one for one in facts.access if one.target == journal.target):
            # What is away was told of.
            if access.refused or not journal.failure:
                yield journals.writes(access)
            if not journal.failure:
                yield journals.secret(access)
    yield from map(journals.stray, facts.strays)
    if facts.strays_failure:
        about = About("strays", "all targets", "journals that the settings do not name", TARGETS)
        yield about.unknown(facts.strays_failure, "look again when each Redis answers")
    for target in facts.targets:
        address_of = settings.ledgers[target.name].variable("base_url")
        yield ways.reached(
            "way",
            f"target {target.name}",
            target.reach,
            f"see {address_of}, and the network between",
            runbook("target-unreachable"),
        )
        yield ways.scopes(target)
    if facts.broker is not None:
        mend = f"see {facts.broker.variable}, and the network between"
        if facts.broker.variable not in facts.reaches:
            yield ways.reached("way", facts.broker.variable, facts.broker.reach, mend, BROKER)
        yield ways.bells(facts.broker, settings)


def _of_a_journals_server(settings: Settings) -> tuple[Callable[[ServerVitals], Finding], ...]:
    return (
        lambda server: servers.persistence(settings, server),
        servers.eviction,
        servers.memory,
        lambda server: servers.replicas(settings, server),
        servers.clock,
    )


def _of_a_journal(journal: JournalVitals, facts: Facts) -> Iterator[Finding]:
    yield journals.known_shape(journal)
    yield journals.identity(journal)
    if journal.shape and journal.overview is None:
        # Its shape is not known: what stands in it may mean something else.
        return
    yield journals.losses(journal)
    yield journals.steps(journal)
    yield journals.programs(journal)
    yield journals.encryption(journal)
    yield journals.gates(journal)
    yield from journals.lanes(journal, facts.broker, facts.settings)
    yield journals.letters(journal)
    yield journals.causes(journal)
    yield journals.oldest(journal, facts.settings)
