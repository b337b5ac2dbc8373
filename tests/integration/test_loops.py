"""Loops in threads of their own: none is forgotten, none spins, and what one has in hand it sees through."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import OtherLedger, Settings, Write, commit_hold
from blnk_relay.intents.exchange import Failure, Request, Response
from blnk_relay.intents.found import Row
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.claims import Claims
from blnk_relay.journal.clock import steady_s
from blnk_relay.sandbox import Options, Sandbox
from blnk_relay.settings import CONFIRM_LANE
from tasks.confirm import confirm
from tasks.deliver import deliver
from tasks.loops import Loops
from tasks.runtime import Looked
from tests.support.hands import Hands, hands
from tests.support.hostile import HostileServer, read_request
from tests.support.journal import LANE
from tests.support.payments import payment
from tests.support.waiting import wait_until

SOON_S = 10.0

#: What a worker has to be told of a ledger.
LEDGER: dict[str, Any] = {"instance_id": "i", "token": "t"}


#: A hold.
HELD = f"txn_{uuid.UUID(int=1)}"

#: Established, and closed by the other side only.
_NOT_CLOSED = ("01", "08")


@contextmanager
def running(work: Any) -> Iterator[threading.Thread]:
    """Some work in a thread, waited for at the end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield thread
    thread.join(SOON_S)
    assert not thread.is_alive()


def connections_to(url: str) -> int:
    """How many sockets lead to an address of this machine and were not closed on our side."""
    to = f":{int(url.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(to) and line[3] in _NOT_CLOSED for line in lines)


@contextmanager
def hanging(settings: Settings) -> Iterator[tuple[Hands, list[bytes], threading.Event]]:
    """A worker's hands for a ledger that takes requests and does not answer before it is let."""
    asked: list[bytes] = []
    go = threading.Event()

    def listen(connection: socket.socket) -> None:
        asked.append(read_request(connection))
        go.wait(SOON_S)

    with HostileServer(listen) as ledger, hands(replace(settings, **LEDGER, base_url=ledger.url)) as made:
        yield made, asked, go


def test_what_is_in_hand_when_the_ledger_is_changed_is_settled(settings: Settings) -> None:
    told: list[BaseException] = []

    def work() -> None:
        try:
            deliver(hand, LANE)
        except OtherLedger as error:
            told.append(error)

    with hanging(settings) as (hand, asked, go):
        hand.relay.enqueue(payment(), key="order")
        with running(work):
            wait_until(lambda: asked, SOON_S, "the request")
            hand.journal.rebind("core http://elsewhere", who="op", reason="moved")
            # The loop asks for more while it waits, and hears that the journal is another's.
            wait_until(lambda: not hand.turns[LANE].locked(), SOON_S, "the loop to leave the lane")
            go.set()
        status = hand.relay.get("order")
    assert told, "whoever began the loop is told"
    assert status.state == "posted", "it was sent once, and the ledger is looked at"
    assert status.attempts == 1


def test_no_request_may_leave_that_its_lease_would_not_see_through(settings: Settings) -> None:
    with hands(replace(settings, **LEDGER)) as hand:
        need, held, told = hand.keeper.need, list[Claimed | None](), list[tuple[Request, float]]()

        def needed(*args: Any) -> Claimed | None:
            held.append(need(*args))
            return held[-1]

        def send(request: Request, _request_id: str, *, start_by_s: float) -> Response:
            told.append((request, start_by_s))
            return Response(failure=Failure.BROKEN)

        hand.keeper.need = needed  # type: ignore[method-assign]
        hand.ledger.send = send  # type: ignore[method-assign]
        hand.relay.enqueue(payment(), key="order")
        deliver(hand, LANE)
        [claimed], [(request, start_by_s)] = held, told
        assert claimed is not None
        answered_s = hand.ledger.longest_s(request) - hand.ledger.ready_s
        assert start_by_s + answered_s < claimed.lease_end_s


