"""Service links: variables that Kubernetes, and Docker before it, puts into every container for each service. Pure.

A service whose name begins with ``blnk-relay`` so makes variables that begin like ours, and nobody has set them.
"""

from __future__ import annotations

import re

_ADDRESS = r"[0-9a-fA-F.:]{2,45}"
_NUMBER = r"[0-9]{1,5}"
_URL = rf"(?:tcp|udp|sctp)://(?:\[{_ADDRESS}\]|[0-9.]{{7,15}}):{_NUMBER}"

#: Ends of their names, with what stands under them.
_LINK = re.compile(
    rf"\w+(?:_SERVICE_HOST={_ADDRESS}|_SERVICE_PORT(?:_\w+)?={_NUMBER}|_PORT={_URL}"
    rf"|_PORT_{_NUMBER}_(?:TCP|UDP|SCTP)(?:={_URL}|_PROTO=(?:tcp|udp|sctp)|_PORT={_NUMBER}|_ADDR={_ADDRESS}))",
    re.ASCII,
)


def is_service_link(name: str, value: str) -> bool:
    """Whether a variable is one of them: by its name and its value together, so that no setting is taken for one.

    Args:
        name: Its name.
        value: Its value.

    Example:
        >>> is_service_link("BLNK_RELAY_METRICS_PORT", "tcp://10.96.0.7:9464")
        True
        >>> is_service_link("BLNK_RELAY_METRICS_PORT", "9464")
        False
    """
    return _LINK.fullmatch(f"{name}={value}") is not None
