"""The console: what the screens show and do, what they leave in the log of actions, and that the API says the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from signal import SIGINT, SIGTERM
from subprocess import PIPE
from typing import Any

import pytest
import requests
from marshmallow import Schema

from blnk_relay import Leg, Operator, Relay, Settings, Write, create_ledger, split_transaction, transaction
from blnk_relay.journal.carrying import carry
from blnk_relay.journal.journals import Journals
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import FUNDS, die, letters, payment, process, run
from tests.support.visiting import House, Visitor, listening, readable
from tests.support.waiting import wait_until
from worker.console.doors import API
from worker.console.screens import filters
from worker.console.screens.filters import PAGE
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")

KEYS = {
    name: f"{name}:{hashlib.sha256(name.encode()).hexdigest()}:{rights}"
    for name, rights in (("viewer", "viewer"), ("operator", "operator"), ("all", "approver+payload"))
}


@pytest.fixture
def house(relay) -> Iterator[House]:
    with listening(relay.journals, ConsoleSettings(port=0, api_keys=tuple(KEYS.values())), bells=relay.bells) as made:
        yield made


@pytest.fixture
def ann(house) -> Visitor:
    return house.let_in()


@pytest.fixture
def script(house) -> Visitor:
    """A script whose key may do everything."""
    return house.visitor(Authorization="Bearer all")


@pytest.fixture
def mere(relay) -> Iterator[Visitor]:
    """An operator who is not an approver, and may see no payload."""
    settings = ConsoleSettings(port=0, token_rights=("operator",))
    with listening(relay.journals, settings, bells=relay.bells, holder="ben") as made:
        yield made.let_in()


def at(visitor: Visitor, key: str) -> str:
    """The address of an intent, as the search leads to it."""
    answer = visitor.get(f"/intents?key={key}")
    assert answer.status_code == 303, readable(answer.text)
    return str(answer.headers["Location"])


def post(script: Visitor, path: str, **document: object) -> requests.Response:
    return script.session.post(f"{script.url}/api/v1{path}", json=document, timeout=30)


# Looking


def test_a_list_is_narrowed_by_its_address_and_leads_to_each_intent(relay, ann):
    letters(relay, "poor-1", "poor-2")
    letters(relay, "lost", dead_class="unknown", code="VANISHED")
    relay.enqueue(payment(), key="order-1")
    assert all(key in ann.page("/intents") for key in ("poor-1", "poor-2", "lost", "order-1"))
    told = ann.page("/intents?state=dead&code=VANISHED")
    assert "lost" in told
    assert "poor-1" not in told
    assert "order-1" not in told
    assert 'value="VANISHED"' in ann.get("/intents?state=dead&code=VANISHED").text, "the form shows what is asked for"
    [link] = re.findall(r'href="(/intents/[^"]+)">lost', ann.get("/letters?code=VANISHED").text)
    assert "A replay would be carried out: looked up at the ledger" in ann.page(link)
    assert at(ann, relay.get("lost").id) == link


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/intents?state=dad", 400, "'dad' is not a state"),
        ("/intents?kind=transactions", 404, "did you mean 'transaction'"),
        ("/letters?code=NEVER", 404, "no code among the dead letters"),
        ("/intents?since=soon", 400, "nor a span such as 15m"),
        ("/intents?until=2026-11-20T09:15:31", 400, "no offset from UTC"),
        ("/intents?target=nope", 404, "no target is 'nope'"),
        ("/intents?state=dead&after=x", 400, "after:"),
        ("/intents?key=nope", 404, "no intent is known under 'nope'"),
        ("/intents/default/nope", 404, "no intent is known"),
        ("/intents/nope/nope", 404, "no target 'nope'"),
        ("/lanes/lane/nope/steal", 400, "only lanes and targets"),
        ("/actions?what=steal", 400, "not something that an operator does"),
    ],
)
def test_what_cannot_be_asked_for_is_said_on_the_page_and_to_scripts(relay, house, path, status, says):
    ann, script = house.let_in(), house.visitor(Authorization="Bearer all")
    letters(relay, "poor-1")
    answer = ann.get(path)
    assert answer.status_code == status
    assert says in readable(answer.text)
    if "/steal" in path:
        return
    answer = script.get(f"/api/v1{path}")
    assert (answer.status_code, answer.json()["error"]["status"]) == (status, status)
    assert says in answer.json()["error"]["message"]


def test_a_search_looks_through_so_many_and_says_so(relay, ann, monkeypatch):
    monkeypatch.setattr(filters, "_MOST_LOOKED", 500)
    relay.enqueue(create_ledger("Wallets"), key="wallets")
    relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(510)])
    told = ann.page("/intents?kind=ledger.create")
    assert "No intent is like that." in told
    assert "The newest 500 of each state were looked through" in told
    monkeypatch.setattr(filters, "_MOST_LOOKED", 1_000)
    assert "wallets" in ann.page("/intents?kind=ledger.create")


def test_many_letters_come_page_by_page_each_of_them_once(relay, ann, script):
    keys = [f"poor-{number}" for number in range(2 * PAGE + 7)]
    letters(relay, *keys)
    path, seen, pages = "/letters", [], 0
    while path:
        text = ann.get(path).text
        seen += re.findall(r">(poor-\d+)</a>", text)
        onward = re.search(r'rel="next" href="([^"]+)"', text)
        path = onward[1].replace("&amp;", "&") if onward else ""
        pages += 1
    assert pages == 3
    assert sorted(seen) == sorted(keys)
    after, told = "", []
    while True:
        page = script.session.get(f"{script.url}/api/v1/letters", params={"after": after}, timeout=30).json()
        told += [one["key"] for one in page["intents"]]
        if not (after := page["after"]):
            break
    assert told == seen


def test_an_intent_shows_its_life_and_the_chain_around_it_can_be_walked(relay, ann, script):
    relay.enqueue_many(
        [
            Write(intent=payment(), key="first"),
            Write(intent=payment(), key="second", after=["first"]),
            Write(intent=payment(), key="third", after=["second"]),
        ]
    )
    told = ann.page(at(ann, "second"))
    assert "It waits for 'first' (ready)" in told
    text = ann.get(at(ann, "second")).text
    ahead, behind = re.findall(r'<li><a class="mono" href="([^"]+)">', text)
    assert (ahead, behind) == (at(ann, "first"), at(ann, "third"))
    assert "Waiting for it second" in ann.page(ahead)
    around = script.get("/api/v1" + at(ann, "second")).json()["around"]
    assert [one["key"] for one in (*around["ahead"], *around["behind"])] == ["first", "third"]
    die(relay, "refused", "NO", log=json.dumps({"at": 1_700_000_000_000, "what": "sent", "status": 422, "code": "NO"}))
    told = ann.page(at(ann, "first"))
    assert "sent , answer 422 NO" in told
    assert "2023-11-14 22:13:20Z" in told
    assert "dead refused" in told


def test_a_payment_is_found_by_what_is_known_of_it_and_it_is_said_where_was_looked(relay, ann, script):
    relay.enqueue(payment(amount="12.34", destination="@wallet-zoe", reference="ref-zoe"), key="order-zoe")
    relay.enqueue(payment(), key="order-other")
    assert "Looked in" not in ann.page("/find")
    for query in ("text=order-zoe", "text=ref-zoe", "amount=12.34&currency=EUR", "destination=@wallet-zoe&state=open"):
        told = ann.page(f"/find?{query}")
        assert "order-zoe transaction ready" in told, query
        assert "order-other" not in told, query
        assert "Looked in journal" in told
    found = script.get("/api/v1/find?text=ref-zoe").json()
    assert [one["key"] for one in found["intents"]] == ["order-zoe"]
    assert rest(next(door for door in API if door.path == "/api/v1/find").about["out"], found) == {}
    for query, says in (("amount=ten", "not an amount"), ("meta=x", "name=value"), ("state=ready", "not a state here")):
        answer = ann.get(f"/find?{query}")
        assert answer.status_code == 400
        assert says in readable(answer.text)
    assert script.get("/api/v1/find").status_code == 400


def test_rows_of_the_ledger_are_shown_without_the_names_in_the_payload(relay, ann):
    legs = [Leg("@secret-alice", percent="60"), Leg("@secret-bob", left=True)]
    split = split_transaction(
        source="@w", destinations=legs, currency="EUR", amount="1.00", description="x", reference="s"
    )
    relay.enqueue(split, key="split")
    told = ann.page(at(ann, "split"))
    assert "Rows of the ledger, as last read" in told
    assert "1: open" in told
    assert "secret" not in told


def test_a_payload_is_shown_on_request_and_only_with_the_right_to_it(relay, ann, mere, operator, script):
    relay.enqueue(payment(description="for Alice Example"), key="order-1")
    where = at(ann, "order-1")
    assert "Alice" not in ann.page(where)
    assert "Show the payload" not in mere.page(at(mere, "order-1"))
    answer = mere.post(f"{where}/payload", form_token=mere.form_token())
    assert answer.status_code == 403
    assert "Alice" not in answer.text
    assert operator.actions(what="view") == ()
    answer = ann.post(f"{where}/payload", form_token=ann.form_token())
    assert "for Alice Example" in readable(answer.text)
    assert answer.headers["Cache-Control"] == "no-store"
    answer = post(script, f"{where}/payload", reason="ticket 7")
    assert answer.json()["payload"]["description"] == "for Alice Example"
    seen = [(one.who, one.via, one.of, one.reason) for one in operator.actions(what="view")]
    assert seen == [("key all", "API", "payload of order-1", "ticket 7"), ("ann", "console", "payload of order-1", "")]


# Doing


#: What is done here, and the same on the command line with something of the same sort.
SAME = (
    ("/intents/default/{letter-1}/replay", "dead replay --key letter-2 --yes"),
    ("/intents/default/{letter-3}/discard", "dead discard --key letter-4 --yes"),
    ("/intents/default/{order-1}/cancel", "cancel order-2"),
    ("/lanes/lane/refunds/pause", "pause inflight"),
    ("/lanes/lane/refunds/resume", "resume inflight"),
    ("/lanes/target/default/pause", "pause --target default"),
    ("/lanes/target/default/resume", "resume --target default"),
)


@pytest.mark.parametrize("face", ["page", "API"])
def test_an_act_here_leaves_the_same_line_as_one_on_the_command_line(relay, ann, script, operator, face):
    letters(relay, *(f"letter-{number}" for number in range(1, 5)))
    relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in (1, 2)])
    who = "ann" if face == "page" else "key all"
    for address, command in SAME:
        path = re.sub(r"{(.*)}", lambda key: relay.get(key[1]).id, address)
        if face == "page":
            ann.said(ann.fill(path, reason="a reason"))
        else:
            assert post(script, path, reason="a reason").status_code == 200
        [here, *_] = operator.actions()
        if path.endswith("default/pause"):
            assert run("resume", "--target", "default").code == 0
        if path.endswith("default/resume"):
            assert run("pause", "--target", "default").code == 0
        ran = run(*command.split(), "--reason", "a reason", "--who", who)
        assert ran.code == 0, ran.err
        [there, *_] = operator.actions()
        for name in ("what", "result", "count", "reason", "who", "targets"):
            assert getattr(here, name) == getattr(there, name), (address, name)
        assert [one.of.partition(" ")[0] for one in (here, there)] == [here.of.partition(" ")[0]] * 2
        assert (here.via, there.via) == ("console" if face == "page" else "API", "command line")
    assert "letter-3 done" in ann.page("/actions?what=discard").replace("discarded", "done")


def test_nobody_acts_without_a_reason_but_to_resume(relay, ann, script):
    letters(relay, "poor")
    for path in (f"{at(ann, 'poor')}/replay", f"{at(ann, 'poor')}/discard", "/lanes/lane/refunds/pause"):
        assert "say why" in readable(ann.fill(path, reason="  ").text)
        assert post(script, path).status_code == 400
    assert relay.get("poor").state == "dead"
    assert not any(lane.paused for lane in Operator(relay.journals).overview().lanes)


def test_what_takes_an_approver_is_refused_to_an_operator_by_page_form_and_api(relay, mere, house):
    letters(relay, "poor")
    letters(relay, "lost", dead_class="unknown", code="VANISHED")
    script = house.visitor(Authorization="Bearer operator")
    for key, what in (("poor", "discard"), ("lost", "discard"), ("lost", "replay")):
        path = f"{at(mere, key)}/{what}"
        assert "takes the right “approver”" in mere.page(path)
        assert "<textarea" not in mere.get(path).text
        answer = mere.post(path, form_token=mere.form_token(), reason="because")
        assert answer.status_code == 403
        assert "'approver', which ben does not have" in readable(answer.text)
        assert post(script, path, reason="because").status_code == 403
        assert relay.get(key).state == "dead"
    assert "Replayed" in mere.said(mere.fill(f"{at(mere, 'poor')}/replay", reason="topped up"))
    viewer = house.visitor(Authorization="Bearer viewer")
    for door in (door for door in API if door.method == "POST"):
        path = door.path.removeprefix("/api/v1")
        path = path.format(target="default", id="x", what="replay", sort="lane", name="refunds")
        assert post(viewer, path, reason="because").status_code == 403


def test_two_operators_on_one_letter_do_not_act_on_what_they_have_not_seen(relay, ann, mere, operator):
    letters(relay, "poor")
    path = f"{at(ann, 'poor')}/replay"
    form = dict(re.findall(r'name="(seen|form_token)" value="([^"]+)"', ann.get(path).text))
    assert "Replayed" in mere.said(mere.fill(path, reason="topped up"))
    answer = ann.post(path, reason="me too", **form)
    assert answer.status_code == 409
    told = readable(answer.text)
    assert "it has changed since you looked: it is ready" in told
    assert "the last act was ben's, who has replayed it" in told
    # It dies again: what ann looked at is another death.
    letters(relay, "poor-2")
    die(relay, "rejected", FUNDS)
    assert ann.post(path, reason="me too", **form).status_code == 409
    assert len(operator.actions(what="replay")) == 1


def test_anothers_pause_stands(ann, mere):
    assert "Paused lane refunds" in ann.said(ann.fill("/lanes/lane/refunds/pause", reason="audit"))
    assert "paused by ann since" in mere.page("/lanes/lane/refunds/pause")
    answer = mere.fill("/lanes/lane/refunds/pause", reason="mine")
    assert answer.status_code == 409
    assert "paused already, by ann" in readable(answer.text)
    told = ann.page("/lanes")
    assert "paused by ann since" in told
    assert "audit" in told
    assert "paused by ann" in mere.said(mere.fill("/lanes/lane/refunds/resume", reason=""))


# Many at once


def test_many_letters_are_planned_typed_out_and_carried_out_by_workers(relay, ann, operator):
    letters(relay, *(f"poor-{number}" for number in range(7)))
    letters(relay, "refused", dead_class="refused", code="NO")
    told = ann.page("/problems")
    assert "rejected TXN_INSUFFICIENT_FUNDS transaction Letters 7 letters" in told
    assert "Worth 73.50 EUR" in told
    [path] = re.findall(r'href="(/letters/replay[^"]*TXN_INSUFFICIENT_FUNDS[^"]*)"', ann.get("/problems").text)
    path = path.replace("&amp;", "&")
    told = ann.page(path)
    assert "Replay 7 dead letters?" in told
    assert "7 sent under a new reference" in told
    assert "Type 7, the number of letters" in told
    assert "No worker is alive" in told
    for wrong, says in (("", "type the number"), ("six", "type the number"), ("6", "there are 7 letters now")):
        answer = fill_many(ann, path, count=wrong, reason="topped up")
        assert answer.status_code in (400, 409)
        assert says in readable(answer.text)
    assert "say why" in readable(fill_many(ann, path, count="7", reason="").text)
    assert operator.jobs() == ()
    # What dies after the plan was shown is not part of it.
    form = hidden(ann, path)
    letters(relay, "poor-late")
    answer = ann.post("/letters/replay", count="7", reason="topped up", **form)
    told = ann.said(answer)
    assert "Begun: replay of 7 letters." in told
    assert "running" in told
    while carry(relay.journal(), "host:1:a").more:
        pass
    told = ann.page(answer.headers["Location"])
    assert "done replay 7 letters" in told
    assert "Done 7" in told
    assert "Why topped up" in told
    assert "ann, console" in ann.page("/jobs")
    assert relay.get("poor-late").state == "dead"
    assert relay.get("poor-3").state == "ready"


def hidden(visitor: Visitor, path: str) -> dict[str, str]:
    """The hidden fields of the form on a page, but for that of signing out, which is the same."""
    return {
        name: unescape(value)
        for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', visitor.get(path).text)
    }


def fill_many(visitor: Visitor, path: str, **fields: str) -> requests.Response:
    return visitor.post(path.partition("?")[0], **hidden(visitor, path), **fields)


def test_a_job_can_be_stopped_from_another_browser_and_by_a_script(relay, mere, script, operator):
    letters(relay, *(f"poor-{number}" for number in range(4)))
    plan = script.get("/api/v1/letters/discard?all=yes").json()
    assert (plan["count"], plan["sums"]) == (4, {"EUR": "42"})
    job = post(script, "/letters/discard", all="yes", count=plan["count"], reason="paid by hand").json()["job"]
    assert "discard 4 letters" in mere.page(f"/jobs/{job}")
    assert "Stopped: what it has done stays done." in mere.said(
        mere.post(f"/jobs/{job}/stop", form_token=mere.form_token(), reason="wrong bank")
    )
    assert script.get(f"/api/v1/jobs/{job}").json()["jobs"][0]["state"] == "stopped"
    assert post(script, f"/jobs/{job}/stop", reason="again").status_code == 409
    assert [action.what for action in operator.actions()] == ["stop job", "begin"]


def test_more_than_an_operator_may_and_class_unknown_take_an_approver(relay, settings):
    letters(relay, "a", "b", "c")
    few = ConsoleSettings(port=0, token_rights=("operator",), most_at_once=2)
    with listening(relay.journals, few, bells=relay.bells) as house:
        visitor = house.let_in()
        assert "To replay more than 2 letters at once takes" in visitor.page("/letters/replay?all=yes")
        answer = visitor.post("/letters/replay", form_token=visitor.form_token(), all="yes", count="3", reason="x")
        assert answer.status_code == 403
        letters(relay, "lost", dead_class="unknown", code="VANISHED")
        assert "class unknown takes the right" in visitor.page("/letters/replay?class=unknown")
        assert "To discard dead letters takes" in visitor.page("/letters/discard?code=VANISHED")
        answer = visitor.get("/letters/replay")
        assert answer.status_code == 400
        assert "say which letters" in readable(answer.text)
    assert settings.lanes


# Workers and targets


def test_workers_are_shown_and_told_to_stop_with_a_reason(relay, ann, script, operator):
    assert "No worker is alive" in ann.page("/workers")
    sign = Sign(version="1.2.3", shape=2, lanes=("refunds",), pool="threads", connections=16, busy=3, memory=50 << 20)
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 1.0, sign_of(sign))
    told = ann.page("/workers")
    assert "running web-1:42:abc" in told
    assert "3 of 16 connections" in told
    assert "50 MB" in told
    path = "/workers/stop?name=web-1:42:abc"
    assert "claims nothing new and finishes what it has in hand" in ann.page(path)
    assert "say which worker and why" in readable(ann.fill(path, reason="").text)
    assert "Told web-1:42:abc to stop" in ann.said(ann.fill(path, reason="host is replaced"))
    assert "Told to stop by ann : host is replaced" in ann.page("/workers").replace("ann:", "ann :")
    assert post(script, "/workers/quiet", name="nobody", reason="x").status_code == 404
    assert [(one.what, one.via) for one in operator.actions()] == [("stop", "console")]


def test_a_target_that_has_moved_is_bound_again_by_an_approver_who_saw_what_it_was(relay, settings, mere):
    relay.enqueue(payment(), key="order-1")
    journal = relay.journals.of("default")
    journal.rebind("cloud https://old.example inst_old", who="ann", reason="first")
    moved = replace(settings, base_url="https://new.example", instance_id="inst_new", token="t")  # noqa: S106
    journals = Journals(moved)
    with listening(journals, ConsoleSettings(port=0)) as house:
        ann = house.let_in()
        told = ann.page("/targets/default/rebind")
        assert "old.example" in told
        assert "new.example" in told
        assert "1 intent open" in told
        form = hidden(ann, "/targets/default/rebind")
        assert ann.post("/targets/default/rebind", reason="", **form).status_code == 400
        stale = form | {"seen": "another"}
        assert ann.post("/targets/default/rebind", reason="moved", **stale).status_code == 409
        assert "new.example" in ann.said(ann.post("/targets/default/rebind", reason="moved", **form))
    assert "new.example" in journal.recorded_ledger()
    journals.close()
    assert mere.post("/targets/default/rebind", form_token=mere.form_token(), reason="x").status_code == 403


# The first screen


def test_the_first_screen_opens_with_what_is_wrong_and_where_to_go(relay, ann):
    assert "Nothing is wrong." in ann.page("/") or "redis" in ann.page("/")
    letters(relay, *(f"poor-{number}" for number in range(3)))
    relay.enqueue(payment(), key="order-1")
    ann.said(ann.fill("/lanes/lane/transactions/pause", reason="the bank audits"))
    told = ann.page("/")
    assert "Critical: no-worker" in told
    assert re.search(r"Warning: lane-paused .{0,12}lane transactions, since", told)
    assert "the bank audits" in told
    assert "Warning: dead-letters" in told
    html = ann.get("/").text
    assert 'aria-label="Accepted a second, in each minute of the last hour"' in html
    assert 'href="/problems">Problems' in html


# The program


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_demo_stays_open_with_a_console_when_it_is_asked_to():
    with process("demo", "--intents", "20", "--seed", "1", "--no-kill", "--stay", stdout=PIPE, text=True) as demo:
        told = ""
        while "signin#" not in told:
            line = demo.stdout.readline()
            assert line, told
            told += line
        url, _, token = re.search(r"(http://\S+)/signin#(\S+)", told)[0].partition("/signin#")
        visitor = Visitor(url)
        assert visitor.post("/signin", token=token).status_code == 303
        assert "Overview" in visitor.page("/")
        assert "wallets ledger.create done" in visitor.page("/intents?state=done")
        demo.send_signal(SIGINT)
        assert demo.wait(60) == 0
    with pytest.raises(requests.ConnectionError):
        visitor.get("/")


def test_the_console_says_where_it_is_and_ends_as_told():
    with process("console", "--port", "0", "--json", stdout=PIPE, text=True) as console:
        told = json.loads(console.stdout.readline())
        visitor = Visitor(told["url"])
        wait_until(lambda: visitor.get("/healthz").status_code == 200, 30, "the console to listen")
        assert visitor.post("/signin", token=told["sign_in"].partition("#")[2]).status_code == 303
        assert "Overview" in visitor.page("/")
        console.send_signal(SIGTERM)
        assert console.wait(30) == 0
    ran = run("console", "--host", "0.0.0.0")  # noqa: S104
    assert ran.code == 2
    assert "listen on 127.0.0.1, or set BLNK_RELAY_CONSOLE_SIGN_IN" in ran.err


# Metrics and health


def test_metrics_take_a_key_and_health_takes_none(relay, house, ann):
    letters(relay, "poor")
    stranger = house.visitor(Host="10.1.2.3:8571")
    assert stranger.get("/healthz").text == "This process is well.\n"
    assert stranger.get("/readyz").status_code == 200
    assert stranger.get("/metrics").status_code == 401
    scraper = house.visitor(Authorization="Bearer viewer", Host="10.1.2.3:8571")
    answer = scraper.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "blnk_relay" in answer.text
    assert ann.get("/metrics").status_code == 200
    with listening(relay.journals, ConsoleSettings(port=0, metrics_open=True)) as open_house:
        assert open_house.visitor().get("/metrics").status_code == 200


# What comes from outside

#: Script, an attribute that ends too early, an entity, what turns text round, what clears a terminal, a template.
HOSTILE = "<script>alert(1)</script>\" onload=x '&lt;\u202egpj.\x1b[2J\x9b2J{{7*7}}{%x%}\u200b\u2066"


class Tags(HTMLParser):
    """What of a page a browser would run, that is not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.alien: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.alien.append(tag)
        self.alien += [name for name in given if name.startswith(("on", "hx-on")) or name == "style"]
        self.alien += [link for name in ("href", "action", "src") if (link := given.get(name)) and link[0] not in "/#"]


