"""The words of the public face: the enums, the types that applications compare with, and what the product writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from blnk_relay import AttemptName, DeadClassName, EventName, OutcomeName, PartName, StateName
from blnk_relay.families.atomic import Fate
from blnk_relay.families.items import _WORDS
from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.outcomes import OUTCOMES
from blnk_relay.intents.states import FINISHED, LETTERS, OPEN, TIMED, UNFINISHED, State
from worker.demo.proof import findings

ROOT = Path(__file__).resolve().parents[2]


def trees(*folders: str) -> Iterator[ast.AST]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def texts(node: ast.AST) -> set[str]:
    """The texts that an expression may come to: not those that its conditions ask for."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def given(*folders: str) -> set[str]:
    """Every outcome that is given to ``Done``, or named ``outcome`` on its way there."""
    found = set()
    for node in (node for tree in trees(*folders) for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Done":
            found |= texts(node.args[0])
        elif (isinstance(node, ast.keyword) and node.arg == "outcome") or (
            isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "outcome" and node.value
        ):
            found |= texts(node.value)
    return found


def test_states_are_the_same_words_as_a_type():
    assert get_args(StateName) == tuple(State)


def test_states_are_either_open_or_finished():
    assert set(State) == OPEN | FINISHED
    assert not OPEN & FINISHED
    assert set(UNFINISHED) == OPEN | {State.DEAD}
    assert {State.DEAD, State.DISCARDED} == LETTERS
    assert FINISHED | {State.WAITING} == TIMED
    assert set(get_args(EventName)) == FINISHED


def test_classes_of_dead_letters_are_the_same_words_as_a_type():
    assert get_args(DeadClassName) == ("", *DeadClass)
    assert set(findings.CLASSES) == set(DeadClass) - {DeadClass.INVALID}


def test_every_outcome_is_one_that_some_kind_can_come_to():
    # What was cancelled has come to that, and only the journal says so.
    assert given("blnk_relay/kinds", "blnk_relay/families") - {""} == set(OUTCOMES) - {"cancelled"}
    assert get_args(OutcomeName) == ("", *OUTCOMES)
    assert set(findings.OUTCOMES) == set(OUTCOMES) - {"accepted", "cancelled"}


def test_every_part_can_come_to_one_of_the_words():
    of_single_kinds = {"applied", "held", "voided", "missing", "open"}
    of_a_batch = {Fate.UNDONE.value, Fate.UNDOING.value, *_WORDS.values()}
    of_holds = set(DeadClass) - {DeadClass.INVALID}
    assert set(get_args(PartName)) == of_single_kinds | of_a_batch | of_holds


def test_every_line_of_a_log_is_one_of_the_words():
    written = set()
    for node in (node for tree in trees("blnk_relay/journal", "tasks") for node in ast.walk(tree)):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            written |= {text for key, value in pairs if getattr(key, "value", "") == "what" for text in texts(value)}
        elif (
            isinstance(node, ast.Call)
            and "_line" in (getattr(node.func, "attr", ""), getattr(node.func, "id", ""))
            and node.args
        ):
            written |= texts(node.args[0])
    assert written == set(get_args(AttemptName)) - {"unreadable"}
