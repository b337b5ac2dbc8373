"""What is enqueued in a run, and what the books must say of it afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from blnk_relay import (
    Intent,
    bulk_transactions,
    commit_hold,
    commit_holds,
    create_identity,
    create_matching_rule,
    refund,
    result_of,
    start_instant_reconciliation,
    start_reconciliation,
    transaction,
    update_identity,
    update_metadata,
    upload_records,
    void_hold,
)
from blnk_relay.intents.links import LINKABLE
from blnk_relay.intents.references import of_generation
from blnk_relay.journal.status import Status
from blnk_relay.sandbox.books.frozen import Books
from blnk_relay.sandbox.books.rows import Effect
from tests.support.specimens import SPECIMENS, Specimen


@dataclass
class Item:
    """One enqueueing.

    Attributes:
        intent: What is asked for.
        key: Under which key.
        options: As ``Relay.enqueue`` takes them.
    """

    intent: Intent
    key: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Endings(dict[str, "Status | None"]):
    """How each intent of a story ended, by its key; None for one that the journal does not know.

    Attributes:
        parts: What the journal says of the items of some, by their number, by the key.
        forgotten: Those that it did once and knows no more, because their key was not kept any longer.
    """

    parts: Mapping[str, Mapping[int, str]]
    forgotten: frozenset[str]


@dataclass
class Told:
    """A story that was begun.

    Attributes:
        items: What is enqueued for it, in order.
        judge: Says what is wrong with its ending by the books.
        excused: Whether something that is wrong may be so after a loss, as docs/guarantees.md says.
    """

    items: Sequence[Item]
    judge: Callable[[Books, Endings], Iterator[str]]
    excused: Callable[[str], bool] = lambda _: False


#: Makes something in the ledger beforehand, and says which id it has.
Prepare = Callable[[str, Intent], str]


@dataclass(frozen=True)
class Story:
    """One sort of story.

    Attributes:
        kind: The kind of its last intent.
        tell: Begins one: random choices, a name that nothing else uses, what makes things beforehand, whether these are
            enqueued as well instead.
    """

    kind: str
    tell: Callable[[random.Random, str, Prepare, bool], Told]


# -- what holds for every one of them ------------------------------------------------------------------------------


def told_apart(said: Mapping[int, str], numbers: Sequence[int]) -> Iterator[str]:
    """What is wrong with what is said of each item of which something is known, whatever is not known of others."""
    for number, times in enumerate(numbers):
        one = said.get(number, "")
        if one in {"applied", "voided"} and not times:
            yield f"untrue: item {number} is said to be {one}, and the books have {numbers}"
        if one == "refused" and times:
            yield f"untrue: item {number} is said to be refused, and the books have {numbers}"


def counted(
    status: Status | None, parts: Sequence[Sequence[str]], said: Mapping[int, str] = MappingProxyType({})
) -> Iterator[str]:
    """What is wrong with how often the parts of one intent stand in the books, given how it ended."""
    numbers = [len(part) for part in parts]
    if max(numbers, default=0) > 1:
        yield f"doubled: {numbers}"
    if status is None:
        return
    if status.state == "done" and min(numbers, default=1) < 1:
        yield f"lost: done, and the books have {numbers}"
    dead_class = status.dead_class
    if status.state in {"dead", "discarded"}:
        if dead_class in {"refused", "rejected"} and any(numbers):
            yield f"untrue: {dead_class} {status.code}, and the books have {numbers}"
        yield from told_apart(said, numbers)
        # Of some items of such a letter nobody can tell; they may have happened.
        told = dead_class == "partial" and status.code != "ITEMS_UNKNOWN"
        if told and len(numbers) > 1 and all(number == 1 for number in numbers):
            yield f"untrue: partial {status.code}, and the books have {numbers}"
        if not dead_class:
            yield "untrue: a dead letter without a class"
    if status.state == "cancelled" and any(numbers):
        yield f"untrue: cancelled, and the books have {numbers}"


def _of_specimen(specimen: Specimen) -> Callable[[random.Random, str, Prepare, bool], Told]:
    def tell(rng: random.Random, scene: str, prepare: Prepare, links: bool) -> Told:  # noqa: ARG001
        items: list[Item] = []
        ids: dict[str, str] = {}
        ahead: dict[str, str] = {}
        for name, make in specimen.needs.items():
            intent = make(scene, ids)
            if links:
                key = f"{scene}.{name}"
                items.append(Item(intent, key))
                ahead[name] = key
                ids[name] = result_of(key, RESULTS[intent.kind])  # type: ignore[assignment]
            else:
                ids[name] = prepare(scene, intent)
        items.append(Item(specimen.make(scene, ids), scene))

        def judge(books: Books, endings: Endings) -> Iterator[str]:
            known = dict(ids)
            for name, key in ahead.items():
                ended = endings[key]
                if ended is None or ended.state != "done":
                    main = endings[scene]
                    if main is not None and main.state == "done" and key not in endings.forgotten:
                        yield f"{scene}: untrue: done, and {key}, which it links to, is not"
                    return
                known[name] = ended.transaction_id
            status = endings[scene]
            parts = specimen.parts(books, scene, known)
            if specimen.batch:
                # What the ledger took back by itself, because another part failed, did not happen; where it was sent
                # again under other references, that happened.
                parts = [[id_ for id_ in part if not books.refunds(id_)] for part in parts]
            for problem in counted(status, parts, endings.parts.get(scene, {})):
                yield f"{scene}: {problem}"
            if (
                status is not None
                and status.state == "done"
                and specimen.moves
                and not specimen.batch
                and status.transaction_id
            ):
                ours = [id_ for part in parts for id_ in part]
                named = status.transaction_id
                if named not in ours and named not in known.values():
                    yield f"{scene}: untrue: done as {named!r}, and the books have {ours}"

        def excused(problem: str) -> bool:
            # A rule is known by its name alone: one that was made, and named otherwise or deleted, in lost moments is
            # made once more.
            renamed = bool(ahead) and specimen.kind in {"matching_rule.update", "matching_rule.delete"}
            return renamed and problem.partition(": ")[2].startswith("doubled")

        return Told(items, judge, excused)

    return tell


#: Where the id of what a kind makes stands in its answer, and what it is called in links.
RESULTS = {
    "transaction": "transaction_id",
    "ledger.create": "ledger_id",
    "balance.create": "balance_id",
    "identity.create": "identity_id",
    "reconciliation.upload": "upload_id",
    "matching_rule.create": "rule_id",
}
assert set(RESULTS.values()) <= set(LINKABLE)


# -- stories of several ----------------------------------------------------------------------------------------------


def _paid(books: Books, reference: str, effect: Effect = Effect.APPLY) -> list[list[str]]:
    return [[row.transaction_id for row in books.rows_by_reference(reference) if row.effect is effect]]


def _payment(scene: str, **changes: Any) -> Intent:
    given: dict[str, Any] = {
        "source": "@world",
        "destination": "@shop",
        "currency": "EUR",
        "precise_amount": 1050,
        "precision": 100,
        "description": "Order",
        "allow_overdraft": True,
        "reference": f"pay.{scene}",
    }
    return transaction(**(given | changes))


def _ordered(rng: random.Random, scene: str, _: Prepare, links: bool) -> Told:  # noqa: ARG001
    """Payments in an order, or one after the other."""
    items = []
    by_order = rng.random() < 0.5
    for number in range(rng.choice((2, 3))):
        name = f"{scene}.{number}"
        options: dict[str, Any] = {}
        if by_order:
            options["order_key"] = scene
        elif number:
            options["after"] = [f"{scene}.{number - 1}"]
        if rng.random() < 0.2:
            options["deadline"] = timedelta(seconds=rng.choice((5, 40, 200)))
        source = {"source": "@poor", "allow_overdraft": False} if rng.random() < 0.2 else {}
        items.append(Item(_payment(name, skip_queue=rng.random() < 0.3, **source), name, options))

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        for item in items:
            for problem in counted(endings[item.key], _paid(books, f"pay.{item.key}")):
                yield f"{item.key}: {problem}"

    return Told(items, judge)


def _poor(rng: random.Random, scene: str, _: Prepare, links: bool) -> Told:  # noqa: ARG001
    """A payment that the ledger rejects, or refuses."""
    changes: dict[str, Any] = {"source": "@poor", "allow_overdraft": False}
    if rng.random() < 0.3:
        changes = {"source": "bln_00000000-0000-0000-0000-000000000000"}
    item = Item(_payment(scene, skip_queue=rng.random() < 0.5, **changes), scene)

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        status = endings[scene]
        for problem in counted(status, _paid(books, f"pay.{scene}")):
            yield f"{scene}: {problem}"
        if status is not None and status.state == "done":
            yield f"{scene}: untrue: done, and there was no money"

    return Told([item], judge)


def _hold(rng: random.Random, scene: str, prepare: Prepare, links: bool) -> Told:  # noqa: PLR0915 - one story
    """Several that settle one hold: parts, the rest, a void. Some of the parts are of one amount."""
    making = _payment(scene, reference=f"hold.{scene}", inflight=True)
    amounts = [rng.choice((100, 100, 200, 300, 1050)) for _ in range(rng.choice((1, 2, 3)))]
    items: list[Item] = []
    if links:
        items.append(Item(making, f"{scene}.hold"))
        hold: Any = result_of(f"{scene}.hold", "transaction_id")
    else:
        hold = prepare(scene, making)
    parts = [(f"{scene}.part{number}", amount) for number, amount in enumerate(amounts)]
    # Who names it by its reference stands in another order than who has its id.
    names = [hold] if links else [hold, hold, f"hold.{scene}"]
    items += [Item(commit_hold(rng.choice(names), precise_amount=amount), key) for key, amount in parts]
    bulk = 0
    if rng.random() < 0.4 and not links:
        bulk = 77
        other = prepare(scene, _payment(scene, reference=f"other.{scene}", inflight=True))
        together = commit_holds([commit_hold(hold, precise_amount=bulk), commit_hold(other)])
        items.insert(rng.randrange(len(items) + 1), Item(together, f"{scene}.bulk"))
    last = rng.choice(("", "", "rest", "void"))
    if last == "rest":
        items.append(Item(commit_hold(hold), f"{scene}.rest"))
    if last == "void":
        items.append(Item(void_hold(hold), f"{scene}.void"))

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        hold_id = hold
        if links:
            ended = endings[f"{scene}.hold"]
            for problem in counted(ended, _paid(books, f"hold.{scene}", Effect.HOLD)):
                yield f"{scene}.hold: {problem}"
            if ended is None or ended.state != "done":
                return
            hold_id = ended.transaction_id
        children = books.children(hold_id)
        committed = [row for row in children if row.effect is Effect.COMMIT]
        voids = [row.transaction_id for row in children if row.effect is Effect.VOID]
        ids = [endings[key].transaction_id for key, _ in parts if _is_done(endings[key])]  # type: ignore[union-attr]
        if len(set(ids)) < len(ids):
            yield f"{scene}: untrue: two that are done name one row: {ids}"
        if bulk:
            rows = [row.transaction_id for row in committed if row.precise_amount == bulk]
            both = [rows, [row.transaction_id for row in books.rows if row.parent_transaction == other]]
            for problem in counted(endings[f"{scene}.bulk"], both, endings.parts.get(f"{scene}.bulk", {})):
                yield f"{scene}.bulk: {problem}"
        for amount in {amount for _, amount in parts}:
            those = [endings[key] for key, each in parts if each == amount]
            rows = [row for row in committed if row.precise_amount == amount]
            rest = endings.get(f"{scene}.rest")
            # The rest may be of the same amount.
            others = 1 if last == "rest" and (rest is None or not _never(rest)) else 0
            least = sum(status is not None and status.state == "done" for status in those)
            most = sum(status is None or not _never(status) for status in those) + others
            if len(rows) > most:
                yield f"{scene}: doubled: {len(rows)} commits of {amount} for {[_ended(one) for one in those]}"
            if len(rows) < least:
                yield f"{scene}: lost: {len(rows)} commits of {amount} for {[_ended(one) for one in those]}"
        if last == "void":
            for problem in counted(endings[f"{scene}.void"], [voids]):
                yield f"{scene}.void: {problem}"
        elif voids:
            yield f"{scene}: doubled: voided by nobody"
        of_all = {row.transaction_id for row in children}
        for key, status in endings.items():
            if key in {f"{scene}.hold", f"{scene}.bulk"} or not _is_done(status):
                continue
            if status is not None and status.transaction_id not in of_all:
                yield f"{key}: untrue: done as {status.transaction_id!r}, which is no row of the hold"

    return Told(items, judge)


def _is_done(status: Status | None) -> bool:
    return status is not None and status.state == "done"


def _never(status: Status) -> bool:
    """Whether the journal says that it did not happen, and never will."""
    closed = status.state in {"dead", "discarded"} and status.dead_class in {"refused", "rejected"}
    return closed or status.state == "cancelled"


def _ended(status: Status | None) -> str:
    return (
        "nothing" if status is None else f"{status.state} {status.outcome or status.dead_class} {status.code}".strip()
    )


def _paid_and_refunded(rng: random.Random, scene: str, _: Prepare, links: bool) -> Told:  # noqa: ARG001
    """A payment, its refund by a link, and a commit's refund perhaps: a chain."""
    key = f"{scene}.pay"
    items = [
        Item(_payment(scene, skip_queue=rng.random() < 0.5), key),
        Item(refund(result_of(key, "transaction_id")), f"{scene}.back"),
    ]

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        paid = _paid(books, f"pay.{scene}")
        for problem in counted(endings[key], paid):
            yield f"{key}: {problem}"
        back = [[again for id_ in paid[0] for again in _paid(books, f"{id_}_refund")[0]]]
        for problem in counted(endings[f"{scene}.back"], back):
            yield f"{scene}.back: {problem}"

    return Told(items, judge)


