"""blnk-relay enqueue: all or nothing, named by line and field, and safe to repeat."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import JournalUnavailable, Relay
from blnk_relay.journal.journal import Journal
from tests.support.cli import PAYLOAD, WAIT_S, count, line, payment, process, run
from worker.cli import exits
from worker.cli import jsonl as intake

pytestmark = pytest.mark.usefixtures("environment")


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
    assert relay.journal().claim("refunds", "tester", 1).items == ()


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
    assert "key 'order-250' already belongs to intent" in ran.json["errors"][0]["message"]
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
    claimed = [relay.journal().claim("transactions", "tester", 1000).items for _ in range(3)]
    assert sum(map(len, claimed)) == number


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


def test_ctrl_c_ends_between_two_parts_and_says_what_is_left(relay, file, monkeypatch):
    enqueue_many = Relay.enqueue_many

    def pressed(self: Relay, writes: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return enqueue_many(self, writes)

    number = 2 * intake.PART
    path = file(*(line(f"order-{at}") for at in range(number)))
    with monkeypatch.context() as patched:
        patched.setattr(Relay, "enqueue_many", pressed)
        ran = run("enqueue", path, "--json")
    assert ran.code == exits.INTERRUPTED
    assert (ran.json["created"], ran.json["left"]) == (intake.PART, intake.PART)
    assert count(relay, "ready:transactions") == intake.PART
    again = run("enqueue", path, "--json").json
    assert (again["created"], again["existing"], again["left"]) == (intake.PART, intake.PART, 0)


def test_ctrl_c_during_the_check_enqueues_nothing(relay, file, monkeypatch):
    conflicts = Journal.conflicts

    def pressed(self: Journal, entries: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return conflicts(self, entries)

    monkeypatch.setattr(Journal, "conflicts", pressed)
    ran = run("enqueue", file(*(line(f"order-{at}") for at in range(300))))
    assert ran.code == exits.INTERRUPTED
    assert "nothing was enqueued" in ran.err
    assert count(relay, "ready:transactions") == 0


def test_a_file_that_was_begun_by_somebody_else_is_read_from_there_on(relay, file):
    path = file("not for us", line("a"))
    with Path(path).open("rb") as opened_:
        os.lseek(opened_.fileno(), len("not for us\n"), os.SEEK_SET)
        with process("enqueue", "-", "--json", stdin=opened_, stdout=subprocess.PIPE) as enqueuing:
            out, _ = enqueuing.communicate(timeout=WAIT_S)
    assert json.loads(out)["created"] == 1
    assert relay.get("a").state == "ready"


def test_when_redis_goes_away_in_the_middle_the_counts_say_what_is_left(relay, file, monkeypatch):
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
