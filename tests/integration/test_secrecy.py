"""No marked value of any kind stands anywhere in what Redis keeps once keys are set: not in its keys, nor in its files.

Every text of every payload holds a mark of its own, unless it is a name, an id or a word of the ledger's, which are not
hidden (docs/production.md). The append-only file tells of all that was ever written, of what came and went too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import (
    Intent,
    Leg,
    Operator,
    Relay,
    Settings,
    Write,
    bulk_transactions,
    commit_hold,
    commit_holds,
    create_balance,
    create_identity,
    create_ledger,
    create_matching_rule,
    delete_matching_rule,
    link_identity,
    refund,
    result_of,
    split_transaction,
    start_instant_reconciliation,
    start_reconciliation,
    tokenize_identity,
    transaction,
    update_identity,
    update_matching_rule,
    update_metadata,
    upload_records,
    void_hold,
    void_holds,
)
from blnk_relay.journal.packing import unpacked
from blnk_relay.journal.settlement import Settlement
from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox import Faults, Rule
from tasks.ingest import Ingest
from tests.support.messages import message
from tests.support.oauth import log_in, with_client
from tests.support.secrecy import a_key, a_mark, found_in, kept_by
from tests.support.waiting import wait_until
from worker.demo.stage import Stage
from worker.demo.valkey import start_valkey
from worker.telemetry import Telemetry

WAIT_S = 60.0

#: Texts of payloads that are not hidden wherever else they stand, or are words that a kind or the ledger chooses.
WORDS = frozenset(
    {
        *("currency", "reference", "transaction", "hold", "holds[]", "effective_date", "dob", "strategy"),
        *("entity_id", "identity_id", "balance_id", "ledger_id", "rule_id", "upload_id", "matching_rule_ids[]"),
        *("fields[]", "criteria[].field", "criteria[].operator", "external_transactions[].date", "digest", "sha256"),
        *("identity_type", "gender", "external_transactions[].currency", "field", "$result_of"),
    }
)


class Marks:
    """Marks, and where each is."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, start: str = "mark") -> str:
        self.made.append(a_mark(start))
        return self.made[-1]