def _of_kind(name: str) -> str:
    return SPECIMENS[name].kind


STORIES: Mapping[str, Story] = {
    **{name: Story(_of_kind(name), _of_specimen(specimen)) for name, specimen in SPECIMENS.items()},
    "ordered payments": Story("transaction", _ordered),
    "poor payment": Story("transaction", _poor),
    "one hold": Story("inflight.commit", _hold),
    "payment and refund": Story("refund", _paid_and_refunded),
}

# -- of one name -----------------------------------------------------------------------------------------------------


def _told_of(name: str, status: Status | None, ids: Sequence[str]) -> Iterator[str]:
    """What is wrong with one of several that the ledger could take for each other, given what it made itself."""
    for problem in counted(status, [ids]):
        yield f"{name}: {problem}"
    if status is not None and _is_done(status) and status.transaction_id not in ids:
        yield f"{name}: untrue: done as {status.transaction_id!r}, and it made {list(ids)}"


def _one_statement(rng: random.Random, scene: str, prepare: Prepare, links: bool) -> Told:  # noqa: ARG001
    """A file, a corrected one, an instant run: all bring one record, and one of them can."""
    rule = prepare(scene, create_matching_rule(f"rule {scene}", _EQUAL))
    items = []
    for number in range(rng.choice((2, 2, 3))):
        name = f"{scene}.{number}"
        if rng.random() < 0.3:
            record = {"id": scene, "amount": number + 0.5, "date": "2026-11-20T10:00:00Z"}
            items.append(Item(start_instant_reconciliation([record], "one_to_one", [rule], dry_run=True), name))
        else:
            line = f"{scene},{number}.50,EUR,r,secret,2026-11-20T09:15:31Z\n"
            file = ("ID,Amount,Currency,Reference,Description,Date\n" + line).encode()
            items.append(Item(upload_records(name, file, name="nov.csv"), name))

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        for number, item in enumerate(items):
            brought = [one.upload_id for one in books.external_records if (one.id, one.amount) == (scene, number + 0.5)]
            if item.intent.kind == "reconciliation.upload":
                ids = [one.upload_id for one in books.uploads if one.upload_id in brought and one.complete]
            else:
                ids = [
                    run.reconciliation_id for run in books.runs if run.upload_id in brought and run.status != "failed"
                ]
            yield from _told_of(item.key, endings[item.key], ids)

    def excused(problem: str) -> bool:
        # Whose upload it is that brought the record nothing tells once that is lost.
        return problem.partition(": ")[2].startswith(("lost: done", "untrue: done"))

    return Told(items, judge, excused)


