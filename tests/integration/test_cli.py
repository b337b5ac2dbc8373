"""blnk-relay as a whole: help, documentation, errors, and the commands that look, pause and run."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from datetime import timedelta

import click
import pytest
import redis

from blnk_relay import Write, bulk_transactions
from blnk_relay.catalogue.examples import example_line
from blnk_relay.intents.exchange import GateAction
from blnk_relay.intents.states import UNFINISHED, State
from blnk_relay.journal.entries import new_entry
from blnk_relay.journal.jobs import FROM_A_JOB, MOST_OF_A_JOB
from blnk_relay.journal.pauses import MAX_REASON
from blnk_relay.journal.question import NO_CODE
from blnk_relay.journal.settlement import Settlement
from blnk_relay.kinds.registry import KINDS, intent_of
from tests.support.cli import FUNDS, ROOT, commands, die, letters, line, names, payment, run, section
from tests.support.history import made, sqlite_url
from tests.support.stages import operator_of
from worker.app import POOLS
from worker.cli import dead, deferred, exits, options
from worker.cli import letters as bulk
from worker.cli import services as running
from worker.cli import show as reading
from worker.cli.commands import cli

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def no_redis(environment):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    environment.setenv("BLNK_RELAY_REDIS_URL", f"redis://:hunter2@127.0.0.1:{port}/0")


@pytest.mark.parametrize("path", [path for path in commands() if path != ("demo",)], ids=" ".join)
def test_the_help_of_every_command_offers_json_and_ends_with_an_example(path):
    ran = run(*path, "--help")
    assert ran.code == 0
    assert "--json" in ran.out or path == ("completion",)
    assert ran.out.rindex("Example:") > ran.out.rindex("--help")
    assert f"blnk-relay {' '.join(path)}" in ran.out[ran.out.rindex("Example:") :]


def test_a_command_is_loaded_when_it_is_asked_for_and_its_line_of_the_help_is_its_own():
    assert "--intents" in run("demo", "--help").out
    said = {name: command.get_short_help_str(1_000) for name, command in cli.commands.items()}
    own = {name: deferred.loaded(command) for name, command in cli.commands.items()}
    assert said == {name: command.get_short_help_str(1_000) for name, command in own.items()}


def test_help_and_version_need_no_redis_and_load_no_heavy_part():
    code = "import sys, worker.cli.commands; print([m for m in ('redis', 'celery', 'rich') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        == "[]\n"
    )
    assert re.fullmatch(r"blnk-relay \d+\.\d+\.\S+\n", run("--version").out)


#: What no command that looks imports: of other libraries, and what reads e-mail (``importlib.metadata`` asks for it).
NOT_IMPORTED = (
    "alembic", "celery", "email", "kombu", "marshmallow", "requests", "rich", "sentry_sdk", "sqlalchemy",
    "blnk_relay.journal.causes", "blnk_relay.journal.finding", "blnk_relay.journal.listing",
    "blnk_relay.relay",
)  # fmt: skip

#: What imports least comes first: each is looked at with all that the ones before have imported. `show` is the one of
#: a payment: what the parts of an intent are called, where it has any, is for its kind to say, with marshmallow.
LOOKING = (("--help",), ("status",), ("status", "--json"), ("workers",), ("lanes",), ("log",), ("show", "pay-1"))

STARTED = f"""
import gc, sys
from worker.cli.commands import cli
for line in {LOOKING!r}:
    assert cli.main(line, standalone_mode=False) == 0, line
    print(line, [name for name in {NOT_IMPORTED!r} if name in sys.modules], gc.isenabled(), file=sys.stderr)
import importlib.metadata
import redis
print(importlib.metadata.version("redis") == redis.__version__, importlib.metadata is sys.modules["importlib.metadata"],
    "email" in sys.modules, file=sys.stderr)
