"""Certificates for tests, good and bad, made by openssl on this machine."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

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
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl on the machine, which makes the certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for authority in ("ca", "stranger"):
        openssl(
            "req", "-x509", *_NEW, "-keyout", f"{authority}.key", "-out", f"{authority}.crt", "-days", "2",
            "-subj", f"/CN={authority}",
        )  # fmt: skip
    openssl(
        "req", "-x509", *_NEW, "-keyout", "self-signed.key", "-out", "self-signed.crt", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
    )  # fmt: skip
    (folder / "index").write_text("", encoding="utf-8")
    (folder / "authority").write_text(
        "[ca]\ndefault_ca=us\n[us]\ndatabase=index\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n"
        "policy=any\nunique_subject=no\ncopy_extensions=copy\n[any]\ncommonName=supplied\n",
        encoding="utf-8",
    )
    (folder / "serial").write_text("1000\n", encoding="utf-8")
    for name in ("good", "other-name", "other-address", "expired", "not-yet", "unknown-authority"):
        names = {"other-name": "DNS:elsewhere.example", "other-address": "IP:127.0.0.9"}.get(
            name, "IP:127.0.0.1,DNS:localhost"
        )
        begin, end = {"expired": ("20200101000000Z", "20200102000000Z"), "not-yet": ("20900101000000Z",) * 2}.get(
            name, ("20200101000000Z", "20900101000000Z")
        )
        authority = "stranger" if name == "unknown-authority" else "ca"
        openssl(
            "req", *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={names}",
        )  # fmt: skip
        openssl(
            "ca", "-batch", "-notext", "-config", "authority", "-cert", f"{authority}.crt", "-keyfile",
            f"{authority}.key", "-in", f"{name}.csr", "-out", f"{name}.crt", "-startdate", begin, "-enddate", end,
        )  # fmt: skip


def certified(folder: Path, days: int) -> Path:
    """Make an authority in a folder, and a certificate of it for 127.0.0.1.

    Args:
        folder: Gets ``ca.crt``, ``server.crt``, ``server.key``.
        days: How long it is good for; below 0 it is over.

    Returns:
        The authority's certificate.
    """
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl on the machine")

    def openssl(*words: str) -> int:
        return subprocess.run(["openssl", *words], cwd=folder, check=False, capture_output=True).returncode

    assert openssl("req", "-x509", *_NEW, "-keyout", "ca.key", "-out", "ca.crt", "-days", "9", "-subj", "/CN=Ours") == 0
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
    assert openssl("req", *_NEW, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server") == 0
    sign = ("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
    made = ("-out", "server.crt", "-extfile", "names")
    if openssl(*sign, *made, "-days", str(days)) != 0:
        # Newer ones take no days before today.
        over = ("-not_before", "20200101000000Z", "-not_after", "20200102000000Z")
        assert days < 0
        assert openssl(*sign, *made, *over) == 0
    return folder / "ca.crt"


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
