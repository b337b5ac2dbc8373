"""Journals as wholes: whose each is, its shape, how far it is copied into history, and what is done to one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from blnk_relay import Gathered, JournalUnavailable
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import reached
from blnk_relay.journal.lag import HistoryLag
from worker.cli.history import Kept, kept_of, lag_rows, off_in_words
from worker.cli.target import ledger_note
from worker.console.asking import YES, Ask, BadRequest, Onward, Page
from worker.console.screens import chores
from worker.console.screens.errands import address
from worker.console.signin.rights import Right

#: Errands that are shown below the journals: the newest.
_MOST_ERRANDS = 10


@dataclass(frozen=True, slots=True)
class Bound:
    """Whose a journal is.

    Attributes:
        target: Its target.
        recorded: The ledger that the journal keeps; empty while it is not used.
        settings: That of the settings; empty where they do not say.
        shape: As it is noted; empty while it is not used.
        named: Whether the settings name the target.
        note: What is wrong; empty where nothing is.
    """

    target: str
    recorded: str
    settings: str
    shape: str
    named: bool
    note: str


def bound(ask: Ask) -> tuple[list[Bound], list[str]]:
    """Those of all journals that can be reached, and the targets of the others.

    Raises:
        JournalUnavailable: None can be.
    """
    ledgers, everywhere = ask.operator.settings.ledgers, ask.operator.journals.everywhere()

    def read(journal: Journal) -> Bound:
        name = journal.target
        ours = ledgers[name].ledger if name in ledgers else ""
        kept = journal.recorded_ledger()
        return Bound(name, kept, ours, ask.operator.shape(name), name in ledgers, ledger_note(kept, ours))

    found = [one for _, one in reached(everywhere, read)]
    there = {one.target for one in found}
    return found, [journal.target for journal in everywhere if journal.target not in there]


def journals(ask: Ask) -> Page:
    """All journals, and what is done to one."""
    found, away = bound(ask)
    lags = {}
    # A journal that stands between two shapes tells nothing but that, and is to be brought on from here.
    with suppress(JournalUnavailable):
        lags = {lag.target: lag for lag in ask.operator.history_lag()}
    errands = ask.errands.all()[:_MOST_ERRANDS]
    values = {"found": found, "away": away, "lags": lags, "chores": chores.CHORES, "errands": errands}
    return Page("journals.html", values | {"history": bool(ask.operator.settings.history_url)})


def confirm(ask: Ask) -> Page:
    """Ask once more before something is done to a journal."""
    what, name = ask.path["what"], ask.path["name"]
    chore = chores.chore_of(what)
    ask.operator.journals.any_of(name)
    workers = None
    with suppress(JournalUnavailable):
        workers = ask.operator.overview(name).workers
    values = {"what": what, "name": name, "chore": chore, "workers": workers}
    return Page("chore.html", values | {"lacking": "" if ask.person.may(chore.right) else chore.right.value})


def act(ask: Ask) -> Onward:
    """Begin it, and look how far it has come."""
    return Onward(address(chores.begin(ask, ask.path["what"], ask.path["name"])), "Begun.")


def history(ask: Ask) -> Page:
    """The database of history, and how far the journals are copied."""
    kept, lags = history_of(ask)
    on = [lag.target for lag in lags if lag.on]
    values = {"kept": kept, "lags": lag_rows(lags), "on": on, "away": lags.away}
    lacking = "" if ask.person.may(Right.APPROVER) else Right.APPROVER.value
    return Page("history.html", values | {"lacking": lacking, "last": ask.errands.last("history")})


def history_of(ask: Ask) -> tuple[Kept, Gathered[HistoryLag]]:
    """The database of history, and how far the journals are copied."""
    return kept_of(ask.operator.settings), ask.operator.history_lag()


def upgrade_history(ask: Ask) -> Onward:
    """Begin to bring its tables to the newest revision."""
    return Onward(address(chores.begin_history(ask)), "Begun.")


def confirm_off(ask: Ask) -> Page:
    """Ask for a reason to let nothing wait for history any more."""
    name = ask.path["name"]
    [lag] = ask.operator.history_lag(name)
    lacking = "" if ask.person.may(Right.APPROVER) else Right.APPROVER.value
    return Page("history_off.html", {"name": name, "lag": lag, "lacking": lacking})


def off(ask: Ask) -> Onward:
    """Let nothing wait for it, and go back to history."""
    return Onward("/history", " ".join(off_in_words(name, left) for name, left in switched_off(ask).items()))


def switched_off(ask: Ask) -> dict[str, int]:
    """Let nothing wait for history any more: for each target how many intents were not copied.

    Raises:
        NotAllowed: They may not.
        BadRequest: There is no reason.
        Refused: A worker copied a moment ago.
    """
    ask.need(Right.APPROVER, "to switch history off")
    reason = ask.text("reason")
    if not reason:
        raise BadRequest("say why: it is kept in the action log")
    forced, adopt = (ask.form.get(name) in YES for name in ("force", "adopt"))
    return ask.operator.history_off(ask.path["name"], who=ask.person.name, reason=reason, forced=forced, adopt=adopt)
