"""marshmallow fields and rules that the kinds share; each refuses only what would lose or misplace money."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from marshmallow import Schema, ValidationError, fields, missing, post_load

from blnk_relay.errors import InvalidIntent
from blnk_relay.intents.linking import LINKABLE, link_of, link_problem
from blnk_relay.intents.references import MAX_LENGTH, reference_problem
from blnk_relay.money import MAX_SAFE_INTEGER, exact_decimal
from blnk_relay.text import identity_problem, text_problem

_BALANCE = re.compile(r"bln_[0-9a-f-]{36}|@\S{1,254}")
_ROW_ID = re.compile(r"txn_[0-9a-f-]{36}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INDICATOR = re.compile(r"@\S{1,254}")
_BATCH_ID = re.compile(r"bulk_[0-9a-f-]{36}")


def _id_form(prefix: str) -> str:
    """The form of the ledger's ids, in words."""
    return f"{prefix} followed by a UUID in lower case"


#: UTF-8 bytes of description, reference and metadata together. A row of about 8,000 bytes is answered with 201 and
#: never recorded, and Core adds about 750 bytes of its own (contract §2.0).
MAX_ROW_BYTES = 6_000

_MAX_DEPTH = 20

#: JSON as PostgreSQL writes it.
_stored = json.JSONEncoder(ensure_ascii=False).encode

#: A larger precision does not fit the ledger's database: in queue mode it is answered with 201 and never recorded
#: (measured, findings part 8).
MAX_PRECISION = 10**18

#: Top-level keys that Core reads or writes; a caller who sets them can, for example, grant himself an overdraft
#: (contract §2.0).
RESERVED_META_KEYS = frozenset(
    {
        "inflight",
        "atomic",
        "allow_overdraft",
        "QUEUED_PARENT_TRANSACTION",
        "sequence",
        "queue_lane",
        "queue_pair_key",
        "blnk_rejection_reason",
        "recovery_attempts",
        "recovery_status",
        "recovery_last_attempt",
        "BLNK_GENERATED_BY",
        "BLNK_LINEAGE_PROVIDER",
        "BLNK_RUN_RECONCILIATION",
        "BLNK_RECONCILIATION_RESULT",
        "reconciled",
        "reconciliation_id",
        "reconciled_at",
        "external_txn_id",
        "reconciliation_amount",
    }
)


T = TypeVar("T")


class Plain(fields.Field[T]):
    """A field without defaults, hooks or nulls, which is all that the kinds need, at half of a field's cost.

    Attributes:
        takes: What may be given, for people.
        limits: Within which bounds, for people; empty for none.
    """

    takes: str
    limits: str = ""

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """The validated value; marshmallow's word for "missing" where there is none."""
        if value is missing:
            if self.required:
                raise self.make_error("required")
            return missing
        if value is None:
            raise self.make_error("null")
        output = self._deserialize(value, attr, data)
        if self.validators:
            self._validate(output)
        return output


class Text(Plain[str]):
    """A string that the ledger's database can store, and that is not blank.

    Attributes:
        problem: What may be wrong with it as a whole.
    """

    takes = "text"
    problem: Callable[[str], str | None] = staticmethod(text_problem)

    def __init__(self, *, most: int = MAX_ROW_BYTES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._most = most
        if self.takes.startswith("text"):
            self.limits = f"at most {most:,} characters"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("Must be a string.")
        if not value.strip():
            raise ValidationError("Must not be blank.")
        if len(value) > self._most:
            raise ValidationError(f"Must not be longer than {self._most:,} characters.")
        if problem := self.problem(value):
            raise ValidationError(problem)
        return value


class Identifying(Text):
    """A text that identifies something, so that none may look like another and differ (:mod:`blnk_relay.text`)."""

    problem = staticmethod(identity_problem)


class Reference(Identifying):
    """A ledger reference that no derived reference can collide with (contract §3.4)."""

    takes = "text that does not begin with `txn_`, nor end in `_q` or `_refund`"
    problem = staticmethod(reference_problem)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=MAX_LENGTH, **kwargs)


class Linkable(Identifying):
    """A text in whose place a link to another intent's result may stand (:mod:`blnk_relay.intents.linking`)."""

    #: Which result may stand here, or which of several.
    result: str | tuple[str, ...] = ""

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """A link as it is, or the validated text."""
        link = None if isinstance(value, str) else link_of(value)
        if link is None:
            if isinstance(value, Mapping):
                raise ValidationError("Must be a text, or a link to another intent's result as result_of() makes it.")
            return super().deserialize(value, attr, data, **kwargs)
        if problem := link_problem(link):
            raise ValidationError(problem)
        results = (self.result,) if isinstance(self.result, str) else self.result
        if link["field"] not in results:
            raise ValidationError(f"Must be a link to a {' or a '.join(results)}.")
        return link


