"""The kind ``reconciliation.upload``: external records, such as a bank's statement (contract §2.12).

A file can be uploaded once: the ids of its records are unique over all uploads. So its first record is looked for
before anything is sent, and what is there afterwards is ours.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load

from blnk_relay.families.run import RECORD_S, UNTOLD, UNTOLD_END, refused_unseen, send_by_turn, stored_of, turns_of
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, refused
from blnk_relay.intents.evidence import Difference, Evidence, Known, Past, Sort, difference
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import look_again, missing, text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for
from blnk_relay.schema.base import Identifying, Text
from blnk_relay.schema.loading import load, refuse
from blnk_relay.schema.statement import MAX_TEXT, read_statement

NAME = "reconciliation.upload"

#: Bytes of a file that are read at all; the setting ``upload_max_bytes`` is what is accepted.
MAX_FILE_BYTES = 64 * 1024 * 1024

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(csv|json)")


class Content(fields.Field[bytes]):
    """The bytes of a file; text is taken as UTF-8."""

    takes, limits = "the file's contents, as text", f"at most {MAX_FILE_BYTES:,} bytes"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bytes:
        if isinstance(value, str):
            value = value.encode("utf-8", "replace")
        if not isinstance(value, bytes):
            raise ValidationError("Must be the contents of the file, as bytes or as text.")
        if len(value) > MAX_FILE_BYTES:
            raise ValidationError(f"Must not be larger than {MAX_FILE_BYTES:,} bytes; cut it into parts.")
        return value


class FileName(Text):
    """A file's name; the ledger goes by its ending."""

    takes, limits = "name that ends in `.csv` or `.json`", "at most 105 characters"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not _FILE_NAME.fullmatch(text):
            raise ValidationError("Must be of letters, digits, '.', '_' and '-', and end in .csv or .json.")
        return text


