"""What is done in the console to journals as wholes: audits, the doctor, keys, shapes, history; and who may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import NotFound, Refused, Relay, Settings, Write
from blnk_relay.journal.audited import Audited
from blnk_relay.sandbox import Options, Sandbox
from tests.support.cli import letters, payment, run
from tests.support.console import post, rest
from tests.support.history import sqlite_url
from tests.support.journal import LANE, WORKER, finish
from tests.support.secrecy import a_key
from tests.support.visiting import Visitor, readable
from tests.support.waiting import wait_until
from worker.cli.audit import WHO
from worker.console.doors import API
from worker.console.errands import MOST_AT_ONCE, MOST_KEPT, BrokenOff, Errands, Going, Outcome
from worker.console.screens.errands import STOPPABLE
from worker.demo.stage import INSTANCE, TOKEN, as_environment

OLD, NEW = a_key("k1"), a_key("k2")


@pytest.fixture(scope="module")
def ledger() -> Iterator[Sandbox]:
    box = Sandbox(Options(token=TOKEN, instance_id=INSTANCE))
    box.start()
    yield box
    box.stop()


@pytest.fixture
def settings(settings: Settings, ledger: Sandbox, tmp_path: Path, environment: pytest.MonkeyPatch) -> Settings:
    """Those of a console that can do everything: a ledger, a database of history, keys; the same for commands."""
    found = replace(
        settings, base_url=ledger.url, instance_id=INSTANCE, token=TOKEN, history_url=sqlite_url(tmp_path),
        encryption_keys=f"{NEW},{OLD}", read_lag_s=0.2, quiet_s=1.0,
    )  # fmt: skip
    for name, value in as_environment(found).items():
        environment.setenv(name, value)
    return found


def came(script: Visitor, answer: Any) -> dict[str, Any]:
    """What came of an errand that was begun."""
    assert answer.status_code == 200, answer.text
    [begun] = answer.json()["errands"]
    found: list[dict[str, Any]] = []

    def over() -> bool:
        found[:] = script.get(f"/api/v1/errands/{begun['id']}").json()["errands"]
        return found[0]["state"] != "running"

    wait_until(over, 40, f"the end of {begun['of']}")
    return found[0]


def waited_for(ann: Visitor, answer: Any) -> str:
    """The page of an errand that was begun by a form, once it is over."""
    told = ann.said(answer)
    assert "Begun." in told
    shown: list[str] = []

    def over() -> bool:
        shown[:] = [ann.page(answer.headers["Location"])]
        return "Ended" in shown[0]

    wait_until(over, 40, "the end of it")
    return shown[0]


def paid_nowhere(relay: Relay, *keys: str) -> None:
    """Payments that are done for the journal, and that the ledger knows nothing of."""
    journal = relay.journal()
    relay.enqueue_many([Write(intent=payment(), key=key) for key in keys])
    finish(journal, *journal.claim(LANE, WORKER, 100).items)
    until = journal.now_ms() + 400
    wait_until(lambda: journal.now_ms() > until, 20, "reads to show all")


def test_what_is_done_to_a_journal_comes_to_the_same_as_on_the_command_line(relay, settings, ann, script, operator):
    with Relay(replace(settings, encryption_keys=OLD)) as before:
        before.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(3)])
    letters(relay, "poor")
    journal = relay.journal()
    # Keys: counted, then renewed.
    keys = came(script, post(script, "/journals/default/keys"))
    assert keys["looked_at"] == 4
    assert keys["result"] == run("encryption", "keys", "--whole", "--json").json
    renewed = came(script, post(script, "/journals/default/renew"))
    assert (renewed["state"], renewed["well"]) == ("done", True)
    assert renewed["result"]["targets"][0]["done"] >= 3
    there = run("encryption", "renew", "--json", "--who", "key all").json
    assert there == {"targets": [renewed["result"]["targets"][0] | {"done": 0}]}
    nothing = waited_for(ann, ann.fill("/journals/default/keys"))
    assert "Nothing needs another key than the one that is written with." in nothing
    lines = operator.actions(what="renew keys")
    assert [one.via for one in lines] == ["command line", "command line", "API", "API"]
    told = [(one.of, one.who, one.result, one.reason) for one in lines]
    assert told[:2] == told[2:] == [("target default", "key all", result, "") for result in ("done", "begun")]
    # The letters are accounted for anew.
    assert "4 letters of target default accounted for" in waited_for(ann, ann.fill("/journals/default/recount"))
    # An older shape is brought to the newest, here and there.
    lines = []
    faces = (
        lambda: came(script, post(script, "/journals/default/upgrade"))["result"],
        lambda: run("upgrade", "--who", "key all", "--json").json,
    )
    for face in faces:
        journal.client.hset(journal.key("ground"), "shape", "1")
        assert face() == {"journals": [{"target": "default", "before": "1", "after": "2", "changed": True}]}
        lines.append(operator.actions()[0])
    assert [(one.what, one.of, one.result, one.who) for one in lines[1:]] == [
        (one.what, one.of, one.result, one.who) for one in lines[:1]
    ]
    assert [one.via for one in lines] == ["API", "command line"]
    assert {one.what for one in operator.actions()} == {"renew keys", "upgrade", "recount"}
    shown = ann.page("/journals")
    assert INSTANCE in shown
    assert "Shape 2" in shown
    assert "upgrade of target default" in shown


def test_a_journal_that_stands_between_two_shapes_is_brought_on_from_here(relay, ann, script):
    relay.enqueue(payment(), key="order-1")
    journal = relay.journal()
    journal.client.hset(journal.key("ground"), "shape", "1>2")
    assert "Shape 1>2" in ann.page("/journals")
    assert script.get("/api/v1/journals").json()["journals"][0]["shape"] == "1>2"
    told = waited_for(ann, ann.fill("/journals/default/upgrade"))
    assert "has shape 2 now" in told
    assert "Shape 2" in ann.page("/journals")


def test_what_is_done_to_a_journal_as_a_whole_leaves_the_same_line_from_every_face(
    relay, settings, ann, script, operator
):
    letters(relay, "poor-1", "poor-2")

    def forget_tables() -> None:
        Path(settings.history_url.removeprefix("sqlite:///")).unlink(missing_ok=True)

    faces = {
        "recount": (
            lambda: waited_for(ann, ann.fill("/journals/default/recount")),
            lambda: came(script, post(script, "/journals/default/recount")),
            lambda: run("dead", "summary", "--recount", "--who", "key all"),
        ),
        "history upgrade": (
            lambda: waited_for(ann, ann.post("/history/upgrade", form_token=ann.form_token())),
            lambda: came(script, post(script, "/history/upgrade")),
            lambda: run("history", "upgrade", "--who", "key all"),
        ),
    }
    for what, acts in faces.items():
        for act in acts:
            forget_tables()
            act()
        lines = operator.actions(what=what)
        assert [one.via for one in lines] == ["command line", "API", "console"], what
        assert [one.who for one in lines] == ["key all", "key all", "ann"]
        assert len({(one.of, one.result, one.count, one.targets) for one in lines}) == 1, what
    assert (lines[0].of, lines[0].result) == ("the database of history", "revision 0002, was none")
    [recounted, *_] = operator.actions(what="recount")
    assert (recounted.of, recounted.result, recounted.count) == ("target default", "accounted for", 2)
    # What changes nothing, and costs no ledger anything, has no line.
    before = len(operator.actions())
    came(script, post(script, "/journals/default/keys"))
    came(script, post(script, "/history/upgrade"))
    came(script, post(script, "/doctor"))
    run("doctor")
    assert run("encryption", "keys", "--whole").code == run("dead", "summary").code == 0
    assert len(operator.actions()) == before


def test_the_doctor_and_an_audit_say_here_what_they_say_in_the_terminal(relay, ann, script, operator):
    found = came(script, post(script, "/doctor"))
    there = run("doctor", "--json").json
    assert [(one["check"], one["of"], one["level"]) for one in found["result"]["findings"]] == [
        (one["check"], one["of"], one["level"]) for one in there["findings"]
    ]
    shown = ann.page("/doctor")
    worst = next(one for one in there["findings"] if one["level"] != "ok")
    assert worst["mend"].split()[0] in shown
    assert "would break the promise" in shown
    paid_nowhere(relay, "order-1", "order-2")
    audit = came(script, post(script, "/audit", since="1h", rate=1_000))
    assert (audit["state"], audit["well"]) == ("done", False), audit
    ran = run("audit", "--since", "1h", "--rate", "1000", "--json")
    assert ran.code == 1, ran.err
    times = {"since", "until"}
    assert {k: v for k, v in audit["result"].items() if k not in times} == {
        k: v for k, v in ran.json.items() if k not in times
    }
    shown = waited_for(ann, ann.fill("/audit", since="1h", rate="1000"))
    lines = operator.actions()
    assert {(line.what, line.of) for line in lines} == {("audit", "target default")}
    assert [(line.via, line.result) for line in reversed(lines)] == [
        (via, result)
        for via in ("API", "command line", "console")
        for result in ("begun", "ended, 2 compared, 2 differences")
    ]
    one = ran.json["first"][0]
    assert one["says"] in shown
    assert one["advice"] in shown
    assert one["key"] in shown


def test_values_of_differences_are_kept_back_from_whoever_has_no_right_to_payloads(relay, house, script):
    paid_nowhere(relay, "order-1")
    audit = came(script, post(script, "/audit", since="1h", rate=1_000))
    viewer = house.visitor(Authorization="Bearer viewer")
    [seen] = viewer.get(f"/api/v1/errands/{audit['id']}").json()["errands"]
    assert {one["shows"] for one in seen["result"]["first"]} == {"not shown without the right to payloads"}
    assert seen["result"]["first"][0]["advice"] == audit["result"]["first"][0]["advice"]
    assert "not shown without" not in str(audit)


def test_an_audit_that_had_to_end_goes_on_from_there(relay, ann, script, operator):
    paid_nowhere(relay, *(f"order-{number}" for number in range(12)))
    audited = Audited(relay.journal())
    assert post(script, "/audit", resume=True).status_code == 400
    assert "nothing to compare yet" in post(script, "/audit", since="0s").text
    [begun] = post(script, "/audit", since="1h", rate=2).json()["errands"]
    again = post(script, "/audit", since="1h")
    assert (again.status_code, begun["id"] in again.json()["error"]["message"]) == (409, True)
    assert "running" in ann.page(f"/errands/{begun['id']}")
    assert "Told to stop" in ann.said(ann.post(f"/errands/{begun['id']}/stop", form_token=ann.form_token()))
    stopped = came(script, script.get(f"/api/v1/errands/{begun['id']}"))
    assert (stopped["state"], stopped["result"]["whole"]) == ("stopped", False)
    assert post(script, f"/errands/{begun['id']}/stop").status_code == 409
    assert audited.place(WHO) is not None
    assert "can go on from there" in ann.page("/audit")
    assert "Go on with it" in ann.page(f"/errands/{begun['id']}")
    whole = came(script, post(script, "/audit", resume=True, rate=1_000))
    assert (whole["state"], whole["result"]["compared"]) == ("done", {"done": 12})
    assert audited.place(WHO) is None
    lines = [(line.who, line.what, line.of, line.result) for line in reversed(operator.actions())]
    assert lines.pop(1) == ("ann", "stop errand", "audit of target default", "told to stop")
    assert [line[:3] for line in lines] == [("key all", "audit", "target default")] * 4
    begun_, stopped_, gone_on, ended = (line[3] for line in lines)
    assert (begun_, gone_on) == ("begun", "gone on with")
    assert stopped_.startswith("stopped, ")
    assert stopped_.endswith(": it was told to stop")
    assert ended == f"ended, 12 compared, {whole['result']['differences']} differences"


@pytest.mark.usefixtures("relay")
def test_history_is_looked_after(ann, script):
    assert "has no tables of ours yet" in ann.page("/history")
    told = waited_for(ann, ann.post("/history/upgrade", form_token=ann.form_token()))
    assert "has revision 0002 now; it had none" in told
    assert "Rows of" in ann.page("/history")
    assert script.get("/api/v1/history").json() == run("history", "status", "--json").json
    again = came(script, post(script, "/history/upgrade"))
    assert again["result"] == run("history", "upgrade", "--json").json


@pytest.mark.parametrize("face", ["page", "API"])
def test_switching_history_off_takes_a_reason_and_leaves_its_line(ann, script, operator, face):
    told = ann.page("/journals/default/history-off")
    assert "one that has it switches history on again" in told
    if face == "page":
        assert "say why" in readable(ann.fill("/journals/default/history-off", reason=" ").text)
        adopting = ann.fill("/journals/default/history-off", reason="why", adopt="yes")
        assert "History of target default is off" in ann.said(adopting)
    else:
        assert post(script, "/journals/default/history-off").status_code == 400
        assert post(script, "/journals/default/history-off", reason="why", adopt=True).json() == {
            "targets": [{"target": "default", "not_copied": 0}]
        }
    [here, *_] = operator.actions()
    assert "go on with what was copied" in here.result
    assert run("history", "off", "--adopt", "--reason", "why", "--who", here.who).code == 0
    [there, *_] = operator.actions()
    for name in ("what", "of", "result", "count", "reason", "who", "targets"):
        assert getattr(here, name) == getattr(there, name)
    assert (here.via, there.via) == ("console" if face == "page" else "API", "command line")


def test_what_takes_an_approver_is_refused_to_an_operator_and_an_operators_to_a_viewer(mere, house):
    operator_s = house.visitor(Authorization="Bearer operator")
    viewer = house.visitor(Authorization="Bearer viewer")
    asked = ("/journals/default/upgrade", "/journals/default/renew", "/journals/default/history-off")
    for path in asked:
        told = mere.page(path)
        assert "takes the right “approver”" in told
        assert f'action="{path}"' not in mere.get(path).text
    for path in (*asked, "/history/upgrade"):
        answer = mere.post(path, form_token=mere.form_token(), reason="because")
        assert answer.status_code == 403, path
        assert "'approver', which ben does not have" in readable(answer.text)
        document = {"reason": "because"} if path.endswith("/history-off") else {}
        assert post(operator_s, path, **document).status_code == 403
    for path in ("/journals/default/keys", "/journals/default/recount", "/audit", "/doctor", "/errands/x/stop"):
        assert post(viewer, path).status_code == 403, path
    assert house.console.errands.all() == ()


#: What is asked for, and what is said to it.
WRONG: tuple[tuple[str, dict[str, Any], int, str], ...] = (
    ("/journals/default/burn", {}, 400, "not something that is done to a journal"),
    ("/journals/nope/keys", {}, 404, "no target 'nope'"),
    ("/journals/nope/history-off", {"reason": "x"}, 404, "no target 'nope'"),
    ("/audit", {"target": "nope"}, 404, "no target"),
    ("/audit", {"since": "soon"}, 400, "since:"),
    ("/audit", {"rate": 0}, 400, "rate must be"),
    ("/audit", {"rate": "many"}, 400, "rate: not a valid number"),
    ("/audit", {"ours": [1]}, 400, "ours: not a valid string"),
    ("/audit", {"resume": True, "since": "1d"}, 400, "leave out since, until and ours"),
    ("/doctor", {"target": "nope"}, 404, "no target"),
    ("/errands/nope/stop", {}, 404, "knows of no errand"),
)


def test_what_cannot_be_begun_is_said(script):
    for path, document, status, says in WRONG:
        answer = post(script, path, **document)
        assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True), answer.text


def test_the_kinds_are_told_as_the_command_line_tells_them(ann, script):
    assert script.get("/api/v1/kinds").json() == run("kinds", "--json").json
    assert script.get("/api/v1/kinds?name=refund").json() == run("kinds", "refund", "--json").json
    assert "Give one applied transaction back" in ann.page("/kinds")
    shown = ann.page("/kinds?name=refund")
    assert "REFUND_HELD" in shown
    assert "contract §" not in shown
    assert ann.get("/kinds?name=nope").status_code == 404


@pytest.mark.usefixtures("relay")
def test_the_answers_are_as_they_are_described(script):
    caring = ("/journals", "/history", "/audit", "/doctor", "/errands", "/kinds")
    doors = [door for door in API if door.path.removeprefix("/api/v1").startswith(caring)]
    errand = ""
    for door in sorted(doors, key=lambda door: (door.path.endswith("/stop"), "{id}" in door.path)):
        path = door.path.removeprefix("/api/v1").format(name="default", what="keys", id=errand)
        answer = script.get(f"/api/v1{path}") if door.method == "GET" else post(script, path, **ASKED.get(path, {}))
        if path.endswith("/stop"):
            assert answer.status_code in (200, 409), "it may be over"
            continue
        assert answer.status_code == 200, (path, answer.text)
        assert rest(door.about["out"], answer.json()) == {}, path
        if door.method == "POST" and "errands" in answer.json():
            errand = came(script, answer)["id"]


#: What has to be sent.
ASKED = {"/journals/default/history-off": {"reason": "no longer wanted"}, "/audit": {"since": "1h"}}


@pytest.mark.usefixtures("relay")
def test_an_errand_is_shown_while_it_goes_on_and_where_it_fails(house, ann, script):
    def refused(going: Going) -> Outcome:
        while not going.pause(30):
            pass
        raise Refused("a worker copies")

    errands = house.console.errands
    for what in ("audit", "doctor", "keys", "renew", "upgrade", "recount", "history"):
        id_ = begun(errands, what, refused, "default")
        page = {"audit": "/audit", "doctor": "/doctor", "history": "/history"}.get(what, "/journals")
        assert ann.get(page).status_code == 200
        assert "running" in ann.page(f"/errands/{id_}")
        if what not in STOPPABLE:
            answer = post(script, f"/errands/{id_}/stop")
            assert (answer.status_code, "cannot be stopped" in answer.json()["error"]["message"]) == (409, True)
            assert "Stop it" not in ann.page(f"/errands/{id_}")
        errands.stop(id_)
        wait_until(lambda id_=id_: errands.get(id_).over, 20, "its end")
        assert ann.get(page).status_code == 200
        assert "failed a worker copies" in ann.page(f"/errands/{id_}")


# Errands, without a console


def begun(errands: Errands, what: str, work: Any, target: str = "") -> str:
    return errands.begin(what, f"{what} of {target}", work, target=target, who="ann", via="console").id


def test_only_so_many_errands_go_on_each_once_and_all_end_with_the_console():
    errands, ended = Errands(), []

    def long(going: Going) -> Outcome:
        going.step(3)
        while not going.pause(30):
            pass
        ended.append(1)
        return Outcome("broken off", whole=False)

    first = begun(errands, "audit", long, "eu")
    for target in ("eu", ""):
        with pytest.raises(Refused, match="goes on already, begun by ann"):
            begun(errands, "audit", long, target)
    for number in range(1, MOST_AT_ONCE):
        begun(errands, "audit", long, f"t{number}")
    with pytest.raises(Refused, match="errands go on already"):
        begun(errands, "keys", long)
    errands.stop(first)
    wait_until(lambda: errands.get(first).over, 20, "the first to end")
    assert (errands.get(first).state, errands.get(first).steps) == ("stopped", 3)
    errands.close()
    assert len(ended) == MOST_AT_ONCE
    assert all(one.over for one in errands.all())


def test_an_errand_that_fails_says_so_without_what_belongs_to_people(caplog):
    errands = Errands()

    def fails(_: Going) -> Outcome:
        raise ValueError("Alice Example")

    def refused(_: Going) -> Outcome:
        raise Refused("a worker copies")

    def broken_off(going: Going) -> Outcome:
        going.stop()
        going.go_on()
        raise AssertionError("it went on")

    told = []
    for work in (fails, refused, broken_off):
        id_ = begun(errands, "keys", work)
        wait_until(lambda id_=id_: errands.get(id_).over, 20, "its end")
        told.append((errands.get(id_).state, errands.get(id_).said))
    assert told[1:] == [("failed", "a worker copies"), ("stopped", "It was stopped before its end.")]
    assert "Alice" not in f"{told}{caplog.text}"
    assert "ValueError at test_console_caring.py" in caplog.text
    assert issubclass(BrokenOff, Exception)


def test_an_errand_that_could_not_begin_leaves_nothing_behind(monkeypatch):
    errands = Errands()

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError):
            begun(errands, "keys", lambda _: Outcome("done"))
    assert errands.all() == ()
    id_ = begun(errands, "keys", lambda _: Outcome("done"))
    wait_until(lambda: errands.get(id_).over, 20, "its end")
    errands.close()


def test_old_errands_are_forgotten_and_none_that_goes_on():
    errands, free = Errands(), threading.Event()

    def waits(_: Going) -> Outcome:
        free.wait(30)
        return Outcome("done")

    kept = begun(errands, "audit", waits)
    for _ in range(MOST_KEPT + 5):
        id_ = begun(errands, "keys", lambda _: Outcome("done"))
        wait_until(lambda id_=id_: errands.get(id_).over, 20, "its end")
    assert len(errands.all()) <= MOST_KEPT
    assert not errands.get(kept).over
    free.set()
    wait_until(lambda: errands.get(kept).over, 20, "its end")
    with pytest.raises(NotFound, match="it forgets old ones"):
        errands.get("nope")
