from __future__ import annotations

from typing import Any

import pytest

from blnk_relay.sandbox import Faults, Rule

HEADER = "ID,Amount,Currency,Reference,Description,Date"
LINES = (
    "stmt-1,100,EUR,pay-1,Wallet top-up,2026-01-01T00:00:00Z",
    "stmt-2,50.5,EUR,pay-unknown,Fee,2026-01-01T00:00:00Z",
)
STATEMENT = "\n".join((HEADER, *LINES))
RULE = {
    "name": "amount+reference",
    "criteria": [
        {"field": "amount", "operator": "equals", "allowable_drift": 0},
        {"field": "reference", "operator": "equals"},
    ],
}


def upload(desk, content=STATEMENT, name="statement.csv", boundary="b1"):
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="source"\r\n\r\nbank-x\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: text/csv\r\n\r\n{content}\r\n--{boundary}--\r\n"
    ).encode()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return desk.send("POST", "/proxy/reconciliation/upload", body, **headers)


def new_rule(desk, **changes: Any):
    return desk.send("POST", "/proxy/reconciliation/matching-rules", RULE | changes)


def start(desk, **changes: Any):
    body = {"upload_id": "upload_x", "strategy": "one_to_one", "matching_rule_ids": ["rule_x"]} | changes
    return desk.send("POST", "/proxy/reconciliation/start", body)


def run(desk, recon_id):
    return desk.send("GET", f"/proxy/reconciliation/{recon_id}").document()


def listed(desk, resource, query=""):
    return desk.send("GET", f"/data/{resource}{query}").document()["data"]


def test_a_file_is_uploaded_once_and_the_repeat_fails(desk, error_code):
    answer = upload(desk)
    body = answer.document()
    assert (answer.status, body["record_count"], body["source"]) == (200, 2, "bank-x")
    again = upload(desk, boundary="b2")
    assert (again.status, error_code(again)) == (500, "RECON_UPLOAD_PROCESSING_FAILED")
    (found,) = listed(desk, "external-transactions", "?id_eq=stmt-1")
    assert (found["upload_id"], found["amount"], found["reference"]) == (body["upload_id"], 100, "pay-1")
    assert len(listed(desk, "external-transactions", f"?upload_id_eq={body['upload_id']}")) == 2
    assert [one.complete for one in desk.books.uploads] == [True, False]
    # Both attempts are one request to a plan of faults, in spite of their boundaries.
    assert len({line.identity for line in desk.instance.edge.log if line.method == "POST"}) == 1


def test_records_before_a_failing_one_stay(desk):
    upload(desk, "\n".join((HEADER, LINES[1])))
    assert upload(desk, "\n".join((HEADER, LINES[0], LINES[1], LINES[0].replace("-1", "-3", 1)))).status == 500
    assert [record.id for record in desk.books.external_records] == ["stmt-2", "stmt-1"]


def test_a_json_file_works_too_and_a_content_without_extension_is_guessed(desk):
    json_file = '[{"id": "stmt-9", "amount": 1.5, "date": "2026-01-01T00:00:00Z"}]'
    assert upload(desk, json_file, "statement.json").document()["record_count"] == 1
    assert upload(desk, name="statement").document()["record_count"] == 2


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("ID,Amount", "x.csv"),
        ("", "x.csv"),
        (f"{HEADER}\nstmt-1,1,EUR,,x,2026-01-01T00:00:00Z", "x.csv"),
        (f"{HEADER}\nstmt-1,1", "x.csv"),
        ("{}", "x.json"),
        ("[", "x.json"),
        ("[7]", "x.json"),
        ('[{"id": 7}]', "x.json"),
        ('[{"id": "x", "date": "2026"}]', "x.json"),
        ("x", "x.pdf"),
    ],
)
def test_a_file_that_cannot_be_read_fails(desk, error_code, content, name):
    answer = upload(desk, content, name)
    assert (answer.status, error_code(answer)) == (500, "RECON_UPLOAD_PROCESSING_FAILED")


def test_malformed_amounts_and_dates_silently_become_nothing(desk):
    upload(desk, f"{HEADER}\nstmt-1,abc,EUR,r,d,yesterday")
    (record,) = listed(desk, "external-transactions")
    assert (record["amount"], record["date"]) == (0, "0001-01-01T00:00:00Z")


