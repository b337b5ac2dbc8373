"""History: what is over is copied exactly once, whatever is killed, lost or set back, and trimmed only afterwards."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from blnk_relay import HistoryUnavailable, Leg, Operator, Refused, Relay, Settings, split_transaction
from blnk_relay.history import schema
from blnk_relay.history.database import Database, Page
from blnk_relay.journal import copying, salvaging
from blnk_relay.journal.copier import Copier
from blnk_relay.journal.ground import Ground
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.settlement import Settlement
from tests.support.copying import tell_steps
from tests.support.history import books_of, copy, made, rows_of
from tests.support.journal import LANE, WORKER, bury, enqueue, finish, kill, pay, status, sweep, trim
from tests.support.payments import SHOP
from tests.support.stages import operator_of
from worker.copier import Turn

#: The same on PostgreSQL takes longer; test_find.py copies into it in the first tier as well.
SORTS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.long))


@pytest.fixture(params=SORTS)
def sort(request: pytest.FixtureRequest) -> str:
    """The sort of the database."""
    return str(request.param)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, history_batch=5, history_payload=True)


def keys_in(database: Database) -> Counter[str]:
    return Counter(row["key"] for row in rows_of(database, schema.intents, "key"))


def test_the_migrations_make_the_very_tables_that_are_written_to(database):
    """Each says for itself what it makes, and says the same for ever; together they have to come to the schema."""
    # What the models have not stands in no migration either, so that it cannot be left there.
    options = {"version_table": schema.VERSIONS, "compare_type": True, "compare_server_default": True}
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []


def test_what_is_over_is_copied_with_all_that_is_known_of_it(relay, database):
    journal = relay.journal()
    pay(relay, "paid-1", "paid-2")
    copy(journal, database)
    first, second = rows_of(database, schema.intents, "key")
    known = relay.get("paid-1")
    assert (first["id"], first["key"], first["kind"]) == (known.id, "paid-1", "transaction")
    assert (first["state"], first["outcome"], first["reference"]) == ("done", "applied", "paid-1")
    assert first["ended_ms"] == int(known.updated.timestamp() * 1000)
    assert second["key"] == "paid-2"
    assert '"precise_amount"' in first["payload"]
    assert {row["name"] for row in rows_of(database, schema.names, "name")} == {"paid-1", "paid-2"}
    (amount,) = {row["amount"] for row in rows_of(database, schema.movements, "intent")}
    assert amount


def test_nothing_is_copied_twice_and_nothing_is_trimmed_before_it_is_copied(relay, database):
    journal = relay.journal()
    pay(relay, "paid-1")
    copy(journal, database)
    pay(relay, *(f"later-{number}" for number in range(12)))
    trim(journal)
    # The one that is copied may go, and those that are not stay.
    assert relay.get("paid-1").key == ""
    assert all(relay.get(f"later-{number}").key for number in range(12))
    assert journal.history_lag().held == journal.history_lag().uncopied == 12
    copy(journal, database)
    assert journal.history_lag().uncopied == 0
    sweep(journal)
    assert all(relay.get(f"later-{number}").key == "" for number in range(12))
    assert keys_in(database) == Counter(["paid-1", *(f"later-{number}" for number in range(12))])


def test_what_was_over_when_it_was_switched_on_is_walked_through_and_kept_until_then(relay, database):
    journal = relay.journal()
    pay(relay, *(f"before-{number}" for number in range(23)))
    bury(relay, "dead-1", "dead-2", "dead-3")
    operator = Operator(relay.journals, relay.bells)
    operator.discard(status(journal, "dead-3"), who="me", reason="by hand")
    for id_ in journal.client.zrange(journal.key("done"), 0, -1):
        # All at one moment.
        journal.client.zadd(journal.key("done"), {id_: 1})
    copier = Copier(journal, database)
    assert copier.round().begins == "new"
    sweep(journal)
    assert journal.client.zcard(journal.key("done")) >= 20
    pay(relay, "meanwhile")
    copy(journal, database)
    assert journal.history_lag().walking == 0
    assert keys_in(database) == Counter(
        [*(f"before-{number}" for number in range(23)), "dead-1", "dead-2", "dead-3", "meanwhile"]
    )
    sweep(journal)
    assert journal.client.zcard(journal.key("done")) == 1


def test_each_life_of_a_letter_is_kept_and_says_how_it_was_closed(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "first")
    copy(journal, database)
    bury(relay, "poor", dead_class="rejected")
    copy(journal, database)
    (letter,) = rows_of(database, schema.letters, "died_ms")
    assert (letter["dead_class"], letter["code"], letter["closed"]) == ("rejected", "NO", "")
    operator.replay(status(journal, "poor"), who="me", reason="funds came")
    copy(journal, database)
    assert [row["closed"] for row in rows_of(database, schema.letters, "died_ms")] == ["replayed"]
    assert [row["generation"] for row in rows_of(database, schema.letters)] == [0], "the one that it died with"
    states = {row["key"]: row["state"] for row in rows_of(database, schema.intents, "key")}
    assert states == {"first": "done", "poor": "open"}
    for claimed in journal.claim(LANE, WORKER, 100).items:
        kill(journal, claimed, "refused")
    # Two things happen before anybody copies.
    operator.replay(status(journal, "poor"), who="me", reason="again")
    (claimed,) = journal.claim(LANE, WORKER, 1).items or journal.take(WORKER, 1, 5.0).items
    finish_of(journal, claimed)
    copy(journal, database)
    lives = rows_of(database, schema.letters, "died_ms", "life")
    assert [(row["dead_class"], row["closed"]) for row in lives] == [("rejected", "replayed"), ("refused", "replayed")]
    names = {(row["sort"], row["name"]) for row in rows_of(database, schema.names, "name")}
    assert {("reference", "poor"), ("reference", "poor.r2")} <= names
    states = {row["key"]: row["state"] for row in rows_of(database, schema.intents, "key")}
    assert states["poor"] == "done"


def finish_of(journal: Journal, claimed: Any) -> None:
    origin = "posted" if claimed.progress.looking else "sending"
    journal.settle(WORKER, [Settlement(claimed, origin, "done", 0, {"outcome": "applied"})], [])
    assert journal.status(claimed.entry.id).state == "done"


def test_a_discarded_letter_keeps_when_it_died(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "first")
    copy(journal, database)
    bury(relay, "poor")
    died = status(journal, "poor").updated
    operator.discard(status(journal, "poor"), who="me", reason="by hand")
    copy(journal, database)
    (row,) = rows_of(database, schema.letters, "died_ms")
    assert row["died_ms"] == int(died.timestamp() * 1000)
    assert (row["closed"], row["closed_ms"]) == ("discarded", int(status(journal, "poor").updated.timestamp() * 1000))
    (attempt,) = rows_of(database, schema.attempts, "at_ms")
    assert (attempt["what"], attempt["worker"], attempt["note"]) == ("discarded", "me", "by hand")


# -- killed, doubled, set back -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that is no more: nothing of it runs on."""


