"""What an audit asks of the journal, and what it keeps there: its place, whose turn it is, what was told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from blnk_relay.errors import EncryptionKeyMissing, key_in_words
from blnk_relay.intents.dead_class import DeadClassName
from blnk_relay.intents.evidence import Part, Past
from blnk_relay.intents.links import resolved
from blnk_relay.intents.outcomes import OutcomeName
from blnk_relay.intents.states import State, StateName
from blnk_relay.journal.answers import Owner
from blnk_relay.journal.beside import owners_flow
from blnk_relay.journal.claimed import results_of
from blnk_relay.journal.entries import entry_of
from blnk_relay.journal.flows import Ask, Flow, Run, ask_flow, batched
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.narrowing import Wanted, of_state
from blnk_relay.journal.overview import GateView, gates_flow, overview_flow
from blnk_relay.journal.pages import Page, Pages
from blnk_relay.journal.seal import Seal
from blnk_relay.kinds.registry import KINDS

#: Why an intent cannot be compared.
GONE, BROKEN, STRANGE_KIND = "no longer kept", "unreadable", "unknown kind"

#: Differences that are remembered as told.
MOST_TOLD = 10_000

#: For how long the place of an audit and what it has told are kept.
KEPT_MS = 30 * 86_400_000

#: Intents whose kinds are read in one trip, and that are read in full in one.
_KINDS_AT_ONCE, _AT_ONCE = 500, 50

#: What says that an intent was sent, or may have been: under a lease that lapsed, or in moments that the journal lost.
_SENT = ("sent", "lapsed", "lost")

#: States in which one may be sent at this moment, or was.
_UNDER_WAY = frozenset({State.SENDING, State.POSTED})

#: The same list as in the Redis hash of an intent; see common.lua.
_FIELDS = (
    *("state", "outcome", "class", "code", "txn", "parent", "gen", "memo", "updated", "created", "results"),
    *_SENT,
)


class Audited:
    """One journal, as an audit reads it.

    Args:
        journal: Whose.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pages = Pages(journal)
        self.target = journal.target

    def now_ms(self) -> int:
        """The time of the journal."""
        return self._journal.now_ms()

    def ids(self, state: StateName, since: datetime | None, until: datetime | None) -> Iterator[Page]:
        """Pages of ids that came into a state within some time, oldest first, each with the time in milliseconds.

        With ``done`` those that were cancelled come along. Other states than ``done``, ``dead`` and ``discarded`` know
        no time.
        """
        return self._pages.of(Wanted(state, None, None, since, until), oldest_first=True)

    def perhaps_sent(self, *, waiting: bool) -> Iterator[Page]:
        """Pages of all that is open and may have been sent before, and of much that was not: see :meth:`of_kinds`.

        Whoever was in hands stands there as long as it is open, and may go back only to what waits for its turn.

        Args:
            waiting: Whether to read what waits for its turn as well.
        """
        lanes = self._journal.drive(ask_flow("SMEMBERS", self._journal.key("lanes")))
        tried = dict.fromkeys(f"tried:{lane}" for lane in sorted(lanes))
        yield from self._pages.of(of_state("ready"), oldest_first=True, sets=tried)
        if waiting:
            yield from self.ids("waiting", None, None)

    def of_kinds(self, ids: Sequence[str], kinds: frozenset[str], *, sent: bool = False) -> list[str]:
        """Those of some intents that are of one of these kinds.

        Args:
            ids: The intents.
            kinds: The kinds.
            sent: Only those that may have been sent, or are in hands to be.
        """
        found: list[str] = []
        for chunk in batched(ids, _KINDS_AT_ONCE):
            read = self._journal.drive(_fields_flow(self._journal.prefix, chunk, ("kind", "state", *_SENT)))
            found += [
                id_
                for id_, (kind, state, *marks) in zip(chunk, read, strict=True)
                if kind in kinds and (not sent or state in _UNDER_WAY or _may_have_been_sent(marks))
            ]
        return found

    def pasts(self, ids: Sequence[str]) -> dict[str, Past | str]:
        """All that is known of some intents; of one that cannot be compared, why."""
        found: dict[str, Past | str] = {}
        for chunk in batched(ids, _AT_ONCE):
            found |= self._journal.drive(_pasts_flow(self._journal.prefix, self._journal.seal, chunk))
        return found

    def owners(self, references: Sequence[str]) -> dict[str, Owner]:
        """The intents that own references, or had them before they were trimmed."""
        owners = self._journal.drive(owners_flow(self.target, references))
        return dict(zip(references, owners, strict=True))

    def known_ids(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of some ids that an intent has, or had before it was trimmed."""
        found: set[str] = set()
        for chunk in batched(ids, _KINDS_AT_ONCE):
            answers = self._journal.drive(_there_flow(chunk))
            found |= {id_ for id_, there in zip(chunk, answers, strict=True) if there}
        return frozenset(found)

    def trimmed(self) -> int:
        """How many intents were done or cancelled, and are no longer here."""
        overview, _ = self._journal.drive(overview_flow(self._journal.settings, self.target))
        ended = sum(number for name, number in overview.counts.items() if name.startswith("done|"))
        return max(0, ended + overview.counts.get("cancelled", 0) - overview.done)

    def kept_since_ms(self, retention_ms: int) -> int:
        """What ended before then may have been trimmed, and what ended since was not.

        Those who trim may keep things for another time than they are said to be kept for. They begin with the oldest,
        so what is older than all that is done and still here is gone, or never was.

        Args:
            retention_ms: For so long what is finished is said to be kept.
        """
        oldest = next(self.ids("done", None, None), [])
        return max(self.now_ms() - retention_ms, int(oldest[0][1]) if oldest else 0)

    def read_gate(self) -> GateView | None:
        """What is with the reads of the target, where they are not simply let through."""
        gates = self._journal.drive(gates_flow(self._journal.settings, self.target, self._journal.now_ms()))
        return next((gate for gate in gates if gate.side == "read"), None)

    # -- what is kept ------------------------------------------------------------------------------------------------

    def keep_place(self, who: str, place: Mapping[str, Any]) -> None:
        """Keep how far an audit has come."""
        name = self._journal.key(f"audit:{who}")
        self._journal.drive(ask_flow("SET", name, json.dumps(place), "PX", KEPT_MS))

    def place(self, who: str) -> dict[str, Any] | None:
        """How far an audit came; None where nothing is kept."""
        text = self._journal.drive(ask_flow("GET", self._journal.key(f"audit:{who}")))
        try:
            kept = json.loads(text or "null")
        except ValueError:
            return None
        return kept if isinstance(kept, dict) else None

    def forget_place(self, who: str) -> None:
        """Forget it: that audit is over."""
        self._journal.drive(ask_flow("DEL", self._journal.key(f"audit:{who}")))

    def turn(self, worker: str, for_s: float) -> bool:
        """Be the one who audits for so long, or for so long again; with 0 leave it to others.

        Args:
            worker: Whose turn.
            for_s: Until when nobody else gets it.
        """
        return bool(self._journal.scripts.run("auditor", worker, int(for_s * 1000))[0])

    def first_told(self, digests: Sequence[str], within_s: float) -> frozenset[str]:
        """Note that differences are told. Returns those that were not told within so many seconds.

        Args:
            digests: What tells differences apart.
            within_s: What was told longer ago is told again.
        """
        if not digests:
            return frozenset()
        now, name = self.now_ms(), self._journal.key("told")
        before, *added = self._journal.drive(_told_flow(name, digests, now, now - int(within_s * 1000)))
        del before
        return frozenset(digest for digest, new in zip(digests, added, strict=False) if new)


def _told_flow(name: str, digests: Sequence[str], now_ms: int, over_ms: int) -> Flow[list[Any]]:
    """Forget what was told too long ago, add the rest, and keep no more than so many."""
    answers: list[Any] = yield Ask(
        (
            ("ZREMRANGEBYSCORE", name, "-inf", over_ms),
            *(("ZADD", name, "NX", now_ms, digest) for digest in digests),
            ("ZREMRANGEBYRANK", name, 0, -MOST_TOLD - 1),
            ("PEXPIRE", name, KEPT_MS),
        )
    )
    return answers


def _fields_flow(prefix: str, ids: Sequence[str], names: Sequence[str]) -> Flow[list[Any]]:
    answers: list[Any] = yield Ask(tuple(("HMGET", f"{prefix}intent:{id_}", *names) for id_ in ids), whole=False)
    return answers


def _may_have_been_sent(marks: Sequence[str | None]) -> bool:
    sent, lapsed, lost = marks
    return "1" in (sent, lapsed) or bool(lost)


def _there_flow(ids: Sequence[str]) -> Flow[list[bool]]:
    """Whether something is known under each id, trimmed or not."""
    answers = yield Run("statuses", ("state", *ids))
    return [bool(values[0] or past) for values, _, past, _ in answers]


def _pasts_flow(prefix: str, seal: Seal, ids: Sequence[str]) -> Flow[dict[str, Past | str]]:
    commands: list[tuple[str | int, ...]] = []
    for id_ in ids:
        commands += [
            ("HMGET", f"{prefix}intent:{id_}", *_FIELDS),
            ("GET", f"{prefix}body:{id_}"),
            ("HGETALL", f"{prefix}parts:{id_}"),
        ]
    answers = iter((yield Ask(tuple(commands))))
    return {
        id_: _past(seal, id_, values, body, parts)
        for id_, values, body, parts in zip(ids, *[answers] * 3, strict=True)
    }  # fmt: skip


def _past(seal: Seal, id_: str, values: Sequence[str | None], body: str | None, noted: Mapping[str, str]) -> Past | str:
    fields = {name: value or "" for name, value in zip(_FIELDS, values, strict=True)}
    if not fields["state"]:
        return GONE
    try:
        entry = entry_of(id_, seal.shown_body(id_, body or ""))
        if entry.kind not in KINDS:
            return STRANGE_KIND
        if entry.after:
            entry = replace(entry, payload=resolved(entry.payload, results_of(entry, fields["results"])))
        names = KINDS[entry.kind].parts
        parts = [] if names is None else [noted.get(str(number), "open") for number in range(len(names(entry.payload)))]
        return Past(
            entry=entry,
            state=cast("StateName", fields["state"]),
            outcome=cast("OutcomeName", fields["outcome"]),
            dead_class=cast("DeadClassName", fields["class"]),
            code=fields["code"],
            transaction_id=fields["txn"],
            parent_id=fields["parent"],
            generation=int(fields["gen"] or 0),
            memo=json.loads(seal.shown(id_, "memo", fields["memo"])) if fields["memo"] else {},
            parts=tuple(Part(*text.partition(" ")[::2]) for text in parts),
            ended_ms=int(fields["updated"] or fields["created"]),
            accepted_ms=int(fields["created"]),
            sent=_may_have_been_sent([fields[name] for name in _SENT]),
        )
    except EncryptionKeyMissing as error:
        return f"encrypted with key {key_in_words(error.key)}, which this process does not have"
    except Exception:  # noqa: BLE001 - whatever stands there is a matter of this one intent
        return BROKEN
