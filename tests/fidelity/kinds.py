"""Stories that the kinds tell themselves: what each sends first, what it reads, and what it makes of the answers.

A new kind is here as soon as it has a specimen, which ``tests/unit/test_kind_contract.py`` demands.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from blnk_relay.intents.decision import Dead, Decision, Done, Look, Send
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds.registry import KINDS
from tasks.lookups import MAX_ROUNDS
from tests.fidelity.telling import NO_ID, Story, Teller
from tests.support.specimens import POLICY, SPECIMENS, Specimen
from worker.ledger.proxy import Proxy
from worker.ledger.readback import LedgerOverHttp
from worker.ledger.wire import _response

#: How long ago the request was, for a decision that rests on what the ledger shows: longer than reads may lag.
_SINCE_MS = int((POLICY.read_lag_s + POLICY.quiet_s + 1) * 1000)

_DAY_MS = 86_400_000

#: Where an answer names what was made, of what a bare Core does not show.
_MADE = ("upload_id", "rule_id", "reconciliation_id")


class _Way(Proxy):
    """A worker's way to a bare Core, told by a story."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self.name = ""
        self.bare = True
        self.prefix = ""

    def call(self, method: str, path: str, query: Mapping[str, str], body: bytes | None, **_: Any) -> Response:
        asked = f"{method} {path}?{urlencode(query, quote_via=quote)}" if query else f"{method} {path}"
        answer = self._teller.ask(self.name, asked, body, loose=True)
        return _response(answer.whole, answer.raw, 0)


def _own(intent: Intent, scene: str) -> Intent:
    """An intent whose balances are those of the scene alone."""
    text = json.dumps(intent.payload)
    for name in ("@world", "@shop", "@agent", "@owner"):
        text = text.replace(f'"{name}"', f'"{name}.{scene}"')
    return replace(intent, payload=json.loads(text))


def _story(specimen: Specimen) -> Story:
    def tell(teller: Teller) -> None:
        ids: dict[str, str] = {}
        for name, make in specimen.needs.items():
            ids[name] = _settle(teller, _own(make(teller.scene, ids), teller.scene), name)
        _settle(teller, _own(specimen.make(teller.scene, ids), teller.scene), "it", again=True)

    # The legs of a split are dealt out at random before 0.15.4.
    return Story(f"kind/{specimen.name}", tell, blind=specimen.kind == "transaction.split")


def _settle(teller: Teller, intent: Intent, name: str, *, again: bool = False) -> str:
    """Send an intent as a worker would, and read until it is decided; the id that it came to.

    Args:
        teller: Who tells it.
        intent: What to send.
        name: What the story calls it.
        again: Send it once more when it is over, as a worker would whose answer was lost.
    """
    entry = new_entry(
        intent, teller.name(f"a-{name}"), "a-lane", not_before="+0", deadline="+1", tag="blnk_relay"
    ).entry
    kind = KINDS[entry.kind]
    now_ms = int(time.time() * 1000)
    now = Progress(now_ms=now_ms, since_ms=now_ms, deadline_ms=now_ms + _DAY_MS)
    step = _decided(teller, entry, now, f"{name} first", "filters", blind=True)
    if not isinstance(step, Send):
        teller.conclude(f"{name} is not sent", _in_words(step))
        return NO_ID
    now = replace(now, memo=step.memo or {})
    request = kind.request(entry, now, POLICY)
    verdict, made = _sent(teller, entry, now, _whole(request, intent), name)
    since_ms = now_ms - _SINCE_MS
    now = replace(
        now, since_ms=since_ms, first_sent_ms=since_ms, last_sent_ms=since_ms, sent=True, looking=True, attempts=1
    )
    now = replace(now, sends=1, accepted=verdict.accepted)
    with teller.silence():
        # What is read while the ledger is at work differs by chance.
        for seen in teller.tries(lambda: _decided(teller, entry, now, name, "filters")):
            if seen is None or isinstance(seen, Done | Dead):
                break
    seen = _decided(teller, entry, now, f"{name} seen", "filters")
    teller.conclude(f"{name} is seen", _in_words(seen))
    _by_get(teller, entry, now, f"{name} read")
    if again:
        _sent(teller, entry, now, _whole(request, intent), f"{name} again")
    return (seen.transaction_id if isinstance(seen, Done) else "") or made


