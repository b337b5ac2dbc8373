"""What is encrypted in the journal: repeats stay known, workers without a key leave it alone, and keys come and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import (
    AsyncRelay,
    EncryptionKeyMissing,
    InvalidIntent,
    KeyConflict,
    NotFound,
    Operator,
    Refused,
    Relay,
    Settings,
    Status,
    Write,
    bulk_transactions,
    create_matching_rule,
    refund,
    upload_records,
)
from blnk_relay.history import schema
from blnk_relay.intents.decision import Send
from blnk_relay.journal.flows import run_flow
from blnk_relay.journal.readings import reading_of
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.tokens import Tokens, TokenStore
from tasks.confirm import confirm
from tasks.deliver import deliver
from tests.support.cli import die, run
from tests.support.hands import hands
from tests.support.history import books_of, copy, made, rows_of, sqlite_url
from tests.support.journal import WORKER, finish
from tests.support.payments import payment
from tests.support.secrecy import a_key
from tests.support.waiting import wait_until
from worker.demo.stage import Stage
from worker.metrics.families import Families

ONE, TWO = a_key("k1"), a_key("k2")

WAIT_S = 40.0

STATEMENT = b"ID,Amount,Currency,Reference,Description,Date\ns-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n"

#: Relays on one journal, by the keys that they have.
Having = Callable[..., Relay]


@pytest.fixture
def having(settings: Settings) -> Iterator[Having]:
    """Makes relays with some keys, on one empty journal."""
    with ExitStack() as stack:
        yield lambda *keys, **changes: stack.enter_context(
            Relay(replace(settings, encryption_keys=",".join(keys), **changes))
        )


def written(relay: Relay, key: str, field: str = "") -> str:
    """What stands on Redis of an intent: its body, or a field."""
    journal, id_ = relay.journal(), relay.get(key).id
    found: Any = (
        journal.client.hget(journal.key(f"intent:{id_}"), field)
        if field
        else journal.client.get(journal.key(f"body:{id_}"))
    )
    return found or ""


def worker(relay: Relay) -> str:
    """A worker for each relay: one remembers for a while what it left to others."""
    return f"tester-{id(relay)}"


def claim(relay: Relay, most: int = 10, lane: str = "transactions") -> Any:
    return relay.journal().claim(lane, worker(relay), most)


def end(relay: Relay, claimed: Any, to: str, **fields: str) -> None:
    relay.journal().settle(worker(relay), [Settlement(claimed, "sending", to, fields=fields)], ())  # type: ignore[arg-type]


def reseal(relay: Relay) -> Any:
    return Operator(relay.journals, relay.bells).reseal("default")


# -- repeats -------------------------------------------------------------------------------------------------------


def test_a_repeat_is_known_whatever_became_of_the_keys_between(having):
    plain, one, both, two = having(), having(ONE), having(TWO, ONE), having(TWO)
    assert plain.enqueue(payment("early"), key="early").created
    assert one.enqueue(payment("late"), key="late").created
    for relay in (one, both):
        assert [relay.enqueue(payment(key), key=key).created for key in ("early", "late")] == [False, False]
    # A whole batch, of which one is known in the clear.
    batch = [Write(intent=payment(key), key=key) for key in ("early", "late", "new")]
    assert [receipt.created for receipt in both.enqueue_many(batch)] == [False, False, True]
    assert reseal(both).done == 2
    assert [two.enqueue(payment(key), key=key).created for key in ("early", "late", "new")] == [False] * 3
    for relay in (both, two):
        for key in ("early", "late"):
            with pytest.raises(KeyConflict):
                relay.enqueue(payment(key, description="Another"), key=key)


def test_so_is_one_that_was_trimmed_before_the_keys_came_or_changed(having):
    plain, one = having(retention_s=0.001), having(ONE, retention_s=0.001)
    plain.enqueue(payment("early"), key="early")
    one.enqueue(payment("late"), key="late")
    for claimed in claim(one).items:
        end(one, claimed, "done", outcome="applied", txn="txn_1")
    wait_until(lambda: one.journal().sweep().swept and one.get("late").kind == "", WAIT_S, "the trimming")
    both = having(TWO, ONE)
    reseal(both)
    for relay in (one, both, having(TWO)):
        assert [relay.enqueue(payment(key), key=key).created for key in ("early", "late")] == [False, False]
        with pytest.raises(KeyConflict):
            relay.enqueue(payment("late", description="Another"), key="late")


def test_equal_payments_have_other_fingerprints_in_another_journal(having):
    one, elsewhere = having(ONE), having(ONE, namespace="elsewhere")
    for relay in (one, elsewhere):
        relay.enqueue(payment("same"), key="same")
    assert written(one, "same", "fp") != written(elsewhere, "same", "fp")


def test_who_has_no_key_cannot_tell_a_repeat_and_says_so_but_goes_on_with_what_is_new(having):
    plain, one, two = having(), having(ONE), having(TWO)
    plain.enqueue(payment("clear"), key="clear")
    one.enqueue(payment("hidden"), key="hidden")
    with pytest.raises(EncryptionKeyMissing, match=r"is encrypted with key k1 .* add it to"):
        plain.enqueue(payment("hidden"), key="hidden")
    with pytest.raises(KeyConflict):
        plain.enqueue(payment("clear", description="Another"), key="clear")
    assert plain.enqueue(payment("new"), key="new").created
    # Without the key of the secret nothing can be told at all.
    with pytest.raises(EncryptionKeyMissing):
        two.enqueue(payment("newer"), key="newer")


def test_a_reference_that_is_taken_is_a_conflict_as_ever(having):
    one = having(ONE)
    one.enqueue(payment("taken"), key="first")
    with pytest.raises(KeyConflict, match="reference 'taken'"):
        one.enqueue(payment("taken"), key="second")
    with pytest.raises(InvalidIntent):
        one.enqueue(payment(), key="third", after=["never"])


def test_a_secret_that_the_journal_has_lost_is_drawn_again(having):
    one = having(ONE)
    one.enqueue(payment("before"), key="before")
    journal = one.journal()
    # A failover takes it away together with all that came after it.
    journal.client.delete(*journal.client.keys(f"{journal.prefix}*"))
    assert one.enqueue(payment("after"), key="after").created
    assert not having(ONE).enqueue(payment("after"), key="after").created


def test_many_at_once_and_an_event_loop_do_as_one(having):
    one = having(ONE)
    intents = [Write(intent=payment(f"many-{at}"), key=f"many-{at}") for at in range(450)]
    assert sum(receipt.created for receipt in one.enqueue_many(intents)) == 450
    assert len(one.journal().conflicts([])) == 0

    async def again() -> int:
        async with AsyncRelay(one.settings) as relay:
            assert (await relay.get("many-3")).encrypted == ("k1",)
            return sum(receipt.created for receipt in await relay.enqueue_many(intents))

    assert asyncio.run(again()) == 0
    assert one.journal().payload(one.get("many-7").id)["precise_amount"] == 1_000


# -- workers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", [[], [TWO], [a_key("k1")]], ids=["no key", "another", "a wrong one under its id"])
def test_a_worker_without_the_key_leaves_it_to_those_who_have_it_and_goes_on_behind_it(having, lacking):
    one, without = having(ONE), having(*lacking)
    name = one.journal().seal.keys().names[0]
    one.enqueue_many([Write(intent=payment(f"hidden-{at}"), key=f"hidden-{at}") for at in range(30)])
    having().enqueue(payment("clear"), key="clear")
    got = wait_until(lambda: (found := claim(without, 5)).items and found, WAIT_S)
    assert [item.entry.key for item in got.items] == ["clear"]
    assert got.locked == (name,)
    assert got.strange == got.unreadable == ()
    assert len(claim(one, 100).items) == 30


def test_what_a_worker_writes_down_is_hidden_although_the_intent_was_not(having):
    plain, one = having(), having(ONE)
    plain.enqueue(payment("clear"), key="clear")
    [claimed] = claim(one).items
    assert one.journal().record([(claimed, Send(memo={"first": "sekret"}))]) == ["ok"]
    assert "sekret" not in written(one, "clear", "memo")
    end(one, claimed, "ready", code="BUSY", message="sekret is busy")
    assert "sekret" not in written(one, "clear", "message")
    # From now on it takes the key to go on.
    assert claim(plain).locked == (one.journal().seal.keys().names[0],)
    [again] = claim(one).items
    assert (again.progress.memo, again.progress.message) == ({"first": "sekret"}, "sekret is busy")
    status = plain.get("clear")
    assert (status.encrypted, status.locked) == (("k1",), ("k1",))
    assert status.message == "(encrypted with key k1, which this process does not have)"
    assert one.get("clear").message == "sekret is busy"


def test_an_order_of_rules_of_one_name_does_not_tell_the_name(having):
    one = having(ONE)
    rule = create_matching_rule("sekret", [{"field": "reference", "operator": "equals"}])
    one.enqueue_many([Write(intent=rule, key="a"), Write(intent=rule, key="b")])
    assert (one.get("a").state, one.get("b").state) == ("ready", "waiting")
    client = one.journal().client
    assert [key for key in client.keys("*") if "sekret" in key] == []


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    made: Stage = make_stage(settings={"encryption_keys": ONE})
    return made


def swap(relay: Relay, one: str, other: str, name: str = "body") -> None:
    """Put what is hidden of an intent into the place of another's."""
    journal = relay.journal()
    here, there = (journal.key(f"{name}:{relay.get(key).id}") for key in (one, other))
    first, second = journal.client.get(here), journal.client.get(there)
    if name == "body":
        # Each keeps its own head, so that only the hidden part is another's.
        texts = [json.loads(text) for text in (first, second)]
        texts[0]["payload"], texts[1]["payload"] = texts[1]["payload"], texts[0]["payload"]
        first, second = (json.dumps(text) for text in texts)
        journal.client.mset({here: first, there: second})
    else:
        journal.client.mset({here: second, there: first})


