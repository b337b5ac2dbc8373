"""What is known of a journal without looking: its intents, gates and claims, and what may be offered to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from blnk_relay import Intent, result_of
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.entries import NewEntry, new_entry

LANES = ("transactions", "inflight")
WORKERS = ("worker-1", "worker-2", "worker-3")
#: What stands under each key: whether its kind records before it sends, its lane, its order.
SHAPES = {
    "a": (False, "transactions", ""),
    "b": (False, "transactions", ""),
    "a.r2": (False, "transactions", ""),
    "b.r2": (False, "inflight", ""),
    "commit-1": (True, "inflight", "one"),
    "commit-2": (True, "inflight", "one"),
    "commit-3": (True, "transactions", "one"),
    "void-1": (True, "inflight", "two"),
    "void-2": (True, "inflight", "two"),
}
KEYS = tuple(SHAPES)
#: References that an intent may ask for by name.
REFERENCES = ("a", "b", "x", "a.r2", "x.r2", "commit-1")
ROWS = ("", "row-1", "row-2")
MAX_LAPSES = 3
#: Lapses in a row after which nothing else may be in the same hands; the journal has the same number.
ALONE_FROM = 2
#: Long enough that nothing comes due by itself while an example runs.
LATER_MS = 3_600_000
SOON = 1.0


def number_of(token: str) -> int:
    """Which claim of its intent a token is; the epoch before it is the same throughout a run."""
    return int(token.rpartition(".")[2])


@dataclass
class Item:
    """What the model knows of one intent."""

    key: str
    fingerprint: str
    kind: str
    lane: str
    orders: tuple[str, ...]
    after: tuple[str, ...]
    expires: bool
    reference: str
    seq: int
    state: str
    due: bool
    token: int = 0
    claims: int = 0
    charged: tuple[str, ...] = ()
    blamed: tuple[str, ...] = ()
    looks: int = 0
    sent: bool = False
    lapsed: bool = False
    generation: int = 0
    memo: str = ""
    excl: str = ""
    holder: str = ""
    looker: str = ""
    dead: tuple[str, str] = ("", "")
    trimmed: bool = False
    lives: int = 1
    txn: str = ""


@dataclass
class Gate:
    """One side of the target."""

    paused: bool = False
    manual: bool = False
    probe_due: bool = False


@dataclass
class Given:
    """A claim that was handed out, however long ago."""

    claimed: Claimed
    worker: str
    origin: str


class SilentBells:
    """Keeps what was to be rung."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, _target: str, lanes: Any) -> None:
        self.rung += lanes

    def close(self) -> None:
        pass


@dataclass
class Offer:
    """One intent on its way in; another variant is another payload under the same key."""

    key: str
    variant: int
    reference: str
    later: bool
    own_order: str
    after: tuple[str, ...]
    expires: bool

    def entry(self) -> NewEntry:
        records, lane, order = SHAPES[self.key]
        payload: dict[str, Any] = {"variant": self.variant}
        if self.after:
            payload["link"] = result_of(self.after[0], "transaction_id")
        intent = Intent(
            "inflight.commit" if records else "transaction",
            payload,
            reference=None if records else self.reference or None,
            order_key=order or None,
        )
        not_before = f"+{LATER_MS}" if self.later else "+0"
        return new_entry(
            intent,
            self.key,
            lane,
            not_before=not_before,
            deadline=f"+{LATER_MS}" if self.expires else f"~{LATER_MS}",
            after=self.after,
            order_key=self.own_order or None,
        )


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual value, and now and then another."""
    return st.sampled_from((usual,) * 5 + others)


OFFERS = st.builds(
    Offer,
    key=st.sampled_from(KEYS),
    variant=mostly(0, 1),
    reference=mostly("", *REFERENCES),
    later=mostly(False, True),
    own_order=mostly("", "mine"),
    expires=mostly(False, True),
    after=mostly((), *((key,) for key in KEYS), ("a", "commit-1"), ("b", "void-1", "a.r2")),
)
