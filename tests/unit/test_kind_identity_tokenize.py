"""identity.tokenize: never the same field twice, because a repeat stops at it (contract §2.11, §4)."""

from __future__ import annotations

from typing import Any

import pytest
from kindbook import (
    AMBIGUOUS,
    IDENTITY,
    QUIET_S,
    decided,
    judged,
    ok,
    progress,
    refusal,
    requested,
    sent,
    survives_the_journal,
)

from blnk_relay import InvalidIntent, result_of, tokenize_identity, update_identity, update_metadata
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup, Record
from blnk_relay.replay import ReplayWay, plan_replay

BOTH = tokenize_identity(IDENTITY, ["email_address", "FirstName"])
DONE = Done("tokenized", IDENTITY)


def tokenized(*names: Any):
    return Record("tokenized-fields", {"identity_id": IDENTITY, "tokenized_fields": list(names)})


def send(*names: Any):
    memo = {"id": IDENTITY, "fields": list(names)}
    return Send(memo=memo, exclusive=f"identity:{IDENTITY}", seen=(IDENTITY,))


def test_fields_may_be_named_either_way_and_have_one_order():
    assert BOTH.payload["fields"] == ["FirstName", "EmailAddress"]
    assert tokenize_identity(IDENTITY, ("FirstName", "email_address", "EmailAddress")) == BOTH
    assert survives_the_journal(BOTH)


@pytest.mark.parametrize("names", [[], ["city"], ["firstName"], "FirstName", [1], {"FirstName": 1}])
def test_only_what_can_be_tokenized_is_taken(names):
    with pytest.raises(InvalidIntent):
        tokenize_identity(IDENTITY, names)


def test_all_writes_to_an_identity_share_its_order():
    link = result_of("mara", "identity_id")
    assert {
        tokenize_identity(link, ["Street"]).order_key,
        update_identity(link, city="Lund").order_key,
        update_metadata(link, {"a": 1}).order_key,
    } == {"identity:mara"}


@pytest.mark.parametrize(
    ("already", "path", "body"),
    [
        ((), f"/identities/{IDENTITY}/tokenize", {"fields": ["FirstName", "EmailAddress"]}),
        (("FirstName",), f"/identities/{IDENTITY}/tokenize/EmailAddress", {}),
        (("EmailAddress", "Street"), f"/identities/{IDENTITY}/tokenize/FirstName", {}),
    ],
)
def test_only_the_rest_is_sent(already, path, body):
    request = requested(BOTH, tokenized(*already))
    assert (request.method, request.path, request.body) == ("POST", path, body)


def test_what_is_tokenized_is_always_read_first():
    asked: list[Lookup] = []
    assert decided(BOTH, progress(), tokenized(), asked=asked) == send("FirstName", "EmailAddress")
    assert asked == [Lookup("tokenized-fields", "identity_id", IDENTITY)]


@pytest.mark.parametrize("now", [progress(), sent(1), sent(QUIET_S), progress(looking=True)])
def test_when_nothing_is_left_it_is_done(now):
    assert decided(BOTH, now, tokenized("EmailAddress", "FirstName")) == DONE


def test_an_identity_that_is_not_known_is_left_to_the_ledgers_answer():
    assert decided(BOTH, progress()) == send("FirstName", "EmailAddress")


def test_after_an_ambiguous_answer_the_rest_is_sent_only_after_the_silence():
    assert isinstance(decided(BOTH, sent(1), tokenized("FirstName")), Look)
    assert decided(BOTH, sent(QUIET_S), tokenized("FirstName")) == send("EmailAddress")


def test_already_tokenized_is_looked_up_because_it_tells_nothing_of_the_others():
    verdict = judged(BOTH, refusal(409, "IDT_FIELD_ALREADY_TOKENIZED"))
    assert isinstance(verdict.decision, Look)
    assert not verdict.decision.refuse
    assert decided(BOTH, progress(looking=True), tokenized("FirstName")) == send("EmailAddress")


def test_the_answer_of_the_route_is_the_outcome():
    assert judged(BOTH, ok(200, message="Fields tokenized successfully")).decision == DONE


@pytest.mark.parametrize("response", AMBIGUOUS)
def test_an_answer_that_proves_nothing_is_looked_up(response):
    verdict = judged(BOTH, response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "IDT_FIELD_NOT_TOKENIZABLE"), (400, "GEN_VALIDATION_ERROR"), (403, "IDT_TOKENIZATION_DISABLED")],
)
def test_what_no_repeat_can_change_is_refused_without_a_pause_for_others(status, code):
    verdict = judged(BOTH, refusal(status, code))
    assert isinstance(verdict.decision, Dead)
    assert verdict.gate is None


def test_what_is_refused_after_some_fields_were_tokenized_happened_in_part():
    now = sent(QUIET_S, refuse=True, code="IDT_TOKENIZATION_DISABLED")
    decision = decided(BOTH, now, tokenized("FirstName", "Street"))
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.PARTIAL, "TOKENIZED_IN_PART")
    assert decision.message.startswith("Tokenized: FirstName. Not: EmailAddress.")
    assert "IDT_TOKENIZATION_DISABLED" in decision.message
    # A replay reads what is tokenized, and sends the rest.
    assert plan_replay("identity.tokenize", decision.dead_class, decision.code).way is ReplayWay.SAME
    assert decided(BOTH, now, tokenized("Street")).dead_class is DeadClass.REFUSED
    assert isinstance(decided(BOTH, sent(1, refuse=True, code="GEN_INTERNAL"), tokenized("FirstName")), Look)


def test_what_stops_at_a_field_that_has_a_token_may_have_done_those_before_it():
    answer = refusal(409, "IDT_FIELD_ALREADY_TOKENIZED")
    assert judged(BOTH, answer).acted
    one = progress(memo={"id": IDENTITY, "fields": ["EmailAddress"]})
    assert not judged(BOTH, answer, one).acted
