"""How Alembic runs them: over a connection that is handed in, all revisions in one transaction."""

from __future__ import annotations

from alembic import context

from blnk_relay.history.schema import NAMES, VERSIONS, metadata


def _ours(_object: object, name: str | None, type_: str, _reflected: bool, _compared: object) -> bool:
    """Whatever else the database holds is somebody else's."""
    return type_ != "table" or (name or "").startswith(NAMES)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSIONS,
    include_object=_ours,
)
context.run_migrations()
