"""Whoever waits at a queue for so long comes back, however short that is and whatever else the machine has to do."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty

import pytest

from blnk_relay.journal import lua
from tasks import deliver, posters


@pytest.mark.parametrize("module", [lua, deliver, posters], ids=lambda module: module.__name__)
def test_a_wait_that_is_over_before_it_has_begun_comes_back(module) -> None:
    queue = module.Queue()

    def wait() -> None:
        for _ in range(2000):
            with suppress(Empty):
                queue.get(timeout=1e-6)
            queue.put(None)
            queue.get_nowait()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(60)
    assert not waiting.is_alive()
