"""What moves in a recorded intent, and the numbers that decisions about it depend on.

Times are milliseconds since 1970 by the clock of Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blnk_relay.intents.retry import Backoff


@dataclass(frozen=True, slots=True)
class Progress:
    """A recorded intent: the part that moves, as it was when it was claimed.

    Attributes:
        now_ms: Time of the claim.
        since_ms: When its present life began: accepted, or replayed by an operator.
        deadline_ms: When it becomes a dead letter if still undecided.
        attempts: Counted attempts of this life.
        sent: A request may have taken effect at the ledger. Never taken back within a generation.
        first_sent_ms: When such a request was first sent; 0 for never.
        last_sent_ms: When such a request was last sent, or the end of the lapsed lease it may have been sent under.
        sends: How many requests of this life were answered with a 2xx.
        accepted: The last of them was answered with a 2xx.
        refuse: The last answer said no, and only the look-up is missing: absent means refused.
        memo: What the kind recorded before sending, for example the sum of a hold's commits.
        generation: 0, and one more whenever its references were used up to no effect, and it began anew.
        code: Code of the last answer.
        message: Message of the last answer, capped.
        looking: It waits for a look at the ledger, whatever else is known.
        draw: A uniform random number in [0, 1), drawn at the claim, for jitter.
        created_ms: When it was accepted.
        lost_ms: End of the moments of which the journal knows nothing and in which it may have been sent: they are
            lost, or, with ``again``, forgotten; 0 for none.
        tail_ms: Since when these moments may be lost; 0 where nobody can tell.
        again: It may repeat an intent whose key the journal has forgotten, and that was over before ``lost_ms``.
        solid_ms: Since when the journal's clock and its tail can be trusted: no silence is older than that.
    """

    now_ms: int
    since_ms: int
    deadline_ms: int
    attempts: int = 0
    sent: bool = False
    first_sent_ms: int = 0
    last_sent_ms: int = 0
    sends: int = 0
    accepted: bool = False
    refuse: bool = False
    memo: Mapping[str, Any] = field(default_factory=dict, repr=False)
    generation: int = 0
    code: str = ""
    message: str = field(default="", repr=False)
    looking: bool = False
    draw: float = 0.5
    created_ms: int = 0
    lost_ms: int = 0
    tail_ms: int = 0
    again: bool = False
    solid_ms: int = 0

    @property
    def age_s(self) -> float:
        """Seconds of its present life."""
        return max(0.0, (self.now_ms - self.since_ms) / 1000)

    @property
    def quiet_for_s(self) -> float:
        """Seconds of silence: since a request that may have taken effect was last sent, as far as that is known."""
        return max(0.0, (self.now_ms - max(self.last_sent_ms, self.solid_ms)) / 1000)

    @property
    def untouched(self) -> bool:
        """Nothing was sent yet, and nothing is to be looked for."""
        return not self.sent and not self.looking

    @property
    def maybe_sent(self) -> bool:
        """It was sent, or may have been in moments that the journal has lost, also where a repeat would do no harm."""
        return self.sent or (self.lost_ms > 0 and not self.again)

    @property
    def forgotten(self) -> bool:
        """It counts as sent only because the journal may not know of it: nothing is recorded of that request."""
        return self.lost_ms > 0 and not self.memo


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers that decisions depend on; units and reasons in :class:`blnk_relay.settings.Settings`."""

    retry: Backoff
    confirm: bool
    confirm_first_s: float
    confirm_max_s: float
    read_lag_s: float
    horizon_s: float
    stuck_horizon_s: float
    quiet_s: float
    max_attempts: int
    dob_format: str = "rfc3339"
    own_identity_ids: bool = True
