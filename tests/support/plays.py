"""What a hostile server may do instead of answering: a table, with what is done byte by byte, and how it ends.

Each play is about one valid answer, which it cuts, stretches, doubles, hides or contradicts. It is read by
``test_hostile_plays.py`` against writes and reads, and by a few tests against whole workers.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from tests.support.hostile import read_request


@dataclass(frozen=True)
class Answer:
    """The valid answer that a play is about."""

    status: int
    body: bytes

    def head(self, *headers: str, status: str = "", length: str | None = "") -> bytes:
        """Status line and headers; with the right length if none is given, and without one if it is None."""
        lines = [status or f"HTTP/1.1 {self.status} OK", "Content-Type: application/json", *headers]
        if length is not None:
            lines.append(f"Content-Length: {length or len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @property
    def whole(self) -> bytes:
        """All of it."""
        return self.head() + self.body

    def saying(self, body: bytes, *headers: str) -> bytes:
        """The same with another body, of the right length."""
        return Answer(self.status, body).head(*headers) + body

    def chunked(self, *chunks: bytes, headers: Iterable[str] = ()) -> bytes:
        """The same in chunks, as they are given."""
        return self.head("Transfer-Encoding: chunked", *headers, length=None) + b"".join(chunks)


class Then(StrEnum):
    """How the connection ends."""

    FIN = "it hangs up"
    RESET = "it resets the connection"
    STAYS = "it says nothing more"
    FLOODS = "the last piece again and again, without a pause"


class Ends(StrEnum):
    """What follows for whoever was answered so."""

    UNCLEAR = "a write is looked up, a read has failed"
    FINE = "it is believed, in spite of its looks"
    EITHER = "one of the two: what of it arrives is the network's matter"
    AWAY = "a redirect: the target is paused, nothing is called refused, and nobody follows it"


@dataclass(frozen=True)
class Play:
    """One of them.

    Attributes:
        says: What is sent, piece by piece.
        then: What comes after the last piece.
        ends: How it ends for us.
        every_s: Pause between two pieces.
        hears: How many bytes of the request it reads before; all of it if None.
    """

    says: Callable[[Answer], Iterable[bytes]]
    then: Then = Then.FIN
    ends: Ends = Ends.UNCLEAR
    every_s: float = 0.0
    hears: int | None = None

    @property
    def lasts(self) -> bool:
        """Whether only a deadline ends it."""
        return self.then in (Then.STAYS, Then.FLOODS) or self.every_s > 0

    def before(self, answer: Answer) -> Callable[[socket.socket], None]:
        """What is done with a connection, request included."""

        def play(connection: socket.socket) -> None:
            if self.hears is None:
                read_request(connection)
            elif self.hears:
                connection.recv(self.hears)
            self.instead_of(answer, connection)

        return play

    def instead_of(self, answer: Answer, connection: socket.socket) -> None:
        """What is done in the place of an answer."""
        piece = b""
        for piece in self.says(answer):
            connection.sendall(piece)
            if self.every_s:
                time.sleep(self.every_s)
        match self.then:
            case Then.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case Then.STAYS:
                while connection.recv(65_536):
                    pass
            case Then.FLOODS:
                many = piece * max(1, 65_536 // len(piece))
                with contextlib.suppress(OSError):
                    while True:
                        connection.sendall(many)


def bytes_of(data: bytes) -> Iterator[bytes]:
    """One byte after the other."""
    for at in range(len(data)):
        yield data[at : at + 1]


def chunk(data: bytes, size: str = "") -> bytes:
    """One chunk, with a size that may be a lie."""
    return f"{size or f'{len(data):x}'}\r\n".encode() + data + b"\r\n"


LAST = b"0\r\n\r\n"

#: Far more than the largest answer that is read.
BOMB_BYTES = 32 * 1024 * 1024


@cache
def bomb(layers: int) -> bytes:
    """A JSON object of :data:`BOMB_BYTES`, compressed so often."""
    packed = zlib.compressobj(6, zlib.DEFLATED, 31)
    parts = [packed.compress(b'{"a": "'), *(packed.compress(b"0" * 1_048_576) for _ in range(BOMB_BYTES >> 20))]
    data = b"".join([*parts, packed.compress(b'"}'), packed.flush()])
    for _ in range(layers - 1):
        data = gzip.compress(data, 9)
    return data


def _added(answer: Answer, text: str) -> bytes:
    """The answer's object with one more field, given as text."""
    return answer.body[:-1] + f', "more": {text}}}'.encode()


