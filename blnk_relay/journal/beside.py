"""What a worker reads besides the intents in its hands: what is kept with them, and what others have come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blnk_relay.errors import NotFound
from blnk_relay.intents.references import of_generation
from blnk_relay.journal.answers import Owner
from blnk_relay.journal.entries import Renewal, id_of, renewal_of
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.packing import unpacked
from blnk_relay.journal.seal import Seal

#: References whose owners are found in one script.
_OWNERS_AT_ONCE = 1_000


def file_flow(prefix: str, seal: Seal, id_: str, size: int) -> Flow[bytes | None]:
    """See :meth:`blnk_relay.journal.journal.Journal.file`."""
    [text] = yield Ask((("GET", f"{prefix}file:{id_}"),))
    try:
        content = unpacked(seal.shown_file(id_, text), size) if text else b""
    except ValueError:
        return None
    return content if len(content) == size else None


def renewal_flow(prefix: str, seal: Seal, id_: str, generation: int) -> Flow[Renewal]:
    """See :meth:`blnk_relay.journal.journal.Journal.renewal`."""
    [body] = yield Ask((("GET", f"{prefix}body:{id_}"),))
    if not body:
        raise NotFound(f"nothing is kept of what {id_!r} asked for")
    renewal, key = renewal_of(body, generation, lambda: seal.shown_body(id_, body)), seal.keys().first
    if key is None or not renewal.body:
        return renewal
    return replace(renewal, body=seal.body(id_, renewal.body, key), sealed=key.name)


def ended_flow(target: str, reference: str) -> Flow[tuple[str, int]]:
    """State of the intent with a reference, empty for none, and when it came to that."""
    [owner] = yield from owners_flow(target, [reference])
    return owner.state, int(owner.updated or 0)


def renewed_flow(target: str, references: Sequence[str]) -> Flow[dict[str, str]]:
    """See :meth:`blnk_relay.journal.journal.Journal.renewed_references`."""
    owners = dict(zip(references, (yield from owners_flow(target, references)), strict=True))
    later = {name: of_generation(name, int(owner.gen)) for name, owner in owners.items() if int(owner.gen or 0)}
    found = yield from owners_flow(target, tuple(later.values()))
    return {name: later[name] for name, owner in zip(later, found, strict=True) if owner.id == owners[name].id}


def owners_flow(target: str, references: Sequence[str]) -> Flow[list[Owner]]:
    """The intents that own some references."""
    found: list[Owner] = []
    for at in range(0, len(references), _OWNERS_AT_ONCE):
        some = [id_of(target, reference) for reference in references[at : at + _OWNERS_AT_ONCE]]
        found += [Owner(*answer) for answer in (yield Run("owners", tuple(some)))]
    return found
