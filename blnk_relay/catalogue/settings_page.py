"""The page of all settings: ``python -m blnk_relay.catalogue.settings_page``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import Field
from typing import Any

from blnk_relay.environment import PREFIX
from blnk_relay.settings import OF_TARGET, read_from_env


def described() -> str:
    """All settings as Markdown tables; ``docs/settings.md`` is its output."""
    lines = [
        "# Settings",
        "",
        "One environment variable each. Every one may also be a file named by `<variable>_FILE`. A variable with our",
        "prefix that is not in this list is refused at start, and so are values that contradict each other. Names that",
        "end in `_S` are times in seconds, from 0.001 to ten years; waits for one answer last an hour at most. What is",
        "beyond what can be worked with is refused with a sentence that says from where to where it may be.",
        "",
        *_table("", read_from_env()),
        "",
        "## More ledgers",
        "",
        f"Each name in `{PREFIX}TARGETS` has variables of its own, such as `{PREFIX}EU__TOKEN` with",
        f"`{PREFIX}TARGETS=eu`; each may be a file as well. A target has one credential: a key, the file of a key, or",
        "an OAuth client. The variables above are those of the target `default`, which there is unless others are",
        "named and nothing is said about it: neither its address, nor an instance, nor a credential. Nothing is",
        "inherited from it; a target without a Redis of its own has its journal on that of `BLNK_RELAY_REDIS_URL`.",
        "",
        *_table("<NAME>__", OF_TARGET.values()),
    ]
    return "\n".join(lines) + "\n"


def _table(scope: str, items: Iterable[Field[Any]]) -> list[str]:
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for item in items:
        value = item.default
        default = ",".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else value
        shown = f"`{default}`" if default else ""
        doc = item.metadata["doc"] + (" Secret: never logged." if item.metadata["secret"] else "")
        lines.append(f"| `{PREFIX}{scope}{item.name.upper()}` | {shown} | {doc} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write(described())
