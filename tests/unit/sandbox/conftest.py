"""A sandbox without sockets, driven request by request on a clock that stands still."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blnk_relay.sandbox import Faults, Options
from blnk_relay.sandbox.books.frozen import Books
from blnk_relay.sandbox.http.answers import Answer
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.instance import Instance
from tests.support.clients import payment_body

#: Longer than storing and applying take with the options of a desk.
A_MOMENT_S = 1.0

#: Longer than all of Core's retries together.
ALL_RETRIES_S = 15 * 60.0


class Desk:
    """Sends requests to an instance and reads its books."""

    payment = staticmethod(payment_body)

    def __init__(self, options: Options, faults: Faults | None = None) -> None:
        self.instance = Instance(options, faults)

    @property
    def books(self) -> Books:
        return self.instance.books()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        admitted = {"authorization": "Bearer blnk_sandbox"} | headers
        return self._exchange(method, path, body, {"instance_id": "inst_sandbox"}, admitted)

    def _exchange(self, method: str, path: str, body: Any, query: dict[str, str], headers: dict[str, str]) -> Answer:
        path, _, asked = path.partition("?")
        parameters = dict(pair.split("=", 1) for pair in asked.split("&") if pair)
        request = WireRequest(
            method=method,
            path=path,
            query=query | parameters,
            headers=headers,
            body=body if isinstance(body, bytes) else (b"" if body is None else json.dumps(body).encode()),
        )
        edge = self.instance.edge
        exchange = edge.open(request)
        answer = edge.act(exchange)
        edge.close(exchange, answer)
        return answer

    def core(
        self, method: str, path: str, body: Any = None, key: str | None = "blnk_core_sandbox", **headers: str
    ) -> Answer:
        """Ask as one asks a bare Core: without Cloud's prefix, token and instance."""
        admitted = headers if key is None else {"x-blnk-key": key} | headers
        return self._exchange(method, path, body, {}, admitted)

    def pay(self, reference: str, /, **changes: Any) -> Answer:
        return self.send("POST", "/proxy/transactions", self.payment(reference, **changes))

    def settle(self, hold_id: str, status: str, **fields: Any) -> Answer:
        return self.send("PUT", f"/proxy/transactions/inflight/{hold_id}", {"status": status, **fields})

    def refund(self, row_id: str, **fields: Any) -> Answer:
        return self.send("POST", f"/proxy/refund-transaction/{row_id}", fields)

    def step(self, seconds: float = A_MOMENT_S) -> None:
        self.instance.core.clock.step(seconds)

    def hold(self, reference: str, **changes: Any) -> str:
        """A hold that is INFLIGHT; returns the id of that row."""
        assert self.pay(reference, inflight=True, **changes).status == 201
        self.step()
        row = self.books.hold(reference)
        assert row is not None
        return row.transaction_id

    def applied(self, reference: str, **changes: Any) -> str:
        """A payment that is APPLIED; returns the id of that row."""
        assert self.pay(reference, **changes).status == 201
        self.step()
        return self.books.rows_by_reference(reference)[-1].transaction_id

    def balance(self, indicator: str) -> int:
        found = self.books.balance_of(indicator, "EUR")
        return 0 if found is None else found.balance

    def inflight(self, indicator: str) -> int:
        found = self.books.balance_of(indicator, "EUR")
        return 0 if found is None else found.inflight_balance


def code(answer: Answer) -> str:
    """The stable code of a refusal."""
    found: str = answer.document()["error_detail"]["code"]
    return found


@pytest.fixture
def make_desk():
    def make(faults: Faults | None = None, **options: Any) -> Desk:
        return Desk(Options(manual_clock=True, **options), faults)

    return make


@pytest.fixture
def desk(make_desk):
    desk = make_desk()
    yield desk
    assert desk.books.violations() == []


@pytest.fixture
def error_code():
    return code
