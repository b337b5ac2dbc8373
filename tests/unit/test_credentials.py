"""Who we are at a target: fixed keys, keys in files, what a refresh brings; and nothing of it is ever shown."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay import InvalidSettings, Target
from blnk_relay.intents.exchange import Failure, Response
from blnk_relay.journal.tokens import Stored, Tokens
from worker.ledger import credentials
from worker.ledger.credentials import FixedKey, Key, KeyFile, key_of
from worker.ledger.oauth import ahead_s, tokens_of

ANSWER = {"access_token": "blnk_at_2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "blnk_rt_2"}


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "key"
    found.write_text("blnk_1\n")
    return found


@pytest.fixture
def impatient(monkeypatch):
    """Every request looks at the file."""
    monkeypatch.setattr(credentials, "LOOK_S", 0.0)


def test_a_key_of_the_settings_stays():
    key = FixedKey("blnk_1", "BLNK_RELAY_TOKEN")
    assert key.current().value == "blnk_1"
    assert not key.refused(key.current())


@pytest.mark.parametrize("value", ["", "a b", "a\r\nX-Evil: 1", "clé", "a" * 5000])
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(value):
    with pytest.raises(InvalidSettings) as caught:
        FixedKey(value, "BLNK_RELAY_TOKEN")
    assert str(caught.value).startswith("BLNK_RELAY_TOKEN cannot be a key")
    assert not value or value not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_file_is_read_again_when_it_changes(path):
    keys = KeyFile(str(path), "V")
    first = keys.current()
    path.write_text("blnk_2")
    second = keys.current()
    assert first is not None
    assert second is not None
    assert (first.value, second.value, second.version - first.version) == ("blnk_1", "blnk_2", 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_key_in_quotes_is_none(path, quote):
    keys = KeyFile(str(path), "V")
    path.write_text(f"{quote}blnk_2{quote}\n")
    assert keys.current() == Key("blnk_1", 0)
    with pytest.raises(InvalidSettings, match="take the quotes off") as caught:
        KeyFile(str(path), "BLNK_RELAY_TOKEN_FILE")
    assert "blnk_2" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_what_replaces_a_file_is_noticed_as_well(path, tmp_path):
    keys = KeyFile(str(path), "V")
    (tmp_path / "next").write_text("blnk_2")
    os.replace(tmp_path / "next", path)  # noqa: PTH105 - as a rotating tool does it
    assert keys.current() == Key("blnk_2", 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text(""),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_text("two words"),
    ],
)
def test_a_file_that_is_gone_or_spoiled_for_a_moment_keeps_the_last_good_key(path, spoil, caplog):
    keys = KeyFile(str(path), "BLNK_RELAY_TOKEN_FILE")
    spoil(path)
    with caplog.at_level(logging.WARNING):
        assert [keys.current() for _ in range(3)] == [Key("blnk_1", 0)] * 3
    assert len(caplog.records) == 1
    assert "blnk_1" not in caplog.text
    path.write_text("blnk_2")
    assert keys.current() == Key("blnk_2", 1)


def test_a_file_is_not_looked_at_for_every_request(path):
    keys = KeyFile(str(path), "V")
    path.write_text("blnk_2")
    assert keys.current() == Key("blnk_1", 0)


def test_a_refused_key_has_the_file_looked_at_at_once(path):
    keys = KeyFile(str(path), "V")
    old = keys.current()
    assert old is not None
    assert not keys.refused(old)
    path.write_text("blnk_2")
    assert keys.refused(old)
    assert keys.current() == Key("blnk_2", 1)
    assert keys.refused(old)
    assert not keys.refused(Key("blnk_2", 1))


def test_a_rotation_within_one_tick_of_the_file_system_is_found_by_its_401(path):
    keys = KeyFile(str(path), "V")
    stat = path.stat()
    path.write_text("blnk_2\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert keys.refused(Key("blnk_1", 0))


@pytest.mark.parametrize("content", [None, "", " \n", "two words"])
def test_a_file_without_a_key_is_refused_at_the_start(tmp_path, content):
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidSettings, match="BLNK_RELAY_EU__TOKEN_FILE: there is no key"):
        key_of(Target(name="eu", token_file=str(path)))


def test_no_key_is_shown():
    for shown in (Key("hidden", 1), Tokens("hidden", "hidden", 1.0), Stored(1, "hidden", 1.0, 1.0, False, 0.0)):
        assert "hidden" not in repr(shown)


# -- what a refresh brings -----------------------------------------------------------------------------------------


def test_an_answer_brings_both_tokens_and_a_life():
    assert tokens_of(Response(status=200, body=ANSWER), "old") == Tokens("blnk_at_2", "blnk_rt_2", 3600.0)


def test_the_old_refresh_token_stays_where_no_other_comes():
    body = {name: value for name, value in ANSWER.items() if name != "refresh_token"}
    assert tokens_of(Response(status=200, body=body), "old") == Tokens("blnk_at_2", "old", 3600.0)


@pytest.mark.parametrize("life", [None, "3600", 0, -1, True, 1.5, 10**400])
def test_a_life_that_is_not_told_is_taken_for_short(life):
    tokens = tokens_of(Response(status=200, body={**ANSWER, "expires_in": life}), "old")
    assert tokens is not None
    assert tokens.life_s == 300.0


@pytest.mark.parametrize(
    "response",
    [
        Response(status=400, body={"error": "invalid_grant"}, message="invalid_grant"),
        Response(status=401, body={"error": "invalid_client"}),
        Response(status=500),
        Response(status=201, body=ANSWER),
        Response(status=200),
        Response(status=200, body={}),
        Response(status=200, body={**ANSWER, "access_token": ""}),
        Response(status=200, body={**ANSWER, "access_token": "a\nb"}),
        Response(status=200, body={**ANSWER, "refresh_token": 7}),
        Response(status=200, body=ANSWER, failure=Failure.BROKEN),
        Response(failure=Failure.NOT_SENT),
    ],
)
def test_anything_else_is_a_refresh_that_failed(response):
    assert tokens_of(response, "old") is None


@given(st.floats(min_value=0.001, max_value=1e9))
def test_a_token_is_refreshed_before_its_end_and_not_before_most_of_its_life(life_s):
    assert 0 < ahead_s(life_s) <= min(60.0, life_s / 4)
