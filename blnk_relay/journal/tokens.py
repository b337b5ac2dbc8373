"""Where the tokens of an OAuth client are kept: one hash in the journal of each target (contract §1.3).

Every change is a compare-and-set on the version, by the clock of Redis; see oauth.lua.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from blnk_relay.errors import DoesNotVerify, EncryptionKeyMissing, JournalUnavailable
from blnk_relay.journal.accept import wait_command
from blnk_relay.journal.answers import TokensAnswer
from blnk_relay.journal.flows import ask_flow
from blnk_relay.journal.journal import Journal


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a refresh brought.

    Attributes:
        access: The access token.
        refresh: The refresh token to be used from now on.
        life_s: Seconds that the access token is good for.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    life_s: float


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a target's tokens.

    Attributes:
        version: Grows with each refresh and each login; 0 for nothing yet.
        access: The access token; empty for none.
        left_s: Seconds that it is still good for.
        life_s: Seconds that it was good for when it was new.
        failed: The last refresh failed: nothing is to be sent.
        retry_s: Seconds until the next refresh may be tried.
    """

    version: int
    access: str = field(repr=False)
    left_s: float
    life_s: float
    failed: bool
    retry_s: float


class TokenStore:
    """The tokens of one target.

    Args:
        journal: Whose Redis keeps them.
        target: The target's name.
        login: The refresh token of the settings; one that was never used before is a new login.

    All methods raise :class:`~blnk_relay.errors.JournalUnavailable` when Redis does not answer, or keeps what cannot be
    decrypted.
    """

    def __init__(self, journal: Journal, login: str) -> None:
        self._journal = journal
        self._login = login
        # The token itself goes over the wire only when it is new: its digest says whether it was used before.
        self._digest = blake2b(login.encode(), digest_size=16).hexdigest() if login else ""

    def read(self) -> Stored:
        """What is known now; a new login is taken over first."""
        answer = self._run("read", self._digest)
        if answer == "unknown":
            answer = self._run("login", self._digest, self._journal.seal.token("refresh", self._login))
        told = TokensAnswer(*answer)
        return Stored(
            version=told.version,
            access=self._shown("access", told.access),
            left_s=told.left_ms / 1000,
            life_s=told.life_ms / 1000,
            failed=told.failed == 1,
            retry_s=told.retry_ms / 1000,
        )

    def kept(self) -> str:
        """The access token, as long as it is good; empty for none. For whoever only looks: no login is taken over."""
        access, expires = self._journal.drive(ask_flow("HMGET", self._journal.key("oauth"), "access", "expires"))
        good = access and float(expires or 0) > self._journal.now_ms()
        return self._shown("access", access) if good else ""

    def begin(self, version: int, holder: str, lock_s: float, forced_pause_s: float) -> str | None:
        """Become the only one who refreshes.

        Args:
            version: That was read.
            holder: Who asks; a word of its own for each try.
            lock_s: How long others leave it alone.
            forced_pause_s: For an access token that has not expired: least seconds since the last such refresh; else 0.

        Returns:
            The refresh token (empty when there is none); None when somebody else is at it, has done it, or it is too
            early.
        """
        answer = self._run("begin", version, holder, int(lock_s * 1000), int(forced_pause_s * 1000))
        if not answer:
            return None
        try:
            return self._shown("refresh", answer[0])
        except JournalUnavailable:
            # Whoever can read it must not have to wait until this lock lapses.
            self.put_off(holder, 0.0)
            raise

    def done(self, version: int, tokens: Tokens) -> bool:
        """Keep what a refresh brought. Returns False when somebody else's was kept meanwhile."""
        settings, seal = self._journal.settings, self._journal.seal
        access, refresh = seal.token("access", tokens.access), seal.token("refresh", tokens.refresh)
        arguments = ("done", version, access, int(tokens.life_s * 1000), refresh)
        if settings.durability == "memory":
            return bool(self._run(*arguments))
        # A refresh token that is lost with its Redis locks us out, so it is kept as well as a receipt is.
        kept, _ = self._journal.scripts.run_and_wait("oauth", [wait_command(settings)], *arguments)
        return bool(kept)

    def fail(self, version: int, holder: str, wait_s: float) -> bool | None:
        """Say that a refresh failed. Returns whether that is news; None when others have gone on without us."""
        answer = self._run("fail", version, holder, int(wait_s * 1000))
        return None if answer == 0 else answer == 2  # noqa: PLR2004

    def put_off(self, holder: str, wait_s: float) -> None:
        """Give the lock back: the request never left this machine, and it is tried again later."""
        self._run("put_off", holder, int(wait_s * 1000))

    def _shown(self, name: str, text: str) -> str:
        try:
            return self._journal.seal.shown_token(name, text)
        except EncryptionKeyMissing as error:
            raise EncryptionKeyMissing(error.key, f"the OAuth token of target {self._journal.target!r}") from None
        except DoesNotVerify:
            raise JournalUnavailable(
                f"the OAuth token that the journal of target {self._journal.target!r} keeps does not verify: it was "
                "changed, or belongs to another journal. Log in again, and set the new refresh token"
            ) from None

    def _run(self, *arguments: str | int) -> Any:
        return self._journal.scripts.run("oauth", *arguments)
