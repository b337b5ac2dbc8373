"""Files of external records: CSV and JSON as the ledger reads them (contract §2.12). Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping

from blnk_relay.sandbox.books.reconciliation import ExternalRecord
from blnk_relay.sandbox.clock import ZERO_TIME, bad_time, parse_rfc3339
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.http.form import Part
from blnk_relay.sandbox.http.request import Fields

#: A field of a CSV file is never longer.
_MAX_FIELD = 131_072

_REQUIRED_COLUMNS = ("id", "amount", "date")
_FIELDS = ("id", "amount", "currency", "reference", "description", "date")

_SNIFFED_LINES = 5


def read_records(file: Part, source: str, upload_id: str, now_ns: int) -> Iterator[ExternalRecord | LedgerError]:
    """The records of a file, one by one; a line that cannot be read comes as its error.

    Raises:
        LedgerError: The file as a whole cannot be read.
    """
    text = file.content.decode(errors="replace")
    read_lines = _csv_lines if _kind(file.file_name or "", text) == "csv" else _json_lines
    for fields in read_lines(text):
        yield fields if isinstance(fields, LedgerError) else _record(fields, source, upload_id, now_ns)


def read_record(item: object, upload_id: str, now_ns: int) -> ExternalRecord:
    """A record of an instant run; nothing in it is required.

    Raises:
        MalformedRequestError: A field has the wrong type, or the date is none.
    """
    if not isinstance(item, dict):
        raise MalformedRequestError("json: cannot unmarshal a value into an external transaction")
    return _record(Fields(item), Fields(item).text("source"), upload_id, now_ns)


def _record(fields: Fields, source: str, upload_id: str, now_ns: int) -> ExternalRecord:
    date = fields.text("date")
    try:
        date_ns = None if date == ZERO_TIME or not fields.has("date") else parse_rfc3339(date)
    except ValueError as error:
        raise MalformedRequestError(bad_time(date)) from error
    return ExternalRecord(
        id=fields.text("id"),
        amount=fields.number("amount"),
        reference=fields.text("reference"),
        currency=fields.text("currency"),
        description=fields.text("description"),
        date_ns=date_ns,
        source=source,
        upload_id=upload_id,
        stored_ns=now_ns,
    )


def _kind(file_name: str, text: str) -> str:
    """The extension decides; without a known one the content does."""
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    if extension in {"csv", "json"}:
        return extension
    if extension:
        raise LedgerError(f"unsupported file type: .{extension}")
    lines = [line for line in text.split("\n")[:_SNIFFED_LINES] if line]
    commas = {line.count(",") for line in lines}
    return "csv" if len(lines) > 1 and len(commas) == 1 and commas != {0} else "json"


def _csv_lines(text: str) -> Iterator[Fields | LedgerError]:
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(text))
    try:
        header = next(reader)
    except (StopIteration, csv.Error) as error:
        raise LedgerError("error reading CSV headers") from error
    columns = {name.strip().lower(): position for position, name in enumerate(header)}
    for required in _REQUIRED_COLUMNS:
        if required not in columns:
            raise LedgerError(f"required column '{required}' not found in CSV")
    try:
        for line in reader:
            if line:
                yield _csv_fields(line, columns)
    except csv.Error as error:
        yield LedgerError(f"error reading row {reader.line_num}: {error}")


def _csv_fields(line: list[str], columns: Mapping[str, int]) -> Fields | LedgerError:
    if len(line) != len(columns):
        return LedgerError("incorrect number of fields in record")
    texts = {name: line[columns[name]] if name in columns else "" for name in _FIELDS}
    for name, text in texts.items():
        if not text:
            return LedgerError(f"required field '{name}' is empty")
    try:
        amount = float(texts["amount"])
    except ValueError:
        amount = 0.0
    try:
        parse_rfc3339(texts["date"])
    except ValueError:
        texts["date"] = ZERO_TIME
    return Fields({**texts, "amount": amount})


def _json_lines(text: str) -> Iterator[Fields | LedgerError]:
    try:
        items = json.loads(text)
    except ValueError as error:
        raise LedgerError(f"invalid JSON: {error}") from error
    if not isinstance(items, list):
        raise LedgerError("expected a JSON array of transactions")
    for item in items:
        yield Fields(item) if isinstance(item, dict) else LedgerError("a transaction must be an object")
