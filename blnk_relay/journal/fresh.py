"""Dead letters that died lately and wait still, by cause: for whoever asks what is wrong, at every look.

What is known of causes besides is in :mod:`blnk_relay.journal.causes`, which loads more than a look needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.status import moment

#: Causes that are looked at, and those of them that are told apart.
_LOOKED_AT, _TOLD = 500, 20

#: Parts of the name of a cause.
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Fresh:
    """Dead letters of one cause that died lately and wait still.

    Attributes:
        kind: Their kind.
        dead_class: Their class.
        code: Their code.
        count: How many there are now.
        first: When the first of them died.
        last: When the last of them did.
    """

    kind: str
    dead_class: str
    code: str
    count: int
    first: datetime
    last: datetime


def named(cause: str) -> tuple[str, str, str]:
    """Kind, class and code of a cause by its name.

    Example:
        >>> named("transaction|refused|TXN|ODD")
        ('transaction', 'refused', 'TXN|ODD')
    """
    kind, dead_class, code = (*cause.split("|", _PARTS - 1), "", "")[:_PARTS]
    return kind, dead_class, code


def fresh_flow(prefix: str, since_ms: int) -> Flow[tuple[int, tuple[Fresh, ...]]]:
    """How many letters that died since then wait now, and what most of them died of, most first.

    It looks at the letters themselves, by their lists: counters also know those that a human has dealt with. However
    many letters and causes there are, it sends a bounded number of commands; what is not told apart is in the number.
    """
    least, dead = str(since_ms), ("ZCOUNT", f"{prefix}dead", since_ms, "+inf")
    number, names = yield Ask((dead, ("SRANDMEMBER", f"{prefix}causes", _LOOKED_AT)), whole=False)
    if not number or not names:
        return number, ()
    counts = yield Ask(tuple(("ZCOUNT", f"{prefix}letters:{name}", least, "+inf") for name in names), whole=False)
    most = sorted(((count, name) for name, count in zip(names, counts, strict=True) if count), key=_most_first)
    told = [name for _, name in most[:_TOLD]]
    commands: list[tuple[str | int, ...]] = [dead]
    for name in told:
        letters = f"{prefix}letters:{name}"
        commands += [
            ("ZCOUNT", letters, least, "+inf"),
            ("ZRANGEBYSCORE", letters, least, "+inf", "WITHSCORES", "LIMIT", 0, 1),
            ("ZREVRANGEBYSCORE", letters, "+inf", least, "WITHSCORES", "LIMIT", 0, 1),
        ]
    # Together, so that no letter that comes or goes meanwhile is one too many in one place and none in another.
    number, *answers = yield Ask(tuple(commands))
    those = zip(told, answers[::3], answers[1::3], answers[2::3], strict=True)
    return number, tuple(
        Fresh(*named(name), count, moment(int(oldest[0][1])), moment(int(newest[0][1])))
        for name, count, oldest, newest in those
        if count
    )


def _most_first(counted: tuple[int, str]) -> tuple[int, str]:
    return -counted[0], counted[1]
