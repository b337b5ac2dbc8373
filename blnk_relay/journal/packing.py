"""Files to upload, as they are kept beside their intents: compressed, and in letters that any client passes through."""

from __future__ import annotations

import base64
import zlib


def packed(content: bytes) -> str:
    """A file as text.

    Example:
        >>> unpacked(packed(b"ID,Amount"), 9)
        b'ID,Amount'
    """
    return kept_as(zlib.compress(content))


def kept_as(compressed: bytes) -> str:
    """A file that is compressed already, as text."""
    return base64.b85encode(compressed).decode()


def unpacked(text: str, most: int) -> bytes:
    """The file again.

    Args:
        text: What :func:`packed` made.
        most: The size that it must not exceed, in bytes.

    Raises:
        ValueError: It is no such text, or larger.
    """
    try:
        content = zlib.decompressobj().decompress(base64.b85decode(text), most + 1)
    except zlib.error:
        raise ValueError("the file that was kept is damaged") from None
    if len(content) > most:
        raise ValueError("the file that was kept is larger than it was")
    return content
