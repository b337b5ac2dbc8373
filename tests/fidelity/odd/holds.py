"""Holds: committed and voided, whole and in parts, one and many."""

from __future__ import annotations

from typing import Any

from tests.fidelity.odd.asking import NOTHING, Page, below, family, held, payment, settled, skip, unlocked
from tests.fidelity.telling import Teller

PAGE = Page()


@PAGE.story("hold/commit")
def _tell(teller: Teller) -> None:
    hold = held(teller, "hold", precise_amount=10_000)
    teller.ask("by id", f"GET /transactions/{hold}")
    inflight = f"PUT /transactions/inflight/{hold}"
    commit = {"status": "commit", "skip_queue": True}
    for name, body in {
        "too much": {"precise_amount": 10_001},
        "a part": {"precise_amount": 4000},
        "the same part": {"precise_amount": 4000},
        "a third time": {"precise_amount": 4000},
        "the rest": {},
        "the rest again": {},
        "a part of nothing": {"precise_amount": 1},
        "in queue mode": {"skip_queue": False},
    }.items():
        teller.ask(name, inflight, {**commit, **body})
    teller.ask("void", inflight, {"status": "void", "skip_queue": True})
    teller.ask("void in queue mode", inflight, {"status": "void"})
    below(teller, "children", hold)
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@PAGE.story("hold/void")
def _tell(teller: Teller) -> None:
    hold = held(teller, "hold", precise_amount=10_000)
    inflight = f"PUT /transactions/inflight/{hold}"
    teller.ask("a part", inflight, {"status": "commit", "skip_queue": True, "precise_amount": 1234})
    teller.ask("void with an amount", inflight, {"status": "void", "skip_queue": True, "precise_amount": 3})
    teller.ask("again", inflight, {"status": "void", "skip_queue": True})
    teller.ask("again in queue mode", inflight, {"status": "void"})
    teller.ask("commit", inflight, {"status": "commit", "skip_queue": True})
    teller.ask("commit a part", inflight, {"status": "commit", "skip_queue": True, "precise_amount": 1})
    teller.ask("commit in queue mode", inflight, {"status": "commit"})
    below(teller, "children", hold)
    teller.ask("the balance", f"GET /balances/indicator/@world.{teller.scene}/currency/EUR")


@PAGE.story("hold/amounts")
def _tell(teller: Teller) -> None:
    hold = held(teller, "hold", precise_amount=10_000)
    inflight = f"PUT /transactions/inflight/{hold}"
    for name, body in {
        "no status": {},
        "unknown status": {"status": "release"},
        "capitals": {"status": "COMMIT"},
        "status as a number": {"status": 1},
        "precise zero": {"status": "commit", "precise_amount": 0},
        "precise negative": {"status": "commit", "precise_amount": -1},
        "precise as text": {"status": "commit", "precise_amount": "10"},
        "precise as a float": {"status": "commit", "precise_amount": 1.0},
        "amount as text": {"status": "commit", "amount": "10"},
        "amount negative": {"status": "commit", "amount": -1},
        "amount": {"status": "commit", "amount": 10.5},
        "both": {"status": "commit", "amount": 1, "precise_amount": 100},
        "amount too small": {"status": "commit", "amount": 0.001},
    }.items():
        teller.ask(name, inflight, {"skip_queue": True, **body})
    below(teller, "children", hold)


@PAGE.story("hold/queue mode")
def _tell(teller: Teller) -> None:
    made = teller.ask("hold", "POST /transactions", payment(teller, "hold", inflight=True, meta_data={"wq": "x"}))
    parent = made.id("transaction_id")
    hold = settled(teller, "held", "hold", "INFLIGHT")
    family(teller, "both rows", "hold")
    teller.ask("commit", f"PUT /transactions/inflight/{hold}", {"status": "commit"})
    applied = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": hold}]}
    teller.until("child", "POST /transactions/filter", applied, holds=lambda rows: rows, loose=True)
    teller.ask("again", f"PUT /transactions/inflight/{hold}", {"status": "commit"})
    teller.ask("by its parent", f"PUT /transactions/inflight/{parent}", {"status": "commit"})
    mode = {"status": "commit", "skip_queue": True}
    unlocked(teller, "by its parent, skip", f"PUT /transactions/inflight/{parent}", mode)


@PAGE.story("hold/by its parent")
def _tell(teller: Teller) -> None:
    made = teller.ask("hold", "POST /transactions", payment(teller, "hold", inflight=True))
    settled(teller, "held", "hold", "INFLIGHT")
    inflight = f"PUT /transactions/inflight/{made.id('transaction_id')}"
    teller.ask("a part", inflight, {"status": "commit", "skip_queue": True, "precise_amount": 300})
    teller.ask("void", inflight, {"status": "void", "skip_queue": True})
    teller.ask("void again", inflight, {"status": "void", "skip_queue": True})
    family(teller, "rows", "hold")


