"""What is told in the log: every event by a name that stays, in one table, and every field that may stand beside it.

A line is made of fields that are listed here and of nothing else: numbers, names out of settings, codes, ids, and
sentences of our own. What a payload, an answer of the ledger or the text of a foreign exception holds cannot get into
one, because no field takes it; of an exception its type is told and the places in the code that it came through.
``docs/logs.md`` is made of these tables.
"""

from __future__ import annotations

import logging
import re
import string
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Longest text of a field, and of a sentence.
_MOST = 200
_MOST_OF_A_SENTENCE = 1000

#: Places told of where an exception came through, innermost first; and of what it was caused by, the types.
_MOST_PLACES = 8
_MOST_CAUSES = 4

#: What a code of a ledger looks like. Anything else in its place is a text, and may quote what was sent.
_CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")

#: Codes of ours for answers without one, and names of exceptions.
_OUR_CODE = re.compile(
    r"HTTP_\d{3}|[A-Z][A-Za-z]{2,40}(Error|Exception|Verdict|Timeout|Read)|INVALID|VANISHED|UNREADABLE|EXPIRED|OTHERS|MANUAL"
)

#: Stands for a code that looks like none.
NO_CODE = "NOT_A_CODE"

#: What each field holds, by its name.
FIELDS: Mapping[str, str] = {
    "target": "Name of the ledger, as in the settings.",
    "lane": "Lane of the intent.",
    "side": "What of a target is meant: `write`, `read` or `lane:<lane>`.",
    "intent": "Id of the intent, as `blnk-relay show` takes it.",
    "key": "Key that the application chose. Left out with `BLNK_RELAY_LOG_KEYS=false`.",
    "reference": "Reference at the ledger. Left out with `BLNK_RELAY_LOG_KEYS=false`.",
    "kind": "Kind of the intent.",
    "attempt": "Which attempt it was, from 1.",
    "request": "Our id of the request, sent as `X-Request-Id` and kept in the intent's log.",
    "status": "HTTP status of the answer; 0 where there was none.",
    "ms": "Milliseconds from sending to the end of the answer.",
    "state": "State that the intent has by now.",
    "class": "Class of the dead letter.",
    "code": f"Stable code: the ledger's or ours. What looks like no code is told as `{NO_CODE}`.",
    "sort": "What an audit found to be different.",
    "worker": "Whose line it is: `<host>:<pid>`, or the full name in the journal, which begins like that.",
    "seconds": "How long, in seconds.",
    "count": "How many.",
    "unsaid": "How often the same came since it was last told.",
    "lanes": "Lanes, with commas.",
    "targets": "Targets, with commas.",
    "pool": "Pool of the worker.",
    "version": "Version of blnk-relay.",
    "exit": "Exit code.",
    "act": "What an operator did, by its name in `blnk-relay log`.",
    "variable": "Name of a setting.",
    "now": "Name of the setting that says where it is by now.",
    "resource": "Collection of the ledger, such as `matching-rules`.",
    "queue": "Queue of the broker.",
    "task": "Name of a Celery task out of the settings.",
    "encryption_key": "Id of an encryption key.",
    "why": "A sentence of our own.",
    "error": "Type of an exception, and those that it came of. Its text is left out: it may quote what was sent.",
    "trace": "Places in the code that the exception came through, innermost first.",
    "logger": "Logger of a library.",
    "place": "File and line of a library.",
    "template": "Text of a library's line, without what it would have filled in.",
}

