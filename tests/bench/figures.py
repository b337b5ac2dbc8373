"""What a measure comes to: runs, their median and spread, a target and whether it was met. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contestant.

    Attributes:
        value: The figure, in the measure's unit.
        lost: References that never reached the ledger, or whose intent was left open.
        doubled: Posts of a reference beyond its first.
    """

    value: float
    lost: int = 0
    doubled: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """All runs of one contestant."""

    label: str
    runs: Sequence[Run]

    @property
    def median(self) -> float:
        """The middle figure."""
        return median(run.value for run in self.runs)

    @property
    def least(self) -> float:
        """The smallest figure."""
        return min(run.value for run in self.runs)

    @property
    def most(self) -> float:
        """The largest figure."""
        return max(run.value for run in self.runs)

    @property
    def lost(self) -> int:
        """Over all runs."""
        return sum(run.lost for run in self.runs)

    @property
    def doubled(self) -> int:
        """Over all runs."""
        return sum(run.doubled for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "label": self.label,
            "median": self.median,
            "min": self.least,
            "max": self.most,
            "runs": [run.value for run in self.runs],
            "lost": self.lost,
            "doubled": self.doubled,
        }


@dataclass(frozen=True, slots=True)
class Goal:
    """What a measure is held against.

    Attributes:
        value: The bound.
        most: The bound is an upper one.
        ratio: It bounds ours divided by the first peer's, not our own figure.
    """

    value: float
    most: bool = False
    ratio: bool = False

    def met_by(self, figure: float) -> bool:
        """Whether a figure keeps to it."""
        return figure <= self.value if self.most else figure >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.most else '≥'} {self.value:g}{' x' if self.ratio else ''}"


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the report.

    Attributes:
        name: Stable, for ``--only`` and for the JSON.
        ours: Our runs.
        peers: Theirs; the first one is what a ratio is taken against.
        target: None where the figure is for information.
        notes: Short facts for the JSON, such as the 95th percentile.
    """

    name: str
    title: str
    unit: str
    ours: Series
    peers: Sequence[Series] = ()
    target: Goal | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def ratios(self, peer: Series) -> list[float]:
        """Ours against a peer's, round by round: both of a round met the same weather on the machine."""
        return [ours.value / theirs.value for ours, theirs in zip(self.ours.runs, peer.runs, strict=False)]

    @property
    def ratio(self) -> float | None:
        """Ours against the first peer's: the median over the rounds."""
        return median(self.ratios(self.peers[0])) if self.peers else None

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        if self.target is None:
            return None
        figure = self.ratio if self.target.ratio else self.ours.median
        return figure is not None and self.target.met_by(figure)

    @property
    def sound(self) -> bool:
        """Whether we lost nothing and doubled nothing."""
        return not (self.ours.lost or self.ours.doubled)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        target = self.target
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            **self.ours.as_json(),
            "ratio": self.ratio,
            "ratio_runs": self.ratios(self.peers[0]) if self.peers else [],
            "target": target and {"value": target.value, "is_upper": target.most, "is_ratio": target.ratio},
            "met": self.met,
            "peers": [peer.as_json() for peer in self.peers],
            "notes": self.notes,
        }
