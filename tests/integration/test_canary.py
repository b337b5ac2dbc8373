"""Marks in all that must stay secret, through every way to fail: no mark comes out anywhere but in the ledger.

Every text of a write of every kind is marked, its key and its reference as well, and so are credentials, passwords and
encryption keys. Each way to fail is a target of one worker, before a ledger that says back all that it is sent wherever
an answer can hold it. What left the worker is held against the marks, byte by byte: what Sentry gets, the log at level
debug in both forms, metrics, the database of history, what the command line shows without ``--payload``, and the texts
of errors that an application meets, and all that the console answers to whoever may not look at payloads.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import redis

from blnk_relay import Intent, Operator, Relay, RelayError, Settings, Target, Write, bulk_transactions, transaction
from blnk_relay.kinds.registry import intent_of
from tests.support.canary import BEHIND_PROXY, PATHS, EchoingLedger, Login
from tests.support.certificates import certified, https
from tests.support.cli import run as run_command
from tests.support.console import KEYS, post
from tests.support.history import made, sqlite_url
from tests.support.messages import message
from tests.support.payments import payment, poor
from tests.support.secrecy import a_key, a_mark, found_in
from tests.support.sentry import FakeSentry
from tests.support.specimens import SPECIMENS, Specimen
from tests.support.stages import SHORT
from tests.support.visiting import Visitor, listening, readable
from tests.support.waiting import wait_until
from worker.console.doors import DOORS
from worker.console.screens.chores import CHORES
from worker.console.settings import ConsoleSettings
from worker.demo.stage import Stage, _clean_environment, as_environment

#: Far above what any needs: a minute or two, and more where each worker is killed at once.
WAIT_S = 420.0

#: The short form: an answer that quotes all that it was sent, and our own code's failure; of kinds that need nothing
#: before them, one of each sort of payload.
SHORT_PATHS = ("codeless", "crash")
SHORT_KINDS = ("transaction-queue", "identity.create", "reconciliation.upload")

#: All of them, so many at a time as one worker gets through in a minute or two.
GROUPS = (
    ("refused", "rejected", "codeless", "token"),
    ("partial", "egress"),
    ("scope", "absent", "conflict", "unprocessed", "slowed"),
    ("failed", "gateway", "away", "late", "nonsense"),
    ("page", "moved", "silent", "reset", "cut"),
    ("tls", "client", "login", "sealed", "tampered"),
    ("crash", "judge", "broken"),
    ("killed",),
)

#: Texts that a kind or the ledger chooses, and numbers: to mark them is to make them invalid.
WORDS = frozenset(
    {
        *("currency", "effective_date", "dob", "strategy", "identity_type", "gender", "digest", "sha256", "amount"),
        *("fields[]", "criteria[].field", "criteria[].operator", "external_transactions[].date", "distribution"),
        *("precise_amount", "precise_distribution", "status", "external_transactions[].currency", "field", "date"),
    }
)

#: Bulks of which the ledger makes one item alone: of one it rejects the other, and of one it stops before that.
POOR_BULKS: Mapping[str, Mapping[str, bool]] = {"poor-bulk": {}, "poor-bulk-skipping": {"skip_queue": True}}

#: What stands beside the texts of a write: its scene, of which its references are made, and its key.
NAMES = 2

#: What commands show of intents without ``--payload``; each of a target.
OF_A_TARGET = (
    *(("list",), ("list", "--json"), ("dead", "list"), ("dead", "list", "--json"), ("dead", "list", "-o", "csv")),
    *(("dead", "summary"), ("dead", "summary", "--json"), ("find", "--state", "dead")),
    ("find", "--kind", "transaction", "--json"),
)

#: Those of all targets.
OF_ALL = (
    *(("status",), ("status", "--json"), ("lanes",), ("lanes", "--json"), ("workers",), ("workers", "--json")),
    *(("jobs",), ("jobs", "--json"), ("log",), ("log", "--json"), ("target", "list"), ("doctor",)),
    ("history", "status"),
)


def test_every_way_to_fail_is_in_the_matrix():
    assert sorted(name for group in GROUPS for name in group) == sorted(PATHS)


@dataclass
class Marked:
    """What is enqueued, and its marks: the scene, the key, and one for each text that is free."""

    specimen: str
    intent: Intent
    key: str
    target: str
    marks: list[str]

    @property
    def names(self) -> set[str]:
        """Those that are no secret."""
        return set(self.marks[:NAMES])

    @property
    def texts(self) -> list[str]:
        """Those that are."""
        return self.marks[NAMES:]


def marked(payload: Any, marks: list[str], ids: frozenset[str], path: str = "") -> Any:
    """A payload with a mark in every text that is free."""
    if isinstance(payload, Mapping):
        return {name: marked(value, marks, ids, f"{path}.{name}".lstrip(".")) for name, value in payload.items()}
    if isinstance(payload, list | tuple):
        return [marked(value, marks, ids, f"{path}[]") for value in payload]
    if not isinstance(payload, str) or {path, path.rpartition(".")[2]} & WORDS or payload in ids:
        return payload
    if path.endswith(("_id", "_ids[]", "hold", "holds[]", "reference", "transaction")) or payload == "@world":
        return payload
    marks.append(a_mark("mark"))
    return ("@" if payload.startswith("@") else "") + marks[-1]


def of(specimen: Specimen, target: str, ids: Mapping[str, str]) -> Marked:
    """A marked write of a specimen."""
    marks = [a_mark("scene"), a_mark("key")]
    intent = marked_intent(specimen.make(marks[0], ids), marks, frozenset(ids.values()))
    return Marked(specimen.name, intent, f"{specimen.name}.{target}.{marks[1]}", target, marks)


def poorly(target: str) -> list[Marked]:
    """Marked writes for which there is no money, or for a part of them."""
    found = []
    for name in POOR_BULKS if PATHS[target].letters == "partial" else ("poor",):
        marks = [a_mark("scene"), a_mark("key")]
        both = [payment(f"{marks[0]}-paid"), poor(f"{marks[0]}-poor")]
        intent = poor(marks[0]) if name == "poor" else bulk_transactions(both, **POOR_BULKS[name])
        found.append(Marked(name, marked_intent(intent, marks), f"{name}.{target}.{marks[1]}", target, marks))
    return found


def marked_intent(intent: Intent, marks: list[str], ids: frozenset[str] = frozenset()) -> Intent:
    """An intent with a mark in every text that is free."""
    return dataclasses.replace(intent, payload=marked(intent.payload, marks, ids))


def prepared(stage: Any, paths: tuple[str, ...], kinds: tuple[str, ...]) -> dict[tuple[str, str], dict[str, str]]:
    """What specimens need in the ledger, made by a worker that nothing happens to; ids by path and specimen."""
    ids: dict[tuple[str, str], dict[str, str]] = {}
    depth = max(len(SPECIMENS[kind].needs) for kind in kinds)
    if not depth:
        return ids
    with Relay(stage.settings) as relay:
        stage.start_worker()
        for level in range(depth):
            writes, places = [], []
            for path in paths:
                for kind in kinds:
                    needs = list(SPECIMENS[kind].needs.items())
                    if level < len(needs):
                        name, make = needs[level]
                        known = ids.setdefault((path, kind), {})
                        key = f"need.{path}.{kind}.{name}"
                        # Names of the specimens hold dots, which not every text may.
                        writes.append(Write(intent=make(f"{path}.{kinds.index(kind)}", known), key=key))
                        places.append((known, name, key))
            relay.enqueue_many(writes)
            for known, name, key in places:
                status = relay.wait(key, timeout_s=WAIT_S)
                assert status.state == "done", (key, status)
                known[name] = status.transaction_id
        stage.stop_workers()
    return ids


def errors_of(writes: list[Marked], settings: Settings) -> list[str]:
    """What an application meets that does something wrong with marked values: texts and representations."""
    told: list[str] = []

    def meets(call: Callable[[], Any]) -> None:
        try:
            call()
        except RelayError as error:
            told.extend((str(error), repr(error)))
        else:
            raise AssertionError("nothing went wrong")

    for each in writes:
        mark = each.marks[-1]
        meets(lambda kind=each.intent.kind, mark=mark: intent_of(kind, {"amount": mark, "no_such_field": mark}))
        told.append(repr(each.intent))
    bad = a_mark()
    meets(lambda: transaction(source="@a", destination="@b", currency=bad, amount=bad, description=bad))
    assert bad not in "".join(told) or writes[0].marks[0] != bad
    return [text.replace(bad, "what was given for an amount") for text in told] + _refused(writes[0], settings)


def _refused(write: Marked, settings: Settings) -> list[str]:
    """The same key for something else, and a journal that wants another password."""
    told = []
    other = transaction(source="@a", destination="@b", currency="EUR", amount="1", description=write.marks[-1])
    with Relay(settings) as relay:
        for intent in (write.intent, other):
            try:
                relay.enqueue(intent, key=write.key, target=write.target)
            except RelayError as error:
                told += [str(error), repr(error)]
    elsewhere = replace(settings, redis_url=settings.redis_url.replace("/0", "/999"))
    with Relay(elsewhere) as relay:
        try:
            relay.enqueue(other, key=write.key, target=write.target)
        except RelayError as error:
            told += [str(error), repr(error)]
    assert len(told) == 4
    return told


@dataclass
class Play:
    """Everything of one run."""

    stage: Any
    relay: Relay
    ledger: EchoingLedger
    writes: list[Marked]
    forms: tuple[str, ...]
    receipts: dict[tuple[str, str], Any] = field(default_factory=dict)

    def start(self, form: str) -> None:
        """A worker whose kinds fail where the path says so."""
        with self.stage.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.support.canary"],
                env={**_clean_environment(), **as_environment(replace(self.stage.settings, log_format=form))},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.stage.workers.append(worker)

    def tend(self) -> None:
        """Another worker for one that was killed."""
        for worker in [worker for worker in self.stage.workers if worker.poll() is not None]:
            self.stage.workers.remove(worker)
            self.start("json" if len(self.stage.workers) % 2 else "human")

    def break_journals(self) -> None:
        """What the journal keeps of the intents of some paths is not what was recorded, and holds a mark still."""
        for (target, _), receipt in self.receipts.items():
            if PATHS[target].form == "broken":
                journal = self.relay.journal(target)
                place = journal.key(f"body:{receipt.id}")
                kept = str(journal.client.get(place))
                changed = kept[:-20] + kept[-20:-4].swapcase() + kept[-4:]
                assert changed != kept
                journal.client.set(place, changed if PATHS[target].sealed else "{" + kept)

    def id(self, each: Marked) -> str:
        """Of its intent."""
        return str(self.receipts[each.target, each.key].id)

    def met(self, each: Marked) -> bool:
        """Whether it has come to where its path fails."""
        path = PATHS[each.target]
        if path.form == "killed":
            return self.relay.get(self.id(each), target=each.target).state == "dead"
        if path.form == "tls" or path.login == "refused":
            # Nothing is sent there, and nobody's fault: all wait for the target.
            gates = Operator(self.relay.journals, self.relay.bells).overview(each.target).gates
            wanted = "unreachable" if path.form == "tls" else "paused"
            return any(gate.state == wanted for gate in gates)
        attempts = self.relay.history(self.id(each), target=each.target)
        if not path.sent:
            return any(one.what == "failed" for one in attempts) or (
                path.sealed and self.relay.get(self.id(each), target=each.target).state == "dead"
            )
        return any(one.request_id in self.ledger.written for one in attempts)

    def reach(self) -> None:
        """Wait until each write has met its path."""
        missing = list(self.writes)

        def all_met() -> bool:
            self.tend()
            missing[:] = [each for each in missing if not self.met(each)]
            return not missing

        try:
            wait_until(all_met, WAIT_S, poll_s=0.5)
        except AssertionError:
            names = sorted((each.target, each.specimen) for each in missing)
            raise AssertionError(f"{len(names)} did not meet their path: {names[:20]}") from None

    def check_sent(self) -> dict[str, set[str]]:
        """Kinds whose marks were on the wire, by path: what is not found elsewhere could have been."""
        carried: dict[str, set[str]] = defaultdict(set)
        for each in self.writes:
            attempts = self.relay.history(self.id(each), target=each.target)
            sent = b"".join(
                self.ledger.written[one.request_id][1] for one in attempts if one.request_id in self.ledger.written
            )
            if PATHS[each.target].sent:
                assert sent, (each.target, each.specimen)
            if found_in(each.texts, sent):
                carried[each.target].add(each.specimen)
        return carried


def commands_of(play: Play, secrets: set[str]) -> tuple[str, set[str]]:
    """What commands show without ``--payload``, and the marks that the ledger said back in a code or a message.

    Those are for operators: what it says is why they look (SECURITY.md).
    """
    shown: list[str] = []
    said = said_by_ledger(play, secrets)
    targets = list(dict.fromkeys(each.target for each in play.writes))
    # The short form asks less.
    whole = len(play.forms) > 1
    kinds = list(dict.fromkeys(each.specimen for each in play.writes))
    for each in play.writes:
        status = play.relay.get(play.id(each), target=each.target)
        # Each kind by one path, and each path by one kind.
        if kinds.index(each.specimen) % len(targets) == targets.index(each.target):
            for command in (("show",), ("find", "--key")):
                ran = run_command(*command, play.id(each), *(("--target", each.target) if command[0] == "show" else ()))
                assert {each.key, status.id} & set(ran.out.split())
                shown.append(ran.out + ran.err)
    of_targets = [(*command, "--target", target) for target in targets for command in OF_A_TARGET]
    for command in (*OF_ALL, *of_targets) if whole else (*(*OF_ALL, *of_targets)[::3], ("jobs",)):
        ran = run_command(*command)
        assert ran.code in (0, 1), (command, ran.err)
        assert ran.out, command
        shown.append(ran.out + ran.err)
    # What it says of one that is tried again may be new.
    return "\n".join(shown), said | said_by_ledger(play, secrets)


#: What stands in the places of addresses of the console, beside an intent and a job.
PLACES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "/intents/{target}/{id}/{what}": (("what", "replay", "discard", "cancel"),),
    "/letters/{what}": (("what", "replay", "discard"),),
    "/lanes/{sort}/{name}/{what}": (("sort", "lane", "target"), ("what", "pause", "resume")),
    "/workers/{what}": (("what", "quiet", "stop"),),
    "/journals/{name}/{what}": (("what", *CHORES),),
}

#: Errands of an operator that are about one journal.
OF_A_JOURNAL = ("recount", "keys")


def console_of(play: Play, job: str) -> bytes:
    """All that the console answers to somebody who may not look at payloads, headers and refusals as well."""
    told: list[bytes] = []
    settings = ConsoleSettings(port=0, token_rights=("operator",), api_keys=(*KEYS.values(),))
    asked = set[str]()
    with listening(play.relay.journals, settings, bells=play.relay.bells, holder="ben") as house:
        ben, script, mighty = (
            house.let_in(),
            house.visitor(Authorization="Bearer operator"),
            house.visitor(Authorization="Bearer all"),
        )

        def keep(answer: Any, *codes: int) -> None:
            assert answer.status_code in codes, (answer.url, answer.status_code, readable(answer.text))
            told.extend((repr(answer.headers).encode(), answer.content))

        # The short form asks less.
        errands = errands_of(ben, script, play) if len(play.forms) > 1 else []
        for door in (door for door in DOORS if door.method == "GET"):
            asked.add(door.path)
            visitor = script if door.api else ben
            for path in addresses(door.path.removeprefix("/api/v1"), play, {"jobs": [job], "errands": errands}):
                # Some acts are not for what is in that state, and some names are those of something else.
                others = (400, 403, 404, 409) if "{what}" in door.path or "{name}" in door.path else ()
                keep(visitor.get(("/api/v1" if door.api else "") + path), 200, *others)
        token = ben.form_token()
        for each in play.writes:
            path = f"/intents/{each.target}/{play.id(each)}/payload"
            keep(ben.post(path, form_token=token), 403)
            keep(post(script, path), 403)
        for path in ("/metrics", "/healthz", "/readyz"):
            keep(script.get(path), 200, 503)
        # Whoever has the right is shown what nobody else is.
        shown = next(each for each in play.writes if each.texts and PATHS[each.target].form != "broken")
        answer = post(mighty, f"/intents/{shown.target}/{play.id(shown)}/payload")
        assert found_in(shown.texts, answer.content), answer.text
    assert asked == {door.path for door in DOORS if door.method == "GET"}
    return b"\n".join(told)


def errands_of(ben: Visitor, script: Visitor, play: Play) -> list[str]:
    """What the console does meanwhile for an operator: ids of errands that are over."""
    token = ben.form_token()
    target = next(each.target for each in play.writes)
    asked = [("/doctor", {}), *((f"/journals/{target}/{what}", {}) for what in OF_A_JOURNAL)]
    if PATHS[target].sent and PATHS[target].login == "key":
        asked.append(("/audit", {"target": target, "rate": "500"}))
    begun = []
    for path, fields in asked:
        answer = ben.post(path, form_token=token, **fields)
        assert answer.status_code == 303, (path, readable(answer.text))
        begun.append(answer.headers["Location"].rpartition("/")[2])

    def over() -> bool:
        going = {one["id"] for one in script.get("/api/v1/errands").json()["errands"] if one["state"] == "running"}
        return going.isdisjoint(begun)

    wait_until(over, 120, "errands")
    return begun


def addresses(path: str, play: Play, numbered: Mapping[str, list[str]]) -> Iterator[str]:
    """What to ask for at a door, of all that was enqueued.

    Args:
        path: Of the door.
        play: What was enqueued.
        numbered: Ids of what else there is, by the first part of its address.
    """
    kinds = list(dict.fromkeys(each.specimen for each in play.writes))
    targets = list(dict.fromkeys(each.target for each in play.writes))
    for choice in product(*(names for _, *names in PLACES.get(path, ()))):
        filled = path
        for (place, *_), name in zip(PLACES.get(path, ()), choice, strict=True):
            filled = filled.replace(f"{{{place}}}", name)
        if "{id}" in filled and (sort := filled.split("/")[1]) in numbered:
            yield from (filled.replace("{id}", id_) for id_ in numbered[sort])
        elif "{id}" in filled:
            for each in play.writes:
                # Each kind by one path, and each path by one kind; the pages of acts show no more of it.
                if "{what}" not in path or kinds.index(each.specimen) == targets.index(each.target):
                    yield filled.replace("{target}", each.target).replace("{id}", play.id(each))
        elif "{name}" in filled:
            yield from (filled.replace("{name}", name) for name in ("transactions", *targets))
        elif path in ("/intents", "/letters", "/problems", "/find", "/letters/{what}"):
            yield from (f"{filled}?target={target}{more}" for target in targets for more in MORE.get(path, ("",)))
        else:
            yield filled


#: What else is asked for with some pages.
MORE: Mapping[str, tuple[str, ...]] = {
    "/intents": ("", "&state=dead"),
    "/find": ("&kind=transaction", "&state=dead"),
}


def said_by_ledger(play: Play, secrets: set[str]) -> set[str]:
    """The marks that stand in a code or a message by now."""
    said = set[str]()
    for each in play.writes:
        status = play.relay.get(play.id(each), target=each.target)
        logged = " ".join(f"{one.code} {one.note}" for one in play.relay.history(status.id, target=each.target))
        said |= found_in(secrets, f"{status.reference} {status.message} {status.code} {logged}".encode())
    return said


def a_port() -> int:
    """One that is free."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def scraped(port: int) -> bytes:
    """What a worker says of itself over HTTP, once it does."""

    def read() -> bytes:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    return bytes(wait_until(read, 30, "metrics"))


