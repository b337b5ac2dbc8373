"""References: the idempotency keys that the ledger sees, and which of them would lose money.

The ledger derives references of its own from ours, and all share one unique index. A caller's reference that
collides with a derived one blocks the other transaction for good (contract §3.4).
"""

from __future__ import annotations

import hashlib
import re

from blnk_relay.text import identity_problem

#: Longest reference or key that is taken.
MAX_LENGTH = 255

_DERIVED_ENDINGS = ("_q", "_refund")
_DERIVED_PARTS = ("_commit_act_", "_void_act_")

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

#: Two letters of base 32 for each ten bits, and where these begin in 130; one of the costs of each enqueue.
_PAIRS = tuple(first + second for first in _BASE32 for second in _BASE32)
_SHIFTS = range(120, -1, -10)

#: Most references; nothing that is derived is without an underscore or a dot.
_HARMLESS = re.compile(rf"[A-Za-z0-9-]{{1,{MAX_LENGTH}}}")

#: What :func:`split_reference` makes; whatever holds it may be a leg's, so nobody else may use it.
_SPLIT = re.compile(r"\.split\.[a-z2-7]{26}")

#: What :func:`reference_for` makes of a key; a key of that shape is digested as well, or two could meet.
_DIGESTED = re.compile(r"key-[a-z2-7]{26}")

#: What :func:`digest` makes.
_DIGEST = re.compile(r"[a-z2-7]{26}")


def is_digest(text: str) -> bool:
    """Whether a text may be an id of the journal's; a key may look like one as well."""
    return _DIGEST.fullmatch(text) is not None


def key_problem(key: str) -> str | None:
    """Why a text cannot be an idempotency key, or None."""
    if len(key) > MAX_LENGTH:
        return f"Must not be longer than {MAX_LENGTH} characters."
    return identity_problem(key)


def reference_problem(text: str) -> str | None:
    """Why a text, as a reference, would lose a payment, or None.

    Example:
        >>> reference_problem("order_42") is None
        True
        >>> reference_problem("order_42_q")
        'Must not end in _q, which the ledger derives from other references.'
    """
    if _HARMLESS.fullmatch(text):
        return None
    problem = key_problem(text)
    if problem:
        return problem
    for ending in _DERIVED_ENDINGS:
        if text.endswith(ending):
            return f"Must not end in {ending}, which the ledger derives from other references."
    for part in _DERIVED_PARTS:
        if part in text:
            return f"Must not contain {part}, which the ledger derives from other references."
    if _SPLIT.search(text):
        return "Must not contain .split. and a digest, which is how legs of splits are named."
    if text.startswith("txn_"):
        return "Must not start with txn_, which is how the ledger names its own rows."
    return None


def reference_for(key: str) -> str:
    """The reference of a key: the key itself where the ledger can take it, else a digest of it; never another key's.

    Example:
        >>> reference_for("order_42")
        'order_42'
        >>> reference_for("order_42_q")[:4]
        'key-'
    """
    fits = reference_problem(key) is None and not _DIGESTED.fullmatch(key)
    return key if fits else "key-" + digest(key)


def split_reference(reference: str) -> str:
    """The reference of a split: of a shape of its own, because the ledger numbers the legs behind it.

    ``R_1`` and ``R-1`` of another's ``R`` would otherwise meet them (contract §3.4, §3.6).

    Example:
        >>> split_reference("order_42")[:15]
        'order_42.split.'
    """
    return f"{reference}.split.{digest('split', reference)}"


def data_api_problem(reference: str) -> str | None:
    """Why the Data API could not find a reference, or None.

    It reads values from a query string, where a comma or a pipe separates values, and what looks like a number, a
    truth value or a date may be taken for one (contract §1.7). The Filters API has no such limits.
    """
    if not reference[0].isalpha() or "," in reference or "|" in reference:
        return (
            "Must begin with a letter and must not hold a comma or a pipe while outcomes are read through the Data API."
        )
    if reference.lower() in ("true", "false", "null", "nan", "inf", "infinity"):
        return "Must not look like a truth value or a number while outcomes are read through the Data API."
    return None


def of_generation(reference: str, generation: int) -> str:
    """The reference of a generation: a replay after a rejection needs a fresh one (contract §3.2).

    Example:
        >>> of_generation("order_42", 1)
        'order_42.r2'
    """
    return reference if generation == 0 else f"{reference}.r{generation + 1}"


def renewed(reference: str, generation: int) -> str:
    """From the reference of a generation to that of the next.

    Example:
        >>> renewed("order_42", 0), renewed("order_42.r2", 1)
        ('order_42.r2', 'order_42.r3')
    """
    return of_generation(first_of(reference, generation), generation + 1)


def first_of(reference: str, generation: int) -> str:
    """From the reference of a generation back to that of generation 0."""
    return reference.removesuffix(of_generation("", generation)) if generation else reference


def digest(*parts: str) -> str:
    """26 lower-case letters and digits that stand for the parts: 128 bits, so no two will ever meet."""
    blob = "\x00".join([f"{len(part)}:{part}" for part in parts]).encode("utf-8", "surrogatepass")
    # 130 bits, of which the last two are nothing, as in RFC 4648.
    number = int.from_bytes(hashlib.blake2b(blob, digest_size=16).digest()) << 2
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
