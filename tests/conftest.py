"""What tests share: a real Valkey, a journal on it, and whole stages with workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from blnk_relay import Operator, Relay, Settings
from blnk_relay.journal.journal import Journal
from worker.demo.stage import Stage

# A shell that starts tests in the background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What they assert is told as fully as what tests do.
pytest.register_assert_rewrite("tests.support.journal_machine")

INTEGRATION = Path(__file__).parent / "integration"

#: The files of tests that wait longest, the longest first.
SLOWEST = (
    "many_ledgers",
    "sentinel",
    "three_in_the_morning",
    "readme",
    "posting",
    "cluster",
    "promotions",
    "own_ground",
    "lost_tail",
    "worker_life",
    "crashes",
    "slow_reads",
    "chain",
    "demo",
    "proof",
    "audit",
    "cli_running",
    "metrics",
    "simulated",
    "journal_machine",
    "unreachable",
    "full_server",
    "neighbours",
    "bulk_inflight",
    "secrecy",
    "kind_faults",
    "writes",
    "bulk_and_split",
    "new_kind",
    "oauth",
    "tls",
)


def turn_of(item: pytest.Item) -> int:
    """When a test should begin: what waits for others first, so that what only computes fills up the end."""
    if not item.path.is_relative_to(INTEGRATION):
        return len(SLOWEST) + 1
    name = item.path.stem.removeprefix("test_")
    return SLOWEST.index(name) if name in SLOWEST else len(SLOWEST)


#: Files whose tests share a stage that is made once in a process.
STAGED = frozenset(
    {
        "readme",
        "posting",
        "posting_choices",
        "lost_tail",
        "targets",
        "writes",
        "proof",
        "audit",
        "core_target",
        "wheels",
        "cluster",
        "tls",
        "fidelity",
        "cli_costs",
        "console_browser",
        "operations",
        "three_in_the_morning",
    }
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give out by the file what is quick or shares a stage, and one by one what waits."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByTurns(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = Path(nodeid.partition("::")[0])
            alone = INTEGRATION.name in path.parts and path.stem.removeprefix("test_") not in STAGED
            return nodeid if alone else str(path)

    return ByTurns(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests in the order in which several processes are through with them soonest (``make test``)."""
    items.sort(key=turn_of)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Any]:
    """An embedded Valkey for the whole run; whoever uses it empties it first."""
    from worker.demo.valkey import start_valkey

    server = start_valkey()
    yield server
    server.stop()


@pytest.fixture
def settings(valkey: Any) -> Settings:
    """Settings with a journal of their own, empty."""
    with redis.Redis(port=valkey.port) as client:
        client.flushall()
    return Settings(redis_url=f"redis://127.0.0.1:{valkey.port}/0")


@pytest.fixture
def relay(settings: Settings) -> Iterator[Relay]:
    """A relay on an empty journal, without any worker."""
    with Relay(settings) as running:
        yield running


@pytest.fixture
def journal(settings: Settings) -> Iterator[Journal]:
    """An empty journal."""
    opened = Journal(settings)
    yield opened
    opened.close()


@pytest.fixture
def make_stage() -> Iterator[Any]:
    """Makes stages (a Valkey, a sandbox, workers) that are gone after the test."""
    with ExitStack() as stack:
        yield lambda **arguments: stack.enter_context(Stage(**arguments))


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    """A stage with a ledger that behaves, and no worker yet."""
    running: Stage = make_stage()
    return running


@pytest.fixture
def operator(relay: Relay) -> Operator:
    """An operator's hands on it."""
    return Operator(relay.journals, relay.bells)
