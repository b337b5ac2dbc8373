"""Who is let into the console, by which door, for how long, and what attacks on that come to."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.routing import compile_path

from blnk_relay import InvalidSettings, Settings
from blnk_relay.journal.journals import Journals
from tests.support.visiting import TOKEN, House, Visitor, listening, readable
from worker.console.doors import DOORS
from worker.console.guard import HEADERS
from worker.console.settings import RIGHTS, ConsoleSettings
from worker.console.settings_page import with_table
from worker.console.signin.attempts import EACH_S, MOST_WRONG, Attempts
from worker.console.signin.rights import Person, Right, together
from worker.console.signin.sessions import MOST, MOST_EACH, Sessions

ROOT = Path(__file__).resolve().parents[2]

SECRET = "a-secret-that-the-proxy-shares"  # noqa: S105 - of a test


@pytest.fixture(scope="module")
def journals() -> Iterator[Journals]:
    """Journals on a Redis that is not there: who comes in finds a page that says so, and nobody else comes so far."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Journals(Settings(redis_url=f"redis://127.0.0.1:{port}/0", redis_timeout_s=1.5))
    yield made
    made.close()


@pytest.fixture(scope="module")
def house(journals) -> Iterator[House]:
    with listening(journals) as running:
        yield running


@pytest.fixture
def ann(house) -> Visitor:
    return house.let_in()


def filled(path: str) -> str:
    """The path of a door with something in its places."""
    return re.sub(r"{([^}]+)}", lambda place: {"what": "replay", "sort": "lane"}.get(place[1], "x1"), path)


def is_in(visitor: Visitor, path: str = "/lanes") -> bool:
    """Whether somebody was let in: they are told that Redis is away, which nobody else is."""
    answer = visitor.get(path)
    return answer.status_code == 503 and "cannot be reached" in readable(answer.text)


# The doors


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
def test_no_door_opens_for_a_stranger(house, door):
    visitor = house.visitor()
    answer = visitor.get(filled(door.path)) if door.method == "GET" else visitor.post(filled(door.path))
    if door.api:
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "NotSignedIn"
    else:
        assert answer.status_code == 303
        assert urlsplit(answer.headers["Location"]).path == "/signin"
    assert "form_token" not in answer.text


@pytest.mark.parametrize(
    "door", [door for door in DOORS if door.method == "POST" and not door.api], ids=lambda d: d.path
)
def test_no_form_is_taken_from_elsewhere(house, ann, door):
    token = ann.form_token()
    for form, headers in (
        ({}, {}),
        ({"form_token": "guessed"}, {}),
        ({"form_token": token + "x"}, {}),
        ({"form_token": token}, {"Origin": "https://elsewhere.example"}),
        ({"form_token": token}, {"Origin": "null"}),
        ({"form_token": token}, {"Sec-Fetch-Site": "cross-site"}),
        ({"form_token": token}, {"Sec-Fetch-Site": "same-site"}),
        ({"form_token": house.let_in().form_token()}, {}),
    ):
        answer = ann.post(filled(door.path), headers, **form)
        assert answer.status_code == 403, (form, headers)
        assert "not sent by a page of this console" in readable(answer.text)


def test_a_get_is_never_a_post_and_a_post_never_a_get(ann):
    patterns = [(door.method, compile_path(door.path)[0]) for door in DOORS]
    for path in {filled(door.path) for door in DOORS}:
        for method in ("GET", "POST", "PUT", "DELETE"):
            if not any(method == taken and pattern.match(path) for taken, pattern in patterns):
                answer = ann.session.request(method, ann.url + path, allow_redirects=False, timeout=30)
                assert answer.status_code == 405, (method, path)


def test_a_form_that_has_a_field_twice_is_refused(ann):
    token = ann.form_token()
    body = f"form_token={token}&count=1&reason=x&class=refused&class=unknown"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ann.session.post(ann.url + "/letters/discard", body, headers=headers, allow_redirects=False, timeout=30)
    assert (answer.status_code, "a name twice" in readable(answer.text)) == (400, True)


