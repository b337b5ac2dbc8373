"""Loading a payload through its schema, and refusing what is not valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from marshmallow import Schema, ValidationError, post_load

from blnk_relay.errors import InvalidIntent


class DirectSchema(Schema):
    """A schema that reads what is valid field by field, and leaves whatever is not to marshmallow.

    marshmallow prepares for errors at every field, absent ones included, which is half of what enqueueing costs a
    process. For schemas whose only hook is :meth:`canonical`, and whose fields have no other names in data.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._needed = frozenset(name for name, field in self.load_fields.items() if field.required)

    def canonical(self, data: dict[str, Any]) -> dict[str, Any]:
        """The payload out of valid fields.

        Raises:
            ValidationError: They contradict each other.
        """
        raise NotImplementedError

    @post_load
    def _finish(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return self.canonical(data)

    def load(self, data: Any, **kwargs: Any) -> Any:
        """As marshmallow's own, with the same messages."""
        if not kwargs and type(data) is dict and self._needed <= data.keys():
            known = self.load_fields
            try:
                loaded = {name: known[name].deserialize(value, name, data) for name, value in data.items()}
            except (KeyError, ValidationError):
                # An unknown field, or a value that is wrong: all that is wrong is to be told at once.
                return super().load(data)
            return self.canonical(loaded)
        return super().load(data, **kwargs)


def load(kind: str, schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Validate fields against a schema.

    Raises:
        InvalidIntent: With every message, by field.
    """
    try:
        payload: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        messages = error.messages
        refuse(kind, messages if isinstance(messages, dict) else {"_schema": messages})
    return payload


def refuse(kind: str, messages: Mapping[str, Any]) -> NoReturn:
    """Raise InvalidIntent from marshmallow's messages, nested ones joined by dots."""
    flat: dict[str, list[str]] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                walk(f"{path}.{name}" if path else str(name), inner)
        else:
            flat.setdefault(path or "_schema", []).extend(str(message) for message in value)

    walk("", messages)
    raise InvalidIntent(kind, flat)
