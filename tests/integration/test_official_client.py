"""The official Python client, as it is, finds the sandbox to be a Core and a Cloud: every call of it that is played."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from blnk_relay.sandbox import Options, Sandbox
from tests.support.waiting import wait_until

blnk_sdk = pytest.importorskip("blnk_sdk", reason="the official client is not installed")

pytestmark = pytest.mark.long

#: Services of the client, by their attributes.
SERVICES = (
    "ledgers",
    "ledger_balances",
    "transactions",
    "balance_monitor",
    "reconciliation",
    "search",
    "identity",
    "system",
    "metadata",
    "hooks",
    "api_keys",
)

#: Calls that the sandbox has no answer to: nothing that writes to a ledger, or proves a write, is among them.
NOT_PLAYED = {
    *("search.search", "search.multi_search", "search.start_reindex", "search.get_reindex_status"),  # another server's
    *("api_keys.create", "api_keys.list", "api_keys.delete"),  # keys with scopes are options of the sandbox
    *("ledger_balances.get_lineage", "transactions.get_lineage"),  # lineage of funds is not imitated
    "ledger_balances.create_snapshot",  # there is nothing to take one of
}

CSV = b"ID,Amount,Currency,Reference,Description,Date\nrow-1,12.5,EUR,r,d,2026-11-20T10:00:00Z\n"
RULE = {"name": "by reference", "description": "d", "criteria": [{"field": "reference", "operator": "equals"}]}


@dataclass
class Client:
    """The client, and what was called of it."""

    inner: Any
    called: set[str] = field(default_factory=set)

    def call(self, name: str, *arguments: Any, status: int = 200) -> Any:
        """Make one call; the data of its answer."""
        service, _, method = name.partition(".")
        self.called.add(name)
        answer = getattr(getattr(self.inner, service), method)(*arguments)
        assert answer.status == status, (name, answer)
        return answer.data

    def refused(self, name: str, *arguments: Any) -> tuple[int, str]:
        """Make one call that is refused; how."""
        service, _, method = name.partition(".")
        answer = getattr(getattr(self.inner, service), method)(*arguments)
        assert answer.error is not None, (name, answer)
        return answer.status, answer.error.code


@pytest.fixture(params=["core", "cloud"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a bare Core, and of Cloud."""
    with Sandbox(Options(reconciliation_s=0.01)) as sandbox:
        options = sandbox.options
        cloud = request.param == "cloud"
        made = blnk_sdk.blnk_init(
            options.token if cloud else options.core_key,
            blnk_sdk.BlnkClientOptions(
                base_url=f"{sandbox.url}/proxy" if cloud else sandbox.url,
                instance_id=options.instance_id if cloud else None,
            ),
        )
        with made:
            yield Client(made)


def payment(reference: str, **changes: Any) -> dict[str, Any]:
    return {
        "amount": 10,
        "precision": 100,
        "currency": "EUR",
        "reference": reference,
        "description": "A test",
        "source": "@world",
        "destination": "@shop",
        "allow_overdraft": True,
        **changes,
    }


def test_every_call_of_the_official_client_that_is_played_is_answered_as_it_expects(client: Client) -> None:
    records(client)
    money(client)
    tokens(client)
    reconciliation(client)
    watching(client)
    offered = {
        f"{service}.{name}"
        for service in SERVICES
        for name in vars(type(getattr(client.inner, service)))
        if not name.startswith("_")
    }
    assert offered - client.called == NOT_PLAYED


