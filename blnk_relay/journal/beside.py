"""What a worker reads besides the intents in its hands: what is kept with them, and what others have come to."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay.errors import NotFound
from blnk_relay.intents.references import of_generation
from blnk_relay.journal.entries import Renewal, id_of, renewal_of
from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.packing import unpacked


def file_flow(prefix: str, id_: str, size: int) -> Flow[bytes | None]:
    """See :meth:`blnk_relay.journal.journal.Journal.file`."""
    [text] = yield Ask((("GET", f"{prefix}file:{id_}"),))
    try:
        content = unpacked(text, size) if text else b""
    except ValueError:
        return None
    return content if len(content) == size else None


def renewal_flow(prefix: str, id_: str, generation: int) -> Flow[Renewal]:
    """See :meth:`blnk_relay.journal.journal.Journal.renewal`."""
    [body] = yield Ask((("GET", f"{prefix}body:{id_}"),))
    if not body:
        raise NotFound(f"nothing is kept of what {id_!r} asked for")
    return renewal_of(body, generation)


def ended_flow(prefix: str, target: str, reference: str) -> Flow[tuple[str, int]]:
    """State of the intent with a reference, empty for none, and when it came to that."""
    [owner] = yield Ask((("GET", f"{prefix}ref:{reference}"),))
    [found] = yield Ask((("HMGET", f"{prefix}intent:{owner or id_of(target, reference)}", "state", "updated"),))
    return found[0] or "", int(found[1] or 0)


def renewed_flow(prefix: str, target: str, references: Sequence[str]) -> Flow[dict[str, str]]:
    """See :meth:`blnk_relay.journal.journal.Journal.renewed_references`."""
    noted = yield from _each("GET", [f"{prefix}ref:{reference}" for reference in references])
    owners = {name: owner or id_of(target, name) for name, owner in zip(references, noted, strict=True)}
    numbers = yield from _each("HGET", [f"{prefix}intent:{owner}" for owner in owners.values()], "gen")
    generations = zip(owners, numbers, strict=True)
    later = {name: of_generation(name, int(number)) for name, number in generations if number and int(number)}
    owned = yield from _each("GET", [f"{prefix}ref:{reference}" for reference in later.values()])
    return {name: later[name] for name, owner in zip(later, owned, strict=True) if owner == owners[name]}


def _each(command: str, keys: Sequence[str], *arguments: str) -> Flow[list[str | None]]:
    """One command for each of some keys, in one trip; none for none."""
    if not keys:
        return []
    found: list[str | None] = yield Ask(tuple((command, key, *arguments) for key in keys), whole=False)
    return found