def test_hostile_text_is_shown_harmless_wherever_it_stands(relay, ann, script):
    letters(relay, "poor")
    [status] = Operator(relay.journals).listed("dead")
    journal = relay.journals.of("default")
    journal.client.hset(
        journal.key(f"intent:{status.id}"),
        mapping={
            "message": HOSTILE,
            "code": HOSTILE,
            "class": HOSTILE,
            "lane": HOSTILE,
            "txn": HOSTILE,
            "kind": HOSTILE,
        },
    )
    line = {"at": 1, "what": HOSTILE, "note": HOSTILE, "by": HOSTILE, "code": HOSTILE, "request": HOSTILE}
    journal.client.rpush(journal.key(f"log:{status.id}"), json.dumps(line))
    where = at(ann, status.id)
    ann.said(ann.fill(f"{where}/discard", reason=HOSTILE))
    ann.said(ann.fill("/lanes/lane/refunds/pause", reason=HOSTILE))
    ann.said(ann.fill("/lanes/target/default/pause", reason=HOSTILE))
    relay.enqueue(transaction(**{**payment().payload, "description": HOSTILE} | {"reference": "h"}), key="h")
    shown = ann.post(f"{at(ann, 'h')}/payload", form_token=ann.form_token())
    plain = (where, "/intents?state=discarded", "/intents", "/lanes", "/actions", "/letters")
    asked = ("/intents", "/actions", "/signin")
    answers = [shown, *(ann.get(path) for path in plain)]
    answers += [
        ann.session.get(f"{ann.url}{path}", params={"code": HOSTILE, "who": HOSTILE, "onward": HOSTILE}, timeout=30)
        for path in asked
    ]
    for page in answers:
        assert page.status_code == 200, readable(page.text)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", page.text), page.url
        tags = Tags()
        tags.feed(page.text)
        assert tags.alien == [], page.url
    told = readable(ann.get(where).text)
    assert r"\u202egpj.\x1b[2J" in told, "what turns and clears is written out"
    assert "{{7*7}}" in told
    for path in (f"/api/v1{where}", "/api/v1/actions"):
        answer = script.get(path)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer.json()