class Boundaries:
    """Ends a copier before or after the n-th thing that it says to Redis or to the database."""

    def __init__(self, journal: Journal, database: Database) -> None:
        self._left = -1
        self.met: list[str] = []
        tell_steps(journal, database.engine, self.pass_)

    def pass_(self, name: str) -> None:
        if self._left < 0:
            return
        self.met.append(name)
        self._left -= 1
        if self._left < 0:
            raise Killed(name)

    def killed_at(self, number: int, act: Callable[[], Any]) -> bool:
        """Whether something was ended at its n-th boundary, rather than before it came to that."""
        self._left = number
        try:
            act()
        except Killed:
            pass
        else:
            return False
        finally:
            self._left = -1
        # What a process that is no more would have let go of at once.
        gc.collect()
        return True


def check_books(journal: Journal, database: Database, done: set[str], dead: set[str]) -> None:
    """Nothing is lost, and nothing stands there twice."""
    assert keys_in(database) == Counter({*done, *dead})
    states = {row["key"]: (row["state"], row["outcome"]) for row in rows_of(database, schema.intents, "key")}
    assert states == {**dict.fromkeys(done, ("done", "applied")), **dict.fromkeys(dead, ("dead", ""))}
    assert len(rows_of(database, schema.letters, "life")) == len(dead)
    assert {row["name"] for row in rows_of(database, schema.names, "name")} == {*done, *dead}
    assert len(rows_of(database, schema.movements, "intent")) == len({*done, *dead})
    lag = journal.history_lag()
    assert (lag.uncopied, lag.walking, lag.trouble) == (0, 0, "")


