"""identity.create: what is sent, and how one that may have been made is recognised (contract §2.7, §4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from kindbook import (
    AMBIGUOUS,
    IDENTITY,
    MARK,
    POLICY,
    QUIET_S,
    an_id,
    decided,
    entry_of,
    judged,
    ok,
    progress,
    refusal,
    requested,
    sent,
    survives_the_journal,
)

from blnk_relay import InvalidIntent, create_identity, result_of
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup, Record
from blnk_relay.kinds.identity_create import own_id

MARA = create_identity(
    first_name="Mara",
    last_name="Lindqvist",
    other_names="A.",
    email_address="mara@example.org",
    phone_number="+46700000001",
    nationality="SE",
    gender="female",
    dob="1990-01-01",
    street="Storgatan 4",
    city="Lund",
    state="Skane",
    post_code="22221",
    country="SE",
    organization_name="Lindqvist AB",
    category="individual",
    identity_type="customer",
    meta_data={"segment": "retail"},
)
CHOSEN = create_identity(first_name="Mara", identity_id=IDENTITY)
OURS = Record("identities", {"identity_id": an_id("idt", 7), "meta_data": {MARK: entry_of(MARA).id}})


def with_id(identity_id, **data: Any):
    return Record("identities", {"identity_id": identity_id, **data})


def test_every_field_of_the_contract_is_sent_with_our_mark_and_our_id():
    body = dict(requested(MARA).body)
    assert body == {
        **{name: value for name, value in MARA.payload.items() if name not in ("dob", "meta_data")},
        "dob": "1990-01-01T00:00:00Z",
        "identity_id": own_id(entry_of(MARA)),
        "meta_data": {"segment": "retail", MARK: entry_of(MARA).id},
    }
    assert len(body) == 18


def test_a_date_of_birth_is_sent_as_the_setting_says():
    assert requested(MARA, policy=replace(POLICY, dob_format="date")).body["dob"] == "1990-01-01"


def test_without_ids_of_our_own_only_the_mark_is_sent():
    body = requested(MARA, policy=replace(POLICY, own_identity_ids=False)).body
    assert "identity_id" not in body
    assert body["meta_data"][MARK] == entry_of(MARA).id


def test_an_id_of_the_callers_own_is_sent_whatever_the_setting_says():
    assert requested(CHOSEN, policy=replace(POLICY, own_identity_ids=False)).body["identity_id"] == IDENTITY


def test_the_id_we_choose_stays_the_same_and_has_the_ledgers_form():
    assert own_id(entry_of(MARA)) == own_id(entry_of(MARA))
    assert create_identity(identity_id=own_id(entry_of(MARA)))


@pytest.mark.parametrize("given", ["1990-01-01", date(1990, 1, 1)])
def test_a_day_is_taken_as_text_or_as_a_date(given):
    assert create_identity(dob=given).payload == {"dob": "1990-01-01"}


@pytest.mark.parametrize(
    "fields",
    [
        {"dob": "01.01.1990"},
        {"dob": "1990-1-1"},
        {"dob": "1990-02-30"},
        {"dob": "19900101"},
        {"dob": "0001-01-01"},
        {"dob": "1990-01-01T00:00:00Z"},
        {"dob": datetime(1990, 1, 1, tzinfo=UTC)},
        {"dob": 1990},
        {"first_name": ""},
        {"first_name": "   "},
        {"first_name": "a\x00"},
        {"first_name": "a" * 1001},
        {"first_name": 7},
        {"identity_id": "idt_1"},
        {"identity_id": an_id("bln")},
        {"identity_id": result_of("other", "identity_id")},
        {"meta_data": {"tokenized_fields": {}}},
        {"meta_data": {"inflight": True}},
        {"meta_data": {"note": "a" * 60_000}},
        {"meta_data": []},
    ],
)
def test_what_the_ledger_would_refuse_or_lose_is_refused_here_by_its_field_and_without_quoting_it(fields):
    with pytest.raises(InvalidIntent) as caught:
        create_identity(**fields)
    assert list(caught.value.errors) == list(fields)
    value = next(iter(fields.values()))
    assert not isinstance(value, str) or len(value) < 8 or value == "0001-01-01" or value not in str(caught.value)


def test_the_canonical_payload_makes_the_same_intent_again():
    assert survives_the_journal(MARA)


def test_a_new_one_is_sent_without_reading():
    asked: list[Lookup] = []
    assert decided(MARA, progress(), asked=asked) == Send()
    assert asked == []


def test_what_may_have_been_made_is_looked_up_by_mark_and_by_id():
    asked: list[Lookup] = []
    decided(MARA, sent(), asked=asked)
    assert asked == [
        Lookup("identities", f"meta_data.{MARK}", entry_of(MARA).id),
        Lookup("identities", "identity_id", own_id(entry_of(MARA))),
    ]


@pytest.mark.parametrize("ago_s", [1, QUIET_S])
@pytest.mark.parametrize("refuse", [False, True])
def test_what_is_there_under_our_mark_is_done_and_never_sent_again(ago_s, refuse):
    # Under another id than we asked for: the way to the ledger need not forward ours (contract §2.7).
    assert decided(MARA, sent(ago_s, refuse=refuse), OURS) == Done("created", an_id("idt", 7))


def test_what_is_there_under_the_id_that_follows_from_the_intent_is_ours_even_without_the_mark():
    identity_id = own_id(entry_of(MARA))
    assert decided(MARA, sent(), with_id(identity_id, meta_data={})) == Done("created", identity_id)


def test_somebody_elses_identity_under_the_callers_id_is_not_taken_for_ours():
    asked: list[Lookup] = []
    decision = decided(CHOSEN, progress(), with_id(IDENTITY, meta_data=None), asked=asked)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.REFUSED, "IDENTITY_EXISTS")
    assert asked == [Lookup("identities", "identity_id", IDENTITY)]


def test_the_callers_id_without_our_mark_may_be_ours_once_it_was_sent():
    # Somebody may have replaced its metadata, and with it our mark, before the answer was there.
    for now in (sent(), sent(QUIET_S, refuse=True, code="IDT_VALIDATION_ERROR")):
        decision = decided(CHOSEN, now, with_id(IDENTITY, meta_data=None))
        assert isinstance(decision, Dead)
        assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "IDENTITY_EXISTS")


def test_the_callers_id_with_our_mark_is_done_also_where_it_was_accepted_once_more():
    mine = with_id(IDENTITY, meta_data={MARK: entry_of(CHOSEN).id})
    assert decided(CHOSEN, progress(), mine) == Done("created", IDENTITY)


def test_the_callers_id_with_our_mark_is_done():
    mine = with_id(IDENTITY, meta_data={MARK: entry_of(CHOSEN).id})
    assert decided(CHOSEN, sent(refuse=True, code="IDT_VALIDATION_ERROR"), mine) == Done("created", IDENTITY)


def test_two_under_our_mark_are_a_matter_for_a_human():
    other = with_id(an_id("idt", 8), meta_data={MARK: entry_of(MARA).id})
    decision = decided(MARA, sent(), OURS, other)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "MADE_TWICE")
    assert f"{an_id('idt', 7)}, {an_id('idt', 8)}." in decision.message


def test_what_is_not_there_is_sent_again_only_after_the_silence():
    assert isinstance(decided(MARA, sent(1)), Look)
    assert decided(MARA, sent(QUIET_S)) == Send()


def test_what_was_refused_and_is_not_there_is_refused_only_after_the_silence():
    assert isinstance(decided(MARA, sent(1, refuse=True, code="X")), Look)
    assert decided(MARA, sent(QUIET_S, refuse=True, code="X", message="why")) == Dead(DeadClass.REFUSED, "X", "why")


def test_an_id_that_the_ledger_says_it_has_and_does_not_show_is_unknown():
    decision = decided(MARA, sent(QUIET_S, refuse=True, code="IDT_VALIDATION_ERROR"))
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "NOT_SHOWN")


def test_the_answer_with_an_id_is_the_outcome():
    body = {**requested(MARA).body, "identity_id": IDENTITY, "dob": "1990-01-01T00:00:00Z"}
    assert judged(MARA, ok(201, **body)).decision == Done("created", IDENTITY)
    # The id that follows from the intent names it as well.
    assert judged(MARA, ok(201, identity_id=own_id(entry_of(MARA)))).decision == Done("created", own_id(entry_of(MARA)))
    for of_another in ({"identity_id": IDENTITY}, {**body, "meta_data": {MARK: "another"}}):
        assert isinstance(judged(MARA, ok(201, **of_another)).decision, Look)


def test_an_identity_that_was_made_otherwise_is_told_by_the_names_of_its_fields():
    body = {**requested(MARA).body, "identity_id": IDENTITY, "city": "Malmo", "dob": "1991-01-01T00:00:00Z"}
    end = judged(MARA, ok(201, **body)).decision
    assert (end.dead_class, end.code) == (DeadClass.PARTIAL, "MADE_OTHERWISE")
    assert f"made as {IDENTITY}" in end.message
    assert "city, dob" in end.message
    assert not any(value in end.message for value in ("Malmo", "Lund", "1990", "1991"))


@pytest.mark.parametrize("response", AMBIGUOUS)
def test_an_answer_that_proves_nothing_is_looked_up(response):
    verdict = judged(MARA, response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


def test_an_id_that_exists_is_looked_up_because_an_earlier_request_of_ours_may_have_made_it():
    verdict = judged(MARA, refusal(400, "IDT_VALIDATION_ERROR"))
    assert isinstance(verdict.decision, Look)
    assert verdict.decision.refuse
    assert verdict.acted


@pytest.mark.parametrize("code", ["GEN_MALFORMED_REQUEST", "GEN_VALIDATION_ERROR"])
def test_a_payload_that_the_ledger_refuses_is_refused(code):
    verdict = judged(MARA, refusal(400, code))
    assert isinstance(verdict.decision, Dead)
    assert verdict.decision.dead_class is DeadClass.REFUSED
