"""What code, tests and papers cite is there, and cited in one spelling; decisions, their table and statuses agree.

Known papers are docs/contract.md (`contract §3.4`, `contract §0.1 fact 8`), docs/decisions.md (`decision 12`) and
docs/ledger-findings.md (`finding D13`, `findings part 9`). Whatever else has a section sign is no paper of ours.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONTRACT, DECISIONS, FINDINGS = DOCS / "contract.md", DOCS / "decisions.md", DOCS / "ledger-findings.md"

#: Folders with something to read; the files of the root are read as well.
FOLDERS = ("blnk_relay", "docker", "docs", "tasks", "tests", "wheels", "worker")
NAMES = re.compile(r".*\.(py|lua|md|toml|ya?ml)|Dockerfile|Makefile|Procfile")

#: This file, which has examples of how not to cite.
SELF = Path(__file__).resolve()


def sources() -> list[Path]:
    """Everything in the tree that may cite."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(path for path in found if NAMES.fullmatch(path.name) and path.resolve() != SELF)


# -- reading ----------------------------------------------------------------------------------------------------------

#: What a line of a comment, of a list or of a text in pieces begins and ends with: a citation may go over it.
_BEGIN = re.compile(r"^\s*(?:#:?|--+|[-*>|](?= ))?\s*(?:[rbf]{0,2}[\"']+)?")
_END = re.compile(r"[\s\"'\\]*$")


class Reading:
    """A text as one line, so that citations are found across its lines; each place knows its line.

    Args:
        text: The text of a file.
    """

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        pieces: list[str] = []
        length = 0
        for line in text.split("\n"):
            self._starts.append(length)
            piece = _END.sub("", _BEGIN.sub("", line)) + " "
            pieces.append(piece)
            length += len(piece)
        self.text = "".join(pieces)

    def line(self, place: int) -> int:
        """The line, from 1, in which a place of the text stands."""
        return bisect_right(self._starts, place)

    def around(self, place: int) -> str:
        """A few words about a place, for a report."""
        return self.text[max(0, place - 30) : place + 25].strip()


# -- where citations may lead -----------------------------------------------------------------------------------------

_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that a heading has by itself, as forges make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


@cache
def anchors(path: Path) -> frozenset[str]:
    """All places of a page that a link can lead to."""
    text = path.read_text()
    return frozenset({*_ANCHOR.findall(text), *(slug(heading) for heading in _HEADING.findall(text))})


# -- citations --------------------------------------------------------------------------------------------------------

_AND = r"(?:, | and | to )"


def _listed(item: str) -> str:
    return rf"{item}(?:{_AND}{item})*"


_NUMBER = r"\d+(?:\.\d+)*"
_DIGITS = _listed("[0-9]+")
_PART = rf"(?: (?:fact|step) \d+| (?:facts|steps) {_DIGITS}| {_listed('S[0-9]+')})?"
_SECTIONS = re.compile(rf"(?<!\w)contract {_listed(f'§{_NUMBER}{_PART}')}")
_SECTION = re.compile(rf"§({_NUMBER})({_PART})")
_SIGN = re.compile(r"§ ?(?=[0-9A-Z])")

#: Papers of the world, which have sections too.
_RFC = re.compile(rf"RFC \d+ §{_NUMBER}")
#: How the contract speaks of itself.
_OWN = re.compile(rf"\[§({_NUMBER})\]\((#[\w-]+)\)")

_DECISIONS = re.compile(rf"(?<!\w)(?:decision \d+\b|decisions {_DIGITS})")
_FINDINGS = re.compile(rf"(?<!\w)(?:finding [DR]\d+|findings [DR]\d+{_AND}{_listed('[DR][0-9]+')})")
_FINDING_PARTS = re.compile(rf"(?<!\w)findings (?:part \d+|parts \d+{_AND}{_DIGITS})")
#: Whatever looks as if it cited a decision or a finding.
_CITING = re.compile(
    r"(?<!\w)(?:[Dd]ecisions?(?:,|\.md)? #?\d+"
    r"|(?:[Ff]indings?|ledger-findings|measured,)(?:,|\.md)? (?:[DR]?\d+|parts? \d+))"
)
#: A part of a section that is not joined to its number as ours are.
_LOOSE_PART = re.compile(r",? (?:(?:fact|step|point)s? \d|S\d)")