class UploadSchema(Schema):
    """Fields of contract §2.12; ``file`` holds the file's contents."""

    source = Identifying(required=True, most=MAX_TEXT)
    name = FileName(required=True)
    file = Content(required=True)

    @post_load
    def _readable(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        content = data["file"]
        try:
            statement = read_statement(data["name"], content)
        except ValueError as error:
            raise ValidationError(str(error), "file") from None
        # Only where it is another, so that all others have the payload that they always had.
        sought = {} if statement.sought_id == statement.first_id else {"sought_id": statement.sought_id}
        return {
            **data,
            **sought,
            "size": len(content),
            "digest": hashlib.sha256(content).hexdigest(),
            "first_id": statement.first_id,
            "records": statement.records,
        }


SCHEMA = UploadSchema()


def upload_records(source: str, file: str | os.PathLike[str] | bytes, *, name: str | None = None) -> Intent:
    r"""Upload external records for reconciliation (contract §2.12).

    The bytes are read now and kept beside the intent, so the file may be gone afterwards. The request is given as much
    time as its size needs on a line of 100 kB/s, and 2 ms for each record, besides the time of any request.

    Args:
        source: Whose records they are, such as the bank's name; at most 255 characters.
        file: A path, or the bytes themselves: CSV with the columns ID, Amount, Currency, Reference, Description and
            Date, all filled, or a JSON array of such objects; UTF-8, dates in RFC 3339, each id once. At most
            ``upload_max_bytes`` of the settings.
        name: The file's name, ending in ``.csv`` or ``.json``; that of the path when None.

    Returns:
        The validated intent. Its natural key is ``upload:<digest of the file>``: a file can be uploaded once.

    Raises:
        InvalidIntent: With the messages by field; they name records by number and quote nothing.
        OSError: The file cannot be read.

    Example:
        >>> text = b"ID,Amount,Currency,Reference,Description,Date\ns-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n"
        >>> upload_records("bank-x", text, name="statement.csv").payload["records"]
        1
    """
    if isinstance(file, bytes):
        content = file
    else:
        path = Path(file)
        name = path.name if name is None else name
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    if name is None:
        refuse(NAME, {"name": ["Is needed where bytes are given: its ending, .csv or .json, says how they are read."]})
    return intent(load(NAME, SCHEMA, {"source": source, "name": name, "file": content}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the loaded fields to the intent: its payload holds what identifies the file, not the file itself."""
    kept = {field: value for field, value in payload.items() if field != "file"}
    natural, orders = f"upload:{payload['digest']}", turns_of(*_ids(payload))
    return Intent(NAME, kept, natural_key=natural, orders=orders, file=payload["file"])


def _ids(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Ids of its first record, and of the one that it is looked for by."""
    first_id = payload["first_id"]
    return first_id, payload.get("sought_id", first_id)


def _sought(entry: Entry) -> Lookup:
    return Lookup("external-transactions", "id", _ids(entry.payload)[1])


def _upload_id(entry: Entry, found: Found) -> str:
    """Id of the upload that the record came with which it is looked for by; empty when it is not there."""
    return next((str(record.value("upload_id")) for record in found.matching(_sought(entry))), "")


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """One record; and once something was sent, how many there are of its upload."""
    if asked := missing(found, _sought(entry)):
        return asked
    upload_id = _upload_id(entry, found)
    return missing(found, Lookup("upload-sizes", "upload_id", upload_id)) if upload_id and progress.sent else ()


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it if its first record is not there; afterwards count."""
    upload_id = _upload_id(entry, found)
    if not progress.sent:
        if upload_id:
            which = "one of its records" if "sought_id" in entry.payload else "its first record"
            return refused("UPLOADED_BEFORE", f"The ledger has {which} from another upload.")
        if progress.refuse and not progress.untouched:
            return refused(progress.code, progress.message)
        return send_by_turn(*_ids(entry.payload), policy)
    stored = stored_of(upload_id, found)
    if stored == entry.payload["records"]:
        return Done("uploaded", upload_id)
    if progress.quiet_for_s < policy.quiet_s:
        return look_again(progress, policy)
    if upload_id:
        return Dead(
            DeadClass.PARTIAL, "UPLOADED_IN_PART", f"The ledger has {stored} of {entry.payload['records']} records."
        )
    if progress.refuse:
        return refused_unseen(entry.payload["first_id"], progress)
    return send_by_turn(*_ids(entry.payload), policy)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /reconciliation/upload``, multipart; the bytes are filled in when it is sent."""
    body = {"source": entry.payload["source"]}
    file, work_s = (entry.payload["name"], b""), RECORD_S * entry.payload["records"]
    return Request("POST", "/reconciliation/upload", "upload", body, sync=True, file=file, work_s=work_s, alone=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; a success that counts other records than ours is looked at."""
    rule, body = rule_for(request, response), response.body or {}
    upload_id = text_of(body, "upload_id")
    if (
        rule.meaning is Meaning.DONE
        and upload_id.startswith("upload_")
        and body.get("record_count") == entry.payload["records"]
        and body.get("source", entry.payload["source"]) == entry.payload["source"]
    ):
        return Verdict(Done("uploaded", upload_id), acted=True, accepted=True)
    return verdict_for(rule, progress, response, policy)


_STATEMENT = """ID,Amount,Currency,Reference,Description,Date
stmt-0001,1250.34,EUR,pay-417,Wallet top-up,2026-11-20T09:15:31Z
"""


def _audit_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    if not (past.done or past.perhaps):
        return ()
    if asked := missing(found, _sought(past.entry)):
        return asked
    upload_id = _upload_id(past.entry, found)
    return missing(found, Lookup("upload-sizes", "upload_id", upload_id)) if upload_id else ()


def _audit_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    upload_id, wanted = _upload_id(past.entry, found), past.entry.payload["records"]
    stored = stored_of(upload_id, found) if upload_id else 0
    if past.done:
        if not upload_id:
            return (difference(Sort.MISSING, past, past.transaction_id, "its first record is not there"),)
        if past.transaction_id not in ("", upload_id):
            text = f"id: confirmed {past.transaction_id}, its first record came with {upload_id}"
            return (difference(Sort.OTHER, past, past.transaction_id, text),)
        if stored != wanted:
            return (difference(Sort.OTHER, past, upload_id, f"records: asked {wanted}, has {stored}"),)
    elif past.perhaps and past.state != "discarded" and upload_id and stored == wanted:
        return (difference(Sort.HAPPENED, past, upload_id, f"an upload with all of its {stored} records"),)
    return ()


#: What an audit looks for.
EVIDENCE = Evidence(_audit_lookups, _audit_differences)

ABOUT = About(
    builder=upload_records,
    confirmed="The `200` counts as many records as the file has. After an ambiguous answer the ledger shows that many "
    "records of the upload that brought the first one: its ids are unique over all uploads (contract §2.12, §4).",
    ends=(
        End(
            DeadClass.PARTIAL,
            "UPLOADED_IN_PART",
            "The ledger has fewer records than the file: it keeps those before one that it could not store, and takes "
            "none of them again (contract §2.12).",
        ),
        UNTOLD_END,
    ),
    example=Example(
        {"source": "bank-x", "name": "statement.csv", "file": _STATEMENT}, call={"file": _STATEMENT.encode()}
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/reconciliation/upload",
    cloud_only="external transactions",
    summary="Upload external records, such as a bank's statement.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
    private=True,
    hopeless=UNTOLD,
    evidence=EVIDENCE,
)