def test_what_was_moved_to_another_intent_becomes_a_letter_and_its_neighbours_go_on(stage):
    with hands(stage.settings) as runtime:
        relay = runtime.relay
        for key in ("a", "b", "well"):
            relay.enqueue(payment(key), key=key)
        swap(relay, "a", "b")
        assert deliver(runtime, "transactions") == 3
        wait_until(lambda: confirm(runtime) >= 0 and relay.get("well").state == "done", WAIT_S)
        for key in ("a", "b"):
            status = relay.get(key)
            assert (status.state, status.dead_class, status.code) == ("dead", "refused", "DOES_NOT_VERIFY")
            assert status.message.endswith("It was never sent.")
            with pytest.raises(NotFound, match="does not verify"):
                relay.journal().payload(status.id)
        assert {row.reference.removesuffix("_q") for row in stage.sandbox.books().rows} == {"well"}


def test_of_what_was_sent_nobody_can_tell_then(stage):
    with hands(stage.settings) as runtime:
        relay = runtime.relay
        for key in ("a", "b"):
            relay.enqueue(payment(key), key=key)
        deliver(runtime, "transactions")
        swap(relay, "a", "b")
        wait_until(lambda: confirm(runtime) >= 0 and relay.get("a").state == "dead", WAIT_S)
        assert (relay.get("a").dead_class, relay.get("a").code) == ("unknown", "DOES_NOT_VERIFY")