@pytest.mark.parametrize("answer", ["ok", "busy", "lagging", "doubtful", "undurable", "stale"])
def test_what_could_not_be_recorded_is_not_sent(settings: Settings, answer: str) -> None:
    with hands(replace(settings, **LEDGER)) as hand:
        sent: list[Request] = []

        def send(request: Request, _request_id: str, **_: Any) -> Response:
            sent.append(request)
            return Response(failure=Failure.BROKEN)

        hand.ledger.look = lambda _: Looked((Row(HELD, "hold", "INFLIGHT", precise_amount=100),))  # type: ignore[method-assign]
        hand.ledger.send = send  # type: ignore[method-assign]
        hand.journal.record = lambda sends: [answer for _ in sends]  # type: ignore[method-assign]
        hand.relay.enqueue(commit_hold(HELD))
        deliver(hand, "inflight")
        assert len(sent) == (answer == "ok")
        assert hand.relay.get(f"commit:{HELD}").state == ("posted" if answer == "ok" else "ready")


def test_a_lease_that_is_somebody_elses_by_now_is_not_sent_under(settings: Settings) -> None:
    with hands(replace(settings, **LEDGER)) as hand:
        hand.relay.enqueue(payment(), key="order")
        (claimed,) = hand.journal.claim(LANE, hand.worker, 1).items
        with hand.keeper.hand(hand.settings.lease_s) as held:
            held.hold([claimed])
            much_s = 2 * hand.settings.lease_s
            prolonged = hand.keeper.need(held, claimed, much_s)
            assert prolonged is not None
            assert prolonged.lease_end_s - steady_s() >= much_s
            # Another one has it after a lapse.
            hand.journal.client.hset(hand.journal.key(f"intent:{claimed.entry.id}"), "token", "1-later.2")
            assert hand.keeper.need(held, claimed, 2 * much_s) is None
            assert held.held() == []


def test_a_bell_that_comes_while_the_read_back_ends_is_not_lost(settings: Settings) -> None:
    with hands(replace(settings, **LEDGER)) as hand:
        loops, took = Loops(), [0]
        take = hand.journal.take

        def heard_in_the_last_moment(worker: str, most: int, lease_s: float, *, leave: bool = False) -> Claims:
            took[0] += not leave
            claims = take(worker, most, lease_s, leave=leave)
            if leave and took[0] == 1:
                assert not loops.start(hand, CONFIRM_LANE), "its turn is taken"
            return claims

        hand.journal.take = heard_in_the_last_moment  # type: ignore[method-assign]
        confirm(hand)
        assert took[0] == 2, "it looks once more"


def test_a_loop_that_waits_for_its_ledger_leaves_the_journal_alone(settings: Settings) -> None:
    with hanging(settings) as (hand, asked, go):
        hand.relay.enqueue(payment(), key="order")
        claimed = threading.Semaphore(0)
        claim = hand.journal.claim

        def counted(*args: Any, **kwargs: Any) -> Claims:
            claimed.release()
            return claim(*args, **kwargs)

        hand.journal.claim = counted  # type: ignore[method-assign]
        with running(lambda: deliver(hand, LANE)):
            wait_until(lambda: asked, SOON_S, "the request")
            go.wait(1.0)
            go.set()
        # Every 4 ms it would be 250.
        assert sum(claimed.acquire(blocking=False) for _ in range(1000)) < 100


def test_a_loop_that_cannot_be_started_is_not_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with hands(replace(settings, **LEDGER)) as hand:
        loops = Loops()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refused)
            with pytest.raises(RuntimeError):
                loops.start(hand, LANE)
        assert loops.join(SOON_S)
        assert loops.start(hand, LANE), "the next bell starts one"
        assert loops.join(SOON_S)


def test_a_ledger_with_nothing_to_do_keeps_no_connection(settings: Settings) -> None:
    with (
        Sandbox(Options(instance_id="i", token="t")) as box,  # noqa: S106
        hands(replace(settings, **LEDGER, base_url=box.url, connections=4)) as hand,
    ):
        for number in range(2):
            keys = [f"{number}-{at}" for at in range(20)]
            hand.relay.enqueue_many([Write(intent=payment(key), key=key) for key in keys])
            assert deliver(hand, LANE) == len(keys)
            assert connections_to(box.url) > 0
            # As each idle round does it: the thread that had the last answer may be about to give its connection back.
            wait_until(lambda: hand.ledger.rest() or connections_to(box.url) == 0, SOON_S)
