"""A drill in which workers of several versions serve one journal, as in a deployment that rolls back and forth."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import redis

from blnk_relay import StateName
from blnk_relay.bell import enqueue_task, queue_of
from blnk_relay.settings import INGEST_LANE
from tests.drills.crew import RAISES, Sort
from tests.drills.moving import newer_intents, strangers_touched
from tests.drills.report import Report, Terms
from tests.drills.scene import Scene
from tests.support.messages import message
from tests.support.stages import operator_of
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

#: Where every key of the journal is listed; whoever lists none that we do not have can work beside us.
_KEYS = "blnk_relay/journal/scripts/common.lua"
_KEY = re.compile(rb"^--   (\S+ +(?:hash|string|zset|set|list|stream)) ", re.MULTILINE)

#: Where it is said which shape of a journal is the newest.
_SHAPE = "blnk_relay/journal/shape.py"
_NEWEST = re.compile(rb"^NEWEST = (\d+)$", re.MULTILINE)

#: What a nursery of workers needs of them.
_RUNTIME, _MOTHER = "tasks/runtime.py", b"class Stopping"

#: Kinds that came after the older version.
_NEW_KINDS = ("refund", "metadata.update", "ledger.create", "transaction.split")

#: An older version of this very code: it has never heard of some kinds, nor of their tasks.
_OLDER = f"""
import sys
from types import MappingProxyType
import tasks.celery_tasks, tasks.ingest, worker.process
from blnk_relay.kinds.registry import KINDS as all_kinds
import blnk_relay.journal.shape as shape, worker.by_name as by_name
shape.__version__ = by_name.__version__ = "0.0.1"
fewer = MappingProxyType({{name: kind for name, kind in all_kinds.items() if name not in {_NEW_KINDS!r}}})
for module in list(sys.modules.values()):
    if getattr(module, "KINDS", None) is all_kinds:
        module.KINDS = fewer
import blnk_relay.journal.journal as journal
journal._FINDABLE = ",".join(name for name, kind in fewer.items() if kind.findable)
tasks.ingest.TASKS = {{task: kind for task, kind in tasks.ingest.TASKS.items() if kind in fewer}}
"""

#: How many commits are looked at for such a one.
_COMMITS = 150

#: What becomes of a message that is taken, in that order.
_STATES: Sequence[StateName] = ("ready", "sending", "posted", "done", "dead")

_WORKERS = 4
_WAIT_S = 60.0


def rolling(terms: Terms) -> Report:
    """Older workers, with fewer kinds and from an older commit, and newer ones take over from each other under load."""
    number = terms.of(24, 6)
    with tempfile.TemporaryDirectory(prefix="blnk-relay-older-") as folder:
        commit = _older_commit()
        if commit:
            with tarfile.open(fileobj=BytesIO(_git("archive", commit, "blnk_relay", "tasks", "worker"))) as archive:
                archive.extractall(folder, filter="data")
        newer, older = Sort(), Sort(prelude=_OLDER + RAISES)
        sorts = {"newer": newer, "fewer_kinds": older}
        if commit:
            sorts["older_commit"] = Sort(environment={"PYTHONPATH": folder})
        # A newer one is always there: what only it knows is done all the while.
        sizes = {**dict.fromkeys(sorts.values(), 1), newer: 1}
        # A commit from before refuses a silence that is shorter than the read lag.
        given = {"quiet_s": 2.5}
        with Scene("rolling", terms, intents=terms.of(300, 100), workers=sizes, settings=given) as scene:
            strangers = newer_intents(scene.relay, scene.rng, terms.of(12, 6))
            scene.struck("unknown_kind", len(strangers))
            for turn in scene.blows(number, (0.3, 1.2)):
                comes = list(sorts)[turn % len(sorts)]
                sizes[sorts[comes]] += 1
                scene.crew.resize(sorts[comes], sizes[sorts[comes]])
                scene.struck(comes)
                _by_name(scene, turn)
                while sum(sizes.values()) > _WORKERS:
                    goes = scene.rng.choice([sort for sort in sizes if sizes[sort] > (sort is newer)])
                    sizes[goes] -= 1
                    scene.crew.resize(goes, sizes[goes])
                    worker = scene.rng.choice(scene.crew.present(goes))
                    if turn % 3 == 2:
                        scene.struck("kill", scene.crew.kill(worker))
                    else:
                        scene.crew.stop(worker)
                        scene.struck("sigterm")
            for sort in sizes:
                scene.crew.resize(sort, 3 if sort is newer else 0)
                if sort is not newer:
                    scene.crew.stop(*scene.crew.present(sort))
            named = [f"named-ledger-{turn}" for turn in range(number)]
            letters = _named(scene, named)
            report = scene.report(
                {
                    **dict.fromkeys(sorts, number // len(sorts)),
                    **dict.fromkeys(("unknown_kind", "unknown_message", "kill", "sigterm"), 1),
                },
                alive=True,
                letters_of_unknown_messages=letters,
                older=commit[:12] or "no commit before this one can work beside it",
            )
            for sentence in strangers_touched(scene.relay, strangers):
                report = report.wrong(sentence)
            return report


def _by_name(scene: Scene, turn: int) -> None:
    """A message whose task an older worker does not know."""
    raw = message({"name": f"By name {turn}", "key": f"named-ledger-{turn}"}, task=enqueue_task("ledger.create"))
    with redis.Redis(port=scene.valkey.port) as client:
        client.lpush(queue_of(scene.stage.settings, INGEST_LANE), raw)
    scene.struck("unknown_message")


def _named(scene: Scene, keys: Sequence[str]) -> int:
    """Each message became an intent, or a letter that says that its task is not known; returns how many letters."""
    operator = operator_of(scene.relay)
    intents: dict[str, str] = {}
    letters: set[str] = set()

    def all_came() -> bool:
        # One state after the other is read: what changes its state meanwhile may be in none, and is seen the next time.
        for one in (status for state in _STATES for status in operator.listed(state)):
            if one.dead_class == "invalid" and one.code == "UNKNOWN_TASK":
                letters.add(one.key)
            elif one.dead_class != "invalid" and one.key in keys:
                intents[one.key] = one.id
        return all(key in intents or key in letters for key in keys)

    with suppress(AssertionError):
        wait_until(all_came, _WAIT_S, "messages to be taken")
    scene.beside = list(intents.values())
    for key in keys:
        if key not in intents and key not in letters:
            scene.others.append(f"lost: {key} came by name")
        # An older worker that dies between the letter and taking the message out leaves it to a newer one as well.
        scene.struck("letter_and_intent", key in intents and key in letters)
    return len(letters)


def _older_commit() -> str:
    """The oldest of the last commits that can work beside us; empty where there is none, or no repository."""
    ours, shape = _keys_of("HEAD"), _shape_of("HEAD")
    for commit in reversed(_git("rev-list", f"--max-count={_COMMITS}", "--skip=1", "HEAD").decode().split()):
        theirs = _keys_of(commit)
        if theirs and theirs <= ours and shape == _shape_of(commit) and _MOTHER in _git("show", f"{commit}:{_RUNTIME}"):
            return commit
    return ""


def _shape_of(commit: str) -> bytes:
    """The newest shape that it knows; whoever does not know ours would only be refused."""
    found = _NEWEST.search(_git("show", f"{commit}:{_SHAPE}"))
    return found[1] if found else b""


def _keys_of(commit: str) -> frozenset[bytes]:
    return frozenset(_KEY.findall(_git("show", f"{commit}:{_KEYS}")))


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""
