"""A durable write queue for the Blnk ledger: it never loses a payment, never makes it twice, and can prove it.

Example:
    ::

        from blnk_relay import Relay, transaction

        relay = Relay.from_env()
        receipt = relay.enqueue(
            transaction(source="@bank", destination="@alice", currency="EUR", amount="10.50", description="Top-up"),
            key="order-42",
        )
"""

from importlib import import_module
from typing import TYPE_CHECKING

from blnk_relay._version import __version__
from blnk_relay.errors import (
    DoesNotVerify,
    DuplicateInBatch,
    EncryptionKeyMissing,
    HistoryUnavailable,
    InvalidIntent,
    InvalidSettings,
    JournalFull,
    JournalUnavailable,
    KeyConflict,
    NotDurable,
    NotFound,
    OtherLedger,
    OtherLoop,
    OtherShape,
    Refused,
    RelayError,
    TooLate,
    UnsuitableServer,
)

if TYPE_CHECKING:
    from blnk_relay.aio import AsyncRelay
    from blnk_relay.intake import Receipt, Write
    from blnk_relay.intents.dead_class import DeadClassName
    from blnk_relay.intents.intent import Intent
    from blnk_relay.intents.links import ResultOf, result_of
    from blnk_relay.intents.outcomes import OutcomeName, PartName
    from blnk_relay.intents.states import EventName, StateName
    from blnk_relay.journal.actions import Action, Together, Via
    from blnk_relay.journal.around import Around
    from blnk_relay.journal.causes import Cause, Causes
    from blnk_relay.journal.events import Event
    from blnk_relay.journal.finding import FindResult, Located, Looked
    from blnk_relay.journal.gathered import Gathered
    from blnk_relay.journal.glance import Glance
    from blnk_relay.journal.health import Health
    from blnk_relay.journal.jobs import Job, JobName, ManyPlan, Planned
    from blnk_relay.journal.lag import HistoryLag
    from blnk_relay.journal.listing import CutShort, ListBound
    from blnk_relay.journal.log import Log
    from blnk_relay.journal.operator import Operator
    from blnk_relay.journal.overview import GateView, LaneDepth, Overview, Pause
    from blnk_relay.journal.pages import ListPlace
    from blnk_relay.journal.parts import PartStatus
    from blnk_relay.journal.pauses import Change
    from blnk_relay.journal.question import Question
    from blnk_relay.journal.rates import Rate, Rates
    from blnk_relay.journal.resealing import KeyUse, Resealed
    from blnk_relay.journal.status import Attempt, AttemptName, Status
    from blnk_relay.journal.troubles import Severity
    from blnk_relay.journal.upgrade import Upgraded
    from blnk_relay.journal.verdicts import Verdict
    from blnk_relay.journal.workers import Sign, WorkerView
    from blnk_relay.kinds.balance_create import create_balance
    from blnk_relay.kinds.balance_link_identity import link_identity
    from blnk_relay.kinds.identity_create import create_identity
    from blnk_relay.kinds.identity_tokenize import tokenize_identity
    from blnk_relay.kinds.identity_update import update_identity
    from blnk_relay.kinds.inflight_bulk_commit import commit_holds
    from blnk_relay.kinds.inflight_bulk_void import void_holds
    from blnk_relay.kinds.inflight_commit import commit_hold
    from blnk_relay.kinds.inflight_void import void_hold
    from blnk_relay.kinds.ledger_create import create_ledger
    from blnk_relay.kinds.matching_rule_create import create_matching_rule
    from blnk_relay.kinds.matching_rule_delete import delete_matching_rule
    from blnk_relay.kinds.matching_rule_update import update_matching_rule
    from blnk_relay.kinds.metadata_update import update_metadata
    from blnk_relay.kinds.reconciliation_start import start_reconciliation
    from blnk_relay.kinds.reconciliation_start_instant import start_instant_reconciliation
    from blnk_relay.kinds.reconciliation_upload import upload_records
    from blnk_relay.kinds.refund import refund
    from blnk_relay.kinds.registry import intent_of
    from blnk_relay.kinds.transaction import transaction
    from blnk_relay.kinds.transaction_bulk import bulk_transactions
    from blnk_relay.kinds.transaction_split import split_transaction
    from blnk_relay.relay import Relay, StillOpen
    from blnk_relay.replay import ReplayPlan, ReplayWay
    from blnk_relay.schema.legs import Leg
    from blnk_relay.settings import Settings
    from blnk_relay.targets import Target