def _cut(answer: Answer) -> int:
    return len(answer.head()) + len(answer.body) // 2


def _breaks(then: Then) -> dict[str, Play]:
    how = "reset" if then is Then.RESET else "hung up"
    return {
        f"{how} as soon as connected": Play(lambda _: [], then, hears=0),
        f"{how} within the request": Play(lambda _: [], then, hears=20),
        f"{how} after the request": Play(lambda _: [], then),
        f"{how} within the status line": Play(lambda answer: [answer.whole[:11]], then),
        f"{how} after the status line": Play(lambda answer: [answer.whole[:17]], then),
        f"{how} within a header": Play(lambda answer: [answer.whole[:30]], then),
        f"{how} after the head": Play(lambda answer: [answer.head()], then),
        f"{how} within the body": Play(lambda answer: [answer.whole[: _cut(answer)]], then),
        f"{how} one byte before the end": Play(lambda answer: [answer.whole[:-1]], then),
        f"{how} within a body without a length": Play(
            lambda answer: [answer.head(length=None) + answer.body[:-1]], then
        ),
        f"{how} within a chunk": Play(lambda answer: [answer.chunked(chunk(answer.body)[:-9])], then),
        f"{how} before the last chunk": Play(lambda answer: [answer.chunked(chunk(answer.body))], then),
    }


_DRIP_S = 0.02

#: Whoever drips is never silent for as long as any timeout: only a deadline for the whole ends it.
DRIPS: dict[str, Play] = {
    "drips the whole answer": Play(lambda answer: bytes_of(answer.whole), every_s=_DRIP_S),
    "drips a status line": Play(
        lambda _: itertools.chain([b"HTTP/1.1 200 "], itertools.repeat(b"O", 400)), every_s=_DRIP_S
    ),
    "drips header lines": Play(
        lambda answer: itertools.chain([answer.head()[:-2]], itertools.repeat(b"X-Slow: 1\r\n", 400)), every_s=_DRIP_S
    ),
    "drips one header line": Play(
        lambda answer: itertools.chain([answer.head()[:-2] + b"X-Slow: "], itertools.repeat(b"a", 400)), every_s=_DRIP_S
    ),
    "drips interim answers": Play(lambda _: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 400), every_s=_DRIP_S),
    "drips the body": Play(lambda answer: itertools.chain([answer.head()], bytes_of(answer.body)), every_s=_DRIP_S),
    "drips blanks before a body without a length": Play(
        lambda answer: itertools.chain([answer.head(length=None)], itertools.repeat(b" ", 400)), every_s=_DRIP_S
    ),
    "drips chunks": Play(
        lambda answer: itertools.chain([answer.chunked()], itertools.repeat(chunk(b" "), 400)), every_s=_DRIP_S
    ),
    "drips an extension of a chunk": Play(
        lambda answer: itertools.chain([answer.chunked(b"1;x=")], itertools.repeat(b"a", 400)), every_s=_DRIP_S
    ),
    "drips trailers": Play(
        lambda answer: itertools.chain(
            [answer.chunked(chunk(answer.body), b"0\r\n")], itertools.repeat(b"X-Slow: 1\r\n", 400)
        ),
        every_s=_DRIP_S,
    ),
    "drips what decompresses to nothing": Play(
        lambda answer: itertools.chain(
            [answer.head("Content-Encoding: deflate", length=None)], itertools.repeat(b"\0\0\0\xff\xff", 400)
        ),
        every_s=_DRIP_S,
    ),
}