@pytest.mark.parametrize("right", RIGHTS)
def test_every_right_is_refused_where_it_is_missing(journals, right):
    settings = ConsoleSettings(port=0, token_rights=(right,))
    mine = together([Right(right)])
    with listening(journals, settings) as house:
        visitor = house.let_in()
        token = visitor.form_token()
        for door in (door for door in DOORS if not door.api):
            path = filled(door.path)
            answer = visitor.get(path) if door.method == "GET" else visitor.post(path, form_token=token)
            refused = answer.status_code == 403
            assert refused == (door.right not in mine), (door.path, right, answer.status_code)
            if refused:
                assert f"takes the right '{door.right.value}'" in readable(answer.text)


# The printed token


def test_the_printed_token_lets_in_and_leads_on_to_where_one_wanted(house):
    visitor = house.visitor()
    away = visitor.get("/letters?code=X").headers["Location"]
    assert away == "/signin?onward=%2Fletters%3Fcode%3DX"
    assert 'value="/letters?code=X"' in visitor.get(away).text
    answer = visitor.post("/signin", token=TOKEN, onward="/letters?code=X")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/letters?code=X")
    assert is_in(visitor)


@pytest.mark.parametrize(
    "onward", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\\b", "/a b", "", "javascript:alert(1)"]
)
def test_nobody_is_led_on_to_elsewhere(house, onward):
    answer = house.visitor().post("/signin", token=TOKEN, onward=onward)
    assert answer.headers["Location"] == "/"
    assert "evil" not in house.visitor().get(f"/signin?onward={onward}").text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "\x00", "ä" * 20, "x" * 10_000])
def test_no_other_token_lets_in(journals, token):
    with listening(journals) as house:
        visitor = house.visitor()
        assert visitor.post("/signin", token=token).status_code in (400, 403)
        assert not is_in(visitor)


def test_a_token_in_the_address_lets_nobody_in(house):
    visitor = house.visitor()
    for path in (f"/signin?token={TOKEN}", f"/?token={TOKEN}", f"/lanes?token={TOKEN}"):
        visitor.get(path)
    assert not is_in(visitor)


def test_whoever_tries_too_often_waits(journals):
    with listening(journals) as house:
        visitor = house.visitor()
        tries = [visitor.post("/signin", token=TOKEN[1:]).status_code for _ in range(MOST_WRONG + 2)]
        assert tries == [403] * MOST_WRONG + [429] * 2
        answer = visitor.post("/signin", token=TOKEN)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= EACH_S


def test_tries_that_come_together_are_no_more_than_those_that_come_in_a_row(journals):
    with listening(journals) as house, ExitStack() as stack:
        place = urlsplit(house.url)
        head = f"POST /signin HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\nContent-Length: 7\r\n\r\n"
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", place.port), 10)) for _ in range(20)]
        for one in held:
            one.sendall(head.encode())
        # Each has its head there, and none its body.
        for one in held[MOST_WRONG:]:
            assert one.recv(100).startswith(b"HTTP/1.1 429 ")
        for one in held[:MOST_WRONG]:
            one.sendall(b"token=x")
            assert one.recv(100).startswith(b"HTTP/1.1 403 ")
        answer = house.visitor().post("/signin", token=TOKEN)
        assert (answer.status_code, int(answer.headers["Retry-After"]) <= EACH_S) == (429, True)


def test_one_more_try_comes_with_time_and_each_address_has_its_own():
    now_s = [100.0]
    attempts = Attempts(lambda: now_s[0])
    for _ in range(MOST_WRONG):
        assert not attempts.begin("192.0.2.1")
    # Who goes on trying waits no longer for that.
    for _ in range(1_000):
        assert attempts.begin("192.0.2.1") == pytest.approx(EACH_S)
    assert not attempts.begin("192.0.2.2")
    now_s[0] += EACH_S
    assert not attempts.begin("192.0.2.1")
    assert attempts.begin("192.0.2.1") > 0


