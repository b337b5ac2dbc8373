"""Sign-ins under way are kept by browsers: none can be made, changed, shared or used twice, and none is crowded out."""

from __future__ import annotations

import pytest

from worker.console.signin.seal import AWAY_S, Seal


def test_what_was_begun_is_opened_once_with_what_it_was_begun_with():
    seal = Seal(lambda: 5.0)
    begun = seal.begin("/letters?code=X.Y")
    assert seal.open(begun.cookie, "guessed") is None
    assert seal.open(begun.cookie, begun.state) == begun
    assert seal.open(begun.cookie, begun.state) is None


def test_nobody_is_crowded_out_by_those_who_only_begin():
    seal = Seal()
    mine = seal.begin("/")
    for _ in range(20_000):
        seal.begin("/")
    assert seal.open(mine.cookie, mine.state) == mine


def test_it_opens_for_ten_minutes():
    now_s = [100.0]
    seal = Seal(lambda: now_s[0])
    first, second = seal.begin("/"), seal.begin("/")
    now_s[0] += AWAY_S
    assert seal.open(first.cookie, first.state)
    now_s[0] += 1
    assert seal.open(second.cookie, second.state) is None


def test_nothing_of_it_can_be_changed_or_put_together_anew():
    seal, other = Seal(lambda: 5.0), Seal(lambda: 5.0)
    mine, eves, elsewhere = seal.begin("/"), seal.begin("/evil"), other.begin("/")
    parts, others = mine.cookie.split("."), eves.cookie.split(".")
    for cookie in (
        elsewhere.cookie,
        ".".join([*parts[:2], others[2], parts[3]]),
        ".".join([parts[0], "9", *parts[2:]]),
        ".".join([*parts[:3], others[3]]),
        "", ".", "...", "x.\udcff", "\u00e4.5./.x",
    ):  # fmt: skip
        for state in (mine.state, eves.state, ""):
            assert seal.open(cookie, state) is None
    assert seal.open(eves.cookie, mine.state) is None


@pytest.mark.parametrize(
    ("onward", "kept"), [("/" + "x" * 2_997, "/" + "x" * 2_997), ("/" + "x" * 2_998, "/"), ("/" + "%" * 1_000, "/")]
)
def test_a_cookie_is_no_longer_than_a_browser_keeps(onward, kept):
    begun = Seal().begin(onward)
    assert begun.onward == kept
    assert len(begun.cookie) < 4_000


def test_what_goes_to_the_provider_is_not_in_the_cookie():
    begun = Seal().begin("/")
    for secret in (begun.state, begun.nonce, begun.verifier):
        assert len(secret) == 43
        assert secret not in begun.cookie
