"""What befalls a run: its trips to the journal, its exchanges with the ledger, and what its plan says of a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from blnk_relay.sandbox.faults.kinds import Fault
from tests.simulation import clockwork
from tests.simulation.clockwork import Process, current
from tests.simulation.excuses import Loss
from tests.simulation.journal_side import OLDER
from tests.simulation.ledger_side import Strike
from tests.simulation.plan import Event
from tests.simulation.run import Run

#: Trips that a loss may go back at most.
_RING = 30

#: Places for what losses by the clock go back to, and behind them those for the last trips.
_BY_CLOCK = 8
_RING_FROM = OLDER + _BY_CLOCK

#: And for what it goes back to when all is over.
_AT_THE_END = _RING_FROM + _RING

#: What takes a part of the journal's last moments, or may have.
LOSSES = frozenset({"failover", "restart", "set back"})


class Trouble:
    """What befalls one run.

    Args:
        run: That one.
        act: Has somebody do what an event says that operators and producers do.
        lost: Told whenever the journal may have lost something.
    """

    def __init__(self, run: Run, act: Callable[[Event], None], lost: Callable[[], None]) -> None:
        self.run = run
        self._act, self._lost = act, lost
        plan = run.plan
        losses = [event for event in plan.events if event.what in LOSSES]
        #: A request that leaves in moments which are lost is measured from their end, not from when it was given up.
        self._given_up = not losses
        #: The last trips, where a loss by trips is still to come: how many there were, and since which one may be lost.
        self._losses_by_trips = sum(event.on.startswith("trip") for event in losses)
        self._ring: dict[int, int] = {}
        self._trips = self._protected_from = 0
        self._seen: Counter[str] = Counter()
        self._on: dict[tuple[str, int], Event] = {
            (f"write of {event.of}" if event.on == "write of" else event.on, event.nth): event
            for event in plan.events
            if event.on != "time"
        }
        #: The loss that comes when all is over, of all that came after so many trips.
        self._at_the_end = next((event for event in plan.events if event.on == "end"), None)
        #: Trips that were made since all was there.
        self.made = 0
        self._bells_lost_s = 0.0

    # -- for those inside -------------------------------------------------------------------------------------------

    def trip(self, name: str, carry: Callable[[], Any], timeout_s: float) -> Any:
        """Something on its way to the journal's server and back."""
        hub, server = self.run.hub, self.run.server
        actor = current()
        event = self._befalls(f"trip {name}") or self._befalls("trip any") if self.run.faulty else None
        what = "" if event is None else event.what
        if event is not None:
            self._note(event, f"{actor.process} {actor.name}: {name}")
            self._hurt(actor.process, event, "before")
            if what in LOSSES:
                self._lose_trips(event)
        if server.away_s > hub.now_s:
            hub.sleep(0.001)
            raise RedisConnectionError("away")
        hub.sleep(hub.random.random() * 0.0015)
        if what == "refuse":
            raise ReadOnlyError("READONLY You can't write against a read only replica.")
        if what in {"lose request", "late"}:
            if what == "late":
                run = server.run

                def arrive() -> None:
                    if server.run == run:
                        self.run.say(f"a {name} that was given up arrives")
                        with suppress(ResponseError):  # nobody is told
                            self._carried(name, carry)

                hub.call(event.seconds, arrive)  # type: ignore[union-attr]
            hub.sleep(timeout_s)
            raise RedisTimeoutError("Timeout reading from socket")
        if server.away_s > hub.now_s:
            raise RedisConnectionError("away")
        if what == "double":
            self._carried(name, carry)
            hub.sleep(hub.random.random() * 0.0015)
        answer = self._carried(name, carry)
        self.made += 1
        self._keep_for_the_end()
        if self._losses_by_trips and self.run.faulty:
            self._trips += 1
            self.run.valkey.keep(_RING_FROM + self._trips % _RING)
            self._ring[self._trips] = _RING_FROM + self._trips % _RING
            self._ring.pop(self._trips - _RING, None)
        if self.run.tells:
            self.run.say(f"{actor.process} {actor.name}: {name} -> {_short(answer)}")
        if event is not None:
            self._hurt(actor.process, event, "after")
        if what == "lose answer":
            hub.sleep(timeout_s)
            raise RedisTimeoutError("Timeout reading from socket")
        hub.sleep(hub.random.random() * 0.0015)
        return answer

    def _carried(self, name: str, carry: Callable[[], Any]) -> Any:
        """What the server answers. That a script or a command is wrong is nothing that may befall a journal."""
        try:
            return carry()
        except ResponseError as error:
            if str(error).startswith("ERR"):
                raise clockwork.Broken(f"{name}: {error}") from error
            raise

    def durable(self, durability: str) -> Any:
        """What a WAIT or WAITAOF answers, after what it waits for is there, or its time is over."""
        hub = self.run.hub
        reached = hub.random.random() > (0.15 if self.run.faulty else 0.0)
        if reached:
            hub.sleep(hub.random.random() * 0.01)
            protected = "restart" if durability == "fsync" else "failover"
            self._protected_from = self._trips
            for number, what in self.run.server.kept.items():
                if what == protected:
                    # What was waited for survives what it protects against.
                    self.run.valkey.keep(number)
        else:
            hub.sleep(self.run.settings.durability_timeout_s)
        if durability == "fsync":
            return [1 if reached else 0, 0]
        return 1 if reached else 0

    def strike(self, write: bool, read_s: float) -> Strike:
        """What befalls an exchange with the ledger, whose answer is waited for that long."""
        event = self._befalls("write" if write else "read") if self.run.faulty else None
        if write and self.run.faulty:
            aimed = self._befalls(f"write of {self.run.story_of.get(intent(), '')}")
            event = event or aimed
        if event is None:
            return Strike()
        actor = current()
        where = f"{actor.process} {actor.name}"
        if not event.what.startswith("ledger "):
            self._note(event, where)
        strike = Strike(
            before=lambda: self._hurt(actor.process, event, "before"),
            after=lambda: self._hurt(actor.process, event, "after"),
        )
        what, say = event.what, self.run.say
        if what.startswith("ledger "):
            seconds = event.seconds
            if what.endswith("read_lag"):
                # No read lags by more than the settings allow for.
                most_s = self.run.settings.read_lag_s - self.run.ledger.core.options.read_lag_s
                seconds = min(seconds, 0.95 * most_s)
            strike.fault = Fault.of(what.removeprefix("ledger "), seconds)
            strike.met = lambda suits: (
                self._note(event, where) if suits else say(f"*** {event} -- {where}: does not suit the request")
            )
        elif what in {"unsent", "lose request", "lose answer"}:
            strike.lose = what.removeprefix("lose ")
        elif what.endswith("late"):
            strike.late_s = event.seconds * (self.run.settings.quiet_s + (read_s if self._given_up else 0.0))
        elif what == "doubled answer":
            strike.doubled = True
        return strike

    def rung(self, lane: str) -> None:
        """A bell was rung: some worker hears it, in a moment."""
        if self.run.faulty and self._bells_lost_s > self.run.hub.now_s:
            return
        self.run.hub.call(self.run.hub.random.random() * 0.004, lambda: self._heard(lane))

    def _heard(self, lane: str) -> None:
        living = [worker for worker in self.run.workers if worker.process.alive]
        if not living:
            # It waits in its queue, and then there are others.
            self.run.hub.call(0.5, lambda: self._heard(lane))
            return
        worker = self.run.hub.random.choice(living)
        self.run.hub.spawn(worker.process, lambda: worker.hear(lane), "consumer")

    def _befalls(self, on: str) -> Event | None:
        self._seen[on] += 1
        return self._on.get((on, self._seen[on]))

    def _note(self, event: Event, where: str) -> None:
        on = event.on.partition(" ")[0]
        self.run.struck[f"{on} {event.what}"] += 1
        if on == "trip":
            self.run.struck_trips[event.on.removeprefix("trip ")] += 1
        self.run.say(f"*** {event} -- {where}")

    def _hurt(self, process: Process, event: Event, when: str) -> None:
        """A crash or a freeze of whoever is at it."""
        what, _, side = event.what.partition(" ")
        if what == "freeze" and side == "late" and when == "before":
            # It wakes with a part of its lease left, and then its request takes its time.
            process.frozen_s = self.run.hub.now_s + 6.5 + 10 * self.run.hub.random.random()
            self.run.hub.sleep(0.0)
            return
        if side != when or what not in {"crash", "freeze"}:
            return
        worker = next((worker for worker in self.run.workers if worker.process is process), None)
        if what == "freeze" or worker is None:
            process.frozen_s = self.run.hub.now_s + (event.seconds or 1.0)
        else:
            worker.die(0.3 + self.run.hub.random.random() * 3)
        self.run.hub.sleep(0.0)

    # -- what befalls by the clock ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """All is there: what is counted is counted from now on."""
        self.made = 0
        self._keep_for_the_end()
        self._seen.clear()

    def expect(self) -> None:
        """What befalls by the clock is due from now on."""
        hub = self.run.hub
        for number, event in enumerate(self.run.plan.events):
            if event.on != "time":
                continue
            at_s = event.nth / 10
            if event.what in LOSSES and event.seconds:
                place = OLDER + number % _BY_CLOCK
                hub.call(max(0.0, at_s - event.seconds), lambda place=place, event=event: self._keep(place, event))
            hub.call(at_s, lambda event=event: self._befall(event))

    def end(self) -> None:
        """All has come to its end: what comes then."""
        if self._at_the_end is not None:
            self._note(self._at_the_end, "all has ended")
            self._lose(self._at_the_end, _AT_THE_END)

    def _keep_for_the_end(self) -> None:
        if self._at_the_end is not None and self.made == self._at_the_end.nth:
            self.run.valkey.keep(_AT_THE_END)

    def _keep(self, place: int, event: Event) -> None:
        self.run.valkey.keep(place)
        self.run.server.kept[place] = event.what

    def _befall(self, event: Event) -> None:
        if not self.run.faulty:
            return
        hub, server = self.run.hub, self.run.server
        self._note(event, "")
        worker = self.run.workers[event.of % len(self.run.workers)]
        match event.what:
            case "crash":
                worker.die(min(event.seconds, 20.0))
            case "freeze":
                worker.process.frozen_s = hub.now_s + event.seconds
            case "stop":
                worker.runtime.stopping.set()
                hub.call(40.0, lambda process=worker.process: worker.die(0.1) if worker.process is process else None)
            case "step":
                server.step_s += event.seconds
            case "away":
                server.away_s = hub.now_s + min(event.seconds, 20.0)
            case "full":
                server.full_s = hub.now_s + event.seconds
            case "core crash":
                self.run.ledger.catch_up()
                self.run.ledger.core.crash()
            case "core queue lost":
                self.run.ledger.catch_up()
                self.run.ledger.core.lose_queue()
            case "bells lost":
                self._bells_lost_s = hub.now_s + event.seconds
            case "failover" | "restart" | "set back":
                place = OLDER + self.run.plan.events.index(event) % _BY_CLOCK
                self._lose(event, place if place in self.run.server.kept else None)
            case _:
                self._act(event)

    def _lose_trips(self, event: Event) -> None:
        """The same, by trips."""
        self._losses_by_trips -= 1
        durability = self.run.given["durability"]
        protects = "restart" if durability == "fsync" else "failover" if durability != "memory" else ""
        back_to = self._trips - int(event.seconds)
        if event.what == protects:
            back_to = max(back_to, self._protected_from)
        place = self._ring.get(max(back_to, min(self._ring, default=0)))
        self._ring.clear()
        self._lose(event, place)

    def _lose(self, event: Event, place: int | None) -> None:
        """Another process serves the journal, with what one had a while ago; or the same, set back to a snapshot."""
        run = self.run
        run.server.lives += 1
        if event.what == "set back":
            run.fencing.set_back()
        else:
            run.server.run += 1
        run.server.kept.pop(place or 0, None)
        if place is not None:
            there = run.states()
            run.valkey.go_back(place)
            # What was noted before it is of a life that is over.
            run.server.kept.clear()
            self._ring.clear()
            if event.what != "set back":
                # No durability protects from a snapshot.
                self._keep_to_receipts(event, there)
            states = run.states()
            run.taken |= {key for key in run.receipts if not states.get(key)}
        # Whether anything was lost nobody can tell: another process serves the journal.
        over = {key for key, state in run.states().items() if state in {"done", "cancelled", "discarded"}}
        run.losses.append(Loss(run.hub.now_s, event.what, frozenset(over)))
        run.server.away_s = max(run.server.away_s, run.hub.now_s + run.hub.random.random() * 2)
        self._lost()

    def _keep_to_receipts(self, event: Event, there: Mapping[str, str]) -> None:
        """What a receipt waited for is there after what that protects against, before anybody enqueues again.

        What something else took before was not there to be kept, even if somebody has enqueued it again meanwhile:
        until that is answered with a receipt of its own, nobody was told that it is protected.
        """
        protected = "fsync" if event.what == "restart" else "replicated"
        states = self.run.states()
        self.run.problems += [
            f"lost: {key} has a receipt ({receipt.durability}), and a {event.what} took what it is for"
            for key, receipt in self.run.receipts.items()
            if receipt.durability.startswith(protected) and key not in self.run.taken
            if there.get(key) and not states.get(key)
        ]


def _short(answer: Any) -> str:
    text = str(answer)
    return text if len(text) < 900 else text[:897] + "..."


def intent() -> str:
    """Id of the intent that the current actor writes for."""
    return getattr(current(), "about", None) or ""
