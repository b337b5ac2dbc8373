"""Whole workers before a ledger whose answers are played with: each intent ends right, and no other is harmed."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest

from blnk_relay import Relay, Write, create_ledger
from tests.support.certificates import make_certificates
from tests.support.counting import assert_exactly_once, wait_for_all
from tests.support.hostile import HostileServer
from tests.support.meddler import Meddler
from tests.support.payments import payment
from tests.support.plays import PLAYS, Play
from tests.support.stages import SHORT, operator_of
from tests.support.waiting import wait_until

WAIT_S = 60.0

#: A handful, one of each sort.
HANDFUL = (
    "reset after the request", "hung up within the body", "drips the body", "endless headers", "says nothing",
    "a length that is too short by one", "chunks and a length", "a 204 with a body", "HTTP/0.9: a body alone",
    "a page of HTML", "every name twice", "JSON that is no UTF-8", "JSON with half of a pair in it",
    "a hundred thousand levels", "a gzip bomb", "plain text that is called gzip", "the answer twice",
    "an empty object", "a status of '600'",
)  # fmt: skip


def slug(name: str) -> str:
    return f"play-{list(PLAYS).index(name)}."


@pytest.mark.parametrize("acted", [True, pytest.param(False, marks=pytest.mark.long)], ids=["acted", "not-acted"])
def test_whatever_an_answer_was_each_intent_ends_once_and_none_beside_it_is_harmed(make_stage, acted):
    stage = make_stage(settings={**SHORT, "retry_base_s": 0.1, "probe_s": 0.3})
    plays: dict[bytes, Play] = {}
    writes: list[Write] = []
    for name in HANDFUL:
        paid, made = f"{slug(name)}paid", f"{slug(name)}made"
        plays |= {f'"{paid}"'.encode(): PLAYS[name], f'"{made}"'.encode(): PLAYS[name]}
        writes += [payment(paid, skip_queue=True), Write(intent=create_ledger(made), key=made)]
        writes.append(payment(f"{slug(name)}beside"))
    before = frozenset() if acted else frozenset(plays)
    with Meddler(stage.sandbox.url, plays, before) as meddler:
        stage.settings = replace(stage.settings, base_url=meddler.url)
        with Relay(stage.settings) as relay:
            receipts = relay.enqueue_many(writes)
            stage.start_worker()
            wait_for_all(relay, receipts, WAIT_S)
            ends = {receipt.key: relay.get(receipt.id) for receipt in receipts}
            assert {key: end.state for key, end in ends.items() if end.state != "done"} == {}
            assert sorted(meddler.played) == sorted(plays)
            assert_exactly_once(relay, receipts, stage.sandbox)
            # What was beside them had an answer of its own; or met a connection that was just closed after such a play.
            beside = [relay.history(end.id) for key, end in ends.items() if key.endswith("beside")]
            assert {one.code for attempts in beside for one in attempts} <= {"", "ConnectionError"}
            stage.stop_workers()
    log = stage.log.read_text(encoding="utf-8")
    assert [event for event in ("job_failed", "thread_failed", "intent_failed", "Traceback") if event in log] == []


@pytest.mark.long
def test_a_wrong_certificate_stands_in_the_gate_and_nothing_is_sent(make_stage, tmp_path):
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "expired.crt", tmp_path / "expired.key")
    stage = make_stage(settings={**SHORT, "probe_s": 0.3})
    heard: list[bytes] = []
    with HostileServer(lambda connection: heard.append(connection.recv(1)), tls=context) as server:
        stage.settings = replace(stage.settings, base_url=server.url, ca_bundle=str(tmp_path / "ca.crt"))
        with Relay(stage.settings) as relay:
            receipt = relay.enqueue(payment("order."))
            stage.start_worker()

            def note() -> str:
                gates = operator_of(relay).overview().gates
                return next((gate.note for gate in gates if gate.side == "write" and gate.state == "unreachable"), "")

            assert "its certificate is not accepted: certificate has expired" in wait_until(note, 30, "the gate")
            status = relay.get(receipt.id)
            assert (status.state, status.attempts) == ("ready", 0)
            stage.stop_workers()
    assert b"".join(heard) == b""
