"""What tests of blnk-relay's commands share: the environment they are run in, and files for them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from blnk_relay import Settings


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One that has nothing of ours but the address of an empty journal, which the commands find by it."""
    for name in [name for name in os.environ if name.startswith("BLNK_RELAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BLNK_RELAY_REDIS_URL", settings.redis_url)
    return monkeypatch


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Writes a file of intents, a line each, and says where it is."""

    def written(*lines: object) -> str:
        path = tmp_path / "intents.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
        return str(path)

    return written
