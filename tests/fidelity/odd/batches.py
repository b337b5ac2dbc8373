"""Batches: atomic and not, in both modes."""

from __future__ import annotations

from tests.fidelity.odd.asking import OUT, Page, below, family, has, payment, settled
from tests.fidelity.telling import NO_ID, Teller, row_is

PAGE = Page()


@PAGE.story("bulk/queue mode")
def _tell(teller: Teller) -> None:
    items = [payment(teller, f"item{number}") for number in range(2)]
    batch = teller.ask("two", "POST /transactions/bulk", {"transactions": items}).id("batch_id")
    for number in range(2):
        settled(teller, f"applied {number}", f"item{number}", "APPLIED")
    below(teller, "by parent", batch)
    by = {"field": "meta_data.QUEUED_PARENT_TRANSACTION", "operator": "eq", "value": batch}
    teller.ask("by metadata", "POST /transactions/filter", {"filters": [by]}, loose=True)
    teller.ask("again", "POST /transactions/bulk", {"transactions": items})
    teller.ask("metadata", f"POST /{batch}/metadata", {"meta_data": {"a": 1}})
    teller.ask("read", f"GET /transactions/{batch}")


@PAGE.story("bulk/skip mode")
def _tell(teller: Teller) -> None:
    items = [payment(teller, f"item{number}", meta_data={"wq": str(number)}) for number in range(2)]
    body = {"transactions": items, "skip_queue": True}
    batch = teller.ask("two", "POST /transactions/bulk", body).id("batch_id")
    below(teller, "by parent", batch)
    teller.ask("again", "POST /transactions/bulk", body)
    some = [payment(teller, "item2"), items[0], payment(teller, "item3")]
    teller.ask("one is a duplicate", "POST /transactions/bulk", {"transactions": some, "skip_queue": True})
    family(teller, "what stands", "item2", "item3")
    one = [payment(teller, "one", skip_queue=True)]
    teller.ask("skip mode by an item", "POST /transactions/bulk", {"transactions": one})
    held = {"transactions": [payment(teller, "held")], "skip_queue": True, "inflight": True}
    batch = teller.ask("holds", "POST /transactions/bulk", held).id("batch_id")
    teller.ask("commit the batch", f"PUT /transactions/inflight/{batch}", {"status": "commit", "skip_queue": True})
    mixed = {"transactions": [payment(teller, "ownhold", inflight=True)], "skip_queue": True}
    teller.ask("a hold by an item", "POST /transactions/bulk", mixed)
    teller.ask("refund the batch", f"POST /refund-transaction/{batch}", {"skip_queue": True})


@PAGE.story("bulk/together")
def _tell(teller: Teller) -> None:
    poor = {"source": f"@poor.{teller.scene}", "allow_overdraft": OUT}
    for name, flags in {
        "atomic": {"atomic": True},
        "one by one": {},
        "atomic holds": {"atomic": True, "inflight": True},
    }.items():
        word = name.replace(" ", "")
        items = [payment(teller, f"{word}1"), payment(teller, f"{word}2", **poor)]
        teller.ask(name, "POST /transactions/bulk", {"transactions": items, "skip_queue": True, **flags})
        family(teller, f"{name}, rows", f"{word}1", f"{word}2")
        if flags:
            asked = f"GET /transactions/reference/{teller.name(word + '1')}"
            first = teller.ask(f"{name}, first", asked).id("transaction_id")
            if name == "atomic":
                teller.until(
                    f"{name}, undone", f"GET /transactions/reference/{first}_refund_q", holds=row_is("APPLIED")
                )
            else:
                below = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": first}]}
                teller.until(f"{name}, undone", "POST /transactions/filter", below, holds=has("VOID"), loose=True)
    unknown = [payment(teller, "unknown", destination=f"bln_{NO_ID[5:]}")]
    teller.ask("unknown balance", "POST /transactions/bulk", {"transactions": unknown, "skip_queue": True})
    teller.ask(
        "unknown, atomic", "POST /transactions/bulk", {"transactions": unknown, "skip_queue": True, "atomic": True}
    )
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@PAGE.story("bulk/what cannot be")
def _tell(teller: Teller) -> None:
    good = payment(teller, "good")
    for name, body in {
        "none": {"transactions": []},
        "null": {"transactions": None},
        "an object": {"transactions": {}},
        "a text": {"transactions": ["x"]},
        "a null": {"transactions": [None]},
        "no description": {"transactions": [good, payment(teller, "bad", description="")]},
        "an empty one": {"transactions": [{}]},
        "precise as text": {"transactions": [payment(teller, "text", precise_amount="1")]},
        "the same twice": {"transactions": [good, good]},
        "too many": {"transactions": [{}] * 10_001},
        "atomic as text": {"transactions": [good], "atomic": "yes"},
        "itself": {"transactions": [payment(teller, "self", destination=f"@world.{teller.scene}")]},
    }.items():
        teller.ask(name, "POST /transactions/bulk", body if name == "none" else {"skip_queue": True, **body})
    later = {"transactions": [payment(teller, "async")], "run_async": True, "skip_queue": True}
    teller.ask("in the background", "POST /transactions/bulk", later)
    teller.until("its row", f"GET /transactions/reference/{teller.name('async')}", holds=row_is("APPLIED"))