def test_uploads_without_a_file_are_refused(desk, error_code):
    cases = [
        ({}, "RECON_UPLOAD_FAILED"),
        (b"{", "RECON_UPLOAD_FAILED"),
        ({"url": "ftp://x"}, "RECON_UPLOAD_URL_INVALID"),
        ({"url": "https://example.org/x.csv"}, "RECON_UPLOAD_HOST_NOT_ALLOWED"),
    ]
    for body, expected in cases:
        answer = desk.send("POST", "/proxy/reconciliation/upload", body, **{"content-type": "application/json"})
        assert (answer.status, error_code(answer)) == (400, expected)
    desk.instance.switch({"max_upload_bytes": 10})
    too_large = upload(desk)
    assert (too_large.status, error_code(too_large)) == (413, "GEN_PAYLOAD_TOO_LARGE")


def test_a_run_finishes_later_and_marks_what_it_matched(make_desk):
    desk = make_desk(reconciliation_s=60)
    desk.applied("pay-1", skip_queue=True)
    upload_id = upload(desk).document()["upload_id"]
    rule_id = new_rule(desk).document()["rule_id"]
    answer = start(desk, upload_id=upload_id, matching_rule_ids=[rule_id])
    recon_id = answer.document()["reconciliation_id"]
    assert (answer.status, run(desk, recon_id)["status"]) == (200, "started")
    desk.step(30)
    assert run(desk, recon_id)["status"] == "in_progress"
    desk.step(30)
    done = run(desk, recon_id)
    assert (done["status"], done["matched_transactions"], done["unmatched_transactions"]) == ("completed", 1, 1)
    assert (done["is_dry_run"], done["upload_id"]) == (False, upload_id)
    meta = desk.books.row("pay-1").meta
    assert (meta["reconciled"], meta["external_txn_id"]) == (True, "stmt-1")
    assert desk.books.runs[0].matched == (("stmt-1", desk.books.row("pay-1").transaction_id),)
    found = listed(desk, "reconciliations", f"?upload_id_eq={upload_id}")
    assert [one["reconciliation_id"] for one in found] == [recon_id]
    assert desk.send("POST", "/reconciliation/filter", {"filters": []}).document()["total"] == 1


def test_each_start_is_another_run_and_a_dry_one_marks_nothing(desk):
    desk.applied("pay-1", skip_queue=True)
    upload_id = upload(desk).document()["upload_id"]
    rule_id = new_rule(desk).document()["rule_id"]
    ids = {
        start(desk, upload_id=upload_id, matching_rule_ids=[rule_id], dry_run=True).document()["reconciliation_id"]
        for _ in range(2)
    }
    desk.step()
    assert {run(desk, recon_id)["matched_transactions"] for recon_id in ids} == {1}
    assert len(ids) == 2
    assert "reconciled" not in desk.books.row("pay-1").meta


def test_unknown_rules_uploads_and_strategies_are_noticed_later_or_never(desk):
    rule_id = new_rule(desk).document()["rule_id"]
    failed = start(desk).document()["reconciliation_id"]
    empty = start(desk, matching_rule_ids=[rule_id]).document()["reconciliation_id"]
    strange = start(desk, strategy="none", matching_rule_ids=[rule_id]).document()["reconciliation_id"]
    grouped = start(desk, strategy="one_to_many", matching_rule_ids=[rule_id]).document()["reconciliation_id"]
    desk.step()
    ends = [run(desk, recon_id)["status"] for recon_id in (failed, empty, strange, grouped)]
    assert ends == ["failed", "completed", "completed", "failed"]
    assert run(desk, strange)["matched_transactions"] == 0


@pytest.mark.parametrize(("strategy", "amount"), [("one_to_many", 200), ("many_to_one", 50)])
def test_groups_are_matched_by_their_sums(desk, strategy, amount):
    for number in (1, 2):
        desk.applied(f"pay-{number}", skip_queue=True)
    lines = [f"stmt-{number},{amount},EUR,r,d,2026-01-01T00:00:00Z" for number in range(1 if amount > 100 else 2)]
    upload_id = upload(desk, "\n".join((HEADER, *lines))).document()["upload_id"]
    rule_id = new_rule(desk, criteria=[{"field": "amount", "operator": "equals"}]).document()["rule_id"]
    arguments = {"upload_id": upload_id, "matching_rule_ids": [rule_id], "grouping_criteria": "currency"}
    recon_id = start(desk, strategy=strategy, **arguments).document()["reconciliation_id"]
    desk.step()
    assert run(desk, recon_id)["matched_transactions"] == (1 if strategy == "one_to_many" else 2)


def test_a_stop_leaves_a_run_hanging(desk):
    recon_id = start(desk).document()["reconciliation_id"]
    desk.instance.core.crash()
    desk.step(3600)
    assert run(desk, recon_id)["status"] == "started"


def instant(desk, *ids: str, **changes: Any):
    records = [{"id": name, "amount": 100, "reference": "pay-1", "currency": "EUR"} for name in ids]
    rules = {"strategy": "one_to_one", "matching_rule_ids": [new_rule(desk).document()["rule_id"]]}
    body = {"external_transactions": records} | rules | changes
    return desk.send("POST", "/proxy/reconciliation/start-instant", body)


