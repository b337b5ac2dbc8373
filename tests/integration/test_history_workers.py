"""History as workers make it: beside the payments, with the database away, and off where nobody asked for it."""

from __future__ import annotations

from collections import Counter

import pytest

from blnk_relay import Operator, Relay
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from blnk_relay.history.upgrading import upgrade
from blnk_relay.journal.journal import Journal
from tests.support.counting import wait_for_all
from tests.support.history import made, rows_of, sqlite_url
from tests.support.payments import payment, poor
from tests.support.waiting import wait_until

#: What is over may be trimmed at once.
SETTINGS = {"retention_s": 0.5, "sweep_s": 0.2}


def test_a_worker_goes_on_while_there_are_no_tables_and_copies_all_once_there_are(make_stage, tmp_path):
    url = sqlite_url(tmp_path)
    stage = make_stage(settings={**SETTINGS, "history_url": url})
    stage.start_worker()
    with Relay(stage.settings) as relay:
        operator = Operator(relay.journals, relay.bells)
        wait_until(lambda: relay.journal().history_lag().trouble == "schema", 30, "the trouble to be noted")
        database = Database(url)
        upgrade(database)
        wait_until(lambda: relay.journal().history_lag().on, 60, "history to begin")
        receipts = relay.enqueue_many([*(payment(f"paid-{number}") for number in range(20)), poor("poor-1")])
        wait_for_all(relay, receipts, 60)
        wait_until(lambda: len(rows_of(database, schema.intents)) == 21, 60, "all to be copied")
        # And only then it goes from the journal.
        wait_until(lambda: operator.overview().done == 0, 60, "what is copied to be trimmed")
        keys = Counter(row["key"] for row in rows_of(database, schema.intents))
        assert keys == Counter([*(f"paid-{number}" for number in range(20)), "poor-1"])
        assert [row["code"] for row in rows_of(database, schema.letters)] == ["TXN_INSUFFICIENT_FUNDS"]
        assert {row["what"] for row in rows_of(database, schema.attempts)} >= {"sent"}
        (one,) = operator.find(key="paid-7").found
        assert (one.where, one.status.outcome) == ("history", "applied")
        database.close()
    stage.stop_workers()
    assert ": upgrade its tables" in stage.log.read_text()


def a_minute_passes(journal: Journal) -> None:
    """What is over, and what waits to be copied, becomes a minute older, as if so much time had passed."""
    client = journal.client
    for name in ("done", "uncopied"):
        for id_, at in client.zrange(journal.key(name), 0, -1, withscores=True):
            client.zadd(journal.key(name), {id_: at - 60_000}, xx=True)
    history = journal.key("history")
    for name in ("seen", "trouble_since"):
        if at := client.hget(history, name):
            client.hset(history, name, int(at) - 60_000)


@pytest.mark.long
def test_workers_go_on_while_postgresql_is_away_for_an_hour_and_nothing_is_trimmed_until_it_is_copied(
    make_stage, postgresql
):
    url = postgresql.url()
    database = made(url)
    # Ten minutes after its end all would be trimmed.
    stage = make_stage(settings={"retention_s": 600.0, "sweep_s": 0.2, "history_url": url})
    worker = stage.start_worker()
    with Relay(stage.settings) as relay:
        journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
        wait_for_all(relay, [relay.enqueue(payment("before"))], 60)
        wait_until(lambda: len(rows_of(database, schema.intents)) == 1, 60, "the first to be copied")
        postgresql.crash()
        paid = ["before"]
        for minute in range(60):
            names = [f"paid-{minute}-{number}" for number in range(3)]
            wait_for_all(relay, relay.enqueue_many([payment(name) for name in names]), 60)
            paid += names
            a_minute_passes(journal)
        assert {relay.get(key).outcome for key in paid[1:]} == {"applied"}, "none is trimmed"
        [behind] = [one for one in operator.verdicts() if one.sort == "history-behind"]
        assert behind.count == len(paid) - 1
        lag = journal.history_lag()
        assert (lag.uncopied, lag.held > 100) == (len(paid) - 1, True)
        assert lag.oldest_s > 3_500
        assert worker.poll() is None
        assert operator.health().live
        asked = operator.find(key="paid-7-1")
        assert [one.where for one in asked.found] == ["journal"]
        assert not all(place.whole for place in asked.looked), "it says where it could not look"
        postgresql.start()
        wait_until(lambda: not journal.history_lag().uncopied, 120, "it to catch up")
        assert Counter(row["key"] for row in rows_of(database, schema.intents)) == Counter(dict.fromkeys(paid, 1))
        wait_until(lambda: operator.overview().done < 40, 60, "what is copied and old to be trimmed")
        assert [one for one in operator.verdicts() if one.sort == "history-behind"] == []
    database.close()
