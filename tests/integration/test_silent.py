"""A Redis that takes connections and never answers: how often one answer waits for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from select import select

import pytest

from blnk_relay import JournalUnavailable, Operator, Settings, Target
from blnk_relay.journal.journals import Journals, asked_once
from tests.support.cli import run
from tests.support.console import KEYS
from tests.support.history import made, sqlite_url
from tests.support.secrecy import a_key
from tests.support.visiting import Visitor, listening
from worker.console.errands import Errands
from worker.console.live import fingerprint
from worker.console.settings import ConsoleSettings
from worker.demo.stage import as_environment

#: What somebody may look at in a browser and with the API.
SCREENS = ("/intents", "/letters", "/problems", "/actions", "/workers", "/lanes", "/jobs", "/journals", "/history")
NARROW = "kind=transaction&since=2h"
LOOKS = (
    ("list",),
    ("list", "--kind", "transaction", "--since", "2h"),
    ("dead", "list", "--code", "NO_SUCH_CODE"),
    ("dead", "summary", "--since", "2h"),
    ("log", "--since", "2h"),
    ("workers",),
    ("lanes",),
    ("jobs",),
    ("status",),
    ("find", "x"),
    ("find", "--class", "unknown", "--since", "2h"),
)


class Silent:
    """A server that never answers. Each wait for it is on a connection of its own: one that was silent is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._listener.setblocking(False)
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def waits(self) -> int:
        """How often somebody waited for it since this was asked last."""
        number = 0
        while True:
            try:
                self._listener.accept()[0].close()
            except BlockingIOError:
                return number
            number += 1

    def meet(self, others: threading.Barrier, over: threading.Event) -> None:
        """Wait for others of whom somebody is waiting at the same time, once somebody waits for this one."""

        def waiting() -> None:
            if select([self._listener], [], [], 10.0)[0]:
                with self._listener.accept()[0], suppress(threading.BrokenBarrierError):
                    others.wait()
                    # Whoever waits here is let wait until they give up.
                    over.wait(10.0)

        threading.Thread(target=waiting, daemon=True).start()

    def close(self) -> None:
        """Take no connections any more."""
        self._listener.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.close()


@pytest.fixture(params=["eu", "us"])
def two(settings: Settings, silent: Silent, request: pytest.FixtureRequest) -> Settings:
    """Two ledgers; the journal of either, the first or the second, is with the silent one."""
    targets = tuple(
        Target(name=name, redis_url=silent.url if name == request.param else settings.redis_url)
        for name in ("eu", "us")
    )
    return replace(settings, targets=targets, redis_timeout_s=0.2, durability_timeout_s=0.1)


@pytest.fixture
def script(two: Settings) -> Iterator[Visitor]:
    journals = Journals(two)
    with listening(journals, ConsoleSettings(port=0, api_keys=(KEYS["viewer"],))) as house:
        yield house.visitor(Authorization="Bearer viewer")
    journals.close()


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_a_command_that_looks_waits_once_for_a_server_that_is_silent(two, silent, look, monkeypatch):
    for name, value in as_environment(two).items():
        monkeypatch.setenv(name, value)
    ran = run(*look)
    assert ran.code == 0, ran.err
    assert silent.waits() == 1


@pytest.mark.parametrize("path", [*SCREENS, f"/intents?{NARROW}", f"/letters?{NARROW}", "/problems?code=X&since=2h"])
def test_an_answer_of_the_console_waits_once_for_a_server_that_is_silent(script, silent, path):
    silent.waits()
    answer = script.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    assert silent.waits() == 1


@pytest.mark.parametrize("path", ["/overview", "/find?text=x", "/find?kind=transaction&since=2h"])
def test_what_reads_each_journal_by_itself_waits_once_as_well(script, silent, path):
    silent.waits()
    assert script.get(f"/api/v1{path}").status_code == 200
    assert silent.waits() == 1


@pytest.mark.parametrize("asked", [{"text": "x"}, {"currency": "EUR"}, {"meta": {"order": "1"}, "target": "away"}])
def test_a_search_that_asks_history_as_well_waits_once(two, silent, tmp_path, asked):
    made(sqlite_url(tmp_path)).close()
    keyed = replace(two, history_url=sqlite_url(tmp_path), encryption_keys=a_key("k1"))
    away = next(target.name for target in two.targets if target.redis_url == silent.url)
    journals = Journals(keyed)
    silent.waits()
    result = Operator(journals).find(**(asked | ({"target": away} if "target" in asked else {})))
    assert any("could not be read" in place.told for place in result.looked)
    assert silent.waits() == 1
    journals.close()


def test_a_glance_of_the_library_waits_once(two, silent):
    journals = Journals(two)
    operator = Operator(journals)
    for _ in range(2):
        assert len(operator.glance().overview.away) == 1
        assert silent.waits() == 1
    journals.close()


def test_a_page_waits_no_more_often_than_its_data(two, silent):
    journals = Journals(two)
    with listening(journals, ConsoleSettings(port=0)) as house:
        ann = house.let_in()
        for path in (*SCREENS, "/", "/find?text=x"):
            silent.waits()
            ann.page(path)
            assert silent.waits() == 1, path
    journals.close()


def test_the_look_that_all_pages_share_waits_once(two, silent):
    journals = Journals(two)
    fingerprint(Operator(journals), Errands())
    assert silent.waits() == 1
    journals.close()


def test_several_silent_servers_are_waited_for_at_the_same_time(settings):
    servers = {f"t{number}": Silent() for number in range(4)}
    targets = (Target(name="well"), *(Target(name=name, redis_url=one.url) for name, one in servers.items()))
    journals = Journals(replace(settings, targets=targets, redis_timeout_s=2.0, durability_timeout_s=0.1))
    overlap, over = threading.Barrier(len(servers), timeout=1.5), threading.Event()
    try:
        for server in servers.values():
            server.meet(overlap, over)
        with asked_once():
            assert set(Operator(journals).overview().away) == set(servers)
        # Nobody was at the barrier alone: while one server was waited for, so were all others.
        assert not overlap.broken
        assert [one.waits() for one in servers.values()] == [0] * len(servers)
    finally:
        over.set()
        journals.close()
        for server in servers.values():
            server.close()


def test_a_server_that_was_silent_is_asked_again_for_the_next_answer(two, silent):
    journals = Journals(two)
    operator = Operator(journals)
    away = next(name for name in ("eu", "us") if two.journal_address(name) != two.journal_address("default"))
    for _ in range(2):
        with asked_once():
            for _ in range(2):
                assert operator.now()
                assert operator.overview().away == (away,)
                with pytest.raises(JournalUnavailable, match="gave no answer in time"):
                    operator.now(away)
        assert silent.waits() == 1
    assert operator.overview().away == (away,)
    assert silent.waits() == 2
    journals.close()
