"""What a journal hides of its intents, and how it is told apart from what it shows (docs/production.md).

Hidden are payload, file, memo and message of an intent, and the tokens of an OAuth client. What scripts compare and
operators look for stays to be read: keys, references, kinds, lanes, states, codes, times and the ledger's ids.

A fingerprint is made with a secret of the journal, so that a payload of which there are few cannot be guessed by it.
That secret is drawn once, and kept in the journal under the key that is written with: what intents leave behind when
they are trimmed is compared for ever, and a key has to be given up some day.
"""

from __future__ import annotations

import json
import os
from base64 import b85decode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from blnk_relay.encryption import MARK, EncryptionKey, Keyring, Keys
from blnk_relay.errors import DoesNotVerify, EncryptionKeyMissing
from blnk_relay.journal.entries import NewEntry, cut, joined
from blnk_relay.journal.flows import Flow, Run
from blnk_relay.journal.packing import kept_as

#: Fields of an intent that are hidden.
HIDDEN = ("memo", "message")

#: What stands in for a message that this process cannot read.
_NO_KEY = "(encrypted with key {}, which this process does not have)"
_BROKEN = "(encrypted, and it does not verify: it was changed, or belongs to another place)"

#: Stands before the names of an intent's keys where its body is in the clear: it was accepted without a key.
PLAIN = "-"

#: Places in a journal that are no intent's.
_OF_JOURNAL = "journal"
_OF_TOKENS = "oauth"


def keys_in(sealed: str) -> list[str]:
    """Names of the keys that an intent needs, out of its field ``sealed``."""
    return [name for name in sealed.split() if name != PLAIN]


def hidden(sealed: str) -> bool:
    """Whether the body of an intent is hidden, out of its field ``sealed``."""
    return bool(sealed) and not sealed.startswith(PLAIN)


@dataclass(frozen=True, slots=True)
class Secret:
    """What fingerprints of a journal are made with.

    Attributes:
        name: Tells it from any other one.
        value: The secret itself.
        text: As it is kept.
    """

    name: str
    value: bytes = field(repr=False)
    text: str = field(repr=False)

    def fingerprint(self, plain: str) -> str:
        """The fingerprint of an intent, out of what it would be without a key."""
        return blake2b(plain.encode(), digest_size=16, key=self.value).hexdigest()


