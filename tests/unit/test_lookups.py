"""Reading for a batch of intents: few questions, and nothing decided from a read that failed."""

from __future__ import annotations

from typing import Any

import pytest
from casebook import (
    HOUR,
    MINUTE,
    NOW_MS,
    POLICY,
    Showing,
    entry_of,
    payment,
    progress,
    queued_and,
    row,
    sent,
    txn,
)

from blnk_relay import commit_hold, refund, tokenize_identity
from blnk_relay.intents.decision import Again, Done, Look, Send
from blnk_relay.intents.exchange import Failure, GateAction, Response
from blnk_relay.intents.rows import family
from blnk_relay.journal.claimed import Claimed
from blnk_relay.settings import Settings
from tasks.confirm import _decided
from tasks.lookups import decisions, opened, portions, rounds
from tasks.pace import Pace
from tasks.runtime import Looked, Runtime
from tasks.settlements import Unread


class Ledger(Showing):
    """Shows rows, or fails."""

    def __init__(self, rows: Any = (), failure: Response | None = None) -> None:
        super().__init__(rows)
        self.failure = failure
        self.questions = 0

    def look(self, lookups: Any) -> Looked:  # type: ignore[override]
        self.questions += 1
        if self.failure is not None:
            return Looked(failed=dict.fromkeys(lookups, self.failure))
        rows, balances = super().look(lookups)
        return Looked(tuple(rows), tuple(balances))

    def share(self, _: Any) -> float:
        return 0.01


class Journal:
    """Knows which intents are open, and is told about gates."""

    def __init__(
        self, *open_references: str, fresh: tuple[str, ...] = (), renewed: dict[str, str] | None = None
    ) -> None:
        self.open = open_references
        self.fresh = fresh
        self.renewed = renewed or {}
        self.gates: list[tuple[Any, ...]] = []

    def is_open(self, reference: str) -> bool:
        return reference in self.open

    def is_fresh(self, reference: str, within_s: float) -> bool:
        return reference in self.fresh and within_s >= POLICY.read_lag_s

    def renewed_references(self, references: tuple[str, ...]) -> dict[str, str]:
        return {name: self.renewed[name] for name in references if name in self.renewed}

    def complain(self, side: str, change: Any, _times: int) -> tuple[bool, bool]:
        self.gates.append((side, change.action, change.code, change.wait_s))
        return True, False


class Reports:
    def __init__(self) -> None:
        self.pauses: list[tuple[Any, ...]] = []

    def paused(self, *pause: Any) -> None:
        self.pauses.append(pause)


def runtime_of(ledger: Ledger, journal: Journal | None = None) -> Any:
    return Runtime(
        settings=Settings(),
        target="default",
        journal=journal or Journal(),  # type: ignore[arg-type]
        bells=None,  # type: ignore[arg-type]
        ledger=ledger,
        reports=Reports(),  # type: ignore[arg-type]
        policy=POLICY,
        worker="w",
    )


def claimed(intent, now=None, key=None):
    return Claimed(entry_of(intent, key), now or sent(), "1")


def test_many_intents_are_read_for_together():
    batch = [claimed(payment(reference=f"order-{number}"), key=f"order-{number}") for number in range(50)]
    ledger = Ledger([row(number + 100, f"order-{number}_q", "APPLIED") for number in range(50)])
    decided, healthy = decisions(runtime_of(ledger), batch)
    assert ledger.questions == 1
    assert healthy
    assert [each.decision for each in decided] == [Done("applied", txn(number + 100)) for number in range(50)]


def test_every_intent_of_a_batch_is_decided_by_its_own_rows():
    batch = [
        claimed(payment()),
        claimed(refund("order_42"), progress()),
        claimed(commit_hold("hold-1"), progress()),
        claimed(payment(reference="order_43"), key="order_43"),
    ]
    ledger = Ledger((*queued_and("APPLIED"), row(6, "hold-1", "INFLIGHT", precise_amount=5)))
    decided, _ = decisions(runtime_of(ledger), batch)
    by_key = {each.claimed.entry.key: each.decision for each in decided}
    assert by_key["order_42"] == Done("applied", txn(2), txn(1))
    assert by_key["refund:order_42"].exclusive == txn(2)
    assert by_key["commit:hold-1"].exclusive == txn(6)
    assert by_key["order_43"] == Send()
    assert sum(isinstance(each.decision, Send) for each in decided) == 3


