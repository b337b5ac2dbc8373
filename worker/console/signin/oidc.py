"""Signing in by an identity provider: OpenID Connect, with the code flow, PKCE and a nonce."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from blnk_relay import RelayError
from worker.console.settings import ConsoleSettings
from worker.console.signin.rights import Person, name_in, rights_of
from worker.console.signin.seal import Seal

#: Longest wait for one answer of the provider.
TIMEOUT_S = 5.0

#: How long what the provider says of itself is believed.
_KNOWN_S = 600.0

#: How long nobody asks again after it could not be reached.
AWAY_AGAIN_S = 5.0

#: How far its clock may be off.
_LEEWAY_S = 60

#: Signatures that only the provider can make; a shared secret, or none, is not among them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class NotSignedIn(RelayError):
    """Signing in has failed; the message is for whoever tried."""


@dataclass(frozen=True, slots=True)
class Away:
    """Somebody who is at the provider.

    Attributes:
        url: Where to send them.
        browser: What their cookie keeps, so that nobody else comes back in their place.
    """

    url: str
    browser: str


class Oidc:
    """The provider, as far as we need it.

    Args:
        settings: Who it is, and who we are to it.
        callback: Where it sends people back to.
        clock: Seconds that only go forward.
    """

    def __init__(self, settings: ConsoleSettings, callback: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._callback = callback
        self._clock = clock
        self._seal = Seal(clock)
        self._known: tuple[float, Mapping[str, Any], KeySet] | None = None
        self._asking = threading.Lock()
        self._failed: tuple[float, str] | None = None

    def begin(self, onward: str) -> Away:
        """Send somebody to the provider.

        Args:
            onward: Where they want to go here.

        Raises:
            NotSignedIn: It cannot be reached.
        """
        about, _ = self._about()
        begun = self._seal.begin(onward)
        with self._client() as client:
            url, _ = client.create_authorization_url(
                about["authorization_endpoint"], state=begun.state, code_verifier=begun.verifier, nonce=begun.nonce
            )
        return Away(url, begun.cookie)

    def finish(self, state: str, code: str, browser: str) -> tuple[Person, str]:
        """Take somebody back: who it is, and where they want to go.

        Args:
            state: From the address.
            code: From the address.
            browser: From the cookie.

        Raises:
            NotSignedIn: They did not begin here, took too long, or the provider's word does not hold.
        """
        expected = self._seal.open(browser, state)
        if expected is None:
            raise NotSignedIn("this sign-in was not begun in this browser, or took too long; begin again")
        about, keys = self._about()
        try:
            with self._client() as client:
                token = client.fetch_token(
                    about["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=expected.verifier,
                    timeout=TIMEOUT_S,
                )
        except (AuthlibBaseError, requests.RequestException, ValueError) as error:
            raise NotSignedIn(f"the identity provider did not take the sign-in ({type(error).__name__})") from None
        claims = self._claims(str(token.get("id_token", "")), about, keys, expected.nonce)
        return self._person(claims), expected.onward

    def _client(self) -> OAuth2Session:
        settings = self._settings
        return OAuth2Session(
            settings.oidc_client_id,
            settings.oidc_client_secret,
            scope=" ".join(settings.oidc_scopes),
            redirect_uri=self._callback,
            code_challenge_method="S256",
        )

    def _about(self, *, anew: bool = False) -> tuple[Mapping[str, Any], KeySet]:
        """What the provider says of itself, and its keys: asked by one for all, and not again just after it was away.

        Raises:
            NotSignedIn: It cannot be reached, or says what cannot be.
        """
        with self._asking:
            now_s = self._clock()
            if not anew and self._known is not None and now_s - self._known[0] < _KNOWN_S:
                return self._known[1], self._known[2]
            if self._failed is not None and now_s - self._failed[0] < AWAY_AGAIN_S:
                raise NotSignedIn(self._failed[1])
            try:
                about, keys = self._as_it_says()
            except NotSignedIn as error:
                self._failed = self._clock(), str(error)
                raise
            self._known, self._failed = (now_s, about, keys), None
            return about, keys

    def _as_it_says(self) -> tuple[Mapping[str, Any], KeySet]:
        issuer = self._settings.oidc_issuer
        try:
            about = _read(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if about.get("issuer") != issuer:
                raise NotSignedIn("the identity provider gives itself another name than the settings do")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not isinstance(about.get(name), str):
                    raise NotSignedIn(f"the identity provider does not say its {name}")
            return about, KeySet.import_key_set(_read(about["jwks_uri"]))  # type: ignore[arg-type]
        except (requests.RequestException, ValueError, JoseError) as error:
            raise NotSignedIn(f"the identity provider cannot be reached ({type(error).__name__})") from None

    def _claims(self, id_token: str, about: Mapping[str, Any], keys: KeySet, nonce: str) -> CodeIDToken:
        try:
            try:
                decoded = jwt.decode(id_token, keys, algorithms=list(ALGORITHMS))
            except (JoseError, ValueError):
                # Its keys may have changed since they were read.
                _, keys = self._about(anew=True)
                decoded = jwt.decode(id_token, keys, algorithms=list(ALGORITHMS))
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": about["issuer"]},
                    "aud": {"essential": True, "value": self._settings.oidc_client_id},
                },
                {"nonce": nonce, "client_id": self._settings.oidc_client_id},
            )
            claims.validate(leeway=_LEEWAY_S)
        except (JoseError, AuthlibBaseError, ValueError, TypeError) as error:
            raise NotSignedIn(f"the identity provider's word does not hold ({type(error).__name__})") from None
        return claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name = name_in(claims.get(self._settings.oidc_user_claim))
        if not name:
            raise NotSignedIn(f"the identity provider does not say {self._settings.oidc_user_claim!r}")
        # Not all providers say it; one that does has to say yes.
        if self._settings.oidc_user_claim == "email" and claims.get("email_verified", True) is not True:
            raise NotSignedIn("the identity provider has not verified the email address")
        listed = claims.get(self._settings.oidc_groups_claim, [])
        groups = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
        return Person(name, rights_of([group for group in groups if isinstance(group, str)], self._settings))


def _read(url: str) -> dict[str, Any]:
    with requests.Session() as session:
        answer = session.get(url, timeout=TIMEOUT_S, allow_redirects=False)
    answer.raise_for_status()
    document = answer.json()
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document
