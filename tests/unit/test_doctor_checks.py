"""Each check of the doctor on facts that are well, and on facts that are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import GateView, LaneDepth, Overview, Pause, Settings, Target
from blnk_relay.journal import shape
from blnk_relay.journal.locked import Locked, LockedLetters
from blnk_relay.journal.shape import Program
from blnk_relay.journal.tried import COMMANDS, NOT_ASKED, READ_GROUP, Access
from blnk_relay.journal.vitals import JournalVitals, Replica, ServerVitals
from blnk_relay.journal.workers import Sign, WorkerView
from worker.doctor.checks import chosen, findings, journals, servers, ways
from worker.doctor.facts import BrokerFacts, Facts, Reach, ReadTried, Stray, TargetFacts
from worker.doctor.findings import Finding, Level, exit_code

ROOT = Path(__file__).parents[2]

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WELL, FAIL, WARN, BLIND = Level.OK, Level.FAILURE, Level.WARNING, Level.UNKNOWN

SETTINGS = Settings(durability="memory", instance_id="i", token="k")  # noqa: S106
FSYNC = replace(SETTINGS, durability="fsync")
REPLICATED = replace(SETTINGS, durability="replicated:2")

INFO = {
    "redis_version": "7.2.4",
    "valkey_version": "8.1.0",
    "cluster_enabled": "0",
    "role": "master",
    "aof_enabled": "1",
    "maxmemory": "1000000000",
    "maxmemory_policy": "noeviction",
    "used_memory": "1000000",
    "total_system_memory": "8000000000",
    "connected_slaves": "0",
}
OPTIONS = {"appendfsync": "everysec", "save": ""}


def server(options: dict[str, str] | None = OPTIONS, /, **info: str) -> ServerVitals:
    return ServerVitals("BLNK_RELAY_REDIS_URL", {**INFO, **info}, options, ahead_s=0.0, trip_s=0.002)


SILENT = ServerVitals("BLNK_RELAY_REDIS_URL")


def followed(*replicas: Replica) -> ServerVitals:
    return replace(server(connected_slaves=str(len(replicas))), replicas=replicas)


LANE = LaneDepth("transactions", "default", 0, 0, 0.0, paused=False, oldest_open_s=0.0)
OVERVIEW = Overview((LANE,), 0, 0, 0, 0.0, 0, 0, 0, 1, (), {})
JOURNAL = JournalVitals(
    "default",
    meant="cloud https://a i",
    ledger="cloud https://a i",
    shape=str(shape.NEWEST),
    epoch="1-abc",
    programs=(Program("host:1:a", "1.0", shape.NEWEST),),
    overview=OVERVIEW,
    workers=(
        WorkerView(
            "host:1:a",
            "host",
            1,
            "1.0",
            shape.NEWEST,
            "running",
            NOW,
            ("default",),
            Sign("1.0", lanes=SETTINGS.lanes, pool="solo"),
        ),
    ),
)
LOCKED = Locked("transactions", "k1.0123abcd", 5, 300.0)


def locked(letters: LockedLetters, *open_: Locked) -> Finding:
    """The check of the keys that letters, and open intents, need."""
    return journals.encryption(replace(JOURNAL, locked=open_, locked_letters=letters))


def journal(lane: LaneDepth = LANE, /, **changes: Any) -> JournalVitals:
    own = {name: changes.pop(name) for name in list(changes) if name in Overview.__dataclass_fields__}
    return replace(JOURNAL, overview=replace(OVERVIEW, lanes=(lane,), **own), **changes)


def gate(state: str, *, manual: bool = False) -> GateView:
    return GateView("default", "write", state, "PROXY_403", NOW, manual, "", 10, "op", 5.0)


REACHED = Reach("host:443", ("resolves to 1.2.3.4", "connects in 1 ms"), days_left=80.0)
TARGET = TargetFacts("default", REACHED, (ReadTried("transactions", 200), ReadTried("balances", 200)))


def reads(*statuses: int) -> TargetFacts:
    names = ("transactions", "balances", "identities")
    return replace(TARGET, reads=tuple(map(ReadTried, names, statuses)))


BROKER = BrokerFacts("BLNK_RELAY_REDIS_URL", REACHED, {"relay.transactions": 0, "relay.ingest": 0})


def waiting(**queues: int) -> BrokerFacts:
    return replace(BROKER, waiting={f"relay.{name}": number for name, number in queues.items()})


def way(reach: Reach) -> Finding:
    return ways.reached("way", "target default", reach, "look", "docs")


def lane(depth: LaneDepth, broker: BrokerFacts = BROKER) -> Finding:
    (found,) = journals.lanes(journal(depth), broker, SETTINGS)
    return found


def lane_of(depth: LaneDepth, **changes: Any) -> Finding:
    (found,) = journals.lanes(replace(journal(depth), **changes), BROKER, SETTINGS)
    return found


def serving(*lanes: str) -> tuple[WorkerView, ...]:
    return tuple(replace(one, sign=replace(one.sign, lanes=lanes)) for one in JOURNAL.workers)


def of_version(settings: Settings, seen: ServerVitals, *, journal: bool = True, by_cluster: bool = False) -> Finding:
    return servers.version(settings, seen, journal=journal, by_cluster=by_cluster)


#: What is judged, how, and a word of the finding.
CASES: list[tuple[Callable[[], Finding], Level, str]] = [
    (lambda: servers.answering(server()), WELL, "within 2 ms"),
    (lambda: servers.answering(replace(SILENT, failure="nothing listens there")), FAIL, "nothing listens"),
    (lambda: of_version(SETTINGS, server()), WELL, "Valkey 8.1.0"),
    (lambda: of_version(SETTINGS, SILENT), BLIND, "+info"),
    (lambda: of_version(SETTINGS, server(redis_version="6.2.1")), FAIL, "too old"),
    (lambda: of_version(SETTINGS, server(redis_version="6.2.1"), journal=False), WELL, "Valkey"),
    (lambda: of_version(SETTINGS, server(cluster_enabled="1")), FAIL, "redis+cluster://"),
    (lambda: of_version(SETTINGS, server(), by_cluster=True), FAIL, "without cluster mode"),
    (lambda: of_version(SETTINGS, server(role="slave")), FAIL, "replica"),
    (lambda: of_version(FSYNC, server(aof_enabled="0")), FAIL, "no append-only file"),
    (lambda: of_version(replace(FSYNC), server(redis_version="7.0.5")), FAIL, "WAITAOF"),
    (lambda: servers.persistence(SETTINGS, server()), WELL, "everysec"),
    (lambda: servers.persistence(SETTINGS, SILENT), BLIND, "+info"),
    (lambda: servers.persistence(SETTINGS, server(None)), BLIND, "+config|get"),
    (lambda: servers.persistence(SETTINGS, server(aof_enabled="0")), FAIL, "appendonly yes"),
    (lambda: servers.persistence(SETTINGS, server(aof_last_write_status="err")), FAIL, "last write"),
    (lambda: servers.persistence(SETTINGS, server(aof_last_bgrewrite_status="err")), WARN, "rewrite"),
    (lambda: servers.persistence(SETTINGS, server(rdb_last_bgsave_status="err")), WARN, "snapshot"),
    (lambda: servers.persistence(SETTINGS, server({"appendfsync": "no"})), FAIL, "power cut"),
    (lambda: servers.persistence(FSYNC, server()), WARN, "appendfsync always"),
    (lambda: servers.persistence(FSYNC, server({"appendfsync": "always"})), WELL, "always"),
    (lambda: servers.eviction(server()), WELL, "noeviction"),
    (lambda: servers.eviction(SILENT), BLIND, "+info"),
    (lambda: servers.eviction(server(maxmemory_policy="allkeys-lru")), FAIL, "evict"),
    (lambda: servers.eviction(server(maxmemory_policy="allkeys-lru", maxmemory="0")), WARN, "would be"),
    (lambda: servers.memory(server()), WELL, "of 1,000 MB"),
    (lambda: servers.memory(SILENT), BLIND, "+info"),
    (lambda: servers.memory(server(maxmemory="0")), WARN, "no maxmemory"),
    (lambda: servers.memory(server(used_memory="950000000")), FAIL, "nothing new is accepted"),
    (lambda: servers.memory(server(used_memory="950000000", mem_not_counted_for_evict="300000000")), WELL, "65%"),
    (lambda: servers.memory(server(used_memory="800000000")), WARN, "soon"),
    (lambda: servers.memory(server(total_system_memory="500000000")), WARN, "the machine has"),
    (lambda: servers.replicas(SETTINGS, followed()), WELL, "0 online"),
    (lambda: servers.replicas(SETTINGS, SILENT), BLIND, "+info"),
    (lambda: servers.replicas(REPLICATED, followed(Replica(True, 0, 0), Replica(True, 1, 10))), WELL, "2 online"),
    (lambda: servers.replicas(REPLICATED, followed(Replica(True, 0, 0), Replica(False, 0, 0))), FAIL, "1 online of 2"),
    (lambda: servers.replicas(REPLICATED, followed(Replica(True, 0, 0), Replica(True, 9, 9))), FAIL, "DURABILITY"),
    (lambda: servers.replicas(SETTINGS, followed(Replica(True, 30, 9))), WARN, "30 s ago"),
    (lambda: servers.clock(server()), WELL, "+0.00 s"),
    (lambda: servers.clock(replace(server(), ahead_s=None)), BLIND, "+time"),
    (lambda: servers.clock(replace(server(), ahead_s=-90.0)), WARN, "not_before"),
    (lambda: servers.clock(replace(server(), ahead_s=3.0, trip_s=4.0)), WELL, "to within 2.00 s"),
    (lambda: journals.known_shape(JOURNAL), WELL, "knows 1 to 2"),
    (lambda: journals.known_shape(replace(JOURNAL, shape="")), WELL, "nothing is recorded"),
    (lambda: journals.known_shape(replace(JOURNAL, shape="3")), FAIL, "start a version that knows it"),
    (lambda: journals.known_shape(replace(JOURNAL, shape="odd")), FAIL, "odd"),
    (lambda: journals.known_shape(replace(JOURNAL, shape="1>2")), FAIL, "half way"),
    (lambda: journals.identity(JOURNAL), WELL, "cloud https://a i"),
    (lambda: journals.identity(replace(JOURNAL, meant="")), WELL, "cloud"),
    (lambda: journals.identity(replace(JOURNAL, ledger="core http://b -")), FAIL, "target rebind default"),
    (lambda: journals.losses(JOURNAL), WELL, "nothing was ever lost"),
    (lambda: journals.losses(replace(JOURNAL, epoch="")), WELL, "no worker"),
    (lambda: journals.losses(replace(JOURNAL, lost_s=60.0)), WARN, "last moments"),
    (lambda: journals.losses(replace(JOURNAL, lost_s=90_000.0)), WELL, "1.0 d"),
    (lambda: journals.steps(JOURNAL), WELL, "none"),
    (lambda: journals.steps(replace(JOURNAL, steps=2, skew_s=-61.0)), WARN, "-61.0 s"),
    (lambda: journals.programs(JOURNAL), WELL, "1, of 1.0"),
    (lambda: journals.programs(replace(JOURNAL, programs=())), WARN, "none"),
    (lambda: journals.programs(replace(journal(waiting=3), programs=())), FAIL, "3 intents are open"),
    (lambda: journals.programs(mixed("1.0", "1.1")), WARN, "of 1.0, 1.1"),
    (lambda: journals.programs(mixed("", "1.1")), WARN, "of before"),
    (lambda: lane(LANE), WELL, "0 due"),
    (lambda: lane(replace(LANE, due=5, oldest_due_s=300.0)), WARN, "5.0 min"),
    (lambda: lane(replace(LANE, due=5, oldest_due_s=3.0)), WELL, "5 due"),
    (lambda: lane(replace(LANE, due=5, oldest_due_s=3.0), waiting(transactions=9)), FAIL, "9 bells unheard"),
    (lambda: lane(replace(LANE, paused=True, pause=Pause("op", "why", NOW))), WARN, "resume transactions"),
    (lambda: lane_of(LANE, workers=serving("refunds")), WARN, "no worker serves this lane"),
    (lambda: lane_of(replace(LANE, due=1), workers=serving("refunds")), FAIL, "worker --lane transactions"),
    (lambda: lane_of(replace(LANE, later=1), workers=()), FAIL, "no worker serves this lane"),
    (lambda: lane_of(LANE, workers=(replace(JOURNAL.workers[0], state="quiet"),)), WARN, "no worker serves"),
    (lambda: lane_of(LANE, workers=(replace(JOURNAL.workers[0], sign=Sign()),)), WELL, "0 due"),
    (lambda: lane_of(replace(LANE, lane="former"), workers=()), WELL, "0 due"),
    (lambda: lane_of(replace(LANE, due=5, oldest_due_s=300.0), locked=(LOCKED,)), WARN, "key that is not at hand"),
    (lambda: journals.encryption(JOURNAL), WELL, "none that"),
    (lambda: journals.encryption(replace(JOURNAL, locked=(LOCKED,))), FAIL, "key k1 (check 0123abcd)"),
    (lambda: journals.encryption(replace(JOURNAL, locked=(replace(LOCKED, due_s=1.0),))), FAIL, "5 open intents"),
    (lambda: locked(LockedLetters(1, ("k1.0123abcd",))), WARN, "1 dead letter needs encryption"),
    (lambda: locked(LockedLetters(1_200, ("k1", "k2"), whole=False)), WARN, "1,200 dead letters at"),
    (lambda: locked(LockedLetters(3, ("k1",)), LOCKED), FAIL, "; 3 dead"),
    (lambda: journals.gates(JOURNAL), WELL, "all open"),
    (lambda: journals.gates(journal(gates=(gate("slowed"),))), WELL, "slowed: write"),
    (lambda: journals.gates(journal(gates=(gate("paused"),))), FAIL, "PROXY_403"),
    (lambda: journals.gates(journal(gates=(gate("unreachable"),))), FAIL, "unreachable"),
    (lambda: journals.gates(journal(gates=(gate("paused", manual=True),))), WARN, "resume --target default"),
    (lambda: journals.letters(JOURNAL), WELL, "none"),
    (lambda: journals.letters(journal(dead=4)), WARN, "waits for a human"),
    (lambda: journals.letters(journal(dead=4, new_letters=2)), WARN, "makes letters now"),
    (lambda: journals.causes(JOURNAL), WELL, "all are accounted for"),
    (lambda: journals.causes(replace(JOURNAL, uncounted=3)), WARN, "dead summary --recount"),
    (lambda: journals.oldest(JOURNAL, SETTINGS), WELL, "0.0 s"),
    (lambda: journals.oldest(replace(JOURNAL, overview=None), SETTINGS), WELL, "nothing"),
    (lambda: journals.oldest(journal(oldest_posted_s=7200.0), SETTINGS), WARN, "2.0 h"),
    (lambda: journals.readable(JOURNAL), WELL, "can be read"),
    (lambda: journals.readable(replace(JOURNAL, failure="Redis is away")), FAIL, "away"),
    (lambda: journals.writes(Access("default")), WELL, "takes writes"),
    (lambda: journals.writes(Access("default", failure="it takes none")), FAIL, "it takes none"),
    (lambda: journals.writes(Access("default", failure="it takes none")), FAIL, "a snapshot that failed"),
    (lambda: journals.writes(Access("default", refused=("xadd",))), FAIL, "+xadd"),
    (lambda: journals.secret(Access("default")), WELL, "none yet"),
    (lambda: journals.secret(Access("default", under="k1.0123abcd")), WELL, "at hand"),
    (lambda: journals.secret(Access("default", under="k1.0123abcd", held=False)), FAIL, "key k1 (check 0123abcd)"),
    (lambda: journals.secret(Access("default", under="k1.0", held=False, keyless=True)), WARN, "in the clear"),
    (lambda: journals.stray(Stray("old", "X", False, 0, moved=False)), WELL, "nothing in it is open"),
    (lambda: journals.stray(Stray("old", "X", True, 2, moved=False)), WELL, "2 worker programs"),
    (lambda: journals.stray(Stray("old", "X", True, 0, moved=False)), FAIL, "BLNK_RELAY_TARGETS"),
    (lambda: journals.stray(Stray("old", "X", True, 1, moved=True)), FAIL, "on another Redis"),
    (lambda: way(REACHED), WELL, "connects in 1 ms"),
    (lambda: way(Reach("x", skipped="through a proxy")), WELL, "through a proxy"),
    (lambda: way(replace(REACHED, failure="its name is not known")), FAIL, "its name is not known"),
    (lambda: way(replace(REACHED, days_left=3.0)), WARN, "renew"),
    (lambda: ways.scopes(TARGET), WELL, "transactions 200"),
    (lambda: ways.scopes(replace(TARGET, skipped="no key")), BLIND, "no key"),
    (lambda: ways.scopes(reads(401, 401, 401)), FAIL, "give it a new key"),
    (lambda: ways.scopes(reads(403, 200, 200)), FAIL, "data:read"),
    (lambda: ways.scopes(reads(200, 200, 403)), WARN, "proxy:read"),
    (lambda: ways.scopes(reads(200, 502, 200)), FAIL, "now"),
    (lambda: ways.bells(BROKER, SETTINGS), WELL, "relay.transactions 0"),
    (lambda: ways.bells(replace(BROKER, waiting=None), SETTINGS), WELL, "costs money"),
    (lambda: ways.bells(replace(BROKER, failure="nobody got there"), SETTINGS), FAIL, "nobody got there"),
    (lambda: ways.bells(waiting(transactions=50), SETTINGS), WARN, "bells of transactions"),
    (lambda: ways.bells(waiting(ingest=500), SETTINGS), WARN, "by name"),
    (lambda: chosen.durability(SETTINGS), WELL, "memory"),
    (lambda: chosen.durability(Settings()), WARN, "not set"),
    (lambda: chosen.timeouts(SETTINGS), WELL, "lease 30 s"),
    (lambda: chosen.timeouts(replace(SETTINGS, redis_timeout_s=6.0)), WARN, "REDIS_TIMEOUT_S is not below"),
    (lambda: chosen.timeouts(replace(SETTINGS, deadline_s=600.0)), WARN, "HORIZON_S is not below DEADLINE_S"),
    (lambda: chosen.timeouts(replace(SETTINGS, stuck_horizon_s=600.0)), WARN, "STUCK_HORIZON_S"),
    (lambda: chosen.timeouts(replace(SETTINGS, confirm_max_s=900.0)), WARN, "CONFIRM_MAX_S"),
    (lambda: chosen.timeouts(replace(SETTINGS, retention_s=60.0)), WARN, "RETENTION_S"),
    (lambda: chosen.one_ledger(()), WELL, "of its own"),
    (lambda: chosen.one_ledger(("targets a, b are one ledger",)), WARN, "keep one"),
    (lambda: chosen.files(SETTINGS, 1024, 1), WELL, "1,024 allowed"),
    (lambda: chosen.files(SETTINGS, 100, 1), WARN, "ulimit"),
    (lambda: chosen.files(SETTINGS, -1, 1), WELL, "any number"),
]


def mixed(*versions: str) -> JournalVitals:
    return replace(
        JOURNAL, programs=tuple(Program(f"host:{at}:a", one, shape.NEWEST) for at, one in enumerate(versions))
    )


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_a_check_says_how_bad_it_is_and_what_it_saw(case: tuple[Callable[[], Finding], Level, str]) -> None:
    find, level, word = case
    found = find()
    assert found.level is level, found
    assert word in f"{found.saw} {found.why} {found.mend}", found
    assert found.looked_at
    if level is not WELL:
        assert found.why, "why it matters"
        assert found.mend, "how to mend it"
        assert found.link, "where to read on"


def test_every_right_that_a_script_needs_is_asked_for() -> None:
    scripts = ROOT / "blnk_relay" / "journal" / "scripts"
    calls = re.compile(r"redis\.p?call\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?")
    # Of most the second word is no part of the command.
    used = {
        f"{name} {second}" if name in ("XGROUP", "XINFO") else name
        for path in scripts.glob("*.lua")
        for name, second in calls.findall(path.read_text(encoding="utf-8"))
    }
    assert used - NOT_ASKED == {*COMMANDS, READ_GROUP}


def test_a_newer_shape_is_told_to_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "NEWEST", shape.NEWEST + 1)
    assert journals.known_shape(JOURNAL).level is WARN
    assert "blnk-relay upgrade" in journals.known_shape(JOURNAL).mend
    found = journals.programs(JOURNAL)
    assert (found.level, f"do not know shape {shape.NEWEST}" in found.saw) == (WARN, True)


def test_every_check_is_asked_and_what_is_dead_is_asked_no_more() -> None:
    facts = Facts(SETTINGS, (server(),), {}, (JOURNAL,), (TARGET,), BROKER, files=1024)
    well = findings(facts)
    assert {finding.level for finding in well} == {WELL}
    assert len(well) >= 20
    dead = replace(
        facts,
        servers=(replace(SILENT, failure="away"),),
        journals=(JournalVitals("default", failure="away"),),
        broker=replace(BROKER, failure="away"),
        strays_failure="away",
    )
    told = {(finding.check, finding.level) for finding in findings(dead) if finding.level is not WELL}
    assert told == {("answers", FAIL), ("journal", FAIL), ("bells", FAIL), ("strays", BLIND)}


def test_of_a_journal_whose_shape_is_unknown_nothing_more_is_said() -> None:
    facts = Facts(SETTINGS, journals=(JournalVitals("default", shape="7"),), files=1024)
    told = [finding.check for finding in findings(facts) if finding.of == "target default"]
    assert told == ["journal", "shape", "identity"]


def test_the_servers_of_journals_are_looked_at_more_closely_than_that_of_bells() -> None:
    settings = replace(SETTINGS, broker_url="redis://elsewhere:6379/0", targets=(Target(name="eu"),))
    servers = (server(), replace(server(), variable="BLNK_RELAY_BROKER_URL"))
    told = findings(Facts(settings, servers, files=1024))
    by_server = {
        name: {one.check for one in told if one.of == f"BLNK_RELAY_{name}_URL"} for name in ("REDIS", "BROKER")
    }
    assert by_server["BROKER"] == {"answers", "version"}
    assert by_server["REDIS"] == {
        "answers", "version", "persistence", "eviction", "memory", "replicas", "clock"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "code"), [((WELL, WARN), 0), ((WELL, BLIND), 3), ((BLIND, FAIL), 1), ((), 0)], ids=str
)
def test_the_exit_code_says_whether_the_promise_holds(levels: tuple[Level, ...], code: int) -> None:
    assert exit_code(Finding("c", "of", level, "looked", "saw") for level in levels) == code


def test_every_link_leads_to_a_heading_that_is_there() -> None:
    links = {find().link for find, level, _ in CASES if level is not WELL} - {"docs"}
    assert len(links) > 5
    for link in links:
        name, _, anchor = link.partition("#")
        page = (ROOT / name).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in page.splitlines()
            if line.startswith("#")
        }
        assert not anchor or anchor in headings, link


@pytest.mark.parametrize(
    ("find", "sort"),
    [
        (lambda: journals.programs(replace(JOURNAL, programs=())), "no-worker"),
        (lambda: journals.programs(mixed("1.0", "1.1")), "versions-mixed"),
        (lambda: journals.gates(journal(gates=(gate("paused"),))), "target-refuses"),
        (lambda: journals.gates(journal(gates=(gate("unreachable"),))), "target-unreachable"),
        (lambda: journals.gates(journal(gates=(gate("paused", manual=True),))), "target-paused"),
        (lambda: journals.letters(journal(dead=4)), "dead-letters"),
        (lambda: journals.readable(replace(JOURNAL, failure="Redis is away")), "journal-away"),
    ],
)
def test_what_status_has_a_verdict_for_leads_to_its_part_of_the_page_of_operations(find, sort) -> None:
    assert find().link == f"docs/operations.md#{sort}"