def _one_rule(rng: random.Random, scene: str, _: Prepare, links: bool) -> Told:  # noqa: ARG001
    """Rules of one name, which differ in their descriptions."""
    items = []
    for number in range(rng.choice((2, 2, 3))):
        name = f"{scene}.{number}"
        items.append(Item(create_matching_rule(f"rule {scene}", _EQUAL, description=name), name))

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        for item in items:
            ids = [rule.rule_id for rule in books.rules if rule.description == item.key]
            yield from _told_of(item.key, endings[item.key], ids)
        named = [rule.rule_id for rule in books.rules if rule.name == f"rule {scene}"]
        if len(named) > 1:
            yield f"{scene}: doubled: {len(named)} rules of one name"

    return Told(items, judge)


def _one_record(rng: random.Random, scene: str, prepare: Prepare, links: bool) -> Told:  # noqa: ARG001
    """Updates of one record: at the end it is as the last of them that is done has left it."""
    payment = rng.random() < 0.5
    record = prepare(scene, _payment(scene) if payment else create_identity(first_name=scene))
    items = []
    for number in range(rng.choice((2, 2, 3))):
        name = f"{scene}.{number}"
        update = update_metadata(record, {"tag": name}) if payment else update_identity(record, city=name)
        items.append(Item(update, name))

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        if payment:
            shown = next(str(row.meta.get("tag") or "") for row in books.rows if row.transaction_id == record)
        else:
            shown = next(one.texts["city"] for one in books.identities if one.identity_id == record)
        names = ["", *(item.key for item in items)]
        done = max((names.index(key) for key, status in endings.items() if _is_done(status)), default=0)
        status = endings.get(shown)
        if names.index(shown) < done:
            yield f"{scene}: lost: {names[done]} is done, and the record is as {shown or 'nobody'} has left it"
        elif status is not None and _never(status):
            yield f"{shown}: untrue: {_ended(status)}, and the record is so"

    def excused(problem: str) -> bool:
        # What is lost with its receipt stands behind the others when it is enqueued again.
        return problem.partition(": ")[2].startswith("lost: ")

    return Told(items, judge, excused)


