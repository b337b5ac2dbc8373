"""The audit, on a real journal and a real ledger: by command, gone on from, at a rate, and by workers themselves."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Operator, Relay, commit_hold
from blnk_relay._version import __version__
from blnk_relay.audit import Place, Report
from blnk_relay.intents.exchange import Response
from blnk_relay.journal.audited import MOST_TOLD, Audited
from blnk_relay.journal.status import moment
from blnk_relay.sandbox import Faults, Rule
from blnk_relay.sandbox.books.rows import Status
from tests.support import fleet
from tests.support.cli import names, process, run, section
from tests.support.counting import wait_for_all
from tests.support.falsify import changed, falsified, gone
from tests.support.payments import CURRENCY, hold, payment, poor
from tests.support.sentry import FakeSentry
from tests.support.waiting import wait_until
from worker.audit import opened
from worker.audit.rolling import Rolling
from worker.cli import exits
from worker.demo.play import play
from worker.demo.stage import Stage, as_environment
from worker.demo.story import tell
from worker.ledger.readback import LedgerOverHttp
from worker.telemetry import Telemetry

#: Reads show at once what was done.
PROMPT: dict[str, Any] = {"read_lag_s": 0.2, "quiet_s": 0.8}

PAID = 12


def key_of(number: int) -> str:
    """A key that nobody but operators may see."""
    return f"order-{number}-Ms-Sekret"


@contextmanager
def paid(stage: Stage, workers: int = 1) -> Iterator[Relay]:
    """A relay whose payments are done, and one of which is a letter; old enough to be judged."""
    for _ in range(workers):
        stage.start_worker()
    with Relay(stage.settings) as relay:
        receipts = relay.enqueue_many([*(payment(key_of(number)) for number in range(PAID)), poor("poor-1")])
        wait_for_all(relay, receipts, 60)
        journal, ended_ms = relay.journal(), relay.journal().now_ms()
        lag_ms = stage.settings.read_lag_s * 1000
        wait_until(lambda: journal.now_ms() > ended_ms + lag_ms, 20, "reads to show all")
        yield relay


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[Stage, Relay]]:
    """A shop with payments, whose worker has gone home."""
    with Stage(settings=PROMPT) as stage, paid(stage) as relay:
        stage.stop_workers()
        yield stage, relay


@pytest.fixture
def audit(shop: tuple[Stage, Relay], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command in the shop's environment, as fast as the ledger answers."""
    for name, value in as_environment(shop[0].settings).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: run("audit", "--rate", "1000", *arguments)


def row_of(relay: Relay, number: int) -> str:
    return relay.get(key_of(number)).transaction_id


def test_an_audit_by_command_finds_nothing_and_says_what_it_looked_at(audit):
    ran = audit("--since", "1h", "--ours", "order-", "--json")
    assert ran.code == exits.OK, ran.err
    document = ran.json
    assert document["compared"] == {"done": PAID, "dead": 1}
    assert (document["differences"], document["not_looked_at"], document["whole"]) == (0, {}, True)
    assert document["rows"] >= PAID
    assert [name for name in names(document) if f"`{name}`" not in section("blnk-relay audit")] == []
    assert audit("--since", "1h").code == exits.OK


def test_a_difference_is_named_with_what_both_say_and_what_to_do(audit, shop):
    stage, relay = shop
    with falsified(stage.sandbox, changed(row_of(relay, 3), precise_amount=7)):
        ran = audit("--since", "1h")
        document = audit("--since", "1h", "--json").json
    assert ran.code == exits.DIFFERENT
    (one,) = document["first"]
    assert (one["sort"], one["kind"], one["key"]) == ("other", "transaction", "order-3-Ms-Sekret")
    for text in ("order-3-Ms-Sekret", "the journal says", "the ledger shows", "has 7", "what to do", one["intent"]):
        assert text in ran.out
    assert [name for name in names(one) if f"`{name}`" not in section("blnk-relay audit")] == []


