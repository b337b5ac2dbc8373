"""Which encryption keys a journal needs, and putting what it hides under the one that is written with.

Both walk over all intents, page by page, and a key that nothing is found under any more is given up by somebody: one
intent that was passed over could never be sent. What moves on meanwhile is met later; what goes back to its lane, or is
replayed, is met where it stands whatever hands it goes through, or in a second look at all that is open and at what was
over since the walk began; only a letter that dies and is replayed twice during one walk may be met in neither. Nothing
is noted of how far a walk came: what is under the right key already is passed over, so a walk that was broken off is
simply begun again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any

from blnk_relay.encryption import EncryptionKey, name_in
from blnk_relay.errors import DoesNotVerify, EncryptionKeyMissing, Refused
from blnk_relay.intents.states import StateName
from blnk_relay.journal.flows import Ask, Flow, ask_flow, batched, run_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.narrowing import Wanted, of_state
from blnk_relay.journal.pages import Begun, Pages
from blnk_relay.journal.seal import hidden, keys_in
from blnk_relay.journal.status import moment

#: States in the order in which intents move on; done ones and cancelled ones are in one set.
_OPEN: tuple[StateName, ...] = ("waiting", "ready", "sending", "posted")
_OVER: tuple[StateName, ...] = ("dead", "discarded", "done")

#: How far the clock of Redis may go back during a walk.
_STEP = timedelta(minutes=5)

#: Intents whose bodies and files are read in one trip: each may be megabytes.
_AT_ONCE = 20

#: Ids kept of those that do not verify.
_MOST_NAMED = 20

_READ = ("sealed", "gen", "created", "memo", "message", "fp")

#: A fingerprint, as opposed to the id that stands in for one in a letter of what came by name.
_FINGERPRINT = 32


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What a journal needs which encryption key for.

    Attributes:
        target: Whose journal it is.
        first: Name of the key that this process writes with; empty for none.
        intents: Intents that need a key, by its name; one may need several.
        plain: Intents that hide nothing, or not their body.
        secret: Name of the key that the secret of its fingerprints is under; empty where there is none.
        tokens: The same for OAuth tokens.
        lacking: Names of those keys that this process does not have.
        left: Intents that were not looked at. As long as there are some, a key that is not named may be needed.
    """

    target: str
    first: str
    intents: Mapping[str, int]
    plain: int
    secret: str
    tokens: str
    lacking: tuple[str, ...]
    left: int = 0

    @property
    def old(self) -> int:
        """How often a key is needed that is not the one to write with; 0, and none left: others can be given up."""
        others = sum(number for name, number in self.intents.items() if name != self.first)
        return others + sum(name not in ("", self.first) for name in (self.secret, self.tokens))


