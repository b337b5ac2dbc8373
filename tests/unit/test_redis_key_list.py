"""The list of keys at the head of ``common.lua`` names what the code names, and nothing that is not there any more."""

from __future__ import annotations

import re
from pathlib import Path

from blnk_relay import Settings
from tests.support.redis_keys import SCRIPTS, Key, listed, unlisted

ROOT = Path(__file__).resolve().parents[2]

#: How code names a key: below the prefix in Lua, and in Python by a journal, by a prefix, or as a flow does.
IN_LUA = re.compile(r"""\bP \.\. '([a-z-]+:?)""")
IN_LOCKS = re.compile(r"""\btake_lock\('([a-z-]+:?)|\bkeep_until\('([a-z]+)'|\bkept\('([a-z]+)'""")
IN_PYTHON = re.compile(r"""\bkey\(f?"([a-z-]+:?)|\{(?:self\._settings\.)?prefix\}([a-z-]+:?)|"turn", "([a-z-]+)\"""")


def named() -> set[str]:
    """The families of keys that scripts and Python name."""
    found = set()
    for script in SCRIPTS.iterdir():
        text = script.read_text(encoding="utf-8")
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        found |= set(IN_LUA.findall(code))
        # What a worker keeps for itself, such as "looking:<worker>".
        found |= {lock or f"{own}{kept}:" for lock, own, kept in IN_LOCKS.findall(code)}
    for folder in ("blnk_relay", "tasks", "worker"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= {
                "".join(groups) for groups in IN_PYTHON.findall(path.read_text(encoding="utf-8")) if "".join(groups)
            }
    return found


def test_every_key_that_the_code_names_is_listed_and_every_listed_one_is_named():
    families = {key.family for key in listed() if not key.of_celery}
    assert named() == families


def test_every_key_has_a_bound_and_somebody_who_deletes_it_or_nobody():
    keys = listed()
    assert len(keys) > 40
    assert [key.name for key in keys if set(key.remarks) != {"bound", "gone"}] == []
    assert len({key.name for key in keys}) == len(keys)


def test_the_scripts_that_delete_are_there():
    told = {script for key in listed() for script in re.findall(r"\w+\.lua", key.remarks["gone"])}
    assert told
    assert told <= {script.name for script in SCRIPTS.iterdir()}


def test_a_key_that_nobody_listed_is_found_and_so_is_one_of_another_type():
    settings = Settings()
    keys = [Key("intent:<id>", "hash", {}), Key("<queue>", "list", {})]
    well = {"{relay:v1:default}:intent:abc": "hash", "relay.transactions": "list", "relay.ingest\x06\x163": "list"}
    assert unlisted(well, keys, settings) == []
    ill = {
        "{relay:v1:default}:intents:abc": "hash",
        "{relay:v1:default}:intent:abc": "string",
        "unacked": "hash",
        "intent:abc": "hash",
    }
    assert len(unlisted({**well, **ill}, keys, settings)) == len(ill)
