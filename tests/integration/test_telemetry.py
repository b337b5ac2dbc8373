"""Reports to Sentry, over HTTP: none is lost in silence, and a storm of equal ones is a few events with a count."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from blnk_relay import Relay, Settings, __version__
from blnk_relay.intents.decision import Dead, DeadClass
from blnk_relay.intents.exchange import GateAction, GateChange
from blnk_relay.intents.intent import Entry
from tests.support.counting import wait_for_all
from tests.support.payments import poor
from tests.support.prometheus import free_port
from tests.support.sentry import FakeSentry
from tests.support.waiting import wait_until
from worker import telemetry
from worker.folds import Folding, Report
from worker.telemetry import Telemetry


@pytest.fixture
def sentry():
    with FakeSentry() as running:
        yield running
        telemetry.close()


def letter(number=1, *, target="default", kind="transaction", dead_class=DeadClass.REJECTED, code="NO_FUNDS"):
    return Entry(f"id-{number}", kind, target, "lane", "key", "", {}), Dead(dead_class, code, "Ms Sekret has no money.")


#: Events that the library keeps on their way, besides the one that it is sending.
ROOM = 100


def counted(sentry):
    return sum(event["extra"]["count"] for event in sentry.events())


def test_three_hundred_equal_letters_are_two_events_that_count_them_all(sentry):
    reports = Telemetry(Settings(sentry_dsn=sentry.dsn))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: reports.dead(*letter(number)), range(300)))
    wait_until(sentry.events, 10, "the first at once")
    telemetry.close()
    assert [event["extra"]["count"] for event in sentry.events()] == [1, 299]
    assert "Sekret" not in "".join(sentry.envelopes)


def test_all_reports_of_a_process_fold_into_one(sentry):
    settings = Settings(sentry_dsn=sentry.dsn)
    for number in range(3):
        Telemetry(settings).dead(*letter(number))
    telemetry.close()
    assert [event["extra"]["count"] for event in sentry.events()] == [1, 2]


def test_what_is_counted_goes_out_when_the_minute_is_over_though_nothing_more_comes(sentry):
    sender = telemetry._Sender(sentry.dsn, Folding(0.2))
    for _ in range(5):
        sender.tell(Report(("a",), "it happened"))
    wait_until(lambda: counted(sentry) == 5, 10, "those that were counted")
    sender.close()
    assert [event["message"] for event in sentry.events()] == ["it happened", "it happened (4 times)"]


def test_letters_are_grouped_by_target_kind_class_code_and_release(sentry):
    reports = Telemetry(Settings(sentry_dsn=sentry.dsn))
    differing = ({}, {"target": "eu"}, {"kind": "refund"}, {"dead_class": DeadClass.UNKNOWN}, {"code": "OTHER"})
    for difference in differing:
        reports.dead(*letter(**difference))
    telemetry.close()
    fingerprints = [event["fingerprint"] for event in sentry.events()]
    release = f"blnk-relay@{__version__}"
    assert fingerprints[0] == ["dead", "default", "transaction", "rejected", "NO_FUNDS", release]
    assert len({tuple(fingerprint) for fingerprint in fingerprints}) == len(differing)


def test_a_cause_that_is_over_is_a_note_of_its_own(sentry):
    Telemetry(Settings(sentry_dsn=sentry.dsn)).healed("eu", "transaction|rejected|NO_FUNDS")
    Telemetry(Settings(sentry_dsn=sentry.dsn)).healed("eu", "transaction|rejected|Ms Sekret's words")
    telemetry.close()
    notes = [(event["level"], event["fingerprint"][:5], event["tags"]["target"]) for event in sentry.events()]
    assert notes == [
        ("info", ["over", "eu", "transaction", "rejected", code], "eu") for code in ("NO_FUNDS", "NOT_A_CODE")
    ]


def test_a_paused_target_is_folded_as_well(sentry):
    reports = Telemetry(Settings(sentry_dsn=sentry.dsn))
    for _ in range(4):
        reports.paused("eu", "write", GateChange(GateAction.PAUSE, "HTTP_401", 5.0))
    telemetry.close()
    assert [event["extra"]["count"] for event in sentry.events()] == [1, 3]


def test_events_say_which_release_and_environment_they_come_from(sentry, monkeypatch):
    monkeypatch.setenv("SENTRY_ENVIRONMENT", "staging")
    Telemetry(Settings(sentry_dsn=sentry.dsn)).dead(*letter())
    telemetry.close()
    (event,) = sentry.events()
    assert (event["release"], event["environment"]) == (f"blnk-relay@{__version__}", "staging")


def told_lost(caplog):
    """How many reports the log says did not get through."""
    lines = [record.getMessage() for record in caplog.records if "not sent to Sentry" in record.getMessage()]
    return sum(int(line.split(": ")[1].split()[0]) for line in lines)


@pytest.mark.parametrize("status", [413, 429, 500])
def test_what_sentry_does_not_take_is_said_in_the_log(caplog, status):
    with FakeSentry(status) as refusing:
        reports = Telemetry(Settings(sentry_dsn=refusing.dsn))
        for number in range(5):
            reports.dead(*letter(number))
        telemetry.close()
    assert told_lost(caplog) == 5


def test_what_sentry_refuses_for_being_too_much_is_said_with_all_that_it_counted(caplog):
    with FakeSentry(429) as refusing:
        Telemetry(Settings(sentry_dsn=refusing.dsn)).more_dead("eu", "transaction|rejected|NO_FUNDS", 700)
        telemetry.close()
    assert told_lost(caplog) == 700


def test_what_sentry_has_not_answered_when_a_process_ends_is_said_in_the_log(sentry, caplog):
    sentry.open.clear()
    reports = Telemetry(Settings(sentry_dsn=sentry.dsn))
    for number in range(5):
        reports.dead(*letter(number))
    start_s = time.monotonic()
    telemetry.close()
    assert time.monotonic() - start_s < 4
    assert told_lost(caplog) == 5
    sentry.open.set()
    wait_until(lambda: counted(sentry) >= 1, 10, "the first to come through after all")
    assert told_lost(caplog) == 5


def test_an_answer_that_nobody_can_read_is_said_in_the_log_and_the_next_report_is_tried(caplog):
    with FakeSentry(429, {"X-Sentry-Rate-Limits": f"{10**20}:error:key"}) as strange:
        reports = Telemetry(Settings(sentry_dsn=strange.dsn))
        for number in range(3):
            reports.dead(*letter(number, code=f"CODE_{number}"))
        telemetry.close()
    assert len(strange.events()) == 3
    assert told_lost(caplog) == 3


def test_while_sentry_is_gone_one_line_says_so_and_none_of_a_library(caplog):
    reports = Telemetry(Settings(sentry_dsn=f"http://public@127.0.0.1:{free_port()}/1"))
    for number in range(3):
        reports.dead(*letter(number, code=f"CODE_{number}"))
    telemetry.close()
    assert told_lost(caplog) == 3
    assert {record.name for record in caplog.records} == {"worker.telemetry"}


def test_where_no_thread_can_be_started_reports_are_counted_and_sent_in_the_end(sentry, monkeypatch):
    start = threading.Thread.start

    def fails(thread):
        if thread.name == "telemetry":
            raise RuntimeError("can't start new thread")
        start(thread)

    reports = Telemetry(Settings(sentry_dsn=sentry.dsn))
    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", fails)
        reports.dead(*letter(1))
        reports.paused("eu", "write", GateChange(GateAction.PAUSE, "HTTP_401", 5.0))
    reports.dead(*letter(2))
    assert any(thread.name == "telemetry" for thread in threading.enumerate())
    telemetry.close()
    assert counted(sentry) == 3


def test_more_than_fits_on_the_way_to_sentry_is_counted_and_said(sentry, caplog):
    reports = Telemetry(Settings(sentry_dsn=sentry.dsn))
    sentry.open.clear()
    for number in range(250):
        reports.dead(*letter(number, code=f"CODE_{number}"))
    sentry.open.set()
    wait_until(
        lambda: counted(sentry) > ROOM, 10, "what fits to arrive: a worker that ends waits for it, but not for long"
    )
    telemetry.close()
    lost = [record.getMessage() for record in caplog.records if "not sent to Sentry" in record.getMessage()]
    assert any("queue_overflow" in line for line in lost)
    assert counted(sentry) + sum(int(line.split(": ")[1].split()[0]) for line in lost) == 250


def test_a_dsn_that_is_none_is_said_once_and_stops_nothing(caplog):
    with caplog.at_level(logging.ERROR):
        Telemetry(Settings(sentry_dsn="sekret-nonsense")).dead(*letter())
    assert "SENTRY_DSN is not the address" in caplog.text
    assert "sekret" not in caplog.text


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_that_stops_sends_what_it_has_counted(make_stage, sentry, pool):
    stage = make_stage(settings={"sentry_dsn": sentry.dsn}, pool=pool)
    stage.start_worker()
    with Relay(stage.settings) as relay:
        receipts = relay.enqueue_many([poor(f"poor-{number}") for number in range(40)])
        wait_for_all(relay, receipts, 40)
    stage.stop_workers()
    assert counted(sentry) == len(receipts)
    assert len(sentry.events()) < len(receipts)
