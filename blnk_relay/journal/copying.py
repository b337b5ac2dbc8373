"""What a journal hands over to be copied into history, and how far that is: flows of trips, and their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from blnk_relay.errors import DoesNotVerify, EncryptionKeyMissing
from blnk_relay.history.values import (
    CUT,
    HIDDEN,
    MARKS,
    MOST_NAMES,
    UNREAD,
    Acted,
    Ended,
    Life,
    Line,
    Movement,
    Name,
    count,
    ids_in,
    meta_of,
    movements_of,
)
from blnk_relay.history.values import number as read
from blnk_relay.intents.references import first_of, of_generation
from blnk_relay.intents.states import FINISHED, State
from blnk_relay.journal.actions import entry_in
from blnk_relay.journal.entries import cut, entry_of, head_of
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.seal import Seal, hidden
from blnk_relay.journal.status import attempt_of, milliseconds
from blnk_relay.kinds.registry import KINDS, NAMING

#: Where an intent stands that was a letter, and was replayed.
OPEN = "open"

#: After which silence of whoever copies into one database another may take its place.
SILENT_MS = 60_000

#: Intents read in full in one trip, and bytes of their bodies from which it reads no more; copy.lua bounds pages by as
#: many. What stands beside a body is no larger: a line for each of its items.
_AT_ONCE, _MOST_BYTES = 50, 2_000_000

#: Intents of one sort that a journal without an id is known again by.
_MOST_MET = 100

#: Intents whose sizes are asked for in one trip.
_SIZES_AT_ONCE = 500

#: Generations whose references are kept.
_MOST_GENERATIONS = 100

#: What is read of the Redis hash of an intent; see common.lua.
FIELDS = (
    "state", "kind", "lane", "created", "updated", "gen", "attempts", "outcome", "txn", "parent", "class", "code",
    "message", "sealed", "token", "died", "results",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Portion:
    """What is to be copied next.

    Attributes:
        page: The last page that was copied.
        epoch: The epoch of the journal.
        born: Its id.
        changed: Ids of intents that have ended or changed, each with the number that it had.
        before: Ids of intents that were over before, in the order of their walk.
        letters: Where the walk over letters is after this; empty at its end.
        walked: The same for what is done.
        moved: Whether either is another place than before.
        lives: What letters were that have had a new life since.
        actions: The last action that is copied after this.
        acted: What operators did.
        now_ms: The time of the journal.
        begins: Why the walk begins anew: ``new``, ``database`` (another one), ``page`` (the database was set back),
            ``epoch`` (the journal may have been: letters alone); empty where it does not.
    """

    page: int
    epoch: str
    born: str
    changed: Mapping[str, str]
    before: tuple[str, ...]
    letters: str
    walked: str
    lives: tuple[str, ...]
    actions: str
    acted: tuple[Acted, ...]
    now_ms: int
    begins: str
    moved: bool

    @property
    def ids(self) -> tuple[str, ...]:
        """All intents that are to be read."""
        return tuple(dict.fromkeys((*self.changed, *self.before)))


def portion_flow(
    database: str, page: int, epoch: str, born: str, *, fresh: str, most: int, met: bool = False
) -> Flow[Portion | str]:
    """What is to be copied next, or why nothing is.

    Args:
        database: Id of the database.
        page: The last page that stands there of this journal.
        epoch: The epoch that it was copied in.
        born: The id that the journal has there; empty for none.
        fresh: An id for a journal that has none yet.
        most: Intents in one page.
        met: Whether intents of this very journal stand there; see :func:`created_flow`.

    Returns:
        ``shape`` where the journal was not upgraded, ``database`` where somebody copies it into another one,
        ``journal`` where another journal of the same name is copied into this one, and ``nameless`` where one is and
        this one has no id: it may be the same.
    """
    answer, *rest = yield Run("copy", (database, page, epoch, born, fresh, most, SILENT_MS, "1" if met else "0"))
    if answer != "on":
        return str(answer)
    copied, now_epoch, its_id, changed, before, letters, walked, lives, actions, acted, now_ms, begins, moved = rest
    return Portion(
        page=copied,
        epoch=now_epoch,
        born=its_id,
        changed=dict(zip(changed[::2], changed[1::2], strict=True)),
        before=tuple(before),
        letters=letters,
        walked=walked,
        lives=tuple(lives),
        actions=acted[-1][0] if acted else actions,
        acted=tuple(_acted(id_, fields) for id_, fields in acted),
        now_ms=now_ms,
        begins=begins,
        moved=bool(moved),
    )


def created_flow(prefix: str) -> Flow[dict[str, int]]:
    """Some intents, the oldest of each sort, and when they were accepted: no other journal has one of that moment."""
    [lanes] = yield Ask((("SMEMBERS", f"{prefix}lanes"),))
    names = ["done", "dead", "discarded", "uncopied", "posted", "waiting", *(f"ready:{lane}" for lane in sorted(lanes))]
    asked = tuple(("ZRANGE", f"{prefix}{name}", 0, _MOST_MET - 1) for name in names)
    ids = list(dict.fromkeys(id_ for some in (yield Ask(asked, whole=False)) for id_ in some))
    read_each = tuple(("HGET", f"{prefix}intent:{id_}", "created") for id_ in ids)
    created = (yield Ask(read_each, whole=False)) if ids else []
    return {id_: read(at) for id_, at in zip(ids, created, strict=True) if at}


def _acted(id_: str, flat: Sequence[str]) -> Acted:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    entry = entry_in(id_, "", fields)
    document = {name: getattr(entry, name) for name in ("of", "via", "reason", "result", "count", "mark")}
    return Acted(id_, milliseconds(entry.at), entry.who, entry.what, json.dumps(document, ensure_ascii=False))


def copied_flow(database: str, portion: Portion) -> Flow[bool]:
    """Note that a portion stands in the database. Returns whether it was the next page."""
    numbers = [text for pair in portion.changed.items() for text in pair]
    head = (database, portion.page + 1, portion.letters, portion.walked, portion.actions, len(portion.lives))
    [noted] = yield Run("copied", (*head, *numbers))
    return bool(noted)


def begun_flow(prefix: str) -> Flow[None]:
    """Note that somebody begins a page, and when: while the database says nothing, nothing else tells of him."""
    now_ms, _ = yield Run("now", ())
    yield Ask((("HSET", f"{prefix}history", "begun", now_ms),))


def over_flow(prefix: str) -> Flow[None]:
    """Note that it is over, whatever came of it."""
    yield Ask((("HDEL", f"{prefix}history", "begun"),))


def trouble_flow(prefix: str, code: str, now_ms: int) -> Flow[None]:
    """Note what keeps history from going on, and since when; the page that was begun is over by that."""
    name = f"{prefix}history"
    told = (("HSET", name, "trouble", code), ("HSETNX", name, "trouble_since", now_ms), ("HDEL", name, "begun"))
    yield Ask(told)


def off_flow(*, forced: bool, adopt: bool = False) -> Flow[tuple[bool, int]]:
    """Switch history off: whether it is, and how many intents were not copied.

    Args:
        forced: Also where somebody has copied a moment ago.
        adopt: Let whoever switches it on again go on with what stands under its name in the database.
    """
    answer, left = yield Run("uncopy", (SILENT_MS, "1" if forced else "0", "1" if adopt else "0"))
    return answer == "off", left


# -- intents as they are copied ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a payload goes into history.

    Attributes:
        payload: Whether it is stored as a whole.
        meta: Names of metadata that can be searched for; ``*`` for all.
        log: Whether what was tried, and the lives of letters, are wanted as well.
    """

    payload: bool
    meta: frozenset[str]
    log: bool = True

    def names(self, name: str) -> bool:
        """Whether a name of metadata can be searched for."""
        return "*" in self.meta or name in self.meta