"""


def test_a_command_that_looks_starts_without_what_it_does_not_need_and_all_of_it_is_there_afterwards(relay):
    relay.enqueue(payment(), key="pay-1")
    ran = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.stderr.splitlines() == [*(f"{line} [] True" for line in LOOKING), "True True True"]


def test_a_look_into_history_takes_no_more_of_sqlalchemy_than_the_database_needs(relay, tmp_path):
    """Half the time of such a command is that import; the other dialect, with all its drivers, is a third of it.

    Nor does it take the kind of what it finds, where that names no more than any kind does.
    """
    relay.enqueue(payment(), key="pay-1")
    code = """
import sys
import time
from worker.cli.commands import cli
assert cli.main(("find", "pay-1"), standalone_mode=False) == 0
print("sqlalchemy" in sys.modules, [name for name in sys.modules if name.startswith("sqlalchemy.dialects.p")],
    [name for name in ("alembic", "mako", "marshmallow") if name in sys.modules], file=sys.stderr)
"""
    url = sqlite_url(tmp_path)
    made(url).close()
    env = {**os.environ, "BLNK_RELAY_HISTORY_URL": url}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=env)
    assert ran.stderr.splitlines() == ["True [] []"]
    assert "Looked in history: all that was copied." in ran.stdout
    assert "pay-1" in ran.stdout


def test_what_is_imported_is_kept_from_the_collector_of_garbage_in_the_process_of_a_command_alone():
    code = """
import gc
from worker.cli.starting import uncollected
with uncollected():
    others = [[] for _ in range(1_000)]
print(gc.get_freeze_count())
gc.freeze()
before = gc.get_freeze_count()
with uncollected():
    ours = [[] for _ in range(1_000)]
print(gc.get_freeze_count() - before >= 1_000, gc.isenabled())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.split() == ["0", "True", "True"]