#: Where each name is that is imported when it is first used: a producer pays for no operator's hands, and a command
#: that looks at one thing for no more than that. For type checkers the same stands above.
_LATE = {
    "AsyncRelay": "blnk_relay.aio",
    "Receipt": "blnk_relay.intake",
    "Write": "blnk_relay.intake",
    "DeadClassName": "blnk_relay.intents.dead_class",
    "Intent": "blnk_relay.intents.intent",
    "ResultOf": "blnk_relay.intents.links",
    "result_of": "blnk_relay.intents.links",
    "OutcomeName": "blnk_relay.intents.outcomes",
    "PartName": "blnk_relay.intents.outcomes",
    "EventName": "blnk_relay.intents.states",
    "StateName": "blnk_relay.intents.states",
    "Action": "blnk_relay.journal.actions",
    "Log": "blnk_relay.journal.log",
    "Together": "blnk_relay.journal.actions",
    "Via": "blnk_relay.journal.actions",
    "Around": "blnk_relay.journal.around",
    "Cause": "blnk_relay.journal.causes",
    "Causes": "blnk_relay.journal.causes",
    "HistoryLag": "blnk_relay.journal.lag",
    "Event": "blnk_relay.journal.events",
    "FindResult": "blnk_relay.journal.finding",
    "Located": "blnk_relay.journal.finding",
    "Looked": "blnk_relay.journal.finding",
    "Question": "blnk_relay.journal.question",
    "Gathered": "blnk_relay.journal.gathered",
    "Glance": "blnk_relay.journal.glance",
    "Health": "blnk_relay.journal.health",
    "Job": "blnk_relay.journal.jobs",
    "JobName": "blnk_relay.journal.jobs",
    "ManyPlan": "blnk_relay.journal.jobs",
    "Planned": "blnk_relay.journal.jobs",
    "CutShort": "blnk_relay.journal.listing",
    "ListBound": "blnk_relay.journal.listing",
    "ListPlace": "blnk_relay.journal.pages",
    "Operator": "blnk_relay.journal.operator",
    "GateView": "blnk_relay.journal.overview",
    "LaneDepth": "blnk_relay.journal.overview",
    "Overview": "blnk_relay.journal.overview",
    "Pause": "blnk_relay.journal.overview",
    "PartStatus": "blnk_relay.journal.parts",
    "Change": "blnk_relay.journal.pauses",
    "Rate": "blnk_relay.journal.rates",
    "Rates": "blnk_relay.journal.rates",
    "KeyUse": "blnk_relay.journal.resealing",
    "Resealed": "blnk_relay.journal.resealing",
    "Attempt": "blnk_relay.journal.status",
    "AttemptName": "blnk_relay.journal.status",
    "Status": "blnk_relay.journal.status",
    "Severity": "blnk_relay.journal.troubles",
    "Upgraded": "blnk_relay.journal.upgrade",
    "Verdict": "blnk_relay.journal.verdicts",
    "Sign": "blnk_relay.journal.workers",
    "WorkerView": "blnk_relay.journal.workers",
    "create_balance": "blnk_relay.kinds.balance_create",
    "link_identity": "blnk_relay.kinds.balance_link_identity",
    "create_identity": "blnk_relay.kinds.identity_create",
    "tokenize_identity": "blnk_relay.kinds.identity_tokenize",
    "update_identity": "blnk_relay.kinds.identity_update",
    "commit_holds": "blnk_relay.kinds.inflight_bulk_commit",
    "void_holds": "blnk_relay.kinds.inflight_bulk_void",
    "commit_hold": "blnk_relay.kinds.inflight_commit",
    "void_hold": "blnk_relay.kinds.inflight_void",
    "create_ledger": "blnk_relay.kinds.ledger_create",
    "create_matching_rule": "blnk_relay.kinds.matching_rule_create",
    "delete_matching_rule": "blnk_relay.kinds.matching_rule_delete",
    "update_matching_rule": "blnk_relay.kinds.matching_rule_update",
    "update_metadata": "blnk_relay.kinds.metadata_update",
    "start_reconciliation": "blnk_relay.kinds.reconciliation_start",
    "start_instant_reconciliation": "blnk_relay.kinds.reconciliation_start_instant",
    "upload_records": "blnk_relay.kinds.reconciliation_upload",
    "refund": "blnk_relay.kinds.refund",
    "intent_of": "blnk_relay.kinds.registry",
    "transaction": "blnk_relay.kinds.transaction",
    "bulk_transactions": "blnk_relay.kinds.transaction_bulk",
    "split_transaction": "blnk_relay.kinds.transaction_split",
    "Relay": "blnk_relay.relay",
    "StillOpen": "blnk_relay.relay",
    "ReplayPlan": "blnk_relay.replay",
    "ReplayWay": "blnk_relay.replay",
    "Leg": "blnk_relay.schema.legs",
    "Settings": "blnk_relay.settings",
    "Target": "blnk_relay.targets",
}