def test_a_file_that_was_moved_is_not_uploaded(stage):
    with hands(stage.settings) as runtime:
        relay = runtime.relay
        for key in ("a", "b"):
            content = STATEMENT.replace(b"s-1", key.encode())
            relay.enqueue(upload_records(f"bank {key}", content, name="x.csv"), key=key)
        swap(relay, "a", "b", "file")
        deliver(runtime, "transactions")
        assert [(relay.get(key).dead_class, relay.get(key).code) for key in ("a", "b")] == [
            ("refused", "DOES_NOT_VERIFY")
        ] * 2
        assert not stage.sandbox.books().uploads


# -- keys that come and go -----------------------------------------------------------------------------------------


def test_an_old_key_is_given_up_once_all_is_under_the_new_one(having):
    plain, one, both, two = having(), having(ONE), having(TWO, ONE), having(TWO)
    name_one, name_two = (relay.journal().seal.keys().names[0] for relay in (one, two))
    plain.enqueue(payment("clear"), key="clear")
    one.enqueue_many([payment(f"hidden-{at}") for at in range(60)])
    one.enqueue(upload_records("bank", STATEMENT, name="x.csv"), key="file")
    [letter] = claim(one, 1).items
    end(one, letter, "dead", **{"class": "rejected", "code": "NO", "message": "sekret"})
    store = TokenStore(one.journal(), "a-login")
    store.read()
    store.done(1, Tokens("an-access", "a-refresh", 60.0))
    operator = Operator(both.journals, both.bells)
    [use] = operator.key_use()
    # The message of the letter is hidden, whether its body is or not.
    hidden = 61 + (letter.entry.key == "clear")
    assert (use.first, use.intents, use.plain) == (name_two, {name_one: hidden}, 1)
    assert (use.secret, use.tokens, use.old) == (name_one, name_one, hidden + 2)
    looked: list[int] = []
    broken_off = operator.reseal("default", stopped=lambda: bool(looked), step=looked.append)
    assert not broken_off.finished
    result = operator.reseal("default")
    assert (result.finished, result.changed, result.locked, result.broken) == (True, 0, {}, ())
    [use] = operator.key_use()
    assert (use.intents, use.plain, use.secret, use.tokens, use.old) == ({name_two: 62}, 0, name_two, name_two, 0)
    # The old key is of no use any more, and of no need.
    assert TokenStore(two.journal(), "a-login").read().access == "an-access"
    assert two.get(letter.entry.key).message == "sekret"
    assert two.journal().file(two.get("file").id, len(STATEMENT)) == STATEMENT
    assert len(claim(two, 100).items) == 61
    assert not operator.reseal("default").done


