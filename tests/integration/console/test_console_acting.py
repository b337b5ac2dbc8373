"""What is done in the console, by whom, and what it leaves in the log of actions."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from blnk_relay import Action, Operator, Write
from blnk_relay.journal.journals import Journals
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import FUNDS, die, letters, payment, run
from tests.support.console import at, hidden, post
from tests.support.visiting import listening, readable
from worker.console.doors import API
from worker.console.settings import ConsoleSettings
from worker.demo.stage import as_environment

pytestmark = pytest.mark.usefixtures("environment")


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


def test_jobs_wishes_and_looks_at_payloads_leave_the_same_lines_as_on_the_command_line(relay, ann, operator):
    letters(relay, *(f"poor-{number}" for number in range(101)))
    for name in ("web-1:42:abc", "web-2:42:abc"):
        relay.journal().sweep(f"{name} 1.2.3 2", 1.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))

    def lines(what: str) -> tuple[Action, Action]:
        there, here, *_ = operator.actions(what=what)
        assert (here.via, there.via) == ("console", "command line")
        for name in ("what", "result", "count", "reason", "who", "targets"):
            assert getattr(here, name) == getattr(there, name), name
        return here, there

    def begun_here() -> str:
        form = hidden(ann, "/letters/replay?all=yes")
        return ann.post("/letters/replay", count="101", reason="topped up", **form).headers["Location"]

    job = begun_here()
    ann.said(ann.post(f"{job}/stop", form_token=ann.form_token(), reason="wrong bank"))
    why = ("--reason", "topped up", "--who", "ann", "--yes")
    job = run("dead", "replay", "--all", *why, "--json").json["job"]
    lines("begin")
    assert run("jobs", "stop", job, "--reason", "wrong bank", "--who", "ann").code == 0
    lines("stop job")
    ann.said(ann.fill("/workers/quiet?name=web-1:42:abc", reason="moving house"))
    assert run("workers", "quiet", "web-2:42", "--reason", "moving house", "--who", "ann").code == 0
    lines("quiet")
    ann.post(f"{at(ann, 'poor-1')}/payload", form_token=ann.form_token(), reason="ticket 7")
    assert run("show", "poor-1", "--payload", "--reason", "ticket 7", "--who", "ann").code == 0
    here, there = lines("view")
    assert here.of == there.of == "payload of poor-1"


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


def test_one_worker_is_told_by_its_whole_name_or_its_place_alone(relay, ann, script, operator):
    for pid in (42, 43):
        sign = Sign(version="1.2.3", shape=2, lanes=("refunds",), pool="threads")
        relay.journal().sweep(f"web-2:{pid}:abc 1.2.3 2", 1.0, sign_of(sign))
    token = ann.form_token()
    for half in ("web-2:4", "web-2", "web", "web-2:42:a"):
        assert post(script, "/workers/stop", name=half, reason="x").status_code == 404
        assert ann.post("/workers/stop", form_token=token, name=half, reason="x").status_code == 404
    # In a terminal, how a name begins is enough, but not half a process id.
    assert "no worker that is alive is called" in run("workers", "stop", "web-2:4", "--reason", "x").err
    assert operator.actions() == ()
    for whole in ("web-2:42", "web-2:43:abc"):
        [told] = post(script, "/workers/stop", name=whole, reason="x").json()["workers"]
        assert told["name"].startswith(whole)


def test_all_workers_are_told_at_once_by_whoever_types_how_many_they_are(relay, ann, script, operator):
    for number in range(3):
        sign = Sign(version="1.2.3", shape=2, lanes=("refunds",), pool="threads")
        relay.journal().sweep(f"web-{number}:42:abc 1.2.3 2", 1.0, sign_of(sign))
    path = "/workers/stop?all=yes"
    assert "Have all 3 workers stop?" in ann.page(path)
    assert "Type 3, the number of workers" in ann.page(path)
    for wrong, says in (("", "type the number of workers"), ("2", "there are 3 now")):
        assert says in readable(ann.fill(path, reason="moving house", count=wrong).text)
    assert post(script, "/workers/quiet", all=True, name="web-1:42", count=3, reason="x").status_code == 400
    assert operator.actions() == ()
    assert "web-0:42:abc, web-1:42:abc, web-2:42:abc" in ann.said(ann.fill(path, reason="moving house", count="3"))
    answer = post(script, "/workers/quiet", all=True, count=3, reason="moving house")
    assert len(answer.json()["workers"]) == 3
    # Who was told already is not told once more; the others are, by the same line.
    sign = Sign(version="1.2.3", shape=2, lanes=("refunds",), pool="threads")
    relay.journal().sweep("web-9:42:abc 1.2.3 2", 1.0, sign_of(sign))
    assert run("workers", "stop", "--all", "--reason", "moving house", "--who", "ann").code == 0
    lines = operator.actions(what="stop")
    assert {one.via for one in lines} == {"console", "command line"}
    assert {(one.who, one.reason, one.result) for one in lines} == {("ann", "moving house", lines[0].result)}


def test_a_target_that_has_moved_is_bound_again_by_an_approver_who_saw_what_it_was(relay, settings, mere, environment):
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
        # The command line leaves the same line.
        journal.rebind("cloud https://old.example inst_old", who="ann", reason="first")
        for name, value in as_environment(moved).items():
            environment.setenv(name, value)
        assert run("target", "rebind", "default", "--reason", "moved", "--who", "ann", "--yes").code == 0
        there, here = Operator(journals).actions(what="rebind")
        for name in ("what", "of", "result", "reason", "who", "targets"):
            assert getattr(here, name) == getattr(there, name), name
    assert "new.example" in journal.recorded_ledger()
    journals.close()
    assert mere.post("/targets/default/rebind", form_token=mere.form_token(), reason="x").status_code == 403
