"""An application, as the strict type checker sees it: all that is public, used as its documentation says.

Nothing here runs. `make lint` checks it, and so does tests/unit/test_typing.py.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal, assert_never, assert_type

from blnk_relay import (
    Action,
    Around,
    AsyncRelay,
    Attempt,
    AttemptName,
    Cause,
    Causes,
    Change,
    CutShort,
    DeadClassName,
    DoesNotVerify,
    DuplicateInBatch,
    EncryptionKeyMissing,
    Event,
    EventName,
    FindResult,
    GateView,
    Gathered,
    Glance,
    Health,
    HistoryLag,
    HistoryUnavailable,
    Intent,
    InvalidIntent,
    InvalidSettings,
    Job,
    JobName,
    JournalFull,
    JournalUnavailable,
    KeyConflict,
    KeyUse,
    LaneDepth,
    Leg,
    ListBound,
    ListPlace,
    Located,
    Log,
    Looked,
    ManyPlan,
    NotDurable,
    NotFound,
    Operator,
    OtherLedger,
    OtherLoop,
    OtherShape,
    OutcomeName,
    Overview,
    PartName,
    PartStatus,
    Pause,
    Planned,
    Question,
    Rate,
    Rates,
    Receipt,
    Refused,
    Relay,
    RelayError,
    ReplayPlan,
    ReplayWay,
    Resealed,
    ResultOf,
    Settings,
    Severity,
    Sign,
    StateName,
    Status,
    StillOpen,
    Target,
    Together,
    TooLate,
    UnsuitableServer,
    Upgraded,
    Verdict,
    Via,
    WorkerView,
    Write,
    __version__,
    bulk_transactions,
    commit_hold,
    commit_holds,
    create_balance,
    create_identity,
    create_ledger,
    create_matching_rule,
    delete_matching_rule,
    intent_of,
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


def money(now: datetime) -> list[Intent]:
    payment = transaction(
        source="@world",
        destination=result_of("wallet-bob", "balance_id"),
        currency="EUR",
        description="Pay-in",
        amount=Decimal("15.00"),
        reference="pay-in-bob",
        inflight=True,
        allow_overdraft=True,
        scheduled_for=now + timedelta(days=1),
        meta_data={"order": "42"},
    )
    return [
        payment,
        transaction(source="@a", destination="@b", currency="EUR", description="In cents", precise_amount=1050),
        split_transaction(
            currency="EUR",
            description="Sale",
            source="@sales",
            destinations=[Leg("@shop", percent="97.5"), Leg("@fees", left=True)],
            amount="40.00",
        ),
        bulk_transactions([payment, {"source": "@a"}], atomic=True, skip_queue=True),
        refund("order-42"),
        commit_hold("order-42-hold", amount="12.50", currency="EUR"),
        void_hold(result_of("hold", "transaction_id")),
        commit_holds(["hold-1", commit_hold("hold-2"), {"hold": "hold-3"}]),
        void_holds(["hold-1", "hold-2"]),
    ]


def records(statement: Path) -> list[Intent]:
    upload_id = result_of("statement", "upload_id")
    assert_type(upload_id, ResultOf)
    return [
        create_ledger("Wallets EUR", meta_data={"team": "payments"}),
        create_balance(result_of("wallets", "ledger_id"), "EUR", identity_id="idt_1"),
        create_identity(first_name="Mara", dob=date(1990, 1, 1), country="SE"),
        update_identity("idt_1", city="Malmo"),
        link_identity("bln_1", result_of("mara", "identity_id")),
        tokenize_identity("idt_1", ["email_address"]),
        update_metadata("txn_1", {"settlement_file": "A"}),
        upload_records("bank-x", statement),
        upload_records("bank-x", b"ID,Amount", name="statement.csv"),
        start_reconciliation(upload_id, "one_to_one", ["rule_1"], dry_run=True),
        start_instant_reconciliation([{"id": "stmt-1", "amount": 50}], "one_to_one", [result_of("rule", "rule_id")]),
        create_matching_rule("amount", [{"field": "amount", "operator": "equals"}], description="To the cent"),
        update_matching_rule("rule_1", "amount", [{"field": "amount", "operator": "equals"}]),
        delete_matching_rule("rule_1"),
        intent_of("transaction", {"source": "@a"}),
    ]


def told(status: Status, parts: tuple[PartStatus, ...], history: tuple[Attempt, ...]) -> str:
    assert_type(status.state, StateName)
    assert_type(status.outcome, OutcomeName)
    assert_type(status.dead_class, DeadClassName)
    assert_type(status.finished, bool)
    held: list[str] = [part.transaction_id for part in parts if part.status == "held"]
    names: set[PartName] = {part.status for part in parts}
    tried: list[AttemptName] = [line.what for line in history if line.what != "looked"]
    match status.state:
        case "done":
            return (
                "paid" if status.outcome == "applied" else f"{status.outcome}: {status.transaction_id} {held} {names}"
            )
        case "dead":
            return "ask a human" if status.dead_class == "unknown" else f"{status.code}: {status.message} {tried}"
        case "waiting" | "ready" | "sending" | "posted":
            return f"{status.attempts} attempts, until {status.deadline}"
        case "cancelled" | "discarded":
            return "given up"
        case never:
            assert_never(never)


def heard(event: Event) -> str:
    assert_type(event.event, EventName)
    if event.event == "done" and event.detail == "refunded":
        return f"{event.key} of {event.target} at {event.at:%H:%M}"
    if event.event == "dead" and event.detail == "partial":
        return f"{event.intent_id} {event.kind}"
    return event.event_id


def enqueued(relay: Relay, intent: Intent, now: datetime) -> list[Receipt]:
    receipt = relay.enqueue(
        intent,
        key="order-42",
        target="eu",
        lane="payouts",
        not_before=now,
        deadline=timedelta(hours=2),
        after=["order-41"],
        order_key="customer-7",
    )
    made: tuple[str, str, str, bool, str] = (
        receipt.id,
        receipt.key,
        receipt.reference,
        receipt.created,
        receipt.durability,
    )
    write = Write(intent=intent, key="order-43", after=made[:1])
    return [receipt, *relay.enqueue_many([write, intent])]


def sync(settings: Settings, intent: Intent) -> str:
    ledgers: list[Target] = list(settings.ledgers.values())
    with Relay(settings) as relay:
        enqueued(relay, intent, datetime.now().astimezone())
        status = relay.wait("order-42", timeout_s=60, target=ledgers[0].name)
        assert_type(relay.get("order-42"), Status)
        assert_type(relay.cancel("order-43"), Status)
        for event in relay.events("mailer", consumer="one", timeout_s=1.0):
            heard(event)
        return told(status, relay.parts("order-42"), relay.history("order-42"))


async def asynchronous(intent: Intent) -> str:
    async with AsyncRelay.from_env() as relay:
        receipt = await relay.enqueue(intent, key="order-42")
        receipts = await relay.enqueue_many([intent, Write(intent=intent, key="order-43")])
        assert_type(receipts, list[Receipt])
        assert_type(await relay.get(receipt.key), Status)
        assert_type(await relay.cancel("order-43"), Status)
        async for event in relay.events("mailer", timeout_s=1.0):
            heard(event)
        status = await relay.wait(receipt.key, timeout_s=60)
        return told(status, await relay.parts(receipt.key), await relay.history(receipt.key))


def failed(relay: Relay, intent: Intent) -> str:
    try:
        return relay.wait(relay.enqueue(intent).key, 60).state
    except InvalidIntent as error:
        return f"{error.kind} {error.errors} {error.index}"
    except KeyConflict as error:
        return f"{error.first_id}"
    except DuplicateInBatch as error:
        return f"{error.positions}"
    except StillOpen as error:
        assert_type(error.status, Status)
        return error.why
    except OtherShape as error:
        return f"start another version: {error.target} has shape {error.found}, and this one knows {error.known}"
    except (JournalFull, NotDurable):
        return "again, under the same key"
    except EncryptionKeyMissing as error:
        return error.key
    except JournalUnavailable:
        return "again, under the same key"
    except DoesNotVerify as error:
        return error.field
    except (NotFound, TooLate, Refused, OtherLedger, OtherLoop, InvalidSettings, UnsuitableServer) as error:
        return str(error)
    except RelayError as error:
        return f"{error} in {__version__}"


typing_via: Via = "library"


def look() -> list[str]:
    with Operator.from_env() as operator:
        glance: Glance = operator.glance()
        wrong: tuple[Verdict, ...] = glance.verdicts
        worst: Severity | None = wrong[0].severity if wrong else None
        rates: Rates = operator.rates()
        spans: tuple[Rate, ...] = rates.spans
        working: Gathered[WorkerView] = operator.workers()
        as_before: tuple[WorkerView, ...] = working
        unknown: tuple[str, ...] = working.away
        signs: list[Sign] = [worker.sign for worker in working]
        health: Health = operator.health()
        if not health.live:
            operator.stop(*(worker.name for worker in working), who="mila", reason="; ".join(health.why))
        told = [f"{worst} {rate.minutes} {rate.accepted:.1f}" for rate in spans] + [sign.pool for sign in signs]
        return [*told, *(worker.name for worker in as_before), *unknown]


def look_back(operator: Operator) -> list[str]:
    log: Log = operator.log(since=operator.now() - timedelta(days=90))
    return [*(f"{act.who}: {act.what}" for act in log.actions), log.unread, *log.away]


def operate() -> list[str]:
    with Operator.from_env() as operator:
        overview = operator.overview()
        together, via = Together("letters of this morning"), typing_via
        operator.via = via
        assert_type(overview, Overview)
        lanes: tuple[LaneDepth, ...] = overview.lanes
        gates: tuple[GateView, ...] = overview.gates
        for letter in operator.listed("dead", code="TXN_INSUFFICIENT_FUNDS", since=operator.now() - timedelta(hours=1)):
            plan: ReplayPlan = operator.plan(letter)
            around: Around = operator.around(letter)
            assert around.keeps == "" or around.ahead
            if plan.way is ReplayWay.NO:
                operator.discard(letter, who="mila", reason="paid by hand")
            else:
                operator.replay(letter, who="mila", reason="funds are there", together=together)
        change: Change = operator.pause_lane("refunds", who="mila", reason="the bank is closed")
        pause: Pause | None = change.pause
        operator.resume_lane("refunds", who="mila")
        upgraded: tuple[Upgraded, ...] = operator.upgrade()
        acts: tuple[Action, ...] = operator.actions(what="pause", most=5)
        found: Causes = operator.causes(dead_class="unknown", since=operator.now() - timedelta(hours=1))
        causes: tuple[Cause, ...] = found.causes if not found.uncounted or operator.recount() else ()
        what: JobName = "discard"
        many: ManyPlan = operator.plan_many(what, code="BANK_CLOSED")
        planned: list[Planned] = operator.plan_these(what, [one.status for one in many.first], of="the first").letters
        if planned:
            operator.stop_job(operator.begin(many, who="mila", reason="paid by hand"), who="mila")
        jobs: Gathered[Job] = operator.jobs()
        bound = ListBound(most=1_000)
        names = [found.key for found in operator.listed("dead", after=ListPlace(0, ""), bound=bound)]
        names += [found.key for found in operator.listed_together(("ready", "posted"), most=20, bound=bound)]
        cut: list[CutShort] = bound.cut
        names += [f"{one.target}, {one.state}: {one.looked} of {one.there}" for one in cut]
        uses: tuple[KeyUse, ...] = operator.key_use()
        resealed: Resealed = operator.reseal("default")
        result: FindResult = operator.find(destination="@alice", amount=Decimal("25.00"), most=10)
        located: tuple[Located, ...] = result.found
        looked: tuple[Looked, ...] = result.looked
        assert_type(Question(key="order-42").key, str)
        lags: tuple[HistoryLag, ...] = operator.history_lag()
        try:
            operator.history_off(who="mila", reason="no longer wanted")
        except HistoryUnavailable as error:
            assert_type(error.code, str)
        told = [f"{act.at} {act.who}: {act.what} {act.of}" for act in acts]
        told += [f"{cause.count} {cause.code} {cause.sums.get('EUR')}" for cause in causes]
        told += [f"{job.id} {job.state} {job.done}" for job in jobs]
        told += [one.status.key for one in located] + [one.place for one in looked] + [lag.trouble for lag in lags]
        told += [f"{use.target} {use.old}" for use in uses] + [f"{resealed.done} {resealed.finished}"]
        told += [f"{lane.lane} {lane.due}" for lane in lanes] + [gate.state for gate in gates]
        told += [f"{one.target} {one.before} {one.after}" for one in upgraded if one.changed]
        return [*told, pause.reason if pause else ""]


#: A word of ours is a type of the application's own, too.
Closed = Literal["done", "dead"]
CLOSED: dict[Closed, StateName] = {"done": "done", "dead": "dead"}
