"""A release that changes the journal's shape: told by one that is not made, in a copy of the packages.

There the log of an intent stands under another name. Its workers and producers run beside those of this tree, on one
journal and one broker, over real HTTP and real Redis.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import AsyncRelay, JournalUnavailable, Operator, OtherShape, Refused, Relay, Settings, Write, errors
from blnk_relay.intents.exchange import GateAction
from blnk_relay.journal import shape
from blnk_relay.journal.events import Events
from blnk_relay.journal.journal import Journal
from tests.support.cli import line, run
from tests.support.house import WAIT_S, House, changed, copied
from tests.support.payments import payment
from tests.support.sentry import FakeSentry
from tests.support.waiting import wait_until
from worker.demo.stage import Stage, as_environment

STEP = """-- Brings logs to where the further shape has them, some keys at a time.
-- ARGV: under_way; cursor.
-- Returns: where to go on, "" at the end.
-- Deletes: log:<id>.
-- Bound: some keys.

local P, under_way, cursor = KEYS[1], ARGV[1], ARGV[2]

if redis.call('HGET', P .. 'ground', 'shape') ~= under_way then return '' end
local go_on, found = unpack(redis.call('SCAN', cursor == '' and '0' or cursor, 'MATCH', P .. 'log:*', 'COUNT', 10))
for _, key in ipairs(found) do redis.call('RENAME', key, P .. 'story:' .. string.sub(key, #P + 5)) end
return go_on == '0' and '' or go_on
"""

#: Ends a process in the middle of an upgrade, as a kill would: some pieces are done, and nobody has said so.
HALF_WAY = """
import os
from blnk_relay import Operator
from blnk_relay.journal.producing import Producing

carry, pieces = Producing._carry, []

def carried(self, trip):
    answer = carry(self, trip)
    pieces.append(getattr(trip, "name", "") == "to_3")
    if sum(pieces) == 2:
        os._exit(9)
    return answer

Producing._carry = carried
with Operator.from_env() as operator:
    operator.upgrade()
"""


def tomorrow(folder: Path) -> Path:
    """A copy that knows a further shape, and how to come to it."""
    journal = copied(folder) / "blnk_relay" / "journal"
    changed(
        journal / "shape.py", {"NEWEST = 2\n": "NEWEST = 3\n", '{2: "with_history"}': '{2: "with_history", 3: "to_3"}'}
    )
    changed(journal / "scripts" / "common.lua", {"P .. 'log:' .. id": "P .. (SHAPE < 3 and 'log:' or 'story:') .. id"})
    changed(journal / "scripts" / "sweep.lua", {"P .. 'log:' .. id)": "P .. 'log:' .. id, P .. 'story:' .. id)"})
    changed(
        journal / "status.py",
        {
            '    [lines] = yield Ask((("LRANGE", f"{prefix}log:{id_}", 0, -1),))': (
                '    older, lines = yield Ask(tuple(("LRANGE", f"{prefix}{name}:{id_}", 0, -1) for name in '
                '("log", "story")))\n    lines = older or lines'
            )
        },
    )
    (journal / "scripts" / "to_3.lua").write_text(STEP)
    return folder


@contextmanager
def working(house: House) -> Iterator[None]:
    """A worker of a copy."""
    worker = house.work()
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(WAIT_S)


def shapes_heard(journal: Journal) -> set[int]:
    signs: Any = journal.client.zrange(journal.key("alive"), 0, -1)
    return {shape.program_of(sign).shape for sign in signs}


def shape_of(journal: Journal) -> str:
    noted: Any = journal.client.hget(journal.key("ground"), "shape")
    return str(noted)


def names(journal: Journal, family: str) -> set[str]:
    return {name.removeprefix(journal.key(family)) for name in journal.client.scan_iter(journal.key(f"{family}*"))}


POOR = [f"poor-{number}" for number in range(12)]
OLD, NEW, OPEN = ([f"{whose}-{number}" for number in range(20)] for whose in ("old", "new", "open"))


@pytest.mark.long
def test_old_and_new_work_side_by_side_until_an_operator_says_that_the_old_is_gone(
    stage: Stage, tmp_path: Path
) -> None:
    with FakeSentry() as sentry, Relay(stage.settings) as relay:
        journal, new = relay.journal(), House(tomorrow(tmp_path), stage.settings)
        old = stage.start_worker()
        # Whoever comes first says which shape the journal has.
        wait_until(lambda: shapes_heard(journal) == {2}, WAIT_S, "the old worker")
        with working(new):
            wait_until(lambda: shapes_heard(journal) == {2, 3}, WAIT_S, "both workers")
            enqueued_by_both(relay, new)
            assert shape_of(journal) == "2"
            histories = {key: len(relay.history(key)) for key in POOR}

            refused = new.run("upgrade")["error"]
            assert (refused["type"], refused["exit_code"]) == ("Refused", 5)
            assert str(old.pid) in refused["message"]
            assert shape_of(journal) == "2", "an old worker is alive"
            stage.stop_workers()

            with Operator(relay.journals, relay.bells) as operator:
                operator.pause_lane("transactions", who="test")
            relay.enqueue_many([Write(intent=payment(), key=key) for key in OPEN])
            killed_half_way(relay, new)
            (upgraded,) = new.run("upgrade")["journals"]
            assert upgraded == {"target": "default", "before": "2>3", "after": "3", "changed": True}
            assert (shape_of(journal), names(journal, "log:")) == ("3", set())
            assert [one["changed"] for one in new.run("upgrade")["journals"]] == [False]
            old_producers_are_refused(relay)

            # An old worker idles, and says why; the new one does the work.
            stage.settings = replace(stage.settings, sentry_dsn=sentry.dsn)
            stage.start_worker()
            wait_until(sentry.events, WAIT_S, "the old worker to say that it is old")
            assert new.run("resume", "transactions")["resumed"]
            wait_until(lambda: new.run("status")["lanes"][0]["due"] == 0, WAIT_S, "what was open to be sent")
            wait_until(lambda: new.run("show", OPEN[-1])["intent"]["state"] == "done", WAIT_S, "the last of it")
            assert shapes_heard(journal) == {3}
            (event,) = sentry.events()
            assert event["tags"] == {"target": "default", "shape": "3"}
            assert "has shape 3, and this process" in stage.log.read_text()
            # What was tried is still told.
            assert {key: len(new.run("show", key)["attempts"]) for key in POOR[:3]} == {
                key: histories[key] for key in POOR[:3]
            }
            stage.stop_workers()
    books = stage.sandbox.books()
    assert {books.applied(key) for key in (*OLD, *NEW, *OPEN)} == {1}
    assert books.violations() == []


def enqueued_by_both(relay: Relay, new: House) -> None:
    """Old and new producers and workers together, in the older shape."""
    relay.enqueue_many([Write(intent=payment(), key=key) for key in OLD])
    lines = [file_line(key) for key in (*NEW, *POOR)]
    assert new.run("enqueue", "-", stdin="\n".join(lines))["created"] == len(lines)
    assert {relay.wait(key, WAIT_S).state for key in (*OLD, *NEW)} == {"done"}
    assert {relay.wait(key, WAIT_S).state for key in POOR} == {"dead"}


def killed_half_way(relay: Relay, new: House) -> None:
    """Nobody meets a journal of two shapes."""
    journal = relay.journal()
    assert new.process("-c", HALF_WAY).returncode == 9
    assert shape_of(journal) == "2>3"
    assert names(journal, "log:")
    assert names(journal, "story:")
    with pytest.raises(OtherShape, match="being brought from shape 2 to shape 3"):
        relay.enqueue(payment(), key="meanwhile")
    assert new.run("show", POOR[0])["error"]["exit_code"] == 4


def old_producers_are_refused(relay: Relay) -> None:
    with pytest.raises(OtherShape, match=r"has shape 3, and this process .* knows shapes 1 to 2") as caught:
        relay.enqueue(payment(), key="later")
    assert isinstance(caught.value, JournalUnavailable), "who waits for a journal waits for this one"
    assert (caught.value.target, caught.value.found, caught.value.known) == ("default", "3", (1, 2))
    with pytest.raises(OtherShape):
        relay.get(POOR[0])
    assert asyncio.run(refused_async(relay.settings))


def file_line(key: str) -> str:
    """As a file of intents has it; the poor have nothing to pay from."""
    poor = key in POOR
    one = line(key)
    one["payload"] |= {"source": f"@nobody-{key}" if poor else "@world", "allow_overdraft": not poor}
    return json.dumps(one)


async def refused_async(settings: Settings) -> bool:
    relay = AsyncRelay(settings)
    try:
        await relay.enqueue(payment(), key="async")
    except OtherShape:
        return True
    finally:
        await relay.close()
    return False


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("3", "start a version in its place that knows shape 3"),
        ("0", "upgrade it with a version that knows both"),
        ("2>3", "is being brought from shape 2 to shape 3"),
        ("odd", "has shape odd"),
    ],
)
def test_whoever_does_not_know_the_shape_changes_nothing_and_is_told_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, found: str, told: str
) -> None:
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    with Relay(settings) as relay, Operator(relay.journals, relay.bells) as operator:
        relay.enqueue(payment(), key="before")
        journal = relay.journal()
        journal.client.hset(journal.key("ground"), "shape", found)
        before = everything(journal)
        acts = (
            lambda: relay.enqueue(payment(), key="after"),
            lambda: relay.get("before"),
            lambda: relay.cancel("before"),
            lambda: journal.claim("transactions", "w", 1),
            lambda: journal.take("w", 1, 1.0),
            lambda: journal.sweep("p 1 1", 1.0),
            lambda: journal.extend("w", [], 1.0),
            lambda: journal.change_gate("write", GateAction.PAUSE, "X", 1.0),
            lambda: operator.overview("default"),
            lambda: operator.pause_lane("transactions", who="test"),
            operator.upgrade,
        )
        for act in acts:
            with pytest.raises(OtherShape, match=told):
                act()
        assert everything(journal) == before
        assert journal.check_server() is not None, "what the server says of itself is no matter of the shape"
    shown = run("show", "before")
    assert shown.code == 4
    assert told in shown.err


def everything(journal: Journal) -> dict[str, bytes]:
    """All that stands in the journal, as the server would dump it."""
    found = {}
    with Journal(journal.settings).client as client:
        for key in client.scan_iter(journal.key("*")):
            found[key] = client.execute_command("DUMP", key, NEVER_DECODE=[])  # type: ignore[no-untyped-call]
    return found


def test_what_a_newer_version_says_besides_is_left_alone(relay: Relay) -> None:
    journal = relay.journal()
    relay.enqueue(payment(), key="first")
    id_ = relay.get("first").id
    journal.client.hset(journal.key(f"intent:{id_}"), "newer", "field")
    body: Any = journal.client.get(journal.key(f"body:{id_}"))
    journal.client.set(journal.key(f"body:{id_}"), '{"newer":{"a":1},' + body[1:])
    journal.client.xadd(
        journal.key("events"), {"id": id_, "kind": "transaction", "event": "archived", "detail": "", "newer": "1"}
    )
    assert relay.get("first").state == "ready"
    (claimed,) = journal.claim("transactions", "worker", 5).items
    assert claimed.entry.key == "first"
    (event,) = Events(journal, "readers", "one").read(0)
    assert (event.key, event.event) == ("first", "archived")


def test_whoever_comes_first_says_which_shape_a_journal_has(relay: Relay) -> None:
    journal = relay.journal()
    relay.enqueue(payment(), key="first")
    assert shape_of(journal) == str(shape.NEWEST)
    with Operator(relay.journals, relay.bells) as operator:
        assert [(one.before, one.after, one.changed) for one in operator.upgrade()] == [("2", "2", False)]
        with pytest.raises(errors.NotFound):
            operator.upgrade("nobody")


def test_a_journal_that_was_never_used_has_nothing_to_upgrade(relay: Relay, operator: Operator) -> None:
    assert [(one.before, one.changed) for one in operator.upgrade()] == [("", False)]
    assert relay.journal().client.keys("*") == []


def test_a_worker_program_that_says_nothing_of_its_shape_knows_the_first(
    relay: Relay, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = relay.journal()
    relay.enqueue(payment(), key="first")
    now_ms = journal.now_ms()
    monkeypatch.setattr(shape, "NEWEST", 3)
    monkeypatch.setattr(shape, "STEPS", {3: "to_3"})
    journal.client.zadd(journal.key("alive"), {f"host:{os.getpid()}:abc": now_ms})
    with pytest.raises(Refused, match="of before"):
        operator.upgrade()
    # One that died long ago is nobody's obstacle, and here the way ends only because the step is not there.
    journal.client.zadd(journal.key("alive"), {f"host:{os.getpid()}:abc": now_ms - 60_000})
    with pytest.raises(FileNotFoundError):
        operator.upgrade()
    assert shape_of(journal) == "2>3"
