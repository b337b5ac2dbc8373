"""Uploads of external records (contract §2.12): every record id is good once, in whichever file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.reconciliation import ExternalRecord, Upload
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer
from blnk_relay.sandbox.http.form import Part, read_form
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.routes.external_files import read_records

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects
    from blnk_relay.sandbox.http.request import WireRequest


def upload(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /reconciliation/upload; records before a failing one stay stored."""
    if len(request.body) > core.options.max_upload_bytes:
        return error_answer("GEN_PAYLOAD_TOO_LARGE", "upload exceeds the maximum allowed size")
    form = read_form(request.headers.get("content-type", ""), request.body)
    source = form["source"].content.decode(errors="replace") if "source" in form else ""
    file = form.get("file")
    if file is None or file.file_name is None:
        return _upload_by_url(form, request)
    upload_id = new_id("upload")
    try:
        records = read_records(file, source, upload_id, core.clock.now_ns())
        count = store_records(core, upload_id, source, records)
    except LedgerError:
        return error_answer("RECON_UPLOAD_PROCESSING_FAILED", "Failed to process upload")
    return json_answer(200, {"upload_id": upload_id, "record_count": count, "source": source})


def _upload_by_url(form: Mapping[str, Part], request: WireRequest) -> Answer:
    """The instance's list of hosts is empty, so that every url is refused."""
    url = form["url"].content.decode(errors="replace") if "url" in form else ""
    if request.headers.get("content-type", "").lower().startswith("application/json"):
        try:
            url = request.fields().text("url")
        except MalformedRequestError:
            url = ""
    if not url:
        return error_answer("RECON_UPLOAD_FAILED", "File upload failed")
    if not url.lower().startswith(("http://", "https://")):
        return error_answer("RECON_UPLOAD_URL_INVALID", "upload URL must use http or https")
    return error_answer("RECON_UPLOAD_HOST_NOT_ALLOWED", "upload host not allowed")


def store_records(core: Core, upload_id: str, source: str, records: Iterable[ExternalRecord | LedgerError]) -> int:
    """Store records until one cannot be stored; lines that cannot be read fail the whole in the end.

    Returns:
        How many there were.

    Raises:
        LedgerError: Some were not stored; the others are.
    """
    books = core.books.reconciliation
    count, failure = 0, None
    try:
        for record in records:
            if isinstance(record, LedgerError):
                failure = record
                continue
            if count == 0:
                core.books.name(upload_id, record.id, source)
            books.store(record)
            count += 1
        if failure is not None:
            raise failure
    except LedgerError:
        books.add(books.uploads, upload_id, Upload(upload_id, source, count, complete=False))
        raise
    books.add(books.uploads, upload_id, Upload(upload_id, source, count, complete=True))
    return count
