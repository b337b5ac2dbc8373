"""A refusal by Core, as every floor of the sandbox raises it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

#: What a typed error is called inside a text that quotes it; the codes of the answers are newer.
_QUOTED_CODES: Mapping[str, str] = {
    "GEN_NOT_FOUND": "NOT_FOUND",
    "GEN_INTERNAL": "INTERNAL_SERVER_ERROR",
    "GEN_CONFLICT": "CONFLICT",
    "GEN_BAD_REQUEST": "BAD_REQUEST",
}


class LedgerError(Exception):
    """A refusal by Core, with what the client is told.

    Attributes:
        code: The stable code, or None when Core only has a text and classifies it.
        message: The text.
        details: The raw driver error that several layers pass on (contract §2.0).
        legacy_key: ``error``, or ``errors`` on the routes that use the plural.
    """

    def __init__(
        self,
        message: str,
        code: str | None = None,
        details: Any = None,
        *,
        legacy_key: Literal["error", "errors"] = "error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details
        self.legacy_key = legacy_key
        self.context = ""

    @property
    def quoted(self) -> str:
        """The failure inside another text: a typed one is preceded by its code."""
        text = self.message if self.code is None else f"{_QUOTED_CODES.get(self.code, self.code)}: {self.message}"
        return self.context + text

    def within(self, context: str) -> LedgerError:
        """The same failure as a caller higher up words it; typed errors keep code and message."""
        if self.code is not None:
            return self
        return LedgerError(f"{context}: {self.message}", None, self.details)

    def quoted_within(self, context: str) -> LedgerError:
        """The same failure; a text that quotes it says first what was being done."""
        self.context = f"{context}: "
        return self

    def bare(self) -> LedgerError:
        """The same failure as a layer tells it that has nothing of the driver's to add to "not found"."""
        return self if self.details else LedgerError(self.message, self.code, legacy_key=self.legacy_key)


class MalformedRequestError(LedgerError):
    """The body is no JSON of the expected types (contract §2.0)."""

    def __init__(self, message: str, *, legacy_key: Literal["error", "errors"] = "error") -> None:
        super().__init__(message, "GEN_MALFORMED_REQUEST", legacy_key=legacy_key)
