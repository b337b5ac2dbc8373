"""The way to a target of a worker: with connections, a credential and a memory of its own."""

from __future__ import annotations

import ssl
from pathlib import Path

from blnk_relay.errors import InvalidSettings
from blnk_relay.intents.exchange import GateAction, GateChange
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.tokens import TokenStore
from blnk_relay.settings import Settings
from blnk_relay.targets import Target
from tasks.meter import Meter
from tasks.runtime import Reports, stopping
from worker.ledger.credentials import Credentials, key_of
from worker.ledger.oauth import REFRESH_FAILED, OAuth
from worker.ledger.proxy import Proxy
from worker.ledger.readback import LedgerOverHttp
from worker.ledger.wire import Wire, headers_to


def ledger_of(
    settings: Settings, target: Target, journal: Journal, reports: Reports, meter: Meter | None = None
) -> LedgerOverHttp:
    """The way to one target.

    Args:
        settings: Timeouts and the number of connections.
        target: The ledger.
        journal: Its journal, beside which OAuth tokens are kept.
        reports: Told of a target that is paused because its token could not be refreshed.
        meter: Told of each request; None where nobody measures.

    Raises:
        InvalidSettings: An address or a credential is missing, or cannot be used; the sentence names its variable.
    """
    return LedgerOverHttp(
        Proxy(settings, target, credentials_of(settings, target, journal, reports), meter),
        target.confirm_route,
        stopping,
    )


def check_targets(settings: Settings) -> None:
    """See that there could be a way to each target; makes none.

    Raises:
        InvalidSettings: An address or a credential is missing, or cannot be used; the sentence names its variable.
    """
    for target in settings.ledgers.values():
        target.require()
        headers_to(target)
        _check_authorities(target)
        if not target.oauth:
            key_of(target)


def _check_authorities(target: Target) -> None:
    path = target.ca_bundle
    if not path or Path(path).is_dir():
        return
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        # Of TLS's errors some are told by what they are a sort of, and that by a name of their own.
        kind = ssl.SSLError if isinstance(error, ssl.SSLError) else type(error)
        raise InvalidSettings(
            f"{target.variable('ca_bundle')}: {path!r} cannot be used ({kind.__name__}); it has to be a file of "
            "certificates (PEM)."
        ) from None


def credentials_of(settings: Settings, target: Target, journal: Journal, reports: Reports) -> Credentials:
    """Who we are at a target; see :func:`ledger_of`."""
    target.require()
    if not target.oauth:
        return key_of(target)

    def alarm(name: str, news: bool) -> None:
        """Pause everything, for a lost answer may have locked us out (contract §1.3); told once."""
        change = GateChange(GateAction.PAUSE, REFRESH_FAILED, 0.0)
        for side in ("write", "read"):
            if news:
                reports.paused(name, side, change)
            journal.change_gate(side, change.action, change.code, settings.probe_s)

    store = TokenStore(journal, target.oauth_refresh_token)
    return OAuth(settings, target, store, Wire(settings, target), alarm)
