"""Redis loses its last moments: what was sent in them is looked for, never simply sent again (docs/guarantees.md).

A replica is cut off at some point, the primary goes on to the end, and then the replica takes its place: it has never
heard of what happened after the cut. All kinds, by the tasks' real code over real HTTP, the books compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from blnk_relay import Operator, Refused, Settings, TooLate, Write, commit_hold, transaction
from blnk_relay.journal.journal import Journal
from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox import Sandbox
from tasks.confirm import confirm
from tasks.deliver import deliver
from tests.support.hands import Hands, hands
from tests.support.haste import (
    AFTERWARDS_S,
    HASTE,
    HASTY_LEDGER,
    commits,
    drive,
    effects,
    needed,
    scene_of,
    settle,
)
from tests.support.payments import hold, payment
from tests.support.replicas import Pair, replicated
from tests.support.specimens import SPECIMENS
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with replicated() as made:
        yield made


def cut_at(moment: str, pair: Pair, runtime: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the replica off at a moment of the run that follows."""

    def before(owner: Any, name: str) -> None:
        then = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, **options: (pair.cut(), then(*given, **options))[1])

    def after(owner: Any, name: str) -> None:
        then = getattr(owner, name)

        def both(*given: Any, **options: Any) -> Any:
            answer = then(*given, **options)
            pair.cut()
            return answer

        monkeypatch.setattr(owner, name, both)

    if moment == "accepted":
        pair.cut()
    elif moment == "claimed":
        before(runtime.journal, "record")
        before(runtime.ledger, "send")
    elif moment == "recorded":
        after(runtime.journal, "record")
    else:
        before(runtime.journal, "settle")


# The replica is cut off after the receipts, before anything was claimed; when all was claimed and nothing recorded;
# when it was recorded and not sent; when it was sent and no answer was settled.
@pytest.mark.parametrize(
    "moment", ["accepted", "sent", *(pytest.param(one, marks=pytest.mark.long) for one in ("claimed", "recorded"))]
)
def test_what_was_sent_in_the_lost_moments_happens_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    first_url, second_url = pair.urls
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        # The primary that is cut off goes on as if nothing were amiss: it asks nobody how durable its marks are.
        given = Settings(**HASTE, redis_url=first_url, base_url=sandbox.url, namespace=f"lost-{moment}")
        scenes = {name: scene_of(name, moment) for name in SPECIMENS}
        with hands(given) as runtime:
            ids = needed(runtime, list(SPECIMENS.values()), scenes, drive)
            before = effects(sandbox.books())
            writes = [
                Write(intent=one.make(scenes[name], ids[name]), key=scenes[name]) for name, one in SPECIMENS.items()
            ]
            runtime.relay.enqueue_many(writes)
            cut_at(moment, pair, runtime, monkeypatch)
            told = settle(runtime, writes, drive, "the primary")
            assert {status.state for status in told.values()} == {"done"}
            pair.cut()
        with hands(replace(given, redis_url=second_url)) as runtime:
            statuses = settle(runtime, writes, drive, "the replica")
        sandbox.step(AFTERWARDS_S)
        books = sandbox.books()
        assert books.violations() == []
        happened = 0
        for name, specimen in SPECIMENS.items():
            status, parts = statuses[scenes[name]], specimen.parts(books, scenes[name], ids[name])
            told_now = f"{name}: {status.state} {status.dead_class} {status.code} {status.message}; {parts}"
            assert all(len(part) == 1 for part in parts), told_now
            happened += len(parts) if specimen.moves else 0
            if status.state == "dead":
                assert status.dead_class == "unknown", f"a letter that says what is not true: {told_now}"
                assert status.code in ("MOMENT_LOST", "NOTHING_CAN_TELL"), told_now
            else:
                assert status.state == "done", told_now
        assert effects(books) == before + happened, "nothing moved twice"


def hold_and_part(runtime: Hands, scene: str) -> Write:
    """A hold that stands, and a part of it to commit."""
    made = Write(intent=hold(f"{scene}-hold", precise_amount=10_000))
    assert settle(runtime, [made], drive, "the hold")[f"{scene}-hold"].outcome == "held"
    return Write(intent=commit_hold(f"{scene}-hold", amount=10, currency="EUR"), key=f"{scene}-part")


