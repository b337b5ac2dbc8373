"""The staircase of the house: who may import whom. Arrows go down or along a floor, and never round in a circle.

Every import counts: at the head of a module, inside a function, and for types alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from blnk_relay.kinds.registry import KINDS

ROOT = Path(__file__).parents[2]

#: From the cellar up: modules, and packages with all that is in them.
FLOORS = (
    # What a producer installs.
    "blnk_relay._version blnk_relay.text blnk_relay.money blnk_relay.errors blnk_relay.address "
    "blnk_relay.service_links blnk_relay.environment blnk_relay.encryption blnk_relay.log",
    "blnk_relay.intents",
    "blnk_relay.schema",
    "blnk_relay.families",
    "blnk_relay.kinds",
    "blnk_relay.replay blnk_relay.targets blnk_relay.settings",
    "blnk_relay.history",
    "blnk_relay.transport",
    "blnk_relay.bell",
    "blnk_relay.journal",
    "blnk_relay.audit",
    "blnk_relay.intake",
    "blnk_relay.catalogue",
    "blnk_relay.relay blnk_relay.aio",
    "blnk_relay",
    # A stand-in for the ledger, which knows nothing of the relay.
    "blnk_relay.sandbox.money blnk_relay.sandbox.ids blnk_relay.sandbox.clock blnk_relay.sandbox.options "
    "blnk_relay.sandbox.errors",
    "blnk_relay.sandbox.http",
    "blnk_relay.sandbox.faults",
    "blnk_relay.sandbox.books",
    "blnk_relay.sandbox.core",
    "blnk_relay.sandbox.tables",
    "blnk_relay.sandbox.routes",
    "blnk_relay.sandbox.edge",
    "blnk_relay.sandbox.instance",
    "blnk_relay.sandbox.admin blnk_relay.sandbox.app",
    "blnk_relay.sandbox.server",
    "blnk_relay.sandbox blnk_relay.sandbox.__main__ blnk_relay.sandbox.pytest_plugin",
    # What runs on workers and on operators' machines.
    "tasks",
    "worker.ledger",
    "worker",
    "worker.demo",
    "worker.cli",
    "worker.console",
)

#: Packages whose name stands for themselves alone: each module in them has a floor of its own.
ALONE = frozenset({"blnk_relay", "blnk_relay.sandbox"})

#: Who starts a sandbox, or compares with its books.
SEES_THE_SANDBOX = ("worker.cli.services", "worker.demo.")

#: Who speaks with Redis. Besides the journal and the transport: the channel that Celery is given for its own, and what
#: starts a server for the demo.
AT_REDIS = ("blnk_relay.journal.", "blnk_relay.transport.", "worker.broker", "worker.demo.valkey")

#: How a client is reached, and what keys are made with.
CLIENTS = frozenset({"client", "scripts", "conn_or_acquire", "connection_pool"})
OF_KEYS = frozenset({"key", "prefix", "drive"})

#: Modules of ``kinds`` that are no kind.
NO_KIND = frozenset({"__init__", "registry"})


def modules() -> dict[str, str]:
    """The source of every module of the product, by name."""
    found = {}
    for path in (path for package in ("blnk_relay", "tasks", "worker") for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def arrows(sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every import of one of these modules by another."""
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name} imports by a relative name, which this map does not read"
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                wanted = [one if one in sources else str(node.module) for one in full]
            else:
                continue
            yield from ((name, one) for one in wanted if one in sources and one != name)


def reaching(sources: Mapping[str, str]) -> list[str]:
    """Every line outside that uses a client of Redis, or builds a key."""
    found = []
    for name, source in sources.items():
        if name.startswith(AT_REDIS):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                used = any(alias.name.partition(".")[0] == "redis" for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                # What its client raises, the broker's raises as well.
                used = str(node.module).partition(".")[0] == "redis" and node.module != "redis.exceptions"
            elif isinstance(node, ast.Attribute):
                called = node.value.func if isinstance(node.value, ast.Call) else node.value
                owner = ast.unparse(called).rpartition(".")[2].lstrip("_")
                used = node.attr in CLIENTS or (node.attr in OF_KEYS and owner in ("journal", "settings"))
            else:
                continue
            if used:
                found.append(f"{name}:{node.lineno}")
    return found


def circle(sources: Mapping[str, str]) -> list[str]:
    """One circle of imports; empty where there is none."""
    graph: dict[str, set[str]] = {name: set() for name in sources}
    for here, there in arrows(sources):
        graph[here].add(there)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def floor_of(module: str) -> int | None:
    """How high a module stands; None where the plan has no place for it."""
    plan = {name: height for height, names in enumerate(FLOORS) for name in names.split()}
    name = module
    while name not in plan or (name in ALONE and name != module):
        if "." not in name:
            return None
        name = name.rpartition(".")[0]
    return plan[name]


def climbing(sources: Mapping[str, str]) -> list[str]:
    """Every import of something that stands above."""
    return [f"{here} -> {there}" for here, there in arrows(sources) if (floor_of(here) or 0) < (floor_of(there) or 0)]


def test_every_module_has_a_floor():
    assert [module for module in modules() if floor_of(module) is None] == []


def test_no_import_climbs():
    assert climbing(modules()) == []


def test_nobody_but_the_journal_and_the_transport_asks_redis_or_builds_a_key():
    assert reaching(modules()) == []


def test_a_client_of_redis_and_a_key_are_seen():
    lines = ("import redis", "from redis.client import Pipeline", "journal.client.get('x')", "relay.journal().key('x')")
    more = ("f'{settings.prefix}events'", "self._journal.scripts.run('now')", "channel.conn_or_acquire()")
    for line in (*lines, *more):
        assert reaching({"worker.novelty": line}) == ["worker.novelty:1"], line
    for line in ("from redis.exceptions import RedisError", "self.prefix = '/proxy'", "write.key"):
        assert reaching({"worker.novelty": line}) == [], line


def test_no_imports_go_round_in_a_circle():
    assert circle(modules()) == []


def test_the_sandbox_and_the_relay_do_not_know_each_other():
    crossing = []
    for here, there in arrows(modules()):
        inside = [name.startswith("blnk_relay.sandbox") for name in (here, there)]
        if inside[0] != inside[1] and not (inside[1] and here.startswith(SEES_THE_SANDBOX)):
            crossing.append(f"{here} -> {there}")
    assert crossing == []


def test_what_a_producer_installs_needs_no_worker():
    sources = modules()
    tops = {there.partition(".")[0] for here, there in arrows(sources) if here.startswith("blnk_relay")}
    assert tops == {"blnk_relay"}


def test_a_kind_is_found_by_its_name():
    files = {path.stem for path in (ROOT / "blnk_relay" / "kinds").glob("*.py")} - NO_KIND
    assert files == {name.replace(".", "_") for name in KINDS}
    pages = {path.stem for path in (ROOT / "docs" / "kinds").glob("*.md")} - {"README"}
    assert pages == set(KINDS)


def test_a_map_with_a_climbing_arrow_or_a_circle_is_seen():
    sources = {
        "blnk_relay.intents.rows": "def late():\n    from blnk_relay.kinds import registry\n",
        "blnk_relay.kinds.registry": "",
    }
    assert climbing(sources) == ["blnk_relay.intents.rows -> blnk_relay.kinds.registry"]
    assert circle(sources) == []
    sources["blnk_relay.kinds.registry"] = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import blnk_relay.intents.rows\n"
    )
    assert set(circle(sources)) == set(sources)
    assert floor_of("blnk_relay.novelty") is None
    assert floor_of("tasks.deliver.part") == floor_of("tasks")
