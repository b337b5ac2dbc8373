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


#: Name of the setting of pytest that says which release is played.
VERSION = "blnk_core_version"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project say which release of Core its tests are meant for."""
    parser.addini(VERSION, "the release of Blnk Core that the sandbox plays, such as 0.15.2", default="")


@pytest.fixture
def blnk_sandbox(pytestconfig: pytest.Config) -> Iterator[Sandbox]:
    """A running :class:`blnk_relay.sandbox.Sandbox` without faults, closed after the test.

    Its options are the default ones, but for the release that ``blnk_core_version`` in pytest's settings names.

    Raises:
        ValueError: No such release is played.
    """
    try:
        import aiohttp  # noqa: F401 - the sandbox imports it only when it starts
    except ModuleNotFoundError as error:
        pytest.fail(
            f"blnk_sandbox needs what is not installed: {error.name}. pip install 'blnk-relay[sandbox]'", pytrace=False
        )
    from blnk_relay.sandbox.options import Options
    from blnk_relay.sandbox.server import Sandbox

    version = str(pytestconfig.getini(VERSION))
    with Sandbox(Options().changed({"core_version": version} if version else {})) as running:
        yield running
