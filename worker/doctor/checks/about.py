"""What all checks have in common: how a finding is made, and where to read on."""

from __future__ import annotations

from blnk_relay.journal.troubles import Severity, Trouble
from worker.doctor.findings import Finding, Level

REDIS = "docs/production.md#redis"
BROKER = "docs/production.md#broker"
DOCTOR = "docs/production.md#doctor"
UPGRADES = "docs/production.md#upgrades"
TARGETS = "docs/production.md#several-ledgers"
GUARANTEES = "docs/guarantees.md"

ALLOW = "allow the user {what} (+{right} in its ACL), or look with a user who may"


def runbook(sort: str) -> str:
    """Where is told what to do about a sort of verdict."""
    return f"docs/operations.md#{sort}"


class About:
    """Makes the findings of one check of one thing."""

    def __init__(self, check: str, of: str, looked_at: str, link: str = "") -> None:
        self._common = {"check": check, "of": of, "looked_at": looked_at}
        self._link = link

    def ok(self, saw: str) -> Finding:
        """All is well."""
        return Finding(**self._common, level=Level.OK, saw=saw)

    def warning(self, saw: str, why: str, mend: str) -> Finding:
        """Somebody should look at it."""
        return Finding(**self._common, level=Level.WARNING, saw=saw, why=why, mend=mend, link=self._link)

    def failure(self, saw: str, why: str, mend: str) -> Finding:
        """It would break the promise."""
        return Finding(**self._common, level=Level.FAILURE, saw=saw, why=why, mend=mend, link=self._link)

    def of(self, trouble: Trouble) -> Finding:
        """What is wrong by a rule that others go by, too."""
        return (self.failure if trouble.severity == Severity.CRITICAL else self.warning)(
            trouble.saw, trouble.why, trouble.mend
        )

    def unknown(self, saw: str, mend: str, why: str = "nobody knows whether this is well") -> Finding:
        """It could not be looked at."""
        return Finding(**self._common, level=Level.UNKNOWN, saw=saw, why=why, mend=mend, link=self._link or DOCTOR)
