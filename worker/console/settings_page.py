"""The table of settings in ``docs/console.md``, made from the settings themselves."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from worker.console.settings import ConsoleSettings


def table() -> str:
    """The table, as Markdown."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for item in fields(ConsoleSettings):
        default = ",".join(item.default) if isinstance(item.default, tuple) else str(item.default)
        shown = f"`{default}`" if default not in ("", "False") else ""
        secret = " Secret: never logged." if item.metadata["secret"] else ""
        rows.append(f"| `…{item.name.upper()}` | {shown} | {item.metadata['doc']}{secret} |")
    return "\n".join(rows)


def with_table(page: str) -> str:
    """A page with the table between its marks."""
    before, _, rest = page.partition("<!-- settings -->\n")
    _, _, after = rest.partition("<!-- /settings -->")
    return f"{before}<!-- settings -->\n\n{table()}\n\n<!-- /settings -->{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
