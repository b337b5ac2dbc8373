"""What scripts answer with, by names: of each script that returns more than three things, what stands where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ClaimAnswer(NamedTuple):
    """What claim.lua returns."""

    now_ms: int
    bells: Sequence[str]
    items: Sequence[Sequence[str]]
    buried: Sequence[Sequence[str]]
    ground: Sequence[int | str]
    strange: Sequence[str]
    other_ledger: str


class TakeAnswer(NamedTuple):
    """What take.lua returns."""

    now_ms: int
    bells: Sequence[str]
    next_ms: int
    items: Sequence[Sequence[str]]
    buried: Sequence[Sequence[str]]
    ground: Sequence[int | str]
    strange: Sequence[str]
    other_ledger: str


class SweepAnswer(NamedTuple):
    """What sweep.lua returns."""

    swept: int
    bells: Sequence[str]
    expired: Sequence[Sequence[str]]
    now_ms: int
    ground: Sequence[int | str]
    next_ms: int
    wish: str
    due: Sequence[str]
    healed: Sequence[str]
    acts: Sequence[tuple[str, Sequence[str]]]
    untold: Sequence[Sequence[str]]
    beyond: Sequence[str]


class SettleAnswer(NamedTuple):
    """What settle.lua returns."""

    bells: Sequence[str]
    stale: Sequence[str]
    unreached_ms: int
    opened: Sequence[tuple[str, str, int]]
    looked_at_again: Sequence[str]


class Objection(NamedTuple):
    """What accept.lua has against one intent; ``id`` is that of the other intent, or the ledger, that it names.

    Of an intent under the same key also what is kept of its fingerprint, and the keys that it is encrypted under.
    """

    status: str
    id: str
    kind: str
    state: str
    created: str
    reference: str = ""
    fingerprint: str = ""
    sealed: str = ""


class Owner(NamedTuple):
    """What owners.lua returns of each reference."""

    id: str
    state: str
    updated: str
    gen: str


class PauseAnswer(NamedTuple):
    """What pause.lua returns: whether it changed anything, and the operator's pause that stands or stood."""

    changed: int
    who: str
    why: str
    since: str


class TokensAnswer(NamedTuple):
    """What oauth.lua tells of the tokens of a target."""

    version: int
    access: str
    left_ms: int
    life_ms: int
    failed: int
    retry_ms: int
