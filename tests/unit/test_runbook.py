"""The page of operations: a part for each sort of verdict and each class of dead letters, and links that resolve."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from blnk_relay.intents.decision import DeadClass
from blnk_relay.journal.verdicts import SORTS
from tests.support.prometheus import MONITORING

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")


def headings(text: str, depth: str) -> list[str]:
    return re.findall(rf"^{depth} (.+)$", text, re.MULTILINE)


def part(title: str) -> str:
    """What stands under a heading of the second depth."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def anchors(text: str) -> set[str]:
    """What a link may name in a page, as GitHub makes it of headings."""
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings(text, "#{1,6}")}


def test_every_sort_of_verdict_has_its_part_in_the_order_in_which_they_are_told():
    assert headings(part("Verdicts"), "###") == list(SORTS)


def test_every_class_of_dead_letters_has_its_part_with_what_it_means_and_a_command():
    those = headings(part("Dead letters by class"), "###")
    assert sorted(those) == sorted(DeadClass)
    for name in those:
        assert f"--class {name}" in part("Dead letters by class").partition(f"### {name}\n")[2].partition("\n### ")[0]


def test_every_alert_leads_to_a_part_of_the_page():
    [group] = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    links = [rule["annotations"]["runbook_url"] for rule in group["rules"]]
    assert links
    assert {link.partition("#")[2] for link in links} <= anchors(PAGE)
    assert {link.partition("#")[0].rpartition("/")[2] for link in links} == {"operations.md"}


def test_every_place_that_the_page_links_to_is_there():
    links = re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", PAGE)
    assert len(links) > 5
    for file, anchor in links:
        text = (DOCS / file).read_text(encoding="utf-8") if file else PAGE
        assert anchor in anchors(text), f"{file}#{anchor}"
