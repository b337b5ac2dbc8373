"""One odd intent among good ones: whatever it raises, and wherever, the others go their way (decision 41)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import tasks.deliver
import tasks.lookups
from blnk_relay import Receipt, Relay, Write, commit_hold, refund
from blnk_relay.intents.decision import Decision, Done, Send
from blnk_relay.intents.intent import Intent
from tasks.confirm import confirm
from tasks.deliver import deliver
from tests.support.counting import still_open
from tests.support.hands import Hands, hands
from tests.support.payments import hold, payment
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

PACE: dict[str, Any] = {
    "slice_s": 0.2,
    "confirm_first_s": 0.05,
    "confirm_max_s": 0.2,
    "read_lag_s": 0.5,
    "quiet_s": 0.1,
}
ODD = "odd"


@pytest.fixture
def runtime(make_stage) -> Iterator[Hands]:
    """A worker's hands in this process: real Redis, real HTTP."""
    stage: Stage = make_stage(settings=PACE)
    with hands(stage.settings) as made:
        yield made


@pytest.fixture
def relay(runtime: Hands) -> Relay:
    return runtime.relay


def work(runtime: Hands, receipts: list[Receipt]) -> None:
    """Deliver and confirm until all of these are finished."""

    def done() -> bool:
        for lane in runtime.settings.lanes:
            deliver(runtime, lane)
        confirm(runtime)
        return not still_open(runtime.relay, receipts)

    wait_until(done, 40, "all to be finished", poll_s=0.01)


def odd(monkeypatch: pytest.MonkeyPatch, name: str, part: str, make: Callable[..., Any]) -> None:
    """The code of a kind does something else for one intent."""
    kinds = dict(tasks.lookups.KINDS)
    usual = getattr(kinds[name], part)

    def instead(entry: Any, *others: Any) -> Any:
        return make() if entry.key.startswith(ODD) else usual(entry, *others)

    kinds[name] = replace(kinds[name], **{part: instead})
    for module in (tasks.lookups, tasks.deliver):
        monkeypatch.setattr(module, "KINDS", kinds)


def raises() -> Any:
    raise ZeroDivisionError("what it says may be anybody's secret")


