"""The address of the database of history: what one may hold, and what people may see of it. Pure.

No message quotes one, because it may hold a password; and what would be read as a host and may be half a password is
refused, because hosts are shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from blnk_relay.address import is_host
from blnk_relay.errors import InvalidSettings

#: The variable that an address comes from, for messages.
SETTING = "BLNK_RELAY_HISTORY_URL"

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}
_FORM = "postgresql://user:password@host:5432/database"


def address_of(text: str) -> URL:
    """The address of the database, as the settings have it.

    Raises:
        InvalidSettings: It is none, or of a database that is not supported; nothing of it is quoted.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InvalidSettings(
            f"{SETTING} is not an address of a database: write sqlite:////path/of/a/file, or {_FORM}"
        ) from None
    name = url.drivername.partition("+")[0]
    if name not in _DRIVERS or url.drivername not in (name, _DRIVERS[name]):
        raise InvalidSettings(f"{SETTING} must be of SQLite (sqlite:///…) or PostgreSQL (postgresql://…)")
    if name == "sqlite":
        _check_file(url)
    else:
        _check_server(url, text)
    return url.set(drivername=_DRIVERS[name])


def _check_file(url: URL) -> None:
    if url.database in (None, "", ":memory:"):
        raise InvalidSettings(f"{SETTING} must name a file: sqlite:////path/of/a/file")
    if url.query:
        raise InvalidSettings(f"{SETTING}: nothing is taken behind the '?' of a file; take it out")


def _check_server(url: URL, text: str) -> None:
    if text.count("@") > 1:
        # What stands before the last one is a password, and what stands before the first one would be taken for it.
        raise InvalidSettings(f"{SETTING} has more than one '@' in it; in a name or a password write %40")
    if "@" in (url.database or "") or not all(is_host(host) for host in _hosts(url)):
        raise InvalidSettings(
            f"{SETTING} does not name a host that could exist; write {_FORM}, and in a password %40 for '@', %2F for "
            "'/', %3A for ':' and %3F for '?'"
        )


def _hosts(url: URL) -> Iterator[str]:
    """All hosts that it names; folders of sockets are none."""
    named = url.query.get("host", ())
    for some in (url.host or "", *((named,) if isinstance(named, str) else named)):
        for one in filter(None, some.split(",")):
            if not one.startswith("/"):
                yield one.rpartition(":")[0] if one.count(":") == 1 else one


def shown(url: URL) -> str:
    """An address without its secret parts, for people."""
    return str(url.database) if url.drivername == "sqlite" else f"{url.host or 'localhost'}/{url.database or ''}"
