"""Who asks: by a key, by a session, or by the word of whoever vouches for them; and the cookies of sessions."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from blnk_relay import RelayError
from worker.console import arriving
from worker.console.asking import Broken
from worker.console.hands import where_of
from worker.console.settings import PROXY, TOKEN, ConsoleSettings
from worker.console.signin.attempts import Attempts
from worker.console.signin.proxy import Proxy
from worker.console.signin.rights import Person
from worker.console.signin.sessions import Session, Sessions
from worker.console.signin.token import Tokens, key_in

_LOG = logging.getLogger("blnk_relay.console")


class Wait(RelayError):
    """Somebody has tried too often.

    Attributes:
        seconds: After which they may try once more.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        super().__init__(f"too many wrong tries; wait {self.seconds} s, and try again")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks, once it is known who they are.

    Attributes:
        person: Who.
        session: Of their browser; None where it has none yet, and for a script.
        by_key: Whether they are a script with a key, which no page of another site can have send anything.
    """

    person: Person
    session: Session | None = None
    by_key: bool = False


class Doorkeeper:
    """Knows who asks.

    Args:
        settings: The console's.
        printed: The digest of the token that was printed.
        holder: The name of whoever has it.
        who_is: Says who sends a request, where an application knows that itself.
    """

    def __init__(
        self, settings: ConsoleSettings, printed: str, holder: str, who_is: Callable[[Scope], Person | None] | None
    ) -> None:
        self._settings = settings
        self._who_is = who_is
        self._proxy = Proxy(settings) if settings.sign_in == PROXY else None
        self._tokens = Tokens(settings, printed if settings.sign_in == TOKEN else "", holder)
        self._sessions = Sessions(settings.session_s, settings.idle_s)
        # Each of its own, so that a script with an old key keeps nobody out who signs in beside it.
        self._signing, self._keys = Attempts(), Attempts()

    @property
    def vouched(self) -> bool:
        """Whether others say with each request who it is, so that nobody signs in here."""
        return self._proxy is not None or self._who_is is not None

    def caller(self, request: Request, *, api: bool) -> Caller | None:
        """Who asks; None where nobody knows.

        Args:
            request: What is asked.
            api: Whether a key counts.

        Raises:
            Wait: There were too many wrong keys from there.
            Broken: Whoever should say who it is has failed.
        """
        known = self._by_others(request) if self.vouched else self._by_session(request)
        key = key_in(request.headers.get("authorization", "")) if api else ""
        if not key:
            return known
        # Who is known already guesses nothing: a proxy may send along a word of its own.
        if known is None and (wait_s := self._keys.begin(arriving.address(request))):
            raise Wait(wait_s)
        if (person := self._tokens.bearer(key)) is None:
            return known
        if known is None:
            self._keys.undo(arriving.address(request))
        return Caller(person, by_key=True)

    def _by_session(self, request: Request) -> Caller | None:
        session = self._session(request)
        return Caller(session.person, session) if session else None

    def _by_others(self, request: Request) -> Caller | None:
        """By a word that comes with each request: a session lives no longer than it."""
        if (person := self._named(request)) is None:
            return None
        session = self._session(request)
        if session is None or session.person.name != person.name:
            return Caller(person)
        session.person = person
        return Caller(person, session)

    def _named(self, request: Request) -> Person | None:
        if self._who_is is not None:
            try:
                return self._who_is(request.scope)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody is let in, nor shown more than that
                _LOG.error("the application could not say who asks: %s", where_of(error))
                raise Broken("the application in which this console stands could not say who you are") from None
        if self._proxy is None:
            return None
        headers = [(name.decode("latin-1"), arriving.text(value)) for name, value in request.headers.raw]
        return self._proxy.person(arriving.address(request), headers)

    # Sessions

    def _session(self, request: Request) -> Session | None:
        return self._sessions.of(self._cookie(request), use=not arriving.partly(request))

    def lasting(self, request: Request) -> Callable[[], bool]:
        """Whether whoever asks is still signed in, for as long as something lasts."""
        id_ = self._cookie(request)
        return lambda: self.vouched or self._sessions.of(id_, use=False) is not None

    def at_home(self, caller: Caller) -> tuple[Caller, str]:
        """The same with a session, and the id for their cookie: for somebody who has none, and is to be shown forms."""
        id_, session = self._sessions.begin(caller.person)
        session.ends_here = not self.vouched
        return Caller(caller.person, session), id_

    def let_in(self, request: Request, person: Person, response: Response) -> Response:
        """Begin a session for somebody who has signed in."""
        self._sessions.end(self._cookie(request))
        id_, _ = self._sessions.begin(person)
        self.set_cookie(request, response, id_)
        return response

    def let_out(self, request: Request, response: Response) -> Response:
        """End their session."""
        self._sessions.end(self._cookie(request))
        self._drop(request, response, self._name(request))
        return response

    # The printed token

    def try_token(self, request: Request) -> None:
        """Count a try to sign in, before anything of it is read: however many come together, so many are let through.

        Raises:
            Wait: There were too many.
        """
        if wait_s := self._signing.begin(arriving.address(request)):
            raise Wait(wait_s)

    def holder(self, request: Request, token: str) -> Person | None:
        """Who has the printed token; if it is that, the try counts no more."""
        person = self._tokens.person(token)
        if person is not None:
            self._signing.undo(arriving.address(request))
        return person

    # Cookies

    def set_cookie(self, request: Request, response: Response, id_: str) -> None:
        """Give a browser the id of its session."""
        response.set_cookie(self._name(request), id_, **self._where(request), samesite="strict")

    def send_away(self, request: Request, response: Response, kept: str, most_s: float) -> Response:
        """Give a browser what it is to keep while somebody is at the identity provider."""
        # Lax: it comes back from another site.
        response.set_cookie(
            f"{self._name(request)}-away", kept, max_age=int(most_s), **self._where(request), samesite="lax"
        )
        return response

    def kept_away(self, request: Request) -> str:
        """What it has kept."""
        return request.cookies.get(f"{self._name(request)}-away", "")

    def back(self, request: Request, response: Response) -> Response:
        """Have it keep that no more."""
        self._drop(request, response, f"{self._name(request)}-away")
        return response

    def _cookie(self, request: Request) -> str:
        return request.cookies.get(self._name(request), "")

    def _name(self, request: Request) -> str:
        """With a prefix that browsers hold to, where they can; else with the port, as hosts share their cookies."""
        if self._settings.secure:
            return "__Secure-relay-console" if arriving.root(request) else "__Host-relay-console"
        return f"relay-console-{request.url.port or 80}"

    def _where(self, request: Request) -> Any:
        return {"path": arriving.root(request) or "/", "secure": self._settings.secure, "httponly": True}

    def _drop(self, request: Request, response: Response, name: str) -> None:
        response.delete_cookie(name, path=arriving.root(request) or "/", secure=self._settings.secure)
