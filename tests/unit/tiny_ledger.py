"""A tiny model of the ledger for simulations: rows, holds, refunds, and every way in which it may mislead.

It imitates contract §3.1 to §3.9 as far as the kinds depend on it, and adds what a network does. It knows who sent
what, so that it can be asked afterwards what each intent really caused.
"""

from __future__ import annotations

import heapq
import itertools
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from casebook import MINUTE, SECOND

from blnk_relay.intents.exchange import Failure, Request, Response
from blnk_relay.intents.found import Lookup, Record, Row

#: What the network or a tired ledger may do to a write.
FAULTS = (
    "not_sent",
    "dropped_before",
    "dropped_after",
    "late",
    "cut_answer",
    "not_json",
    "error_before",
    "error_after",
    "limited",
    "no_token",
    "locked",
    "cloud_says_no",
    "vanish",
)


@dataclass(frozen=True, slots=True)
class World:
    """How one ledger behaves.

    Attributes:
        lag_ms: Longest time that a stored row stays invisible.
        store_ms: Longest time between a 201 and the first row.
        apply_ms: Longest time between the first row and the outcome.
        fallback: Share of queued writes whose first row could not be stored (scenario S3), and that come late.
        fallback_ms: Longest time until those come.
        funded: Whether the source has the money.
        known_from_ms: When the balances come into being: 0 for always, -1 for never.
        faults: How many writes or reads go wrong.
    """

    lag_ms: int = 0
    store_ms: int = 0
    apply_ms: int = 0
    fallback: float = 0.0
    fallback_ms: int = 0
    funded: bool = True
    known_from_ms: int = 0
    faults: int = 0


