"""When to try again: exponential with full jitter, as an immutable value that sleeps nowhere."""

from __future__ import annotations

from dataclasses import dataclass

#: A ``Retry-After`` beyond this is taken as this: a target that asks for days is asking for a human.
RETRY_AFTER_MAX_S = 3_600.0

#: Doublings after which every policy has long reached its cap; keeps the power small.
_MAX_DOUBLINGS = 40


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts.

    Attributes:
        base_s: Upper bound of the first pause.
        cap_s: Upper bound of any pause.

    Example:
        >>> Backoff(base_s=0.5, cap_s=60).wait_s(3, draw=0.5)
        2.0
    """

    base_s: float
    cap_s: float

    def wait_s(self, attempt: int, draw: float) -> float:
        """Seconds until the next attempt.

        Args:
            attempt: Attempts made so far, from 0.
            draw: A uniform random number in [0, 1): full jitter, so that a fleet does not come back in step.

        Returns:
            Seconds, at least 0 and at most ``cap_s``.
        """
        return draw * min(self.cap_s, self.base_s * 2.0 ** min(max(attempt, 0), _MAX_DOUBLINGS))


def growing_s(waited_s: float, first_s: float, most_s: float) -> float:
    """A pause in proportion to how long one has waited already: geometric, and no counter to keep.

    Args:
        waited_s: Seconds waited so far.
        first_s: Shortest pause.
        most_s: Longest pause.

    Returns:
        Seconds between ``first_s`` and ``most_s``.
    """
    return min(max(first_s, waited_s * 0.6), most_s)
