"""What an attempt, a look and a lapsed lease leave in the journal, and how it is read back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from casebook import DAY, NOW_MS, POLICY, SECOND, entry_of, payment, progress, sent, txn

from blnk_relay import commit_hold, refund
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Failure, Response
from blnk_relay.journal.claimed import FIELDS, Claimed, claimed_of, progress_of
from blnk_relay.journal.entries import new_entry
from blnk_relay.journal.settlement import Settlement
from blnk_relay.kinds.registry import KINDS
from tasks.settlements import Fault, Sent, Unread, after_attempt, after_fault, after_look, given_back, in_words

BODY = {"status": "QUEUED", "transaction_id": txn(1)}
LATENCY_MS = 250

#: What an attempt takes, with what comes before the request leaves.
ALL_MS = 12_000


def attempted(response, now=None, intent=None):
    """The settlement of one attempt, sent now."""
    entry = entry_of(intent or payment(), "order_42")
    now, kind = now or progress(), KINDS[entry.kind]
    verdict = kind.judge(entry, now, kind.request(entry, now, POLICY), response, POLICY)
    sent_ = Sent(NOW_MS, NOW_MS + ALL_MS, response, verdict, "req-1", "worker-1")
    return after_attempt(Claimed(entry, now, "7"), sent_)


def answered(status, code="", body=None, **changes: Any):
    return Response(status=status, code=code, body=body, latency_ms=LATENCY_MS, **changes)


# -- attempts ------------------------------------------------------------------------------------------------------


def test_an_accepted_attempt_is_recorded_as_sent_and_looked_at():
    settlement = attempted(answered(201, body=BODY))
    assert (settlement.origin, settlement.to, settlement.in_ms) == ("sending", "posted", 300)
    assert settlement.fields == {
        "attempts": "1",
        "worker": "worker-1",
        "sent": "1",
        "sends": "1",
        "sent_first": str(NOW_MS),
        "sent_last": str(NOW_MS + ALL_MS),
        "accepted": "1",
        "refuse": "0",
    }


def test_an_ambiguous_attempt_is_recorded_as_sent_but_not_as_accepted():
    fields = attempted(Response(failure=Failure.BROKEN, code="ReadTimeout", latency_ms=LATENCY_MS)).fields
    assert (fields["sent"], fields["accepted"], fields["sends"]) == ("1", "0", "0")
    assert (fields["attempts"], fields["code"]) == ("1", "ReadTimeout")


def test_a_send_does_not_bring_forward_the_silence_after_a_lease_that_lapsed_and_has_not_ended():
    """Whoever held it may wake and send until then: of a bulk, another item was sent meanwhile."""
    until_ms = NOW_MS + 20 * SECOND
    fields = attempted(answered(500), replace(sent(), last_sent_ms=until_ms)).fields
    assert fields["sent_last"] == str(until_ms)


def test_the_first_send_is_remembered_and_the_last_one_moves():
    fields = attempted(answered(500), sent(60 * SECOND)).fields
    assert (fields["sent_first"], fields["sent_last"]) == (str(NOW_MS - 60 * SECOND), str(NOW_MS + ALL_MS))


@pytest.mark.parametrize(
    "response",
    [
        Response(failure=Failure.NOT_SENT, code="ConnectTimeout"),
        answered(423),
        answered(429),
        answered(401),
        answered(409, "TXN_DUPLICATE_REFERENCE"),
        answered(400, "GEN_MALFORMED_REQUEST"),
    ],
)
def test_an_attempt_without_effect_never_says_sent_and_never_takes_it_back(response):
    assert not {"sent", "sends", "sent_first", "sent_last", "accepted"} & set(attempted(response).fields)
    assert not {"sent", "sends", "sent_first", "sent_last", "accepted"} & set(attempted(response, sent()).fields)


@pytest.mark.parametrize(
    ("response", "attempts"),
    [
        (answered(201, body=BODY), "4"),
        (answered(500), "4"),
        (answered(423), "4"),
        (Response(failure=Failure.BROKEN), "4"),
        (Response(failure=Failure.NOT_SENT), "3"),
        (answered(401), "3"),
        (answered(403), "3"),
        (answered(404), "3"),
        (answered(429), "3"),
        (answered(503), "3"),
        (answered(503, "QUEUE_BACKPRESSURE"), "3"),
    ],
)
def test_only_what_says_something_about_the_intent_counts_as_an_attempt(response, attempts):
    assert attempted(response, progress(attempts=3)).fields["attempts"] == attempts


@pytest.mark.parametrize(
    ("response", "to", "refuse"),
    [
        (answered(423), "ready", None),
        (answered(500), "posted", "0"),
        (answered(400, "TXN_INSUFFICIENT_FUNDS"), "posted", "1"),
        (answered(400, "GEN_MALFORMED_REQUEST", message="Invalid input"), "dead", None),
    ],
)
def test_where_an_attempt_leads(response, to, refuse):
    settlement = attempted(response)
    assert (settlement.to, settlement.fields.get("refuse")) == (to, refuse)


def test_a_dead_letter_says_class_code_and_message_and_nothing_too_long():
    fields = attempted(answered(413, "GEN_PAYLOAD_TOO_LARGE", message="x" * 5000)).fields
    assert (fields["class"], fields["code"], len(fields["message"])) == ("refused", "GEN_PAYLOAD_TOO_LARGE", 300)


def test_the_log_names_the_request_and_never_the_payload():
    line = json.loads(attempted(answered(502)).log)
    assert line == {
        "at": NOW_MS,
        "what": "sent",
        "status": 502,
        "code": "",
        "ms": LATENCY_MS,
        "by": "worker-1",
        "note": "look in 0.3 s",
        "request": "req-1",
    }
    assert json.loads(attempted(Response(failure=Failure.NOT_SENT)).log)["what"] == "not_sent"
    assert json.loads(attempted(Response(failure=Failure.BROKEN)).log)["what"] == "sent"


def test_counters_tell_attempts_by_status_and_retries():
    assert attempted(answered(502)).tally == ("attempt|502",)
    assert attempted(answered(502), sent()).tally == ("attempt|502", "retried")
    assert attempted(answered(502), sent(attempts=0)).tally == ("attempt|502", "retried")
    assert attempted(Response(failure=Failure.NOT_SENT)).tally == ("attempt|not_sent",)


# -- looks ---------------------------------------------------------------------------------------------------------


def looked(decision, now=None, origin="posted"):
    return after_look(Claimed(entry_of(payment()), now or sent(), "7"), origin, decision, NOW_MS, "worker-1")


def test_what_is_to_be_sent_again_goes_back_to_its_lane_at_once():
    settlement = looked(Send(memo={"probe": True}))
    assert (settlement.to, settlement.in_ms, settlement.fields) == ("ready", 0, {"refuse": "0"})


def test_an_outcome_is_kept_with_its_real_ids():
    settlement = looked(Done("applied", txn(2), txn(1)))
    assert (settlement.to, settlement.fields) == ("done", {"outcome": "applied", "txn": txn(2), "parent": txn(1)})
    assert looked(Done("accepted")).fields == {"outcome": "accepted"}


def test_looking_again_keeps_what_is_known():
    assert looked(Look(1.5)).fields == {"refuse": "0"}
    assert looked(Look(1.5, refuse=True)).fields == {"refuse": "1"}
    assert looked(Look(1.5)).in_ms == 1500
    assert looked(Look(1.5)).log == ""


def test_waiting_for_a_row_to_appear_is_no_attempt():
    settlement = looked(Again(2.0, counted=False), progress(), "sending")
    assert (settlement.origin, settlement.to, settlement.in_ms, settlement.fields) == ("sending", "ready", 2000, {})


def test_what_was_looked_up_is_counted_and_logged_once_it_is_decided():
    assert looked(Done("applied", txn(2))).tally == ("looked_up",)
    assert looked(Send()).tally == ("looked_up", "sent_again")
    assert looked(Done("applied", txn(2)), sent(accepted=True)).tally == ()
    assert json.loads(looked(Done("applied", txn(2))).log)["note"] == "applied"


@pytest.mark.parametrize(("age_s", "in_ms"), [(0, 300), (10, 6_000), (3600, 60_000)])
def test_what_is_given_back_is_untouched_and_waits_longer_each_time_and_is_seen(age_s, in_ms):
    claimed = Claimed(entry_of(payment()), progress(since_ms=NOW_MS - age_s * SECOND), "7")
    settlement = given_back(claimed, "Too little was left", POLICY, NOW_MS, "worker-1")
    assert (settlement.origin, settlement.to, settlement.in_ms) == ("sending", "ready", in_ms)
    assert (settlement.fields, settlement.tally) == ({}, ("given_back",))
    line = json.loads(settlement.log)
    assert (line["what"], line["by"]) == ("given_back", "worker-1")
    assert line["note"] == f"Too little was left; again in {in_ms / 1000:.1f} s"


def test_a_read_that_failed_stands_in_the_history_of_who_needed_it():
    answer = Response(status=500, code="GEN_INTERNAL")
    claimed = Claimed(entry_of(payment()), sent(), "7")
    settlement = after_look(claimed, "posted", Look(1.5), NOW_MS, "worker-1", unread=Unread("matching-rules", answer))
    line = json.loads(settlement.log)
    assert (line["what"], line["status"], line["code"]) == ("looked", 500, "GEN_INTERNAL")
    assert line["note"] == "matching-rules could not be read; look in 1.5 s"
    assert settlement.tally == ("unread|matching-rules",)


# -- intents whose own code fails ----------------------------------------------------------------------------------


def failed(now=None, faults=0, most=3):
    claimed = Claimed(entry_of(payment()), now or progress(), "7", faults=faults)
    return after_fault(claimed, Fault("KeyError", "kind.py:7"), POLICY, NOW_MS, "worker-1", most=most)


def test_an_intent_whose_own_code_fails_is_tried_a_few_times_and_then_left_to_a_human():
    first, last = failed(), failed(faults=2)
    assert (first.origin, first.to, first.fields) == ("sending", "ready", {"faults": "1"})
    assert first.in_ms > 0
    assert (last.to, last.fields["class"], last.fields["code"]) == ("dead", "refused", "CANNOT_BE_HANDLED")
    assert last.fields["message"] == (
        "The worker's own code failed 3 times (KeyError at kind.py:7). It was never sent."
    )
    assert json.loads(first.log)["note"] == "KeyError at kind.py:7; again in 0.6 s"


def test_what_may_have_been_sent_is_never_called_refused_for_a_fault_of_ours():
    assert failed(sent(looking=False), faults=2).fields["class"] == "unknown"
    # In moments that the journal has lost it may have been, also where the ledger would recognise a repeat.
    lost = failed(progress(lost_ms=NOW_MS), faults=2)
    assert (lost.fields["class"], "It may have been sent before." in lost.fields["message"]) == ("unknown", True)
    assert failed(progress(lost_ms=NOW_MS, again=True), faults=2).fields["class"] == "refused"
    posted = failed(sent(refuse=True))
    assert (posted.origin, posted.to, posted.fields["refuse"]) == ("posted", "posted", "1")


def test_the_words_of_an_exception_stay_out_of_the_journal_because_they_may_quote_the_payload():
    with pytest.raises(ValueError, match="Alice") as raised:
        int("the account of Alice")
    assert re.fullmatch(r"ValueError at test_settlements\.py:\d+", str(Fault.of(raised.value)))


@pytest.mark.parametrize("fields", [{"txn": 7}, {"memo": None}, {"message": b"x"}])
def test_what_the_journal_cannot_keep_fails_before_it_is_sent_there(fields):
    claimed = Claimed(entry_of(payment()), progress(), "7")
    with pytest.raises(TypeError):
        Settlement(claimed, "sending", "done", 0, fields).encoded()


def test_half_a_surrogate_pair_of_an_answer_is_no_trouble():
    claimed = Claimed(entry_of(payment()), progress(), "7")
    text = Settlement(claimed, "sending", "dead", 0, {"message": "ü \ud83d"}).encoded()
    assert json.loads(text.encode())["set"]["message"] == "ü ?"


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (Done("held"), "held"),
        (Dead(DeadClass.UNKNOWN, "VANISHED", "x"), "dead: unknown VANISHED"),
        (Look(1.25), "look in 1.2 s"),
        (Again(60), "again in 60.0 s"),
        (Send(), "send again"),
    ],
)
def test_decisions_in_words(decision, words):
    assert in_words(decision) == words


def test_a_settlement_is_fenced_by_its_token():
    data = json.loads(attempted(answered(201, body=BODY)).encoded())
    assert (data["token"], data["from"], data["to"], data["id"]) == ("7", "sending", "posted", entry_of(payment()).id)


# -- reading back --------------------------------------------------------------------------------------------------


def hash_(**changes: Any):
    fields = {"state": "ready", "since": str(NOW_MS - SECOND), "deadline": str(NOW_MS + DAY), "token": "3"}
    return fields | {name: str(value) for name, value in changes.items()}


def test_what_was_written_is_read_back():
    settlement = attempted(answered(201, body=BODY))
    read = progress_of(
        "transaction", hash_() | {"state": settlement.to} | dict(settlement.fields), NOW_MS + ALL_MS + 750
    )
    assert (read.sent, read.accepted, read.refuse, read.attempts, read.sends) == (True, True, False, 1, 1)
    assert (read.first_sent_ms, read.last_sent_ms, read.looking) == (NOW_MS, NOW_MS + ALL_MS, True)
    assert read.quiet_for_s == 0.75
    assert 0 <= read.draw < 1


def test_a_lease_that_lapsed_by_a_clock_that_was_set_right_may_last_as_long_as_any_from_then_on():
    """A clock that had stepped back gave it an end that was over by the time of the journal as soon as it began."""
    given = hash_(lapsed=1, state="posted", sent_last=NOW_MS - 20_000)
    solid_ms, lease_ms = NOW_MS - 3_000, 30_000
    read = progress_of("transaction", given, NOW_MS, solid_ms, lease_ms)
    assert (read.sent, read.last_sent_ms, read.quiet_for_s) == (True, solid_ms + lease_ms, 0)
    later = progress_of("transaction", given, solid_ms + lease_ms + 2_000, solid_ms, lease_ms)
    assert later.quiet_for_s == 2
    # What ended afterwards, and what was answered, has its own time.
    since = progress_of("transaction", given | {"sent_last": str(NOW_MS - 1_000)}, NOW_MS, solid_ms, lease_ms)
    assert since.last_sent_ms == NOW_MS - 1_000
    answered_ = progress_of("transaction", hash_(sent=1, sent_last=NOW_MS - 20_000), NOW_MS, solid_ms, lease_ms)
    assert (answered_.last_sent_ms, answered_.quiet_for_s) == (NOW_MS - 20_000, 3)


def test_a_lapsed_lease_counts_as_sent_and_is_quiet_from_its_end():
    read = progress_of("transaction", hash_(lapsed=1, state="posted", sent_last=NOW_MS + 20_000), NOW_MS)
    assert (read.sent, read.accepted, read.looking) == (True, False, True)
    assert read.quiet_for_s == 0


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.records])
def test_a_lapsed_lease_without_a_record_was_never_sent_where_every_send_is_recorded(kind):
    assert not progress_of(kind, hash_(lapsed=1, state="posted"), NOW_MS).sent
    assert not progress_of(kind, hash_(lapsed=1, memo="{}"), NOW_MS).sent
    assert progress_of(kind, hash_(lapsed=1, memo=json.dumps({"row": txn(2)})), NOW_MS).sent


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.records and not kind.keyed])
def test_what_was_sent_and_whose_record_is_gone_was_recorded_in_moments_that_are_lost(kind):
    given = hash_(sent=1, accepted=1, state="posted", sent_last=NOW_MS - SECOND)
    read = progress_of(kind, given, NOW_MS)
    assert (read.sent, read.forgotten, read.lost_ms) == (True, True, NOW_MS - SECOND)
    assert not progress_of(kind, given | {"memo": json.dumps({"row": txn(2)})}, NOW_MS).lost_ms


def claimed(now_ms: int, **fields: Any) -> Claimed:
    new = new_entry(payment(), "k", "transactions", not_before="+0", deadline="+1")
    values = hash_(**fields)
    return claimed_of([new.entry.id, new.body, *(values.get(name, "") for name in FIELDS)], now_ms, 0.0)


def test_what_a_clock_that_had_stepped_ahead_has_noted_is_over_by_now_and_is_written_so():
    hour = 3_600 * SECOND
    noted = {"since": NOW_MS + hour, "sent": 1, "sent_first": NOW_MS + hour + 5, "sent_last": NOW_MS + hour + 9}
    taken = claimed(NOW_MS, created=NOW_MS + hour, **noted)
    assert taken.progress.age_s == taken.progress.quiet_for_s == 0
    assert (taken.progress.since_ms, taken.progress.first_sent_ms, taken.progress.last_sent_ms) == (NOW_MS,) * 3
    written = json.loads(Settlement(taken, "posted", "posted", fields={"accepted": "1"}).encoded())["set"]
    assert written == {"accepted": "1", **dict.fromkeys(("since", "sent_first", "sent_last"), str(NOW_MS))}
    # From there on silence grows, though the clock is still far behind those times.
    later = claimed(NOW_MS + 30 * SECOND, created=NOW_MS + hour, sent=1, **written)
    assert later.progress.quiet_for_s == 30
    assert later.mended == {}


def test_the_end_of_a_lease_that_lapsed_stays_where_it_is_for_it_may_truly_lie_ahead():
    left = 20 * SECOND
    read = claimed(NOW_MS, created=NOW_MS - 9, lapsed=1, sent_last=NOW_MS + left)
    assert (read.progress.last_sent_ms, read.mended) == (NOW_MS + left, {})


def test_once_sent_stays_sent_whatever_comes_later():
    for state in ("ready", "posted"):
        assert progress_of("transaction", hash_(sent=1, state=state, attempts=0), NOW_MS).sent
        assert progress_of("transaction", hash_(lapsed=1, state=state), NOW_MS).sent


def test_an_intent_that_was_never_claimed_before_has_no_history():
    read = progress_of("transaction", hash_(), NOW_MS)
    assert (read.sent, read.attempts, read.sends, read.memo, read.generation, read.looking) == (
        False,
        0,
        0,
        {},
        0,
        False,
    )


@pytest.mark.parametrize(
    "intent", [payment(meta_data={"ü": ["\u2028", None]}), refund("order_42"), commit_hold("h", precise_amount=10**30)]
)
def test_a_claim_gives_back_what_was_accepted(intent):
    new = new_entry(intent, "a-key", "a-lane", not_before="+0", deadline="+1")
    values = [new.entry.id, new.body, *(hash_().get(name, "") for name in FIELDS)]
    claimed = claimed_of(values, NOW_MS, 12.5)
    assert claimed.entry == new.entry
    assert (claimed.token, claimed.lease_end_s, claimed.progress.now_ms) == ("3", 12.5, NOW_MS)
