"""Writes besides payments through real workers: several on one record, linked ones, and what is refused.

That each kind happens once whatever goes wrong is tried in ``test_kind_faults.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from blnk_relay import (
    Relay,
    Status,
    create_balance,
    create_identity,
    create_ledger,
    create_matching_rule,
    delete_matching_rule,
    link_identity,
    result_of,
    start_instant_reconciliation,
    start_reconciliation,
    tokenize_identity,
    update_identity,
    update_matching_rule,
    update_metadata,
    upload_records,
)
from blnk_relay.relay import Write
from blnk_relay.sandbox import Faults, Rule
from worker.demo.stage import Stage

#: One that acts and one that does not; each kind is tried under all of them in test_kind_faults.py.
FAULTS = ("504_with_effect", "drop_before")
WAIT_S = 40.0


@dataclass(frozen=True)
class Scene:
    """A running stage with its relay, and a name that no other test uses for its keys."""

    stage: Stage
    relay: Relay
    name: str

    def key(self, what: str) -> str:
        return f"{self.name}-{what}"

    def result(self, what: str, field: str) -> Any:
        return result_of(self.key(what), field)

    def enqueue(self, **intents: Any) -> None:
        self.relay.enqueue_many([Write(intent=intent, key=self.key(what)) for what, intent in intents.items()])

    def wait(self, *whats: str) -> dict[str, Status]:
        return {what: self.relay.wait(self.key(what), WAIT_S) for what in whats}

    def done(self, *whats: str) -> dict[str, str]:
        """Ids that intents came to; they must all be done."""
        found = self.wait(*whats)
        assert {what: (status.state, status.code) for what, status in found.items() if status.state != "done"} == {}
        return {what: status.transaction_id for what, status in found.items()}

    def struck(self) -> int:
        return sum(1 for seen in self.stage.sandbox.requests_seen() if seen.fault)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Stage, Relay]]:
    with Stage() as stage:
        stage.start_worker()
        with Relay(stage.settings) as relay:
            yield stage, relay


@pytest.fixture
def scene(running: tuple[Stage, Relay], request: pytest.FixtureRequest) -> Iterator[Scene]:
    stage, relay = running
    yield Scene(stage, relay, request.node.name)
    stage.sandbox.set_faults(Faults.none())


@pytest.mark.parametrize("fault", FAULTS)
def test_values_are_set(scene: Scene, fault: str) -> None:
    scene.enqueue(
        person=create_identity(first_name=scene.name, email_address="m@example.org", meta_data={"keep": 1}),
        other=create_identity(first_name="Other", email_address="o@example.org"),
        ledger=create_ledger(scene.name),
        wallet=create_balance(scene.result("ledger", "ledger_id"), "EUR"),
    )
    ids = scene.done("person", "other", "ledger", "wallet")
    names = scene.stage.sandbox.requests_seen()
    assert names
    before = scene.struck()
    # Ids are known to a plan of faults by what was sent for them, so only the routes can be told apart here.
    scene.stage.sandbox.set_faults(
        Faults.script(
            [
                Rule(fault, method="PUT", path=f"/proxy/identities/{ids['person']}"),
                Rule(fault, method="POST", path=f"/proxy/identities/{ids['other']}/tokenize"),
                Rule(fault, method="PUT", path=f"/proxy/balances/{ids['wallet']}/identity"),
                Rule(fault, method="POST", path=f"/proxy/{ids['ledger']}/metadata"),
                Rule(fault, method="POST", path=f"/proxy/{ids['wallet']}/metadata"),
            ]
        )
    )
    person, other = scene.result("person", "identity_id"), scene.result("other", "identity_id")
    scene.enqueue(
        first=update_identity(person, city="Lund", last_name="L"),
        second=update_identity(person, city="Malmo"),
        tagged=update_metadata(person, {"tag": {"a": 0.1}}),
        tokens=tokenize_identity(other, ["first_name", "email_address"]),
        link=link_identity(ids["wallet"], ids["person"]),
        ledger_tag=update_metadata(ids["ledger"], {"tag": 1, "none": None}),
        wallet_tag=update_metadata(ids["wallet"], {"tag": 1}),
    )
    scene.done("first", "second", "tagged", "tokens", "link", "ledger_tag", "wallet_tag")
    assert scene.struck() - before == 5
    books = scene.stage.sandbox.books()
    mara = next(item for item in books.identities if item.identity_id == ids["person"])
    assert (mara.texts["city"], mara.texts["last_name"]) == ("Malmo", "L")
    assert mara.meta is not None
    assert (mara.meta["keep"], mara.meta["tag"]) == (1, {"a": 0.1})
    second = next(item for item in books.identities if item.identity_id == ids["other"])
    assert second.meta is not None
    assert second.meta["tokenized_fields"] == {"FirstName": True, "EmailAddress": True}
    assert all(second.texts[name].startswith("FPT:") for name in ("first_name", "email_address"))
    wallet = next(item for item in books.balances if item.balance_id == ids["wallet"])
    assert wallet.identity_id == ids["person"]
    assert (wallet.meta or {})["tag"] == 1
    ledger = next(item for item in books.ledgers if item.ledger_id == ids["ledger"])
    assert (ledger.meta or {})["tag"] == 1


def test_an_identity_that_exists_under_the_callers_id_is_refused_and_left_alone(scene: Scene) -> None:
    scene.enqueue(first=create_identity(first_name="First"))
    identity_id = scene.done("first")["first"]
    scene.enqueue(second=create_identity(first_name="Second", identity_id=identity_id))
    second = scene.wait("second")["second"]
    assert (second.state, second.dead_class, second.code) == ("dead", "refused", "IDENTITY_EXISTS")
    found = [item for item in scene.stage.sandbox.books().identities if item.identity_id == identity_id]
    assert [item.texts["first_name"] for item in found] == ["First"]


def test_the_ledgers_words_about_a_person_are_not_kept() -> None:
    # This ledger refuses a bare date, and quotes it (contract §2.7).
    with Stage(settings={"dob_format": "date"}) as stage, Relay(stage.settings) as relay:
        stage.start_worker()
        relay.enqueue(create_identity(first_name="Mara", dob="1990-01-01"), key="mara")
        status = relay.wait("mara", WAIT_S)
        assert (status.state, status.dead_class, status.code) == ("dead", "refused", "GEN_MALFORMED_REQUEST")
        assert "1990" not in status.message
        assert all("1990" not in attempt.note for attempt in relay.history("mara"))


def test_plain_text_is_never_written_over_a_token(scene: Scene) -> None:
    scene.enqueue(person=create_identity(first_name="Quoted"))
    identity_id = scene.done("person")["person"]
    scene.enqueue(tokens=tokenize_identity(identity_id, ["first_name"]))
    scene.done("tokens")
    scene.enqueue(update=update_identity(identity_id, first_name="Secretia"))
    update = scene.wait("update")["update"]
    assert (update.state, update.dead_class, update.code) == ("dead", "refused", "FIELD_TOKENIZED")
    assert "Secretia" not in update.message
    assert scene.stage.sandbox.books().violations() == []


# -- reconciliation --------------------------------------------------------------------------------------------------

CRITERIA = [
    {"field": "amount", "operator": "equals", "allowable_drift": 0.01},
    {"field": "reference", "operator": "equals"},
]


def statement(name: str, records: int = 3) -> bytes:
    lines = "".join(f"{name}-{number},12.50,EUR,r{number},d,2026-11-20T09:15:31Z\n" for number in range(records))
    return ("ID,Amount,Currency,Reference,Description,Date\n" + lines).encode()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_statement_is_uploaded_once_and_rules_are_made_changed_and_deleted(scene: Scene, fault: str) -> None:
    before = scene.struck()
    rule = f"rule-{fault.replace('_', '-')}".replace("5", "five")
    scene.enqueue(
        old=create_matching_rule("old " + rule, CRITERIA),
        doomed=create_matching_rule("doomed " + rule, CRITERIA),
    )
    ids = scene.done("old", "doomed")
    rules = "/proxy/reconciliation/matching-rules"
    scene.stage.sandbox.set_faults(
        Faults.script(
            [
                Rule(fault, method="POST", path="/proxy/reconciliation/upload"),
                Rule(fault, method="POST", path="/proxy/reconciliation/start-instant"),
                Rule(fault, method="POST", path=rules),
                Rule(fault, method="PUT", path=f"{rules}/{ids['old']}"),
                Rule(fault, method="DELETE", path=f"{rules}/{ids['doomed']}"),
            ]
        )
    )
    record = {"id": f"{scene.name}-instant", "amount": 50.5, "date": "2026-11-20T10:00:00Z", "currency": "EUR"}
    scene.enqueue(
        nov=upload_records("bank-x", statement(scene.name), name="nov.csv"),
        new=create_matching_rule("new " + rule, CRITERIA),
        changed=update_matching_rule(ids["old"], "changed " + rule, CRITERIA[1:], description="shorter"),
        deleted=delete_matching_rule(ids["doomed"]),
        instant=start_instant_reconciliation([record], "one_to_one", [ids["old"]], dry_run=True),
        run=start_reconciliation(
            scene.result("nov", "upload_id"), "one_to_one", [scene.result("new", "rule_id")], dry_run=True
        ),
    )
    found = scene.done("nov", "new", "changed", "deleted", "instant", "run")
    assert scene.struck() - before == 5
    books = scene.stage.sandbox.books()
    stored = [item for item in books.external_records if item.id.startswith(f"{scene.name}-")]
    assert sorted(item.id for item in stored if item.upload_id == found["nov"]) == [
        f"{scene.name}-{n}" for n in range(3)
    ]
    assert len(stored) == 4
    complete = [item.upload_id for item in books.uploads if item.complete and item.upload_id == found["nov"]]
    assert complete == [found["nov"]]
    assert sorted(item.name for item in books.rules if item.name.endswith(rule)) == ["changed " + rule, "new " + rule]
    changed = next(item for item in books.rules if item.rule_id == ids["old"])
    assert (changed.description, len(changed.criteria)) == ("shorter", 1)
    assert [item.rule_id for item in books.rules if item.name == "new " + rule] == [found["new"]]
    assert [run.reconciliation_id for run in books.runs if run.upload_id == found["nov"]] == [found["run"]]
    instant = next(item for item in stored if item.upload_id != found["nov"])
    assert [run.reconciliation_id for run in books.runs if run.upload_id == instant.upload_id] == [found["instant"]]


def test_a_start_that_never_left_is_sent_once_the_ledger_asked_for_patience(scene: Scene) -> None:
    rule = "patience"
    scene.enqueue(
        nov=upload_records("bank-x", statement(scene.name), name="nov.csv"), rule=create_matching_rule(rule, CRITERIA)
    )
    upload_id = scene.done("nov", "rule")["nov"]
    scene.stage.sandbox.set_faults(Faults.script([Rule("429", method="POST", path="/proxy/reconciliation/start")]))
    scene.enqueue(run=start_reconciliation(upload_id, "one_to_one", [scene.result("rule", "rule_id")]))
    scene.done("run")
    assert len([item for item in scene.stage.sandbox.books().runs if item.upload_id == upload_id]) == 1


@pytest.mark.parametrize("fault", ["drop_after", "500_no_effect"])
def test_two_starts_of_one_upload_are_two_runs_whatever_becomes_of_their_answers(scene: Scene, fault: str) -> None:
    scene.enqueue(
        nov=upload_records("bank-x", statement(scene.name), name="nov.csv"),
        rule=create_matching_rule(scene.name, CRITERIA),
    )
    ids = scene.done("nov", "rule")
    struck = scene.struck()
    path = "/proxy/reconciliation/start"
    scene.stage.sandbox.set_faults(Faults.script([Rule(fault, method="POST", path=path, times=2)]))
    scene.enqueue(
        **{name: start_reconciliation(ids["nov"], "one_to_one", [ids["rule"]], dry_run=True) for name in ("one", "two")}
    )
    found = scene.done("one", "two")
    assert scene.struck() - struck == 2
    runs = [run.reconciliation_id for run in scene.stage.sandbox.books().runs if run.upload_id == ids["nov"]]
    assert sorted(runs) == sorted([found["one"], found["two"]])


def test_what_exists_already_is_refused(scene: Scene) -> None:
    scene.enqueue(
        nov=upload_records("bank-x", statement(scene.name), name="nov.csv"),
        rule=create_matching_rule("taken", CRITERIA),
    )
    scene.done("nov", "rule")
    scene.enqueue(
        again=upload_records(
            "bank-x", statement(scene.name) + statement(scene.name + "x").partition(b"\n")[2], name="more.csv"
        ),
        taken=create_matching_rule("taken", CRITERIA[:1]),
        nothing=delete_matching_rule("rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4"),
    )
    found = scene.wait("again", "taken", "nothing")
    assert {what: (status.dead_class, status.code) for what, status in found.items()} == {
        "again": ("refused", "UPLOADED_BEFORE"),
        "taken": ("refused", "NAME_TAKEN"),
        "nothing": ("refused", "RECON_RULE_NOT_FOUND"),
    }


def test_the_file_of_a_discarded_upload_is_gone(scene: Scene) -> None:
    journal = scene.relay.journal()
    scene.enqueue(nov=upload_records("bank-x", statement(scene.name), name="nov.csv"))
    scene.done("nov")
    content = statement(scene.name) + b"later-" + scene.name.encode() + b",1,EUR,r,d,2026-11-20T09:15:31Z\n"
    scene.enqueue(again=upload_records("bank-x", content, name="more.csv"))
    dead = scene.wait("again")["again"]
    assert journal.file(dead.id, len(content)) == content
    journal.scripts.run("discard", dead.id, "{}", 100, "", "")
    assert journal.file(dead.id, len(content)) is None
