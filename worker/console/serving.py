"""Serving the console by itself, with uvicorn, until it is stopped."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from blnk_relay.journal.journals import Journals
from worker.console.app import Console
from worker.console.guard import carried
from worker.console.settings import TOKEN, ConsoleSettings
from worker.console.signin.token import digest, drawn
from worker.console.wire import Wire

#: How long what is under way has to end, once it is told to stop.
_STOP_S = 3


class _Server(uvicorn.Server):
    """A server that ends as it was told to, rather than by the signal that told it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gently at the first signal."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {sort: signal.signal(sort, self.handle_exit) for sort in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sort, handler in former.items():
                signal.signal(sort, handler)


def bound(settings: ConsoleSettings) -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        OSError: The port is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With its protocol named, which asyncio looks at: else a page waits 40 ms for the browser to confirm its head.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((settings.host, settings.port))
        made.listen(128)
    except OSError:
        made.close()
        raise
    return made


def server(console: ASGIApp, settings: ConsoleSettings) -> uvicorn.Server:
    """A server of the console, which believes no header about where a request comes from.

    Args:
        console: The console, or what it is mounted in.
        settings: Its settings.
    """
    return _Server(
        uvicorn.Config(
            console,
            root_path=urlsplit(settings.url).path.rstrip("/"),
            proxy_headers=False,
            server_header=False,
            date_header=True,
            access_log=False,
            log_config=None,
            lifespan="off",
            http=cast("Any", partial(Wire, headers=carried(settings))),
            ws="none",
            timeout_keep_alive=10,
            timeout_graceful_shutdown=_STOP_S,
        )
    )


def serve(journals: Journals, settings: ConsoleSettings, *, holder: str, ready: Callable[[str, str], None]) -> None:
    """Serve until it is told to stop.

    Args:
        journals: Those of all targets.
        settings: The console's.
        holder: The name of whoever has the printed token.
        ready: Told where browsers find it, and the token; the token is empty where nobody signs in with one.

    Raises:
        OSError: It cannot listen there.
    """
    listening = bound(settings)
    token = drawn() if settings.sign_in == TOKEN else ""
    console = Console(journals, settings, printed=digest(token) if token else "", holder=holder)
    try:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        ready(settings.url or f"http://{host}:{listening.getsockname()[1]}", token)
        server(console, settings).run(sockets=[listening])
    finally:
        console.close()
        listening.close()
