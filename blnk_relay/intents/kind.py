"""A kind of write: a bundle of pure functions, and what people are told of it.

Its page in ``docs/kinds`` and ``blnk-relay kinds NAME`` come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blnk_relay.intents.decision import DeadClass, Decision
from blnk_relay.intents.evidence import Evidence
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.progress import Policy, Progress

if TYPE_CHECKING:
    from marshmallow import Schema

    from blnk_relay.intents.decision import DeadClass
    from blnk_relay.intents.intent import Intent


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of write: a bundle of pure functions.

    Attributes:
        name: Such as ``inflight.commit``.
        method: HTTP method.
        path: Path of the route, below the proxy.
        summary: One line for people.
        schema: What is valid; ``load`` gives the canonical payload.
        intent: From the canonical payload to the intent, with its natural key and order.
        lookups: What still has to be read before :attr:`decide` can decide.
        decide: What to do next, from what is known.
        request: The request to send.
        judge: What its answer means.
        about: What people are told of it.
        records: It decides from what it has recorded before sending; and its reference is the ledger's to choose, not
            ours.
        keyed: The ledger knows each request by references of ours, so that a repeat changes nothing. What is not is
            recorded as durably as the settings ask before it is sent, for nothing else would tell a repeat.
        findable: The ledger shows for good whether it was done: nothing that is done later, by us or by others, hides
            it or makes it look undone. So its key may be forgotten, and one that comes again is looked up before it is
            sent. The keys of all other kinds are kept for ever.
        tagged: The ledger knows what it makes by nothing of ours but the tag in its ``meta_data``.
        names: The transactions that it acts on, by reference or row id; while one is still in our own queue, not
            finding it at the ledger proves nothing.
        shape: Makes references of a shape of its own out of a caller's, or a key's.
        claims: References that stand in the payload and are owned by the intent as well.
        renewed: The payload of the next generation, from that of a generation: with fresh references in place of those
            that stand in it.
        parts: What the parts of a payload are called, in order, where it has several: legs, items.
        private: The ledger's error messages may quote personal data, so only their codes are kept.
        also: Further paths of the same method that it is sent to in some cases.
        cloud_only: What only Cloud can read of all that it is proven by; empty where a bare Core can read it as well.
        absent: Code of the dead letter that only says that the ledger does not show what it ``names``.
        hopeless: Codes of dead letters that no replay can help, each with what a human can do instead.
        resumable: Codes of partial ends of which a replay sends only what is not there yet.
        switch: Name of the setting that has to be on for it to be accepted; empty for none.
        evidence: What the ledger has to show once it is over; None where an audit cannot look at it.
    """

    name: str
    method: str
    path: str
    summary: str
    schema: Schema
    intent: Callable[[Mapping[str, Any]], Intent]
    lookups: Callable[[Entry, Progress, Found], tuple[Lookup, ...]]
    decide: Callable[[Entry, Progress, Found, Policy], Decision]
    request: Callable[[Entry, Progress, Policy], Request]
    judge: Callable[[Entry, Progress, Request, Response, Policy], Verdict]
    about: About
    records: bool = False
    keyed: bool = False
    findable: bool = False
    tagged: bool = False
    names: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    shape: Callable[[str], str] | None = None
    claims: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    renewed: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None = None
    parts: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    private: bool = False
    also: tuple[str, ...] = ()
    cloud_only: str = ""
    absent: str = ""
    hopeless: Mapping[str, str] = field(default_factory=dict, hash=False)
    resumable: frozenset[str] = frozenset()
    switch: str = ""
    evidence: Evidence | None = None

    @property
    def recorded(self) -> bool:
        """Whether something is recorded before each send, so that an intent of which nothing is was never sent."""
        return self.records or not self.keyed

    @property
    def referenced(self) -> bool:
        """Whether the ledger knows it by one reference of ours."""
        return self.shape is not None or not (self.records or self.tagged)

    @property
    def renewable(self) -> bool:
        """Whether it can be sent under fresh references, where the ledger has used up the old ones to no effect."""
        return self.referenced or self.renewed is not None


@dataclass(frozen=True, slots=True)
class End:
    """A dead letter of which it is not plain that nothing happened.

    Attributes:
        dead_class: ``unknown``, ``partial`` or ``rejected``; a *refused* one did not happen, and its code says why.
        code: Its code; ``*`` for the ledger's own.
        why: What has happened for it to end so, and where the contract says that no machine can do better.
    """

    dead_class: DeadClass
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Example:
    """One write of a kind. The tests enqueue it as a line of a file and through the builder, as one intent.

    Attributes:
        fields: As a line of a file gives them.
        key: The caller's key, where the kind has no natural one.
        call: Arguments of the builder that are not given as in a line: those in whose place another type is handier.
    """

    fields: Mapping[str, Any]
    key: str = ""
    call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What the schema and the builder's docstring do not say.

    Attributes:
        builder: The function of the library that makes such intents; its docstring says what each field means.
        confirmed: What has to be seen before an intent is done, and where.
        ends: The dead letters of this kind that need judgement; :data:`blnk_relay.catalogue.facts.COMMON_ENDS` holds
            those of all kinds.
        example: One write.
        renamed: Fields to the builder's arguments, where they have other names.
    """

    builder: Callable[..., Intent]
    confirmed: str
    ends: tuple[End, ...]
    example: Example
    renamed: Mapping[str, str] = field(default_factory=dict)
