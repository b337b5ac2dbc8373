"""OAuth: access tokens that expire, refreshed by one worker at a time with a token that rotates (contract §1.3).

A thread of its own does it, ahead of expiry, because a refresh must be allowed its time: its answer may carry the only
refresh token that still works, and the lease of an intent is too short to wait for it. Requests take the token at hand,
or wait a moment for the next one.
"""

from __future__ import annotations

import atexit
import base64
import logging
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from blnk_relay.errors import JournalUnavailable
from blnk_relay.intents.exchange import Failure, Response
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.tokens import Stored, Tokens, TokenStore
from blnk_relay.log import TOKEN_REFUSED, TOKEN_TROUBLE, TOKEN_UNSTORED, tell
from blnk_relay.settings import TOKEN_WAIT_S, Settings
from blnk_relay.targets import Target
from worker.ledger.credentials import PRINTABLE, Key
from worker.ledger.wire import Wire

#: Code under which a target is paused.
REFRESH_FAILED = "OAUTH_REFRESH_FAILED"

#: A token is refreshed so long before it expires, but not before it is this share from its end.
_AHEAD_S = 60.0
_AHEAD_SHARE = 0.2

#: Life of an access token whose answer does not tell it; every documented one does.
_UNTOLD_LIFE_S = 300.0

#: Life of an access token beyond which an answer is not believed; a number may be larger than any clock.
_LONGEST_LIFE_S = 10 * 365 * 86_400

#: Pause before another look while somebody else refreshes, or Redis does not answer.
_SOON_S = 0.1
_REDIS_PAUSE_S = 1.0

#: Kept free on the lock beyond the longest refresh, for storing what it brought.
_LOCK_MARGIN_S = 5.0

