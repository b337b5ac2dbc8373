"""What befalls between two reads of one decision: no verdict may come of it that was true at no moment.

Whole lives of a specimen of each kind, by the real decisions and the real reading back of the sandbox's core, on
virtual time. A request that was given up arrives just before one of the reads, as late as it may; and the reading takes
longer than what is waited for, at each read or once in its middle. The journal is imitated in a few lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from blnk_relay.intents.decision import Send
from blnk_relay.intents.exchange import Failure, Request, Response
from blnk_relay.intents.intent import DEFAULT_TARGET, Intent
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.states import State
from blnk_relay.journal.claimed import Claimed, progress_of
from blnk_relay.journal.entries import new_entry
from blnk_relay.journal.settlement import Settlement
from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox import Options
from blnk_relay.sandbox.clock import MANUAL_START_NS, SECOND_NS
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.instance import Instance
from blnk_relay.settings import Settings, policy_of
from tasks.lookups import decisions
from tasks.runtime import Runtime
from tasks.settlements import Sent, after_attempt, after_look
from tests.simulation.stories import RESULTS
from tests.support.specimens import SPECIMENS
from worker.ledger.ledgers import ledger_of
from worker.ledger.wire import _response

#: Looks are as rare at first as a request takes, so that a life is a few reads.
SETTINGS = Settings(token=Options().token, instance_id=Options().instance_id, bulk_inflight=True, confirm_first_s=10.0)
POLICY = policy_of(SETTINGS)

START_MS = MANUAL_START_NS // 1_000_000

#: After how long a request is given up.
GIVEN_UP_S = 5.0

#: How far the ledger's time is taken at the end, to see what still happens.
AFTERWARDS_S = 12 * 3600.0

#: Looks of one life at most, and reads before which something befalls.
MOST_STEPS, MOST_READS = 400, 100

#: A no for good, whatever the route.
NO = Response(status=413, code="TOO_LARGE", message="too large")
NO_ANSWER = Response(code="ReadTimeout", message="no answer from the ledger", failure=Failure.BROKEN)


@dataclass(frozen=True)
class Play:
    """One life.

    Attributes:
        specimen: Name of what is played.
        fates: What becomes of its requests, one after the other; of all that follow, what becomes of the last: ``ok``,
            ``late`` (it arrives before a read), ``lost`` (its answer is) or ``no`` (it is refused).
        read: Before which of its reads it arrives, counted from 1.
        slow_s: How long each read takes.
        pause_s: How long nobody can read just then.
        records_s: How long the ledger takes to record what it was handed.
        route: How the ledger is read.
    """

    specimen: str
    fates: tuple[str, ...]
    read: int
    slow_s: float = 0.0
    pause_s: float = 0.0
    records_s: float = 0.005
    route: str = "filters"


class Journal:
    """Knows of nobody else."""

    def is_open(self, _: str) -> bool:
        return False

    def is_fresh(self, _: str, __: float) -> bool:
        return False

    def renewed_references(self, _: Any) -> dict[str, str]:
        return {}


class Wire:
    """In the place of the wire: what happens to a request is the life's to say."""

    life: Life

    def __init__(self, *_: Any) -> None:
        """There is nothing to connect to."""

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, **_: Any) -> Response:
        place, _, query = path.partition("?")
        request = WireRequest(
            method=method,
            path=unquote(place),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in headers.items()},
            body=body or b"",
        )
        reads = method == "GET" or place.endswith("/filter")
        return self.life.read(request) if reads else self.life.write(request)


@dataclass
class _Answer:
    status_code: int
    headers: Mapping[str, str]


