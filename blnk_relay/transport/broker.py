"""The way to the Celery broker: kombu's Redis transport on our connections, which also works at ``maxmemory``.

Other brokers are reached by kombu's transports for them, with what those have to be told. Imported where Celery is
needed and no earlier, because it costs a producer that rings nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from celery import Celery
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

from blnk_relay.address import BrokerAddress, RedisAddress
from blnk_relay.settings import Settings
from blnk_relay.transport import amqp
from blnk_relay.transport.finding import Finder, finding
from blnk_relay.transport.roomy import RoomyRedis
from blnk_relay.transport.sockets import careful

#: What stands for ``redis`` in the URLs of our own Celery applications.
_SCHEME = "blnkrelay"


class Channel(kombu_redis.Channel):
    """Safe from signals, not kept to a server that takes no writes, and carried where there is no room.

    Bells are what makes workers finish the work that there is, and a queue holds a few of them.
    """

    from_transport_options = (*kombu_redis.Channel.from_transport_options, "relay_address")

    #: Where the broker is, for one that has to be found; by the transport options.
    relay_address: RedisAddress | None = None

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        found["connection_class"] = careful(found["connection_class"])
        if (address := self.relay_address) is not None and address.asks:
            found |= {"connection_class": finding(found["connection_class"], address), "finder": Finder(address)}
        return found

    def _get_client(self) -> type[redis.Redis]:
        return RoomyRedis


class Transport(kombu_redis.Transport):
    """Celery knows it by the scheme of :func:`url_for_celery`."""

    Channel = Channel


TRANSPORT_ALIASES[_SCHEME] = f"{__name__}:{Transport.__name__}"


def url_for_celery(settings: Settings) -> str:
    """The broker's URL for a Celery application of ours; others take ``settings.broker``, which is plain Celery's."""
    address = settings.broker_address
    if isinstance(address, BrokerAddress):
        return address.broker_url("" if address.scheme == "sqs" else amqp.SCHEME)
    return address.broker_url(_SCHEME)


def configuration(settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """What every Celery application of ours is told about the broker.

    Args:
        settings: The settings.
        options: Of its transport.
    """
    return {
        "broker_transport_options": dict(options),
        "broker_connection_timeout": settings.redis_timeout_s,
        "broker_pool_acquire_timeout": settings.redis_timeout_s,
        "task_ignore_result": True,
    }


class Application(Celery):
    """A Celery application of ours, which speaks to the broker of the settings and to no other.

    Celery itself goes by ``CELERY_BROKER_URL`` and its kin first, which many images set for an application beside us.
    So it does for results, which nothing of ours has, and for how settings are loaded.

    Args:
        name: For people.
        settings: The settings.
        given: As Celery takes it.
    """

    backend_cls: Any = "disabled://"

    def __init__(self, name: str, settings: Settings, **given: Any) -> None:
        self._broker = url_for_celery(settings)
        super().__init__(name, broker=self._broker, loader="app", **given)

    def connection_for_read(self, url: str | None = None, **given: Any) -> Connection:
        """A connection to listen on."""
        return super().connection_for_read(url or self._broker, **given)

    def connection_for_write(self, url: str | None = None, **given: Any) -> Connection:
        """A connection to publish on."""
        return super().connection_for_write(url or self._broker, **given)
