"""Why Redis did not do what was asked, in words: what it says about itself, and what to do next. Pure.

The text of the server is kept out of it, because it may quote what was sent; its kind is enough.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping

from redis import exceptions as errors

from blnk_relay.environment import PREFIX
from blnk_relay.transport.finding import ServerNotFound, SlotAway
from blnk_relay.transport.sockets import NotWritable

#: The setting that says where most journals are.
URL = f"{PREFIX}REDIS_URL"

_TOO_FEW_RIGHTS = f"Redis does not let the user of {URL} do this: its permissions (ACL) are too few"
_ALL_IN_USE = f"all connections of this process to Redis are in use ({PREFIX}REDIS_CONNECTIONS)"

#: What helps is a change of settings, so to try again as it is helps nobody.
_LASTING: tuple[tuple[type[Exception], str], ...] = (
    (errors.AuthenticationError, f"Redis refused the user name or the password, or wants one: see {URL}"),
    (errors.AuthenticationWrongNumberOfArgsError, f"Redis does not know users: see {URL}"),
    (errors.AuthorizationError, f"Redis refused the user of {URL}"),
    (errors.NoPermissionError, _TOO_FEW_RIGHTS),
    (errors.MovedError, f"{URL} is a node of a Redis Cluster, and other nodes have the journal"),
    (errors.ClusterCrossSlotError, f"{URL} is a Redis Cluster, which would have to spread this over nodes"),
)

_REPLICA = f"Redis does not take writes, because it is a replica; after a failover {URL} may have to change"
_ORPHAN = f"Redis is a replica that has lost its primary; after a failover {URL} may have to change"

_PASSING: tuple[tuple[type[Exception], str], ...] = (
    (
        SlotAway,
        "its slot of the Redis Cluster moves from one node to another, or no node serves it now; nothing was done, and "
        "the journal is there again when that is over",
    ),
    (NotWritable, "the server that it came to does not take writes, or has the journal no longer"),
    (ServerNotFound, f"nobody named by {URL} knows where its server is now"),
    (errors.ReadOnlyError, _REPLICA),
    (errors.OutOfMemoryError, "Redis is full: raise its maxmemory, or let workers empty the journal"),
    (errors.BusyLoadingError, "Redis is still loading its data"),
    # A sort of ClusterDownError to the client, but no matter of a cluster.
    (errors.MasterDownError, _ORPHAN),
    (errors.ClusterDownError, "the Redis Cluster is down"),
    (errors.MaxConnectionsError, _ALL_IN_USE),
    (errors.TimeoutError, f"Redis gave no answer in time ({PREFIX}REDIS_TIMEOUT_S)"),
)

#: The first word of an answer for which the client has no class, or which ended its connection.
_WORDS = {
    "READONLY": _REPLICA,
    "MASTERDOWN": _ORPHAN,
    "NOREPLICAS": "Redis does not take writes, because too few replicas are connected to it",
    "MISCONF": "Redis does not take writes, because it cannot save to its disk",
    "BUSY": "Redis is busy with a script",
    "WRONGTYPE": f"something else uses the keys of the journal: choose another {PREFIX}NAMESPACE",
}

#: The same, where to try again as it is helps nobody; the number stands in the address.
_LASTING_WORDS = {
    "DB": f"the server has no database of the number that {URL} names",
    "DENIED": "Redis is in protected mode and takes nobody from elsewhere: give it a password, or switch that off",
}

#: The same, by what stands in the text: what was refused inside a script, by Valkey and Redis 7.2, and by Redis 7.0.
_LASTING_TEXTS = {
    "ACL failure in script": _TOO_FEW_RIGHTS,
    "The user executing the script can't": _TOO_FEW_RIGHTS,
}

#: What stands in the text of an error of connections that is no matter of the way to the server.
_REACHED_TEXTS = {
    "max number of clients": "Redis has as many clients as it takes",
    "No connection available": _ALL_IN_USE,
}

#: Why there is no connection, by what the system says.
_UNREACHABLE: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "nothing listens there"),
    (socket.gaierror, "its host name is not known"),
    (ssl.SSLError, "no secure connection was made"),
    (TimeoutError, "no answer in time"),
)

#: What each script is run for, as far as somebody outside a worker asks for it, and how to go on.
_DOING = {
    "accept": (
        "what was enqueued is not known to be recorded",
        "enqueue again under the same key, which is always safe",
    ),
    "cancel": ("it is not known to be cancelled", "cancel again, which is always safe"),
    "replay": ("it is not known to be replayed", "look at it, and replay again if it is still dead"),
    "discard": ("it is not known to be discarded", "look at it, and discard again if it is still dead"),
    "gate": ("the target is not known to be paused or resumed", "look at it, and try again"),
}
_ELSE = ("the journal cannot be used", "try again")


def told(error: Exception, doing: str = "", variable: str = URL) -> str:
    """One sentence about an error of Redis.

    Args:
        error: What the client raised.
        doing: The script that was run; empty for a plain read.
        variable: The setting that says where the server is.

    Example:
        >>> told(errors.OutOfMemoryError("OOM command not allowed"), "accept")[:75]
        'what was enqueued is not known to be recorded, because Redis is full: raise'
    """
    what, then = _DOING.get(doing, _ELSE)
    word = str(error).split(" ", 1)[0] if isinstance(error, errors.ResponseError | NotWritable) else ""
    word = word if word.isascii() and word.isupper() and word.isalpha() else ""
    lasting = _first(_LASTING, error) or _LASTING_WORDS.get(word, "") or _by_text(_LASTING_TEXTS, error)
    why = (
        lasting or _WORDS.get(word) or _first(_PASSING, error) or _unreachable(error) or "Redis answered with an error"
    )
    kind = f"{type(error).__name__}{' ' + word if word else ''}"
    # The sentences are written for the one address that most have.
    why = why.replace(URL, variable)
    return f"{what}, because {why} ({kind}); {'put that right, then ' if lasting else ''}{then}"


def _unreachable(error: Exception) -> str:
    if not isinstance(error, errors.ConnectionError):
        return ""
    if why := _by_text(_REACHED_TEXTS, error):
        return why
    below = error.__cause__ or error.__context__
    why = _first(_UNREACHABLE, below) if below is not None else ""
    return f"Redis cannot be reached at {URL}{': ' + why if why else ''}"


def _by_text(reasons: Mapping[str, str], error: Exception) -> str:
    return next((why for part, why in reasons.items() if part in str(error)), "")


def _first(reasons: tuple[tuple[type[BaseException], str], ...], error: BaseException) -> str:
    return next((why for kind, why in reasons if isinstance(error, kind)), "")
