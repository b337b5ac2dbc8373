"""Keys that hide what the journal keeps, and what is done with them: AES-256-GCM by ``cryptography``.

A sealed text says which key it needs, ``<key id>.<check>:<nonce and ciphertext in base64>`` behind a control character
that no text begins with. The check is a digest of the key itself, so a key that somebody gave the id of another one is
not mistaken for it. Each record is encrypted under a key of its own, derived from the key of the settings by
HMAC-SHA256: random nonces of 96 bits are then safe for 2^32 texts of one record, and not of all records together.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blnk_relay.errors import DoesNotVerify, EncryptionKeyMissing, InvalidSettings
from blnk_relay.log import KEYS_UNREAD, tell

#: What a sealed text begins with.
MARK = "\x01"

#: How often the file of the keys is looked at: a rotation is noticed within this.
LOOK_S = 1.0

_SIZE = 32
_NONCE = 12
_TAG = 16
_MOST_BYTES = 64 * 1024
_MOST_KEYS = 100

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SEALED = re.compile(MARK + r"([A-Za-z0-9][A-Za-z0-9_-]{0,31}\.[0-9a-f]{8}):([A-Za-z0-9+/]+={0,2})")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One key of the settings.

    Attributes:
        id: What people call it.
        secret: The 32 bytes.
        name: What texts that need it are marked with: its id, and eight digits that tell it from any other key.
    """

    id: str
    secret: bytes = field(repr=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.id}.{self.digest(b'check').hex()[:8]}")

    def digest(self, what: bytes) -> bytes:
        """A digest under this key, of a use of its own for each beginning of ``what``."""
        return hmac.digest(self.secret, b"blnk-relay/1 " + what, "sha256")

    def seal(self, place: tuple[str, ...], content: bytes) -> str:
        """Encrypt a text so that it can be read in its place only.

        Args:
            place: Target, id of the record, and field.
            content: What is hidden.
        """
        nonce = os.urandom(_NONCE)
        sealed = self._cipher(place).encrypt(nonce, content, self._bound_to(place))
        return f"{MARK}{self.name}:{base64.b64encode(nonce + sealed).decode()}"

    def unseal(self, place: tuple[str, ...], sealed: bytes) -> bytes:
        """Decrypt what :meth:`seal` made.

        Raises:
            DoesNotVerify: It was changed, cut, or made for another place.
        """
        from cryptography.exceptions import InvalidTag

        if len(sealed) < _NONCE + _TAG:
            raise DoesNotVerify(place[-1])
        try:
            content: bytes = self._cipher(place).decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound_to(place))
        except InvalidTag:
            raise DoesNotVerify(place[-1]) from None
        return content

    def _cipher(self, place: tuple[str, ...]) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self.digest(b"record\0" + "\0".join(place[:-1]).encode()))

    def _bound_to(self, place: tuple[str, ...]) -> bytes:
        return "\0".join((*place, self.name)).encode()


class Keys:
    """Keys in their order: the first is used to write, and all of them to read.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: Iterable[EncryptionKey] = ()) -> None:
        self._by_name = {key.name: key for key in keys}
        #: The one to write with; None where nothing is encrypted.
        self.first = next(iter(self._by_name.values()), None)

    def __bool__(self) -> bool:
        return self.first is not None

    def __iter__(self) -> Iterator[EncryptionKey]:
        return iter(self._by_name.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all of them."""
        return tuple(self._by_name)

    def opened(self, place: tuple[str, ...], text: str) -> bytes:
        """What a text hides.

        Args:
            place: Target, id of the record, and field.
            text: Sealed.

        Raises:
            EncryptionKeyMissing: It needs a key that is none of these.
            DoesNotVerify: It was changed, cut, or made for another place.
        """
        parts = _SEALED.fullmatch(text)
        if parts is None:
            raise DoesNotVerify(place[-1])
        key = self._by_name.get(parts[1])
        if key is None:
            raise EncryptionKeyMissing(parts[1])
        try:
            sealed = base64.b64decode(parts[2])
        except binascii.Error:
            raise DoesNotVerify(place[-1]) from None
        return key.unseal(place, sealed)


