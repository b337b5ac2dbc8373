"""What is read of a journal for those who watch it by numbers: as much work for a long backlog as for none."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.lag import HistoryLag, lag_commands, lag_rest_flow
from blnk_relay.journal.locked import NO_LETTERS, Locked, LockedLetters, locked_flow, locked_letters_flow
from blnk_relay.journal.overview import Overview, overview_flow
from blnk_relay.journal.server import facts_of
from blnk_relay.journal.troubles import identity_trouble, loss_trouble
from blnk_relay.journal.vitals import JournalVitals
from blnk_relay.journal.workers import WorkerView, workers_flow
from blnk_relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Reading:
    """One journal at one moment.

    Attributes:
        target: Whose it is.
        overview: Depths, ages, gates and counters.
        workers: Worker programs, those that died lately among them.
        server: What its Redis says of itself; empty where we may not ask.
        ahead_s: How far the journal's time is ahead of this machine's.
        history: How far it is copied into history.
        locked: Intents in front of its lanes whose encryption key this process does not have.
        locked_letters: The same of its dead letters, the oldest and the newest of them.
        foreign: Whether it belongs to another ledger than the settings of this process mean.
        lost: Whether it may have lost its last moments lately.
    """

    target: str
    overview: Overview
    workers: tuple[WorkerView, ...]
    server: Mapping[str, str]
    ahead_s: float
    history: HistoryLag
    locked: tuple[Locked, ...] = ()
    foreign: bool = False
    lost: bool = False
    locked_letters: LockedLetters = NO_LETTERS


def reading_of(journal: Journal) -> Reading:
    """Read a journal.

    Raises:
        JournalUnavailable: Its Redis did not answer.
    """
    before_s = time.time()
    now_ms = journal.now_ms()
    ahead_s = now_ms / 1000 - (before_s + time.time()) / 2
    vitals = JournalVitals(journal.target, meant=journal.ledger, now_ms=now_ms)
    return journal.drive(_reading_flow(journal.settings, vitals, ahead_s, journal.seal.keys().names))


def _reading_flow(settings: Settings, vitals: JournalVitals, ahead_s: float, held: Sequence[str]) -> Flow[Reading]:
    target, now_ms = vitals.target, vitals.now_ms
    overview, _ = yield from overview_flow(settings, target)
    workers = yield from workers_flow(settings, target)
    server = facts_of((yield Run("server", ())))
    prefix = settings.prefix(target)
    locked = yield from locked_flow(prefix, [depth.lane for depth in overview.lanes], held, now_ms)
    letters = yield from locked_letters_flow(prefix, held, overview.dead)
    ground = (("HGET", f"{prefix}ground", "lost"), ("HGET", f"{prefix}ledger", "is"))
    lost, ledger, *told = yield Ask((*ground, *lag_commands(prefix)), whole=False)
    history = yield from lag_rest_flow(settings, target, now_ms, told)
    vitals = replace(vitals, ledger=ledger or "", lost_s=(now_ms - int(float(lost))) / 1000 if lost else None)
    foreign, is_lost = identity_trouble(vitals) is not None, loss_trouble(vitals) is not None
    return Reading(target, overview, workers, server, ahead_s, history, locked, foreign, is_lost, letters)
