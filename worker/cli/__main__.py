"""``python -m worker.cli``: the same as ``blnk-relay``."""

from __future__ import annotations

from worker.cli import main

main()
