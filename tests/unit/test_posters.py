"""The threads that wait for the ledger."""

from __future__ import annotations

import threading

from tasks.posters import Posters

SOON_S = 10


def test_urgent_jobs_overtake_those_that_wait_and_keep_their_own_order():
    pool, started, go, over = Posters(1), threading.Event(), threading.Event(), threading.Event()
    ran: list[str] = []

    def first() -> None:
        started.set()
        go.wait(SOON_S)

    pool.put(first)
    assert started.wait(SOON_S), "the only thread is busy now"
    for name, urgent in (("plain 1", False), ("urgent 1", True), ("plain 2", False), ("urgent 2", True)):
        pool.put(lambda name=name: ran.append(name), urgent=urgent)  # type: ignore[misc]
    pool.put(over.set)
    go.set()
    assert over.wait(SOON_S)
    assert ran == ["urgent 1", "urgent 2", "plain 1", "plain 2"]


def test_what_comes_first_overtakes_what_is_as_urgent_but_not_what_is_more():
    pool, go, over = Posters(1), threading.Event(), threading.Event()
    ran: list[str] = []
    pool.put(lambda: go.wait(SOON_S))  # type: ignore[arg-type]
    pool.put(lambda: ran.append("plain"))
    pool.put(lambda: ran.append("urgent"), urgent=True)
    pool.put(lambda: ran.append("ready"), first=True)
    pool.put(lambda: ran.append("urgent and ready"), urgent=True, first=True)
    pool.put(over.set)
    go.set()
    assert over.wait(SOON_S)
    assert ran == ["urgent and ready", "urgent", "ready", "plain"]


def test_every_job_runs_once_whoever_puts_it():
    pool, over = Posters(4), threading.Semaphore(0)
    ran: list[int] = []

    def put(first: int) -> None:
        for number in range(first, first + 500):
            pool.put(lambda number=number: (ran.append(number), over.release()), urgent=number % 3 == 0)  # type: ignore[misc]

    producers = [threading.Thread(target=put, args=(first,)) for first in (0, 500, 1000)]
    for producer in producers:
        producer.start()
    for _ in range(1500):
        assert over.acquire(timeout=SOON_S)
    assert sorted(ran) == list(range(1500))


def test_jobs_are_run_where_the_system_gives_no_thread(monkeypatch):
    pool, ran = Posters(2, "eu"), []

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        pool.put(lambda: ran.append(threading.current_thread()))
    assert ran == [threading.current_thread()], "whoever put it runs it"
    over = threading.Event()
    pool.put(over.set)
    assert over.wait(SOON_S), "and a thread does as soon as there may be one"
    assert pool.threads == 1


def test_the_last_thread_that_ends_says_that_there_is_rest():
    rested = threading.Event()
    pool = Posters(3, rest=rested.set, idle_s=0.05)
    over = threading.Semaphore(0)
    for _ in range(9):
        pool.put(over.release)
    for _ in range(9):
        assert over.acquire(timeout=SOON_S)
    assert rested.wait(SOON_S)
    assert pool.threads == 0
    pool.put(over.release)
    assert over.acquire(timeout=SOON_S), "and works on when there is something to do again"
