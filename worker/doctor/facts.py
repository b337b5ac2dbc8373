"""What is read before anything is judged: values that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from blnk_relay.journal.tried import Access
from blnk_relay.journal.vitals import JournalVitals, ServerVitals
from blnk_relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Reach:
    """What came of going to an address by hand.

    Attributes:
        address: Host and port.
        steps: What was done and went well, in words.
        failure: What did not; empty where all did.
        days_left: Days that the certificate is still good for; None without TLS.
        skipped: Why nobody went; empty where somebody did.
    """

    address: str
    steps: tuple[str, ...] = ()
    failure: str = ""
    days_left: float | None = None
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class ReadTried:
    """The answer to a read of the ledger that changes nothing and asks for what is not there.

    Attributes:
        resource: What was asked for.
        status: HTTP status; 200 where it was allowed, 0 for no answer.
        code: Of the ledger, or of ours where there was none.
    """

    resource: str
    status: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What was seen of a ledger.

    Attributes:
        name: Of the target.
        reach: The way there.
        reads: What its credential may read.
        skipped: Why nothing was read; empty where something was.
    """

    name: str
    reach: Reach
    reads: tuple[ReadTried, ...] = ()
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What was seen of the broker.

    Attributes:
        variable: The setting that leads to it.
        reach: The way there.
        waiting: Messages by queue; None where they cannot be counted.
        failure: Why not; empty where nobody tried.
    """

    variable: str
    reach: Reach
    waiting: Mapping[str, int] | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Stray:
    """A journal that no worker of these settings works for.

    Attributes:
        target: Its target.
        where: The setting that leads to its Redis.
        has_open: Whether anything in it is not over.
        programs: Worker programs that are alive in it.
        moved: The settings have the journal of this target elsewhere.
    """

    target: str
    where: str
    has_open: bool
    programs: int
    moved: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was read.

    Attributes:
        settings: What was asked for.
        servers: Each Redis that keeps a journal, and that of the broker where it is another one.
        reaches: The way to each of them, by its setting.
        journals: One for each target.
        access: Whether each of them can be written to.
        targets: The same.
        broker: Who carries the bells.
        strays: Journals that nobody here works for.
        strays_failure: Why they could not be looked for.
        files: How many files a process may have open.
        shared: Sentences about targets that are one ledger.
    """

    settings: Settings
    servers: tuple[ServerVitals, ...] = ()
    reaches: Mapping[str, Reach] = field(default_factory=dict)
    journals: tuple[JournalVitals, ...] = ()
    targets: tuple[TargetFacts, ...] = ()
    broker: BrokerFacts | None = None
    strays: tuple[Stray, ...] = ()
    strays_failure: str = ""
    files: int = 0
    shared: tuple[str, ...] = ()
    access: tuple[Access, ...] = ()