def test_killed_before_and_after_each_thing_that_it_says_nothing_is_lost_or_doubled(relay, database):
    journal = relay.journal()
    boundaries = Boundaries(journal, database)
    number, done, dead = 0, set[str](), set[str]()
    killed = True
    while killed:
        pay(relay, f"paid-{number}")
        bury(relay, f"dead-{number}")
        done.add(f"paid-{number}")
        dead.add(f"dead-{number}")
        killed = boundaries.killed_at(number, Copier(journal, database).round)
        # Whoever comes next may try to trim at once; what was over before it was on is kept by nothing.
        if journal.history_lag().on:
            trim(journal)
        number += 1
    assert {"after copied", "before copied", "before the commit", "after copy"} <= set(boundaries.met)
    assert number > 20
    copy(journal, database)
    check_books(journal, database, done, dead)
    trim(journal)
    assert journal.client.zcard(journal.key("done")) == 0


def test_two_copiers_at_once_do_not_meet(relay, database):
    journal = relay.journal()
    pay(relay, "paid-1", "paid-2")
    with database.locked("relay:default", "default") as page:
        assert page is not None
        assert Copier(journal, database).round().copied == 0
    copy(journal, database)
    pay(relay, "paid-3")
    # The same once the journal is known there.
    with database.locked("relay:default", "default") as page:
        assert page is not None
        assert Copier(journal, database).round().copied == 0
        assert journal.history_lag().begun_s is not None, "a page is under way, though not that one's"
    assert journal.history_lag().trouble == ""
    # One has written its page and is frozen; another copies that and what came after; then the first one wakes.
    first, told = Copier(journal, database), []
    drive = journal.drive

    def frozen(flow: Any) -> Any:
        if flow.__name__ == "copied_flow":
            told.append(flow)
            return True
        return drive(flow)

    journal.drive = frozen  # type: ignore[method-assign]
    assert first.round().copied == 1
    journal.drive = drive  # type: ignore[method-assign]
    copy(journal, database)
    pay(relay, "paid-4")
    assert drive(told[0]) is False
    assert journal.history_lag().uncopied == 1
    copy(journal, database)
    assert journal.history_lag().begun_s is None
    check_books(journal, database, {f"paid-{number}" for number in (1, 2, 3, 4)}, set())


