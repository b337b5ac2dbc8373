"""Drills: their names, their lines, and that one which does not strike is not sound."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

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