def records(client: Client) -> None:
    assert client.call("system.health") == {"status": "UP"}
    ledger = client.call("ledgers.create", {"name": "Customers", "meta_data": {"a": 1}}, status=201)["ledger_id"]
    assert client.call("ledgers.get", ledger)["name"] == "Customers"
    assert client.call("ledgers.update", ledger, {"name": "Clients"})["name"] == "Clients"
    assert ledger in {one["ledger_id"] for one in client.call("ledgers.list", {"limit": 5, "offset": 0})}
    assert client.refused("ledgers.get", "123456789") == (404, "LGR_NOT_FOUND")
    person = client.call("identity.create", {"identity_type": "individual", **_person()}, status=201)["identity_id"]
    assert client.call("identity.get", person)["first_name"] == "Ada"
    assert len(client.call("identity.list")) == 1
    assert "message" in client.call(
        "identity.update", person, {"identity_type": "individual", **_person(city="London")}
    )
    wanted = {"ledger_id": ledger, "currency": "EUR"}
    balance = client.call("ledger_balances.create", wanted, status=201)["balance_id"]
    assert client.call("ledger_balances.get", balance)["balance"] == 0
    assert balance in {one["balance_id"] for one in client.call("ledger_balances.list", {"limit": 10})}
    assert "message" in client.call("ledger_balances.update_identity", balance, {"identity_id": person})
    assert client.call("metadata.update", ledger, {"meta_data": {"b": 2}})["meta_data"] == {"a": 1, "b": 2}
    alone = client.call("identity.create", {"identity_type": "individual", **_person()}, status=201)["identity_id"]
    assert client.call("identity.delete", alone) == {"message": "Identity deleted successfully"}
    assert client.refused("identity.get", alone) == (404, "IDT_NOT_FOUND")


def _person(**changes: str) -> dict[str, str]:
    return {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email_address": "ada@example.org",
        "phone_number": "+44 1",
        "gender": "female",
        "dob": "1815-12-10T00:00:00Z",
        "nationality": "GB",
        "category": "customer",
        "street": "St James's Square",
        "country": "GB",
        "state": "London",
        "post_code": "SW1",
        "city": "Ockham",
        **changes,
    }


def money(client: Client) -> None:
    queued = client.call("transactions.create", payment("queued"), status=201)
    assert queued["status"] == "QUEUED"
    found = wait_until(lambda: _row(client, "queued_q"), 10, "the payment is applied")
    assert (found["status"], found["parent_transaction"]) == ("APPLIED", queued["transaction_id"])
    assert client.call("transactions.get", queued["transaction_id"])["reference"] == "queued"
    assert client.call("transactions.get_by_reference", "queued")["status"] == "QUEUED"
    paid = client.call("transactions.create", payment("paid", skip_queue=True), status=201)["transaction_id"]
    assert client.refused("transactions.create", payment("paid", skip_queue=True)) == (409, "TXN_DUPLICATE_REFERENCE")
    refund = client.call("transactions.refund", paid, {"skip_queue": True, "description": "Back"}, status=201)
    assert (refund["status"], refund["description"]) == ("APPLIED", "Back")
    hold = client.call("transactions.create", payment("hold", skip_queue=True, inflight=True), status=201)
    part = {"status": "commit", "precise_amount": 400, "skip_queue": True}
    assert client.call("transactions.update_status", hold["transaction_id"], part)["precise_amount"] == 400
    holds = [
        client.call("transactions.create", payment(f"hold-{n}", skip_queue=True, inflight=True), status=201)
        for n in range(2)
    ]
    ids = [one["transaction_id"] for one in holds]
    commits = {"transactions": [{"transaction_id": ids[0]}], "skip_queue": True}
    assert client.call("transactions.bulk_commit_inflight", commits)["succeeded"] == 1
    voids = {"transaction_ids": [ids[1]], "skip_queue": True}
    assert client.call("transactions.bulk_void_inflight", voids)["succeeded"] == 1
    batch = {"transactions": [payment(f"item-{number}") for number in range(2)], "skip_queue": True}
    assert client.call("transactions.create_bulk", batch, status=201)["transaction_count"] == 2
    assert client.call("transactions.create", payment("tried", dry_run=True))["would_apply"] is True
    split = payment("split", skip_queue=True, destinations=[_leg("@a", "50%"), _leg("@b", "left")])
    del split["destination"]
    assert client.call("transactions.create", split, status=201)["status"] == "APPLIED"
    assert "paid" in {one["reference"] for one in client.call("transactions.list", {"limit": 100})}
    assert client.call("transactions.recover_queue", {"threshold": "5m"})["recovered"] == 0
    balance = client.call("ledger_balances.get_by_indicator", "@shop", "EUR")["balance_id"]
    at = client.call("ledger_balances.get_at", balance, {"timestamp": "2020-01-01T00:00:00Z"})
    assert at["balance"]["balance"] == 0
    rule = {"field": "reference", "operator": "eq", "value": "paid"}
    assert [one["reference"] for one in client.call("search.filter", {"filters": [rule]}, "transactions")] == ["paid"]


