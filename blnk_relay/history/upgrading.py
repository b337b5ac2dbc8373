"""Bringing the tables of history to the newest revision, by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from blnk_relay.history import revisions
from blnk_relay.history.database import Database
from blnk_relay.history.telling import reported

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database, revision: str = "head") -> tuple[str, str]:
    """Make what is missing, in one transaction; two that do it at once do it once.

    Args:
        database: Which.
        revision: How far; to the newest one.

    Returns:
        The revision before (empty for none), and the one that it has.

    Raises:
        HistoryUnavailable: The database cannot be reached, does not allow it, or has tables of a newer version; nothing
            was changed.
    """
    before = database.revision()
    revisions.check_known(before)
    with reported(), database.engine.execution_options(writes=True).begin() as connection:
        if database.is_postgres:
            database.take_time(connection)
            # Whoever comes second waits, and finds it done.
            connection.exec_driver_sql("set local lock_timeout = 0; set local statement_timeout = 0")
            connection.exec_driver_sql("select pg_advisory_xact_lock(7221394468)")
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return before, database.revision()
