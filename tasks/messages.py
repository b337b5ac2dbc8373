"""A Celery message as it lies on Redis, read without Celery and without trust. Pure.

Whoever reaches the broker can put anything into a queue: text of another program, a body in pickle, half a message.
What cannot be read raises, whatever the reason; nothing here runs what it reads, and nothing grows without a bound.
"""

from __future__ import annotations

import base64
import bz2
import lzma
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kombu.utils.json import loads

#: Bytes of a body once it is unpacked: the largest upload, twice encoded, with room.
MOST_BYTES = 64 * 1024 * 1024

#: How bodies may be packed, by the names that Celery has for it.
_UNPACKERS: Mapping[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": lzma.LZMADecompressor,
}

#: What may follow a task: Celery would send it on once the task is done.
_FOLLOWING = ("callbacks", "errbacks", "chain", "chord")


class Unreadable(ValueError):
    """It is no message that can be read; the sentence says why, without a word of what stands in it."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message, opened and not read.

    Attributes:
        task: Name of the task; empty where none is named.
        content: The body as bytes, unpacked.
        content_type: What it is written in, in small letters.
        encoding: Of its text.
        headers: As they came.
    """

    task: str
    content: bytes = field(repr=False)
    content_type: str
    encoding: str
    headers: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """What a message asks for.

    Attributes:
        task: Name of the task.
        args: Positional arguments.
        kwargs: Arguments by name.
        eta: Not before this time.
        expires: Not after this time.
        followed: Names of what is to follow: callbacks, a chain, a chord.
    """

    task: str
    args: Sequence[Any] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    eta: datetime | None = None
    expires: datetime | None = None
    followed: tuple[str, ...] = ()


def opened(raw: bytes) -> Envelope:
    """Open a message.

    Args:
        raw: An element of a queue.

    Raises:
        Unreadable: It is no Celery message.
        Exception: Whatever else was wrong with it; it is as unreadable.
    """
    envelope = loads(raw.decode())
    if not isinstance(envelope, dict):
        raise Unreadable("it is not a JSON object")
    headers, properties = envelope.get("headers") or {}, envelope.get("properties") or {}
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        raise Unreadable("its headers or properties are not JSON objects")
    content = _content(envelope.get("body"), properties.get("body_encoding"), headers.get("compression"))
    named = headers.get("task")
    content_type = _word(envelope.get("content-type"))
    encoding = _word(envelope.get("content-encoding"))
    if named is None and content_type == "application/json":
        # Protocol 1 has all in the body; whether it can be read is found out by whoever reads it.
        try:
            body = loads(content.decode(encoding or "utf-8"))
            named = body.get("task") if isinstance(body, dict) else None
        except Exception:  # noqa: BLE001 - whatever it is, there is no name in it
            named = None
    return Envelope(named if isinstance(named, str) else "", content, content_type, encoding, headers)


def read(envelope: Envelope) -> Call:
    """Read what a message asks for.

    Args:
        envelope: The opened message.

    Raises:
        Unreadable: It is not written as Celery tasks are, or not in JSON.
        Exception: Whatever else was wrong with it; it is as unreadable.
    """
    if envelope.content_type != "application/json":
        raise Unreadable("its content type is not application/json, and nothing else is ever read")
    body = loads(envelope.content.decode(envelope.encoding or "utf-8"))
    head: Mapping[str, Any] = envelope.headers
    if isinstance(body, dict):
        args, kwargs, embedded = body.get("args") or (), body.get("kwargs") or {}, body
        head = {**body, **envelope.headers}
    elif isinstance(body, list) and len(body) in (2, 3):
        args, kwargs, embedded = body[0] or (), body[1] or {}, (body[2] if len(body) == 3 else None) or {}  # noqa: PLR2004
    else:
        raise Unreadable("its body has neither arguments nor keyword arguments")
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(embedded, dict):
        raise Unreadable("its arguments are not a list, or its keyword arguments are not a JSON object")
    return Call(
        task=envelope.task,
        args=args,
        kwargs=kwargs,
        eta=_time("eta", head),
        expires=_time("expires", head),
        followed=tuple(name for name in _FOLLOWING if embedded.get(name)),
    )


def shown(data: bytes, most: int) -> str:
    """Bytes as a text that can be kept and looked at: what is no character or does not show is written as an escape.

    Args:
        data: Anything.
        most: Characters that are kept.
    """
    text = data[: most * 4].decode("utf-8", "backslashreplace")
    safe = "".join(char if char.isprintable() else _escaped(char) for char in text[:most])
    return safe if len(safe) <= most else safe[:most]


def safe_text(text: str, most: int) -> str:
    """The same for a text, which may hold what UTF-8 has no bytes for."""
    return shown(text[:most].encode("utf-8", "surrogatepass"), most)


def _escaped(char: str) -> str:
    number = ord(char)
    if unicodedata.category(char) == "Zs":
        return " "
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004


def _content(body: Any, encoding: Any, compression: Any) -> bytes:
    if not isinstance(body, str):
        raise Unreadable("its body is not text")
    if encoding == "base64":
        content = base64.b64decode(body, validate=True)
    elif encoding is None or _word(encoding) in ("", "utf-8"):
        content = body.encode("utf-8", "surrogatepass")
    else:
        raise Unreadable("its body is neither in base64 nor in UTF-8")
    if compression is None:
        return content
    unpacker = _UNPACKERS.get(_word(compression))
    if unpacker is None:
        raise Unreadable("its body is compressed in a way that is not read here")
    unpacking = unpacker()
    content = bytes(unpacking.decompress(content, MOST_BYTES))
    if not unpacking.eof:
        raise Unreadable(f"its body is compressed and not whole, or larger than {MOST_BYTES} bytes")
    return content


def _word(value: Any) -> str:
    """The first part of a header such as ``application/json; charset=utf-8``."""
    return value.split(";", 1)[0].strip().lower() if isinstance(value, str) else ""


def _time(name: str, head: Mapping[str, Any]) -> datetime | None:
    value = head.get(name)
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is not None:
        return moment
    if head.get("utc") is not True:
        raise Unreadable(f"its {name} has no offset from UTC")
    return moment.replace(tzinfo=UTC)
