"""The list of keys at the head of ``common.lua``, as patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files

from blnk_relay import Settings
from blnk_relay.bell import queue_of
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE

SCRIPTS = files("blnk_relay.journal") / "scripts"

_ENTRY = re.compile(r"^--   (?P<name>\S+)\s+(?P<type>hash|string|list|set|zset|stream)\s+\S")
_REMARK = re.compile(r"^--\s+(?P<what>bound|gone)\s+(?P<text>\S.*)$")
_CELERYS = ("<queue>", "_kombu.")


@dataclass(slots=True)
class Key:
    """One entry of the list.

    Attributes:
        name: Its pattern, such as ``intent:<id>``, without the prefix of the journal.
        type: What Redis calls it.
        remarks: What bounds it, and who deletes it.
    """

    name: str
    type: str
    remarks: dict[str, str]

    @property
    def of_celery(self) -> bool:
        """Whether it is Celery's, without our prefix."""
        return self.name.startswith(_CELERYS)

    @property
    def family(self) -> str:
        """What stands before the first part that varies: ``intent:``, ``seq``."""
        return self.name.partition("<")[0]


def listed() -> list[Key]:
    """All entries, in their order."""
    found: list[Key] = []
    for line in (SCRIPTS / "common.lua").read_text(encoding="utf-8").splitlines():
        if not line.startswith("--") and line:
            break
        if entry := _ENTRY.match(line):
            found.append(Key(entry["name"], entry["type"], {}))
        elif found and (remark := _REMARK.match(line)):
            found[-1].remarks[remark["what"]] = remark["text"]
    return found


def pattern_of(key: Key, settings: Settings) -> re.Pattern[str]:
    """What such keys look like for these settings."""
    lanes = (*settings.lanes, CONFIRM_LANE, INGEST_LANE)
    queues = [*(queue_of(settings, lane) for lane in lanes), settings.outcome_queue]
    queue = "(?:" + "|".join(re.escape(name) for name in queues) + ")"
    if key.name == "<queue>":
        return re.compile(queue + r"(?:\x06\x16\d)?")
    parts = re.split(r"(<[^>]*>)", key.name)
    text = "".join(queue if part == "<queue>" else ".+" if part.startswith("<") else re.escape(part) for part in parts)
    return re.compile(("" if key.of_celery else _prefix(key, settings)) + text)


def _prefix(key: Key, settings: Settings) -> str:
    """That of any target's journal; one key is beside them."""
    target = "" if key.name == "targets" else ":[a-z0-9_]+"
    return rf"\{{{re.escape(settings.namespace)}:v1{target}\}}:"


def unlisted(found: Mapping[str, str], keys: Iterable[Key], settings: Settings) -> list[str]:
    """The keys that no entry names, or names with another type.

    Args:
        found: Name and type of each key on Redis.
        keys: The list.
        settings: Whose keys they are.
    """
    patterns = [(pattern_of(key, settings), key.type) for key in keys]
    return sorted(
        f"{name} ({type_})"
        for name, type_ in found.items()
        if not any(type_ == its and pattern.fullmatch(name) for pattern, its in patterns)
    )
