"""How long each screen of the console takes, asked by HTTP; part of ``python -m tests.bench.commands --screens``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from blnk_relay import Relay, Settings
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.visiting import listening
from worker.console.settings import ConsoleSettings

#: Pages as somebody asks for them who looks around at three in the morning; ``{letter}`` and ``{open}`` are addresses.
SCREENS = (
    "/",
    "/problems",
    "/lanes",
    "/jobs",
    "/workers",
    "/actions",
    "/intents",
    "/intents?state=ready",
    "/intents?state=ready&kind=refund",
    "/intents?state=done",
    "/intents?state=cancelled",
    "/intents?state=dead",
    "{open}",
    "{letter}",
    "/letters",
    "/letters?code=RARE",
    "/letters/replay?code=RARE",
    "/letters/replay?code=TXN_INSUFFICIENT_FUNDS",
    "/letters/replay?code=TXN_INSUFFICIENT_FUNDS&whole=yes",
    "/find",
    "/find?text=open-1",
    "/find?text=nothing",
    "/find?amount=10.50",
    "/find?destination=@alice",
    "/find?destination=@nobody",
    "/find?class=rejected",
    "/letters/discard?code=RARE",
    "{letter}/replay",
    "{open}/cancel",
    "/lanes/lane/refunds/pause",
    "/workers/stop?all=yes",
    "/targets/default/rebind",
    "/journals",
    "/journals/default/upgrade",
    "/journals/default/history-off",
    "/history",
    "/audit",
    "/doctor",
    "/kinds",
    "/api/v1/overview",
    "/api/v1/intents",
    "/api/v1/letters",
)

#: The same, of what stands in history as tests/bench/history.py fills it, of which one in the middle.
OF_HISTORY = (
    "/find?text=order-{middle}",
    "/find?ledger_id=txn_{middle:026d}",
    "/find?amount=2500",
    "/find?source=@world&destination=@wallet-50000",
    "/find?meta=order={middle}",
    "/find?code=TXN_INSUFFICIENT_FUNDS",
    "/find?currency=EUR",
)


def measured(settings: Settings, rounds: int, middle: int) -> Iterator[dict[str, Any]]:
    """The median and the worst of some rounds for each screen after a first one, in milliseconds.

    Processor time is that of the console and its visitor, who are one process; that of Redis comes to it.

    Args:
        settings: Of the journal, and of the history.
        rounds: Of each screen.
        middle: The number of an intent in the middle of history; 0 for none.
    """
    # Of a ledger that nobody asks, and with a worker that can be told.
    settings = replace(settings, base_url="http://127.0.0.1:1", instance_id="inst_bench", token="t")  # noqa: S106
    with Relay(settings) as relay, listening(relay.journals, ConsoleSettings(port=0), bells=relay.bells) as house:
        sign = Sign(version="1.2.3", shape=2, pool="threads")
        relay.journal().sweep("web-1:42:abc 1.2.3 2", 3_600.0, sign_of(sign))
        visitor = house.let_in()
        places = {
            name: visitor.get(f"/intents?key={key}").headers["Location"]
            for name, key in (("open", "open-1"), ("letter", "dead-1"))
        }
        paths = [path.format(**places) for path in SCREENS]
        paths += [path.format(middle=middle) for path in OF_HISTORY if middle]
        for path in paths:
            took, worked = [], []
            for _ in range(rounds + 1):
                start_s, worked_s = time.monotonic(), time.process_time()
                answer = visitor.get(path)
                took.append((time.monotonic() - start_s) * 1000)
                worked.append((time.process_time() - worked_s) * 1000)
                assert answer.status_code == 200, f"{path}: {answer.status_code}"
            yield {
                "screen": path,
                "first_ms": round(took[0]),
                "median_ms": round(median(took[1:])),
                "worst_ms": round(max(took[1:])),
                "processor_ms": round(median(worked[1:])),
                "bytes": len(answer.content),
            }
