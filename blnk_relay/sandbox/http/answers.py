"""What is answered: statuses and bodies exactly as contract §2.0 describes them.

Knows HTTP statuses and JSON, nothing of sockets and nothing of the books.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from blnk_relay.sandbox.errors import LedgerError

#: HTTP status of every error code the sandbox can answer with (contract §2, §5).
STATUS_OF: Mapping[str, int] = {
    "GEN_MALFORMED_REQUEST": 400,
    "GEN_VALIDATION_ERROR": 400,
    "GEN_BAD_REQUEST": 400,
    "GEN_NOT_FOUND": 404,
    "GEN_CONFLICT": 409,
    "GEN_PAYLOAD_TOO_LARGE": 413,
    "AUTH_MISSING_API_KEY": 401,
    "AUTH_INVALID_API_KEY": 401,
    "AUTH_INSUFFICIENT_PERMISSIONS": 403,
    "AUTH_UNKNOWN_RESOURCE": 403,
    "GEN_RESOURCE_LOCKED": 423,
    "GEN_RATE_LIMITED": 429,
    "GEN_INTERNAL": 500,
    "TXN_VALIDATION_ERROR": 400,
    "TXN_INSUFFICIENT_FUNDS": 400,
    "TXN_INVALID_AMOUNT": 400,
    "TXN_INVALID_STATUS_ACTION": 400,
    "TXN_NOT_INFLIGHT": 400,
    "TXN_COMMIT_AMOUNT_EXCEEDED": 400,
    "TXN_NOT_FOUND": 404,
    "TXN_DUPLICATE_REFERENCE": 409,
    "TXN_ALREADY_COMMITTED": 409,
    "TXN_ALREADY_VOIDED": 409,
    "TXN_ALREADY_REFUNDED": 409,
    "TXN_BULK_EMPTY": 400,
    "TXN_BULK_LIMIT_EXCEEDED": 400,
    "BAL_NOT_FOUND": 404,
    "BAL_MONITOR_NOT_FOUND": 404,
    "BAL_INVALID_TIMESTAMP": 400,
    "HOOK_NOT_FOUND": 404,
    "HOOK_OPERATION_FAILED": 500,
    "LGR_NOT_FOUND": 404,
    "IDT_NOT_FOUND": 404,
    "IDT_VALIDATION_ERROR": 400,
    "IDT_FIELD_NOT_TOKENIZABLE": 400,
    "IDT_FIELD_ALREADY_TOKENIZED": 409,
    "IDT_FIELD_NOT_TOKENIZED": 400,
    "IDT_TOKENIZATION_DISABLED": 403,
    "RECON_NOT_FOUND": 404,
    "RECON_RULE_NOT_FOUND": 404,
    "RECON_RULE_INVALID": 400,
    "RECON_UPLOAD_FAILED": 400,
    "RECON_UPLOAD_URL_INVALID": 400,
    "RECON_UPLOAD_HOST_NOT_ALLOWED": 400,
    "RECON_UPLOAD_PROCESSING_FAILED": 500,
    "RECON_MATCHING_RULES_REQUIRED": 400,
    "RECON_EXTERNAL_TXNS_REQUIRED": 400,
    "RECON_START_FAILED": 500,
    "META_INVALID_ENTITY_ID": 400,
    "META_ENTITY_NOT_FOUND": 404,
    "QUEUE_BACKPRESSURE": 503,
}

#: Core picks the code of an untyped failure from its text; first match wins, so the order matters.
_CODE_BY_TEXT: tuple[tuple[tuple[str, ...], str], ...] = (
    (("transaction", "not found"), "TXN_NOT_FOUND"),
    (("not in inflight status",), "TXN_NOT_INFLIGHT"),
    (("Transaction already committed",), "TXN_ALREADY_COMMITTED"),
    (("has already been voided",), "TXN_ALREADY_VOIDED"),
    (("has already been refunded",), "GEN_CONFLICT"),
    (("has already been used",), "TXN_DUPLICATE_REFERENCE"),
    (("cannot commit more than",), "TXN_COMMIT_AMOUNT_EXCEEDED"),
    (("insufficient funds",), "TXN_INSUFFICIENT_FUNDS"),
    (("transaction amount must be positive",), "TXN_INVALID_AMOUNT"),
    (("transaction validation failed",), "TXN_VALIDATION_ERROR"),
    (("is not tokenizable",), "IDT_FIELD_NOT_TOKENIZABLE"),
    (("is already tokenized",), "IDT_FIELD_ALREADY_TOKENIZED"),
    (("failed to acquire lock",), "GEN_RESOURCE_LOCKED"),
    (("not found",), "GEN_NOT_FOUND"),
)

_JSON = {"Content-Type": "application/json; charset=utf-8"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)

    def document(self) -> Any:
        """The body parsed as JSON."""
        return json.loads(self.body)


def lock_held() -> LedgerError:
    """Somebody else has a balance; told by text alone, as Core does (contract §2.3)."""
    return LedgerError("failed to acquire lock: lock is held")


def dump(document: Any) -> bytes:
    """JSON bytes, compact, integers of any size exact."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(status: int, document: Any) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, dump(document))


def text_answer(status: int, text: str) -> Answer:
    """An answer with a plain text body, as for an unknown path (contract §2.0)."""
    return Answer(status, text.encode(), _TEXT)


def html_answer(status: int, title: str) -> Answer:
    """An answer as a gateway gives it: a page, not JSON (contract §1.2)."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Answer(status, body.encode(), {"Content-Type": "text/html"})


def error_answer(
    code: str,
    message: str,
    details: Any = None,
    *,
    legacy_key: Literal["error", "errors"] = "error",
) -> Answer:
    """An error body: the legacy text field beside ``error_detail`` (contract §2.0)."""
    detail: dict[str, Any] = {"code": code, "message": message}
    if details is not None:
        detail["details"] = details
    return json_answer(STATUS_OF[code], {legacy_key: message, "error_detail": detail})


def refusal(error: LedgerError, *, default: str, upgrade: Mapping[str, str] | None = None) -> Answer:
    """The answer to a failure, coded as the route's handler would code it.

    Args:
        error: What went wrong.
        default: The route's code for a text that nobody recognises (contract §5: why a 400 does not
            mean that nothing happened).
        upgrade: Generic codes the route replaces by its own, e.g. ``GEN_NOT_FOUND`` by ``TXN_NOT_FOUND``.
    """
    code = error.code or code_by_text(error.message) or default
    code = (upgrade or {}).get(code, code)
    return error_answer(code, error.message, error.details, legacy_key=error.legacy_key)


def code_by_text(message: str) -> str | None:
    """The code Core reads out of an error's text, or None when it recognises nothing."""
    for needles, code in _CODE_BY_TEXT:
        if all(needle in message for needle in needles):
            return code
    return None


def unknown_path() -> Answer:
    """What Core says of a path it does not have (contract §2.0)."""
    return Answer(404, b"404 page not found", {"Content-Type": "text/plain"})
