"""Marks in all that must stay secret, through every way to fail: no mark comes out anywhere but in the ledger.

Every text of a write of every kind is marked, its key and its reference as well, and so are credentials and passwords.
Each way to fail is a target of one worker, before a ledger that says back all that it is sent wherever an answer can
hold it. What left the worker is held against the marks, byte by byte: what Sentry gets, the log at level debug in both
forms, what the command line shows without ``--payload``, and the texts of errors that an application meets.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis

from blnk_relay import Intent, Relay, RelayError, Settings, Target, Write, transaction
from blnk_relay.kinds.registry import KINDS, intent_of
from tests.support.canary import PATHS, EchoingLedger
from tests.support.cli import run as run_command
from tests.support.messages import message
from tests.support.secrecy import a_mark, found_in
from tests.support.sentry import FakeSentry
from tests.support.specimens import SPECIMENS
from tests.support.stages import SHORT
from tests.support.waiting import wait_until
from worker.demo.stage import _clean_environment, as_environment

WAIT_S = 120.0

#: The short form: an answer that quotes all it was sent, and our own code's failure.
SHORT_PATHS = ("codeless", "crash")

#: Besides: a success that is none, an answer that breaks off, a judgement that fails, a journal that cannot be read.
MORE_PATHS = ("codeless", "nonsense", "cut", "crash", "judge", "broken")

#: Texts that a kind or the ledger chooses, and numbers: to mark them is to make them invalid.
WORDS = frozenset(
    {
        *("currency", "effective_date", "dob", "strategy", "identity_type", "gender", "digest", "sha256", "amount"),
        *("fields[]", "criteria[].field", "criteria[].operator", "external_transactions[].date", "distribution"),
        *("precise_amount", "precise_distribution", "status", "external_transactions[].currency", "field", "date"),
    }
)


@dataclass
class Marked:
    """What is enqueued, and its marks."""

    intent: Intent
    key: str
    target: str
    marks: list[str]


def marked(payload: Any, marks: list[str], ids: frozenset[str], path: str = "") -> Any:
    """A payload with a mark in every text that is free."""
    if isinstance(payload, Mapping):
        return {name: marked(value, marks, ids, f"{path}.{name}".lstrip(".")) for name, value in payload.items()}
    if isinstance(payload, list | tuple):
        return [marked(value, marks, ids, f"{path}[]") for value in payload]
    if not isinstance(payload, str) or {path, path.rpartition(".")[2]} & WORDS or payload in ids:
        return payload
    if path.endswith(("_id", "_ids[]", "hold", "holds[]", "reference", "transaction")) or payload == "@world":
        return payload
    marks.append(a_mark("mark"))
    return ("@" if payload.startswith("@") else "") + marks[-1]


def of(specimen: Any, target: str, ids: Mapping[str, str]) -> Marked:
    """A marked write of a specimen; its scene, which names and references are made of, is a mark as well."""
    marks = [a_mark("scene"), a_mark("key")]
    intent = specimen.make(marks[0], ids)
    named = frozenset(ids.values())
    intent = dataclasses.replace(intent, payload=marked(intent.payload, marks, named))
    return Marked(intent, f"{specimen.name}.{target}.{marks[1]}", target, marks)


@pytest.fixture
def sentry():
    with FakeSentry() as running:
        yield running


def run(stage: Any, form: str) -> subprocess.Popen[bytes]:
    """A worker whose kinds fail where the path says so."""
    with stage.log.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.support.canary"],
            env={**_clean_environment(), **as_environment(replace(stage.settings, log_format=form))},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    stage.workers.append(worker)
    return worker


def prepared(stage: Any, names: tuple[str, ...]) -> dict[tuple[str, str], dict[str, str]]:
    """What specimens need in the ledger, made by a worker that nothing happens to; ids by path and specimen."""
    ids: dict[tuple[str, str], dict[str, str]] = {}
    with Relay(stage.settings) as relay:
        stage.start_worker()
        depth = max(len(specimen.needs) for specimen in SPECIMENS.values())
        for level in range(depth):
            writes, places = [], []
            for path in names:
                for number, specimen in enumerate(SPECIMENS.values()):
                    needs = list(specimen.needs.items())
                    if level < len(needs):
                        name, make = needs[level]
                        known = ids.setdefault((path, specimen.name), {})
                        key = f"need.{path}.{number}.{name}"
                        writes.append(Write(intent=make(f"{path}.{number}", known), key=key))
                        places.append((known, name, key))
            relay.enqueue_many(writes)
            for known, name, key in places:
                status = relay.wait(key, timeout_s=WAIT_S)
                assert status.state == "done", (key, status)
                known[name] = status.transaction_id
        stage.stop_workers()
    return ids


def errors_of(writes: list[Marked]) -> list[str]:
    """What an application meets that does something wrong with marked values: texts and representations."""
    told: list[str] = []
    bad = writes[0].marks[0]

    def meets(call: Callable[[], Any]) -> None:
        try:
            call()
        except RelayError as error:
            told.extend((str(error), repr(error)))

    for each in writes:
        mark = each.marks[-1]
        meets(lambda kind=each.intent.kind, mark=mark: intent_of(kind, {"amount": mark, "no_such_field": mark}))
        told.append(repr(each.intent))
    meets(lambda: transaction(source="@a", destination="@b", currency=bad, amount=bad, description=bad))
    return told


Hits = set[tuple[str, str]]


def _break(relay: Relay, receipts: Mapping[tuple[str, str], Any]) -> None:
    """What the journal keeps of the intents of one path is no JSON any more, and holds a mark still."""
    for (target, _), receipt in receipts.items():
        if PATHS[target].form == "broken":
            journal = relay.journal(target)
            place = journal.key(f"body:{receipt.id}")
            assert journal.client.exists(place)
            journal.client.set(place, "{" + str(journal.client.get(place)))


def _reached(
    relay: Relay,
    writes: list[Marked],
    names: Mapping[str, str],
    receipts: Mapping[tuple[str, str], Any],
    ledger: EchoingLedger,
) -> Hits:
    """Wait until each write has met its path; where one answer stops the others, until one has."""
    hit: Hits = set()

    def met(each: Marked) -> bool:
        attempts = relay.history(receipts[each.target, each.key].id, target=each.target)
        if not PATHS[each.target].sent:
            return any(one.what == "failed" for one in attempts)
        return any(one.request_id in ledger.written for one in attempts)

    def all_met() -> bool:
        for each in writes:
            place = (each.target, names[each.key])
            if place not in hit and met(each):
                hit.add(place)
        stopping = {each.target for each in writes if PATHS[each.target].stops}
        missing = {(each.target, names[each.key]) for each in writes} - hit
        return {target for target, _ in missing} <= stopping <= {target for target, _ in hit}

    try:
        wait_until(all_met, WAIT_S, poll_s=0.3)
    except AssertionError:
        missing = sorted({(each.target, names[each.key]) for each in writes} - hit)
        raise AssertionError(f"did not meet their path: {missing[:20]}") from None
    return hit


def _controlled(
    relay: Relay, writes: list[Marked], receipts: Mapping[tuple[str, str], Any], ledger: EchoingLedger
) -> None:
    """The marks were on the wire: what is not found elsewhere could have been."""
    seen = Counter[str]()
    for each in writes:
        attempts = relay.history(receipts[each.target, each.key].id, target=each.target)
        sent = b"".join(ledger.written[one.request_id][1] for one in attempts if one.request_id in ledger.written)
        # Of those that name a row alone, no text of theirs is sent.
        if sent and len(each.marks) > len(("scene", "key")):
            assert found_in(each.marks, sent), each.key
            seen[each.intent.kind] += 1
    assert set(seen) >= {
        specimen.kind for specimen in SPECIMENS.values() if specimen.kind in ("transaction", "refund")
    } - {"refund"}
    assert len(seen) >= len(KINDS) / 2


def _commands(  # noqa: PLR0917 - all of them are of one test
    monkeypatch: pytest.MonkeyPatch,
    stage: Any,
    relay: Relay,
    writes: list[Marked],
    receipts: Mapping[tuple[str, str], Any],
    secrets: list[str],
) -> tuple[bytes, set[str]]:
    """What commands show without ``--payload``, and the marks that the ledger said back in a code or a message.

    Those are for operators: what it says is why they look (SECURITY.md).
    """
    for name, value in as_environment(stage.settings).items():
        monkeypatch.setenv(name, value)
    shown, said = [], set[str]()
    for each in writes:
        status = relay.get(receipts[each.target, each.key].id, target=each.target)
        ran = run_command("show", status.id, "--target", each.target)
        found = found_in(secrets, (ran.out + ran.err).encode())
        chosen = f"{status.key} {status.reference} {status.message} {status.code}"
        logged = " ".join(one.code for one in relay.history(status.id, target=each.target))
        allowed = found_in(secrets, f"{chosen} {logged}".encode())
        assert found <= allowed, each.key
        said |= allowed
        assert status.id in ran.out
    for target in {each.target for each in writes}:
        for command in (("list",), ("dead", "list"), ("list", "--json"), ("dead", "list", "--json")):
            ran = run_command(*command, "--target", target)
            shown.append(ran.out + ran.err)
    for command in (("status",), ("status", "--json"), ("lanes",), ("lanes", "--json")):
        ran = run_command(*command)
        shown.append(ran.out + ran.err)
    return "\n".join(shown).encode(), said


@pytest.mark.long
@pytest.mark.parametrize("names", [SHORT_PATHS, MORE_PATHS], ids=["two-paths", "six-paths"])
def test_no_mark_comes_out_anywhere(make_stage, sentry, monkeypatch, names):
    settings = {**SHORT, "probe_s": 0.2, "bulk_inflight": True, "sentry_dsn": sentry.dsn, "log_level": "debug"}
    stage = make_stage(settings={**settings, "retry_base_s": 0.05, "retry_cap_s": 0.2, "max_attempts": 3,
                                 "max_lapses": 2, "confirm_first_s": 0.1})  # fmt: skip
    ids = prepared(stage, names)
    tokens = {a_mark("token"): name for name in names}
    password = a_mark("password")
    with redis.Redis(port=stage.valkey.port) as client:
        client.config_set("requirepass", password)
    with EchoingLedger(
        stage.sandbox.url, stage.settings.token, {token: (name, PATHS[name]) for token, name in tokens.items()}
    ) as ledger:
        targets = tuple(
            Target(name=name, base_url=ledger.url, instance_id=stage.settings.instance_id, token=token)
            for token, name in tokens.items()
        )
        stage.settings = replace(
            stage.settings,
            redis_url=f"redis://:{password}@127.0.0.1:{stage.valkey.port}/0",
            namespace="canary",
            base_url=Settings().base_url,
            token="",
            instance_id="",
            targets=targets,
            log_keys=False,
        )
        writes, kinds = [], {}
        for name in names:
            for specimen in SPECIMENS.values():
                writes.append(of(specimen, name, ids.get((name, specimen.name), {})))
                kinds[writes[-1].key] = specimen.name
        secrets = [*tokens, password, *(mark for each in writes for mark in each.marks)]
        by_name = a_mark("byname")
        secrets.append(by_name)
        with Relay(stage.settings) as relay:
            told = errors_of(writes)
            assert "no_such_field" in "".join(told)
            receipts = {
                (each.target, each.key): relay.enqueue(each.intent, key=each.key, target=each.target) for each in writes
            }
            _break(relay, receipts)
            relay.journal(names[0]).client.lpush("canary.ingest", message({"key": by_name, "description": by_name}))
            for form in ("human", "json"):
                run(stage, form)
            hit = _reached(relay, writes, kinds, receipts, ledger)
            stage.stop_workers()
            _controlled(relay, writes, receipts, ledger)
            shown, said = _commands(monkeypatch, stage, relay, writes, receipts, secrets)
        # Nothing is vacuous: each kind met each path, but where one answer stops the others.
        met = Counter(name for name, _ in hit)
        for name in names:
            assert met[name] == len(SPECIMENS) or (PATHS[name].stops and met[name]), (name, met[name])
        assert {kind for _, kind in hit} >= {specimen.name for specimen in SPECIMENS.values()}
    log = stage.log.read_bytes()
    sinks = {
        "Sentry": "\n".join(sentry.envelopes).encode(),
        "log": log,
        "command line": shown,
        "errors": "\n".join(told).encode(),
        "settings": repr(stage.settings).encode(),
    }
    for name, data in sinks.items():
        assert len(data) > 200, name
        # Keys and references are the application's to choose, and its own in an error; of commands see above.
        named = {mark for each in writes for mark in each.marks[:2]}
        allowed = {"command line": named | said | {by_name}, "errors": named}.get(name, set())
        assert found_in(set(secrets) - allowed, data) == set(), name
    # What the log has to tell.
    for event in ("attempt", "settled", "dead_letter", "intent_failed"):
        assert f" {event}: ".encode() in log or f'"event": "{event}"'.encode() in log, event
    for event in ("start", "stop"):
        assert f" {event}: ".encode() in log, event
        assert f'"event": "{event}"'.encode() in log, event
    assert [event for event in (b"Traceback", b"job_failed", b"thread_failed") if event in log] == []
