"""How far a journal is copied into history; what is copied, and how, stands in :mod:`blnk_relay.journal.copying`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.settings import Settings

#: What keeps history from going on, where it is an error that nobody thought of.
UNFORESEEN = "unforeseen"


@dataclass(frozen=True, slots=True)
class HistoryLag:
    """How far one journal is copied into history.

    Attributes:
        target: Whose journal it is.
        on: Whether what is over is only trimmed once it is copied.
        uncopied: Intents that have ended or changed, and replays, that are not copied yet.
        oldest_s: For how long the first of them waits.
        walking: Intents that were over before and are still to be walked through.
        held: Finished intents that are only kept because they are not copied; each takes about what it did before.
        seen_s: Seconds since somebody last looked what is to be copied; None for never.
        trouble: What keeps it from going on, in one word; empty for nothing: ``schema`` (run ``blnk-relay history
            upgrade``), ``newer`` (its tables are of a newer version), ``encoding`` (it is not UTF-8), ``replaced``
            (its file was), ``unforeseen`` (an error of this version; workers log it), ``shape`` (run ``blnk-relay
            upgrade``), ``database`` (somebody copies into another one), ``journal`` (another journal of this name is
            copied into this database), or the name of an error.
        trouble_s: For how long.
        begun_s: Seconds since somebody began a page that is not over; None where none is under way.
    """

    target: str
    on: bool = False
    uncopied: int = 0
    oldest_s: float = 0.0
    walking: int = 0
    held: int = 0
    seen_s: float | None = None
    trouble: str = ""
    trouble_s: float = 0.0
    begun_s: float | None = None


def lag_flow(settings: Settings, target: str) -> Flow[HistoryLag]:
    """How far a journal is copied; its cost does not grow with what is to be done."""
    now_ms, _ = yield Run("now", ())
    told = yield Ask(lag_commands(settings.prefix(target)), whole=False)
    return (yield from lag_rest_flow(settings, target, now_ms, told))


def lag_commands(prefix: str) -> tuple[tuple[str | int, ...], ...]:
    """What is read first, in a trip of whoever asks for other things as well."""
    return (
        ("HGET", f"{prefix}ground", "history"),
        ("HMGET", f"{prefix}history", "seen", "walked", "letters", "trouble", "trouble_since", "begun"),
    )


def lag_rest_flow(settings: Settings, target: str, now_ms: int, told: Sequence[Any]) -> Flow[HistoryLag]:
    """The rest of it: no trip where history is off and nothing is in its way, else one.

    Args:
        settings: The bounds.
        target: Whose journal it is.
        now_ms: The time of the journal.
        told: What the commands of :func:`lag_commands` answered.
    """
    prefix = settings.prefix(target)
    on, (seen, walked, letters, trouble, since, begun) = told
    if not on and not trouble:
        return HistoryLag(target)
    over_ms = now_ms - int(settings.retention_s * 1000)
    counts: list[tuple[str | int, ...]] = [("ZCOUNT", f"{prefix}done", "-inf", over_ms)]
    counts += [("ZCOUNT", f"{prefix}done", walked.partition(" ")[0], "+inf")] if walked else []
    counts += [("ZCARD", f"{prefix}dead"), ("ZCARD", f"{prefix}discarded")] if letters else []
    uncopied, first, lives, held, *walking = yield Ask(
        (
            ("ZCARD", f"{prefix}uncopied"),
            ("ZRANGE", f"{prefix}uncopied", 0, 0, "WITHSCORES"),
            ("LLEN", f"{prefix}lives"),
            *counts,
        ),
        whole=False,
    )
    return HistoryLag(
        target=target,
        on=bool(on),
        uncopied=uncopied + lives,
        oldest_s=max(0.0, (now_ms - first[0][1]) / 1000) if first else 0.0,
        walking=sum(walking),
        held=held if on else 0,
        seen_s=max(0.0, (now_ms - int(seen)) / 1000) if seen else None,
        trouble=trouble or "",
        trouble_s=max(0.0, (now_ms - int(since)) / 1000) if trouble else 0.0,
        begun_s=max(0.0, (now_ms - int(begun)) / 1000) if begun else None,
    )