# Redis


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


# The API


def rest(schema: Schema | type[Schema], document: Any) -> dict[str, Any]:
    made = schema() if isinstance(schema, type) else schema
    return dict(made.validate(document))


def test_what_the_api_says_is_as_it_is_described_and_as_the_command_line_has_it(relay, ann, script):
    letters(relay, "poor")
    relay.enqueue_many([Write(intent=payment(), key="first"), Write(intent=payment(), key="second", after=["first"])])
    post(script, "/lanes/lane/refunds/pause", reason="audit")
    post(script, "/lanes/target/default/pause", reason="audit")
    places = {"target": "default", "id": relay.get("poor").id, "sort": "lane", "name": "refunds", "what": "resume"}
    later = {"/find", "/targets/{name}/rebind", "/letters/{what}", "/jobs/{id}", "/jobs/{id}/stop", "/workers/{what}"}
    for door in (door for door in API if door.path.removeprefix("/api/v1") not in later):
        path = door.path.removeprefix("/api/v1").format(**places | ({"what": "replay"} if "{id}" in door.path else {}))
        answer = script.get(f"/api/v1{path}") if door.method == "GET" else post(script, path, reason="a test")
        assert answer.status_code == 200, (path, answer.text)
        assert rest(door.about["out"], answer.json()) == {}, path
    post(script, "/lanes/target/default/resume")
    letters(relay, "poor-2")
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 1.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
    count = script.get("/api/v1/letters/discard?all=yes").json()["count"]
    job = post(script, "/letters/discard", all="yes", count=count, reason="x").json()["job"]
    told = {
        "/letters/{what}": script.get("/api/v1/letters/replay?class=rejected"),
        "/jobs/{id}": script.get(f"/api/v1/jobs/{job}"),
        "/jobs/{id}/stop": post(script, f"/jobs/{job}/stop"),
        "/workers/{what}": post(script, "/workers/quiet", name="web-1:42", reason="x"),
    }
    for path, answer in told.items():
        assert answer.status_code == 200, answer.text
        [door, *_] = [door for door in API if door.path == f"/api/v1{path}"]
        assert rest(door.about["out"], answer.json()) == {}, path
    described = script.get("/api/v1/openapi.json").json()
    assert set(described["paths"]) == {door.path for door in API}
    assert described["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    overview = run("status", "--json").json
    assert set(script.get("/api/v1/overview").json()) <= set(overview)
    assert script.get("/api/v1" + at(ann, "first")).json()["intent"] == run("show", "first", "--json").json["intent"]
    [action, *_] = script.get("/api/v1/actions").json()["actions"]
    assert action == run("log", "--json").json["actions"][0]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"reason": 1}', b'{"reason": "' + b"x" * 501 + b'"}', b"[" * 100_000]
)
def test_a_body_that_is_no_object_of_ours_is_refused_by_the_api(relay, script, body):
    letters(relay, "poor")
    answer = script.session.post(
        f"{script.url}/api/v1/intents/default/{relay.get('poor').id}/replay",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 400
    assert relay.get("poor").state == "dead"


def test_a_page_of_ours_may_use_the_api_with_its_session_and_its_token_alone(relay, ann):
    letters(relay, "poor")
    path = f"{ann.url}/api/v1/intents/default/{relay.get('poor').id}/replay"
    headers = {"Origin": ann.url, "Sec-Fetch-Site": "same-origin"}
    assert ann.session.post(path, json={"reason": "x"}, headers=headers, timeout=30).status_code == 403
    with_token = headers | {"X-Form-Token": ann.form_token()}
    form = ann.session.post(path, data={"reason": "x"}, headers=with_token, timeout=30)
    assert form.status_code == 400, "a form of another site cannot send JSON"
    assert ann.session.post(path, json={"reason": "x"}, headers=with_token, timeout=30).status_code == 200
