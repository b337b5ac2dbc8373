"""Payments: amounts, fields, funds, both modes, what is scheduled."""

from __future__ import annotations

from typing import Any

from tests.fidelity.odd.asking import NOTHING, OUT, Page, each, family, payment, settled, skip
from tests.fidelity.telling import NO_ID, Teller, row_is

PAGE = Page()


@PAGE.story("payment/queue mode")
def _tell(teller: Teller) -> None:
    made = teller.ask("pay", "POST /transactions", payment(teller, "pay", meta_data={"wq": "x", "n": 1.5}))
    child = settled(teller, "applied", "pay", "APPLIED")
    teller.ask("by id", f"GET /transactions/{made.id('transaction_id')}")
    teller.ask("child by id", f"GET /transactions/{child}")
    teller.ask("by reference", f"GET /transactions/reference/{teller.name('pay')}")
    family(teller, "both rows", "pay")
    again = teller.ask("again", "POST /transactions", payment(teller, "pay"))
    teller.ask("phantom", f"GET /transactions/{again.id('transaction_id')}")
    teller.ask("again, other amount", "POST /transactions", payment(teller, "pay", precise_amount=7))
    teller.ask("again in skip mode", "POST /transactions", skip(teller, "pay"))
    family(teller, "still both rows", "pay")


@PAGE.story("payment/skip mode")
def _tell(teller: Teller) -> None:
    made = teller.ask("pay", "POST /transactions", skip(teller, "pay", meta_data={"wq": "x"}))
    teller.ask("by id", f"GET /transactions/{made.id('transaction_id')}")
    teller.ask("by reference", f"GET /transactions/reference/{teller.name('pay')}")
    teller.ask("again", "POST /transactions", skip(teller, "pay"))
    teller.ask("again, other amount", "POST /transactions", skip(teller, "pay", precise_amount=7))
    teller.ask("again in queue mode", "POST /transactions", payment(teller, "pay"))
    family(teller, "one row", "pay")
    teller.ask("the balance", f"GET /balances/indicator/@shop.{teller.scene}/currency/EUR")


@PAGE.story("payment/amounts")
def _tell(teller: Teller) -> None:
    def amount(name: str, **changes: Any) -> dict[str, Any]:
        return skip(teller, name, **{"precise_amount": OUT, **changes})

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
        "no precision": {"amount": 10.5, "precision": OUT},
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
    each(teller, "POST /transactions", {name: amount(f"amount{n}", **it) for n, (name, it) in enumerate(given.items())})
    raw = (
        b'{"precise_amount":%s,"precision":100,"currency":"EUR","description":"d","source":"@world","destination":"@s"'
    )
    for name, number in {"precise exponent": b"1e3", "precise hexadecimal": b"0x10", "leading zero": b"0100"}.items():
        reference = teller.name(name.replace(" ", "")).encode()
        teller.ask(name, "POST /transactions", raw % number + b',"skip_queue":true,"reference":"' + reference + b'"}')


@PAGE.story("payment/amounts in queue mode")
def _tell(teller: Teller) -> None:
    for number, (name, given) in enumerate(
        {
            "precise zero": {"precise_amount": 0},
            "rounds to nothing": {"precise_amount": OUT, "amount": 0.004},
            "negative": {"precise_amount": OUT, "amount": -10},
            "precise negative": {"precise_amount": -10},
            "negative precision": {"precision": -100},
        }.items()
    ):
        teller.ask(name, "POST /transactions", payment(teller, f"queue{number}", **given))


@PAGE.story("payment/fields")
def _tell(teller: Teller) -> None:
    given: dict[str, dict[str, Any]] = {
        **{f"no {name}": {name: OUT} for name in ("currency", "reference", "description", "source", "destination")},
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
    bodies = {name: skip(teller, f"field{n}", **it) for n, (name, it) in enumerate(given.items())}
    each(teller, "POST /transactions", bodies)
    teller.ask("umlauts in the reference", "POST /transactions", skip(teller, "grüße"))
    teller.ask("a long reference", "POST /transactions", skip(teller, "x" * 300))
    named = {name.title() if name != "skip_queue" else name: it for name, it in skip(teller, "case").items()}
    teller.ask("names in another case", "POST /transactions", named)
    twice = b'{"reference":"%s","reference":"%s",' % (teller.name("a").encode(), teller.name("b").encode())
    rest = b'"precise_amount":1,"precision":100,"currency":"EUR","description":"d","source":"@world",'
    end = b'"destination":"@twice","allow_overdraft":true,"skip_queue":true}'
    teller.ask("a key twice", "POST /transactions", twice + rest + end)


@PAGE.story("payment/queued oddities")
def _tell(teller: Teller) -> None:
    given: dict[str, dict[str, Any]] = {
        "unknown source": {"source": f"bln_{NO_ID[5:]}"},
        "itself": {"destination": f"@world.{teller.scene}"},
        "nine thousand bytes": {"meta_data": {"x": "y" * 9000}},
        "nul": {"description": "a\u0000b"},
    }
    for number, (name, it) in enumerate(given.items()):
        teller.ask(name, "POST /transactions", payment(teller, f"odd{number}", **it))


@PAGE.story("payment/funds")
def _tell(teller: Teller) -> None:
    poor = {"source": f"@poor.{teller.scene}", "allow_overdraft": OUT}
    teller.ask("poor", "POST /transactions", skip(teller, "poor", **poor))
    teller.ask("poor in queue mode", "POST /transactions", payment(teller, "queued", **poor))
    settled(teller, "rejected", "queued", "REJECTED")
    family(teller, "both rows", "queued")
    teller.ask("again", "POST /transactions", payment(teller, "queued", **poor))
    teller.ask("again in skip mode", "POST /transactions", skip(teller, "queued", **poor))
    given: dict[str, dict[str, Any]] = {
        "within a limit": {"overdraft_limit": 10},
        "beyond a limit": {"overdraft_limit": 5, "allow_overdraft": True},
        "a limit of text": {"overdraft_limit": "10"},
        "a negative limit": {"overdraft_limit": -10},
        "a limit of zero": {"overdraft_limit": 0, "allow_overdraft": True},
        "a limit that rounds up": {"overdraft_limit": 19.995},
    }
    for number, (name, it) in enumerate(given.items()):
        teller.ask(name, "POST /transactions", skip(teller, f"limit{number}", **(poor | it)))
    rich = {"destination": f"@poor.{teller.scene}", "precise_amount": 100_000}
    teller.ask("funds", "POST /transactions", skip(teller, "funds", **rich))
    teller.ask("now", "POST /transactions", skip(teller, "poor", **poor))
    teller.ask("the balance", f"GET /balances/indicator/@poor.{teller.scene}/currency/EUR")


@PAGE.story("payment/scheduled")
def _tell(teller: Teller) -> None:
    teller.ask("later", "POST /transactions", payment(teller, "later", scheduled_for="2099-01-01T00:00:00Z"))
    teller.until("row", f"GET /transactions/reference/{teller.name('later')}", holds=row_is("SCHEDULED"))
    family(teller, "rows", "later")
    teller.ask("long ago", "POST /transactions", payment(teller, "ago", scheduled_for="2020-01-01T00:00:00Z"))
    teller.ask("in skip mode", "POST /transactions", skip(teller, "skipped", scheduled_for="2099-01-01T00:00:00Z"))
    teller.ask(
        "with an offset", "POST /transactions", payment(teller, "off", scheduled_for="2099-01-01T02:00:00+02:00")
    )
