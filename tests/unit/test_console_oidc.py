"""Signing in by an identity provider: who is let in, and what attacks on the way there and back come to."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc.jwk import OctKey, RSAKey

from blnk_relay import Settings
from blnk_relay.journal.journals import Journals
from tests.support.identity_provider import CLIENT, SECRET, Provider, providing
from tests.support.visiting import TOKEN, House, Visitor, listening, readable
from worker.console.settings import ConsoleSettings
from worker.console.signin.oidc import AWAY_AGAIN_S, NotSignedIn, Oidc


@pytest.fixture(scope="module")
def journals() -> Iterator[Journals]:
    made = Journals(Settings(redis_url="unix:///nothing/there", redis_timeout_s=1.5))
    yield made
    made.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as made:
        yield made


@pytest.fixture
def house(journals, provider) -> Iterator[House]:
    with listening(journals, oidc_settings(provider)) as made:
        yield made


def oidc_settings(provider: Provider) -> ConsoleSettings:
    return ConsoleSettings(
        port=0,
        sign_in="oidc",
        url="http://127.0.0.1",
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        operators=("oncall",),
    )


def away(visitor: Visitor, onward: str = "/lanes") -> str:
    """Where somebody is sent who wants to sign in."""
    answer = visitor.get(f"/signin/away?onward={onward}")
    assert answer.status_code == 303, readable(answer.text)
    return str(answer.headers["Location"])


def back(visitor: Visitor, code: str, state: str) -> requests.Response:
    # As from another site: a browser keeps back what is for our own pages alone.
    return visitor.get(f"/signin/back?code={code}&state={state}", **{"Sec-Fetch-Site": "cross-site"})


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/lanes").status_code == 503


def test_whom_the_provider_names_is_let_in_and_led_on(house, provider):
    visitor = house.visitor()
    assert "Sign in with your identity provider" in readable(visitor.get("/signin").text)
    address = away(visitor, "/letters?code=X")
    assert address.startswith(f"{provider.url}/authorize?")
    asked = parse_qs(urlsplit(address).query)
    assert asked["redirect_uri"] == ["http://127.0.0.1/signin/back"]
    assert asked["scope"] == ["openid email profile"]
    answer = back(visitor, *provider.authorize(address))
    assert answer.status_code == 200
    assert 'content="0;url=/letters?code=X"' in answer.text, "led on by a page of ours, which may show its cookie"
    assert "SameSite=strict" in answer.headers["Set-Cookie"]
    assert "ann@example.com" in readable(visitor.get("/lanes").text)
    assert is_in(visitor)
    [form] = provider.requests
    assert form["grant_type"] == "authorization_code"
    assert SECRET not in form.values()


def test_rights_come_from_groups_and_nobody_without_one_may_look(house, provider):
    for groups, status in ((["oncall"], 503), ("oncall", 503), ([], 403), (["other"], 403), (None, 403), ([7], 403)):
        provider.claims = {"groups": groups}
        visitor = house.visitor()
        back(visitor, *provider.authorize(away(visitor)))
        assert visitor.get("/lanes").status_code == status, groups


def test_a_provider_that_hangs_holds_up_nobody_who_was_let_in(journals):
    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as hanging:
        hanging.settimeout(30)
        settings = ConsoleSettings(
            port=0,
            sign_in="oidc",
            url="http://127.0.0.1",
            oidc_issuer=f"http://127.0.0.1:{hanging.getsockname()[1]}",
            oidc_client_id=CLIENT,
            oidc_client_secret=SECRET,
            operators=("oncall",),
            api_keys=(f"bot:{hashlib.sha256(b'key').hexdigest()}:viewer",),
        )
        with listening(journals, settings) as house:
            strangers = [threading.Thread(target=house.visitor().get, args=("/signin/away",)) for _ in range(24)]
            for stranger in strangers:
                stranger.start()
            held, _ = hanging.accept()
            answer = house.visitor(Authorization="Bearer key").get("/api/v1/lanes")
            assert answer.json()["error"]["type"] == "JournalUnavailable"
            assert all(stranger.is_alive() for stranger in strangers)
            begun_s = monotonic()
            for _ in range(3):
                assert house.visitor().get("/healthz").status_code == 200, "nobody waits for it"
            assert house.visitor().get("/readyz").status_code == 503
            assert monotonic() - begun_s < 4
            held.close()
            hanging.close()
            for stranger in strangers:
                stranger.join(30)
                assert not stranger.is_alive()


def test_nobody_comes_back_who_was_not_sent_or_in_anothers_place(house, provider):
    ann, eve = house.visitor(), house.visitor()
    code, state = provider.authorize(away(ann))
    # Eve sends her own code into ann's browser, or takes ann's to her own.
    for visitor, given in ((eve, (code, state)), (ann, (code, "guessed")), (ann, (code, "")), (ann, ("", state))):
        assert back(visitor, *given).status_code == 403
        assert not is_in(visitor)
    own, own_state = provider.authorize(away(eve))
    assert back(ann, own, own_state).status_code == 403
    assert not is_in(ann)
    # What was tried once, rightly or wrongly, is used up.
    assert back(ann, code, state).status_code == 403
    code, state = provider.authorize(away(ann))
    assert back(ann, code, state).status_code == 200
    assert back(house.visitor(), code, state).status_code == 403
    assert back(ann, code, state).status_code == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"email": None},
        {"email": ""},
        {"email": 7},
        {"email": "a\u202eb"},
        {"email": "x" * 101},
        {"email": "key grafana"},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": "true"},
        {"email_verified": 1},
    ],
    ids=str,
)
def test_a_word_of_the_provider_that_does_not_hold_lets_nobody_in(house, provider, claims):
    provider.claims = claims
    visitor = house.visitor()
    answer = back(visitor, *provider.authorize(away(visitor)))
    assert answer.status_code == 403
    assert "Signing in has failed" in readable(answer.text)
    assert not is_in(visitor)


def test_what_another_has_signed_is_not_believed(house, provider):
    published = provider.key
    for key, alg in (
        (RSAKey.generate_key(2048, {"kid": "first"}), "RS256"),
        (OctKey.import_key(SECRET), "HS256"),
        (published, "none"),
    ):
        provider.key, provider.header = key, {"alg": alg, "kid": "first"}
        visitor = house.visitor()
        answer = back(visitor, *provider.authorize(away(visitor)))
        assert answer.status_code == 403, alg
        assert not is_in(visitor)


def test_keys_that_changed_are_read_anew(house, provider):
    visitor = house.visitor()
    assert back(visitor, *provider.authorize(away(visitor))).status_code == 200
    provider.key = provider.published = RSAKey.generate_key(2048, {"kid": "second"})
    provider.header = {"alg": "RS256", "kid": "second"}
    visitor = house.visitor()
    assert back(visitor, *provider.authorize(away(visitor))).status_code == 200


def test_a_thousand_strangers_who_begin_throw_nobody_out(house, provider):
    visitor = house.visitor()
    address = away(visitor, "/letters?code=X")
    for _ in range(1_000):
        house.console._oidc.begin("/")
    answer = back(visitor, *provider.authorize(address))
    assert 'content="0;url=/letters?code=X"' in answer.text


def test_a_provider_that_is_away_is_asked_by_one_for_all_and_not_again_at_once(provider, monkeypatch):
    now_s, asked = [100.0], []
    oidc = Oidc(oidc_settings(provider), "http://127.0.0.1/signin/back", lambda: now_s[0])

    def nothing(_: str) -> None:
        asked.append(now_s[0])
        raise requests.ConnectionError

    monkeypatch.setattr("worker.console.signin.oidc._read", nothing)
    for _ in range(3):
        with pytest.raises(NotSignedIn, match="cannot be reached"):
            oidc.begin("/")
    assert asked == [100.0]
    now_s[0] += AWAY_AGAIN_S
    with pytest.raises(NotSignedIn, match="cannot be reached"):
        oidc.begin("/")
    assert asked == [100.0, 105.0]


def test_a_provider_that_is_away_or_another_is_said(house, provider):
    provider.issuer = "https://elsewhere.example"
    answer = house.visitor().get("/signin/away")
    assert answer.status_code == 502
    assert "another name" in readable(answer.text)
    answer = house.visitor().post("/signin", token=TOKEN)
    assert answer.status_code == 400, "the printed token opens nothing here"