def test_what_is_asked_twice_is_read_once():
    ledger = Ledger(queued_and("APPLIED"))
    decisions(runtime_of(ledger), [claimed(payment()), claimed(payment())])
    assert ledger.asked == list(family("order_42"))


# -- reads that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        Response(status=500),
        Response(failure=Failure.NOT_SENT),
        Response(status=200, failure=Failure.BROKEN),
        Response(400),
    ],
)
def test_a_failed_read_decides_nothing(failure):
    batch = [
        claimed(payment(), sent(refuse=True)),
        claimed(payment(reference="r2"), sent(looking=False), "r2"),
        claimed(refund("order_42"), progress()),
    ]
    decided, healthy = decisions(runtime_of(Ledger(failure=failure)), batch)
    assert not healthy
    assert [(each.claimed.entry.key, type(each.decision)) for each in decided] == [
        ("order_42", Look),
        ("r2", Again),
        ("refund:order_42", Again),
    ]
    assert decided[0].decision.refuse, "a clear no is not forgotten"
    assert not any(each.decision.counted for each in decided[1:])
    assert {each.unread.answer for each in decided} == {failure}


def test_reads_that_keep_failing_are_tried_less_and_less_often():
    ledger = Ledger(failure=Response(status=500))
    pauses = [
        decisions(runtime_of(ledger), [claimed(payment(), sent(ago))])[0][0].decision.in_s for ago in (0, MINUTE, HOUR)
    ]
    assert pauses == [0.3, 36.0, 60.0]


def test_a_read_that_fails_half_way_still_decides_what_it_can():
    class Once(Ledger):
        def look(self, lookups: Any) -> Looked:  # type: ignore[override]
            if self.questions:
                self.failure = Response(status=503)
            return super().look(lookups)

    batch = [claimed(payment()), claimed(refund("order_42"), progress())]
    decided, healthy = decisions(runtime_of(Once(queued_and("APPLIED"))), batch)
    assert healthy
    assert [type(each.decision) for each in decided] == [Done, Again]


@pytest.mark.parametrize(
    ("failure", "gates"),
    [
        (Response(status=401), [("read", GateAction.PAUSE), ("write", GateAction.PAUSE)]),
        (Response(status=403), [("read", GateAction.PAUSE)]),
        (Response(status=404), [("read", GateAction.PAUSE)]),
        (Response(status=429), [("read", GateAction.SLOW)]),
        (Response(status=503), [("read", GateAction.STRAIN)]),
        (Response(status=503, retry_after_s=7.0), [("read", GateAction.SLOW)]),
        (Response(failure=Failure.NOT_SENT, code="ConnectTimeout"), [("read", GateAction.LOST)]),
        # Why we did not ask says nothing of the target.
        (Response(failure=Failure.NOT_SENT, code="NO_ACCESS_TOKEN"), [("read", GateAction.STRAIN)]),
        (Response(status=400), []),
        (Response(status=500), []),
    ],
)
def test_what_a_failed_read_means_for_the_target(failure, gates):
    journal = Journal()
    decisions(runtime_of(Ledger(failure=failure), journal), [claimed(payment())])
    assert [(side, action) for side, action, *_ in journal.gates] == gates


def test_no_header_of_a_read_shuts_a_target_for_days():
    journal = Journal()
    decisions(runtime_of(Ledger(failure=Response(status=429, retry_after_s=10.0**9)), journal), [claimed(payment())])
    assert journal.gates[0][-1] <= 3600


# -- what is still in our own queue --------------------------------------------------------------------------------


@pytest.mark.parametrize("intent", [refund("order_42"), commit_hold("order_42")])
def test_what_acts_on_a_payment_that_is_still_in_our_queue_waits_for_it(intent):
    late = progress(since_ms=NOW_MS - 10 * HOUR)
    waiting, _ = decisions(runtime_of(Ledger(), Journal("order_42")), [claimed(intent, late)])
    assert waiting[0].decision == Again(POLICY.confirm_max_s, counted=False)
    # Done a moment ago: it is there, and the read lags.
    unseen, _ = decisions(runtime_of(Ledger(), Journal(fresh=("order_42",))), [claimed(intent, late)])
    assert unseen[0].decision == Again(POLICY.confirm_max_s, counted=False)
    alone, _ = decisions(runtime_of(Ledger(), Journal()), [claimed(intent, late)])
    assert alone[0].decision.code in ("TRANSACTION_NOT_FOUND", "HOLD_NOT_FOUND")


