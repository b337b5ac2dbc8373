"""Whether a server can keep a journal or carry bells: judged by what it says of itself, at start and at first use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from blnk_relay.address import CLUSTER, RedisAddress
from blnk_relay.environment import PREFIX
from blnk_relay.errors import NotDurable, UnsuitableServer
from blnk_relay.journal.flows import Flow, Run
from blnk_relay.log import LESS_DURABLE, tell
from blnk_relay.settings import Settings

_log = logging.getLogger(__name__)

_URL = f"{PREFIX}REDIS_URL"

#: Scripts with flags came with the first, WAITAOF with the second.
OLDEST = (7, 0)
_WITH_WAITAOF = (7, 2)

_NO_CLUSTER = (
    "which Celery cannot use as a broker, because its keys lie in several slots: give the address of another Redis or "
    "Valkey without cluster mode (cluster-enabled no)"
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What speaks against a server.

    Attributes:
        refusals: Why it cannot be used at all.
        warnings: What could be lost on it.
    """

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def facts_of(info: str) -> dict[str, str]:
    """The text of INFO as pairs.

    Example:
        >>> facts_of("redis_version:7.2.4")
        {'redis_version': '7.2.4'}
    """
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line and not line.startswith("#"))


def judge(settings: Settings, facts: Mapping[str, str], address: RedisAddress | None = None) -> Judgement:
    """Judge the server of the journal.

    Args:
        settings: What is asked of it.
        facts: What it says of itself, as far as it does; what it keeps to itself is not held against it.
        address: Where it is; that of most journals when None.
    """
    place = address or settings.redis_address("REDIS_URL", settings.redis_url)
    refusals, warnings = [], []
    version = version_of(facts)
    if version and version < OLDEST:
        refusals.append(too_old(facts["redis_version"], place.variable))
    by_cluster = place.asks == CLUSTER
    if facts.get("cluster_enabled") == "1" and not by_cluster:
        refusals.append(is_cluster(place.variable))
    if facts.get("cluster_enabled") == "0" and by_cluster:
        refusals.append(not_a_cluster(place.variable))
    if facts.get("maxmemory", "0") != "0" and (policy := facts.get("maxmemory_policy", "noeviction")) != "noeviction":
        warnings.append(f"maxmemory-policy is {policy}: Redis may evict intents; set it to noeviction")
    if facts.get("aof_enabled") == "0":
        warnings.append("the append-only file is off: a restart of Redis loses intents; set appendonly yes")
    if unreachable := out_of_reach(settings, facts):
        warnings.append(f"{PREFIX}DURABILITY is {settings.durability}, which is out of reach: {unreachable}")
    return Judgement(tuple(refusals), tuple(warnings))


def out_of_reach(settings: Settings, facts: Mapping[str, str]) -> str:
    """Why no receipt can have the durability of the settings; empty where it can, or nothing is known."""
    version = version_of(facts)
    kind, _, replicas = settings.durability.partition(":")
    if kind == "fsync":
        if facts.get("aof_enabled") == "0":
            return "the server has no append-only file; set appendonly yes"
        if version and version < _WITH_WAITAOF:
            return f"Redis {facts['redis_version']} does not know WAITAOF, which came with 7.2"
    if kind == "replicated" and int(facts.get("connected_slaves", replicas)) < int(replicas):
        return f"the server has {facts['connected_slaves']} replicas"
    return ""


def version_of(facts: Mapping[str, str]) -> tuple[int, ...]:
    """Valkey says here which Redis it is like."""
    try:
        return tuple(int(part) for part in facts.get("redis_version", "").split(".")[:2])
    except ValueError:
        return ()


def too_old(version: str, variable: str = _URL) -> str:
    """The sentence about a server without script flags."""
    return (
        f"the Redis of {variable} is too old{f' ({version})' if version else ''}: workers need script flags, "
        "which came with Redis 7.0 and are in every Valkey"
    )


def broker_on_cluster() -> str:
    """The sentence about a broker whose address leads to a node of a cluster."""
    return f"{PREFIX}BROKER_URL leads to a Redis Cluster, {_NO_CLUSTER}"


def is_cluster(variable: str = _URL) -> str:
    """The sentence about a plain address that leads to a node of a cluster."""
    return (
        f"{variable} leads to a Redis Cluster: write redis+cluster://<host>:<port>,<host>:<port>, so that the journal "
        "is found there"
    )


def not_a_cluster(variable: str = _URL) -> str:
    """The sentence about the address of a cluster that leads to a server which is none."""
    return (
        f"{variable} is written for a Redis Cluster, and leads to a server without cluster mode: write "
        "redis://<host>:<port>/<database>"
    )


def check_flow(settings: Settings, address: RedisAddress, broker_is_cluster: Callable[[], bool]) -> Flow[list[str]]:
    """See :meth:`blnk_relay.journal.journal.Journal.check_server`."""
    judgement = judge(settings, facts_of((yield Run("server", ()))), address)
    refusals = judgement.refusals or ((broker_on_cluster(),) if broker_is_cluster() else ())
    if refusals:
        raise UnsuitableServer("; ".join(refusals))
    return list(judgement.warnings)


class FirstUse:
    """Looks at the server of the journal before a producer's first intent, and says once what is amiss with receipts.

    Args:
        settings: What is asked of it.
        address: Where it is.
    """

    def __init__(self, settings: Settings, address: RedisAddress | None = None) -> None:
        self._settings = settings
        self._address = address
        self._looked = False

    @property
    def due(self) -> bool:
        """Whether nobody has looked yet."""
        return not self._looked

    def flow(self) -> Flow[None]:
        """Look.

        Raises:
            UnsuitableServer: It cannot keep a journal.
        """
        judgement = judge(self._settings, facts_of((yield Run("server", ()))), self._address)
        if judgement.refusals:
            raise UnsuitableServer("; ".join(judgement.refusals))
        self._looked = True

    def weigh(self, durability: str) -> None:
        """Compare the durability that receipts have reached with that of the settings.

        Raises:
            NotDurable: It is less, and the settings are strict about it.
        """
        asked = self._settings.durability
        if is_enough(asked, durability):
            return
        if self._settings.durability_strict:
            raise NotDurable(asked, durability)
        if _first(asked):
            told = (
                f"a receipt has durability {durability} instead of {asked}: Redis did not reach it within "
                f"{PREFIX}DURABILITY_TIMEOUT_S; {PREFIX}DURABILITY_STRICT makes that an error. This is said once."
            )
            tell(_log, LESS_DURABLE, why=told)


def is_enough(asked: str, reached: str) -> bool:
    """Whether a durability is what was asked for, or more.

    Example:
        >>> is_enough("replicated:1", "replicated:2"), is_enough("fsync", "memory")
        (True, False)
    """
    if asked in ("memory", reached):
        return True
    kind, _, number = reached.partition(":")
    wanted, _, least = asked.partition(":")
    return kind == wanted == "replicated" and int(number) >= int(least)


_said: set[str] = set()
_said_lock = threading.Lock()


def _first(what: str) -> bool:
    """Whether something is to be said for the first time in this process."""
    with _said_lock:
        new = what not in _said
        _said.add(what)
    return new
