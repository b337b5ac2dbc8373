"""Whatever a server does in the place of an answer: the verdict is right and in time, and the next is not harmed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from blnk_relay import Settings
from blnk_relay.intents.decision import Again, Dead, Look
from blnk_relay.intents.exchange import Failure, GateAction, Response, Verdict
from blnk_relay.intents.found import Lookup
from blnk_relay.kinds.registry import KINDS
from tests.support.hostile import HostileServer, answering
from tests.support.plays import GROUPS, Answer, Ends, Play
from tests.support.specimens import POLICY, SPECIMENS, First, Specimen
from worker.ledger.proxy import Proxy
from worker.ledger.readback import LedgerOverHttp

#: A kind that the ledger knows by a reference of ours, and one that it does not know again.
WRITES = ("transaction-skip", "ledger.create")

#: What only a deadline ends has a short one; all else has time enough for a busy machine.
SHORT_S, LONG_S = 0.25, 10.0

#: Well beyond one exchange on a busy machine, and far below what a drip would take.
SOON_S = 6.0

ROW = {"transaction_id": "txn_1", "reference": "ours", "status": "APPLIED", "precise_amount": 1050}
LOOKUP = Lookup("transactions", "reference", "ours")
PAGE = Answer(200, json.dumps({"data": [ROW], "total": 1, "total_is_estimate": False}).encode())


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def proxy_to(base_url: str, read_s: float) -> Iterator[Proxy]:
    times = {"connect_timeout_s": LONG_S, "read_timeout_s": read_s, "sync_read_timeout_s": read_s}
    proxy = Proxy(Settings(base_url=base_url, token="t", instance_id="i", **times))  # noqa: S106
    try:
        yield proxy
    finally:
        proxy.close()


def read_s_for(play: Play) -> float:
    return SHORT_S if play.lasts else LONG_S


def judged(specimen: Specimen, first: First, response: Response) -> Verdict:
    return KINDS[specimen.kind].judge(first.entry, first.progress, first.request, response, POLICY)


def is_unclear(verdict: Verdict) -> bool:
    """Whether nothing is claimed, and the ledger is asked."""
    return isinstance(verdict.decision, Look) and verdict.acted and not verdict.decision.refuse


def after_a_write(play: Play, specimen: Specimen) -> None:
    first = specimen.first()
    status, body = specimen.proof(first.request, first.ids)
    answer = Answer(status, json.dumps(body).encode())
    good = judged(specimen, first, Response(status=status, body=body))
    with (
        HostileServer(play.before(answer), answering(answer.whole)) as server,
        proxy_to(server.url, read_s_for(play)) as proxy,
    ):
        start_s = time.monotonic()
        response = proxy.send(first.request, "request-1", start_by_s=float("inf"))
        took_s = time.monotonic() - start_s
        verdict = judged(specimen, first, response)
        assert took_s < SOON_S
        assert not isinstance(verdict.decision, Dead), verdict
        if response.failure is Failure.NOT_SENT:
            # Only whoever hung up before it had heard anything was perhaps told nothing.
            assert play.hears == 0
            assert isinstance(verdict.decision, Again)
            assert not verdict.acted
        elif play.ends is Ends.UNCLEAR:
            assert is_unclear(verdict), (response, verdict)
        elif play.ends is Ends.FINE:
            assert verdict == good, (response, verdict)
        elif play.ends is Ends.EITHER:
            assert verdict == good or is_unclear(verdict), (response, verdict)
        else:
            assert verdict.gate is not None
            assert verdict.gate.action is GateAction.PAUSE
            elsewhere = response.status in (307, 308)
            assert (type(verdict.decision), verdict.acted) == ((Again, False) if elsewhere else (Look, True))
        if response.failure:
            # What broke off, or came with too much, is no connection for the next request.
            second = proxy.send(first.request, "request-2", start_by_s=float("inf"))
            assert judged(specimen, first, second) == good, second
            assert server.connections == 2


def after_a_read(play: Play) -> None:
    with (
        HostileServer(play.before(PAGE), answering(PAGE.whole)) as server,
        proxy_to(server.url, read_s_for(play)) as proxy,
    ):
        ledger = LedgerOverHttp(proxy, "filters")
        start_s = time.monotonic()
        looked = ledger.look([LOOKUP])
        assert time.monotonic() - start_s < SOON_S
        found = [row.transaction_id for row in looked.rows]
        # Never that there is nothing.
        assert bool(found) != bool(looked.failed)
        if play.ends is Ends.FINE:
            assert found == ["txn_1"], looked
        elif play.ends is not Ends.EITHER:
            assert set(looked.failed) == {LOOKUP}, looked
        failure = looked.failure
        if failure is not None and failure.failure is Failure.BROKEN and not failure.status:
            assert [row.transaction_id for row in ledger.look([LOOKUP]).rows] == ["txn_1"]
            assert server.connections == 2


def side_by_side(group: str, after: Callable[[Play], None]) -> None:
    """Try the plays of a group, several at a time: most of them wait."""
    with ThreadPoolExecutor(8) as threads:
        ends = {name: threads.submit(after, play) for name, play in GROUPS[group].items()}
    wrong = {name: error for name, end in ends.items() if (error := end.exception()) is not None}
    for name, error in wrong.items():
        error.add_note(f"It was: {name!r}; {len(wrong)} of {len(ends)} went wrong.")
        raise error


@pytest.mark.parametrize(
    "kind", [*WRITES, *(pytest.param(name, marks=pytest.mark.long) for name in SPECIMENS if name not in WRITES)]
)
@pytest.mark.parametrize("group", GROUPS)
def test_a_write_is_never_called_done_or_refused_by_what_is_no_answer(group: str, kind: str) -> None:
    side_by_side(group, lambda play: after_a_write(play, SPECIMENS[kind]))


@pytest.mark.parametrize("group", GROUPS)
def test_a_read_never_shows_what_is_not_there_nor_that_nothing_is(group: str) -> None:
    side_by_side(group, after_a_read)
