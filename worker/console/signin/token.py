"""Signing in with a token that is printed once, and keys of the API: both are known by their digest alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from worker.console.settings import ConsoleSettings
from worker.console.signin.rights import KEY, Person, Right, together

#: What goes before a key in ``Authorization``.
_BEARER = "bearer "


def drawn() -> str:
    """A new token, which nobody can guess."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Tokens:
    """The printed token, where there is one, and the keys of the API.

    Args:
        settings: Rights, and the keys.
        printed: The digest of the token that was printed; empty where nobody signs in with one.
        holder: The name of whoever has it: it is printed for one person on their own machine.
    """

    def __init__(self, settings: ConsoleSettings, printed: str, holder: str) -> None:
        self._printed = printed
        self._holder = Person(holder, together(Right(name) for name in settings.token_rights))
        self._keys: Sequence[tuple[str, Person]] = [
            (key.digest, Person(f"{KEY}{key.name}", together(Right(right) for right in key.rights)))
            for key in settings.keys_of_scripts()
        ]

    def person(self, token: str) -> Person | None:
        """Who has the printed token."""
        if self._printed and hmac.compare_digest(digest(token), self._printed):
            return self._holder
        return None

    def bearer(self, key: str) -> Person | None:
        """Who has a key of the API, or the printed token."""
        # All are compared, so that the time tells nothing of which.
        found = [person for kept, person in self._keys if hmac.compare_digest(digest(key), kept)]
        return found[0] if found else self.person(key)


def key_in(authorization: str) -> str:
    """The key that somebody sends in ``Authorization``; empty where it is of another sort."""
    return authorization[len(_BEARER) :].strip() if authorization.lower().startswith(_BEARER) else ""
