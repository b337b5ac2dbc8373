"""The journal: the transitions that workers make, one script and one trip each, on top of what producers do with it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from blnk_relay.encryption import EncryptionKey, Keys
from blnk_relay.errors import InvalidSettings, JournalUnavailable, OtherLedger, UnsuitableServer
from blnk_relay.intents.intent import DEFAULT_TARGET, Entry
from blnk_relay.intents.states import OPEN, State
from blnk_relay.journal import actions
from blnk_relay.journal.accept import wait_command, was_reached
from blnk_relay.journal.answers import ClaimAnswer, SettleAnswer, SweepAnswer, TakeAnswer
from blnk_relay.journal.at_once import has_open_flow
from blnk_relay.journal.beside import ended_flow, file_flow, renewal_flow, renewed_flow
from blnk_relay.journal.claimed import FIELDS, Claimed, claimed_of, unreadable_of
from blnk_relay.journal.claims import Claims
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.connection import broker_is_cluster, reported
from blnk_relay.journal.entries import Renewal, buried_of, untold_of
from blnk_relay.journal.ground import Ground
from blnk_relay.journal.line import Line
from blnk_relay.journal.producing import Producing
from blnk_relay.journal.seal import HIDDEN
from blnk_relay.journal.server import check_flow
from blnk_relay.journal.settlement import Settled, Settlement
from blnk_relay.journal.shape import Program, program_of
from blnk_relay.journal.upgrade import programs_flow
from blnk_relay.kinds.registry import KINDS
from blnk_relay.log import NOT_KEPT, tell
from blnk_relay.settings import Settings

if TYPE_CHECKING:
    from blnk_relay.intents.decision import Dead, Send
    from blnk_relay.intents.exchange import GateAction, GateChange
    from blnk_relay.journal.lag import HistoryLag

#: Work handled in one sweep.
SWEEP_MOST = 500

#: Seconds for which a cause of dead letters has to be without any to be over: a replay that dies again has done so.
HEALED_S = 600.0

#: Where what is hidden stands among what a claim returns of an intent.
_HIDDEN_AT = tuple(FIELDS.index(name) for name in HIDDEN)

#: How a script says that it is a key, and not a kind, that a worker lacks.
_KEY = "key "

#: Leases prolonged in one trip.
EXTEND_CHUNK = 500

#: How often the same complaint is logged at most.
_COMPLAIN_EVERY_S = 60.0

#: Longest note that is kept.
_MOST_NOTE = 500

#: How a script is told that rows may be gone by now, see :attr:`Send.seen`.
_ANYTHING = "*"

#: What is recorded of a request of which nothing else has to be known than that it may have been sent.
_RECORDED = {"recorded": True}

#: How often the durability of a mark is waited for before it is sent another time.
_MARK_WAITS = 3

_log = logging.getLogger(__name__)

#: Due intents in a lane from which a second worker is called in.
CALL_IN_BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep brought.

    Attributes:
        swept: Whether this call swept, and not somebody else a moment before.
        bells: Lanes to ring.
        expired: Intents whose deadline passed while they waited for others: they are dead letters now.
        next_s: Seconds until the next thing is due that no bell tells of; None where nothing is.
        wish: What an operator wants of the worker program: ``quiet``, ``stop``, or empty for nothing.
        due: By lane (``confirm`` for looks) the id of the first that could be taken now: no gate and no pause holds it.
        healed: Names of causes of dead letters that are over: all were replayed or discarded, none since.
        acts: What operators did since the last look, oldest first; of a first look the last one that they did.
        untold: Dead letters that came of a cancel or a discard, of which no human was told yet; nobody gets them again.
        beyond: By name of their cause how many more such letters there are, too many to be told one by one.
    """

    swept: bool
    bells: tuple[str, ...]
    expired: tuple[Entry, ...]
    next_s: float | None
    wish: str = ""
    due: Mapping[str, str] = field(default_factory=dict)
    healed: tuple[str, ...] = ()
    acts: tuple[actions.Entry, ...] = ()
    untold: tuple[tuple[Entry, Dead], ...] = ()
    beyond: Mapping[str, int] = field(default_factory=dict)