def login_of(name: str) -> Login:
    """All that a target may have to show."""
    if PATHS[name].login == "key":
        return Login(name, a_mark("token"))
    return Login(name, *(a_mark(what) for what in ("access", "client", "secret", "refresh", "next")))


def target_of(login: Login, url: str, stage: Any, keys: dict[str, str]) -> Target:
    """A target of the settings."""
    path, options = PATHS[login.name], {}
    if path.sealed:
        keys[login.name] = a_key("canary")
        options["encryption_keys"] = keys[login.name]
    if path.login == "key":
        options["token"] = login.token
    else:
        options |= {
            "oauth_client_id": login.client,
            "oauth_client_secret": login.secret,
            "oauth_refresh_token": login.refresh,
        }
    return Target(name=login.name, base_url=url, instance_id=stage.settings.instance_id, **options)


def address_of(path: str, ledger: str, unbelieved: str) -> str:
    """Where the ledger of a path is."""
    if PATHS[path].proxied:
        return BEHIND_PROXY
    return unbelieved if PATHS[path].form == "tls" else ledger


def go_through(monkeypatch: Any, proxy: str) -> None:
    """Through a proxy to what is not on this machine."""
    for name, value in (("http_proxy", proxy), ("no_proxy", "127.0.0.1")):
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv(name, value)


