"""What no kind would ask: every refusal that can be provoked, requests that are odd, and what is repeated.

One function a story; requests that stand alone come in tables of a name and a body.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.fidelity.telling import NO_ID, Story, Teller, Telling, row_is

_STORIES: list[Story] = []

#: A body that is left out of a table's usual one.
_OUT = object()

NOTHING = "txn_00000000-0000-4000-8000-000000000000"


def _story(name: str, *, blind: bool = False, luck: Sequence[str] = ()) -> Callable[[Telling], Telling]:
    """A story of this book; ``luck`` names refunds in skip mode, which are made at the first request."""

    def keep(tell: Telling) -> Telling:
        _STORIES.append(Story(name, tell, blind, dict.fromkeys(luck, 201)))
        return tell

    return keep


def odd_stories() -> list[Story]:
    """All of this module, in the order of its pages."""
    return list(_STORIES)


def _payment(teller: Teller, reference: str, /, **changes: Any) -> dict[str, Any]:
    body = {
        "precise_amount": 1000,
        "precision": 100,
        "currency": "EUR",
        "reference": teller.name(reference),
        "description": "A test",
        "source": f"@world.{teller.scene}",
        "destination": f"@shop.{teller.scene}",
        "allow_overdraft": True,
    } | changes
    return {name: value for name, value in body.items() if value is not _OUT}


def _skip(teller: Teller, reference: str, /, **changes: Any) -> dict[str, Any]:
    return _payment(teller, reference, **{"skip_queue": True, **changes})


def _each(teller: Teller, asked: str, bodies: Mapping[str, Any]) -> None:
    """One request after another, each on its own."""
    for name, body in bodies.items():
        teller.ask(name, asked, body)


def _family(teller: Teller, name: str, *references: str) -> None:
    """All rows under some references, with their children of queue mode."""
    values = [one for reference in references for one in (teller.name(reference), f"{teller.name(reference)}_q")]
    body = {"filters": [{"field": "reference", "operator": "in", "values": values}], "include_count": True}
    teller.ask(name, "POST /transactions/filter", body, loose=True)


def _below(teller: Teller, name: str, parent: str) -> None:
    """All rows whose parent is this one."""
    body = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": parent}], "include_count": True}
    teller.ask(name, "POST /transactions/filter", body, loose=True)


def _held(teller: Teller, name: str, **changes: Any) -> str:
    """A hold made in skip mode; its id."""
    return teller.ask(name, "POST /transactions", _skip(teller, name, inflight=True, **changes)).id("transaction_id")


def _settled(teller: Teller, name: str, reference: str, status: str) -> str:
    """Wait for a row of queue mode; its id."""
    asked = f"GET /transactions/reference/{teller.name(reference)}_q"
    return teller.until(name, asked, holds=row_is(status)).id("transaction_id")


def _has(status: str) -> Callable[[Any], bool]:
    """Whether a page shows a row of a status."""
    return lambda rows: any(row["status"] == status for row in rows or ())


def _unlocked(teller: Teller, name: str, asked: str, body: Any) -> None:
    """Ask until the ledger has let go of what it did just now by itself."""
    locked = "GEN_RESOURCE_LOCKED"
    teller.until(name, asked, body, holds=lambda told: told.get("error_detail", {}).get("code") != locked)


# -- payments --------------------------------------------------------------------------------------------------------


@_story("payment/queue mode")
def _tell(teller: Teller) -> None:
    made = teller.ask("pay", "POST /transactions", _payment(teller, "pay", meta_data={"wq": "x", "n": 1.5}))
    child = _settled(teller, "applied", "pay", "APPLIED")
    teller.ask("by id", f"GET /transactions/{made.id('transaction_id')}")
    teller.ask("child by id", f"GET /transactions/{child}")
    teller.ask("by reference", f"GET /transactions/reference/{teller.name('pay')}")
    _family(teller, "both rows", "pay")
    again = teller.ask("again", "POST /transactions", _payment(teller, "pay"))
    teller.ask("phantom", f"GET /transactions/{again.id('transaction_id')}")
    teller.ask("again, other amount", "POST /transactions", _payment(teller, "pay", precise_amount=7))
    teller.ask("again in skip mode", "POST /transactions", _skip(teller, "pay"))
    _family(teller, "still both rows", "pay")


@_story("payment/skip mode")
def _tell(teller: Teller) -> None:
    made = teller.ask("pay", "POST /transactions", _skip(teller, "pay", meta_data={"wq": "x"}))
    teller.ask("by id", f"GET /transactions/{made.id('transaction_id')}")
    teller.ask("by reference", f"GET /transactions/reference/{teller.name('pay')}")
    teller.ask("again", "POST /transactions", _skip(teller, "pay"))
    teller.ask("again, other amount", "POST /transactions", _skip(teller, "pay", precise_amount=7))
    teller.ask("again in queue mode", "POST /transactions", _payment(teller, "pay"))
    _family(teller, "one row", "pay")
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@_story("payment/amounts")
def _tell(teller: Teller) -> None:
    def amount(name: str, **changes: Any) -> dict[str, Any]:
        return _skip(teller, name, **{"precise_amount": _OUT, **changes})

    given: dict[str, dict[str, Any]] = {
        "decimal": {"amount": 10.5},
        "three places": {"amount": 10.555},
        "half up": {"amount": 0.005},
        "half down": {"amount": 1.005},
        "rounds to nothing": {"amount": 0.004},
        "zero": {"amount": 0},
        "precise zero": {"precise_amount": 0},
        "none": {},
        "both": {"amount": 1, "precise_amount": 100},
        "zero and precise": {"amount": 0, "precise_amount": 100},
        "fifteen digits": {"amount": 1234567890123.45},
        "sixteen digits": {"amount": 12345678901234.56},
        "large": {"amount": 1e15, "precision": 1},
        "exponent": {"amount": 1e21, "precision": 1},
        "precise beyond a double": {"precise_amount": 9007199254740993},
        "precise of thirty digits": {"precise_amount": 123456789012345678901234567890},
        "negative": {"amount": -10},
        "precise negative": {"precise_amount": -10},
        "negative precision": {"precise_amount": 1000, "precision": -100},
        "negative both": {"amount": -10, "precision": -100},
        "no precision": {"amount": 10.5, "precision": _OUT},
        "precision zero": {"amount": 10, "precision": 0},
        "precision one": {"amount": 10, "precision": 1},
        "precision three": {"amount": 10, "precision": 3},
        "precision of a million": {"amount": 0.000001, "precision": 1_000_000},
        "precision with a fraction": {"amount": 10, "precision": 1.5},
        "precision as a float": {"amount": 10, "precision": 100.0},
        "precision as text": {"amount": 10, "precision": "100"},
        "amount as text": {"amount": "10"},
        "precise as text": {"precise_amount": "1000"},
        "precise as a float": {"precise_amount": 100.0},
        "amount null": {"amount": None},
        "amount true": {"amount": True},
        "amount as a list": {"amount": [1]},
    }
    _each(
        teller, "POST /transactions", {name: amount(f"amount{n}", **it) for n, (name, it) in enumerate(given.items())}
    )
    raw = (
        b'{"precise_amount":%s,"precision":100,"currency":"EUR","description":"d","source":"@world","destination":"@s"'
    )
    for name, number in {"precise exponent": b"1e3", "precise hexadecimal": b"0x10", "leading zero": b"0100"}.items():
        reference = teller.name(name.replace(" ", "")).encode()
        teller.ask(name, "POST /transactions", raw % number + b',"skip_queue":true,"reference":"' + reference + b'"}')


@_story("payment/amounts in queue mode")
def _tell(teller: Teller) -> None:
    for number, (name, given) in enumerate(
        {
            "precise zero": {"precise_amount": 0},
            "rounds to nothing": {"precise_amount": _OUT, "amount": 0.004},
            "negative": {"precise_amount": _OUT, "amount": -10},
            "precise negative": {"precise_amount": -10},
            "negative precision": {"precision": -100},
        }.items()
    ):
        teller.ask(name, "POST /transactions", _payment(teller, f"queue{number}", **given))


@_story("payment/fields")
def _tell(teller: Teller) -> None:
    given: dict[str, dict[str, Any]] = {
        **{f"no {name}": {name: _OUT} for name in ("currency", "reference", "description", "source", "destination")},
        **{f"empty {name}": {name: ""} for name in ("currency", "reference", "description", "source", "destination")},
        **{f"blank {name}": {name: " "} for name in ("description", "currency")},
        "reference as a number": {"reference": 5},
        "currency null": {"currency": None},
        "source as a list": {"source": ["@a"]},
        "both sources": {"sources": [{"identifier": "@a", "distribution": "left"}]},
        "unknown field": {"colour": "red"},
        "flags as text": {"allow_overdraft": "yes"},
        "metadata as text": {"meta_data": "x"},
        "metadata as a list": {"meta_data": [1]},
        "metadata null": {"meta_data": None},
        "metadata nested": {"meta_data": {"a": {"b": [1, 2.5, None, True, "x"]}, "n": 12345678901234567890}},
        "metadata of nine thousand": {"meta_data": {"x": "y" * 9000}},
        "unknown source": {"source": f"bln_{NO_ID[5:]}"},
        "unknown destination": {"destination": f"bln_{NO_ID[5:]}"},
        "a source of no shape": {"source": "mainaccount"},
        "a ledger as source": {"source": "general_ledger_id"},
        "itself": {"destination": f"@world.{teller.scene}"},
        "another currency": {"currency": "USD"},
        "lower case currency": {"currency": "eur"},
        "effective": {"effective_date": "2020-01-01T00:00:00Z"},
        "effective with an offset": {"effective_date": "2020-01-01T00:00:00+02:00"},
        "effective without a time": {"effective_date": "2020-01-01"},
        "effective empty": {"effective_date": ""},
        "scheduled without an offset": {"scheduled_for": "2099-01-01T00:00:00"},
        "scheduled as words": {"scheduled_for": "tomorrow"},
        "expiry as words": {"inflight": True, "inflight_expiry_date": "tomorrow"},
        "commit date as words": {"inflight": True, "inflight_commit_date": "tomorrow"},
        "umlauts": {"description": "Grüße 💶 ñ"},
        "nul in the description": {"description": "a\u0000b"},
        "nul in metadata": {"meta_data": {"a": "b\u0000c"}},
        "half a pair": {"description": "a\ud800b"},
        "html": {"description": "<b>&amp;</b>"},
        "a parent of ours": {"parent_transaction": NOTHING},
        "an id of ours": {"transaction_id": NOTHING},
        "a status of ours": {"status": "APPLIED"},
        "flags in the metadata": {"meta_data": {"inflight": True}},
    }
    bodies = {name: _skip(teller, f"field{n}", **it) for n, (name, it) in enumerate(given.items())}
    _each(teller, "POST /transactions", bodies)
    teller.ask("umlauts in the reference", "POST /transactions", _skip(teller, "grüße"))
    teller.ask("a long reference", "POST /transactions", _skip(teller, "x" * 300))
    named = {name.title() if name != "skip_queue" else name: it for name, it in _skip(teller, "case").items()}
    teller.ask("names in another case", "POST /transactions", named)
    twice = b'{"reference":"%s","reference":"%s",' % (teller.name("a").encode(), teller.name("b").encode())
    rest = b'"precise_amount":1,"precision":100,"currency":"EUR","description":"d","source":"@world",'
    end = b'"destination":"@twice","allow_overdraft":true,"skip_queue":true}'
    teller.ask("a key twice", "POST /transactions", twice + rest + end)


@_story("payment/queued oddities")
def _tell(teller: Teller) -> None:
    given: dict[str, dict[str, Any]] = {
        "unknown source": {"source": f"bln_{NO_ID[5:]}"},
        "itself": {"destination": f"@world.{teller.scene}"},
        "nine thousand bytes": {"meta_data": {"x": "y" * 9000}},
        "nul": {"description": "a\u0000b"},
    }
    for number, (name, it) in enumerate(given.items()):
        teller.ask(name, "POST /transactions", _payment(teller, f"odd{number}", **it))


@_story("payment/funds")
def _tell(teller: Teller) -> None:
    poor = {"source": f"@poor.{teller.scene}", "allow_overdraft": _OUT}
    teller.ask("poor", "POST /transactions", _skip(teller, "poor", **poor))
    teller.ask("poor in queue mode", "POST /transactions", _payment(teller, "queued", **poor))
    _settled(teller, "rejected", "queued", "REJECTED")
    _family(teller, "both rows", "queued")
    teller.ask("again", "POST /transactions", _payment(teller, "queued", **poor))
    teller.ask("again in skip mode", "POST /transactions", _skip(teller, "queued", **poor))
    given: dict[str, dict[str, Any]] = {
        "within a limit": {"overdraft_limit": 10},
        "beyond a limit": {"overdraft_limit": 5, "allow_overdraft": True},
        "a limit of text": {"overdraft_limit": "10"},
        "a negative limit": {"overdraft_limit": -10},
        "a limit of zero": {"overdraft_limit": 0, "allow_overdraft": True},
        "a limit that rounds up": {"overdraft_limit": 19.995},
    }
    for number, (name, it) in enumerate(given.items()):
        teller.ask(name, "POST /transactions", _skip(teller, f"limit{number}", **(poor | it)))
    rich = {"destination": f"@poor.{teller.scene}", "precise_amount": 100_000}
    teller.ask("funds", "POST /transactions", _skip(teller, "funds", **rich))
    teller.ask("now", "POST /transactions", _skip(teller, "poor", **poor))
    teller.ask("the balance", f"GET /balances/indicator/@poor.{teller.scene}/currency/EUR")


@_story("payment/scheduled")
def _tell(teller: Teller) -> None:
    teller.ask("later", "POST /transactions", _payment(teller, "later", scheduled_for="2099-01-01T00:00:00Z"))
    teller.until("row", f"GET /transactions/reference/{teller.name('later')}", holds=row_is("SCHEDULED"))
    _family(teller, "rows", "later")
    teller.ask("long ago", "POST /transactions", _payment(teller, "ago", scheduled_for="2020-01-01T00:00:00Z"))
    teller.ask("in skip mode", "POST /transactions", _skip(teller, "skipped", scheduled_for="2099-01-01T00:00:00Z"))
    teller.ask(
        "with an offset", "POST /transactions", _payment(teller, "off", scheduled_for="2099-01-01T02:00:00+02:00")
    )


# -- bodies and paths ------------------------------------------------------------------------------------------------

_ROUTES = (
    "POST /transactions",
    "POST /transactions/bulk",
    f"PUT /transactions/inflight/{NOTHING}",
    f"POST /refund-transaction/{NOTHING}",
    "POST /transactions/inflight/bulk/commit",
    "POST /transactions/inflight/bulk/void",
    "POST /ledgers",
    "POST /balances",
    f"PUT /balances/bln_{NO_ID[5:]}/identity",
    "POST /identities",
    f"PUT /identities/idt_{NO_ID[5:]}",
    f"POST /identities/idt_{NO_ID[5:]}/tokenize",
    f"POST /ldg_{NO_ID[5:]}/metadata",
    "POST /reconciliation/start",
    "POST /reconciliation/start-instant",
    "POST /reconciliation/matching-rules",
    f"PUT /reconciliation/matching-rules/rule_{NO_ID[5:]}",
    "POST /transactions/filter",
    "POST /balances/filter",
    "POST /ledgers/filter",
    "POST /identities/filter",
)

_BODIES: Mapping[str, bytes] = {
    "bad": b"{bad",
    "empty": b"",
    "an array": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "no fields": b"{}",
    "cut off": b'{"a": "b',
    "a comma too many": b'{"a": 1,}',
    "no utf-8": b'{"name": "\xff\xfe"}',
}


@_story("bodies")
def _tell(teller: Teller) -> None:
    for asked in _ROUTES:
        for name, body in _BODIES.items():
            # An empty identity is made of nothing, and a page of all that there is shows everything.
            if name in ("no fields", "null", "no utf-8") and asked.endswith(("/filter", "/identities")):
                continue
            teller.ask(f"{asked} {name}", asked, body)
    pay = _skip(teller, "trailing")
    teller.ask(
        "text after the value",
        "POST /transactions",
        str(pay).replace("'", '"').replace("True", "true").encode() + b" x",
    )


@_story("paths")
def _tell(teller: Teller) -> None:
    for asked in (
        "GET /nothing",
        "POST /nothing",
        "GET /transactions/inflight",
        "DELETE /transactions",
        "PUT /transactions",
        "PATCH /ledgers",
        "DELETE /ledgers/x",
        "POST /transactions/",
        "GET /ledgers/",
        f"GET /transactions/{NOTHING}/",
        f"GET /transactions/{NOTHING}",
        "GET /transactions/reference/nothing-at-all",
        f"GET /balances/bln_{NO_ID[5:]}",
        "GET /balances/indicator/@nothing-at-all/currency/EUR",
        f"GET /ledgers/ldg_{NO_ID[5:]}",
        f"GET /identities/idt_{NO_ID[5:]}",
        f"GET /identities/idt_{NO_ID[5:]}/tokenized-fields",
        f"GET /reconciliation/recon_{NO_ID[5:]}",
        "GET /reconciliation/matching-rules",
        "GET /reconciliations",
        "GET /external-transactions",
        "POST /reconciliation/filter",
        "POST /ledger/filter",
        "GET /transactions/nonsense",
        "GET /ledgers/nonsense",
        "GET /health",
    ):
        teller.ask(asked, asked)


@_story("keys")
def _tell(teller: Teller) -> None:
    for name, headers in {
        "none": {"X-Blnk-Key": None},
        "a wrong one": {"X-Blnk-Key": "wrong"},
        "an empty one": {"X-Blnk-Key": ""},
        "a bearer": {"X-Blnk-Key": None, "Authorization": "Bearer wrong"},
    }.items():
        teller.ask(f"{name}, read", f"GET /transactions/{NOTHING}", headers=headers)
        teller.ask(f"{name}, write", "POST /ledgers", {"name": "x"}, headers=headers)
        teller.ask(f"{name}, unknown path", "GET /nothing", headers=headers)


# -- holds -----------------------------------------------------------------------------------------------------------


@_story("hold/commit")
def _tell(teller: Teller) -> None:
    hold = _held(teller, "hold", precise_amount=10_000)
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
    _below(teller, "children", hold)
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@_story("hold/void")
def _tell(teller: Teller) -> None:
    hold = _held(teller, "hold", precise_amount=10_000)
    inflight = f"PUT /transactions/inflight/{hold}"
    teller.ask("a part", inflight, {"status": "commit", "skip_queue": True, "precise_amount": 1234})
    teller.ask("void with an amount", inflight, {"status": "void", "skip_queue": True, "precise_amount": 3})
    teller.ask("again", inflight, {"status": "void", "skip_queue": True})
    teller.ask("again in queue mode", inflight, {"status": "void"})
    teller.ask("commit", inflight, {"status": "commit", "skip_queue": True})
    teller.ask("commit a part", inflight, {"status": "commit", "skip_queue": True, "precise_amount": 1})
    teller.ask("commit in queue mode", inflight, {"status": "commit"})
    _below(teller, "children", hold)
    teller.ask("the balance", f"GET /balances/indicator/@world.{teller.scene}/currency/EUR")


@_story("hold/amounts")
def _tell(teller: Teller) -> None:
    hold = _held(teller, "hold", precise_amount=10_000)
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
    _below(teller, "children", hold)


@_story("hold/queue mode")
def _tell(teller: Teller) -> None:
    made = teller.ask("hold", "POST /transactions", _payment(teller, "hold", inflight=True, meta_data={"wq": "x"}))
    parent = made.id("transaction_id")
    hold = _settled(teller, "held", "hold", "INFLIGHT")
    _family(teller, "both rows", "hold")
    teller.ask("commit", f"PUT /transactions/inflight/{hold}", {"status": "commit"})
    applied = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": hold}]}
    teller.until("child", "POST /transactions/filter", applied, holds=lambda rows: rows, loose=True)
    teller.ask("again", f"PUT /transactions/inflight/{hold}", {"status": "commit"})
    teller.ask("by its parent", f"PUT /transactions/inflight/{parent}", {"status": "commit"})
    skip = {"status": "commit", "skip_queue": True}
    _unlocked(teller, "by its parent, skip", f"PUT /transactions/inflight/{parent}", skip)


@_story("hold/by its parent")
def _tell(teller: Teller) -> None:
    made = teller.ask("hold", "POST /transactions", _payment(teller, "hold", inflight=True))
    _settled(teller, "held", "hold", "INFLIGHT")
    inflight = f"PUT /transactions/inflight/{made.id('transaction_id')}"
    teller.ask("a part", inflight, {"status": "commit", "skip_queue": True, "precise_amount": 300})
    teller.ask("void", inflight, {"status": "void", "skip_queue": True})
    teller.ask("void again", inflight, {"status": "void", "skip_queue": True})
    _family(teller, "rows", "hold")


@_story("hold/what is none")
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", _skip(teller, "paid")).id("transaction_id")
    for mode in (True, False):
        word = "skip" if mode else "queue"
        for status in ("commit", "void"):
            body = {"status": status, "skip_queue": mode}
            teller.ask(f"{status} a payment, {word}", f"PUT /transactions/inflight/{paid}", body)
            teller.ask(f"{status} nothing, {word}", f"PUT /transactions/inflight/{NOTHING}", body)
            teller.ask(f"{status} nonsense, {word}", "PUT /transactions/inflight/nonsense", body)


@_story("hold/expiry")
def _tell(teller: Teller) -> None:
    past = {"inflight_expiry_date": "2020-01-01T00:00:00Z"}
    hold = _held(teller, "expired", **past)
    voided = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": hold}]}
    teller.until("voided", "POST /transactions/filter", voided, holds=lambda rows: rows, loose=True)
    _unlocked(teller, "commit", f"PUT /transactions/inflight/{hold}", {"status": "commit", "skip_queue": True})
    _held(teller, "in a century", inflight_expiry_date="2099-01-01T00:00:00Z")
    due = _held(teller, "due", inflight_commit_date="2020-01-01T00:00:00Z")
    applied = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": due}]}
    teller.until("committed", "POST /transactions/filter", applied, holds=lambda rows: rows, loose=True)
    _held(teller, "with an offset", inflight_expiry_date="2099-01-01T00:00:00+02:00")


@_story("hold/many at once")
def _tell(teller: Teller) -> None:
    holds = [_held(teller, f"hold{number}") for number in range(6)]
    paid = teller.ask("paid", "POST /transactions", _skip(teller, "paid")).id("transaction_id")
    commit, void = "POST /transactions/inflight/bulk/commit", "POST /transactions/inflight/bulk/void"

    def items(*ids: str, **more: Any) -> list[dict[str, Any]]:
        return [{"transaction_id": id_, **more} for id_ in ids]

    skip = {"skip_queue": True}
    teller.ask("none", commit, {"transactions": [], **skip})
    teller.ask("none to void", void, {"transaction_ids": [], **skip})
    teller.ask("too many", commit, {"transactions": items(*[NOTHING] * 101), **skip})
    teller.ask("too many to void", void, {"transaction_ids": [NOTHING] * 101, **skip})
    teller.ask("one and nothing", commit, {"transactions": items(holds[0], NOTHING), **skip})
    teller.ask("the same one", commit, {"transactions": items(holds[0]), **skip})
    teller.ask("voided after", void, {"transaction_ids": [holds[0]], **skip})
    teller.ask("void two", void, {"transaction_ids": [holds[2], NOTHING], **skip})
    teller.ask("committed after", commit, {"transactions": items(holds[2]), **skip})
    teller.ask("void again", void, {"transaction_ids": [holds[2]], **skip})
    teller.ask("a part", commit, {"transactions": items(holds[3], precise_amount=400), **skip})
    teller.ask("too much", commit, {"transactions": items(holds[3], precise_amount=700), **skip})
    teller.ask("a negative part", commit, {"transactions": items(holds[3], precise_amount=-1), **skip})
    teller.ask("a decimal part", commit, {"transactions": items(holds[3], amount=1.5), **skip})
    teller.ask("a payment", commit, {"transactions": items(paid), **skip})
    teller.ask("void a payment", void, {"transaction_ids": [paid], **skip})
    teller.ask("an item of text", commit, {"transactions": ["x"], **skip})
    teller.ask("an id of a number", void, {"transaction_ids": [1], **skip})
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


# -- refunds ---------------------------------------------------------------------------------------------------------


@_story("refund/queue mode")
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", _skip(teller, "paid", meta_data={"wq": "x"})).id("transaction_id")
    made = teller.ask("refund", f"POST /refund-transaction/{paid}", {})
    teller.until("refunded", f"GET /transactions/reference/{paid}_refund_q", holds=row_is("APPLIED"))
    teller.ask("its row", f"GET /transactions/{made.id('transaction_id')}")
    teller.ask("again", f"POST /refund-transaction/{paid}", {})
    teller.ask("again in skip mode", f"POST /refund-transaction/{paid}", {"skip_queue": True})
    _below(teller, "children", paid)


@_story("refund/skip mode", luck=["refund"])
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", _skip(teller, "paid")).id("transaction_id")
    back = teller.ask("refund", f"POST /refund-transaction/{paid}", {"skip_queue": True}).id("transaction_id")
    teller.ask("again", f"POST /refund-transaction/{paid}", {"skip_queue": True})
    teller.ask("of the refund", f"POST /refund-transaction/{back}", {"skip_queue": True})
    teller.ask("a third time", f"POST /refund-transaction/{paid}", {"skip_queue": True})
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@_story("refund/with words", luck=["refund"])
def _tell(teller: Teller) -> None:
    paid = teller.ask("paid", "POST /transactions", _skip(teller, "paid", meta_data={"a": 1, "b": 2}))
    body = {"skip_queue": True, "description": "Sent back", "meta_data": {"b": 3, "c": 4}}
    teller.ask("refund", f"POST /refund-transaction/{paid.id('transaction_id')}", body)
    for name, odd in {
        "description as a number": {"description": 5, "skip_queue": True},
        "metadata as text": {"meta_data": "x", "skip_queue": True},
        "skip_queue as text": {"skip_queue": "yes"},
    }.items():
        teller.ask(name, f"POST /refund-transaction/{paid.id('transaction_id')}", odd)


@_story("refund/what cannot be", luck=["of what is spent, skip"])
def _tell(teller: Teller) -> None:
    skip = {"skip_queue": True}
    hold = _held(teller, "hold")
    teller.ask("a hold", f"POST /refund-transaction/{hold}", skip)
    teller.ask("committed", f"PUT /transactions/inflight/{hold}", {"status": "commit", **skip})
    teller.ask("a committed hold", f"POST /refund-transaction/{hold}", skip)
    voided = _held(teller, "other")
    teller.ask("voided", f"PUT /transactions/inflight/{voided}", {"status": "void", **skip})
    teller.ask("a voided hold", f"POST /refund-transaction/{voided}", skip)
    poor = _payment(teller, "poor", source=f"@poor.{teller.scene}", allow_overdraft=_OUT)
    parent = teller.ask("poor", "POST /transactions", poor).id("transaction_id")
    rejected = _settled(teller, "rejected", "poor", "REJECTED")
    teller.ask("a rejected row", f"POST /refund-transaction/{rejected}", skip)
    teller.ask("its parent", f"POST /refund-transaction/{parent}", skip)
    teller.ask("nothing", f"POST /refund-transaction/{NOTHING}", skip)
    teller.ask("nonsense", "POST /refund-transaction/nonsense", skip)
    for mode in (True, False):
        word = "skip" if mode else "queue"
        till = f"@till{word}.{teller.scene}"
        spent = teller.ask(f"spent, {word}", "POST /transactions", _skip(teller, word, destination=till))
        away = _skip(teller, f"away{word}", source=till, allow_overdraft=_OUT)
        teller.ask(f"away, {word}", "POST /transactions", away)
        row = spent.id("transaction_id")
        teller.ask(f"of what is spent, {word}", f"POST /refund-transaction/{row}", {"skip_queue": mode})
        if not mode:
            teller.until("refunded", f"GET /transactions/reference/{row}_refund_q", holds=row_is("APPLIED"))


@_story("refund/of a queued payment", luck=["by its parent"])
def _tell(teller: Teller) -> None:
    parent = teller.ask("paid", "POST /transactions", _payment(teller, "paid")).id("transaction_id")
    child = _settled(teller, "applied", "paid", "APPLIED")
    teller.ask("by its parent", f"POST /refund-transaction/{parent}", {"skip_queue": True})
    _below(teller, "children", child)
    teller.ask("again by its child", f"POST /refund-transaction/{child}", {"skip_queue": True})


@_story("refund/of parts", luck=["refund the first"])
def _tell(teller: Teller) -> None:
    skip = {"skip_queue": True}
    hold = _held(teller, "hold", precise_amount=10_000)
    inflight = f"PUT /transactions/inflight/{hold}"
    first = teller.ask("first", inflight, {"status": "commit", "precise_amount": 3000, **skip}).id("transaction_id")
    teller.ask("second", inflight, {"status": "commit", "precise_amount": 4000, **skip})
    teller.ask("refund the first", f"POST /refund-transaction/{first}", skip)
    teller.ask("refund the hold", f"POST /refund-transaction/{hold}", skip)
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


# -- splits ----------------------------------------------------------------------------------------------------------


def _legs(teller: Teller, **shares: str) -> list[dict[str, str]]:
    return [{"identifier": f"@{name}.{teller.scene}", "distribution": share} for name, share in shares.items()]


@_story("split/skip mode", blind=True)
def _tell(teller: Teller) -> None:
    to = {"destination": _OUT, "destinations": _legs(teller, a="50%", b="2.50", c="left")}
    teller.ask("to three", "POST /transactions", _skip(teller, "split", **to))
    by = {"field": "reference", "operator": "like", "value": f"split.{teller.scene}%"}
    teller.ask("legs", "POST /transactions/filter", {"filters": [by]}, loose=True)
    teller.ask("again", "POST /transactions", _skip(teller, "split", **to))
    from_ = {"source": _OUT, "sources": _legs(teller, a="50%", b="left"), "precise_amount": 100}
    teller.ask("from two", "POST /transactions", _skip(teller, "from", **from_))
    by = {"field": "reference", "operator": "like", "value": f"from.{teller.scene}%"}
    teller.ask("its legs", "POST /transactions/filter", {"filters": [by]}, loose=True)


@_story("split/queue mode", blind=True)
def _tell(teller: Teller) -> None:
    to = {"destination": _OUT, "destinations": _legs(teller, a="50%", b="left")}
    made = teller.ask("to two", "POST /transactions", _payment(teller, "split", **to))
    parent = {"field": "meta_data.QUEUED_PARENT_TRANSACTION", "operator": "eq", "value": made.id("transaction_id")}

    def both(rows: Any) -> bool:
        return sum(row["status"] == "APPLIED" for row in rows or ()) == 2

    teller.until("legs", "POST /transactions/filter", {"filters": [parent]}, holds=both, loose=True)


@_story("split/what cannot be", blind=True)
def _tell(teller: Teller) -> None:
    given: dict[str, dict[str, Any]] = {
        "more than all": {"destinations": _legs(teller, a="60%", b="60%")},
        "less than all": {"destinations": _legs(teller, a="60%")},
        "more than there is": {"destinations": _legs(teller, a="60.00")},
        "two for the rest": {"destinations": _legs(teller, a="left", b="left")},
        "nonsense": {"destinations": _legs(teller, a="some", b="left")},
        "no share": {"destinations": [{"identifier": "@a"}]},
        "no name": {"destinations": [{"distribution": "left"}]},
        "nobody": {"destinations": []},
        "a share as a number": {"destinations": [{"identifier": "@a", "distribution": 5}]},
        "a negative share": {"destinations": _legs(teller, a="-5.00", b="left")},
        "to itself": {"destinations": _legs(teller, world="50%", b="left")},
        "precise shares": {
            "destinations": [
                {"identifier": f"@a.{teller.scene}", "precise_distribution": "400"},
                {"identifier": f"@b.{teller.scene}", "distribution": "left"},
            ]
        },
        "one alone": {"destinations": _legs(teller, a="left")},
        "to somebody unknown": {"destinations": [{"identifier": f"bln_{NO_ID[5:]}", "distribution": "left"}]},
        "without funds": {
            "source": f"@poor.{teller.scene}",
            "allow_overdraft": _OUT,
            "destinations": _legs(teller, a="left"),
        },
        "on both sides": {
            "source": _OUT,
            "sources": _legs(teller, s="left"),
            "destinations": _legs(teller, a="left"),
        },
    }
    for number, (name, it) in enumerate(given.items()):
        teller.ask(name, "POST /transactions", _skip(teller, f"odd{number}", destination=_OUT, **it))
    atomic = {"atomic": True, "source": f"@purse.{teller.scene}", "allow_overdraft": _OUT}
    teller.ask("a purse", "POST /transactions", _skip(teller, "purse", destination=f"@purse.{teller.scene}"))
    to = _legs(teller, a="left")
    teller.ask("atomic", "POST /transactions", _skip(teller, "atomic", destination=_OUT, destinations=to, **atomic))


# -- batches ---------------------------------------------------------------------------------------------------------


@_story("bulk/queue mode")
def _tell(teller: Teller) -> None:
    items = [_payment(teller, f"item{number}") for number in range(2)]
    batch = teller.ask("two", "POST /transactions/bulk", {"transactions": items}).id("batch_id")
    for number in range(2):
        _settled(teller, f"applied {number}", f"item{number}", "APPLIED")
    _below(teller, "by parent", batch)
    by = {"field": "meta_data.QUEUED_PARENT_TRANSACTION", "operator": "eq", "value": batch}
    teller.ask("by metadata", "POST /transactions/filter", {"filters": [by]}, loose=True)
    teller.ask("again", "POST /transactions/bulk", {"transactions": items})
    teller.ask("metadata", f"POST /{batch}/metadata", {"meta_data": {"a": 1}})
    teller.ask("read", f"GET /transactions/{batch}")


@_story("bulk/skip mode")
def _tell(teller: Teller) -> None:
    items = [_payment(teller, f"item{number}", meta_data={"wq": str(number)}) for number in range(2)]
    body = {"transactions": items, "skip_queue": True}
    batch = teller.ask("two", "POST /transactions/bulk", body).id("batch_id")
    _below(teller, "by parent", batch)
    teller.ask("again", "POST /transactions/bulk", body)
    some = [_payment(teller, "item2"), items[0], _payment(teller, "item3")]
    teller.ask("one is a duplicate", "POST /transactions/bulk", {"transactions": some, "skip_queue": True})
    _family(teller, "what stands", "item2", "item3")
    one = [_payment(teller, "one", skip_queue=True)]
    teller.ask("skip mode by an item", "POST /transactions/bulk", {"transactions": one})
    held = {"transactions": [_payment(teller, "held")], "skip_queue": True, "inflight": True}
    batch = teller.ask("holds", "POST /transactions/bulk", held).id("batch_id")
    teller.ask("commit the batch", f"PUT /transactions/inflight/{batch}", {"status": "commit", "skip_queue": True})
    mixed = {"transactions": [_payment(teller, "ownhold", inflight=True)], "skip_queue": True}
    teller.ask("a hold by an item", "POST /transactions/bulk", mixed)
    teller.ask("refund the batch", f"POST /refund-transaction/{batch}", {"skip_queue": True})


@_story("bulk/together")
def _tell(teller: Teller) -> None:
    poor = {"source": f"@poor.{teller.scene}", "allow_overdraft": _OUT}
    for name, flags in {
        "atomic": {"atomic": True},
        "one by one": {},
        "atomic holds": {"atomic": True, "inflight": True},
    }.items():
        word = name.replace(" ", "")
        items = [_payment(teller, f"{word}1"), _payment(teller, f"{word}2", **poor)]
        teller.ask(name, "POST /transactions/bulk", {"transactions": items, "skip_queue": True, **flags})
        _family(teller, f"{name}, rows", f"{word}1", f"{word}2")
        if flags:
            asked = f"GET /transactions/reference/{teller.name(word + '1')}"
            first = teller.ask(f"{name}, first", asked).id("transaction_id")
            if name == "atomic":
                teller.until(
                    f"{name}, undone", f"GET /transactions/reference/{first}_refund_q", holds=row_is("APPLIED")
                )
            else:
                below = {"filters": [{"field": "parent_transaction", "operator": "eq", "value": first}]}
                teller.until(f"{name}, undone", "POST /transactions/filter", below, holds=_has("VOID"), loose=True)
    unknown = [_payment(teller, "unknown", destination=f"bln_{NO_ID[5:]}")]
    teller.ask("unknown balance", "POST /transactions/bulk", {"transactions": unknown, "skip_queue": True})
    teller.ask(
        "unknown, atomic", "POST /transactions/bulk", {"transactions": unknown, "skip_queue": True, "atomic": True}
    )
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@_story("bulk/what cannot be")
def _tell(teller: Teller) -> None:
    good = _payment(teller, "good")
    for name, body in {
        "none": {"transactions": []},
        "null": {"transactions": None},
        "an object": {"transactions": {}},
        "a text": {"transactions": ["x"]},
        "a null": {"transactions": [None]},
        "no description": {"transactions": [good, _payment(teller, "bad", description="")]},
        "an empty one": {"transactions": [{}]},
        "precise as text": {"transactions": [_payment(teller, "text", precise_amount="1")]},
        "the same twice": {"transactions": [good, good]},
        "too many": {"transactions": [{}] * 10_001},
        "atomic as text": {"transactions": [good], "atomic": "yes"},
        "itself": {"transactions": [_payment(teller, "self", destination=f"@world.{teller.scene}")]},
    }.items():
        teller.ask(name, "POST /transactions/bulk", body if name == "none" else {"skip_queue": True, **body})
    later = {"transactions": [_payment(teller, "async")], "run_async": True, "skip_queue": True}
    teller.ask("in the background", "POST /transactions/bulk", later)
    teller.until("its row", f"GET /transactions/reference/{teller.name('async')}", holds=row_is("APPLIED"))


# -- ledgers, balances, identities -----------------------------------------------------------------------------------


@_story("ledger")
def _tell(teller: Teller) -> None:
    made = teller.ask("make", "POST /ledgers", {"name": teller.name("ledger"), "meta_data": {"wq": "x", "n": 2**60}})
    ledger = made.id("ledger_id")
    teller.ask("read", f"GET /ledgers/{ledger}")
    teller.ask("the same name", "POST /ledgers", {"name": teller.name("ledger")})
    _each(
        teller,
        "POST /ledgers",
        {
            "empty name": {"name": ""},
            "blank name": {"name": " "},
            "name as a number": {"name": 5},
            "no name": {"meta_data": {}},
            "metadata as text": {"name": "x", "meta_data": "x"},
            "metadata null": {"name": teller.name("null"), "meta_data": None},
            "nul": {"name": "x\u0000y"},
            "nul in metadata": {"name": "x", "meta_data": {"a": "b\u0000c"}},
            "nine thousand bytes": {"name": "x", "meta_data": {"x": "y" * 9000}},
            "an id of ours": {"name": teller.name("own"), "ledger_id": f"ldg_{NO_ID[5:]}"},
        },
    )
    for name, body in {
        "rename": {"name": teller.name("other")},
        "rename to nothing": {"name": ""},
        "no name given": {},
    }.items():
        teller.ask(name, f"PUT /ledgers/{ledger}", body)
    teller.ask("rename nothing", f"PUT /ledgers/ldg_{NO_ID[5:]}", {"name": "x"})
    for name, rule in {
        "by id": {"field": "ledger_id", "operator": "in", "values": [ledger]},
        "by name": {"field": "name", "operator": "eq", "value": teller.name("other")},
        "by mark": {"field": "meta_data.wq", "operator": "eq", "value": teller.name("nobody")},
    }.items():
        teller.ask(name, "POST /ledgers/filter", {"filters": [rule], "include_count": True})


@_story("balance")
def _tell(teller: Teller) -> None:
    ledger = teller.ask("ledger", "POST /ledgers", {"name": teller.name("ledger")}).id("ledger_id")
    person = teller.ask("person", "POST /identities", {"first_name": "A"}).id("identity_id")
    made = teller.ask("make", "POST /balances", {"ledger_id": ledger, "currency": "EUR", "meta_data": {"wq": "x"}})
    balance = made.id("balance_id")
    teller.ask("read", f"GET /balances/{balance}")
    named = f"@till.{teller.scene}"
    _each(
        teller,
        "POST /balances",
        {
            "with an owner": {"ledger_id": ledger, "currency": "EUR", "identity_id": person},
            "no ledger": {"currency": "EUR"},
            "no currency": {"ledger_id": ledger},
            "unknown ledger": {"ledger_id": f"ldg_{NO_ID[5:]}", "currency": "EUR"},
            "unknown owner": {"ledger_id": ledger, "currency": "EUR", "identity_id": f"idt_{NO_ID[5:]}"},
            "ledger as a number": {"ledger_id": 5, "currency": "EUR"},
            "precision": {"ledger_id": ledger, "currency": "EUR", "precision": 1000},
            "lineage": {"ledger_id": ledger, "currency": "EUR", "identity_id": person, "track_fund_lineage": True},
            "lineage of nobody": {"ledger_id": ledger, "currency": "EUR", "track_fund_lineage": True},
            "strategy": {"ledger_id": ledger, "currency": "EUR", "allocation_strategy": " lifo "},
            "unknown strategy": {"ledger_id": ledger, "currency": "EUR", "allocation_strategy": "BEST"},
            "nine thousand bytes": {"ledger_id": ledger, "currency": "EUR", "meta_data": {"x": "y" * 9000}},
            "indicator": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": named},
            "indicator again": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": named},
            "indicator, other currency": {"ledger_id": "general_ledger_id", "currency": "USD", "indicator": named},
            "indicator elsewhere": {"ledger_id": ledger, "currency": "EUR", "indicator": f"@else.{teller.scene}"},
            "indicator without @": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": "till"},
            "indicator of two words": {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": "@a b"},
            "sums of ours": {"ledger_id": ledger, "currency": "EUR", "balance": 500, "credit_balance": 500},
        },
    )
    teller.ask("by indicator", f"GET /balances/indicator/{named}/currency/EUR")
    teller.ask("by indicator, other currency", f"GET /balances/indicator/{named}/currency/GBP")
    link = f"PUT /balances/{balance}/identity"
    teller.ask("link", link, {"identity_id": person})
    teller.ask("link again", link, {"identity_id": person})
    teller.ask("linked", f"GET /balances/{balance}")
    teller.ask("link to nobody", link, {"identity_id": f"idt_{NO_ID[5:]}"})
    teller.ask("link to an empty name", link, {"identity_id": ""})
    teller.ask("link nothing", f"PUT /balances/bln_{NO_ID[5:]}/identity", {"identity_id": person})
    teller.ask("delete the owner", f"DELETE /identities/{person}")
    for name, rule in {
        "by id": {"field": "balance_id", "operator": "in", "values": [balance]},
        "by owner": {"field": "identity_id", "operator": "eq", "value": person},
        "by indicators": {"field": "indicator", "operator": "in", "values": [named, "@nobody-at-all"]},
    }.items():
        body = {"filters": [rule], "include_count": True, "sort_by": "currency", "sort_order": "asc"}
        teller.ask(name, "POST /balances/filter", body, loose=True)


@_story("identity")
def _tell(teller: Teller) -> None:
    full = {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "other_names": "K.",
        "gender": "female",
        "dob": "1815-12-10T00:00:00Z",
        "email_address": "ada@example.org",
        "phone_number": "+44 1",
        "nationality": "GB",
        "organization_name": "",
        "category": "individual",
        "identity_type": "individual",
        "street": "St James's Square",
        "country": "GB",
        "state": "",
        "post_code": "SW1",
        "city": "London",
        "meta_data": {"wq": "x"},
    }
    person = teller.ask("make", "POST /identities", full).id("identity_id")
    teller.ask("read", f"GET /identities/{person}")
    own = f"idt_{uuid.uuid5(uuid.NAMESPACE_DNS, teller.scene)}"
    _each(
        teller,
        "POST /identities",
        {
            "nothing": {},
            "an id of ours": {"identity_id": own, "first_name": "B"},
            "the same id": {"identity_id": own, "first_name": "C"},
            "an id without a prefix": {"identity_id": own[4:]},
            "an id of no shape": {"identity_id": "idt_nonsense"},
            "a bare date": {"dob": "1990-01-01"},
            "an empty date": {"dob": ""},
            "a date null": {"dob": None},
            "name as a number": {"first_name": 5},
            "metadata as text": {"meta_data": "x"},
            "made long ago": {"first_name": "D", "created_at": "2000-01-01T00:00:00Z"},
            "nul": {"first_name": "a\u0000b"},
        },
    )
    change = f"PUT /identities/{person}"
    for name, body in {
        "change": {"city": "Ockham"},
        "change to nothing": {"city": ""},
        "nothing to change": {"first_name": ""},
        "another id": {"identity_id": own, "state": "Surrey"},
        "a bare date to change": {"dob": "1990-01-01"},
        "metadata anew": {"meta_data": {"other": 1}},
        "metadata emptied": {"meta_data": {}},
        "unknown field to change": {"colour": "red"},
    }.items():
        teller.ask(name, change, body)
    teller.ask("read again", f"GET /identities/{person}")
    teller.ask("change nobody", f"PUT /identities/idt_{NO_ID[5:]}", {"city": "x"})
    by = {"field": "identity_id", "operator": "in", "values": [person]}
    teller.ask("by id", "POST /identities/filter", {"filters": [by], "include_count": True})
    teller.ask("delete", f"DELETE /identities/{person}")
    teller.ask("delete again", f"DELETE /identities/{person}")
    teller.ask("deleted", f"GET /identities/{person}")
    teller.ask("delete ours", f"DELETE /identities/{own}")


@_story("tokens")
def _tell(teller: Teller) -> None:
    person = teller.ask("make", "POST /identities", {"first_name": "Ada", "email_address": "a@b.c", "street": "X"})
    base = f"/identities/{person.id('identity_id')}"
    teller.ask("none yet", f"GET {base}/tokenized-fields")
    teller.ask("one", f"POST {base}/tokenize/FirstName")
    teller.ask("again", f"POST {base}/tokenize/FirstName")
    teller.ask("small first letter", f"POST {base}/tokenize/emailAddress")
    teller.ask("snake case", f"POST {base}/tokenize/first_name")
    teller.ask("not tokenizable", f"POST {base}/tokenize/Gender")
    teller.ask("unknown", f"POST {base}/tokenize/Colour")
    teller.ask("several", f"POST {base}/tokenize", {"fields": ["Street", "LastName"]})
    teller.ask("several again", f"POST {base}/tokenize", {"fields": ["PostCode", "Street"]})
    teller.ask("no fields", f"POST {base}/tokenize", {"fields": []})
    teller.ask("fields as text", f"POST {base}/tokenize", {"fields": "Street"})
    teller.ask("unknown among them", f"POST {base}/tokenize", {"fields": ["Colour"]})
    teller.ask("which", f"GET {base}/tokenized-fields", loose=True)
    teller.ask("read", f"GET {base}")
    teller.ask("in the clear", f"GET {base}/detokenize/FirstName")
    teller.ask("in the clear, plain", f"GET {base}/detokenize/Gender")
    teller.ask("several in the clear", f"POST {base}/detokenize", {"fields": ["FirstName"]})
    teller.ask("all in the clear", f"POST {base}/detokenize", {"fields": []})
    teller.ask("none named", f"POST {base}/detokenize", {})
    teller.ask("nobody", f"POST /identities/idt_{NO_ID[5:]}/tokenize/FirstName")
    teller.ask("several of nobody", f"POST /identities/idt_{NO_ID[5:]}/tokenize", {"fields": ["FirstName"]})
    teller.ask("nobody in the clear", f"GET /identities/idt_{NO_ID[5:]}/detokenize/FirstName")


@_story("metadata")
def _tell(teller: Teller) -> None:
    ledger = teller.ask("ledger", "POST /ledgers", {"name": teller.name("l"), "meta_data": {"a": 1}}).id("ledger_id")
    balance = teller.ask("balance", "POST /balances", {"ledger_id": ledger, "currency": "EUR"}).id("balance_id")
    person = teller.ask("person", "POST /identities", {"first_name": "A"}).id("identity_id")
    paid = teller.ask("payment", "POST /transactions", _skip(teller, "paid", meta_data={"a": 1})).id("transaction_id")
    for name, id_ in {"ledger": ledger, "balance": balance, "person": person, "payment": paid}.items():
        teller.ask(f"of the {name}", f"POST /{id_}/metadata", {"meta_data": {"b": {"c": 1.5}, "n": 2**60}})
        teller.ask(f"of the {name}, more", f"POST /{id_}/metadata", {"meta_data": {"a": None, "b": "x"}})
        teller.ask(f"of the {name}, nothing", f"POST /{id_}/metadata", {"meta_data": {}})
    for name, read in {"ledger": f"/ledgers/{ledger}", "balance": f"/balances/{balance}"}.items():
        teller.ask(f"the {name}", f"GET {read}")
    teller.ask("the person", f"GET /identities/{person}")
    teller.ask("the payment", f"GET /transactions/{paid}")
    for name, body in {"null": {"meta_data": None}, "a text": {"meta_data": "x"}, "a list": {"meta_data": [1]}}.items():
        teller.ask(name, f"POST /{ledger}/metadata", body)
    for prefix in ("ldg", "bln", "idt", "txn", "bulk", "rule", "nothing"):
        teller.ask(f"of no {prefix}", f"POST /{prefix}_{NO_ID[5:]}/metadata", {"meta_data": {"a": 1}})
    teller.ask("of no shape", "POST /nonsense/metadata", {"meta_data": {"a": 1}})
    teller.ask("too large for a balance", f"POST /{balance}/metadata", {"meta_data": {"x": "y" * 9000}})
    queued = teller.ask("queued", "POST /transactions", _payment(teller, "queued")).id("transaction_id")
    _settled(teller, "applied", "queued", "APPLIED")
    teller.ask("of the queued", f"POST /{queued}/metadata", {"meta_data": {"late": True}})
    _family(teller, "both rows", "queued")


# -- reconciliation --------------------------------------------------------------------------------------------------

_CRITERIA = [{"field": "reference", "operator": "equals"}]


@_story("rules")
def _tell(teller: Teller) -> None:
    rules = "/reconciliation/matching-rules"
    rule = {"name": teller.name("rule"), "description": "d", "criteria": _CRITERIA}
    made = teller.ask("make", f"POST {rules}", rule).id("rule_id")
    teller.ask("the same again", f"POST {rules}", rule)
    drift = {"field": "amount", "operator": "equals", "allowable_drift": 0.01, "value": "1", "pattern": "x"}
    odd: dict[str, Any] = {
        "a drift": {**rule, "criteria": [drift]},
        "too much drift": {**rule, "criteria": [{**drift, "allowable_drift": 1.5}]},
        "a negative drift": {**rule, "criteria": [{**drift, "allowable_drift": -1}]},
        "no name": {"criteria": _CRITERIA},
        "no criteria": {"name": "x"},
        "empty criteria": {"name": "x", "criteria": []},
        "unknown field": {"name": "x", "criteria": [{"field": "colour", "operator": "equals"}]},
        "unknown operator": {"name": "x", "criteria": [{"field": "amount", "operator": "like"}]},
        "no operator": {"name": "x", "criteria": [{"field": "amount"}]},
        "criteria as text": {"name": "x", "criteria": "x"},
        "a long name": {"name": "x" * 256, "criteria": _CRITERIA},
    }
    _each(teller, f"POST {rules}", odd)
    for name, body in {
        "change": {**rule, "name": teller.name("other")},
        "change to no name": {"criteria": _CRITERIA},
    }.items():
        teller.ask(name, f"PUT {rules}/{made}", body)
    teller.ask("change nothing", f"PUT {rules}/rule_{NO_ID[5:]}", rule)
    teller.ask("delete", f"DELETE {rules}/{made}")
    teller.ask("delete again", f"DELETE {rules}/{made}")
    teller.ask("delete nonsense", f"DELETE {rules}/nonsense")


@_story("uploads")
def _tell(teller: Teller) -> None:
    head = "ID,Amount,Currency,Reference,Description,Date\n"
    line = f"u-{teller.scene},1.5,EUR,r,d,2026-11-20T10:00:00Z\n"

    def file(name: str, text: str) -> dict[str, Any]:
        return {"file": (name, text.encode())}

    source = {"source": "bank"}
    upload = "POST /reconciliation/upload"
    made = teller.ask("csv", upload, files=file("a.csv", head + line), form=source).id("upload_id")
    teller.ask("the same again", upload, files=file("a.csv", head + line), form=source)
    document = (
        f'[{{"id":"j-{teller.scene}","amount":1.5,"currency":"EUR","reference":"r","date":"2026-11-20T10:00:00Z"}}]'
    )
    teller.ask("json", upload, files=file("a.json", document), form=source)
    teller.ask("no source", upload, files=file("b.csv", head + line.replace("u-", "v-")), form={})
    teller.ask("no file", upload, files={"other": ("a.csv", b"x")}, form=source)
    teller.ask("an empty file", upload, files=file("a.csv", ""), form=source)
    teller.ask("a head alone", upload, files=file("a.csv", head), form=source)
    teller.ask("no columns", upload, files=file("a.csv", "a,b\n1,2\n"), form=source)
    teller.ask("bad json", upload, files=file("a.json", "{bad"), form=source)
    teller.ask("words", upload, files=file("a.txt", "hello"), form=source)
    odd = head + f"w-{teller.scene},much,EUR,r,d,yesterday\n"
    teller.ask("a bad amount and date", upload, files=file("c.csv", odd), form=source)
    teller.ask("no body", upload)
    teller.ask("a url", upload, {"url": "http://127.0.0.1/x.csv", "source": "bank"})
    teller.ask("a url of no shape", upload, {"url": "nonsense", "source": "bank"})
    rule = {"name": teller.name("rule"), "criteria": _CRITERIA}
    rule_id = teller.ask("rule", "POST /reconciliation/matching-rules", rule).id("rule_id")
    start: dict[str, Any] = {
        "upload_id": made,
        "strategy": "one_to_one",
        "matching_rule_ids": [rule_id],
        "dry_run": True,
    }
    begun = teller.ask("start", "POST /reconciliation/start", start).id("reconciliation_id")
    teller.until("run", f"GET /reconciliation/{begun}", holds=row_is("completed"))
    for name, changes in {
        "no upload": {"upload_id": ""},
        "no strategy": {"strategy": ""},
        "no rules": {"matching_rule_ids": []},
        "rules as text": {"matching_rule_ids": "x"},
    }.items():
        teller.ask(name, "POST /reconciliation/start", {**start, **changes})
    for name, changes, end in (
        ("unknown rule", {"matching_rule_ids": [f"rule_{NO_ID[5:]}"]}, "failed"),
        ("unknown strategy", {"strategy": "best"}, "completed"),
        ("unknown upload", {"upload_id": f"upload_{NO_ID[5:]}"}, "completed"),
    ):
        begun = teller.ask(name, "POST /reconciliation/start", {**start, **changes}).id("reconciliation_id")
        teller.until(f"{name}, run", f"GET /reconciliation/{begun}", holds=row_is(end))


@_story("instant runs")
def _tell(teller: Teller) -> None:
    rule = {"name": teller.name("rule"), "criteria": _CRITERIA}
    rule_id = teller.ask("rule", "POST /reconciliation/matching-rules", rule).id("rule_id")
    record = {
        "id": f"i-{teller.scene}",
        "amount": 1,
        "reference": "r",
        "currency": "EUR",
        "date": "2026-11-20T10:00:00Z",
    }
    body: dict[str, Any] = {
        "external_transactions": [record],
        "strategy": "one_to_one",
        "matching_rule_ids": [rule_id],
        "dry_run": True,
    }
    asked = "POST /reconciliation/start-instant"
    begun = teller.ask("start", asked, body).id("reconciliation_id")
    teller.until("run", f"GET /reconciliation/{begun}", holds=row_is("completed"))
    teller.ask("the same records", asked, body)
    for name, changes in {
        "no records": {"external_transactions": []},
        "records null": {"external_transactions": None},
        "too many": {"external_transactions": [{}] * 10_001},
        "no rules": {"matching_rule_ids": []},
        "no strategy": {"strategy": ""},
        "a bare date": {"external_transactions": [{**record, "id": f"d-{teller.scene}", "date": "2026-11-20"}]},
        "an amount as text": {"external_transactions": [{**record, "id": f"t-{teller.scene}", "amount": "1"}]},
        "a long reference": {"external_transactions": [{**record, "id": f"l-{teller.scene}", "reference": "x" * 256}]},
    }.items():
        teller.ask(name, asked, {**body, **changes})


# -- what nothing of ours asks, and a client of Core may ---------------------------------------------------------------


@_story("monitors")
def _tell(teller: Teller) -> None:
    balance = teller.ask("balance", "POST /balances", {"ledger_id": "general_ledger_id", "currency": "EUR"})
    condition = {"field": "credit_balance", "operator": ">=", "precision": 100, "value": 10}
    monitor: dict[str, Any] = {"balance_id": balance.id("balance_id"), "condition": condition, "description": "d"}
    made = teller.ask("make", "POST /balance-monitors", monitor).id("monitor_id")
    _each(
        teller,
        "POST /balance-monitors",
        {
            "nothing": {},
            "no condition": {"balance_id": balance.id("balance_id")},
            "unknown field": {**monitor, "condition": {**condition, "field": "colour"}},
            "half a value": {**monitor, "condition": {**condition, "value": 10.5}},
        },
    )
    path = f"/balance-monitors/{made}"
    teller.ask("read", f"GET {path}")
    teller.ask("of the balance", f"GET /balance-monitors/balances/{balance.id('balance_id')}")
    teller.ask("of no balance", f"GET /balance-monitors/balances/bln_{NO_ID[5:]}")
    teller.ask("change", f"PUT {path}", {**monitor, "condition": {**condition, "value": 20}})
    teller.ask("changed", f"GET {path}")
    teller.ask("change nothing", f"PUT /balance-monitors/mon_{NO_ID[5:]}", monitor)
    teller.ask("delete", f"DELETE {path}")
    teller.ask("delete again", f"DELETE {path}")
    teller.ask("deleted", f"GET {path}")
    teller.ask("all", "GET /balance-monitors")


@_story("hooks")
def _tell(teller: Teller) -> None:
    hook = {"name": "n", "url": "https://example.org/h", "type": "PRE_TRANSACTION", "active": False}
    hook |= {"timeout": 5, "retry_count": 0}
    path = f"/hooks/{teller.ask('make', 'POST /hooks', hook).id('id')}"
    teller.ask("nothing", "POST /hooks", {})
    teller.ask("unknown type", "POST /hooks", {**hook, "type": "x"})
    teller.ask("read", f"GET {path}")
    teller.ask("of its type", "GET /hooks?type=PRE_TRANSACTION")
    teller.ask("of the other", "GET /hooks?type=POST_TRANSACTION")
    teller.ask("of all types", "GET /hooks")
    teller.ask("change", f"PUT {path}", {**hook, "name": "m"})
    teller.ask("change nothing", "PUT /hooks/nothing", hook)
    teller.ask("delete", f"DELETE {path}")
    teller.ask("delete again", f"DELETE {path}")
    teller.ask("deleted", f"GET {path}")


@_story("balance/at a time")
def _tell(teller: Teller) -> None:
    balance = teller.ask("balance", "POST /balances", {"ledger_id": "general_ledger_id", "currency": "EUR"})
    path = f"/balances/{balance.id('balance_id')}/at"
    pay = {"destination": balance.id("balance_id")}
    teller.ask("pay", "POST /transactions", _skip(teller, "now", **pay))
    teller.ask(
        "pay long ago", "POST /transactions", _skip(teller, "then", effective_date="2020-06-01T00:00:00Z", **pay)
    )
    teller.ask(
        "spend", "POST /transactions", _skip(teller, "back", source=balance.id("balance_id"), precise_amount=300)
    )
    teller.ask("now", f"GET {path}")
    teller.ask("then", f"GET {path}?timestamp=2021-01-01T00:00:00Z&from_source=true")
    teller.ask("before all", f"GET {path}?timestamp=2020-01-01T00:00:00Z")
    teller.ask("at no time", f"GET {path}?timestamp=nonsense")
    teller.ask("nothing", f"GET /balances/bln_{NO_ID[5:]}/at")
    teller.ask("recovery at no time", "POST /transactions/recover?threshold=x")
    teller.ask("recovery after a year", "POST /transactions/recover?threshold=9000h")


# -- reading back ----------------------------------------------------------------------------------------------------


@_story("filters")
def _tell(teller: Teller) -> None:
    for number in range(3):
        meta = {"wq": teller.name("mark"), "n": number, "flag": number == 1, "deep": {"key": "x"}}
        body = _skip(teller, f"row{number}", precise_amount=1000 + number, meta_data=meta)
        teller.ask(f"row {number}", "POST /transactions", body)
    mine = {"field": "reference", "operator": "like", "value": f"row%.{teller.scene}"}
    rules: dict[str, Any] = {
        "like": [mine],
        "ilike": [{**mine, "operator": "ilike", "value": f"ROW%.{teller.scene}"}],
        "one": [{**mine, "operator": "eq", "value": teller.name("row1")}],
        "others": [mine, {**mine, "operator": "ne", "value": teller.name("row1")}],
        "some": [{"field": "reference", "operator": "in", "values": [teller.name("row0"), teller.name("row2")]}],
        "none": [{"field": "reference", "operator": "in", "values": [teller.name("nobody")]}],
        "in nothing": [{"field": "reference", "operator": "in", "values": []}],
        "in by value": [{"field": "reference", "operator": "in", "value": teller.name("row0")}],
        "more than": [mine, {"field": "amount", "operator": "gt", "value": 10}],
        "at least": [mine, {"field": "amount", "operator": "gte", "value": 10.01}],
        "less than": [mine, {"field": "amount", "operator": "lt", "value": 10.01}],
        "at most": [mine, {"field": "amount", "operator": "lte", "value": 10.01}],
        "between": [mine, {"field": "amount", "operator": "between", "values": [10.005, 10.015]}],
        "status": [mine, {"field": "status", "operator": "eq", "value": "APPLIED"}],
        "no parent": [mine, {"field": "parent_transaction", "operator": "isnull"}],
        "a parent": [mine, {"field": "parent_transaction", "operator": "isnotnull"}],
        "by mark": [{"field": "meta_data.wq", "operator": "eq", "value": teller.name("mark")}],
        "by a number": [mine, {"field": "meta_data.n", "operator": "eq", "value": 1}],
        "by a flag": [mine, {"field": "meta_data.flag", "operator": "eq", "value": True}],
        "by two levels": [mine, {"field": "meta_data.deep.key", "operator": "eq", "value": "x"}],
        "by all metadata": [mine, {"field": "meta_data", "operator": "eq", "value": "x"}],
        "unknown field": [{"field": "colour", "operator": "eq", "value": "red"}],
        "unknown operator": [{**mine, "operator": "near"}],
        "no operator": [{"field": "reference", "value": "x"}],
        "no field": [{"operator": "eq", "value": "x"}],
        "no value": [{"field": "reference", "operator": "eq"}],
        "a list as value": [{"field": "reference", "operator": "eq", "value": ["x"]}],
        "a rule of text": ["x"],
    }
    for name, filters in rules.items():
        teller.ask(name, "POST /transactions/filter", {"filters": filters}, loose=True)
    for name, more in {
        "counted": {"include_count": True},
        "the first": {"limit": 1, "sort_by": "reference", "sort_order": "asc", "include_count": True},
        "the second": {"limit": 1, "offset": 1, "sort_by": "reference", "sort_order": "asc", "include_count": True},
        "the last": {"limit": 1, "sort_by": "reference", "sort_order": "desc"},
        "after the last": {"offset": 10, "include_count": True},
        "limit zero": {"limit": 0},
        "limit negative": {"limit": -1},
        "limit as text": {"limit": "1"},
        "limit beyond": {"limit": 101},
        "offset negative": {"offset": -1},
        "sorted by nothing known": {"sort_by": "colour"},
        "sorted in no order": {"sort_by": "reference", "sort_order": "sideways"},
        "any of them": {"logical_operator": "or"},
    }.items():
        teller.ask(name, "POST /transactions/filter", {"filters": [mine], **more}, loose="sort_by" not in more)
    teller.ask("filters as text", "POST /transactions/filter", {"filters": "x"})
    for resource in ("ledgers", "balances", "identities"):
        nobody = {"filters": [{"field": "created_at", "operator": "lt", "value": "1960-01-01"}]}
        teller.ask(f"no {resource}", f"POST /{resource}/filter", nobody)
        teller.ask(f"no {resource}, counted", f"POST /{resource}/filter", {**nobody, "include_count": True})
        unknown = {"filters": [{"field": "colour", "operator": "eq", "value": "red"}]}
        teller.ask(f"{resource} by nothing known", f"POST /{resource}/filter", unknown)


@_story("lists")
def _tell(teller: Teller) -> None:
    teller.ask("row", "POST /transactions", _skip(teller, "row"))
    teller.ask("one", f"GET /transactions?reference_eq={teller.name('row')}")
    teller.ask("one of two", f"GET /transactions?reference_in={teller.name('row')},{teller.name('none')}")
    for asked in (
        "GET /transactions?reference_eq=nothing-at-all",
        "GET /transactions?colour_eq=red",
        "GET /ledgers?name_eq=nothing-at-all",
        "GET /ledgers?limit=0",
        "GET /ledgers?limit=x",
        "GET /ledgers?offset=-1",
        "GET /balances?currency_eq=XXX",
        "GET /balances?limit=0",
        "GET /identities?first_name_eq=nothing-at-all",
        "GET /identities?colour_eq=red",
    ):
        teller.ask(asked, asked, loose=True)


@_story("dry runs")
def _tell(teller: Teller) -> None:
    dry = {"dry_run": True, "skip_queue": True}
    hold = _held(teller, "hold")
    paid = teller.ask("paid", "POST /transactions", _skip(teller, "paid")).id("transaction_id")
    poor = {"source": f"@poor.{teller.scene}", "allow_overdraft": _OUT}
    _each(
        teller,
        "POST /transactions",
        {
            "pay": _payment(teller, "dry1", **dry),
            "without funds": _payment(teller, "dry2", **dry, **poor),
            "a used reference": _payment(teller, "paid", **dry),
            "unknown balance": _payment(teller, "dry3", **dry, destination=f"bln_{NO_ID[5:]}"),
            "beyond a limit": _payment(teller, "dry4", **dry, **poor, overdraft_limit=1),
            "invalid": _payment(teller, "dry5", **dry, description=""),
        },
    )
    teller.ask("commit", f"PUT /transactions/inflight/{hold}", {"status": "commit", **dry, "precise_amount": 400})
    teller.ask(
        "commit too much", f"PUT /transactions/inflight/{hold}", {"status": "commit", **dry, "precise_amount": 4000}
    )
    teller.ask("commit nothing", f"PUT /transactions/inflight/{NOTHING}", {"status": "commit", **dry})
    teller.ask("refund", f"POST /refund-transaction/{paid}", dry)
    teller.ask("refund nothing", f"POST /refund-transaction/{NOTHING}", dry)
    items = [_payment(teller, "dry6"), _payment(teller, "dry6")]
    teller.ask("bulk", "POST /transactions/bulk", {"transactions": items, **dry})
    teller.ask(
        "bulk without funds", "POST /transactions/bulk", {"transactions": [_payment(teller, "dry7", **poor)], **dry}
    )
    many = {"transactions": [{"transaction_id": hold}, {"transaction_id": NOTHING}], **dry}
    teller.ask("commit many", "POST /transactions/inflight/bulk/commit", many)
    teller.ask("void many", "POST /transactions/inflight/bulk/void", {"transaction_ids": [hold], **dry})
