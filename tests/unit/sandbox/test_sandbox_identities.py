from __future__ import annotations

from typing import Any

import pytest

OWN_ID = "idt_98fcd9f5-5708-4197-a44e-faae002e049f"
MARA = {
    "first_name": "Mara",
    "last_name": "Lindqvist",
    "email_address": "mara@example.org",
    "phone_number": "+46700000001",
    "nationality": "SE",
    "gender": "female",
    "dob": "1990-01-01T00:00:00Z",
    "street": "Storgatan 4",
    "city": "Lund",
    "state": "Skane",
    "post_code": "22221",
    "country": "SE",
    "category": "individual",
    "identity_type": "customer",
    "meta_data": {"wq": {"key": "job-1"}, "relay_key": "job-1"},
}


def create(desk, **changes: Any):
    return desk.send("POST", "/proxy/identities", MARA | changes)


def update(desk, identity_id, body):
    return desk.send("PUT", f"/proxy/identities/{identity_id}", body)


def stored(desk, identity_id):
    return desk.send("GET", f"/data/identities/{identity_id}").document()["data"]


def test_an_identity_comes_back_whole(desk):
    answer = create(desk)
    assert answer.status == 201
    body = answer.document()
    assert body["identity_id"].startswith("idt_")
    assert {name: body[name] for name in MARA} == MARA
    assert (body["organization_name"], body["other_names"]) == ("", "")
    assert stored(desk, body["identity_id"]) == body


def test_the_same_identity_twice_is_two_identities(desk):
    first, second = (create(desk).document() for _ in range(2))
    assert first["identity_id"] != second["identity_id"]
    assert len(desk.books.identities) == 2


def test_an_own_id_a_second_time_is_a_400_and_changes_nothing(desk, error_code):
    assert create(desk, identity_id=OWN_ID).document()["identity_id"] == OWN_ID
    answer = create(desk, identity_id=OWN_ID, first_name="Other")
    assert (answer.status, error_code(answer)) == (400, "IDT_VALIDATION_ERROR")
    assert answer.document()["error"] == f"Identity already exists: {OWN_ID}"
    assert answer.document()["error_detail"]["details"]["Code"] == "23505"
    (identity,) = desk.books.identities
    assert identity.texts["first_name"] == "Mara"


@pytest.mark.parametrize("identity_id", ["98fcd9f5-5708-4197-a44e-faae002e049f", "idt_x", "ldg_" + OWN_ID[4:]])
def test_an_own_id_must_look_like_one(desk, error_code, identity_id):
    answer = create(desk, identity_id=identity_id)
    assert (answer.status, error_code(answer)) == (400, "IDT_VALIDATION_ERROR")


@pytest.mark.parametrize("identity_id", [OWN_ID.replace("-", ""), "idt_" + OWN_ID[4:].upper()])
def test_other_spellings_of_an_id_are_other_ids(desk, identity_id):
    create(desk, identity_id=OWN_ID)
    assert create(desk, identity_id=identity_id).document()["identity_id"] == identity_id


@pytest.mark.parametrize("dob", ["1990-01-01", "", "1990-01-01T00:00:00", 1990])
def test_a_date_of_birth_is_a_date_time_with_offset(desk, error_code, dob):
    answer = create(desk, dob=dob)
    assert (answer.status, error_code(answer)) == (400, "GEN_MALFORMED_REQUEST")
    assert "error" in answer.document()


def test_a_switch_accepts_bare_dates(make_desk):
    desk = make_desk(dob_dates=True)
    assert create(desk, dob="1990-01-01").document()["dob"] == "1990-01-01T00:00:00Z"


def test_the_offset_of_a_date_of_birth_is_lost_and_the_day_stays(desk):
    body = create(desk, dob="1990-01-01T00:00:00+02:00").document()
    assert body["dob"] == "1990-01-01T00:00:00+02:00"
    assert stored(desk, body["identity_id"])["dob"] == "1990-01-01T00:00:00Z"


@pytest.mark.parametrize("body", [{}, b"null"])
def test_nothing_is_required(desk, body):
    answer = desk.send("POST", "/proxy/identities", body)
    assert answer.status == 201
    document = answer.document()
    assert (document["dob"], document["meta_data"]) == ("0001-01-01T00:00:00Z", None)


def test_an_update_ignores_what_is_empty_and_replaces_metadata(desk):
    identity_id = create(desk).document()["identity_id"]
    answer = update(desk, identity_id, {"city": "Malmo", "street": "", "dob": None, "meta_data": {"a": 1}})
    assert (answer.status, answer.document()) == (200, {"message": "Identity updated successfully"})
    now = stored(desk, identity_id)
    assert (now["city"], now["street"], now["dob"]) == ("Malmo", "Storgatan 4", MARA["dob"])
    assert now["meta_data"] == {"a": 1}
    assert update(desk, identity_id, {"meta_data": {}}).status == 200
    assert stored(desk, identity_id)["meta_data"] == {}


@pytest.mark.parametrize(
    ("identity_id", "body", "expected"),
    [
        (OWN_ID, {}, (400, "GEN_BAD_REQUEST")),
        (OWN_ID, {"city": ""}, (400, "GEN_BAD_REQUEST")),
        (OWN_ID, {"dob": "1990"}, (400, "GEN_MALFORMED_REQUEST")),
        ("idt_unknown", {"city": "Lund"}, (404, "IDT_NOT_FOUND")),
    ],
)
def test_a_bad_update_is_refused(desk, error_code, identity_id, body, expected):
    create(desk, identity_id=OWN_ID)
    answer = update(desk, identity_id, body)
    assert (answer.status, error_code(answer)) == expected