SETTINGS: Mapping[str, Any] = {
    **SHORT,
    "lease_s": 6.0,
    "probe_s": 0.2,
    "bulk_inflight": True,
    "log_level": "debug",
    "retry_base_s": 0.05,
    "retry_cap_s": 0.2,
    "max_attempts": 3,
    "max_lapses": 2,
    "confirm_first_s": 0.1,
}


@dataclass(frozen=True)
class Ground:
    """What a play is played on."""

    make_stage: Any
    sentry: FakeSentry
    monkeypatch: Any
    folder: Path


@pytest.fixture
def ground(make_stage, monkeypatch, tmp_path):
    with FakeSentry() as sentry:
        yield Ground(make_stage, sentry, monkeypatch, tmp_path)


def play_all(
    ground: Ground, paths: tuple[str, ...], kinds: tuple[str, ...], forms: tuple[str, ...] = ("human", "json")
) -> None:
    """Send each of some kinds by each of some paths, a worker for each form of the log, and look for marks."""
    sentry, monkeypatch, folder = ground.sentry, ground.monkeypatch, ground.folder
    stage = ground.make_stage(settings={**SETTINGS, "sentry_dsn": sentry.dsn})
    ids = prepared(stage, paths, kinds)
    logins, keys = [login_of(name) for name in paths], dict[str, str]()
    password, egress, by_name, reason = (a_mark(what) for what in ("password", "egress", "byname", "reason"))
    with redis.Redis(port=stage.valkey.port) as client:
        client.config_set("requirepass", password)
    certified(folder, -1)
    made(sqlite_url(folder)).close()
    with EchoingLedger(stage.sandbox.url, stage.settings.token, logins) as ledger, https(folder) as unbelieved:
        go_through(monkeypatch, ledger.url.replace("//", f"//relay:{egress}@"))
        stage.settings = replace(
            stage.settings,
            redis_url=f"redis://:{password}@127.0.0.1:{stage.valkey.port}/0",
            namespace="canary",
            base_url=Settings().base_url,
            token="",
            instance_id="",
            targets=tuple(
                target_of(login, address_of(login.name, ledger.url, unbelieved), stage, keys) for login in logins
            ),
            log_keys=False,
            metrics_port=a_port(),
            history_url=sqlite_url(folder),
        )
        writes = [of(SPECIMENS[kind], path, ids.get((path, kind), {})) for path in paths for kind in kinds]
        writes += [each for path in paths if PATHS[path].form == "done" for each in poorly(path)]
        secrets_of_keys = {key.partition(":")[2] for key in keys.values()}
        credentials = {password, egress, *secrets_of_keys}.union(*(login.secrets for login in logins))
        names = set[str]().union(*(each.names for each in writes))
        secrets = {*credentials, by_name, reason}.union(*(each.marks for each in writes))
        with Relay(stage.settings) as relay:
            play = Play(stage, relay, ledger, writes, forms)
            for each in writes:
                play.receipts[each.target, each.key] = relay.enqueue(each.intent, key=each.key, target=each.target)
            told = errors_of(writes, stage.settings)
            play.break_journals()
            relay.journal(paths[0]).client.lpush("canary.ingest", message({"key": by_name, "description": by_name}))
            for form in forms:
                play.start(form)
            play.reach()
            carried = play.check_sent()
            operator = Operator(relay.journals, relay.bells)
            job = _job(operator, reason)
            for name, value in as_environment(stage.settings).items():
                monkeypatch.setenv(name, value)
            metrics = scraped(stage.settings.metrics_port)
            _letters(operator, paths)
            shown, said = commands_of(play, secrets)
            assert job in shown
            pages = console_of(play, job)
            said |= said_by_ledger(play, secrets)
            _finish(stage, relay, paths)
        assert {login.client for login in logins if login.client} <= ledger.asked
    _check_control(carried, writes)
    log = stage.log.read_bytes()
    kept = b"".join(file.read_bytes() for file in folder.glob("history.db*"))
    sealed = {mark for each in writes if PATHS[each.target].sealed for mark in each.texts}
    payloads = set[str]().union(*(each.texts for each in writes)) - sealed
    # Keys and references are the application's to choose, and its own in an error; reasons are what a log of actions is
    # for. What the ledger said stands beside the letters, and never holds what it was shown to be let in.
    sinks: dict[str, tuple[bytes, set[str]]] = {
        "Sentry": ("\n".join(sentry.envelopes).encode(), set()),
        "log": (log, set()),
        "metrics": (metrics, set()),
        "history": (kept, names | payloads | (said - credentials - sealed) | {by_name, reason}),
        "command line": (shown.encode(), names | (said - credentials) | {by_name, reason}),
        "console without the right": (pages, names | (said - credentials) | {by_name, reason}),
        "errors": ("\n".join(told).encode(), names),
        "settings": (repr(stage.settings).encode(), set()),
    }
    for name, (data, allowed) in sinks.items():
        assert len(data) > 200, name
        assert found_in(secrets - allowed, data) == set(), (name, around(secrets - allowed, data))
    assert found_in(names, kept), "history keeps what it is asked for"
    _check_log(log, paths, forms)


