"""How long history takes to answer each question, and how fast rows come in. Nothing is asserted.

Run: python -m tests.bench.history [--intents 5000000] [--sort sqlite|postgresql] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from blnk_relay.history import schema
from blnk_relay.history.database import Database, Place
from blnk_relay.history.search import search
from blnk_relay.history.values import Ended, Movement, Name, Terms
from tests.support.history import made, postgres, sqlite_url

NOW_MS = 1_800_000_000_000
ROUNDS = 7

#: Of each question its words: rare and frequent answers, and two that have to hold together.
QUESTIONS: dict[str, Callable[[int], Terms]] = {
    "key": lambda n: Terms(keys=(f"order-{n // 2}",)),
    "reference": lambda n: Terms(names=(f"order-{n // 2}",)),
    "id of the ledger": lambda n: Terms(names=(f"txn_{n // 2:026d}",)),
    "amount": lambda n: Terms(movement={"amount": str(n // 2 % 50_000)}),
    "amount and currency": lambda n: Terms(movement={"currency": "EUR", "amount": str(n // 2 % 50_000)}),
    "currency": lambda _: Terms(movement={"currency": "EUR"}),
    "source of all": lambda _: Terms(movement={"source": "@world"}),
    "destination": lambda n: Terms(movement={"destination": f"@wallet-{n // 2 % 100_000}"}),
    "source of all, rare destination": lambda n: Terms(
        movement={"source": "@world", "destination": f"@wallet-{n // 2 % 100_000}"}
    ),
    "currency of all, rare destination": lambda n: Terms(
        movement={"currency": "EUR", "destination": f"@wallet-{n // 2 % 100_000}"}
    ),
    "metadata": lambda n: Terms(meta={"order": str(n // 2)}),
    "kind": lambda _: Terms(kind="transaction"),
    "rare kind": lambda _: Terms(kind="refund"),
    "rare kind, dead": lambda _: Terms(kind="refund", state="dead"),
    "code": lambda _: Terms(code="TXN_INSUFFICIENT_FUNDS"),
    "class": lambda _: Terms(dead_class="rejected"),
    "outcome": lambda _: Terms(outcome="applied"),
    "an hour": lambda n: Terms(since=_at(NOW_MS - n * 50), until=_at(NOW_MS - n * 50 + 3_600_000)),
}


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


#: Of each table the columns of one payment, as SQL of its number: a letter among a thousand, a refund among a hundred.
_ENDED = f"{NOW_MS} - ({{intents}} - n) * 100"
_OF = {"journal": "{journal}", "intent": "{id}", "ended_ms": _ENDED}
COLUMNS: dict[sa.Table, list[dict[str, str]]] = {
    schema.intents: [
        {
            "journal": "{journal}", "id": "{id}", "key": "'order-' || n", "reference": "'order-' || n",
            "kind": "case when n % 100 = 7 then 'refund' else 'transaction' end", "lane": "'transactions'",
            "state": "case when n % 1000 = 3 then 'dead' else 'done' end",
            "outcome": "case when n % 1000 = 3 then '' else 'applied' end",
            "dead_class": "case when n % 1000 = 3 then 'rejected' else '' end",
            "code": "case when n % 1000 = 3 then 'TXN_INSUFFICIENT_FUNDS' else '' end", "message": "''",
            "generation": "0", "attempts": "1", "transaction_id": "'txn_' || {id}", "parent_id": "''",
            "created_ms": _ENDED, "ended_ms": _ENDED, "encrypted": "''",
        }
    ],
    schema.names: [
        _OF | {"sort": "'reference'", "name": "'order-' || n"},
        _OF | {"sort": "'id'", "name": "'txn_' || {id}"},
    ],
    schema.movements: [
        _OF
        | {
            "number": "0", "currency": "'EUR'", "amount": "'' || (n % 50000)", "source": "'@world'",
            "precise_amount": "'' || (n % 50000 * 100)", "destination": "'@wallet-' || (n % 100000)",
        }
    ],
    schema.meta: [_OF | {"number": "0", "name": "'order'", "value": "'' || n"}],
}  # fmt: skip


def fill(database: Database, intents: int) -> None:
    """As many payments as there are, by the database itself; indexes come afterwards."""
    with database.locked("relay:default", "default") as page:
        assert page is not None
        page.write(Place("bench", 1, ""), NOW_MS, [], [], [])
        words = {
            "journal": str(page.number),
            "intents": str(intents),
            "id": "lpad(n::text, 26, '0')" if database.is_postgres else "printf('%026d', n)",
        }
    series = f"generate_series(0, {intents - 1}) as s(n)" if database.is_postgres else "s"
    before = (
        ""
        if database.is_postgres
        else f"with recursive s(n) as (select 0 union all select n + 1 from s where n + 1 < {intents}) "  # noqa: S608 - our own
    )
    indexes = [index for table in COLUMNS for index in table.indexes]
    with database.engine.execution_options(writes=True).begin() as connection:
        if database.is_postgres:
            connection.exec_driver_sql("set local statement_timeout = 0")
        for index in indexes:
            index.drop(connection)
        for table, several in COLUMNS.items():
            for columns in several:
                values = ", ".join(columns.values()).format(**words)
                names = ", ".join(columns)
                insert = f"{before}insert into {table.name} ({names}) select {values} from {series}"  # noqa: S608 - our own
                connection.exec_driver_sql(insert.replace("%", "%%") if database.is_postgres else insert)
        for index in indexes:
            index.create(connection)
    # As its autovacuum would; SQLite has no statistics, for nobody makes them.
    if database.is_postgres:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("analyze")


def copied_a_second(database: Database) -> float:
    """How many intents are written in pages of 200, each with what a payment has."""
    began, pages = time.perf_counter(), 20
    for number in range(pages):
        ended = [
            Ended(
                id=f"new-{number}-{n}", key=f"new-{number}-{n}", kind="transaction", lane="transactions", state="done",
                outcome="applied", reference=f"new-{number}-{n}", ended_ms=NOW_MS,
                names=(Name("reference", f"new-{number}-{n}"), Name("id", f"txn_new{number}{n}")),
                movements=(Movement("EUR", "25", "2500", "@world", "@alice"),), meta=((0, "order", f"{number}{n}"),),
            )
            for n in range(200)
        ]  # fmt: skip
        with database.locked("relay:default", "default") as page:
            assert page is not None
            page.write(Place("bench", number + 2, ""), NOW_MS, ended, [], [])
    return pages * 200 / (time.perf_counter() - began)


def measured(database: Database, intents: int) -> None:
    """Print how long each question takes, a connection that is open already; median and worst of some."""
    with database.reading() as connection:
        for name, words in QUESTIONS.items():
            took, found = [], 0
            for turn in range(ROUNDS):
                terms = words(intents - turn * 1_001)
                began = time.perf_counter()
                found = len(search(connection, terms, {1: "default"}, 100)[0])
                took.append((time.perf_counter() - began) * 1000)
            print(f"  {name:34} {median(took):8.1f} ms  worst {max(took):8.1f} ms  {found:4} found")


def main() -> None:
    """Fill, and ask."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history")
    parser.add_argument("--intents", type=int, default=5_000_000)
    parser.add_argument("--sort", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where SQLite's file is made, and stays")
    given = parser.parse_args()
    for sort in given.sort or ("sqlite", "postgresql"):
        with ExitStack() as stack:
            if sort == "sqlite":
                url = sqlite_url(given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory())))
            else:
                url = stack.enter_context(postgres()).url()
            database = made(url)
            began = time.perf_counter()
            fill(database, given.intents)
            print(f"{sort}: {given.intents:,} intents filled in {time.perf_counter() - began:.0f} s", flush=True)
            measured(database, given.intents)
            print(f"  copied in pages of 200: {copied_a_second(database):,.0f} intents a second", flush=True)
            database.close()


if __name__ == "__main__":
    main()