class Journal(Producing):
    """The record of all intents for one ledger, on Redis: what producers do with it, and what workers do.

    Args:
        settings: Where Redis is, and the numbers.
        target: Whose journal it is.
        line: The connections to its Redis; those of its own when None.

    All methods raise :class:`~blnk_relay.errors.JournalUnavailable` when Redis does not answer within its timeout.
    """

    def __init__(self, settings: Settings, target: str = DEFAULT_TARGET, line: Line | None = None) -> None:
        super().__init__(settings, target, line)
        #: Claims and looks are only for what this version knows how to do.
        self._kinds = ",".join(KINDS)
        self._ground = Ground()
        self._complained_s = float("-inf")

    # -- what comes by name --------------------------------------------------------------------------------------

    def reject(self, entry: Entry, body: str, death: Dead) -> bool:
        """Record what came by name and is no valid intent, as a dead letter.

        Args:
            entry: Its id, kind and lane.
            body: What is kept of it.
            death: Why it is none.

        Returns:
            Whether it is new.
        """
        key = self.seal.keys().first
        answer = self.scripts.run(
            "reject",
            entry.id,
            self.seal.body(entry.id, body, key),
            entry.kind,
            entry.lane,
            death.code,
            self.seal.hidden(entry.id, "message", death.message, key),
            self.settings.events_max,
            "" if key is None else key.name,
        )
        return bool(answer[0] == "rejected")

    def unguessable(self, digest: str) -> str:
        """A digest of what came by name, from which nobody can tell what it was; itself where nothing is hidden.

        Raises:
            EncryptionKeyMissing: What it would be made with is under a key that is not at hand.
        """
        if not self.seal.keys():
            return digest
        return self.drive(self.seal.secret_flow()).fingerprint(digest)

    def turn_by_name(self, most_ms: int) -> bool:
        """Be the one worker who reads what comes by name, by the journal's time, for so long at most."""
        # The server's expiry would hold it for as long as a step of its clock back is.
        return bool(self.scripts.run("turn", "by-name", most_ms)[0])

    def end_turn_by_name(self) -> None:
        """Let others read what comes by name before that time is over."""
        with reported(variable=self.variable):
            self.client.delete(self.key("by-name"))

    # -- working -------------------------------------------------------------------------------------------------

    def claim(self, lane: str, worker: str, most: int, *, leave: bool = False) -> Claims:
        """Take due intents of a lane under leases.

        With ``most=0`` it is a sign of life, with ``leave`` a farewell.

        Raises:
            OtherLedger: This journal belongs to another ledger than the settings mean by the target.
        """
        settings, keys = self.settings, self.seal.keys()
        asked_s = steady_s()
        raw = self.scripts.run(
            "claim",
            lane,
            worker,
            most,
            int(settings.lease_s * 1000),
            settings.max_lapses,
            settings.events_max,
            "1" if leave else "0",
            CALL_IN_BACKLOG,
            self.ledger,
            self._ground.shown,
            self._kinds,
            int(settings.dead_worker_s * 1000),
            ",".join(keys.names),
        )
        answer = ClaimAnswer(*raw)
        self._refuse_other(answer.other_ledger)
        times = self._times(asked_s, answer.now_ms, answer.ground)
        readable, unreadable = self._read(answer.items, keys, times=times, asked_s=asked_s, lease_s=settings.lease_s)
        strange, locked = _left(answer.strange)
        return Claims(readable, tuple(answer.bells), -1, buried_of(answer.buried), unreadable, strange, locked)

    def take(self, worker: str, most: int, lease_s: float, *, leave: bool = False) -> Claims:
        """Take posted intents whose look at the ledger is due.

        One batch at a time for each worker: to ask again says that the last one is no longer in its hands.

        Raises:
            OtherLedger: This journal belongs to another ledger than the settings mean by the target.
        """
        settings, keys = self.settings, self.seal.keys()
        asked_s = steady_s()
        raw = self.scripts.run(
            "take",
            worker,
            most,
            int(lease_s * 1000),
            settings.max_lapses,
            settings.events_max,
            "1" if leave else "0",
            self.ledger,
            self._ground.shown,
            self._kinds,
            int(settings.dead_worker_s * 1000),
            ",".join(keys.names),
        )
        answer = TakeAnswer(*raw)
        self._refuse_other(answer.other_ledger)
        times = self._times(asked_s, answer.now_ms, answer.ground)
        readable, unreadable = self._read(answer.items, keys, times=times, asked_s=asked_s, lease_s=lease_s)
        strange, locked = _left(answer.strange)
        bells, buried = tuple(answer.bells), buried_of(answer.buried)
        return Claims(readable, bells, answer.next_ms, buried, unreadable, strange, locked)

    def _times(self, asked_s: float, now_ms: int, ground: Sequence[Any]) -> tuple[int, int]:
        """The journal's time, with a step of its clock taken off, and since when clock and tail can be trusted.

        Where the journal cannot be told of the step, what came with this trip is in our hands all the same; the next
        trip tells it.
        """
        step_ms = self._ground.step_ms(asked_s, now_ms, ground)
        if not step_ms:
            return now_ms, int(ground[1])
        try:
            now_ms, _, solid_ms = self.scripts.run("step", int(ground[2]), step_ms)
        except JournalUnavailable:
            self._ground.see_step_again()
            return now_ms - step_ms, now_ms - step_ms
        self._ground.told(now_ms)
        return now_ms, solid_ms

    def _refuse_other(self, recorded: str) -> None:
        if recorded:
            raise OtherLedger(self.target, recorded, self.ledger)

    def _read(
        self, items: Sequence[Sequence[str]], keys: Keys, *, times: tuple[int, int], asked_s: float, lease_s: float
    ) -> tuple[tuple[Claimed, ...], tuple[tuple[Claimed, str], ...]]:
        """What was handed out; one that cannot be read is no trouble of the others."""
        now_ms, solid_ms = times
        readable: list[Claimed] = []
        unreadable: list[tuple[Claimed, str]] = []
        for item in items:
            try:
                shown = self._shown(item, keys)
                readable.append(
                    claimed_of(
                        shown, now_ms, asked_s + lease_s, solid_ms, asked_s, longest_lease_s=self.settings.lease_s
                    )
                )
            except Exception as error:  # noqa: BLE001 - whatever stands there, the others were handed out as well
                with reported(variable=self.variable):
                    names: Any = self.client.hmget(self.key(f"intent:{item[0]}"), ["kind", "lane"])
                unreadable.append((unreadable_of(item, self.target, names, now_ms), type(error).__name__))
        return tuple(readable), tuple(unreadable)

    def _shown(self, item: Sequence[str], keys: Keys) -> Sequence[str]:
        """One item with all that can be read that is hidden; the keys are those that it was claimed with."""
        id_, body, *values = item
        for place in _HIDDEN_AT:
            values[place] = self.seal.shown(id_, FIELDS[place], values[place], keys)
        return (id_, self.seal.shown_body(id_, body, keys), *values)

    def extend(self, worker: str, held: Sequence[Claimed], lease_s: float) -> list[Claimed]:
        """Prolong what a worker has in hand; also a sign of life of it. No lease is ever shortened.

        Args:
            worker: Whose hands.
            held: What it has in them, taken to be sent or for a look; may be empty.
            lease_s: Their leases, from now.

        Returns:
            Those that still are in its hands, with the end of their lease.
        """
        extended: list[Claimed] = []
        for at in range(0, max(len(held), 1), EXTEND_CHUNK):
            chunk = held[at : at + EXTEND_CHUNK]
            arguments: list[str | int] = []
            for claimed in chunk:
                state = State.POSTED if claimed.progress.looking else State.SENDING
                arguments += [claimed.entry.id, claimed.token, state, int(lease_s * 1000)]
            end_s = steady_s() + lease_s
            answers = self.scripts.run("extend", worker, *arguments)
            extended += [
                replace(claimed, lease_end_s=max(end_s, claimed.lease_end_s))
                for claimed, held_ in zip(chunk, answers, strict=True)
                if held_
            ]
        return extended

    def record(self, sends: Sequence[tuple[Claimed, Send]]) -> list[str]:
        """Record memos before sending, and make each intent the only writer of its rows: of all of them, or of none.

        Args:
            sends: Each intent with the decision to send it.

        Returns:
            For each ``ok``, ``stale``, ``busy``, ``lagging``, ``doubtful`` (see :attr:`Send.perhaps_ours`), ``lost``
            (it was claimed before the journal lost its last moments, and has to be looked for) or ``undurable`` (the
            record has not reached the durability of the settings, and the ledger would not recognise a repeat); only
            what is ``ok`` may be sent.
        """
        arguments: list[str | int] = []
        key = self.seal.keys().first
        for claimed, send in sends:
            rows = (send.exclusive,) if isinstance(send.exclusive, str) else send.exclusive
            locks = ",".join(row for row in rows if row)
            arguments += [
                claimed.entry.id,
                claimed.token,
                self.seal.hidden(claimed.entry.id, "memo", json.dumps(send.memo or _RECORDED), key),
                locks,
                _ANYTHING if send.seen is None else ",".join(send.seen),
                ",".join(send.perhaps_ours),
                "" if key is None else key.name,
                claimed.progress.last_sent_ms,
                # What was read was read after the claim.
                int(claimed.progress.now_ms - send.settled_s * 1000) if send.settled_s else 0,
            ]
        keyed = [KINDS[claimed.entry.kind].keyed for claimed, _ in sends]
        answers: list[str]
        if self.settings.durability == "memory" or all(keyed):
            answers = self.scripts.run("record", *arguments)
            return answers
        # A disk that is synced every second takes longer than one wait at times, and nobody waits for this but us.
        waits = [wait_command(self.settings)] * _MARK_WAITS
        answers, *waited = self.scripts.run_and_wait("record", waits, *arguments)
        if any(was_reached(self.settings, one) for one in waited):
            return answers
        self._complain_of(keyed.count(False))
        return [
            "undurable" if answer == "ok" and not known else answer
            for answer, known in zip(answers, keyed, strict=True)
        ]

    def _complain_of(self, unsent: int) -> None:
        """Say in the log, once a minute, why nothing of some kinds is sent."""
        if steady_s() - self._complained_s >= _COMPLAIN_EVERY_S:
            self._complained_s = steady_s()
            tell(_log, NOT_KEPT, count=unsent, target=self.target)

    def settle(
        self,
        worker: str,
        settlements: Sequence[Settlement],
        healthy: Sequence[str],
        unfit: list[tuple[Settlement, Exception]] | None = None,
    ) -> Settled:
        """Record verdicts, all in one trip.

        Args:
            worker: Who had them.
            settlements: The verdicts; stale ones change nothing.
            healthy: Sides of the target that have just answered well; with ``?`` behind one: answered.
            unfit: Takes those that cannot be written down, and why; without it they raise.
        """
        encoded: list[str] = []
        key = self.seal.keys().first
        for settlement in settlements:
            try:
                encoded.append(self._encoded(settlement, key))
            except Exception as error:
                if unfit is None:
                    raise
                unfit.append((settlement, error))
        if not encoded:
            return Settled()
        told = SettleAnswer(*self.scripts.run("settle", worker, self.settings.events_max, ",".join(healthy), *encoded))
        return Settled(
            tuple(told.bells),
            None if told.unreached_ms < 0 else told.unreached_ms / 1000,
            frozenset(told.stale),
            tuple((side, code, shut_ms / 1000) for side, code, shut_ms in told.opened),
            frozenset(told.looked_at_again),
        )

    def _encoded(self, settlement: Settlement, key: EncryptionKey | None) -> str:
        hidden = {} if key is None else {name: text for name in HIDDEN if (text := settlement.fields.get(name))}
        if key is None or not hidden:
            return settlement.encoded()
        id_ = settlement.claimed.entry.id
        sealed = {name: self.seal.hidden(id_, name, text, key) for name, text in hidden.items()}
        return replace(settlement, fields={**settlement.fields, **sealed}).encoded(key.name)

    def sweep(self, program: str = "", back_s: float = 0.0, sign: str = "", acted: str = "") -> Swept:
        """Sweep, if nobody else has just done so; also a sign of life of the worker program.

        Args:
            program: Its name; empty for none.
            back_s: Within how many seconds it comes again, whatever is due.
            sign: What it says of itself (:func:`blnk_relay.journal.workers.sign_of`); empty for nothing.
            acted: Id of the last action of operators that the caller has seen; empty for a first look.
        """
        settings = self.settings
        asked_at = steady_s()
        raw = self.scripts.run(
            "sweep",
            int(settings.sweep_s * 900),
            int(settings.dead_worker_s * 1000),
            int(settings.retention_s * 1000),
            SWEEP_MOST,
            settings.events_max,
            self._ground.shown,
            program,
            int(back_s * 1000),
            int(settings.key_retention_s * 1000),
            _findable(),
            sign,
            int(HEALED_S * 1000),
            acted,
        )
        answer = SweepAnswer(*raw)
        self._times(asked_at, answer.now_ms, answer.ground)
        # What is owed is due at once.
        owing = answer.swept and answer.next_ms == 0
        bells = {*answer.bells, *self._pay_what_is_owed()} if owing else answer.bells
        next_s = None if answer.next_ms < 0 else answer.next_ms / 1000
        due = dict(one.split(" ", 1) for one in answer.due)
        acts = tuple(
            actions.entry_in(id_, self.target, dict(zip(flat[::2], flat[1::2], strict=True)))
            for id_, flat in answer.acts
        )
        return Swept(
            swept=bool(answer.swept),
            bells=tuple(bells),
            expired=buried_of(answer.expired),
            next_s=next_s,
            wish=answer.wish,
            due=due,
            healed=tuple(answer.healed),
            acts=acts,
            untold=untold_of(answer.untold),
            beyond={cause: int(number) for cause, number in zip(answer.beyond[::2], answer.beyond[1::2], strict=True)},
        )

    def _pay_what_is_owed(self) -> set[str]:
        """Go on with those that wait for intents which are over, for as long as until the next sweep; lanes to ring."""
        end_s, bells, owing = steady_s() + self.settings.sweep_s, set[str](), 1
        # What the sweep has found must be told even if the journal goes away now: the next one goes on with this.
        with suppress(JournalUnavailable):
            while owing and steady_s() < end_s:
                owing, more = self.scripts.run("owed", self.settings.events_max)
                bells.update(more)
        return bells

    def foreign(self) -> OtherLedger | None:
        """That this journal belongs to another ledger than the settings mean by the target; None where all is well."""
        recorded = self.recorded_ledger()
        return (
            OtherLedger(self.target, recorded, self.ledger) if recorded not in ("", self.ledger or recorded) else None
        )

    def farewell(self, program: str) -> None:
        """A worker program ends; without this it counts as alive until it was silent for DEAD_WORKER_S."""
        name = program_of(program).name
        with reported(variable=self.variable):
            pipeline = self.client.pipeline(transaction=False)
            pipeline.zrem(self.key("alive"), program)
            pipeline.zrem(self.key("signs"), name)
            pipeline.unlink(self.key(f"worker:{name}"))
            pipeline.execute()

    def programs(self) -> tuple[Program, ...]:
        """Worker programs that are alive here."""
        return self.drive(programs_flow(self.settings, self.target))

    def epoch(self) -> str:
        """The name of the epoch that the journal is in, unlike that of any other journal; empty before any work."""
        with reported(variable=self.variable):
            epoch: Any = self.client.hget(self.key("ground"), "epoch")
        return epoch or ""

    def history_lag(self) -> HistoryLag:
        """How far this journal is copied into history."""
        from blnk_relay.journal.lag import lag_flow

        return self.drive(lag_flow(self.settings, self.target))

    def has_open(self) -> bool:
        """Whether anything here is not over yet, in one moment and in whoever's hands."""
        return self.drive(has_open_flow(self.prefix))

    def has_job(self) -> bool:
        """Whether a job is to be carried out here."""
        with reported(variable=self.variable):
            return bool(self.client.exists(self.key("running")))

    def file(self, id_: str, size: int) -> bytes | None:
        """The file that was kept beside an intent; None when it is not there whole.

        Args:
            id_: Id of the intent.
            size: Its size in bytes.

        Raises:
            EncryptionKeyMissing: It is encrypted under a key that is not at hand.
            DoesNotVerify: It is encrypted, and was changed, or belongs to another intent.
        """
        return self.drive(file_flow(self.prefix, self.seal, id_, size))

    def renewal(self, id_: str, generation: int) -> Renewal:
        """What an intent is sent under in the generation after this one.

        Raises:
            NotFound: It is gone.
            EncryptionKeyMissing: Its payload, which has to be read for it, is under a key that is not at hand.
            DoesNotVerify: The same, and it was changed, or belongs to another intent.
        """
        return self.drive(renewal_flow(self.prefix, self.seal, id_, generation))

    def is_open(self, reference: str) -> bool:
        """Whether an intent with this reference is recorded and not finished."""
        return self.drive(ended_flow(self.target, reference))[0] in OPEN

    def renewed_references(self, references: Sequence[str]) -> dict[str, str]:
        """Of some references those whose intents are sent under others now, each to that one.

        Args:
            references: As intents were accepted with them; those of later generations are not in the answer.
        """
        return self.drive(renewed_flow(self.target, references))

    def is_fresh(self, reference: str, within_s: float) -> bool:
        """Whether an intent with this reference was done so many seconds ago, or fewer."""
        state, at_ms = self.drive(ended_flow(self.target, reference))
        return state == State.DONE and self.now_ms() - at_ms <= within_s * 1000

    def change_gate(self, side: str, action: GateAction, code: str, wait_s: float) -> bool:
        """Pause or slow a side (``write`` or ``read``) of the target by a worker's word. Returns whether it is news."""
        from blnk_relay.intents.exchange import GateChange

        return self.complain(side, GateChange(action, code, wait_s))[0]

    def complain(self, side: str, change: GateChange, times: int = 1) -> tuple[bool, bool]:
        """Pause or slow one side of the target by a worker's word.

        Args:
            side: ``write``, ``read`` or ``lane:<lane>``.
            change: What it is.
            times: How many requests say so.

        Returns:
            Whether it is news, and whether nothing is to be sent now.
        """
        wait_ms = int(change.wait_s * 1000)
        news, shut = self.scripts.run("gate", side, change.action, change.code, wait_ms, "0", change.note, times)
        return bool(news), bool(shut)

    def now_ms(self) -> int:
        """The clock of the journal: that of Redis, less its steps."""
        return int(self.scripts.run("now")[0])

    def recorded_ledger(self) -> str:
        """The ledger that the target stands for since this journal was first used; empty for none yet."""
        with reported(variable=self.variable):
            recorded: Any = self.client.hget(self.key("ledger"), "is")
        return recorded or ""

    def rebind(self, ledger: str, *, who: str, reason: str, action: str = "") -> None:
        """Let the target stand for another address from now on, by a human's word that it is the same ledger.

        Args:
            ledger: See :attr:`blnk_relay.targets.Target.ledger`.
            who: Whose word it is.
            reason: Why; both are kept beside it until the next time.
            action: What is noted of it where it changes anything; see :func:`blnk_relay.journal.actions.told`.
        """
        self.scripts.run("rebind", ledger, f"{who}: {reason}"[:_MOST_NOTE], action)

    def check_server(self) -> list[str]:
        """Warnings about a server that could lose or evict the journal; empty when all is well.

        Raises:
            InvalidSettings: The journal's server, or the broker's, cannot be used at all; the sentence says what can.
            JournalUnavailable: The journal's server cannot be reached at all.
        """
        try:
            return self.drive(check_flow(self.settings, self._line.address, lambda: broker_is_cluster(self.settings)))
        except UnsuitableServer as error:
            raise InvalidSettings(str(error)) from None


def _left(strange: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Kinds that were left to others, and encryption keys whose intents were."""
    keys = tuple(name.removeprefix(_KEY) for name in strange if name.startswith(_KEY))
    return tuple(name for name in strange if not name.startswith(_KEY)), keys


@cache
def _findable() -> str:
    """Kinds whose keys may be forgotten; asked of them once, by whoever sweeps."""
    return ",".join(name for name, kind in KINDS.items() if kind.findable)