def test_a_balance_is_linked_to_an_identity(desk, error_code):
    create(desk, identity_id=OWN_ID)
    balance_id = desk.instance.create_balance("EUR")
    path = f"/proxy/balances/{balance_id}/identity"
    answer = desk.send("PUT", path, {"identity_id": OWN_ID})
    assert (answer.status, answer.document()) == (200, {"message": "Balance identity updated successfully"})
    assert desk.books.balance_of(balance_id).identity_id == OWN_ID
    unknown_identity = desk.send("PUT", path, {"identity_id": "idt_x"})
    unknown_balance = desk.send("PUT", "/proxy/balances/bln_x/identity", {"identity_id": OWN_ID})
    for unknown, name in ((unknown_identity, "Identity"), (unknown_balance, "Balance")):
        assert (unknown.status, error_code(unknown)) == (404, "BAL_NOT_FOUND")
        assert unknown.document()["error"].startswith(f"{name} with ID")
    assert error_code(desk.send("PUT", path, {})) == "GEN_MALFORMED_REQUEST"


def test_a_balance_belongs_to_an_identity_that_exists(desk):
    create(desk, identity_id=OWN_ID)
    body = {"ledger_id": "general_ledger_id", "currency": "EUR", "identity_id": OWN_ID, "track_fund_lineage": True}
    answer = desk.send("POST", "/proxy/balances", body | {"allocation_strategy": " lifo "}).document()
    assert (answer["identity_id"], answer["track_fund_lineage"]) == (OWN_ID, True)
    assert answer["allocation_strategy"] == "LIFO"
    found = desk.send("GET", f"/data/balances?identity_id_eq={OWN_ID}").document()
    assert [row["balance_id"] for row in found["data"]] == [answer["balance_id"]]


def test_an_identitys_metadata_answer_is_the_merged_object(desk):
    identity_id = create(desk).document()["identity_id"]
    answer = desk.send("POST", f"/proxy/{identity_id}/metadata", {"meta_data": {"wq": {"other": 1}}})
    assert answer.document() == {"meta_data": {"wq": {"other": 1}, "relay_key": "job-1"}}


def test_records_are_found_by_a_key_in_their_metadata(desk):
    identity_id = create(desk).document()["identity_id"]
    create(desk, meta_data={"wq": {"key": "job-2"}, "relay_key": "job-2"})
    meta = {"meta_data": {"relay_key": "job-1"}}
    ledger_id = desk.send("POST", "/proxy/ledgers", {"name": "x"} | meta).document()["ledger_id"]
    balance = {"ledger_id": ledger_id, "currency": "EUR"} | meta
    balance_id = desk.send("POST", "/proxy/balances", balance).document()["balance_id"]
    filters = [{"field": "meta_data.relay_key", "operator": "eq", "value": "job-1"}]
    for path, column, expected in (
        ("identities", "identity_id", identity_id),
        ("ledger", "ledger_id", ledger_id),
        ("balances", "balance_id", balance_id),
    ):
        found = desk.send("POST", f"/{path}/filter", {"filters": filters}).document()
        assert ([row[column] for row in found["data"]], found["total"]) == ([expected], 1)
    listed = desk.send("GET", "/data/identities?meta_data.wq.key_eq=job-1").document()
    assert [row["identity_id"] for row in listed["data"]] == [identity_id]


def test_an_identity_becomes_visible_after_the_read_lag(make_desk):
    desk = make_desk(read_lag_s=5)
    identity_id = create(desk).document()["identity_id"]
    assert desk.send("GET", f"/data/identities/{identity_id}").status == 404
    assert desk.send("GET", f"/proxy/identities/{identity_id}").status == 200
    assert desk.send("GET", "/proxy/identities/idt_x").status == 404
    desk.step(5)
    assert stored(desk, identity_id)["identity_id"] == identity_id


def test_a_late_reader_sees_what_was_before_a_change(make_desk):
    desk = make_desk(read_lag_s=5)
    create(desk, identity_id=OWN_ID)
    balance_id = desk.instance.create_balance("EUR")
    row_id = desk.applied("pay-1", skip_queue=True)
    desk.step(10)
    update(desk, OWN_ID, {"city": "Malmo"})
    desk.send("POST", f"/proxy/{OWN_ID}/metadata", {"meta_data": {"note": 1}})
    desk.send("PUT", f"/proxy/balances/{balance_id}/identity", {"identity_id": OWN_ID})
    desk.send("POST", f"/proxy/{row_id}/metadata", {"meta_data": {"note": 1}})

    def seen() -> tuple[Any, ...]:
        identity = stored(desk, OWN_ID)
        balance = desk.send("GET", f"/data/balances/{balance_id}").document()["data"]
        row = desk.send("GET", f"/data/transactions/{row_id}").document()["data"]
        noted = desk.send("GET", "/data/identities?meta_data.note_eq=1").document()["total"]
        return identity["city"], balance["identity_id"], row["meta_data"].get("note"), noted

    assert seen() == ("Lund", None, None, 0)
    # Core itself is never late.
    assert desk.core("GET", f"/identities/{OWN_ID}").document()["city"] == "Malmo"
    desk.step(5)
    assert seen() == ("Malmo", OWN_ID, 1, 1)
