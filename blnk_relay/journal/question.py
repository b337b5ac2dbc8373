"""What is looked for over history and journals alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from blnk_relay.errors import Refused
from blnk_relay.money import exact_decimal

#: States that are told apart here; what is open is in one of several.
STATES = ("open", "done", "dead", "discarded", "cancelled")

#: What lists take for the code of letters that have none; here an empty code asks for nothing.
NO_CODE = "-"

#: Fields that are numbers, and those that Redis and the database are asked for as they are.
_AMOUNTS = ("amount", "precise_amount")
_TEXTS = (
    "text", "key", "reference", "ledger_id", "currency", "source", "destination", "kind", "state", "outcome",
    "dead_class", "code",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is looked for; all that is given has to hold.

    Attributes:
        text: A key, an id, or a reference: whichever it is.
        key: Key or id of an intent.
        reference: A reference, of any generation; also of what an intent acts on.
        ledger_id: An id of the ledger.
        amount: In units of the currency.
        precise_amount: In minor units.
        meta: Names and values of ``meta_data``, nested names with dots.
        since: Only what ended, or changed last, at or after this time.
        until: Only before this time.
        state: ``open``, ``done``, ``dead``, ``discarded`` or ``cancelled``.
        dead_class: Only dead letters of this class, open or discarded.
        target: Only of this ledger.
    """

    text: str = ""
    key: str = ""
    reference: str = ""
    ledger_id: str = ""
    amount: Decimal | None = None
    precise_amount: int | None = None
    currency: str = ""
    source: str = ""
    destination: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""
    state: str = ""
    outcome: str = ""
    dead_class: str = ""
    code: str = ""
    target: str | None = None

    def each(self) -> tuple[Question, ...]:
        """What has to be looked for, one after the other; a text may be two things."""
        if not self.text:
            return (self,)
        return replace(self, text="", key=self.text), replace(self, text="", reference=self.text, ledger_id=self.text)

    def check(self) -> None:
        """Refuse what asks for nothing, and what nobody can be asked.

        Raises:
            Refused: Nothing is given but a target, an amount is none or longer than any, a text is none, a time has no
                zone, a state is none of those that are told apart here, or a code is said to be none.
        """
        if replace(self, target=None) == Question():
            raise Refused("nothing is asked for: name a key, a reference, an id, an amount, an end, a time or another")
        if self.state and self.state not in STATES:
            raise Refused(f"state: there is no {self.state!r} to look for, but {', '.join(STATES)}")
        if self.code == NO_CODE:
            raise Refused(f"code: {NO_CODE!r} is none; the list of dead letters has those without a code under it")
        for name in ("since", "until"):
            if (at := getattr(self, name)) is not None and at.tzinfo is None:
                raise Refused(f"{name}: nobody knows where it is {at:%H:%M}: give a time with its zone, as in UTC")
        for name in _AMOUNTS:
            if (amount := getattr(self, name)) is not None:
                try:
                    exact_decimal(amount)
                except ValueError as error:
                    raise Refused(f"{name}: {error}") from None
        for name in _TEXTS:
            try:
                getattr(self, name).encode()
            except UnicodeEncodeError:
                raise Refused(f"{name}: a character of it is incomplete") from None


class Asking(TypedDict, total=False):
    """The same, as keyword arguments."""

    text: str
    key: str
    reference: str
    ledger_id: str
    amount: Decimal | None
    precise_amount: int | None
    currency: str
    source: str
    destination: str
    meta: Mapping[str, str]
    since: datetime | None
    until: datetime | None
    kind: str
    state: str
    outcome: str
    dead_class: str
    code: str
    target: str | None