def wrong_citations(text: str, *, own: bool = False) -> Iterator[tuple[int, str]]:
    """What a text cites that is not there, or in another spelling than ours.

    Args:
        text: Of a file.
        own: It is the contract itself, which names its own sections as links.

    Yields:
        The line, and what is wrong with it.
    """
    reading = Reading(text)
    fine: set[int] = set()
    for cited in _SECTIONS.finditer(reading.text):
        for section in _SECTION.finditer(cited[0]):
            place = cited.start() + section.start()
            fine.add(place)
            for anchor in _section_anchors(section[1], section[2]):
                if anchor not in anchors(CONTRACT):
                    yield reading.line(place), f"docs/contract.md has no #{anchor}: {reading.around(place)!r}"
        if _LOOSE_PART.match(reading.text, cited.end()):
            yield (
                reading.line(cited.end()),
                "is to be spelled `contract §0.1 fact 8`, `contract §3.1 step 7`, `contract §3.4 S3`: "
                f"{reading.around(cited.end())!r}",
            )
    fine.update(rfc.start() + rfc[0].index("§") for rfc in _RFC.finditer(reading.text))
    if own:
        for link in _OWN.finditer(reading.text):
            fine.add(link.start() + 1)
            if link[2] != f"#s{link[1].replace('.', '-')}":
                yield reading.line(link.start()), f"{link[0]} leads to another section than it names"
    for sign in _SIGN.finditer(reading.text):
        if sign.start() not in fine:
            yield (
                reading.line(sign.start()),
                "is no citation of a paper that we have, spelled `contract §3.4` or `contract §3.4, §4`: "
                f"{reading.around(sign.start())!r}",
            )
    yield from _wrong_numbers(reading)


def _section_anchors(number: str, part: str) -> Iterator[str]:
    section = f"s{number.replace('.', '-')}"
    yield section
    word = "step" if "step" in part else "fact"
    for name in re.findall(r"S?\d+", part):
        yield f"{section}-{name.lower()}" if name.startswith("S") else f"{section}-{word}-{name}"


def _wrong_numbers(reading: Reading) -> Iterator[tuple[int, str]]:
    fine: set[int] = set()
    for pattern, paper, item, prefix in (
        (_DECISIONS, DECISIONS, r"\d+", "decision-"),
        (_FINDINGS, FINDINGS, r"[DR]\d+", ""),
        (_FINDING_PARTS, FINDINGS, r"\d+", "part-"),
    ):
        for cited in pattern.finditer(reading.text):
            fine.add(cited.start())
            for name in re.findall(item, cited[0]):
                if f"{prefix}{name.lower()}" not in anchors(paper):
                    yield reading.line(cited.start()), f"docs/{paper.name} has no {name}: {cited[0]!r}"
    for cited in _CITING.finditer(reading.text):
        if cited.start() not in fine:
            yield (
                reading.line(cited.start()),
                "is to be spelled `decision 12`, `finding D13`, `findings D1 and D2` or `findings part 9`: "
                f"{reading.around(cited.start())!r}",
            )


# -- links and names of papers ----------------------------------------------------------------------------------------

_LINK = re.compile(r"\]\(([^()\s]+)\)")
_WITHIN_CODE = re.compile(r"```.*?```", re.DOTALL)
_PAPER = re.compile(r"(?<![\w./-])docs/[\w./-]*\.md\b")