def test_what_came_about_since_the_ledger_was_read_waits_however_long_the_reading_took(monkeypatch):
    """It was open as the ledger was asked, and is over for longer than reads lag as that is decided by."""
    clock = [0.0]
    monkeypatch.setattr("tasks.lookups.steady_s", lambda: clock[0])

    class Slow(Ledger):
        def look(self, lookups: Any) -> Looked:  # type: ignore[override]
            looked = super().look(lookups)
            clock[0] += POLICY.read_lag_s + 30
            return looked

    class Done(Journal):
        """Knows of one that was done as the ledger was read."""

        def is_fresh(self, reference: str, within_s: float) -> bool:
            return reference == "order_42" and within_s >= clock[0]

    late = progress(since_ms=NOW_MS - 10 * HOUR)
    waiting, _ = decisions(runtime_of(Slow(), Done()), [claimed(commit_hold("order_42"), late)])
    assert waiting[0].decision == Again(POLICY.confirm_max_s, counted=False)
    # What was over before reads could miss it is not there.
    dead, _ = decisions(runtime_of(Slow(), Journal()), [claimed(commit_hold("order_42"), late)])
    assert dead[0].decision.code == "HOLD_NOT_FOUND"


def test_a_letter_about_what_was_sent_again_under_another_reference_names_that():
    """The row that was named was taken back, which is true and of no use."""
    hold = row(1, "order_42", "INFLIGHT")
    undone = row(2, "ref_2", "VOID", parent=hold.transaction_id)
    journal = Journal(renewed={"order_42": "order_42.r2"})
    (dead,), _ = decisions(runtime_of(Ledger((hold, undone)), journal), [claimed(commit_hold("order_42"))])
    assert dead.decision.code == "TXN_ALREADY_VOIDED"
    assert dead.decision.message.endswith("But 'order_42' is sent as 'order_42.r2' by now: name it by that.")


# -- reads of which some fail --------------------------------------------------------------------------------------


class PartlyBroken(Ledger):
    """Cannot read some resources."""

    def __init__(self, rows: Any = (), **answers: Response) -> None:
        super().__init__(rows)
        self.answers = {name.replace("_", "-"): answer for name, answer in answers.items()}

    def look(self, lookups: Any) -> Looked:  # type: ignore[override]
        self.questions += 1
        fine = [lookup for lookup in lookups if lookup.resource not in self.answers]
        rows, records = Showing.look(self, fine)
        failed = {lookup: self.answers[lookup.resource] for lookup in lookups if lookup not in fine}
        return Looked(tuple(rows), tuple(records), failed)


def tokens(number: int = 1) -> Claimed:
    return claimed(
        tokenize_identity(f"idt_00000000-0000-4000-8000-{number:012}", ["email_address"]),
        progress(),
        key=f"tokens-{number}",
    )


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_read_that_fails_fails_for_those_that_needed_it_and_for_nobody_else(status):
    ledger = PartlyBroken(queued_and("APPLIED"), tokenized_fields=Response(status=status))
    decided, healthy = decisions(
        runtime_of(ledger), [claimed(payment()), tokens(), claimed(refund("order_42"), progress())]
    )
    by_key = {each.claimed.entry.key: each for each in decided}
    assert by_key["order_42"].decision == Done("applied", txn(2), txn(1))
    assert by_key["refund:order_42"].decision.exclusive == txn(2)
    assert isinstance(by_key["tokens-1"].decision, Again)
    assert by_key["tokens-1"].unread == Unread("tokenized-fields", Response(status=status))
    assert healthy


@pytest.mark.parametrize(
    ("answer", "gates"),
    [
        (Response(status=401), [("read", GateAction.PAUSE), ("write", GateAction.PAUSE)]),
        (Response(status=429), [("read", GateAction.SLOW)]),
        (Response(status=403), []),
        (Response(status=404), []),
        (Response(status=503), []),
        (Response(status=503, retry_after_s=7.0), []),
        (Response(status=500), []),
    ],
)
def test_what_payments_do_not_need_shuts_the_target_only_for_the_credential_and_the_pace(answer, gates):
    journal = Journal()
    decisions(runtime_of(PartlyBroken(tokenized_fields=answer), journal), [tokens()])
    assert [(side, action) for side, action, *_ in journal.gates] == gates


