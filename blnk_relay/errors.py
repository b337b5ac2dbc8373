"""The errors an application can meet. Each says what was wrong, where, and what to do.

None of them carries a payload, a name, a token or any other personal data, so all of them may be logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class RelayError(Exception):
    """Base of every error that blnk-relay raises on purpose."""


class InvalidSettings(RelayError):
    """A setting is missing, malformed, or contradicts another one. Raised at start, never later."""


class InvalidIntent(RelayError):
    """A write intent does not fit its schema. Nothing was recorded.

    Attributes:
        kind: The kind of the intent, such as ``transaction``.
        errors: Field name to the list of messages about it.
        index: Zero-based position within the batch, or None for a single intent.
    """

    def __init__(self, kind: str, errors: Mapping[str, Sequence[str]], index: int | None = None) -> None:
        self.kind = kind
        self.errors = {field: list(messages) for field, messages in errors.items()}
        self.index = index
        where = kind if index is None else f"{kind} at position {index}"
        what = "; ".join(f"{field}: {' '.join(messages)}" for field, messages in self.errors.items())
        super().__init__(f"{where} is not valid: {what}")

    def at(self, index: int) -> InvalidIntent:
        """The same error, told of a position within a batch."""
        return InvalidIntent(self.kind, self.errors, index)


class KeyConflict(RelayError):
    """The key, or the ledger reference, already belongs to another intent. Nothing was recorded.

    Attributes:
        key: The key that was to be enqueued.
        first_id: Id of the intent that holds it already.
        first_kind: Kind of that intent.
        first_state: State of that intent.
        first_created_ms: When it was accepted, in milliseconds since 1970 by the clock of Redis.
        index: Zero-based position within the batch, or None for a single intent.
    """

    index: int | None = None

    def __init__(self, key: str, first_id: str, first_kind: str, first_state: str, first_created_ms: int) -> None:
        self.key = key
        self.first_id = first_id
        self.first_kind = first_kind
        self.first_state = first_state
        self.first_created_ms = first_created_ms
        super().__init__(
            f"key {key!r} already belongs to intent {first_id} ({first_kind}, {first_state}), which is another "
            "write: use a new key for a new write, or send the same payload to get the first receipt again"
        )


class DuplicateInBatch(InvalidIntent):
    """The same key stands twice inside one batch. Nothing of the batch was recorded.

    Attributes:
        key: The key.
        positions: The two zero-based positions.
    """

    def __init__(self, kind: str, key: str, first: int, second: int) -> None:
        self.key = key
        self.positions = (first, second)
        super().__init__(kind, {"key": [f"{key!r} stands at position {first} and at position {second}."]}, second)


class JournalUnavailable(RelayError):
    """Redis did not answer within the socket timeout, or refused to write.

    The intent may or may not have been recorded. Enqueue again under the same key: that is always safe.
    """


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
            f"address, say so with: blnk-relay target rebind {target}"
        )


class NotFound(RelayError):
    """No intent is known under this key or id."""


class TooLate(RelayError):
    """The intent has gone too far for what was asked, for example cancelling what is being sent."""


class Refused(RelayError):
    """An operator's request would lose or double a payment, so it was not carried out."""
