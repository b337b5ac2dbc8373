"""What an operator sees of workers, and tells them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blnk_relay.errors import JournalUnavailable, NotFound, Refused
from blnk_relay.journal.actions import new_mark
from blnk_relay.journal.gathered import Gathered
from blnk_relay.journal.hands.base import Hands
from blnk_relay.journal.journals import reached

if TYPE_CHECKING:  # as in looking.py
    from blnk_relay.journal.health import Health
    from blnk_relay.journal.workers import WorkerView


class Crew(Hands):
    """Shows workers, and has them be quiet or stop."""

    def workers(self, target: str | None = None) -> Gathered[WorkerView]:
        """Worker programs with what they say of themselves, those that are alive first; the dead ones of half a day.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        from blnk_relay.journal.workers import together, workers_flow

        read = self._of_each(lambda journal: journal.drive(workers_flow(self.settings, journal.target)), target)
        return Gathered(together(read), read.away)

    def quiet(self, *names: str, who: str, reason: str = "") -> Gathered[WorkerView]:
        """Have workers claim nothing new, finish what they have in hand, and stay; each learns it within a sweep or so.

        Args:
            *names: Of each its name, host and process id (``host:pid``), or how its name begins.
            who: Who says so.
            reason: Why.

        Returns:
            Those that are meant and alive, as they were; those that were told before are among them. Nobody was told
            who is known in the journals of ``away`` alone.

        Raises:
            NotFound: No worker that is alive has such a name.
            Refused: One is too old to be told.
            JournalUnavailable: No Redis answered.
        """
        return self._wish("quiet", names, who, reason)

    def stop(self, *names: str, who: str, reason: str = "") -> Gathered[WorkerView]:
        """The same, and have them leave once that is done: with exit code 0, whatever starts others in their place."""
        return self._wish("stop", names, who, reason)

    def _wish(self, wish: str, names: Sequence[str], who: str, reason: str) -> Gathered[WorkerView]:
        from blnk_relay.journal.pauses import Word
        from blnk_relay.journal.workers import chosen, wish_flow

        known = self.workers()
        alive = tuple(worker for worker in known if worker.alive)
        meant: dict[str, WorkerView] = {}
        for name in names:
            those = chosen(alive, name)
            if not those:
                raise NotFound(f"no worker that is alive is called {name!r}, or so at the beginning")
            meant.update({worker.name: worker for worker in those})
        older = [worker.name for worker in meant.values() if not worker.can_be_told]
        if older:
            raise Refused(f"{', '.join(older)} cannot be told: too old. Send it SIGTERM where it runs; nobody was told")
        for worker in meant.values():
            word = Word(who, reason, self.via, new_mark())
            those_journals = [self.journals.any_of(target) for target in worker.journals]
            reached(those_journals, lambda journal: journal.drive(wish_flow(self.settings, worker.name, wish, word)))  # noqa: B023
        return Gathered(meant.values(), known.away)

    def health(self, name: str = "") -> Health:
        """Whether the workers of this host, or one, are well; for the supervisor of a container.

        Args:
            name: Of a worker, as :meth:`quiet` takes it; those of this host when empty.

        Raises:
            JournalUnavailable: No Redis answered that knows of one, so that nobody can tell.
        """
        from blnk_relay.journal.health import health_of
        from blnk_relay.journal.workers import chosen

        host = socket.gethostname()
        workers = self.workers()
        mine = chosen(workers, name) if name else tuple(worker for worker in workers if worker.host == host)
        where = f"under the name {name!r}" if name else f"on {host}"
        if workers.away and not any(worker.alive for worker in mine):
            raise JournalUnavailable(f"no worker is seen {where}; nothing is known of {', '.join(workers.away)}")
        return health_of(mine, where)
