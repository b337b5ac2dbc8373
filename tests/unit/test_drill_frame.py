"""Drills: their names, their lines, and that one which does not strike is not sound."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from tests.drills import clocks, promotions, refusals
from tests.drills.__main__ import drill
from tests.drills.report import Report, Terms, too_few
from tests.drills.table import DRILLS

#: One of each at least belongs to the short set: workers, the ground, clocks, the ledger.
FAMILIES = [{"kills", "fleet", "freezes"}, {"moving", "refusals", "storms"}, {"clock-redis", "clock-workers"}]
FAMILIES += [{name for name in DRILLS if name.startswith("target-")}]


def test_a_report_is_one_line_with_all_its_figures() -> None:
    report = Report("kills", 7, events={"kill": 3}, accepted=5, settled=5, seconds=1.5, figures={"settling": 0.2})
    document = json.loads(report.line())
    assert "\n" not in report.line()
    assert document == {
        "drill": "kills",
        "seed": 7,
        "events": {"kill": 3},
        "accepted": 5,
        "settled": 5,
        "lost": 0,
        "doubled": 0,
        "stuck": 0,
        "untrue": 0,
        "violations": 0,
        "seconds": 1.5,
        "sound": True,
        "settling": 0.2,
    }


@pytest.mark.parametrize(
    "report",
    [
        Report("kills", 7, events={"kill": 3}, accepted=5, figures={"settling": 0.2}),
        Report("kills", 7).wrong("lost: one").wrong("doubled: another"),
        Report("clock-redis", 1, skipped="no compiler is there"),
    ],
)
def test_a_line_tells_all_of_a_report(report: Report) -> None:
    assert Report.of_line(report.line()) == report


def test_a_drill_whose_blows_did_not_fall_is_not_sound() -> None:
    assert list(too_few({"kill": 1_000}, {"kill": 1_000})) == []
    (sentence,) = too_few({"kill": 999}, {"kill": 1_000})
    assert "999" in sentence
    (sentence,) = too_few({}, {"freeze": 1})
    assert not Report("freezes", 1).wrong(sentence).sound


@pytest.mark.parametrize("family", FAMILIES, ids=min)
def test_the_short_set_has_one_of_each_family(family: set[str]) -> None:
    assert [name for name in family if DRILLS[name].soon]


def test_each_drill_says_what_it_does() -> None:
    listed = CliRunner().invoke(drill, ["--list"])
    assert listed.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in listed.output.splitlines())
    assert set(lines) == set(DRILLS)
    assert all(about.endswith((".", "…")) for about in lines.values())


def test_a_short_form_is_shorter() -> None:
    assert Terms(quick=True).of(1_000, 100) < Terms().of(1_000, 100)


#: What each of these drills has to show beside the blows that fall: without it, the blows have struck nothing.
SHOWN = [
    ("clock-redis", clocks.least_of_redis(20), {"noticed": 10}),
    ("clock-redis, short", clocks.least_of_redis(6), {"noticed": 3}),
    ("clock-workers", clocks.least_of_workers(24), {"noticed": 1}),
    ("promotions-memory", promotions.least_of("memory", 3), {"tail_lost": 3, "forgotten": 3}),
    ("promotions-fsync", promotions.least_of("fsync", 2), {"tail_lost": 2, "forgotten": 2}),
    ("promotions-replicated", promotions.least_of("replicated:1", 3), {"tail_lost": 3, "forgotten": 1}),
    ("refusals", refusals.least_of_refusals(2), {"told": 10, "refused": 4}),
    ("refusals, short", refusals.least_of_refusals(1), {"told": 5, "refused": 2}),
    ("maxmemory", refusals.least_of_maxmemory(1_000), {"refused": 10}),
    ("maxmemory, short", refusals.least_of_maxmemory(100), {"refused": 1}),
]


@pytest.mark.parametrize(("least", "shown"), [given[1:] for given in SHOWN], ids=[given[0] for given in SHOWN])
def test_a_drill_whose_blows_fell_and_showed_nothing_is_not_sound(
    least: Mapping[str, int], shown: Mapping[str, int]
) -> None:
    assert list(too_few(least, least)) == []
    for name, number in shown.items():
        (sentence,) = too_few({**least, name: number - 1}, least)
        assert sentence.startswith(f"idle: {name} ")


def test_a_worker_whose_log_tells_of_no_other_hour_had_its_clock_set_by_nobody() -> None:
    begin, end = datetime(2030, 1, 1, 10, tzinfo=UTC), datetime(2030, 1, 1, 10, 5, tzinfo=UTC)
    lines = [
        "2030-01-01T10:00:01.000Z INFO start: worker started [worker=vm:1 pool=threads]",
        "2030-01-01T08:00:01.000Z INFO start: worker started [worker=vm:2 pool=threads]",
        "2030-01-01T10:10:00.000Z WARNING odd: [worker=vm:5] is no worker here [worker=vm:3]",
        "2030-01-01T10:04:00.000Z INFO stop: worker stopped [worker=vm:3]",
        "Traceback (most recent call last):",
        "",
    ]
    assert clocks.astray(lines, begin, end) == {"vm:2", "vm:3"}
    assert clocks.astray(lines[:1], begin, end) == frozenset()
    assert [clocks.least_astray(number) for number in (24, 6)] == [3, 1]
