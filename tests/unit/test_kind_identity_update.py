"""identity.update: partial, never clearing, never over a token, one at a time (contract §2.8, §3.11, §4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kindbook import (
    AMBIGUOUS,
    HORIZON_S,
    IDENTITY,
    POLICY,
    QUIET_S,
    SEEN_S,
    decided,
    judged,
    ok,
    progress,
    refusal,
    requested,
    sent,
    survives_the_journal,
)

from blnk_relay import InvalidIntent, result_of, update_identity
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup, Record

MOVE = update_identity(IDENTITY, city="Malmo", dob="1990-01-01")
MAIL = update_identity(IDENTITY, email_address="new@example.org")
SEND = Send(memo={"id": IDENTITY}, exclusive=f"identity:{IDENTITY}", seen=(IDENTITY,))
#: Where the decision rests on values: what a read shows may be of before our last write.
SEND_SETTLED = replace(SEND, settled_s=POLICY.read_lag_s)
DONE = Done("updated", IDENTITY)


def identity(**data: Any):
    return Record("identities", {"identity_id": IDENTITY, "meta_data": None, **data})


MOVED = identity(city="Malmo", dob="1990-01-01T00:00:00Z", country="SE")
TOKENIZED = identity(email_address="FPT:x:y", meta_data={"tokenized_fields": {"EmailAddress": True}})


def test_only_what_is_given_is_sent():
    request = requested(MOVE)
    assert (request.method, request.path) == ("PUT", f"/identities/{IDENTITY}")
    assert request.body == {"city": "Malmo", "dob": "1990-01-01T00:00:00Z"}


def test_metadata_is_replaced_only_in_so_many_words():
    with pytest.raises(InvalidIntent) as caught:
        update_identity(IDENTITY, meta_data={"a": 1}, city="Lund")
    assert "update_metadata" in caught.value.errors["meta_data"][0]
    assert requested(update_identity(IDENTITY, replace_meta_data={"a": 1})).body == {"meta_data": {"a": 1}}


@pytest.mark.parametrize(
    ("fields", "field"),
    [({}, "_schema"), ({"city": ""}, "city"), ({"city": " "}, "city"), ({"dob": ""}, "dob")],
)
def test_an_update_must_change_something_and_can_clear_nothing(fields, field):
    with pytest.raises(InvalidIntent) as caught:
        update_identity(IDENTITY, **fields)
    assert list(caught.value.errors) == [field]


def test_the_reason_for_refusing_an_empty_text_is_given():
    with pytest.raises(InvalidIntent, match="never cleared"):
        update_identity(IDENTITY, city="")


@pytest.mark.parametrize("identity_id", ["", "idt_1", "mara", result_of("wallet", "balance_id")])
def test_an_identity_must_be_named(identity_id):
    with pytest.raises(InvalidIntent):
        update_identity(identity_id, city="Lund")


def test_the_canonical_payload_makes_the_same_intent_again():
    assert survives_the_journal(MOVE)
    assert survives_the_journal(update_identity(result_of("mara", "identity_id"), city="Lund"))


def test_writes_to_one_identity_stand_in_one_order():
    assert MOVE.order_key == MAIL.order_key == f"identity:{IDENTITY}"
    assert update_identity(result_of("mara", "identity_id"), city="Lund").order_key == "identity:mara"


def test_what_cannot_be_tokenized_is_sent_without_reading():
    asked: list[Lookup] = []
    assert decided(MOVE, progress(), asked=asked) == SEND
    assert asked == []


def test_what_could_be_tokenized_is_read_before_it_is_sent():
    asked: list[Lookup] = []
    assert decided(MAIL, progress(), identity(email_address="old@example.org"), asked=asked) == SEND_SETTLED
    assert asked == [Lookup("identities", "identity_id", IDENTITY)]
    # One that is not shown (yet) is left to the ledger's own answer.
    assert decided(MAIL, progress()) == SEND_SETTLED


@pytest.mark.parametrize(("now", "dead_class"), [(progress(), DeadClass.REFUSED), (sent(QUIET_S), DeadClass.UNKNOWN)])
def test_plain_text_is_never_written_over_a_token(now, dead_class):
    decision = decided(MAIL, now, TOKENIZED)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (dead_class, "FIELD_TOKENIZED")
    assert "example.org" not in decision.message


def test_another_field_of_that_identity_can_still_be_changed():
    assert decided(update_identity(IDENTITY, last_name="L"), progress(), TOKENIZED) == SEND_SETTLED


@pytest.mark.parametrize(
    ("record", "ago_s", "expected"),
    [
        (MOVED, QUIET_S, DONE),
        (identity(city="Malmo", dob="1990-01-01"), QUIET_S, DONE),
        # Within the read lag the same values may be those of an older write.
        (MOVED, 1, Look),
        (identity(city="Lund", dob="1990-01-01T00:00:00Z"), 1, Look),
        (identity(city="Lund", dob="1990-01-01T00:00:00Z"), SEEN_S, Look),
        (MOVED, SEEN_S, Look),
        (identity(city="Lund", dob="1990-01-01T00:00:00Z"), QUIET_S, SEND),
        (identity(city="Malmo", dob="1991-01-01T00:00:00Z"), QUIET_S, SEND),
        (None, 1, Look),
        (None, QUIET_S, SEND),
    ],
)
def test_after_an_ambiguous_answer_the_fields_are_compared(record, ago_s, expected):
    decision = decided(MOVE, sent(ago_s), *([] if record is None else [record]))
    assert decision == expected if not isinstance(expected, type) else isinstance(decision, expected)


def test_replaced_metadata_is_compared_as_a_whole():
    intent = update_identity(IDENTITY, replace_meta_data={"a": 1})
    assert decided(intent, sent(QUIET_S), identity(meta_data={"a": 1})) == DONE
    assert isinstance(decided(intent, sent(SEEN_S), identity(meta_data={"a": 1, "b": 2})), Look)
    assert decided(update_identity(IDENTITY, replace_meta_data={}), sent(QUIET_S), identity()) == DONE


def test_what_was_refused_and_is_not_shown_is_refused():
    decision = decided(MOVE, sent(QUIET_S, refuse=True, code="X", message="why"), identity(city="Lund"))
    assert decision == Dead(DeadClass.REFUSED, "X", "why")


def test_past_its_deadline_it_is_unknown_when_it_may_have_been_sent():
    assert isinstance(decided(MOVE, sent(QUIET_S, deadline_ms=1), identity(city="Lund")), Look), "not at once"
    decision = decided(MOVE, sent(HORIZON_S, deadline_ms=1), identity(city="Lund"))
    assert isinstance(decision, Dead)
    assert decision.dead_class is DeadClass.UNKNOWN


def test_the_answer_of_the_route_is_the_outcome():
    assert judged(MOVE, ok(200, message="Identity updated successfully")).decision == DONE


@pytest.mark.parametrize("response", AMBIGUOUS)
def test_an_answer_that_proves_nothing_is_looked_up(response):
    verdict = judged(MOVE, response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


@pytest.mark.parametrize("code", ["GEN_MALFORMED_REQUEST", "GEN_BAD_REQUEST"])
def test_a_payload_that_the_ledger_refuses_is_refused(code):
    verdict = judged(MOVE, refusal(400, code))
    assert isinstance(verdict.decision, Dead)
    assert not verdict.acted


def test_an_unknown_identity_is_tried_five_times_and_then_refused():
    assert not isinstance(judged(MOVE, refusal(404, "IDT_NOT_FOUND")).decision, Dead)
    assert isinstance(judged(MOVE, refusal(404, "IDT_NOT_FOUND"), progress(attempts=4)).decision, Dead)