#: Fields that applications choose, and that can be left out.
CHOSEN = frozenset({"key", "reference"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is told.

    Attributes:
        name: Stays the same, whatever the sentence says.
        level: Of the standard library.
        words: The sentence, with fields in braces.
        meaning: For operators: what it means and what follows.
        also: Fields that are not in the sentence.
    """

    name: str
    level: int
    words: str
    meaning: str
    also: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that it may have, those of the sentence first."""
        named = (name for _, name, _, _ in string.Formatter().parse(self.words) if name)
        return tuple(dict.fromkeys((*named, *self.also)))


_INTENT = ("key", "reference", "target", "lane")
_FAULT = ("error", "trace")
_DEBUG, _INFO, _WARNING, _ERROR, _CRITICAL = (
    logging.DEBUG,
    logging.INFO,
    logging.WARNING,
    logging.ERROR,
    logging.CRITICAL,
)

# -- a worker's life ---------------------------------------------------------------------------------------------------

START = Event(
    "start",
    _INFO,
    "worker started: version {version}, lanes {lanes}, targets {targets}, pool {pool}",
    "A worker begins.",
)
STOP = Event(
    "stop",
    _INFO,
    "worker ends with exit code {exit}",
    "With 0 it has finished what it held; other codes are bad.",
)
AT_RISK = Event("at_risk", _WARNING, "{why}", "Settings or a server may break a promise.")
BROKER_AWAY = Event(
    "broker_away", _WARNING, "the broker cannot be listened to ({error})", "Bells are not heard; sweeps find the work.",
    ("unsaid",),
)  # fmt: skip
CONSUMER_FAILED = Event(
    "consumer_failed", _ERROR, "the consumer failed, and begins anew ({error})", "It listens again in a moment.", _FAULT
)
NOT_CLEARED = Event(
    "consumer_not_cleared", _ERROR, "the consumer could not be cleared away ({error})", "The next one is new.", _FAULT
)
DEAF = Event(
    "deaf",
    _ERROR,
    "bells wait, and none was taken for {seconds} s (BLNK_RELAY_STALLED_S): connecting anew",
    "If that does not help, the worker ends, for its supervisor to start another.",
)
DEAF_STILL = Event(
    "deaf_still", _CRITICAL, "connecting anew did not help: this worker ends with exit code {exit}", "See `deaf`."
)
CUT_OFF = Event(
    "cut_off",
    _WARNING,
    "a process ends while requests are under way; what they came to is looked up",
    "A ledger took longer than any request may; nothing is lost.",
)
NO_THREAD = Event(
    "no_thread",
    _ERROR,
    "no thread could be started for requests to {target} ({error})",
    "The system is at a limit of threads or memory.",
)
THREAD_FAILED = Event(
    "thread_failed",
    _ERROR,
    "a thread ended by an error that nobody took ({error})",
    "A bug of ours; report it.",
    _FAULT,
)

UNWELL = Event(
    "unwell",
    _ERROR,
    "this worker is not well: {why}; after as long again it ends",
    "It has work and finishes nothing: `blnk-relay workers`.",
)
UNWELL_STILL = Event(
    "unwell_still",
    _CRITICAL,
    "this worker is not well, and ends for its supervisor: {why}",
    "See `unwell`.",
)
TOLD = Event("told", _WARNING, "an operator wants this worker to {state}", "`blnk-relay log` says who, and why.")
ACTED = Event(
    "acted",
    _INFO,
    "an operator's act at target {target}: {act} {lane}",
    "`blnk-relay log` says who, and why. Told by each worker when it sweeps next.",
)
METRICS_AWAY = Event(
    "metrics_not_served",
    _WARNING,
    "metrics cannot be served on {why} ({error}); it is tried again, and the work goes on",
    "Another process has that port, or the address is none of this machine.",
    ("unsaid",),
)
METRICS_UNREAD = Event(
    "metrics_unread",
    _ERROR,
    "a journal could not be read for metrics ({error})",
    "Whoever asked sees it as away; the next one who asks tries again.",
    _FAULT,
)

# -- targets ----------------------------------------------------------------------------------------------------------

PAUSED = Event(
    "paused",
    _ERROR,
    "target {target} is paused for {side}s: {code}",
    "The ledger refuses all of it; one request now and then tries whether it is well again.",
)
UNREACHABLE = Event(
    "unreachable",
    _ERROR,
    "target {target} cannot be reached ({why}): it is tried now and then, and nothing else is sent",
    "Nothing fails by that; what waits goes on when it is back.",
    ("side", "code"),
)
BACK = Event("back", _WARNING, "target {target} can be reached again, after {seconds} s", "The end of `unreachable`.")
RESUMED = Event(
    "resumed", _INFO, "target {target} is open again for {side}s, after {seconds} s of {code}", "The end of `paused`."
)
SHUT = Event(
    "resource_shut",
    _WARNING,
    "{resource} of target {target} cannot be read ({code}); what needs them waits, and nothing else does",
    "The credential may lack a scope, or the ledger the route.",
)
OTHER_LEDGER = Event("other_ledger", _ERROR, "{why}", "Nothing is sent until settings and journal agree.", ("target",))
OTHER_SHAPE = Event("other_shape", _ERROR, "{why}", "Another version of blnk-relay sees to this journal.", ("target",))
UNNAMED = Event(
    "target_unnamed",
    _WARNING,
    "intents wait for target {target}, which BLNK_RELAY_TARGETS does not name here: another worker has to",
    "Name it here or start a worker that does.",
)
LEFT_BEHIND = Event(
    "target_left",
    _WARNING,
    "intents wait for target {target} on the Redis of {variable}, while these settings have its journal on that of "
    "{now}: nobody sees to them before another worker has the former address for it",
    "Its journal was moved before it was empty.",
)
TOKEN_UNSTORED = Event(
    "token_unstored", _ERROR, "the new tokens of target {target} cannot be stored yet: {why}", "Redis is away."
)
TOKEN_TROUBLE = Event(
    "token_trouble", _WARNING, "tokens of target {target}: {why}", "It is tried again in a moment.", _FAULT
)
TOKEN_REFUSED = Event(
    "token_refused",
    _ERROR,
    "refreshing the access token of target {target} failed: {why}",
    "Log in anew if it goes on: `blnk-relay target`.",
)
KEY_FILE = Event(
    "key_file",
    _WARNING,
    "{variable}: there is no key in the file at the moment; the last one is used",
    "Somebody rotates it, it is gone, or what stands in it is quoted.",
)

# -- journals ---------------------------------------------------------------------------------------------------------

JOURNAL_AWAY = Event(
    "journal_away",
    _WARNING,
    "the journal of target {target} is away: {why}",
    "Nothing is claimed; what was sent is looked up when it is back.",
    ("lane", "unsaid"),
)
JOURNAL_BACK = Event(
    "journal_back", _INFO, "the journal of target {target} is back, after {seconds} s", "The end of `journal_away`."
)
SWEEP_FAILED = Event(
    "sweep_failed", _WARNING, "{why} ({error})", "It is tried again in a moment.", ("target", "trace", "unsaid")
)
LEASES = Event(
    "leases_not_prolonged",
    _WARNING,
    "leases could not be prolonged ({error}): {why}",
    "Others may take over what is held here, and ask the ledger first.",
    ("trace",),
)
CLOCK_STEPPED = Event(
    "clock_stepped",
    _WARNING,
    "the clock of Redis stepped by {seconds} s; the journal's time goes on without it",
    "Look at the clock of that server.",
)
LESS_DURABLE = Event(
    "less_durable",
    _WARNING,
    "{why}",
    "A receipt is less durable than asked; said once in a process.",
)
NOT_KEPT = Event(
    "record_not_durable",
    _ERROR,
    "{count} writes that the ledger could not tell from a repeat are not sent: what was recorded of them has not "
    "reached the durability of the settings. See that Redis has its replicas and its append-only file.",
    "They go as soon as it is reached.",
    ("target",),
)
KEYS_UNREAD = Event(
    "encryption_keys",
    _WARNING,
    "{why} The keys that were there before are used.",
    "Their file cannot be read.",
)
KEY_MISSING = Event(
    "encryption_key_missing",
    _WARNING,
    "intents of target {target} are encrypted with {encryption_key}, which this worker does not have, and left to "
    "those that have it: BLNK_RELAY_ENCRYPTION_KEYS",
    "Give it the key.",
)
STRANGE_KIND = Event(
    "kind_unknown",
    _WARNING,
    "intents of kind {kind} are left to newer workers: this one does not know it",
    "A producer is newer than this worker.",
)

HISTORY_BEGINS = Event(
    "history_begins",
    _INFO,
    "history of target {target}: {why}",
    "All that the journal keeps is copied.",
)
HISTORY_BEHIND = Event(
    "history_behind",
    _WARNING,
    "history is behind: {why} ({error})",
    "What is over is kept in Redis until it is copied; the work goes on.",
    ("target", "trace", "unsaid"),
)
HISTORY_ASIDE = Event(
    "history_aside",
    _WARNING,
    "intent {intent} of target {target} cannot be read as a whole ({why}): history has what can be",
    "What stands in Redis of it is not what any version writes.",
)
HISTORY_UNCOPIED = Event(
    "history_uncopied",
    _WARNING,
    "history of target {target} is on, and this worker has no BLNK_RELAY_HISTORY_URL: what is over is kept until a "
    "worker copies it, or an operator ends that with 'blnk-relay history off'",
    "Give the setting to all workers, or switch it off.",
)
JOB_STOPPED = Event(
    "job_not_carried",
    _WARNING,
    "a job of many letters could not be carried on: {why} ({error})",
    "It is tried again in a moment, by this worker or another.",
    ("target", "trace", "unsaid"),
)

# -- intents ----------------------------------------------------------------------------------------------------------

ATTEMPT = Event(
    "attempt",
    _DEBUG,
    "attempt {attempt} of intent {intent} ({kind}): {status} {code}",
    "One request that was made, or could not be. Told at level debug only.",
    (*_INTENT, "request", "ms", "worker"),
)
SETTLED = Event(
    "settled",
    _DEBUG,
    "intent {intent} ({kind}) is {state} {code}",
    "What an attempt or a look led to. Told at level debug only.",
    (*_INTENT, "worker"),
)
DEAD_LETTER = Event(
    "dead_letter",
    _ERROR,
    "dead letter {intent}: {kind} {class} {code}",
    "A human has to look: `blnk-relay dead show`.",
    _INTENT,
)
MORE_DEAD = Event(
    "dead_letters_more",
    _ERROR,
    "{count} more dead letters: {kind} {class} {code} at target {target}",
    "They came of a cancel or a discard, more at once than are told one by one as `dead_letter`.",
)
HEALED = Event(
    "cause_over",
    _INFO,
    "no dead letters are left of {kind} {class} {code} at target {target}, and none are new for {seconds} s",
    "All were replayed or discarded: the end of what `dead_letter` began. Told by one worker.",
)
UNTOLD = Event(
    "dead_letter_untold",
    _ERROR,
    "the death of intent {intent} could not be reported ({error})",
    "It is a dead letter all the same.",
    ("trace",),
)
FAULTED = Event(
    "intent_failed",
    _ERROR,
    "intent {intent} ({kind}) could not be handled: {error}",
    "The code of its kind failed. It is tried again, and is a dead letter after several failures.",
    (*_INTENT, "place"),
)
UNJUDGED = Event(
    "answer_unjudged",
    _ERROR,
    "intent {intent} ({kind}) was sent, and its answer could not be judged: {error}",
    "The ledger is asked what became of it.",
    (*_INTENT, "place", "request"),
)
UNSETTLED = Event(
    "intent_unsettled", _ERROR, "intent {intent} cannot be settled: {error}", "Its lease lapses, and it is looked up.",
    (*_INTENT, "kind", "place"),
)  # fmt: skip
BROKEN = Event(
    "intent_unverified",
    _ERROR,
    "intent {intent} ({kind}) does not verify: what was recorded of it cannot be believed",
    "Somebody else may have written to the journal.",
    _INTENT,
)
GIVEN_BACK = Event(
    "given_back",
    _WARNING,
    "intents of lane {lane} are given back unsent: {why}",
    "They are claimed again.",
    ("target",),
)
JOB_FAILED = Event(
    "job_failed",
    _ERROR,
    "{why} ({error})",
    "A bug of ours; what was held is looked up when its leases are over. Report it.",
    ("target", "lane", "trace"),
)
GATE_UNCHANGED = Event(
    "gate_unchanged",
    _WARNING,
    "a gate of target {target} could not be changed: {why}",
    "The next answer will.",
)
NOT_LEFT = Event(
    "lane_not_left",
    _WARNING,
    "lane {lane} of target {target} could not be left, its bell expires: {why}",
    "Redis is away.",
)

# -- bells, and what comes by name -------------------------------------------------------------------------------------

UNRUNG = Event(
    "bell_failed",
    _WARNING,
    "lane {lane} of {target} could not be rung ({error}); the sweeper will",
    "The broker is away.",
)
UNCALLED = Event(
    "outcome_task_failed", _WARNING, "task {task} could not be sent ({error}); it will be", "The broker is away."
)
BY_NAME_STUCK = Event(
    "by_name_stuck",
    _WARNING,
    "what comes by name cannot be read or recorded now ({why}); it stays in its queue",
    "Broker or journal are away.",
    (*_FAULT, "unsaid"),
)
DIVERTED = Event(
    "diverted",
    _WARNING,
    "a message in {queue} is not a bell; it was put to those that came by name",
    "A producer sends to the wrong queue.",
)
MESSAGE_LOST = Event(
    "message_lost",
    _ERROR,
    "a message in {queue} that is not a bell is lost ({error})",
    "A producer sends to the wrong queue, and the broker was away. Without a receipt nothing was promised.",
    ("trace",),
)

# -- audits, Sentry, libraries ----------------------------------------------------------------------------------------

DIFFERENCE = Event(
    "audit_difference",
    _ERROR,
    "audit of target {target}: {kind} {sort}, intent {intent}",
    "Ledger and journal differ: `blnk-relay audit` says in what.",
)
DIFFERENCES = Event(
    "audit_differences",
    _ERROR,
    "audit of target {target}: {count} differences, of which the first are told",
    "See `audit_difference`.",
)
AUDIT_UNREAD = Event(
    "audit_unread",
    _WARNING,
    "audit of target {target}: {count} not looked at, {why}",
    "They could not be read, or were trimmed.",
)
AUDIT_STUCK = Event(
    "audit_stuck", _WARNING, "audit of target {target} is not through: {why}", "It goes on later.", (*_FAULT, "unsaid")
)
NO_DSN = Event(
    "sentry_address", _ERROR, "SENTRY_DSN is not the address of a Sentry project: nothing is sent there", "Mend it."
)
NOT_SENT_TO_SENTRY = Event(
    "sentry_lost",
    _WARNING,
    "not sent to Sentry: {count} reports ({why})",
    "It is away or refuses.",
)
LIBRARY = Event(
    "library",
    _WARNING,
    "{logger} says something at {place}: {template}",
    "A line of a library. Its values are left out, because they may quote what was sent.",
    _FAULT,
)
LOST_LINES = Event(
    "lines_lost", _WARNING, "{count} lines could not be written", "Whoever reads the log was away or too slow."
)


def events() -> Iterator[Event]:
    """All events, in the order of this file."""
    return (value for value in globals().values() if isinstance(value, Event))


def tell(
    log: logging.Logger,
    event: Event,
    about: Mapping[str, object] | None = None,
    *,
    failed: BaseException | None = None,
    **fields: object,
) -> None:
    """Write one line.

    Args:
        log: Of the module.
        event: One of the table's.
        about: Fields of the intent that it is about.
        failed: The exception that is told of, by its type and its way.
        **fields: Fields of the event; ``class_`` is ``class``.
    """
    if not log.isEnabledFor(event.level):
        return
    given = {**(about or {}), **{name.rstrip("_"): value for name, value in fields.items()}}
    if failed is not None:
        given |= {"error": types_of(failed), "trace": way_of(failed)}
    shown = {name: shown_as(name, value) for name, value in given.items() if name in FIELDS and value not in (None, "")}
    words = event.words.format_map(_Said(shown)).strip()
    unsaid = shown.get("unsaid")
    if unsaid:
        words += f"; {unsaid} times more since it was last said"
    log.log(event.level, "%s", words, extra={"relay_event": event.name, "relay_fields": shown})


class _Said(dict[str, Any]):
    """What is not known is left out of a sentence: no line is worth an error."""

    def __missing__(self, name: str) -> str:
        return ""


def shown_as(name: str, value: object) -> str | int | float:
    """What a line shows of a value: one line, of bounded length; and of what should be a code nothing else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        if name == "code":
            return code_shown(text)
        return one_line(text, _MOST_OF_A_SENTENCE if name in ("why", "trace") else _MOST)
    return value


def code_shown(code: str) -> str:
    """A code, unless it looks like none: an answer may quote what was sent wherever it can.

    Example:
        >>> code_shown("TXN_INSUFFICIENT_FUNDS"), code_shown("Ms Miller has no money")
        ('TXN_INSUFFICIENT_FUNDS', 'NOT_A_CODE')
    """
    known = len(code) <= 64 and (_CODE.fullmatch(code) or _OUR_CODE.fullmatch(code))  # noqa: PLR2004
    return code if known or not code else NO_CODE


def one_line(text: str, most: int = _MOST_OF_A_SENTENCE) -> str:
    r"""A text without line ends and control characters, and no longer than it may be.

    Example:
        >>> one_line("a\nb", 10), one_line("abcdef", 4)
        ('a\\nb', 'abc…')
    """
    if not text.isprintable():
        text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:most])
    return text if len(text) <= most else text[: most - 1] + "…"


def types_of(error: BaseException) -> str:
    """The type of an exception and of those that it came of; never their texts.

    Example:
        >>> types_of(KeyError("Ms Miller"))
        'KeyError'
    """
    found: list[str] = []
    at: BaseException | None = error
    while at is not None and len(found) < _MOST_CAUSES:
        found.append(type(at).__name__)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return " < ".join(found)


def way_of(error: BaseException) -> str:
    """The places in the code that an exception came through, innermost first: files and lines, no source text."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return " < ".join(f"{Path(file).name}:{line}" for file, line in reversed(frames[-_MOST_PLACES:]))