def enqueue(relay: Relay, odd_one: Intent | Write, others: int = 30) -> tuple[Receipt, list[Receipt]]:
    """One that is odd, in the midst of others."""
    innocent = [Write(intent=payment(f"innocent-{at}")) for at in range(others)]
    middle = odd_one if isinstance(odd_one, Write) else Write(intent=odd_one, key=f"{ODD}-one")
    receipts = relay.enqueue_many([*innocent[: others // 2], middle, *innocent[others // 2 :]])
    return receipts.pop(others // 2), receipts


def assert_untouched(relay: Relay, receipts: list[Receipt]) -> None:
    for receipt in receipts:
        status = relay.get(receipt.id)
        assert (status.state, status.outcome, status.attempts) == ("done", "applied", 1)


def broken() -> Decision:
    return Done({"no": "text"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "dead_class"),
    [
        (("lookups", raises), "refused"),
        (("decide", raises), "refused"),
        (("decide", broken), "refused"),
        (("request", raises), "refused"),
        # From here on it was sent.
        (("judge", raises), "unknown"),
        (("judge", lambda: None), "unknown"),
    ],
)
def test_whatever_the_code_of_a_kind_raises_is_charged_to_that_intent_alone(
    runtime, monkeypatch, caplog, case, dead_class
) -> None:
    relay, (part, make) = runtime.relay, case
    odd(monkeypatch, "transaction", part, make)
    if part == "judge":
        # Whatever it leads to is looked up; that it cannot be decided either makes it a matter for humans.
        odd(monkeypatch, "transaction", "decide", lambda: raises() if sent else Send())
    sent: list[bool] = []
    send = runtime.ledger.send

    def note(request: Any, request_id: str, **options: Any) -> Any:
        if str(request.body.get("reference", "")).startswith(ODD):
            sent.append(True)
        return send(request, request_id, **options)

    monkeypatch.setattr(runtime.ledger, "send", note)
    caplog.set_level(logging.ERROR)
    receipt, others = enqueue(relay, payment(f"{ODD}-one"))
    work(runtime, [receipt, *others])
    assert_untouched(relay, others)
    status = relay.get(receipt.id)
    assert (status.state, status.dead_class, status.code) == ("dead", dead_class, "CANNOT_BE_HANDLED")
    assert bool(sent) == (dead_class == "unknown")
    assert len(sent) <= 1
    assert any(line.what == "failed" for line in relay.history(receipt.id))
    assert "secret" not in caplog.text + status.message


def test_what_cannot_be_recorded_before_it_is_sent_is_no_trouble_of_others(relay, runtime, monkeypatch) -> None:
    held = relay.enqueue_many([Write(intent=hold("hold-1")), Write(intent=hold("hold-2"))])
    work(runtime, held)
    odd(monkeypatch, "inflight.commit", "decide", lambda: Send(memo={"what": object()}))
    receipts = relay.enqueue_many(
        [
            Write(intent=commit_hold("hold-1"), key=f"{ODD}-commit"),
            Write(intent=commit_hold("hold-2"), key="good-commit"),
        ]
    )
    work(runtime, receipts)
    assert relay.get("good-commit").outcome == "applied"
    status = relay.get(f"{ODD}-commit")
    assert (status.dead_class, status.code) == ("refused", "CANNOT_BE_HANDLED")


def test_a_question_that_cannot_be_asked_is_no_trouble_of_others(relay, runtime) -> None:
    """Half a surrogate pair in a name that is looked up goes through no URL and no JSON."""
    paid = relay.enqueue_many([Write(intent=payment(f"paid-{at}")) for at in range(4)])
    work(runtime, paid)
    receipts = relay.enqueue_many([Write(intent=refund(f"paid-{at}"), key=f"refund-{at}") for at in range(4)])
    id_ = receipts[1].id
    journal = relay.journal()
    body = journal.client.get(journal.key(f"body:{id_}"))
    journal.client.set(journal.key(f"body:{id_}"), str(body).replace('"paid-1"', '"\\ud83d"'))
    work(runtime, receipts)
    others = [relay.get(receipt.id).outcome for receipt in receipts if receipt.id != id_]
    assert others == ["refunded"] * 3
    status = relay.get(id_)
    assert (status.state, status.dead_class) == ("dead", "refused")


@pytest.mark.parametrize("after_sending", [False, True])
def test_a_body_that_is_no_json_is_no_trouble_of_others(relay, runtime, after_sending) -> None:
    receipt, others = enqueue(relay, payment(f"{ODD}-one"))
    journal = relay.journal()
    if after_sending:
        deliver(runtime, "transactions")
    journal.client.set(journal.key(f"body:{receipt.id}"), '{"key":"odd-one","kind":"trans')
    work(runtime, [receipt, *others])
    assert_untouched(relay, others)
    fields = journal.client.hgetall(journal.key(f"intent:{receipt.id}"))
    assert (fields["state"], fields["code"]) == ("dead", "CANNOT_BE_HANDLED")
    assert fields["class"] == ("unknown" if after_sending else "refused")


def test_kinds_of_a_newer_producer_are_left_to_newer_workers_and_told_once(relay, runtime, caplog) -> None:
    caplog.set_level(logging.WARNING)
    receipt, others = enqueue(relay, payment(f"{ODD}-one"), others=120)
    journal = relay.journal()
    key = journal.key(f"body:{receipt.id}")
    journal.client.set(key, str(journal.client.get(key)).replace('"transaction"', '"transaction.reversed"'))
    journal.client.hset(journal.key(f"intent:{receipt.id}"), "kind", "transaction.reversed")
    work(runtime, others)
    for _ in range(3):
        deliver(runtime, "transactions")
    assert_untouched(relay, others)
    fields = journal.client.hgetall(journal.key(f"intent:{receipt.id}"))
    assert (fields["state"], "token" in fields, "claims" in fields) == ("ready", False, False)
    told = [record for record in caplog.records if "transaction.reversed" in record.getMessage()]
    assert len(told) == 1


def test_a_replay_gives_an_intent_whose_code_failed_all_its_tries_again(relay, runtime, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        odd(patched, "transaction", "request", raises)
        receipt, _ = enqueue(relay, payment(f"{ODD}-one"), others=0)
        work(runtime, [receipt])
    assert relay.get(receipt.id).code == "CANNOT_BE_HANDLED"
    status = relay.journal().status(receipt.id)
    assert status is not None
    operator_of(relay).replay(status, who="me", reason="a newer worker")
    work(runtime, [receipt])
    assert relay.get(receipt.id).outcome == "applied"
