"""What an audit found, as values that can be kept, shown and sent on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from blnk_relay.intents.evidence import Difference, Past
from blnk_relay.intents.references import digest

#: Differences that a report holds in full; all are counted.
MOST_FINDINGS = 200

#: Reasons that are told apart in a report.
MOST_REASONS = 50

#: What a report counts by names, which JSON has as objects.
_COUNTED = ("compared", "found", "unread")

#: What is shown of a difference whose values are kept nowhere, until it is compared once more.
_DIFFERED = "it differed when it was compared, and could not be compared once more"


#: The id of a row, in what is shown.
_ROW = re.compile(r"txn_[\w-]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between the journal and the ledger, for operators alone; see :class:`Difference`.

    Attributes:
        target: The ledger.
        sort: ``missing``, ``other``, ``twice``, ``happened`` or ``strange``.
        kind: Of the intent; empty where the journal knows none.
        intent: Its id.
        key: Its key.
        state: How far the journal has it.
        reference: What the ledger knows it by.
        says: What the journal says.
        shows: What the ledger shows.
        advice: What to do.
        row: Id of the row, where it is a row that nobody asked for: no intent is compared once more for it.
    """

    target: str
    sort: str
    kind: str
    intent: str
    key: str
    state: str
    reference: str
    says: str
    shows: str
    advice: str
    row: str = ""

    @property
    def digest(self) -> str:
        """What tells it from others, for as long as it stays and no further row is shown.

        It is kept, so no amount goes into it, which could be found by trying.
        """
        rows = [self.row] if self.row else [self.reference, *sorted(set(_ROW.findall(self.shows)))]
        return digest(self.target, self.sort, self.intent, *rows)

    def without_values(self, why: str = "") -> Finding:
        """The same without a value of the intent.

        Args:
            why: Why it was not compared once more, where that is known.
        """
        shows = self.row or f"{_DIFFERED}{why and f': {why}'}"
        return replace(self, key="", reference="", says="", shows=shows)


def finding_of(target: str, past: Past | None, difference: Difference, row: str = "") -> Finding:
    """A difference with the intent that it is about; None where the journal knows none."""
    return Finding(
        target=target,
        sort=str(difference.sort),
        kind="" if past is None else past.entry.kind,
        intent="" if past is None else past.entry.id,
        key="" if past is None else past.entry.key,
        state="" if past is None else past.state,
        reference=difference.reference,
        says=difference.says,
        shows=difference.shows,
        advice=difference.advice,
        row=row,
    )


@dataclass(slots=True)
class Report:
    """How far an audit has come and what it has found.

    Attributes:
        target: The ledger.
        since_ms: What ended since then was compared, by the journal's time.
        until_ms: And before then.
        compared: Intents that were compared, by state.
        found: Differences, by sort.
        findings: The first of them.
        unread: What was not looked at, and how often: by resource and answer, or by reason.
        rows: Rows of the ledger that were looked through for references of ours.
        others: Those of them that are nobody's we know.
        reads: Requests to the ledger.
        trimmed: Intents of all times that were trimmed, where the audit came to a time when it was that old already.
        whole: Whether it came to its end.
        stopped: Why it did not.
    """

    target: str
    since_ms: int
    until_ms: int
    compared: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    others: int = 0
    reads: int = 0
    trimmed: int = 0
    whole: bool = False
    stopped: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing differs in what was looked at."""
        return not self.found

    @property
    def complete(self) -> bool:
        """Whether all that was to be compared was."""
        return self.whole and not self.unread and not self.trimmed

    def add(self, finding: Finding) -> None:
        """Take a difference in."""
        self.found[finding.sort] += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)

    def miss(self, why: str, intent: str) -> None:
        """Take in that nothing can be said of an intent."""
        self.unread[self.reason(why, intent)] += 1

    def reason(self, why: str, intent: str, besides: int = 0) -> str:
        """Why nothing can be said of an intent, with its id while there are few of them.

        Args:
            why: The same without it.
            intent: Its id.
            besides: Reasons that are not taken in yet.
        """
        return f"{why} (intent {intent})" if len(self.unread) + besides < MOST_REASONS else why

    def without_values(self) -> tuple[Report, tuple[Finding, ...]]:
        """The same without a value of any intent; and what was found of intents that are to be compared once more."""
        again = tuple(one.without_values() for one in self.findings if one.intent and not one.row)
        stay = [one.without_values() if one.intent else one for one in self.findings if one.row or not one.intent]
        found = self.found - Counter(one.sort for one in again)
        return replace(self, found=found, findings=stay), again

    def kept(self) -> dict[str, Any]:
        """As JSON."""
        counted = {name: dict(getattr(self, name)) for name in _COUNTED}
        rest = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _COUNTED}
        return {**rest, **counted, "findings": [asdict(one) for one in self.findings]}

    @classmethod
    def from_kept(cls, kept: Mapping[str, Any]) -> Report:
        """What :meth:`kept` made; the end of an audit that goes on is ahead again."""
        counted = {name: Counter(kept[name]) for name in _COUNTED}
        findings = [Finding(**one) for one in kept["findings"]]
        return cls(**{**kept, **counted, "findings": findings, "whole": False, "stopped": ""})
