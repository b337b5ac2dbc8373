"""Metrics and health over HTTP: of real workers, at a cost that no backlog raises, and never a hanging answer."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import Health, Operator, Relay, Settings, Target, Write
from blnk_relay.journal.locked import ENDS, FRONT
from blnk_relay.journal.readings import reading_of
from blnk_relay.sandbox import DEFAULT_KINDS, Faults
from tests.support.bulk import Fill, fill
from tests.support.counting import wait_for_all
from tests.support.history import made, sqlite_url
from tests.support.payments import payment, poor
from tests.support.prometheus import (
    MONITORING,
    answer_of,
    free_port,
    is_served,
    program,
    promtool,
    running,
    samples,
    total,
)
from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until
from worker.demo.play import play
from worker.demo.stage import STOP_S, Stage
from worker.demo.story import tell
from worker.demo.valkey import start_valkey
from worker.metrics import Exposition
from worker.metrics.readings import FRESH_S, PATIENCE_S, Readings

#: Longest wait for a worker to begin, and for payments to be through.
PATIENT_S = 45.0


def commands(relay: Relay) -> tuple[int, int]:
    """Commands that the server of the journal has carried out, those of scripts too, and bytes that it has sent."""
    client = relay.journal("default").client
    calls = sum(told["calls"] for told in client.info("commandstats").values())
    return calls, client.info("stats")["total_net_output_bytes"]


def pay(relay: Relay, first: int, count: int) -> list[Any]:
    return relay.enqueue_many(
        [Write(intent=payment(f"p{number}"), key=f"p{number}") for number in range(first, first + count)]
    )


# -- what it costs -----------------------------------------------------------------------------------------------------


def cost(relay: Relay) -> tuple[int, int]:
    """What one reading takes."""
    before = commands(relay)
    [found] = Readings(relay.journals).latest().values()
    assert found is not None
    after = commands(relay)
    return after[0] - before[0], after[1] - before[1]


def test_a_reading_takes_as_many_commands_of_a_long_backlog_as_of_a_short_one(relay):
    pay(relay, 0, FRONT)
    cost(relay)  # the scripts are known from here on
    few, few_bytes = cost(relay)
    pay(relay, FRONT, 3_000)
    many, many_bytes = cost(relay)
    assert few == many
    # Longer figures, and no more.
    assert abs(many_bytes - few_bytes) < 300
    assert few < 80


def test_a_reading_takes_as_many_commands_of_many_letters_as_of_those_that_it_looks_at(relay):
    fill(relay, Fill("dead", "few", 2 * ENDS))
    cost(relay)
    few, few_bytes = cost(relay)
    fill(relay, Fill("dead", "many", 1_000))
    many, many_bytes = cost(relay)
    assert few == many
    assert abs(many_bytes - few_bytes) < 300
    assert few < 200


def test_ten_who_ask_at_once_are_told_of_one_reading(relay):
    pay(relay, 0, 5)
    alone, _ = cost(relay)
    exposition = Exposition(relay.journals)
    together = threading.Barrier(10)

    def scrape(_: int) -> bytes:
        together.wait()
        return exposition.metrics().body

    before, _ = commands(relay)
    with ThreadPoolExecutor(10) as ten:
        bodies = list(ten.map(scrape, range(10)))
    after, _ = commands(relay)
    assert after - before <= alone
    assert {total(body.decode(), "blnk_relay_accepted_total") for body in bodies} == {5}


# -- trouble -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_servers():
    """Two targets whose journals are on a Redis of their own."""
    here, there = start_valkey(), LastingValkey()
    settings = Settings(
        redis_url=f"redis://127.0.0.1:{here.port}/0",
        targets=(
            Target(name="eu", base_url="http://127.0.0.1:1", redis_url=f"redis://127.0.0.1:{here.port}/0"),
            Target(name="us", base_url="http://127.0.0.1:2", redis_url=f"redis://127.0.0.1:{there.port}/0"),
        ),
    )
    yield settings, there
    here.stop()
    there.stop()


def test_a_redis_that_hangs_or_is_gone_is_told_as_such_soon_and_takes_no_other_with_it(two_servers):
    settings, there = two_servers
    with Relay(settings) as relay:
        exposition = Exposition(relay.journals)
        both = exposition.metrics().body.decode()
        assert total(both, "blnk_relay_journal_up") == 2
        assert total(both, "blnk_relay_journal_up", target="us") == 1
        assert exposition.readyz().status == 200

        there.freeze()
        try:
            time.sleep(FRESH_S)  # for so long the last reading is told
            start_s = time.monotonic()
            hanging = exposition.metrics().body.decode()
            assert time.monotonic() - start_s < PATIENCE_S + 1.0
        finally:
            there.thaw()
        of_us = {name for (name, labels) in samples(hanging) if ("target", "us") in labels}
        assert of_us == {"blnk_relay_journal_up"}
        assert total(hanging, "blnk_relay_journal_up", target="us") == 0
        assert total(hanging, "blnk_relay_journal_up", target="eu") == 1

        wait_until(
            lambda: total(exposition.metrics().body.decode(), "blnk_relay_journal_up") == 2, 20, "it to come back"
        )

        there.halt()
        wait_until(lambda: total(exposition.metrics().body.decode(), "blnk_relay_journal_up") == 1, 20, "it to be gone")
        ready = exposition.readyz()
        assert (ready.status, ready.body.decode()) == (200, "1 of 2 journals cannot be read.\n")


def test_a_journal_that_has_lost_its_last_moments_takes_no_counter_back(settings):
    def told(exposition: Exposition) -> float:
        return total(exposition.metrics().body.decode(), "blnk_relay_accepted_total")

    with Relay(settings) as relay:
        pay(relay, 0, 40)
        client = relay.journal().client
        place = relay.journal().key("counts")
        before, now = Exposition(relay.journals), client.hget(place, "accepted|transaction")
        first = told(before)
        # What a replica has that was promoted without the last ten, and then a server without anything.
        for kept, more, expected in ((int(now) - 10, 3, 43), (0, 2, 45)):
            client.delete(place) if not kept else client.hset(place, "accepted|transaction", kept)
            time.sleep(FRESH_S)
            assert told(before) == expected - more
            pay(relay, 100 * more, more)
            time.sleep(FRESH_S)
            assert told(before) == expected
        assert first == 40
        # A process that begins tells what there is.
        assert told(Exposition(relay.journals)) == 2


def test_who_has_nothing_but_journals_is_ready_if_one_can_be_read_and_a_worker_if_it_says_so():
    settings = Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    stuck = Health(live=False, ready=False, why=("it holds intents and finishes none, for 60 s",))
    with Relay(settings) as relay:
        console = Exposition(relay.journals)
        assert console.answer("/healthz").status == 200
        ready = console.answer("/readyz?verbose")
        assert (ready.status, ready.body) == (503, b"1 of 1 journals cannot be read.\n")
        assert console.answer("/metrics").status == 200
        assert console.answer("/").status == 404
        worker = Exposition(relay.journals, health=lambda: stuck)
        for path in ("/healthz", "/readyz"):
            told = worker.answer(path)
            assert (told.status, told.body) == (503, b"it holds intents and finishes none, for 60 s\n")


# -- workers -----------------------------------------------------------------------------------------------------------


def test_a_worker_whose_port_is_taken_works_all_the_same_and_tells_what_it_did_once_that_is_free(stage):
    with closing(socket.create_server(("127.0.0.1", 0))) as held, Relay(stage.settings) as relay:
        port = held.getsockname()[1]
        worker = stage.start_worker(metrics_port=port)
        receipts = pay(relay, 0, 40)
        letter = relay.enqueue(poor("poor", source="@poor"), key="poor")
        wait_for_all(relay, [*receipts, letter], PATIENT_S)
        wait_until(lambda: f"metrics cannot be served on 127.0.0.1 port {port}" in stage.log.read_text(), 20)
        held.close()
        wait_until(lambda: is_served(port), 20, "the port to be taken")
        text = wait_until(
            lambda: (body := answer_of(port, "/metrics")[1]) and total(body, "blnk_relay_done_total") == 40 and body,
            10,
            "the last outcome to be told",
        )
        assert total(text, "blnk_relay_dead_total", **{"class": "rejected"}) == 1
        for span in ("accept_to_sent", "sent_to_confirmed", "accept_to_confirmed"):
            # A letter was sent and has no outcome.
            expected = 41 if span == "accept_to_sent" else 40
            assert total(text, f"blnk_relay_{span}_seconds_count", lane="transactions") == expected
        whole = total(text, "blnk_relay_accept_to_confirmed_seconds_sum")
        parts = total(text, "blnk_relay_sent_to_confirmed_seconds_sum")
        assert 0 < parts < whole < 41 * PATIENT_S
        writes = total(text, "blnk_relay_request_seconds_count", side="write", status="2xx")
        assert writes == total(text, "blnk_relay_attempts_total", status="2xx") == 41
        assert total(text, "blnk_relay_request_seconds_count", side="read", status="2xx") > 0
        assert (
            total(text, "blnk_relay_workers", state="running")
            == total(text, "blnk_relay_lane_workers", lane="refunds")
            == 1
        )
        assert total(text, "blnk_relay_backlog") == 0
        promtool("check", "metrics", given=text.encode())
        assert not re.search(r"@poor|p\d\b|blnk_demo|inst_demo", text), "no key, no balance, no token"
        assert [answer_of(port, path)[0] for path in ("/healthz", "/readyz", "/else")] == [200, 200, 404]
        operator = Operator(relay.journals)
        operator.quiet(*(one.name for one in operator.workers()), who="me", reason="to see")
        wait_until(lambda: answer_of(port, "/readyz") == (503, "it is quiet\n"), 20, "it to be quiet")
        assert answer_of(port, "/healthz")[0] == 200
        worker.terminate()
        assert worker.wait(STOP_S) == 0
        stage.workers.remove(worker)
        with socket.create_server(("127.0.0.1", port)):
            pass  # it is free again


def test_a_process_of_a_pool_that_is_killed_takes_no_count_with_it_and_keeps_no_port(make_stage):
    stage: Stage = make_stage(pool="prefork")
    port = free_port()
    name = "blnk_relay_accept_to_confirmed_seconds_count"

    def counted() -> float:
        return total(answer_of(port, "/metrics")[1], name)

    with Relay(stage.settings) as relay:
        worker = stage.start_worker(metrics_port=port)
        wait_for_all(relay, pay(relay, 0, 20), PATIENT_S)
        wait_until(lambda: counted() == 20, 20, "all of them to be counted")
        children = children_of(worker.pid)
        for child in children:
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: len(children_of(worker.pid) - children) == len(children), 20, "others in their place")
        assert counted() == 20
        wait_for_all(relay, pay(relay, 20, 20), PATIENT_S)
        wait_until(lambda: counted() == 40, 20, "those of the new ones to be counted as well")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(STOP_S)
        wait_until(lambda: not is_served(port), 20)
        with socket.create_server(("127.0.0.1", port)):
            pass  # none of its children has it


def children_of(pid: int) -> set[int]:
    """Processes that a process has started and that run."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as told:  # noqa: PTH123 - no file of a folder
        return {int(child) for child in told.read().split()}


