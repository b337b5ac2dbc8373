"""A Core without Cloud: every kind that it can prove, under faults, by its own filters and by its GET routes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import requests

from blnk_relay import (
    Leg,
    Relay,
    Write,
    bulk_transactions,
    commit_hold,
    create_balance,
    create_identity,
    create_ledger,
    link_identity,
    refund,
    result_of,
    split_transaction,
    start_reconciliation,
    tokenize_identity,
    update_identity,
    update_metadata,
    void_hold,
)
from blnk_relay.intents.found import Lookup
from blnk_relay.journal.status import moment
from blnk_relay.sandbox import Faults, Options, Rule, Sandbox
from tests.support.counting import all_ids, assert_exactly_once, wait_for_all
from tests.support.payments import AMOUNT, CURRENCY, SHOP, WORLD, hold, payment, poor
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.audit import opened
from worker.demo.stage import Stage
from worker.ledger.proxy import Proxy
from worker.ledger.readback import MOST_PAGES, LedgerOverHttp
from worker.telemetry import Telemetry

WAIT_S = 40.0
KEY = "blnk_core_key"
FAULTS = ("drop_after", "500_with_effect", "504_with_effect", "truncated", "not_json", "drop_before", "500_no_effect")

#: Two of them each time, the others where there is time for it.
TRIED = [one if one in ("drop_after", "500_no_effect") else pytest.param(one, marks=pytest.mark.long) for one in FAULTS]

#: Prefixes of routes that only Cloud has, and its one filter that is called otherwise there.
CLOUDS_OWN = ("/proxy", "/data", "/oauth", "/ledger/filter")


@pytest.fixture(scope="module", params=["filters", "core"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A worker and a bare Core; outcomes are read back by its filters, or by its GET routes."""
    options = Options(token="blnk_not_for_cores", core_key=KEY)  # noqa: S106
    with Stage(options=options, settings={"read_lag_s": 1.0, "quiet_s": 0.5, "horizon_s": 6.0}) as running:
        running.settings = replace(running.settings, api="core", token=KEY, instance_id="", confirm_route=request.param)
        running.start_worker()
        yield running


@pytest.fixture
def relay(stage: Stage) -> Iterator[Relay]:
    with Relay(stage.settings) as running:
        yield running
    stage.sandbox.set_faults(Faults.none())