def ended_flow(prefix: str, seal: Seal, wanted: Wanted, ids: Sequence[str]) -> Flow[tuple[list[Ended], list[Life]]]:
    """Some intents as they are copied, and the lives of those that are letters; what is gone is left out."""
    ended: list[Ended] = []
    lives: list[Life] = []
    for some in (yield from _trips_flow(prefix, ids)):
        commands: list[tuple[str | int, ...]] = []
        for id_ in some:
            commands += [
                ("HMGET", f"{prefix}intent:{id_}", *FIELDS),
                ("GET", f"{prefix}body:{id_}"),
                ("HVALS", f"{prefix}parts:{id_}"),
            ]
        for id_ in some if wanted.log else ():
            commands += [("LRANGE", f"{prefix}log:{id_}", 0, -1), ("ZSCORE", f"{prefix}dead", id_)]
        answers = iter((yield Ask(tuple(commands))))
        them = [(next(answers), next(answers), next(answers)) for _ in some]
        besides = [(next(answers), next(answers)) if wanted.log else ((), None) for _ in some]
        for id_, (values, body, parts), (log, died) in zip(some, them, besides, strict=True):
            fields = {name: value or "" for name, value in zip(FIELDS, values, strict=True)}
            if not fields["state"]:
                continue
            hide = None
            if hidden(fields["sealed"]):
                hide = yield from hide_flow(seal)
            ended.append(
                ended_of(id_, fields, body=body or "", log=log, parts=parts, seal=seal, wanted=wanted, hide=hide)
            )
            if wanted.log and fields["state"] in (State.DEAD, State.DISCARDED):
                lives.append(life_of(id_, fields, died))
    return ended, lives


