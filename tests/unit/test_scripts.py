"""The scripts on Redis read by names: a head says what goes in and out, and no field or argument is read by number."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.support.redis_keys import SCRIPTS, listed

ALL = {path.name: path.read_text(encoding="utf-8") for path in SCRIPTS.iterdir() if path.name.endswith(".lua")}

#: The head of ``common.lua`` is the list of keys, which has a test of its own.
WITH_HEAD = {name: text for name, text in ALL.items() if name != "common.lua"}

MOST = 120

#: A local that gets what a hash holds, or by name what is not to be asked for by number.
HASH_FIELDS = re.compile(r"local (\w+)\s*=\s*(?:redis\.call\('HMGET'|fields_of\()")
BY_NUMBER = re.compile(r"\b(?:fields|values|got)\[\d+\]|\b(?!ARGV\b)\w+\[\d{2,}\]|redis\.call\('HMGET'[^\n]*\)\[\d+\]")
FUNCTION = re.compile(r"local function (\w+)\(([^)]*)\)")
LOCALS = re.compile(r"local (?!function)([\w, ]+)|\bfor ([\w, \n]+?)\s+in\b")


def parts_of(text: str) -> tuple[str, str, str]:
    """Comment at the top, the lines up to the first empty one behind it, and the rest."""
    lines = text.splitlines()
    comment = next((at for at, line in enumerate(lines) if not line.startswith("--")), len(lines))
    begin = comment
    while begin < len(lines) and not lines[begin]:
        begin += 1
    end = next((at for at in range(begin, len(lines)) if not lines[at]), len(lines))
    return "\n".join(lines[:comment]), "\n".join(lines[begin:end]), "\n".join(lines[end:])


def complaints(text: str) -> list[str]:
    """What is amiss with a script or a part of scripts."""
    comment, head, rest = parts_of(text)
    found = [f"long line: {line[:30]}" for line in text.splitlines() if len(line) > MOST]
    lines = comment.splitlines()
    if lines and lines[0].startswith("-- uses: "):
        lines = lines[1:]
    is_part = bool(lines) and lines[0].startswith("-- Part of scripts")
    if not lines or not re.match(r"-- [A-Z]", lines[0]) or lines[0].startswith(("-- ARGV", "-- Returns")):
        found.append("no sentence about it")
    labels = ("Deletes", "Bound") if is_part else ("ARGV", "Returns", "Deletes", "Bound")
    at = [next((n for n, line in enumerate(lines) if line.startswith(f"-- {label}:")), -1) for label in labels]
    if -1 in at or at != sorted(at):
        found.append(f"its head lacks one of {labels}, in this order")
    if re.search(r"\bARGV\b", rest if not is_part else head + rest):
        found.append("an argument is read below the head")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    found += [f"by number: {hit}" for hit in BY_NUMBER.findall(code)]
    for name in set(HASH_FIELDS.findall(code)):
        found += [f"by number: {hit}" for hit in re.findall(rf"\b{name}\[\d+\]", code)]
    return found


@pytest.mark.parametrize("name", sorted(WITH_HEAD))
def test_a_script_has_its_head_and_reads_by_names(name):
    assert complaints(WITH_HEAD[name]) == []


def test_so_does_what_all_scripts_share():
    found = complaints(ALL["common.lua"])
    assert [one for one in found if one.startswith(("long line", "by number"))] == []


GOOD = """-- uses: ground
-- Does a thing.
-- ARGV: id.
-- Returns: {1}.
-- Deletes: nothing.
-- Bound: one intent.

local id = ARGV[1]

local intent = fields_of(intent_key(id), 'state')
return { intent.state }
"""


def test_a_good_script_is_not_complained_of():
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        ("{ intent.state }", "{ intent[1] }", "by number: intent[1]"),
        ("fields_of(", "redis.call('HMGET', ", ""),
        ("{ intent.state }", "{ fields[3] }", "by number: fields[3]"),
        ("{ intent.state }", "{ anything[11] }", "by number: anything[11]"),
        ("{ intent.state }", "{ ARGV[2] }", "an argument is read below the head"),
        ("-- Bound: one intent.\n", "", "its head lacks"),
        ("-- Deletes: nothing.\n", "", "its head lacks"),
        ("-- Does a thing.\n", "", "no sentence about it"),
        ("return {", f"-- {'long ' * 30}\nreturn {{", "long line"),
    ],
)
def test_a_bad_script_is(good, bad, complaint):
    assert GOOD.count(good) == 1
    text = GOOD.replace(good, bad)
    if complaint:
        assert [one for one in complaints(text) if one.startswith(complaint)]
    else:
        assert complaints(text.replace("intent.state", "intent[1]")) == ["by number: intent[1]"]


def clashes(scripts: dict[str, str]) -> list[str]:
    """Names of functions that mean something else in another place."""
    made = Counter(name for text in scripts.values() for name, _ in FUNCTION.findall(text))
    other = set()
    for text in scripts.values():
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        groups = [arguments for _, arguments in FUNCTION.findall(code)]
        groups += [one or two for one, two in LOCALS.findall(code)]
        other |= {name.strip() for group in groups for name in group.split(",")}
    return sorted({name for name, times in made.items() if times > 1} | (set(made) & other))


def test_the_name_of_a_function_means_one_thing_in_all_scripts():
    assert clashes(ALL) == []
    one, two = "local function known(id) end", "local function known(id) end"
    assert clashes({"a": one, "b": two}) == ["known"]
    assert clashes({"a": one, "b": "local known, more = 1, 2"}) == ["known"]
    assert clashes({"a": one, "b": "for known in x do"}) == ["known"]


def test_the_list_of_keys_and_the_heads_tell_alike_who_deletes_what():
    listed_ = {
        (script, key.family)
        for key in listed()
        if not key.of_celery
        for script in re.findall(r"\w+\.lua", key.remarks["gone"])
    }
    told = set()
    for name, text in WITH_HEAD.items():
        comment = parts_of(text)[0].replace("\n--  ", "")
        deletes = re.search(r"^-- Deletes: (.*)\.$", comment, re.MULTILINE)
        assert deletes, name
        if deletes[1] != "nothing":
            told |= {(name, key.strip().partition("<")[0]) for key in deletes[1].split(",")}
    assert told == listed_
