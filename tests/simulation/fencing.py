"""That a token is given once, and that nothing is settled but by whoever has the latest: held against each trip.

What an old token settles is often true all the same, so that the books do not show it; one time in a
hundred it is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from blnk_relay.journal.answers import ClaimAnswer, TakeAnswer
from blnk_relay.journal.claimed import FIELDS

#: Where the token of an intent stands in what a claim returns of it, behind its id and its body.
_TOKEN = 2 + FIELDS.index("token")

#: And where it stands before when all was over that it may repeat, in ms of the journal's clock; "" for nothing.
_AGAIN = 2 + FIELDS.index("again")

_ANSWERS: dict[str, Any] = {"claim": ClaimAnswer, "take": TakeAnswer}

#: Scripts by which somebody ends an intent, whose id comes first.
_ENDINGS = frozenset({"cancel", "discard"})

#: Where the verdicts begin among the arguments of settle.lua.
_VERDICTS = 3


class Fencing:
    """What was handed out in a run.

    Args:
        fields: Reads fields of an intent, by its id.
        problems: Takes what is wrong.
        forgets: Whether the journal forgets keys: what was done comes again as if it were new, and so do its tokens.
    """

    def __init__(self, fields: Callable[[str], Sequence[Any]], problems: list[str], *, forgets: bool = False) -> None:
        self._forgets = forgets
        self._fields = fields
        self._problems = problems
        self._given: set[tuple[str, str]] = set()
        self._epochs: set[str] = set()
        #: Of a journal that was set back: the epochs that it may be in until somebody notices.
        self._unnoticed: frozenset[str] = frozenset()
        #: Ids of what was handed out, cancelled or closed meanwhile: of these nobody could know.
        self.blind: set[str] = set()
        #: Ids of what was settled as done, once or more.
        self.done: set[str] = set()
        #: Before when all was over that an intent may repeat, as was said when it was last handed out, by its id: in ms
        #: of the journal's clock, 0 where it repeats nothing.
        self.over_ms: dict[str, int] = {}

    def set_back(self) -> None:
        """The journal was set back under the same process: whoever has seen more has to come by first."""
        self._unnoticed = frozenset(self._epochs)

    def before(self, name: str, arguments: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
        """What a trip may settle, with the token and the state that each has now."""
        if name != "settle":
            return {}
        ids = [json.loads(verdict)["id"] for verdict in arguments[_VERDICTS:]]
        return {id_: tuple(self._fields(id_)) for id_ in ids}  # type: ignore[misc]

    def after(self, name: str, arguments: Sequence[Any], was: dict[str, tuple[Any, Any]], answer: Any) -> None:
        """Hold what a trip did against what it may do."""
        if name in _ANSWERS:
            told = _ANSWERS[name](*answer)
            epoch = str(told.ground[0]).rsplit(".", 2)[0]
            self._epochs.add(epoch)
            if epoch in self._unnoticed:
                self.blind.update(item[0] for item in told.items)
            else:
                self._unnoticed = frozenset()
            self._problems += self._twice(told.items)
        elif name in _ENDINGS and self._unnoticed:
            self.blind.add(str(arguments[0]))
        elif name == "settle":
            refused = set(answer[1])
            self._problems += self._stale(arguments, was, refused)
            verdicts = map(json.loads, arguments[_VERDICTS:])
            self.done.update(one["id"] for one in verdicts if one["to"] == "done" and one["id"] not in refused)

    def _twice(self, items: Sequence[Sequence[str]]) -> Iterator[str]:
        for item in items:
            given = (item[0], item[_TOKEN])
            again = self._forgets and given[0] in self.done
            if given in self._given and given[0] not in self.blind and not again:
                yield f"doubled: the token {given[1]} of {given[0]} was given twice"
            self._given.add(given)
            self.over_ms[item[0]] = int(item[_AGAIN] or 0)

    @staticmethod
    def _stale(arguments: Sequence[Any], was: dict[str, tuple[Any, Any]], refused: set[str]) -> Iterator[str]:
        for verdict in map(json.loads, arguments[_VERDICTS:]):
            token, state = was[verdict["id"]]
            if verdict["id"] not in refused and (token, state) != (verdict["token"], verdict["from"]):
                yield f"doubled: {verdict['id']} was {state} under {token}, and {verdict['token']} settled it"