def test_a_try_that_was_right_is_none_and_those_before_it_stay():
    attempts = Attempts(lambda: 100.0)
    for _ in range(20):
        assert not attempts.begin("192.0.2.1")
        attempts.undo("192.0.2.1")
    for _ in range(MOST_WRONG):
        assert not attempts.begin("192.0.2.1")
    assert attempts.begin("192.0.2.1") > 0


def test_one_network_of_ipv6_is_one_address():
    attempts = Attempts(lambda: 0.0)
    for number in range(MOST_WRONG):
        attempts.begin(f"2001:db8::{number}")
    assert attempts.begin("2001:db8::ffff") > 0
    assert not attempts.begin("2001:db8:0:1::1")
    # What a socket of both sorts shows of version 4 are as many addresses as there are.
    for number in range(MOST_WRONG):
        assert not attempts.begin(f"::ffff:192.0.2.{number}")
    assert not attempts.begin("::ffff:198.51.100.7")
    for _ in range(MOST_WRONG - 1):
        assert not attempts.begin("198.51.100.7")
    assert attempts.begin("::ffff:198.51.100.7") > 0


def test_keys_and_the_printed_token_are_not_guessed_as_keys_either(journals):
    kept = hashlib.sha256(b"the key").hexdigest()
    with listening(journals, ConsoleSettings(port=0, api_keys=(f"bot:{kept}:viewer",))) as house:
        ann, bot = house.let_in(), house.visitor(Authorization="Bearer the key")
        for _ in range(20):
            assert bot.get("/api/v1/kinds").status_code == 200
        guesses = [
            house.visitor(Authorization=f"Bearer {number}").get(path).status_code
            for number, path in enumerate(("/api/v1/kinds", "/metrics", "/api/v1/nowhere", "/api/v1/kinds", "/metrics"))
        ]
        assert guesses == [401] * MOST_WRONG
        for path in ("/api/v1/kinds", "/metrics", "/api/v1/nowhere"):
            for key in ("again", TOKEN, "the key"):
                answer = house.visitor(Authorization=f"Bearer {key}").get(path)
                assert (answer.status_code, answer.json()["error"]["type"]) == (429, "Wait")
                assert 0 < int(answer.headers["Retry-After"]) <= EACH_S
        # Who has signed in guesses nothing, and may sign in beside it.
        assert ann.get("/api/v1/kinds", Authorization="Bearer of the proxy's").status_code == 200
        house.let_in()


