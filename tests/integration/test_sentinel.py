"""A journal and a broker behind Sentinel: found by asking, and found anew when another server was promoted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from celery import Celery

from blnk_relay import AsyncRelay, JournalUnavailable, NotFound, Relay, Settings
from blnk_relay.bell import broker_options
from tests.support.payments import payment
from tests.support.sentinels import Watched, watched
from tests.support.stages import SHORT, insist
from tests.support.waiting import wait_until
from worker.demo.stage import Stage


@pytest.fixture
def behind() -> Iterator[Watched]:
    with watched() as made:
        yield made


def test_payments_bells_and_what_comes_by_name_go_on_through_a_failover(behind):
    with Stage(settings={**SHORT, "redis_url": behind.url}) as stage:
        stage.start_worker()
        app = Celery(broker=stage.settings.broker, set_as_current=False)
        app.conf.broker_transport_options = dict(broker_options(stage.settings))

        def by_name(key: str) -> None:
            fields = {"source": "@world", "destination": "@a", "currency": "EUR", "amount": "1.00"}
            app.send_task(
                "tasks.enqueue_transaction",
                queue="relay.ingest",
                kwargs={"key": key, "description": "By name", "allow_overdraft": True, **fields},
            )

        with Relay(stage.settings) as relay:
            keys = [f"before-{number}." for number in range(20)]
            for key in keys:
                relay.enqueue(payment(key))
            by_name("named-before")
            wait_until(lambda: _known(relay, "named-before"), 20)
            # All that has a receipt is on the replica, so that none of it is lost with the primary.
            wait_until(lambda: behind.primary.wait(1, 1000) == 1, 20)
            behind.lose_primary()
            behind.sentinels[0].stop()
            after = [f"after-{number}." for number in range(20)]
            for key in after:
                insist(relay, [payment(key)], 40)
            behind.wait_promoted()
            wait_until(lambda: _sent(by_name, "named-after"), 30)
            for key in (*keys, *after, "named-before", "named-after"):
                wait_until(lambda key=key: _known(relay, key), 30)
                assert relay.wait(key, timeout_s=40).outcome == "applied"
        app.close()


def _known(relay: Relay, key: str) -> bool:
    try:
        return bool(relay.get(key))
    except (NotFound, JournalUnavailable):
        return False


def _sent(send, key: str) -> bool:
    try:
        send(key)
    except Exception:  # noqa: BLE001 - whatever Celery's own client raises while nobody is primary
        return False
    return True


def test_an_async_producer_goes_on_and_a_service_that_nobody_knows_is_said(behind):
    async def run() -> None:
        async with AsyncRelay(Settings(redis_url=behind.url)) as relay:
            assert (await relay.enqueue(payment("before."))).created
            await asyncio.to_thread(behind.primary.wait, 1, 5000)
            behind.lose_primary()
            await asyncio.to_thread(behind.wait_promoted)
            for _ in range(100):
                try:
                    await relay.enqueue(payment("after."))
                    break
                except JournalUnavailable:
                    await asyncio.sleep(0.1)
            assert (await relay.get("after.")).state == (await relay.get("before.")).state == "ready"

    asyncio.run(run())
    behind.wait_agreed()
    wrong = Settings(redis_url=behind.url.replace("/main/", "/other/"))
    with Relay(wrong) as relay, pytest.raises(JournalUnavailable, match="knows where its server is"):
        relay.enqueue(payment("order."))

    with Relay(Settings(redis_url=behind.url)) as relay:
        behind.sentinels[0].freeze()
        assert relay.enqueue(payment("one-is-stuck.")).created
    for sentinel in behind.sentinels[1:]:
        sentinel.freeze()
    with Relay(Settings(redis_url=behind.url)) as relay, pytest.raises(JournalUnavailable, match="no answer in time"):
        relay.enqueue(payment("all-are-stuck."))
    for sentinel in behind.sentinels:
        sentinel.thaw()
        with sentinel.client() as client:
            client.execute_command("ACL SETUSER", "looker", "on", ">word", "+sentinel|get-master-addr-by-name")
            client.execute_command("ACL SETUSER", "default", "off")
    with Relay(Settings(redis_url=behind.url)) as relay, pytest.raises(JournalUnavailable):
        relay.enqueue(payment("nobody."))
    known = Settings(redis_url=f"{behind.url}?sentinel_username=looker&sentinel_password=word")
    with Relay(known) as relay:
        assert relay.enqueue(payment("somebody.")).created