@pytest.mark.parametrize("durability", ["replicated:1", "fsync"])
def test_what_the_ledger_cannot_recognise_waits_until_its_record_is_durable(
    pair: Pair, durability: str, caplog: pytest.LogCaptureFixture
) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        settings = Settings(
            **HASTE,
            redis_url=pair.urls[0],
            base_url=sandbox.url,
            namespace=f"mark-{durability[:4]}",
            durability=durability,
            durability_timeout_s=0.2,
        )
        with hands(settings) as runtime:
            part = hold_and_part(runtime, "scene")
            runtime.relay.enqueue_many([part])
            if durability == "fsync":
                pair.first.config_set("appendonly", "no")
            else:
                pair.cut()
            for _ in range(5):
                deliver(runtime, "writes")
                confirm(runtime)
            assert commits(sandbox, "scene-hold") == 0
            assert runtime.relay.get("scene-part").state == "ready"
            assert runtime.relay.get("scene-part").attempts == 0
            assert "not sent" in caplog.text
            # A payment is recognised by its reference: it goes all the same.
            pay = payment("scene-pay")
            assert settle(runtime, [Write(intent=pay)], drive, "a payment")["scene-pay"].state == "done"
            if durability == "fsync":
                pair.first.config_set("appendonly", "yes")
            else:
                pair.join()
            assert settle(runtime, [part], drive, "the part")["scene-part"].outcome == "applied"
        assert commits(sandbox, "scene-hold") == 1


def test_a_part_that_cannot_have_been_sent_is_sent_after_a_loss(pair: Pair) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace="unsent")
        with hands(given) as runtime:
            part = hold_and_part(runtime, "scene")
            runtime.relay.enqueue_many([part])
            pair.cut()
        with hands(replace(given, redis_url=pair.urls[1])) as runtime:
            assert settle(runtime, [part], drive, "the part")["scene-part"].outcome == "applied"
            # Once more in the same epoch: another part of the same amount, and nothing is in doubt any more.
            second = Write(intent=commit_hold("scene-hold", amount=10, currency="EUR"), key="scene-part-2")
            assert settle(runtime, [second], drive, "the second")["scene-part-2"].outcome == "applied"
        assert commits(sandbox, "scene-hold") == 2


def test_a_part_whose_receipt_was_lost_as_well_is_not_made_twice_by_enqueueing_it_again(pair: Pair) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace="again")
        with hands(given) as runtime:
            part = hold_and_part(runtime, "scene")
            pair.cut()
            assert settle(runtime, [part], drive, "the part")["scene-part"].outcome == "applied"
        with hands(replace(given, redis_url=pair.urls[1])) as runtime:
            told = settle(runtime, [part], drive, "the part again")["scene-part"]
            assert (told.dead_class, told.code) == ("unknown", "MOMENT_LOST")
        assert commits(sandbox, "scene-hold") == 1


def test_what_may_have_been_sent_in_the_lost_moments_cannot_be_cancelled(pair: Pair) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace="cancel")
        pay = payment()
        with hands(given) as runtime:
            deliver(runtime, "writes")
            runtime.relay.enqueue(pay, key="early")
            pair.cut()
        with hands(replace(given, redis_url=pair.urls[1])) as runtime:
            runtime.journal.sweep()
            runtime.relay.enqueue(pay, key="late")
            # The one enqueued since may be one whose receipt was lost as well.
            for key in ("early", "late"):
                with pytest.raises(TooLate, match="may have been sent in the last moments"):
                    runtime.relay.cancel(key)
            wait_until(lambda: deliver(runtime, "writes") or confirm(runtime) is None, 10)