def _one_refund(rng: random.Random, scene: str, prepare: Prepare, links: bool) -> Told:  # noqa: ARG001
    """Several refunds of one payment, of which one can be made."""
    paid = prepare(scene, _payment(scene))
    items = [Item(refund(paid), f"{scene}.{number}") for number in range(rng.choice((2, 2, 3)))]

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        rows = _paid(books, f"{paid}_refund")[0]
        if len(rows) > 1:
            yield f"{scene}: doubled: {len(rows)} refunds"
        done = [status for status in endings.values() if status is not None and _is_done(status)]
        if len(done) > 1 or any(status.transaction_id not in rows for status in done):
            yield f"{scene}: untrue: done as {[status.transaction_id for status in done]}, and the books have {rows}"
        if rows and all(status is not None and _never(status) for status in endings.values()):
            yield f"{scene}: untrue: all refused, and the books have {rows}"

    def excused(problem: str) -> bool:
        # Whose refund it is nothing tells once that is lost.
        return problem.partition(": ")[2].startswith("untrue: done")

    return Told(items, judge, excused)


def _one_upload(rng: random.Random, scene: str, prepare: Prepare, links: bool) -> Told:  # noqa: ARG001
    """Several runs of one upload."""
    file = f"ID,Amount,Currency,Reference,Description,Date\n{scene},1.50,EUR,r,secret,2026-11-20T09:15:31Z\n".encode()
    upload = prepare(scene, upload_records(scene, file, name="nov.csv"))
    rule = prepare(scene, create_matching_rule(f"rule {scene}", _EQUAL))
    items = [
        Item(start_reconciliation(upload, "one_to_one", [rule], dry_run=True), f"{scene}.{number}")
        for number in range(rng.choice((2, 2, 3)))
    ]

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        runs = [run.reconciliation_id for run in books.runs if run.upload_id == upload]
        done = [status.transaction_id for status in endings.values() if status is not None and _is_done(status)]
        most = sum(status is None or not _never(status) for status in endings.values())
        if len(runs) > most:
            yield f"{scene}: doubled: {len(runs)} runs for {[_ended(one) for one in endings.values()]}"
        if len({*done}) < len(done) or not {*done} <= {*runs}:
            yield f"{scene}: untrue: done as {done}, and the books have {runs}"

    return Told(items, judge)