def marked(marks: Marks) -> dict[str, Write]:
    """A write of every kind, by its key: a story that comes to its end, so that all of them happen."""

    def meta() -> dict[str, Any]:
        return {marks("key"): marks("mär"), "list": [marks(), {"deep": marks()}], "number": 1}

    def pay(reference: str, **changes: Any) -> Intent:
        given: dict[str, Any] = {
            "source": f"@{marks()}",
            "destination": f"@{marks()}",
            "currency": "EUR",
            "amount": "10.50",
            "description": f'Nobody\'s "{marks("wörd")}" \\ business',
            "allow_overdraft": True,
            "meta_data": meta(),
            "reference": reference,
        }
        return transaction(**(given | changes))

    def person() -> dict[str, Any]:
        names = ("first_name", "last_name", "other_names", "email_address", "phone_number", "nationality", "street")
        return {name: marks() for name in (*names, "city", "state", "post_code", "country", "category")}

    rows = "".join(f"{marks()},12.50,EUR,{marks()},{marks()},2026-11-20T09:15:31Z\n" for _ in range(3))
    record = {"amount": 50.5, "date": "2026-11-20T10:00:00Z"}
    criteria = [{"field": "description", "operator": "contains", "value": marks(), "pattern": marks()}]
    legs = [Leg(f"@{marks()}", percent="66.67"), Leg(f"@{marks()}", amount="1.50"), Leg(f"@{marks()}", left=True)]
    intents = {
        "ledger": create_ledger(marks(), meta_data=meta()),
        "wallet": create_balance("general_ledger_id", "EUR", meta_data=meta()),
        "person": create_identity(**person(), dob="1990-01-01", organization_name=marks(), meta_data=meta()),
        "moved": update_identity(result_of("person", "identity_id"), street=marks(), replace_meta_data=meta()),
        "owner": link_identity(result_of("wallet", "balance_id"), result_of("person", "identity_id")),
        "tagged": update_metadata(result_of("ledger", "ledger_id"), meta()),
        "tokens": tokenize_identity(result_of("person", "identity_id"), ["first_name", "email_address"]),
        "pay": pay("pay"),
        "back": refund("pay"),
        "hold": pay("hold", inflight=True),
        "part": commit_hold("hold", amount="4.00", currency="EUR"),
        "rest": void_hold("hold"),
        "hold-a": pay("hold-a", inflight=True),
        "hold-b": pay("hold-b", inflight=True),
        "commits": commit_holds(["hold-a", commit_hold("hold-b", amount="4.00", currency="EUR")]),
        "hold-c": pay("hold-c", inflight=True),
        "voids": void_holds(["hold-c"]),
        "bulk": bulk_transactions([pay("bulk-1"), pay("bulk-2")], atomic=True, skip_queue=True),
        "split": split_transaction(
            source=f"@{marks()}",
            destinations=legs,
            amount="10.01",
            currency="EUR",
            description=marks(),
            allow_overdraft=True,
            reference="split",
            meta_data=meta(),
        ),
        "rule": create_matching_rule(marks(), criteria, description=marks()),
        "rule-2": update_matching_rule(result_of("rule", "rule_id"), marks(), criteria, description=marks()),
        "file": upload_records(
            marks(), ("ID,Amount,Currency,Reference,Description,Date\n" + rows).encode(), name=f"{marks()}.csv"
        ),
        "run": start_reconciliation(result_of("file", "upload_id"), "one_to_one", [result_of("rule", "rule_id")]),
        "instant": start_instant_reconciliation(
            [{**record, **{name: marks() for name in ("id", "reference", "description", "source")}} for _ in range(2)],
            "one_to_one",
            [result_of("rule", "rule_id")],
            dry_run=True,
        ),
        "rule-3": delete_matching_rule(result_of("rule", "rule_id")),
    }
    after = {"rule-3": ("run", "instant", "rule-2"), "run": ("rule-2",), "instant": ("rule-2",), "back": ("pay",)}
    return {key: Write(intent=intent, key=key, after=after.get(key, ())) for key, intent in intents.items()}


def unmarked(payload: Any, marks: Marks, path: str = "") -> Iterator[str]:
    """Places in a payload where a text stands that holds no mark."""
    if isinstance(payload, Mapping):
        for name, value in payload.items():
            if name not in WORDS and path not in WORDS:
                yield from unmarked(value, marks, f"{path}.{name}".lstrip("."))
    elif isinstance(payload, list | tuple):
        for value in payload:
            yield from unmarked(value, marks, f"{path}[]")
    elif isinstance(payload, str) and not {path, path.rpartition(".")[2]} & WORDS:
        yield from () if any(mark in payload for mark in marks.made) else (path,)


def test_every_kind_is_among_the_writes_and_every_text_of_it_is_marked_or_a_word():
    marks = Marks()
    writes = marked(marks)
    assert {write.intent.kind for write in writes.values()} == set(KINDS)
    bare = {place for write in writes.values() for place in unmarked(write.intent.payload, marks)}
    assert bare == set()


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    """A ledger with an OAuth client whose tokens live for seconds, and a journal that keeps no finished intent long."""
    running: Stage = make_stage(settings={"retention_s": 0.5, "bulk_inflight": True, "encryption_keys": a_key("k1")})
    running.sandbox.set_switches(oauth_expires_s=2.0)
    running.settings = with_client(running, log_in(running.sandbox))
    return running


