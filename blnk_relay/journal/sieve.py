"""A first look at intents of a journal for what they might be: what cannot be what is looked for is not read in full.

It leaves out only what certainly is not; what is left is read and compared as a whole. A text that is looked for stands
in the body of an intent as it is, and an amount with its digits; what is hidden might be anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii

from blnk_relay.history.values import MOST_INDEXED, Terms, ended_at
from blnk_relay.journal.entries import cut
from blnk_relay.journal.flows import Ask, Flow, Run, batched
from blnk_relay.kinds.registry import KINDS, WITH_PARTS

#: Intents in one trip: their bodies may be large.
_AT_ONCE = 50

#: States as they are looked for and as an intent has them; "open" is several.
_STATES = frozenset({"done", "dead", "discarded", "cancelled"})

#: What a reference of a later generation ends with; its first one is what was recorded.
_GENERATION = re.compile(r"\.r[0-9]+$")

#: A precision that is no power of ten: what an amount has of digits then is another thing than its minor units have.
_ODD_PRECISION = re.compile(r'"precision":\s*(?!10*\b)[0-9]')

#: Ids of the ledger in the hash of an intent.
_NAMED = ("txn", "parent", "results")

#: What is written as another letter where it is looked for (:func:`blnk_relay.history.values.stored`).
_REPLACED = ("?", "\ufffd")


def sifted_flow(prefix: str, ids: Sequence[str], terms: Terms) -> Flow[list[str]]:
    """Of some intents those that may fit, in their order.

    Args:
        prefix: First part of the journal's keys.
        ids: The intents.
        terms: What is looked for, in the clear.
    """
    wanted = {"kind": terms.kind, "outcome": terms.outcome, "code": terms.code, "class": terms.dead_class}
    wanted["state"] = terms.state if terms.state in _STATES else ""
    fields = [text for pair in wanted.items() if pair[1] for text in pair]
    if fields or terms.since or terms.until:
        since = str(ended_at(terms.since)) if terms.since else "-inf"
        until = str(ended_at(terms.until)) if terms.until else "+inf"
        ids = yield Run("matching", (since, until, len(fields) // 2, *fields, *ids))
    if not (terms.names or terms.movement or terms.meta):
        return list(ids)
    found: list[str] = []
    fits = sieve(terms)
    for some in batched(ids, _AT_ONCE):
        [bodies] = yield Ask((("MGET", *(f"{prefix}body:{id_}" for id_ in some)),))
        besides = (yield from _besides_flow(prefix, some)) if terms.names else {}
        found += [id_ for id_, body in zip(some, bodies, strict=True) if fits(body or "", besides.get(id_, ""))]
    return found


def _besides_flow(prefix: str, ids: Sequence[str]) -> Flow[dict[str, str]]:
    """Ids of the ledger that stand beside the bodies of some intents."""
    answers = yield Ask(tuple(("HMGET", f"{prefix}intent:{id_}", "kind", *_NAMED) for id_ in ids), whole=False)
    found: dict[str, str] = {}
    several: list[str] = []
    for id_, (kind, *named) in zip(ids, answers, strict=True):
        found[id_] = " ".join(filter(None, named))
        if kind in WITH_PARTS or kind not in KINDS:
            several.append(id_)
    if several:
        parts = yield Ask(tuple(("HVALS", f"{prefix}parts:{id_}") for id_ in several), whole=False)
        for id_, some in zip(several, parts, strict=True):
            found[id_] = " ".join((found[id_], *some))
    return found


def sieve(terms: Terms) -> Callable[[str, str], bool]:
    """Whether an intent with this body, and these ids of the ledger beside it, may be what is looked for."""
    names = [spelling for name in terms.names for spelling in _spelt(_GENERATION.sub("", name))]
    asked = [[*_spelt(text)] for name, text in terms.movement.items() if not name.endswith("amount")]
    asked += [[_digits(text)] for name, text in terms.movement.items() if name == "precise_amount"]
    digits = _digits(terms.movement.get("amount", ""))
    asked += [[*_spelt(text)] for text in terms.meta.values()]

    def fits(body: str, beside: str) -> bool:
        try:
            _, payload = cut(body)
        except ValueError:
            return True
        if payload.startswith('"'):
            return True
        named = not names or any(name in body or name in beside for name in names)
        if digits not in payload and not _ODD_PRECISION.search(payload):
            return False
        return named and all(any(spelling in payload for spelling in spellings) for spellings in asked)

    return fits


def _spelt(text: str) -> Iterator[str]:
    """How a text may stand in JSON; nothing of it where it may have been changed before it was kept."""
    if len(text) >= MOST_INDEXED or any(letter in text for letter in _REPLACED):
        yield ""
        return
    yield encode_basestring(text)[1:-1]
    yield encode_basestring_ascii(text)[1:-1]


def _digits(amount: str) -> str:
    """Those digits of an amount that it has whatever its precision."""
    return amount.lstrip("-").replace(".", "").strip("0")
