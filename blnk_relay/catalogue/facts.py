"""What is known of a kind, drawn from its schema, its builder's docstring and its ``About``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields, validate

from blnk_relay.catalogue.docstrings import Docstring, docstring_of
from blnk_relay.catalogue.examples import example_intent, example_line, example_python
from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.kind import End, Kind
from blnk_relay.kinds.registry import KINDS
from blnk_relay.replay import plan_replay
from blnk_relay.schema.names import Linkable
from blnk_relay.settings import PREFIX

#: Dead letters that an intent of any kind can end as.
COMMON_ENDS = (
    End(
        DeadClass.UNKNOWN,
        "UNDECIDED",
        "A request may have acted, and the ledger did not show for `stuck_horizon_s` what became of it (contract §4).",
    ),
    End(
        DeadClass.UNKNOWN,
        "EXPIRED",
        "A request may have acted, its deadline came, and in `horizon_s` of looking on the ledger did not show it.",
    ),
    End(
        DeadClass.UNKNOWN,
        "LAPSED_TOO_OFTEN",
        "Every worker that claimed it died, so that nobody can say how far it came.",
    ),
    End(
        DeadClass.UNKNOWN,
        "CANNOT_BE_HANDLED",
        "The worker's own code failed `max_lapses` times in a row, and a request may have acted.",
    ),
    End(
        DeadClass.UNKNOWN,
        "DOES_NOT_VERIFY",
        "What was recorded of it is encrypted, and was changed or put into another's place; a request may have acted.",
    ),
)


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One field of a kind.

    Attributes:
        name: As in a line of a file; ``items[].amount`` where it stands below another.
        argument: The builder's argument; empty where it stands below another.
        takes: What may be given.
        limits: Within which bounds; empty for none.
        required: Whether it must be given.
        meaning: For people, with its unit.
        example: As JSON; empty where the example does without it.
    """

    name: str
    argument: str
    takes: str
    limits: str
    required: bool
    meaning: str
    example: str


