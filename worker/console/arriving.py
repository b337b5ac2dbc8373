"""What a request says of itself: where it comes from, what it asks for, and by whom it is sent."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote

from starlette.requests import Request

#: A path of ours, to go on to after signing in.
_ONWARD = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def address(request: Request) -> str:
    """Where the connection comes from, whatever its headers say."""
    known = request.scope.get("client")
    return str(known[0]) if known else ""


def ip(text: str) -> IPv4Address | IPv6Address | None:
    """An address as a number, None where it is none: to a socket of both sorts one of version 4 comes as one of 6.

    Example:
        >>> ip("::ffff:192.0.2.7")
        IPv4Address('192.0.2.7')
    """
    try:
        known = ip_address(text)
    except ValueError:
        return None
    return known.ipv4_mapped or known if isinstance(known, IPv6Address) else known


def root(request: Request) -> str:
    """Where the console is mounted, without a slash at the end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def path(request: Request) -> str:
    """What is asked for, below the console's root, as it was routed: a request's URL has what Host says in it."""
    whole: str = request.scope["path"]
    return whole.removeprefix(root(request))


def for_scripts(request: Request) -> bool:
    """Whether it is the API that is asked for, which answers in JSON whatever it answers."""
    return path(request).startswith("/api/")


def here(request: Request) -> str:
    """Path and query of a request, as they stand in an address."""
    query = request.scope.get("query_string", b"").decode("ascii", "replace")
    return quote(path(request), safe="/") + (f"?{query}" if query else "")


def partly(request: Request) -> bool:
    """Whether a page asks by itself, and nobody has done anything."""
    return request.headers.get("hx-request") == "true"


def ours(onward: str) -> bool:
    """Whether a path leads to a page of ours, and nowhere else."""
    return _ONWARD.fullmatch(onward) is not None


def text(value: bytes) -> str:
    """A value of a header: most send UTF-8 today, and what is none is what headers were meant to be."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