def test_nothing_streams_to_whoever_asks_for_a_head_alone(house, ann):
    answer = ann.session.head(f"{ann.url}/live", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert ann.get("/kinds").status_code == 200
    assert house.console.pulse.streams == 0


# Sessions


def test_the_cookie_is_for_this_console_alone(house):
    answer = house.visitor().post("/signin", token=TOKEN)
    [cookie] = [value for name, value in answer.headers.items() if name.lower() == "set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie  # this house is not reached by TLS
    assert "Max-Age" not in cookie
    assert TOKEN not in cookie


def test_by_tls_the_cookie_is_never_sent_without(journals):
    settings = ConsoleSettings(port=0, url="https://relay.example.com")
    with listening(journals, settings) as house:
        answer = house.visitor(Host="relay.example.com").post(
            "/signin", {"Origin": "https://relay.example.com"}, token=TOKEN
        )
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-relay-console=")
        assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_a_session_is_new_with_each_sign_in_and_what_one_brings_along_is_not_taken(house):
    visitor = house.visitor()
    name = f"relay-console-{urlsplit(house.url).port}"
    visitor.session.cookies.set(name, "chosen-by-somebody-else", domain="127.0.0.1")
    visitor.post("/signin", token=TOKEN)
    first = visitor.session.cookies.get(name, domain="127.0.0.1", path="/")
    assert first not in (None, "chosen-by-somebody-else")
    visitor.post("/signin", token=TOKEN)
    assert visitor.session.cookies.get(name, domain="127.0.0.1", path="/") != first
    stolen = house.visitor()
    stolen.session.cookies.set(name, first)
    assert not is_in(stolen), "the session before has ended"


def test_who_signs_out_is_out_everywhere_with_that_session(house, ann):
    copy = house.visitor()
    copy.session.cookies.update(ann.session.cookies)
    assert is_in(copy)
    assert ann.post("/signout", form_token=ann.form_token()).status_code == 303
    assert not is_in(ann)
    assert not is_in(copy)


def test_nobody_is_signed_out_by_another_site(ann):
    assert ann.post("/signout", {"Origin": "https://elsewhere.example"}, form_token=ann.form_token()).status_code == 403
    assert ann.post("/signout").status_code == 403
    assert is_in(ann)


def test_a_session_ends_when_it_is_old_or_was_not_used():
    now_s = [0.0]
    sessions = Sessions(life_s=100, idle_s=10, clock=lambda: now_s[0])
    id_, _ = sessions.begin(Person("ann", together([Right.VIEWER])))
    for _ in range(9):
        now_s[0] += 9.9
        assert sessions.of(id_)
    now_s[0] += 9.9
    assert sessions.of(id_)
    now_s[0] = 100.0
    assert sessions.of(id_) is None, "it is old"
    id_, _ = sessions.begin(Person("ann", together([Right.VIEWER])))
    now_s[0] += 9.9
    assert sessions.of(id_, use=False)
    now_s[0] += 0.1
    assert sessions.of(id_) is None, "what a page asks for by itself is no sign of life"


def test_sessions_are_bounded_and_known_by_their_digest_alone():
    sessions = Sessions(100, 100, clock=lambda: 0.0)
    first, _ = sessions.begin(Person("ann", frozenset()))
    for number in range(MOST):
        last, _ = sessions.begin(Person(f"bob {number % 500}", frozenset()))
    assert sessions.of(first) is None
    assert sessions.of(last)
    assert last not in repr(vars(sessions))
    for wrong in ("", "x", "\udcff", last[:-1], last.upper()):
        assert sessions.of(wrong) is None


def test_one_person_has_so_many_sessions_and_crowds_out_nobody_else():
    sessions = Sessions(100, 100, clock=lambda: 0.0)
    ann, _ = sessions.begin(Person("ann", frozenset()))
    bobs = [sessions.begin(Person("bob", frozenset()))[0] for _ in range(2 * MOST)]
    assert sessions.of(ann)
    assert [id_ for id_ in bobs if sessions.of(id_)] == bobs[-MOST_EACH:]


# What every answer carries


def test_every_answer_carries_the_headers_that_browsers_obey(house, ann):
    for answer in (
        ann.get("/lanes"),
        ann.get("/nowhere"),
        ann.get("/static/console.css"),
        ann.get("/static/nothing"),
        ann.post("/signin"),
        house.visitor().get("/"),
        house.visitor(Host="evil.example").get("/"),
        ann.get("/api/v1/nowhere"),
    ):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "server" not in {name.lower() for name in answer.headers}
    assert ann.get("/lanes").headers["Cache-Control"] == "no-store"
    assert ann.get("/static/nothing").headers["Cache-Control"] == "no-store"
    assert ann.get("/static/console.css").headers["Cache-Control"] == "max-age=3600"
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_no_page_has_a_script_or_a_style_of_its_own(ann, house):
    for text in (ann.get("/lanes").text, ann.get("/nowhere").text, house.visitor().get("/signin").text):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)
        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", text)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "169.254.1.1"]
)
def test_a_name_of_somebody_elses_that_leads_here_is_refused(house, host):
    visitor = house.visitor(Host=host)
    assert visitor.post("/signin", token=TOKEN).status_code in (400, 421)
    assert not is_in(visitor)


