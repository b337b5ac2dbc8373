"""The audit: the journal's word against the ledger, read and never written.

Example:
    ::

        from blnk_relay.audit import Audit

    A worker's machine has what reads a ledger; ``worker.audit.opened`` puts both together.
"""

from blnk_relay.audit.audit import Audit, Place, Stopped
from blnk_relay.audit.report import Finding, Report

__all__ = ["Audit", "Finding", "Place", "Report", "Stopped"]