def test_what_changes_or_cannot_be_read_meanwhile_is_left_as_it_is(having, monkeypatch):
    one, both, wrong = having(ONE), having(TWO, ONE), having(TWO)
    one.enqueue_many([payment(f"p-{at}") for at in range(3)])
    one.enqueue(upload_records("bank", STATEMENT, name="x.csv"), key="file")
    for item in claim(one).items:
        if item.entry.key == "file":
            end(one, item, "dead", **{"class": "refused", "code": "NO", "message": "no"})
    swap(one, "p-0", "p-1")
    operator = Operator(both.journals, both.bells)
    journal, drive = both.journal(), both.journal().drive
    seen: list[str] = []

    def meanwhile(flow: Any) -> Any:
        answer = drive(flow)
        if isinstance(answer, list) and len(answer) >= 2 and isinstance(answer[0], str) and '"file"' in str(answer):
            # Its texts were read, and a human closes the letter, so that its file is gone.
            seen.append("file")
            operator.discard(one.get("file"), who="me", reason="by hand")
        return answer

    monkeypatch.setattr(journal, "drive", meanwhile)
    result = operator.reseal("default")
    monkeypatch.undo()
    assert seen
    assert sorted(result.broken) == sorted([one.get("p-0").id, one.get("p-1").id])
    assert not journal.client.exists(journal.key(f"file:{one.get('file').id}"))
    with pytest.raises(Refused, match="has no key to write with"):
        reseal(having())
    # One who has the key of the secret, and not those of the intents.
    monkeypatch.setattr(wrong.journal().seal, "renewed_secret_flow", lambda: run_flow("now"))
    lost = Operator(wrong.journals, wrong.bells).reseal("default")
    assert set(lost.locked) == {one.journal().seal.keys().names[0]}


def test_keys_are_taken_up_and_given_up_while_workers_run(make_stage, tmp_path):
    path = tmp_path / "keys"
    path.write_text(ONE)
    stage: Stage = make_stage(settings={"encryption_keys_file": str(path)})
    stage.start_worker()
    with Relay(stage.settings) as relay:

        def through(name: str) -> set[str]:
            receipts = relay.enqueue_many(
                [Write(intent=payment(f"{name}-{at}"), key=f"{name}-{at}") for at in range(20)]
            )
            states: list[Status] = [relay.wait(receipt.key, WAIT_S) for receipt in receipts]
            assert {status.state for status in states} == {"done"}
            return {key for status in states for key in status.encrypted}

        assert through("first") == {"k1"}
        path.write_text(f"{TWO}\n{ONE}\n")
        wait_until(lambda: relay.journal().seal.keys().names[0].startswith("k2"), WAIT_S)
        assert "k2" in through("second")
        wait_until(lambda: not reseal(relay).changed, WAIT_S)
        wait_until(lambda: reseal(relay).done == 0, WAIT_S)
        path.write_text(TWO)
        wait_until(lambda: len(relay.journal().seal.keys().names) == 1, WAIT_S)
        assert through("third") == {"k2"}
        assert relay.get("first-0").encrypted == ("k2",)
        assert not relay.enqueue(payment("first-0"), key="first-0").created
    assert "CANNOT_BE_HANDLED" not in stage.log.read_text()


