"""What the screens of the console show, and how one finds what one looks for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from blnk_relay import Leg, Operator, Relay, Target, Write, create_ledger, split_transaction
from blnk_relay.journal.entries import id_of
from tests.support.cli import die, letters, payment, run
from tests.support.console import at, post, rest
from tests.support.visiting import listening, readable
from worker.console.doors import API
from worker.console.screens import filters
from worker.console.screens.filters import PAGE
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")


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
    assert "not known until nothing is open" in told
    html = ann.get("/").text
    assert 'aria-label="Accepted a second, in each minute of the last hour"' in html
    assert 'href="/problems">Problems' in html


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


def test_letters_without_a_code_have_a_link_a_plan_and_a_command_of_their_own(relay, ann, script, operator):
    letters(relay, "coded", dead_class="unknown", code="VANISHED")
    letters(relay, "bare", dead_class="unknown", code="")
    [link] = [
        href
        for href in re.findall(r'href="(/letters\?[^"]+)"', unescape(ann.get("/problems").text))
        if "code=-" in href
    ]
    listed = re.findall(r'href="/intents/[^"]+">([^<]+)', ann.get(link).text)
    assert listed == ["bare"]
    query = link.partition("?")[2]
    assert [one["key"] for one in script.get(f"/api/v1/letters?{query}").json()["intents"]] == ["bare"]
    [cause] = script.get("/api/v1/problems?code=-").json()["causes"]
    assert (cause["code"], cause["count"]) == ("", 1)
    plan = script.get(f"/api/v1/letters/discard?{query}").json()
    assert (plan["count"], plan["codes"]) == (1, {"": 1})
    # What a command prints to be copied is about the same letters, and no others.
    told = run("dead", "summary").out
    [command] = [line.strip() for line in told.splitlines() if "--code -" in line]
    assert "no code (transaction): the oldest are bare" in told
    assert [one["key"] for one in run(*command.split()[1:], "--json").json["letters"]] == ["bare"]
    planned = run("dead", "replay", "--code", "-", "--plan")
    assert "--code -" in planned.out + planned.err
    assert run("dead", "discard", "--code", "-", "--plan", "--json").json["scope"]["code"] == ""
    [verdict] = [one for one in operator.verdicts() if one.sort == "dead-letters" and "with no code" in one.what]
    assert [one["key"] for one in run(*verdict.remedy.split()[1:], "--json").json["letters"]] == ["bare"]


def test_a_key_is_looked_up_whatever_else_is_asked_for_and_the_page_says_so(settings):
    two = replace(settings, instance_id="i", targets=(Target(name="eu"),))
    with Relay(two) as relay, listening(relay.journals, ConsoleSettings(port=0)) as house:
        ann = house.let_in()
        relay.enqueue(payment(), key="order-1")
        only = "A key is looked up by itself"
        assert f"{only}: state was not heeded." in ann.said(ann.get("/intents?key=order-1&state=dead"))
        assert only not in ann.said(ann.get("/intents?key=order-1&target=default"))
        relay.enqueue(payment(), key="order-1", target="eu")
        assert f"{only}: state, kind and since were not heeded." in ann.page(
            "/intents?key=order-1&state=dead&kind=refund&since=2h"
        )
        assert only not in ann.page("/intents?key=order-1")


def test_a_link_leads_to_the_intent_whose_id_it_holds_whatever_key_looks_like_it(relay, ann):
    relay.enqueue(payment(amount="2"), key=id_of("default", "hold-9"))
    first = relay.enqueue(payment(), key="hold-9")
    assert "hold-9" in ann.page(f"/intents/default/{first.id}")
    ann.said(ann.fill(f"/intents/default/{first.id}/cancel", reason="a test"))
    assert relay.get("hold-9").state == "cancelled"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/intents?state=dad", 400, "'dad' is not a state"),
        ("/intents?kind=transactions", 404, "did you mean 'transaction'"),
        ("/letters?code=NEVER", 404, "no code among the dead letters"),
        ("/intents?since=soon", 400, "nor a span such as 15m"),
        ("/intents?until=2026-11-20T09:15:31", 400, "no offset from UTC"),
        ("/intents?until=soon", 400, "nor a span such as 15m"),
        ("/intents?since=15m&until=1h", 400, "have nothing between them"),
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


def test_a_list_begins_with_the_oldest_where_that_is_asked_for(relay, ann, script):
    keys = [f"poor-{number:03}" for number in range(PAGE + 7)]
    letters(relay, *keys)
    newest, _ = on_all_pages(ann, "/letters", r">(poor-\d+)</a>")
    oldest, pages = on_all_pages(ann, "/letters?order=oldest", r">(poor-\d+)</a>")
    assert (oldest, pages) == (newest[::-1], 2)
    assert "the oldest first" in ann.page("/letters?order=oldest")
    # The order narrows nothing: what is acted on is what the list is of.
    assert "order" not in re.search(r'href="(/letters/replay[^"]*)"', ann.get("/letters?order=oldest").text)[1]
    page = script.session.get(f"{script.url}/api/v1/letters", params={"order": "oldest"}, timeout=30).json()
    assert [one["key"] for one in page["intents"]] == oldest[:PAGE]
    # Of several states by when they were accepted.
    relay.enqueue(payment(), key="open-1")
    text = ann.get("/intents?order=oldest&state=dead,ready&since=1h").text
    assert re.findall(r">((?:poor|open)-\d+)</a>", text) == oldest[:PAGE]
    assert re.findall(r">((?:poor|open)-\d+)</a>", ann.get("/intents?state=dead,ready").text)[0] == "open-1"
    refused = readable(ann.get("/intents?order=sideways").text)
    assert "'sideways' is not an order of a list; there are: newest, oldest" in refused
    assert script.session.get(f"{script.url}/api/v1/intents?order=newest", timeout=30).ok
    assert ann.get("/intents?order=").ok, "as the form has it that was not touched"


def on_all_pages(visitor, path, pattern, between=lambda: None):
    """What is found on a page and on all that are older, and how many pages that were."""
    found, pages = [], 0
    while path:
        text = visitor.get(path).text
        found += re.findall(pattern, text)
        onward = re.search(r'rel="next" href="([^"]+)"', text)
        path, pages = onward[1].replace("&amp;", "&") if onward else "", pages + 1
        between()
    return found, pages


def test_what_happened_in_one_millisecond_is_passed_over_by_no_page_whatever_changes_meanwhile(relay, ann):
    keys = [f"poor-{number}" for number in range(3 * PAGE)]
    letters(relay, *keys[::2])
    letters(relay, *keys[1::2], code="OTHER")
    journal = relay.journal()
    # All of one moment, as where a sweep or a batch ended them together, and of two causes, which are listed apart.
    ms = journal.now_ms()
    for name in ("dead", *(f"letters:{cause}" for cause in journal.client.smembers(journal.key("causes")))):
        ids = journal.client.zrange(journal.key(name), 0, -1)
        journal.client.zadd(journal.key(name), dict.fromkeys(ids, ms), xx=True)
    for key in keys:
        journal.client.hset(journal.key("intent:" + relay.get(key).id), "updated", ms)
    for path in ("/letters", "/letters?kind=transaction"):
        seen, pages = on_all_pages(ann, path, r">(poor-\d+)</a>")
        assert (sorted(seen), pages) == (sorted(keys), 3), path
    # Somebody replays the last one of a page while it is looked at: what comes behind it comes all the same.
    told = on_all_pages(ann, "/letters", r">(poor-\d+)</a>")[0]
    operator = Operator(relay.journals, relay.bells)

    def replay():
        if relay.get(told[PAGE - 1]).state == "dead":
            operator.replay(relay.get(told[PAGE - 1]), who="bob", reason="topped up")

    assert on_all_pages(ann, "/letters", r">(poor-\d+)</a>", replay)[0] == told


def test_the_action_log_is_gone_back_through_without_a_gap(relay, ann, script):
    journal, ms = relay.journal(), relay.journal().now_ms()
    for number in range(2 * PAGE + 3):
        told = {"what": "pause", "of": f"lane l-{number}.", "who": "ann", "via": "library", "reason": "", "mark": ""}
        fields = {"at": ms, "result": "done", "count": 0, "action": json.dumps(told)}
        journal.client.xadd(journal.key("actions"), fields, id=f"{ms}-{number}")
    wanted = [f"lane l-{number}." for number in reversed(range(2 * PAGE + 3))]
    assert on_all_pages(ann, "/actions", r">(lane l-\d+\.)") == (wanted, 3)
    seen, after = [], ""
    while page := script.session.get(f"{script.url}/api/v1/actions", params={"after": after}, timeout=30).json():
        seen += [one["of"] for one in page["actions"]]
        if not (after := page["after"]):
            break
    assert seen == wanted
    assert ann.get("/actions?after=x").status_code == 400


def test_the_action_log_is_narrowed_to_several_sorts_as_on_the_command_line(relay, ann, script):
    letters(relay, "a", "b")
    operator = Operator(relay.journals, relay.bells)
    operator.replay(relay.get("a"), who="ann", reason="topped up")
    operator.pause_lane("refunds", who="ann", reason="audit")
    operator.discard(relay.get("b"), who="ann", reason="paid by hand")
    there = run("log", "--what", "replay", "--what", "discard", "--json").json["actions"]
    here = script.get("/api/v1/actions?what=replay,discard").json()["actions"]
    assert here == there
    assert [one["what"] for one in here] == ["discard", "replay"]
    told = ann.page("/actions?what=replay,discard")
    assert "paid by hand" in told
    assert "audit" not in told.partition("What operators did")[2]
    assert "'burn' is not something that an operator does" in readable(ann.get("/actions?what=replay,burn").text)


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
    die(relay, "partial", "NOT_ALL")
    for query in ("class=partial", "class=partial&state=dead&destination=@wallet-zoe"):
        told = ann.page(f"/find?{query}")
        assert "order-zoe transaction dead partial NOT_ALL" in told, query
        assert "the letters of that class" in told
    for query in ("key=order-zoe", "precise_amount=1234&currency=EUR"):
        assert [one["key"] for one in script.get(f"/api/v1/find?{query}").json()["intents"]] == ["order-zoe"], query
    assert '<option value="partial" selected>' in ann.get("/find?class=partial").text
    assert script.get("/api/v1/find?class=rejected").json()["intents"] == []
    assert script.get("/api/v1/find?class=odd").status_code == 400
    found = script.get("/api/v1/find?text=ref-zoe").json()
    assert [one["key"] for one in found["intents"]] == ["order-zoe"]
    assert rest(next(door for door in API if door.path == "/api/v1/find").about["out"], found) == {}
    for query, says in (
        ("amount=ten", "not an amount"),
        ("amount=1E300000000", "64 digits"),
        ("meta=x", "name=value"),
        ("state=ready", "not a state here"),
        ("precise_amount=1.5", "in minor units"),
    ):
        answer = ann.get(f"/find?{query}")
        assert answer.status_code == 400
        assert says in readable(answer.text)
    assert script.get("/api/v1/find").status_code == 400


def test_where_nothing_is_found_it_is_said_what_may_be_mistyped_and_where_nobody_could_look(relay, ann, script):
    relay.enqueue(payment(), key="order-1")
    told = ann.page("/find?currency=eur&outcome=aplied")
    assert "Nothing was found." in told
    assert "perhaps 'EUR' is meant" in told
    assert "No outcome is called 'aplied'" in told
    answer = script.session.get(f"{script.url}/api/v1/find?currency=eur", timeout=30).json()
    assert ["'EUR'" in hint for hint in answer["hints"]] == [True]
    assert script.session.get(f"{script.url}/api/v1/find?currency=EUR", timeout=30).json()["hints"] == []
    missing = script.session.get(f"{script.url}/api/v1/find?kind=transactions", timeout=30)
    assert (missing.status_code, "did you mean 'transaction'" in missing.text) == (404, True)
    # A journal of another shape can be read by nobody of this version.
    journal = relay.journal()
    journal.client.hset(journal.key("ground"), "shape", "99")
    told = ann.page("/find?text=nowhere")
    assert "Nothing was found, but it may be where nobody could look: journal of target default." in told
    assert "Not looked in journal of target default: could not be read" in told


def test_several_values_of_metadata_have_to_hold_together(relay, ann, script):
    for number in (1, 2):
        relay.enqueue(payment(meta_data={"order": "7", "part": str(number)}), key=f"part-{number}")
    query = "meta=order%3D7&meta=part%3D2"
    assert [one["key"] for one in script.get(f"/api/v1/find?{query}").json()["intents"]] == ["part-2"]
    told = ann.page(f"/find?{query}")
    assert "part-2 transaction" in told
    assert "part-1" not in told
    text = ann.get(f"/find?{query}").text
    assert re.findall(r'name="meta" value="([^"]*)"', text) == ["order=7", "part=2", ""]


def test_until_is_a_span_back_from_now_as_since_is(relay, ann, script):
    letters(relay, "poor-1")
    assert "poor-1" in ann.page("/letters?until=0s")
    assert "poor-1" not in ann.page("/letters?until=15m")
    assert script.get("/api/v1/letters?until=15m").json()["intents"] == []
    assert script.get("/api/v1/problems?until=15m").json()["causes"] == []
    assert script.get("/api/v1/actions?until=15m").json()["actions"] == []
    # What is asked for once more is a time, so that it means the same whenever it is sent.
    assert re.search(r'name="until" value="20[^"]*Z"', ann.get("/letters/replay?until=0s&all=yes").text)


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