#: What an error of the token endpoint may be shown as; anything else might quote a secret.
_ERROR = re.compile(r"[a-z_]{1,64}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """What this process knows, with its times on its own steady clock."""

    stored: Stored
    until_s: float
    #: The version was refused with a 401 although it had not expired.
    stale: bool = False

    def usable(self, now_s: float) -> bool:
        stored = self.stored
        return bool(stored.access) and not stored.failed and not self.stale and self.until_s > now_s


def tokens_of(response: Response, refresh: str) -> Tokens | None:
    """What an answer of the token endpoint brings; None when it is no success.

    Args:
        response: The answer.
        refresh: The refresh token that was sent: it stays where the answer brings no other (RFC 6749 §6).
    """
    body = response.body or {}
    access, next_refresh, life = body.get("access_token"), body.get("refresh_token", refresh), body.get("expires_in")
    if response.failure or response.status != 200:  # noqa: PLR2004
        return None
    if not all(isinstance(text, str) and PRINTABLE.fullmatch(text) for text in (access, next_refresh)):
        return None
    known = isinstance(life, int) and not isinstance(life, bool) and 0 < life <= _LONGEST_LIFE_S
    return Tokens(str(access), str(next_refresh), float(life) if known else _UNTOLD_LIFE_S)  # type: ignore[arg-type]


def ahead_s(life_s: float) -> float:
    """How long before its end a token is refreshed.

    Example:
        >>> ahead_s(3600.0), ahead_s(10.0)
        (60.0, 2.0)
    """
    return min(_AHEAD_S, life_s * _AHEAD_SHARE)


class OAuth:
    """The credential of a target with an OAuth client. Its thread starts with the first request.

    Args:
        settings: Timeouts, and ``probe_s``: the pause between two tries after one failed.
        target: The target.
        store: Where its tokens are kept.
        wire: Connections to the target.
        alarm: Told of a refresh that failed, and whether that is news: it pauses the target.
    """

    wait_s = TOKEN_WAIT_S

    def __init__(
        self, settings: Settings, target: Target, store: TokenStore, wire: Wire, alarm: Callable[[str, bool], None]
    ) -> None:
        self._settings = settings
        self._target = target
        self._store = store
        self._wire = wire
        self._alarm = alarm
        pair = f"{target.oauth_client_id}:{target.oauth_client_secret}"
        self._basic = "Basic " + base64.b64encode(pair.encode()).decode()
        self._held: _Held | None = None
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._forced_s = float("-inf")

    # -- in the threads that send --------------------------------------------------------------------------------------

    def current(self) -> Key | None:
        """The access token; waits a moment for one that is being refreshed."""
        with self._changed:
            if self._thread is None:
                self._start()
            end_s = steady_s() + self.wait_s
            while (held := self._held) is None or not held.usable(steady_s()):
                left_s = end_s - steady_s()
                if left_s <= 0 or (held is not None and held.stored.failed):
                    return None
                self._wake.set()
                self._changed.wait(left_s)
            return Key(held.stored.access, held.stored.version)

    def refused(self, key: Key) -> bool:
        """Have the token refreshed although it has not expired, unless that was just done.

        A token that is refused right after it was refreshed is not the trouble: then the 401 speaks for itself.
        """
        with self._changed:
            held = self._held
            if held is None or held.stored.version != key.version or held.stale:
                return True
            if steady_s() - self._forced_s < self._settings.probe_s:
                return False
            self._forced_s = steady_s()
            self._held = replace(held, stale=True)
        self._wake.set()
        return True

    def close(self) -> None:
        """End the thread; an answer that is under way is waited for, because it may hold the only refresh token."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._lock_s)
        atexit.unregister(self.close)
        self._wire.close()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"oauth-{self._target.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    # -- in the thread of its own --------------------------------------------------------------------------------------

    @property
    def _lock_s(self) -> float:
        settings = self._settings
        return settings.connect_timeout_s + settings.read_timeout_s + _LOCK_MARGIN_S

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause_s = self._step()
            except JournalUnavailable as error:
                tell(_log, TOKEN_TROUBLE, target=self._target.name, why=error)
                pause_s = _REDIS_PAUSE_S
            except Exception as error:  # noqa: BLE001 - whatever it is, a thread that ends would let the token expire unseen
                tell(_log, TOKEN_TROUBLE, target=self._target.name, why="could not be looked after", failed=error)
                pause_s = _REDIS_PAUSE_S
            self._wake.wait(pause_s)
            self._wake.clear()

    def _step(self) -> float:
        """Look what is stored, and refresh where it is due. Returns seconds until the next look."""
        held = self._take(self._store.read())
        stored = held.stored
        due_s = 0.0 if held.stale or not stored.access else stored.left_s - ahead_s(stored.life_s)
        if stored.failed:
            due_s = 0.0
        if due_s > 0:
            # Others may refresh, or fail to, meanwhile: that is looked for as often as a paused target is probed.
            return min(due_s, self._settings.probe_s)
        if stored.retry_s > 0:
            return max(_SOON_S, min(stored.retry_s, self._settings.probe_s))
        holder = secrets.token_hex(8)
        forced_s = self._settings.probe_s if held.stale and stored.left_s > ahead_s(stored.life_s) else 0.0
        asked_s = steady_s()
        refresh = self._store.begin(stored.version, holder, self._lock_s, forced_s)
        if refresh is None:
            return _SOON_S
        self._refresh(stored, holder, refresh, asked_s)
        return _SOON_S

    def _take(self, stored: Stored) -> _Held:
        """Make what is stored this process's own, and tell those who wait."""
        with self._changed:
            known = self._held
            stale = known is not None and known.stale and known.stored.version == stored.version
            self._held = _Held(stored, steady_s() + stored.left_s, stale)
            self._changed.notify_all()
            return self._held

    def _refresh(self, stored: Stored, holder: str, refresh: str, asked_s: float) -> None:
        response = self._ask(refresh, asked_s) if refresh else Response(status=400, message="no_refresh_token")
        tokens = tokens_of(response, refresh)
        if tokens is not None:
            self._keep(stored.version, tokens)
            return
        usable = self._held is not None and self._held.usable(steady_s())
        wait_s = max(self._settings.probe_s, min(response.retry_after_s or 0.0, self._settings.retry_cap_s))
        if response.failure is Failure.NOT_SENT and usable:
            # It never left this machine, so no refresh token was used up, and the access token is still good.
            self._store.put_off(holder, wait_s)
            return
        news = self._store.fail(stored.version, holder, wait_s)
        tell(_log, TOKEN_REFUSED, target=self._target.name, why=_in_words(response))
        self._take(self._store.read())
        if news is not None:
            self._alarm(self._target.name, news)

    def _ask(self, refresh: str, asked_s: float) -> Response:
        body = urlencode({"grant_type": "refresh_token", "refresh_token": refresh}).encode()
        headers = {"Authorization": self._basic, "Content-Type": "application/x-www-form-urlencoded"}
        read_s = self._settings.read_timeout_s
        # A process that was stopped must not use a token after its lock lapsed: another one may have used it since.
        start_by_s = asked_s + self._lock_s - read_s - _LOCK_MARGIN_S / 2
        # Tokens do not say which request they answer: those of an earlier one would be stored over the only good ones.
        return self._wire.exchange(
            "POST", "/oauth/token", headers, body, read_s=read_s, start_by_s=start_by_s, alone=True
        )

    def _keep(self, version: int, tokens: Tokens) -> None:
        """Store what a refresh brought. Redis is waited for without end: nobody else has this refresh token."""
        while True:
            try:
                self._store.done(version, tokens)
                break
            except JournalUnavailable as error:
                tell(_log, TOKEN_UNSTORED, target=self._target.name, why=error)
                if self._stop.wait(_REDIS_PAUSE_S):
                    self._store.done(version, tokens)
                    break
        self._take(self._store.read())


def _in_words(response: Response) -> str:
    if response.failure:
        return f"no whole answer ({response.code})"
    shown = response.message if _ERROR.fullmatch(response.message) else "no word that may be shown"
    return f"HTTP {response.status}, {shown}"