def test_a_link_from_elsewhere_is_followed_from_here(house, ann):
    answer = house.visitor().get("/letters", **{"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'content="0;url=/letters"' in answer.text
    # With its cookie, as a browser sends it once the page asks by itself, or without.
    assert ann.get("/letters", **{"Sec-Fetch-Site": "same-origin"}).status_code == 503
    assert house.visitor().get("/letters", **{"Sec-Fetch-Site": "same-origin"}).status_code == 303


@pytest.mark.parametrize("path", ["//evil.example/", "/%5Cevil.example/", "/%09/evil.example/", "/%2Fevil.example/"])
def test_a_link_from_elsewhere_leads_no_further_than_to_a_page_of_ours(house, path):
    # As bytes: clients for people tidy such an address up, and an attacker's link is taken as it is.
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(house.url).port), 10) as raw:
        raw.sendall(request.encode())
        answer = b"".join(iter(lambda: raw.recv(65_536), b"")).decode()
    (onward,) = re.findall(r'content="0;url=([^"]*)"', answer)
    # Browsers read \\ as /, and pass over blanks.
    assert re.fullmatch(r"/(?:[^/\\\s][^\\\s]*)?", onward)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/%00",
        "/%00",
        "/a" * 5_000,
    ],
)
def test_no_other_file_is_served_and_no_address_breaks_it(house, path):
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(house.url).port), 10) as raw:
        raw.sendall(request.encode())
        answer = b"".join(iter(lambda: raw.recv(65_536), b""))
    status = int(answer.split()[1])
    assert status in (303, 400, 404, 414), answer[:200]
    assert b"import" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize("body", [b"x" * 300_000, b"\xff\xfe", b"&" * 1_000, b"a=%ff"])
def test_a_body_that_is_no_form_of_ours_is_refused(ann, body):
    answer = ann.session.post(
        ann.url + "/lanes/lane/refunds/pause",
        data=body,
        headers={"Origin": ann.url, "Content-Type": "application/x-www-form-urlencoded"},
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code in (400, 403)


# Where it listens


def test_it_listens_elsewhere_only_with_somebody_who_says_who_it_is():
    for host in ("0.0.0.0", "::", "10.0.0.1", "relay.example.com"):  # noqa: S104
        with pytest.raises(InvalidSettings, match=r"listen on 127\.0\.0\.1, or set BLNK_RELAY_CONSOLE_SIGN_IN"):
            ConsoleSettings(host=host)
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        assert ConsoleSettings(host=host).on_loopback


PROXY: dict[str, Any] = {
    "sign_in": "proxy",
    "url": "http://relay.example.com",
    "proxy_from": ("127.0.0.1",),
    "proxy_secret": SECRET,
    "viewers": ("*",),
    "operators": ("oncall",),
    "approvers": ("leads",),
    "payloads": ("support",),
}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"proxy_from": ()}, "PROXY_FROM must list the addresses"),
        ({"proxy_from": ("0.0.0.0/0",)}, "every address"),
        ({"proxy_from": ("proxy.example",)}, "PROXY_FROM must list addresses"),
        ({"proxy_secret": "short"}, "24 characters"),
        ({"viewers": (), "operators": (), "approvers": ()}, "nobody could do anything"),
        ({"proxy_user_header": "a b"}, "name of a header"),
        ({"url": ""}, "CONSOLE_URL must say"),
        ({"url": "relay.example.com"}, "must be an address"),
        ({"url": "https://u:p@relay.example.com"}, "must be an address"),
        ({"sign_in": "nobody"}, "must be one of"),
        ({"sign_in": "oidc"}, "OIDC_ISSUER must be set"),
        ({"sign_in": "oidc", "url": "http://relay.example.com"}, "must begin with https"),
        ({"url": "http://relay.example.com"}, "must begin with https"),
        ({"api_keys": ("bot:secret:viewer",)}, "name:digest:rights"),
        ({"api_keys": (f"bot:{'0' * 64}:root",)}, "must be one of"),
        ({"token_rights": ("root",)}, "must be one of"),
        ({"session_s": 0.0}, "a number from"),
        ({"session_s": float("nan")}, "a number from"),
    ],
)
def test_settings_that_would_open_a_hole_are_refused(wrong, says):
    with pytest.raises(InvalidSettings, match=says) as error:
        ConsoleSettings(**{"host": "0.0.0.0", **PROXY, "url": "https://relay.example.com", **wrong})  # noqa: S104
    assert "secret" not in str(error.value).replace("PROXY_SECRET", "")


