"""Reading what the checks judge: everything at once, each in a thread of its own, and nothing for longer than is said.

Nothing is changed: no intent, no journal, no token. What cannot be read is a fact like any other.
"""

from __future__ import annotations

import resource
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import certifi
import requests

from blnk_relay.address import BrokerAddress, RedisAddress
from blnk_relay.bell import broker_options, queue_of
from blnk_relay.errors import InvalidSettings, JournalUnavailable
from blnk_relay.intents.found import Lookup
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import Journals, by_server
from blnk_relay.journal.tokens import TokenStore
from blnk_relay.journal.tried import Access, tried
from blnk_relay.journal.vitals import JournalVitals, ServerVitals, journal_vitals, server_vitals, uncounted_letters
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE, Settings
from blnk_relay.targets import Target, told_twice
from worker.doctor.facts import BrokerFacts, Facts, Reach, ReadTried, Stray, TargetFacts
from worker.doctor.probe import probed, tls_context
from worker.ledger.credentials import Credentials, FixedKey, key_of
from worker.ledger.proxy import Proxy
from worker.ledger.readback import LedgerOverHttp

T = TypeVar("T")

#: Longest wait for one connection or answer, however patient workers are.
STEP_S = 5.0

#: Longest wait for all of it.
MOST_S = 20.0

#: What is asked of the ledger, by what its kinds ask for.
_ASKED = (
    ("transactions", "reference"),
    ("balances", "balance_id"),
    ("identities", "identity_id"),
    ("ledgers", "ledger_id"),
    ("tokenized-fields", "identity_id"),
)


