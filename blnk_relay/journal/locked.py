"""Open intents whose encryption key is not at hand: whoever lacks it leaves them where they are, in front of others.

So a look at the front of each line finds them, however many intents there are behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.seal import keys_in
from blnk_relay.settings import CONFIRM_LANE

#: Intents that are looked at in front of each line.
FRONT = 10


@dataclass(frozen=True, slots=True)
class Locked:
    """Intents in front of one line that need a key which is not at hand.

    Attributes:
        lane: Where they wait to be sent; that of confirmations for those that were sent.
        key: Name of the key.
        count: How many they are, at least.
        due_s: For how long the first of them has been due, in seconds; 0 where none is.
    """

    lane: str
    key: str
    count: int
    due_s: float


def locked_flow(prefix: str, lanes: Sequence[str], held: Collection[str], now_ms: int) -> Flow[tuple[Locked, ...]]:
    """What stands in front and cannot be read; a bounded number of commands.

    Args:
        prefix: Of the journal.
        lanes: Its lanes.
        held: Names of the keys that are at hand.
        now_ms: The time of the journal.
    """
    lines = {**{lane: f"{prefix}ready:{lane}" for lane in lanes}, CONFIRM_LANE: f"{prefix}posted"}
    fronts = yield Ask(tuple(("ZRANGE", line, 0, FRONT - 1, "WITHSCORES") for line in lines.values()), whole=False)
    waiting = [(lane, id_, float(due)) for lane, front in zip(lines, fronts, strict=True) for id_, due in front]
    if not waiting:
        return ()
    sealed = yield Ask(tuple(("HGET", f"{prefix}intent:{id_}", "sealed") for _, id_, _ in waiting), whole=False)
    return locked_of(
        ((lane, due, text or "") for (lane, _, due), text in zip(waiting, sealed, strict=True)), held, now_ms
    )


def locked_of(waiting: Iterable[tuple[str, float, str]], held: Collection[str], now_ms: int) -> tuple[Locked, ...]:
    """The same, of lanes, times at which intents are due, and what these are sealed with. Pure.

    Example:
        >>> locked_of([("refunds", 2_000, "k1.ab"), ("refunds", 9_000, "k1.ab")], ["k2.cd"], 5_000)
        (Locked(lane='refunds', key='k1.ab', count=2, due_s=3.0),)
    """
    found: dict[tuple[str, str], Locked] = {}
    for lane, due_ms, sealed in waiting:
        for key in set(keys_in(sealed)) - set(held):
            known = found.get((lane, key), Locked(lane, key, 0, 0.0))
            due_s = max(known.due_s, (now_ms - due_ms) / 1000)
            found[lane, key] = Locked(lane, key, known.count + 1, due_s)
    return tuple(sorted(found.values(), key=lambda one: (one.lane, one.key)))
