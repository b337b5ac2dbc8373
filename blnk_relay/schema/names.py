"""Fields that name something: references, balances, ids, and links in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from blnk_relay.intents.links import LINKABLE, link_of, link_problem
from blnk_relay.intents.references import MAX_LENGTH, reference_problem
from blnk_relay.schema.base import Identifying

_ROW_ID = re.compile(r"txn_[0-9a-f-]{36}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INDICATOR = re.compile(r"@\S{1,254}")
_BALANCE = re.compile(r"bln_[0-9a-f-]{36}|" + _INDICATOR.pattern)
_BATCH_ID = re.compile(r"bulk_[0-9a-f-]{36}")


def _id_form(prefix: str) -> str:
    """The form of the ledger's ids, in words."""
    return f"{prefix} followed by a UUID in lower case"


class Reference(Identifying):
    """A ledger reference that no derived reference can collide with (contract §3.4)."""

    takes = "text that does not begin with `txn_`, nor end in `_q` or `_refund`"
    problem = staticmethod(reference_problem)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=MAX_LENGTH, **kwargs)


class Linkable(Identifying):
    """A text in whose place a link to another intent's result may stand (:mod:`blnk_relay.intents.links`)."""

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
