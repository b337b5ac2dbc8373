"""Refunds: of payments, holds and what is none, in both modes."""

from __future__ import annotations

from tests.fidelity.odd.asking import NOTHING, OUT, Page, below, held, payment, settled, skip
from tests.fidelity.telling import Teller, row_is

PAGE = Page()


@PAGE.story("refund/queue mode")
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", skip(teller, "paid", meta_data={"wq": "x"})).id("transaction_id")
    made = teller.ask("refund", f"POST /refund-transaction/{paid}", {})
    teller.until("refunded", f"GET /transactions/reference/{paid}_refund_q", holds=row_is("APPLIED"))
    teller.ask("its row", f"GET /transactions/{made.id('transaction_id')}")
    teller.ask("again", f"POST /refund-transaction/{paid}", {})
    teller.ask("again in skip mode", f"POST /refund-transaction/{paid}", {"skip_queue": True})
    below(teller, "children", paid)


@PAGE.story("refund/skip mode", luck=["refund"])
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", skip(teller, "paid")).id("transaction_id")
    back = teller.ask("refund", f"POST /refund-transaction/{paid}", {"skip_queue": True}).id("transaction_id")
    teller.ask("again", f"POST /refund-transaction/{paid}", {"skip_queue": True})
    teller.ask("of the refund", f"POST /refund-transaction/{back}", {"skip_queue": True})
    teller.ask("a third time", f"POST /refund-transaction/{paid}", {"skip_queue": True})
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@PAGE.story("refund/with words", luck=["refund"])
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", skip(teller, "paid", meta_data={"a": 1, "b": 2}))
    body = {"skip_queue": True, "description": "Sent back", "meta_data": {"b": 3, "c": 4}}
    teller.ask("refund", f"POST /refund-transaction/{paid.id('transaction_id')}", body)
    for name, odd in {
        "description as a number": {"description": 5, "skip_queue": True},
        "metadata as text": {"meta_data": "x", "skip_queue": True},
        "skip_queue as text": {"skip_queue": "yes"},
    }.items():
        teller.ask(name, f"POST /refund-transaction/{paid.id('transaction_id')}", odd)


@PAGE.story("refund/what cannot be", luck=["of what is spent, skip"])
def _tell(teller: Teller) -> None:
    mode = {"skip_queue": True}
    hold = held(teller, "hold")
    teller.ask("a hold", f"POST /refund-transaction/{hold}", mode)
    teller.ask("committed", f"PUT /transactions/inflight/{hold}", {"status": "commit", **mode})
    teller.ask("a committed hold", f"POST /refund-transaction/{hold}", mode)
    voided = held(teller, "other")
    teller.ask("voided", f"PUT /transactions/inflight/{voided}", {"status": "void", **mode})
    teller.ask("a voided hold", f"POST /refund-transaction/{voided}", mode)
    poor = payment(teller, "poor", source=f"@poor.{teller.scene}", allow_overdraft=OUT)
    parent = teller.ask("poor", "POST /transactions", poor).id("transaction_id")
    rejected = settled(teller, "rejected", "poor", "REJECTED")
    teller.ask("a rejected row", f"POST /refund-transaction/{rejected}", mode)
    teller.ask("its parent", f"POST /refund-transaction/{parent}", mode)
    teller.ask("nothing", f"POST /refund-transaction/{NOTHING}", mode)
    teller.ask("nonsense", "POST /refund-transaction/nonsense", mode)
    for mode in (True, False):
        word = "skip" if mode else "queue"
        till = f"@till{word}.{teller.scene}"
        spent = teller.ask(f"spent, {word}", "POST /transactions", skip(teller, word, destination=till))
        away = skip(teller, f"away{word}", source=till, allow_overdraft=OUT)
        teller.ask(f"away, {word}", "POST /transactions", away)
        row = spent.id("transaction_id")
        teller.ask(f"of what is spent, {word}", f"POST /refund-transaction/{row}", {"skip_queue": mode})
        if not mode:
            teller.until("refunded", f"GET /transactions/reference/{row}_refund_q", holds=row_is("APPLIED"))


@PAGE.story("refund/of a queued payment", luck=["by its parent"])
def _tell(teller: Teller) -> None:
    parent = teller.ask("paid", "POST /transactions", payment(teller, "paid")).id("transaction_id")
    child = settled(teller, "applied", "paid", "APPLIED")
    teller.ask("by its parent", f"POST /refund-transaction/{parent}", {"skip_queue": True})
    below(teller, "children", child)
    teller.ask("again by its child", f"POST /refund-transaction/{child}", {"skip_queue": True})


@PAGE.story("refund/of parts", luck=["refund the first"])
def _tell(teller: Teller) -> None:
    mode = {"skip_queue": True}
    hold = held(teller, "hold", precise_amount=10_000)
    inflight = f"PUT /transactions/inflight/{hold}"
    first = teller.ask("first", inflight, {"status": "commit", "precise_amount": 3000, **mode}).id("transaction_id")
    teller.ask("second", inflight, {"status": "commit", "precise_amount": 4000, **mode})
    teller.ask("refund the first", f"POST /refund-transaction/{first}", mode)
    teller.ask("refund the hold", f"POST /refund-transaction/{hold}", mode)
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")
