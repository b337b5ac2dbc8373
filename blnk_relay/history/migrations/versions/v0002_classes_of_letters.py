"""An index for the class of a dead letter: of letters alone, so that it costs nothing for what went well."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    op.create_index(
        "relay_intents_class",
        "relay_intents",
        ["dead_class", "ended_ms"],
        sqlite_where=sa.text("dead_class <> ''"),
        postgresql_where=sa.text("dead_class <> ''"),
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_index("relay_intents_class", "relay_intents")
