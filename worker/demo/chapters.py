"""The chapters of the story: each something that happens in a shop, as the writes that follow from it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blnk_relay import (
    Intent,
    Leg,
    Write,
    bulk_transactions,
    commit_hold,
    create_balance,
    create_ledger,
    create_matching_rule,
    delete_matching_rule,
    refund,
    result_of,
    split_transaction,
    start_instant_reconciliation,
    start_reconciliation,
    tokenize_identity,
    update_identity,
    update_matching_rule,
    update_metadata,
    upload_records,
    void_hold,
)
from worker.demo.cast import CURRENCY, EMPTY, TOP_UP, WORLD, Cast, payment

#: Items of a payroll or a payout.
_FEW, _MANY = 3, 12

#: Records of a bank statement.
_MOST_RECORDS = 20

_SAME_AMOUNT = {"field": "amount", "operator": "equals", "allowable_drift": 0.01}
_SAME_CURRENCY = {"field": "currency", "operator": "equals"}


@dataclass(frozen=True, slots=True)
class Chapter:
    """Something that happens.

    Attributes:
        weight: How often, relative to the others.
        tell: What is enqueued, given the cast and a number of its own; later writes build on earlier ones.
    """

    weight: float
    tell: Callable[[Cast, int], list[Write]]


def _paid(cast: Cast, number: int) -> list[Write]:
    return [Write(intent=payment(f"order-{number}", cast.payer(), cast.merchant(), cast.amount()))]


def _sent_back(cast: Cast, number: int) -> list[Write]:
    return [*_paid(cast, number), Write(intent=refund(f"order-{number}"))]


def _shipped(cast: Cast, number: int) -> list[Write]:
    order = result_of(f"order-{number}", "transaction_id")
    return [
        *_paid(cast, number),
        Write(intent=update_metadata(order, {"shipment": {"parcel": number}}), key=f"shipment-{number}"),
    ]


def _reserved(cast: Cast, number: int) -> list[Write]:
    name, amount = f"hold-{number}", cast.amount()
    part = max(1, amount // 3)
    held = Write(intent=payment(name, cast.payer(), cast.merchant(), amount, inflight=True))
    first = Write(intent=commit_hold(name, precise_amount=part), key=f"{name}-part-1")
    second = Write(intent=commit_hold(name, precise_amount=part), key=f"{name}-part-2")
    rest, release = Write(intent=commit_hold(name)), Write(intent=void_hold(name))
    return [
        held,
        *cast.rng.choice(([rest], [first, second, rest], [first, release], [release], [])),
    ]


def _delivered_in_part(cast: Cast, number: int) -> list[Write]:
    """The hold is named by a link to its row, not by its reference."""
    name, amount = f"hold-{number}", cast.amount()
    row = result_of(name, "transaction_id")
    return [
        Write(intent=payment(name, cast.payer(), cast.merchant(), amount, inflight=True)),
        Write(intent=commit_hold(row, precise_amount=max(1, amount // 2)), key=f"{name}-delivered"),
        Write(intent=void_hold(row), key=f"{name}-cancelled"),
    ]


def _poor(cast: Cast, number: int) -> list[Write]:
    return [Write(intent=payment(f"poor-{number}", EMPTY, cast.merchant(), cast.amount()))]


def _poor_hold(cast: Cast, number: int) -> list[Write]:
    """The ledger rejects the hold, so its commit must end as a dead letter, never as money."""
    name = f"poor-hold-{number}"
    return [
        Write(intent=payment(name, EMPTY, cast.merchant(), cast.amount(), inflight=True)),
        Write(intent=commit_hold(name)),
    ]


def _customer_joins(cast: Cast, number: int) -> list[Write]:
    person = cast.person(number)
    return [
        *cast.joined(number),
        Write(intent=tokenize_identity(person, ["email_address"]), key=f"customer-{number}-email"),
        Write(intent=tokenize_identity(person, ["phone_number", "street"]), key=f"customer-{number}-address"),
        Write(intent=payment(f"order-{number}", cast.wallet(number), cast.merchant(), cast.amount())),
    ]


def _customer_moves(cast: Cast, number: int) -> list[Write]:
    """The second address is written after the first, whatever happens to the requests (contract §3.11)."""
    person = cast.person(cast.somebody())
    return [
        Write(intent=update_identity(person, city=cast.city(), state="Skane"), key=f"move-{number}"),
        Write(intent=update_identity(person, city=cast.city()), key=f"move-{number}-corrected"),
        Write(intent=update_metadata(person, {"moved": number}), key=f"move-{number}-noted"),
    ]


def _merchant_joins(cast: Cast, number: int) -> list[Write]:
    books, till = f"merchant-books-{number}", f"till-{number}"
    ledger, balance = result_of(books, "ledger_id"), result_of(till, "balance_id")
    return [
        Write(intent=create_ledger(f"Merchant {number}"), key=books),
        Write(intent=create_balance(ledger, CURRENCY, meta_data={"shop": {"till": 1}}), key=till),
        Write(intent=update_metadata(ledger, {"terms": {"fee": 0.029}}), key=f"{books}-terms"),
        Write(intent=update_metadata(balance, {"opened": number}), key=f"{till}-opened"),
        Write(intent=payment(f"order-{number}", cast.payer(), balance, cast.amount())),
    ]


def _shared_sale(cast: Cast, number: int) -> list[Write]:
    return [
        Write(
            intent=split_transaction(
                source=cast.payer(),
                destinations=[Leg(cast.merchant(), percent=90), Leg("@agent", percent="2.5"), Leg("@fees", left=True)],
                currency=CURRENCY,
                precise_amount=cast.amount(),
                precision=100,
                description="Sale on commission",
                reference=f"sale-{number}",
            )
        )
    ]


def _poor_sale(cast: Cast, number: int) -> list[Write]:
    """One of two who pay together cannot: nobody pays."""
    return [
        Write(
            intent=split_transaction(
                sources=[Leg(cast.payer(), percent=50), Leg(EMPTY, left=True)],
                destination=cast.merchant(),
                currency=CURRENCY,
                precise_amount=cast.amount(),
                precision=100,
                description="Paid by two",
                reference=f"poor-sale-{number}",
            )
        )
    ]


def _salaries(cast: Cast, name: str, most: int, poor: bool = False) -> list[Intent]:
    count = cast.rng.randint(_FEW, most)
    payees = cast.rng.choices(cast.customers, k=count)
    return [
        payment(f"{name}-{at}", EMPTY if poor and at == count - 1 else WORLD, cast.wallet(payee), cast.amount())
        for at, payee in enumerate(payees)
    ]


def _payroll(cast: Cast, number: int) -> list[Write]:
    name = f"payroll-{number}"
    return [
        Write(intent=bulk_transactions(_salaries(cast, name, _MANY)), key=name),
        Write(intent=update_metadata(result_of(name, "batch_id"), {"payroll": {"run": number}}), key=f"{name}-noted"),
    ]


def _payout(cast: Cast, number: int) -> list[Write]:
    """All or none: the ledger does it inside the request (contract §3.10)."""
    name = f"payout-{number}"
    return [Write(intent=bulk_transactions(_salaries(cast, name, _MANY), skip_queue=True, atomic=True), key=name)]


def _cashback(cast: Cast, number: int) -> list[Write]:
    name = f"cashback-{number}"
    return [Write(intent=bulk_transactions(_salaries(cast, name, _MANY), skip_queue=True), key=name)]


def _poor_payroll(cast: Cast, number: int) -> list[Write]:
    """One item is rejected: a dead letter that names it, and the others are paid."""
    name = f"poor-payroll-{number}"
    return [Write(intent=bulk_transactions(_salaries(cast, name, _FEW, poor=True)), key=name)]


def _poor_cashback(cast: Cast, number: int) -> list[Write]:
    """The ledger stops at one item: those before it are paid, and the dead letter says which."""
    name = f"poor-cashback-{number}"
    return [Write(intent=bulk_transactions(_salaries(cast, name, _FEW, poor=True), skip_queue=True), key=name)]


def _poor_payout(cast: Cast, number: int) -> list[Write]:
    """One item is rejected: the ledger takes the others back."""
    name = f"poor-payout-{number}"
    return [
        Write(intent=bulk_transactions(_salaries(cast, name, _FEW, poor=True), skip_queue=True, atomic=True), key=name)
    ]


def _group_booking(cast: Cast, number: int) -> list[Write]:
    """Reservations made together, settled one by one."""
    name, payer, merchant = f"booking-{number}", cast.payer(), cast.merchant()
    rooms = [payment(f"{name}-{room}", payer, merchant, cast.amount(), inflight=True) for room in range(_FEW)]
    return [
        Write(intent=bulk_transactions(rooms), key=name),
        Write(intent=commit_hold(f"{name}-0"), after=[name]),
        Write(intent=void_hold(f"{name}-1"), after=[name]),
    ]


def _month_end(cast: Cast, number: int) -> list[Write]:
    """The bank's statement against the ledger: what came in with the first top-ups."""
    name = f"month-{number}"
    rule, draft = result_of(f"{name}-rule", "rule_id"), result_of(f"{name}-draft", "rule_id")
    paid = list(cast.customers)[:_MOST_RECORDS]
    lines = [
        f"{name}-{customer},{TOP_UP / 100:.2f},{CURRENCY},top-up-{customer},Top-up,2026-11-20T09:15:31Z"
        for customer in paid
    ]
    statement = "\n".join(["ID,Amount,Currency,Reference,Description,Date", *lines, ""]).encode()
    late = {
        "id": f"{name}-late",
        "amount": TOP_UP / 100,
        "currency": CURRENCY,
        "reference": "late",
        "date": "2026-11-20T23:59:59Z",
    }
    return [
        Write(intent=create_matching_rule(f"month {number}", [_SAME_AMOUNT]), key=f"{name}-rule"),
        Write(intent=create_matching_rule(f"draft {number}", [_SAME_CURRENCY]), key=f"{name}-draft"),
        Write(
            intent=update_matching_rule(rule, f"month {number}", [_SAME_AMOUNT, _SAME_CURRENCY], description="strict"),
            key=f"{name}-rule-stricter",
        ),
        Write(intent=delete_matching_rule(draft), key=f"{name}-draft-deleted"),
        Write(intent=upload_records("bank-x", statement, name="statement.csv"), key=f"{name}-statement"),
        Write(
            intent=start_reconciliation(result_of(f"{name}-statement", "upload_id"), "one_to_one", [rule]),
            key=f"{name}-run",
            after=[f"{name}-rule-stricter"],
        ),
        Write(
            intent=start_instant_reconciliation([late], "one_to_one", [rule], dry_run=True),
            key=f"{name}-late-run",
            after=[f"{name}-rule-stricter"],
        ),
    ]


#: The last chapter of every story that has room for it.
MONTH_END = Chapter(0.3, _month_end)

CHAPTERS: tuple[Chapter, ...] = (
    Chapter(54, _paid),
    Chapter(9, _sent_back),
    Chapter(5, _shipped),
    Chapter(16, _reserved),
    Chapter(4, _delivered_in_part),
    Chapter(4, _poor),
    Chapter(1, _poor_hold),
    Chapter(2, _customer_joins),
    Chapter(2, _customer_moves),
    Chapter(1, _merchant_joins),
    Chapter(4, _shared_sale),
    Chapter(0.5, _poor_sale),
    Chapter(1.5, _payroll),
    Chapter(1, _payout),
    Chapter(1, _cashback),
    Chapter(0.5, _poor_payroll),
    Chapter(0.5, _poor_cashback),
    Chapter(0.5, _poor_payout),
    Chapter(1, _group_booking),
    MONTH_END,
)