@pytest.mark.parametrize("first", ["producer", "worker"])
def test_what_the_first_claim_of_a_journal_took_may_have_been_sent_though_it_is_lost(pair: Pair, first: str) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace=f"first-{first}")
        pay = transaction(
            source="@world",
            destination="@shop",
            currency="EUR",
            amount=1,
            description="A payment",
            allow_overdraft=True,
        )
        with hands(given) as runtime:
            runtime.relay.enqueue(pay, key="sent")
            pair.cut()
            wait_until(lambda: runtime.relay.get("sent").finished or deliver(runtime, "writes"), 20)
        # Others than those who saw the first epoch.
        with hands(replace(given, redis_url=pair.urls[1])) as runtime:
            if first == "worker":
                runtime.journal.sweep()
                assert runtime.journal.client.hget(runtime.journal.key("ground"), "lost")
            with pytest.raises(TooLate, match="may have been sent in the last moments"):
                runtime.relay.cancel("sent")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_waited_for_a_letter_that_is_closed_may_have_been_sent_in_the_lost_moments(
    pair: Pair, moment: str
) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace=f"closed-{moment}")
        pay = payment("behind-it")
        with hands(given) as runtime:
            part = hold_and_part(runtime, "scene")
            behind = Write(intent=pay, key="behind-it", after=["scene-part"])
            runtime.relay.enqueue_many([part, behind] if moment == "before" else [part])
            pair.cut()
            settle(runtime, [part, behind], drive, "both")
        with hands(replace(given, redis_url=pair.urls[1])) as runtime:
            (letter,) = settle(runtime, [part], drive, "the part").values()
            assert letter.code == "MOMENT_LOST"
            operator = Operator(runtime.relay.journals, runtime.relay.bells)
            if moment == "after":
                runtime.relay.enqueue_many([behind])
            assert runtime.relay.get("behind-it").state == "waiting"
            operator.discard(letter, who="me", reason="seen at the ledger")
            told = runtime.relay.get("behind-it")
            assert (told.dead_class, told.code) == ("unknown", "DEPENDENCY_CLOSED")
            assert "may have been sent" in told.message
            plan = operator.plan(told)
            assert (plan.way, "see at the ledger" in plan.why) == ("no", True)
        assert any(row.reference == "behind-it" for row in sandbox.books().rows)


def test_whoever_closes_a_letter_is_told_that_it_may_have_been_replayed_in_the_lost_moments(pair: Pair) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace="perhaps-replayed")
        bought, fill = (
            Write(intent=transaction(source=source, destination=to, currency="EUR", amount=1, description=key,
                                     allow_overdraft=key == "fill"), key=key)
            for key, source, to in (("bought", "@wallet", "@shop"), ("fill", "@world", "@wallet"))
        )  # fmt: skip
        with hands(given) as runtime:
            runtime.relay.enqueue_many([bought])
            (before,) = settle(runtime, [bought], drive, "bought").values()
            assert (before.dead_class, before.perhaps_replayed) == ("rejected", False)
            pair.cut()
            runtime.relay.enqueue_many([fill])
            settle(runtime, [fill], drive, "filled")
            Operator(runtime.relay.journals, runtime.relay.bells).replay(before, who="me", reason="filled")
            assert settle(runtime, [bought], drive, "replayed").popitem()[1].state == "done"
        with hands(replace(given, redis_url=pair.urls[1])) as runtime:
            operator = Operator(runtime.relay.journals, runtime.relay.bells)
            # Told before any worker has been there, by readers who change nothing.
            letter = operator.get("bought")
            assert (letter.state, letter.perhaps_replayed) == ("dead", True)
            assert "may have been replayed" in operator.plan(letter).why
            assert "may have been replayed" in operator.plan_many("discard").first[0].why
            assert runtime.journal.client.hget(runtime.journal.key("ground"), "lost") is None
            with pytest.raises(Refused, match="look again"):
                operator.discard(before, who="me", reason="it says that nothing happened")
            operator.replay(operator.get("bought"), who="me", reason="as it says")
            after = settle(runtime, [bought], drive, "looked for").popitem()[1]
            assert (after.state, after.perhaps_replayed) == ("done", False)
        moved = [row for row in sandbox.books().rows if row.reference.startswith("bought") and row.status == "APPLIED"]
        assert len(moved) == 1


