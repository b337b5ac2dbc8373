"""What records were before they were changed, so that a read that lags shows the older state (contract §1.7).

Only for changes that a client asks for (metadata, identities, links): a late reader must not take the
old value for "it did not happen".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

#: Records whose past is kept, and older states of each; the oldest are forgotten, the bound on memory.
_MAX_RECORDS = 10_000
_MAX_STATES = 16

_T = TypeVar("_T")


class ChangeLog:
    """Older states of records, by the record's id.

    Args:
        now_ns: The time.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._states: OrderedDict[str, list[tuple[int, object]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._states)

    def keep(self, entity_id: str, old: object) -> None:
        """Remember a state that is about to be changed; nobody may change this object any more."""
        states = self._states.setdefault(entity_id, [])
        states.append((self._now_ns(), old))
        del states[:-_MAX_STATES]
        self._states.move_to_end(entity_id)
        if len(self._states) > _MAX_RECORDS:
            self._states.popitem(last=False)

    def as_of(self, entity_id: str, current: _T, visible_ns: int) -> _T:
        """The state of a record that a reader sees who is so far behind."""
        for changed_ns, old in self._states.get(entity_id, ()):
            if changed_ns > visible_ns and isinstance(old, type(current)):
                return old
        return current
