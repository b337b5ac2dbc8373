"""A ledger that is not there: what it costs while it is away, what is seen of it, and how it is taken up again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from blnk_relay import Relay, Write
from blnk_relay.journal.overview import GateView
from blnk_relay.sandbox import Options
from tests.support.counting import assert_exactly_once, states, wait_for_all
from tests.support.door import Door
from tests.support.payments import payment
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.demo.stage import INSTANCE, TOKEN, Stage

BACKLOG = 300

#: So many probes are waited for; each comes half a second after the one before, at the earliest.
PROBES = 6


@dataclass
class Away:
    """A stage whose ledger stands behind a door."""

    stage: Stage
    relay: Relay
    door: Door

    def gate(self, side: str) -> GateView | None:
        gates = operator_of(self.relay).overview().gates
        return next((gate for gate in gates if gate.side == side), None)

    def lost(self, side: str) -> bool:
        gate = self.gate(side)
        return gate is not None and gate.state == "unreachable"

    @property
    def connects(self) -> int:
        """Requests that never left."""
        return operator_of(self.relay).overview().counts.get("attempt|not_sent", 0)

    def told(self, what: str) -> list[str]:
        return re.findall(what, self.stage.log.read_text())


@pytest.fixture
def away() -> Iterator[Away]:
    options = Options(token=TOKEN, instance_id=INSTANCE)
    with Stage(options=options) as stage:
        port = int(stage.sandbox.url.rsplit(":", 1)[1])
        with closing(Door(port)) as door:
            stage.settings = type(stage.settings)(
                **{
                    **{name: getattr(stage.settings, name) for name in _OF_STAGE},
                    "base_url": door.url,
                    "probe_s": 0.5,
                }
            )
            with Relay(stage.settings) as relay:
                yield Away(stage, relay, door)


_OF_STAGE = (
    *("redis_url", "token", "instance_id", "slice_s", "confirm_first_s", "confirm_max_s", "read_lag_s", "quiet_s"),
    *("retry_base_s", "retry_cap_s", "horizon_s", "stuck_horizon_s"),
)


def test_an_outage_costs_a_few_probes_and_nobodys_attempts_and_ends_without_a_stampede(away):
    receipts = away.relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(BACKLOG)])
    away.stage.start_worker()
    wait_until(lambda: away.lost("write"), 20, "the gate to shut")
    # What was on its way is given back; from here on there is one probe at a time.
    wait_until(lambda: not operator_of(away.relay).overview().sending, 10, "the batch to be given back")
    first = away.gate("write")
    before, commands = away.connects, away.relay.journal().client
    size = commands.info("persistence")["aof_current_size"]
    wait_until(lambda: away.connects >= before + PROBES, 30, f"{PROBES} probes")
    grown = commands.info("persistence")["aof_current_size"] - size
    assert grown < 64_000 * PROBES / 2, "some commands a probe, whatever waits behind it"

    statuses = [away.relay.get(receipt.id) for receipt in receipts]
    assert {status.state for status in statuses} <= {"ready", "sending"}, "no letters"
    assert sum(status.attempts for status in statuses) == 0, "no attempts"
    later = away.gate("write")
    assert first is not None
    assert later is not None
    assert (later.code, later.since) == ("UNREACHABLE", first.since)

    def told() -> int:
        lines = [line for receipt in receipts for line in away.relay.history(receipt.id)]
        assert {line.what for line in lines} == {"not_sent"}
        return sum(line.count for line in lines)

    wait_until(lambda: told() == away.connects, 10, "each connect to stand in a history, equal ones on one line")
    assert sum(len(away.relay.history(receipt.id)) for receipt in receipts) < BACKLOG, "no line for each given back"

    away.door.open()
    wait_for_all(away.relay, receipts, 60)
    assert_exactly_once(away.relay, receipts, away.stage.sandbox)
    sends = sorted(seen.at_ns for seen in away.stage.sandbox.requests_seen() if "/proxy/" in seen.path)
    soon = [at_ns for at_ns in sends if at_ns < sends[0] + 900_000_000]
    assert len(soon) < BACKLOG / 2, "not all at once"
    wait_until(lambda: away.told("can be reached again"), 10)
    assert len(away.told("cannot be reached")) == 1
    assert len(away.told("can be reached again")) == 1


def test_what_waits_to_be_read_back_waits_as_cheaply(away):
    away.door.open()
    away.stage.start_worker()
    # Nothing is shown for a while, so all are still to be read when the ledger goes away.
    away.stage.sandbox.set_switches(read_lag_s=3.0)
    receipts = away.relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(100)])
    wait_until(lambda: set(states(away.relay, receipts)) == {"posted"}, 20, "all to be posted")
    away.door.shut()
    wait_until(lambda: away.lost("read"), 30, "the gate to shut")
    client, posted = away.relay.journal().client, away.relay.journal().key("posted")
    gate = away.relay.journal().key("gate:read")
    probes = {client.hget(gate, "probe_at")}

    def probed(times: int) -> bool:
        probes.add(client.hget(gate, "probe_at"))
        return len(probes) > times

    # Reads that were on their way when the gate shut are given back before it is probed again.
    wait_until(lambda: probed(1), 30, "the first probe")
    shown = client.zrange(posted, 0, -1, withscores=True)
    wait_until(lambda: probed(1 + PROBES // 2), 30, "some probes")
    moved = set(client.zrange(posted, 0, -1, withscores=True)) - set(shown)
    assert len(moved) <= 2 * len(probes), "only what a probe asked for has moved"
    away.door.open()
    wait_for_all(away.relay, receipts, 60)
    assert_exactly_once(away.relay, receipts, away.stage.sandbox)


def test_a_request_that_cannot_leave_among_many_that_can_stops_nobody(away):
    """The door is shut for a moment only: some requests meet it, and no gate is shut for long."""
    away.door.open()
    away.stage.start_worker()
    first = away.relay.enqueue_many([Write(intent=payment(), key=f"first-{number}") for number in range(20)])
    wait_for_all(away.relay, first, 30)
    away.door.shut()
    away.door.open()
    receipts = away.relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(100)])
    wait_for_all(away.relay, receipts, 30)
    assert_exactly_once(away.relay, [*first, *receipts], away.stage.sandbox)
    assert not away.lost("write")