if not TYPE_CHECKING:  # for type checkers a name that is not there has to be an error

    def __getattr__(name: str) -> object:
        """Import what is imported late."""
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        thing: object = getattr(import_module(_LATE[name]), name)
        globals()[name] = thing
        return thing


def __dir__() -> list[str]:
    """All names, those that are imported late as well."""
    return sorted({*globals(), *_LATE})


__all__ = [  # noqa: RUF022 - grouped by what they are for
    # Holding the queue.
    "Relay",
    "AsyncRelay",
    "Settings",
    "Target",
    "Receipt",
    "Status",
    "Attempt",
    "PartStatus",
    "Event",
    "Write",
    # What their words may be, as types.
    "StateName",
    "OutcomeName",
    "DeadClassName",
    "PartName",
    "EventName",
    "AttemptName",
    # Building intents.
    "Intent",
    "transaction",
    "split_transaction",
    "Leg",
    "bulk_transactions",
    "refund",
    "commit_hold",
    "void_hold",
    "commit_holds",
    "void_holds",
    "create_ledger",
    "create_balance",
    "create_identity",
    "update_identity",
    "link_identity",
    "tokenize_identity",
    "update_metadata",
    "upload_records",
    "start_reconciliation",
    "start_instant_reconciliation",
    "create_matching_rule",
    "update_matching_rule",
    "delete_matching_rule",
    "intent_of",
    "result_of",
    "ResultOf",
    # An operator's hands.
    "Operator",
    "Around",
    "FindResult",
    "Located",
    "Looked",
    "Question",
    "HistoryLag",
    "Overview",
    "Glance",
    "Verdict",
    "Severity",
    "Rates",
    "Rate",
    "WorkerView",
    "Sign",
    "Health",
    "LaneDepth",
    "GateView",
    "Pause",
    "Change",
    "Action",
    "Log",
    "Cause",
    "Gathered",
    "Job",
    "JobName",
    "ManyPlan",
    "Planned",
    "Causes",
    "Together",
    "Via",
    "ListBound",
    "ListPlace",
    "CutShort",
    "KeyUse",
    "Resealed",
    "ReplayPlan",
    "ReplayWay",
    "Upgraded",
    # Errors.
    "RelayError",
    "DoesNotVerify",
    "DuplicateInBatch",
    "EncryptionKeyMissing",
    "HistoryUnavailable",
    "InvalidIntent",
    "InvalidSettings",
    "JournalFull",
    "JournalUnavailable",
    "KeyConflict",
    "NotDurable",
    "NotFound",
    "OtherLedger",
    "OtherLoop",
    "OtherShape",
    "Refused",
    "StillOpen",
    "TooLate",
    "UnsuitableServer",
    "__version__",
]
