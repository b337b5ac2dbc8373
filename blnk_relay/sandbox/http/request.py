"""A request as the sandbox sees it, and JSON read the way Core's decoder reads it.

Unknown fields are ignored, names match in any case, ``null`` equals absent, a wrong type is malformed, and text
after the first JSON value is ignored (contract §2.0).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from blnk_relay.sandbox.errors import MalformedRequestError
from blnk_relay.sandbox.money import json_number, rounded_through_float
from blnk_relay.sandbox.options import MAX_BODY_BYTES

#: Sent by clients to tell their attempts apart; kept in the request log.
REQUEST_ID_HEADERS = ("x-request-id", "request-id")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_MISSING = object()
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(slots=True)
class WireRequest:
    """One request, free of sockets.

    Attributes:
        method: In capitals.
        path: Decoded, without the query.
        query: First value of each query parameter.
        headers: Names in lower case.
        body: As received, or only the first bytes of one that is too large.
        params: Values of the path's ``:names``, filled in by the router.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
    _document: Any = _MISSING
    _malformed: str | None = None
    _replaced: bool = False

    @property
    def request_id(self) -> str | None:
        """What the client calls this attempt, if anything."""
        for name in REQUEST_ID_HEADERS:
            if name in self.headers:
                return self.headers[name]
        return None

    def document(self) -> Any:
        """The JSON value in the body; parsed once.

        Raises:
            MalformedRequestError: There is none, or the body is too large.
        """
        if self._document is _MISSING and self._malformed is None:
            self._parse()
        if self._malformed is not None:
            raise MalformedRequestError(self._malformed)
        return self._document

    def replace_document(self, document: Any) -> None:
        """Put another JSON value in the body's place, as an edge that re-encodes does."""
        self._document = document
        self._malformed = None
        self._replaced = True

    def sent_body(self) -> bytes:
        """The body as it goes on, which is what came unless an edge re-encoded it."""
        return json.dumps(self._document, ensure_ascii=False).encode() if self._replaced else self.body

    def fields(self) -> Fields:
        """The body as an object whose fields can be read by name and type.

        Raises:
            MalformedRequestError: The body is no JSON object.
        """
        document = self.document()
        if document is None:
            document = {}
        if not isinstance(document, dict):
            raise MalformedRequestError(f"json: cannot unmarshal {_type_name(document)} into an object")
        return Fields(document)

    def _parse(self) -> None:
        if len(self.body) > MAX_BODY_BYTES:
            self._malformed = "http: request body too large"
            return
        try:
            # Bytes that are no text, and halves of surrogate pairs, become U+FFFD as in Core's decoder.
            text = self.body.decode(errors="replace").lstrip(" \t\r\n")
            if not text:
                self._malformed = "EOF"
                return
            document, _ = _DECODER.raw_decode(text)
            self._document = _whole_text(document) if _SURROGATE.search(text) else document
        except (ValueError, RecursionError) as error:
            self._malformed = f"invalid JSON: {error}"


def through_floats(value: Any) -> Any:
    """A JSON value after its numbers were decoded to floats and written again (contract §6.3)."""
    if isinstance(value, dict):
        return {name: through_floats(item) for name, item in value.items()}
    if isinstance(value, list):
        return [through_floats(item) for item in value]
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return rounded_through_float(value)
    return value


def _whole_text(value: Any) -> Any:
    """A JSON value whose texts hold no lone surrogates."""
    if isinstance(value, dict):
        return {_whole_text(name): _whole_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole_text(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


class Fields:
    """A JSON object read field by field; an absent or null field gives the type's zero value."""

    __slots__ = ("_values",)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._values = {name.lower(): value for name, value in document.items()}

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(name) is not None

    def text(self, name: str) -> str:
        """A string, ``""`` when absent."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            _wrong_type(name, value, "string")
        return value

    def flag(self, name: str) -> bool:
        """A boolean, false when absent."""
        value = self._values.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            _wrong_type(name, value, "boolean")
        return value

    def number(self, name: str) -> float:
        """A 64-bit float, 0 when absent."""
        value = self._values.get(name)
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float):
            _wrong_type(name, value, "number")
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if number in (float("inf"), float("-inf")):
            _wrong_type(name, value, "64-bit number")
        return number

    def integer(self, name: str) -> int | None:
        """An integer literal of any size, None when absent; ``100.0`` and ``"100"`` are malformed."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            _wrong_type(name, value, "integer")
        return value

    def minor_units(self, name: str) -> int | None:
        """As :meth:`integer`, in the words of the decoder of amounts."""
        value = self._values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        literal = json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)
        raise MalformedRequestError(f"math/big: cannot unmarshal {literal} into a *big.Int")

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object, None when absent."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            _wrong_type(name, value, "object")
        # Core holds free-form JSON as floats: what is larger than 2^53 comes back rounded.
        reencoded: dict[str, Any] = through_floats(value)
        return reencoded

    def items(self, name: str) -> list[Any]:
        """An array, empty when absent."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            _wrong_type(name, value, "array")
        return value


def _wrong_type(name: str, value: Any, wanted: str) -> NoReturn:
    raise MalformedRequestError(f"json: cannot unmarshal {_type_name(value)} into field {name} of type {wanted}")


def _type_name(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
