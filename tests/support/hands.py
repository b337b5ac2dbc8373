"""A worker's hands in the process of a test: real Redis, real HTTP, and the relay of an application beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from blnk_relay import Relay, Settings
from tasks.runtime import Runtime
from worker.app import build_runtime


class Hands(Runtime):
    """What a worker process has for one target, and a relay.

    Attributes:
        relay: An application's, with the same journals.
    """

    relay: Relay


@contextmanager
def hands(settings: Settings, target: str | None = None) -> Iterator[Hands]:
    """Those for a target (the first one when None), closed at the end."""
    relay = Relay(settings)
    built = build_runtime(settings, relay, target)
    made = Hands(**{item.name: getattr(built, item.name) for item in fields(built) if item.init})
    made.relay = relay
    try:
        yield made
    finally:
        made.stopping.set()
        relay.close()
        made.ledger.close()  # type: ignore[attr-defined]
