"""An OAuth client of a sandbox: a login by browser, and what was asked of the token endpoint."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from blnk_relay import Settings
from blnk_relay.sandbox import Sandbox
from worker.demo.stage import Stage


def log_in(sandbox: Sandbox) -> str:
    """The refresh token of a new login, as a human brings it back from the browser (contract §1.3)."""
    options = sandbox.options
    pair = base64.b64encode(f"{options.oauth_client_id}:{options.oauth_client_secret}".encode()).decode()
    form = urlencode({"grant_type": "authorization_code", "code": sandbox.login(), "redirect_uri": ""}).encode()
    headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/x-www-form-urlencoded"}
    with urlopen(Request(f"{sandbox.url}/oauth/token", form, headers), timeout=5) as answer:  # noqa: S310 - our sandbox
        token: str = json.load(answer)["refresh_token"]
    return token


def refreshes(sandbox: Sandbox) -> list[int]:
    """Statuses of what the token endpoint was asked, 0 for a lost answer; without the logins, which come first."""
    return [seen.status for seen in sandbox.requests_seen() if seen.path == "/oauth/token"][1:]


def with_client(stage: Stage, refresh: str) -> Settings:
    """Settings of a stage with an OAuth client instead of an API key."""
    return as_client(stage.settings, stage.sandbox, refresh)


def as_client(settings: Settings, sandbox: Sandbox, refresh: str) -> Settings:
    """Settings with an OAuth client of a sandbox instead of an API key."""
    options = sandbox.options
    return replace(
        settings,
        token="",
        oauth_client_id=options.oauth_client_id,
        oauth_client_secret=options.oauth_client_secret,
        oauth_refresh_token=refresh,
    )
