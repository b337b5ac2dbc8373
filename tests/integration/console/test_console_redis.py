"""What the console asks of Redis, and what it says when that is away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blnk_relay import Operator, Relay, Settings, Target, Write
from blnk_relay.journal.carrying import carry
from blnk_relay.journal.journals import Journals
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.bulk import Fill, fill
from tests.support.cli import FUNDS, letters, payment
from tests.support.console import KEYS, at
from tests.support.history import made, sqlite_url
from tests.support.visiting import Visitor, listening, readable
from tests.support.waiting import wait_until
from worker.console.doors import API, SCREENS
from worker.console.screens import many as plans
from worker.console.screens.chores import CHORES
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


def test_what_a_screen_asks_of_redis_is_bounded_and_does_not_grow_with_the_backlog(relay, ann, monkeypatch):
    # Of more letters the page of a plan shows what is counted; the plan itself looks at each that it is about.
    monkeypatch.setattr(plans, "AT_ONCE", 10 * PAGE)
    counted = Counted(relay)
    screens = [door.path for door in SCREENS if door.method == "GET" and "{" not in door.path]
    screens += ["/intents?state=dead&code=" + FUNDS, "/find?text=poor-1"]

    def fill(start: int, number: int) -> None:
        letters(relay, *(f"poor-{start + at}" for at in range(number)))
        relay.enqueue_many([Write(intent=payment(), key=f"order-{start + at}") for at in range(number)])
        Operator(relay.journals).pause_lane("refunds", who="ann", reason="x")

    # A search reads ids five hundred at a time.
    fill(0, 11 * PAGE)
    screens += [at(ann, "poor-1"), f"{at(ann, 'poor-1')}/replay", f"{at(ann, 'order-1')}/cancel"]
    screens += ["/letters/replay?all=yes", "/letters/discard?code=" + FUNDS, "/workers/stop?all=yes"]
    screens += ["/lanes/lane/refunds/resume", "/lanes/target/default/pause"]
    screens += [f"/journals/default/{what}" for what in (*CHORES, "history-off")]
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 60.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
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


#: What one page may take on Redis of a target that is bound anew, a job, and an errand, which is in the console alone:
#: commands, and bytes that the server sends, those of the count itself among them.
SINGLE = {"/targets/{name}/rebind": (60, 10_000), "/jobs/{id}": (12, 10_000), "/errands/{id}": (0, 8_000)}


def test_what_is_told_of_one_target_job_or_errand_is_bounded_and_does_not_grow_with_the_backlog(settings):
    moved = replace(settings, base_url="https://new.example", instance_id="inst_new", token="t")  # noqa: S106
    with (
        Relay(moved) as relay,
        Operator(relay.journals, relay.bells) as operator,
        listening(relay.journals, ConsoleSettings(port=0), bells=relay.bells) as house,
    ):
        ann, journal = house.let_in(), relay.journal()
        fill(relay, Fill("dead", "poor", 300), Fill("open", "order", 300))
        job = operator.begin(operator.plan_many("discard", code=FUNDS, most=100), who="ann", reason="x")
        # Others were faster with each of them: so many refusals are kept as are shown.
        client = journal.client
        for item in client.lrange(journal.key(f"planned:{job}"), 0, -1):
            client.hset(journal.key(f"intent:{item.partition(' ')[0]}"), "state", "done")
        while carry(journal, "web-1:42:abc").more:
            pass
        assert operator.job(job)[0].refused == 100
        errand = str(ann.post("/doctor", form_token=ann.form_token()).headers["Location"])
        wait_until(lambda: "Ended" in ann.page(errand), 20, "the doctor to be done")
        counted = Counted(relay)
        paths = {
            "/targets/{name}/rebind": "/targets/default/rebind",
            "/jobs/{id}": f"/jobs/{job}",
            "/errands/{id}": errand,
        }
        assert paths.keys() == SINGLE.keys()
        for path in paths.values():
            ann.page(path)  # the scripts are known from here on
        few = {name: counted.of(ann, path) for name, path in paths.items()}
        fill(relay, Fill("dead", "more", 2_000), Fill("open", "others", 2_000))
        for name, path in paths.items():
            commands, bytes_, names = counted.of(ann, path)
            assert not names & {"keys", "scan", "sscan", "hscan", "zscan"}, name
            assert commands <= SINGLE[name][0], (name, commands)
            assert bytes_ <= SINGLE[name][1], (name, bytes_)
            assert commands <= few[name][0] + 5, (name, few[name], commands)
            assert bytes_ <= few[name][1] * 1.02 + 500, (name, few[name], bytes_)


def test_every_screen_is_counted():
    """A new one with places in its path has a bound in SINGLE, or is asked for with the others."""
    seen = {door.path for door in SCREENS if door.method == "GET" and "{" in door.path}
    assert seen - SINGLE.keys() == {
        "/intents/{target}/{id}",
        "/intents/{target}/{id}/{what}",
        "/letters/{what}",
        "/lanes/{sort}/{name}/{what}",
        "/workers/{what}",
        "/journals/{name}/history-off",
        "/journals/{name}/{what}",
    }


def test_nothing_that_is_only_looked_at_changes_anything(relay, ann, script, operator):
    letters(relay, "poor")
    relay.enqueue(payment(), key="order-1")
    job = operator.begin(operator.plan_many("discard", code=FUNDS), who="ann", reason="x")
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 60.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
    client = relay.journals.of("default").client
    ids = {"poor": relay.get("poor").id, "order-1": relay.get("order-1").id}
    looks = 0
    before = client.info("persistence")["rdb_changes_since_last_save"]
    for door in (door for door in (*SCREENS, *API) if door.method == "GET"):
        visitor = script if door.api else ann
        for place in PLACES[door.path.removeprefix("/api/v1")] if "{" in door.path else [{}]:
            path = door.path.format(**{"job": job} | place, id=ids.get(place.get("key", ""), job))
            answer = visitor.get(path + QUERIES.get(door.path.removeprefix("/api/v1"), ""))
            # Without a ledger in the settings nothing is bound anew.
            assert answer.status_code in ((400,) if path.endswith("/rebind") else (200, 404)), (path, answer.text)
            looks += answer.status_code == 200
            assert client.info("persistence")["rdb_changes_since_last_save"] == before, path
    assert looks > 45


#: What stands in the places of a path, and what has to be asked for besides.
PLACES = {
    "/intents/{target}/{id}": [{"target": "default", "key": key} for key in ("poor", "order-1")],
    "/intents/{target}/{id}/{what}": [
        {"target": "default", "key": key, "what": what}
        for key, what in (("poor", "replay"), ("poor", "discard"), ("order-1", "cancel"))
    ],
    "/letters/{what}": [{"what": what} for what in ("replay", "discard")],
    "/jobs/{id}": [{}],
    "/lanes/{sort}/{name}/{what}": [
        {"sort": sort, "name": name, "what": what}
        for sort, name in (("lane", "refunds"), ("target", "default"))
        for what in ("pause", "resume")
    ],
    "/workers/{what}": [{"what": "stop"}],
    "/targets/{name}/rebind": [{"name": "default"}],
    "/journals/{name}/history-off": [{"name": "default"}],
    "/journals/{name}/{what}": [{"name": "default", "what": what} for what in CHORES],
    "/errands/{id}": [{}],
}
QUERIES = {"/letters/{what}": "?all=yes", "/workers/{what}": "?all=yes", "/find": "?text=poor"}


def test_with_redis_away_every_screen_says_so_and_the_console_goes_on(tmp_path):
    journals = Journals(Settings(redis_url=f"unix://{tmp_path}/nothing"))
    with listening(journals, ConsoleSettings(port=0, api_keys=(KEYS["viewer"],))) as house:
        ann, script = house.let_in(), house.visitor(Authorization="Bearer viewer")
        told = ann.page("/")
        assert "Critical: journal-away" in told
        assert "Nothing is accepted or posted for this target" in told
        shown = {door.path for door in SCREENS if door.method == "GET" and "{" not in door.path}
        # What is found elsewhere too says where it could not look, and the others need no journal.
        paths = shown - {"/", "/find", "/doctor", "/kinds"}
        for path in (*paths, "/intents/default/x", "/letters/replay?all=yes"):
            answer = ann.get(path)
            assert answer.status_code == 503
            assert "The journal cannot be reached" in readable(answer.text)
            assert "Nothing is lost meanwhile" in readable(answer.text)
        # Also where a time has to be known: history may answer.
        assert "Looked in" in ann.page("/find?text=x&since=2h&until=15m")
        assert script.get("/api/v1/overview").json()["verdicts"][0]["sort"] == "journal-away"
        answer = script.get("/api/v1/lanes")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "JournalUnavailable")
    journals.close()


def test_with_one_of_two_journals_away_every_screen_says_of_which_nothing_is_known(settings, tmp_path):
    there, gone = settings.redis_url, f"unix://{tmp_path}/nothing"
    two = replace(settings, targets=(Target(name="us", redis_url=there), Target(name="eu", redis_url=gone)))
    journals = Journals(two)
    with listening(journals, ConsoleSettings(port=0, api_keys=(KEYS["viewer"],))) as house:
        ann, script = house.let_in(), house.visitor(Authorization="Bearer viewer")
        for path in (
            "/",
            "/lanes",
            "/jobs",
            "/workers",
            "/actions",
            "/history",
            "/journals",
            "/problems",
            "/intents",
            "/letters",
        ):
            assert "Out of reach: eu" in readable(ann.page(path)), path
            asked = {"/": "/overview"}.get(path, path)
            assert script.get(f"/api/v1{asked}").json()["away"] == ["eu"], path
        assert "Nothing of them is shown." in readable(ann.page("/actions"))
    journals.close()


def test_with_a_journal_away_the_log_of_actions_says_that_it_has_what_history_has(settings, tmp_path):
    gone, url = f"unix://{tmp_path}/nothing", sqlite_url(tmp_path)
    targets = (Target(name="us", redis_url=settings.redis_url), Target(name="eu", redis_url=gone))
    journals = Journals(replace(settings, targets=targets, history_url=url))
    with listening(journals, ConsoleSettings(port=0)) as house:
        # No table of it is there yet.
        assert "Out of reach: eu. Nothing of them is shown." in readable(house.let_in().page("/actions"))
        made(url).close()
        assert "Out of reach: eu. Only what history has of them is shown." in readable(house.let_in().page("/actions"))
    journals.close()
