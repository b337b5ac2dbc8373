"""Going to an address by hand, step by step: its name, a connection, TLS and its certificate. Sends nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from datetime import UTC, datetime

from worker.doctor.facts import Reach


def tls_context(
    cafile: str = "", certfile: str = "", keyfile: str = "", *, check_host: bool = True, verify: bool = True
) -> ssl.SSLContext:
    """What a client of ours would trust and show.

    Raises:
        OSError: A file cannot be used.
    """
    context = ssl.create_default_context(cafile=cafile or None)
    context.check_hostname = check_host and verify
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    if certfile:
        context.load_cert_chain(certfile, keyfile or None)
    return context


def probed(host: str, port: int, timeout_s: float, context: ssl.SSLContext | None = None) -> Reach:
    """Go there.

    Args:
        host: Name or address.
        port: Port.
        timeout_s: Longest wait for a connection, and for the handshake; names take as long as this machine's resolver.
        context: With TLS.
    """
    address, steps = f"{host}:{port}", []
    began_s = time.monotonic()

    def took() -> str:
        nonlocal began_s
        before_s, began_s = began_s, time.monotonic()
        return f"{(began_s - before_s) * 1000:.0f} ms"

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = sorted({str(one[4][0]) for one in found})
        steps.append(f"resolves to {', '.join(addresses[:4])}")
        took()
        with contextlib.closing(socket.create_connection((host, port), timeout_s)) as plain:
            steps.append(f"connects in {took()}")
            if context is None:
                return Reach(address, tuple(steps))
            with context.wrap_socket(plain, server_hostname=host) as secured:
                days = _days_left(secured)
                left = "" if days is None else f", its certificate is good for {days:.0f} days"
                steps.append(f"speaks {secured.version()} after {took()}{left}")
                return Reach(address, tuple(steps), days_left=days)
    except ssl.SSLCertVerificationError as error:
        return Reach(address, tuple(steps), f"its certificate is refused: {error.verify_message}")
    except ssl.SSLError as error:
        return Reach(address, tuple(steps), f"no TLS: {error.reason or type(error).__name__}")
    except socket.gaierror:
        return Reach(address, tuple(steps), "its name is not known")
    except TimeoutError:
        return Reach(address, tuple(steps), f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Reach(address, tuple(steps), error.strerror or type(error).__name__)


def _days_left(secured: ssl.SSLSocket) -> float | None:
    """Days that the certificate of the other side is good for; None where it was not checked."""
    certificate = secured.getpeercert() or {}
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return None
    return (ssl.cert_time_to_seconds(ends) - datetime.now(UTC).timestamp()) / 86_400