def _finish(stage: Stage, relay: Relay, paths: tuple[str, ...]) -> None:
    """Stop once all is copied and told: what was shut opens by a later attempt than the one that was carried."""
    wait_until(lambda: not any(relay.journal(path).history_lag().uncopied for path in paths), 60, "history")
    wait_until(lambda: _untold(stage.log.read_bytes(), paths) <= {"stop"}, 60, "what the log has to tell")
    stage.stop_workers()


def around(marks: set[str], data: bytes) -> list[str]:
    """What stands around marks, for whoever has to find where they came out."""
    places = [data.find(mark.encode()) for mark in sorted(found_in(marks, data))]
    return [data[max(0, at - 150) : at + 60].decode("utf-8", "replace") for at in places[:5]]


def _job(operator: Operator, reason: str) -> str:
    """A job about some letters, with a reason that is an operator's own."""
    wait_until(lambda: operator.causes().causes, 60, "a letter")
    plan = operator.plan_many("discard", of="the first letter", most=1)
    job = operator.begin(plan, who="ann", reason=reason)
    wait_until(lambda: all(part.state == "done" for part in operator.job(job)), 60, "the job")
    return job


def _letters(operator: Operator, paths: tuple[str, ...]) -> None:
    """Paths that say of which class their letters are have some."""
    for path in paths:
        if PATHS[path].letters:
            classes = {cause.dead_class for cause in operator.causes(target=path).causes}
            assert PATHS[path].letters in classes, (path, classes)


