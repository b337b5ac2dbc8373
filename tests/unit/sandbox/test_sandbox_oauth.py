from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import pytest

from blnk_relay.sandbox import Faults, Rule

BASIC = "Basic " + base64.b64encode(b"client_sandbox:secret_sandbox").decode()
BACK = "https://app.example/back"


def login(desk, redirect_uri=BACK):
    query = f"response_type=code&client_id=client_sandbox&redirect_uri={redirect_uri}&state=s1"
    answer = desk.send("GET", f"/oauth/authorize?{query}", authorization="")
    assert answer.status == 302
    location = urlparse(answer.headers["Location"])
    assert parse_qs(location.query)["state"] == ["s1"]
    return parse_qs(location.query)["code"][0]


def ask(desk, authorization=BASIC, **form: str):
    headers = {"authorization": authorization, "content-type": "application/x-www-form-urlencoded"}
    return desk.send("POST", "/oauth/token", urlencode(form).encode(), **headers)


def first_tokens(desk) -> dict[str, Any]:
    answer = ask(desk, grant_type="authorization_code", code=login(desk), redirect_uri=BACK)
    assert answer.status == 200
    tokens: dict[str, Any] = answer.document()
    return tokens


def refresh(desk, token):
    return ask(desk, grant_type="refresh_token", refresh_token=token)


def read_with(desk, token):
    return desk.send("GET", "/data/ledgers", authorization=f"Bearer {token}").status


def test_a_code_becomes_tokens_that_work_for_an_hour(desk):
    tokens = first_tokens(desk)
    assert tokens["access_token"].startswith("blnk_at_")
    assert tokens["refresh_token"].startswith("blnk_rt_")
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    assert tokens["scope"] == "data:read proxy:read proxy:write"
    assert read_with(desk, tokens["access_token"]) == 200
    desk.step(3599)
    assert read_with(desk, tokens["access_token"]) == 200
    desk.step(1)
    assert read_with(desk, tokens["access_token"]) == 401


def test_a_refresh_gives_a_new_refresh_token_and_the_old_one_is_dead(desk):
    old = first_tokens(desk)
    new = refresh(desk, old["refresh_token"]).document()
    assert new["refresh_token"] != old["refresh_token"]
    assert read_with(desk, new["access_token"]) == read_with(desk, old["access_token"]) == 200
    again = refresh(desk, old["refresh_token"])
    assert (again.status, again.document()) == (400, {"error": "invalid_grant"})
    assert refresh(desk, new["refresh_token"]).status == 200


def test_a_switch_lets_the_old_refresh_token_live(make_desk):
    desk = make_desk(oauth_rotation=False)
    tokens = first_tokens(desk)
    assert [refresh(desk, tokens["refresh_token"]).status for _ in range(2)] == [200, 200]


def test_a_lost_answer_to_a_refresh_locks_the_client_out(make_desk):
    desk = make_desk(Faults.script([Rule("drop_after", method="POST", path="/oauth/token", skip=1)]))
    tokens = first_tokens(desk)
    refresh(desk, tokens["refresh_token"])
    assert [line.status for line in desk.instance.edge.log][-1] == 0
    assert refresh(desk, tokens["refresh_token"]).status == 400


def test_a_code_is_good_once_and_only_where_it_was_sent(desk):
    code = login(desk)
    form = {"grant_type": "authorization_code", "code": code}
    assert ask(desk, **form, redirect_uri="https://elsewhere.example").status == 400
    assert ask(desk, **form, redirect_uri=BACK).status == 400
    assert ask(desk, **{**form, "code": "x"}, redirect_uri=BACK).status == 400


@pytest.mark.parametrize("authorization", ["", "Basic x", "Basic " + base64.b64encode(b"a:b").decode(), "Bearer x"])
def test_the_client_must_say_who_it_is(desk, authorization):
    answer = ask(desk, authorization, grant_type="refresh_token")
    assert (answer.status, answer.document()) == (401, {"error": "invalid_client"})


def test_other_grants_and_other_bodies_are_refused(desk):
    assert ask(desk, grant_type="client_credentials").document() == {"error": "unsupported_grant_type"}
    headers = {"authorization": BASIC, "content-type": "application/json"}
    assert desk.send("POST", "/oauth/token", {"grant_type": "refresh_token"}, **headers).status == 400
    assert desk.send("GET", "/oauth/authorize?response_type=token").status == 400


def test_scopes_of_a_login_are_checked_at_the_edge(desk):
    code = desk.instance.core.oauth.new_code(("proxy:write",))
    token = ask(desk, grant_type="authorization_code", code=code, redirect_uri=BACK).document()["access_token"]
    assert read_with(desk, token) == 403
    body = {"name": "x"}
    assert desk.send("POST", "/proxy/ledgers", body, authorization=f"Bearer {token}").status == 201


def test_tokens_can_be_revoked(desk):
    tokens = first_tokens(desk)
    desk.instance.core.oauth.revoke_all()
    assert read_with(desk, tokens["access_token"]) == 401
    assert refresh(desk, tokens["refresh_token"]).status == 400


def test_a_read_lag_is_nothing_for_a_token_and_a_lost_answer_is(make_desk):
    desk = make_desk(Faults.script([Rule("read_lag", path="/oauth/token"), Rule("502_with_effect", method="POST")]))
    assert ask(desk, grant_type="authorization_code", code=login(desk), redirect_uri=BACK).status == 502
    assert desk.instance.edge.log[-1].fault == "502_with_effect"


def test_every_refresh_is_the_same_request_to_a_plan_of_faults(desk):
    tokens = first_tokens(desk)
    for _ in range(3):
        tokens = refresh(desk, tokens["refresh_token"]).document()
    assert len({line.identity for line in list(desk.instance.edge.log)[-3:]}) == 1
