"""Links: places in a payload that are filled in with what another intent came to, such as the id of its row. Pure.

``create ledger → create balances → pay in → hold → commit`` can then be enqueued in one go, before any of it exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from blnk_relay.intents.references import MAX_LENGTH, key_problem
from blnk_relay.text import text_problem

_MARK = "$result_of"

#: What stands in the JSON text of every payload that holds a link.
LINK = f'"{_MARK}"'

#: What can be linked to, and how the ledger's ids of it begin (contract §7).
LINKABLE = {
    "transaction_id": "txn_",
    "ledger_id": "ldg_",
    "balance_id": "bln_",
    "identity_id": "idt_",
    "batch_id": "bulk_",
    "upload_id": "upload_",
    "reconciliation_id": "recon_",
    "rule_id": "rule_",
}


class ResultOf(dict[str, str]):
    """A link, in the form in which it is recorded: ``{"$result_of": key, "field": field}``."""


def result_of(key: str, field: str) -> ResultOf:
    """Stand in for an id that another intent will bring; anywhere in a payload where the id itself may stand.

    The intent that holds the link waits until the other one is done, as with ``after``.

    Args:
        key: Key of the other intent; it must be accepted already, or stand in the same batch.
        field: Which of its results: ``transaction_id``, ``ledger_id``, ``balance_id``, ``identity_id``, ``batch_id``,
            ``upload_id``, ``reconciliation_id`` or ``rule_id``.

    Raises:
        ValueError: The key could not be one, or the field is none of these.

    Example:
        >>> result_of("order-42-hold", "transaction_id")
        {'$result_of': 'order-42-hold', 'field': 'transaction_id'}
    """
    if not isinstance(key, str):
        raise ValueError(f"key: Must be the key of another intent, as a string, not {type(key).__name__}.")
    if problem := key_problem(key):
        raise ValueError(f"key: {problem}")
    if field not in LINKABLE:
        raise ValueError(f"field: {field!r} cannot be linked to; it must be one of {', '.join(sorted(LINKABLE))}.")
    return ResultOf({_MARK: key, "field": field})


def link_of(value: Any) -> ResultOf | None:
    """The link that a value is, or None; a mapping that only half looks like one is none.

    It takes keys that no new intent could have, because recorded links have to be read for ever.
    """
    if not isinstance(value, Mapping) or set(value) != {_MARK, "field"}:
        return None
    key, field = value[_MARK], value["field"]
    if not isinstance(key, str) or not isinstance(field, str) or field not in LINKABLE or not _could_be_recorded(key):
        return None
    return ResultOf({_MARK: key, "field": field})


def link_problem(link: ResultOf) -> str | None:
    """Why no intent can be accepted with this link, or None."""
    problem = key_problem(link[_MARK])
    return f"The key in the link: {problem}" if problem else None


def _could_be_recorded(key: str) -> bool:
    return bool(key.strip()) and key == key.strip() and len(key) <= MAX_LENGTH and not text_problem(key)


def name_of(value: str | Mapping[str, Any]) -> str:
    """A text that stands for a value in keys: the value itself, or the key that it links to."""
    return value if isinstance(value, str) else str(value[_MARK])


def links_in(value: Any) -> Iterator[ResultOf]:
    """All links of a payload, however deep."""
    link = link_of(value)
    if link is not None:
        yield link
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from links_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from links_in(item)


def linked_keys(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of the intents that a payload links to, each once, in order."""
    return tuple(dict.fromkeys(link[_MARK] for link in links_in(payload)))


def resolved(value: Any, results: Mapping[str, str]) -> Any:
    """A payload with its links filled in; a link to what the other intent does not have stays as it is.

    Args:
        value: The payload.
        results: Key of each other intent to the id that it came to.
    """
    link = link_of(value)
    if link is not None:
        found = results.get(link[_MARK], "")
        return found if found.startswith(LINKABLE[link["field"]]) else value
    if isinstance(value, Mapping):
        return {name: resolved(item, results) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, results) for item in value]
    return value