def test_a_database_that_was_set_back_or_another_one_gets_all_that_is_kept(relay, database, tmp_path):
    journal = relay.journal()
    pay(relay, "paid-1")
    bury(relay, "dead-1")
    copy(journal, database)
    backup = books_of(database)
    with database.engine.connect() as connection:
        rows = connection.execute(sa.select(schema.journals)).all()
    pay(relay, "paid-2", "paid-3")
    copy(journal, database)
    whole = books_of(database)
    # From a backup.
    with database.engine.execution_options(writes=True).begin() as connection:
        for table in (*schema.OF_INTENT, schema.intents):
            rows_now = connection.execute(sa.select(schema.intents)).all()
            ids = [row.id for row in rows_now if row.key in ("paid-2", "paid-3")]
            column = table.c.id if table is schema.intents else table.c.intent
            connection.execute(sa.delete(table).where(column.in_(ids)))
        connection.execute(sa.update(schema.journals).values(page=rows[0].page))
    assert books_of(database) == backup
    copier = Copier(journal, database)
    assert copier.round().begins == "page"
    copy(journal, database)
    assert books_of(database) == whole
    # Another database: only once the first one was not heard of for a while.
    other = made(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(HistoryUnavailable, match="one BLNK_RELAY_HISTORY_URL"):
        Copier(journal, other).round()
    assert journal.history_lag().trouble == "database"
    journal.client.hset(journal.key("history"), "seen", journal.now_ms() - 120_000)
    assert Copier(journal, other).round().begins == "database"
    copy(journal, other)
    assert {name: len(table) for name, table in books_of(other).items()} == {
        name: len(table) for name, table in whole.items()
    }
    other.close()


def test_what_redis_has_lost_ends_once_more_and_its_letters_are_looked_at_again(relay, database, valkey):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    journal.sweep()
    pay(relay, "paid-1")
    bury(relay, "dead-1")
    copy(journal, database)
    enqueue(relay, "paid-2")
    with redis.Redis(port=valkey.port) as client:
        # A snapshot, in another database of the server.
        for key in client.keys("{relay:*"):
            client.copy(key, key, destination_db=5)
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    operator.discard(status(journal, "dead-1"), who="me", reason="by hand")
    copy(journal, database)
    assert {row["key"]: row["state"] for row in rows_of(database, schema.intents, "key")}["dead-1"] == "discarded"
    with redis.Redis(port=valkey.port) as client:
        client.swapdb(0, 5)
        client.select(5)
        client.flushdb()
    # Another process of the server has another epoch.
    journal.client.hset(journal.key("ground"), "epoch", "another")
    assert Copier(journal, database).round().begins == "epoch"
    copy(journal, database)
    states = {row["key"]: row["state"] for row in rows_of(database, schema.intents, "key")}
    assert states == {"paid-1": "done", "paid-2": "done", "dead-1": "dead"}
    (letter,) = rows_of(database, schema.letters, "life")
    assert letter["closed"] == ""
    assert (status(journal, "dead-1").state, status(journal, "paid-2").state) == ("dead", "ready")
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    copy(journal, database)
    assert keys_in(database) == Counter(["paid-1", "paid-2", "dead-1"])


# -- large ones --------------------------------------------------------------------------------------------------------

#: Items of a large intent here, and its size: two of them fit into a page, and three do not.
ITEMS, LARGE = 3_000, 900_000


def enlarge(journal: Journal, *keys: str) -> None:
    """Give intents the payload of a large bulk."""
    items = [{"precise_amount": 1, "source": "@a", "destination": f"@b-{number}"} for number in range(ITEMS)]
    items[0]["description"] = "x" * (LARGE - len(json.dumps(items)))
    for key in keys:
        name = journal.key(f"body:{status(journal, key).id}")
        head, _, _ = str(journal.client.get(name)).partition(',"payload":')
        journal.client.set(name, f'{head},"payload":{json.dumps({"items": items})}}}')


class Pages:
    """What each page has written, and what each trip has brought."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[list[str]] = []
        self.rows: list[int] = []
        self.bytes: list[int] = []
        write, carry = Page.write, journal._carry

        def written(page: Page, place: Any, at_ms: int, ended: Any, *others: Any) -> None:
            self.keys.append([one.key for one in ended])
            self.rows.append(sum(len(one.movements) for one in ended))
            write(page, place, at_ms, ended, *others)

        def carried(trip: Any) -> Any:
            answer = carry(trip)
            self.bytes.append(len(str(answer)))
            return answer

        monkeypatch.setattr(Page, "write", written)
        journal._carry = carried  # type: ignore[method-assign]


def test_a_page_ends_where_its_intents_are_large_and_the_next_one_begins_there(settings, database, monkeypatch):
    with Relay(replace(settings, history_batch=200)) as others:
        journal, operator = others.journal(), Operator(others.journals, others.bells)
        bury(others, "dead-1", "dead-2", "closed-1", "closed-2")
        for key in ("closed-1", "closed-2"):
            operator.discard(status(journal, key), who="me", reason="by hand")
        pay(others, *(f"before-{number}" for number in range(5)))
        pay(others, *(f"small-{number}" for number in range(30)))
        # The second walk begins with one that does not fit any more.
        large = ["dead-1", "dead-2", "closed-1", "closed-2", *(f"before-{number}" for number in range(5))]
        enlarge(journal, *large)
        pages = Pages(journal, monkeypatch)
        assert Copier(journal, database).round().begins == "new"
        pay(others, *(f"after-{number}" for number in range(5)))
        enlarge(journal, *(f"after-{number}" for number in range(5)))
        copy(journal, database)
        # Nothing is passed over, and nothing copied twice but what was walked to after it had ended anew.
        copied = Counter(key for some in pages.keys for key in some)
        small = [f"small-{number}" for number in range(30)]
        assert set(copied) == {*large, *small, *(f"after-{number}" for number in range(5))}
        assert [key for key, number in copied.items() if number > 1 and not key.startswith("after-")] == []
        # By a page no more than two large ones of what has changed, and as many of what was over before.
        of_large = [sum(key in {*large} or key.startswith("after-") for key in some) for some in pages.keys]
        assert max(of_large[:1]) == 2
        assert max(of_large) == 4
        assert max(pages.rows) <= 4 * ITEMS + 30
        # By a trip no more than two, although a page may have four.
        assert 1.9 * LARGE < max(pages.bytes) < 2.2 * LARGE
        assert (journal.history_lag().uncopied, journal.history_lag().walking) == (0, 0)


def test_one_that_is_larger_than_a_page_is_copied_by_itself(relay, database, monkeypatch):
    journal = relay.journal()
    pay(relay, "first")
    copy(journal, database)
    pay(relay, "small-1", "huge", "small-2")
    enlarge(journal, "huge")
    name = journal.key(f"body:{status(journal, 'huge').id}")
    journal.client.set(name, str(journal.client.get(name)).replace("xxx", "x" * 10))
    assert journal.client.strlen(name) > 2_000_000
    for at, key in enumerate(("small-1", "huge", "small-2")):
        journal.client.zadd(journal.key("uncopied"), {status(journal, key).id: 1_000 + at})
    pages = Pages(journal, monkeypatch)
    copy(journal, database)
    assert pages.keys == [["small-1"], ["huge"], ["small-2"]]


# -- away, off, older --------------------------------------------------------------------------------------------------


def test_with_the_database_away_for_an_hour_all_goes_on_and_it_catches_up(relay, database, tmp_path):
    journal = relay.journal()
    journal.sweep()
    pay(relay, "paid-1")
    copy(journal, database)
    # It has no tables, as good as none.
    away = Database(f"sqlite:///{tmp_path / 'away.db'}")
    for minute in range(60):
        pay(relay, f"minute-{minute}")
        # A minute of its clock, which nobody is there to notice.
        journal.client.hincrby(journal.key("ground"), "skew", 60_000)
        journal._ground = Ground()
        if minute % 10 == 0:
            with pytest.raises(HistoryUnavailable):
                Copier(journal, away).round()
            trim(journal)
    lag = journal.history_lag()
    assert (lag.uncopied, lag.trouble) == (60, "schema")
    assert lag.oldest_s > 3_500
    assert lag.trouble_s > 2_900
    assert lag.held >= 50
    (verdict,) = [one for one in operator_of(relay).verdicts() if one.sort == "history-behind"]
    assert (verdict.target, verdict.count, verdict.remedy) == ("default", 60, "blnk-relay history upgrade")
    assert all(relay.get(f"minute-{minute}").key for minute in range(60))
    copy(journal, database)
    assert journal.history_lag().trouble == ""
    trim(journal)
    assert journal.client.zcard(journal.key("done")) == 0
    assert keys_in(database) == Counter(["paid-1", *(f"minute-{minute}" for minute in range(60))])
    away.close()


def test_once_it_is_switched_off_nothing_waits_for_it(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "paid-1")
    copy(journal, database)
    pay(relay, "paid-2")
    trim(journal)
    assert relay.get("paid-2").key
    with pytest.raises(Refused, match="BLNK_RELAY_HISTORY_URL"):
        operator.history_off(who="me", reason="no longer wanted")
    assert operator.history_off(who="me", reason="no longer wanted", forced=True) == {"default": 1}
    trim(journal)
    assert relay.get("paid-2").key == ""
    assert not journal.history_lag().on
    left = [key for key in journal.client.keys("*") if key.endswith(("history", "uncopied", "lives"))]
    assert left == []
    assert operator.actions(what="history off")[0].reason == "no longer wanted"


def test_a_journal_of_the_first_shape_is_not_copied_before_it_is_upgraded(relay, database):
    journal = relay.journal()
    pay(relay, "paid-1")
    journal.client.hset(journal.key("ground"), "shape", "1")
    with pytest.raises(HistoryUnavailable, match="blnk-relay upgrade"):
        Copier(journal, database).round()
    lag = journal.history_lag()
    assert (lag.on, lag.trouble) == (False, "shape")
    operator = operator_of(relay)
    assert "blnk-relay upgrade" in [one.remedy for one in operator.verdicts() if one.sort == "history-behind"]
    # Whoever gives up on it is not told of it for ever.
    operator.history_off(who="me", reason="no longer wanted")
    assert [one for one in operator.verdicts() if one.sort == "history-behind"] == []
    operator.upgrade()
    copy(journal, database)
    assert keys_in(database) == Counter(["paid-1"])


def test_two_journals_of_one_name_do_not_write_over_each_other(relay, database, settings):
    journal = relay.journal()
    pay(relay, "order-1")
    copy(journal, database)
    books = books_of(database)
    with Relay(replace(settings, redis_url=settings.redis_url.removesuffix("0") + "7")) as elsewhere:
        other = elsewhere.journal()
        # The same program with another Redis: it makes the same keys, and was never copied.
        for keys in ((), ("order-1", "order-2")):
            pay(elsewhere, *keys)
            with pytest.raises(HistoryUnavailable, match=r"BLNK_RELAY_NAMESPACE.*history off --adopt"):
                Copier(other, database).round()
            assert other.history_lag().trouble == "journal"
            assert books_of(database) == books
        # It was copied into another database before, and so has an id.
        other.client.hset(other.key("history"), "id", "another")
        with pytest.raises(HistoryUnavailable, match="BLNK_RELAY_NAMESPACE"):
            Copier(other, database).round()
    pay(relay, "order-2")
    copy(journal, database)
    assert keys_in(database) == Counter(["order-1", "order-2"])


def test_a_journal_that_was_set_back_behind_its_first_page_goes_on(relay, database, valkey):
    journal = relay.journal()
    pay(relay, "trimmed-1")
    enqueue(relay, "paid-1")
    with redis.Redis(port=valkey.port) as client:
        for key in client.keys("{relay:*"):
            client.copy(key, key, destination_db=5)
    finish(journal, *journal.claim(LANE, WORKER, 10).items)
    copy(journal, database)
    with redis.Redis(port=valkey.port) as client:
        client.swapdb(0, 5)
        client.select(5)
        client.flushdb()
    assert not journal.client.hexists(journal.key("ground"), "born")
    assert not journal.client.exists(journal.key("history"))
    # It has one intent that stands in the database as it has it, whatever came since.
    journal.client.zrem(journal.key("done"), status(journal, "trimmed-1").id)
    pay(relay, "later-1")
    copy(journal, database)
    assert {"trimmed-1", "paid-1", "later-1"} == set(keys_in(database))


@pytest.mark.parametrize("since", ["on", "off"])
def test_a_journal_of_a_version_that_kept_its_id_with_history_alone_goes_on(relay, database, since):
    journal = relay.journal()
    pay(relay, "paid-1")
    copy(journal, database)
    journal.client.hdel(journal.key("ground"), "born")
    if since == "off":
        operator_of(relay).history_off(who="me", reason="for a while", forced=True)
        # That is all that the version before left.
        journal.client.hdel(journal.key("ground"), "born")
    pay(relay, "paid-2")
    copy(journal, database)
    assert keys_in(database) == Counter(["paid-1", "paid-2"])
    # From now on it is known, whatever it has forgotten of its intents.
    operator_of(relay).history_off(who="me", reason="for a while", forced=True)
    trim(journal)
    pay(relay, "paid-3")
    copy(journal, database)
    assert keys_in(database) == Counter(["paid-1", "paid-2", "paid-3"])


def test_after_the_loss_of_a_whole_journal_an_operator_says_that_the_new_one_goes_on(relay, database):
    journal, operator = relay.journal(), operator_of(relay)
    pay(relay, "paid-1")
    copy(journal, database)
    for key in journal.client.keys(journal.prefix + "*"):
        journal.client.delete(key)
    pay(relay, "paid-1", "paid-2")
    with pytest.raises(HistoryUnavailable, match="history off --adopt"):
        Copier(journal, database).round()
    assert operator.history_off(who="me", reason="Redis is a new one", adopt=True) == {"default": 0}
    assert operator.actions(what="history off")[0].result == "off, 0 not copied, to go on with what was copied"
    copy(journal, database)
    assert keys_in(database) == Counter(["paid-1", "paid-2"])
    # That was said once, and for this database.
    assert not journal.client.hexists(journal.key("ground"), "adopts")
    with database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.update(schema.journals).values(born="another"))
    with pytest.raises(HistoryUnavailable, match="BLNK_RELAY_NAMESPACE"):
        Copier(journal, database).round()


def test_what_another_intent_of_the_same_key_has_moved_is_not_told_of_the_one_that_is_there(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    sale = split_transaction(
        source="@sales", currency="EUR", precise_amount=4000, precision=100, description="Sale",
        destinations=[Leg("@shop", precise_amount=3900), Leg("@fees", precise_amount=100)], meta_data={"till": "7"},
    )  # fmt: skip
    relay.enqueue(sale, key="order-1")
    pay(relay, "order-2")
    copy(journal, database)
    journal.client.flushdb()
    operator.history_off(who="me", reason="lost", adopt=True)
    bury(relay, "order-1")
    copy(journal, database)
    moved = Counter(row["destination"] for row in rows_of(database, schema.movements))
    assert moved == {SHOP: 2}, "nobody is told that what went to the fees is dead"
    assert rows_of(database, schema.meta) == []
    assert {"order-1", "order-2"} < {row["name"] for row in rows_of(database, schema.names)}


def test_actions_are_copied_before_they_are_trimmed(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "paid-1")
    operator.pause_lane("transactions", who="me", reason="a look")
    copy(journal, database)
    operator.resume_lane("transactions", who="you")
    assert [(row["what"], row["who"]) for row in rows_of(database, schema.actions, "at_ms")] == [("pause", "me")]
    copy(journal, database)
    rows = rows_of(database, schema.actions, "at_ms", "entry")
    assert [(row["what"], row["who"]) for row in rows] == [("pause", "me"), ("resume", "you")]
    assert '"a look"' in rows[0]["document"]


def test_the_retention_forgets_what_is_over_and_no_open_letter(relay, database):
    journal = relay.journal()
    pay(relay, "paid-1", "paid-2")
    bury(relay, "dead-1")
    copy(journal, database)
    pay(relay, "paid-3")
    copy(journal, database)
    ended = {row["key"]: row["ended_ms"] for row in rows_of(database, schema.intents, "key")}
    before = {copied.number: ended["paid-3"] for copied in database.journals().values()}
    assert database.forget(before, 1), "there may be more"
    assert not database.forget(before, 10)
    assert keys_in(database) == Counter(["paid-3", "dead-1"])
    of = {row["intent"] for table in schema.OF_INTENT for row in rows_of(database, table)}
    assert of == {row["id"] for row in rows_of(database, schema.intents, "key")}


def test_old_actions_go_like_intents_batch_by_batch_until_none_is_left(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "paid-1")
    for _ in range(3):
        operator.pause_lane("transactions", who="me", reason="a look")
        operator.resume_lane("transactions", who="me")
    copy(journal, database)
    before = {copied.number: journal.now_ms() + 1 for copied in database.journals().values()}
    assert [database.forget(before, 2) for _ in range(4)] == [True, True, True, False]
    assert rows_of(database, schema.actions) == rows_of(database, schema.intents) == []


# -- what cannot be read -----------------------------------------------------------------------------------------------


def test_one_intent_that_cannot_be_read_holds_up_no_other(relay, database, caplog):
    journal = relay.journal()
    pay(relay, *(f"paid-{number}" for number in range(4)))
    bury(relay, "poor")
    bad, letter = status(journal, "paid-2").id, status(journal, "poor").id
    for id_ in (bad, letter):
        journal.client.hset(journal.key(f"intent:{id_}"), "message", b"\xff")
    journal.client.rpush(journal.key(f"log:{bad}"), b"\xfe")
    journal.client.rpush(journal.key(f"log:{letter}"), '{"at":1e20,"what":"sent"}')
    journal.client.rpush(journal.key("lives"), "not a line of ours")
    turn = Turn(Copier(journal, database), 0.1)
    for _ in range(5):
        turn.take()
    rows = {row["key"]: row for row in rows_of(database, schema.intents)}
    assert sorted(rows) == ["paid-0", "paid-1", "paid-2", "paid-3", "poor"]
    assert (rows["paid-2"]["state"], rows["paid-2"]["outcome"], rows["paid-2"]["message"]) == ("done", "applied", "")
    assert rows["paid-2"]["payload"] == rows["paid-1"]["payload"]
    [life] = rows_of(database, schema.letters)
    assert (life["dead_class"], life["code"]) == ("refused", "NO")
    assert (journal.history_lag().uncopied, journal.history_lag().trouble) == (0, "")
    told = [record.getMessage() for record in caplog.records if "cannot be read as a whole" in record.getMessage()]
    assert len(told) == 3, "each once"
    says = {bad: "(message: UnicodeDecodeError, log: UnicodeDecodeError)", letter: "(message: UnicodeDecodeError)"}
    says["of line 0 of lives as a letter"] = "(JSONDecodeError)"
    for what, why in says.items():
        assert [why in text for text in told if f"intent {what} " in text] == [True], told


def test_a_number_that_no_column_holds_holds_up_nothing(relay, database):
    journal = relay.journal()
    bury(relay, "odd", "even")
    for name in ("attempts", "gen"):
        journal.client.hset(journal.key(f"intent:{status(journal, 'odd').id}"), name, 2**40)
    journal.client.rpush(journal.key(f"log:{status(journal, 'odd').id}"), json.dumps({"at": 1, "status": 2**40}))
    copy(journal, database)
    assert keys_in(database) == Counter(["odd", "even"])
    assert {row["attempts"] for row in rows_of(database, schema.letters)} == {0, 2**31 - 1}


def test_where_nothing_can_be_read_nothing_is_written_and_that_is_noted(relay, database, monkeypatch):
    journal = relay.journal()
    pay(relay, *(f"paid-{number}" for number in range(8)))

    def broken(*_: object, **__: object) -> None:
        raise LookupError("nobody thought of that")

    monkeypatch.setattr(salvaging, "ended_of", broken)
    monkeypatch.setattr(copying, "ended_of", broken)
    copier = Copier(journal, database)
    for _ in range(3):
        with pytest.raises(LookupError):
            copier.round()
    lag = journal.history_lag()
    assert (lag.trouble, lag.begun_s) == ("unforeseen", None)
    assert rows_of(database, schema.intents) == []
    trim(journal)
    assert relay.get("paid-0").key == "paid-0"
    monkeypatch.undo()
    copy(journal, database)
    assert len(keys_in(database)) == 8
    assert journal.history_lag().trouble == ""
