"""The alerts of docs/monitoring: each fires on its own case, and says of what; a well relay is left in peace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from blnk_relay.journal.troubles import Severity
from blnk_relay.journal.verdicts import SORTS
from tests.support.prometheus import MONITORING, promtool
from worker.metrics import names

RULES = MONITORING / "alerts.yaml"

#: A relay that is well, as two of its workers tell it: series, and a value each five minutes.
HEALTHY = {
    'blnk_relay_journal_up{target="eu",instance="a"}': "1+0x20",
    'blnk_relay_journal_up{target="eu",instance="b"}': "1+0x20",
    'blnk_relay_workers{state="running",target="eu",instance="a"}': "2+0x20",
    'blnk_relay_workers{state="dead",target="eu",instance="a"}': "0+0x20",
    'blnk_relay_workers_unwell{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_lane_workers{target="eu",lane="main",instance="a"}': "2+0x20",
    'blnk_relay_worker_versions{target="eu",instance="a"}': "1+0x20",
    'blnk_relay_gate{target="eu",side="write",state="open",by="",code="",instance="a"}': "1+0x20",
    'blnk_relay_lane_paused{target="eu",lane="main",instance="a"}': "0+0x20",
    'blnk_relay_oldest_open_seconds{target="eu",lane="main",instance="a"}': "2+0x20",
    'blnk_relay_confirmation_lag_seconds{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_dead_total{target="eu",kind="refund",class="refused",code="X",instance="a"}': "3+0x20",
    'blnk_relay_redis_memory_used_bytes{target="eu",instance="a"}': "100+0x20",
    'blnk_relay_redis_memory_limit_bytes{target="eu",instance="a"}': "1000+0x20",
    'blnk_relay_redis_persistence_failing{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_redis_append_only{target="eu",instance="a"}': "1+0x20",
    'blnk_relay_redis_evicts{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_history_lag_seconds{target="eu",instance="a"}': "1+0x20",
    'blnk_relay_history_troubled{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_clock_ahead_seconds{target="eu",instance="a"}': "0.01+0x20",
    'blnk_relay_intents_locked{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_letters_locked{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_journal_foreign{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_journal_lost{target="eu",instance="a"}': "0+0x20",
    'blnk_relay_redis_snapshots_failing{target="eu",instance="a"}': "0+0x20",
}

OPEN = 'blnk_relay_gate{target="eu",side="write",state="open",by="",code="",instance="a"}'


def gate(state: str, by: str, code: str) -> dict[str, str]:
    """The gate of writes in another state after a while."""
    shut = f'blnk_relay_gate{{target="eu",side="write",state="{state}",by="{by}",code="{code}",instance="a"}}'
    return {OPEN: "1+0x4 _x16", shut: "_x5 1+0x15"}


def soon(series: str, well: str, ill: str) -> dict[str, str]:
    """A series of the healthy relay with another value from then on."""
    full = next(name for name in HEALTHY if name.startswith((f"blnk_relay_{series}{{", f"blnk_relay_{series},")))
    return {full: f"{well}+0x4 {ill}+0x15"}


#: Of each case: what is unlike the healthy relay; the alert that it is about; its labels; its sentence.
CASES: dict[str, tuple[dict[str, str], str, dict[str, str], str]] = {
    "nobody works": (
        soon('workers{state="running"', "2", "0"),
        "BlnkRelayNoWorker",
        {"target": "eu"},
        "No worker is alive for target eu, or none that Prometheus can reach.",
    ),
    "nobody can be asked": (
        {series: values.replace("x20", "x4 _x16") for series, values in HEALTHY.items()},
        "BlnkRelayNoWorker",
        {},
        "No worker is alive, or none that Prometheus can reach.",
    ),
    "nobody serves a lane": (
        soon("lane_workers", "2", "0"),
        "BlnkRelayLaneWithoutWorker",
        {"target": "eu", "lane": "main"},
        "No worker serves lane main of target eu, while others are served.",
    ),
    "a worker is stuck": (
        soon("workers_unwell", "0", "1"),
        "BlnkRelayWorkerUnwell",
        {"target": "eu"},
        "1 workers of target eu have work and finish nothing.",
    ),
    "a worker has died": (
        {'blnk_relay_workers{state="dead",target="eu",instance="a"}': "0+0x10 1+0x9"},
        "BlnkRelayWorkerDied",
        {"target": "eu"},
        "1 workers of target eu have died within 15 minutes.",
    ),
    "a journal is away": (
        {f'blnk_relay_journal_up{{target="eu",instance="{one}"}}': "1+0x4 0+0x15" for one in ("a", "b")},
        "BlnkRelayJournalAway",
        {"target": "eu"},
        "The journal of target eu cannot be read by any worker, or not half of the time; its work stands still.",
    ),
    "a journal is another ledger's": (
        soon("journal_foreign", "0", "1"),
        "BlnkRelayJournalForeign",
        {"target": "eu"},
        "The journal of target eu belongs to another ledger than the settings of a process mean.",
    ),
    "a journal has lost its last moments": (
        soon("journal_lost", "0", "1"),
        "BlnkRelayJournalLost",
        {"target": "eu"},
        "The Redis of target eu has come back, perhaps without its last moments.",
    ),
    "snapshots fail": (
        soon("redis_snapshots_failing", "0", "1"),
        "BlnkRelayRedisSnapshots",
        {"target": "eu"},
        "The Redis of target eu fails to save a snapshot or to rewrite its append-only file.",
    ),
    "an encryption key is missing": (
        soon("intents_locked", "0", "5"),
        "BlnkRelayEncryptionKey",
        {"target": "eu"},
        "5 open intents of target eu, at least, need an encryption key that a process which is asked does not have.",
    ),
    "letters need an encryption key that is missing": (
        soon("letters_locked", "0", "3"),
        "BlnkRelayLettersLocked",
        {"target": "eu"},
        "3 dead letters of target eu, at least, need an encryption key that a process which is asked does not have.",
    ),
    "a ledger is away": (
        gate("unreachable", "worker", "UNREACHABLE"),
        "BlnkRelayTargetUnreachable",
        {"target": "eu", "side": "write", "code": "UNREACHABLE"},
        "The ledger of target eu cannot be reached (write, UNREACHABLE).",
    ),
    "a key is refused": (
        gate("paused", "worker", "AUTH_INVALID_API_KEY"),
        "BlnkRelayTargetRefuses",
        {"target": "eu", "side": "write", "code": "AUTH_INVALID_API_KEY"},
        "The ledger of target eu refuses us (write, AUTH_INVALID_API_KEY); nothing else is sent.",
    ),
    "no token is to be had": (
        gate("slowed", "worker", "NO_ACCESS_TOKEN"),
        "BlnkRelayTargetRefuses",
        {"target": "eu", "side": "write", "code": "NO_ACCESS_TOKEN"},
        "The ledger of target eu refuses us (write, NO_ACCESS_TOKEN); nothing else is sent.",
    ),
    "an operator has paused a target": (
        gate("paused", "operator", "OPERATOR"),
        "BlnkRelayTargetPaused",
        {"target": "eu", "side": "write"},
        "Target eu (write) has been paused by an operator for half an hour.",
    ),
    "a ledger slows us": (
        gate("slowed", "worker", "GEN_RATE_LIMITED"),
        "BlnkRelayTargetSlowed",
        {"target": "eu", "side": "write", "code": "GEN_RATE_LIMITED"},
        "The ledger of target eu slows us down (write, GEN_RATE_LIMITED).",
    ),
    "a lane is paused": (
        soon("lane_paused", "0", "1"),
        "BlnkRelayLanePaused",
        {"target": "eu", "lane": "main"},
        "Lane main of target eu is paused by an operator.",
    ),
    "work is not done": (
        soon("oldest_open_seconds", "2", "900"),
        "BlnkRelayOldestOpen",
        {"target": "eu", "lane": "main"},
        "An intent of lane main, target eu, was accepted 15m 0s ago and is not done.",
    ),
    "outcomes are not read": (
        soon("confirmation_lag_seconds", "0", "120"),
        "BlnkRelayConfirmationsLate",
        {"target": "eu"},
        "What was posted to target eu is not looked for; the latest look is 2m 0s late.",
    ),
    "more die of a known cause": (
        {series: "3+0x10 5+0x9" for series in HEALTHY if "dead_total" in series},
        "BlnkRelayDeadLetters",
        {"target": "eu", "kind": "refund", "class": "refused", "code": "X"},
        "2 new dead letters of target eu within 15 minutes: refund refused X.",
    ),
    "one dies of a new cause": (
        {'blnk_relay_dead_total{target="eu",kind="refund",class="unknown",code="Y",instance="a"}': "_x11 1+0x9"},
        "BlnkRelayDeadLetters",
        {"target": "eu", "kind": "refund", "class": "unknown", "code": "Y"},
        "1 new dead letters of target eu within 15 minutes: refund unknown Y.",
    ),
    "Redis is nearly full": (
        soon("redis_memory_used_bytes", "100", "850"),
        "BlnkRelayRedisMemory",
        {"target": "eu"},
        "The Redis of target eu is 85% full; at nine tenths of maxmemory nothing new is accepted.",
    ),
    "Redis cannot write": (
        soon("redis_persistence_failing", "0", "1"),
        "BlnkRelayRedisPersistence",
        {"target": "eu"},
        "The Redis of target eu does not write to its disk, so that a restart loses receipts.",
    ),
    "Redis has no file": (
        soon("redis_append_only", "1", "0"),
        "BlnkRelayRedisPersistence",
        {"target": "eu"},
        "The Redis of target eu does not write to its disk, so that a restart loses receipts.",
    ),
    "Redis evicts": (
        soon("redis_evicts", "0", "1"),
        "BlnkRelayRedisEviction",
        {"target": "eu"},
        "The Redis of target eu evicts intents when it is full; maxmemory-policy must be noeviction.",
    ),
    "history is not copied": (
        soon("history_lag_seconds", "0", "900"),
        "BlnkRelayHistoryBehind",
        {"target": "eu"},
        "What is over of target eu is not copied into history, and stays in Redis until it is.",
    ),
    "history cannot begin": (
        soon("history_troubled", "0", "1"),
        "BlnkRelayHistoryBehind",
        {"target": "eu"},
        "What is over of target eu is not copied into history, and stays in Redis until it is.",
    ),
    "versions are mixed": (
        soon("worker_versions", "1", "2"),
        "BlnkRelayVersionsMixed",
        {"target": "eu"},
        "Workers of target eu have been of 2 versions for an hour.",
    ),
    "clocks are apart": (
        soon("clock_ahead_seconds", "0", "-9"),
        "BlnkRelayClocksApart",
        {"target": "eu", "instance": "a"},
        "The clocks of a and of the journal of target eu are 9s apart.",
    ),
}


def rules() -> dict[str, dict[str, Any]]:
    """Every alert, by its name."""
    [group] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def told(unlike: dict[str, str], *moments: tuple[str, str, dict[str, Any] | None]) -> dict[str, Any]:
    """A case in the words of promtool.

    Args:
        unlike: Series that are unlike those of the healthy relay.
        *moments: Times, and which alert fires then, and how; of all others, none.
    """
    return {
        "interval": "5m",
        "input_series": [{"series": name, "values": values} for name, values in {**HEALTHY, **unlike}.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": name, "exp_alerts": [alert] if alert and name == fires else []}
            for at, fires, alert in moments
            for name in rules()
        ],
    }


def judged(cases: list[dict[str, Any]], folder: Path) -> None:
    """Have promtool play some cases."""
    place = folder / "cases.yaml"
    place.write_text(
        json.dumps(
            {"rule_files": [str(RULES)], "evaluation_interval": min(case["interval"] for case in cases), "tests": cases}
        ),
        encoding="utf-8",
    )
    promtool("test", "rules", str(place))


def test_a_relay_that_is_well_is_left_in_peace_also_in_its_first_minutes(tmp_path):
    judged([told({}, *((at, "", None) for at in ("5m", "10m", "20m", "90m")))], tmp_path)


def test_each_alert_fires_on_its_case_alone_once_that_has_lasted_and_says_what_it_is_about(tmp_path):
    cases = []
    for unlike, name, labels, sentence in CASES.values():
        rule = rules()[name]
        alert = {
            "exp_labels": {**labels, **rule["labels"]},
            "exp_annotations": {"summary": sentence, "runbook_url": rule["annotations"]["runbook_url"]},
        }
        # Deaths are news at once, and for a quarter of an hour; what else is amiss has to last.
        moments = [("60m", name, alert)] if "for" not in rule else [("25m", "", None), ("95m", name, alert)]
        cases.append(told(unlike, *moments))
    judged(cases, tmp_path)
    assert {name for _, name, _, _ in CASES.values()} == set(rules()), "an alert without a case"


#: What status says and no alert does: of a journal whose shape is not known nothing is read, so that it counts as away.
WITHOUT = {"journal-shape"}

#: Alerts about what is less bad than the verdict at its worst; status says so too. Letters wait for a human anyway.
MILDER = {"BlnkRelayRedisSnapshots": Severity.WARNING, "BlnkRelayLettersLocked": Severity.WARNING}


def test_an_alert_is_as_bad_as_the_verdict_that_status_has_for_it_and_names_its_runbook():
    told = set()
    for name, rule in rules().items():
        page, _, sort = rule["annotations"]["runbook_url"].partition("#")
        assert page == "https://github.com/blnk-relay/blnk-relay/blob/main/docs/operations.md"
        assert rule["labels"]["severity"] == MILDER.get(name, SORTS[sort].severity), name
        told.add(sort)
    assert set(SORTS) - told == WITHOUT


def dead(code: str, instance: str) -> str:
    return f'blnk_relay_dead_total{{target="eu",kind="refund",class="refused",code="{code}",instance="{instance}"}}'


def test_a_worker_that_was_started_again_and_calls_other_codes_other_makes_no_alert(tmp_path):
    before = {dead("X", "a"): "3+0x20", dead("other", "a"): "500+0x20"}
    apart = {dead("Y", "b"): "_x10 400+0x9", dead("Z", "b"): "_x10 100+0x9", dead("other", "b"): "_x10 3+0x9"}
    together = {dead("X", "b"): "_x10 1+0x9", dead("other", "b"): "_x10 502+0x9"}
    quiet = [(at, "", None) for at in ("45m", "55m", "60m", "95m")]
    judged([told({**before, **apart}, *quiet), told({**before, **together}, *quiet)], tmp_path)
    rule = rules()["BlnkRelayDeadLetters"]
    alert = {
        "exp_labels": {"target": "eu", "kind": "refund", "class": "refused", "code": "other", **rule["labels"]},
        "exp_annotations": {
            "summary": "1 new dead letters of target eu within 15 minutes: refund refused other.",
            "runbook_url": rule["annotations"]["runbook_url"],
        },
    }
    more = {**before, dead("other", "a"): "500+0x10 501+0x9"}
    judged([told(more, ("60m", "BlnkRelayDeadLetters", alert))], tmp_path)


def test_new_letters_are_told_of_though_one_who_told_more_than_there_are_is_gone(tmp_path):
    """Whoever saw Redis lose its last moments tells these on; one that begins later does not."""
    rule = rules()["BlnkRelayDeadLetters"]
    alert = {
        "exp_labels": {"target": "eu", "kind": "refund", "class": "refused", "code": "X", **rule["labels"]},
        "exp_annotations": {
            "summary": "3 new dead letters of target eu within 15 minutes: refund refused X.",
            "runbook_url": rule["annotations"]["runbook_url"],
        },
    }
    anew = {dead("X", "a"): "105+0x10 103+0x9", dead("X", "b"): "100+0x10 103+0x9"}
    gone = {dead("X", "a"): "105+0x10 _x9", dead("X", "b"): "100+0x10 103+0x9"}
    moments = [("45m", "", None), ("60m", "BlnkRelayDeadLetters", alert), ("90m", "", None)]
    judged([told(anew, *moments), told(gone, *moments)], tmp_path)
    # That alone is no letter.
    fewer = {dead("X", "a"): "105+0x10 100+0x9", dead("X", "b"): "100+0x20"}
    judged([told(fewer, *((at, "", None) for at in ("45m", "55m", "60m", "95m")))], tmp_path)


def test_a_journal_that_answers_now_and_then_is_told_of_as_well(tmp_path):
    rule = rules()["BlnkRelayJournalAway"]
    sentence = "The journal of target eu cannot be read by any worker, or not half of the time; its work stands still."
    alert = {
        "exp_labels": {"target": "eu", **rule["labels"]},
        "exp_annotations": {"summary": sentence, "runbook_url": rule["annotations"]["runbook_url"]},
    }
    flapping = {f'blnk_relay_journal_up{{target="eu",instance="{one}"}}': "0 1 " * 20 + "1+0x19" for one in ("a", "b")}
    moments = [(at, "BlnkRelayJournalAway", alert) for at in ("15m", "30m", "39m")]
    case = told({**HEALTHY, **flapping}, *moments, ("55m", "", None)) | {"interval": "1m"}
    judged([case], tmp_path)


def test_a_target_of_which_nobody_tells_any_more_is_told_of_for_an_hour(tmp_path):
    rule = rules()["BlnkRelayNoWorker"]
    alert = {
        "exp_labels": {"target": "eu", **rule["labels"]},
        "exp_annotations": {
            "summary": "No worker is alive for target eu, or none that Prometheus can reach.",
            "runbook_url": rule["annotations"]["runbook_url"],
        },
    }
    # Its workers are gone with all that they said, and those of another target are there.
    gone = {series: values.replace("x20", "x4 _x16") for series, values in HEALTHY.items()}
    others = {series.replace("eu", "us").replace('"a"', '"c"'): values for series, values in HEALTHY.items()}
    moments = [("25m", "", None), ("35m", "BlnkRelayNoWorker", alert), ("75m", "BlnkRelayNoWorker", alert)]
    judged([told({**gone, **others}, *moments, ("95m", "", None))], tmp_path)


@pytest.mark.parametrize("file", ["alerts.yaml", "dashboard.json"])
def test_they_ask_only_for_metrics_that_there_are_and_for_labels_that_these_have(file):
    text = (MONITORING / file).read_text(encoding="utf-8").replace("\\", "")
    known = {name.full: name for name in names.NAMES}
    asked = {re.sub(r"(_seconds)_(bucket|count|sum)$", r"\1", word) for word in re.findall(r"blnk_relay_\w+", text)}
    assert asked
    assert asked <= set(known)
    for word, inside in re.findall(r"(blnk_relay_\w+)\{([^}]*)\}", text):
        name = known[re.sub(r"(_seconds)_(bucket|count|sum)$", r"\1", word)]
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)) <= {*name.labels, "instance"}


def test_panels_of_the_dashboard_lie_beside_each_other_and_each_asks_for_something():
    panels = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])