def _row(client: Client, reference: str) -> Any:
    answer = client.inner.transactions.get_by_reference(reference)
    return answer.data if answer.status == 200 else None


def _leg(identifier: str, distribution: str) -> dict[str, str]:
    return {"identifier": identifier, "distribution": distribution}


def tokens(client: Client) -> None:
    person = client.call("identity.create", {"identity_type": "individual", **_person()}, status=201)["identity_id"]
    client.call("identity.tokenize_field", person, "FirstName")
    client.call("identity.tokenize", person, {"fields": ["EmailAddress"]})
    marked = client.call("identity.get_tokenized_fields", person)["tokenized_fields"]
    assert sorted(marked) == ["EmailAddress", "FirstName"]
    assert client.call("identity.get", person)["first_name"].startswith("FPT:")
    assert client.call("identity.detokenize_field", person, "FirstName")["value"] == "Ada"
    shown = client.call("identity.detokenize", person, {"fields": []})["fields"]
    assert shown == {"FirstName": "Ada", "EmailAddress": "ada@example.org"}


def reconciliation(client: Client) -> None:
    rule = client.call("reconciliation.create_matching_rule", RULE, status=201)["rule_id"]
    assert client.call("reconciliation.update_matching_rule", rule, {**RULE, "name": "other"})["name"] == "other"
    file = io.BytesIO(CSV)
    file.name = "statement.csv"
    upload = client.call("reconciliation.upload", file, "bank")
    run = {"upload_id": upload["upload_id"], "strategy": "one_to_one", "matching_rule_ids": [rule], "dry_run": True}
    begun = client.call("reconciliation.run", run)["reconciliation_id"]
    ended = wait_until(lambda: _ended(client, begun), 10, "the run is over")
    assert ended["status"] == "completed"
    client.call("reconciliation.get", begun)
    record = {"id": "i-1", "amount": 1, "reference": "r", "currency": "EUR", "description": "d", "source": "bank"}
    instant = {**run, "external_transactions": [{**record, "date": "2026-11-20T10:00:00Z"}]}
    del instant["upload_id"]
    assert client.call("reconciliation.run_instant", instant)["reconciliation_id"].startswith("recon_")
    client.call("reconciliation.delete_matching_rule", rule)


def _ended(client: Client, run: str) -> Any:
    answer = client.inner.reconciliation.get(run)
    return answer.data if (answer.data or {}).get("status") in ("completed", "failed") else None


def watching(client: Client) -> None:
    balance = client.call("ledger_balances.get_by_indicator", "@shop", "EUR")["balance_id"]
    condition = {"field": "credit_balance", "operator": ">=", "precision": 100, "value": 1000}
    monitor = {"balance_id": balance, "condition": condition, "description": "Tier 1"}
    made = client.call("balance_monitor.create", monitor, status=201)["monitor_id"]
    assert client.call("balance_monitor.get", made)["balance_id"] == balance
    assert len(client.call("balance_monitor.list")) == 1
    assert len(client.call("balance_monitor.list_by_balance_id", balance)) == 1
    client.call("balance_monitor.update", made, monitor)
    client.call("balance_monitor.delete", made)
    assert client.refused("balance_monitor.get", made) == (404, "BAL_MONITOR_NOT_FOUND")
    hook = {"name": "n", "url": "https://example.org/h", "type": "PRE_TRANSACTION", "active": False}
    hook |= {"timeout": 5, "retry_count": 0}
    made = client.call("hooks.create", hook, status=201)["id"]
    assert [one["id"] for one in client.call("hooks.list")] == [made]
    assert client.call("hooks.get", made)["name"] == "n"
    assert client.call("hooks.update", made, {**hook, "name": "m"})["name"] == "m"
    client.call("hooks.delete", made)
