"""The sandbox says what real Cores said, in status, code and shape; and whatever differs is found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox import Options, Sandbox
from blnk_relay.sandbox.http import answers
from blnk_relay.sandbox.http.answers import STATUS_OF
from blnk_relay.sandbox.options import CORE_VERSIONS
from blnk_relay.sandbox.routes import ledgers
from blnk_relay.sandbox.routes.registry import build_routes
from tests.fidelity import recordings
from tests.fidelity.__main__ import fidelity
from tests.fidelity.book import the_book
from tests.fidelity.comparing import differences, judged, known_differences
from tests.fidelity.playing import play
from tests.fidelity.telling import Story

ROOT = Path(__file__).parents[2]

#: Codes that no request provokes at a Core that is well, and why.
NOT_PROVOKED = {
    "AUTH_INSUFFICIENT_PERMISSIONS": "a key with scopes has to be made for it (findings part 13)",
    "AUTH_UNKNOWN_RESOURCE": "the same",
    "AUTH_EXPIRED_API_KEY": "the same, and a day's wait",
    "GEN_PAYLOAD_TOO_LARGE": "256 MiB",
    "GEN_RATE_LIMITED": "off in practice (contract §2.0)",
    "GEN_RESOURCE_LOCKED": "whoever wins a lock is chance",
    "QUEUE_BACKPRESSURE": "no route of a Core says so (contract §0.1)",
    "IDT_TOKENIZATION_DISABLED": "an instance without a secret",
    "TXN_PRECISION_NOT_INTEGER": "the payload's validation speaks first, and has its own code",
    "LGR_DUPLICATE": "documented, and cannot come (contract §2.1)",
    "GEN_MISSING_PARAMETER": "of Cloud, as far as the sandbox guesses",
}

Telling = Callable[..., dict[str, list[dict[str, Any]]]]


def told(version: str, stories: list[Story]) -> dict[str, list[dict[str, Any]]]:
    with Sandbox(Options(core_version=version)) as sandbox:  # type: ignore[arg-type]
        return play(sandbox.url, sandbox.options.core_key, stories)


@pytest.fixture(scope="module")
def whole() -> dict[str, list[dict[str, Any]]]:
    """What the sandbox says to the whole book, as the release whose recording is whole."""
    return told(recordings.WHOLE, the_book())


def those(*names: str) -> list[Story]:
    return [story for story in the_book() if story.name in names]


def sentences(found: Any) -> list[str]:
    return [str(one) for one in found]


def test_the_sandbox_says_what_a_real_ledger_said(whole) -> None:
    verdict = judged(recordings.of_version(recordings.WHOLE), whole, known_differences(recordings.WHOLE))
    assert sentences(verdict.unknown) == []
    assert sentences(verdict.stale) == []


@pytest.mark.parametrize("version", sorted(set(CORE_VERSIONS) - {recordings.WHOLE}))
def test_it_plays_other_releases_where_they_say_something_else(version: str) -> None:
    other = recordings.only_of(version)
    verdict = judged(other, told(version, those(*other)), known_differences(version))
    assert sentences(verdict.unknown) == []


@pytest.mark.long
@pytest.mark.parametrize("version", sorted(set(CORE_VERSIONS) - {recordings.WHOLE}))
def test_it_plays_other_releases_throughout(version: str) -> None:
    verdict = judged(recordings.of_version(version), told(version, the_book()), known_differences(version))
    assert sentences(verdict.unknown) == []
    assert sentences(verdict.stale) == []


def test_every_release_that_is_played_was_recorded() -> None:
    assert recordings.recorded_versions() == sorted(CORE_VERSIONS)


def test_the_same_ledger_told_twice_differs_in_nothing_but_chance(whole) -> None:
    again = told(recordings.WHOLE, [story for story in the_book() if story.name.startswith(("kind/", "hold/"))])
    chance = [known for known in known_differences(recordings.WHOLE) if known.chance]
    verdict = judged({name: whole[name] for name in again}, again, chance)
    assert sentences(verdict.unknown) == []


def another_code(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answers, "_CODE_BY_TEXT", ((("has already been used",), "GEN_CONFLICT"),))


def another_status(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(STATUS_OF, "TXN_DUPLICATE_REFERENCE", 400)  # type: ignore[arg-type]


def another_field(patch: pytest.MonkeyPatch) -> None:
    right = ledgers.ledger_body
    patch.setattr(ledgers, "ledger_body", lambda ledger: {**right(ledger), "colour": "red"})


def another_type(patch: pytest.MonkeyPatch) -> None:
    right = ledgers.ledger_body
    patch.setattr(ledgers, "ledger_body", lambda ledger: {**right(ledger), "meta_data": str(ledger.meta)})


@pytest.mark.parametrize(
    ("alter", "story", "at"),
    [
        (another_code, "payment/skip mode", "body.error_detail.code"),
        (another_status, "payment/skip mode", "status"),
        (another_field, "ledger", "body.colour"),
        (another_type, "ledger", "body.meta_data"),
    ],
)
def test_what_is_altered_is_found(monkeypatch, alter, story: str, at: str) -> None:
    alter(monkeypatch)
    said = {story: recordings.of_version(recordings.WHOLE)[story]}
    found = judged(said, told(recordings.WHOLE, those(story)), known_differences(recordings.WHOLE)).unknown
    assert at in {difference.at for difference in found}


def test_another_release_is_told_from_this_one() -> None:
    names = ("refund/skip mode", "hold/commit", "payment/amounts in queue mode")
    newest, oldest = told(CORE_VERSIONS[-1], those(*names)), told(CORE_VERSIONS[0], those(*names))
    assert {difference.story for difference in differences(oldest, newest)} == set(names)


def test_the_runner_fails_on_what_is_not_listed_and_on_nothing_else() -> None:
    with Sandbox(Options(core_version="0.15.2")) as core:
        same = run(core.url, "0.15.2")
        other = run(core.url, "0.15.4")
    assert (same.exit_code, other.exit_code) == (0, 1), same.output + other.output
    found = json.loads(other.output)["unknown"]
    assert {"hold/commit"} == {one["story"] for one in found}


def run(url: str, version: str) -> Result:
    return CliRunner().invoke(fidelity, ["--core", url, "--version", version, "--story", "hold/commit", "--json"])


# -- what the book covers --------------------------------------------------------------------------------------------


def asked() -> Iterator[str]:
    """Every request of the book, as recorded."""
    for lines in recordings.of_version(recordings.WHOLE).values():
        yield from (line["asked"] for line in lines if "asked" in line)


def shapes(method: str, path: str) -> re.Pattern[str]:
    return re.compile(f"{method} " + re.sub(r":\w+", "[^/?]+", path) + r"(\?.*)?")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_a_story(kind: str) -> None:
    of_it = [story.name for story in the_book() if story.name.partition("/")[2].partition("-")[0] == kind]
    assert of_it, f"the kind {kind!r} has no story: tests/support/specimens.py has no specimen of it"
    said = recordings.of_version(recordings.WHOLE)
    assert set(of_it) <= set(said), f"no real ledger was told {of_it}: make fidelity CORE=… and --record"
    for story in of_it:
        assert {"it", "it is judged", "it is seen", "it again"} <= {line["step"] for line in said[story]}


def test_every_request_that_a_kind_can_make_is_in_the_book() -> None:
    requests = list(asked())
    for kind in KINDS.values():
        for path in (kind.path, *kind.also):
            wanted = shapes(kind.method, path)
            assert any(wanted.fullmatch(request) for request in requests), f"{kind.method} {path}"


def test_every_route_of_the_imitated_ledger_is_in_the_book() -> None:
    requests = list(asked())
    routes = [route for group in build_routes().core._by_shape.values() for route in group]
    missing = [
        f"{route.method} {route.pattern}"
        for route in routes
        if not any(shapes(route.method, route.pattern).fullmatch(request) for request in requests)
    ]
    assert missing == []


def codes_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("code"), str):
            yield value["code"]
        for item in value.values():
            yield from codes_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from codes_in(item)


def test_every_code_that_is_documented_is_provoked_or_cannot_be() -> None:
    text = (ROOT / "docs" / "contract.md").read_text()
    families = "GEN|AUTH|TXN|BAL|LGR|IDT|META|RECON|QUEUE"
    documented = set(re.findall(rf"`((?:{families})_[A-Z_]+[A-Z])`", text)) | set(STATUS_OF)
    said = {code for version in CORE_VERSIONS for code in codes_in([*recordings.of_version(version).values()])}
    assert documented - said == set(NOT_PROVOKED)


def test_no_story_was_recorded_that_waited_in_vain_or_broke() -> None:
    steps = [
        line["step"] for version in CORE_VERSIONS for lines in recordings.of_version(version).values() for line in lines
    ]
    assert [step for step in steps if "in vain" in step or "broke" in step] == []
