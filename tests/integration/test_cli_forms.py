"""What a command shows in each form: tables that fit, wide ones, JSON, CSV; colours where a terminal looks on."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from datetime import timedelta
from fcntl import ioctl

import pytest

from blnk_relay import Operator
from blnk_relay.journal.entries import new_entry
from tests.support.cli import commands, letters, payment, process, run
from worker.cli import exits
from worker.cli.commands import cli
from worker.cli.deferred import loaded

pytestmark = pytest.mark.usefixtures("environment")

#: A command line for every command that shows a table; all others only answer, and say so.
SHOWN = {
    ("show",): ("order-1",),
    ("list",): (),
    ("status",): (),
    ("dead", "list"): (),
    ("dead", "show"): ("letter-1",),
    ("dead", "replay"): ("--all", "--plan"),
    ("dead", "discard"): ("--all", "--plan", "--reason", "x"),
    ("lanes",): (),
    ("target", "list"): (),
    ("encryption", "keys"): (),
    ("doctor",): (),
    ("kinds",): (),
    ("find",): ("order-1",),
    ("workers",): None,  # needs one that is alive: tests/integration/test_workers.py
    ("dead", "summary"): (),
    ("jobs",): None,  # needs one: tests/integration/test_jobs.py
    ("jobs", "show"): None,
    ("log",): (),
    ("history", "status"): (),
    ("audit",): None,  # needs a ledger: tests/integration/test_audit.py
    ("demo",): None,
    ("console",): None,  # runs until it is stopped
}


def takes_csv(path: tuple[str, ...]) -> bool:
    command = cli
    for name in path:
        command = loaded(command.commands[name])
    outputs = [param for param in command.params if param.name == "output"]
    return bool(outputs) and "csv" in outputs[0].type.choices


@pytest.fixture
def some(relay):
    """A journal with an open intent and two dead letters, and a word of an operator."""
    letters(relay, "letter-1", "letter-2")
    relay.enqueue(payment(), key="order-1")
    Operator(relay.journals, relay.bells).pause_lane("refunds", who="ann")
    return relay


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("path", [path for path in commands() if takes_csv(path)], ids=" ".join)
def test_every_command_that_takes_csv_prints_one_table_with_a_header_and_nothing_else(path):
    assert path in SHOWN, "say in SHOWN how to call it, or give it answer_option, where it shows no table"
    if SHOWN[path] is None:
        return
    ran = run(*path, *SHOWN[path], "-o", "csv")
    head, *rows = table(ran.out)
    assert len(head) > 1
    assert all(head)
    assert rows
    assert {len(row) for row in rows} == {len(head)}


@pytest.mark.parametrize(
    "path",
    [path for path in commands() if path not in (("demo",), ("completion",), ("console",)) and not takes_csv(path)],
    ids=" ".join,
)
def test_a_command_that_shows_no_table_refuses_csv_before_it_does_anything(path):
    ran = run(*path, "-o", "csv")
    assert ran.code == exits.BAD_INPUT
    assert "csv" in ran.err
    assert ran.out == ""


@pytest.mark.usefixtures("some")
def test_o_json_is_what_json_was_also_in_its_errors():
    assert run("list", "-o", "json").json["intents"] == run("list", "--json").json["intents"]
    assert run("show", "nope", "-o", "json").json["error"]["type"] == "NotFound"
    ran = run("list", "-o", "csv", "--json")
    assert (ran.code, ran.json["error"]["type"]) == (exits.BAD_INPUT, "UsageError")
    assert "cannot be json and csv at once" in ran.err


@pytest.mark.usefixtures("some")
def test_of_several_tables_csv_prints_the_main_one_and_the_others_by_name():
    ran = run("status", "-o", "csv")
    assert table(ran.out)[0] == ["lane", "target", "due", "later", "oldest", "note"]
    assert "Not printed: --table 1 (fields)" in ran.err
    head, row = table(run("status", "-o", "csv", "--table", "fields").out)
    assert dict(zip(head, row, strict=True))["dead letters"] == "2"
    assert table(run("status", "-o", "csv", "--table", "gates").out) == [
        ["target", "side", "gate", "code", "rate", "since", "for", "note"]
    ]
    missing = run("status", "-o", "csv", "--table", "nope")
    assert (missing.code, missing.out) == (exits.BAD_INPUT, "")
    assert "There is no table 'nope' to show here" in missing.err
    head, *rows = table(run("status", "-o", "csv", "--table", "verdicts").out)
    wrong = [dict(zip(head, row, strict=True)) for row in rows]
    asked = run("status", "--json").json["verdicts"]
    assert [(one["severity"], one["sort"], one["since"]) for one in wrong] == [
        (one["severity"], one["sort"], one["since"] or "") for one in asked
    ]
    assert {one["remedy"] for one in wrong} >= {"blnk-relay resume refunds"}
    assert run("status", "--table", "gates").code == exits.BAD_INPUT


@pytest.mark.usefixtures("some")
def test_csv_holds_times_as_programs_read_them_and_all_columns():
    head, *rows = table(run("list", "-o", "csv").out)
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert {"key", "target", "id", "reference", "message"} <= set(head)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["changed"]) for row in found)
    assert {row["key"]: row["state"] for row in found} == {"order-1": "ready", "letter-1": "dead", "letter-2": "dead"}


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("arguments", "column"), [(("find", "letter-1"), "changed"), (("log",), "at"), (("dead", "summary"), "first")]
)
def test_no_table_has_times_of_its_own_form_as_csv(arguments, column):
    head, *rows = table(run(*arguments, "-o", "csv").out)
    times = [dict(zip(head, row, strict=True))[column] for row in rows]
    assert times
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)


def test_a_key_that_a_spreadsheet_would_run_or_that_moves_the_cursor_is_made_harmless(relay):
    relay.enqueue(payment(), key="=cmd|' /C calc'!A0")
    # Recorded before there was a rule that refuses such a key.
    options = {"not_before": "+0", "deadline": "+60000"}
    relay.journal().accept([new_entry(payment(), "order\x1b[2J\n-1", "transactions", **options)])
    ran = run("list", "-o", "csv")
    assert "\x1b" not in ran.out
    assert {row[0] for row in table(ran.out)[1:]} == {"'=cmd|' /C calc'!A0", "order\\x1b[2J\\n-1"}


@pytest.mark.usefixtures("some")
def test_csv_of_an_error_is_nothing_on_stdout_and_payloads_are_no_table():
    ran = run("show", "nope", "-o", "csv")
    assert (ran.code, ran.out) == (exits.NOT_FOUND, "")
    ran = run("show", "order-1", "-o", "csv", "--payload")
    assert (ran.code, ran.out) == (exits.BAD_INPUT, "")


def test_wide_shows_all_columns_on_one_line_each(relay):
    key = "k" * 120
    relay.enqueue(payment(), key=key, not_before=timedelta(hours=1))
    head, _, row, *_ = run("list", "-o", "wide").out.splitlines()
    assert {"reference", "transaction", "message"} <= set(head.split())
    assert key in row.split()


def test_in_a_pipe_a_key_stays_whole_and_what_had_to_go_is_named_beside_the_output(relay, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    key = "order-" + "0123456789" * 4
    letters(relay, key)
    ran = run("list")
    assert key in ran.out.split()
    assert max(map(len, ran.out.splitlines())) <= 100
    assert "Left out, for want of room: attempts" in ran.err
    assert "Left out" not in ran.out


#: What says of a terminal what it would say itself; whoever runs tests side by side sets some.
GIVEN = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")


def on_a_terminal(*arguments: str, columns: int = 200, rows: int = 50, until: str = "", **environment: str) -> str:
    """What a command writes where a terminal of some size looks on; told to end once some text is there."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in GIVEN}
    with process(*arguments, stdout=theirs, env_of=kept | {"TERM": "xterm"} | environment) as running:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65_536):
                written += part
                if until and until.encode() in written:
                    running.send_signal(signal.SIGINT)
        except OSError:
            pass  # the other side is closed
        running.wait()
    os.close(ours)
    return written.decode()