def test_a_letter_that_was_applied_is_found(audit, shop):
    stage, relay = shop
    letter = relay.get("poor-1")
    rows = [row for row in stage.sandbox.books().rows if row.reference.startswith(letter.reference)]
    row = next(row for row in rows if row.status == Status.REJECTED)
    with falsified(stage.sandbox, changed(row.transaction_id, status=Status.APPLIED)):
        document = audit("--since", "1h", "--json").json
    assert [(one["sort"], one["key"], one["state"]) for one in document["first"]] == [("happened", "poor-1", "dead")]


def test_two_rows_under_one_reference_are_a_difference(audit, shop, monkeypatch):
    """Each of them is in order, so a read believes neither; but that there are two is the worst there is to find."""
    _, relay = shop
    paid = relay.get(key_of(4))
    pages = LedgerOverHttp._pages

    def with_one_more(self: LedgerOverHttp, resource: str, field: str, values: Any) -> Iterator[Any]:
        for answer in pages(self, resource, field, values):
            again = [] if isinstance(answer, Response) or field != "reference" else answer
            more = [{**item, "transaction_id": "txn_beef"} for item in again if item["reference"] == paid.reference]
            yield answer if isinstance(answer, Response) else [*answer, *more]

    monkeypatch.setattr(LedgerOverHttp, "_pages", with_one_more)
    ran, shown = audit("--since", "1h", "--json"), audit("--since", "1h")
    assert (ran.code, ran.json["not_looked_at"]) == (exits.DIFFERENT, {})
    (found,) = ran.json["first"]
    assert (found["sort"], found["key"], found["reference"]) == ("twice", key_of(4), paid.reference)
    rows = ", ".join(sorted((f"{paid.parent_id} (QUEUED)", "txn_beef (QUEUED)")))
    assert found["shows"].startswith(f"several rows under it: {rows}")
    assert "twice" in shown.out


def test_times_narrow_what_is_compared(audit, shop):
    _, relay = shop
    ended = sorted(relay.get(key_of(number)).updated for number in range(PAID))
    until = ended[7] + timedelta(milliseconds=1)
    document = audit("--since", ended[3].isoformat(), "--until", until.isoformat(), "--json").json
    assert document["compared"].get("done", 0) == sum(ended[3] <= at < until for at in ended)


@pytest.mark.parametrize(
    "times", [("--since", "2126-01-01T00:00:00Z"), ("--since", "0s"), ("--until", "2020-01-01T00:00:00Z")]
)
def test_where_nothing_can_be_compared_that_is_said(audit, times):
    ran = audit(*times)
    assert (ran.code, "nothing to compare" in ran.err) == (exits.BAD_INPUT, True)


def test_what_cannot_be_read_is_no_difference_and_the_exit_code_says_so(audit, shop):
    stage, _ = shop
    stage.sandbox.set_faults(Faults.script([Rule("403", path="/transactions/filter", times=None)]))
    try:
        ran = audit("--since", "1h", "--json")
        shown = audit("--since", "1h")
    finally:
        stage.sandbox.set_faults(Faults.none())
    assert ran.code == exits.UNREAD
    assert (ran.json["differences"], ran.json["compared"]) == (0, {})
    unread = ran.json["not_looked_at"]
    assert sum(number for reason, number in unread.items() if reason.startswith("transactions: ")) == PAID + 1
    assert any(reason.startswith("rows by time: ") for reason in unread)
    assert "not looked at" in shown.out


def test_reads_that_fail_for_a_moment_are_made_again(audit, shop):
    stage, _ = shop
    stage.sandbox.set_faults(Faults.script([Rule("503_no_effect", path="/transactions/filter", times=1)]))
    try:
        ran = audit("--since", "1h", "--json")
    finally:
        stage.sandbox.set_faults(Faults.none())
    assert (ran.code, ran.json["not_looked_at"]) == (exits.OK, {})


class Cut(Exception):
    """Somebody pulls the plug."""


