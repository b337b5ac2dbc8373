"""The audit: the journal's word against the ledger, by reading both and changing neither.

What reads a ledger comes with workers: ``worker.audit.opened`` puts the two together.

Example:
    ::

        with opened(settings, relay.journal(), Telemetry(settings), rate=5, patience_s=60, pause=Event().wait) as made:
            report = made.audit.run(made.audit.begin(datetime.now(UTC) - timedelta(days=1)))
        for finding in report.findings:
            print(finding.kind, finding.key, finding.says, finding.shows, finding.advice)
"""

from blnk_relay.audit.audit import Audit, Place, nothing_to_compare
from blnk_relay.audit.reading import Stopped
from blnk_relay.audit.report import Finding, Report

__all__ = ["Audit", "Finding", "Place", "Report", "Stopped", "nothing_to_compare"]
