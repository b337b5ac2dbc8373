"""Letters of class *invalid* by the key that their message gave.

Such a key leads nowhere: it may be another intent's, or none at all, so that the letter stands under an id of its own.
Whoever reads it in a list, and asks for it, means the letter all the same.
"""

from __future__ import annotations

from blnk_relay.intents.dead_class import DeadClass
from blnk_relay.journal.entries import head_of
from blnk_relay.journal.flows import Ask, Flow

#: Letters that are looked at, the newest: nothing leads from a key of theirs to them.
MOST_LABELS = 500

#: Letters in one trip; each keeps some of what came.
_AT_ONCE = 50


def labelled_flow(prefix: str, label: str) -> Flow[tuple[list[str], int, bool]]:
    """Ids of letters whose message gave a key, how many letters were looked at, and whether these are all there are.

    Args:
        prefix: First part of the journal's keys.
        label: The key.
    """
    from blnk_relay.journal.causes import counted_flow, fits

    counted = yield from counted_flow(prefix)
    causes = [name for name, number in counted.letters.items() if number and fits(name, None, DeadClass.INVALID, None)]
    if not causes:
        return [], 0, not counted.uncounted
    share = MOST_LABELS // len(causes) + 1
    asked = tuple(("ZREVRANGE", f"{prefix}letters:{name}", 0, share - 1) for name in causes)
    ids = [id_ for some in (yield Ask(asked, whole=False)) for id_ in some]
    found: list[str] = []
    for at in range(0, len(ids), _AT_ONCE):
        some = ids[at : at + _AT_ONCE]
        [bodies] = yield Ask((("MGET", *(f"{prefix}body:{id_}" for id_ in some)),))
        found += [id_ for id_, body in zip(some, bodies, strict=True) if _key_of(id_, body or "") == label]
    whole = len(ids) >= sum(counted.letters[name] for name in causes) and not counted.uncounted
    return found, len(ids), whole


def _key_of(id_: str, body: str) -> str:
    try:
        return head_of(id_, body).key
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""
