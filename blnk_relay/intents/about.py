"""What people are told of a kind, as data; its page in ``docs/kinds`` and ``blnk-relay kinds NAME`` come from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blnk_relay.intents.model import DeadClass, Intent


@dataclass(frozen=True, slots=True)
class End:
    """A dead letter of which it is not plain that nothing happened.

    Attributes:
        dead_class: ``unknown``, ``partial`` or ``rejected``; a *refused* one did not happen, and its code says why.
        code: Its code; ``*`` for the ledger's own.
        why: What has happened for it to end so, and where the contract says that no machine can do better.
    """

    dead_class: DeadClass
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Example:
    """One write of a kind. The tests enqueue it as a line of a file and through the builder, as one intent.

    Attributes:
        fields: As a line of a file gives them.
        key: The caller's key, where the kind has no natural one.
        call: Arguments of the builder that are not given as in a line: those in whose place another type is handier.
    """

    fields: Mapping[str, Any]
    key: str = ""
    call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What the schema and the builder's docstring do not say.

    Attributes:
        builder: The function of the library that makes such intents; its docstring says what each field means.
        confirmed: What has to be seen before an intent is done, and where.
        ends: The dead letters of this kind that need judgement; :data:`blnk_relay.intents.describing.COMMON_ENDS` holds
            those of all kinds.
        example: One write.
        renamed: Fields to the builder's arguments, where they have other names.
    """

    builder: Callable[..., Intent]
    confirmed: str
    ends: tuple[End, ...]
    example: Example
    renamed: Mapping[str, str] = field(default_factory=dict)
