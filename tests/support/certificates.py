"""Certificates for tests, good and bad, made by openssl on this machine."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

#: The names of this machine.
_HERE = "IP:127.0.0.1,DNS:localhost"

_LONG_AGO, _FAR_OFF = "20200101000000Z", "20900101000000Z"

#: What openssl keeps for an authority that says itself when a certificate begins and ends.
_BOOKS = {
    "index": "",
    "serial": "1000\n",
    "authority": (
        "[ca]\ndefault_ca=us\n[us]\ndatabase=index\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n"
        "policy=any\nunique_subject=no\ncopy_extensions=copy\n[any]\ncommonName=supplied\n"
    ),
}

#: What is wrong with each, and what OpenSSL says of it; the good one is "good".
BAD = {
    "self-signed": "self-signed certificate",
    "other-name": "Hostname mismatch",
    "other-address": "IP address mismatch",
    "expired": "certificate has expired",
    "not-yet": "certificate is not yet valid",
    "unknown-authority": "unable to get local issuer certificate",
}


def make_certificates(folder: Path) -> None:
    """Make an authority (``ca.crt``), and for each name a certificate with its key: ``good.crt``, ``good.key`` ….

    Skips the test where the machine has no openssl.
    """
    authority, stranger = Authority(folder, "ca"), Authority(folder, "stranger")
    authority.openssl(
        "req", "-x509", *_NEW, "-keyout", "self-signed.key", "-out", "self-signed.crt", "-days", "2",
        "-subj", "/CN=localhost", "-addext", f"subjectAltName={_HERE}",
    )  # fmt: skip
    authority.certify("good")
    authority.certify("other-name", names="DNS:elsewhere.example")
    authority.certify("other-address", names="IP:127.0.0.9")
    authority.certify("expired", end="20200102000000Z")
    authority.certify("not-yet", begin=_FAR_OFF)
    stranger.certify("unknown-authority")


def certified(folder: Path, days: int) -> Path:
    """Make an authority in a folder, and a certificate of it for this machine.

    Args:
        folder: Gets ``ca.crt``, ``server.crt``, ``server.key``.
        days: How long it is good for; below 0 it is over.

    Returns:
        The authority's certificate.
    """
    ends = datetime.now(UTC) + timedelta(days=days)
    Authority(folder, "ca").certify("server", end=f"{ends:%Y%m%d%H%M%SZ}")
    return folder / "ca.crt"


class Authority:
    """An authority in a folder, with as many others as there are; skips the test where there is no openssl.

    Args:
        folder: Gets its certificate and its key.
        name: What they are called.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl on the machine, which makes the certificates")
        self._folder = folder
        self._name = name
        self.openssl(
            "req", "-x509", *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2",
            "-subj", f"/CN={name}",
            # Python 3.13 and newer want an authority to say that it is one.
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
        for file, text in _BOOKS.items():
            (folder / file).write_text(text, encoding="utf-8")

    def openssl(self, *words: str) -> None:
        """Run it in the folder."""
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)

    def certify(self, name: str, *, begin: str = _LONG_AGO, end: str = _FAR_OFF, names: str = _HERE) -> None:
        """Make a certificate with its key that is good between two times, written as ASN.1 does, for some names."""
        self.openssl(
            "req", *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={names}",
        )  # fmt: skip
        self.openssl(
            "ca", "-batch", "-notext", "-config", "authority", "-cert", f"{self._name}.crt", "-keyfile",
            f"{self._name}.key", "-in", f"{name}.csr", "-out", f"{name}.crt", "-startdate", begin, "-enddate", end,
        )  # fmt: skip


@contextmanager
def https(folder: Path) -> Iterator[str]:
    """A server with that certificate, which knows no route; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def both_certified(folder: Path) -> None:
    """Make an authority, and a certificate of it for the server and for us."""
    authority = Authority(folder, "ca")
    authority.certify("server")
    authority.certify("us")
