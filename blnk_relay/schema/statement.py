"""Files of external records, such as a bank's statement, as the ledger reads them (contract §2.12). Pure.

The ledger takes a malformed amount for 0 and a malformed date for none, without a word, and keeps the records before
one that it cannot store; so every line is read here first. No message quotes a line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blnk_relay.intents.references import data_api_problem
from blnk_relay.text import identity_problem, text_problem, unseen_problem

#: The columns of a CSV file, in any case and order; the ledger wants all of them filled.
COLUMNS = ("id", "amount", "currency", "reference", "description", "date")

#: Longest id, reference or source, in characters.
MAX_TEXT = 255

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")

#: What may be wrong with texts that identify, or that matching rules compare; others are as the ledger takes them. A
#: bank may pad what it compares with spaces, and the ledger takes those.
_RULES = {"id": identity_problem, "reference": unseen_problem, "currency": unseen_problem, "source": unseen_problem}


@dataclass(frozen=True, slots=True)
class Statement:
    """What has to be known of a file to look for it at the ledger.

    Attributes:
        first_id: Id of its first record; the ledger keeps each id once, over all uploads.
        records: How many there are.
        sought_id: Id of the one that it is looked for by.
    """

    first_id: str
    records: int
    sought_id: str


def read_statement(name: str, content: bytes) -> Statement:
    r"""Check a file, and say what to look for.

    Args:
        name: Its name; the ending ``.csv`` or ``.json`` decides how it is read.
        content: Its bytes, in UTF-8.

    Raises:
        ValueError: What is wrong and in which record; it quotes nothing.

    Example:
        >>> text = "ID,Amount,Currency,Reference,Description,Date\ns-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n"
        >>> read_statement("statement.csv", text.encode())
        Statement(first_id='s-1', records=1, sought_id='s-1')
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("Must be UTF-8; save it in that encoding.") from None
    if text.startswith("\ufeff"):
        raise ValueError(
            "Begins with a byte order mark (U+FEFF), which the ledger reads as a part of its first word: "
            "save it as UTF-8 "
            "without one."
        )
    seen: dict[str, None] = {}
    for number, record in enumerate(_csv_records(text) if name.endswith(".csv") else _json_records(text), start=1):
        if problem := record_problem(record):
            raise ValueError(f"Record {number}: {problem}")
        if record["id"] in seen:
            raise ValueError(f"Record {number}: its id is that of an earlier record; each id is stored once.")
        seen[record["id"]] = None
    if not seen:
        raise ValueError("Must hold at least one record.")
    return Statement(next(iter(seen)), len(seen), sought_of(seen))


def sought_of(ids: Iterable[str]) -> str:
    """The first of some ids that the ledger reads back as itself; the first of all where there is none.

    It is asked in a query string, which it reads ``0042`` or ``1e5`` from as a number (contract §1.7).

    Example:
        >>> sought_of(["0042", "s-1", "s-2"]), sought_of(["0042", "1e5"])
        ('s-1', '0042')
    """
    every = list(ids)
    return next((id_ for id_ in every if data_api_problem(id_) is None), every[0])


def record_problem(record: Mapping[str, Any]) -> str | None:
    """Why the ledger would not store an external record as it is meant, or None.

    Example:
        >>> record_problem({"id": "s-1", "amount": 1, "date": "20.11.2026"})
        'date must be an RFC 3339 time such as 2026-11-20T09:15:31Z.'
    """
    texts = {name: record.get(name, "") for name in ("id", "reference", "source", "currency", "description", "date")}
    for name, value in texts.items():
        if not isinstance(value, str):
            return f"{name} must be a string."
        if problem := _RULES.get(name, text_problem)(value):
            return f"{name}: {problem}"
        if name in ("id", "reference", "source") and len(value) > MAX_TEXT:
            return f"{name} must not be longer than {MAX_TEXT} characters."
    if not is_time(texts["date"]):
        return "date must be an RFC 3339 time such as 2026-11-20T09:15:31Z."
    amount = record.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int | float | str) or not _AMOUNT.fullmatch(str(amount)):
        return "amount must be a number of digits and a decimal point, without thousands separators or a currency."
    return None


def is_time(text: str) -> bool:
    """Whether a text is an RFC 3339 time."""
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _csv_records(text: str) -> Iterator[dict[str, Any]]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        if missing := [name for name in COLUMNS if name not in header]:
            raise ValueError(f"The columns {', '.join(missing)} are missing in its first line.")
        if len(set(header)) != len(header):
            raise ValueError("A column stands twice in its first line.")
        for line in lines:
            if not line:
                continue
            if len(line) != len(header):
                raise ValueError(
                    f"Line {lines.line_num}: has {len(line)} fields, but the first line has {len(header)}."
                )
            record = dict(zip(header, line, strict=True))
            if empty := [name for name in COLUMNS if not record[name]]:
                raise ValueError(f"Line {lines.line_num}: {', '.join(empty)} must not be empty.")
            yield {name: record[name] for name in COLUMNS}
    except csv.Error:
        raise ValueError(f"Line {lines.line_num}: is not valid CSV.") from None


def _json_records(text: str) -> Iterator[dict[str, Any]]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("Is not valid JSON.") from None
    if not isinstance(items, list):
        raise ValueError("Must be a JSON array.")
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            raise ValueError(f"Record {number}: must be an object.")
        # An amount as text is fine in CSV; in JSON the ledger wants a number.
        if isinstance(item.get("amount"), str):
            raise ValueError(
                f"Record {number}: amount must be a number without quotes: the ledger does not read text there."
            )
        yield item
