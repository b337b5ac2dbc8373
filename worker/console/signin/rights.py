"""What a person may do here. An approver is an operator, and an operator a viewer; payloads stand beside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.console.settings import ConsoleSettings


class Right(StrEnum):
    """One right.

    Attributes:
        VIEWER: Look at everything but payloads.
        OPERATOR: Replay, pause, resume, cancel, stop a worker, audit, have everything checked.
        APPROVER: Discard, act on many letters at once, replay one of which nobody can tell whether it happened, and
            change a journal as a whole.
        PAYLOAD: Look at payloads, which is noted in the action log.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    PAYLOAD = "payload"


#: How the names of scripts begin, which no person's may: acts stand under them in the action log.
KEY = "key "

#: Longest name that is taken; the journal keeps as much.
_MOST_NAME = 100

#: What each right brings with it.
_WITH: Mapping[Right, frozenset[Right]] = {
    Right.VIEWER: frozenset({Right.VIEWER}),
    Right.OPERATOR: frozenset({Right.VIEWER, Right.OPERATOR}),
    Right.APPROVER: frozenset({Right.VIEWER, Right.OPERATOR, Right.APPROVER}),
    Right.PAYLOAD: frozenset({Right.VIEWER, Right.PAYLOAD}),
}


def together(rights: Iterable[Right]) -> frozenset[Right]:
    """Some rights, with those that they bring with them.

    Example:
        >>> sorted(together([Right.OPERATOR]))
        [<Right.OPERATOR: 'operator'>, <Right.VIEWER: 'viewer'>]
    """
    return frozenset(one for right in rights for one in _WITH[right])


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was let in.

    Attributes:
        name: Kept with each act.
        rights: All that they may do.
    """

    name: str
    rights: frozenset[Right]

    def may(self, right: Right) -> bool:
        """Whether they have a right."""
        return right in self.rights


def name_in(given: object) -> str:
    """The name that somebody else gives a person; empty where it cannot be kept with what they do.

    Args:
        given: By a proxy, or an identity provider.
    """
    name = given.strip() if isinstance(given, str) else ""
    fits = len(name) <= _MOST_NAME and name.isprintable() and not name.startswith(KEY)
    return name if fits else ""


def rights_of(groups: Collection[str], settings: ConsoleSettings) -> frozenset[Right]:
    """The rights of whoever belongs to some groups.

    Args:
        groups: Names, as a proxy or an identity provider gives them.
        settings: Which group has which right; ``*`` there means everybody who was let in.
    """
    given = {
        Right.VIEWER: settings.viewers,
        Right.OPERATOR: settings.operators,
        Right.APPROVER: settings.approvers,
        Right.PAYLOAD: settings.payloads,
    }
    return together(right for right, names in given.items() if "*" in names or not set(names).isdisjoint(groups))
