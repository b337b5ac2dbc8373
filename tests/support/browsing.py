"""The system's Chromium, driven as a person uses it; where there is none, tests are skipped and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: Longest wait for anything on a page.
WAIT_MS = 20_000

AXE = Path(__file__).parent / "axe" / "axe-4.14.1.min.js"

#: What a checker is asked about: WCAG 2.0 to 2.2, levels A and AA, and what is good practice besides.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def chromium() -> str:
    """Where it is; skips the test where it is not."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    pytest.importorskip("playwright.sync_api", reason="Playwright's package is not installed")
    return found


@contextmanager
def started() -> Iterator[Any]:
    """A browser, which is gone after the block."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as driver:
        # Where everything runs as root, as in a container, its own sandbox does not start.
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of a browser, and everything about it that should not be.

    Attributes:
        page: Playwright's page.
        complaints: Errors of scripts and of the page's policy, dialogs, and requests that left for another host.
    """

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self._context.set_default_timeout(WAIT_MS)
        self.url = url
        self.page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        # What a page gets on purpose, such as a 403, is said as an error too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url + "/", "data:")):
            self.complaints.append(f"left for {request.url}")

    def go(self, path: str) -> Any:
        """Open a page of the console."""
        self.page.goto(self.url + path, wait_until="load")
        return self.page

    def sign_in(self, token: str) -> Any:
        """Open the address that was printed."""
        page = self.go(f"/signin#{token}")
        page.wait_for_url(self.url + "/")
        return page

    def checked(self) -> list[str]:
        """What an accessibility checker finds on the page as it is."""
        # The page's own policy lets nothing in; the checker comes in by the debugger.
        self.page.evaluate(AXE.read_text(encoding="utf-8") + "; true")
        found = self.page.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", RULES)
        return [
            f"{one['id']}: {one['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def unfit(self) -> list[str]:
        """What of the page is wider than the tab, and on a phone what is too small for a finger."""
        across = self.page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
        small: list[str] = self.page.evaluate(
            "innerWidth > 500 ? [] : [...document.querySelectorAll('button, .button, input, select, .nav a')]"
            ".filter(one => one.offsetParent && one.getBoundingClientRect().height < 40).map(one => one.outerHTML)"
        )
        return [*small, *([f"it is {across} px too wide"] if across > 0 else [])]

    def close(self) -> None:
        """Close it."""
        self._context.close()
