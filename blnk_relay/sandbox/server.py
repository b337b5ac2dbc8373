"""Running a sandbox: in a thread of this process as a context manager, or for ever in the foreground."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from blnk_relay.sandbox.clock import SECOND_NS
from blnk_relay.sandbox.faults.plans import Faults
from blnk_relay.sandbox.instance import Instance
from blnk_relay.sandbox.options import DEFAULT_SCOPES, Options

if TYPE_CHECKING:
    from blnk_relay.sandbox.app import Application
    from blnk_relay.sandbox.books.frozen import Books
    from blnk_relay.sandbox.edge.exchange import RequestSeen

#: Starting, stopping and every call into the sandbox's thread give up after this.
CALL_TIMEOUT_S = 30.0

_T = TypeVar("_T")


class SandboxError(RuntimeError):
    """The sandbox could not be started or does not answer."""


class Sandbox:
    """A stand-in for Blnk Cloud and Core on a port of its own, in memory.

    Use it as a context manager. Its methods may be called from any thread.

    Args:
        options: What it is like.
        faults: What goes wrong; nothing by default.
        host: Where to listen.
        port: On which port; 0 lets the system choose.
        upstream: Base URL of a running Core: the sandbox is then only the edge in front of it.

    Example:
        >>> with Sandbox() as sandbox:
        ...     sandbox.url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(
        self,
        options: Options | None = None,
        faults: Faults | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        upstream: str | None = None,
    ) -> None:
        self._upstream = upstream
        self._instance = Instance(options or Options(), faults)
        self._host = host
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._application: Application | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def options(self) -> Options:
        """What it is like at the moment."""
        return self._instance.core.options

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end.

        Raises:
            SandboxError: It is not running.
        """
        if self._loop is None:
            raise SandboxError("the sandbox is not running; use it as a context manager")
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Listen, in a thread of its own.

        Raises:
            SandboxError: It cannot listen, or runs already.
        """
        if self._thread is not None:
            raise SandboxError("a sandbox can be started once")
        self._thread = threading.Thread(target=self._run, name="blnk-sandbox", daemon=True)
        self._thread.start()
        if not self._started.wait(CALL_TIMEOUT_S) or self._failure is not None:
            raise SandboxError(f"the sandbox did not start: {self._failure}") from self._failure

    def stop(self) -> None:
        """Close everything and wait for the thread; harmless when it does not run."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(CALL_TIMEOUT_S)
        self._loop = None

    def books(self) -> Books:
        """A frozen copy of the books."""
        return self._call(self._instance.books)

    def step(self, seconds: float) -> int:
        """Move the clock ahead and run what falls due; returns how many callbacks ran.

        Works with the real clock too: it jumps, and goes on from there.
        """
        return self._call(lambda: self._instance.core.clock.step(seconds))

    def now_s(self) -> float:
        """The time on the sandbox's clock, in seconds since 1970."""
        return self._call(self._instance.core.clock.now_ns) / SECOND_NS

    def set_faults(self, faults: Faults) -> None:
        """Replace the plan of faults."""

        def replace() -> None:
            self._instance.edge.faults = faults

        self._call(replace)

    def set_switches(self, **changes: Any) -> Options:
        """Change options by name; see :class:`Options`.

        Raises:
            ValueError: An unknown name, one that is fixed from the start, or a wrong type.
        """
        return self._call(lambda: self._instance.switch(changes))

    def requests_seen(self) -> tuple[RequestSeen, ...]:
        """The last 10,000 requests, oldest first."""
        return self._call(lambda: tuple(self._instance.edge.log))

    def create_balance(self, currency: str, indicator: str = "") -> str:
        """A new balance in the General Ledger; returns its id."""
        return self._call(lambda: self._instance.create_balance(currency, indicator))

    def fund(self, name: str, currency: str, precise_amount: int) -> str:
        """Put minor units on a balance (an id or an ``@indicator``); returns the APPLIED row's id."""
        return self._call(lambda: self._instance.fund(name, currency, precise_amount))

    def crash(self) -> int:
        """Restart Core: what was answered but not stored yet is lost; returns how many (contract §3.3)."""
        return self._call(self._instance.core.crash)

    def lose_queue(self) -> int:
        """Lose Core's Redis and all that waits there; returns how many tasks and dates (contract §14.5)."""
        # Looked up when it runs: a reset puts another core in its place.
        return self._call(lambda: self._instance.core.lose_queue())  # noqa: PLW0108

    def release_archived(self) -> int:
        """Delete archived commits and voids; returns how many (contract §3.8)."""
        return self._call(self._instance.release_archived)

    def login(self, scopes: Sequence[str] = DEFAULT_SCOPES) -> str:
        """A code as a browser login at ``/oauth/authorize`` yields it, for ``POST /oauth/token``."""
        return self._call(lambda: self._instance.core.oauth.new_code(scopes))

    def revoke_tokens(self) -> None:
        """Let no access token and no refresh token of OAuth work any more."""
        # Looked up when it runs: a reset puts another core in its place.
        self._call(lambda: self._instance.core.oauth.revoke_all())  # noqa: PLW0108

    def reset(self) -> None:
        """Empty the books and the log."""
        self._call(self._instance.reset)

    def _call(self, function: Callable[[], _T]) -> _T:
        """Run a function on the sandbox's thread, or here when it does not run."""
        if self._loop is None:
            return function()

        async def run() -> _T:
            result = function()
            if self._application is not None:
                self._application.wake()
            return result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(CALL_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the start
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from blnk_relay.sandbox.app import Application

        self._application = Application(self._instance, self._upstream)
        self._stop = asyncio.Event()
        try:
            self._port = await self._application.start(self._host, self._port)
            self._loop = asyncio.get_running_loop()
            self._started.set()
            await self._stop.wait()
        finally:
            await self._application.stop()


def serve_forever(
    options: Options | None = None,
    faults: Faults | None = None,
    host: str = "127.0.0.1",
    port: int = 5010,
    on_ready: Callable[[str], None] | None = None,
    *,
    upstream: str | None = None,
) -> None:
    """Run a sandbox in the foreground until SIGINT or SIGTERM.

    Args:
        options: What it is like.
        faults: What goes wrong.
        host: Where to listen.
        port: On which port; 0 lets the system choose.
        on_ready: Called with the base URL once it listens.
        upstream: Base URL of a running Core: the sandbox is then only the edge in front of it, and sends
            it ``Options.core_key`` as its key.

    Raises:
        OSError: The port is taken.
    """
    from blnk_relay.sandbox.app import Application

    application = Application(Instance(options or Options(), faults), upstream)
    asyncio.run(_serve_until_signal(application, host, port, on_ready))


async def _serve_until_signal(
    application: Application, host: str, port: int, on_ready: Callable[[str], None] | None
) -> None:
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        bound = await application.start(host, port)
        if on_ready is not None:
            on_ready(f"http://{host}:{bound}")
        await stop.wait()
    finally:
        await application.stop()
