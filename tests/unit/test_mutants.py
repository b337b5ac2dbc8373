"""The deliberate bugs of ``make mutants`` can still be made, and to be caught means that a test said no."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.copies import apply
from tests.mutants.core import Change, accepted, change_of, is_of_words, where_of
from tests.mutants.mutant import FOLDER, PROMISES, ROOT, BadPatch, Mutant, mutants, read
from tests.mutants.trial import End, run_tests

ALL = mutants()

each = pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)


@each
def test_a_mutant_can_be_made_of_the_code_as_it_is(mutant: Mutant):
    apply(ROOT, mutant, check=True)


@each
def test_the_tests_that_ought_to_catch_it_are_there(mutant: Mutant):
    for test in mutant.tests:
        file, _, name = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name or 'test_'}", text, re.MULTILINE), test


def test_they_are_of_all_parts_and_cost_all_that_is_promised():
    parts = (
        "scripts/",
        "tasks/",
        "worker/ledger/",
        "/kinds/",
        "/families/",
        "/intents/",
        "accept",
        "hands/",
        "replay",
    )
    changes = [path for mutant in ALL for path in mutant.changes]
    assert {part for part in parts if not any(part in path for path in changes)} == set()
    assert set(Counter(mutant.breaks.rpartition(" ")[2].rstrip(".") for mutant in ALL)) == set(PROMISES)


# -- patches that are no use ---------------------------------------------------------------------------------------

DIFF = "--- a/tests/unit/conftest.py\n+++ b/tests/unit/conftest.py\n@@ -1 +1 @@\n-{was}\n+now\n"
GOOD = "Something breaks: lies.\n\npytest: tests/unit/test_mutants.py\nwithin: 7\n\n" + DIFF.format(was="x")


def written(folder: Path, text: str) -> Path:
    path = folder / "a-bug.patch"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_head_says_what_breaks_what_catches_it_and_how_soon(tmp_path):
    mutant = read(written(tmp_path, GOOD))
    assert (mutant.name, mutant.breaks, mutant.seeds) == ("a-bug", "Something breaks: lies.", 0)
    assert (mutant.tests, mutant.within_s) == (("tests/unit/test_mutants.py",), 7.0)
    assert mutant.changes == ("tests/unit/conftest.py",)
    assert read(written(tmp_path, GOOD.replace("within: 7", "simulate: 300"))).seeds == 300


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("Something breaks: lies.", "Something breaks.", "first line"),
        ("pytest: tests/unit/test_mutants.py\n", "", "nothing that ought to catch it"),
        ("within: 7", "within: soon", "take a number"),
        ("within: 7", "make: mutants", "not 'make: mutants'"),
        ("+++ b/", "+++ ", "nothing that it changes"),
    ],
)
def test_a_head_that_says_less_is_refused_with_a_sentence(tmp_path, good, bad, words):
    assert good in GOOD
    with pytest.raises(BadPatch, match=words):
        read(written(tmp_path, GOOD.replace(good, bad, 1)))


def test_a_patch_that_no_longer_applies_is_told_with_what_to_do(tmp_path):
    stale = read(written(tmp_path, GOOD))
    with pytest.raises(BadPatch, match=r"a-bug\.patch no longer applies .*take it up anew"):
        apply(ROOT, stale, check=True)


# -- what counts as caught -----------------------------------------------------------------------------------------

TESTS = {
    "def test_it():\n    assert 1 == 2\n": End.CAUGHT,
    "def test_it():\n    assert 1 == 1\n": End.SURVIVED,
    "import nothing_like_this\n\ndef test_it():\n    pass\n": End.BROKEN,
    "def test_it():\n    import nothing_like_this\n": End.BROKEN,
    "def test_it():\n    nothing_like_this()\n": End.BROKEN,
    "def test_it(nothing_like_this):\n    pass\n": End.BROKEN,
    "import time\n\ndef test_it():\n    time.sleep(60)\n": End.LATE,
}


@pytest.mark.long
@pytest.mark.parametrize(("text", "end"), TESTS.items(), ids=[f"{end} {at}" for at, end in enumerate(TESTS.values())])
def test_to_be_caught_is_to_fail_a_test_and_nothing_less(tmp_path, text, end):
    (tmp_path / "test_some.py").write_text(text, encoding="utf-8")
    trial = run_tests(tmp_path, ["test_some.py"], 5.0 if end is End.LATE else 60.0)
    assert trial.end is end
    assert end is not End.CAUGHT or trial.by == "test_some.py::test_it"


# -- every small change of the core --------------------------------------------------------------------------------


def test_a_change_is_known_by_its_function_and_its_lines():
    diff = "--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n def of(x):\n-    return x\n+    return not x"
    assert change_of("a.b.x_of__mutmut_2", diff) == Change("a.b.of", "return x", "return not x")
    assert where_of("a.retry.xǁBackoffǁwait_s__mutmut_17") == "a.retry.Backoff.wait_s"


@pytest.mark.parametrize(
    ("was", "made", "of_words"),
    [
        ('return "It was made."', 'return "XXIt was made.XX"', True),
        ('return refused(code, f"It {was} made.")', 'return refused(code, f"it {was} made.")', True),
        ('return "APPLIED"', 'return "applied"', False),
        ('return refused("A_CODE", "It was made.")', 'return refused("a_code", "It was made.")', False),
        ('return "It was made." if x else ""', 'return "It was made." if not x else ""', False),
    ],
)
def test_a_change_of_nothing_but_words_is_told_from_others(was, made, of_words):
    assert is_of_words(Change("a.of", was, made)) == of_words


def test_each_survivor_that_is_accepted_has_a_reason():
    assert all(len(why) > 10 for why in accepted().values())
    assert FOLDER.is_dir()