@pytest.mark.parametrize("fault", TRIED)
def test_money_moves_once_whatever_the_network_does(stage: Stage, relay: Relay, fault: str) -> None:
    before = all_ids(stage.sandbox.books())
    rules = [
        Rule(fault, method="POST", identity=f"{fault}-pay"),
        Rule(fault, method="POST", identity=f"{fault}-skip"),
        Rule(fault, method="POST", identity=f"{fault}-hold"),
        Rule(fault, method="PUT", path="/transactions/inflight/", times=2),
        Rule(fault, method="POST", path="/refund-transaction/"),
        Rule(fault, method="POST", path="/transactions/bulk"),
        # Reads fail as well, and decide nothing then.
        Rule("500_no_effect", method="POST", path="/transactions/filter", times=2),
    ]
    stage.sandbox.set_faults(Faults.script(rules))
    writes = {
        "pay": Write(intent=payment(f"{fault}-pay")),
        "skip": Write(intent=payment(f"{fault}-skip", skip_queue=True)),
        "hold": Write(intent=hold(f"{fault}-hold")),
        "part": Write(intent=commit_hold(f"{fault}-hold", precise_amount=AMOUNT // 4), key=f"{fault}-part"),
        "rest": Write(intent=commit_hold(f"{fault}-hold"), after=(f"{fault}-part",)),
        "held": Write(intent=hold(f"{fault}-held")),
        "void": Write(intent=void_hold(f"{fault}-held")),
        "refund": Write(intent=refund(f"{fault}-pay"), after=(f"{fault}-pay",)),
        "poor": Write(intent=poor(f"{fault}-poor")),
        "bulk": Write(
            intent=bulk_transactions([payment(f"{fault}-item-{number}") for number in range(3)]), key=f"{fault}-bulk"
        ),
        "split": Write(intent=_split(), key=f"{fault}-split"),
    }
    receipts = relay.enqueue_many(
        [
            replace(write, key=write.key or write.intent.natural_key or write.intent.reference)
            for write in writes.values()
        ]
    )
    wait_for_all(relay, receipts, WAIT_S)
    ended = {name: relay.get(receipt.id) for name, receipt in zip(writes, receipts, strict=True)}
    told = {name: status.outcome or f"{status.dead_class} {status.code}" for name, status in ended.items()}
    assert told == {
        "pay": "applied",
        "skip": "applied",
        "hold": "held",
        "part": "applied",
        "rest": "applied",
        "held": "held",
        "void": "voided",
        "refund": "refunded",
        "poor": "rejected TXN_INSUFFICIENT_FUNDS",
        "bulk": "applied",
        "split": "applied",
    }
    # Of the parts of a bulk and a split the journal tells itself; the proof is about single rows.
    books = stage.sandbox.books()
    parts = [part for name in ("bulk", "split") for part in relay.parts(ended[name].id)]
    assert [part.status for part in parts] == ["applied"] * 5
    of_parts = {row.transaction_id for row in books.rows if _is_part(row.reference, fault, ended["split"].reference)}
    assert sum(row.status == "APPLIED" and row.transaction_id in of_parts for row in books.rows) == len(parts)
    assert {part.transaction_id for part in parts} <= of_parts
    single = [receipt for name, receipt in zip(writes, receipts, strict=True) if name not in ("bulk", "split")]
    assert_exactly_once(relay, single, stage.sandbox, foreign=before | of_parts)


def _is_part(reference: str, fault: str, split: str) -> bool:
    return reference.startswith((f"{fault}-item-", f"{split}-", f"{split}_"))


def _split():
    return split_transaction(
        source=WORLD,
        destinations=[Leg(SHOP, percent="50"), Leg("@other", left=True)],
        currency=CURRENCY,
        precise_amount=1001,
        precision=100,
        description="Split",
        allow_overdraft=True,
    )


@pytest.mark.parametrize("fault", TRIED)
def test_records_are_made_once_and_hold_what_was_written_last(stage: Stage, relay: Relay, fault: str) -> None:
    name = f"records-{fault}"
    rules = [Rule(fault, method="POST", path=path) for path in ("/ledgers", "/balances", "/identities")]
    rules += [Rule(fault, method="PUT", path="/identities/"), Rule(fault, method="PUT", path="/balances/")]
    stage.sandbox.set_faults(Faults.script(rules))

    def made(what: str, field: str):
        return result_of(f"{name}-{what}", field)

    intents = {
        "ledger": create_ledger(name),
        "balance": create_balance(made("ledger", "ledger_id"), CURRENCY, meta_data={"scene": name}),
        "person": create_identity(first_name=name, email_address="m@example.org"),
        "city": update_identity(made("person", "identity_id"), city="Lund"),
        "link": link_identity(made("balance", "balance_id"), made("person", "identity_id")),
        "tag": update_metadata(made("ledger", "ledger_id"), {"tag": 1}),
        "tokens": tokenize_identity(made("person", "identity_id"), ["email_address"]),
    }
    receipts = relay.enqueue_many([Write(intent=intent, key=f"{name}-{what}") for what, intent in intents.items()])
    wait_for_all(relay, receipts, WAIT_S)
    ended = {what: relay.get(f"{name}-{what}") for what in intents}
    assert {what: (status.state, status.code) for what, status in ended.items() if status.state != "done"} == {}
    books = stage.sandbox.books()
    assert [item.ledger_id for item in books.ledgers if item.name == name] == [ended["ledger"].transaction_id]
    (person,) = [item for item in books.identities if item.texts["first_name"] == name]
    assert person.texts["city"] == "Lund"
    (balance,) = [item for item in books.balances if (item.meta or {}).get("scene") == name]
    assert balance.identity_id == person.identity_id == ended["person"].transaction_id


def test_a_run_needs_no_read_and_is_started(stage: Stage, relay: Relay) -> None:
    url, headers = f"{stage.sandbox.url}/reconciliation", {"X-Blnk-Key": KEY}
    rule = {"name": f"rule {stage.settings.confirm_route}", "criteria": [{"field": "reference", "operator": "equals"}]}
    made = requests.post(f"{url}/matching-rules", json=rule, headers=headers, timeout=5).json()["rule_id"]
    text = b"ID,Amount,Currency,Reference,Description,Date\ns-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n"
    files = {"file": ("a.csv", text)}
    answer = requests.post(f"{url}/upload", data={"source": "bank"}, files=files, headers=headers, timeout=5)
    relay.enqueue(start_reconciliation(answer.json()["upload_id"], "one_to_one", [made]), key="run")
    status = relay.wait("run", WAIT_S)
    assert (status.state, status.outcome) == ("done", "started")
    assert status.transaction_id.startswith("recon_")


def test_a_core_is_spoken_to_in_its_own_words(stage: Stage, relay: Relay) -> None:
    relay.enqueue(payment("words"), key="words")
    assert relay.wait("words", WAIT_S).state == "done"
    seen = stage.sandbox.requests_seen()
    assert not [item.path for item in seen if item.path.startswith(CLOUDS_OWN)]
    assert not [item.path for item in seen if item.status in (401, 403)]
    by_get = [item for item in seen if item.path.startswith("/transactions/reference/")]
    assert bool(by_get) == (stage.settings.confirm_route == "core")


def test_a_wrong_key_pauses_the_target_and_loses_nothing(make_stage) -> None:
    stage = make_stage(options=Options(core_key=KEY), settings={"probe_s": 0.3})
    stage.settings = replace(stage.settings, api="core", token=KEY, instance_id="")
    stage.sandbox.set_switches(core_key="another")
    stage.start_worker()
    with Relay(stage.settings) as relay:
        receipts = relay.enqueue_many([Write(intent=payment(f"p{n}"), key=f"p{n}") for n in range(10)])
        wait_until(lambda: [gate.code for gate in operator_of(relay).overview().gates if gate.state == "paused"], 10)
        stage.sandbox.set_switches(core_key=KEY)
        wait_for_all(relay, receipts, WAIT_S)
        assert_exactly_once(relay, receipts, stage.sandbox)


# -- paging --------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd() -> Iterator[tuple[Sandbox, LedgerOverHttp]]:
    """A Core of its own, and the way to it."""
    from blnk_relay import Settings

    with Sandbox(Options(core_key=KEY)) as sandbox:
        settings = Settings(api="core", base_url=sandbox.url, token=KEY)
        ledger = LedgerOverHttp(Proxy(settings), "filters")
        yield sandbox, ledger
        ledger.close()


def test_all_rows_are_read_page_by_page(crowd) -> None:
    sandbox, ledger = crowd
    body = {"currency": CURRENCY, "source": WORLD, "destination": SHOP, "precision": 100, "description": "d"}
    body |= {"allow_overdraft": True, "skip_queue": True}

    def post(method: str, path: str, **fields: object):
        answer = requests.request(
            method, sandbox.url + path, json={**fields, "skip_queue": True}, headers={"X-Blnk-Key": KEY}, timeout=5
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    held = post("POST", "/transactions", **{**body, "precise_amount": 1000, "reference": "hold", "inflight": True})
    path = f"/transactions/inflight/{held['transaction_id']}"
    made = {post("PUT", path, status="commit", precise_amount=1)["transaction_id"] for _ in range(230)}
    looked = ledger.look([Lookup("transactions", "parent_transaction", held["transaction_id"])])
    assert looked.failure is None
    assert {row.transaction_id for row in looked.rows} == made
    assert sum(row.precise_amount or 0 for row in looked.rows) == 230
    pages = [seen for seen in sandbox.requests_seen() if seen.path == "/transactions/filter"]
    assert len(pages) == 3


def test_what_is_not_there_is_no_failure(crowd) -> None:
    _, ledger = crowd
    fields = {
        "transactions": "reference",
        "balances": "indicator",
        "ledgers": "meta_data.blnk_relay",
        "identities": "identity_id",
    }
    for resource, field in fields.items():
        looked = ledger.look([Lookup(resource, field, "nothing")])
        assert (looked.failure, looked.rows, looked.records) == (None, (), ())


@pytest.mark.parametrize("resource", ["external-transactions", "matching-rules", "upload-sizes", "reconciliations"])
def test_what_a_core_has_no_read_for_is_never_taken_for_absent(crowd, resource) -> None:
    sandbox, ledger = crowd
    looked = ledger.look([Lookup(resource, "id" if resource != "upload-sizes" else "upload_id", "x")])
    assert looked.failure is not None
    assert looked.failure.code == "NO_SUCH_READ"
    assert sandbox.requests_seen() == ()


def test_that_a_core_does_not_show_the_runs_of_an_upload_is_an_answer_and_no_failure(crowd) -> None:
    sandbox, ledger = crowd
    looked = ledger.look([Lookup("upload-runs", "upload_id", "upload_x")])
    assert [record.data for record in looked.records] == [{"upload_id": "upload_x", "runs": None}]
    assert sandbox.requests_seen() == ()


@pytest.mark.parametrize("route", ["filters", "data"])
def test_the_runs_of_an_upload_are_counted_through_cloud_where_it_filters_them(route: str) -> None:
    from blnk_relay import Settings

    options = Options()
    with Sandbox(options) as sandbox:
        settings = Settings(base_url=sandbox.url, token=options.token, instance_id=options.instance_id)
        ledger = LedgerOverHttp(Proxy(settings), route)
        rule = {"name": "exact", "criteria": [{"field": "reference", "operator": "equals"}]}
        auth = {
            "headers": {"Authorization": f"Bearer {options.token}"},
            "params": {"instance_id": options.instance_id},
        }
        rule_id = requests.post(f"{sandbox.url}/proxy/reconciliation/matching-rules", json=rule, timeout=5, **auth)
        body = {"strategy": "one_to_one", "matching_rule_ids": [rule_id.json()["rule_id"]]}
        url = f"{sandbox.url}/proxy/reconciliation/start"
        for upload_id in ("upload_1", "upload_2", "upload_1"):
            requests.post(url, json=body | {"upload_id": upload_id}, timeout=5, **auth).raise_for_status()
        of_first = [run.reconciliation_id for run in sandbox.books().runs if run.upload_id == "upload_1"]
        lookups = [Lookup("upload-runs", "upload_id", f"upload_{number}") for number in (1, 3)]
        looked = ledger.look(lookups)
        shown = {record.value("upload_id"): record.value("runs") for record in looked.records}
        assert shown == {"upload_1": sorted(of_first), "upload_3": []}
        assert len(of_first) == 2
        # More than can be read to the end are not counted.
        sandbox.set_switches(max_page_size=1, oversized_page="cut")
        for _ in range(MOST_PAGES):
            requests.post(url, json=body | {"upload_id": "upload_1"}, timeout=5, **auth).raise_for_status()
        assert [record.value("runs") for record in ledger.look(lookups[:1]).records] == [None]
        # That runs cannot be filtered is known at once; that they cannot be read just now says nothing.
        sandbox.set_switches(reconciliation_filters=False)
        assert [record.value("runs") for record in ledger.look(lookups[:1]).records] == [None]
        sandbox.set_faults(Faults.script([Rule("503_no_effect")]))
        assert ledger.look(lookups[:1]).records == ()
        ledger.close()


def test_an_audit_of_all_of_it_finds_nothing_and_says_what_a_core_does_not_show(stage: Stage, relay: Relay) -> None:
    """By the routes of this target; the last, so that it has all to look at."""
    journal, ended_ms = relay.journal(), relay.journal().now_ms()
    wait_until(lambda: journal.now_ms() > ended_ms + stage.settings.read_lag_s * 1000, 20, "reads to show all")
    pause = threading.Event().wait
    with opened(stage.settings, journal, Telemetry(stage.settings), rate=10_000, patience_s=5, pause=pause) as made:
        report = made.audit.run(made.audit.begin(moment(ended_ms) - timedelta(hours=1)))
    assert (report.findings, report.stopped) == ([], "")
    assert report.compared["done"] > 0
    assert report.rows > 0
    assert all("upload-runs" in reason or "reconciliation" in reason for reason in report.unread), report.unread