class _Reading:
    """Reads in threads that nobody waits for longer than until a common end."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._end_s = time.monotonic() + most_s

    def begin(self, read: Callable[[], T], instead: Callable[[str], T]) -> Callable[[], T]:
        """Begin to read something; what is returned waits for it.

        Args:
            read: Reads it.
            instead: What stands in its place where it did not come in time, or failed; told why.
        """
        found: list[T] = []

        def run() -> None:
            try:
                found.append(read())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                found.append(instead(f"it could not be looked at ({type(error).__name__})"))

        thread = threading.Thread(target=run, name="doctor", daemon=True)
        thread.start()

        def wait() -> T:
            thread.join(max(0.0, self._end_s - time.monotonic()))
            return found[0] if found else instead(f"no answer within {self._most_s:g} s")

        return wait


def read_all(settings: Settings, targets: Sequence[str], most_s: float = MOST_S) -> Facts:
    """Read everything.

    Args:
        settings: Where to look.
        targets: Which of its targets.
        most_s: Longest wait for all of it.
    """
    hasty = replace(
        settings,
        redis_timeout_s=min(settings.redis_timeout_s, STEP_S),
        # It has to be below the other, and nothing is written here that would wait for it.
        durability_timeout_s=min(settings.durability_timeout_s, settings.redis_timeout_s / 2, STEP_S / 2),
        connect_timeout_s=min(settings.connect_timeout_s, STEP_S),
        read_timeout_s=min(settings.read_timeout_s, STEP_S),
    )
    journals = Journals(hasty)
    reading = _Reading(most_s)
    broker = settings.broker_address
    redises = _redises(settings, targets, broker)
    servers = [
        reading.begin(partial(server_vitals, hasty, *place), partial(_dead_server, place[0].variable))
        for place in redises
    ]
    ways = {address.variable: reading.begin(partial(_way_to_redis, address), _nowhere) for address, _ in redises}
    vitals = [
        reading.begin(partial(_vitals, journals.of(name)), lambda why, name=name: JournalVitals(name, failure=why))  # type: ignore[misc]
        for name in targets
    ]
    access = [
        reading.begin(partial(tried, journals.of(name)), lambda why, name=name: Access(name, failure=why))  # type: ignore[misc]
        for name in targets
    ]
    ledgers = [
        reading.begin(
            partial(_ledger, hasty, settings.ledgers[name], journals),
            lambda why, name=name: TargetFacts(name, _nowhere(why), skipped=why),  # type: ignore[misc]
        )
        for name in targets
    ]
    variable = "BLNK_RELAY_BROKER_URL" if settings.broker_url else "BLNK_RELAY_REDIS_URL"
    at_broker = reading.begin(
        partial(_broker, hasty, variable, broker), lambda why: BrokerFacts(variable, _nowhere(why), failure=why)
    )
    strays = reading.begin(partial(_strays, journals), _no_strays)
    found, strays_failure = strays()
    facts = Facts(
        settings=settings,
        servers=tuple(wait() for wait in servers),
        reaches={name: wait() for name, wait in ways.items()},
        journals=tuple(wait() for wait in vitals),
        targets=tuple(wait() for wait in ledgers),
        broker=at_broker(),
        strays=tuple(found),
        strays_failure=strays_failure,
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        shared=tuple(told_twice(settings.ledgers.values())),
        access=tuple(wait() for wait in access),
    )
    with suppress(JournalUnavailable):
        journals.close()
    return facts


def _dead_server(variable: str, why: str) -> ServerVitals:
    return ServerVitals(variable, failure=why)


def _nowhere(why: str) -> Reach:
    return Reach("it", failure=why)


def _no_strays(why: str) -> tuple[list[Stray], str]:
    return [], why


def _redises(
    settings: Settings, targets: Sequence[str], broker: RedisAddress | BrokerAddress
) -> list[tuple[RedisAddress, str]]:
    """Each Redis once, with a target whose journal is there; of the broker none."""
    found: list[tuple[RedisAddress, str]] = []
    for name in targets:
        address = settings.journal_address(name)
        if all(address != known for known, _ in found):
            found.append((address, name))
    if isinstance(broker, RedisAddress) and all(broker != known for known, _ in found):
        found.append((broker, ""))
    return found


def _way_to_redis(address: RedisAddress) -> Reach:
    if not address.hosts:
        return Reach(address.path, skipped=f"a socket file: {address.path}")
    if address.asks:
        named = ", ".join(f"{host}:{port}" for host, port in address.hosts)
        return Reach(named, skipped=f"found by asking {named}")
    return _way(address.host, address.port, address.tls if address.secure else None)


def _way(host: str, port: int, tls: Any) -> Reach:
    """The way to a Redis or a RabbitMQ, whose addresses say alike what is trusted and shown."""
    try:
        context = None if tls is None else _context(tls)
    except (OSError, ssl.SSLError) as error:
        return Reach(f"{host}:{port}", failure=f"a file of its TLS cannot be used ({type(error).__name__})")
    return probed(host, port, STEP_S, context)


def _context(tls: Any) -> ssl.SSLContext:
    return tls_context(
        tls.get("ssl_ca_certs", ""),
        tls.get("ssl_certfile", ""),
        tls.get("ssl_keyfile", ""),
        check_host=tls.get("ssl_check_hostname", "true") == "true",
        verify=tls.get("ssl_cert_reqs", "required") != "none",
    )


def _vitals(journal: Journal) -> JournalVitals:
    try:
        vitals = journal_vitals(journal)
        if vitals.overview is None:
            return vitals
        return replace(vitals, uncounted=uncounted_letters(journal))
    except JournalUnavailable as error:
        return JournalVitals(journal.target, failure=str(error))


def _ledger(settings: Settings, target: Target, journals: Journals) -> TargetFacts:
    reach = _way_to_ledger(target)
    if reach.failure:
        return TargetFacts(target.name, reach, skipped="nobody got there")
    try:
        credentials = _credentials(target, journals)
        if credentials is None:
            return TargetFacts(target.name, reach, skipped="no token of its OAuth client is kept that is good now")
        ledger = LedgerOverHttp(Proxy(settings, target, credentials), target.confirm_route)
    except (InvalidSettings, JournalUnavailable) as error:
        return TargetFacts(target.name, reach, skipped=str(error))
    # Nothing has such an id, so the answers are empty, and whether they came is all that is asked.
    nothing = f"doctor-{secrets.token_hex(8)}"
    asked = [Lookup(name, field, nothing) for name, field in _ASKED]
    try:
        failed = ledger.look(asked).failed
    finally:
        ledger.close()
    tried = [
        ReadTried(one.resource, 200)
        if one not in failed
        else ReadTried(one.resource, failed[one].status, failed[one].code)
        for one in asked
    ]
    return TargetFacts(target.name, reach, tuple(tried))


def _credentials(target: Target, journals: Journals) -> Credentials | None:
    """Who we are there; of an OAuth client the token that workers have now, which is not refreshed for this."""
    target.require()
    if not target.oauth:
        return key_of(target)
    access = TokenStore(journals.of(target.name), "").kept()
    return FixedKey(access, target.variable("oauth_client_id")) if access else None


def _way_to_ledger(target: Target) -> Reach:
    url = urlsplit(target.base_url)
    secure = url.scheme == "https"
    host, port = url.hostname or "", url.port or (443 if secure else 80)
    if requests.utils.select_proxy(target.base_url, requests.utils.get_environ_proxies(target.base_url)):
        return Reach(f"{host}:{port}", skipped="through a proxy of the environment, which goes there itself")
    try:
        context = tls_context(target.ca_bundle or certifi.where()) if secure else None
    except (OSError, ssl.SSLError) as error:
        what = target.variable("ca_bundle")
        return Reach(f"{host}:{port}", failure=f"the file of {what} cannot be used ({type(error).__name__})")
    return probed(host, port, STEP_S, context)


def _broker(settings: Settings, variable: str, address: RedisAddress | BrokerAddress) -> BrokerFacts:
    if isinstance(address, RedisAddress):
        reach = _way_to_redis(address)
    elif not address.host:
        reach = Reach("Amazon SQS", skipped="Amazon SQS finds its own way")
    else:
        reach = _way(address.host, address.port, address.tls if address.secure else None)
    if reach.failure:
        return BrokerFacts(variable, reach, failure="nobody got there")
    try:
        return BrokerFacts(variable, reach, _waiting(settings, address))
    except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, it is a finding
        return BrokerFacts(variable, reach, failure=f"its queues cannot be counted ({type(error).__name__})")


def _waiting(settings: Settings, address: RedisAddress | BrokerAddress) -> dict[str, int] | None:
    """Messages by queue; None where nobody counts them."""
    from blnk_relay.transport.broker import Application, configuration
    from blnk_relay.transport.queues import depths

    with Application("blnk-relay-doctor", settings, set_as_current=False) as app:
        app.conf.update(configuration(settings, broker_options(settings)))
        counted = depths(address, app)
        if counted is None:
            return None
        try:
            queues = [queue_of(settings, lane) for lane in (*settings.lanes, CONFIRM_LANE, INGEST_LANE)]
            return {queue: counted.waiting([queue]) for queue in queues}
        finally:
            counted.close()


def _strays(journals: Journals) -> tuple[list[Stray], str]:
    """Journals that nobody with these settings works for, and why some could not be looked for."""
    found: dict[tuple[str, str], Stray] = {}
    failure = ""
    for names in by_server(journals.settings):
        try:
            for moved, those in ((False, journals.unnamed_beside(names[0])), (True, journals.left_beside(names[0]))):
                for journal in those:
                    is_open = journal.has_open()
                    # Whoever looks must not be the first who says which shape it has.
                    working = len(journal.programs()) if is_open else 0
                    found[journal.target, journal.variable] = Stray(
                        journal.target, journal.variable, is_open, working, moved
                    )
        except JournalUnavailable as error:
            failure = str(error)
    return list(found.values()), failure
