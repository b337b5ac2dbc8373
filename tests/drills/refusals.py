"""Drills in which Redis is there and refuses, in each of its words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from blnk_relay import JournalUnavailable, Relay
from tests.drills.report import Report, Terms
from tests.drills.scene import Scene
from tests.support.payments import payment
from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until

#: How long it refuses.
_REFUSAL_S = (0.3, 3.0)

_OPTIONS: dict[str, Any] = {"enable-protected-configs": "yes", "busy-reply-threshold": "50"}

#: Until a refusal has to show, and until it has to be over.
_WAIT_S = 30.0

#: What a sentence says that knows nothing better.
_VAGUE = "answered with an error"

#: Of all writes, the memory that is left when the ballast is not there; and the ballast.
_ROOM, _BALLAST = 8_000_000, 16_000_000


def refusals(terms: Terms) -> Report:
    """Redis refuses for seconds: full, read-only, too few replicas, no disk, loading, busy, no password, no right …"""
    rounds = terms.of(2, 1)
    valkey = LastingValkey(**_OPTIONS)
    with Scene("refusals", terms, intents=terms.of(300, 100), valkey=valkey) as scene:
        words = list(_REFUSALS)
        order = [word for _ in range(rounds) for word in scene.rng.sample(words, len(words))]
        with Relay(scene.stage.settings) as another:
            for turn in scene.blows(len(order), (0.1, 0.4)):
                word = order[turn]
                with _REFUSALS[word](valkey):
                    wait_until(lambda word=word: _refused(valkey) == word, _WAIT_S, f"{word} to be answered")
                    scene.struck(word)
                    until_s = time.monotonic() + scene.rng.uniform(*_REFUSAL_S) * (0.4 if terms.quick else 1.0)
                    _tried(scene, another, word, turn)
                    while time.monotonic() < until_s and _refused(valkey) == word:
                        time.sleep(0.05)
                wait_until(lambda: _refused(valkey) is None, _WAIT_S, f"{word} to be over")
        return scene.report(least_of_refusals(rounds), restarts=scene.events["LOADING"], alive=True)


def maxmemory(terms: Terms) -> Report:
    """The limit of memory is crossed a thousand times, up and down, while work is accepted and done."""
    number = terms.of(1_000, 100)
    with Scene("maxmemory", terms, intents=terms.of(400, 100)) as scene, scene.valkey.client() as client:

        def full() -> bool:
            try:
                client.set("probe", "1")
            except redis.OutOfMemoryError:
                return True
            return False

        client.config_set("maxmemory", client.info("memory")["used_memory"] + _ROOM)
        for turn in scene.blows(number, (0.0, 0.02)):
            client.setrange("ballast", _BALLAST - 1, "x")
            scene.struck("crossed", full())
            # Mostly for a moment; now and then for as long as a producer notices it.
            time.sleep(scene.rng.uniform(0.2, 0.8) if turn % 50 == 49 else scene.rng.uniform(0.0, 0.01))
            client.delete("ballast")
            scene.struck("crossed_back", not full())
        client.config_set("maxmemory", 0)
        return scene.report(least_of_maxmemory(number), alive=True)


def least_of_refusals(rounds: int) -> Mapping[str, int]:
    """What has to fall and to show, where each word is said so many rounds: a fair part of producers is told."""
    return {**dict.fromkeys(_REFUSALS, rounds), "told": 5 * rounds, "refused": 2 * rounds}


def least_of_maxmemory(number: int) -> Mapping[str, int]:
    """The same for so many crossings, of which one in fifty lasts long enough for a producer to meet it."""
    return {"crossed": number, "crossed_back": number, "refused": max(1, number // 100)}


def _refused(valkey: LastingValkey) -> str | None:
    """The word with which a write is refused now to somebody who comes anew; None when it is done."""
    try:
        with redis.Redis(port=valkey.port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            client.eval("return redis.call('SET', KEYS[1], '1')", 1, "probe")
    except redis.AuthenticationError:
        return "NOAUTH"
    except redis.RedisError as error:
        text = str(error)
        if "max number of clients" in text:
            return "MAXCLIENTS"
        known = {
            redis.ReadOnlyError: "READONLY",
            redis.OutOfMemoryError: "OOM",
            redis.BusyLoadingError: "LOADING",
            redis.exceptions.NoPermissionError: "NOPERM",
            redis.exceptions.MasterDownError: "MASTERDOWN",
        }
        return known.get(type(error)) or text.partition(" ")[0]
    return None


def _tried(scene: Scene, relay: Relay, word: str, turn: int) -> None:
    """An application enqueues meanwhile: it is told why not in words of its own, or has a receipt that holds."""
    try:
        receipt = relay.enqueue(payment(f"{word.lower()}-{turn}."))
        scene.teller.receipts[receipt.key] = receipt
    except JournalUnavailable as error:
        scene.struck("told")
        if _VAGUE in str(error):
            scene.others.append(f"vague: {word} is told as {error}")


# -- each of its words: brought about, and undone --------------------------------------------------------------------


def _configured(name: str, value: str, usual: str) -> Callable[[LastingValkey], Any]:
    @contextmanager
    def refusing(valkey: LastingValkey) -> Iterator[None]:
        with valkey.client() as client:
            client.config_set(name, value)
            yield
            client.config_set(name, usual)

    return refusing


@contextmanager
def _read_only(valkey: LastingValkey) -> Iterator[None]:
    """It is the replica of nobody."""
    with valkey.client() as client:
        client.replicaof("127.0.0.1", 1)
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def _master_down(valkey: LastingValkey) -> Iterator[None]:
    """It is the replica of nobody, and does not read either."""
    with valkey.client() as client:
        client.config_set("replica-serve-stale-data", "no")
        client.replicaof("127.0.0.1", 1)
        yield
        client.replicaof("NO", "ONE")
        client.config_set("replica-serve-stale-data", "yes")


@contextmanager
def _no_disk(valkey: LastingValkey) -> Iterator[None]:
    """It cannot save, because something else has the name of its file."""
    with valkey.client() as client:
        (valkey.folder / "taken").mkdir(exist_ok=True)
        (valkey.folder / "taken" / "by this").touch()
        client.config_set("dbfilename", "taken")
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", _WAIT_S, "it to fail")
        yield
        client.config_set("save", "")
        client.config_set("dbfilename", "dump.rdb")


@contextmanager
def _loading(valkey: LastingValkey) -> Iterator[None]:
    """It has come back, and reads its file slowly."""
    with valkey.client() as client:
        keys = max(1, client.dbsize())
        client.bgrewriteaof()
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], _WAIT_S, "the file to be written")
    valkey.crash()
    slowly = {"key-load-delay": str(3_000_000 // keys), "loading-process-events-interval-bytes": "1024"}
    # Who starts it waits until it has everything.
    thread = threading.Thread(target=valkey.start, kwargs=slowly)
    thread.start()
    yield
    thread.join()
    with valkey.client() as client:
        client.config_set("key-load-delay", 0)


@contextmanager
def _busy(valkey: LastingValkey) -> Iterator[None]:
    """Somebody's script does not end."""

    def spin() -> None:
        with redis.Redis(port=valkey.port, socket_timeout=60) as other, suppress(redis.RedisError):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()
    yield
    with valkey.client() as client:
        end_s = time.monotonic() + _WAIT_S
        while thread.is_alive() and time.monotonic() < end_s:
            with suppress(redis.RedisError):
                client.script_kill()
            thread.join(0.1)


@contextmanager
def _no_password(valkey: LastingValkey) -> Iterator[None]:
    """It wants a password that nobody has."""
    with valkey.client() as client:
        client.config_set("requirepass", "another")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        yield
        client.config_set("requirepass", "")


@contextmanager
def _no_right(valkey: LastingValkey) -> Iterator[None]:
    """The user may not do what it has to."""
    with valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-@write", "-@scripting")
        yield
        client.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def _no_place(valkey: LastingValkey) -> Iterator[None]:
    """It has as many clients as it takes."""
    with valkey.client() as client:
        usual = client.config_get("maxclients")["maxclients"]
        client.config_set("maxclients", 1)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        yield
        client.config_set("maxclients", usual)


_REFUSALS: dict[str, Callable[[LastingValkey], Any]] = {
    "OOM": _configured("maxmemory", "1", "0"),
    "READONLY": _read_only,
    "MASTERDOWN": _master_down,
    "NOREPLICAS": _configured("min-replicas-to-write", "1", "0"),
    "MISCONF": _no_disk,
    "LOADING": _loading,
    "BUSY": _busy,
    "NOAUTH": _no_password,
    "NOPERM": _no_right,
    "MAXCLIENTS": _no_place,
}
