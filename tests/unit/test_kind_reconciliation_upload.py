"""reconciliation.upload: read here first, kept beside the intent, never sent twice (contract §2.12, §4)."""

from __future__ import annotations

import contextlib
import json

import pytest
from casebook import POLICY
from kindbook import AMBIGUOUS, QUIET_S, an_id, decided, judged, ok, progress, refusal, requested, sent

from blnk_relay import InvalidIntent, Settings, start_instant_reconciliation, upload_records
from blnk_relay.intake import Write, prepare
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup, Record
from blnk_relay.journal.packing import packed, unpacked
from blnk_relay.replay import ReplayWay, plan_replay

HEAD = "ID,Amount,Currency,Reference,Description,Date\n"
LINE = "{id},12.50,EUR,r,d,2026-11-20T09:15:31Z\n"
CSV = (HEAD + LINE.format(id="s-1") + LINE.format(id="s-2")).encode()
UPLOAD = upload_records("bank-x", CSV, name="statement.csv")
SEND = Send(memo={"first": "s-1"}, exclusive=UPLOAD.orders[0], seen=None, settled_s=POLICY.read_lag_s)
ID = an_id("upload")
FIRST = Record("external-transactions", {"id": "s-1", "upload_id": ID})


def counted(number):
    return Record("upload-sizes", {"upload_id": ID, "count": number})


def test_the_payload_identifies_the_file_and_does_not_hold_it():
    assert UPLOAD.file == CSV
    assert UPLOAD.natural_key == f"upload:{UPLOAD.payload['digest']}"
    assert {**UPLOAD.payload, "digest": ""} == {
        "source": "bank-x",
        "name": "statement.csv",
        "size": len(CSV),
        "digest": "",
        "first_id": "s-1",
        "records": 2,
    }
    json.dumps(UPLOAD.payload)
    assert "12.50" not in repr(UPLOAD)


def test_what_brings_one_record_is_sent_by_turns():
    corrected = upload_records("bank-x", CSV.replace(b"12.50", b"12.51"), name="corrected.csv")
    record = {"id": "s-1", "amount": 50.0, "date": "2026-11-20T10:00:00Z"}
    instant = start_instant_reconciliation([record], "one_to_one", [an_id("rule")])
    other = upload_records("bank-x", CSV.replace(b"s-1", b"s-3"), name="other.csv")
    assert {len({intent.orders for intent in some}) for some in ((UPLOAD, corrected, instant), (UPLOAD, other))} == {
        1,
        2,
    }
    (turn,) = UPLOAD.orders
    assert turn.startswith("turn:")
    assert "s-1" not in turn


def test_a_path_is_read_at_once(tmp_path):
    path = tmp_path / "nov.csv"
    path.write_bytes(CSV)
    intent = upload_records("bank-x", path)
    path.unlink()
    assert (intent.file, intent.payload["name"]) == (CSV, "nov.csv")
    with pytest.raises(FileNotFoundError):
        upload_records("bank-x", path)


def test_json_is_read_as_well():
    records = [
        {"id": "a", "amount": 1.5, "date": "2026-11-20T09:15:31+01:00"},
        {"id": "b", "amount": -2, "date": "2026-11-20T09:15:31.123456789Z"},
    ]
    assert upload_records("x", json.dumps(records).encode(), name="a.json").payload["records"] == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        HEAD.encode(),
        b"\xff\xfe",
        b"\xef\xbb\xbf" + CSV,
        b"ID,Amount,Date\ns-1,1,2026-11-20T09:15:31Z\n",
        CSV + b"s-2,1,EUR,r,d,2026-11-20T09:15:31Z\n",
        (HEAD + "s-1,12.50,EUR,r,d,2026-11-20\n").encode(),
        (HEAD + "s-1,12.50,EUR,r,d,2026-13-20T09:15:31Z\n").encode(),
        (HEAD + 's-1,"12,50",EUR,r,d,2026-11-20T09:15:31Z\n').encode(),
        (HEAD + "s-1,NaN,EUR,r,d,2026-11-20T09:15:31Z\n").encode(),
        (HEAD + "s-1,12.50,EUR,,d,2026-11-20T09:15:31Z\n").encode(),
        (HEAD + "s-1,12.50,EUR,r,d\n").encode(),
        (HEAD + " s-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n").encode(),
        (HEAD + LINE.format(id="s" * 256)).encode(),
        (HEAD + '"s-1,12.50').encode(),
    ],
)
def test_what_the_ledger_would_misread_or_keep_in_part_is_refused_without_quoting_it(content):
    with pytest.raises(InvalidIntent) as caught:
        upload_records("bank-x", content, name="a.csv")
    assert list(caught.value.errors) == ["file"]
    assert "12.50" not in str(caught.value)
    assert "12,50" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b"[1]", b"x", b'[{"id": "a", "amount": "1", "date": "2026-11-20T09:15:31Z"}]']
)
def test_other_json_is_refused(content):
    with pytest.raises(InvalidIntent):
        upload_records("x", content, name="a.json")


@pytest.mark.parametrize("name", [None, "", "a.xlsx", "../a.csv", 'a".csv', "a b.csv"])
def test_a_name_must_be_harmless_and_say_the_format(name):
    with pytest.raises(InvalidIntent) as caught:
        upload_records("bank-x", CSV, name=name)
    assert list(caught.value.errors) == ["name"]


def test_a_file_above_the_settings_limit_is_not_accepted():
    with pytest.raises(InvalidIntent, match="UPLOAD_MAX_BYTES"):
        prepare(Settings(upload_max_bytes=10), Write(intent=UPLOAD))
    assert prepare(Settings(), Write(intent=UPLOAD)).file


