"""Reading the journal: lists and statuses while all of it goes on, and the log of what happened."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.status import moment
from tests.support.journal import (
    LANE,
    WORKER,
    enqueue,
    finish,
    kill,
    status,
)
from tests.support.payments import payment


def test_an_intent_is_open_until_it_is_finished_and_fresh_for_a_while_after_it_was_done(relay, journal):
    relay.enqueue_many([payment("paid"), payment("killed")])
    assert journal.is_open("paid")
    assert not journal.is_fresh("paid", 60)
    paid, killed = journal.claim(LANE, WORKER, 2).items
    finish(journal, paid)
    kill(journal, killed)
    for reference, fresh in (("paid", True), ("killed", False), ("unknown", False)):
        assert not journal.is_open(reference)
        assert journal.is_fresh(reference, 60) is fresh
    journal.client.hincrby(journal.key(f"intent:{paid.entry.id}"), "updated", -61_000)
    assert not journal.is_fresh("paid", 60)


@pytest.mark.parametrize("letters", [1, 199, 200, 201, 450])
def test_listing_misses_nothing_while_what_it_lists_goes_away(relay, journal, operator, letters):
    enqueue(relay, *(f"order-{number}" for number in range(letters)))
    for claimed in journal.claim(LANE, WORKER, letters).items:
        kill(journal, claimed)
    seen = []
    for letter in operator.listed("dead"):
        seen.append(letter.id)
        operator.discard(letter, who="me", reason="a drill")
    assert len(seen) == len(set(seen)) == letters
    assert journal.client.zcard(journal.key("dead")) == 0


def test_listing_shows_everything_when_all_of_it_happened_at_once(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(450)))
    for claimed in journal.claim(LANE, WORKER, 450).items:
        kill(journal, claimed)
        journal.client.zadd(journal.key("dead"), {claimed.entry.id: 1_000})
    assert len({letter.id for letter in operator.listed("dead")}) == 450


def test_reading_an_intent_while_it_is_trimmed_shows_it_before_or_after(relay, journal):
    keys = [f"order-{number}" for number in range(400)]
    enqueue(relay, *keys)
    finish(journal, *journal.claim(LANE, WORKER, 400).items)
    ids = [id_of(DEFAULT_TARGET, key) for key in keys]
    for id_ in ids:
        journal.client.zadd(journal.key("done"), {id_: 1})
    others = Journal(replace(journal.settings, retention_s=1.0))
    going = threading.Event()

    def trim_slowly() -> None:
        going.wait(10)
        for _ in ids:
            others.client.delete(others.key("sweep"))
            others.scripts.run("sweep", 1, 6000, 1000, 1, 1000, "", "", 0, 0, "", "", 0, "")

    with ThreadPoolExecutor(1) as pool:
        trimming = pool.submit(trim_slowly)
        going.set()
        while not trimming.done():
            for id_ in ids:
                found = journal.status(id_)
                assert found is not None
                assert (found.state, found.outcome) == ("done", "applied")
        trimming.result()
    others.close()


def attempted(claimed: Claimed, at_ms: int, note: str, *, status: int = 0, what: str = "not_sent") -> Settlement:
    line = {"at": at_ms, "what": what, "status": status, "code": "ConnectionError", "ms": 3, "by": "w", "note": note}
    return Settlement(claimed, "sending", "ready", 0, {}, json.dumps({**line, "request": f"r{at_ms}"}))


def test_attempts_that_end_alike_are_one_line_with_their_number(relay, journal):
    enqueue(relay, "order")
    start_ms = journal.now_ms()
    for number in range(50):
        (claimed,) = journal.claim(LANE, WORKER, 1).items
        journal.settle(WORKER, [attempted(claimed, start_ms + number, f"again in {number / 10:.1f} s")], [])
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    journal.settle(WORKER, [attempted(claimed, start_ms + 60, "look in 0.3 s", status=502, what="sent")], [])
    many, other = journal.history(id_of(DEFAULT_TARGET, "order"))
    assert (many.what, many.count, many.note, many.request_id) == (
        "not_sent",
        50,
        "again in 4.9 s",
        f"r{start_ms + 49}",
    )
    assert (many.at, many.last) == (moment(start_ms), moment(start_ms + 49))
    assert (other.status, other.count, other.last) == (502, 1, None)


def test_what_operators_did_is_never_folded(relay, journal, operator):
    enqueue(relay, "order")
    for _ in range(2):
        (claimed,) = journal.claim(LANE, WORKER, 1).items
        kill(journal, claimed)
        operator.replay(status(journal, "order"), who="me", reason="again")
    assert [line.what for line in journal.history(id_of(DEFAULT_TARGET, "order"))] == ["replayed", "replayed"]


def test_what_was_tried_in_vain_is_known_by_when_it_was_accepted(relay, journal, operator):
    """Each try moves an intent in every other set, so that its age is to be seen in none of them."""
    enqueue(relay, "again", "unseen", "well", "gone")
    created = {name: status(journal, name).created for name in ("again", "unseen")}
    again, gone, unseen, well = sorted(journal.claim(LANE, WORKER, 4).items, key=lambda item: item.entry.key)
    tried = journal.key(f"tried:{LANE}")
    posted = [Settlement(claimed, "sending", "posted") for claimed in (unseen, well)]
    journal.settle(WORKER, [Settlement(again, "sending", "ready", 5_000), *posted], [])
    assert set(journal.client.zrange(tried, 0, -1)) == {one.entry.id for one in (again, gone, unseen, well)}
    looked = journal.take(WORKER, 10, 10).items
    journal.settle(WORKER, [Settlement(item, "posted", "posted", 5_000) for item in looked], [])
    ages = {
        journal.status(id_).key: moment(int(at)) for id_, at in journal.client.zrange(tried, 0, -1, withscores=True)
    }
    assert {name: ages[name] for name in created} == created
    journal.client.zadd(tried, {again.entry.id: journal.now_ms() - 60_000})
    lane = next(lane for lane in operator.overview().lanes if lane.lane == LANE)
    assert 60 <= lane.oldest_open_s < 90, "though it came due a moment ago, or will"
    assert lane.oldest_open == again.entry.id
    finish(journal, gone)
    relay.cancel("again")
    for claimed in (unseen, well):
        journal.client.zadd(journal.key("posted"), {claimed.entry.id: 1})
    unseen, well = sorted(journal.take(WORKER, 10, 10).items, key=lambda item: item.entry.key)
    dead = {"class": "unknown", "code": "X", "message": "x"}
    journal.settle(WORKER, [Settlement(unseen, "posted", "dead", 0, dead)], [])
    journal.settle(WORKER, [Settlement(well, "posted", "done", 0, {"outcome": "applied"})], [])
    assert not journal.client.exists(tried)
