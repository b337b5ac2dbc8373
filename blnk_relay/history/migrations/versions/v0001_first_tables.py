"""The first tables."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "relay_database",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "relay_journals",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("born", sa.String(32), nullable=False),
        sa.Column("page", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("copied_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "relay_intents",
        sa.Column("journal", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("dead_class", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("encrypted", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("journal", "id"),
    )
    op.create_index("relay_intents_code", "relay_intents", ["code", "ended_ms"])
    op.create_index("relay_intents_ended", "relay_intents", ["ended_ms"])
    op.create_index("relay_intents_id", "relay_intents", ["id"])
    op.create_index("relay_intents_key", "relay_intents", ["key"])
    op.create_index("relay_intents_kind", "relay_intents", ["kind", "ended_ms"])
    op.create_index("relay_intents_outcome", "relay_intents", ["outcome", "ended_ms"])
    op.create_index("relay_intents_state", "relay_intents", ["state", "ended_ms"])
    op.create_table(
        "relay_letters",
        sa.Column("journal", sa.Integer(), nullable=False),
        sa.Column("intent", sa.String(64), nullable=False),
        sa.Column("life", sa.Text(), nullable=False),
        sa.Column("died_ms", sa.BigInteger(), nullable=False),
        sa.Column("dead_class", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Text(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("journal", "intent", "life"),
    )
    op.create_index("relay_letters_code", "relay_letters", ["code", "died_ms"])
    op.create_table(
        "relay_attempts",
        sa.Column("journal", sa.Integer(), nullable=False),
        sa.Column("intent", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("latency_ms", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("journal", "intent", "at_ms", "what", "status", "code"),
    )
    op.create_table(
        "relay_names",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("journal", sa.Integer(), nullable=False),
        sa.Column("intent", sa.String(64), nullable=False),
        sa.Column("sort", sa.String(16), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", "intent", "sort", "name"),
    )
    op.create_index("relay_names_name", "relay_names", ["name", "ended_ms"])
    op.create_table(
        "relay_movements",
        sa.Column("journal", sa.Integer(), nullable=False),
        sa.Column("intent", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("precise_amount", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", "intent", "number"),
    )
    op.create_index("relay_movements_amount", "relay_movements", ["amount", "ended_ms"])
    op.create_index("relay_movements_currency", "relay_movements", ["currency", "amount", "ended_ms"])
    op.create_index("relay_movements_destination", "relay_movements", ["destination", "ended_ms"])
    op.create_index("relay_movements_latest", "relay_movements", ["currency", "ended_ms"])
    op.create_index("relay_movements_precise", "relay_movements", ["precise_amount", "ended_ms"])
    op.create_index("relay_movements_source", "relay_movements", ["source", "ended_ms"])
    op.create_table(
        "relay_meta",
        sa.Column("journal", sa.Integer(), nullable=False),
        sa.Column("intent", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", "intent", "number", "name"),
    )
    op.create_index("relay_meta_value", "relay_meta", ["name", "value", "ended_ms"])
    op.create_table(
        "relay_actions",
        sa.Column("journal", sa.Integer(), nullable=False),
        sa.Column("entry", sa.String(40), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("journal", "entry"),
    )
    op.create_index("relay_actions_at", "relay_actions", ["at_ms"])
    op.create_index("relay_actions_who", "relay_actions", ["who", "at_ms"])
    made = sa.table("relay_database", sa.column("id"), sa.column("made_ms"))
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    op.execute(made.insert().values(id=uuid.uuid4().hex, made_ms=now_ms))


def downgrade() -> None:
    """Take them away, with all that stands in them."""
    op.drop_table("relay_actions")
    op.drop_table("relay_meta")
    op.drop_table("relay_movements")
    op.drop_table("relay_names")
    op.drop_table("relay_attempts")
    op.drop_table("relay_letters")
    op.drop_table("relay_intents")
    op.drop_table("relay_journals")
    op.drop_table("relay_database")