def _trips_flow(prefix: str, ids: Sequence[str]) -> Flow[list[list[str]]]:
    """The same intents, by the trips that they are read in: a few large ones or many small ones."""
    trips: list[list[str]] = [[]]
    carried = 0
    for at in range(0, len(ids), _SIZES_AT_ONCE):
        some = ids[at : at + _SIZES_AT_ONCE]
        sizes = yield Ask(tuple(("STRLEN", f"{prefix}body:{id_}") for id_ in some), whole=False)
        for id_, size in zip(some, sizes, strict=True):
            if trips[-1] and (len(trips[-1]) >= _AT_ONCE or carried + size > _MOST_BYTES):
                trips.append([])
                carried = 0
            trips[-1].append(id_)
            carried += size
    return [trip for trip in trips if trip]


#: The field that names of metadata are hidden as; versions before left them in the clear.
META = "meta"

#: From the name of a field and its text to the fingerprint of that.
Hide = Callable[[str, str], str]


def _nothing(_field: str, _text: str) -> str:
    """Where the key is missing nothing is searched for."""
    return ""


def hide_flow(seal: Seal) -> Flow[Hide]:
    """How texts of hidden payloads are searched for; where the key is missing, they are not."""
    try:
        secret = yield from seal.secret_flow()
    except (EncryptionKeyMissing, DoesNotVerify):
        return _nothing
    return lambda field, text: HIDDEN + secret.fingerprint(f"history\0{field}\0{text}") if text else ""


def locked_flow(seal: Seal) -> Flow[bool]:
    """Whether a journal hides, or has hidden, what this process cannot search for."""
    name, _ = yield Run("secret", ("", "", ""))
    return bool(name) and (yield from hide_flow(seal)) is _nothing


def spellings_flow(seal: Seal, field: str, text: str) -> Flow[tuple[str, ...]]:
    """What a text is looked for by: as it is, and as a journal that hides payloads has it."""
    if not seal.keys():
        return (text,)
    hide = yield from hide_flow(seal)
    return tuple(dict.fromkeys(one for one in (text, hide(field, text)) if one))


def ended_of(
    id_: str,
    fields: Mapping[str, str],
    *,
    body: str,
    log: Sequence[str],
    parts: Sequence[str],
    seal: Seal,
    wanted: Wanted,
    hide: Hide | None,
) -> Ended:
    """One intent; whatever cannot be read of it, the rest is copied."""
    state = fields["state"]
    over = state in FINISHED or state in (State.DEAD, State.DISCARDED)
    generation = min(read(fields["gen"]), _MOST_GENERATIONS)
    one = Ended(
        id=id_,
        key="",
        kind=fields["kind"],
        lane=fields["lane"],
        state=state if over else OPEN,
        outcome=fields["outcome"],
        dead_class=fields["class"],
        code=fields["code"],
        message=fields["message"],
        generation=generation,
        attempts=count(fields["attempts"]),
        transaction_id=fields["txn"],
        parent_id=fields["parent"],
        created_ms=read(fields["created"]),
        ended_ms=read(fields["updated"] or fields["created"]),
        encrypted=fields["sealed"],
        lines=tuple(_lines(log)),
    )
    ids = [fields["txn"], fields["parent"], *(part.partition(" ")[2] for part in parts)]
    ids += [line.partition(" ")[2] for line in fields["results"].splitlines()]
    unread = False
    named: dict[str, list[Iterable[str]]] = {"reference": [], "id": [ids], "about": []}
    try:
        head = head_of(id_, body)
        named["reference"].append(_of_generations([head.reference], generation) if head.reference else ())
        one = replace(
            one,
            key=head.key,
            reference=of_generation(head.reference, generation) if head.reference else "",
            payload=cut(body)[1] if wanted.payload else None,
        )
        payload = entry_of(id_, seal.shown_body(id_, body)).payload
        more, movements, meta = _searched(fields["kind"], payload, generation, wanted)
        if hide is _nothing:
            # Others, with the key, may have written what it is found by.
            more, movements, meta, unread = {}, (), (), True
        elif hide is not None:
            hidden_name = partial(hide, "name")
            more = {sort: map(hidden_name, texts) for sort, texts in more.items()}
            movements = tuple(Movement(*(hide(field, getattr(mv, field)) for field in _MOVED)) for mv in movements)
            meta = tuple((place, hide(META, name), hide(f"meta.{name}", value)) for place, name, value in meta)
        for sort, texts in more.items():
            named[sort].append(texts)
        one = replace(one, movements=movements, meta=meta)
    except (EncryptionKeyMissing, DoesNotVerify):
        unread = True
    except (ValueError, TypeError, KeyError, AttributeError):
        # It is broken, and found by what stands beside it.
        pass
    marks = (Name(UNREAD, MARKS[UNREAD]),) if unread else ()
    return replace(one, names=(*dict.fromkeys(_names(named)), *marks))


