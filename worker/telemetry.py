"""Sentry: new dead letters and paused targets, grouped by kind and code; never a payload, a name or a token."""

from __future__ import annotations

import logging
from typing import Any

from blnk_relay.intents.model import Dead, Entry, GateAction, GateChange
from blnk_relay.settings import Settings

_log = logging.getLogger(__name__)


class Telemetry:
    """Tells a human, by log and, when a DSN is set, by Sentry."""

    def __init__(self, settings: Settings) -> None:
        self._sentry: Any = None
        if settings.sentry_dsn:
            import sentry_sdk
            from sentry_sdk.integrations.atexit import AtexitIntegration

            sentry_sdk.init(
                dsn=settings.sentry_dsn,
                send_default_pii=False,
                # Local variables and request bodies hold money and names; our own events carry all that is needed.
                include_local_variables=False,
                max_request_body_size="never",
                auto_enabling_integrations=False,
                default_integrations=False,
                # What is still on its way when the worker stops is sent, silently.
                integrations=[AtexitIntegration(callback=lambda _pending, _timeout: None)],
                before_send=_only_ours,
            )
            self._sentry = sentry_sdk

    def dead(self, entry: Entry, death: Dead) -> None:
        """A new dead letter; the ledger's own message may hold names, so it stays in the journal."""
        _log.error("dead letter %s: %s %s %s", entry.id, entry.kind, death.dead_class, death.code)
        self._capture(
            f"dead letter: {entry.kind} {death.dead_class} {death.code}",
            ["dead", entry.kind, death.code],
            {"kind": entry.kind, "class": death.dead_class, "code": death.code, "target": entry.target},
            {"intent": entry.id},
        )

    def paused(self, target: str, side: str, change: GateChange) -> None:
        """A target was paused, or cannot be reached."""
        if change.action is GateAction.LOST:
            _log.error(
                "target %s cannot be reached (%s): it is tried now and then, and nothing else is sent",
                target,
                change.note or change.code,
            )
        else:
            _log.error("target %s is paused for %ss: %s", target, side, change.code)
        self._capture(
            f"target paused: {target} {side} {change.code}",
            ["paused", target, side, change.code],
            {"target": target, "side": side, "code": change.code},
            {},
        )

    def found(self, target: str, lost_s: float) -> None:
        """A target can be reached again."""
        _log.warning("target %s can be reached again, after %.0f s", target, lost_s)

    def _capture(self, message: str, fingerprint: list[str], tags: dict[str, str], extra: dict[str, str]) -> None:
        if self._sentry is None:
            return
        with self._sentry.new_scope() as scope:
            scope.fingerprint = fingerprint
            for name, value in tags.items():
                scope.set_tag(name, value)
            for name, value in extra.items():
                scope.set_extra(name, value)
            self._sentry.capture_message(message, level="error")


def _only_ours(event: Any, _hint: Any) -> Any:
    """Nothing but our own events leaves the machine."""
    return event if event.get("tags", {}).get("code") else None
