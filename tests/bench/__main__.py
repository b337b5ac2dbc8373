"""The benchmark: our workers and producers against what users write today, on the same servers, in turn.

Timings are reported and never asserted: the exit code is 1 only when we lost or doubled something, 2 when a run could
not be made.

Run: python -m tests.bench [--quick] [--only NAME] [--rounds N] [--intents N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from tests.bench.measures import MEASURES, Options, measure
from tests.bench.report import as_json, machine, show
from tests.bench.stage import BenchError

DEFAULT_JSON = Path("build/bench.json")

#: A rate over fewer posts says more about the start than about the pace.
LEAST_INTENTS = 500


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measure (default 3)")
    parser.add_argument("--intents", type=int, default=10_000, help="our payments in a round (default 10000)")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="measure only this; may be repeated")
    parser.add_argument(
        "--quick", action="store_true", help="one short round, to see that all runs; no figures to quote"
    )
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON, metavar="FILE", help=f"default {DEFAULT_JSON}")
    given = parser.parse_args()
    if given.rounds < 1 or given.intents < LEAST_INTENTS:
        parser.error(f"--rounds must be at least 1 and --intents at least {LEAST_INTENTS}")
    return given


def main() -> int:
    """Measure, print, write; returns the exit code."""
    given = _arguments()
    # So that a stop from outside leaves no server behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = set(given.only or MEASURES)
    rounds, intents, samples = (1, 2_000, 12) if given.quick else (given.rounds, given.intents, 40)
    start_s = time.monotonic()
    facts = machine()
    try:
        measures = list(measure(Options(rounds, intents, samples, say=_say), names))
    except BenchError as error:
        print(f"the benchmark could not be run: {error}", file=sys.stderr)
        return 2
    show(facts, measures)
    took_s = round(time.monotonic() - start_s, 1)
    options = {"rounds": rounds, "intents": intents, "only": sorted(names), "quick": given.quick, "seconds": took_s}
    report = as_json(facts, options, measures)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{took_s:.0f} s; the report is in {given.json}")
    return 0 if report["sound"] else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