def _by_turns(rng: random.Random, scene: str, _: Prepare, links: bool) -> Told:  # noqa: ARG001
    """Atomic batches on the same balances, which go by turns; one may wait for another besides."""
    items = []
    for number in range(rng.choice((2, 2, 3))):
        name = f"{scene}.{number}"
        poor = rng.random() < 0.4
        each = [
            {
                "source": "@poor" if poor and part else "@world",
                "destination": "@shop",
                "currency": "EUR",
                "precise_amount": 1050,
                "precision": 100,
                "description": "x",
                "allow_overdraft": not (poor and part),
                "reference": f"item{part}.{name}",
            }
            for part in range(2)
        ]
        options: dict[str, Any] = {}
        if rng.random() < 0.5:
            options = {"order_key": scene} if rng.random() < 0.5 or not number else {"after": [f"{scene}.0"]}
        if rng.random() < 0.3:
            options["deadline"] = timedelta(seconds=rng.choice((12, 40)))
        items.append(Item(bulk_transactions(each, atomic=True, skip_queue=True), name, options))

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        for item in items:
            # What was rolled back is sent again under references of its own.
            rows = [
                [id_ for number in range(9) for id_ in _paid(books, of_generation(f"item{part}.{item.key}", number))[0]]
                for part in range(2)
            ]
            stand = [[id_ for id_ in part if not books.refunds(id_)] for part in rows]
            for problem in counted(endings[item.key], stand, endings.parts.get(item.key, {})):
                yield f"{item.key}: {problem}"

    return Told(items, judge)


