"""The body of POST /transactions: reading and validating it (contract §2.3). Pure."""

from __future__ import annotations

from typing import Any

from blnk_relay.sandbox.books.rows import Txn
from blnk_relay.sandbox.clock import ZERO_TIME, parse_rfc3339
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.http.request import Fields
from blnk_relay.sandbox.money import MAX_SIGNIFICANT_DIGITS, significant_digits
from blnk_relay.sandbox.options import Options

_DATE_ADVICE = "please format the scheduled date as 'YYYY-MM-DDTHH:MM:SS+00:00' (e.g., 2024-04-22T15:28:03+00:00)"


def read_transaction(fields: Fields, options: Options) -> Txn:
    """A transaction from a request body.

    Args:
        fields: The JSON object.
        options: Whose release of Core says which checks are made.

    Raises:
        MalformedRequestError: A field has the wrong type.
        LedgerError: ``TXN_VALIDATION_ERROR`` under ``errors``, all broken rules in one text.
    """
    strict = options.since("0.15.3")
    try:
        if strict:
            fields.flag("dry_run")
        txn, dates = _decode(fields)
    except ValueError as error:
        raise MalformedRequestError(f"parsing time: {error}") from error
    problems = _problems(txn, dates, strict=strict)
    if options.since("0.15.4") and txn.sources and txn.destinations:
        problems.setdefault("source", "a transaction can split either sources or destinations, not both")
    if problems:
        text = "; ".join(f"{name}: {problems[name]}" for name in sorted(problems)) + "."
        raise LedgerError(text, "TXN_VALIDATION_ERROR", legacy_key="errors")
    txn.scheduled_ns = _moment(dates["scheduled_for"])
    txn.expiry_ns = _moment(dates["inflight_expiry_date"])
    txn.commit_ns = _moment(dates["inflight_commit_date"])
    return txn


def _decode(fields: Fields) -> tuple[Txn, dict[str, str]]:
    effective = fields.text("effective_date")
    if not effective and fields.has("effective_date"):
        raise ValueError("an empty text is no date")
    fields.text("balance_id")
    meta = fields.mapping("meta_data")
    txn = Txn(
        reference=fields.text("reference"),
        currency=fields.text("currency"),
        description=fields.text("description"),
        source=fields.text("source"),
        destination=fields.text("destination"),
        amount=fields.number("amount"),
        precise_amount=fields.minor_units("precise_amount"),
        precision=fields.number("precision"),
        overdraft_limit=fields.number("overdraft_limit"),
        allow_overdraft=fields.flag("allow_overdraft"),
        inflight=fields.flag("inflight"),
        skip_queue=fields.flag("skip_queue"),
        atomic=fields.flag("atomic"),
        sources=[_distribution(item) for item in fields.items("sources")],
        destinations=[_distribution(item) for item in fields.items("destinations")],
        effective_ns=parse_rfc3339(effective) if effective else None,
        meta=dict(meta or {}),
    )
    names = ("scheduled_for", "inflight_expiry_date", "inflight_commit_date")
    return txn, {name: fields.text(name) for name in names}


def _distribution(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise MalformedRequestError("json: cannot unmarshal a value into a distribution")
    fields = Fields(item)
    return {
        name: fields.text(name) for name in ("identifier", "distribution", "precise_distribution", "transaction_id")
    }


def _problems(txn: Txn, dates: dict[str, str], *, strict: bool) -> dict[str, str]:
    """The first broken rule of each field, by field name (contract §2.3, §6.1, §6.2)."""
    rules: tuple[tuple[str, str | None], ...] = (
        ("amount", _amount_problem(txn, strict=strict)),
        ("precision", _precision_problem(txn, strict=strict)),
        ("currency", None if txn.currency else "cannot be blank"),
        ("reference", None if txn.reference else "cannot be blank"),
        ("description", None if txn.description else "cannot be blank"),
        ("source", _side_problem("source", txn.source, txn.sources)),
        (
            "destination",
            _side_problem("destination", txn.destination, txn.destinations)
            or (_same_balance_problem(txn) if strict else None),
        ),
        *((name, _date_problem(text)) for name, text in dates.items()),
    )
    return {name: problem for name, problem in rules if problem is not None}


def _amount_problem(txn: Txn, *, strict: bool) -> str | None:
    if txn.amount != 0 and txn.precise_amount is not None:
        return "either amount or precise_amount should be provided, not both"
    if txn.amount == 0 and txn.precise_amount is None:
        return "either amount or precise_amount is required"
    if txn.amount != 0 and significant_digits(txn.amount) > MAX_SIGNIFICANT_DIGITS:
        return "amount has more than 15 significant digits which may cause rounding errors; use precise_amount instead"
    if strict and txn.amount < 0:
        return "amount cannot be negative"
    if strict and (txn.precise_amount or 0) < 0:
        return "precise_amount cannot be negative"
    return None


def _precision_problem(txn: Txn, *, strict: bool) -> str | None:
    if not txn.precision.is_integer():
        return "precision must be an integer value"
    if strict and txn.precision < 0:
        return "precision cannot be negative"
    return None


def _side_problem(name: str, single: str, several: list[Any]) -> str | None:
    if bool(single) == bool(several):
        return f"either {name} or {name}s is required, not both"
    return None


def _same_balance_problem(txn: Txn) -> str | None:
    sources = {txn.source} | {item["identifier"] for item in txn.sources}
    destinations = {txn.destination} | {item["identifier"] for item in txn.destinations}
    if (sources & destinations) - {""} and (txn.source or txn.destination):
        return "source and destination cannot be the same balance"
    return None


def _date_problem(text: str) -> str | None:
    try:
        _moment(text)
    except ValueError:
        return _DATE_ADVICE
    return None


def _moment(text: str) -> int | None:
    return parse_rfc3339(text) if text and text != ZERO_TIME else None
