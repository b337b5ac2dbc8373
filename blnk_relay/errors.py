"""The errors an application can meet. Each says what was wrong, where, and what to do.

None of them carries a payload, a name, a token or any other personal data, so all of them may be logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class RelayError(Exception):
    """Base of every error that blnk-relay raises on purpose; each can be pickled, for pools of processes."""

    def __reduce__(self) -> tuple[Callable[..., RelayError], tuple[Any, ...]]:
        # As they are, for what they are made of is not what they say.
        return _as_it_was, (type(self), self.args, dict(self.__dict__))


def _as_it_was(error_type: type[RelayError], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> RelayError:
    error = error_type.__new__(error_type)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidSettings(RelayError):
    """A setting is missing, malformed, or contradicts another one. Raised at start, never later."""


class HistoryUnavailable(RelayError):
    """The database of history did not answer, refused, or has no tables of ours. No payment waits for it.

    Attributes:
        code: What it is, in one word: ``schema`` where its tables are not those of this version.
    """

    def __init__(self, message: str, code: str = "") -> None:
        self.code = code
        super().__init__(message)


class InvalidIntent(RelayError):
    """A write intent does not fit its schema. Nothing was recorded.

    Attributes:
        kind: The kind of the intent, such as ``transaction``.
        errors: Field name to the list of messages about it; ``_schema`` for those about no single field.
        index: Zero-based position within the batch, or None for a single intent.
    """

    def __init__(self, kind: str, errors: Mapping[str, Sequence[str]], index: int | None = None) -> None:
        self.kind = kind
        self.errors = {field: list(messages) for field, messages in errors.items()}
        self.index = index
        where = kind if index is None else f"{kind} at position {index}"
        # What is wrong with no field in particular stands under marshmallow's own word, which says nothing to people.
        what = "; ".join(
            f"{'' if field == '_schema' else f'{field}: '}{' '.join(messages)}"
            for field, messages in self.errors.items()
        )
        super().__init__(f"{where} is not valid: {what}")

    def at(self, index: int) -> InvalidIntent:
        """The same error, told of a position within a batch."""
        return InvalidIntent(self.kind, self.errors, index)


class KeyConflict(RelayError):
    """The key, or the ledger reference, already belongs to another intent. Nothing was recorded.

    Attributes:
        key: The key that was to be enqueued.
        reference: The ledger reference that is taken; empty where the key itself is.
        first_id: Id of the intent that holds it already.
        first_kind: Kind of that intent; empty for one that was trimmed after its retention.
        first_state: State of that intent.
        first_created_ms: When it was accepted, in milliseconds since 1970 by the clock of Redis.
        index: Zero-based position within the batch, or None for a single intent.
    """

    index: int | None = None

    def __init__(
        self,
        key: str,
        first_id: str,
        first_kind: str,
        first_state: str,
        first_created_ms: int,
        *,
        reference: str = "",
    ) -> None:
        self.key = key
        self.reference = reference
        self.first_id = first_id
        self.first_kind = first_kind
        self.first_state = first_state
        self.first_created_ms = first_created_ms
        super().__init__(f"{self.what}: {self._advice()}")

    @property
    def what(self) -> str:
        """What is taken, and whose it is."""
        owner = f"intent {self.first_id} ({', '.join(filter(None, (self.first_kind, self.first_state)))})"
        if not self.reference:
            return f"key {self.key!r} already belongs to {owner}, which is another write"
        if self.reference == self.key:
            return f"key {self.key!r} would be the ledger's reference, and that reference already belongs to {owner}"
        return f"reference {self.reference!r}, which key {self.key!r} would need, already belongs to {owner}"

    def _advice(self) -> str:
        if not self.reference:
            return (
                "send the same payload as the first time to get its receipt again; a new key is only for a new write, "
                "and a payment that is sent under two keys is made twice"
            )
        return (
            "see whether it is this very write, recorded under another key; if it is a new one, give it a "
            "reference, or "
            "a key, that nothing else has"
        )


class DuplicateInBatch(InvalidIntent):
    """The same key, or the same ledger reference, stands twice inside one batch. Nothing of the batch was recorded.

    Attributes:
        key: The key of the second one.
        reference: The reference that both would have; empty where it is the key that stands twice.
        positions: The two zero-based positions.
    """

    def __init__(
        self, kind: str, key: str, first: int, second: int, *, reference: str = "", first_key: str = ""
    ) -> None:
        self.key = key
        self.reference = reference
        self.positions = (first, second)
        if reference:
            errors = {
                "reference": [
                    f"{reference!r} stands at position {first} (key {first_key!r}) and at position {second} "
                    f"(key {key!r})."
                ]
            }
        else:
            errors = {"key": [f"{key!r} stands at position {first} and at position {second}."]}
        super().__init__(kind, errors, second)


class JournalUnavailable(RelayError):
    """Redis did not answer within the socket timeout, or refused; the sentence says why, and how to go on.

    An intent that was being enqueued may or may not have been recorded. Enqueue again under the same key: that is
    always safe.
    """


class UnsuitableServer(JournalUnavailable):
    """The Redis of the settings cannot keep a journal at all: it is too old, or a cluster. Nothing was recorded."""


class NotDurable(JournalUnavailable):
    """What was enqueued is recorded, but not as durably as the settings ask for; see ``BLNK_RELAY_DURABILITY_STRICT``.

    It is posted like any other. Enqueue again under the same key, which waits for the durability once more and never
    pays twice.

    Attributes:
        asked: The durability of the settings.
        reached: What Redis vouches for.
    """

    def __init__(self, asked: str, reached: str) -> None:
        self.asked = asked
        self.reached = reached
        super().__init__(
            f"it is recorded, but its durability is {reached} and not {asked}, as BLNK_RELAY_DURABILITY asks for: it "
            "will be posted unless Redis loses it. Enqueue again under the same key, which is safe and waits once more"
        )


class JournalFull(JournalUnavailable):
    """Redis has no room for new intents: it is at its ``maxmemory``, or so near that the rest is for its present work.

    Workers and operators go on. Enqueue again under the same key when there is room.
    """

    def __init__(self) -> None:
        super().__init__(
            "the journal is full: Redis is at nine tenths of its maxmemory or above, and what is left is for the work "
            "that it holds; enqueue again under the same key later. To make room, raise maxmemory, or lower "
            "BLNK_RELAY_RETENTION_S, after which finished intents are trimmed"
        )


class EncryptionKeyMissing(JournalUnavailable):
    """What is asked for is encrypted under a key that the settings of this process do not have. Nothing was changed.

    Attributes:
        key: Name of the key, as ``<id>.<check>``; empty where only the journal as a whole is known to be encrypted.
    """

    def __init__(self, key: str, what: str = "") -> None:
        self.key = key
        self.what = what
        super().__init__(
            f"{what or 'what is asked for'} is encrypted with key {key_in_words(key)}, which this process does not "
            "have: add it to BLNK_RELAY_ENCRYPTION_KEYS"
            if key
            else f"{what or 'the journal'} is encrypted, and this process has no key: set BLNK_RELAY_ENCRYPTION_KEYS"
        )


class DoesNotVerify(RelayError):
    """What the journal kept encrypted was changed, cut, or put into another place; nothing of it can be believed.

    Attributes:
        field: Which part of it.
    """

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"the encrypted {field} does not verify: it was changed, or belongs to another place")


def key_in_words(name: str) -> str:
    """The name of an encryption key for people: the id that its owner gave it, and what tells it from another."""
    id_, _, check = name.partition(".")
    return f"{id_} (check {check})" if check else id_


class OtherShape(JournalUnavailable):
    """The journal has a shape that this version of blnk-relay does not know. Nothing was read, recorded or changed.

    It is there again for whoever knows its shape: start that version in the place of this one. Enqueue again under the
    same key then, which is always safe.

    Attributes:
        target: The target whose journal it is.
        found: The shape that is noted in it, such as ``2``; ``1>2`` while it is brought from one to the next.
        known: The oldest and the newest shape that this version knows.
    """

    def __init__(self, target: str, found: str, known: tuple[int, int], version: str) -> None:
        self.target = target
        self.found = found
        self.known = known
        oldest, newest = known
        ours = f"shape {newest}" if oldest == newest else f"shapes {oldest} to {newest}"
        origin, _, to = found.partition(">")
        if to:
            super().__init__(
                f"the journal of target {target!r} is being brought from shape {origin} to shape {to}, and nobody else "
                "may use it until that is over; nothing was changed. If it was stopped half way, upgrade it again with "
                f"a version that knows shape {to} (this is {version}, which knows {ours})"
            )
            return
        then = (
            "upgrade it with a version that knows both, and try again"
            if origin.isdigit() and int(origin) < oldest
            else f"start a version in its place that knows shape {found}, and try again"
        )
        super().__init__(
            f"the journal of target {target!r} has shape {found}, and this process (blnk-relay {version}) knows "
            f"{ours}: it leaves the journal alone, and nothing was changed; {then}"
        )


class OtherLedger(RelayError):
    """The settings name another ledger for a target than the journal was used for so far. Nothing was recorded.

    Work that was begun in one ledger would be made a second time in the other.

    Attributes:
        target: The target.
    """

    def __init__(self, target: str, recorded: str, ours: str) -> None:
        self.target = target
        super().__init__(
            f"target {target!r} of this journal is the ledger {recorded!r}, but the settings say {ours!r}. Use another "
            "name for another ledger, or another namespace for another journal; if it is the same ledger at another "
            "address, rebind the target"
        )


class OtherLoop(RelayError):
    """An ``AsyncRelay`` is used in another event loop than the one of its connections. Nothing was done."""


class NotFound(RelayError):
    """No intent is known under this key or id."""


class TooLate(RelayError):
    """The intent has gone too far for what was asked, for example cancelling what is being sent."""


class Refused(RelayError):
    """An operator's request would lose or double a payment, so it was not carried out."""