class Life:
    """A ledger, and one intent from its acceptance to its end.

    Attributes:
        now_s: The time of all clocks.
        fields: The intent's hash in the journal.
        reads: How many reads were made for it.
        log: Its story.
    """

    def __init__(self, play: Play) -> None:
        Wire.life = self
        self.play, self.specimen = play, SPECIMENS[play.specimen]
        self.now_s, self.reads = 0.0, 0
        self.log: list[str] = []
        self.fates: list[str] = []
        #: What is under way still, and until when.
        self.late: tuple[WireRequest, float] | None = None
        self.instance = Instance(Options(manual_clock=True))
        target = replace(SETTINGS.ledgers[DEFAULT_TARGET], confirm_route=play.route)
        journal: Any = Journal()
        nobody: Any = None
        self.ledger = ledger_of(SETTINGS, target, journal, nobody)
        self.runtime = Runtime(
            settings=SETTINGS,
            target=DEFAULT_TARGET,
            journal=journal,
            bells=nobody,
            ledger=self.ledger,
            reports=nobody,
            policy=POLICY,
            worker="w",
        )
        self.ids: dict[str, str] = {}
        for name, make in self.specimen.needs.items():
            self.ids[name] = self._prepared(name, make("scene", self.ids))
        self.intent = self.specimen.make("scene", self.ids)
        self.entry = new_entry(self.intent, "a-key", "a-lane", not_before="+0", deadline="+1", tag="blnk_relay").entry

    def lead(self) -> None:
        """From its acceptance to its end."""
        self.reads, self.fates = 0, list(self.play.fates)
        self.instance.switch({"persist_s": self.play.records_s})
        since, deadline = str(self.now_ms()), str(self.now_ms() + int(AFTERWARDS_S * 1000))
        self.fields = {"state": "ready", "since": since, "created": since, "deadline": deadline}
        for _ in range(MOST_STEPS):
            if self.fields["state"] in ("done", "dead"):
                return
            claimed = self._claimed()
            origin = State.POSTED if self.fields["state"] == "posted" else State.SENDING
            (decided,), _ = decisions(self.runtime, [claimed])
            decision = decided.decision
            self._say(f"{origin}: {decision}")
            if isinstance(decision, Send) and origin is State.SENDING:
                if decision.memo is not None:
                    self.fields["memo"] = json.dumps(decision.memo)
                self._attempt(self._claimed())
            else:
                self._settle(after_look(claimed, origin, decision, self.now_ms(), "w", unread=decided.unread))  # type: ignore[arg-type]

    def problems(self) -> list[str]:
        """What of its end the books contradict, once nothing can happen any more."""
        self._arrive()
        self.now_s += AFTERWARDS_S
        self._catch_up()
        stands = [len(part) for part in self.specimen.parts(self.instance.books(), "scene", self.ids)]
        state, code, dead_class = (self.fields.get(name, "") for name in ("state", "code", "class"))
        wrong = {
            "stuck": state not in ("done", "dead"),
            "twice": any(number > 1 for number in stands),
            "lost": state == "done" and not all(stands),
            "untrue": (dead_class in ("refused", "rejected") and any(stands))
            or (dead_class == "partial" and (all(stands) or not any(stands)))
            or (code == "VANISHED" and any(stands)),
        }
        return [f"{name}: {state} {dead_class} {code}, stands {stands}" for name, is_so in wrong.items() if is_so]

    def now_ms(self) -> int:
        """By the journal's clock."""
        return START_MS + round(self.now_s * 1000)

    # -- the ledger --------------------------------------------------------------------------------------------------

    def read(self, request: WireRequest) -> Response:
        """Answer a read, before which something may befall."""
        self.reads += 1
        if self.reads == self.play.read and self.fates:
            self._arrive()
            self.now_s += self.play.pause_s
        answer = self._act(request)
        self.now_s += self.play.slow_s
        return answer

    def write(self, request: WireRequest) -> Response:
        """Answer a write, or not."""
        fate = self.fates.pop(0) if len(self.fates) > 1 else (self.fates or ["ok"])[0]
        self._say(f"sent: {fate}")
        if fate == "no":
            return NO
        answer = NO_ANSWER if fate == "late" else self._act(request)
        if fate in ("late", "lost"):
            self.now_s += GIVEN_UP_S
        if fate == "late" and self.late is None:
            self.late = (request, self.now_s + SETTINGS.quiet_s)
        return NO_ANSWER if fate == "lost" else answer

    def _arrive(self) -> None:
        """What is late arrives, if it is not lost by now."""
        if self.late is not None and self.now_s <= self.late[1]:
            self._say(f"arrives before read {self.reads}: {self._act(self.late[0]).status}")
        self.late = None

    def _act(self, request: WireRequest) -> Response:
        self._catch_up()
        exchange = self.instance.edge.open(request)
        answer = self.instance.edge.act(exchange)
        self.instance.edge.close(exchange, answer)
        told: Any = _Answer(answer.status, answer.headers)
        return _response(told, answer.body, 1)

    def _catch_up(self) -> None:
        clock = self.instance.core.clock
        clock.step(max(0.0, self.now_s - (clock.now_ns() - MANUAL_START_NS) / SECOND_NS))

    def _prepared(self, name: str, intent: Intent) -> str:
        """Something that is in the ledger before."""
        entry = new_entry(intent, f"before.{name}", "a-lane", not_before="+0", deadline="+1", tag="blnk_relay").entry
        request = self._request(entry, Progress(START_MS, START_MS, START_MS + 1), intent)
        body = self.ledger.send(request, "r", start_by_s=float("inf")).body or {}
        self.now_s += 1
        self._catch_up()
        if intent.kind != "transaction":
            return str(body[RESULTS[intent.kind]])
        names, books = (intent.reference, f"{intent.reference}_q"), self.instance.books()
        over = (row for row in books.rows if row.reference in names and row.status in ("APPLIED", "INFLIGHT"))
        return next(over).transaction_id

    # -- the journal -------------------------------------------------------------------------------------------------

    def _claimed(self) -> Claimed:
        return Claimed(self.entry, progress_of(self.entry.kind, self.fields, self.now_ms()), "1", claimed_s=self.now_s)

    def _attempt(self, claimed: Claimed) -> None:
        kind, at_ms = KINDS[self.entry.kind], self.now_ms()
        request = self._request(self.entry, claimed.progress, self.intent)
        response = self.ledger.send(request, "r", start_by_s=float("inf"))
        verdict = kind.judge(self.entry, claimed.progress, request, response, POLICY)
        self._settle(after_attempt(claimed, Sent(at_ms, self.now_ms(), response, verdict, "r", "w")))

    def _request(self, entry: Any, progress: Progress, intent: Intent) -> Request:
        request = KINDS[entry.kind].request(entry, progress, POLICY)
        return request if request.file is None else replace(request, file=(request.file[0], intent.file or b""))

    def _settle(self, settlement: Settlement) -> None:
        self.fields |= {"state": settlement.to} | settlement.fields
        self.now_s += settlement.in_ms / 1000

    def _say(self, what: str) -> None:
        self.log.append(f"{self.now_s:8.1f} s, {self.reads} reads: {what}")


