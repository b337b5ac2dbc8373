"""Lists are read from the newest, in pages, and no odd intent in them touches its neighbours."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blnk_relay import CutShort, ListBound, NotFound, Write
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.pages import FIRST_PAGE
from blnk_relay.kinds.registry import intent_of
from tests.support.bulk import Fill, fill
from tests.support.cli import FUNDS, die, letters, payment, run
from tests.support.stages import operator_of
from worker.cli import exits

pytestmark = pytest.mark.usefixtures("environment")


def enqueue(relay, *keys: str, lane: str | None = None) -> None:
    relay.enqueue_many([Write(intent=payment(), key=key, lane=lane) for key in keys])


def scored(relay, name, **scores: int) -> None:
    """Place intents in a set by hand, by their keys."""
    relay.journal().client.zadd(relay.journal().key(name), {id_of("default", key): at for key, at in scores.items()})


def trips(relay):
    """Requests that Redis has read so far."""
    return int(relay.journal().client.info("stats")["total_reads_processed"])


# -- order and cost --------------------------------------------------------------------------------------------------


def test_what_is_ready_in_several_lanes_is_listed_as_one_newest_first(relay):
    enqueue(relay, "a", "c", "e")
    enqueue(relay, "b", "d", lane="refunds")
    scored(relay, "ready:transactions", a=1_000, c=3_000, e=5_000)
    scored(relay, "ready:refunds", b=2_000, d=4_000)
    operator = operator_of(relay)
    assert [found.key for found in operator.listed("ready")] == ["e", "d", "c", "b", "a"]
    assert [found.key for found in operator.listed("ready", oldest_first=True)] == ["a", "b", "c", "d", "e"]
    assert [intent["key"] for intent in run("list", "--state", "ready", "--json").json["intents"]] == list("edcba")


def test_several_states_are_listed_as_one_newest_first(relay):
    letters(relay, "old")
    enqueue(relay, "newer")
    letters(relay, "newest", dead_class="unknown", code="VANISHED")
    for key, at in (("old", 1_000), ("newer", 2_000), ("newest", 3_000)):
        relay.journal().client.hset(relay.journal().key(f"intent:{id_of('default', key)}"), "updated", at)
    listed = run("list", "--limit", "2", "--json").json
    assert [intent["key"] for intent in listed["intents"]] == ["newest", "newer"]
    assert listed["more"]


@pytest.fixture
def many(relay):
    """Three thousand dead letters, one of which stands apart: the oldest."""
    enqueue(relay, "odd")
    die(relay, "unknown", "VANISHED")
    for start in range(0, 3_000, 500):
        letters(relay, *(f"order-{number}" for number in range(start, start + 500)))
    return relay


def test_the_newest_five_of_thousands_cost_a_few_trips_and_a_filter_a_few_for_each_page(many):
    operator = operator_of(many)
    before = trips(many)
    assert len([found for found, _ in zip(operator.listed("dead"), range(5), strict=False)]) == 5
    assert trips(many) - before < 10
    before = trips(many)
    assert [found.key for found in operator.listed("dead", code="VANISHED")] == ["odd"]
    assert trips(many) - before < 100
    before = trips(many)
    assert len(list(operator.listed("dead"))) == 3_001
    assert trips(many) - before < 300


def test_a_time_in_a_filter_is_left_to_the_scores(many):
    operator, moment = operator_of(many), many.get("odd").updated
    before = trips(many)
    assert [found.key for found in operator.listed("dead", until=moment + timedelta(milliseconds=1))] == ["odd"]
    assert list(operator.listed("dead", until=moment)) == []
    assert trips(many) - before < 12
    assert len(list(operator.listed("dead", since=moment))) == 3_001
    assert len(list(operator.listed("dead", since=moment + timedelta(microseconds=1)))) == 3_000


SETS = st.dictionaries(st.text("abc234", min_size=1, max_size=4), st.integers(0, 3), max_size=40)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_pages_show_each_member_once_whatever_leaves_meanwhile(journal, data):
    members, size, down = data.draw(SETS), data.draw(st.integers(1, 7)), data.draw(st.booleans())
    lowest, beyond = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 4))
    client, key = journal.client, journal.key("a set")
    client.delete(key)
    if members:
        client.zadd(key, members)
    order = sorted((at, name) for name, at in members.items() if lowest <= at < beyond)
    order = order[::-1] if down else order
    seen: list[tuple[int, str]] = []
    gone: set[str] = set()
    score = member = ""
    while page := journal.scripts.run("page", "a set", "1" if down else "0", lowest, beyond, score, member, size):
        seen += [(int(at), name) for name, at in zip(page[::2], page[1::2], strict=True)]
        member, score = page[-2:]
        leaving = data.draw(st.sampled_from(order))[1] if order else ""
        client.zrem(key, leaving)
        gone.add(leaving)
    assert [item for item in order if item in seen] == seen
    assert {name for _, name in order} - {name for _, name in seen} <= gone


# -- filters that cannot match ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("list",), ("dead", "list"), ("dead", "replay", "--plan")], ids=" ".join)
@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        (("--kind", "transactions"), "no kind is 'transactions'; did you mean 'transaction'?"),
        (("--kind", "zzz"), "no kind is 'zzz'; there are: balance.create"),
        (("--target", "defalt"), "no target is 'defalt'; did you mean 'default'?"),
    ],
)
def test_a_filter_that_cannot_match_says_so_and_what_was_meant(relay, command, filters, sentence):
    letters(relay, "a")
    ran = run(*command, *filters, "--json")
    assert ran.code == exits.NOT_FOUND
    assert sentence in ran.json["error"]["message"]


def test_that_no_letter_died_without_a_code_is_said_as_it_is_asked_for(relay):
    letters(relay, "a")
    ran = run("dead", "list", "--code", "-")
    assert ran.code == exits.NOT_FOUND
    assert f"no code among the dead letters is '-'; there are: DEPENDENCY_CLOSED, {FUNDS}" in ran.err
    letters(relay, "bare", code="")
    assert f"there are: -, DEPENDENCY_CLOSED, {FUNDS}" in run("dead", "list", "--code", "ZZZ").err
    assert run("dead", "list", "--code", "-").code == 0


def test_a_code_that_no_letter_ever_died_of_says_so(relay):
    letters(relay, "a")
    code = ("--code", "TXN_INSUFICIENT_FUNDS")
    for command in (("dead", "list"), ("list", "--state", "dead"), ("dead", "discard", "--reason", "x", "--plan")):
        ran = run(*command, *code)
        assert ran.code == exits.NOT_FOUND
        assert f"did you mean '{FUNDS}'?" in ran.err
    # Elsewhere the code of any answer may stand, so that this list may be empty for today.
    mixed = run("list", *code)
    assert mixed.code == 0
    assert f"did you mean '{FUNDS}'?" in mixed.out
    assert run("list", *code, "--json").json == {"intents": [], "more": False, "cut": [], "away": []}
    operator_of(relay).replay(relay.get("a"), who="ann", reason="a test")
    assert run("dead", "list", "--code", FUNDS).code == 0


def test_a_list_that_no_index_answers_ends_after_some_that_do_not_fit_and_says_so(relay):
    fill(relay, Fill("open", "open", 2_600))
    with redis.Redis.from_url(relay.settings.redis_url) as client:
        # The oldest, and so the last that a list comes to.
        client.hset(relay.journal().key(f"intent:{relay.get('open-1').id}"), "code", "LATE")
    asked = ("list", "--state", "ready", "--code", "LATE")
    short = run(*asked)
    assert short.code == 0
    assert "0 intents" in short.out
    told = "Not looked to the end: of 2,600 that are ready at target default only the newest 2,000 were looked at."
    assert told in short.out
    assert run(*asked, "--json").json == {
        "intents": [],
        "more": False,
        "cut": [{"state": "ready", "target": "default", "looked": 2_000, "there": 2_600}],
        "away": [],
    }
    whole = run(*asked, "--whole", "--json").json
    assert [found["key"] for found in whole["intents"]] == ["open-1"]
    assert whole["cut"] == []


def test_a_list_that_finds_what_was_asked_for_is_not_cut(relay):
    fill(relay, Fill("open", "open", 2_600))
    document = run("list", "--state", "ready", "--kind", "transaction", "--limit", "2500", "--json").json
    assert (len(document["intents"]), document["more"], document["cut"]) == (2_500, True, [])
    bound = ListBound(most=10)
    assert list(operator_of(relay).listed("ready", kind="refund", bound=bound)) == []
    assert bound.cut == [CutShort("default", FIRST_PAGE, 2_600, "ready")]
    assert list(operator_of(relay).listed("ready", kind="refund")) == []


def test_the_use_of_keys_says_how_many_intents_it_left(relay):
    fill(relay, Fill("open", "open", 2_600))
    few = run("encryption", "keys", "--json").json["targets"][0]
    assert (few["plain"], few["left"], few["old"]) == (2_000, 600, None)
    assert "600 intents of target default were not looked at" in run("encryption", "keys").out
    every = run("encryption", "keys", "--whole", "--json").json["targets"][0]
    assert (every["plain"], every["left"], every["old"]) == (2_600, 0, 0)


def test_filters_that_match_nothing_today_are_no_mistake(relay):
    enqueue(relay, "a")
    assert "0 intents" in run("list", "--kind", "refund").out
    assert run("dead", "list", "--target", "default").code == 0


# -- odd intents among good ones -------------------------------------------------------------------------------------


def newer(relay, key):
    """As a newer producer would have left it: of a kind that this version does not know."""
    id_ = id_of("default", key)
    client, prefix = relay.journal().client, relay.journal().prefix
    client.hset(f"{prefix}intent:{id_}", "kind", "transaction.later")
    client.hincrby(f"{prefix}counts", "accepted|transaction.later", 1)
    body = client.get(f"{prefix}body:{id_}")
    client.set(f"{prefix}body:{id_}", body.replace('"kind":"transaction"', '"kind":"transaction.later"'))


def broken(relay, key, body="{nonsense"):
    """Its body is lost, or no JSON."""
    name = relay.journal().key(f"body:{id_of('default', key)}")
    if body is None:
        relay.journal().client.delete(name)
    else:
        relay.journal().client.set(name, body)


@pytest.fixture
def odd(relay):
    """Good letters, and between them one of each odd sort."""
    letters(relay, "a", "later", "no-json", "no-object", "cut", "gone", "z")
    newer(relay, "later")
    broken(relay, "no-json")
    broken(relay, "no-object", "[1]")
    broken(relay, "cut", '{"key":"cut","kind":"transaction"}')
    broken(relay, "gone", None)
    relay.journal().client.rpush(relay.journal().key(f"log:{id_of('default', 'gone')}"), "{nonsense", "[]")
    # What was changed behind its back the journal has to be told of.
    operator_of(relay).recount()
    return relay


UNREADABLE = ("no-json", "no-object", "cut", "gone")


@pytest.mark.usefixtures("odd")
def test_odd_intents_are_listed_with_what_can_be_known_of_them():
    listed = {intent["id"]: intent for intent in run("list", "--json").json["intents"]}
    assert len(listed) == 7
    later = listed[id_of("default", "later")]
    assert (later["key"], later["kind"], later["unreadable"]) == ("later", "transaction.later", False)
    for key in UNREADABLE:
        intent = listed[id_of("default", key)]
        assert (intent["key"], intent["state"], intent["code"], intent["unreadable"]) == ("", "dead", FUNDS, True)
    assert id_of("default", "gone")[:15] in run("dead", "list").out


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("key", ["later", *UNREADABLE])
def test_an_odd_intent_is_shown(key):
    ran = run("show", key)
    assert ran.code == 0
    assert FUNDS in ran.out
    assert ("broken" in ran.out) == (key != "later")
    replay = run("dead", "show", key, "--json").json["replay"]
    assert replay["way"] == "no"
    assert ("does not know kind 'transaction.later'" in replay["why"]) == (key == "later")
    if key != "later":
        assert run("show", key, "--payload").code == exits.NOT_FOUND


@pytest.mark.usefixtures("odd")
def test_a_kind_of_a_newer_version_may_be_asked_for():
    listed = run("dead", "list", "--kind", "transaction.later", "--json").json["letters"]
    assert [letter["key"] for letter in listed] == ["later"]


def test_a_bulk_replay_goes_on_with_the_others_and_says_what_it_left(odd):
    ran = run("dead", "replay", "--all", "--reason", "a test", "--yes", "--json")
    assert ran.code == exits.PARTLY
    assert (ran.json["done"], ran.json["refused"]) == (2, 5)
    assert {odd.get(key).state for key in ("a", "z")} == {"ready"}
    assert {odd.get(key).state for key in ("later", *UNREADABLE)} == {"dead"}
    told = run("dead", "replay", "--key", "later", "--yes")
    assert told.code == exits.REFUSED
    assert "does not know kind 'transaction.later'" in " ".join(told.out.split())


def test_odd_letters_can_be_discarded(odd):
    ran = run("dead", "discard", "--all", "--reason", "settled by hand", "--yes", "--json")
    assert (ran.code, ran.json["done"], ran.json["refused"]) == (0, 7, 0)
    assert {odd.get(key).state for key in ("later", *UNREADABLE)} == {"discarded"}


def test_what_one_letter_raises_does_not_end_the_run(relay, monkeypatch):
    from blnk_relay.journal.operator import Operator

    letters(relay, "a", "b", "c")
    replay = Operator.replay

    def raising(self, status, **rest: str):
        if status.key == "b":
            raise ZeroDivisionError
        return replay(self, status, **rest)

    monkeypatch.setattr(Operator, "replay", raising)
    ran = run("dead", "replay", "--all", "--reason", "a test", "--yes", "--json")
    assert (ran.json["done"], ran.json["refused"], ran.json["left"]) == (2, 1, 0)
    assert "ZeroDivisionError" in ran.json["errors"][0]["message"]


def test_parts_of_an_odd_intent_are_a_sentence(odd):
    for key in ("later", *UNREADABLE):
        with pytest.raises(NotFound, match=r"cannot be told|were trimmed"):
            odd.parts(key)


def test_events_of_odd_intents_are_told(odd):
    assert sorted(event.key for event in odd.events("g", timeout_s=0.1)) == ["", "", "", "a", "cut", "later", "z"]


def test_what_waits_and_what_it_waits_for_are_told_in_lists_as_well(relay):
    relay.enqueue(payment(), key="first")
    relay.enqueue(payment(), key="second", after=["first"])
    for key in ("part-1", "part-2"):
        relay.enqueue(intent_of("inflight.commit", {"hold": "h", "amount": "1.00", "precision": 100}), key=key)
    listed = {status.key: status for status in operator_of(relay).listed("waiting")}
    assert listed["second"].waits_for == (id_of("default", "first"),)
    assert listed["part-2"].waits_for == (id_of("default", "part-1"),)
    ready = {status.key: status for status in operator_of(relay).listed("ready")}
    assert (ready["first"].blocks, ready["part-1"].blocks) == (1, 1)