def test_another_file_under_the_same_key_has_another_fingerprint():
    other = upload_records("bank-x", CSV.replace(b"12.50", b"12.51"), name="statement.csv")
    prints = {prepare(Settings(), Write(intent=intent, key="k")).fingerprint for intent in (UPLOAD, other)}
    assert len(prints) == 2


@pytest.mark.parametrize("content", [b"", CSV, bytes(range(256)) * 40])
def test_a_file_survives_being_kept(content):
    assert unpacked(packed(content), len(content)) == content


@pytest.mark.parametrize("text", ["", "!!", packed(CSV)[:-9], packed(CSV * 2)])
def test_what_is_damaged_or_larger_is_not_taken_for_the_file(text):
    with contextlib.suppress(ValueError):
        assert unpacked(text, len(CSV)) != CSV


def test_the_route():
    request = requested(UPLOAD)
    assert (request.method, request.path, request.body) == ("POST", "/reconciliation/upload", {"source": "bank-x"})
    assert request.file == ("statement.csv", b"")


def test_the_first_record_is_looked_for_before_anything_is_sent():
    asked: list[Lookup] = []
    assert decided(UPLOAD, progress(), asked=asked) == SEND
    assert asked == [Lookup("external-transactions", "id", "s-1")]
    decision = decided(UPLOAD, progress(), FIRST)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.REFUSED, "UPLOADED_BEFORE")


@pytest.mark.parametrize(
    ("shown", "ago_s", "refuse", "expected"),
    [
        ((FIRST, counted(2)), 1, False, Done("uploaded", ID)),
        ((FIRST, counted(2)), QUIET_S, True, Done("uploaded", ID)),
        ((FIRST, counted(1)), 1, False, Look),
        ((FIRST, counted(1)), QUIET_S, False, DeadClass.PARTIAL),
        ((FIRST, counted(1)), QUIET_S, True, DeadClass.PARTIAL),
        ((), 1, False, Look),
        ((), 1, True, Look),
        ((), QUIET_S, False, SEND),
        ((), QUIET_S, True, DeadClass.REFUSED),
    ],
)
def test_after_an_ambiguous_answer_its_records_are_counted(shown, ago_s, refuse, expected):
    decision = decided(UPLOAD, sent(ago_s, refuse=refuse, code="RECON_UPLOAD_PROCESSING_FAILED"), *shown)
    if isinstance(expected, DeadClass):
        assert isinstance(decision, Dead)
        assert decision.dead_class is expected
    elif isinstance(expected, type):
        assert isinstance(decision, expected)
    else:
        assert decision == expected


def statement(*ids: str):
    return (HEAD + "".join(LINE.format(id=id_) for id_ in ids)).encode()


def test_a_file_is_looked_for_by_the_first_id_that_the_ledger_reads_back_as_itself():
    """From a query string it takes 0042 and 1e5 for numbers, and finds nothing."""
    upload = upload_records("bank-x", statement("0042", "1e5", "s-3", "s-4"), name="a.csv")
    assert (upload.payload["first_id"], upload.payload["sought_id"]) == ("0042", "s-3")
    asked: list[Lookup] = []
    send = decided(upload, progress(), asked=asked)
    assert asked == [Lookup("external-transactions", "id", "s-3")]
    # It waits for its turn with whatever brings either of the two.
    others = [upload_records("bank-x", statement(id_), name="a.csv") for id_ in ("0042", "s-3")]
    assert set(send.exclusive) == set(upload.orders) == {turn for other in others for turn in other.orders}
    third = Record("external-transactions", {"id": "s-3", "upload_id": ID})
    assert decided(upload, sent(1), third, counted(4)) == Done("uploaded", ID)
    assert decided(upload, sent(QUIET_S), third, counted(3)).dead_class is DeadClass.PARTIAL
    assert decided(upload, progress(), third).message == "The ledger has one of its records from another upload."
    # What was kept with an intent before stays as it was, for it is told from others by that.
    assert "sought_id" not in UPLOAD.payload
    assert "sought_id" not in others[0].payload


@pytest.mark.parametrize("ids", [("0042", "0043"), ("1e5",), ("0042", "s-2")])
def test_a_refusal_is_not_told_where_the_first_record_cannot_be_looked_for(ids):
    """It may be at the ledger: from a try before, or as one of those before the one that could not be stored."""
    upload = upload_records("bank-x", statement(*ids), name="a.csv")
    now = sent(QUIET_S, refuse=True, code="RECON_UPLOAD_PROCESSING_FAILED")
    decision = decided(upload, now)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "NOTHING_CAN_TELL")
    assert "refused (RECON_UPLOAD_PROCESSING_FAILED)" in decision.message
    assert isinstance(decided(upload, sent(QUIET_S)), Send)
    assert plan_replay("reconciliation.upload", "unknown", "NOTHING_CAN_TELL").way is ReplayWay.NO


def test_the_answer_that_counts_all_records_is_the_outcome():
    assert judged(UPLOAD, ok(200, upload_id=ID, record_count=2)).decision == Done("uploaded", ID)
    assert isinstance(judged(UPLOAD, ok(200, upload_id=ID, record_count=1)).decision, Look)


@pytest.mark.parametrize("response", AMBIGUOUS)
def test_an_answer_that_proves_nothing_is_looked_up(response):
    verdict = judged(UPLOAD, response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


def test_a_file_that_could_not_be_processed_is_looked_up_and_never_sent_again():
    verdict = judged(UPLOAD, refusal(500, "RECON_UPLOAD_PROCESSING_FAILED"))
    assert isinstance(verdict.decision, Look)
    assert verdict.decision.refuse
    assert verdict.acted


def test_a_file_that_is_too_large_is_refused():
    assert isinstance(judged(UPLOAD, refusal(413, "GEN_PAYLOAD_TOO_LARGE")).decision, Dead)
