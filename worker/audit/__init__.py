"""Audits with a real ledger: opened by an operator's command, or by a worker that does it now and then by itself."""

from worker.audit.opening import Opened, opened

__all__ = ["Opened", "opened"]
