"""The demo's story told to many ledgers at once, each a sandbox of its own, by the same workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from blnk_relay import JournalUnavailable, Operator, Receipt, Relay, Target, Write
from blnk_relay.sandbox import DEFAULT_KINDS, Faults, Options, Sandbox
from tests.support.counting import proof_of
from tests.support.waiting import wait_until
from worker.demo.command import LEFT_OUT
from worker.demo.proof.prove import behind_dead
from worker.demo.stage import INSTANCE, TOKEN, Stage
from worker.demo.story import tell

#: More than there ever are: some journal cannot be reached, so nobody knows how many are open.
_UNKNOWN = 1_000_000

#: As in the demo: a tenth of all requests goes wrong.
FAULT_RATE = 0.1


def faults(seed: int) -> Faults:
    """The demo's plan of faults."""
    return Faults.seeded(seed, FAULT_RATE, kinds=[kind for kind in DEFAULT_KINDS if kind not in LEFT_OUT])


@contextmanager
def ledgers(stage: Stage, more: Sequence[str], seed: int, **about: str) -> Iterator[dict[str, Sandbox]]:
    """Ledgers beside that of an entered stage, whose settings name them from then on.

    Args:
        stage: The stage, without workers yet.
        more: Names of the others.
        seed: Of their faults.
        **about: Settings of each of them, such as ``redis_url``.
    """
    with ExitStack() as stack:
        boxes = {"default": stage.sandbox}
        for number, name in enumerate(more):
            box = Sandbox(Options(token=TOKEN, instance_id=INSTANCE), faults(seed + number))
            boxes[name] = stack.enter_context(box)
        targets = tuple(
            Target(name=name, base_url=boxes[name].url, token=TOKEN, instance_id=INSTANCE, **about) for name in more
        )
        stage.settings = replace(stage.settings, targets=targets)
        yield boxes


def play_to_all(
    stage: Stage,
    boxes: Mapping[str, Sandbox],
    intents: int,
    blow: Callable[[], Sequence[Receipt] | None],
    *,
    seed: int,
    timeout_s: float,
) -> dict[str, int]:
    """Tell each ledger a story of its own, let a blow fall in the middle, and prove all of them by their books.

    Args:
        stage: With its workers.
        boxes: The ledgers by their targets' names.
        intents: Of each story.
        blow: Called once half of all was posted; may return receipts of what it enqueued for the first ledger.
        seed: Of the first story; each has another.
        timeout_s: Longest wait for the end.

    Returns:
        Accepted, lost, doubled, violations.
    """
    stories = {name: tell(intents, seed + number) for number, name in enumerate(boxes)}
    receipts: dict[str, list[Receipt]] = {name: [] for name in boxes}
    with Relay(stage.settings) as relay, Operator(relay.journals, relay.bells) as operator:

        def enqueue(writes: Mapping[str, Sequence[Write]]) -> None:
            for name, given in writes.items():
                receipts[name] += relay.enqueue_many([replace(write, target=name) for write in given])

        def open_() -> int:
            try:
                overview = operator.overview()
                if overview.away:
                    return _UNKNOWN
                if not overview.waiting or overview.open > overview.waiting:
                    return overview.open
                listed = (*operator.listed("dead"), *operator.listed("waiting"))
            except JournalUnavailable:
                return _UNKNOWN
            return overview.open - len(behind_dead({status.id: status for status in listed}))

        enqueue({name: story.opening for name, story in stories.items()})
        wait_until(lambda: not open_(), timeout_s, "the openings to be done", poll_s=0.2)
        enqueue({name: story.writes for name, story in stories.items()})
        enqueue({name: story.repeated for name, story in stories.items()})
        half = sum(len(story.writes) for story in stories.values()) // 2
        wait_until(lambda: open_() <= half, timeout_s, "half of it", poll_s=0.1)
        receipts[next(iter(boxes))] += blow() or ()
        wait_until(lambda: not open_(), timeout_s, "all to be finished", poll_s=0.3)
        stage.stop_workers()
        counted = {"accepted": 0, "lost": 0, "doubled": 0, "violations": 0}
        told: list[str] = []
        for name, box in boxes.items():
            books = box.books()
            proof = proof_of(relay, receipts[name], books.rows, books)
            counted["accepted"] += len({receipt.id for receipt in receipts[name]})
            counted["lost"] += len(proof.lost)
            counted["doubled"] += len(proof.doubled)
            counted["violations"] += len(books.violations())
            told += [f"{name}: {sentence}" for sentence in (*proof.lost, *proof.doubled, *books.violations())]
        assert not told, "\n".join(told)
        return counted
