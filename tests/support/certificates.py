"""Certificates for tests, good and bad, made by openssl on this machine."""

from __future__ import annotations

import shutil
import subprocess
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