def wrong_links(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Relative links of a page that lead nowhere: to no file, or to no place of it."""
    plain = _WITHIN_CODE.sub(lambda code: "\n" * code[0].count("\n"), text)
    for link in _LINK.finditer(plain):
        target, _, anchor = link[1].partition("#")
        line = plain.count("\n", 0, link.start()) + 1
        if re.match(r"[a-z]+:", target):
            continue
        there = (path.parent / target).resolve() if target else path
        if not there.exists():
            yield line, f"there is no {target}"
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            yield line, f"{there.name} has no #{anchor}"


def wrong_papers(text: str) -> Iterator[tuple[int, str]]:
    """Pages of ``docs`` that are named and do not exist."""
    for named in _PAPER.finditer(text):
        if not (ROOT / named[0]).exists():
            yield text.count("\n", 0, named.start()) + 1, f"there is no {named[0]}"


def wrong_in(path: Path, text: str) -> list[str]:
    """All that is wrong with what a file cites, by lines."""
    found = [*wrong_citations(text, own=path == CONTRACT), *wrong_papers(text)]
    if path.suffix == ".md":
        found += wrong_links(path, text)
    return [f"{path.relative_to(ROOT)}:{line}: {wrong}" for line, wrong in sorted(found)]


def test_whatever_is_cited_is_there_and_cited_in_one_spelling():
    wrong = [each for path in sources() for each in wrong_in(path, path.read_text())]

    assert not wrong, "\n".join(["", *wrong])


# -- that it can fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "as it must be (contract §3.4)",
        "in a text (contract §3.2, §4), in another (contract §3.1 to §3.5, §4.1), and both (contract §2 and §3)",
        "of contract §0.1 fact 18, of contract §0.1 facts 4 and 11, of contract §3.1 steps 3 to 6; contract §3.4 S3",
        '"over two pieces of a text (contract "\n    "§2.12)."',
        "    # over lines of a comment (contract\n    # §3.4, §4)",
        "-- in Lua (contract §1.3,\n-- §1.2)",
        "decision 12, decisions 12 and 13, finding D13, findings D1 and D2, findings part 9, findings parts 1 to 12",
        "as RFC 6749 §6 has it",
    ],
)
def test_what_is_cited_well_is_not_reported(text):
    assert list(wrong_citations(text)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a section that is not there (contract §3.99)", "has no #s3-99"),
        ("one of several is not there (contract §3.4, §9.9)", "has no #s9-9"),
        ("the end of a range is not there (contract §3.1 to §3.99)", "has no #s3-99"),
        ("a fact too many (contract §0.1 fact 21)", "has no #s0-1-fact-21"),
        ("a step too many (contract §3.1 steps 6 to 8)", "has no #s3-1-step-8"),
        ("a shape too many (contract §3.4 S14)", "has no #s3-4-s14"),
        ("a paper that nobody has (design §5)", "no citation of a paper that we have"),
        ("another (field notes §B.1: why)", "no citation of a paper that we have"),
        ("no paper at all (§3.4)", "no citation of a paper that we have"),
        ("Contract §3.4 begins a sentence", "no citation of a paper that we have"),
        ("a word between: contract, §3.4", "no citation of a paper that we have"),
        ("a space too many: contract § 3.4", "no citation of a paper that we have"),
        ("a decision that was not taken (decision 999)", "docs/decisions.md has no 999"),
        ("one of two (decisions 12 and 999)", "docs/decisions.md has no 999"),
        ("a capital: Decision 12", "is to be spelled"),
        ("(findings R4)", "is to be spelled"),
        ("(docs/ledger-findings.md D13)", "is to be spelled"),
        ("(measured, D7)", "is to be spelled"),
        ("a comma too many (contract §0.1, fact 8)", "is to be spelled"),
        ("what we call otherwise (contract §12 point 9)", "is to be spelled"),
        ("(finding D99)", "docs/ledger-findings.md has no D99"),
        ("(findings part 99)", "docs/ledger-findings.md has no 99"),
        ('"over two pieces of a text (contract "\n    "§3.99)."', "has no #s3-99"),
    ],
)
def test_a_bad_citation_is_reported(text, said):
    found = [wrong for _, wrong in wrong_citations(text)]

    assert len(found) == 1
    assert said in found[0]


def test_a_bad_citation_is_reported_with_its_line():
    text = "first\n# second\n#: third, and a bad one (contract\n#: §3.99)\n"

    assert [line for line, _ in wrong_citations(text)] == [4]


def test_a_section_of_the_contract_that_links_to_another_than_it_names_is_reported():
    assert list(wrong_citations("see [§3.4](#s3-4)", own=True)) == []
    assert list(wrong_citations("see [§3.4](#s3-5)", own=True)) != []
    assert list(wrong_citations("see [§3.4](#s3-4)")) != [], "elsewhere it is spelled out"


def test_a_link_or_a_page_that_leads_nowhere_is_reported():
    page = DOCS / "page.md"

    assert list(wrong_links(page, "[a](decisions.md#decision-12), [b](kinds/README.md), [c](https://x.y/z#q)")) == []
    assert list(wrong_links(page, "\n[a](nowhere.md)")) == [(2, "there is no nowhere.md")]
    assert list(wrong_links(page, "[a](decisions.md#decision-999)")) == [(1, "decisions.md has no #decision-999")]
    assert list(wrong_papers("see docs/decisions.md")) == []
    assert list(wrong_papers("\nsee docs/design.md")) == [(2, "there is no docs/design.md")]


# -- decisions --------------------------------------------------------------------------------------------------------

_DECISION = re.compile(
    r'<a id="decision-(\d+)"></a>\n\n## (\d+)\. (.+)\n\n(?:\*(Amended|Superseded) by ([^*]+)\.\*\n)?'
)
_ANY_DECISION = re.compile(r"^## (\d+)\.", re.MULTILINE)
_ROW = re.compile(r"^\| \[(\d+)\]\(#decision-(\d+)\) \| (.+) \| (.+) \|$", re.MULTILINE)


def wrong_decisions(text: str) -> Iterator[str]:
    """Where the table at the head of the decisions, their headings and their statuses disagree."""
    taken = _ANY_DECISION.findall(text)
    if taken != [str(number) for number in range(1, len(taken) + 1)]:
        yield "decisions are not numbered one after another"
    decisions = {found[2]: found for found in _DECISION.finditer(text)}
    for number in taken:
        if number not in decisions or decisions[number][1] != number:
            yield f'decision {number} has no <a id="decision-{number}"></a> before its heading, or no text after it'
    rows = {row[1]: row for row in _ROW.finditer(text)}
    if list(rows) != taken:
        differing = sorted(set(rows) ^ set(taken), key=int)
        yield f"the table does not have each decision once, in their order: {', '.join(differing)}"
    for number in rows.keys() & decisions.keys():
        decision, row = decisions[number], rows[number]
        later = re.findall(r"\d+", decision[5] or "")
        status = "holds"
        if later:
            status = f"{decision[4].lower()} by " + ", ".join(f"[{each}](#decision-{each})" for each in later)
        expected = f"| [{number}](#decision-{number}) | {decision[3]} | {status} |"
        if row[0] != expected:
            yield f"the table says {row[0]}, the decision {expected}"
        if any(int(each) <= int(number) for each in later):
            yield f"decision {number} is changed by an earlier one"


def test_the_table_of_decisions_says_what_the_decisions_say():
    assert list(wrong_decisions(DECISIONS.read_text())) == []


def _decisions(rows: str, *decisions: str) -> str:
    bodies = (
        f'<a id="decision-{number}"></a>\n\n## {number}. {body}' for number, body in enumerate(decisions, start=1)
    )
    return rows + "\n\n" + "\n".join(bodies)


@pytest.mark.parametrize(
    ("rows", "first", "wrong"),
    [
        ("| [1](#decision-1) | One | holds |\n| [2](#decision-2) | Two | holds |", "", None),
        (
            "| [1](#decision-1) | One | amended by [2](#decision-2) |\n| [2](#decision-2) | Two | holds |",
            "*Amended by decision 2.*\n\n",
            None,
        ),
        ("| [1](#decision-1) | One | holds |", "", "each decision once"),
        ("| [1](#decision-1) | Other | holds |\n| [2](#decision-2) | Two | holds |", "", "the table says"),
        (
            "| [1](#decision-1) | One | holds |\n| [2](#decision-2) | Two | holds |",
            "*Superseded by decision 2.*\n\n",
            "the table says",
        ),
        (
            "| [1](#decision-1) | One | superseded by [2](#decision-2) |\n| [2](#decision-2) | Two | holds |",
            "",
            "the table says",
        ),
    ],
)
def test_a_table_that_does_not_say_what_the_decisions_say_is_reported(rows, first, wrong):
    found = list(wrong_decisions(_decisions(rows, f"One\n\n{first}Text.\n", "Two\n\nText.\n")))

    assert (not found) if wrong is None else (len(found) == 1 and wrong in found[0])
