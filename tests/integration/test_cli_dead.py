"""blnk-relay dead: plan, confirm, run, and nothing without a word."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import JournalUnavailable, Refused
from blnk_relay.journal.operator import Operator
from blnk_relay.kinds.registry import intent_of
from tasks.ingest import Ingest
from tests.support.cli import FUNDS, WAIT_S, count, die, letters, payment, process, run
from tests.support.messages import FIELDS, message
from tests.support.waiting import wait_until
from worker.cli import exits, scope
from worker.cli import letters as bulk
from worker.cli.access import opened
from worker.telemetry import Telemetry

DISCARD = ("dead", "discard", "--reason", "sent again", "--yes", "--key")

pytestmark = pytest.mark.usefixtures("environment")


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


@pytest.mark.parametrize("out", ["full", "closed"])
def test_an_act_whose_answer_cannot_be_written_says_that_it_may_be_done(relay, out):
    letters(relay, "a")
    arguments = ("dead", "discard", "--key", "a", "--reason", "x", "--yes", "-o", "json")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        where = {"stdout": full} if out == "full" else {"preexec_fn": lambda: os.close(1)}
        with process(*arguments, stderr=subprocess.PIPE, text=True, **where) as acting:
            _, told = acting.communicate(timeout=WAIT_S)
    assert (acting.returncode, relay.get("a").state) == (exits.UNWRITTEN, "discarded")
    (line,) = told.splitlines()
    assert line.startswith("Error: the answer could not be written (")
    assert "blnk-relay log" in line


def test_dead_letters_are_listed(relay):
    letters(relay, "a", "b")
    letters(relay, "c", dead_class="unknown", code="VANISHED")
    listed = [letter["key"] for letter in run("dead", "list", "--json").json["letters"]]
    assert (listed[0], sorted(listed[1:])) == ("c", ["a", "b"])
    assert [letter["key"] for letter in run("dead", "list", "--code", "VANISHED", "--json").json["letters"]] == ["c"]
    assert run("dead", "list", "--limit", "1", "--json").json["more"]
    assert "rejected" in run("dead", "list").out


def test_a_letter_whose_key_is_only_a_label_is_listed_and_asked_for_by_its_id(relay):
    Ingest(relay, lambda: Telemetry(relay.settings)).take(message({**FIELDS, "key": "order-7", "amount": "x"}))
    (letter,) = run("dead", "list", "--json").json["letters"]
    told = run("dead", "list").out
    assert letter["id"] in told
    assert "order-7" not in told
    for arguments in (("show", "order-7"), ("dead", "show", "order-7"), (*DISCARD, "order-7")):
        ran = run(*arguments)
        assert ran.code == exits.NOT_FOUND
        assert f"ask for {letter['id']}" in ran.err
    assert run(*DISCARD, letter["id"]).code == exits.OK


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--until", "2026-11-20T00:00:00Z"),
        ("--key", "a", "--code", FUNDS),
        ("--key", "a", "--all"),
        ("--all", "--kind", "refund"),
        ("--all", "--max", "100001"),
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
    ran = run("dead", "replay", "--key", "a", "--yes", "--reason", "a test")
    assert ran.code == exits.REFUSED
    assert "the ledger has this reference with other values" in " ".join(ran.out.split())
    assert run("dead", "replay", "--key", "a", "--yes", "--reason", "a test", "--json").json["refused"] == 1


def test_keys_are_replayed_one_by_one_and_an_unknown_one_stops_everything(relay):
    letters(relay, "a", "b", "c")
    ran = run("dead", "replay", "--key", "a", "--key", "nope", "--yes", "--reason", "a test")
    assert ran.code == exits.NOT_FOUND
    assert count(relay, "dead") == 3
    both = run("dead", "replay", "--key", "a", "--key", "b", "--key", "a", "--yes", "--reason", "a test", "--json").json
    assert (both["done"], both["scope"]["keys"]) == (2, ["a", "b"])
    gone = run("dead", "replay", "--key", "a", "--yes", "--reason", "a test", "--json")
    assert gone.code == exits.REFUSED
    assert gone.json["first"][0]["why"] == "it is ready, not dead"


@pytest.mark.parametrize("what", ["replay", "discard"])
def test_what_is_not_a_dead_letter_is_said_to_be_none(relay, what):
    relay.enqueue(payment(), key="order-1")
    letters_of = run("dead", what, "--key", "order-1", "--plan", "--reason", "x", "--json").json
    assert (letters_of["first"][0]["died"], letters_of["codes"], letters_of["ways"]) == (None, {}, {"no": 1})
    shown = run("dead", what, "--key", "order-1", "--plan", "--reason", "x").out
    assert "left alone: not a dead letter" in shown
    assert "could double" not in shown
    assert not re.search(r"\d{4}-\d\d-\d\d", shown)


def test_conditions_of_a_scope_must_all_hold(relay):
    letters(relay, "a")
    letters(relay, "b", dead_class="unknown", code="VANISHED")
    assert (
        run("dead", "replay", "--code", FUNDS, "--kind", "refund", "--yes", "--reason", "a test", "--json").json["done"]
        == 0
    )
    assert (
        run("dead", "replay", "--code", FUNDS, "--since", "1h", "--yes", "--reason", "a test", "--json").json["done"]
        == 1
    )
    assert relay.get("b").state == "dead"


@pytest.mark.usefixtures("relay")
def test_an_empty_scope_is_no_failure():
    ran = run("dead", "replay", "--all", "--yes", "--reason", "a test")
    assert ran.code == 0
    assert "No dead letter is in this scope." in ran.out


def test_a_cap_cuts_the_plan_and_the_printed_command_goes_on_without_what_died_again(relay):
    letters(relay, "a", "b", "c", "d", "e")
    ran = run("dead", "replay", "--code", FUNDS, "--max", "2", "--yes", "--reason", "a test")
    assert "Cut at --max 2" in ran.out
    arguments = re.search(r"blnk-relay (dead replay --code \S+ --until \S+)", ran.out)
    assert arguments is not None
    # The two that were replayed fail again, and are younger than the plan now.
    wait_until(lambda: relay.journal().now_ms() > relay.get("b").updated.timestamp() * 1000 + 2, WAIT_S, poll_s=0.005)
    die(relay, "rejected", FUNDS)
    assert count(relay, "dead") == 5
    rest = run(*arguments[1].split(), "--yes", "--reason", "a test", "--json").json
    assert (rest["done"], rest["more"]) == (3, False)
    assert {relay.get(key).state for key in "cde"} == {"ready"}
    assert {relay.get(key).state for key in "ab"} == {"dead"}


def test_what_cannot_be_replayed_takes_no_room_from_what_can(relay):
    letters(relay, "a", "b", "c", dead_class="unknown", code="REFERENCE_CONFLICT")
    letters(relay, "d")
    ran = run("dead", "replay", "--all", "--max", "1", "--yes", "--reason", "a test", "--json").json
    assert (ran["done"], ran["refused"], ran["more"]) == (1, 3, False)


def test_a_letter_that_lived_and_died_again_since_the_plan_is_left_alone(relay, operator):
    letters(relay, "a", "b")
    with opened() as access:
        found = scope.look_through(access, scope.Scope(everything=True), 10, "replay")
        operator.replay(relay.journal().find("a"), who="bob", reason="a test")
        die(relay, "unknown", "VANISHED")
        act = bulk.Act(
            "dead replay",
            "",
            "",
            (),
            "a test",
            "ann",
            lambda status, reason: access.operator.replay(status, who="ann", reason=reason) and None,
        )
        result = bulk.Result(refused=0, left=2)
        bulk._run(found.plan, act, "a test", result)
    assert (result.done, result.refused, result.left) == (1, 1, 0)
    assert "changed since it was looked at" in result.errors[0]["message"]
    assert relay.get("a").code == "VANISHED"


def test_the_journal_itself_gives_no_fresh_reference_on_the_word_of_an_old_plan(relay, operator):
    letters(relay, "a")
    old = relay.journal().find("a")
    operator.replay(old, who="bob", reason="a test")
    die(relay, "unknown", "VANISHED")
    with pytest.raises(Refused, match="changed since"):
        operator.replay(old, who="ann", reason="a test")
    assert relay.get("a").reference == "a.r2"


def test_discarding_wants_a_reason_and_keeps_it_with_the_name(relay):
    letters(relay, "a", "b")
    assert run("dead", "discard", "--key", "a", "--yes").code == exits.BAD_INPUT
    assert run("dead", "discard", "--key", "a", "--yes", "--reason", " ").code == exits.BAD_INPUT
    assert run("dead", "discard", "--key", "a", "--yes", "--reason", "x" * 501).code == exits.BAD_INPUT
    assert count(relay, "dead") == 2
    assert run("dead", "discard", "--all", "--reason", "x", "--plan", "--json").json["ways"] == {"discard": 2}
    ran = run("dead", "discard", "--key", "a", "--reason", "paid by hand, ticket 7", "--who", "ann", "--yes", "--json")
    assert (ran.code, ran.json["done"], ran.json["left"]) == (0, 1, 0)
    assert relay.get("a").state == "discarded"
    assert (relay.history("a")[-1].worker, relay.history("a")[-1].note) == ("ann", "paid by hand, ticket 7")
    assert run("dead", "discard", "--key", "a", "--reason", "again", "--yes").code == exits.REFUSED
    assert [intent["key"] for intent in run("list", "--state", "discarded", "--json").json["intents"]] == ["a"]


def test_redis_going_away_in_a_replay_leaves_the_rest_and_says_so(relay, monkeypatch):
    letters(relay, "a", "b", "c")
    replay = Operator.replay
    calls = []

    def failing(self: Operator, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise JournalUnavailable("the journal did not take it")
        return replay(self, *args, **kwargs)

    monkeypatch.setattr(Operator, "replay", failing)
    ran = run("dead", "replay", "--all", "--yes", "--reason", "a test", "--json")
    assert ran.code == exits.UNAVAILABLE
    assert (ran.json["done"], ran.json["left"]) == (1, 2)
    assert count(relay, "dead") == 2


def test_ctrl_c_in_a_replay_leaves_the_rest_untouched_and_counts_it(relay, monkeypatch):
    letters(relay, "a", "b", "c", "d", "e")
    replay = Operator.replay
    calls = []

    def pressed(self: Operator, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return replay(self, *args, **kwargs)

    monkeypatch.setattr(Operator, "replay", pressed)
    ran = run("dead", "replay", "--all", "--yes", "--reason", "a test")
    assert ran.code == exits.INTERRUPTED
    assert "Replayed 2, refused 0, left 3." in ran.out
    assert "blnk-relay dead replay --all --until" in ran.out
    assert [relay.get(key).state for key in "abcde"] == ["ready", "ready", "dead", "dead", "dead"]


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
    code, out, screen = ask(b"n\n", "dead", "replay", "--all", "--reason", "a test")
    assert code == exits.INTERRUPTED
    assert "Replay 2 dead letters? [y/N]" in screen
    assert "Nothing was changed." in screen
    assert "fresh" not in out or "new reference" in out
    assert count(relay, "dead") == 2


def test_on_a_terminal_yes_runs_the_plan_with_a_bar_and_stdout_stays_one_object(relay):
    letters(relay, "a", "b")
    code, out, screen = ask(b"y\nthe wallet was filled\n", "dead", "replay", "--all", "--json")
    assert code == 0
    assert json.loads(out)["done"] == 2
    assert "Why?" in screen, "who gave no reason is asked for one"
    assert run("log", "--json").json["actions"][0]["reason"] == "the wallet was filled"
    assert "dead replay" in screen
    assert count(relay, "dead") == 0