# -- Prometheus itself -------------------------------------------------------------------------------------------------


def queries() -> list[tuple[str, str]]:
    """Every query of the dashboard, with its panel, as Grafana would send it."""
    board = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    found = []
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            asked = target["expr"].replace("$target", ".*").replace("$__rate_interval", "20s")
            found.append((panel["title"], asked))
    return found


def numbers(found: list[Any]) -> list[str]:
    """Those of an answer; a rate of nothing is none, and no data."""
    return [value for series in found if re.fullmatch(r"-?[\d.e+-]+", value := series["value"][1])]


@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_every_query_of_the_dashboard_has_data_during_the_demo_and_promtool_is_content(make_stage, tmp_path, pool):
    program("prometheus")
    kinds = [kind for kind in DEFAULT_KINDS if kind != "503_backpressure"]
    url = sqlite_url(tmp_path)
    made(url).close()
    stage: Stage = make_stage(pool=pool, faults=Faults.seeded(7, 0.1, kinds=kinds), settings={"history_url": url})
    ports = [free_port(), free_port()]
    left = iter(ports)
    start_worker = stage.start_worker
    stage.start_worker = lambda: start_worker(metrics_port=next(left))  # type: ignore[method-assign]
    told: dict[str, list[Any]] = {}
    expositions: list[str] = []

    def ask() -> None:
        told.update(
            {query: found for _, query in queries() if query not in told and numbers(found := prometheus.query(query))}
        )

    def look(scene: Any) -> None:
        if not told:
            # A rate is what has grown from one look of Prometheus to the next: the month begins after its first.
            wait_until(lambda: len(prometheus.query("blnk_relay_build_info")) == 2, 30, "Prometheus to see them")
        if len(told) < len(queries()):
            ask()
        if scene.overview.done > 100 and not expositions:
            expositions.extend(answer_of(port, "/metrics")[1] for port in ports)

    with running(ports, tmp_path) as prometheus:
        result = play(stage, tell(300, 7), look, kill=False)
        assert result.sound
    assert [(panel, query) for panel, query in queries() if query not in told] == []
    assert len(expositions) == 2
    for text in expositions:
        promtool("check", "metrics", given=text.encode())


def test_a_journal_of_another_ledger_and_one_without_its_last_moments_are_told(settings):
    with Relay(replace(settings, base_url="https://here.invalid", instance_id="i")) as relay:
        pay(relay, 0, 1)
        journal = relay.journal()
        assert (reading_of(journal).foreign, reading_of(journal).lost) == (False, False)
        journal.client.hset(journal.key("ledger"), "is", "cloud https://elsewhere.invalid i")
        journal.client.hset(journal.key("ground"), "lost", journal.now_ms() - 60_000)
        assert (reading_of(journal).foreign, reading_of(journal).lost) == (True, True)
        journal.client.hset(journal.key("ground"), "lost", journal.now_ms() - 7_200_000)
        assert not reading_of(journal).lost