def test_a_letter_that_may_have_been_replayed_can_be_closed_by_who_was_told(pair: Pair) -> None:
    pair.join()
    given = Settings(**HASTE, redis_url=pair.urls[0], base_url="http://127.0.0.1:9", namespace="told-and-closed")
    pay = transaction(source="@world", destination="@shop", currency="EUR", amount=1, description="A payment")
    with hands(given) as runtime:
        runtime.relay.enqueue_many(
            [
                Write(intent=pay, key="first", not_before=timedelta(hours=1)),
                Write(intent=replace(pay), key="late", after=["first"], deadline=timedelta(milliseconds=1)),
            ]
        )
        wait_until(lambda: runtime.journal.sweep() is not None and runtime.relay.get("late").state == "dead", 10)
        pair.cut()
    with hands(replace(given, redis_url=pair.urls[1])) as runtime:
        operator = Operator(runtime.relay.journals, runtime.relay.bells)
        # What it waited for is closed; it says no longer that it cannot have been sent.
        operator.cancel(operator.get("first"), who="me")
        late = operator.get("late")
        assert (late.dead_class, late.code) == ("unknown", "DEPENDENCY_CLOSED")
        assert "may have been sent" in late.message
        operator.discard(late, who="me", reason="seen at the ledger")
        assert operator.get("late").state == "discarded"


def test_what_came_long_after_a_loss_was_not_sent_when_what_it_waited_for_is_closed(pair: Pair) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace="closed-late")
        with hands(given) as runtime:
            part = hold_and_part(runtime, "scene")
            runtime.relay.enqueue_many([part])
            pair.cut()
            settle(runtime, [part], drive, "the part")
        with hands(replace(given, redis_url=pair.urls[1])) as runtime:
            (letter,) = settle(runtime, [part], drive, "the part").values()
            ground = runtime.journal.key("ground")
            runtime.journal.client.hincrby(ground, "lost", -3_600_000)
            runtime.relay.enqueue(payment(), key="behind-it", after=["scene-part"])
            Operator(runtime.relay.journals).discard(letter, who="me", reason="seen at the ledger")
            told = runtime.relay.get("behind-it")
            assert (told.dead_class, told.code) == ("refused", "DEPENDENCY_CLOSED")


def test_an_old_worker_settles_nothing_of_what_a_new_one_holds(pair: Pair) -> None:
    pair.join()
    with Sandbox(HASTY_LEDGER) as sandbox:
        given = Settings(**HASTE, redis_url=pair.urls[0], base_url=sandbox.url, namespace="tokens")
        with hands(given) as old:
            old.relay.enqueue(payment(), key="one")
            pair.cut()
            (before,) = old.journal.claim("writes", "old", 1).items
            with hands(replace(given, redis_url=pair.urls[1])) as new:
                (after,) = new.journal.claim("writes", "new", 1).items
                assert before.token != after.token
                assert before.token.rpartition(".")[2] == after.token.rpartition(".")[2] == "1"


def test_a_journal_that_goes_back_behind_what_was_seen_begins_a_new_epoch(journal: Any, relay: Any) -> None:
    relay.enqueue(payment(), key="one")
    journal.claim("transactions", "worker", 0)
    kept = journal.client.hgetall(journal.key("ground"))
    for _ in range(3):
        journal.claim("transactions", "worker", 0)
    # The same process, an older state of it: a machine was set back to a snapshot.
    journal.client.delete(journal.key("ground"))
    journal.client.hset(journal.key("ground"), mapping=kept)
    (claimed,) = journal.claim("transactions", "worker", 1).items
    assert claimed.token.partition("-")[0] == "2"
    assert claimed.progress.lost_ms > 0
    assert not claimed.progress.sent, "a payment is recognised by its reference, so it may simply go again"


def test_it_is_noticed_however_often_those_who_have_seen_less_came_before(journal: Any, relay: Any) -> None:
    """With one mark for all, they would raise it above what the one who knows has seen."""
    relay.enqueue(payment(), key="one")
    other = Journal(journal.settings)
    try:
        for one in (journal, other):
            one.claim("transactions", "worker", 0)
        kept = journal.client.hgetall(journal.key("ground"))
        for _ in range(3):
            journal.claim("transactions", "worker", 0)
        journal.client.delete(journal.key("ground"))
        journal.client.hset(journal.key("ground"), mapping=kept)
        for _ in range(9):
            other.claim("transactions", "another", 0)
        (claimed,) = journal.claim("transactions", "worker", 1).items
    finally:
        other.close()
    assert claimed.token.partition("-")[0] == "2"


def test_every_kind_that_the_ledger_does_not_recognise_is_recorded_before_it_is_sent() -> None:
    assert {name for name, kind in KINDS.items() if kind.keyed} == {
        "transaction",
        "transaction.split",
        "transaction.bulk",
    }
    assert all(kind.recorded for kind in KINDS.values() if not kind.keyed)