RED_DEAD, RED = "\x1b[31mdead\x1b[0m", "\x1b[31m"


@pytest.mark.usefixtures("some")
def test_states_are_coloured_where_a_terminal_looks_on_and_nothing_is_told_by_colour_alone():
    coloured, without = on_a_terminal("list"), on_a_terminal("list", NO_COLOR="1")
    assert RED_DEAD in coloured
    assert RED not in without + run("list").out
    assert without.split() == re.sub(r"\x1b\[\d+m", "", coloured).split()
    assert "attempts" in without.splitlines()[0]


@pytest.mark.usefixtures("some")
def test_colours_can_be_had_in_a_pipe_and_no_color_is_stronger(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert RED_DEAD in run("list").out
    assert "\x1b" not in run("list", "-o", "csv").out + run("list", "-o", "json").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("list").out


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("given", [{"columns": 50}, {"COLUMNS": "50"}], ids=["terminal", "COLUMNS"])
def test_a_table_has_the_width_of_the_terminal_or_what_columns_says(given):
    lines = on_a_terminal("list", NO_COLOR="1", **given).splitlines()
    assert "attempts" not in lines[0]
    assert max(map(len, lines)) <= 50


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    "arguments",
    [("status",), ("dead", "summary"), ("find", "letter-1", "--kind", "transaction"), ("dead", "show", "letter-1")],
)
@pytest.mark.parametrize("columns", [50, 60, 80])
def test_sentences_are_folded_between_words_and_what_is_to_be_copied_is_not(arguments, columns):
    lines = on_a_terminal(*arguments, columns=columns, NO_COLOR="1").splitlines()
    # Verdicts name what to type, and a line that is typed in two halves is another one.
    long = [line for line in lines if len(line) > columns and "blnk-relay " not in line]
    assert long == []
    words = set(" ".join(lines).split())
    assert set(" ".join(line for line in run(*arguments).out.splitlines() if "looked" in line).split()) <= words


