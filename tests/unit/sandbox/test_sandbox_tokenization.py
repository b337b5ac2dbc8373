from __future__ import annotations

import pytest


@pytest.fixture
def identity(desk):
    body = {
        "first_name": "Mara",
        "email_address": "mara@example.org",
        "post_code": "222 21",
        "meta_data": {"secret": 1},
    }
    return desk.send("POST", "/proxy/identities", body).document()["identity_id"]


def tokenize(desk, identity_id, *names: str, one: str | None = None):
    if one is not None:
        return desk.send("POST", f"/proxy/identities/{identity_id}/tokenize/{one}")
    return desk.send("POST", f"/proxy/identities/{identity_id}/tokenize", {"fields": list(names)})


def done(desk, identity_id):
    return desk.send("GET", f"/proxy/identities/{identity_id}/tokenized-fields").document()


def test_a_token_looks_like_its_value_and_hides_it(desk, identity):
    answer = tokenize(desk, identity, one="PostCode")
    assert (answer.status, answer.document()) == (200, {"message": "Field tokenized successfully"})
    (record,) = desk.books.identities
    kind, shown, sealed = record.texts["post_code"].split(":")
    assert (kind, len(shown), shown[3]) == ("FPT", 6, " ")
    assert shown.replace(" ", "").isdigit()
    assert "222 21" not in sealed
    assert record.meta["tokenized_fields"] == {"PostCode": True}
    assert done(desk, identity) == {"tokenized_fields": ["PostCode"]}


def test_several_fields_are_tokenized_at_once(desk, identity):
    answer = tokenize(desk, identity, "FirstName", "emailAddress")
    assert answer.document() == {"message": "Fields tokenized successfully"}
    assert done(desk, identity) == {"tokenized_fields": ["FirstName", "EmailAddress"]}


def test_several_fields_stop_at_the_first_error_and_leave_the_earlier_done(desk, identity, error_code):
    tokenize(desk, identity, one="FirstName")
    answer = tokenize(desk, identity, "PostCode", "FirstName", "EmailAddress")
    assert (answer.status, error_code(answer)) == (409, "IDT_FIELD_ALREADY_TOKENIZED")
    assert done(desk, identity) == {"tokenized_fields": ["FirstName", "PostCode"]}


@pytest.mark.parametrize("name", ["first_name", "Nationality", "firstname"])
def test_only_some_names_can_be_tokenized(desk, identity, error_code, name):
    answer = tokenize(desk, identity, one=name)
    assert (answer.status, error_code(answer)) == (400, "IDT_FIELD_NOT_TOKENIZABLE")


def test_bad_lists_are_refused(desk, identity, error_code):
    assert error_code(tokenize(desk, identity)) == "GEN_VALIDATION_ERROR"
    for body in ({}, {"fields": "FirstName"}, {"fields": [1]}, b"{"):
        answer = desk.send("POST", f"/proxy/identities/{identity}/tokenize", body)
        assert (answer.status, error_code(answer)) == (400, "GEN_MALFORMED_REQUEST")


def test_an_unknown_identity_is_a_404_everywhere(desk, error_code):
    answers = [
        tokenize(desk, "idt_x", "FirstName"),
        tokenize(desk, "idt_x", one="FirstName"),
        desk.send("GET", "/proxy/identities/idt_x/tokenized-fields"),
    ]
    assert [(answer.status, error_code(answer)) for answer in answers] == [(404, "IDT_NOT_FOUND")] * 3


def test_an_instance_without_a_secret_answers_403(desk, identity, error_code):
    desk.instance.switch({"tokenization": False})
    answer = tokenize(desk, identity, "FirstName")
    assert (answer.status, error_code(answer)) == (403, "IDT_TOKENIZATION_DISABLED")


def test_replaced_metadata_loses_the_marks_and_plain_text_keeps_them(desk, identity):
    tokenize(desk, identity, "FirstName", "PostCode")
    desk.send("PUT", f"/proxy/identities/{identity}", {"post_code": "11122"})
    assert done(desk, identity) == {"tokenized_fields": ["FirstName", "PostCode"]}
    desk.send("PUT", f"/proxy/identities/{identity}", {"meta_data": {}})
    assert done(desk, identity) == {"tokenized_fields": []}
    desk.send("POST", f"/proxy/{identity}/metadata", {"meta_data": {"tokenized_fields": ["FirstName"]}})
    assert done(desk, identity)["debug_info"]["raw_metadata"] == {"tokenized_fields": ["FirstName"]}
