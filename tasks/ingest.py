"""Intents that come by name: Celery tasks for producers that share the broker but not the code.

One task for each kind, ``tasks.enqueue_<kind>`` with dots as underscores; its keyword arguments are the fields of the
kind's builder, and the options of ``Relay.enqueue``. What does not validate becomes a dead letter of class *invalid*.
Celery on Redis can lose a message before a worker has it (field notes §B.1): who needs the promise uses the library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from blnk_relay.bell import enqueue_task
from blnk_relay.errors import InvalidIntent, KeyConflict
from blnk_relay.intake import Receipt, Write
from blnk_relay.intents.model import DEFAULT_TARGET, Dead, DeadClass, Entry
from blnk_relay.intents.registry import KINDS, intent_of
from blnk_relay.intents.rows import capped
from blnk_relay.journal.records import id_of
from blnk_relay.relay import Relay
from tasks.runtime import Runtime

#: Options of ``Relay.enqueue`` that may come with the fields.
OPTIONS = frozenset({"key", "target", "lane", "not_before", "deadline", "after", "order_key"})

#: Bytes of an invalid message that are kept for the human who looks at it.
_MOST_KEPT = 16_384


TASKS = {enqueue_task(kind): kind for kind in KINDS}


def ingest(runtime: Runtime, relay: Relay, kind: str, arguments: Mapping[str, Any]) -> Receipt | None:
    """Accept one intent, or keep it as a dead letter.

    Args:
        runtime: This process.
        relay: With the same settings.
        kind: A known kind.
        arguments: Fields of its builder, and options.

    Returns:
        The receipt; None when it became a dead letter.

    Raises:
        JournalUnavailable: Redis did not answer; the message is not acknowledged and comes again.
    """
    try:
        fields = {name: value for name, value in arguments.items() if name not in OPTIONS}
        options = {name: arguments[name] for name in OPTIONS & set(arguments)}
        for name in ("not_before", "deadline"):
            if name in options:
                options[name] = _time(kind, name, options[name])
        return relay.enqueue_many([Write(intent=intent_of(kind, fields), **options)])[0]
    except (InvalidIntent, KeyConflict) as error:
        _keep(runtime, kind, arguments, error)
        return None


def _time(kind: str, name: str, value: Any) -> datetime | timedelta:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidIntent(kind, {name: ["Must be an RFC 3339 time, or seconds from now."]}) from None


def _keep(runtime: Runtime, kind: str, arguments: Mapping[str, Any], error: InvalidIntent | KeyConflict) -> None:
    """Record what came, under an id made of its bytes: the same message twice is one dead letter."""
    text = json.dumps(arguments, default=str, sort_keys=True, ensure_ascii=False)
    named = arguments.get("target", DEFAULT_TARGET)
    target = named if isinstance(named, str) and named in runtime.settings.ledgers else DEFAULT_TARGET
    id_ = id_of(target, "invalid\n" + kind + "\n" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())
    key = arguments.get("key")
    lane = runtime.settings.route(kind)
    body = {
        "key": key if isinstance(key, str) else "",
        "kind": kind,
        "target": target,
        "lane": lane,
        "reference": "",
        "mark": "",
        "orders": [],
        "after": [],
        "payload": {"arguments": text[:_MOST_KEPT]},
    }
    code = "KEY_CONFLICT" if isinstance(error, KeyConflict) else "INVALID"
    encoded = json.dumps(body, ensure_ascii=True)
    message = capped(str(error))
    runtime.journal.scripts.run("reject", id_, encoded, kind, target, lane, code, message, runtime.settings.events_max)
    entry = Entry(id_, kind, target, lane, "", "", {})
    runtime.reports.dead(entry, Dead(DeadClass.INVALID, code, message))