@pytest.mark.usefixtures("some")
def test_how_bad_a_verdict_is_stands_there_in_colour_too():
    coloured = on_a_terminal("status")
    assert "\x1b[33mWARNING\x1b[0m   dead-letters  " in coloured
    assert "\nWARNING   dead-letters  " in uncoloured(coloured).replace("\r", "")
    assert "\x1b" not in run("status").out
    assert [line for line in run("status").out.splitlines() if line != line.rstrip()] == []


@pytest.mark.usefixtures("some")
def test_what_letters_died_of_is_one_table_on_a_terminal_of_the_usual_width():
    lines = on_a_terminal("dead", "summary", columns=80, NO_COLOR="1").splitlines()
    assert lines[0].split()[:3] == ["letters", "class", "code"]
    assert lines[2].split()[:3] == ["2", "rejected", "TXN_INSUFFICIENT_FUNDS"]


@pytest.mark.usefixtures("some")
def test_a_status_that_is_watched_begins_with_what_is_worst_however_low_the_screen_is():
    rows = 14
    written = on_a_terminal("status", "--watch", rows=rows, columns=80, NO_COLOR="1", until="the screen has no room")
    lines = uncoloured(written).replace("\r", "").lstrip("\n").splitlines()
    # Of several drawings the last one: on the first there may have been room.
    begins = [at for at, line in enumerate(lines) if line.startswith("Every 2 s; Ctrl-C ends.")]
    shown = lines[begins[-1] :]
    assert shown[2].split()[0] in ("CRITICAL", "WARNING")
    last = next(at for at, line in enumerate(shown) if "the screen has no room" in line)
    assert sum(max(1, -(-len(line) // 80)) for line in shown[: last + 1]) < rows
    high = uncoloured(on_a_terminal("status", "--watch", rows=200, until="Dead letters ever"))
    assert "the screen has no room" not in high


@pytest.mark.parametrize("letters_", [1_200], ids=str)
def test_what_is_named_to_be_copied_acts_on_as_many_as_were_shown(relay, letters_):
    letters(relay, *(f"order-{number}" for number in range(letters_)))
    letters(relay, *(f"other-{number}" for number in range(3)))
    ran = run("dead", "replay", "--all", "--max", "1100", "--plan")
    named = next(line for line in ran.out.splitlines() if line.startswith("To act on exactly these"))
    assert named.endswith(" --max 1100")
    usual = run("dead", "replay", "--all", "--plan").out
    assert "--max" not in next(line for line in usual.splitlines() if line.startswith("To act on exactly these"))


@pytest.mark.usefixtures("some")
def test_where_the_encoding_has_no_lines_they_are_made_of_what_it_has():
    with process("list", stdout=subprocess.PIPE, env_of={**os.environ, "PYTHONIOENCODING": "ascii"}) as running:
        head, rule, *rows = running.communicate()[0].decode("ascii").splitlines()
    assert set(rule) == {"-"}
    assert len(rule) == max(map(len, (head, rule, *rows)))


def test_cells_that_an_encoding_writes_otherwise_are_as_wide_as_they_are_written():
    with process("kinds", "refund", stdout=subprocess.PIPE, env_of={**os.environ, "PYTHONIOENCODING": "ascii"}) as ran:
        lines = ran.communicate()[0].decode("ascii").splitlines()
    head = next(line for line in lines if line.startswith("field "))
    row = next(line for line in lines if line.startswith("transaction "))
    assert "`txn_...`" in row
    assert row[head.index("meaning") - 1 :].startswith(" The reference")


def test_a_key_is_known_whatever_the_locale_of_the_process(relay):
    relay.enqueue(payment(), key="schlüssel-😀")
    bare = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with process("show", "schlüssel-😀", "--json", stdout=subprocess.PIPE, env_of=bare) as ran:
        assert json.loads(ran.communicate()[0])["intent"]["key"] == "schlüssel-😀"


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "-o", "csv"), ("dead", "summary", "--json"), ("dead", "--help")]
)
def test_whoever_stops_reading_is_not_told_that_something_was_done_in_part(arguments):
    ours, theirs = os.pipe()
    os.close(ours)
    with process(*arguments, stdout=theirs, stderr=subprocess.PIPE, text=True) as ran:
        os.close(theirs)
        _, said = ran.communicate()
    assert (ran.returncode, "Error" in said) == (exits.UNHEARD, False)


@pytest.mark.usefixtures("some")
def test_a_name_that_nobody_has_is_told_as_such():
    assert (
        "Nobody did anything that this asks for. Names are compared as they were given"
        in run("log", "--who", "Ann").out
    )
    assert "Names" not in run("log", "--what", "rebind").out
    assert "pause" in run("log", "--who", "ann").out