@pytest.mark.parametrize(
    ("answer", "asked_again"),
    [
        (Response(status=403), False),
        (Response(status=404), False),
        (Response(status=503, retry_after_s=7.0), False),
        (Response(status=500), True),
    ],
)
def test_a_resource_that_is_not_to_be_had_is_left_alone_for_a_while(answer, asked_again):
    ledger = PartlyBroken(tokenized_fields=answer)
    runtime = runtime_of(ledger)
    decisions(runtime, [tokens()])
    ledger.answers = {"tokenized-fields": Response(status=500, code="NEWS")}
    (second,), _ = decisions(runtime, [tokens()])
    assert ledger.questions == 1 + asked_again
    assert (second.unread.answer.code == "NEWS") == asked_again
    assert not decisions(runtime, [claimed(payment())])[0][0].unread, "others are asked for"


def test_whose_question_cannot_be_asked_is_found_out():
    class Choosy(Ledger):
        def look(self, lookups: Any) -> Looked:  # type: ignore[override]
            if any("odd" in lookup.value for lookup in lookups):
                raise UnicodeEncodeError("utf-8", "x", 0, 1, "no")
            return super().look(lookups)

    batch = [
        claimed(payment()),
        claimed(payment(reference="odd"), key="odd"),
        claimed(payment(reference="r2"), key="r2"),
    ]
    decided, _ = decisions(runtime_of(Choosy(queued_and("APPLIED"))), batch)
    by_key = {each.claimed.entry.key: each.decision for each in decided}
    assert by_key["odd"].error == "UnicodeEncodeError"
    assert by_key["order_42"] == Done("applied", txn(2), txn(1))
    assert isinstance(by_key["r2"], Look | Send)


# -- how much is read at once --------------------------------------------------------------------------------------


def test_batches_are_cut_by_the_requests_that_they_cost_at_the_measured_pace():
    class OneByOne(Ledger):
        def share(self, _: Any) -> float:
            return 1.0

    runtime = runtime_of(OneByOne())
    batch = [opened(runtime, claimed(payment(reference=f"r{at}"), key=f"r{at}")) for at in range(12)]
    for each_s, sizes in ((0.05, [10, 2]), (0.5, [1] * 12), (0.0, [12]), (20.0, [1] * 12)):
        runtime.pace = Pace()
        runtime.pace.note(10, 10 * each_s)
        assert [len(portion) for portion in portions(runtime, batch, 1.0)] == sizes
    runtime.pace = Pace()
    runtime.pace.note(10, 0.0)
    side_by_side = list(portions(runtime, batch, 1.0, connections=4))
    assert [len(portion) for portion in side_by_side] == [3, 3, 3, 3], "the pace may be another by now"
    together = runtime_of(Ledger())
    together.pace.note(1, 3.0)
    assert [len(portion) for portion in portions(together, batch, 1.0)] == [12], "in one request of three seconds"


def test_what_is_decided_early_does_not_wait_for_what_needs_more_reading():
    ledger = Ledger(queued_and("APPLIED"))
    runtime = runtime_of(ledger)
    batch = [opened(runtime, claimed(payment())), opened(runtime, claimed(refund("order_42"), progress()))]
    seen = [[each.claimed.entry.key for each in one.decided] for one in rounds(runtime, batch)]
    assert seen[-1] == ["refund:order_42"] or len(seen) > 1
    assert sorted(key for keys in seen for key in keys) == ["order_42", "refund:order_42"], "each once"


def test_a_refusal_that_was_to_be_confirmed_outlives_a_worker_that_stops():
    runtime = runtime_of(Ledger())
    runtime.stopping.set()
    batch = [opened(runtime, claimed(payment(), sent(refuse=refuse))) for refuse in (True, False)]
    given_back, healthy = _decided(runtime, batch)
    assert [each.decision for each in given_back] == [Look(0.0, refuse=True), Look(0.0, refuse=False)]
    assert not healthy
