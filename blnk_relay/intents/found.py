"""What the ledger showed when it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Lookup:
    """One value to look for: ``Lookup("transactions", "reference", "order_42_q")``."""

    resource: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the ledger's ``transactions`` table, as far as decisions need it (contract §1.7, §3.4).

    Its description and metadata may hold personal data: compare them, log them nowhere.
    """

    transaction_id: str
    reference: str
    status: str
    parent: str = ""
    precise_amount: int | None = None
    currency: str = ""
    source: str = ""
    destination: str = ""
    created_at: str = ""
    rejection: str = ""
    description: str = field(default="", repr=False)
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """A record of another resource of the ledger: a balance, a ledger, an identity, a rule, and so on.

    Attributes:
        resource: Such as ``balances``.
        data: Its fields as the ledger gave them. They may hold personal data: compare them, log them nowhere.
    """

    resource: str
    data: Mapping[str, Any] = field(repr=False)

    def value(self, field: str) -> Any:
        """The value of a field; dots lead into objects, as in ``meta_data.blnk_relay``. None when it is not there."""
        if "." not in field:
            return self.data.get(field)
        value: Any = self.data
        for name in field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


class Found:
    """What the ledger showed, indexed once for a whole batch of intents. Only :meth:`plus` makes a larger one."""

    __slots__ = ("_all_by_reference", "_by_id", "_by_parent", "_by_reference", "_by_value", "asked", "records", "rows")

    def __init__(
        self,
        rows: Iterable[Row] = (),
        records: Iterable[Record] = (),
        asked: Iterable[Lookup] = (),
    ) -> None:
        self.asked = frozenset(asked)
        self.records = tuple(records)
        self._by_id = {row.transaction_id: row for row in rows}
        self.rows = tuple(self._by_id.values())
        self._by_reference = {row.reference: row for row in self.rows}
        self._all_by_reference: dict[str, list[Row]] | None = None
        self._by_parent: dict[str, list[Row]] = {}
        for row in self.rows:
            self._by_parent.setdefault(row.parent, []).append(row)
        #: Records by the text that a field of theirs has, for each resource and field that was looked for.
        self._by_value: dict[tuple[str, str], dict[str, list[Record]]] = {}

    def plus(self, rows: Iterable[Row], records: Iterable[Record], asked: Iterable[Lookup]) -> Found:
        """This and more."""
        return Found((*self.rows, *rows), (*self.records, *records), self.asked | frozenset(asked))

    def reference(self, reference: str) -> Row | None:
        """The row under a reference; references are unique over all rows (contract §3.2)."""
        return self._by_reference.get(reference)

    def all_under(self, reference: str) -> tuple[Row, ...]:
        """All rows under a reference, for whoever does not take for granted that there is one."""
        if self._all_by_reference is None:
            self._all_by_reference = {}
            for row in self.rows:
                self._all_by_reference.setdefault(row.reference, []).append(row)
        return tuple(self._all_by_reference.get(reference, ()))

    def row(self, transaction_id: str) -> Row | None:
        """The row with an id."""
        return self._by_id.get(transaction_id)

    def children(self, transaction_id: str) -> tuple[Row, ...]:
        """Rows whose parent is the given one, oldest first."""
        return tuple(sorted(self._by_parent.get(transaction_id, ()), key=_instant))

    def matching(self, lookup: Lookup) -> tuple[Record, ...]:
        """Records that answer a look-up; what came with them is left out."""
        known = self._by_value.get((lookup.resource, lookup.field))
        if known is None:
            # Indexed at the first question: a batch asks as many as there are records.
            known = self._by_value[lookup.resource, lookup.field] = {}
            for record in self.records:
                value = record.value(lookup.field) if record.resource == lookup.resource else None
                if isinstance(value, str):
                    known.setdefault(value, []).append(record)
        return tuple(known.get(lookup.value, ()))

    def balance_ids(self, indicator: str, currency: str) -> frozenset[str]:
        """Ids of the balances that an ``@indicator`` stands for in a currency (contract §3.7)."""
        named = self.matching(Lookup("balances", "indicator", indicator))
        return frozenset(str(record.value("balance_id")) for record in named if record.value("currency") == currency)


def _instant(row: Row) -> str:
    """When a row was made, in an order that holds for fractions of any length ("….1Z" is before "….12Z")."""
    return row.created_at.removesuffix("Z")