def played(specimen: str, fates: tuple[str, ...], **world: Any) -> Iterator[tuple[Play, Life]]:
    """Lives in which it befalls before the first read, the second, and so on, up to the last of them."""
    most = 1
    for read in range(1, MOST_READS):
        if read > most:
            return
        play = Play(specimen, fates, read, **world)
        life = Life(play)
        life.lead()
        most = max(most, life.reads)
        yield play, life


@pytest.fixture(autouse=True)
def _in_its_place(monkeypatch) -> None:
    """The virtual time and wire; and one item in each look at a bulk, so that looks at three are several."""
    monkeypatch.setattr("worker.ledger.proxy.Wire", Wire)
    monkeypatch.setattr("tasks.lookups.steady_s", lambda: Wire.life.now_s)
    monkeypatch.setattr("blnk_relay.families.items.WINDOW", 1)


def assert_true(specimen: str, fates: tuple[str, ...], **world: Any) -> None:
    for play, life in played(specimen, fates, **world):
        assert not life.problems(), "\n".join([str(play), *life.log])


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_what_arrives_between_two_reads_is_neither_doubled_nor_denied(specimen) -> None:
    for fates in (("late", "ok"), ("late", "no")):
        assert_true(specimen, fates, pause_s=POLICY.quiet_s + 10)


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_reads_that_take_longer_than_what_is_waited_for_tell_no_less(specimen) -> None:
    assert_true(specimen, ("late", "no"), slow_s=POLICY.read_lag_s + 10)


@pytest.mark.long
@pytest.mark.parametrize("fates", [("late", "ok"), ("late", "no"), ("lost", "no"), ("late", "lost"), ("ok",)])
@pytest.mark.parametrize("specimen", SPECIMENS)
def test_whatever_takes_long_nothing_is_doubled_or_denied(specimen, fates) -> None:
    for route in ("filters", "core"):
        for records_s in (0.005, POLICY.horizon_s - SETTINGS.quiet_s):
            for slow_s, pause_s in ((0.0, 40.0), (0.0, 100.0), (0.0, 1000.0), (20.0, 0.0), (45.0, 0.0), (100.0, 0.0)):
                assert_true(specimen, fates, route=route, records_s=records_s, slow_s=slow_s, pause_s=pause_s)
