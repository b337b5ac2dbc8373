"""``find``: over history and journals, by everything that is known of an intent, along an index each time."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, text, update

from blnk_relay import (
    Leg,
    Operator,
    Refused,
    Relay,
    Settings,
    Write,
    bulk_transactions,
    commit_hold,
    create_ledger,
    split_transaction,
    transaction,
)
from blnk_relay.history import schema
from blnk_relay.history.database import Database, Place
from blnk_relay.history.search import narrowest, query, search
from blnk_relay.history.upgrading import upgrade
from blnk_relay.history.values import UNREAD, Ended, Movement, Name, Terms
from blnk_relay.journal import copying, finding
from blnk_relay.journal.entries import id_of
from tests.support.cli import names, run, section
from tests.support.history import books_of, copy, made, made_to, rows_of, sqlite_url
from tests.support.journal import LANE, WORKER, bury, enqueue, finish, pay, status, trim
from worker.demo.stage import as_environment

HOLD_ROW = "txn_aaaaaaaa-1111-4111-8111-aaaaaaaaaaaa"


@pytest.fixture(params=("sqlite", "postgresql"))
def sort(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    return replace(settings, history_url=url)


def top_up(order: str, amount: str = "25.00", to: str = "@alice") -> Any:
    return transaction(
        source="@world", destination=to, currency="EUR", amount=amount, description="Top-up", allow_overdraft=True,
        meta_data={"order": order, "shop": {"till": 7}},
    )  # fmt: skip


def shop(relay: Relay) -> None:
    """Something of each, over."""
    split = split_transaction(
        source="@sales", currency="EUR", precise_amount=4000, precision=100, description="Sale",
        destinations=[Leg("@shop", precise_amount=3900), Leg("@fees", precise_amount=100)],
    )  # fmt: skip
    bulk = bulk_transactions(
        [
            transaction(
                source="@bob", destination="@fees", currency="EUR", amount="1.00", description="Fee", reference="fee-1"
            )
        ]
    )
    relay.enqueue_many(
        [
            Write(intent=top_up("1001"), key="order-1001"),
            Write(intent=top_up("1002", "30.00", "@bob"), key="order-1002"),
            Write(intent=split, key="sale-1"),
            Write(intent=bulk, key="fees-1"),
            Write(intent=commit_hold(HOLD_ROW, precise_amount=1250, currency="EUR"), key="part-1"),
        ]
    )
    journal = relay.journal()
    for lane in (LANE, "inflight"):
        finish(journal, *journal.claim(lane, WORKER, 100).items)


def keys(operator: Operator, **asked: Any) -> list[str]:
    return sorted(one.status.key for one in operator.find(**asked).found)


#: What is asked for, and who answers.
QUESTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({"key": "order-1001"}, ["order-1001"]),
    ({"reference": "order-1001"}, ["order-1001"]),
    ({"reference": "fee-1"}, ["fees-1"]),
    ({"ledger_id": HOLD_ROW}, ["part-1"]),
    ({"amount": Decimal(25), "currency": "EUR"}, ["order-1001"]),
    ({"amount": Decimal("25.000")}, ["order-1001"]),
    ({"precise_amount": 1250}, ["part-1"]),
    ({"source": "@world", "destination": "@bob"}, ["order-1002"]),
    ({"destination": "@fees"}, ["fees-1", "sale-1"]),
    ({"meta": {"order": "1002"}}, ["order-1002"]),
    ({"meta": {"shop.till": "7", "order": "1001"}}, ["order-1001"]),
    ({"meta": {"order": "1001"}, "amount": Decimal(30)}, []),
    ({"kind": "transaction.split", "state": "done"}, ["sale-1"]),
    ({"outcome": "applied", "kind": "transaction.bulk"}, ["fees-1"]),
    ({"code": "NO"}, ["poor-1"]),
    ({"dead_class": "refused"}, ["poor-1"]),
    ({"dead_class": "refused", "state": "dead", "kind": "transaction", "amount": Decimal(10)}, ["poor-1"]),
    ({"dead_class": "unknown"}, []),
    ({"state": "dead"}, ["poor-1"]),
]


def test_each_question_is_answered_by_the_journal_alone_by_both_and_by_history_alone(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    shop(relay)
    bury(relay, "poor-1")
    assert [keys(operator, **asked) for asked, _ in QUESTIONS] == [found for _, found in QUESTIONS]
    copy(journal, database)
    assert [keys(operator, **asked) for asked, _ in QUESTIONS] == [found for _, found in QUESTIONS]
    trim(journal)
    assert [keys(operator, **asked) for asked, _ in QUESTIONS] == [found for _, found in QUESTIONS]
    (one,) = operator.find(key="order-1001").found
    assert (one.where, one.status.state, one.status.outcome) == ("history", "done", "applied")
    (letter,) = operator.find(code="NO").found
    assert (letter.where, letter.status.state) == ("journal", "dead")
    # What a letter has become since it was copied is said as it is.
    operator.discard(status(journal, "poor-1"), who="me", reason="by hand")
    assert keys(operator, code="NO", state="dead") == []
    assert keys(operator, code="NO", state="discarded") == ["poor-1"]
    assert keys(operator, dead_class="refused", state="dead") == []
    assert keys(operator, dead_class="refused") == ["poor-1"]


@pytest.mark.usefixtures("database")
def test_it_says_where_it_looked_and_where_it_could_not(relay, settings, tmp_path):
    operator = Operator(relay.journals, relay.bells)
    shop(relay)
    result = operator.find(destination="@bob")
    assert {place.place: place.whole for place in result.looked} == {"history": True, "journal of target default": True}
    # A text may be a key, a reference or an id, and each place is told of once.
    for asked, found in (("order-1001", "order-1001"), ("fee-1", "fees-1"), (HOLD_ROW, "part-1")):
        result = operator.find(text=asked)
        assert [one.status.key for one in result.found] == [found]
        assert [place.place for place in result.looked] == ["history", "journal of target default"]
        assert result.looked[1].told.startswith("by its key, by what owns it or writes to it, and the newest 5 of 5 ")
    away = replace(settings, history_url=f"sqlite:///{tmp_path / 'empty.db'}")
    with Relay(away) as other:
        result = Operator(other.journals, other.bells).find(destination="@bob")
    assert [one.status.key for one in result.found] == ["order-1002"]
    (history,) = (place for place in result.looked if place.place == "history")
    assert (history.whole, "upgrade its tables" in history.told) == (False, True)
    with pytest.raises(Refused, match="nothing is asked for"):
        operator.find(target="default")


#: Each question in the words of the tables, and the index that has to answer it.
INDEXED = [
    (Terms(keys=("order-1",)), "intents_key"),
    (Terms(ids=("a" * 26,)), "intents_id"),
    (Terms(names=("order-1",)), "names_name"),
    (Terms(movement={"amount": "25"}), "movements_amount"),
    (Terms(movement={"precise_amount": "2500"}), "movements_precise"),
    (Terms(movement={"currency": "EUR", "amount": "25"}), "movements_"),
    (Terms(movement={"currency": "EUR"}), "movements_latest"),
    (Terms(movement={"source": "@world"}), "movements_source"),
    (Terms(movement={"destination": "@alice"}), "movements_destination"),
    (Terms(meta={"order": "1001"}), "meta_value"),
    (Terms(kind="refund"), "intents_kind"),
    (Terms(outcome="voided"), "intents_outcome"),
    (Terms(code="NO"), "intents_code"),
    (Terms(dead_class="unknown"), "intents_class"),
    (Terms(state="dead"), "intents_state"),
    (Terms(), "intents_ended"),
]


def test_the_index_of_classes_is_of_letters_alone(database):
    """The tables of SQLAlchemy do not say so: it would take both dialects to import them."""
    catalogue = "select indexdef from pg_indexes where indexname" if database.is_postgres else (
        "select sql from sqlite_master where name"
    )  # fmt: skip
    with database.reading() as connection:
        made_by = connection.exec_driver_sql(f"{catalogue} = '{schema.NAMES}intents_class'").scalar()
    assert re.search(r"where \(?dead_class <> ''", made_by, re.IGNORECASE), made_by


def planned(database: Database, connection: Connection, terms: Terms, *, by_class: bool = True) -> str:
    """How the database would answer a question."""
    statement = query(terms, [1], 100, narrowest(connection, terms, by_class=by_class))
    compiled = statement.compile(dialect=database.engine.dialect, compile_kwargs={"literal_binds": True})
    explain = "explain " if database.is_postgres else "explain query plan "
    return "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain}{compiled}".replace("%%", "%")))


def test_each_question_goes_along_an_index(database):
    with database.reading() as connection:
        if database.is_postgres:
            # With nothing in it a table is read as a whole, whatever there is.
            connection.execute(text("set local enable_seqscan = off"))
            connection.execute(text("set local enable_sort = off"))
        for terms, index in INDEXED:
            plan = planned(database, connection, terms)
            assert f"{schema.NAMES}{index}" in plan, (terms, plan)
            assert "SCAN relay_movements\n" not in plan
            assert "Seq Scan" not in plan


#: Two things of which one is rare among what stands there, and the index of that one.
LED = [
    (Terms(movement={"source": "@world", "destination": "@wallet-7"}), "movements_destination"),
    (Terms(movement={"source": "@odd", "destination": "@shop"}), "movements_source"),
    (Terms(movement={"currency": "EUR", "source": "@odd"}), "movements_source"),
    (Terms(movement={"source": "@world"}, meta={"shop": "x"}, names=("order-3",)), "names_name"),
    (Terms(movement={"destination": "@wallet-7"}, meta={"shop": "x"}), "movements_destination"),
    (Terms(kind="transaction", code="NO"), "intents_code"),
    (Terms(kind="refund", state="done"), "intents_kind"),
    (Terms(kind="transaction", dead_class="rejected"), "intents_class"),
]


def test_of_several_things_the_rarest_leads_and_the_others_are_looked_at_beside(database):
    ended = [
        Ended(
            id=f"id-{n}", key=f"order-{n}", kind="refund" if n == 9 else "transaction", lane=LANE,
            state="dead" if n == 8 else "done", code="NO" if n == 8 else "", ended_ms=1_000 + n,
            dead_class="rejected" if n == 8 else "",
            names=(Name("reference", f"order-{n}"),), meta=((0, "shop", "x"),),
            movements=(
                Movement("EUR", "25", "2500", "@world", f"@wallet-{n}"),
                Movement("EUR", "1", "100", "@odd" if n == 5 else "@world", "@shop"),
            ),
        )
        for n in range(30)
    ]  # fmt: skip
    with database.locked("relay:default", "default") as page:
        assert page is not None
        page.write(Place("born", 1, ""), 2_000, ended, [], [])
    with database.reading() as connection:
        if database.is_postgres:
            connection.execute(text("set local enable_seqscan = off"))
            connection.execute(text("set local enable_sort = off"))
        plans = [(planned(database, connection, terms), f"{schema.NAMES}{index}") for terms, index in LED]
        assert [(plan, index) for plan, index in plans if index not in plan] == []
        # A row beside is found by whose it is: the rows of a text may be all that there are.
        assert [plan for plan, index in plans if index.endswith("names_name") and "movements_source" in plan] == []
        found = [[one.key for _, one in search(connection, terms, {1: "default"}, 100)[0]] for terms, _ in LED]
        assert found == [[f"order-{n}"] for n in (7, 5, 5, 3, 7, 8, 9, 8)]


def test_a_database_of_the_revision_before_works_on_and_finds_classes_quickly_once_it_is_upgraded(relay, url):
    database = made_to(url, "0001")
    operator = Operator(relay.journals, relay.bells)
    shop(relay)
    bury(relay, "poor-1", "poor-2")
    operator.discard(status(relay.journal(), "poor-2"), who="me", reason="by hand")
    copy(relay.journal(), database)
    assert len(rows_of(database, schema.intents)) == 7

    def classes() -> tuple[list[str], bool]:
        result = operator.find(dead_class="refused")
        told = next(place.told for place in result.looked if place.place == "history")
        return sorted(one.status.key for one in result.found), "until its tables are upgraded" in told

    before = books_of(database)
    assert classes() == (["poor-1", "poor-2"], True)
    assert not keys(operator, dead_class="rejected")
    with database.reading() as connection:
        if database.is_postgres:
            connection.execute(text("set local enable_seqscan = off"))
        plan = planned(database, connection, Terms(dead_class="refused"), by_class=False)
        assert f"{schema.NAMES}intents_state" in plan
        assert "Seq Scan" not in plan
    assert (database.revision(), upgrade(database)) == ("0001", ("0001", "0002"))
    # A worker that was there before goes on, and nobody has to begin anew.
    assert books_of(database) == before
    bury(relay, "poor-3")
    copy(relay.journal(), database)
    assert len(rows_of(database, schema.intents)) == 8
    assert classes() == (["poor-1", "poor-2", "poor-3"], False)
    with Operator(relay.journals, relay.bells) as other:
        trim(relay.journal())
        assert keys(other, dead_class="refused", state="discarded") == ["poor-2"]
    database.close()


@pytest.mark.parametrize("sort", ["sqlite"])
def test_of_very_many_letters_of_a_class_it_is_said_that_some_were_looked_at(relay, monkeypatch):
    operator, journal = Operator(relay.journals, relay.bells), relay.journal()
    bury(relay, "a", "b", "c")
    bury(relay, "other", dead_class="unknown")
    for at, key in enumerate(("a", "b", "c")):
        [cause] = [name for name in journal.client.smembers(journal.key("causes")) if "|refused|" in name]
        journal.client.zadd(journal.key(f"letters:{cause}"), {status(journal, key).id: 1_000 * (at + 1)})
        journal.client.hset(journal.key(f"intent:{status(journal, key).id}"), "updated", 1_000 * (at + 1))

    def looked(**asked: Any) -> tuple[list[str], bool, str]:
        result = operator.find(dead_class="refused", state="dead", **asked)
        return sorted(one.status.key for one in result.found), result.looked[-1].whole, result.looked[-1].told

    whole = "the letters of that class"
    assert looked() == (["a", "b", "c"], True, whole)
    monkeypatch.setattr(finding, "MOST_READ", 2)
    assert looked() == (["b", "c"], False, f"some of {whole}")
    until = datetime.fromtimestamp(3, UTC)
    assert looked(until=until) == (["a", "b"], True, whole)
    assert looked(until=until, since=datetime.fromtimestamp(2, UTC)) == (["b"], True, whole)
    assert looked(kind="refund") == ([], True, whole)
    # What no cause accounts for may be of any class.
    journal.client.delete(journal.key(f"letters:{cause}"))
    assert looked()[1:] == (False, f"some of {whole}")


@pytest.mark.parametrize("sort", ["sqlite"])
def test_what_a_worker_has_in_hand_and_what_was_discarded_are_found_in_the_journal(relay):
    operator, journal = Operator(relay.journals, relay.bells), relay.journal()
    bury(relay, "poor")
    operator.discard(status(journal, "poor"), who="me", reason="by hand")
    enqueue(relay, "held")
    journal.claim(LANE, WORKER, 1)
    enqueue(relay, "next")
    assert status(journal, "held").state == "sending"
    amount = {"amount": Decimal(10)}
    assert keys(operator, **amount) == ["held", "next", "poor"]
    assert keys(operator, **amount, state="open") == ["held", "next"]
    assert keys(operator, **amount, state="discarded") == ["poor"]
    assert keys(operator, dead_class="refused") == keys(operator, code="NO") == ["poor"]
    assert operator.find(**amount).looked[-1].whole


@pytest.mark.parametrize("sort", ["sqlite"])
def test_of_one_state_that_alone_is_read_and_of_each_state_some(relay, monkeypatch):
    operator, journal = Operator(relay.journals, relay.bells), relay.journal()
    pay(relay, "done-1", "done-2", "done-3")
    bury(relay, "dead-1", "dead-2", "dead-3")
    operator.discard(status(journal, "dead-3"), who="me", reason="by hand")
    enqueue(relay, "open-1", "open-2", "open-3")
    monkeypatch.setattr(finding, "MOST_READ", 3)

    def looked(state: str) -> tuple[int, bool, str]:
        result = operator.find(state=state, amount=Decimal(10))
        return len(result.found), result.looked[-1].whole, result.looked[-1].told

    assert looked("open") == (3, True, "the newest 3 of 3 that are open")
    assert looked("done") == (3, True, "the newest 3 of 3 that are over and still there")
    assert looked("cancelled") == (0, True, "the newest 3 of 3 that are over and still there")
    assert looked("dead") == (2, True, "the newest 2 of 2 that are dead")
    assert looked("discarded") == (1, True, "the newest 1 of 1 that are discarded and still there")
    assert looked("") == (3, False, "the newest 3 of 9 that are open, dead, or over and still there")
    monkeypatch.setattr(finding, "MOST_READ", 2)
    assert looked("open") == (2, False, "the newest 2 of 3 that are open")


@pytest.mark.parametrize("sort", ["sqlite"])
def test_a_state_that_is_not_told_apart_is_refused_and_not_said_to_have_nothing(relay):
    enqueue(relay, "next")
    with pytest.raises(Refused, match="there is no 'ready' to look for, but open, done, dead"):
        Operator(relay.journals, relay.bells).find(state="ready")
    # In lists that stands for none, and here it would be looked for as a code.
    with pytest.raises(Refused, match="the list of dead letters has those without a code under it"):
        Operator(relay.journals, relay.bells).find(code="-")
    with pytest.raises(Refused, match="since: nobody knows where it is 12:30: give a time with its zone"):
        Operator(relay.journals, relay.bells).find(since=datetime(2026, 1, 2, 12, 30))  # noqa: DTZ001 - this is it


@pytest.mark.parametrize("sort", ["sqlite"])
def test_metadata_is_found_whichever_of_its_names_is_asked_for_and_however_deep(relay, database):
    operator, journal = Operator(relay.journals, relay.bells), relay.journal()
    deep: Any = 7
    for _ in range(18):
        deep = {"o": deep}
    names = {f"n{number}": number for number in range(400)}
    pay = {"source": "@world", "destination": "@alice", "currency": "EUR", "amount": "25.00", "allow_overdraft": True}
    relay.enqueue(transaction(**pay, description="Top-up", meta_data={"d": deep} | names), key="many")
    asked = [{"d" + ".o" * 18: "7"}, *({f"n{number}": str(number)} for number in (0, 99, 100, 399))]
    assert [keys(operator, meta=one) for one in asked] == [["many"]] * len(asked)
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    copy(journal, database)
    trim(journal)
    assert [keys(operator, meta=one) for one in asked] == [["many"]] * len(asked)


@pytest.mark.parametrize("sort", ["sqlite"])
@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (("*",), "all that was copied"),
        (("order", "shop"), "all that was copied"),
        (("shop",), "what was copied, without metadata other than shop"),
        ((), "what was copied, without metadata"),
    ],
)
def test_metadata_that_history_does_not_keep_is_not_said_to_be_nowhere(settings, kept, told):
    with Relay(replace(settings, history_meta=kept)) as relay, closing(made(settings.history_url)) as database:
        operator, journal = Operator(relay.journals, relay.bells), relay.journal()
        shop(relay)
        copy(journal, database)
        trim(journal)
        result = operator.find(meta={"order": "1001", "shop.till": "7"})
        assert len(result.found) == (told == "all that was copied")
        assert (result.looked[0].whole, result.looked[0].told) == (told == "all that was copied", told)


def large_bulk(relay: Relay, items: int) -> str:
    """A bulk that is over, of which each item has a row of its own in the ledger; its id."""
    relay.enqueue(
        bulk_transactions(
            [
                transaction(
                    source="@bob", destination="@fees", currency="EUR", amount="1.00", description="Fee",
                    reference=f"fee-{number}",
                )
                for number in range(items)
            ]
        ),
        key="fees-1",
    )  # fmt: skip
    journal = relay.journal()
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    rows = {str(number): f"APPLIED txn_{number:08}-1111-4111-8111-aaaaaaaaaaaa" for number in range(items)}
    id_ = status(journal, "fees-1").id
    journal.client.hset(journal.key(f"parts:{id_}"), mapping=rows)
    return id_


@pytest.mark.parametrize("sort", ["sqlite"])
def test_a_large_bulk_is_found_by_the_reference_and_by_the_row_of_each_item(relay, database):
    large_bulk(relay, 1_200)
    operator, journal = Operator(relay.journals, relay.bells), relay.journal()
    asked = [
        {"reference": "fee-0"},
        {"reference": "fee-1199"},
        {"ledger_id": f"txn_{1199:08}-1111-4111-8111-{'a' * 12}"},
    ]
    assert [keys(operator, **one) for one in asked] == [["fees-1"]] * 3
    statements: list[int] = []
    event.listen(
        database.engine, "before_cursor_execute", lambda *told: statements.append(len(told[3]) if told[5] else 1)
    )
    copy(journal, database)
    trim(journal)
    assert [keys(operator, **one) for one in asked] == [["fees-1"]] * 3
    assert {place.place: place.told for place in operator.find(**asked[1]).looked}["history"] == "all that was copied"
    sorts = Counter(row["sort"] for row in rows_of(database, schema.names))
    assert sorts == {"reference": 1_200, "id": 1_200}
    # However many rows a page has, no more than some of them are written at once.
    assert 400 < max(statements) <= 500


def test_no_intent_hides_behind_one_that_has_very_many_rows(database):
    """A bulk of items that are all alike has as many rows as items for one question."""

    def one(number: int, ended_ms: int, rows: int) -> Ended:
        moved = tuple(Movement("EUR", "7", "700", "@bob", f"@fees-{row}") for row in range(rows))
        return Ended(
            id=f"id-{number}", key=f"order-{number}", kind="x", lane=LANE, state="done", ended_ms=ended_ms,
            movements=moved,
        )  # fmt: skip

    # Three of one moment that fill a look each, and single ones of that moment and of others.
    ended = [one(number, 5_000, 40) for number in range(3)]
    ended += [one(number, 5_000, 1) for number in (3, 4)] + [one(5, 6_000, 30), one(6, 4_000, 1), one(7, 3_000, 50)]
    with database.locked("relay:default", "default") as page:
        assert page is not None
        page.write(Place("born", 1, ""), 7_000, ended, [], [])
    terms = Terms(movement={"amount": "7"})
    with database.reading() as connection:
        for most in range(1, 10):
            found, more = search(connection, terms, {1: "default"}, most)
            assert (len(found), more) == (min(most, 8), most < 8), most
        assert found[0][1].key == "order-5"
        assert [one.key for _, one in found[-2:]] == ["order-6", "order-7"]
        assert {one.key for _, one in found} == {f"order-{number}" for number in range(8)}


@pytest.mark.parametrize("sort", ["sqlite"])
def test_where_names_were_cut_it_does_not_say_that_it_looked_at_all(relay, database, monkeypatch):
    monkeypatch.setattr(copying, "MOST_NAMES", 50)
    large_bulk(relay, 60)
    operator, journal = Operator(relay.journals, relay.bells), relay.journal()
    copy(journal, database)
    trim(journal)
    sorts = Counter(row["sort"] for row in rows_of(database, schema.names))
    assert sorts == {"reference": 50, "id": 50, "cut": 1}

    def told(**asked: Any) -> tuple[bool, str]:
        [history] = [place for place in operator.find(**asked).looked if place.place == "history"]
        return history.whole, history.told

    assert told(reference="fee-59") == (False, "what was copied, without names beyond 100,000 of one intent")
    # By all others it is found.
    assert told(destination="@fees") == (True, "all that was copied")
    assert keys(operator, destination="@fees") == ["fees-1"]


def test_what_a_journal_hides_is_nowhere_in_the_clear_and_found_with_its_key(valkey, tmp_path):
    key = base64.b64encode(bytes(range(32))).decode()
    url = sqlite_url(tmp_path)
    hidden = Settings(
        redis_url=f"redis://127.0.0.1:{valkey.port}/0", namespace="hidden", encryption_keys=f"k1:{key}",
        history_url=url, history_payload=True,
    )  # fmt: skip
    database = made(url)
    with Relay(hidden) as relay:
        relay.enqueue(top_up("secret-order", "7654321.98", "@secret-wallet"), key="order-1")
        journal = relay.journal()
        finish(journal, *journal.claim(LANE, WORKER, 10).items)
        copy(journal, database)
        trim(journal)
        operator = Operator(relay.journals, relay.bells)
        told = str(books_of(database))
        assert [
            text for text in ("secret-order", "7654321.98", "765432198", "@secret-wallet", "@world") if text in told
        ] == []
        assert "order-1" in told
        asked = {"destination": "@secret-wallet", "amount": Decimal("7654321.98"), "meta": {"order": "secret-order"}}
        assert keys(operator, **asked) == ["order-1"]
        assert keys(operator, destination="@somebody-else") == []
        assert keys(operator, meta={"shop.till": "7"}) == ["order-1"]
        assert [text for text in ("shop", "till") if text in str(rows_of(database, schema.meta))] == []
        # As a version before has written it: names of metadata in the clear.
        hide = journal.drive(copying.hide_flow(journal.seal))
        with database.engine.execution_options(writes=True).begin() as connection:
            for name in ("order", "shop.till"):
                hidden_name = hide("meta", name)
                connection.execute(update(schema.meta).where(schema.meta.c.name == hidden_name).values(name=name))
        assert keys(operator, **asked) == keys(operator, meta={"shop.till": "7"}) == ["order-1"]
    assert rows_of(database, schema.intents, "id")[0]["encrypted"].startswith("k1.")
    database.close()


def test_where_the_key_is_missing_it_does_not_say_that_it_looked_at_all(valkey, tmp_path):
    key = base64.b64encode(bytes(range(32))).decode()
    url = sqlite_url(tmp_path)
    hidden = Settings(
        redis_url=f"redis://127.0.0.1:{valkey.port}/0", namespace="locked", encryption_keys=f"k1:{key}", history_url=url
    )  # fmt: skip
    database = made(url)

    def looked(settings: Settings, **asked: Any) -> list[tuple[list[str], bool, str]]:
        with Relay(settings) as relay:
            result = Operator(relay.journals, relay.bells).find(**asked)
        found = [one.status.key for one in result.found]
        return [(found, place.whole, place.told) for place in result.looked]

    asked = {"destination": "@secret-wallet"}
    says = "without what is encrypted, for its key is not here"
    with Relay(hidden) as relay, Relay(replace(hidden, encryption_keys="")) as stranger:
        journal = relay.journal()
        relay.enqueue(top_up("1001", to="@secret-wallet"), key="order-1")
        finish(journal, *journal.claim(LANE, WORKER, 10).items)
        assert [whole for _, whole, _ in looked(hidden, **asked)] == [True, True]
        for found, whole, told in looked(stranger.settings, **asked):
            assert (found, whole, says in told) == ([], False, True), told
        # By what is not hidden all is found.
        assert looked(stranger.settings, key="order-1")[0][:2] == (["order-1"], True)
        # Copied by a worker without the key it is not found by anybody, until one with the key copies it again.
        copy(stranger.journal(), database)
        trim(journal)
        [(found, whole, told), _] = looked(hidden, **asked)
        assert (found, whole) == ([], False)
        assert "what was encrypted and copied by a worker without its key" in told
        # What has nothing to be found by says so no longer than the key is missing, either.
        relay.enqueue(create_ledger("Wallets"), key="ledger-1")
        finish(journal, *journal.claim(LANE, WORKER, 10).items)
        copy(stranger.journal(), database)
        assert [row for row in rows_of(database, schema.names) if row["sort"] == UNREAD]
        assert looked(hidden, key="order-1")[0][1]
        relay.enqueue(top_up("1002", to="@secret-wallet"), key="order-2")
        finish(journal, *journal.claim(LANE, WORKER, 10).items)
        copy(stranger.journal(), database)
        with database.engine.execution_options(writes=True).begin() as connection:
            # Set back: it is copied once more.
            connection.execute(update(schema.journals).values(page=0))
            connection.execute(delete(schema.names).where(schema.names.c.intent == id_of("default", "order-1")))
        copy(journal, database)
        trim(journal)
        assert looked(hidden, **asked)[0] == (["order-2"], True, "all that was copied")
    database.close()


@pytest.mark.parametrize("sort", ["sqlite"])
def test_what_is_odd_is_found_in_the_journal_and_in_history_alike(relay, database):
    """A name of metadata with a dot of its own, a precision that is no power of ten, lines that are alike."""
    intent = transaction(
        source="@world", destination="@alice", currency="ODD", precise_amount=2500, precision=250, description="Odd",
        allow_overdraft=True, meta_data={"a.b": "x", "a": {"b": "y"}},
    )  # fmt: skip
    relay.enqueue(intent, key="odd-1")
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    for note in ("one", "two"):
        line = {"at": 1_700_000_000_000, "what": "looked", "by": "w", "note": note}
        journal.client.rpush(journal.key(f"log:{id_of('default', 'odd-1')}"), json.dumps(line))
    asked: list[dict[str, Any]] = [
        {"meta": {"a.b": "x"}},
        {"meta": {"a.b": "y"}},
        {"amount": Decimal(10)},
        {"amount": Decimal(10), "currency": "ODD"},
        {"precise_amount": 2500},
    ]
    assert [keys(operator, **one) for one in asked] == [["odd-1"]] * len(asked)
    assert keys(operator, amount=Decimal(25)) == []
    copy(journal, database)
    trim(journal)
    assert [keys(operator, **one) for one in asked] == [["odd-1"]] * len(asked)
    assert keys(operator, amount=Decimal(25)) == []
    notes = [row["note"] for row in rows_of(database, schema.attempts, "at_ms") if row["what"] == "looked"]
    assert notes == ["one", "two"]


def test_the_commands_say_the_same(relay, database, settings, monkeypatch):
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    shop(relay)
    assert run("history", "upgrade", "--json").json["changed"] is False
    copy(relay.journal(), database)
    document = run("history", "status", "--json").json
    assert (document["rows"]["intents"], document["journals"][0]["on"], document["trouble"]) == (5, True, "")
    assert "default" in run("history", "status").out
    found = run("find", "--destination", "@bob", "--json").json
    assert [one["key"] for one in found["intents"]] == ["order-1002"]
    assert [
        name for name in ("intents", "more", "looked", "place", "whole", "told") if name not in set(names(found))
    ] == []
    assert all(f"`{name}`" in section("blnk-relay find") for name in ("intents", "more", "looked", "where"))
    for arguments in (["fee-1"], ["--meta", "order=1001"], ["--amount", "25.00", "--currency", "EUR", "--since", "1h"]):
        ran = run("find", *arguments)
        assert ran.code == 0, ran.err
        assert "order-1001" in ran.out or "fees-1" in ran.out
        assert "Looked in history" in ran.out
    bury(relay, "poor-1")
    copy(relay.journal(), database)
    assert [one["key"] for one in run("find", "--class", "refused", "--json").json["intents"]] == ["poor-1"]
    assert run("find", "--class", "odd").code == 2
    # What is mistyped does not look like what is not there.
    mistyped = run("find", "--kind", "transactions", "--json")
    assert mistyped.code == 3
    assert mistyped.json["error"]["message"] == "no kind is 'transactions'; did you mean 'transaction'?"
    for asked, hint in (
        (
            ("--code", "NOO"),
            "Perhaps the code is mistyped: no code among the dead letters is 'NOO'; did you mean 'NO'?",
        ),
        (("--outcome", "aplied"), "No outcome is called 'aplied'; there are applied, "),
        (("--currency", "eur"), "Currencies are compared as they were given: perhaps 'EUR' is meant."),
    ):
        ran = run("find", *asked)
        assert (ran.code, ran.out.splitlines()[0]) == (0, "Nothing was found.")
        assert hint in ran.out
    assert "mistyped" not in run("find", "--code", "NO").out + run("find", "--code", "NO", "--amount", "1.23").out
    assert run("find").code == 5
    assert run("history", "off", "--reason", "a test").code == 5
    assert run("history", "off", "--reason", "a test", "--force", "--json").json == {
        "targets": [{"target": "default", "not_copied": 0}]
    }
