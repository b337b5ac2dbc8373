"""One setting: a field with its documentation, read from one environment variable."""

from __future__ import annotations

from dataclasses import field
from typing import Any

#: First part of every environment variable of ours.
PREFIX = "BLNK_RELAY_"


def setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    """A field of a dataclass of settings.

    Args:
        default: Its default; its type is that of the setting.
        doc: What it means, for ``docs/settings.md``.
        secret: Never shown, neither by ``repr`` nor by an error.

    Returns:
        What ``dataclasses.field`` returns.
    """
    return field(default=default, metadata={"doc": doc, "secret": secret}, repr=not secret)