class TinyLedger:
    """One ledger, on a clock of its own."""

    def __init__(self, world: World, rng: random.Random, now_ms: int) -> None:
        self.world = world
        self.now_ms = now_ms
        self._start_ms = now_ms
        self._rng = rng
        self._faults_left = world.faults
        self._rows: list[Row] = []
        self._visible_ms: dict[str, int] = {}
        self._made_by: dict[str, str] = {}
        self._tasks: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = itertools.count(1)
        self.log: list[str] = []

    # -- the clock --------------------------------------------------------------------------------------------------

    def advance(self, to_ms: int) -> None:
        """Let time pass, and whatever is due happen."""
        while self._tasks and self._tasks[0][0] <= to_ms:
            due_ms, _, task = heapq.heappop(self._tasks)
            self.now_ms = max(self.now_ms, due_ms)
            task()
        self.now_ms = max(self.now_ms, to_ms)

    def later(self, in_ms: int, task: Callable[[], object]) -> None:
        """Let something happen after a while."""
        heapq.heappush(self._tasks, (self.now_ms + in_ms, next(self._numbers), task))

    def _some(self, most_ms: int) -> int:
        return self._rng.randint(0, most_ms)

    def faulty(self) -> bool:
        """Whether this is the moment for something to go wrong."""
        if self._faults_left and self._rng.random() < 0.5:
            self._faults_left -= 1
            return True
        return False

    # -- reading ----------------------------------------------------------------------------------------------------

    def look(self, lookups: Iterable[Lookup]) -> tuple[list[Row], list[Record]] | None:
        """What is visible; None when the read failed."""
        if self.faulty():
            return None
        rows = []
        for lookup in lookups:
            name = "parent" if lookup.field == "parent_transaction" else lookup.field
            rows += [
                row
                for row in self._rows
                if getattr(row, name) == lookup.value and self._visible_ms[row.transaction_id] <= self.now_ms
            ]
        return rows, []

    def row(self, reference: str) -> Row | None:
        """The row under a reference, whether visible or not."""
        return next((row for row in self._rows if row.reference == reference), None)

    def children(self, parent: str) -> list[Row]:
        """Rows below a row, whether visible or not."""
        return [row for row in self._rows if row.parent == parent]

    def made_by(self, who: str) -> list[Row]:
        """Rows with an outcome that an intent caused."""
        return [
            row
            for row in self._rows
            if self._made_by[row.transaction_id] == who and row.status in ("APPLIED", "INFLIGHT", "VOID")
        ]

    # -- writing ----------------------------------------------------------------------------------------------------

    def send(self, request: Request, who: str) -> Response:
        """Make a write, or meet a fault."""
        fault = self._rng.choice(FAULTS) if self.faulty() else ""
        response = self._answered(request, who, fault)
        self.log.append(f"{who}: {request.method} {fault or 'well'} -> {response.status} {response.code}")
        return response

    def _answered(self, request: Request, who: str, fault: str) -> Response:
        broken = Response(failure=Failure.BROKEN, code="ReadTimeout")
        match fault:
            case "not_sent":
                return Response(failure=Failure.NOT_SENT, code="ConnectTimeout")
            case "dropped_before":
                return broken
            case "dropped_after" | "cut_answer":
                self.act(request, who)
                return broken
            case "late":
                self.later(self._some(10 * SECOND), lambda: self.act(request, who))
                return broken
            case "not_json":
                return replace(self.act(request, who), body=None, code="")
            case "error_before":
                return Response(status=self._rng.choice((500, 502, 503, 504, 408)))
            case "error_after":
                self.act(request, who)
                return Response(status=self._rng.choice((500, 502, 503, 504, 408)), code="GEN_INTERNAL")
            case "limited":
                return Response(status=429, retry_after_s=self._rng.choice((None, 3.0)))
            case "no_token":
                return Response(status=401)
            case "locked":
                return Response(status=423, code="GEN_RESOURCE_LOCKED")
            case "cloud_says_no":
                return Response(status=400)
            case "vanish" if not request.sync:
                return Response(status=201, body={"status": "QUEUED", "transaction_id": self._id()})
        return self.act(request, who)

    def act(self, request: Request, who: str) -> Response:
        """What the ledger does with a request that reached it."""
        if request.route == "transaction":
            return self._skipped(request.body, who) if request.sync else self._queued(request.body, who)
        row_id = request.path.rsplit("/", 1)[1]
        if request.route == "inflight":
            return self._settled(row_id, request.body, who)
        return self._refunded(row_id, who)

    def hold(self, amount: int) -> Row:
        """A hold that was made long ago, with its queued parent."""
        parent = self._insert("hold-1", "QUEUED", "", amount, "")
        held = self._insert("hold-1_q", "INFLIGHT", parent.transaction_id, amount, "")
        return self._seen(held, parent)

    def applied(self, amount: int) -> Row:
        """A payment that was applied long ago, with its queued parent."""
        parent = self._insert("paid-1", "QUEUED", "", amount, "")
        return self._seen(self._insert("paid-1_q", "APPLIED", parent.transaction_id, amount, ""), parent)

    def _seen(self, row: Row, parent: Row) -> Row:
        self._visible_ms[row.transaction_id] = self._visible_ms[parent.transaction_id] = 0
        return row

    # -- transactions (contract §3.1, §3.2) -------------------------------------------------------------------------

    def _skipped(self, body: Mapping[str, Any], who: str) -> Response:
        reference = body["reference"]
        if not self._known():
            return Response(status=404, code="TXN_NOT_FOUND", message="Balance not found")
        if self.row(reference):
            return Response(status=409, code="TXN_DUPLICATE_REFERENCE", message="has already been used")
        if not self.world.funded:
            return Response(status=400, code="TXN_INSUFFICIENT_FUNDS", message="insufficient funds")
        return self._told(201, self._insert_final(body, reference, "", who))

    def _queued(self, body: Mapping[str, Any], who: str) -> Response:
        phantom = self._id()
        if self._rng.random() < self.world.fallback:
            # The first row could not be stored: the task itself carries the reference (S3), and is retried for long.
            self.later(self._some(self.world.fallback_ms), lambda: self._try_final(body, body["reference"], "", who))
        else:
            self.later(self._some(self.world.store_ms), lambda: self._store(body, who))
        return Response(status=201, body={"transaction_id": phantom, "status": "QUEUED", **body})

    def _store(self, body: Mapping[str, Any], who: str) -> None:
        reference = body["reference"]
        if self.row(reference):
            return
        if not self._known():
            # The row cannot be stored, so the task carries the reference; tried until it works or the retries are over.
            for minute in range(1, 14):
                self.later(minute * MINUTE, lambda: self._try_final(body, reference, "", who))
            return
        parent = self._insert(reference, "QUEUED", "", body["precise_amount"], who, body)
        self.later(
            self._some(self.world.apply_ms),
            lambda: self._try_final(body, reference + "_q", parent.transaction_id, who),
        )

    def _try_final(self, body: Mapping[str, Any], reference: str, parent: str, who: str) -> None:
        if self._known() and not self.row(reference):
            self._insert_final(body, reference, parent, who)

    def _insert_final(self, body: Mapping[str, Any], reference: str, parent: str, who: str) -> Row:
        status = "REJECTED" if not self.world.funded else "INFLIGHT" if body.get("inflight") else "APPLIED"
        return self._insert(reference, status, parent, body["precise_amount"], who, body)

    def _known(self) -> bool:
        from_ms = self.world.known_from_ms
        return from_ms >= 0 and self.now_ms - self._start_ms >= from_ms

    # -- holds (contract §3.8) --------------------------------------------------------------------------------------

    def _settled(self, row_id: str, body: Mapping[str, Any], who: str) -> Response:
        held = next(row for row in self._rows if row.transaction_id == row_id)
        children = self.children(row_id)
        left = (held.precise_amount or 0) - sum(row.precise_amount or 0 for row in children if row.status == "APPLIED")
        if any(row.status == "VOID" for row in children):
            return Response(status=409, code="TXN_ALREADY_VOIDED")
        if left == 0:
            return Response(status=409, code="TXN_ALREADY_COMMITTED")
        part = body.get("precise_amount", left)
        if part > left:
            return Response(status=400, code="TXN_COMMIT_AMOUNT_EXCEEDED")
        status, amount = ("VOID", left) if body["status"] == "void" else ("APPLIED", part)
        return self._told(200, self._insert(f"ref_{self._id()}", status, row_id, amount, who))

    # -- refunds (contract §3.9) ------------------------------------------------------------------------------------

    def _refunded(self, row_id: str, who: str) -> Response:
        refundable = [row for row in self._rows if row.transaction_id == row_id and row.status == "APPLIED"]
        refundable += [row for row in self.children(row_id) if row.status in ("APPLIED", "VOID")]
        if not refundable:
            return Response(status=404, code="TXN_NOT_FOUND", message="no transaction to refund")
        conflict = False
        for row in reversed(refundable):
            reference = row.transaction_id + "_refund"
            if self.row(reference):
                conflict = True
                continue
            body = {"reference": reference, "precise_amount": row.precise_amount}
            shape = self._store_refund
            if self._rng.random() < self.world.fallback:
                shape = self._apply_refund
            self.later(self._some(self.world.store_ms), lambda b=body, p=row.transaction_id, s=shape: s(b, p, who))
        if conflict:
            return Response(status=409, code="GEN_CONFLICT", message="has already been refunded")
        return Response(status=201, body={"transaction_id": self._id(), "status": "QUEUED"})

    def _store_refund(self, body: Mapping[str, Any], parent: str, who: str) -> None:
        reference = body["reference"]
        if self.row(reference):
            return
        queued = self._insert(reference, "QUEUED", parent, body["precise_amount"], who)
        self.later(
            self._some(self.world.apply_ms),
            lambda: self._insert(reference + "_q", "APPLIED", queued.transaction_id, body["precise_amount"], who),
        )

    def _apply_refund(self, body: Mapping[str, Any], parent: str, who: str) -> None:
        """The fallback shape: an APPLIED child of the row, which the next refund of that row would reverse."""
        if not self.row(body["reference"]):
            self._insert(body["reference"], "APPLIED", parent, body["precise_amount"], who)

    # -- rows -------------------------------------------------------------------------------------------------------

    def _insert(  # noqa: PLR0917 - the columns of a row, in their order
        self, reference: str, status: str, parent: str, amount: int, who: str, body: Mapping[str, Any] | None = None
    ) -> Row:
        row = Row(
            transaction_id=self._id(),
            reference=reference,
            status=status,
            parent=parent,
            precise_amount=amount,
            currency=(body or {}).get("currency", ""),
            source=(body or {}).get("source", ""),
            destination=(body or {}).get("destination", ""),
            created_at=f"{self.now_ms:020d}",
            rejection="insufficient funds in source balance" if status == "REJECTED" else "",
        )
        self._rows.append(row)
        self._visible_ms[row.transaction_id] = self.now_ms + self._some(self.world.lag_ms)
        self._made_by[row.transaction_id] = who
        return row

    def _told(self, status: int, row: Row) -> Response:
        return Response(
            status=status,
            body={
                "transaction_id": row.transaction_id,
                "reference": row.reference,
                "parent_transaction": row.parent,
                "status": row.status,
                "precise_amount": row.precise_amount,
            },
        )

    def _id(self) -> str:
        return f"txn_{uuid.UUID(int=next(self._numbers))}"