ENDLESS: dict[str, Play] = {
    "endless status line": Play(lambda _: [b"HTTP/1.1 200 ", b"O"], Then.FLOODS),
    "endless blank lines": Play(lambda _: [b"\r\n"], Then.FLOODS),
    "endless headers": Play(lambda answer: [answer.head()[:-2], b"X-More: 1\r\n"], Then.FLOODS),
    "endless header line": Play(lambda answer: [answer.head()[:-2] + b"X-More: ", b"a"], Then.FLOODS),
    "100 Continue for ever": Play(lambda _: [b"HTTP/1.1 100 Continue\r\n\r\n"], Then.FLOODS),
    "102 Processing for ever": Play(lambda _: [b"HTTP/1.1 102 Processing\r\n\r\n"], Then.FLOODS),
    "endless body with a length": Play(lambda answer: [answer.head(length="99999999999"), b" "], Then.FLOODS),
    "endless body without a length": Play(lambda answer: [answer.head(length=None), b" "], Then.FLOODS),
    "endless chunked body": Play(lambda answer: [answer.chunked(), chunk(b" " * 1000)], Then.FLOODS),
    "endless tiny chunks": Play(lambda answer: [answer.chunked(), chunk(b" ")], Then.FLOODS),
    "endless size of a chunk": Play(lambda answer: [answer.chunked(), b"0"], Then.FLOODS),
    "endless trailers": Play(
        lambda answer: [answer.chunked(chunk(answer.body), b"0\r\n"), b"X-More: 1\r\n"], Then.FLOODS
    ),
    "endless answers": Play(lambda answer: [answer.whole], Then.FLOODS, ends=Ends.EITHER),
    "a hundred megabytes of JSON": Play(
        lambda answer: itertools.chain(
            [answer.head(length=None) + b'{"data": ["'], itertools.repeat(b"x" * 1_000_000, 100), [b'"]}']
        )
    ),
    "says nothing": Play(lambda _: [], Then.STAYS),
    "stops within the body": Play(lambda answer: [answer.whole[: _cut(answer)]], Then.STAYS),
    "stops before the last chunk": Play(lambda answer: [answer.chunked(chunk(answer.body))], Then.STAYS),
    "a length that is too long, and waits": Play(
        lambda answer: [answer.head(length=str(len(answer.body) + 1)) + answer.body], Then.STAYS
    ),
}

LENGTHS: dict[str, Play] = {
    "a length that is too long": Play(lambda answer: [answer.head(length=str(len(answer.body) + 1)) + answer.body]),
    "a length that is too short by one": Play(
        lambda answer: [answer.head(length=str(len(answer.body) - 1)) + answer.body]
    ),
    "a length of 0": Play(lambda answer: [answer.head(length="0") + answer.body]),
    "a length of 0, and then the body": Play(
        lambda answer: [answer.head(length="0"), answer.body], Then.STAYS, every_s=0.05
    ),
    "a length below 0": Play(lambda answer: [answer.head(length="-5") + answer.body]),
    "a length in words": Play(lambda answer: [answer.head(length="many") + answer.body]),
    "a length in hexadecimal": Play(lambda answer: [answer.head(length=hex(len(answer.body))) + answer.body]),
    "a length of thirty digits": Play(lambda answer: [answer.head(length="9" * 30) + answer.body]),
    "a length of ten thousand digits": Play(lambda answer: [answer.head(length="9" * 10_000) + answer.body]),
    "a length with a sign": Play(lambda answer: [answer.head(length=f"+{len(answer.body)}") + answer.body]),
    "two lengths that agree": Play(
        lambda answer: [answer.head(f"Content-Length: {len(answer.body)}") + answer.body], ends=Ends.FINE
    ),
    "two lengths, the right one first": Play(
        lambda answer: [answer.head(f"Content-Length: {len(answer.body)}", length="5") + answer.body]
    ),
    "two lengths, the right one last": Play(lambda answer: [answer.head("Content-Length: 5") + answer.body]),
    "two lengths in one": Play(lambda answer: [answer.head(length=f"{len(answer.body)}, 5") + answer.body]),
    "chunks and a length": Play(
        lambda answer: [answer.head("Transfer-Encoding: chunked") + chunk(answer.body) + LAST], ends=Ends.FINE
    ),
    "a length, and chunks only by name": Play(lambda answer: [answer.head("Transfer-Encoding: chunked") + answer.body]),
    "chunks, and a length only by name": Play(lambda answer: [answer.saying(chunk(answer.body) + LAST)]),
    "chunks": Play(
        lambda answer: [answer.chunked(chunk(answer.body[:5]), chunk(answer.body[5:]), LAST)], ends=Ends.FINE
    ),
    "chunks in capitals": Play(
        lambda answer: [answer.head("TRANSFER-ENCODING: CHUNKED", length=None) + chunk(answer.body) + LAST],
        ends=Ends.FINE,
    ),
    "chunks with extensions": Play(
        lambda answer: [answer.chunked(chunk(answer.body, f"{len(answer.body):x};a=b"), LAST)], ends=Ends.FINE
    ),
    "chunks with trailers": Play(
        lambda answer: [answer.chunked(chunk(answer.body), b"0\r\nContent-Length: 7\r\nX-Evil: 1\r\n\r\n")],
        ends=Ends.FINE,
    ),
    "an enormous chunk": Play(lambda answer: [answer.chunked(chunk(answer.body, "F" * 16), LAST)]),
    "a chunk of a size below 0": Play(lambda answer: [answer.chunked(chunk(answer.body, "-5"), LAST)]),
    "a chunk of a size in words": Play(lambda answer: [answer.chunked(chunk(answer.body, "many"), LAST)]),
    "a chunk without a size": Play(lambda answer: [answer.chunked(b"\r\n" + answer.body + b"\r\n", LAST)]),
    "a chunk that is longer than its size": Play(
        lambda answer: [answer.chunked(chunk(answer.body, f"{len(answer.body) - 3:x}"), LAST)]
    ),
    "a chunk that is shorter than its size": Play(
        lambda answer: [answer.chunked(chunk(answer.body, f"{len(answer.body) + 3:x}"), LAST)]
    ),
    "chunked twice": Play(
        lambda answer: [answer.chunked(chunk(answer.body), LAST, headers=["Transfer-Encoding: chunked"])],
        ends=Ends.FINE,
    ),
    "an unknown transfer encoding": Play(
        lambda answer: [answer.head("Transfer-Encoding: rot13") + answer.body], ends=Ends.FINE
    ),
}

