"""Sign-ins that are under way, kept by the browsers themselves: sealed, so that they hold only what came from here.

However many strangers begin, nobody else's is forgotten. What is random in a cookie is no secret by itself: all that
goes to the provider is made of it with a key that never leaves this process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote

#: How long somebody may take at the provider.
AWAY_S = 600.0

#: Sign-ins that are remembered as used, the newest: of one before them the provider still takes its code only once.
_MOST_USED = 10_000

#: Longest path that is kept, as a cookie has it; browsers keep none above 4 KiB.
_MOST_ONWARD = 3_000


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that is under way.

    Attributes:
        cookie: What the browser keeps.
        state: What the provider gives back.
        nonce: What its word has to name.
        verifier: What proves that its code is ours (PKCE).
        onward: Where they want to go here.
    """

    cookie: str
    state: str
    nonce: str
    verifier: str
    onward: str


class Seal:
    """Seals them, and opens each once.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._used: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, onward: str) -> Begun:
        """A new one."""
        kept = onward if len(quote(onward, safe="")) <= _MOST_ONWARD else "/"
        return self._of(f"{secrets.token_urlsafe(32)}.{self._clock():.0f}.{quote(kept, safe='')}", kept)

    def open(self, cookie: str, state: str) -> Begun | None:
        """The one that a browser keeps and a provider gives back, once; None where they are not of one sign-in."""
        body, _, mac = cookie.rpartition(".")
        if not _same(mac, self._made("cookie", body)):
            return None
        _, at_s, onward = body.split(".", 2)
        found = self._of(body, unquote(onward))
        if self._clock() - float(at_s) > AWAY_S or not _same(state, found.state):
            return None
        with self._lock:
            if found.state in self._used:
                return None
            self._used[found.state] = None
            while len(self._used) > _MOST_USED:
                self._used.popitem(last=False)
        return found

    def _of(self, body: str, onward: str) -> Begun:
        state, nonce, verifier = (self._made(what, body) for what in ("state", "nonce", "verifier"))
        return Begun(f"{body}.{self._made('cookie', body)}", state, nonce, verifier, onward)

    def _made(self, what: str, body: str) -> str:
        """Something that nobody else can make of a cookie: 43 characters, as a verifier must have."""
        made = hmac.digest(self._key, f"{what} {body}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _same(given: str, own: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), own.encode())