def _whole(request: Request, intent: Intent) -> Request:
    """A request with the file that is kept beside the intent."""
    return request if request.file is None else replace(request, file=(request.file[0], intent.file or b""))


def _sent(teller: Teller, entry: Entry, now: Progress, request: Request, name: str) -> tuple[Verdict, str]:
    """Send it; what it is judged to mean, and the id that the answer says was made."""
    asked = f"{request.method} {request.path}"
    if request.file is None:
        answer = teller.ask(name, asked, dict(request.body))
    else:
        form = {field: str(value) for field, value in request.body.items()}
        answer = teller.ask(name, asked, files={"file": request.file}, form=form)
    response = _response(answer.whole, answer.raw, 0)
    verdict = KINDS[entry.kind].judge(entry, now, request, response, POLICY)
    words = {"acted": verdict.acted, "accepted": verdict.accepted, "counted": verdict.counted}
    gate = {} if verdict.gate is None else {"gate": str(verdict.gate.action)}
    teller.conclude(f"{name} is judged", {**_in_words(verdict.decision), **words, **gate})
    made = (answer.id(field) for field in _MADE)
    return verdict, next((id_ for id_ in made if id_ != NO_ID), NO_ID)


def _by_get(teller: Teller, entry: Entry, now: Progress, name: str) -> None:
    """The same by Core's own routes, where these are others; which leg of a split has which number is chance."""
    if entry.kind != "transaction.split" and any(lookup.resource == "transactions" for lookup in _wanted(entry, now)):
        teller.conclude(f"{name} is seen", _in_words(_decided(teller, entry, now, name, "core")))


def _wanted(entry: Entry, now: Progress) -> Sequence[Any]:
    step = next_step(KINDS[entry.kind], entry, now, Found(), POLICY)
    return step if isinstance(step, tuple) else ()


def _decided(
    teller: Teller, entry: Entry, now: Progress, name: str, route: str, *, blind: bool = False
) -> Decision | None:
    """What is decided after reading what the kind wants to read; None where a bare Core has no such read.

    Args:
        teller: Who tells it.
        entry: The intent.
        now: Where it stands.
        name: What the story calls the reads.
        route: By which routes.
        blind: Whether what cannot be read is taken for absent, so that it is sent all the same.
    """
    way = _Way(teller)
    ledger = LedgerOverHttp(way, route)
    found = Found()
    for number in range(1, MAX_ROUNDS + 1):
        step = next_step(KINDS[entry.kind], entry, now, found, POLICY)
        if not isinstance(step, tuple):
            return step
        way.name = name if number == 1 else f"{name}, round {number}"
        looked = ledger.look(step)
        if not blind and any(failed.code == "NO_SUCH_READ" for failed in looked.failed.values()):
            return None
        found = found.plus(looked.rows, looked.records, step)
    raise AssertionError(f"{entry.kind}: undecided after {MAX_ROUNDS} rounds of reading")


def _in_words(decision: Decision | None) -> dict[str, Any]:
    """A decision without what depends on the clock."""
    if decision is None:
        return {"decision": "a bare Core has no such read"}
    told: dict[str, Any] = {"decision": type(decision).__name__}
    if isinstance(decision, Done):
        told |= {"outcome": decision.outcome, "id": decision.transaction_id, "parent": decision.parent_id}
    elif isinstance(decision, Dead):
        told |= {"class": str(decision.dead_class), "code": decision.code}
    elif isinstance(decision, Look):
        told |= {"refuse": decision.refuse}
    note = getattr(decision, "note", None)
    return told if note is None else {**told, "parts": {str(part): text for part, text in note.parts.items()}}


def kind_stories() -> list[Story]:
    """One for each specimen."""
    return [_story(specimen) for specimen in SPECIMENS.values()]