def test_an_instant_run_brings_its_records_and_the_repeat_leaves_a_failed_one(desk, error_code):
    desk.applied("pay-1", skip_queue=True)
    recon_id = instant(desk, "stmt-1").document()["reconciliation_id"]
    desk.step()
    assert (run(desk, recon_id)["matched_transactions"], run(desk, recon_id)["status"]) == (1, "completed")
    assert listed(desk, "external-transactions")[0]["upload_id"].startswith("instant_")
    again = instant(desk, "stmt-1")
    assert (again.status, error_code(again)) == (500, "RECON_START_FAILED")
    assert sorted(one.status for one in desk.books.runs) == ["completed", "failed"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"external_transactions": []}, "RECON_EXTERNAL_TXNS_REQUIRED"),
        ({"external_transactions": None}, "GEN_MALFORMED_REQUEST"),
        ({"external_transactions": [7]}, "GEN_MALFORMED_REQUEST"),
        ({"external_transactions": [{"date": "2026-01-01"}]}, "GEN_MALFORMED_REQUEST"),
        ({"external_transactions": [{}] * 10_001}, "GEN_VALIDATION_ERROR"),
        ({"matching_rule_ids": []}, "RECON_MATCHING_RULES_REQUIRED"),
        ({"strategy": ""}, "GEN_MALFORMED_REQUEST"),
    ],
)
def test_bad_instant_runs_are_refused(desk, error_code, changes, expected):
    answer = instant(desk, "stmt-1", **changes)
    assert (answer.status, error_code(answer)) == (400, expected)
    assert desk.books.runs == ()


@pytest.mark.parametrize("changes", [{"upload_id": ""}, {"matching_rule_ids": None}, {"matching_rule_ids": [7]}])
def test_bad_starts_are_refused(desk, error_code, changes):
    assert error_code(start(desk, **changes)) == "GEN_MALFORMED_REQUEST"


def test_rules_are_created_replaced_and_deleted(desk, error_code):
    first, second = (new_rule(desk) for _ in range(2))
    assert first.status == 201
    rule = first.document()
    assert rule["rule_id"] != second.document()["rule_id"]
    assert rule["criteria"][1] == {
        "field": "reference",
        "operator": "equals",
        "value": "",
        "pattern": "",
        "allowable_drift": 0,
    }
    path = f"/proxy/reconciliation/matching-rules/{rule['rule_id']}"
    desk.step()
    changed = desk.send("PUT", path, RULE | {"name": "other"}).document()
    assert (changed["name"], changed["created_at"]) == ("other", rule["created_at"])
    assert changed["updated_at"] != rule["updated_at"]
    assert [one["name"] for one in listed(desk, "matching-rules", "?name_eq=other")] == ["other"]
    assert desk.send("DELETE", path).document() == {"message": "Matching rule deleted successfully"}
    for gone in (desk.send("DELETE", path), desk.send("PUT", path, RULE)):
        assert (gone.status, error_code(gone)) == (404, "RECON_RULE_NOT_FOUND")
    assert len(desk.books.rules) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"criteria": []},
        {"criteria": [{"field": "amount"}]},
        {"criteria": [{"field": "amount", "operator": "like"}]},
        {"criteria": [{"field": "colour", "operator": "equals"}]},
        {"criteria": [{"field": "amount", "operator": "equals", "allowable_drift": 2}]},
        {"criteria": [{"field": "date", "operator": "equals", "allowable_drift": -1}]},
    ],
)
def test_bad_rules_are_refused(desk, error_code, changes):
    answer = new_rule(desk, **changes)
    assert (answer.status, error_code(answer)) == (400, "RECON_RULE_INVALID")
    assert error_code(new_rule(desk, criteria=7)) == "GEN_MALFORMED_REQUEST"


def test_an_unknown_run_is_a_404_and_filters_can_be_refused(desk, error_code):
    answer = desk.send("GET", "/proxy/reconciliation/recon_x")
    assert (answer.status, error_code(answer)) == (404, "RECON_NOT_FOUND")
    desk.instance.switch({"reconciliation_filters": False})
    assert desk.send("GET", "/data/external-transactions?id_eq=x").status == 400
    assert desk.send("GET", "/data/external-transactions").status == 200


def test_an_upload_whose_answer_is_lost_has_happened(make_desk):
    desk = make_desk(Faults.script([Rule("502_with_effect", path="/proxy/reconciliation/upload")]))
    assert upload(desk).status == 502
    assert upload(desk).status == 500
    assert len(desk.books.external_records) == 2
