"""What a drill is asked for, and what it hands back: one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

#: Sentences of one drill that are shown; all of them are counted.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """How a drill is to be played.

    Attributes:
        seed: Of the story, of the faults, and of the order of blows.
        quick: A short form, as in the check of every submission.
        pool: Celery pool of the workers.
        log: Where the log of the workers is kept; nowhere when None.
    """

    seed: int = 1
    quick: bool = False
    pool: str = "threads"
    log: Path | None = None

    def of(self, whole: int, short: int) -> int:
        """A number for the whole form or for the short one."""
        return short if self.quick else whole


@dataclass(frozen=True, slots=True)
class Report:
    """How a drill ended. Everything in it was counted.

    Attributes:
        drill: Its name.
        seed: As asked for.
        events: How often each blow fell.
        accepted: Receipts that were given.
        settled: Of them, how many ended.
        lost: Outcomes that are not in the books, and receipts that broke their word.
        doubled: Effects that no intent accounts for.
        stuck: Intents that had not ended within the bound, once the blows were over.
        untrue: Dead letters that say what is not true.
        violations: Rules of the ledger that its books break.
        seconds: How long all of it took.
        figures: What else this drill counts.
        sentences: What is wrong, in words; sound without any.
        skipped: Why it was not played at all; empty when it was.
    """

    drill: str
    seed: int
    events: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    settled: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    untrue: int = 0
    violations: int = 0
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def sound(self) -> bool:
        """Nothing is wrong, and what was to strike did."""
        return not self.sentences

    def wrong(self, sentence: str) -> Report:
        """The same, and something more that is wrong."""
        return replace(self, sentences=(*self.sentences, sentence))

    @classmethod
    def of_line(cls, line: str) -> Report:
        """A report from its line, as another process has printed it."""
        document = json.loads(line)
        names = [item.name for item in fields(cls) if item.name not in ("figures", "sentences")]
        known = {name: document.pop(name) for name in names if name in document}
        sentences = tuple(document.pop("sentences", ()))
        for name in ("sound", "wrong"):
            document.pop(name, None)
        return cls(**known, figures=document, sentences=sentences)

    def line(self) -> str:
        """All of it as one line."""
        document = asdict(self)
        figures = document.pop("figures")
        sentences, skipped = document.pop("sentences"), document.pop("skipped")
        if skipped:
            return json.dumps({"drill": self.drill, "seed": self.seed, "sound": self.sound, "skipped": skipped})
        told = {"sentences": sentences[:_SHOWN], "wrong": len(sentences)} if sentences else {}
        return json.dumps({**document, "sound": self.sound, **figures, **told})


def too_few(events: Mapping[str, int], least: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each blow that did not fall as often as it had to: then the drill shows nothing."""
    for name, number in least.items():
        if events.get(name, 0) < number:
            yield f"idle: {name} fell {events.get(name, 0)} times, and had to fall {number} times at least"