class Seal:
    """Hides and shows for one journal. Used by many threads at once.

    Args:
        target: Whose journal it is.
        keyring: Its keys.
    """

    def __init__(self, target: str, keyring: Keyring) -> None:
        self._target = target
        self._keyring = keyring
        self._secret: Secret | None = None

    def keys(self) -> Keys:
        """The keys as of now: the first is used to write; there may be none."""
        return self._keyring.keys()

    # -- one text ----------------------------------------------------------------------------------------------------

    def hidden(self, id_: str, name: str, text: str, key: EncryptionKey | None) -> str:
        """A text as it is kept; an empty one, and any without a key, as it is.

        Args:
            id_: Of the intent.
            name: Which of its texts.
            text: The text.
            key: The key to write with.
        """
        if key is None or not text:
            return text
        return key.seal((self._target, id_, name), text.encode("utf-8", "surrogatepass"))

    def shown(self, id_: str, name: str, text: str, keys: Keys | None = None) -> str:
        """A text again, whether it was hidden or not.

        Raises:
            EncryptionKeyMissing: It needs a key that is not at hand.
            DoesNotVerify: It was changed, or belongs to another place.
        """
        if not text.startswith(MARK):
            return text
        content = self._opened((self._target, id_, name), text, keys)
        try:
            return content.decode("utf-8", "surrogatepass")
        except ValueError:
            raise DoesNotVerify(name) from None

    def told(self, id_: str, name: str, text: str) -> str:
        """The same for people: where it cannot be shown, why."""
        try:
            return self.shown(id_, name, text)
        except EncryptionKeyMissing as error:
            return _NO_KEY.format(error.key.partition(".")[0])
        except DoesNotVerify:
            return _BROKEN

    def _opened(self, place: tuple[str, ...], text: str, keys: Keys | None = None) -> bytes:
        return (self.keys() if keys is None else keys).opened(place, text)

    # -- bodies and files --------------------------------------------------------------------------------------------

    def body(self, id_: str, body: str, key: EncryptionKey | None) -> str:
        """A body with its payload hidden; what else stands in it can be read."""
        if key is None:
            return body
        head, payload = cut(body)
        return joined(head, json.dumps(key.seal((self._target, id_, "payload"), payload.encode())))

    def shown_body(self, id_: str, body: str, keys: Keys | None = None) -> str:
        """A body again, as it was before its payload was hidden.

        Raises:
            EncryptionKeyMissing: It needs a key that is not at hand.
            DoesNotVerify: It was changed, or belongs to another intent.
        """
        try:
            head, payload = cut(body)
        except ValueError:
            # Whoever reads it finds out what is wrong with it.
            return body
        if not payload.startswith('"'):
            return body
        return joined(head, self.shown(id_, "payload", json.loads(payload), keys))

    def file(self, id_: str, packed: str, key: EncryptionKey | None) -> str:
        """A packed file, hidden. What is packed is compressed already; only its letters are of no use any more."""
        if key is None or not packed:
            return packed
        return key.seal((self._target, id_, "file"), b85decode(packed))

    def shown_file(self, id_: str, text: str) -> str:
        """A packed file again.

        Raises:
            EncryptionKeyMissing: It needs a key that is not at hand.
            DoesNotVerify: It was changed, or belongs to another intent.
        """
        return kept_as(self._opened((self._target, id_, "file"), text)) if text.startswith(MARK) else text

    # -- tokens ------------------------------------------------------------------------------------------------------

    def token(self, name: str, text: str) -> str:
        """A token as it is kept."""
        return self.hidden(_OF_TOKENS, name, text, self.keys().first)

    def shown_token(self, name: str, text: str) -> str:
        """A token again.

        Raises:
            EncryptionKeyMissing: It needs a key that is not at hand.
            DoesNotVerify: It was changed.
        """
        return self.shown(_OF_TOKENS, name, text)

    # -- fingerprints ------------------------------------------------------------------------------------------------

    def secret_flow(self) -> Flow[Secret]:
        """What fingerprints are made with; drawn where there is none yet, so there has to be a key.

        Raises:
            EncryptionKeyMissing: It is kept under a key that is not at hand.
        """
        if self._secret is None:
            name, text = yield Run("secret", ("", "", ""))
            key = self.keys().first
            if not name:
                if key is None:
                    raise EncryptionKeyMissing("")
                value = os.urandom(32)
                name = blake2b(value, digest_size=4, person=b"secret").hexdigest()
                name, text = yield Run("secret", (name, key.seal((self._target, _OF_JOURNAL, "secret"), value), ""))
            self._secret = Secret(name, self._opened((self._target, _OF_JOURNAL, "secret"), text), text)
        return self._secret

    def forget_secret(self) -> None:
        """The journal has another one by now: it has lost its last moments."""
        self._secret = None

    def renewed_secret_flow(self) -> Flow[bool]:
        """Keep the secret under the key that is written with. Returns whether that was news."""
        self.forget_secret()
        secret, key = (yield from self.secret_flow()), self.keys().first
        if key is None or secret.text.startswith(f"{MARK}{key.name}:"):
            return False
        text = key.seal((self._target, _OF_JOURNAL, "secret"), secret.value)
        _, kept = yield Run("secret", (secret.name, text, secret.text))
        self.forget_secret()
        return bool(kept == text)

    # -- new entries -------------------------------------------------------------------------------------------------

    def entries_flow(
        self, entries: Sequence[NewEntry], *, only_known: bool = False
    ) -> Flow[tuple[str, list[NewEntry]]]:
        """Entries as they are recorded, and the name of the secret that their fingerprints were made with.

        Args:
            entries: As they were made.
            only_known: Only what tells whether they are known already; nothing is going to be recorded.

        Raises:
            EncryptionKeyMissing: The secret is kept under a key that is not at hand.
        """
        key = self.keys().first
        if key is None:
            return "", list(entries)
        secret = yield from self.secret_flow()
        return secret.name, [self._entry(new, secret, None if only_known else key) for new in entries]

    def _entry(self, new: NewEntry, secret: Secret, key: EncryptionKey | None) -> NewEntry:
        id_, fingerprint = new.entry.id, secret.fingerprint(new.fingerprint)
        if key is None:
            return replace(new, fingerprint=fingerprint)
        return replace(
            new,
            fingerprint=fingerprint,
            body=self.body(id_, new.body, key),
            file=self.file(id_, new.file, key),
            sealed=key.name,
        )
