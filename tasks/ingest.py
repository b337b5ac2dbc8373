"""Intents that come by name: Celery messages of producers that share the broker but not the code.

One task for each kind, ``tasks.enqueue_<kind>`` with dots as underscores; its keyword arguments are the fields of the
kind's builder, and the options of ``Relay.enqueue``. Each message ends as an intent, or as a dead letter of class
*invalid* that says what came and why it could not be taken; whoever calls this takes the message out of its queue
afterwards, never before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from blnk_relay.bell import enqueue_task
from blnk_relay.errors import InvalidIntent, JournalUnavailable, KeyConflict, NotFound
from blnk_relay.intake import Receipt, Write, prepare
from blnk_relay.intents.decision import Dead, DeadClass
from blnk_relay.intents.intent import DEFAULT_TARGET, Entry
from blnk_relay.intents.rows import capped
from blnk_relay.journal.entries import id_of
from blnk_relay.kinds.registry import KINDS, intent_of
from blnk_relay.relay import Relay
from tasks.messages import Call, Envelope, Unreadable, opened, read, safe_text, shown
from tasks.runtime import Reports

#: Options of ``Relay.enqueue`` that may come with the fields.
OPTIONS = frozenset({"key", "target", "lane", "not_before", "deadline", "after", "order_key"})

TASKS = {enqueue_task(kind): kind for kind in KINDS}

#: The kind of a letter whose message named none that is known here.
UNKNOWN_KIND = "unknown"

#: Characters of what arrived that are kept for the human who looks at it, of the body and of a name.
_MOST_KEPT = 16_384
_MOST_OF_A_NAME = 200

_TEXTS = ("key", "target", "lane", "order_key")

_NO_TIME = "Must be an RFC 3339 time with an offset from UTC, or seconds from now."


class Invalid(Exception):
    """A message that can be no intent; ``str`` is the sentence for the human."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class LeftToNewer(Exception):
    """A message that cannot be taken here, while a worker of a newer version is alive: that one may know it."""


class Ingest:
    """Turns messages into intents and dead letters.

    Args:
        relay: Whose journal they go to.
        reports: Makes those who hear of dead letters; not called before there is one.
        newer: Whether a worker of a newer version is alive.
    """

    def __init__(self, relay: Relay, reports: Callable[[], Reports], newer: Callable[[], bool] = lambda: False) -> None:
        self._relay = relay
        self._make_reports = reports
        self._newer = newer
        self._reports: Reports | None = None

    def take(self, raw: bytes) -> Receipt | None:
        """Record what a message asks for. To do so twice changes nothing.

        Args:
            raw: The message, as it lies in its queue.

        Returns:
            The receipt; None when it became a dead letter.

        Raises:
            JournalUnavailable: Nothing was recorded for certain: the message has to stay where it is and to be taken
                again.
            LeftToNewer: The same, for a worker of a newer version: what this one calls invalid need not be.
        """
        envelope: Envelope | None = None
        call: Call | None = None
        try:
            envelope = opened(raw)
            call = read(envelope)
            return self._accept(call)
        except (JournalUnavailable, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a message brings about, it must not vanish
            # Another write under its key it is to everybody; a task, a field or a form may be new.
            if not isinstance(error, KeyConflict) and self._newer():
                raise LeftToNewer from None
            self._keep(raw, envelope, call, _code(error), _sentence(error))
        return None

    def _accept(self, call: Call) -> Receipt:
        kind = TASKS.get(call.task)
        if kind is None:
            raise Invalid("UNKNOWN_TASK", "There is no such task here; docs/kinds lists one for each kind.")
        if call.args:
            raise Invalid("INVALID", f"{kind} takes keyword arguments only, and positional ones came.")
        if call.followed:
            raise Invalid(
                "INVALID",
                f"What is to follow a task ({', '.join(call.followed)}) is not done for an intent: send each by "
                "itself, with after= where one waits for another, or have BLNK_RELAY_OUTCOME_TASK called.",
            )
        write = Write(intent=intent_of(kind, _fields(call.kwargs)), **_options(kind, call))
        if call.expires is not None and call.expires <= datetime.now(UTC):
            # Nothing is made of it any more, but what was made of it before stands.
            known = prepare(self._relay.settings, write)
            try:
                self._relay.get(known.entry.id, target=known.entry.target)
            except NotFound:
                raise Invalid("EXPIRED", "The producer wanted it by a time that had passed when it was read.") from None
        try:
            return self._relay.enqueue_many([write])[0]
        except InvalidIntent as error:
            # It is no batch to who sent it: a position would say nothing to them.
            raise InvalidIntent(error.kind, error.errors) from None

    def _keep(self, raw: bytes, envelope: Envelope | None, call: Call | None, code: str, message: str) -> None:
        """Record what came, under an id made of what it says: the same twice is one dead letter."""
        relay, settings = self._relay, self._relay.settings
        task = "" if envelope is None else envelope.task
        kind = TASKS.get(task, UNKNOWN_KIND)
        given: Mapping[str, Any] = {} if call is None else call.kwargs
        named, key = given.get("target"), given.get("key")
        known = isinstance(named, str) and named in settings.ledgers
        target = named if isinstance(named, str) and known else _fallback(settings.ledgers)
        lane = settings.route(kind)
        digest = relay.journal(target).unguessable(_digest(raw, envelope, call))
        id_ = id_of(target, f"invalid\n{kind}\n{digest}")
        kept = {
            "task": safe_text(task, _MOST_OF_A_NAME),
            "content_type": safe_text(envelope.content_type, _MOST_OF_A_NAME) if envelope else "",
            "arguments": shown(envelope.content if envelope else raw, _MOST_KEPT),
        }
        body = {
            "key": safe_text(key, _MOST_OF_A_NAME) if isinstance(key, str) else "",
            "kind": kind,
            "target": target,
            "lane": lane,
            "reference": "",
            "mark": "",
            "orders": [],
            "after": [],
            "payload": kept,
        }
        told = capped(safe_text(message, _MOST_KEPT))
        entry, death = Entry(id_, kind, target, lane, "", "", {}), Dead(DeadClass.INVALID, code, told)
        if relay.journal(target).reject(entry, json.dumps(body, ensure_ascii=True), death):
            self._reports = self._reports or self._make_reports()
            self._reports.dead(entry, death)


def _code(error: Exception) -> str:
    if isinstance(error, Invalid):
        return error.code
    return {KeyConflict: "KEY_CONFLICT", Unreadable: "UNREADABLE"}.get(type(error), "INVALID")


def _sentence(error: Exception) -> str:
    if isinstance(error, Unreadable):
        return f"The message cannot be read: {error}."
    if isinstance(error, Invalid | InvalidIntent | KeyConflict):
        return str(error)
    return f"It cannot be read or accepted ({type(error).__name__})."


def _fallback(ledgers: Mapping[str, Any]) -> str:
    return DEFAULT_TARGET if DEFAULT_TARGET in ledgers else next(iter(ledgers))


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in OPTIONS}


