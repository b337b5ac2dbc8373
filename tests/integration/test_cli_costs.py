"""What each command line costs on Redis: commands, those of scripts included, and bytes; none grows with the backlog.

Every command has a row in ``LINES``; a new one without fails here. Lists grow to their limit, which both journals
have more of. What has to look at all that is kept is asked for by a flag, and stands in ``WALKS``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import redis

from blnk_relay import Operator, Relay, Settings, Write
from blnk_relay.journal.shape import NEWEST
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.bulk import FUNDS, Fill, fill
from tests.support.cli import commands, line, payment, run

#: Intents in the small and in the large journal, half of them dead letters. Both fill the first page of a list, and
#: both hold more open ones than a list looks at that no index answers.
SMALL, LARGE = 6_000, 16_000

#: Bytes by which two runs of the same may differ (digits of counts, ages and times), and commands (a connection that
#: is made anew, a script that is loaded, a bell that is rung unless one was a moment before). A walk would show in
#: both, and a hundred ids more in the bytes alone.
SLACK, FEW = 2_000, 20


#: A code of few letters, and those the oldest.
RARE = "RARE"


@dataclass(frozen=True)
class Row:
    """A command line and what it may cost at most.

    Attributes:
        arguments: What follows the command.
        most: Commands on Redis, those within scripts included.
        most_bytes: Received and sent.
        code: What it ends with.
    """

    arguments: tuple[str, ...] = ()
    most: int = 120
    most_bytes: int = 40_000
    code: int = 0


#: A worker that is none, and the place where the name of a job goes.
WORKER, JOB = "web-1:42:abc", "<job>"

#: Each command, by its path; several lines of one are numbered.
LINES: Mapping[tuple[str, ...], tuple[Row, ...]] = {
    ("enqueue",): (Row(("-",), 160),),
    # What stands around an intent is read with it; see also the test of one in the midst of others.
    ("show",): (Row(("open-1",)),),
    ("list",): (
        Row((), 3_000, 500_000),
        Row(("--state", "dead", "--limit", "10"), 250, 40_000),
        # What no index answers ends after some that do not fit.
        Row(("--state", "ready", "--kind", "refund"), 3_000, 250_000),
        Row(("--kind", "refund"), 3_000, 250_000),
        Row(("--state", "ready", "--since", "1h", "--code", "NONE"), 3_000, 250_000),
        Row(("--state", "cancelled"), 3_000, 250_000),
    ),
    ("find",): (
        Row(("--key", "open-1"), 60, 10_000),
        # Besides the one of that name the newest are looked at: others may name it in a payload.
        Row(("open-1",), 800, 400_000),
        Row(("--destination", "@nobody"), 100, 250_000),
        # Where all of them fit the newest are read in full, and no more than are shown.
        Row(("--destination", "@alice"), 1_500, 450_000),
        # What their status tells is not looked for in their bodies.
        Row(("--class", "rejected", "--state", "dead"), 1_000, 200_000),
        # The letters of the class are among the newest as well, and are not looked at once more for that.
        Row(("--class", "rejected"), 1_300, 200_000),
    ),
    # Of letters the oldest and the newest fifty are asked for the keys that they need.
    ("status",): (Row((), 260),),
    ("workers",): (Row(),),
    ("workers", "quiet"): (Row((WORKER, "--reason", "x")),),
    ("workers", "stop"): (Row((WORKER, "--reason", "x")),),
    ("health",): (Row((), code=1),),
    ("dead", "list"): (
        Row((), 1_200, 250_000),
        Row(("--limit", "10"), 250, 40_000),
        Row(("--code", FUNDS), 1_200, 250_000),
        Row(("--code", RARE), 160),
        Row(("--class", "rejected"), 1_200, 250_000),
        Row(("--kind", "refund"), 160),
    ),
    ("dead", "summary"): (Row((), 160), Row(("--code", RARE, "--since", "1h"), 160)),
    ("dead", "show"): (Row(("dead-1",)),),
    ("dead", "replay"): (
        Row(("--key", "dead-1", "--reason", "x", "--yes"), 200),
        Row(("--code", RARE, "--plan"), 200),
        Row(("--code", FUNDS, "--max", "150", "--reason", "x", "--yes"), 6_000, 500_000),
    ),
    ("dead", "discard"): (
        Row(("--key", "dead-2", "--reason", "x", "--yes"), 200),
        Row(("--code", FUNDS, "--max", "150", "--reason", "x", "--yes"), 6_000, 500_000),
    ),
    ("jobs",): (Row(),),
    ("jobs", "show"): (Row((JOB,)),),
    ("jobs", "stop"): (Row((JOB, "--reason", "x")),),
    ("cancel",): (Row(("open-2", "--reason", "x")),),
    ("lanes",): (Row((), 160),),
    ("pause",): (Row(("refunds",)),),
    ("resume",): (Row(("refunds",)),),
    ("log",): (Row(), Row(("--since", "1h", "--who", "nobody"))),
    ("target", "list"): (Row(),),
    ("target", "rebind"): (Row(("default", "--reason", "x", "--yes"), code=2),),
    ("encryption", "keys"): (Row((), 3_000, 500_000),),
    ("history", "status"): (Row(),),
    ("history", "off"): (Row(("--reason", "x")),),
    ("upgrade",): (Row(),),
    ("doctor",): (Row((), 400, 200_000, code=1),),
    ("kinds",): (Row((), 0, SLACK),),
    ("completion",): (Row(("bash",), 0, SLACK),),
}

#: What costs more the more there is: each is asked for by a flag that says so, and shows how far it is.
WALKS: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("list",): ("--state", "ready", "--kind", "refund", "--whole"),
    ("encryption", "keys"): ("--whole",),
    ("dead", "summary"): ("--recount",),
}

#: What is not run here: it reads all on purpose, runs until it is stopped, or asks no Redis.
ELSEWHERE = {
    ("audit",): "compares everything with the ledger, at a rate of its own",
    ("encryption", "renew"): "rewrites all that is kept, resting as long as each trip takes",
    ("worker",): "runs until it is stopped",
    ("sandbox",): "knows no Redis",
    ("demo",): "has a Redis of its own",
    ("console",): "runs until it is stopped; what each screen costs is counted in console/test_console_redis.py",
    ("history", "upgrade"): "knows no Redis",
}


@dataclass(frozen=True)
class Cost:
    """What was done on Redis."""

    commands: int
    bytes: int


def filled(settings: Settings, number: int) -> str:
    """A journal of so many intents, half of them dead letters, with a worker and a job, whose name is returned."""
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
    with Relay(settings) as relay:
        half = number // 2
        fill(relay, Fill("dead", "rare", 3, code=RARE), Fill("dead", "dead", half), Fill("open", "open", half))
        relay.journal().sweep(f"{WORKER} 1.2.3 {NEWEST}", 60.0, sign_of(Sign("1.2.3", NEWEST, pool="threads")))
        operator = Operator(relay.journals, relay.bells)
        return operator.begin(operator.plan_many("replay", code=FUNDS, most=20), who="ann", reason="x")


def cost(client: redis.Redis, path: tuple[str, ...], arguments: tuple[str, ...], code: int = 0) -> Cost:
    """Run a command line, and count what the server did for it."""
    client.config_resetstat()
    ran = run(*path, *arguments, stdin=json.dumps(line("new")))
    assert ran.code == code, ran.err
    of, net = client.info("commandstats"), client.info("stats")
    # The two questions themselves are not the command's.
    mine = ("cmdstat_info", "cmdstat_config|resetstat")
    calls = sum(found["calls"] for name, found in of.items() if name not in mine)
    return Cost(calls, net["total_net_input_bytes"] + net["total_net_output_bytes"] - len(str(of)))


@pytest.fixture(scope="module")
def costs(valkey) -> Mapping[int, Mapping[tuple[str, ...], Cost]]:
    """The cost of every line of both tables, on a small and on a large journal."""
    settings = Settings(redis_url=f"redis://127.0.0.1:{valkey.port}/0")
    found: dict[int, dict[tuple[str, ...], Cost]] = {}
    with pytest.MonkeyPatch.context() as patch, redis.Redis(port=valkey.port) as client:
        patch.setenv("BLNK_RELAY_REDIS_URL", settings.redis_url)
        for number in (SMALL, LARGE):
            job = filled(settings, number)
            # The first of its kind loads its scripts; what it costs is the second.
            run("status")
            ours = found[number] = {}
            for path, arguments in WALKS.items():
                ours[("walk", *path)] = cost(client, path, arguments, 0)
            for path, rows in LINES.items():
                for at, row in enumerate(rows):
                    arguments = tuple(job if text == JOB else text for text in row.arguments)
                    ours[(*path, str(at))] = cost(client, path, arguments, row.code)
    return found


CASES = [(path, at) for path, rows in LINES.items() for at in range(len(rows))]


def test_every_command_has_a_row():
    known = {*LINES, *WALKS, *ELSEWHERE}
    assert set(commands()) - known == set(), "say in LINES how to call it and what it may cost on Redis"
    assert known - set(commands()) == set()


@pytest.mark.parametrize(("path", "at"), CASES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_a_command_costs_the_same_whatever_waits(costs, path, at):
    row, small, large = LINES[path][at], *(costs[number][(*path, str(at))] for number in (SMALL, LARGE))
    assert large.commands <= small.commands + FEW, (small, large)
    assert large.bytes <= small.bytes * 1.02 + SLACK, (small, large)
    assert large.commands <= row.most, large
    assert large.bytes <= row.most_bytes, large


@pytest.mark.parametrize("path", WALKS, ids=" ".join)
def test_what_is_said_to_walk_does(costs, path):
    """Whoever gives it an index moves its row."""
    small, large = (costs[number][("walk", *path)] for number in (SMALL, LARGE))
    assert large.commands > small.commands + FEW or large.bytes > small.bytes * 1.02 + SLACK, (small, large)


@pytest.mark.usefixtures("environment")
def test_an_intent_in_the_midst_of_others_is_shown_at_the_same_cost_however_many_wait(settings, relay):
    """Some of those before it and behind it are read in full: ten and twenty at most."""
    found = []
    with redis.Redis.from_url(settings.redis_url) as client:
        for name, number in (("few", 60), ("many", 400)):
            before = [f"{name}-{at}" for at in range(number)]
            behind = [f"{name}+{at}" for at in range(number)]
            relay.enqueue(payment(), key=name)
            relay.enqueue_many([Write(intent=payment(), key=key, after=[name]) for key in before])
            relay.enqueue_many([Write(intent=payment(), key=f"{name}-last", after=before[:30])])
            relay.enqueue_many([Write(intent=payment(), key=key, after=[f"{name}-last"]) for key in behind])
            run("show", name)
            found.append([cost(client, ("show",), (key,)) for key in (name, f"{name}-last")])
    for few, many in zip(*found, strict=True):
        assert many.commands <= few.commands + FEW, (few, many)
        assert many.bytes <= few.bytes * 1.02 + SLACK, (few, many)
        assert many.commands <= 260, many


def test_the_count_notices_a_walk(settings):
    """The harness itself: a list without a limit costs more the more there is."""
    with Relay(settings) as relay, redis.Redis.from_url(settings.redis_url) as client:
        operator = Operator(relay.journals, relay.bells)

        def walk() -> int:
            client.config_resetstat()
            list(operator.listed("ready"))
            return int(sum(found["calls"] for found in client.info("commandstats").values()))

        relay.enqueue_many([Write(intent=payment(), key=f"a-{at}") for at in range(20)])
        few = walk()
        relay.enqueue_many([Write(intent=payment(), key=f"b-{at}") for at in range(200)])
        assert walk() > few + 100
