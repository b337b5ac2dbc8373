"""A producer in a process of its own: enqueues as many payments as it is told to, and says how long it took.

Run: python -m tests.bench.producing MODULE      (then lines "FIRST COUNT one|all" on standard input)
"""

from __future__ import annotations

import sys
import time
from importlib import import_module


def main(module: str) -> None:
    """Answer each line with the seconds it took; ends with the input."""
    contestant = import_module(module)
    for line in sys.stdin:
        first, count, how = line.split()
        numbers = range(int(first), int(first) + int(count))
        start_s = time.perf_counter()
        if how == "all":
            contestant.enqueue_all(numbers)
        else:
            for number in numbers:
                contestant.enqueue(number)
        sys.stdout.write(f"{time.perf_counter() - start_s}\n")
        sys.stdout.flush()
    contestant.close()


if __name__ == "__main__":
    main(sys.argv[1])
