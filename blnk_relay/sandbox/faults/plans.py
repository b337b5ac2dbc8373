"""Which requests are hit by which fault: seeded plans, scripts, or none.

A seeded plan decides by a hash of seed, method, identity and how often that was seen before, so the
order in which concurrent requests arrive does not change which of them are hit.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blnk_relay.sandbox.faults.kinds import DEFAULT_KINDS, KINDS, Fault, FaultKind, Subject

#: Identities a seeded plan counts; the oldest are forgotten beyond this, the bound on memory.
_MAX_IDENTITIES = 200_000

#: The hash gives 64 bits.
_HASH_RANGE = float(2**64)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a script.

    Attributes:
        kind: Name of the fault.
        method: Only requests with this method; all when empty.
        path: Only paths that start so.
        identity: Only requests whose identity contains this, for example a reference; all when empty.
        skip: Let so many matching requests pass first.
        times: How many requests are hit; None for all.
        seconds: For kinds that wait; their default when None.
    """

    kind: str
    method: str = ""
    path: str = ""
    identity: str = ""
    skip: int = 0
    times: int | None = 1
    seconds: float | None = None

    def __post_init__(self) -> None:
        Fault.of(self.kind)

    def matches(self, subject: Subject) -> bool:
        """Whether the rule is about this request."""
        return (
            self.method in {"", subject.method}
            and subject.path.startswith(self.path)
            and self.identity in subject.identity
            and subject.suits(KINDS[self.kind].fits)
        )


class Faults(ABC):
    """A plan of faults. Build one with :meth:`none`, :meth:`seeded` or :meth:`script`."""

    @abstractmethod
    def decide(self, subject: Subject) -> Fault | None:
        """What happens to this request; called once for each, in the order they arrive."""

    @staticmethod
    def none() -> Faults:
        """A plan without faults."""
        return Script(())

    @staticmethod
    def script(rules: Iterable[Rule]) -> Faults:
        """A plan that hits exactly what the rules say; the first matching rule with hits left wins.

        Example:
            >>> plan = Faults.script([Rule("drop_after", method="POST", path="/proxy/transactions")])
        """
        return Script(rules)

    @staticmethod
    def seeded(
        seed: int,
        rate: float = 0.1,
        kinds: Sequence[str] = DEFAULT_KINDS,
        limit: int | None = None,
        *,
        read_rate: float | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> Faults:
        """A plan that hits a share of all requests, the same ones for the same seed.

        Kinds with a burst (401, 403, 429) are rarer than the others and then hit a few requests in a
        row, whatever these are; which further ones depends on the order of arrival, and which
        ``POST /*/filter`` reads are hit depends on how the client batches them. Everything else
        depends on the request alone.

        Args:
            seed: Any integer.
            rate: Share of the writes that are hit, 0 to 1.
            kinds: Names of the kinds to choose from.
            limit: At most so many hits; None for no limit.
            read_rate: Share of the reads that are hit; a quarter of ``rate`` when None.
            seconds: Seconds of single kinds instead of their defaults.

        Raises:
            ValueError: An unknown kind, or a rate outside 0 to 1.
        """
        return Seeded(seed, rate, kinds, limit, read_rate=rate / 4 if read_rate is None else read_rate, seconds=seconds)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Faults:
        """A plan from JSON, as ``POST /_sandbox/faults`` takes it.

        Args:
            document: ``{"plan": "none"}``, ``{"plan": "seeded", "seed": 7, …}`` with the arguments of
                :meth:`seeded`, or ``{"plan": "script", "rules": [{"kind": …}, …]}``.

        Raises:
            ValueError: It is none of these.
        """
        arguments = dict(document)
        plan = arguments.pop("plan", None)
        try:
            if plan == "none":
                return Faults.none()
            if plan == "seeded":
                return Faults.seeded(**arguments)
            if plan == "script":
                return Faults.script([Rule(**rule) for rule in arguments["rules"]])
        except (TypeError, KeyError) as error:
            raise ValueError(f"this is no {plan} plan: {error}") from error
        raise ValueError("plan must be none, seeded or script")


class Script(Faults):
    """Hits what its rules say."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [(rule, [rule.skip, rule.times]) for rule in rules]

    def decide(self, subject: Subject) -> Fault | None:  # noqa: D102 - see the base class
        for rule, state in self._rules:
            if not rule.matches(subject):
                continue
            skip, times = state
            if skip:
                state[0] = skip - 1
                continue
            if times is None or times > 0:
                state[1] = None if times is None else times - 1
                return Fault.of(rule.kind, rule.seconds)
        return None


class Seeded(Faults):
    """Hits a share of all requests; see :meth:`Faults.seeded`."""

    def __init__(
        self,
        seed: int,
        rate: float,
        kinds: Sequence[str],
        limit: int | None,
        *,
        read_rate: float,
        seconds: Mapping[str, float] | None,
    ) -> None:
        if not (0 <= rate <= 1 and 0 <= read_rate <= 1):
            raise ValueError("a rate is a share between 0 and 1")
        self.seed = seed
        self.rate = rate
        self.read_rate = read_rate
        self._faults = [Fault.of(name, (seconds or {}).get(name)) for name in kinds]
        self._left = limit
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._burst: list[Fault] = []

    def decide(self, subject: Subject) -> Fault | None:  # noqa: D102 - see the base class
        if self._left == 0:
            return None
        fault = self._burst.pop() if self._burst else self._drawn(subject)
        if fault is not None and self._left is not None:
            self._left -= 1
        return fault

    def _drawn(self, subject: Subject) -> Fault | None:
        key = (subject.method, subject.identity)
        nth = self._seen.pop(key, 0) + 1
        self._seen[key] = nth
        if len(self._seen) > _MAX_IDENTITIES:
            self._seen.popitem(last=False)
        text = f"{self.seed}|{subject.method}|{subject.identity}|{nth}".encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        rate = self.read_rate if subject.read else self.rate
        if int.from_bytes(digest[:8], "big") / _HASH_RANGE >= rate:
            return None
        return self._picked(subject, int.from_bytes(digest[8:], "big") / _HASH_RANGE)

    def _picked(self, subject: Subject, share: float) -> Fault | None:
        suitable = [fault for fault in self._faults if subject.suits(fault.kind.fits)]
        # Kinds that a plan without weight names (long delays, lost tasks) count as ordinary ones.
        weights = [_weight(fault.kind) for fault in suitable]
        mark = share * sum(weights)
        for fault, weight in zip(suitable, weights, strict=True):
            mark -= weight
            if mark < 0:
                self._burst = [fault] * (fault.kind.burst - 1)
                return fault
        return None


def _weight(kind: FaultKind) -> float:
    return kind.weight or 1.0
