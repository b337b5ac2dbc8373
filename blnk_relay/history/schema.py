"""The tables of history, as SQLAlchemy Core has them. Migrations make them (``blnk_relay/history/migrations``).

Times are milliseconds since 1970, by the clock of the journal. Each table is known by natural keys, so that what is
copied twice stands there once. What a search is limited by stands beside the time, so that the newest come out of one
index, however many there are.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text, text

#: Before the name of each table: the database may be one that others use as well.
NAMES = "relay_"

#: Where Alembic notes how far the tables are.
VERSIONS = f"{NAMES}version"

metadata = MetaData()

#: What only dead letters have, open or closed: the index of classes has them alone. A question says the same in the
#: same words, or a database does not see that the index answers it.
OF_LETTERS = text("dead_class <> ''")

#: One row: which database this is, so that another one under the same address is noticed.
database = Table(
    f"{NAMES}database",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("made_ms", BigInteger, nullable=False),
)

#: Journals that are copied here, and how far: page and epoch are written with what they are about.
journals = Table(
    f"{NAMES}journals",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("target", String(64), nullable=False),
    Column("born", String(32), nullable=False),
    Column("page", BigInteger, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("copied_ms", BigInteger, nullable=False),
)

intents = Table(
    f"{NAMES}intents",
    metadata,
    Column("journal", Integer, nullable=False),
    Column("id", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("dead_class", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("transaction_id", Text, nullable=False),
    Column("parent_id", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("payload", Text, nullable=True),
    Column("encrypted", Text, nullable=False),
    PrimaryKeyConstraint("journal", "id"),
    Index(f"{NAMES}intents_key", "key"),
    Index(f"{NAMES}intents_id", "id"),
    Index(f"{NAMES}intents_ended", "ended_ms"),
    Index(f"{NAMES}intents_kind", "kind", "ended_ms"),
    Index(f"{NAMES}intents_state", "state", "ended_ms"),
    Index(f"{NAMES}intents_outcome", "outcome", "ended_ms"),
    Index(f"{NAMES}intents_code", "code", "ended_ms"),
    # Of letters alone, as its migration says: to say so here takes both dialects, and a third of the time to import it.
    Index(f"{NAMES}intents_class", "dead_class", "ended_ms"),
)

#: Each life of a dead letter: one that was replayed and died again stands here twice.
letters = Table(
    f"{NAMES}letters",
    metadata,
    Column("journal", Integer, nullable=False),
    Column("intent", String(64), nullable=False),
    Column("life", Text, nullable=False),
    Column("died_ms", BigInteger, nullable=False),
    Column("dead_class", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("closed", Text, nullable=False),
    Column("closed_ms", BigInteger, nullable=True),
    PrimaryKeyConstraint("journal", "intent", "life"),
    Index(f"{NAMES}letters_code", "code", "died_ms"),
)

#: Lines of logs: what was tried, and what operators did with an intent.
attempts = Table(
    f"{NAMES}attempts",
    metadata,
    Column("journal", Integer, nullable=False),
    Column("intent", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
    Column("worker", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=True),
    PrimaryKeyConstraint("journal", "intent", "at_ms", "what", "status", "code"),
)

#: All that an intent may be known by besides its key: references of each generation, ids of the ledger, and what it
#: acts on. Hidden ones stand here as fingerprints.
names = Table(
    f"{NAMES}names",
    metadata,
    Column("name", Text, nullable=False),
    Column("journal", Integer, nullable=False),
    Column("intent", String(64), nullable=False),
    Column("sort", String(16), nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("journal", "intent", "sort", "name"),
    Index(f"{NAMES}names_name", "name", "ended_ms"),
)

#: Amounts and ends: one row for a payment, one for each leg or item of others. The amount is in units of the currency.
movements = Table(
    f"{NAMES}movements",
    metadata,
    Column("journal", Integer, nullable=False),
    Column("intent", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", Text, nullable=False),
    Column("precise_amount", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("journal", "intent", "number"),
    Index(f"{NAMES}movements_amount", "amount", "ended_ms"),
    Index(f"{NAMES}movements_precise", "precise_amount", "ended_ms"),
    Index(f"{NAMES}movements_currency", "currency", "amount", "ended_ms"),
    Index(f"{NAMES}movements_latest", "currency", "ended_ms"),
    Index(f"{NAMES}movements_source", "source", "ended_ms"),
    Index(f"{NAMES}movements_destination", "destination", "ended_ms"),
)

#: Values of ``meta_data``.
meta = Table(
    f"{NAMES}meta",
    metadata,
    Column("journal", Integer, nullable=False),
    Column("intent", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("journal", "intent", "number", "name"),
    Index(f"{NAMES}meta_value", "name", "value", "ended_ms"),
)

#: What operators did, as their log has it.
actions = Table(
    f"{NAMES}actions",
    metadata,
    Column("journal", Integer, nullable=False),
    Column("entry", String(40), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("journal", "entry"),
    Index(f"{NAMES}actions_at", "at_ms"),
    Index(f"{NAMES}actions_who", "who", "at_ms"),
)

#: Those whose rows are an intent's, and go with it.
OF_INTENT = (names, movements, meta, attempts, letters)
