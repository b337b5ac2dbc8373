"""What a worker gets of an intent with a claim: what never changes, and how far it has come."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from blnk_relay.intents.intent import Entry
from blnk_relay.intents.links import resolved
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.states import State
from blnk_relay.journal.entries import entry_of, id_of
from blnk_relay.kinds.registry import KINDS

#: What a claim returns of an intent, in this order; the same list stands in claims.lua.
FIELDS = (
    "state",
    "since",
    "deadline",
    "token",
    "attempts",
    "sent",
    "lapsed",
    "sent_first",
    "sent_last",
    "sends",
    "accepted",
    "refuse",
    "memo",
    "gen",
    "code",
    "message",
    "results",
    "created",
    "lost",
    "tail",
    "faults",
    "again",
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An intent in a worker's hands.

    Attributes:
        entry: What never changes.
        progress: What was known at the claim.
        token: Fencing token; a settlement with an older one changes nothing.
        lease_end_s: When the lease lapses, by the worker's own steady clock.
        claimed_s: When it was claimed, by the same clock: the moment of ``progress.now_ms``.
        faults: How often in a row the code that handles it has failed.
        mended: Times of it that a clock which had stepped ahead has noted, as they are at the latest; they are written
            with the next settlement.
    """

    entry: Entry
    progress: Progress
    token: str
    lease_end_s: float = 0.0
    claimed_s: float = 0.0
    faults: int = 0
    mended: Mapping[str, str] = field(default_factory=dict)


def claimed_of(
    values: Sequence[str],
    now_ms: int,
    lease_end_s: float,
    solid_ms: int = 0,
    claimed_s: float = 0.0,
    *,
    longest_lease_s: float = 0.0,
) -> Claimed:
    """Read one claimed intent as the scripts return it.

    Args:
        values: Id, body and the fields.
        now_ms: The journal's time.
        lease_end_s: When the lease lapses, by our steady clock; 0 for none.
        solid_ms: Since when the journal's clock and tail can be trusted.
        claimed_s: The moment of ``now_ms``, by our steady clock.
        longest_lease_s: For how long whoever claimed it in lost moments, or by a clock that was set right since, may
            still begin to send it.
    """
    entry = entry_of(values[0], values[1])
    fields = dict(zip(FIELDS, values[2:], strict=True))
    if entry.after:
        entry = replace(entry, payload=resolved(entry.payload, results_of(entry, fields["results"])))
    mended = mended_times(fields, now_ms)
    progress = progress_of(entry.kind, fields | mended, now_ms, solid_ms, int(longest_lease_s * 1000))
    return Claimed(entry, progress, fields["token"], lease_end_s, claimed_s, int(fields["faults"] or 0), mended)


def mended_times(fields: Mapping[str, str], now_ms: int) -> dict[str, str]:
    """Times that a clock which had stepped ahead, and has come back, has noted: as they are at the latest.

    What is over is over by now, whatever the clock said. Without this, silences would begin only once the clock has
    reached those times again. The end of a lease that lapsed may truly lie ahead, and nothing tells it from one that
    does not: it stays as it is.

    Args:
        fields: Of an intent.
        now_ms: Time of the claim.

    Example:
        >>> mended_times({"since": "7190000", "sent": "1", "sent_last": "7200000"}, 1_000_000)
        {'since': '1000000', 'sent_last': '1000000'}
        >>> mended_times({"since": "7190000", "lapsed": "1", "sent_last": "7230000"}, 1_000_000)
        {'since': '1000000'}
        >>> mended_times({"since": "7190000", "sent": "1", "sent_last": "7200000"}, 7_210_000)
        {}
    """
    over = ("since", "sent_first", *(() if fields.get("lapsed") == "1" else ("sent_last",)))
    return {name: str(now_ms) for name in over if int(fields.get(name) or 0) > now_ms}


