"""The log: one table of events, of which every line in the code is one, and lines that hold what the table allows."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import blnk_relay.log
from blnk_relay import Settings
from blnk_relay.catalogue.logs_page import described
from blnk_relay.log import (
    ATTEMPT,
    CHOSEN,
    DEAD_LETTER,
    FIELDS,
    JOB_FAILED,
    START,
    code_shown,
    events,
    tell,
)
from tests.support.waiting import wait_until
from worker.logs import OURS, Lines, Writer, begin, end

ROOT = Path(__file__).parents[2]
LOG = logging.getLogger("blnk_relay.test")
MARK = "Ms Sekret"


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for top in ("blnk_relay", "tasks", "worker"):
        for path in sorted((ROOT / top).rglob("*.py")):
            text = path.read_text()
            if not {"sandbox", "demo", "cli"} & set(path.parts) and ("log" in text or "complaints" in text):
                yield path, ast.parse(text)


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                func = node.func
                if getattr(func, "id", getattr(func, "attr", "")) in names:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_nothing_is_logged_but_through_the_table():
    writing = {"debug", "info", "warning", "error", "critical", "exception", "log"}
    past = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in writing
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("_log", "log", "logging", "logger")
    ]
    assert past == ["blnk_relay/log.py:" + str(_line_of_tell())]


def _line_of_tell() -> int:
    text = (ROOT / "blnk_relay/log.py").read_text().splitlines()
    return next(number for number, line in enumerate(text, start=1) if "log.log(event.level" in line)


def test_each_event_is_told_somewhere_with_no_fields_but_its_own():
    told: set[str] = set()
    for place, call in calls("tell", "say"):
        named = [arg.id for arg in call.args if isinstance(arg, ast.Name) and arg.id.isupper()]
        for name in named:
            event = getattr(blnk_relay.log, name)
            told.add(event.name)
            given = {word.arg.rstrip("_") for word in call.keywords if word.arg} - {"failed"}
            assert given <= set(event.fields), (place, given, event.fields)
    unused = {event.name for event in events()} - told
    # Made by the log itself.
    assert unused == {"lines_lost"}


def test_names_are_said_once_and_every_field_is_described():
    names = [event.name for event in events()]
    assert len(names) == len(set(names)) > 40
    assert {name for event in events() for name in event.fields} <= set(FIELDS)


def test_no_sentence_holds_what_an_application_chose():
    assert [
        event.name for event in events() if set(event.fields) - set(event.also) & CHOSEN and "{key" in event.words
    ] == []


def test_the_page_is_made_of_the_tables():
    assert (ROOT / "docs/logs.md").read_text() == described()


@pytest.fixture
def written(tmp_path):
    """Begins a log in a file, and reads what was written there."""
    path = tmp_path / "log"
    root = logging.getLogger()
    before = (
        root.handlers[:],
        root.level,
        {name: logging.getLogger(name).level for name in OURS},
        threading.excepthook,
        warnings.showwarning,
    )

    def log(**settings: Any):
        with path.open("a") as file:
            begin(Settings(**settings), file)

        def lines():
            logging.getLogger().handlers[0].flush()
            return path.read_text().splitlines()

        return lines

    yield log
    end()
    root.handlers[:], threading.excepthook = before[0], before[3]
    root.setLevel(before[1])
    warnings.showwarning = before[4]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)


def letter(**changes: str):
    about = {"intent": "id-1", "key": "order-1", "reference": "ref-1", "target": "eu", "lane": "a", "kind": "refund"}
    tell(LOG, DEAD_LETTER, about | changes, class_="rejected", code="TXN_INSUFFICIENT_FUNDS")


def test_a_warning_of_a_library_is_told_by_its_sort_and_place_and_never_by_its_text(written):
    lines = written(log_format="json")
    warnings.simplefilter("always")
    warnings.warn_explicit("Anna's wallet", DeprecationWarning, "/somewhere/broker.py", 7)
    (line,) = map(json.loads, lines())
    assert (line["event"], line["level"], line["logger"]) == ("library", "warning", "warnings")
    assert line["message"] == "warnings says something at broker.py:7: DeprecationWarning"
    assert "Anna" not in str(line)


def test_a_line_for_people_and_one_for_machines_tell_the_same(written):
    letter_lines = written()
    letter()
    (line,) = letter_lines()
    assert "ERROR dead_letter: dead letter id-1: refund rejected TXN_INSUFFICIENT_FUNDS [worker=" in line
    assert "key=order-1 reference=ref-1" in line
    lines = written(log_format="json")
    letter()
    told = json.loads(lines()[-1])
    assert (told["event"], told["level"], told["class"]) == ("dead_letter", "error", "rejected")
    assert (told["key"], told["reference"], told["lane"]) == ("order-1", "ref-1", "a")


def test_without_keys_an_intent_is_told_by_its_id(written):
    lines = written(log_keys=False)
    letter()
    (line,) = lines()
    assert "id-1" in line
    assert "order-1" not in line
    assert "ref-1" not in line


@pytest.mark.parametrize(("level", "told"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 1)])
def test_the_level_of_the_settings_is_that_of_our_lines_and_never_that_of_libraries(written, level, told):
    lines = written(log_level=level)
    tell(LOG, ATTEMPT, attempt=1)
    tell(LOG, START, version="1")
    letter()
    for name in ("urllib3", "celery", "kombu", "redis", "amqp"):
        logging.getLogger(f"{name}.x").info("chatter %s", MARK)
        logging.getLogger(f"{name}.x").debug("chatter %s", MARK)
    assert len(lines()) == told


def fails():
    try:
        {}[MARK]
    except KeyError as error:
        raise ValueError(f"no {MARK}") from error


@pytest.mark.parametrize("form", ["human", "json"])
def test_an_exception_is_told_by_its_type_and_its_way_and_never_by_its_text(written, form):
    lines = written(log_format=form)
    try:
        fails()
    except ValueError as error:
        tell(LOG, JOB_FAILED, why="it failed", failed=error)
        logging.getLogger("celery.worker").exception("Task raised %r", MARK)
        logging.getLogger("celery.worker").error(f"no pattern but {MARK}", exc_info=True)  # noqa: G004, G201
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    found = lines()
    assert len(found) == 4
    assert all("ValueError < KeyError" in line and "test_logs.py:" in line for line in found)
    assert not any("Sekret" in line for line in found)
    assert "Task raised %r" in found[1]


def test_a_text_in_the_place_of_a_code_is_not_told(written):
    lines = written()
    tell(LOG, DEAD_LETTER, intent="id", kind="refund", class_="refused", code=f"{MARK} has no money")
    (line,) = lines()
    assert "NOT_A_CODE" in line
    assert "Sekret" not in line


@pytest.mark.parametrize(
    "code",
    [
        "TXN_INSUFFICIENT_FUNDS",
        "HTTP_401",
        "NO_ANSWER",
        "LEASE_OVER",
        "NewConnectionError",
        "ReadTimeout",
        "EXPIRED",
        "",
    ],
)
def test_a_code_is_told(code):
    assert code_shown(code) == code


def test_one_event_is_one_line_whatever_its_fields_hold(written):
    lines = written()
    letter(key="a\nb\x1b[31m]" + "c" * 5_000)
    (line,) = lines()
    assert len(line) < 2_000
    assert "\x1b" not in line


def test_what_nobody_reads_stops_nobody_and_is_counted():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        writer = Writer(pipe, most=50)
    writer.setFormatter(Lines("json", keys=True))
    record = logging.makeLogRecord({"msg": "%s", "args": ("x" * 500,), "relay_event": "start", "relay_fields": {}})
    for _ in range(1_000):
        writer.emit(record)
    found = b""

    def told():
        nonlocal found
        found += os.read(reading, 1 << 16)
        writer.emit(record)
        return b"lines_lost" in found

    wait_until(told, 10, "what was lost is told")
    os.close(reading)


def test_a_full_disk_and_a_closed_stderr_stop_nothing():
    with Path("/dev/full").open("w") as full:
        for stream in (None, io.StringIO(), full):
            writer = Writer(stream)
            writer.setFormatter(Lines("human", keys=True))
            for _ in range(10):
                writer.emit(logging.makeLogRecord({"msg": "a"}))
            writer.flush()


def test_a_forked_process_writes_its_own_lines(written):
    lines = written()
    letter()
    child = os.fork()
    if child == 0:
        letter(intent="id-child")
        logging.getLogger().handlers[0].flush()
        os._exit(0)
    os.waitpid(child, 0)
    # Two threads of two processes write: each its own line once, in any order.
    assert sorted("id-child" in line for line in lines()) == [False, True]
