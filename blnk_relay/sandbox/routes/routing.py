"""The table of routes: which handler answers which path, and what a token must be allowed.

A new route is a handler in a module of its own and one line in :mod:`blnk_relay.sandbox.routes.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.options import Options


class Scope(StrEnum):
    """What a token may do (contract §1.2)."""

    PROXY_WRITE = "proxy:write"
    PROXY_READ = "proxy:read"
    DATA_READ = "data:read"
    #: Routes that ask for no token of this kind.
    NONE = ""


#: Answers one request; refusals come back as answers, not as exceptions.
Handler = Callable[[Core, WireRequest, Effects], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    Attributes:
        method: In capitals.
        pattern: The path, ``:name`` for a segment that is handed to the handler.
        scope: What the token needs.
        handler: Who answers.
        listed: Whether Cloud documents the path; the others answer only with ``core_routes`` (contract §1.6).
        queueable: Whether the route has a queue mode, so that queue faults make sense.
        switch: Name of the option without which the route does not exist; none when empty.
    """

    method: str
    pattern: str
    scope: Scope
    handler: Handler
    listed: bool = True
    queueable: bool = False
    switch: str = ""
    segments: tuple[str, ...] = field(init=False, default=())

    def exists(self, options: Options) -> bool:
        """Whether an instance with these options answers it."""
        return (self.listed or options.core_routes) and (not self.switch or bool(getattr(options, self.switch)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.pattern.strip("/").split("/")))


class RouteTable:
    """Finds the route of a path; literal segments win over named ones.

    Args:
        routes: All routes.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_shape: dict[tuple[str, int], list[Route]] = {}
        for route in routes:
            self._by_shape.setdefault((route.method, len(route.segments)), []).append(route)
        for group in self._by_shape.values():
            group.sort(key=lambda route: [segment.startswith(":") for segment in route.segments])

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a request and the values of its named segments, or None."""
        segments = path.strip("/").split("/")
        for route in self._by_shape.get((method, len(segments)), ()):
            params: dict[str, str] = {}
            for wanted, given in zip(route.segments, segments, strict=True):
                if wanted.startswith(":"):
                    params[wanted[1:]] = given
                elif wanted != given:
                    break
            else:
                return route, params
        return None
