"""The connection to Redis: bounded in time, with our scripts, and with errors of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from blnk_relay.address import RedisAddress
from blnk_relay.errors import JournalFull, JournalUnavailable, UnsuitableServer
from blnk_relay.journal.refusals import URL, told
from blnk_relay.journal.server import is_cluster, not_a_cluster, too_old
from blnk_relay.journal.shape import other_shape
from blnk_relay.settings import Settings
from blnk_relay.transport.finding import Finder, NotACluster, SlotAway, connection_class
from blnk_relay.transport.roomy import RoomyRedis
from blnk_relay.transport.sockets import NotWritable, first_word

#: First words of an answer that refuses for want of memory: the server's, and that of accept.lua below the limit.
_FULL = frozenset({"OOM", "JOURNALFULL"})

#: First words of what a node of a cluster answers to those who came by a plain address.
_OF_CLUSTERS = frozenset({"MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT", "TRYAGAIN"})


def pool_options(settings: Settings, address: RedisAddress, prefix: str = "") -> dict[str, Any]:
    """What a pool of connections is made with, async or not: every wait is bounded, for a connection as well.

    A dropped connection is tried once more at once, which is safe: every script either repeats without effect or
    leaves a lease that lapses. A timeout is not, so that a stuck server is reported within the timeout.

    Args:
        settings: The bounds.
        address: The place.
        prefix: First part of the keys that are meant, by which a node of a cluster is found.
    """
    return {
        **address.client_options(),
        **({"finder": Finder(address, prefix)} if address.asks else {}),
        "decode_responses": True,
        "max_connections": settings.redis_connections,
        "timeout": settings.redis_timeout_s,
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "health_check_interval": 0,
        "client_name": "blnk-relay",
        # What redis-py would say of itself, without looking for itself among all that is installed.
        "driver_info": DriverInfo(lib_version=redis.__version__),
    }


def connect(settings: Settings, address: RedisAddress, prefix: str = "") -> redis.Redis:
    """A client whose every wait is bounded; a burst of calls waits for its connections.

    Args:
        settings: The bounds.
        address: Where the server is.
        prefix: See :func:`pool_options`.
    """
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
        connection_class=connection_class(address), retry=retry, **pool_options(settings, address, prefix)
    )
    return RoomyRedis.from_pool(pool)


@contextmanager
def reported(doing: str = "", variable: str = URL) -> Iterator[None]:
    """Turn errors of Redis into ours.

    Args:
        doing: The script that is run; empty for a plain read.
        variable: The setting that says where the server is.
    """
    try:
        yield
    except RedisError as error:
        raise unavailable(error, doing, variable) from error


def unavailable(error: RedisError, doing: str = "", variable: str = URL) -> JournalUnavailable:
    """An error of Redis as ours; see :func:`reported`."""
    if isinstance(error, NotACluster):
        return UnsuitableServer(not_a_cluster(variable))
    word = first_word(error)
    if word in _FULL:
        return JournalFull()
    if word in _OF_CLUSTERS and not isinstance(error, SlotAway | NotWritable):
        return UnsuitableServer(is_cluster(variable))
    if word == "OTHERSHAPE":
        # The error of an answer is its text.
        _, found, prefix = str(error).split(" ", 2)
        return other_shape(found, prefix)
    if "compiling script" in str(error):
        return UnsuitableServer(too_old("", variable))
    return JournalUnavailable(told(error, doing, variable))


def broker_is_cluster(settings: Settings) -> bool:
    """Whether the broker is a server of its own, and says that it is a node of a cluster."""
    broker = settings.broker_address
    if not isinstance(broker, RedisAddress) or any(
        broker == settings.journal_address(name) for name in settings.ledgers
    ):
        return False
    client = connect(settings, broker)
    try:
        facts: Any = client.info("cluster")
    except RedisError:
        return False  # who cannot be reached, or may not be asked, is met by Celery
    finally:
        client.close()
    return bool(facts.get("cluster_enabled"))
