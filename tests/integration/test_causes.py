"""Dead letters by what they died of: kept by the scripts that bury, replay and close, and never counted by looking."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import blnk_relay.journal.journal as journal_module
from blnk_relay import Cause, Operator, Relay, Write
from blnk_relay.journal.settlement import Settlement
from tests.support.cli import FUNDS, die, letters, payment, run
from tests.support.secrecy import a_key
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def operator():
    with Operator.from_env() as made:
        yield made


def by_code(operator: Operator, **asked: Any) -> dict[str, Cause]:
    return {cause.code: cause for cause in operator.causes(**asked).causes}


def enqueue(relay: Relay, *keys: str, order_key: str | None = None, **changes: Any) -> None:
    relay.enqueue_many([Write(intent=payment(**changes), key=key, order_key=order_key) for key in keys])


def test_causes_follow_what_dies_is_replayed_and_is_closed(operator, relay):
    enqueue(relay, "a", "b", amount="10.50")
    enqueue(relay, "c", amount="4", currency="JPY", precision=1)
    die(relay, "rejected", FUNDS)
    letters(relay, "d", dead_class="unknown", code="REFERENCE_CONFLICT")
    found = by_code(operator)
    assert {code: cause.count for code, cause in found.items()} == {FUNDS: 3, "REFERENCE_CONFLICT": 1}
    funds = found[FUNDS]
    assert (funds.sums, funds.summed) == ({"EUR": Decimal(21), "JPY": Decimal(4)}, 3)
    assert (funds.way, found["REFERENCE_CONFLICT"].way) == ("fresh", "no")
    assert funds.some_keys == ("a", "b", "c")
    assert funds.first == relay.get("a").updated
    operator.replay(relay.get("a"), who="ann", reason="topped up")
    operator.discard(relay.get("c"), who="ann", reason="paid in cash")
    assert (by_code(operator)[FUNDS].count, by_code(operator)[FUNDS].sums) == (1, {"EUR": Decimal("10.5")})
    die(relay, "refused", "NO")
    assert by_code(operator)["NO"].some_keys == ("a",), "it has died again, of something else"
    for key in "abd":
        operator.discard(relay.get(key), who="ann", reason="enough")
    assert operator.causes().causes == ()
    left = [
        key for key in relay.journal().client.keys("*") if any(word in key for word in ("letters:", "sums:", "affect"))
    ]
    assert left == []


def test_a_cause_is_over_once_it_had_no_letters_for_a_while_and_one_sweep_tells_it(operator, relay, monkeypatch):
    def healed() -> list[str]:
        found: list[str] = []
        # Whoever sweeps twice at once sweeps once.
        wait_until(lambda: (swept := relay.journal().sweep()).swept and found.extend(swept.healed) is None, 5)
        return found

    letters(relay, "a", "b")
    letters(relay, "c", code="OTHER")
    operator.discard(relay.get("a"), who="ann", reason="enough")
    operator.discard(relay.get("c"), who="ann", reason="enough")
    assert healed() == [], "it may begin anew at any moment"
    monkeypatch.setattr(journal_module, "HEALED_S", 0.0)
    assert healed() == ["transaction|rejected|OTHER"], "of the other cause there is one left"
    assert healed() == []
    operator.replay(relay.get("b"), who="ann", reason="topped up")
    die(relay, "rejected", FUNDS)
    assert healed() == [], "it died of the same again"
    operator.discard(relay.get("b"), who="ann", reason="enough")
    assert healed() == [f"transaction|rejected|{FUNDS}"]
    assert not relay.journal().client.exists(relay.journal().key("emptied"))


def test_orders_are_counted_and_those_with_most_letters_are_named(operator, relay):
    enqueue(relay, "x", order_key="customer-1")
    for number in range(3):
        enqueue(relay, f"y-{number}", order_key="customer-2")
    die(relay, "refused", "NO")
    assert by_code(operator)["NO"].orders == 2
    for letter in operator.listed("dead"):
        if letter.key.startswith("y"):
            operator.discard(letter, who="ann", reason="the next of its order")
    die(relay, "refused", "NO")
    found = by_code(operator)["NO"]
    assert (found.count, found.orders, found.some_orders) == (2, 2, (("customer-2", 1), ("customer-1", 1)))
    operator.discard(relay.get("x"), who="ann", reason="enough")
    assert by_code(operator)["NO"].some_orders == (("customer-2", 1),)


def test_a_letter_that_waited_for_one_that_was_closed_is_of_another_cause_from_then_on(operator, relay):
    letters(relay, "first")
    relay.enqueue(payment(), key="second", after=["first"])
    operator.discard(relay.get("first"), who="ann", reason="closed")
    assert {code: cause.count for code, cause in by_code(operator).items()} == {"DEPENDENCY_CLOSED": 1}
    assert by_code(operator)["DEPENDENCY_CLOSED"].way == "no"


def test_what_is_encrypted_or_says_no_single_amount_is_in_no_sum_and_that_is_told(operator, relay):
    relay.enqueue(payment(meta_data={"precise_amount": 7}), key="odd")
    letters(relay, "plain")
    die(relay, "rejected", FUNDS)
    found = by_code(operator)[FUNDS]
    assert (found.count, found.summed, found.sums) == (2, 1, {"EUR": Decimal("10.5")})


def test_narrowed_by_time_counts_are_exact_and_sums_are_left_out(operator, relay):
    letters(relay, "a")
    between = operator.now() + timedelta(milliseconds=1)
    wait_until(lambda: operator.now() > between, 1.0)
    letters(relay, "b")
    late = by_code(operator, since=between)[FUNDS]
    assert (late.count, late.some_keys, late.summed, late.sums) == (1, ("b",), 0, {})
    assert by_code(operator, until=between)[FUNDS].some_keys == ("a",)
    assert [letter.key for letter in operator.listed("dead", dead_class="rejected", until=between)] == ["a"]
    assert by_code(operator, dead_class="unknown") == {}


def test_what_a_version_before_has_left_is_seen_listed_all_the_same_and_taken_in(operator, relay):
    letters(relay, "a", "b")
    letters(relay, "c", code="OTHER")
    journal = relay.journal()
    for key in journal.client.keys("*letters:*"):
        journal.client.delete(key)
    journal.client.delete(journal.key("causes"))
    assert (operator.causes().causes, operator.causes().uncounted) == ((), 3)
    assert {letter.key for letter in operator.listed("dead", code=FUNDS)} == {"a", "b"}
    assert "3 letters not accounted for" in run("dead", "summary").err
    assert operator.recount() == 3
    assert operator.causes().uncounted == 0
    funds = by_code(operator)[FUNDS]
    assert (funds.count, funds.sums) == (2, {"EUR": Decimal(21)})
    assert operator.recount() == 3, "once more changes nothing"
    assert by_code(operator)[FUNDS] == funds
    operator.discard(relay.get("a"), who="ann", reason="x")
    assert by_code(operator)[FUNDS].sums == {"EUR": Decimal("10.5")}


def test_an_upgrade_takes_in_what_older_versions_have_left(operator, relay):
    """As many too few as too many, which no number tells."""
    letters(relay, "a")
    journal, cause = relay.journal(), f"transaction|rejected|{FUNDS}"
    journal.client.zrem(journal.key(f"letters:{cause}"), relay.get("a").id)
    journal.client.zadd(journal.key(f"letters:{cause}"), {"0" * 32: 1})
    journal.client.hset(journal.key("ground"), "shape", "1")
    assert (operator.causes().uncounted, list(operator.listed("dead", code=FUNDS))) == (0, [])
    assert [one.changed for one in operator.upgrade(who="ann")] == [True]
    assert [letter.key for letter in operator.listed("dead", code=FUNDS)] == ["a"]
    assert by_code(operator)[FUNDS].count == 1


def test_while_all_is_made_anew_nothing_is_taken_away_that_was_not_added(settings):
    with Relay(settings) as plain, Operator(plain.journals, plain.bells) as operator:
        letters(plain, "a", "b", "c")
        journal = plain.journal()
        ids = {key: plain.get(key).id for key in "abc"}
        journal.scripts.run("recount", "drop")
        operator.replay(plain.get("c"), who="ann", reason="topped up")
        assert journal.client.hget(journal.key(f"intent:{ids['c']}"), "worth") is None
        journal.scripts.run("recount", "join", ids["b"])
    with Relay(replace(settings, encryption_keys=a_key("k1"))) as relay, Operator(relay.journals) as operator:
        operator.reseal("default")
        assert (by_code(operator)[FUNDS].count, by_code(operator)[FUNDS].sums) == (1, {})
        assert operator.recount() == 2
        assert (by_code(operator)[FUNDS].count, by_code(operator)[FUNDS].sums) == (2, {})


def test_a_summary_of_thousands_of_letters_costs_a_few_commands(operator, relay):
    journal, codes = relay.journal(), ("A", "B", "C", "D", "E")
    for some in range(4):
        enqueue(relay, *(f"order-{some}-{number}" for number in range(500)))
        claims = journal.claim("transactions", "tester", 500)
        journal.settle(
            "tester",
            [
                Settlement(one, "sending", "dead", fields={"class": "refused", "code": codes[at % 5], "message": "no"})
                for at, one in enumerate(claims.items)
            ],
            (),
        )
    journal.client.config_resetstat()
    found = operator.causes()
    assert Counter({cause.code: cause.count for cause in found.causes}) == dict.fromkeys(codes, 400)
    assert found.causes[0].sums == {"EUR": Decimal(4200)}
    calls = sum(one["calls"] for one in journal.client.info("commandstats").values())
    assert calls < 200, "in five causes, whatever the letters are"
    journal.client.config_resetstat()
    assert len(list(zip(range(10), operator.listed("dead", code="C"), strict=False))) == 10
    reads = journal.client.info("commandstats")["cmdstat_hmget"]["calls"]
    assert reads < 800, "others than those of the cause are not looked at"


def test_what_is_encrypted_is_in_no_sum_nor_what_is_put_under_a_key_later(settings):
    with Relay(settings) as plain:
        letters(plain, "a", "b")
    hiding = replace(settings, encryption_keys=a_key("k1"))
    with Relay(hiding) as relay, Operator(relay.journals, relay.bells) as operator:
        letters(relay, "c")
        assert (by_code(operator)[FUNDS].count, by_code(operator)[FUNDS].summed) == (3, 2)
        operator.reseal("default")
        found = by_code(operator)[FUNDS]
        assert (found.count, found.summed, found.sums) == (3, 0, {})
        [sums] = relay.journal().client.keys("*sums:*")
        assert relay.journal().client.hgetall(sums) == {"known": "0"}, "nor the name of a currency"
        operator.discard(relay.get("a"), who="ann", reason="x")
        assert (by_code(operator)[FUNDS].count, by_code(operator)[FUNDS].sums) == (2, {})


def test_the_command_line_shows_it(relay):
    letters(relay, "a", "b")
    letters(relay, "c", dead_class="unknown", code="REFERENCE_CONFLICT")
    told = run("dead", "summary").out
    assert "21 EUR" in told
    assert "new reference" in told
    assert "is refused" in told
    shown = run("dead", "summary", "--class", "rejected", "--json").json
    assert [(cause["code"], cause["count"], cause["sums"]) for cause in shown["causes"]] == [(FUNDS, 2, {"EUR": "21"})]
    assert run("dead", "list", "--class", "unknown", "--json").json["letters"][0]["key"] == "c"
    replayed = run("dead", "replay", "--class", "rejected", "--until", "0s", "--reason", "x", "--yes", "--json").json
    assert (replayed["done"], replayed["scope"]["class"]) == (2, "rejected")
    assert "There are" in run("dead", "summary", "--since", "0s").out