def test_settings_come_from_the_environment_and_no_misspelt_one_is_passed_over(monkeypatch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    monkeypatch.setenv("BLNK_RELAY_CONSOLE_PORT", "9000")
    monkeypatch.setenv("BLNK_RELAY_CONSOLE_VIEWERS", "a, b")
    monkeypatch.setenv("BLNK_RELAY_CONSOLE_PROXY_SECRET_FILE", str(secret))
    settings = ConsoleSettings.from_env()
    assert (settings.port, settings.viewers, settings.proxy_secret) == (9000, ("a", "b"), SECRET)
    assert ConsoleSettings.from_env(port=1, host=None).port == 1
    assert SECRET not in repr(settings)
    assert Settings.from_env(), "what is the console's is nothing to the others"
    monkeypatch.setenv("BLNK_RELAY_CONSOLE_VIEWER", "a")
    with pytest.raises(InvalidSettings, match="did you mean BLNK_RELAY_CONSOLE_VIEWERS"):
        ConsoleSettings.from_env()


# Behind a proxy

THE_PROXY = {"Host": "relay.example.com", "X-Relay-Console-Secret": SECRET}


@pytest.fixture(scope="module")
def behind(journals) -> Iterator[House]:
    with listening(journals, ConsoleSettings(port=0, **PROXY)) as running:
        yield running


def test_whom_the_proxy_names_is_let_in_with_the_rights_of_their_groups(behind):
    ann = behind.visitor(**THE_PROXY, **{"X-Forwarded-User": "ann@example.com", "X-Forwarded-Groups": "oncall, other"})
    assert is_in(ann)
    answer = ann.get("/")
    assert "ann@example.com" in readable(answer.text)
    assert "Sign out" not in readable(answer.text), "that is the proxy's"
    token = re.findall(r'name="form_token" value="([^"]+)"', answer.text)[0]
    home = {"Origin": "http://relay.example.com"}
    assert "say why" in readable(ann.post("/lanes/lane/x/pause", home, form_token=token).text)
    eve = behind.visitor(**THE_PROXY, **{"X-Forwarded-User": "eve", "X-Forwarded-Groups": "Oncall,on"})
    assert is_in(eve)
    token = re.findall(r'name="form_token" value="([^"]+)"', eve.get("/").text)[0]
    assert eve.post("/lanes/lane/x/pause", home, form_token=token).status_code == 403


def test_whoever_has_no_right_is_shown_no_metrics(journals):
    with listening(journals, ConsoleSettings(port=0, **PROXY | {"viewers": ("staff",)})) as running:
        eve = running.visitor(**THE_PROXY, **{"X-Forwarded-User": "eve"})
        answer = eve.get("/metrics")
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "NotAllowed")
        ann = running.visitor(**THE_PROXY, **{"X-Forwarded-User": "ann", "X-Forwarded-Groups": "staff"})
        assert ann.get("/metrics").status_code == 200


def test_a_session_does_not_outlive_the_word_of_the_proxy(behind):
    ann = behind.visitor(**THE_PROXY, **{"X-Forwarded-User": "annabel"})
    assert is_in(ann)
    del ann.session.headers["X-Forwarded-User"]
    assert ann.get("/lanes").status_code == 403
    ann.session.headers["X-Forwarded-User"] = "bob"
    assert "bob" in readable(ann.get("/lanes").text)
    assert "annabel" not in readable(ann.get("/lanes").text)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Forwarded-User": "root"},
        {"X-Forwarded-User": "root", "X-Relay-Console-Secret": "guessed"},
        {"X-Forwarded-User": "root", "X-Relay-Console-Secret": SECRET + ","},
        {"X-Relay-Console-Secret": SECRET},
        {"X-Forwarded-User": "", "X-Relay-Console-Secret": SECRET},
        {"X-Forwarded-User": "x" * 101, "X-Relay-Console-Secret": SECRET},
        {"X-Forwarded-User": "key grafana", "X-Relay-Console-Secret": SECRET},
        {"X-Forwarded-User": "a\u202eb".encode().decode("latin-1"), "X-Relay-Console-Secret": SECRET},
    ],
)
def test_nobody_else_is_believed_who_names_somebody(behind, headers):
    visitor = behind.visitor(Host="relay.example.com", **headers)
    answer = visitor.get("/lanes")
    assert answer.status_code == 403
    assert "through the proxy" in readable(answer.text)


