"""From facts to verdicts: what is wrong, how bad it is, since when, how much of it there is, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from blnk_relay import Settings
from blnk_relay.journal.fresh import Fresh
from blnk_relay.journal.glance import glance_of
from blnk_relay.journal.health import health_of
from blnk_relay.journal.lag import HistoryLag
from blnk_relay.journal.locked import Locked, LockedLetters
from blnk_relay.journal.overview import GateView, LaneDepth, Overview, Pause
from blnk_relay.journal.rates import Rates, Sample, merged_rates, rates_of, sample_now
from blnk_relay.journal.shape import NEWEST
from blnk_relay.journal.status import moment
from blnk_relay.journal.troubles import Severity
from blnk_relay.journal.verdicts import SORTS, Facts, verdicts
from blnk_relay.journal.vitals import JournalVitals, ServerVitals
from blnk_relay.journal.workers import MOST_NAMES, Sign, WorkerView, chosen, read_sign, seen_in, sign_of, together

SETTINGS = Settings(durability="memory", instance_id="i", token="k")  # noqa: S106
LANES = SETTINGS.lanes
NOW_MS = 1_800_000_000_000
NOW = moment(NOW_MS)
MINUTE_MS = 60_000
CAUSE = "transaction|rejected|TXN_INSUFFICIENT_FUNDS"

WORKER = WorkerView(
    "web:1:abc",
    "web",
    1,
    "1.0",
    1,
    "running",
    NOW,
    ("default",),
    Sign("1.0", 1, LANES, ("default",), "threads", 16),
)
DEPTHS = tuple(LaneDepth(lane, "default", 0, 0, 0.0, paused=False) for lane in LANES)
OVERVIEW = Overview(DEPTHS, 0, 0, 0, 0.0, 0, 0, 0, 1, (), {})
JOURNAL = JournalVitals("default", shape=str(NEWEST), overview=OVERVIEW, now_ms=NOW_MS, workers=(WORKER,))
SERVER = ServerVitals(
    "BLNK_RELAY_REDIS_URL",
    info={
        "aof_enabled": "1",
        "maxmemory": "1000000000",
        "maxmemory_policy": "noeviction",
        "used_memory": "1000000",
        "total_system_memory": "8000000000",
    },
    options={"appendfsync": "always"},
    ahead_s=0.0,
)


def facts(server: ServerVitals = SERVER, /, **changes: Any) -> Facts:
    """Facts in which all is well, but for what is changed of the journal."""
    return Facts(SETTINGS, (replace(JOURNAL, **changes),), ((server, ("default",)),))


def lane(**changes: Any) -> Facts:
    """The same, but for the first lane."""
    return facts(overview=replace(OVERVIEW, lanes=(replace(DEPTHS[0], **changes), *DEPTHS[1:])))


def over(**changes: Any) -> Facts:
    """The same, but for the overview."""
    return facts(overview=replace(OVERVIEW, **changes))


def gate(state: str, side: str = "write", code: str = "HTTP_401", *, who: str = "", note: str = "") -> Facts:
    """The same, but for one gate, and with five intents that are due."""
    view = GateView("default", side, state, code, NOW - timedelta(hours=1), bool(who), note, 7, who)
    lanes = (replace(DEPTHS[0], due=5), *DEPTHS[1:])
    return facts(overview=replace(OVERVIEW, gates=(view,), lanes=lanes))


def server(**info: str) -> Facts:
    """The same, but for what Redis says of itself."""
    return facts(replace(SERVER, info={**SERVER.info, **info}))


def copied(**changes: Any) -> Facts:
    """The same, but with a history into which 40 intents are to be copied."""
    lag = HistoryLag("default", on=True, uncopied=30, walking=10, oldest_s=2.0, seen_s=1.0)
    return facts(history=replace(lag, **changes))


def working(*workers: WorkerView, **changes: Any) -> Facts:
    """The same, with other workers."""
    return facts(workers=workers, **changes)


DEAD = replace(WORKER, name="web:2:def", pid=2, state="dead", seen=NOW - timedelta(minutes=10), held=3)
BUSY = replace(OVERVIEW, lanes=(replace(DEPTHS[0], due=4, later=2), *DEPTHS[1:]))
LOCKED = Locked(LANES[0], "k1.0123abcd", 5, 300.0)
PAUSE = Pause("ann", "incident 7", NOW - timedelta(hours=2))
C, W, N = Severity.CRITICAL, Severity.WARNING, Severity.NOTICE

#: Facts, and the one verdict that they come to: sort, severity, count, words that it has, words of its remedy.
CASES: list[tuple[Callable[[], Facts], str, Severity, int, str, str]] = [
    (lambda: facts(failure="Redis did not answer"), "journal-away", C, 0, "did not answer", "blnk-relay doctor"),
    (lambda: facts(shape="99", overview=None), "journal-shape", C, 0, "this version knows", "start a version"),
    (lambda: facts(meant="a", ledger="b"), "journal-foreign", C, 0, "the journal is of b", "target rebind default"),
    (
        lambda: facts(locked=(LOCKED,)),
        "encryption-key",
        C,
        5,
        "k1 (check 0123abcd), which is not in",
        "ENCRYPTION_KEYS",
    ),
    (lambda: facts(locked=(replace(LOCKED, due_s=2.0),)), "encryption-key", W, 5, "5 open intents", "all workers"),
    (
        lambda: facts(locked_letters=LockedLetters(3, ("k1.0123abcd",))),
        "encryption-key",
        W,
        3,
        "3 dead letters need encryption key k1 (check 0123abcd)",
        "before they are replayed",
    ),
    (
        lambda: facts(locked=(LOCKED,), locked_letters=LockedLetters(3, ("k1.0123abcd",))),
        "encryption-key",
        C,
        8,
        "; 3 dead letters need",
        "all workers",
    ),
    (lambda: facts(skew_s=-4.0, steps=1), "clocks-apart", W, 0, "-4.0 s", "time service"),
    (lambda: facts(lost_s=120.0, epoch="7-x"), "journal-lost", W, 0, "epoch 7", "enqueue again"),
    (working, "no-worker", W, 0, "no worker serves this target", "blnk-relay worker"),
    (lambda: working(overview=BUSY), "no-worker", C, 6, "6 intents wait", "blnk-relay worker"),
    (lambda: working(replace(WORKER, state="quiet"), overview=BUSY), "no-worker", C, 6, "1 worker is quiet", "worker"),
    (
        lambda: working(replace(WORKER, sign=replace(WORKER.sign, lanes=LANES[1:])), overview=BUSY),
        "no-worker",
        C,
        6,
        f"no worker serves lane {LANES[0]}",
        f"blnk-relay worker --lane {LANES[0]}",
    ),
    (
        lambda: working(replace(WORKER, sign=replace(WORKER.sign, unwell="it finishes none"))),
        "worker-unwell",
        C,
        0,
        "it finishes none",
        "workers stop web:1:abc",
    ),
    (lambda: working(WORKER, DEAD), "worker-died", W, 1, "web:2", "blnk-relay workers"),
    (
        lambda: working(WORKER, replace(WORKER, name="web:3:f", version="0.9")),
        "versions-mixed",
        N,
        2,
        "0.9, 1.0",
        "workers",
    ),
    (lambda: gate("paused"), "target-refuses", C, 5, "HTTP_401", "credential"),
    (lambda: gate("unreachable", code="CONNECT"), "target-unreachable", C, 5, "CONNECT", "doctor --target default"),
    (lambda: gate("slowed", code="HTTP_429"), "target-slowed", N, 5, "7 a second", "limit"),
    (
        lambda: gate("paused", code="OPERATOR", who="ann", note="incident 7"),
        "target-paused",
        W,
        5,
        "by ann: incident 7; it has no end",
        "blnk-relay resume --target default",
    ),
    (lambda: gate("slowed", f"lane:{LANES[0]}"), "target-slowed", N, 5, "slowed", "limit"),
    (lambda: lane(pause=PAUSE, paused=True, due=2), "lane-paused", W, 2, "by ann: incident 7", f"resume {LANES[0]}"),
    (lambda: lane(pause=PAUSE, paused=True), "lane-paused", N, 0, "0 intents", f"resume {LANES[0]}"),
    (
        lambda: lane(due=9, oldest_open_s=7200.0, late=4, oldest_open="a" * 26),
        "oldest-open",
        W,
        4,
        "has been open for 2.0 h",
        f"blnk-relay show {'a' * 26} --target default",
    ),
    (
        lambda: over(waiting=3, oldest_waiting_s=7200.0, late_waiting=2, oldest_waiting="b" * 26),
        "oldest-open",
        W,
        2,
        "has waited for another intent for 2.0 h",
        f"blnk-relay show {'b' * 26} --target default",
    ),
    (lambda: over(posted=8, oldest_posted_s=90.0), "confirmations-late", W, 8, "1.5 min", "blnk-relay workers"),
    (lambda: facts(new_letters=2), "dead-letters", W, 2, "2 letters", "dead summary --target default"),
    (lambda: server(used_memory="950000000"), "redis-memory", C, 1, "nothing new is accepted", "raise maxmemory"),
    (lambda: server(used_memory="800000000"), "redis-memory", W, 1, "will stop soon", "raise maxmemory"),
    (lambda: server(maxmemory="0"), "redis-memory", N, 1, "no maxmemory", "set maxmemory"),
    (lambda: server(aof_enabled="0"), "redis-persistence", C, 1, "append-only file is off", "appendonly yes"),
    (lambda: server(maxmemory_policy="allkeys-lru"), "redis-eviction", C, 1, "allkeys-lru", "noeviction"),
    (lambda: facts(replace(SERVER, ahead_s=9.0)), "clocks-apart", W, 1, "+9.00 s", "time service"),
    (lambda: copied(oldest_s=90.0), "history-behind", W, 40, "40 finished intents not copied", "history status"),
    (lambda: copied(trouble="OperationalError", trouble_s=9.0, held=7), "history-behind", W, 40, "7 of them", "back"),
    (lambda: copied(trouble="schema"), "history-behind", W, 40, "tables of this version", "history upgrade"),
    (lambda: copied(trouble="newer"), "history-behind", W, 40, "of a newer version", "workers up to that version"),
    (lambda: copied(trouble="encoding"), "history-behind", W, 40, "every text", "encoding UTF8"),
    (lambda: copied(trouble="unforeseen"), "history-behind", W, 40, "an error of this version", "report it"),
    (lambda: copied(trouble="shape", on=False), "history-behind", W, 40, "has not begun", "blnk-relay upgrade"),
    (lambda: copied(trouble="database"), "history-behind", W, 40, "different databases", "the same BLNK_RELAY_HIST"),
    (lambda: copied(trouble="journal"), "history-behind", W, 40, "another journal", "another BLNK_RELAY_HIST"),
    (lambda: copied(seen_s=3600.0), "history-behind", W, 40, "no worker looks", "blnk-relay history off"),
    (lambda: copied(seen_s=90.0, begun_s=70.0), "history-behind", W, 40, "has not answered", "bring the database back"),
    (lambda: copied(seen_s=3600.0, begun_s=3500.0), "history-behind", W, 40, "no worker looks", "history off"),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case[1]}-{case[2]}-{at}" for at, case in enumerate(CASES)])
def test_a_verdict_says_what_is_wrong_how_bad_it_is_and_what_to_do(
    case: tuple[Callable[[], Facts], str, Severity, int, str, str],
) -> None:
    made, sort, severity, count, seen, remedy = case
    (found,) = verdicts(made())
    assert (found.sort, found.severity, found.count) == (sort, severity, count)
    assert seen in found.what
    assert remedy in found.remedy
    assert found.means == SORTS[sort].means


def test_every_sort_has_a_case_and_nothing_is_wrong_where_all_is_well() -> None:
    assert {case[1] for case in CASES} == set(SORTS)
    assert verdicts(facts()) == ()
    assert verdicts(Facts(SETTINGS, (JournalVitals("default"),))) == ()


def test_the_worst_comes_first_and_the_check_fails_for_all_but_notices() -> None:
    paused = GateView("default", "write", "paused", "HTTP_401", NOW, manual=False, note="", rate=0)
    lanes = (replace(DEPTHS[0], due=1, pause=PAUSE, paused=True), *DEPTHS[1:])
    all_at_once = working(
        WORKER,
        replace(WORKER, name="web:3:f", version="0.9"),
        overview=replace(OVERVIEW, lanes=lanes, gates=(paused,)),
    )
    found = verdicts(all_at_once)
    assert [one.sort for one in found] == ["target-refuses", "lane-paused", "versions-mixed"]
    assert [one.fails for one in found] == [True, True, False]
    assert not glance_of(all_at_once).well
    assert glance_of(working(WORKER, replace(WORKER, name="web:3:f", version="0.9"))).well


def test_since_when_is_told() -> None:
    def since(made: Facts) -> Any:
        return verdicts(made)[0].since

    assert since(gate("paused")) == NOW - timedelta(hours=1)
    assert since(lane(pause=PAUSE, paused=True)) == PAUSE.since
    assert since(lane(due=1, oldest_open_s=7200.0)) == NOW - timedelta(hours=2)
    assert since(working(DEAD, overview=BUSY)) == DEAD.seen


def test_a_former_target_with_nothing_to_do_needs_no_worker() -> None:
    assert verdicts(working(target="gone")) == ()
    (found,) = verdicts(working(target="gone", overview=BUSY))
    assert (found.sort, found.count) == ("no-worker", 6)
    assert "the settings do not name it; 6 intents wait" in found.what
    assert found.remedy == "name it in BLNK_RELAY_TARGETS of a worker"


def test_a_worker_too_old_to_say_what_it_serves_may_serve_anything() -> None:
    assert verdicts(working(replace(WORKER, sign=Sign()), overview=BUSY)) == ()


def sample(minutes_ago: float, accepted: int, ended: int, **died: int) -> Sample:
    return Sample(int(NOW_MS - minutes_ago * MINUTE_MS), accepted, ended, {CAUSE: died["died"]} if died else {})


def test_fresh_letters_are_told_by_cause_and_all_others_together() -> None:
    first, last = NOW - timedelta(minutes=9), NOW - timedelta(minutes=2)
    funds = Fresh("transaction", "rejected", "TXN_INSUFFICIENT_FUNDS", 8, first, last)
    late = Fresh("refund", "expired", "EXPIRED", 1, last, last)
    most, rest, other = verdicts(facts(new_letters=12, fresh=(funds, late)))
    assert (most.count, most.since) == (8, first)
    assert most.what.endswith(f"within the last hour, the last of them at {last:%H:%M:%SZ}")
    assert "dead list --code TXN_INSUFFICIENT_FUNDS --kind transaction" in most.remedy
    assert (other.count, other.since) == (1, last)
    assert "the last of them" not in other.what
    assert (rest.count, rest.what) == (3, "3 letters of other causes within the last hour")
    assert "dead summary" in rest.remedy


def test_letters_of_the_last_hour_that_were_dealt_with_are_no_verdict() -> None:
    samples = (sample(30, 0, 0, died=1),)
    made = facts(overview=replace(OVERVIEW, counts={f"dead|{CAUSE}": 12}), new_letters=0, samples=samples)
    assert verdicts(made) == ()


def test_rates_are_told_by_the_sample_that_fits_best_and_not_by_one_that_does_not() -> None:
    samples = [sample(minutes, 6000 - 60 * minutes, 9000 - 120 * minutes) for minutes in range(1, 11)]
    rates = rates_of(sample(0, 6000, 9000), samples, 600)
    assert [(rate.minutes, rate.accepted, rate.ended) for rate in rates.spans] == [(1, 1.0, 2.0), (5, 1.0, 2.0)]
    assert rates.empty_s == 600
    assert rates_of(sample(0, 6000, 9000), [], 600) == Rates((), 600, None)
    assert rates_of(sample(0, 6000, 9000), [sample(300, 0, 0)], 0) == Rates((), 0, 0.0)


def test_what_does_not_shrink_is_never_empty_and_a_loss_is_no_negative_rate() -> None:
    growing = rates_of(sample(0, 900, 300), [sample(5, 0, 0)], 600)
    assert growing.empty_s is None
    back = rates_of(sample(0, 10, 10), [sample(5, 900, 900)], 1).over(5)
    assert back is not None
    assert (back.accepted, back.ended) == (0.0, 0.0)


def test_rates_of_several_journals_add_up() -> None:
    one = rates_of(sample(0, 300, 600), [sample(5, 0, 0)], 100)
    both = merged_rates([one, one])
    rate = both.over(5)
    assert rate is not None
    assert (rate.accepted, rate.ended, both.open, both.empty_s) == (2.0, 4.0, 200, 100.0)


def test_a_sample_counts_what_came_and_what_ended() -> None:
    counts = {
        "accepted|refund": 5,
        "accepted|transaction": 7,
        "done|refund|applied": 3,
        "cancelled": 1,
        "dead|a|b|c": 2,
    }
    assert sample_now(NOW_MS, counts) == Sample(NOW_MS, 12, 6, {"a|b|c": 2})


def test_a_worker_is_read_with_its_processes_and_what_those_hold() -> None:
    sign = sign_of(Sign("1.0", 1, LANES, ("default",), "prefork", 32, 5, (1, 11, 12), NOW_MS, 9, "running"))
    signs = [
        ("web:1:a", NOW_MS, {"sign": sign, "wish": "quiet", "who": "ann", "why": "why"}),
        ("web:12:x", NOW_MS, {"fell": "1", "held": "2", "ids": "i j"}),
        ("web:9:z", NOW_MS - 99_000, {"sign": sign_of(Sign(pool="threads"))}),
        ("old:4:y", NOW_MS - 99_000, {"fell": "1", "held": "4", "ids": "k"}),
    ]
    alive = [("web:1:a 1.0 1", NOW_MS), ("older:7:b 0.9 1", NOW_MS)]
    found = {one.name: one for one in seen_in("default", signs, alive, {"web:11:q": 3, "web:1:w": 1}, NOW_MS - 6000)}
    first = found["web:1:a"]
    assert (first.in_hand, first.held, first.held_ids, first.wish, first.who) == (4, 2, ("i", "j"), "quiet", "ann")
    assert (found["web:9:z"].state, found["old:4:y"].state, found["old:4:y"].held) == ("dead", "dead", 4)
    assert (found["older:7:b"].version, found["older:7:b"].can_be_told, first.can_be_told) == ("0.9", False, True)


def test_a_worker_that_serves_several_journals_is_one() -> None:
    other = replace(WORKER, journals=("eu",), in_hand=2, wish="stop", who="ann", seen=NOW + timedelta(seconds=1))
    (found,) = together([[replace(WORKER, in_hand=1)], [other]])
    assert (found.journals, found.in_hand, found.wish, found.who) == (("default", "eu"), 3, "stop", "ann")


def test_a_process_that_fell_before_its_first_sign_in_one_journal_belongs_to_the_program_that_signed_in_another() -> (
    None
):
    gone = replace(WORKER, state="dead", held=1)
    fell = WorkerView(
        "web:1:xyz", "web", 1, "", 0, "dead", NOW + timedelta(seconds=5), ("eu",), held=2, held_ids=("i",)
    )
    for parts in ([[gone], [fell]], [[fell], [gone]]):
        (found,) = together(parts)
        assert (found.name, found.version, found.held, found.journals) == ("web:1:abc", "1.0", 3, ("default", "eu"))
    assert together([[fell]]) == (fell,)


def test_one_redis_that_is_away_from_a_worker_does_not_make_it_dead() -> None:
    (found,) = together([[WORKER], [replace(WORKER, journals=("eu",), state="dead", seen=NOW + timedelta(seconds=1))]])
    assert found.alive


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("web:4:a", ["web:4:a"]),
        ("web:4", ["web:4:a"]),
        ("web:", ["web:4:a", "web:42:b"]),
        ("db", []),
    ],
)
def test_a_worker_is_named_whole_by_its_process_or_by_how_it_begins(wanted: str, names: list[str]) -> None:
    views = [replace(WORKER, name="web:4:a", pid=4), replace(WORKER, name="web:42:b", pid=42)]
    assert [view.name for view in chosen(views, wanted)] == names


def test_a_sign_of_life_is_bounded_and_rubbish_is_none() -> None:
    sign = Sign(targets=tuple(f"target-{at}" * 50 for at in range(500)), processes=tuple(range(9000)), unwell="x" * 999)
    assert len(json.loads(sign_of(sign))["targets"]) == MOST_NAMES
    assert len(sign_of(sign)) < 10_000
    assert read_sign("{") == read_sign("[]") == Sign()


def test_a_host_is_well_while_a_worker_of_it_is_alive_and_none_makes_no_progress() -> None:
    unwell = replace(WORKER, sign=replace(WORKER.sign, unwell="it finishes none"))
    assert health_of([], "on web").live is False
    assert health_of([DEAD], "on web").why == ("no worker is alive on web",)
    assert health_of([WORKER, DEAD], "on web") == health_of([WORKER], "")
    assert (health_of([unwell], "").live, health_of([unwell], "").ready) == (False, False)
    quiet = health_of([replace(WORKER, state="quiet")], "")
    assert (quiet.live, quiet.ready) == (True, False)


def test_history_that_is_off_or_copied_within_a_minute_is_no_verdict() -> None:
    assert verdicts(copied()) == verdicts(facts(history=HistoryLag("default"))) == ()


def test_history_is_behind_since_what_keeps_it_or_since_the_first_that_waits() -> None:
    (found,) = verdicts(copied(oldest_s=90.0, trouble="OperationalError", trouble_s=3600.0))
    assert found.since == NOW - timedelta(hours=1)
    (found,) = verdicts(copied(oldest_s=90.0))
    assert found.since == NOW - timedelta(seconds=90)