def unreadable_of(values: Sequence[str], target: str, names: Sequence[str], now_ms: int) -> Claimed:
    """What is left of a claimed intent that cannot be read: enough to settle it.

    Args:
        values: As the scripts return them.
        target: Whose journal it stands in.
        names: Its kind and lane, which stand beside what cannot be read.
        now_ms: Time of the claim.
    """
    kind, lane = names
    fields = dict(zip(FIELDS, values[2:], strict=True))
    maybe_sent = "1" in (fields["sent"], fields["lapsed"]) or bool(fields["lost"])
    progress = Progress(now_ms, now_ms, now_ms, sent=maybe_sent, looking=fields["state"] == State.POSTED)
    entry = Entry(values[0], kind, target, lane, key="", reference="", payload={})
    faults = int(fields["faults"]) if fields["faults"].isdigit() else 0
    return Claimed(entry, progress, fields["token"], faults=faults)


def results_of(entry: Entry, lines: str) -> dict[str, str]:
    """Ids that other intents came to, by their keys; the journal keeps them by id."""
    ids = dict(line.split(" ", 1) for line in lines.splitlines())
    return {key: ids.get(id_of(entry.target, key), "") for key in entry.after}


def progress_of(
    kind: str, fields: Mapping[str, str], now_ms: int, solid_ms: int = 0, longest_lease_ms: int = 0
) -> Progress:
    """Read the moving part back.

    A lapsed lease counts as sent, unless it is recorded before each send and nothing was recorded. What may have been
    sent in moments that the journal has lost counts as sent too, unless the ledger recognises a repeat; and so does
    what may repeat one whose key is forgotten, until it is recorded that it is sent itself. What was sent, and of which
    the record that was made before is gone, was recorded in lost moments: a server was set back, and the worker told it
    afterwards what it had sent.
    """

    def number(name: str) -> int:
        return int(fields.get(name) or 0)

    memo = json.loads(fields["memo"]) if fields.get("memo") else {}
    known = KINDS[kind]
    lapsed = fields.get("lapsed") == "1" and bool(memo or not known.recorded)
    again = bool(number("again")) and not (number("lost") or memo or known.keyed) and known.findable
    lost_ms = number("again" if again else "lost")
    if not lost_ms and known.records and not known.keyed and fields.get("sent") == "1" and not memo:
        lost_ms = number("sent_last") or now_ms
    if lost_ms > now_ms:
        # Noted by a clock that had stepped ahead; that was seen at the latest when the ground could be trusted again.
        lost_ms = min(now_ms, solid_ms or now_ms)
    forgotten = lost_ms > 0 and not known.keyed
    # Whoever claimed it in lost moments may begin to send it for as long as the lease that is lost would have been.
    last_sent_ms = max(number("sent_last"), lost_ms + longest_lease_ms if lost_ms and not again else 0)
    if lapsed and last_sent_ms < solid_ms:
        # The clock was set right since: how long ago that end was nobody knows, and whoever held it may do so yet.
        last_sent_ms = solid_ms + longest_lease_ms
    return Progress(
        now_ms=now_ms,
        since_ms=number("since"),
        deadline_ms=number("deadline"),
        attempts=number("attempts"),
        sent=fields.get("sent") == "1" or lapsed or forgotten,
        first_sent_ms=number("sent_first"),
        # The end of a lapsed lease may lie ahead; a request under it may still go out until then.
        last_sent_ms=last_sent_ms,
        sends=number("sends"),
        accepted=fields.get("accepted") == "1",
        refuse=fields.get("refuse") == "1",
        memo=memo,
        generation=number("gen"),
        code=fields.get("code", ""),
        message=fields.get("message", ""),
        looking=fields.get("state") == State.POSTED,
        draw=random.random(),
        created_ms=number("created"),
        lost_ms=lost_ms,
        tail_ms=number("tail") if lost_ms and not again else 0,
        again=again,
        solid_ms=solid_ms,
    )
