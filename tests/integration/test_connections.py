"""Connections of a journal: many threads over few of them, and a server that forgot the scripts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from blnk_relay import Relay
from tests.support.journal import (
    LANE,
    WORKER,
)
from tests.support.payments import payment


def test_a_server_that_forgot_the_scripts_is_taught_again_by_many_threads_at_once(journal):
    with ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            journal.client.script_flush()
            for claims in pool.map(lambda _: journal.claim(LANE, WORKER, 0), range(8)):
                assert claims.items == ()


def test_calls_of_many_threads_share_the_few_connections_that_there_may_be(settings):
    with Relay(replace(settings, redis_connections=2)) as relay:
        before = len(relay.journal().client.client_list())
        with ThreadPoolExecutor(8) as threads:
            keys = [f"shared-{number}" for number in range(40)]
            receipts = list(threads.map(lambda key: relay.enqueue(payment(), key=key), keys))
        assert [receipt.key for receipt in receipts] == keys
        # The client that asks has one of its own; a bell may have taken another.
        names = [client["name"] for client in relay.journal().client.client_list()]
        assert len(names) - before <= 2 + names.count("blnk-relay-bell")
