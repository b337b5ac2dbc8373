"""Errors of the database of history as ours, without addresses, statements or values.

What a server says of a statement is told. What its client says of connecting is not, for it quotes the address, and
with it whatever was meant to be a password: that is told in words of our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from blnk_relay.errors import HistoryUnavailable

#: Longest text of a database that is told.
_MOST = 200

#: Codes of errors of statements whose texts have names of tables and no values: a right is missing, or a table, or
#: nothing may be written.
_OF_NAMES = ("42501", "42P01", "25006")

#: What a client says of connecting, by a part of it in small letters, and what is told instead; the first one counts.
_CONNECTING = {
    "has not answered for": "it has not answered in time",
    "timeout expired": "it has not answered in time",
    "timed out": "it has not answered in time",
    "connection refused": "connection refused",
    "resolve host": "its host is not known",
    "name or service": "its host is not known",
    "no such file": "there is no such socket file",
    "password authentication failed": "user or password are not taken",
    "no password supplied": "it wants a password",
    "authentication failed": "the user is not taken",
    "pg_hba.conf": "it does not let this user in from here",
    "does not exist": "there is no such user or database",
    "permission denied": "this user may not connect",
    "too many": "it takes no more connections",
    "connection slots": "it takes no more connections",
    "starting up": "it is starting",
    "shutting down": "it is shutting down",
    "recovery": "it is in recovery",
    "invalid": "its address has an option that is not taken",
    "closed": "the connection was lost",
    "terminat": "the connection was lost",
    "lost": "the connection was lost",
    "certificate": "TLS: its certificate, or ours, is not taken",
    "ssl": "TLS could not be agreed on",
}


@contextmanager
def reported() -> Iterator[None]:
    """Tell errors of the database as ours, without addresses, statements or values.

    Raises:
        HistoryUnavailable: In their place.
    """
    try:
        yield
    except DBAPIError as error:
        name = type(error.orig or error).__name__
        safe = isinstance(error, OperationalError) or getattr(error.orig, "sqlstate", None) in _OF_NAMES
        told = _told(error.orig) if safe else ""
        raise HistoryUnavailable(f"the database of history: {name}" + (f": {told}" if told else ""), name) from None
    except SQLAlchemyError as error:
        name = type(error).__name__
        raise HistoryUnavailable(f"the database of history: {name}", name) from None


def _told(error: object) -> str:
    """What is told of an error of a driver that is about more than one statement."""
    # Only PostgreSQL has codes; what has one came from the server, in answer to a statement.
    if getattr(error, "sqlstate", "") is None:
        said = str(error).lower()
        return next((ours for theirs, ours in _CONNECTING.items() if theirs in said), "it could not be connected to")
    return (str(error).strip().splitlines() or [""])[0][:_MOST]
