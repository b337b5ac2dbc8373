"""Intents whose encryption key is not at hand: open ones, and dead letters.

Whoever lacks the key of an open one leaves it where it is, in front of others. So a look at the front of each line
finds them, however many intents there are behind. Letters lie in no line: the oldest and the newest are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.seal import keys_in
from blnk_relay.settings import CONFIRM_LANE

#: Intents that are looked at in front of each line.
FRONT = 10

#: Dead letters that are looked at from each end: the oldest are those of a key that was given up, the newest those of
#: one that is not known here yet. Whoever looks at all, looks at them: as few as tell.
ENDS = 50


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


@dataclass(frozen=True, slots=True)
class LockedLetters:
    """Dead letters that need a key which is not at hand.

    Attributes:
        count: How many they are, of those that were looked at.
        keys: Names of the keys.
        whole: Whether all letters were looked at.
    """

    count: int = 0
    keys: tuple[str, ...] = ()
    whole: bool = True


#: None of them needs any.
NO_LETTERS = LockedLetters()


def locked_letters_flow(prefix: str, held: Collection[str], number: int) -> Flow[LockedLetters]:
    """Dead letters that cannot be read here; two trips, and a bounded number of commands: none where there is none.

    Args:
        prefix: Of the journal.
        held: Names of the keys that are at hand.
        number: How many letters there are, by what was read a moment before.
    """
    if not number:
        return NO_LETTERS
    dead = f"{prefix}dead"
    oldest, newest = yield Ask((("ZRANGE", dead, 0, ENDS - 1), ("ZRANGE", dead, -ENDS, -1)))
    ids = list(dict.fromkeys((*oldest, *newest)))
    if not ids:
        return NO_LETTERS
    sealed = yield Ask(tuple(("HGET", f"{prefix}intent:{id_}", "sealed") for id_ in ids), whole=False)
    return locked_letters_of([text or "" for text in sealed], held, number)


def locked_letters_of(sealed: Sequence[str], held: Collection[str], number: int) -> LockedLetters:
    """The same, of what letters are sealed with, and of how many letters there are. Pure.

    Example:
        >>> locked_letters_of(["k1.ab", "", "k2.cd", "k1.ab k2.cd"], ["k2.cd"], 9)
        LockedLetters(count=2, keys=('k1.ab',), whole=False)
    """
    lacking = [keys for text in sealed if (keys := set(keys_in(text)) - set(held))]
    return LockedLetters(len(lacking), tuple(sorted(set[str]().union(*lacking))), len(sealed) >= number)


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
