"""What the demo plays on: an embedded Valkey with its append-only file on, a sandbox with faults, worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from blnk_relay import InvalidSettings, Settings

TOKEN = "blnk_demo"  # noqa: S105 - the sandbox's own, of no worth
INSTANCE = "inst_demo"

#: Longest wait for a worker to stop by itself.
STOP_S = 15.0

#: The demo plays hours of trouble in seconds: lags and horizons are those of its sandbox, not of a real ledger.
HASTE: dict[str, Any] = {
    "connect_timeout_s": 2.0,
    "read_timeout_s": 3.0,
    "sync_read_timeout_s": 3.0,
    "lease_s": 9.0,
    "dead_worker_s": 2.5,
    "sweep_s": 0.5,
    "slice_s": 1.0,
    "confirm_first_s": 0.2,
    "confirm_max_s": 1.0,
    "read_lag_s": 2.5,
    "quiet_s": 1.5,
    "probe_s": 1.0,
    "retry_base_s": 0.2,
    "retry_cap_s": 2.0,
    "horizon_s": 30.0,
    "stuck_horizon_s": 60.0,
}


class Stage:
    """A Valkey, a sandbox and workers of our own; everything is gone at the end.

    Args:
        faults: A plan of :class:`blnk_relay.sandbox.Faults`, or None for a ledger that behaves.
        options: Options of :class:`blnk_relay.sandbox.Options`.
        pool: Celery pool of the workers.
        settings: Fields that win over those of the demo.

    Raises:
        InvalidSettings: The extra ``sandbox`` is not installed.
    """

    def __init__(
        self, *, faults: Any = None, options: Any = None, pool: str = "threads", settings: dict[str, Any] | None = None
    ) -> None:
        try:
            from blnk_relay.sandbox import Options, Sandbox
            from worker.demo.valkey import start_valkey
        except ImportError as error:
            raise InvalidSettings(f"the demo needs the extra 'sandbox' (blnk-relay[sandbox]): {error}") from None
        self._folder = tempfile.TemporaryDirectory(prefix="blnk-relay-")
        self.log = Path(self._folder.name) / "workers.log"
        self.sandbox = Sandbox(options or Options(token=TOKEN, instance_id=INSTANCE), faults)
        self._start_valkey = start_valkey
        self._pool = pool
        self._overrides = settings or {}
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        # One that does not begin, or is interrupted while it does, leaves nothing behind either.
        with ExitStack() as begun:
            begun.callback(self._folder.cleanup)
            self.valkey = self._start_valkey()
            begun.callback(self.valkey.stop)
            begun.callback(self.sandbox.stop)
            self.sandbox.start()
            begun.callback(self.stop_workers)
            options = self.sandbox.options
            self.settings = Settings(
                **{
                    **HASTE,
                    "redis_url": f"redis://127.0.0.1:{self.valkey.port}/0",
                    "base_url": self.sandbox.url,
                    "token": options.token,
                    "instance_id": options.instance_id,
                    **self._overrides,
                }
            )
            self._begun = begun.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begun.close()

    def start_worker(self, **settings: Any) -> subprocess.Popen[bytes]:
        """Start one more worker process, in a group of its own, with the stage's settings in its environment.

        Args:
            **settings: Fields that win over those, for this one.
        """
        with self.log.open("ab") as log:
            worker = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "worker.process", self._pool],
                env={**_clean_environment(), **as_environment(replace(self.settings, **settings))},
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    @contextmanager
    def console(self) -> Iterator[subprocess.Popen[bytes]]:
        """A console of the stage's journals, which says itself at which address; it is stopped after the block."""
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "console", "--port", "0"],
            env={**_clean_environment(), **as_environment(self.settings)},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """SIGKILL for a worker and its children: it settles nothing and says goodbye to nobody."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(STOP_S)
        self.workers.remove(worker)

    def stop_workers(self) -> None:
        """Warm shutdown of all workers; one that does not stop in time is killed."""
        for worker in self.workers:
            worker.terminate()
        for worker in list(self.workers):
            try:
                worker.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait(STOP_S)
        self.workers.clear()


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BLNK_RELAY_")}


def as_environment(settings: Settings) -> dict[str, str]:
    """Settings as environment variables, for a process that reads them there."""
    from dataclasses import fields

    from blnk_relay.targets import target_fields

    pairs = {}
    for item in fields(settings):
        if not item.init or item.name == "targets":
            continue
        value = getattr(settings, item.name)
        if value != item.default:
            pairs["BLNK_RELAY_" + item.name.upper()] = ",".join(value) if isinstance(value, tuple) else str(value)
    if settings.targets:
        pairs["BLNK_RELAY_TARGETS"] = ",".join(target.name for target in settings.targets)
    for target in settings.targets:
        for item in target_fields():
            if (value := getattr(target, item.name)) != item.default:
                pairs[target.variable(item.name)] = value
    return pairs
