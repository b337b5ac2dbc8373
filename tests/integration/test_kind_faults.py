"""Every kind under every fault of the sandbox, the books compared (decision 35).

All specimens of a fault are played at once, on a Valkey and a ledger of their own, by the tasks' real code over real
HTTP. The list of faults is the sandbox's: a new one joins by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from blnk_relay import Settings, Status, Write
from blnk_relay.sandbox import Faults, Sandbox
from blnk_relay.sandbox.books.frozen import Books
from blnk_relay.sandbox.faults.kinds import KINDS as FAULTS
from blnk_relay.sandbox.faults.kinds import Fault, FaultKind, Fits, Subject
from tests.support.hands import hands
from tests.support.haste import (
    AFTERWARDS_S,
    HASTE,
    HASTY_LEDGER,
    WAIT_S,
    Driver,
    drive,
    effects,
    needed,
    scene_of,
    settle,
)
from tests.support.specimens import SPECIMENS, Parts, Specimen
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

#: Requests of each specimen that fail: the first, and its repeat where there is one.
WRITES_STRUCK = 2

#: Reads that fail as well, after the writes were struck: a look-up must not be taken for its answer.
READS_STRUCK = 3

#: How long what a fault delays takes, beyond any timeout of its play.
LATE_S = 0.8

#: How far behind reads are, within what the settings allow for.
LAG_S = 0.4

#: A request that was given up may still be on its way for a while, and what is not answered is soon given up.
IMPATIENT = {"read_timeout_s": 0.5, "sync_read_timeout_s": 0.5, "quiet_s": 1.8}


def struck_by(fault: FaultKind, specimen: Specimen) -> bool:
    """Whether a fault makes sense for what a specimen sends; one that is about reads does for all."""
    request = specimen.first().request
    queueable = request.route in {"transaction", "split", "bulk", "refund", "inflight"}
    skipped = request.body.get("skip_queue") is True
    subject = Subject(
        method=request.method,
        path=request.path,
        identity="",
        queued=queueable and not skipped,
        skipped=queueable and skipped,
        hold=request.route == "inflight",
    )
    return fault.fits is Fits.READ or subject.suits(fault.fits)


#: Faults that nothing of ours can meet.
NEVER_MET = {
    "archived": "commits and voids are sent in skip mode only (contract §3.8)",
    "batch_disconnected": "no specimen is an atomic batch in skip mode; what is half done stays so (contract §14.4)",
    "batch_not_rolled_back": "as above (contract §14.8)",
    "batch_locked": "what was taken back stands in the books for good; test_bulk_and_split.py has it",
}


#: A no for good: what was never sent before ends as a letter. What follows an earlier try is in test_simulated.py.
REFUSED = "413"

#: Paths that several specimens are sent to, told apart by what they are about.
SHARED = {"/proxy/transactions", "/proxy/transactions/bulk", "/proxy/transactions/inflight/bulk/commit"}


@dataclass(frozen=True)
class Aim:
    """The write of one specimen, as it arrives at the ledger."""

    method: str
    path: str
    scene: str

    def hits(self, subject: Subject) -> bool:
        # Several are sent to these; elsewhere the path says whose it is, or only one is sent there.
        shared = self.path in SHARED
        here = (subject.method, subject.path) == (self.method, self.path)
        return here and (not shared or self.scene in subject.identity)


class Strikes(Faults):
    """Strikes the first requests of each aim, and a few of the reads that follow."""

    def __init__(self, fault: Fault, aims: Mapping[str, Aim]) -> None:
        self.fault = fault
        self.aims = aims
        self.struck: Counter[str] = Counter()
        self.reads = 0

    def decide(self, subject: Subject) -> Fault | None:
        fits = self.fault.kind.fits
        if subject.read:
            strikes = fits is Fits.READ or (fits is Fits.ANY and self.struck and self.reads < READS_STRUCK)
            self.reads += bool(strikes)
            return self.fault if strikes else None
        name = next((name for name, aim in self.aims.items() if aim.hits(subject)), None)
        if name is None or self.struck[name] >= WRITES_STRUCK:
            return None
        self.struck[name] += 1
        # What reads get wrong only matters where the answer to the write was lost.
        return Fault.of("drop_after") if fits is Fits.READ else self.fault


@dataclass(frozen=True)
class Ending:
    """How one specimen ended, by the journal and by the books."""

    status: Status
    parts: Parts
    part_ids: tuple[str, ...]
    batches: frozenset[str]
    struck: int
    sends: int


@dataclass(frozen=True)
class Played:
    """One fault, played on all specimens that it makes sense for."""

    endings: Mapping[str, Ending]
    books: Books
    before: int
    reads_struck: int


def seconds_of(kind: FaultKind) -> float | None:
    """How long a fault takes in a play: longer than its timeouts, shorter than the lag that it allows for."""
    if kind.wait_before or kind.wait_after:
        return LATE_S
    return LAG_S if kind.fits is Fits.READ else None


def settings_for(fault: str, redis_url: str, base_url: str) -> Settings:
    """The settings of a play."""
    late = FAULTS[fault].wait_before or FAULTS[fault].wait_after
    return Settings(
        **{**HASTE, **(IMPATIENT if late else {})},
        redis_url=redis_url,
        base_url=base_url,
        namespace=f"play-{fault.replace('_', '-')}",
    )


def play(sandbox: Sandbox, settings: Settings, name: str, see_through: Driver) -> Played:
    """Play one fault."""
    kind = FAULTS[name]
    specimens = [specimen for specimen in SPECIMENS.values() if struck_by(kind, specimen)]
    scenes = {specimen.name: scene_of(specimen.name, name) for specimen in specimens}
    with hands(settings) as runtime:
        ids = needed(runtime, specimens, scenes, see_through)
        before = effects(sandbox.books())
        aims = {specimen.name: aim_at(specimen, scenes[specimen.name], ids[specimen.name]) for specimen in specimens}
        plan = Strikes(Fault.of(name, seconds_of(kind)), aims)
        sandbox.set_faults(plan)
        writes = [
            Write(intent=specimen.make(scenes[specimen.name], ids[specimen.name]), key=scenes[specimen.name])
            for specimen in specimens
        ]
        statuses = settle(runtime, writes, see_through, name)
        sandbox.set_faults(Faults.none())
        # Whatever the ledger is still at must be over before its books are read.
        sandbox.step(AFTERWARDS_S)
        books, requests = sandbox.books(), sandbox.requests_seen()
        endings = {}
        for specimen in specimens:
            scene, aim = scenes[specimen.name], aims[specimen.name]
            endings[specimen.name] = Ending(
                statuses[scene],
                specimen.parts(books, scene, ids[specimen.name]),
                tuple(part.transaction_id for part in runtime.relay.parts(scene)),
                frozenset(row.parent_transaction for row in books.rows if scene in row.reference),
                plan.struck[specimen.name],
                sum((seen.method, seen.path) == (aim.method, aim.path) for seen in requests),
            )
    return Played(endings, books, before, plan.reads)


def aim_at(specimen: Specimen, scene: str, ids: Mapping[str, str]) -> Aim:
    """Where the request of a specimen will go: as that of its sample, with the ids that the ledger gave."""
    first = specimen.first()
    path = first.request.path
    for name, sample in first.ids.items():
        path = path.replace(sample, ids[name])
    return Aim(first.request.method, "/proxy" + path, scene)


def problems_of(played: Played, fault: str, name: str) -> list[str]:
    """What is not as it should be: what the journal says of a specimen is what the books hold, and it happened once."""
    specimen, ending = SPECIMENS[name], played.endings[name]
    status = ending.status
    ids = tuple(id_ for part in ending.parts for id_ in part)
    named = ending.part_ids == ids if len(ids) > 1 else (status.transaction_id,) == ids
    batched = not specimen.batch or (status.transaction_id or status.parent_id) in ending.batches
    told = f"{name} under {fault}: {status.state} {status.dead_class} {status.code}: {status.message}; {ending.parts}"
    return [
        f"{problem}: {told}"
        for problem, there in (
            ("never struck", not ending.struck),
            ("twice", any(len(part) > 1 for part in ending.parts)),
            ("not done", status.state != "done"),
            ("not in the books", not all(ending.parts)),
            ("other ids in the journal than in the books", not named),
            ("of another batch", not batched),
        )
        if there
    ]


def untrue(played: Played, fault: str) -> list[str]:
    """Sentences about all specimens that did not end as they should."""
    return [problem for name in played.endings for problem in problems_of(played, fault, name)]


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in {*NEVER_MET, REFUSED}])
def test_every_kind_happens_once_under_every_fault_and_the_books_hold_nothing_else(valkey: Any, fault: str) -> None:
    with Sandbox(HASTY_LEDGER) as sandbox:
        settings = settings_for(fault, f"redis://127.0.0.1:{valkey.port}/0", sandbox.url)
        played = play(sandbox, settings, fault, drive)
    assert untrue(played, fault) == []
    adds_up(played, fault)


def adds_up(played: Played, fault: str) -> None:
    """Every movement of money belongs to an intent that was accepted, and the books are sound."""
    asked = [ending for name, ending in played.endings.items() if SPECIMENS[name].moves]
    assert effects(played.books) == played.before + sum(len(ending.parts) for ending in asked)
    assert played.books.violations() == []
    assert played.reads_struck or FAULTS[fault].fits not in {Fits.ANY, Fits.READ}


@pytest.mark.parametrize("fault", ["drop_after", "500_no_effect"])
def test_it_is_the_same_with_a_real_worker(fault: str) -> None:
    with Stage(options=HASTY_LEDGER, settings={**HASTE, "sweep_s": 0.5}) as stage:
        stage.start_worker()
        done = play(stage.sandbox, stage.settings, fault, lambda _, is_over, what: wait_until(is_over, WAIT_S, what))
    assert untrue(done, fault) == []
    adds_up(done, fault)


def test_every_fault_meets_a_kind_or_there_is_a_reason_why_not() -> None:
    met = {fault.name for fault in FAULTS.values() if any(struck_by(fault, item) for item in SPECIMENS.values())}
    assert {name: NEVER_MET.get(name, "strikes no specimen") for name in set(FAULTS) - met} == NEVER_MET