STATUSES: dict[str, Play] = {
    **{
        f"a status of {status!r}": Play(
            lambda answer, status=status: [answer.head(status=f"HTTP/1.1 {status} OK") + answer.body]
        )
        for status in ("0", "99", "101", "103", "199", "206", "226", "299", "600", "999", "1000", "-201", "abc", "20x")
    },
    **{
        f"a {status} with a body": Play(
            lambda answer, status=status: [answer.head(status=f"HTTP/1.1 {status} OK") + answer.body]
        )
        for status in (100, 204, 205, 304)
    },
    "no reason": Play(lambda answer: [answer.head(status=f"HTTP/1.1 {answer.status}") + answer.body], ends=Ends.FINE),
    "HTTP/1.0": Play(lambda answer: [answer.head(status=f"HTTP/1.0 {answer.status} OK") + answer.body], ends=Ends.FINE),
    "HTTP/0.9: a body alone": Play(lambda answer: [answer.body]),
    "HTTP/2 by its status line": Play(lambda answer: [answer.head(status=f"HTTP/2 {answer.status}") + answer.body]),
    "a preface of HTTP/2": Play(lambda _: [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"]),
    "frames of HTTP/2": Play(lambda _: [b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff"]),
    "a banner of SSH": Play(lambda _: [b"SSH-2.0-OpenSSH_9.6\r\n"]),
    "a TLS alert": Play(lambda _: [b"\x15\x03\x03\0\2\2\x46"]),
    "no version": Play(lambda answer: [answer.head(status=f"HTTP {answer.status} OK") + answer.body]),
    "another protocol": Play(lambda answer: [answer.head(status=f"ICY {answer.status} OK") + answer.body]),
    "a request": Play(lambda _: [b"GET / HTTP/1.1\r\nHost: you\r\n\r\n"]),
    "a thousand NULs": Play(lambda _: [bytes(1000)]),
}

BODIES: dict[str, Play] = {
    "an empty body": Play(lambda answer: [answer.saying(b"")]),
    "a page of HTML": Play(
        lambda answer: [answer.saying(b"<html><h1>It works!</h1></html>", "Content-Type: text/html")]
    ),
    "a text": Play(lambda answer: [answer.saying(b'"ok"')]),
    "a number": Play(lambda answer: [answer.saying(b"1")]),
    "null": Play(lambda answer: [answer.saying(b"null")]),
    "true": Play(lambda answer: [answer.saying(b"true")]),
    "an empty array": Play(lambda answer: [answer.saying(b"[1]")]),
    "an empty object": Play(lambda answer: [answer.saying(b"{}")]),
    "half of the JSON": Play(lambda answer: [answer.saying(answer.body[: len(answer.body) // 2])]),
    "JSON and more": Play(lambda answer: [answer.saying(answer.body + b"x")]),
    "the JSON twice": Play(lambda answer: [answer.saying(answer.body * 2)]),
    "JSON with a comment": Play(lambda answer: [answer.saying(b"/* ok */" + answer.body)]),
    "JSON in UTF-16": Play(lambda answer: [answer.saying(answer.body.decode().encode("utf-16"))]),
    "JSON that is no UTF-8": Play(lambda answer: [answer.saying(_added(answer, "0").replace(b"more", b"m\xe9"))]),
    "JSON with half of a pair in it": Play(
        lambda answer: [answer.saying(_added(answer, "0").replace(b"more", b"\xed\xa0\x80"))]
    ),
    "JSON with a NUL at its end": Play(lambda answer: [answer.saying(answer.body + b"\0")]),
    "every name twice": Play(lambda answer: [answer.saying(answer.body[:-1] + b", " + answer.body[1:])]),
    "a name twice, deep inside": Play(lambda answer: [answer.saying(_added(answer, '[{"a": 1, "a": 2}]'))]),
    "a hundred thousand levels": Play(lambda answer: [answer.saying(_added(answer, "[" * 100_000 + "]" * 100_000))]),
    "a hundred thousand objects in each other": Play(
        lambda answer: [answer.saying(_added(answer, '{"a":' * 100_000 + "1" + "}" * 100_000))]
    ),
    "a million values, and more": Play(lambda answer: [answer.saying(_added(answer, "[" + "[]," * 2_000_000 + "1]"))]),
    "a mark of order before the JSON": Play(
        lambda answer: [answer.saying(b"\xef\xbb\xbf" + answer.body)], ends=Ends.FINE
    ),
    "blanks around the JSON": Play(lambda answer: [answer.saying(b" \r\n\t" + answer.body + b"\n")], ends=Ends.FINE),
    "JSON as text/html": Play(
        lambda answer: [answer.saying(answer.body, "Content-Type: text/html; charset=utf-16")], ends=Ends.FINE
    ),
    **{
        f"a field more: {text[:24]}": Play(
            lambda answer, text=text: [answer.saying(_added(answer, text))], ends=Ends.FINE
        )
        for text in (
            "1e400",
            "-1e400",
            "1e-400",
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "1e999999999999999999999",
            "9" * 5000,
            "-" + "9" * 100_000,
            "0." + "1" * 100_000,
            '"\\ud800"',
            '"\\u0000"',
            '["\\udfff", {"\\ud800": 1}]',
        )
    },
}

ENCODINGS: dict[str, Play] = {
    "gzip": Play(lambda answer: [answer.saying(gzip.compress(answer.body), "Content-Encoding: gzip")], ends=Ends.FINE),
    "deflate": Play(
        lambda answer: [answer.saying(zlib.compress(answer.body), "Content-Encoding: deflate")], ends=Ends.FINE
    ),
    "gzip twice": Play(
        lambda answer: [answer.saying(gzip.compress(gzip.compress(answer.body)), "Content-Encoding: gzip, gzip")],
        ends=Ends.FINE,
    ),
    "plain text that is called gzip": Play(lambda answer: [answer.saying(answer.body, "Content-Encoding: gzip")]),
    "plain text that is called deflate": Play(lambda answer: [answer.saying(answer.body, "Content-Encoding: deflate")]),
    "gzip that is called plain": Play(lambda answer: [answer.saying(gzip.compress(answer.body))]),
    "gzip that is called Brotli": Play(
        lambda answer: [answer.saying(gzip.compress(answer.body), "Content-Encoding: br")]
    ),
    "gzip twice that is called gzip": Play(
        lambda answer: [answer.saying(gzip.compress(gzip.compress(answer.body)), "Content-Encoding: gzip")]
    ),
    "gzip in ten layers": Play(
        lambda answer: [answer.saying(answer.body, "Content-Encoding: " + ", ".join(["gzip"] * 10))]
    ),
    "half of the gzip": Play(
        lambda answer: [answer.saying(gzip.compress(answer.body)[:-20], "Content-Encoding: gzip")]
    ),
    "gzip with a wrong sum": Play(
        lambda answer: [
            answer.saying(gzip.compress(answer.body)[:-8] + bytes(8), "Content-Encoding: gzip"),
        ]
    ),
    "a gzip bomb": Play(lambda answer: [answer.saying(bomb(1), "Content-Encoding: gzip")]),
    "a gzip bomb in a gzip": Play(lambda answer: [answer.saying(bomb(2), "Content-Encoding: gzip, gzip")]),
    "a gzip bomb in chunks": Play(
        lambda answer: [answer.chunked(chunk(bomb(1)), LAST, headers=["Content-Encoding: gzip"])]
    ),
}

HEADERS: dict[str, Play] = {
    "a header without a name": Play(lambda answer: [answer.head(": nobody") + answer.body], ends=Ends.FINE),
    "a header without a colon": Play(lambda answer: [answer.head("nothing") + answer.body], ends=Ends.FINE),
    "a header with NULs": Play(lambda answer: [answer.head("X-Nul: \0\0") + answer.body], ends=Ends.FINE),
    "a header in Latin-1": Play(lambda answer: [answer.head("X-\xc4\xd6: \xdc") + answer.body], ends=Ends.FINE),
    "a folded header": Play(lambda answer: [answer.head("X-Fold: a\r\n b") + answer.body], ends=Ends.FINE),
    "ninety headers": Play(
        lambda answer: [answer.head(*(f"X-{number}: 1" for number in range(90))) + answer.body], ends=Ends.FINE
    ),
    "a hundred and one headers": Play(
        lambda answer: [answer.head(*(f"X-{number}: 1" for number in range(101))) + answer.body]
    ),
    "a header of a megabyte": Play(lambda answer: [answer.head("X-Long: " + "a" * 1_000_000) + answer.body]),
    "a cookie": Play(lambda answer: [answer.head("Set-Cookie: a=b; Path=/") + answer.body], ends=Ends.FINE),
    "a pause that nobody could keep": Play(
        lambda answer: [answer.head("Retry-After: " + "9" * 5000) + answer.body], ends=Ends.FINE
    ),
    "to switch protocols": Play(
        lambda answer: [answer.head("Upgrade: h2c", "Connection: Upgrade") + answer.body], ends=Ends.FINE
    ),
}

REDIRECTS: dict[str, Play] = {
    f"a redirect {status}": Play(
        lambda answer, status=status: [
            answer.head("Location: /elsewhere", status=f"HTTP/1.1 {status} There") + answer.body
        ],
        ends=Ends.AWAY,
    )
    for status in (300, 301, 302, 303, 305, 306, 307, 308, 399)
}

DESYNCHRONISED: dict[str, Play] = {
    "the answer twice": Play(lambda answer: [answer.whole * 2]),
    "the answer, and a byte": Play(lambda answer: [answer.whole + b"\n"]),
    "the answer, and another status": Play(lambda answer: [answer.whole + b"HTTP/1.1 500 No\r\n\r\n"]),
    "the answer in chunks, and a byte": Play(lambda answer: [answer.chunked(chunk(answer.body), LAST) + b"x"]),
    "an interim answer, and the answer": Play(
        lambda answer: [b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" + answer.whole], ends=Ends.FINE
    ),
    "early hints, and the answer": Play(
        lambda answer: [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer.whole]
    ),
    "a body without a length": Play(lambda answer: [answer.head(length=None) + answer.body], ends=Ends.FINE),
    "the whole answer byte by byte": Play(lambda answer: bytes_of(answer.whole), ends=Ends.FINE),
    "the whole answer, and a reset": Play(lambda answer: [answer.whole], Then.RESET, ends=Ends.EITHER),
    "the answer before the request": Play(lambda answer: [answer.whole], hears=0, ends=Ends.EITHER),
}

#: All of them, by what they are about.
GROUPS: dict[str, dict[str, Play]] = {
    "resets": _breaks(Then.RESET),
    "hang-ups": _breaks(Then.FIN),
    "drips": DRIPS,
    "without end": ENDLESS,
    "lengths": LENGTHS,
    "statuses": STATUSES,
    "bodies": BODIES,
    "encodings": ENCODINGS,
    "headers": HEADERS,
    "redirects": REDIRECTS,
    "out of step": DESYNCHRONISED,
}

PLAYS: dict[str, Play] = {name: play for group in GROUPS.values() for name, play in group.items()}