def test_no_mark_stands_in_any_dump_whatever_became_of_the_intents(stage):
    marks = Marks()
    writes = marked(marks)
    secrets = [stage.settings.oauth_refresh_token]
    # Each first send is answered with an error, so that all kinds are retried or looked for.
    stage.sandbox.set_faults(
        Faults.script([Rule(kind, path="/proxy/", times=15) for kind in ("503_no_effect", "504_with_effect")])
    )
    with Relay(stage.settings) as relay:
        operator, journal = Operator(relay.journals, relay.bells), relay.journal()
        relay.enqueue_many(list(writes.values()))
        poor = {"source": f"@{marks()}", "destination": f"@{marks()}", "currency": "EUR", "amount": "10.50"}
        for key in ("poor", "poor-2"):
            relay.enqueue(transaction(**poor, description=marks(), reference=key), key=key)
        broke = [transaction(**poor, description=marks(), reference=f"broke-{at}") for at in range(2)]
        relay.enqueue(bulk_transactions(broke), key="broke")
        # What the ledger said, word for word, of an intent that a worker has in hand here.
        relay.enqueue(transaction(**poor, description=marks()), key="echoed")
        claims = journal.claim("transactions", "here", 100)
        for item in claims.items:
            if item.entry.key == "echoed":
                said = {"class": "refused", "code": "TXN_VALIDATION_ERROR", "message": f"no such balance {marks()}"}
                journal.settle("here", [Settlement(item, "sending", "dead", fields=said)], ())
            else:
                journal.settle("here", [Settlement(item, "sending", "ready")], ())
        taken = Ingest(relay, lambda: Telemetry(stage.settings))
        assert taken.take(message({"key": "by-name", "source": f"@{marks()}", "description": marks()})) is None
        relay.enqueue(transaction(**poor, description=marks()), key="never", after=["poor"])
        relay.cancel("never")
        stage.start_worker()
        ended = {}

        def over() -> bool:
            for key in (*writes, "poor", "poor-2", "broke"):
                status = relay.get(key)
                if status.finished and status.kind:
                    ended[key] = status
                elif status.finished:
                    ended.setdefault(key, status)
            return len(ended) == len(writes) + 3

        wait_until(over, WAIT_S, "all to end")
        assert {key: (ended[key].state, ended[key].code) for key in writes if ended[key].state != "done"} == {}
        for key in ("poor", "broke"):
            operator.replay(relay.get(key), who="me", reason="a test")
        operator.discard(relay.get("poor-2"), who="me", reason="by hand")
        wait_until(lambda: {relay.get(key).state for key in ("poor", "broke")} == {"dead"}, WAIT_S)
        assert any(mark in relay.get("echoed").message for mark in marks.made)
        assert sum(1 for _ in relay.events("reader", timeout_s=0.5)) > len(writes)
        wait_until(lambda: relay.get("pay").kind == "", WAIT_S, "the trimming")
        tokens = journal.client.hgetall(journal.key("oauth"))
        assert int(tokens["version"]) > 1
        secrets += [journal.seal.shown_token(name, tokens[name]) for name in ("access", "refresh")]
        kept = kept_by(stage.valkey.port, Path(stage.valkey.data_dir))
        # Where keys and references are, there could have been more.
        assert b"hold-a" in kept
        assert found_in(marks.made, kept) == set()
        assert [secret for secret in secrets if secret.encode() in kept] == []
        files = [part for part in kept.split(b"\r\n") if _opens(part)]
        assert files == []


def test_without_keys_every_mark_is_found():
    marks = Marks()
    writes = marked(marks)
    server = start_valkey()
    try:
        with Relay(Settings(redis_url=f"redis://127.0.0.1:{server.port}/0", bulk_inflight=True)) as relay:
            relay.enqueue_many(list(writes.values()))
            kept = kept_by(server.port, Path(server.data_dir))
    finally:
        server.stop()
    packed = [unpacked(part.decode(), 10_000) for part in kept.split(b"\r\n") if _opens(part)]
    assert len(set(packed)) == 1
    # All but what stands in the file alone, which is packed.
    assert set(marks.made) - found_in(marks.made, kept) < found_in(marks.made, packed[0])
    assert len(found_in(marks.made, kept)) > 100


def _opens(part: bytes) -> bool:
    """Whether a part of a file is a packed file in the clear."""
    try:
        return b"ID,Amount" in unpacked(part.decode(), 10_000)
    except ValueError:
        return False
