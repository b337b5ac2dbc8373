"""Signing in behind a reverse proxy, which says in headers who it is."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from worker.console import arriving
from worker.console.settings import ConsoleSettings
from worker.console.signin.rights import Person, name_in, rights_of

#: Proves that the headers are the proxy's own.
SECRET_HEADER = "x-relay-console-secret"  # noqa: S105 - the name of a header

_MOST_GROUPS = 200


class Proxy:
    """Believes a proxy by its address and its secret together.

    Args:
        settings: Both, and which groups have which rights.
    """

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        self._networks = settings.networks()
        self._user = settings.proxy_user_header.lower()
        self._groups = settings.proxy_groups_header.lower()

    def person(self, client: str, headers: Sequence[tuple[str, str]]) -> Person | None:
        """Who the proxy says it is; None where it is not the proxy that speaks, or it names nobody.

        Args:
            client: Address that the connection comes from.
            headers: Names in lower case, and values, each as often as it was sent.
        """
        if not self._is_the_proxy(client, _only(headers, SECRET_HEADER)):
            return None
        name = name_in(_only(headers, self._user))
        if not name:
            return None
        listed = _only(headers, self._groups) or ""
        groups = [group.strip() for group in listed.split(",", _MOST_GROUPS)[:_MOST_GROUPS]]
        return Person(name, rights_of([group for group in groups if group], self._settings))

    def _is_the_proxy(self, client: str, secret: str | None) -> bool:
        address = arriving.ip(client)
        known = address is not None and any(address in network for network in self._networks)
        right = hmac.compare_digest((secret or "").encode(), self._settings.proxy_secret.encode())
        return known and right


def _only(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    """The value of a header that was sent once; what comes twice was partly sent by somebody else."""
    values = [value for key, value in headers if key == name]
    return values[0] if len(values) == 1 else None