def _names(named: Mapping[str, Iterable[Iterable[str]]]) -> Iterator[Name]:
    """Names by their sorts, of each no more than are kept, so that no sort takes the room of another."""
    for sort, several in named.items():
        kept: set[str] = set()
        for text in filter(None, chain.from_iterable(several)):
            if text in kept:
                continue
            if len(kept) >= MOST_NAMES:
                yield Name(CUT, MARKS[CUT])
                break
            kept.add(text)
            yield Name(sort, text)


_MOVED = ("currency", "amount", "precise_amount", "source", "destination")


def _searched(
    kind: str, payload: Mapping[str, Any], generation: int, wanted: Wanted
) -> tuple[dict[str, Iterable[str]], tuple[Movement, ...], tuple[tuple[int, str, str], ...]]:
    """What of a payload can be searched for; names by their sorts."""
    names: dict[str, Iterable[str]] = {"id": list(ids_in(payload))}
    known = KINDS[kind] if kind in NAMING else None
    if known is not None and known.claims is not None:
        names["reference"] = _of_generations(
            [first_of(reference, generation) for reference in known.claims(payload)], generation
        )
    if known is not None and known.names is not None:
        names["about"] = list(known.names(payload))
    return names, movements_of(payload), meta_of(payload, wanted.names)


def _of_generations(references: Sequence[str], generation: int) -> Iterator[str]:
    """All references of each generation: what was sent last before all others, and then the first."""
    for number in dict.fromkeys((generation, *range(generation + 1))):
        for reference in references:
            yield of_generation(reference, number)


def _lines(log: Sequence[str]) -> Iterator[Line]:
    met: set[tuple[object, ...]] = set()
    for text in log:
        line = attempt_of(text)
        one = Line(
            at_ms=milliseconds(line.at),
            what=line.what,
            status=count(line.status),
            code=str(line.code),
            latency_ms=read(line.latency_ms),
            worker=str(line.worker),
            note=str(line.note),
            request_id=str(line.request_id),
            count=read(line.count),
            last_ms=None if line.last is None else milliseconds(line.last),
        )
        # Of two that are alike but for their notes each stands there, the second one a moment later.
        while (one.at_ms, one.what, one.status, one.code) in met:
            one = replace(one, at_ms=one.at_ms + 1)
        met.add((one.at_ms, one.what, one.status, one.code))
        yield one


def life_of(id_: str, fields: Mapping[str, str], died: object) -> Life:
    """What a letter is, with what the index of letters has of when it died."""
    closed = fields["state"] == State.DISCARDED
    return Life(
        intent=id_,
        life=fields["token"] or fields["created"],
        died_ms=read(died if died is not None else fields["died"]),
        dead_class=fields["class"],
        code=fields["code"],
        message=fields["message"],
        generation=count(fields["gen"]),
        attempts=count(fields["attempts"]),
        closed=fields["state"] if closed else "",
        closed_ms=read(fields["updated"]) if closed else None,
    )


def life_in(text: str) -> Life:
    """What a letter was, out of a line that lives.lua has left.

    Raises:
        Exception: It cannot be read.
    """
    line = json.loads(text)
    return Life(
        intent=line["id"],
        life=line["life"],
        died_ms=read(line["died"]),
        dead_class=line["class"],
        code=line["code"],
        message=line["message"],
        generation=count(line["gen"]),
        attempts=count(line["attempts"]),
        closed=line["closed"],
        closed_ms=read(line["at"]),
    )
