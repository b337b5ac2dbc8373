"""A producer in a process of its own: enqueues so many payments and prints its pace.

Run: python -m tests.bench.producing MODULE FIRST COUNT one|all
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from statistics import median

#: Enqueued one by one before the clock starts, so that connections are open and code is loaded.
WARM_UP = 200

#: The pace is the median over parts of this size, so that a hiccup of the machine does not count for the whole.
PART = 250

#: Payments of one call, where a contestant takes many.
BATCH = 1_000


def main(module: str, first: int, count: int, how: str) -> None:
    """Enqueue the payments FIRST … FIRST + COUNT; of those enqueued one by one the first are not timed."""
    contestant = import_module(module)
    numbers = range(first, first + count)
    warm_up = min(WARM_UP, count // 2) if how == "one" else 0
    for number in numbers[:warm_up]:
        contestant.enqueue(number)
    timed = numbers[warm_up:]
    size = BATCH if how == "all" else PART
    paces = []
    for at in range(0, len(timed), size):
        part = timed[at : at + size]
        start_s = time.perf_counter()
        if how == "all":
            contestant.enqueue_all(part)
        else:
            for number in part:
                contestant.enqueue(number)
        paces.append(len(part) / (time.perf_counter() - start_s))
    contestant.close()
    sys.stdout.write(json.dumps({"enqueued": count, "per_second": median(paces)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
