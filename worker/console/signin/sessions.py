"""Sessions: who was let in, kept in this process alone, known by a random id, and over after a while."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.console.signin.rights import Person

#: Most sessions at a time, and of one person; the one that was used longest ago makes room.
MOST, MOST_EACH = 5_000, 50

#: Bytes of an id and of a form's token.
_RANDOM = 32


@dataclass(slots=True)
class Session:
    """One browser of one person.

    Attributes:
        person: Who.
        form_token: Stands in each form of theirs, so that no other site can send one.
        begun_s: When it began.
        used_s: When it was last used.
        said: What to say on the next page.
        ends_here: Whether signing out here lets them out; not where others vouch for them with each request.
    """

    person: Person
    begun_s: float
    used_s: float
    said: str = ""
    ends_here: bool = True
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(_RANDOM))

    def sent_by_its_form(self, token: str) -> bool:
        """Whether something was sent by a form that we made for this session."""
        return hmac.compare_digest(token.encode(), self.form_token.encode())


class Sessions:
    """All sessions of this process. An id is known by its digest alone, so that a dump of memory opens nothing.

    Args:
        life_s: How long one lasts at most.
        idle_s: How long it lasts without a request.
        clock: Seconds that only go forward.
    """

    def __init__(self, life_s: float, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._life_s, self._idle_s, self._clock = life_s, idle_s, clock
        self._known: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, person: Person) -> tuple[str, Session]:
        """Let somebody in: the id for their cookie, new each time, and their session."""
        id_, now_s = secrets.token_urlsafe(_RANDOM), self._clock()
        session = Session(person, now_s, now_s)
        with self._lock:
            own = [name for name, one in self._known.items() if one.person.name == person.name]
            if len(own) >= MOST_EACH:
                del self._known[own[0]]
            self._known[_digest(id_)] = session
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return id_, session

    def of(self, id_: str, *, use: bool = True) -> Session | None:
        """The session of an id, unless it is over.

        Args:
            id_: From a cookie.
            use: Whether this is a sign of life; what a page does by itself is none.
        """
        name, now_s = _digest(id_), self._clock()
        with self._lock:
            session = self._known.get(name)
            if session is None:
                return None
            if now_s - session.begun_s >= self._life_s or now_s - session.used_s >= self._idle_s:
                del self._known[name]
                return None
            if use:
                session.used_s = now_s
                self._known.move_to_end(name)
            return session

    def end(self, id_: str) -> None:
        """Let somebody out."""
        with self._lock:
            self._known.pop(_digest(id_), None)


def _digest(id_: str) -> str:
    return hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()
