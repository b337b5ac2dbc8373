"""``python -m blnk_relay.sandbox``: a sandbox in the foreground, for looking at it with curl."""

from __future__ import annotations

import argparse
import sys

from blnk_relay.sandbox.faults.plans import Faults
from blnk_relay.sandbox.options import CORE_VERSIONS, UPSTREAM_LIMITS, Options
from blnk_relay.sandbox.server import serve_forever


def main() -> None:
    """Read the arguments and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="sandbox", description="A stand-in for Blnk Cloud and Core.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5010, help="0 lets the system choose")
    parser.add_argument("--seed", type=int, default=None, help="faults on, with this seed")
    parser.add_argument("--rate", type=float, default=0.1, help="share of the writes that are hit")
    parser.add_argument(
        "--core-version",
        choices=CORE_VERSIONS,
        default=Options().core_version,
        help="which release of Core it plays",
    )
    parser.add_argument("--upstream", help="base URL of a running Core; the sandbox is then the edge in front of it")
    parser.add_argument("--core-key", help="that Core's key; by default the sandbox's own")
    arguments = parser.parse_args()
    faults = None if arguments.seed is None else Faults.seeded(arguments.seed, arguments.rate)

    def announce(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        if arguments.upstream is not None:
            sys.stderr.write(f"{UPSTREAM_LIMITS}\n")

    options = Options(core_version=arguments.core_version)
    if arguments.core_key is not None:
        options = options.changed({"core_key": arguments.core_key})
    serve_forever(options, faults, arguments.host, arguments.port, announce, upstream=arguments.upstream)


if __name__ == "__main__":
    main()
