"""Puts the packages into the wheel; in a checkout they are imported from where they are."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Packages(BuildHookInterface):  # type: ignore[type-arg]
    """The packages of this wheel stand at the top of the repository, out of its own project's sight."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name them, but for a wheel that only links to a checkout."""
        if version == "standard":
            build_data["force_include"] |= {
                f"../../{name}": name for name in ("tasks", "worker", "blnk_relay_worker.py")
            }