class RowName(Linkable):
    """A transaction of the ledger: the id of its row, or its reference."""

    result, takes = "transaction_id", "`txn_…`, or a reference"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=MAX_LENGTH, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if _BATCH_ID.fullmatch(text):
            raise ValidationError("Must name one transaction; the id of a batch would act on every row of the batch.")
        if text.startswith("txn_"):
            if not _ROW_ID.fullmatch(text):
                raise ValidationError(f"Must be {_id_form('txn_')}, or a reference.")
        elif problem := reference_problem(text):
            raise ValidationError(problem)
        return text


class Balance(Linkable):
    """``bln_`` and a UUID, or ``@indicator`` (contract §7)."""

    result, takes = "balance_id", "`bln_…` or `@name`"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not _BALANCE.fullmatch(text):
            raise ValidationError(f"Must be {_id_form('bln_')}, or @name without white space.")
        return text


class ResourceId(Linkable):
    """The id of a record of the ledger (contract §7)."""

    prefix = ""
    #: A literal that stands for a built-in record.
    literal = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.takes = f"`{cls.prefix}…`" + (f" or `{cls.literal}`" if cls.literal else "")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if text != self.literal and not (text.startswith(self.prefix) and _UUID.fullmatch(text[len(self.prefix) :])):
            literal = f", or {self.literal}" if self.literal else ""
            raise ValidationError(f"Must be {_id_form(self.prefix)}{literal}.")
        return text


class LedgerId(ResourceId):
    """``ldg_…``, or the built-in ledger."""

    result, prefix, literal = "ledger_id", "ldg_", "general_ledger_id"


class BalanceId(ResourceId):
    """``bln_…``."""

    result, prefix = "balance_id", "bln_"


class IdentityId(ResourceId):
    """``idt_…``."""

    result, prefix = "identity_id", "idt_"


class UploadId(ResourceId):
    """``upload_…``."""

    result, prefix = "upload_id", "upload_"


class RuleId(ResourceId):
    """``rule_…``."""

    result, prefix = "rule_id", "rule_"


class EntityId(Linkable):
    """The id of anything that carries metadata: a ledger, balance, identity, transaction or batch (contract §2.10)."""

    result = ("ledger_id", "balance_id", "identity_id", "transaction_id", "batch_id")
    takes = "`ldg_…`, `bln_…`, `idt_…`, `txn_…` or `bulk_…`"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        prefix, _, uuid = text.partition("_")
        if f"{prefix}_" not in {LINKABLE[result] for result in self.result} or not _UUID.fullmatch(uuid):
            raise ValidationError(f"Must be {_id_form('ldg_, bln_, idt_, txn_ or bulk_')}.")
        return text


class Indicator(Identifying):
    """``@name`` without white space (contract §3.7)."""

    takes = "`@name`"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not _INDICATOR.fullmatch(text):
            raise ValidationError("Must be @name without white space.")
        return text


