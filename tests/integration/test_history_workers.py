"""History as workers make it: beside the payments, with the database away, and off where nobody asked for it."""

from __future__ import annotations

from collections import Counter

from blnk_relay import Operator, Relay
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from blnk_relay.history.upgrading import upgrade
from tests.support.counting import wait_for_all
from tests.support.history import rows_of, sqlite_url
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
    assert "run 'blnk-relay history upgrade'" in stage.log.read_text()
