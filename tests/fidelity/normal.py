"""What is left of a ledger's words when two of them are compared.

Ids are called by where they first appeared, times by their kind.

What a story sent itself is kept as it is, but for the scene's own name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tests.fidelity.telling import Exchange

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

#: An id, with its prefix if it has one.
_ID = re.compile(rf"(?:[a-z]+_)?{_UUID}")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
_ZERO_TIME = "0001-01-01T00:00:00Z"

_HASHED = re.compile(r'"hash": "[0-9a-f]*"')
_HASH = re.compile(r"^[0-9a-f]{64}$")

#: What was tokenized begins so, and ends in a cipher of its own each time.
_TOKEN = re.compile(r"FPT:[^:]*:.*")

#: An id of our own making, which stands in references and marks.
_OURS = re.compile(r"(?<![a-z0-9])[a-z2-7]{26}(?![a-z0-9])")

#: The number at the end of a leg's reference.
_LEG = re.compile(r"(SCENE|<ours>)[-_]\d+(?!\d)")

#: Which leg failed first.
_ANY_LEG = re.compile(r"(split transaction) \d+")

#: What is kept of a database's error: what our code may rest on. The rest is words, places in its code, and data.
_OF_A_DATABASE = frozenset({"Severity", "Code", "Constraint"})


class Normal:
    """Normalises the exchanges of one story, in their order.

    Args:
        scene: The scene's name, which becomes ``SCENE``.
        blind: Ids are only told by their prefix, and the numbers of legs not at all.
    """

    def __init__(self, scene: str, *, blind: bool = False) -> None:
        self._scene = scene
        self._blind = blind
        self._names: dict[str, str] = {}
        self._sent: set[str] = set()

    def told(self, exchange: Exchange) -> dict[str, Any]:
        """One line of a recording."""
        self._sent.update(found[0] for found in _TIME.finditer(f"{exchange.asked} {exchange.sent}"))
        line: dict[str, Any] = {"step": exchange.name}
        if exchange.asked:
            line["asked"] = self._text(exchange.asked, f"{exchange.name}:path")
        line["status"] = exchange.status
        if exchange.kind:
            line["type"] = exchange.kind
        if exchange.location:
            line["location"] = self._text(exchange.location, f"{exchange.name}:location")
        line["body"] = self._body(exchange)
        return line

    def _body(self, exchange: Exchange) -> Any:
        try:
            document = json.loads(exchange.body, parse_float=_float)
        except ValueError:
            # Words that are no JSON, or several values.
            return self._text(exchange.body, f"{exchange.name}:text")
        if exchange.loose:
            document = self._ordered(document)
        return self._value(document, exchange.name)

    def _ordered(self, document: Any) -> Any:
        """A page of rows, in an order that does not depend on their ids."""
        if isinstance(document, list):
            return sorted(document, key=self._shape)
        if not isinstance(document, dict):
            return document
        return {name: self._ordered(value) if isinstance(value, list) else value for name, value in document.items()}

    def _shape(self, row: Any) -> str:
        first = f"{row.get('reference', '')} {row.get('status', '')}" if isinstance(row, dict) else ""
        text = f"{first} {re.sub(_HASHED, '', json.dumps(row, sort_keys=True))}".replace(self._scene, "SCENE")
        text = _ID.sub(lambda found: self._names.get(found[0], "<id>"), _OURS.sub("<ours>", text))
        text = _TIME.sub("<time>", text)
        return _LEG.sub("", text) if self._blind else text

    def _value(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            kept = _OF_A_DATABASE if _OF_A_DATABASE.issubset(value) else value.keys()
            names = {key: self._text(key, f"{path}.key") for key in sorted(value) if key in kept}
            return {name: self._value(value[key], f"{path}.{name}") for key, name in names.items()}
        if isinstance(value, list):
            return [self._value(item, f"{path}.{number}") for number, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) else value

    def _text(self, text: str, path: str) -> str:
        text = text.replace(self._scene, "SCENE")
        if _HASH.match(text):
            return "<hash>"
        text = _TOKEN.sub("<token>", text)
        text = _ID.sub(lambda found: self._name(found[0], path), _OURS.sub("<ours>", text))
        text = _TIME.sub(self._time, text)
        return _ANY_LEG.sub(r"\1 N", _LEG.sub(r"\1-N", text)) if self._blind else text

    def _name(self, id_: str, path: str) -> str:
        if id_.startswith("none_") or id_.endswith("-4000-8000-000000000000"):
            return id_
        if self._blind:
            return f"<{id_.partition('_')[0] if '_' in id_ else 'id'}>"
        known = self._names.get(id_)
        if known is None:
            taken = set(self._names.values())
            known = f"<{path}>"
            number = 2
            while known in taken:
                known, number = f"<{path} {number}>", number + 1
            self._names[id_] = known
        return known

    def _time(self, found: re.Match[str]) -> str:
        if found[0] == _ZERO_TIME:
            return "<no time>"
        if found[0] in self._sent:
            return found[0]
        return "<time>" if found[1] == "Z" else "<time with an offset>"


def normalised(exchanges: Iterable[Exchange], scene: str, *, blind: bool = False) -> list[dict[str, Any]]:
    """The lines of one story."""
    normal = Normal(scene, blind=blind)
    return [normal.told(exchange) for exchange in exchanges]


def _float(text: str) -> str:
    """A number with a fraction or an exponent, however it was written."""
    return f"<float {Decimal(text).normalize():f}>"


Told = Mapping[str, Sequence[Mapping[str, Any]]]


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of a document with the path to it; an empty object or list is a leaf."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flattened(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from flattened(item, f"{path}.{number}")
    else:
        yield path, value