# -- tokens, commands ----------------------------------------------------------------------------------------------


def test_tokens_are_read_by_those_who_have_their_key_only(having):
    one, without = TokenStore(having(ONE).journal(), "a-login"), TokenStore(having(TWO).journal(), "a-login")
    assert one.read().access == ""
    assert one.begin(1, "me", 5.0, 0.0) == "a-login"
    assert one.done(1, Tokens("an-access", "a-refresh", 60.0))
    assert (one.read().access, one.read().version) == ("an-access", 2)
    kept = having().journal().client.hgetall(having().journal().key("oauth"))
    assert not [value for value in kept.values() if "an-access" in value or "a-refresh" in value]
    with pytest.raises(EncryptionKeyMissing, match="the OAuth token of target 'default' is encrypted with key k1"):
        without.read()


def test_a_token_that_cannot_be_read_keeps_nothing_else_from_being_renewed(having):
    one, both = having(ONE), having(TWO, ONE)
    one.enqueue(payment("order"), key="order")
    store = TokenStore(one.journal(), "a-login")
    assert store.read().version == 1
    assert store.done(1, Tokens("an-access", "a-refresh", 60.0))
    client, oauth = one.journal().client, one.journal().key("oauth")
    client.hset(oauth, "access", client.hget(oauth, "refresh"))
    made = Operator(both.journals, both.bells).reseal("default")
    assert (made.done, made.finished) == (1, True)
    assert ["access token of target 'default' does not verify" in why for why in made.tokens] == [True]
    after = TokenStore(having(TWO).journal(), "a-login")
    assert after.begin(2, "me", 5.0, 0.0) == "a-refresh"


def test_who_cannot_read_the_refresh_token_keeps_nobody_from_refreshing(having):
    one, without = TokenStore(having(ONE).journal(), "a-login"), TokenStore(having(TWO).journal(), "a-login")
    # Nobody has refreshed yet, so there is no access token that could not be read.
    assert (one.read().access, without.read().access) == ("", "")
    with pytest.raises(EncryptionKeyMissing):
        without.begin(1, "them", 60.0, 0.0)
    assert one.begin(1, "me", 60.0, 0.0) == "a-login"


def test_a_replay_under_new_references_needs_the_key_where_they_stand_in_the_payload(having):
    one, without = having(ONE), having(TWO)
    one.enqueue(bulk_transactions([payment("x"), payment("y")]), key="bulk")
    one.enqueue(payment("single"), key="single")
    for item in claim(one).items:
        end(one, item, "dead", **{"class": "rejected", "code": "TXN_INSUFFICIENT_FUNDS", "message": "no"})
    hands_without = Operator(without.journals, without.bells)
    with pytest.raises(Refused, match="is encrypted with key k1, which this process does not have"):
        hands_without.replay(without.get("bulk"), who="me", reason="a test")
    hands_without.replay(without.get("single"), who="me", reason="a test")
    assert one.get("single").reference == "single.g1" or one.get("single").generation == 1
    Operator(one.journals, one.bells).replay(one.get("bulk"), who="me", reason="a test")
    assert one.enqueue(bulk_transactions([payment("x"), payment("y")]), key="bulk").created is False
    assert '"payload": {' not in written(one, "bulk")
    got = {item.entry.key: item for item in claim(one).items}
    assert [item["reference"] for item in got["bulk"].entry.payload["items"]] != ["x", "y"]


def test_the_commands_tell_which_key_is_needed_and_go_on_without_it(having, environment):
    having(ONE).enqueue(payment("order", description="sekret"), key="order")
    shown = run("show", "order")
    assert shown.code == 0
    assert "encrypted  with key k1, which this process does not have" in shown.out
    assert run("show", "order", "--json").json["intent"]["locked"] == ["k1"]
    refused = run("show", "order", "--payload")
    assert refused.code == 4
    assert "is encrypted with key k1" in refused.err
    keys = run("encryption", "keys", "--json").json["targets"][0]
    assert [name.partition(".")[0] for name in keys["lacking"]] == ["k1"]
    assert run("encryption", "renew").code == 5
    environment.setenv("BLNK_RELAY_ENCRYPTION_KEYS", f"{TWO},{ONE}")
    assert "sekret" in run("show", "order", "--payload").out
    assert "is written with" in run("encryption", "keys").out
    assert "1 intent put under the first key" in run("encryption", "renew").out
    assert run("encryption", "renew", "--json").json["targets"][0]["done"] == 0
    environment.setenv("BLNK_RELAY_ENCRYPTION_KEYS", TWO)
    assert run("encryption", "keys", "--json").json["targets"][0]["old"] == 0
    assert "sekret" in run("show", "order", "--payload").out


