"""What the journal knows of all intents that can only be judged together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from blnk_relay.families.standing import made_since
from blnk_relay.intents.evidence import Known, Past
from blnk_relay.intents.found import Row
from blnk_relay.intents.states import StateName
from blnk_relay.journal.audited import GONE, Audited
from blnk_relay.journal.status import moment
from blnk_relay.kinds.registry import KINDS

#: Writes and rows of ours that are held in memory to tell who was last and whose a row is.
MOST_KNOWN = 500_000

#: What an evidence is asked of: all intents whose kinds have one.
SHARED = frozenset(name for name, kind in KINDS.items() if kind.evidence is not None and kind.evidence.shared)

#: How far the clock of a journal may go back, in milliseconds: what ends then stands before what ended earlier.
_STEP_MS = 300_000

#: States of intents that may be writing at this moment, and of letters.
_OPEN: tuple[StateName, ...] = ("sending", "posted")
_LETTERS: tuple[StateName, ...] = ("dead", "discarded")


class Knowing:
    """What the journal knows of all intents that can only be judged together, and how it is kept up to date.

    Args:
        journal: The journal.
        stay: Called before each page of it is read, for that may take minutes in all; may raise to end it.
    """

    def __init__(self, journal: Audited, stay: Callable[[], None] = lambda: None) -> None:
        self._journal = journal
        self._stay = stay
        self._since_ms: dict[StateName, int] = {}
        #: Those that ended within a step of that and were read, by their states.
        self._ended: dict[StateName, Iterable[tuple[str, float]]] = {}
        #: Those that wait for the ledger's outcome and were read: what they wrote to is known from before they were
        #: sent, so there is nothing new in them until they end. There may be very many.
        self._posted: set[str] = set()
        self.known = Known()
        #: Why it does not know everything; empty where it does.
        self.lacks = ""

    def prepare(self, retention_ms: int) -> None:
        """Read all of them.

        Args:
            retention_ms: For so long the journal keeps what is finished.
        """
        self.refresh()
        # Afterwards, for what is trimmed meanwhile may not have been read.
        self.known.since_ms = self._journal.kept_since_ms(retention_ms) if self._journal.trimmed() else 0

    def refresh(self) -> None:
        """Read those that are under way, and then those that ended since: so none ends unseen in between.

        Twice, for not all go that way: what is not found is sent again, and a letter is replayed. Whoever goes back
        between the reading of two sets is met in neither, and what it has made would be nobody's.
        """
        for again in (False, True):
            if self.known.complete:
                self._read_under_way(again=again)
                self._read_over()

    def _read_under_way(self, *, again: bool) -> None:
        met: set[str] = set()
        for state in _OPEN:
            posted = state == "posted"
            still: set[str] = set()
            for page in self._journal.ids(state, None, None):
                if not self.known.complete:
                    return
                if posted:
                    still.update(id_ for id_, _ in page)
                    if len(still) > MOST_KNOWN:
                        self._lack(f"more than {MOST_KNOWN:,} writes under way: audit once there are fewer")
                        return
                    page = [one for one in page if one[0] not in self._posted]  # noqa: PLW2901
                else:
                    met.update(id_ for id_, _ in page)
                self._take(page)
            if posted:
                self._posted = still
        # What was sent and is to be sent again may have happened all the same, and may wait for that for long.
        met |= self._posted
        # Of those who wait, of whom there may be very many, whoever goes on meanwhile is met further on.
        for page in self._journal.perhaps_sent(waiting=not again):
            if not self.known.complete:
                return
            self._take([one for one in page if one[0] not in met], sent=True)

    def _read_over(self) -> None:
        for state in ("done", *_LETTERS):
            last_ms = self._since_ms.get(state, 0)
            before = dict(self._ended.get(state, ()))
            ended: deque[tuple[str, float]] = deque()
            for page in self._journal.ids(state, moment(max(0, last_ms - _STEP_MS)), None):
                if not self.known.complete:
                    return
                self._take([(id_, at_ms) for id_, at_ms in page if before.get(id_) != at_ms])
                last_ms = max(last_ms, int(page[-1][1]))
                ended.extend(page)
                while ended and ended[0][1] < last_ms - _STEP_MS:
                    ended.popleft()
                self._since_ms[state] = last_ms
            self._ended[state] = ended

    def is_nobodys(self, row: Row, parent: str) -> bool:
        """Whether no intent can have made a row below another."""
        mine = self.known.owner(row.transaction_id) or self.known.is_unsure(parent)
        return not mine and made_since(row, self.known.since_ms)

    def _take(self, page: Sequence[tuple[str, float]], *, sent: bool = False) -> None:
        if len(self.known) > MOST_KNOWN:
            self._lack(
                f"the journal keeps more than {MOST_KNOWN:,} writes that have to be told apart: "
                "BLNK_RELAY_RETENTION_S says for how long"
            )
        if not self.known.complete:
            return
        self._stay()
        if not page:
            return
        ids = self._journal.of_kinds([id_ for id_, _ in page], SHARED, sent=sent)
        for id_, past in self._journal.pasts(ids).items():
            if past == GONE:
                continue
            if not isinstance(past, Past):
                # What it set or settled would be nobody's, and whoever is compared with that accused of it.
                self._lack(f"nobody can tell what intent {id_} did: {past}")
                return
            evidence = KINDS[past.entry.kind].evidence
            if evidence is None:
                continue
            try:
                self.known.add(past, evidence.writes(past), evidence.below(past))
            except Exception as error:  # noqa: BLE001 - as with all code of a kind
                self._lack(f"nobody can tell what intent {id_} did: {type(error).__name__} while it was looked at")
                return

    def _lack(self, why: str) -> None:
        self.known.complete, self.lacks = False, why