@pytest.mark.parametrize("name", ["Łukasz", "Ömer", "José", "張偉"])
def test_a_name_is_what_the_proxy_sends_in_whichever_way(behind, name):
    ways = [name.encode()] + ([name.encode("latin-1")] if name.isascii() or max(name) < "\u0100" else [])
    for sent in ways:
        ann = behind.visitor(**THE_PROXY, **{"X-Forwarded-User": sent.decode("latin-1")})
        assert is_in(ann)
        assert name in readable(ann.get("/kinds").text)


def test_whoever_has_no_right_and_whoever_asks_the_api_begins_no_session(journals, monkeypatch):
    monkeypatch.setattr("worker.console.signin.sessions.MOST", 20)
    with listening(journals, ConsoleSettings(port=0, **PROXY | {"viewers": ("staff",)})) as running:
        ann = running.visitor(**THE_PROXY, **{"X-Forwarded-User": "ann", "X-Forwarded-Groups": "oncall"})
        token = re.findall(r'name="form_token" value="([^"]+)"', ann.get("/kinds").text)[0]
        for headers, path, status in (
            ({"X-Forwarded-User": "eve"}, "/kinds", 403),
            ({"X-Forwarded-User": "eve"}, "/nowhere", 404),
            ({"X-Forwarded-User": "sue", "X-Forwarded-Groups": "staff"}, "/api/v1/kinds", 200),
            ({"X-Forwarded-User": "sue", "X-Forwarded-Groups": "staff"}, "/live", 401),
        ):
            for _ in range(30):
                answer = running.visitor(**THE_PROXY, **headers).get(path)
                assert (answer.status_code, "Set-Cookie" in answer.headers) == (status, False)
        home = {"Origin": "http://relay.example.com"}
        assert "say why" in readable(ann.post("/lanes/lane/x/pause", home, form_token=token).text)
        # Without a session nothing is taken, whoever it is.
        sue = running.visitor(**THE_PROXY, **{"X-Forwarded-User": "sue", "X-Forwarded-Groups": "oncall"})
        assert sue.post("/lanes/lane/x/pause", home, reason="x").status_code == 403
        api = f"{sue.url}/api/v1/lanes/lane/x/pause"
        assert sue.session.post(api, json={"reason": "x"}, headers=home, timeout=30).status_code == 403


def test_a_secret_from_another_address_is_not_believed(journals):
    settings = ConsoleSettings(port=0, **PROXY | {"proxy_from": ("192.0.2.7", "10.0.0.0/8")})
    with listening(journals, settings) as house:
        for forged in ({}, {"X-Forwarded-For": "192.0.2.7"}, {"Forwarded": "for=192.0.2.7"}, {"X-Real-IP": "10.1.1.1"}):
            visitor = house.visitor(**THE_PROXY, **{"X-Forwarded-User": "root"}, **forged)
            assert visitor.get("/lanes").status_code == 403


@pytest.mark.parametrize("twice", ["X-Forwarded-User", "X-Forwarded-Groups", "X-Relay-Console-Secret"])
def test_a_header_that_comes_twice_is_partly_somebody_elses(behind, twice):
    headers = [("X-Forwarded-User", "eve"), ("X-Forwarded-Groups", "other"), ("X-Relay-Console-Secret", SECRET)]
    added = {"X-Forwarded-User": "root", "X-Forwarded-Groups": "oncall", "X-Relay-Console-Secret": SECRET}[twice]
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*headers, (twice, added)])
    lines += "Host: relay.example.com\r\nContent-Length: 0\r\nConnection: close\r\n"
    request = f"POST /lanes/lane/x/pause HTTP/1.1\r\n{lines}\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(behind.url).port), 10) as raw:
        raw.sendall(request.encode())
        answer = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert int(answer.split()[1]) == 403


def test_the_printed_token_opens_nothing_where_a_proxy_says_who_it_is(behind):
    visitor = behind.visitor(Host="relay.example.com")
    answer = visitor.post("/signin", {"Origin": "http://relay.example.com"}, token=TOKEN)
    assert answer.status_code in (303, 400)
    assert visitor.get("/lanes").status_code == 403