def test_what_is_executed_late_is_whole_for_all_threads_that_ask_for_it_first():
    code = """
import sys
import threading
from worker.cli.starting import leave_metadata
leave_metadata()
from importlib import metadata
print("email" in sys.modules)
together, found = threading.Barrier(4), []
def ask():
    together.wait()
    found.append(metadata.version("click"))
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (ran.stdout.split(), ran.stderr) == (["False", "4"], "")


def test_numbers_that_stand_twice_for_the_sake_of_a_quick_start_agree():
    assert running.POOLS == POOLS
    assert tuple(State) == reading.STATES
    assert reading.UNFINISHED == UNFINISHED
    assert dead.MOST_AT_ONCE == MOST_OF_A_JOB
    assert bulk.FROM_A_JOB == FROM_A_JOB
    assert options.MOST_REASON == MAX_REASON
    assert options.NO_CODE == NO_CODE


def test_a_command_that_is_not_installed_is_a_sentence(monkeypatch):
    missing = deferred.Deferred("demo", "worker.nothing.here", "command", "", extra="sandbox")
    monkeypatch.setitem(cli.commands, "demo", missing)
    assert run("demo").code == exits.BAD_INPUT
    told = run("demo").err
    assert "demo needs what is not installed: worker.nothing. Install the extra: pip install" in told
    assert "'blnk-relay[worker,sandbox]'" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("lanes",),
        ("list",),
        ("show", "order-1"),
        ("dead", "list"),
        ("dead", "replay", "--all", "--reason", "x", "--yes"),
        ("log",),
        ("pause", "refunds"),
        ("resume", "--target", "default"),
        ("enqueue", "-"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("no_redis")
def test_without_redis_every_command_ends_with_its_code_and_a_sentence(arguments):
    ran = run(*arguments, "--json", stdin=json.dumps(line("order-1")))
    assert ran.code == exits.UNAVAILABLE
    assert ran.json["error"]["type"] == "JournalUnavailable"
    assert ran.json["error"]["exit_code"] == exits.UNAVAILABLE
    assert "because Redis cannot be reached" in ran.err
    assert "BLNK_RELAY_REDIS_URL" in ran.err
    assert "hunter2" not in ran.err + ran.out


@pytest.mark.parametrize(
    ("name", "value"),
    [("BLNK_RELAY_NONSENSE", "1"), ("BLNK_RELAY_LEASE_S", "soon"), ("BLNK_RELAY_REDIS_URL", "http://nowhere")],
)
def test_a_bad_setting_is_a_sentence_that_names_it(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    ran = run("status", "--json")
    assert ran.code == exits.BAD_INPUT
    assert name in ran.err
    assert ran.json["error"]["type"] == "InvalidSettings"


def test_unknown_commands_and_options_are_sentences():
    assert run("nope").code == exits.BAD_INPUT
    assert run("list", "--state", "asleep").code == exits.BAD_INPUT
    assert run("list", "--since", "yesterday").code == exits.BAD_INPUT
    assert run("list", "--since", "yesterday").err.count("\n") == 1
    assert "nor a span such as 15m, 2h or 3d. See 'blnk-relay list --help'.\n" in run("list", "--since", "x").err


@pytest.mark.usefixtures("relay")
def test_an_argument_that_is_not_text_is_a_sentence():
    ran = run("pause", "refunds", "--reason", "caf\udce9")
    assert (ran.code, ran.err) == (exits.BAD_INPUT, "Error: argument 4 is not UTF-8 at its character 4.\n")
    assert [row["paused"] for row in run("lanes", "--json").json["lanes"] if row["lane"] == "refunds"] == [False]


def test_every_command_has_its_section_in_the_documentation_with_an_example():
    for path in commands():
        assert f"$ blnk-relay {' '.join(path)}" in section(f"blnk-relay {' '.join(path)}")


def test_every_option_is_told_of_in_the_section_of_its_command():
    for path in commands():
        command = cli
        for name in path:
            command = command.commands[name]
            command = command.load() if isinstance(command, deferred.Deferred) else command
        told = section(f"blnk-relay {' '.join(path)}") + section("For all commands")
        options = [one.opts[0] for one in command.params if isinstance(one, click.Option) and not one.hidden]
        assert [option for option in options if not re.search(rf"{option}(?![\w-])", told)] == [], path


def test_the_table_of_exit_codes_is_the_one_of_the_code():
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section("For all commands"), flags=re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == dict(exits.MEANINGS)


@pytest.mark.parametrize(
    ("path", "arguments", "described_with"),
    [
        ("enqueue", ("-",), ()),
        ("show", ("a",), ()),
        ("list", (), ("show",)),
        ("status", (), ("lanes",)),
        ("dead list", (), ("show",)),
        ("dead show", ("a",), ("show",)),
        ("dead summary", (), ()),
        ("dead replay", ("--all", "--plan"), ()),
        ("dead discard", ("--all", "--plan", "--reason", "x"), ()),
        ("lanes", (), ("log",)),
        ("log", (), ()),
        ("cancel", ("c",), ("show",)),
        ("jobs", (), ()),
        ("pause", ("refunds",), ()),
        ("resume", ("refunds",), ()),
        ("doctor", (), ()),
        ("upgrade", (), ()),
        ("kinds", (), ()),
        ("kinds", ("refund",), ()),
        ("encryption keys", (), ()),
    ],
)
def test_every_field_of_the_json_is_documented(relay, operator, path, arguments, described_with):
    log = json.dumps({"at": relay.journal().now_ms(), "what": "looked"})
    relay.enqueue(payment(), key="a")
    die(relay, "rejected", FUNDS, log=log)
    operator.pause_target("default", who="ann")
    relay.enqueue(payment(), key="c")
    described = "".join(section(f"blnk-relay {name}") for name in (path, *described_with))
    document = run(*path.split(), *arguments, "--json", stdin="{").json
    assert [name for name in names(document) if f"`{name}`" not in described] == []


def test_kinds_are_listed_with_route_and_lane():
    kinds = {kind["kind"]: kind for kind in run("kinds", "--json").json["kinds"]}
    assert kinds["refund"] == {
        "kind": "refund",
        "method": "POST",
        "path": "/refund-transaction/:id",
        "also": [],
        "summary": "Give one applied transaction back, in full.",
        "lane": "refunds",
        "confirmed": KINDS["refund"].about.confirmed,
        "unknown": kinds["refund"]["unknown"],
    }
    assert [(end["code"], end["replay"]) for end in kinds["refund"]["unknown"]] == [
        ("STUCK_QUEUED", "same"),
        ("REFERENCE_CONFLICT", "no"),
        ("VANISHED", "same"),
        ("MOMENT_LOST", "same"),
        ("KEY_FORGOTTEN", "same"),
        ("UNDECIDED", "same"),
        ("EXPIRED", "same"),
        ("LAPSED_TOO_OFTEN", "same"),
        ("CANNOT_BE_HANDLED", "same"),
        ("DOES_NOT_VERIFY", "same"),
    ]
    assert "inflight.commit" in run("kinds").out


@pytest.mark.parametrize("name", KINDS)
def test_one_kind_is_told_of_by_name(name):
    ran = run("kinds", name)
    assert ran.code == 0
    kind = KINDS[name]
    assert all((field.data_key or name) in ran.out for name, field in kind.schema.fields.items())
    assert example_line(kind) in ran.out
    assert [shown["kind"] for shown in run("kinds", name, "--json").json["kinds"]] == [name]


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_is_explained_by_papers_that_nobody_has_at_a_terminal(kind):
    shown = run("kinds", kind).out
    assert "§" not in shown
    assert "](" not in shown


def test_an_unknown_kind_is_a_sentence_that_names_the_known_ones():
    ran = run("kinds", "payment")
    assert ran.code == exits.BAD_INPUT
    assert "unknown kind 'payment'" in ran.err
    assert "refund" in ran.err


def test_lanes_show_what_is_due_and_what_comes_later(relay):
    relay.enqueue(payment(), key="now")
    relay.enqueue(payment(), key="later", not_before=timedelta(hours=1))
    lanes = {lane["lane"]: lane for lane in run("lanes", "--json").json["lanes"]}
    assert set(lanes) == {"transactions", "refunds", "inflight"}
    assert (lanes["transactions"]["due"], lanes["transactions"]["later"]) == (1, 1)
    assert lanes["transactions"]["target"] == "default"
    assert (
        lanes["refunds"] | {"due": 0, "later": 0, "oldest_due_s": 0.0, "paused": False, "known": True}
        == lanes["refunds"]
    )


def test_a_lane_that_the_settings_no_longer_list_is_shown_as_served_by_nobody(relay, monkeypatch):
    relay.enqueue(payment(), key="order-1")
    monkeypatch.setenv("BLNK_RELAY_LANES", "other")
    monkeypatch.setenv("BLNK_RELAY_ROUTES", "refund=other")
    lanes = {lane["lane"]: lane for lane in run("lanes", "--json").json["lanes"]}
    assert not lanes["transactions"]["known"]
    assert "nobody serves it" in run("lanes").out


def test_a_paused_lane_gives_nothing_out_until_it_is_resumed(relay):
    relay.enqueue(payment(), key="order-1")
    paused = run("pause", "transactions", "--who", "ann", "--reason", "audit", "--json").json
    assert paused | {"lane": "transactions", "target": None, "paused": True, "changed": True} == paused
    assert (paused["who"], paused["reason"]) == ("ann", "audit")
    assert relay.journal().claim("transactions", "tester", 1).items == ()
    resumed = run("resume", "transactions", "--who", "bob", "--reason", "all is well", "--json").json
    assert resumed == {
        "lane": "transactions",
        "target": None,
        "resumed": True,
        "who": "bob",
        "reason": "all is well",
        "pause": {"who": "ann", "reason": "audit", "since": paused["since"]},
    }
    assert len(relay.journal().claim("transactions", "tester", 1).items) == 1
    again = run("resume", "transactions", "--json").json
    assert (again["resumed"], again["pause"]) == (False, None)


WHAT = pytest.mark.parametrize("what", [("refunds",), ("--target", "default")], ids=" ".join)


@pytest.mark.usefixtures("relay")
@WHAT
def test_who_paused_and_why_and_since_when_is_shown_until_it_is_resumed(what):
    since = run("pause", *what, "--who", "ann", "--reason", "incident 7", "--json").json["since"]
    for command in ("lanes", "status"):
        told = " ".join(run(command).out.split())
        assert "ann" in told, command
        assert "incident 7" in told, command
    lanes = {lane["lane"]: lane for lane in run("lanes", "--json").json["lanes"]}
    stands = {"who": "ann", "reason": "incident 7", "since": since}
    assert lanes["refunds"]["pause"] == (stands if what == ("refunds",) else None)
    assert "paused by ann since" in run("resume", *what).out
    assert "incident 7" not in run("status").out


@pytest.mark.usefixtures("relay")
@WHAT
def test_a_second_pause_is_refused_and_says_who_was_first(what):
    first = run("pause", *what, "--who", "ann", "--reason", "audit", "--json").json
    second = run("pause", *what, "--who", "bob", "--reason", "lunch", "--json")
    assert second.code == exits.REFUSED
    assert "paused already, by ann since" in second.json["error"]["message"]
    assert "'audit'" in second.json["error"]["message"]
    # Whoever asks twice, for want of an answer, has what was asked for.
    once_more = run("pause", *what, "--who", "ann", "--reason", "again", "--json")
    assert once_more.code == 0
    assert once_more.json == first | {"changed": False}
    assert run("resume", *what, "--json").json["pause"] == {"who": "ann", "reason": "audit", "since": first["since"]}


@WHAT
def test_a_pause_by_hand_is_not_overwritten_by_workers_and_ends_theirs(relay, what):
    relay.journal().change_gate("write", GateAction.PAUSE, "HTTP_401", 5)
    run("pause", *what, "--who", "ann", "--reason", "audit")
    relay.journal().change_gate("write", GateAction.PAUSE, "HTTP_403", 5)
    gates = {gate["side"]: gate for gate in run("status", "--json").json["gates"]}
    by_hand = what != ("refunds",)
    assert (gates["write"]["manual"], gates["write"]["who"]) == (by_hand, "ann" if by_hand else "")
    assert gates["write"]["code"] == ("OPERATOR" if by_hand else "HTTP_401")
    run("resume", "--target", "default")
    assert run("status", "--json").json["gates"] == []


@pytest.mark.usefixtures("relay")
def test_what_operators_did_is_kept_newest_first(relay):
    run("pause", "refunds", "--who", "ann", "--reason", "audit")
    run("resume", "refunds", "--who", "bob", "--reason", "done")
    run("resume", "refunds", "--who", "bob")
    acts = run("lanes", "--json").json["acts"]
    assert [(act["what"], act["of"], act["who"], act["reason"]) for act in acts] == [
        ("resume", "lane refunds", "bob", "done"),
        ("pause", "lane refunds", "ann", "audit"),
    ]
    assert "bob" in run("lanes").out
    for _ in range(110):
        operator = operator_of(relay)
        operator.pause_lane("refunds", who="ann")
        operator.resume_lane("refunds", who="ann")
    assert len(run("lanes", "--json").json["acts"]) == 20


def test_a_paused_target_stands_in_the_status_before_anything_was_ever_enqueued(relay):
    assert run("pause", "--target", "default", "--who", "ann", "--reason", "incident 7", "--json").json["paused"]
    gates = run("status", "--json").json["gates"]
    assert [(gate["side"], gate["state"], gate["manual"], gate["who"], gate["note"]) for gate in gates] == [
        ("write", "paused", True, "ann", "incident 7"),
        ("read", "paused", True, "ann", "incident 7"),
    ]
    relay.enqueue(payment(), key="order-1")
    assert relay.journal().claim("transactions", "tester", 1).items == ()
    assert run("resume", "--target", "default", "--json").json["resumed"]
    assert run("status", "--json").json["gates"] == []


def test_a_gate_says_since_when_and_for_how_long(relay):
    relay.journal().change_gate("write", GateAction.PAUSE, "HTTP_401", 5)
    began = relay.journal().now_ms() - 90_000
    relay.journal().client.hset(relay.journal().key("gate:write"), "since", began)
    (gate,) = run("status", "--json").json["gates"]
    assert gate["code"] == "HTTP_401"
    assert 90 <= gate["lasting_s"] < 200
    assert re.search(r"HTTP_401 .*\d\d:\d\d:\d\dZ +\d\.\d min", run("status").out)


def test_ages_are_told_from_acceptance_however_often_an_intent_was_tried(relay):
    """What was tried stands under its accept time; the retry that is due in an hour makes it no younger."""
    relay.enqueue(payment(), key="order-1")
    journal, (item,) = relay.journal(), relay.journal().claim("transactions", "tester", 1).items
    journal.settle("tester", [Settlement(item, "sending", "ready", 3_600_000)], ())
    accepted = journal.now_ms() - 7_200_000
    journal.client.zadd(journal.key("tried:transactions"), {item.entry.id: accepted})
    status = run("status", "--json").json
    lane = next(lane for lane in status["lanes"] if lane["lane"] == "transactions")
    assert (lane["due"], lane["later"], lane["oldest_due_s"]) == (0, 1, 0.0)
    assert 7_200 <= lane["oldest_open_s"] == status["oldest_open_s"] < 7_500
    assert "2.0 h" in run("status").out
    assert "2.0 h" in run("lanes").out


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize("command", ["pause", "resume"])
def test_pausing_what_does_not_exist_is_not_found_and_naming_two_things_or_none_is_bad_input(command):
    assert run(command, "nope").code == exits.NOT_FOUND
    assert run(command, "--target", "nope").code == exits.NOT_FOUND
    assert run(command).code == exits.BAD_INPUT
    assert run(command, "refunds", "--target", "default").code == exits.BAD_INPUT


def test_status_counts_what_is_open_and_what_died_of_what(relay):
    letters(relay, "a", "b")
    letters(relay, "c", dead_class="unknown", code="VANISHED")
    relay.enqueue(payment(), key="d")
    relay.journal().sweep("a worker program")
    status = run("status", "--json").json
    assert (status["open"], status["due"], status["dead"], status["workers"]) == (1, 1, 3, 1)
    assert status["died"] == [
        {"kind": "transaction", "dead_class": "rejected", "code": FUNDS, "count": 2},
        {"kind": "transaction", "dead_class": "unknown", "code": "VANISHED", "count": 1},
    ]
    assert status["counts"]["accepted|transaction"] == 4
    assert {lane["lane"] for lane in status["lanes"]} == {"transactions", "refunds", "inflight"}
    assert "VANISHED" in run("status").out


def test_show_gives_status_and_attempts_and_the_payload_only_when_asked(relay):
    relay.enqueue(payment(), key="order-1")
    log = json.dumps(
        {"at": relay.journal().now_ms(), "what": "sent", "status": 400, "code": FUNDS, "ms": 12, "by": "w"}
    )
    die(relay, "refused", FUNDS, log=log, attempts="1")
    shown = run("show", "order-1", "--json")
    assert shown.json["intent"]["state"] == "dead"
    assert shown.json["intent"]["code"] == FUNDS
    assert shown.json["intent"]["attempts"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown.json["intent"]["created"])
    assert [(attempt["what"], attempt["status"], attempt["latency_ms"]) for attempt in shown.json["attempts"]] == [
        ("sent", 400, 12)
    ]
    assert "payload" not in shown.json
    assert "Sekret" not in shown.out + run("show", "order-1").out
    assert run("show", "order-1", "--payload", "--json").json["payload"]["description"] == "Sekret"
    assert "Sekret" in run("show", "order-1", "--payload").out
    by_id = run("show", shown.json["intent"]["id"], "--json")
    assert by_id.json == shown.json


def test_a_look_at_a_payload_may_say_why_and_a_reason_for_nothing_is_refused(relay):
    relay.enqueue(payment(), key="order-1")
    die(relay, "refused", FUNDS)
    for command in (("show",), ("dead", "show")):
        assert run(*command, "order-1", "--reason", "ticket 4711").code == exits.BAD_INPUT
        reason = f"ticket {command[0]}"
        assert run(*command, "order-1", "--payload", "--reason", reason, "--who", "ann").code == exits.OK
        [newest, *_] = run("log", "--what", "view", "-o", "json").json["actions"]
        assert (newest["of"], newest["who"], newest["reason"]) == ("payload of order-1", "ann", reason)


def test_show_tells_what_an_intent_waits_for_and_what_waits_for_it_and_leads_on_from_there(relay):
    names = [f"step-{at}" for at in range(40)]
    relay.enqueue(payment(), key="first")
    relay.enqueue_many([Write(intent=payment(), key="second", after=["first"])])
    relay.enqueue_many([Write(intent=payment(), key=name, after=["second"]) for name in names])
    die(relay, "refused", "NO")
    told = run("show", "second").out
    assert "It waits for 'first' (dead: replay or discard it)" in told
    ahead = told[told.index("\nIt waits for\n") : told.index("Waiting for it")]
    assert re.search(r"first +transaction +dead +died: refused NO; replay or discard it", ahead)
    assert "and 20 more" in told
    document = run("show", "second", "-o", "json").json["around"]
    assert document["keeps"] == "it waits for 'first' (dead: replay or discard it)"
    [first] = document["ahead"]
    assert (first["key"], first["state"], first["why"]) == ("first", "dead", "died: refused NO; replay or discard it")
    assert (document["more_ahead"], len(document["behind"]), document["more"]) == (0, 20, 20)
    assert {one["key"] for one in document["behind"]} <= set(names)
    # Each leads on by its id: from one at the end to what has to be decided.
    last = document["behind"][0]["id"]
    [before] = run("show", last, "-o", "json").json["around"]["ahead"]
    assert before["key"] == "second"
    assert before["why"] == f"waits for {first['id']}"
    assert document["behind"][0]["why"] == "waits for this one"
    # Of more than are named it is said how many more there are.
    relay.enqueue_many([Write(intent=payment(), key="end", after=names)])
    around = run("show", "end", "-o", "json").json["around"]
    assert (len(around["ahead"]), around["more_ahead"]) == (10, 30)
    assert "and 30 more" in run("show", "end").out
    assert "Waiting for it" in run("dead", "show", "first").out


def test_show_tells_the_rows_of_the_ledger_as_last_read_those_of_which_there_are_few_first(relay):
    balance = {"currency": "EUR", "amount": "1.00", "source": "@bank", "description": "Sekret"}
    items = [{**balance, "reference": f"item-{at}", "destination": f"@wallet-{at}"} for at in range(60)]
    relay.enqueue(bulk_transactions(items), key="bulk")
    parts = {str(at): f"applied txn_{at}" for at in range(60)} | {"41": "rejected txn_41"}
    with redis.Redis.from_url(relay.settings.redis_url) as client:
        client.hset(f"{relay.journal().prefix}parts:{relay.get('bulk').id}", mapping=parts)
    told = run("show", "bulk").out
    assert "Rows of the ledger as last read: 59 applied, 1 rejected" in told
    assert re.search(r"42 +rejected +txn_41", told)
    assert "and 40 more rows" in told
    assert "@wallet" not in told
    rows = run("show", "bulk", "-o", "json").json["rows"]
    assert rows["counts"] == {"applied": 59, "rejected": 1}
    assert rows["first"][41] == {"number": 42, "status": "rejected", "transaction_id": "txn_41"}
    assert (len(rows["first"]), rows["more"], rows["lacking"]) == (60, 0, "")


@pytest.mark.usefixtures("relay")
def test_showing_what_is_unknown_is_not_found():
    ran = run("show", "nope", "--json")
    assert ran.code == exits.NOT_FOUND
    assert ran.json["error"]["type"] == "NotFound"
    assert ran.err == "Error: no intent is known under 'nope'\n"


def test_a_key_cannot_write_over_the_terminal(relay):
    # Recorded before there was a rule that refuses such a key.
    key, options = "order\x1b[2J-1", {"not_before": "+0", "deadline": "+60000"}
    relay.journal().accept([new_entry(payment(), key, "transactions", **options)])
    assert "\x1b" not in run("list").out + run("show", "order\x1b[2J-1").out
    assert "order\\x1b[2J-1" in run("list").out


def test_list_narrows_by_state_kind_code_and_time_and_says_when_there_is_more(relay):
    letters(relay, "a", "b", "c")
    letters(relay, "d", dead_class="unknown", code="VANISHED")
    relay.enqueue(payment(), key="e")
    relay.enqueue(intent_of("refund", {"transaction": "order-1"}), key="f")

    def keys(*arguments: str) -> list[str]:
        return [intent["key"] for intent in run("list", *arguments, "--json").json["intents"]]

    assert sorted(keys()) == ["a", "b", "c", "d", "e", "f"]
    dead = keys("--state", "dead")
    assert (dead[0], sorted(dead[1:])) == ("d", ["a", "b", "c"])
    assert keys("--state", "dead", "--code", "VANISHED") == ["d"]
    assert keys("--kind", "refund") == ["f"]
    assert sorted(keys("--since", "1h", "--state", "ready")) == ["e", "f"]
    ahead = run("list", "--since", "2126-01-01T00:00:00Z")
    assert (ahead.code, "2126-01-01 00:00:00Z lies ahead: it is " in ahead.err) == (exits.BAD_INPUT, True)
    for command in (("list",), ("log",), ("find", "x"), ("dead", "list"), ("dead", "summary"), ("dead", "replay")):
        backwards = run(*command, "--since", "1h", "--until", "2020-01-01T00:00:00Z")
        assert (backwards.code, "have nothing between them" in backwards.err) == (exits.BAD_INPUT, True), command
    assert keys("--state", "done") == []
    limited = run("list", "--limit", "2", "--json").json
    assert (len(limited["intents"]), limited["more"]) == (2, True)
    assert "there are more" in run("list", "--limit", "2").out
    assert not run("list", "--limit", "6", "--json").json["more"]


def test_a_list_begins_at_the_other_end_where_the_oldest_are_asked_for(relay):
    for key in ("a", "b", "c"):
        letters(relay, key)
        relay.enqueue(payment(), key=f"open-{key}", lane="refunds")
    died = run("dead", "list", "--oldest", "--limit", "2", "--json").json
    assert ([one["key"] for one in died["letters"]], died["more"]) == (["a", "b"], True)
    several = run("list", "--state", "ready", "--state", "dead", "--oldest", "--json").json["intents"]
    accepted = [one["created"] for one in several]
    # Of those of one millisecond nobody can tell.
    assert accepted == sorted(accepted)
    assert (several[0]["key"], len(several), accepted[0] < accepted[-1]) == ("a", 6, True)
    changed = [one["updated"] for one in run("list", "--state", "ready", "--json").json["intents"]]
    assert (changed, len(changed)) == (sorted(changed, reverse=True), 3)


def test_tables_fit_a_hundred_columns(relay):
    relay.enqueue(payment(), key="k" * 255)
    letters(relay, "l" * 255)
    for arguments in (("list",), ("status",), ("lanes",), ("kinds",), ("dead", "replay", "--all", "--plan")):
        assert max(len(line_) for line_ in run(*arguments).out.splitlines()) <= 100, arguments