def name_in(text: str) -> str:
    """The name of the key that a text needs; empty for one that is not sealed."""
    parts = _SEALED.fullmatch(text) if text.startswith(MARK) else None
    return parts[1] if parts else ""


def parsed(text: str, variable: str) -> Keys:
    """Keys as settings have them: ``<id>:<32 bytes in base64>``, with commas, blanks or line ends between them.

    Args:
        text: The keys.
        variable: Where they were set, for the sentence; none of which quotes a key.

    Raises:
        InvalidSettings: They cannot be used.
    """
    found: list[EncryptionKey] = []
    for number, part in enumerate(re.split(r"[,\s]+", text.strip()) if text.strip() else (), start=1):
        id_, between, encoded = part.partition(":")
        if not between or not _ID.fullmatch(id_):
            # Whatever stands there may be a key.
            raise InvalidSettings(
                f"{variable}: key {number} must have the form id:key, with an id of 1 to 32 letters a to z and A to Z, "
                "digits, - and _, and a key of 32 bytes in base64."
            )
        try:
            secret = base64.b64decode(encoded.translate(_URL_SAFE), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidSettings(f"{variable}: key {id_!r} is not base64.") from None
        if len(secret) != _SIZE:
            raise InvalidSettings(
                f"{variable}: key {id_!r} has {len(secret)} bytes, and AES-256 takes {_SIZE}. "
                'Make one with: python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'
            )
        for other in found:
            if other.id == id_:
                raise InvalidSettings(f"{variable}: the id {id_!r} stands twice; each key needs an id of its own.")
            if other.secret == secret:
                raise InvalidSettings(f"{variable}: {other.id!r} and {id_!r} are one key; take one of them out.")
        found.append(EncryptionKey(id_, secret))
    if len(found) > _MOST_KEYS:
        raise InvalidSettings(f"{variable}: there are {len(found)} keys, and at most {_MOST_KEYS} are possible.")
    if found:
        _require_library(variable)
    return Keys(found)


_URL_SAFE = str.maketrans("-_", "+/")


def _require_library(variable: str) -> None:
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401 - to see that it is there
    except ImportError:
        raise InvalidSettings(
            f"{variable} needs the package cryptography, which is not installed: pip install 'blnk-relay[encryption]'"
        ) from None


class Keyring:
    """The keys of one journal, read again when their file changes. Used by many threads at once.

    A file that is gone, empty or malformed for a moment changes nothing: whoever rotates a key may do it in two steps.

    Args:
        text: The keys, out of a variable.
        path: The file that holds them instead; empty for none.
        variable: Where either was set, for sentences.

    Raises:
        InvalidSettings: There are none that can be used at the start.
    """

    def __init__(self, text: str = "", path: str = "", variable: str = "") -> None:
        self._path = Path(path) if path else None
        self._variable = variable
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._looked_s = time.monotonic()
        self._complained = False
        if self._path is None:
            self._keys = parsed(text, variable)
            return
        self._seen = self._stamp()
        self._keys = self._read()

    def keys(self) -> Keys:
        """The keys, as the file had them a second ago at most."""
        if self._path is not None and time.monotonic() - self._looked_s >= LOOK_S:
            with self._lock:
                if time.monotonic() - self._looked_s >= LOOK_S:
                    self._look()
        return self._keys

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        try:
            seen = self._stamp()
            if seen == self._seen:
                return
            self._keys, self._seen, self._complained = self._read(), seen, False
        except InvalidSettings as error:
            if not self._complained:
                self._complained = True
                tell(_log, KEYS_UNREAD, why=error)

    def _stamp(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()  # type: ignore[union-attr]
        except OSError as error:
            raise self._unread(error) from None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> Keys:
        try:
            with self._path.open(encoding="utf-8") as file:  # type: ignore[union-attr]
                text = file.read(_MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            raise self._unread(error) from None
        if len(text) > _MOST_BYTES:
            raise InvalidSettings(f"{self._variable}: the file {str(self._path)!r} is too large for keys.")
        found = parsed(text, self._variable)
        if not found:
            raise InvalidSettings(f"{self._variable}: there is no key in {str(self._path)!r}.")
        return found

    def _unread(self, error: Exception) -> InvalidSettings:
        return InvalidSettings(f"{self._variable}: {str(self._path)!r} cannot be read ({type(error).__name__}).")
