"""What stands between a worker and a ledger, and plays with the answers to some of its requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from http.client import HTTPResponse
from urllib.parse import urlsplit

from tests.support.hostile import HostileServer, read_request
from tests.support.plays import Answer, Play


class Meddler(HostileServer):
    """Passes requests on to a ledger, and what it says back; but plays with some answers to writes, once each.

    Args:
        url: Of the ledger.
        plays: Which play, by a text that stands in the request and in no other. The ledger has acted by then.
        before: Of those, the texts with which the request is kept from the ledger.
    """

    def __init__(self, url: str, plays: Mapping[bytes, Play], before: frozenset[bytes] = frozenset()) -> None:
        self._ledger = (urlsplit(url).hostname, urlsplit(url).port)
        self._left = dict(plays)
        self._before = before
        self._lock = threading.Lock()
        #: Texts whose play was done, in turn.
        self.played: list[bytes] = []
        super().__init__(self._pass_on)

    def _pass_on(self, connection: socket.socket) -> None:
        while request := read_request(connection):
            head = request.partition(b"\r\n\r\n")[0]
            with self._lock:
                # Reads may name what was written, and are answered.
                text = next((text for text in self._left if text in request and b"/filter" not in head), None)
                play = None if text is None else self._left.pop(text)
            if play is None or text is None:
                connection.sendall(self._ask(request).whole)
                continue
            answer = Answer(201, b"{}") if text in self._before else self._ask(request)
            self.played.append(text)
            play.instead_of(answer, connection)
            return

    def _ask(self, request: bytes) -> Answer:
        with socket.create_connection(self._ledger) as asked:
            asked.sendall(request)
            response = HTTPResponse(asked)
            response.begin()
            return Answer(response.status, response.read())