def test_what_is_encrypted_later_does_not_stay_in_the_clear_among_the_names_of_history(having, tmp_path):
    database, secret = made(sqlite_url(tmp_path)), "txn_0f0e0d0c-0b0a-4908-8706-050403020100"
    clear = having(history_url=sqlite_url(tmp_path))
    clear.enqueue(payment(destination="@secret-wallet"), key="order-1")
    clear.enqueue(refund(secret), key="refund-1")
    journal = clear.journal()
    finish(journal, *(one for lane in journal.settings.lanes for one in journal.claim(lane, WORKER, 10).items))
    copy(journal, database)
    assert secret in str(rows_of(database, schema.names, "name"))
    hidden = having(ONE, history_url=sqlite_url(tmp_path))
    assert reseal(hidden).done == 2
    copy(hidden.journal(), database)
    told = str(books_of(database))
    assert [text for text in (secret, "@secret-wallet") if text in told] == []
    names = {(row["sort"], row["name"]) for row in rows_of(database, schema.names, "name")}
    assert ("reference", "order-1") in names
    database.close()


def test_what_no_worker_can_read_is_named_by_status_and_doctor_with_its_key(settings, having, environment):
    relay = having(ONE)
    relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(5)])
    environment.setenv("BLNK_RELAY_ENCRYPTION_KEYS", TWO)
    seen = [one for one in run("status", "--json").json["verdicts"] if one["sort"] == "encryption-key"]
    assert [(one["severity"], one["count"], "5 open intents" in one["what"]) for one in seen] == [("warning", 5, True)]
    assert "key k1 (check" in seen[0]["what"]
    [found] = [one for one in run("doctor", "--json").json["findings"] if one["check"] == "encryption"]
    assert (found["level"], "key k1 (check" in found["saw"]) == ("failure", True)
    # In front of others, and due for longer than any worker would leave it that could read it.
    journal = relay.journal()
    ready = journal.key("ready:transactions")
    for id_ in journal.client.zrange(ready, 0, -1):
        journal.client.zincrby(ready, -90_000, id_)
    having(TWO, ONE).enqueue(payment(), key="later")
    [verdict] = [one for one in run("status", "--json").json["verdicts"] if one["sort"] == "encryption-key"]
    assert (verdict["severity"], verdict["count"]) == ("critical", 5)
    environment.setenv("BLNK_RELAY_ENCRYPTION_KEYS", f"{TWO},{ONE}")
    assert "encryption-key" not in run("status").out
    with Relay(replace(settings, encryption_keys=TWO)) as worker_of_two:
        assert sum(one.count for one in reading_of(worker_of_two.journal()).locked) == 5


def test_letters_that_cannot_be_read_are_told_by_status_doctor_and_metrics_alike(settings, having, environment):
    relay = having(ONE)
    relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(3)])
    die(relay, "rejected", "TXN_INSUFFICIENT_FUNDS")
    environment.setenv("BLNK_RELAY_ENCRYPTION_KEYS", TWO)
    [told] = [one for one in run("status", "--json").json["verdicts"] if one["sort"] == "encryption-key"]
    assert (told["severity"], told["count"]) == ("warning", 3)
    said = "3 dead letters need encryption key k1 (check"
    [found] = [one for one in run("doctor", "--json").json["findings"] if one["check"] == "encryption"]
    assert (said in told["what"], said in found["saw"], found["level"]) == (True, True, "warning")
    with Relay(replace(settings, encryption_keys=TWO)) as blind:
        seen = reading_of(blind.journal())
        families = Families(blind.journals.settings).of_journals({"default": seen})
        of = {family.name: [sample.value for sample in family.samples] for family in families}
    assert (seen.locked, of["blnk_relay_letters_locked"]) == ((), [3])
    environment.setenv("BLNK_RELAY_ENCRYPTION_KEYS", f"{TWO},{ONE}")
    assert "encryption-key" not in run("status").out
