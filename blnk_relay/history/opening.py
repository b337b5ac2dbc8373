"""The database of history that the settings name, where what it needs is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blnk_relay.history.database import Database
    from blnk_relay.settings import Settings


def database_of(settings: Settings, *, longest_s: float | None = None) -> Database:
    """The database of the settings.

    Args:
        settings: They name it.
        longest_s: For how long an answer of it is waited for; None for as long as work of a worker may take.

    Raises:
        InvalidSettings: It cannot be used, or what it needs is not installed.
    """
    try:
        from blnk_relay.history.database import Database
    except ModuleNotFoundError as error:
        from blnk_relay.errors import InvalidSettings

        raise InvalidSettings(
            f"BLNK_RELAY_HISTORY_URL needs what is not installed: {error.name}. "
            "pip install 'blnk-relay-worker[history]'"
        ) from None
    return Database(settings.history_url, longest_s=longest_s)
