"""What one sandbox is like: its credentials, its delays and the switches of its behaviour.

Plain values, no behaviour. Everything that docs/contract.md only assumes, and whatever differs between releases, is
a switch here, so that a client can be tried against both readings.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

#: A body over this many bytes is refused as malformed (contract §2.0, Core's default request limit).
MAX_BODY_BYTES = 5 * 1024 * 1024

#: What a login allows when nothing else is said: all that a worker needs (contract §1.2).
DEFAULT_SCOPES = ("data:read", "proxy:read", "proxy:write")

#: A multipart body may be larger, up to this: enough for tests of a file of some hundred thousand records.
MAX_UPLOAD_BYTES = 32 * 1024 * 1024

#: The releases of Core that can be played, oldest first. 0.15.3 is what the contract was checked against: its source
#: was read at v0.15.2 plus 47 commits, and 0.15.3 released what stood there beyond 0.15.2 (contract §0, §14.1).
CORE_VERSIONS = ("0.15.2", "0.15.3", "0.15.4")

#: The built-in ledger in which ``@indicator`` balances are created (contract §2.2).
GENERAL_LEDGER_ID = "general_ledger_id"


#: What no edge can do in front of a Core of one's own; said at the start, and in each answer that is missing for it.
UPSTREAM_LIMITS = (
    "A Core shows neither external records nor matching rules nor the runs of an upload (tried on a running one), so "
    "uploads, rules and instant runs cannot be confirmed through this edge, and are not sent; a start of a run is, and "
    "nothing tells what became of one whose answer was lost."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Settings of a sandbox; every one can also be changed while it runs (``Sandbox.set_switches``).

    Times are seconds on the sandbox's clock: real time, or stepped time with ``manual_clock``.

    Attributes:
        token: The bearer token that is allowed everything.
        tokens: Further tokens with their scopes, e.g. ``{"reader": ("data:read",)}`` (contract §1.2).
        instance_id: The only instance this sandbox serves.
        oauth_client_id: The only client of ``/oauth/token`` (contract §1.3).
        oauth_client_secret: Its secret.
        oauth_expires_s: How long an access token lives.
        oauth_rotation: A refresh token dies when it is used.
        core_key: Its master key; also sent to the Core behind ``upstream``.
        core_keys: Further keys of that Core with their scopes, e.g. ``{"k": ("transactions:write",)}``.
        edge_errors: Body of the edge's own refusals, which nobody has documented (contract §1.2).
        manual_clock: Time moves only by ``Sandbox.step``; starts at 2026-01-01T00:00:00Z.
        persist_s: From the 201 to the QUEUED row (contract §3.1 step 4).
        apply_s: From the QUEUED row to its child (contract §3.1 step 7).
        inflight_delay_s: From a queued commit or void to its effect (contract §3.8).
        read_lag_s: How far the Data and Filters API are behind: rows are not there yet, changes of
            metadata, identities and links not made (contract §1.7).
        retry_scale: Factor on the library's retry delays of 7 to 14.5 minutes in total (contract §3.1).
        insufficient_fund_retries: Retry a transaction without funds instead of rejecting it at once.
        coalescing: Queued transactions that wait on common balances are applied together, and lose their
            overdraft limit and effective date then (contract §2.3).
        recovery_interval_s: How often recovery looks.
        recovery_threshold_s: How old a QUEUED row must be to be picked up.
        core_version: Which release of Core is played, one of :data:`CORE_VERSIONS`. 0.15.2 ignores ``dry_run`` (and so
            executes), ``indicator`` on balances and the texts of refunds, and takes negative amounts and precisions and
            a source that is its destination; 0.15.3 does not (contract §14.1, §14.7); 0.15.4 has other codes
            (contract §14.2) and no trap of refunds.
        core_routes: Forward Core routes outside the documented list (contract §1.6).
        dob_dates: Accept ``dob`` as a bare date too, as Cloud's page shows it (contract §2.7).
        tokenization: The instance has the secret that tokenization needs (contract §2.11).
        bulk_inflight: The bulk commits and voids exist, and are forwarded (contract §2.13).
        round_big_ints: Damage integers above 2^53 as a re-encoding edge would (contract §6.3).
        inject_defaults: Fill in ``precision`` and a random ``reference`` (contract §1.5).
        inject_into_bulk: Do so in the items of a batch too.
        precise_amount_as: How the read APIs write minor units (contract §1.7).
        detail_shape: Body of ``GET /data/<resource>/<id>``: the row under ``data``, or bare.
        detail_missing: What that route says of an unknown id.
        coerce_query_values: Query-string filters turn into numbers, booleans and dates (contract §1.7).
        estimate_totals: ``total`` of a transaction filter is a guess unless ``strict_total=true``.
        max_page_size: The largest page.
        oversized_page: A larger ``pageSize`` becomes the default size, as Core does it, or is cut.
        reconciliation_s: How long a reconciliation runs.
        reconciliation_filters: Runs, rules and external records may be filtered (contract §4: assumed).
        max_upload_bytes: A larger upload is 413; the real limit is 256 MiB.
        max_rows: Rows the books may hold; further writes fail with 500, the bound on memory.
        seed: Seed of the sandbox's own random choices (retry jitter).
    """

    token: str = "blnk_sandbox"  # noqa: S105 - a token for a sandbox is no secret
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    instance_id: str = "inst_sandbox"
    oauth_client_id: str = "client_sandbox"
    oauth_client_secret: str = "secret_sandbox"  # noqa: S105 - as above
    oauth_expires_s: float = 3600.0
    oauth_rotation: bool = True
    core_key: str = "blnk_core_sandbox"
    core_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    edge_errors: Literal["json", "error_detail", "text"] = "json"

    manual_clock: bool = False
    persist_s: float = 0.005
    apply_s: float = 0.02
    inflight_delay_s: float = 0.02
    read_lag_s: float = 0.0
    retry_scale: float = 1.0
    insufficient_fund_retries: bool = False
    coalescing: bool = True
    recovery_interval_s: float = 1800.0
    recovery_threshold_s: float = 7200.0

    core_version: Literal["0.15.2", "0.15.3", "0.15.4"] = "0.15.3"
    core_routes: bool = True
    dob_dates: bool = False
    tokenization: bool = True
    bulk_inflight: bool = True
    round_big_ints: bool = False
    inject_defaults: bool = True
    inject_into_bulk: bool = False

    precise_amount_as: Literal["number", "string"] = "number"
    detail_shape: Literal["data", "bare"] = "data"
    detail_missing: Literal["404", "null", "empty"] = "404"
    coerce_query_values: bool = True
    estimate_totals: bool = False
    max_page_size: int = 100
    oversized_page: Literal["default", "cut"] = "default"

    reconciliation_s: float = 0.05
    reconciliation_filters: bool = True
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    max_rows: int = 500_000
    seed: int = 0

    def since(self, version: str) -> bool:
        """Whether the release that is played is this one, or a later one."""
        return CORE_VERSIONS.index(self.core_version) >= CORE_VERSIONS.index(version)

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """These options with some values changed.

        Args:
            changes: New values by name.

        Returns:
            A new object; this one is left as it is.

        Raises:
            ValueError: A name is unknown, fixed from the start, or its value has the wrong type.
        """
        hints = typing.get_type_hints(Options)
        known = {spec.name for spec in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"no switch is called {name!r}; there are {', '.join(sorted(known))}")
            if name in FIXED:
                raise ValueError(f"{name!r} is fixed when the sandbox starts")
            if not _fits(value, hints[name]):
                raise ValueError(f"{name!r} cannot be {value!r}")
        return replace(self, **changes)


#: What nothing may show: even a sandbox's secrets are secrets.
SECRET = frozenset({"token", "tokens", "oauth_client_secret", "core_key", "core_keys"})

#: What cannot be changed while the sandbox runs: the clock and the generator are built from it.
FIXED = frozenset({"manual_clock", "seed"})


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value that came as JSON suits the annotation of a switch."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if origin is not None and not isinstance(origin, types.UnionType):
        return isinstance(value, Mapping)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
