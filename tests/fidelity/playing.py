"""Playing a book against a ledger, several stories at a time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.fidelity.normal import normalised
from tests.fidelity.telling import Story, Teller

#: Stories told at once: most of their time a ledger works by itself, or nothing happens.
AT_ONCE = 8

#: How often a story is told that has bad luck.
ATTEMPTS = 4


def play(url: str, key: str, stories: Sequence[Story], *, at_once: int = AT_ONCE) -> dict[str, list[dict[str, Any]]]:
    """What a ledger says to each story, normalised.

    Args:
        url: Its base URL.
        key: Its master key.
        stories: What to tell.
        at_once: How many at a time.
    """
    run = secrets.token_hex(3)

    def tell(numbered: tuple[int, Story]) -> list[dict[str, Any]]:
        number, story = numbered
        for attempt in range(ATTEMPTS):
            # Begins with a letter, and looks like no number, date or id.
            teller = Teller(url.rstrip("/"), key, f"s{run}x{number:03d}y{attempt}")
            with teller.http:
                try:
                    story.tell(teller)
                except Exception as error:  # noqa: BLE001 - an answer that breaks a story is a difference like others
                    teller.conclude("the story broke", {"error": type(error).__name__, "text": str(error)})
            if not story.unlucky(teller.heard):
                break
        return normalised(teller.heard, teller.scene, blind=story.blind)

    with ThreadPoolExecutor(at_once) as pool:
        told = pool.map(tell, enumerate(stories))
        return {story.name: lines for story, lines in zip(stories, told, strict=True)}
