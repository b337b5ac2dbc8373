"""What the console asks of Redis, and what it says when that is away."""

from __future__ import annotations

import pytest

from blnk_relay import Operator, Relay, Settings, Write
from blnk_relay.journal.journals import Journals
from tests.support.cli import FUNDS, letters, payment
from tests.support.console import KEYS, at
from tests.support.visiting import Visitor, listening, readable
from worker.console.screens.filters import PAGE
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")


class Counted:
    """What a server was asked, by its own count."""

    def __init__(self, relay: Relay) -> None:
        self._client = relay.journals.of("default").client

    def of(self, visitor: Visitor, path: str) -> tuple[int, int, set[str]]:
        """Commands, bytes sent by the server, and the names of the commands for one page."""
        before, bytes_before = self._stats()
        assert visitor.get(path).status_code == 200
        after, bytes_after = self._stats()
        names = {name for name in after if after[name] > before.get(name, 0)} - {"info"}
        # Those of this look are among them.
        return sum(after[name] - before.get(name, 0) for name in names), bytes_after - bytes_before, names

    def _stats(self) -> tuple[dict[str, int], int]:
        found = {
            name.removeprefix("cmdstat_"): stat["calls"] for name, stat in self._client.info("commandstats").items()
        }
        return found, self._client.info("stats")["total_net_output_bytes"]


def test_what_a_screen_asks_of_redis_is_bounded_and_does_not_grow_with_the_backlog(relay, ann):
    counted = Counted(relay)
    screens = ["/", "/intents", "/letters", "/lanes", "/actions", "/intents?state=dead&code=" + FUNDS]

    def fill(start: int, number: int) -> None:
        letters(relay, *(f"poor-{start + at}" for at in range(number)))
        relay.enqueue_many([Write(intent=payment(), key=f"order-{start + at}") for at in range(number)])
        Operator(relay.journals).pause_lane("refunds", who="ann", reason="x")

    # A search reads ids five hundred at a time.
    fill(0, 11 * PAGE)
    screens.append(at(ann, "poor-1"))
    few = {screen: counted.of(ann, screen) for screen in screens}
    fill(1_000, 20 * PAGE)
    many = {screen: counted.of(ann, screen) for screen in screens}
    for screen in screens:
        commands, bytes_, names = many[screen]
        assert not names & {"keys", "scan", "sscan", "hscan", "zscan", "smembers|deps"}, screen
        # Statuses are read by a script, fifty at a time, each with some commands of its own.
        assert commands <= 1_600, (screen, commands)
        assert bytes_ <= 256 * 1024, (screen, bytes_)
        assert commands <= few[screen][0] * 1.25 + 40, (screen, few[screen], many[screen])
        assert bytes_ <= few[screen][1] * 1.6 + 20_000, (screen, few[screen], many[screen])


def test_with_redis_away_every_screen_says_so_and_the_console_goes_on(tmp_path):
    journals = Journals(Settings(redis_url=f"unix://{tmp_path}/nothing"))
    with listening(journals, ConsoleSettings(port=0, api_keys=(KEYS["viewer"],))) as house:
        ann, script = house.let_in(), house.visitor(Authorization="Bearer viewer")
        told = ann.page("/")
        assert "Critical: journal-away" in told
        assert "Nothing is accepted or posted for this target" in told
        paths = ("/problems", "/intents", "/intents/default/x", "/letters", "/lanes", "/jobs", "/workers", "/actions")
        for path in (*paths, "/letters/replay?all=yes"):
            answer = ann.get(path)
            assert answer.status_code == 503
            assert "The journal cannot be reached" in readable(answer.text)
            assert "Nothing is lost meanwhile" in readable(answer.text)
        assert script.get("/api/v1/overview").json()["verdicts"][0]["sort"] == "journal-away"
        answer = script.get("/api/v1/lanes")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "JournalUnavailable")
    journals.close()