@dataclass(frozen=True, slots=True)
class EndFacts:
    """One dead letter of a kind, and what a replay of it would do.

    Attributes:
        end: Which.
        replay: ``same``, ``fresh`` or ``no``.
        why: What a replay would do, or why there is none.
    """

    end: End
    replay: str
    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that can be told of a kind.

    Attributes:
        kind: Its name.
        method: Of the request.
        path: Below the proxy.
        also: Further paths of the same method that it is sent to in some cases.
        summary: One line.
        setting: The setting that has to be on for it to be accepted; empty for none.
        builder: Name of the function that makes such intents.
        text: What the builder's docstring says of the whole.
        fields: Its fields, in the schema's order.
        key: What is said of its key and order.
        natural_key: Of the example; empty where a key must be given.
        order: What the example is sent in turn with; empty for nothing.
        reference: What the ledger knows it by.
        confirmed: What has to be seen before it is done.
        cloud_only: What only Cloud can read of all that it is proven by; empty where every target takes it.
        ends: Its own dead letters that need judgement.
        line: The example as a line of a file.
        python: The example in Python.
    """

    kind: str
    method: str
    path: str
    also: tuple[str, ...]
    summary: str
    setting: str
    builder: str
    text: str
    fields: tuple[FieldFacts, ...]
    key: str
    natural_key: str
    order: str
    reference: str
    confirmed: str
    cloud_only: str
    ends: tuple[EndFacts, ...]
    line: str
    python: str


def facts_of(kind: Kind) -> Facts:
    """All that can be told of a kind.

    Args:
        kind: One of :data:`blnk_relay.kinds.registry.KINDS`.

    Example:
        >>> from blnk_relay.kinds.registry import KINDS
        >>> facts_of(KINDS["refund"]).natural_key
        'refund:top-up-1001'
    """
    about, doc = kind.about, docstring_of(kind.about.builder)
    intent = example_intent(kind)
    return Facts(
        kind=kind.name,
        method=kind.method,
        path=kind.path,
        also=kind.also,
        summary=kind.summary,
        setting=PREFIX + kind.switch.upper() if kind.switch else "",
        builder=about.builder.__name__,
        text=doc.text,
        fields=tuple(_fields(kind, doc)),
        key=_key(doc.returns),
        natural_key=intent.natural_key or "",
        order="`, `".join((intent.order_key,) if intent.order_key else intent.orders),
        reference=_reference(kind),
        confirmed=about.confirmed,
        cloud_only=kind.cloud_only,
        ends=ends_of(kind, about.ends),
        line=example_line(kind),
        python=example_python(kind),
    )


def ends_of(kind: Kind, ends: tuple[End, ...]) -> tuple[EndFacts, ...]:
    """Dead letters of a kind, each with what a replay of it would do."""
    plans = ((end, plan_replay(kind.name, end.dead_class, end.code)) for end in ends)
    return tuple(EndFacts(end, plan.way.value, plan.why) for end, plan in plans)


def _key(returns: str) -> str:
    """What follows the sentence that says that it is an intent."""
    return returns.partition(". ")[2]


def _reference(kind: Kind) -> str:
    if kind.shape is not None:
        return (
            "Ours: the `reference`, or else the key, and a digest behind it, so that the ledger's names for the parts "
            "meet nobody else's. A replay after a rejection gets a new one."
        )
    if kind.claims is not None:
        return "Ours: that of each part, which nothing else may use."
    if kind.referenced:
        return (
            "Ours: the `reference`, or else the key itself where the ledger can take it, or a digest of it. It stays "
            "the same for every attempt; a replay after a rejection gets a new one."
        )
    if kind.tagged:
        return "None. Our id stands in its `meta_data`, under the key that the setting `BLNK_RELAY_META_KEY` names."
    return "None: the ledger takes none, or chooses it."


def _fields(kind: Kind, doc: Docstring) -> Iterator[FieldFacts]:
    for name, field in kind.schema.fields.items():
        shown = field.data_key or name
        argument = kind.about.renamed.get(shown, shown)
        example = kind.about.example.fields.get(shown)
        yield _one(shown, field, argument, doc.arguments.get(argument, ""), example)
        below = _below(field)
        if below is not None:
            meanings = _meanings(below)
            for inner, nested in below.fields.items():
                yield _one(f"{shown}[].{inner}", nested, "", meanings[inner], None)


def _meanings(schema: Schema) -> Mapping[str, str]:
    """What the fields of a schema mean: by the docstring of the kind whose schema it is, or by notes of their own."""
    for kind in KINDS.values():
        if type(kind.schema) is type(schema):
            return docstring_of(kind.about.builder).arguments
    return {name: str(field.metadata.get("doc", "")) for name, field in schema.fields.items()}


def _below(field: fields.Field[Any]) -> Schema | None:
    inner = field.inner if isinstance(field, fields.List) else field
    return inner.schema if isinstance(inner, fields.Nested) else None


def _one(name: str, field: fields.Field[Any], argument: str, meaning: str, example: Any) -> FieldFacts:
    return FieldFacts(
        name=name,
        argument=argument,
        takes=takes(field),
        limits=limits(field),
        required=field.required,
        meaning=meaning,
        example="" if example is None else json.dumps(example, ensure_ascii=False),
    )


def takes(field: fields.Field[Any]) -> str:
    """What a field takes, for people.

    Raises:
        TypeError: The field is of a type of ours that does not say it.
    """
    if isinstance(field, fields.List):
        return f"list of {takes(field.inner)}"
    if isinstance(field, fields.Nested | fields.Dict | fields.Raw) and not hasattr(field, "takes"):
        return "objects"
    text = getattr(field, "takes", None)
    if not isinstance(text, str):
        raise TypeError(f"{type(field).__name__} must say in `takes` what may be given.")
    return f"{text}, or a link" if isinstance(field, Linkable) and field.result else text


def limits(field: fields.Field[Any]) -> str:
    """Within which bounds, for people."""
    words = [str(getattr(field, "limits", ""))]
    for rule in field.validators:
        if isinstance(rule, validate.OneOf):
            words = ["one of " + ", ".join(f"`{choice}`" for choice in rule.choices)]
        elif isinstance(rule, validate.Length):
            words.append(f"{rule.min:,} to {rule.max:,}")
    return "; ".join(word for word in words if word)
