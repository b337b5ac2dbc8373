"""What tests of blnk-relay's commands and of history share: an environment to run in, files, and databases."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Any]:
    """A PostgreSQL, where there is one."""
    from tests.support.history import postgres, why_no_postgres

    if why := why_no_postgres():
        pytest.skip(why)
    with postgres() as running:
        yield running


@pytest.fixture
def url(sort: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of the sort that the test's file says, ``sqlite`` or ``postgresql``."""
    from tests.support.history import sqlite_url

    if sort == "sqlite":
        return sqlite_url(tmp_path)
    address: str = request.getfixturevalue("postgresql").url()
    return address


@pytest.fixture
def database(url: str) -> Iterator[Any]:
    """It, with its tables."""
    from tests.support.history import made

    opened = made(url)
    yield opened
    opened.close()