def _check_control(carried: Mapping[str, set[str]], writes: list[Marked]) -> None:
    """Counted kinds by paths: whatever has texts of its own was sent with them, wherever anything is sent."""
    cells = {(path, kind) for path, kinds in carried.items() for kind in kinds}
    wanted = {(each.target, each.specimen) for each in writes if each.texts and PATHS[each.target].sent}
    assert wanted == cells, sorted(wanted ^ cells)
    kinds = {each.specimen for each in writes}
    assert len({each.specimen for each in writes if each.texts}) >= len(kinds) / 2


def _tells(log: bytes, event: str) -> bool:
    return f" {event}: ".encode() in log or json.dumps({"event": event})[1:-1].encode() in log


def _untold(log: bytes, paths: tuple[str, ...]) -> set[str]:
    """Events that the log has to tell, and does not."""
    wanted = {"start", "stop", "settled"}.union(*(PATHS[path].tells for path in paths))
    if any(PATHS[path].sent for path in paths):
        wanted |= {"attempt", "dead_letter"}
    return {event for event in wanted if not _tells(log, event)}


def _check_log(log: bytes, paths: tuple[str, ...], forms: tuple[str, ...]) -> None:
    """What the log has to tell, and what it must not: bugs."""
    assert _untold(log, paths) == set()
    starts = {"human": b" start: ", "json": b'"event": "start"'}
    assert all(starts[form] in log for form in forms)
    assert [event for event in ("job_failed", "thread_failed") if _tells(log, event)] == []
    assert b"Traceback" not in log


def test_no_mark_comes_out_by_the_two_plainest_ways(ground):
    play_all(ground, SHORT_PATHS, SHORT_KINDS, ("json",))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("paths", GROUPS, ids="-".join)
def test_no_mark_comes_out_anywhere(ground, paths):
    play_all(ground, paths, tuple(SPECIMENS))
