"""Plays in haste: a ledger for which hours are tenths of a second, and whoever does in one thread what workers do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from blnk_relay import Status, Write
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.operator import Operator
from blnk_relay.sandbox import Options, Sandbox
from blnk_relay.sandbox.books.frozen import Books
from blnk_relay.sandbox.books.rows import Effect
from tasks.confirm import confirm
from tasks.deliver import deliver
from tasks.runtime import Runtime
from tests.support.hands import Hands
from tests.support.specimens import Specimen

#: Longest play of one fault; far above what any needs.
WAIT_S = 90.0

#: Between two rounds of the one who plays the workers: soon enough for all, and no machine kept busy by waiting.
ROUND_S = 0.01

#: Seconds of the ledger's clock in which it ends all that it may still be at.
AFTERWARDS_S = 60.0

#: What takes a real ledger minutes and hours takes this one tenths of a second.
HASTY_LEDGER = Options(retry_scale=0.01, recovery_interval_s=0.3, recovery_threshold_s=3.5, instance_id="inst_play")

HASTE: dict[str, Any] = {
    "token": HASTY_LEDGER.token,
    "instance_id": HASTY_LEDGER.instance_id,
    "bulk_inflight": True,
    "lanes": ("writes",),
    "routes": (),
    "slice_s": 0.3,
    "sweep_s": 0.2,
    "confirm_first_s": 0.02,
    "confirm_max_s": 0.2,
    "read_lag_s": 0.7,
    "quiet_s": 0.3,
    "horizon_s": 2.0,
    "stuck_horizon_s": 60.0,
    "retry_base_s": 0.05,
    "retry_cap_s": 0.2,
    "probe_s": 0.02,
    "redis_timeout_s": 10.0,
}

#: Sees intents through: a runtime, whether they are all finished, and what they are called in a failure.
Driver = Callable[[Runtime, Callable[[], bool], str], None]


def scene_of(specimen: str, fault: str) -> str:
    """By what a play of a specimen is told from others at the ledger."""
    return f"{specimen}.{fault}".replace("_", "-")


def drive(runtime: Hands, is_over: Callable[[], bool], what: str) -> None:
    """Do in this thread what workers do: deliver, confirm, sweep."""
    operator = Operator(runtime.relay.journals, runtime.bells)
    end_s = time.monotonic() + WAIT_S
    sweep_at_s = 0.0
    while not is_over():
        assert time.monotonic() < end_s, f"{what} did not end within {WAIT_S:g} s"
        deliver(runtime, "writes")
        confirm(runtime)
        if time.monotonic() >= sweep_at_s:
            runtime.journal.sweep()
            # How long a target is spared has tests of its own; here an operator opens its gates again at once.
            operator.resume_target(DEFAULT_TARGET)
            sweep_at_s = time.monotonic() + runtime.settings.sweep_s
        time.sleep(ROUND_S)


def settle(runtime: Hands, writes: list[Write], see_through: Driver, what: str) -> dict[str, Status]:
    """Enqueue, and see all of it through."""
    keys = [receipt.key for receipt in runtime.relay.enqueue_many(writes)]
    found: dict[str, Status] = {}

    def is_over() -> bool:
        found.update({key: status for key in keys if key not in found and (status := runtime.relay.get(key)).finished})
        return len(found) == len(keys)

    see_through(runtime, is_over, what)
    return found


def effects(books: Books) -> int:
    """Rows that moved, held, committed or released money."""
    return sum(row.effect != Effect.NONE for row in books.rows)


def needed(
    runtime: Hands, specimens: list[Specimen], scenes: Mapping[str, str], see_through: Driver
) -> dict[str, dict[str, str]]:
    """Make what the specimens need, in as many rounds as the longest list of needs is long; their ids."""
    ids: dict[str, dict[str, str]] = {specimen.name: {} for specimen in specimens}
    for depth in range(max(len(specimen.needs) for specimen in specimens)):
        writes = {}
        for specimen in specimens:
            for name, make in list(specimen.needs.items())[depth : depth + 1]:
                scene = scenes[specimen.name]
                writes[f"{name} of {scene}"] = (specimen.name, name, make(scene, ids[specimen.name]))
        needs = [Write(intent=intent, key=key) for key, (_, _, intent) in writes.items()]
        found = settle(runtime, needs, see_through, "what is needed")
        for key, (specimen_name, name, _) in writes.items():
            assert found[key].state == "done", (key, found[key])
            ids[specimen_name][name] = found[key].transaction_id
    return ids


def commits(sandbox: Sandbox, hold: str) -> int:
    """How often a hold was committed, by the books."""
    (row,) = [row for row in sandbox.books().rows if row.reference == hold + "_q"]
    return sum(child.parent_transaction == row.transaction_id for child in sandbox.books().rows)
