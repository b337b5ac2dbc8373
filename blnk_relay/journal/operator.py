"""What operators do with the journal: look over it, list, replay, discard, pause and resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from blnk_relay.bell import Bells
from blnk_relay.errors import NotFound, Refused
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.states import State, StateName
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.listing import Listing, Wanted
from blnk_relay.journal.overview import Overview, leases_flow, overview_flow
from blnk_relay.journal.pauses import MAX_REASON, MAX_WHO, Act, Change, acts_flow, pause_flow, resume_flow
from blnk_relay.journal.status import Status, moment
from blnk_relay.kinds.registry import KINDS
from blnk_relay.replay import ReplayPlan, ReplayWay, plan_replay
from blnk_relay.settings import CONFIRM_LANE, Settings

#: Most letters of one bulk replay or discard.
MOST_AT_ONCE = 10_000


class Operator:
    """An operator's hands on the journal: look over it, list, replay and discard dead letters, pause and resume.

    All methods raise :class:`~blnk_relay.errors.JournalUnavailable` when Redis does not answer within its timeout.

    Args:
        journal: The journal, such as that of a relay (``relay.journal``). It stays its owner's to close.
        bells: To wake workers after a replay, a discard or a resume; bells of its own when None.

    Example:
        ::

            with Operator.from_env() as operator:
                for letter in operator.listed("dead", code="TXN_INSUFFICIENT_FUNDS"):
                    print(letter.key, operator.plan(letter).why)
    """

    def __init__(self, journal: Journal, bells: Bells | None = None) -> None:
        self.journal = journal
        self._bells = bells or Bells(journal.settings)
        self._listing = Listing(journal)
        self._closing: list[Callable[[], None]] = [] if bells else [self._bells.close]

    @classmethod
    def from_env(cls) -> Self:
        """An operator with a journal by the settings of the environment, which is closed with it.

        Raises:
            InvalidSettings: A variable is malformed or contradicts another.
        """
        made = cls(Journal(Settings.from_env()))
        made._closing.append(made.journal.close)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections that are its own."""
        for close in self._closing:
            close()

    def get(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """What has become of an intent; see :meth:`blnk_relay.Relay.get`.

        Raises:
            NotFound: No intent is known under the key.
        """
        return self.journal.find(key, target)

    def now(self) -> datetime:
        """The journal's time, which all times of intents and letters come from."""
        return moment(self.journal.now_ms())

    def overview(self) -> Overview:
        """Depths, ages, gates and counters.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        return self.journal.drive(overview_flow(self.journal.settings))

    def leases(self) -> dict[str, int]:
        """Intents in the hands of each worker, by its name (host, process id and a random part)."""
        return self.journal.drive(leases_flow(self.journal.settings.prefix))

    def acts(self, most: int = 20) -> tuple[Act, ...]:
        """The last pauses and resumes by operators, newest first.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        return self.journal.drive(acts_flow(self.journal.settings.prefix, most))

    def listed(
        self,
        state: StateName,
        *,
        kind: str | None = None,
        code: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        target: str | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Status]:
        """Intents of a state, newest first, read page by page as they are asked for.

        By the time at which they came into the state; ``ready``, ``sending`` and ``posted`` by when they are due, when
        their lease ends, and when the ledger is looked at next.

        Args:
            state: One of :class:`blnk_relay.intents.states.State`.
            kind: Only of this kind.
            code: Only with this code.
            since: Only what came into this state at or after this time; for ``ready`` and ``posted``: changed since.
            until: Only what came into this state before this time.
            key: Only the intent with this key or id.
            target: Only of this ledger; the one that the key belongs to.
            oldest_first: The other way round.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        return self._listing.listed(Wanted(state, kind, code, since, until, target), key=key, oldest_first=oldest_first)

    def check_filters(
        self,
        states: Sequence[StateName],
        *,
        kind: str | None = None,
        code: str | None = None,
        target: str | None = None,
    ) -> None:
        """Refuse what cannot match, so that a typing error does not look like an empty list.

        Args:
            states: The states that are listed.
            kind: A kind; one of another version counts as known once an intent of it was enqueued or died.
            code: A code; checked when only dead letters are listed, because any answer's code may stand elsewhere.
            target: A ledger; one that the settings no longer name counts as known while the journal has a lane of it.

        Raises:
            NotFound: There is no such kind or target, or no letter ever died of this code.
            JournalUnavailable: Redis did not answer.
        """
        self._listing.check(states, kind=kind, code=code, target=target)

    def plan(self, status: Status) -> ReplayPlan:
        """What a replay of a dead letter would do."""
        if status.state != "dead":
            return ReplayPlan(ReplayWay.NO, f"it is {status.state}, not dead")
        if status.unreadable and status.kind in KINDS:
            return ReplayPlan(ReplayWay.NO, "what was recorded of it is broken: settle it by hand, then discard it")
        return plan_replay(status.kind, status.dead_class, status.code)

    def replay(self, status: Status, *, who: str, reason: str = "") -> ReplayPlan:
        """Give a dead letter a new life. Nothing is sent before the ledger was asked, where it may have been sent.

        Args:
            status: The dead letter.
            who: Who says so.
            reason: Why; kept in its log.

        Returns:
            What was done.

        Raises:
            Refused: It would double, or could never end otherwise; the message says why.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        plan = self.plan(status)
        if plan.way is ReplayWay.NO:
            raise Refused(f"intent {status.id} is not replayed: {plan.why}")
        fresh = plan.way is ReplayWay.FRESH
        renewal = self.journal.renewal(status.id, status.generation) if fresh else None
        answer, bells, *taken = self.journal.scripts.run(
            "replay",
            status.id,
            int(self.journal.settings.deadline_s * 1000),
            "1" if fresh else "0",
            *(renewal.encoded().values() if renewal else ("", "", "")),
            self._line("replayed", who, reason or plan.why),
            f"{status.generation}|{status.dead_class}|{status.code}",
        )
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer == "changed":
            raise Refused(f"intent {status.id} is not replayed: it has died again since it was looked at")
        if answer == "taken":
            reference = taken[0].removeprefix(f"{status.target}:")
            raise Refused(f"intent {status.id} is not replayed: reference {reference!r} is taken by an intent already")
        if answer != "replayed":
            raise Refused(f"intent {status.id} is not replayed: it is {answer}, not dead")
        self._bells.ring(bells)
        return plan

    def discard(self, status: Status, *, who: str, reason: str) -> None:
        """Close a dead letter by a human's word; what waited behind it goes on.

        Args:
            status: The dead letter.
            who: Who says so.
            reason: Why; kept for ever.

        Raises:
            Refused: There is no reason, or it is not dead.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        if not reason.strip():
            raise Refused("a dead letter is only discarded with a reason")
        line = self._line("discarded", who, reason)
        answer, bells = self.journal.scripts.run("discard", status.id, line, self.journal.settings.events_max)
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer != State.DISCARDED:
            raise Refused(f"intent {status.id} is not discarded: it is {answer}, not dead")
        self._bells.ring(bells)

    def pause_lane(self, lane: str, *, who: str, reason: str = "") -> Change:
        """Let workers claim nothing more from a lane; what is being sent is finished.

        Args:
            lane: The lane.
            who: Who says so.
            reason: Why.

        Returns:
            Whose pause stands: this one or, unchanged, an earlier one by the same person.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer.
        """
        self._known(lane)
        return self.journal.drive(pause_flow("lane", lane, who, reason))

    def resume_lane(self, lane: str, *, who: str = "", reason: str = "") -> Change:
        """Let workers claim from a lane again.

        Returns:
            Whose pause has ended.

        Raises:
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer.
        """
        self._known(lane)
        ended = self.journal.drive(resume_flow(self.journal.settings, "lane", lane, who, reason))
        self._bells.ring([lane])
        return ended

    def pause_target(self, target: str, *, who: str, reason: str = "") -> Change:
        """Stop all requests to a target until it is resumed; nobody probes it meanwhile. See :meth:`pause_lane`.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        self._known_target(target)
        return self.journal.drive(pause_flow("target", target, who, reason))

    def resume_target(self, target: str, *, who: str = "", reason: str = "") -> Change:
        """Open all gates of a target, those that workers have shut or slowed as well.

        Returns:
            Whether one was shut or slowed, and whose pause has ended.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        self._known_target(target)
        ended = self.journal.drive(resume_flow(self.journal.settings, "target", target, who, reason))
        self._bells.ring((*self.journal.settings.lanes, CONFIRM_LANE))
        return ended

    def _known(self, lane: str) -> None:
        if lane not in self.journal.settings.lanes:
            raise NotFound(f"no lane {lane!r}; the settings list {', '.join(self.journal.settings.lanes)}")

    def _known_target(self, target: str) -> None:
        known = self.journal.settings.ledgers
        if target not in known:
            raise NotFound(f"no target {target!r}; the settings name {', '.join(known)}")

    def _line(self, what: str, who: str, reason: str) -> str:
        return json.dumps(
            {"at": self.journal.now_ms(), "what": what, "by": who[:MAX_WHO], "note": reason[:MAX_REASON]},
            ensure_ascii=False,
        )