# An application's own


def test_an_application_that_knows_its_people_says_who_asks(journals):
    def who_is(scope: Any) -> Person | None:
        name = dict(scope["headers"]).get(b"x-app-user", b"").decode()
        return Person(name, together([Right.VIEWER])) if name else None

    with listening(journals, who_is=who_is) as house:
        assert house.visitor().get("/lanes").status_code == 403
        ann = house.visitor(**{"X-App-User": "ann"})
        assert is_in(ann)
        assert "ann" in readable(ann.get("/lanes").text)


def test_an_application_that_fails_to_say_lets_nobody_in_and_tells_nothing(journals, caplog):
    def who_is(_: Any) -> Person | None:
        raise LookupError("no user named Alice Example")

    with listening(journals, who_is=who_is) as house:
        for path in ("/lanes", "/nowhere", "/live", "/api/v1/lanes"):
            answer = house.visitor().get(path)
            assert answer.status_code == 500
            assert "could not say who you are" in answer.text
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert house.visitor().get("/api/v1/lanes").json()["error"]["type"] == "Broken"
    assert "LookupError" in caplog.text
    assert "Alice" not in caplog.text


def test_a_fault_of_ours_is_told_without_what_it_quotes(journals, caplog, monkeypatch):
    with listening(journals) as house:

        def broken(*_: Any) -> None:
            raise LookupError("no user named Alice Example")

        monkeypatch.setattr(house.console, "_sign_in_form", broken)
        answer = house.visitor().get("/signin")
    assert answer.status_code == 500
    assert "The console has failed" in readable(answer.text)
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "LookupError" in caplog.text
    assert "Alice" not in caplog.text


def test_a_key_of_the_api_is_kept_by_its_digest(journals):
    kept = hashlib.sha256(b"the key").hexdigest()
    settings = ConsoleSettings(port=0, api_keys=(f"grafana:{kept}:viewer",))
    assert [key.rights for key in settings.keys_of_scripts()] == [("viewer",)]
    with listening(journals, settings) as house:
        script = house.visitor(Authorization="Bearer the key")
        assert script.get("/lanes").status_code == 303, "a key opens the API alone"


def test_mounted_below_a_path_every_link_form_and_cookie_stays_below_it(journals):
    with listening(journals, below="/relay") as house:
        visitor = house.visitor()
        answer = visitor.get("/letters?code=X")
        assert answer.headers["Location"] == "/relay/signin?onward=%2Fletters%3Fcode%3DX"
        answer = visitor.post("/signin", token=TOKEN, onward="/letters?code=X")
        assert answer.headers["Location"] == "/relay/letters?code=X"
        assert "Path=/relay;" in answer.headers["Set-Cookie"]
        assert is_in(visitor)
        links = re.findall(r'(?:href|src|action|hx-get|connect)="(/[^"]*)"', visitor.get("/").text)
        assert len(links) > 10
        assert [link for link in links if not link.startswith("/relay/")] == []
        assert visitor.get("/static/console.css").status_code == 200
        assert visitor.get("/api/v1/openapi.json").status_code == 200
        assert visitor.post("/signout", form_token=visitor.form_token()).headers["Location"] == "/relay/signin"
        assert not is_in(visitor)


# Its papers


def test_the_page_lists_all_settings_as_they_are():
    page = (ROOT / "docs" / "console.md").read_text(encoding="utf-8")
    assert with_table(page) == page, "run make docs"


def test_what_is_vendored_comes_with_its_licence_and_its_version():
    static = ROOT / "worker" / "console" / "static"
    assert "Zero-Clause BSD" in (static / "htmx-LICENSE.txt").read_text(encoding="utf-8")
    named = [re.fullmatch(r"(?:htmx|hx-sse)-(\d+\.\d+\.\d+)\.min\.js", path.name) for path in static.glob("*.min.js")]
    assert [found[1] for found in named if found] == ["4.0.1", "4.0.1"]
