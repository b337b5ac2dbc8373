"""Revisions of the tables of history: which this version works with, and what to do about any other. Pure."""

from __future__ import annotations

from blnk_relay.errors import HistoryUnavailable

#: The newest migration, and those with which all works as well, if more slowly: what is new in 0002 is an index.
NEWEST = "0002"
_ENOUGH = ("0001", NEWEST)


def check_known(found: str) -> None:
    """See that no newer version has made the tables; this one would not know what it undoes.

    Args:
        found: Their revision; empty for none.

    Raises:
        HistoryUnavailable: A newer one has.
    """
    if found > NEWEST:
        raise HistoryUnavailable(
            f"the tables of history are of a newer version (revision {found}; this one knows {NEWEST}): bring this "
            "program up to it",
            "newer",
        )


def check_usable(found: str) -> None:
    """See that this version can work with tables.

    Args:
        found: Their revision; empty for none.

    Raises:
        HistoryUnavailable: It cannot.
    """
    check_known(found)
    if found not in _ENOUGH:
        what = "has no tables of ours yet" if not found else f"has tables of revision {found}, not {NEWEST}"
        raise HistoryUnavailable(f"the database of history {what}: upgrade its tables", "schema")