class Currency(Identifying):
    """A currency; one space more would make another ``@indicator`` balance, and move the money there."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=32, **kwargs)


class Amount(Plain[Decimal]):
    """A positive amount, exact."""

    takes, limits = "decimal text or a whole number, in units; never a float", "above 0"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        try:
            number = exact_decimal(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if number <= 0:
            raise ValidationError(
                "Must be above 0: the ledger never records a zero amount, and money the other way is a transaction "
                "with source and destination exchanged."
                if number < 0
                else "Must be above 0; the ledger never records a zero amount."
            )
        return number


class WholeNumber(Plain[int]):
    """A positive integer, as an int or as its digits; never a float or a bool."""

    takes, limits = "whole number, in minor units, or its digits", "above 0"
    #: What it counts, for people.
    counts = "minor units, such as 1050 for 10.50 EUR"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        try:
            number = exact_decimal(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if number <= 0 or number != number.to_integral_value():
            raise ValidationError(f"Must be a whole number above 0: {self.counts}.")
        return int(number)


class Precision(WholeNumber):
    """Minor units in one unit."""

    takes, limits = "whole number, or its digits", "above 0, at most 10^18"
    counts = "how many minor units make one unit, such as 100 for EUR"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        number: int = super()._deserialize(value, attr, data, **kwargs)
        if number > MAX_PRECISION:
            raise ValidationError("Must not be above 10^18, which the ledger could not store.")
        return number


class Flag(Plain[bool]):
    """Exactly true or false."""

    takes = "true or false"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false, not a text or a number.")
        return value


class Moment(Plain[str]):
    """A point in time with an offset; kept as RFC 3339 in UTC, which is all that the ledger reads (contract §2.3)."""

    takes = "RFC 3339 time with an offset"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        moment = value
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise ValidationError("Must be an RFC 3339 time such as 2026-11-20T09:15:31Z.") from None
        if not isinstance(moment, datetime):
            raise ValidationError("Must be a datetime or an RFC 3339 string.")
        if moment.utcoffset() is None:
            raise ValidationError("Must have an offset from UTC, such as Z or +01:00.")
        try:
            return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except OverflowError:
            raise ValidationError("Must lie in the years 1 to 9999 of UTC.") from None


class MetaData(Plain[dict[str, Any]]):
    """A JSON object without the keys that the ledger reserves (contract §2.0)."""

    takes = "JSON object"

    reserved: frozenset[str] = RESERVED_META_KEYS

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValidationError("Must be a JSON object.")
        for key in value:
            if key in self.reserved or (isinstance(key, str) and key[:1] == "_"):
                raise ValidationError(f"The key {key!r} is reserved by the ledger.")
        copy: dict[str, Any] = _json_copy(value, 0)
        return copy


class IdentityMetaData(MetaData):
    """The same for identities, whose tokenized fields the ledger keeps note of in their metadata (contract §2.0)."""

    reserved = RESERVED_META_KEYS | {"tokenized_fields"}


def _json_copy(value: Any, depth: int) -> Any:
    """A JSON value of dicts and lists of our own, so that nobody can change an intent after it was validated."""
    if isinstance(value, str):
        if problem := text_problem(value):
            raise ValidationError(problem)
        return value
    if depth > _MAX_DEPTH:
        raise ValidationError(f"Must not be nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, Mapping):
        copy = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValidationError("All keys must be strings.")
            copy[_json_copy(key, 0)] = _json_copy(item, depth + 1)
        return copy
    if isinstance(value, (list, tuple)):
        return [_json_copy(item, depth + 1) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValidationError("All numbers must be finite.")
    elif isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        raise ValidationError("Whole numbers beyond 2^53 must be strings; the ledger rounds them when it stores them.")
    elif value is not None and not isinstance(value, (int, bool)):
        raise ValidationError(
            f"Must hold only what JSON has, not a value of type {type(value).__name__}; write it as a string."
        )
    return value


def stored_bytes(*texts: str, meta_data: Mapping[str, Any] | None = None) -> int:
    """Bytes that texts and metadata take in a row.

    PostgreSQL tells of each new row as JSON: a quote or a newline takes two bytes, and each colon and comma has a
    space behind it (contract §2.0; measured, findings part 9).
    """
    # A list has four characters for each text that are not the text's own, and two for what comes behind them.
    size = len(_stored([*texts, meta_data or {}]).encode()) - 4 * len(texts) - 2
    return size if meta_data else size - 2


class DirectSchema(Schema):
    """A schema that reads what is valid field by field, and leaves whatever is not to marshmallow.

    marshmallow prepares for errors at every field, absent ones included, which is half of what enqueueing costs a
    process. For schemas whose only hook is :meth:`canonical`, and whose fields have no other names in data.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._needed = frozenset(name for name, field in self.load_fields.items() if field.required)

    def canonical(self, data: dict[str, Any]) -> dict[str, Any]:
        """The payload out of valid fields.

        Raises:
            ValidationError: They contradict each other.
        """
        raise NotImplementedError

    @post_load
    def _finish(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return self.canonical(data)

    def load(self, data: Any, **kwargs: Any) -> Any:
        """As marshmallow's own, with the same messages."""
        if not kwargs and type(data) is dict and self._needed <= data.keys():
            known = self.load_fields
            try:
                loaded = {name: known[name].deserialize(value, name, data) for name, value in data.items()}
            except (KeyError, ValidationError):
                # An unknown field, or a value that is wrong: all that is wrong is to be told at once.
                return super().load(data)
            return self.canonical(loaded)
        return super().load(data, **kwargs)


def load(kind: str, schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Validate fields against a schema.

    Raises:
        InvalidIntent: With every message, by field.
    """
    try:
        payload: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        messages = error.messages
        refuse(kind, messages if isinstance(messages, dict) else {"_schema": messages})
    return payload


def refuse(kind: str, messages: Mapping[str, Any]) -> NoReturn:
    """Raise InvalidIntent from marshmallow's messages, nested ones joined by dots."""
    flat: dict[str, list[str]] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                walk(f"{path}.{name}" if path else str(name), inner)
        else:
            flat.setdefault(path or "_schema", []).extend(str(message) for message in value)

    walk("", messages)
    raise InvalidIntent(kind, flat)
