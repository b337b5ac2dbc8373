"""A pytest fixture for users of the package: a sandbox per test.

    def test_a_payment_arrives(blnk_sandbox):
        requests.post(blnk_sandbox.url + "/proxy/transactions", …)

Registered as an entry point, so it must not import aiohttp before the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from blnk_relay.sandbox.server import Sandbox


@pytest.fixture
def blnk_sandbox() -> Iterator[Sandbox]:
    """A running :class:`blnk_relay.sandbox.Sandbox` with default options and no faults, closed after the test."""
    from blnk_relay.sandbox.server import Sandbox

    with Sandbox() as running:
        yield running
