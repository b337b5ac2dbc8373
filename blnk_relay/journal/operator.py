"""What operators do with the journals: look over them, list, replay, discard, pause and resume."""

from __future__ import annotations

from blnk_relay.journal.hands.care import Care
from blnk_relay.journal.hands.crew import Crew
from blnk_relay.journal.hands.gates import Gates
from blnk_relay.journal.hands.many import Many


class Operator(Many, Gates, Crew, Care):
    """An operator's hands on the journals: look over them, list, replay and discard dead letters, pause and resume.

    All methods raise :class:`~blnk_relay.errors.JournalUnavailable` when Redis does not answer within its timeout.

    Args:
        journals: Those of all targets, such as a relay's (``relay.journals``). They stay their owner's to close.
        bells: To wake workers after a replay, a discard or a resume; bells of its own when None.
        via: From where it acts, for the log of actions.

    Example:
        ::

            with Operator.from_env() as operator:
                for letter in operator.listed("dead", code="TXN_INSUFFICIENT_FUNDS"):
                    print(letter.key, operator.plan(letter).why)
    """