@dataclass(frozen=True, slots=True)
class Resealed:
    """What came of putting a journal under one key.

    Attributes:
        done: Intents that were put under it.
        changed: Intents that changed meanwhile and were not met again since; another walk takes them.
        locked: Intents under a key that is not at hand, by its name.
        broken: Ids of the first intents that do not verify.
        finished: Whether the walk came to its end.
        tokens: Of each OAuth token that could not be put under it, why, as a sentence.
    """

    done: int
    changed: int
    locked: Mapping[str, int]
    broken: tuple[str, ...]
    finished: bool
    tokens: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is left to do: all that the journal hides is under that key."""
        return self.finished and not (self.changed or self.locked or self.broken or self.tokens)


def key_use(journal: Journal, most: int | None = None, step: Callable[[int], None] = lambda _: None) -> KeyUse:
    """Count what needs which key.

    Args:
        journal: Whose.
        most: Look at so many intents, and no page beyond; at all when None.
        step: Told how many intents more were looked at; of those that are looked at again, that it goes on: 0.
    """
    keys, used, plain, looked, left = journal.seal.keys(), Counter[str](), 0, 0, 0
    # Most of what is met again was counted. Of a key that nothing had needed before, all of it is new: it is written
    # with that key meanwhile, and may be met several times.
    new: dict[str, set[str]] = {}
    for ids, again in _walk(journal):
        if most is not None and looked >= most and not again:
            left = max(1, sum(Pages(journal).number(of_state(state)) for state in (*_OPEN, *_OVER)) - looked)
            break
        looked += 0 if again else len(ids)
        step(0 if again else len(ids))
        read = journal.drive(_fields_flow(journal.prefix, ids, ("sealed", "created")))
        for id_, (sealed, created) in zip(ids, read, strict=True):
            if created is None:
                continue
            if not again:
                used.update(keys_in(sealed or ""))
                plain += not hidden(sealed or "")
                continue
            for name in keys_in(sealed or ""):
                if name not in used:
                    new.setdefault(name, set()).add(id_)
    used.update({name: len(those) for name, those in new.items() if name not in used})
    kept, tokens = journal.drive(_beside_flow(journal.prefix))
    first, secret = keys.first.name if keys.first else "", name_in(kept)
    # Where the two are under several keys, the one that would be given up.
    token = max((name_in(text or "") for text in tokens[1:]), key=lambda name: (name != "", name != first))
    needed = {*used, secret, token} - {""}
    return KeyUse(
        target=journal.target,
        first=first,
        intents=dict(sorted(used.items())),
        plain=plain,
        secret=secret,
        tokens=token,
        lacking=tuple(sorted(name for name in needed if name not in keys)),
        left=left,
    )


def reseal(journal: Journal, *, stopped: Callable[[], bool], step: Callable[[int], None]) -> Resealed:
    """Put all that a journal hides, and all that it should, under the key that is written with.

    As long as each trip takes, nothing is asked for afterwards, so that others have the server for themselves as well.

    Args:
        journal: Whose.
        stopped: Whether to end early.
        step: Told how many intents more were looked at; of those that are looked at again, that it goes on: 0.

    Raises:
        Refused: There is no key to write with.
        EncryptionKeyMissing: The secret of its fingerprints is under a key that is not at hand.
        JournalUnavailable: Redis did not answer; what was done stays done.
    """
    key = journal.seal.keys().first
    if key is None:
        raise Refused("nothing is encrypted anew: BLNK_RELAY_ENCRYPTION_KEYS has no key to write with")
    journal.drive(journal.seal.renewed_secret_flow())
    tokens = _reseal_tokens(journal, key)
    done, changed, locked, broken = 0, set[str](), Counter[str](), list[str]()
    for ids, again in _walk(journal):
        if stopped():
            return Resealed(done, len(changed), dict(locked), tuple(broken), finished=False, tokens=tokens)
        step(0 if again else len(ids))
        old = [
            (id_, values)
            for id_, values in zip(ids, _gently(journal, _fields_flow(journal.prefix, ids, _READ)), strict=True)
            if values[_READ.index("created")] is not None and (values[0] or "") != key.name
        ]
        # What is under that key by now, or gone, is met once more and no longer left.
        changed.difference_update({*ids} - {id_ for id_, _ in old})
        for some in batched(old, _AT_ONCE):
            asked = [("GET", f"{journal.prefix}{name}:{id_}") for id_, _ in some for name in ("body", "file")]
            texts = iter(_gently(journal, _ask_flow(asked)))
            for id_, values in some:
                body, file = next(texts), next(texts)
                if body is None:
                    # It was trimmed meanwhile, or is lost, so that there is nothing that could be hidden.
                    continue
                try:
                    arguments = _anew(journal, key, id_, values, (body, file or ""))
                except EncryptionKeyMissing as error:
                    if not again or error.key not in locked:
                        locked[error.key] += 1
                except (DoesNotVerify, ValueError):
                    if id_ not in broken and len(broken) < _MOST_NAMED:
                        broken.append(id_)
                else:
                    [taken] = _gently(journal, run_flow("reseal", *arguments))
                    done += taken
                    (changed.discard if taken else changed.add)(id_)
    return Resealed(done, len(changed), dict(locked), tuple(broken), finished=True, tokens=tokens)


def _anew(
    journal: Journal, key: EncryptionKey, id_: str, values: Sequence[str | None], texts: tuple[str, str]
) -> tuple[str, ...]:
    """What reseal.lua is told of one intent."""
    seal, (body, file) = journal.seal, texts
    sealed, gen, created, memo, message, fingerprint = (value or "" for value in values)
    shown = seal.shown_body(id_, body)
    if not hidden(sealed) and len(fingerprint) == _FINGERPRINT:
        # It was accepted without a key, and so its fingerprint was made without the secret.
        fingerprint = journal.drive(seal.secret_flow()).fingerprint(fingerprint)
    else:
        fingerprint = ""
    return (
        id_,
        *(sealed, gen, created, memo, message),
        seal.body(id_, shown, key),
        seal.file(id_, seal.shown_file(id_, file), key),
        seal.hidden(id_, "memo", seal.shown(id_, "memo", memo), key),
        seal.hidden(id_, "message", seal.shown(id_, "message", message), key),
        fingerprint,
        key.name,
    )


def _reseal_tokens(journal: Journal, key: EncryptionKey) -> tuple[str, ...]:
    """Put OAuth tokens under a key; the next refresh would do so as well. Returns why some could not be."""
    _, (version, *kept) = journal.drive(_beside_flow(journal.prefix))
    if version is None or all(name_in(text or "") == key.name or not text for text in kept):
        return ()
    seal, texts, left = journal.seal, list[str](), list[str]()
    for name, text in zip(("access", "refresh"), kept, strict=True):
        what = f"the OAuth {name} token of target {journal.target!r}"
        as_it_stands = text or ""
        try:
            as_it_stands = seal.token(name, seal.shown_token(name, as_it_stands))
        except EncryptionKeyMissing as error:
            left.append(str(EncryptionKeyMissing(error.key, what)))
        except DoesNotVerify:
            left.append(f"{what} does not verify: it was changed, or belongs to another journal. Log in again")
        texts.append(as_it_stands)
    journal.drive(run_flow("oauth", "reseal", version, *texts))
    return tuple(left)


def _walk(journal: Journal) -> Iterator[tuple[list[str], bool]]:
    """Ids of all intents, page by page, and whether most of them were given before."""
    pages, since = Pages(journal), moment(journal.now_ms()) - _STEP

    def those(wanted: Wanted, sets: Begun | None = None) -> Iterator[list[str]]:
        for page in pages.of(wanted, oldest_first=True, sets=sets):
            yield [id_ for id_, _ in page]

    for again in (False, True):
        for state in _OPEN:
            yield from ((ids, again) for ids in those(of_state(state)))
        # Whoever was in hands stands there as long as it is open, and may go back only to what waits for its turn.
        lanes = journal.drive(ask_flow("SMEMBERS", f"{journal.prefix}lanes"))
        tried: Begun = {f"tried:{lane}": None for lane in lanes}
        yield from ((ids, True) for ids in chain(those(of_state("ready"), tried), those(of_state("waiting"))))
        for state in _OVER:
            yield from ((ids, again) for ids in those(Wanted(state, None, None, since if again else None, None)))


def _gently(journal: Journal, flow: Flow[Any]) -> Any:
    start_s = time.monotonic()
    answer = journal.drive(flow)
    time.sleep(min(1.0, time.monotonic() - start_s))
    return answer


def _fields_flow(prefix: str, ids: Sequence[str], names: Sequence[str]) -> Flow[list[list[str | None]]]:
    found: list[list[str | None]] = yield Ask(
        tuple(("HMGET", f"{prefix}intent:{id_}", *names) for id_ in ids), whole=False
    )
    return found


def _beside_flow(prefix: str) -> Flow[tuple[str, list[str | None]]]:
    """The secret of fingerprints as it is kept; version, access token and refresh token."""
    secret, tokens = yield Ask(
        (("HGET", f"{prefix}secret", "sealed"), ("HMGET", f"{prefix}oauth", "version", "access", "refresh"))
    )
    return secret or "", tokens


def _ask_flow(commands: Sequence[tuple[str | int, ...]]) -> Flow[list[Any]]:
    answers: list[Any] = yield Ask(tuple(commands), whole=False)
    return answers