def _late_behind(rng: random.Random, scene: str, _: Prepare, links: bool) -> Told:  # noqa: ARG001
    """A payment with a deadline that waits for another, which fails, or takes its time."""
    ahead, behind = f"{scene}.0", f"{scene}.1"
    by_order = rng.random() < 0.5
    poor = {"source": "@poor", "allow_overdraft": False} if rng.random() < 0.5 else {}
    options: dict[str, Any] = {"order_key": scene} if by_order else {}
    late = {} if poor else {"not_before": timedelta(seconds=20)}
    deadline = timedelta(seconds=rng.choice((10, 25)))
    items = [
        Item(_payment(ahead, skip_queue=True, **poor), ahead, {**options, **late}),
        Item(_payment(behind, skip_queue=True), behind, {**(options or {"after": [ahead]}), "deadline": deadline}),
    ]

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        for item in items:
            for problem in counted(endings[item.key], _paid(books, f"pay.{item.key}")):
                yield f"{item.key}: {problem}"
        first = endings[ahead]
        out_of_turn = first is not None and not _is_done(first) and not (by_order and first.state != "dead")
        if out_of_turn and any(_paid(books, f"pay.{behind}")[0]):
            yield f"{behind}: untrue: it was paid before {ahead}, which is {_ended(first)}"

    def excused(problem: str) -> bool:
        # What is lost with its receipt stands behind the others when it is enqueued again.
        return by_order and problem.partition(": ")[2].startswith("untrue: it was paid before")

    return Told(items, judge, excused)


def _many_letters(rng: random.Random, scene: str, _: Prepare, links: bool) -> Told:  # noqa: ARG001
    """Payments that have nothing to do with each other, and may all become letters.

    The ledger rejects some, for which there is money only later, if ever: a replay of these goes under a new reference.
    """
    items, later = [], []
    for number in range(rng.choice((3, 4, 5))):
        name = f"{scene}.{number}"
        poor: dict[str, Any] = {}
        if rng.random() < 0.4:
            poor = {"source": f"@purse.{name}", "allow_overdraft": False}
            filled = _payment(f"{name}.fill", destination=poor["source"], skip_queue=True)
            later.append(Item(filled, f"{name}.fill", {"not_before": timedelta(seconds=rng.choice((2, 5, 300)))}))
        items.append(Item(_payment(name, skip_queue=rng.random() < 0.5, **poor), name))
    items += later

    def judge(books: Books, endings: Endings) -> Iterator[str]:
        for item in items:
            # What was rejected is sent again under a reference of its own.
            rows = [id_ for number in range(9) for id_ in _paid(books, of_generation(f"pay.{item.key}", number))[0]]
            for problem in counted(endings[item.key], [rows]):
                yield f"{item.key}: {problem}"

    return Told(items, judge)


_EQUAL = [{"field": "reference", "operator": "equals"}]

#: Stories of several that the ledger could take for each other, or that stand in each other's way.
RIVALS: Mapping[str, Story] = {
    "one statement": Story("reconciliation.upload", _one_statement),
    "one rule": Story("matching_rule.create", _one_rule),
    "one record": Story("identity.update", _one_record),
    "one refund": Story("refund", _one_refund),
    "one upload": Story("reconciliation.start", _one_upload),
    "by turns": Story("transaction.bulk", _by_turns),
    "late behind": Story("transaction", _late_behind),
}

#: Stories of many letters, for whoever acts on all of them at once.
LETTERS: Mapping[str, Story] = {"many letters": Story("transaction", _many_letters)}

#: Stories in which several write to one row, which the ledger could not tell apart.
HOLDS = ("one hold", "one hold", "one hold", "inflight.bulk_commit-part", "inflight.commit-part", "refund")

#: What is told more often than the rest.
COMMON = ("transaction-queue", "transaction-skip", "ordered payments", "one hold", "one hold", "payment and refund")