def cut_short(stage: Stage, relay: Relay, keep: Callable[[Place], None]) -> None:
    """An audit that ends with its second batch."""
    places: list[Place] = []

    def stop(place: Place) -> None:
        keep(place)
        places.append(place)
        # The first is where it begins.
        if len(places) == 3:
            raise Cut

    with opened(
        stage.settings, relay.journal(), Telemetry(stage.settings), rate=1000, patience_s=1, pause=time_out, keep=stop
    ) as made:
        begin = made.audit.begin(moment(relay.journal().now_ms()) - timedelta(hours=1))
        with pytest.raises(Cut):
            made.audit.run(begin)


def time_out(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def test_an_audit_that_was_cut_short_goes_on_from_its_place(audit, shop, monkeypatch):
    stage, relay = shop
    monkeypatch.setattr("blnk_relay.audit.audit.MOST_INTENTS", 3)
    with falsified(stage.sandbox, gone(row_of(relay, 0))):
        audited = Audited(relay.journal())
        cut_short(stage, relay, lambda place: audited.keep_place("operator", place.kept()))
        before = audited.place("operator")
        assert before is not None
        assert before["report"]["compared"]["done"] < PAID
        ran = audit("--resume", "--json")
    assert ran.code == exits.DIFFERENT
    assert ran.json["whole"]
    # Each once, whatever ended at the same time as the last one before.
    assert ran.json["compared"] == {"done": PAID, "dead": 1}
    assert [one["sort"] for one in ran.json["first"]] == ["missing"]
    # It is through, so there is nothing left to go on from.
    assert audit("--resume").code == exits.BAD_INPUT


def test_the_place_may_be_kept_in_a_file(audit, shop, tmp_path, monkeypatch):
    stage, relay = shop
    monkeypatch.setattr("blnk_relay.audit.audit.MOST_INTENTS", 3)
    path = tmp_path / "place.json"
    cut_short(stage, relay, lambda place: path.write_text(json.dumps(place.kept()), encoding="utf-8") and None)
    ran = audit("--resume", "--place", str(path), "--json")
    assert (ran.code, ran.json["whole"]) == (exits.OK, True)
    assert not path.exists()
    path.write_text("nonsense", encoding="utf-8")
    assert audit("--resume", "--place", str(path)).code == exits.BAD_INPUT
    for given in (("--since", "1h"), ("--ours", "order-")):
        assert audit("--resume", *given).code == exits.BAD_INPUT


@pytest.mark.parametrize("named", ["nowhere/place.json", "", "x" * 255])
def test_a_file_that_cannot_keep_the_place_is_bad_input_before_anything_is_asked(audit, shop, tmp_path, named):
    """A traceback would end with exit code 1, which means that something differs."""
    stage, _ = shop
    before = len(stage.sandbox.requests_seen())
    path = str(tmp_path / named) if named else ""
    ran = audit("--since", "1h", "--place", path, "--json")
    assert (ran.code, ran.json["error"]["type"]) == (exits.BAD_INPUT, "BadInput")
    assert "cannot be kept in the file" in ran.err
    assert "leave out --place" in ran.err
    assert len(stage.sandbox.requests_seen()) == before
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_read_is_not_taken_for_one_without_a_place(audit, tmp_path, monkeypatch):
    path = tmp_path / "place.json"
    path.write_text("{}", encoding="utf-8")

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    ran = audit("--resume", "--place", str(path))
    assert (ran.code, "cannot be read (Permission denied)" in ran.err) == (exits.BAD_INPUT, True)


@contextmanager
def full_after(monkeypatch: pytest.MonkeyPatch, folder: Path, places: int) -> Iterator[None]:
    """A disk that takes so many places and no more."""
    write, taken = Path.write_text, 0

    def written(self: Path, *args: Any, **kwargs: Any) -> int:
        nonlocal taken
        if self.parent == folder:
            taken += 1
            if taken > places:
                write(self, "{", encoding="utf-8")
                raise OSError(28, "No space left on device")
        return write(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", written)
        yield


def test_a_disk_that_fills_meanwhile_ends_the_audit_which_tells_what_it_found(audit, shop, tmp_path, monkeypatch):
    stage, relay = shop
    monkeypatch.setattr("blnk_relay.audit.audit.MOST_INTENTS", 3)
    path = tmp_path / "place.json"
    with full_after(monkeypatch, tmp_path, 2):
        ran = audit("--since", "1h", "--place", str(path), "--json")
    assert ran.code == exits.UNREAD, ran.err
    assert (ran.json["whole"], ran.json["compared"]) == (False, {"done": 6})
    assert "No space left on device" in ran.json["stopped"]
    assert f"Its place is kept in the file {path}; go on with --resume --place {path}." in ran.err
    # What was kept before is whole, and all is compared from there.
    assert [one.name for one in tmp_path.iterdir()] == ["place.json"]
    ran = audit("--resume", "--place", str(path), "--json")
    assert (ran.code, ran.json["compared"]) == (exits.OK, {"done": PAID, "dead": 1})
    with (
        falsified(stage.sandbox, gone(first_ended(relay, 1)[0].transaction_id)),
        full_after(monkeypatch, tmp_path, 1),
    ):
        ran = audit("--since", "1h", "--place", str(path))
    assert (ran.code, "No space left" in ran.err) == (exits.DIFFERENT, True)
    path.unlink()
    with full_after(monkeypatch, tmp_path, 0):
        ran = audit("--since", "1h", "--place", str(path))
    assert (ran.code, "nothing was compared" in ran.err) == (exits.BAD_INPUT, True)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_an_audit_between_two_reads_which_says_how_to_go_on(audit, shop):
    """It is the process of a terminal, and waits long between two reads."""
    _, relay = shop
    audited = Audited(relay.journal())
    audited.forget_place("operator")
    with process(
        "audit", "--rate", "0.05", "--since", "1h", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as auditing:
        wait_until(lambda: audited.place("operator"), 20, "a place")
        auditing.send_signal(signal.SIGINT)
        out, err = auditing.communicate(timeout=20)
    assert auditing.returncode == exits.INTERRUPTED, err
    document = json.loads(out)
    assert (document["whole"], document["stopped"]) == (False, "it was told to stop")
    assert "Its place is kept in the journal; go on with --resume." in err
    assert audit("--resume").code == exits.OK


def test_ctrl_c_once_more_ends_it_at_once_and_the_place_is_told_all_the_same(audit, tmp_path, monkeypatch):
    def interrupted(*_: object) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    path = tmp_path / "place.json"
    with monkeypatch.context() as patched:
        patched.setattr("blnk_relay.audit.audit.Audit._intents", interrupted)
        ran = audit("--since", "1h", "--place", str(path))
        # This one is no generator: it ends before any place is kept.
        patched.setattr("blnk_relay.audit.audit.Audit.run", lambda *_: next(interrupted()))
        before = audit("--since", "1h", "--place", str(tmp_path / "other.json"))
    assert (ran.code, before.code) == (exits.INTERRUPTED, exits.INTERRUPTED)
    assert f"Its place is kept in the file {path}; go on with --resume --place {path}." in ran.err
    assert "place" not in before.err
    assert audit("--resume", "--place", str(path)).code == exits.OK


def test_reads_come_no_faster_than_the_rate(shop):
    stage, relay = shop
    waited: list[float] = []

    def pause(seconds: float) -> bool:
        waited.append(seconds)
        return time_out(seconds)

    with opened(stage.settings, relay.journal(), Telemetry(stage.settings), rate=20, patience_s=1, pause=pause) as made:
        start_s = time.monotonic()
        report = made.audit.run(made.audit.begin(moment(relay.journal().now_ms()) - timedelta(hours=1)))
        took_s = time.monotonic() - start_s
    assert report.reads > 2
    assert took_s >= (report.reads - 1) / 20
    assert any(waited)


def test_while_reads_are_paused_nothing_is_read_and_the_audit_says_so(audit, shop):
    stage, relay = shop
    operator = Operator(relay.journals)
    operator.pause_target("default", who="ann", reason="moving house")
    before = len(stage.sandbox.requests_seen())
    try:
        ran = audit("--since", "1h", "--patience", "0")
    finally:
        operator.resume_target("default", who="ann")
    assert ran.code == exits.UNREAD
    assert "reads of target default are paused" in ran.err
    assert len(stage.sandbox.requests_seen()) == before


def test_what_was_trimmed_can_no_longer_be_compared_and_that_is_said(make_stage, monkeypatch):
    stage = make_stage(settings={**PROMPT, "retention_s": 0.5})
    with paid(stage) as relay:
        wait_until(lambda: Audited(relay.journal()).trimmed() == PAID, 20, "the sweep")
        for name, value in as_environment(stage.settings).items():
            monkeypatch.setenv(name, value)
        ran = run("audit", "--rate", "1000", "--since", "1h", "--json")
        shown = run("audit", "--rate", "1000", "--since", "1h")
    assert ran.code == exits.UNREAD
    assert (ran.json["trimmed"], ran.json["differences"]) == (PAID, 0)
    assert f"{PAID} intents that ended long ago can no longer be compared" in shown.out
    # Their rows are known to be ours all the same.
    assert ran.json["rows"] >= PAID


@pytest.fixture
def old_shop(make_stage, monkeypatch) -> tuple[Stage, Relay]:
    """A shop of one's own whose worker has gone home, and whose audits look at three intents at a time."""
    stage = make_stage(settings=PROMPT)
    monkeypatch.setattr("blnk_relay.audit.audit.MOST_INTENTS", 3)
    with paid(stage) as relay:
        stage.stop_workers()
        # Whoever comes later comes so late that all of it is older than what is kept.
        for name, value in as_environment(replace(stage.settings, retention_s=0.5)).items():
            monkeypatch.setenv(name, value)
        yield stage, relay


def trim(stage: Stage) -> None:
    """Have all that is done swept away."""
    with Relay(replace(stage.settings, retention_s=0.1)) as relay:
        journal = relay.journal()
        wait_until(lambda: journal.sweep() and Audited(journal).trimmed() == PAID, 20, "the sweep")


def first_ended(relay: Relay, number: int) -> list[Any]:
    """Those that an audit comes to first."""
    return sorted((relay.get(key_of(one)) for one in range(PAID)), key=lambda paid: (paid.updated, paid.id))[:number]


def test_what_differed_and_was_trimmed_before_the_audit_went_on_still_counts(old_shop):
    stage, relay = old_shop
    audited = Audited(relay.journal())
    one, other = first_ended(relay, 2)
    with (
        falsified(stage.sandbox, gone(one.transaction_id)),
        falsified(stage.sandbox, gone(other.transaction_id)),
    ):
        cut_short(stage, relay, lambda place: audited.keep_place("operator", place.kept()))
    kept = audited.place("operator")
    assert kept is not None
    assert "Sekret" not in json.dumps(kept)
    trim(stage)
    # Wherever it ends once more, they are not forgotten either.
    with reads_paused(relay):
        assert run("audit", "--rate", "1000", "--resume", "--patience", "0").code == exits.DIFFERENT
    audited.keep_place("operator", kept)
    ran = run("audit", "--rate", "1000", "--resume", "--json")
    assert ran.code == exits.DIFFERENT
    assert (ran.json["whole"], ran.json["differences"], ran.json["by_sort"]) == (True, 2, {"missing": 2})
    assert {(found["sort"], found["kind"], found["intent"]) for found in ran.json["first"]} == {
        ("missing", "transaction", one.id),
        ("missing", "transaction", other.id),
    }
    assert all("no longer kept" in found["shows"] for found in ran.json["first"])


@contextmanager
def reads_paused(relay: Relay) -> Iterator[None]:
    """Nothing is read while the block runs."""
    operator = Operator(relay.journals)
    operator.pause_target("default", who="ann", reason="moving house")
    try:
        yield
    finally:
        operator.resume_target("default", who="ann")


def test_what_was_trimmed_before_the_audit_came_to_it_is_not_looked_at(old_shop):
    stage, relay = old_shop
    audited = Audited(relay.journal())
    cut_short(stage, relay, lambda place: audited.keep_place("operator", place.kept()))
    trim(stage)
    ran = run("audit", "--rate", "1000", "--resume", "--json")
    assert ran.code == exits.UNREAD
    assert (ran.json["whole"], ran.json["trimmed"], ran.json["differences"]) == (True, PAID, 0)


def test_an_audit_that_takes_longer_than_things_are_kept_says_so(old_shop, monkeypatch):
    stage, relay = old_shop
    now_ms, late_ms, places = Audited.now_ms, 0, list[Place]()
    monkeypatch.setattr(Audited, "now_ms", lambda self: now_ms(self) + late_ms)

    def dawdle(place: Place) -> None:
        nonlocal late_ms
        places.append(place)
        if len(places) == 3:
            trim(stage)
            late_ms = int(stage.settings.retention_s * 1000)

    with opened(
        stage.settings, relay.journal(), Telemetry(stage.settings), rate=1000, patience_s=1, pause=time_out, keep=dawdle
    ) as made:
        report = made.audit.run(made.audit.begin(moment(relay.journal().now_ms()) - timedelta(hours=1)))
    assert (report.whole, report.clean, report.complete) == (True, True, False)
    assert (report.trimmed, report.compared["done"]) == (PAID, 6)
    # These were listed, and gone once it was their turn.
    assert sorted(report.unread.values()) == [1] * (PAID - 6)
    assert all(reason.startswith("no longer kept (intent ") for reason in report.unread)


def test_what_is_trimmed_before_a_difference_shows_again_is_not_looked_at(old_shop, monkeypatch):
    stage, relay = old_shop
    (one,) = first_ended(relay, 1)
    pasts, looks = Audited.pasts, list[str]()

    def meanwhile(self: Audited, ids: Any) -> Any:
        looks.extend(ids)
        if looks.count(one.id) == 2:
            trim(stage)
        return pasts(self, ids)

    monkeypatch.setattr(Audited, "pasts", meanwhile)
    with falsified(stage.sandbox, gone(one.transaction_id)):
        ran = run("audit", "--rate", "1000", "--since", "1h", "--json")
    assert (ran.code, ran.json["differences"]) == (exits.UNREAD, 0)
    assert ran.json["not_looked_at"][f"no longer kept (intent {one.id})"] == 1


def test_a_worker_tells_that_its_audit_came_too_late(journal, caplog):
    settings = journal.settings
    Rolling(settings, journal, Telemetry(settings), time_out)._sum_up(Report("default", 1, 2, trimmed=7, whole=True))
    assert [record.getMessage() for record in caplog.records] == [
        "audit of target default: 7 not looked at, at most: they were trimmed before they could be compared"
    ]


def test_nobody_is_accused_of_what_an_intent_that_cannot_be_read_may_have_done(make_stage, monkeypatch):
    stage = make_stage(settings=PROMPT)
    stage.start_worker()
    with Relay(stage.settings) as relay:
        held = relay.enqueue(hold("held-1"), key="held-1")
        part = relay.enqueue(
            commit_hold("held-1", precise_amount=400, currency=CURRENCY), key="part-1", after=["held-1"]
        )
        rest = relay.enqueue(
            commit_hold("held-1", precise_amount=600, currency=CURRENCY), key="rest-1", after=["part-1"]
        )
        wait_for_all(relay, [held, part, rest], 60)
        journal, ended_ms = relay.journal(), relay.journal().now_ms()
        wait_until(lambda: journal.now_ms() > ended_ms + stage.settings.read_lag_s * 1000, 20, "reads to show all")
        journal.client.set(journal.key(f"body:{part.id}"), "{")
        for name, value in as_environment(stage.settings).items():
            monkeypatch.setenv(name, value)
        document = run("audit", "--rate", "1000", "--since", "1h", "--json").json
    assert (document["differences"], document["compared"]) == (0, {"done": 1})
    assert document["not_looked_at"] == {
        f"unreadable (intent {part.id})": 1,
        f"nobody can tell what intent {part.id} did: unreadable": 1,
        f"commits, voids and refunds of ours: nobody can tell what intent {part.id} did: unreadable": 2,
    }


def test_a_turn_is_one_worker_s_until_it_ends_or_is_left(journal):
    audited = Audited(journal)
    assert audited.turn("one", 30)
    assert audited.turn("one", 30)
    assert not audited.turn("two", 30)
    audited.turn("two", 0)
    assert not audited.turn("two", 30)
    audited.turn("one", 0)
    assert audited.turn("two", 0.05)
    wait_until(lambda: audited.turn("one", 0.05), 5, "the turn to end")


def test_what_was_told_is_not_told_again_before_its_time(journal):
    audited = Audited(journal)
    assert audited.first_told(["a", "b"], 60) == {"a", "b"}
    assert audited.first_told(["b", "c"], 60) == {"c"}
    assert audited.first_told([], 60) == frozenset()
    wait_until(lambda: audited.first_told(["a"], 0.05) == {"a"}, 5, "it to be forgotten")
    audited.first_told([f"d{number}" for number in range(MOST_TOLD + 5)], 60)
    assert journal.client.zcard(journal.key("told")) == MOST_TOLD


def test_workers_audit_by_themselves_and_tell_of_each_difference_once(make_stage):
    with FakeSentry() as sentry:
        auditing = {"audit_window_s": 24.0, "audit_rate": 200.0, "audit_ours": ("order-",)}
        stage = make_stage(settings={**PROMPT, "sentry_dsn": sentry.dsn, **auditing})
        with paid(stage, workers=2) as relay:
            audited = Audited(relay.journal())

            def rounds() -> set[int]:
                kept = audited.place("worker") or {}
                ended.update({kept["over_ms"]} if "over_ms" in kept else ())
                return ended

            ended: set[int] = set()
            wait_until(rounds, 30, "a first round")
            assert not [event for event in sentry.events() if event["fingerprint"][0] == "audit"]
            row = row_of(relay, 3)
            with falsified(stage.sandbox, changed(row, precise_amount=7)):
                wait_until(
                    lambda: [event for event in sentry.events() if event["fingerprint"][0] == "audit"], 20, "an event"
                )
                ended.clear()
                wait_until(lambda: len(rounds()) >= 2, 20, "two rounds more")
            stage.stop_workers()
        (event,) = [event for event in sentry.events() if event["fingerprint"][0] == "audit"]
        assert event["fingerprint"] == ["audit", "default", "transaction", "other", f"blnk-relay@{__version__}"]
        assert event["extra"]["count"] == 1
        log = stage.log.read_text()
        assert "audit of target default: transaction other, intent" in log
        for told in ("".join(sentry.envelopes), log):
            assert "Sekret" not in told
            assert row not in told


def lives(stage: Stage) -> Iterator[str]:
    """Each dead letter with all that was tried for it, and each request that may belong to it."""
    with Relay(stage.settings) as relay:
        operator = Operator(relay.journals)
        for status in operator.listed("dead"):
            yield f"{status}: {operator.history(status)}"
    yield from (str(seen) for seen in stage.sandbox.requests_seen() if "refund" in seen.path)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 7, 11])
def test_an_audit_of_a_demo_with_all_its_faults_and_killed_workers_finds_nothing(make_stage, seed):
    stage = make_stage(faults=fleet.faults(seed))
    result = play(stage, tell(200, seed), lambda _: None)
    assert result.sound, "\n".join([*result.proof.lost, *result.proof.doubled, *result.violations, *lives(stage)])
    stage.sandbox.set_faults(Faults.none())
    with Relay(stage.settings) as relay:
        journal, ended_ms = relay.journal(), relay.journal().now_ms()
        wait_until(lambda: journal.now_ms() > ended_ms + stage.settings.read_lag_s * 1000, 20, "reads to show all")
        with opened(
            stage.settings, journal, Telemetry(stage.settings), rate=10_000, patience_s=5, pause=time_out, ours=("*",)
        ) as made:
            report = made.audit.run(made.audit.begin(moment(ended_ms) - timedelta(hours=1)))
    assert (report.findings, report.unread, report.stopped) == ([], {}, "")
    assert report.compared.total() + result.numbers["blocked"] == 200
