"""Who we are at a target: an API key that stays, one in a file that may change, or OAuth (contract §1.2, §1.3).

A credential belongs to one target and is handed to that target's connections only. No key is ever part of a message.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from blnk_relay.environment import is_quoted
from blnk_relay.errors import InvalidSettings
from blnk_relay.log import KEY_FILE, tell
from blnk_relay.targets import Target

#: How often a key's file is looked at: a rotation is noticed within this.
LOOK_S = 1.0

#: What may stand in a header: a key with anything else would break it, or smuggle in another one.
PRINTABLE = re.compile(r"[!-~]{1,4096}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """What a request carries.

    Attributes:
        value: The secret.
        version: Grows with each change.
    """

    value: str = field(repr=False)
    version: int = 0


class Credentials(Protocol):
    """Who we are at one target. Used by many threads at once."""

    @property
    def wait_s(self) -> float:
        """Longest time that :meth:`current` takes."""

    def current(self) -> Key | None:
        """The key of the next request; None when there is none that could be used now."""

    def refused(self, key: Key) -> bool:
        """Told of a 401. Returns whether a newer key is, or is about to be, at hand."""

    def close(self) -> None:
        """End what runs in the background."""


class FixedKey:
    """An API key out of the settings.

    Args:
        value: The key.
        variable: Where it was set, for the sentence.

    Raises:
        InvalidSettings: It could not stand in a header.
    """

    wait_s = 0.0

    def __init__(self, value: str, variable: str) -> None:
        if not PRINTABLE.fullmatch(value):
            raise InvalidSettings(f"{variable} cannot be a key: it has blanks or characters that no header can carry.")
        self._key = Key(value)

    def current(self) -> Key:
        """The key."""
        return self._key

    def refused(self, key: Key) -> bool:
        """Whether there is another: there is none."""
        return key != self._key

    def close(self) -> None:
        """Nothing runs."""


class KeyFile:
    """An API key in a file, read again when the file changes.

    A file that is gone, empty or unreadable for a moment changes nothing: whoever rotates a key may do it in two steps.

    Args:
        path: The file.
        variable: Where its path was set, for sentences.

    Raises:
        InvalidSettings: There is no key in it at the start.
    """

    wait_s = 0.0

    def __init__(self, path: str, variable: str) -> None:
        self._path = Path(path)
        self._variable = variable
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._looked_s = 0.0
        self._complained = False
        self._quoted = False
        self._key: Key | None = None
        self._look()
        if self._key is None:
            why = "what stands in it is quoted; take the quotes off" if self._quoted else "or it cannot be read"
            raise InvalidSettings(f"{variable}: there is no key in {path!r}, {why}.")

    def current(self) -> Key | None:
        """The key, as the file had it a second ago at most."""
        if time.monotonic() - self._looked_s >= LOOK_S:
            with self._lock:
                if time.monotonic() - self._looked_s >= LOOK_S:
                    self._look()
        return self._key

    def refused(self, key: Key) -> bool:
        """Look at the file at once. Returns whether it holds another key."""
        with self._lock:
            # Read whatever its times say: two rotations may fall into one tick of a coarse file system.
            self._seen = None
            self._look()
        return self._key is not None and self._key.version != key.version

    def close(self) -> None:
        """Nothing runs."""

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            with self._path.open(encoding="utf-8") as file:
                value = file.read(8192).strip()
        except (OSError, ValueError):
            value = ""
            seen = None
        self._quoted = is_quoted(value)
        if self._quoted or not PRINTABLE.fullmatch(value):
            if self._key is not None and not self._complained:
                self._complained = True
                tell(_log, KEY_FILE, variable=self._variable)
            return
        self._seen, self._complained = seen, False
        if self._key is None or value != self._key.value:
            self._key = Key(value, self._key.version + 1 if self._key else 0)


def key_of(target: Target) -> FixedKey | KeyFile:
    """The credential of a target that has an API key.

    Raises:
        InvalidSettings: It has no key, or none that can be used.
    """
    if target.token_file:
        return KeyFile(target.token_file, target.variable("token_file"))
    return FixedKey(target.token, target.variable("token"))