@PAGE.story("hold/what is none")
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", skip(teller, "paid")).id("transaction_id")
    for mode in (True, False):
        word = "skip" if mode else "queue"
        for status in ("commit", "void"):
            body = {"status": status, "skip_queue": mode}
            teller.ask(f"{status} a payment, {word}", f"PUT /transactions/inflight/{paid}", body)
            teller.ask(f"{status} nothing, {word}", f"PUT /transactions/inflight/{NOTHING}", body)
            teller.ask(f"{status} nonsense, {word}", "PUT /transactions/inflight/nonsense", body)


@PAGE.story("hold/expiry")
def _tell(teller: Teller) -> None:
    past = {"inflight_expiry_date": "2020-01-01T00:00:00Z"}
    hold = held(teller, "expired", **past)
    voided = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": hold}]}
    teller.until("voided", "POST /transactions/filter", voided, holds=lambda rows: rows, loose=True)
    unlocked(teller, "commit", f"PUT /transactions/inflight/{hold}", {"status": "commit", "skip_queue": True})
    held(teller, "in a century", inflight_expiry_date="2099-01-01T00:00:00Z")
    due = held(teller, "due", inflight_commit_date="2020-01-01T00:00:00Z")
    applied = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": due}]}
    teller.until("committed", "POST /transactions/filter", applied, holds=lambda rows: rows, loose=True)
    held(teller, "with an offset", inflight_expiry_date="2099-01-01T00:00:00+02:00")


@PAGE.story("hold/many at once")
def _tell(teller: Teller) -> None:
    holds = [held(teller, f"hold{number}") for number in range(6)]
    paid = teller.ask("paid", "POST /transactions", skip(teller, "paid")).id("transaction_id")
    commit, void = "POST /transactions/inflight/bulk/commit", "POST /transactions/inflight/bulk/void"

    def items(*ids: str, **more: Any) -> list[dict[str, Any]]:
        return [{"transaction_id": id_, **more} for id_ in ids]

    mode = {"skip_queue": True}
    teller.ask("none", commit, {"transactions": [], **mode})
    teller.ask("none to void", void, {"transaction_ids": [], **mode})
    teller.ask("too many", commit, {"transactions": items(*[NOTHING] * 101), **mode})
    teller.ask("too many to void", void, {"transaction_ids": [NOTHING] * 101, **mode})
    teller.ask("one and nothing", commit, {"transactions": items(holds[0], NOTHING), **mode})
    teller.ask("the same one", commit, {"transactions": items(holds[0]), **mode})
    teller.ask("voided after", void, {"transaction_ids": [holds[0]], **mode})
    teller.ask("void two", void, {"transaction_ids": [holds[2], NOTHING], **mode})
    teller.ask("committed after", commit, {"transactions": items(holds[2]), **mode})
    teller.ask("void again", void, {"transaction_ids": [holds[2]], **mode})
    teller.ask("a part", commit, {"transactions": items(holds[3], precise_amount=400), **mode})
    teller.ask("too much", commit, {"transactions": items(holds[3], precise_amount=700), **mode})
    teller.ask("a negative part", commit, {"transactions": items(holds[3], precise_amount=-1), **mode})
    teller.ask("a decimal part", commit, {"transactions": items(holds[3], amount=1.5), **mode})
    teller.ask("a payment", commit, {"transactions": items(paid), **mode})
    teller.ask("void a payment", void, {"transaction_ids": [paid], **mode})
    teller.ask("an item of text", commit, {"transactions": ["x"], **mode})
    teller.ask("an id of a number", void, {"transaction_ids": [1], **mode})
    teller.ask("queued", commit, {"transactions": items(holds[4])})
    applied = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": holds[4]}]}
    teller.until("queued child", "POST /transactions/filter", applied, holds=lambda rows: rows, loose=True)
    teller.ask("queued again", commit, {"transactions": items(holds[4])})
    teller.ask("queued void", void, {"transaction_ids": [holds[5]]})
    voided = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": holds[5]}]}
    teller.until("voided child", "POST /transactions/filter", voided, holds=lambda rows: rows, loose=True)
    teller.ask("queued void again", void, {"transaction_ids": [holds[5]]})
    teller.ask("queued, nothing", commit, {"transactions": items(NOTHING)})
    teller.ask("queued, a payment", commit, {"transactions": items(paid)})
