"""Metrics: what counts as how long, how counts become series, and what bounds these."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from blnk_relay import Settings
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.states import State
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.lag import HistoryLag
from blnk_relay.journal.overview import GateView, LaneDepth, Overview
from blnk_relay.journal.readings import Reading
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.status import moment
from blnk_relay.journal.workers import Sign, WorkerView
from tasks.meter import STATUS_CLASSES, Span, spans, status_class
from worker.metrics import names, page
from worker.metrics.families import MOST_CODES, Families, Words
from worker.metrics.meter import LIFE_S, OTHER, REQUEST_S, SharedMeter

ROOT = Path(__file__).parents[2]

T0 = 1_000_000

ENTRY = Entry(id="i", kind="transaction", target="default", lane="transactions", key="k", reference="k", payload={})
FRESH = Progress(now_ms=T0 + 500, since_ms=T0, deadline_ms=T0 + 10_000, created_ms=T0)


def verdict(progress: Progress, to: State, **fields: str) -> Settlement:
    origin = State.POSTED if progress.looking else State.SENDING
    return Settlement(Claimed(ENTRY, progress, "1"), origin, to, 0, fields)


def told(settlement: Settlement, at_s: float) -> dict[str, float]:
    return {str(span): seconds for span, seconds in spans(settlement, T0 + at_s * 1000)}


# -- how long ----------------------------------------------------------------------------------------------------------


def test_the_first_send_ends_the_wait_for_it_and_the_outcome_ends_all():
    sent = verdict(FRESH, State.POSTED, sent_first=str(T0 + 600))
    assert told(sent, 0.7) == {"accept_to_sent": 0.6}
    looked = verdict(replace(FRESH, first_sent_ms=T0 + 600, looking=True), State.DONE)
    assert told(looked, 2.6) == {"sent_to_confirmed": 2.0, "accept_to_confirmed": 2.6}


def test_what_is_confirmed_by_the_answer_itself_is_told_at_once():
    assert told(verdict(FRESH, State.DONE, sent_first=str(T0 + 600)), 1.6) == {
        "accept_to_sent": 0.6,
        "sent_to_confirmed": 1.0,
        "accept_to_confirmed": 1.6,
    }


@pytest.mark.parametrize(
    "settlement",
    [
        verdict(replace(FRESH, first_sent_ms=T0 + 100, sent=True), State.POSTED, sent_first=str(T0 + 100)),
        verdict(replace(FRESH, generation=1), State.POSTED, sent_first=str(T0 + 900)),
        verdict(FRESH, State.READY),
        verdict(FRESH, State.DEAD),
        verdict(replace(FRESH, created_ms=0), State.DONE),
    ],
    ids=["sent before", "under new references", "given back", "dead", "cannot be read"],
)
def test_what_is_no_first_send_and_no_outcome_says_nothing(settlement):
    assert told(settlement, 5.0) == {}


def test_what_was_done_without_a_send_that_is_known_says_how_long_it_took_in_all():
    assert told(verdict(FRESH, State.DONE), 3.0) == {"accept_to_confirmed": 3.0}


def test_a_clock_that_was_set_back_makes_no_time_less_than_none():
    assert told(verdict(FRESH, State.DONE, sent_first=str(T0 - 50)), -0.1) == dict.fromkeys(map(str, Span), 0.0)


def test_every_answer_is_one_of_a_few():
    seen = {status_class(status, None) for status in range(1000)}
    assert seen | {"not_sent", "broken"} == set(STATUS_CLASSES)


# -- buckets ----------------------------------------------------------------------------------------------------------


def filled(meter: SharedMeter) -> dict[tuple[str, ...], tuple[dict[str, float], float]]:
    """Those with something in them."""
    found = {(one.name.name, *one.labels): (dict(one.buckets), one.total_s) for one in meter.filled()}
    return {labels: told for labels, told in found.items() if told[0]["+Inf"]}


def test_series_of_lanes_begin_with_nothing_in_them_so_that_what_comes_at_once_has_a_rate():
    settings = Settings()
    told = list(SharedMeter(settings).filled())
    lives = {"accept_to_sent_seconds", "sent_to_confirmed_seconds", "accept_to_confirmed_seconds"}
    assert {(one.name.name, *one.labels) for one in told} == {
        (name, "default", lane) for name in lives for lane in settings.lanes
    }
    assert {count for one in told for _, count in one.buckets} == {0.0}


def test_bins_are_cumulative_with_their_bounds_in_them():
    meter = SharedMeter(Settings())
    for seconds in (0.01, 0.011, 5.0, 1e6):
        meter.took(Span.WHOLE, "default", "transactions", seconds)
    [(buckets, total_s)] = filled(meter).values()
    assert (buckets["0.01"], buckets["0.025"], buckets["5"], buckets["7200"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert list(buckets.values()) == sorted(buckets.values())
    assert len(buckets) == len(LIFE_S) + 1
    assert total_s == pytest.approx(1_000_005.021)


def test_each_span_lane_side_and_answer_has_bins_of_its_own_and_strange_lanes_share_theirs():
    settings = Settings()
    meter = SharedMeter(settings)
    for span in Span:
        for lane in (*settings.lanes, "of yesterday", "of tomorrow"):
            meter.took(span, "default", lane, 1.0)
    for side in ("write", "read"):
        for status in STATUS_CLASSES:
            meter.answered("default", side, status, 1.0)
    meter.took(Span.SENT, "nobody's", "transactions", 1.0)
    meter.answered("nobody's", "write", "2xx", 1.0)
    found = {labels: buckets["+Inf"] for labels, (buckets, _) in filled(meter).items()}
    assert len(found) == len(Span) * (len(settings.lanes) + 1) + 2 * len(STATUS_CLASSES)
    assert {count for labels, count in found.items() if OTHER not in labels[-1:] or labels[0] == "request_seconds"} == {
        1
    }
    assert found["accept_to_sent_seconds", "default", OTHER] == 2


def test_no_count_of_any_thread_is_lost():
    meter = SharedMeter(Settings())

    def count() -> None:
        for _ in range(2_000):
            meter.answered("default", "write", "2xx", 0.001)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [(buckets, total_s)] = filled(meter).values()
    assert buckets["+Inf"] == 8_000
    assert total_s == pytest.approx(8.0)
    assert len(buckets) == len(REQUEST_S) + 1


# -- series ------------------------------------------------------------------------------------------------------------


def reading(**counts: int) -> Reading:
    overview = Overview(
        lanes=(LaneDepth("transactions", "eu", 3, 4, 1.0, paused=True, oldest_open_s=9.0),),
        waiting=5,
        sending=6,
        posted=7,
        oldest_posted_s=8.0,
        done=9,
        dead=10,
        discarded=11,
        workers=2,
        gates=(GateView("eu", "read", "paused", "AUTH_INVALID_API_KEY", None, manual=False, note="", rate=0),),
        counts={name.replace("__", "|"): value for name, value in counts.items()},
    )
    return Reading("eu", overview, (), MappingProxyType({}), 0.25, HistoryLag("eu"))


def series(
    families: Families, target: str, read: Reading | None
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.of_journals({target: read})
        for sample in family.samples
    }


def of(found: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    wanted = set(labels.items())
    [value] = [value for (known, has), value in found.items() if known == f"blnk_relay_{name}" and wanted <= set(has)]
    return value


def test_a_journal_is_told_by_state_lane_and_target():
    found = series(Families(Settings()), "eu", reading())
    assert of(found, "intents", state="due", lane="transactions", target="eu") == 3
    states = {"later": 4, "waiting": 5, "sending": 6, "posted": 7, "done": 9, "dead": 10, "discarded": 11}
    assert {state: of(found, "intents", state=state) for state in states} == states
    assert of(found, "backlog") == 3 + 6
    assert of(found, "oldest_open_seconds", lane="transactions") == 9.0
    assert of(found, "lane_paused", lane="transactions") == 1
    assert of(found, "gate", side="read", state="paused", code="AUTH_INVALID_API_KEY", by="worker") == 1
    assert of(found, "gate", side="write", state="open") == 1
    assert of(found, "clock_ahead_seconds") == 0.25


def test_history_is_told_where_it_is_on_or_cannot_begin():
    off = series(Families(Settings()), "eu", reading())
    assert not [name for name, _ in off if "history" in name]
    lag = HistoryLag("eu", on=True, uncopied=3, walking=4, oldest_s=5.0)
    on = series(Families(Settings()), "eu", replace(reading(), history=lag))
    assert (of(on, "history_lag_seconds"), of(on, "history_uncopied"), of(on, "history_troubled")) == (5.0, 7, 0)
    stuck = series(Families(Settings()), "eu", replace(reading(), history=HistoryLag("eu", trouble="shape")))
    assert of(stuck, "history_troubled") == 1


def worker(name: str, version: str = "1.0", state: str = "running", **sign: Any) -> WorkerView:
    return WorkerView(name, "host", 1, version, 1, state, moment(T0), ("eu",), Sign(**sign))


def test_workers_are_told_by_state_and_by_the_lanes_that_they_serve():
    workers = (
        worker("a", lanes=("transactions",), pool="threads"),
        worker("b", "1.1", lanes=("refunds",), pool="threads", unwell="it finishes nothing"),
        worker("c", "1.1"),
        worker("d", state="quiet", lanes=("transactions",), pool="threads"),
        worker("e", "0.9", state="dead", lanes=("transactions",), pool="threads", unwell="it was"),
    )
    found = series(Families(Settings()), "eu", replace(reading(), workers=workers))
    states = {"running": 3, "quiet": 1, "stopping": 0, "dead": 1}
    assert {state: of(found, "workers", state=state) for state in states} == states
    # Of those that run one serves the lane, and one is too old to say what it serves.
    assert of(found, "lane_workers", lane="transactions") == 2
    assert (of(found, "workers_unwell"), of(found, "worker_versions")) == (1, 2)


def test_of_a_journal_that_is_away_nothing_is_told_but_that():
    found = series(Families(Settings()), "eu", None)
    assert found == {("blnk_relay_journal_up", (("target", "eu"),)): 0}


def test_counts_become_counters_of_bounded_labels():
    found = series(
        Families(Settings()),
        "eu",
        reading(
            dead__transaction__rejected__TXN_INSUFFICIENT_FUNDS=4,
            dead__no_kind_of_ours__rejected__TXN_INSUFFICIENT_FUNDS=1,
            dead__another__rejected__TXN_INSUFFICIENT_FUNDS=2,
            attempt__201=5,
            attempt__200=1,
            attempt__not_sent=2,
            gate_paused__OPERATOR=1,
            gate_opened=3,
            oauth_failed=1,
            unheard_of=99,
        ),
    )
    assert of(found, "dead_total", kind="transaction", code="TXN_INSUFFICIENT_FUNDS", **{"class": "rejected"}) == 4
    assert of(found, "dead_total", kind=OTHER) == 3
    assert of(found, "attempts_total", status="2xx") == 6
    assert of(found, "attempts_total", status="not_sent") == 2
    assert of(found, "gate_changes_total", change="paused", code="OPERATOR") == 1
    assert of(found, "gate_changes_total", change="opened", code="") == 3
    assert of(found, "oauth_refreshes_total", result="failed") == 1
    assert of(found, "retries_total") == 0, "what did not happen yet is there, so that the first time is seen"
    assert not [name for name, _ in found if "unheard" in name]


def test_a_ledger_that_makes_up_codes_makes_no_more_series_than_so_many_and_no_counter_goes_back():
    families = Families(Settings())
    before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for most in (10, 500, 1_000):
        counts = {f"dead__refund__refused__CODE_{number}": 2 for number in range(most)}
        counts["dead__refund__refused__The card of Jane Doe is refused"] = 1
        found = series(families, "eu", reading(**counts))
        codes = {dict(labels)["code"] for name, labels in found if name == "blnk_relay_dead_total"}
        assert len(codes) <= MOST_CODES + 1
        assert not [code for code in codes if "Jane" in code]
        assert all(found[one] >= value for one, value in before.items() if one[0].endswith("_total"))
        before = found
    assert sum(value for (name, _), value in found.items() if name == "blnk_relay_dead_total") == 2_001


def test_words_are_known_for_as_long_as_the_process_lives():
    words = Words(2)
    assert [words.of(word) for word in ("A", "B", "C", "A", "", "D")] == ["A", "B", OTHER, "A", "", OTHER]


def test_what_a_server_says_of_itself_is_told_and_what_it_keeps_to_itself_is_not():
    info = {
        "used_memory": "100",
        "maxmemory": "0",
        "total_system_memory": "1000",
        "maxmemory_policy": "allkeys-lru",
        "aof_enabled": "1",
        "aof_last_write_status": "err",
        "connected_slaves": "2",
    }
    found = series(Families(Settings()), "eu", replace(reading(), server=info))
    assert (of(found, "redis_memory_used_bytes"), of(found, "redis_memory_limit_bytes")) == (100, 1000)
    assert of(found, "redis_evicts") == 0, "without a limit nothing is evicted"
    assert (of(found, "redis_append_only"), of(found, "redis_persistence_failing"), of(found, "redis_replicas")) == (
        1,
        1,
        2,
    )
    assert not [name for name, _ in found if "snapshots" in name]
    saved = {"aof_enabled": "1", "aof_last_write_status": "ok", "rdb_last_bgsave_status": "err"}
    snapshots = series(Families(Settings()), "eu", replace(reading(), server=saved))
    assert (of(snapshots, "redis_persistence_failing"), of(snapshots, "redis_snapshots_failing")) == (0, 1)
    limited = series(Families(Settings()), "eu", replace(reading(), server={**info, "maxmemory": "500"}))
    assert (of(limited, "redis_memory_limit_bytes"), of(limited, "redis_evicts")) == (500, 1)
    assert not [name for name, _ in series(Families(Settings()), "eu", reading()) if "redis" in name]


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_are_those_that_prometheus_asks_for_and_every_one_is_used():
    full = [name.full for name in names.NAMES]
    assert len(set(full)) == len(full)
    for name in names.NAMES:
        assert re.fullmatch(r"[a-z][a-z_]+", name.name)
        assert name.help.endswith(".")
        assert (name.sort == "counter") == name.full.endswith("_total")
        assert name.sort != "histogram" or name.name.endswith("_seconds")
    families = Families(Settings())
    made = [*families.of_journals({}), *families.of_process("1", ())]
    assert {name.name for name in names.NAMES} == {family.name.removeprefix("blnk_relay_") for family in made}


def test_whatever_is_counted_in_a_journal_is_a_metric_or_is_known_not_to_be():
    scripts = "".join(path.read_text() for path in (ROOT / "blnk_relay/journal/scripts").glob("*.lua"))
    counted = set(re.findall(r"""\b(?:count|tally)\([^()']*'([a-z_]+)""", scripts))
    tallied = (ROOT / "tasks/settlements.py").read_text()
    counted |= set(re.findall(r"""tally(?:\.append\(|=\[| = \[)f?"([a-z_]+)""", tallied)) | {"given_back", "renewed"}
    assert {"lapsed", "done", "retried", "looked_up", "fault", "unread"} <= counted
    # To be bound to another address is an act of an operator's, and stands in the journal with its reason.
    assert counted - {"rebound"} == set(Families(Settings())._counters)


def test_the_page_of_metrics_is_what_the_code_says():
    committed = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert committed == page.described(), "run make docs"