def _options(kind: str, call: Call) -> dict[str, Any]:
    """The options that were given; None is what a producer sends that has nothing to say."""
    options = {name: call.kwargs[name] for name in OPTIONS if call.kwargs.get(name) is not None}
    errors = {name: ["Must be a string."] for name in _TEXTS if not isinstance(options.get(name, ""), str)}
    after = options.get("after", ())
    if not isinstance(after, list | tuple) or not all(isinstance(other, str) for other in after):
        errors["after"] = ["Must be a list of keys of other intents."]
    if errors:
        raise InvalidIntent(kind, errors)
    if "after" in options:
        options["after"] = tuple(after)
    for name in ("not_before", "deadline"):
        if name in options:
            options[name] = _time(kind, name, options[name])
    # What Celery has for it means the same: not before, and not after; the stricter one holds.
    if call.eta is not None:
        options["not_before"] = max(_moment(options.get("not_before", call.eta)), call.eta)
    if call.expires is not None:
        options["deadline"] = min(_moment(options.get("deadline", call.expires)), call.expires)
    return options


def _moment(value: datetime | timedelta) -> datetime:
    return value if isinstance(value, datetime) else datetime.now(UTC) + value


def _time(kind: str, name: str, value: Any) -> datetime | timedelta:
    """A time, or a span from now, that a calendar can hold."""
    try:
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            span = timedelta(seconds=float(value))
            _moment(span)
            return span
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment.timestamp()
            return moment
    except (ArithmeticError, TypeError, ValueError):
        pass
    raise InvalidIntent(kind, {name: [_NO_TIME]})


def _digest(raw: bytes, envelope: Envelope | None, call: Call | None) -> str:
    """What two sends of one call have in common, whatever ids and times Celery gave them."""
    data = raw if envelope is None else envelope.content
    if call is not None:
        try:
            said = json.dumps([call.args, call.kwargs, call.followed], default=str, sort_keys=True)
            data = f"{call.task}\n{said}".encode()
        except (RecursionError, TypeError, ValueError):
            pass
    return hashlib.sha256(data).hexdigest()
