"""A drill in which the broker forgets all that it had, while the journal stays."""

from __future__ import annotations

import redis

from blnk_relay.bell import queue_of
from blnk_relay.settings import CONFIRM_LANE
from tests.drills.report import Report, Terms
from tests.drills.scene import Scene
from tests.support.valkey import LastingValkey

#: The database of the broker, on the server that also has the journal.
_DATABASE = 1


def broker_flushed(terms: Terms) -> Report:
    """The broker's database is flushed, its queues or bindings are deleted, again and again; the journal stays."""
    number = terms.of(40, 8)
    valkey = LastingValkey()
    given = {"broker_url": f"redis://127.0.0.1:{valkey.port}/{_DATABASE}"}
    slowest_s = 0.0
    with Scene("broker-flushed", terms, intents=terms.of(300, 100), valkey=valkey, settings=given) as scene:
        queues = [queue_of(scene.stage.settings, lane) for lane in (*scene.stage.settings.lanes, CONFIRM_LANE)]
        with redis.Redis(port=valkey.port, db=_DATABASE, decode_responses=True) as broker:
            for turn in scene.blows(number, (0.1, 1.0)):
                match turn % 4:
                    case 0:
                        broker.flushdb()
                        scene.struck("flushed")
                    case 1:
                        scene.struck("binding_deleted", broker.delete(*broker.keys("_kombu.binding.*"), "none"))
                    case 2:
                        scene.struck("queue_deleted")
                        scene.struck("bell_deleted", sum(broker.delete(queue) for queue in queues))
                    case _:
                        # What was taken and not acknowledged is there twice: as it was, and by when.
                        broker.delete("unacked", "unacked_index")
                        broker.flushdb()
                        scene.struck("flushed")
                        # Somebody alone has to do what comes next.
                        scene.struck("kill", scene.crew.kill(*scene.crew.present()))
                        slowest_s = max(slowest_s, scene.lively(f"flushed-{turn}"))
        return scene.report(
            {"flushed": number // 2, "binding_deleted": 1, "queue_deleted": number // 4, "kill": number // 4},
            alive=True,
            slowest_alive=round(slowest_s, 2),
        )
