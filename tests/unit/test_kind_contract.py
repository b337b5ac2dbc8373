"""The whole contract of a kind, tried on a specimen of each (decision 35): a new kind has to pass it as it is.

What the ledger's books say of every kind under every fault is tried in ``tests/integration/test_kind_faults.py``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from casebook import AGAIN, DONE, LOOK, LOOK_REFUSE, OPEN, PAUSE, REFUSED, SLOW, STRAIN, action
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay.errors import InvalidIntent
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Done, Look, Send
from blnk_relay.intents.exchange import Failure, GateAction, Request, Response, Verdict
from blnk_relay.intents.found import Found
from blnk_relay.intents.steps import next_step
from blnk_relay.intents.verdict_table import ANY, TABLE, Rule
from blnk_relay.intents.verdicts import rule_for
from blnk_relay.journal.claimed import Claimed, progress_of
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds.registry import KINDS, intent_of
from tasks.settlements import Sent, after_attempt
from tests.support.specimens import NOW_MS, POLICY, SPECIMENS, First, Specimen, given_of, kinds_without
from worker.cli.commands import cli
from worker.cli.jsonl_line import write_of

ROOT = Path(__file__).parents[2]

ALL = list(SPECIMENS.values())


def those(specimens: list[Specimen]) -> pytest.MarkDecorator:
    """A test of some specimens."""
    return pytest.mark.parametrize("specimen", specimens, ids=lambda specimen: specimen.name)


each = those(ALL)
each_private = those([specimen for specimen in ALL if KINDS[specimen.kind].private])


def test_every_kind_has_a_specimen_and_none_is_of_no_kind() -> None:
    assert kinds_without(list(KINDS)) == []
    assert {specimen.kind for specimen in ALL} <= set(KINDS)


def test_a_kind_without_a_specimen_is_told_what_to_add() -> None:
    (sentence,) = kinds_without([*KINDS, "widget.create"])
    assert "'widget.create'" in sentence
    assert "tests/support/specimens.py" in sentence


#: The writes of contract §1.6; ``detokenize`` is a POST there, and a read (contract §4).
ROUTES = """
    POST /ledgers
    POST /balances
    POST /transactions
    POST /transactions/bulk
    PUT /transactions/inflight/:id
    POST /refund-transaction/:id
    POST /identities
    PUT /identities/:identity_id
    PUT /balances/:id/identity
    POST /:id/metadata
    POST /identities/:identity_id/tokenize/:field
    POST /identities/:identity_id/tokenize
    POST /reconciliation/start
    POST /reconciliation/upload
    POST /reconciliation/matching-rules
    PUT /reconciliation/matching-rules/:id
    DELETE /reconciliation/matching-rules/:id
    POST /reconciliation/start-instant
"""

#: Those that the list leaves out, and a setting switches on (contract §2.13).
OPTIONAL = """
    POST /transactions/inflight/bulk/commit
    POST /transactions/inflight/bulk/void
"""


def unnamed(route: str) -> str:
    """A route without the names of its parameters."""
    return re.sub(r":\w+", ":", route.strip())


def test_every_write_of_the_contract_has_a_kind_and_no_kind_has_a_route_of_its_own_making() -> None:
    ran = CliRunner().invoke(cli, ["kinds", "--json"], catch_exceptions=False)
    kinds = json.loads(ran.stdout)["kinds"]
    assert [kind["kind"] for kind in kinds] == list(KINDS)
    listed = {unnamed(f"{kind['method']} {path}") for kind in kinds for path in (kind["path"], *kind["also"])}
    assert listed == {unnamed(route) for route in (ROUTES + OPTIONAL).split("\n") if route.strip()}


# -- schema ----------------------------------------------------------------------------------------------------------


def recorded(intent: Any, key: str = "a-key") -> dict[str, Any]:
    """All that a journal keeps of an intent that does not move, and what a repeat is compared with."""
    new = new_entry(intent, key, "a-lane", not_before="+0", deadline="+1", tag="blnk_relay")
    return {"id": new.entry.id, "reference": new.entry.reference, "fingerprint": new.fingerprint, "body": new.body}


@each
def test_what_is_read_back_from_json_is_the_same_intent(specimen: Specimen) -> None:
    intent, _ = specimen.sample()
    given = json.loads(json.dumps(given_of(intent)))
    assert intent_of(specimen.kind, given) == intent
    line = json.dumps({"kind": specimen.kind, "key": "a-key", "payload": given}).encode()
    assert recorded(write_of(line).intent) == recorded(intent)
    assert write_of(line).intent == intent


@each
def test_an_unknown_field_is_refused_by_its_name(specimen: Specimen) -> None:
    given = given_of(specimen.sample()[0])
    with pytest.raises(InvalidIntent) as refused:
        intent_of(specimen.kind, given | {"no_such_field": 1})
    assert "no_such_field" in refused.value.errors


@each
def test_a_missing_field_is_never_filled_in(specimen: Specimen) -> None:
    given = given_of(specimen.sample()[0])
    schema = KINDS[specimen.kind].schema
    for name in (field.data_key or name for name, field in schema.fields.items() if field.required):
        with pytest.raises(InvalidIntent) as refused:
            intent_of(specimen.kind, {other: value for other, value in given.items() if other != name})
        assert name in refused.value.errors


json_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.none(), max_size=2)
)


@given(st.data())
def test_a_spoiled_field_is_refused_or_makes_an_intent_that_is_read_back_the_same(data: st.DataObject) -> None:
    specimen = data.draw(st.sampled_from(ALL))
    given = given_of(specimen.sample()[0])
    given[data.draw(st.sampled_from(sorted(given)))] = data.draw(json_values)
    try:
        intent = intent_of(specimen.kind, given)
    except InvalidIntent:
        return
    assert intent_of(specimen.kind, json.loads(json.dumps(given_of(intent)))) == intent


# -- keys and references ---------------------------------------------------------------------------------------------


def stable(specimen: Specimen) -> dict[str, Any]:
    """What must be the same for every attempt, in every process: what the ledger knows a write by, and its body."""
    first = specimen.first()
    requests = [
        KINDS[specimen.kind].request(first.entry, replace(first.progress, generation=generation, attempts=3), POLICY)
        for generation in (0, 2)
    ]
    bodies = [[request.method, request.path, request.body] for request in requests]
    return json.loads(json.dumps({**recorded(first.intent), "requests": bodies}))


def test_keys_references_and_bodies_are_the_same_in_every_process() -> None:
    code = (
        "import json, sys; sys.path.insert(0, 'tests/unit'); from test_kind_contract import ALL, stable; "
        "print(json.dumps({item.name: stable(item) for item in ALL}))"
    )
    here = {specimen.name: stable(specimen) for specimen in ALL}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(ran.stdout) == here


@each
def test_only_a_new_generation_changes_what_the_ledger_knows_it_by(specimen: Specimen) -> None:
    (_, _, first), (_, _, third) = stable(specimen)["requests"]
    if not KINDS[specimen.kind].referenced:
        assert first == third
        return
    reference = specimen.first().entry.reference
    assert first["reference"] == reference
    assert third == first | {"reference": third["reference"]}
    assert third["reference"] not in ("", reference)
    assert third["reference"].startswith(reference)


@each
def test_another_key_is_another_intent(specimen: Specimen) -> None:
    intent, _ = specimen.sample()
    assert recorded(intent, "a-key")["id"] != recorded(intent, "b-key")["id"]
    other = specimen.sample("other")[0]
    if given_of(other) != given_of(intent):
        assert recorded(other)["fingerprint"] != recorded(intent)["fingerprint"]


@each
def test_the_request_is_that_of_the_kinds_route(specimen: Specimen) -> None:
    kind, request = KINDS[specimen.kind], specimen.first().request
    assert request.method == kind.method
    patterns = [path.split("/") for path in (kind.path, *kind.also)]
    asked = request.path.split("/")
    assert any(
        len(pattern) == len(asked)
        and all(part == given or (part.startswith(":") and given) for part, given in zip(pattern, asked, strict=True))
        for pattern in patterns
    ), f"{request.path} is none of {patterns}"


# -- what an answer means: contract §5, for every kind ---------------------------------------------------------------

Who = Callable[[Request], bool]


def on(*routes: str, sync: bool | None = None) -> Who:
    return lambda request: request.route in routes and sync in (None, request.sync)


everybody: Who = lambda _: True  # noqa: E731 - a name in a table
SINGLE, HOLDS, REFUNDS = on("transaction"), on("inflight"), on("refund")
HOLDS_TOGETHER = on("inflight.bulk")
SEVERAL = on("split", "bulk", "inflight.bulk")
MONEY = on("transaction", "split", "bulk", "inflight", "inflight.bulk", "refund")
CREATES = on("ledger", "balance", "identity", "rule")
UPDATES = on("identity.update", "link", "metadata", "tokenize", "rule.update", "rule.delete")
RECONCILES = on("upload", "start")
OTHERS: Who = lambda request: not MONEY(request)  # noqa: E731 - a name in a table


def but(*excluded: Who) -> Who:
    return lambda request: not any(who(request) for who in excluded)


@dataclass(frozen=True)
class Row:
    """A row of contract §5, as it is meant for some routes."""

    status: int
    code: str
    who: Who
    action: str
    acted: bool
    counted: bool = True
    gate: GateAction | None = OPEN
    message: str = "in words"
    errors: bool = False

    @property
    def response(self) -> Response:
        body = {"errors" if self.errors else "error": self.message} if self.code else None
        return Response(status=self.status, code=self.code, message=self.message, body=body, has_errors=self.errors)


def rows() -> Iterator[Row]:  # noqa: PLR0915 - a table
    """The table of contract §5, row by row, written from there and not from the code."""
    # 2xx without what the route answers: the contract is broken; read.
    for status in (200, 201, 202, 204):
        yield Row(status, "", everybody, LOOK, True)
    # What says "see there" may have been done first; these two mean that it was not.
    for status in (300, 301, 302, 303):
        yield Row(status, "", everybody, LOOK, True, False, PAUSE)
    for status in (307, 308):
        yield Row(status, "", everybody, AGAIN, False, False, PAUSE)
    # 400: our payload.
    for code in ("GEN_MALFORMED_REQUEST", "GEN_VALIDATION_ERROR", "GEN_MISSING_PARAMETER", "TXN_INVALID_STATUS_ACTION"):
        yield Row(400, code, everybody, REFUSED, False)
    yield Row(400, "TXN_VALIDATION_ERROR", everybody, REFUSED, False, errors=True)
    # The same code with `error`: a failure on the way, which may come after it was applied.
    yield Row(400, "TXN_VALIDATION_ERROR", everybody, LOOK, True, message="failed to queue inflight expiry: x")
    for text in ("exceeds overdraft limit", "failed to split transaction", "amount must be positive"):
        yield Row(400, "TXN_VALIDATION_ERROR", SEVERAL, LOOK_REFUSE, True, message=text)
        yield Row(400, "TXN_VALIDATION_ERROR", but(SEVERAL), LOOK_REFUSE, False, message=text)
    yield Row(400, "TXN_INSUFFICIENT_FUNDS", SEVERAL, LOOK_REFUSE, True)
    yield Row(400, "TXN_INSUFFICIENT_FUNDS", but(SEVERAL), LOOK_REFUSE, False)
    for code in ("TXN_INVALID_AMOUNT", "TXN_PRECISION_NOT_INTEGER", "TXN_INVALID_DISTRIBUTION"):
        yield Row(400, code, SEVERAL, LOOK_REFUSE, True)
        yield Row(400, code, but(SEVERAL), REFUSED, False)
    for code in ("TXN_BULK_EMPTY", "TXN_BULK_LIMIT_EXCEEDED"):
        yield Row(400, code, on("bulk", "inflight.bulk"), REFUSED, False)
    yield Row(400, "TXN_NOT_INFLIGHT", HOLDS, LOOK, False)
    yield Row(400, "TXN_COMMIT_AMOUNT_EXCEEDED", HOLDS, LOOK_REFUSE, True)
    yield Row(400, "GEN_BAD_REQUEST", on("balance"), REFUSED, False)
    yield Row(400, "GEN_BAD_REQUEST", UPDATES, REFUSED, False)
    yield Row(400, "GEN_BAD_REQUEST", but(on("balance"), UPDATES), LOOK, True)
    over = "failed to apply transaction to balances: transaction exceeds overdraft limit"
    yield Row(400, "GEN_BAD_REQUEST", SEVERAL, LOOK_REFUSE, True, message=over)
    yield Row(400, "IDT_VALIDATION_ERROR", on("identity"), LOOK_REFUSE, True)
    for code in ("META_INVALID_ENTITY_ID", "META_UNSUPPORTED_ENTITY"):
        yield Row(400, code, UPDATES, REFUSED, False)
    for code in ("IDT_FIELD_NOT_TOKENIZABLE", "IDT_FIELD_NOT_TOKENIZED", "IDT_FIELD_NOT_FOUND"):
        yield Row(400, code, UPDATES, REFUSED, False)
    for code in (
        *("RECON_UPLOAD_FAILED", "RECON_UPLOAD_URL_INVALID", "RECON_UPLOAD_HOST_NOT_ALLOWED"),
        *("RECON_MATCHING_RULES_REQUIRED", "RECON_EXTERNAL_TXNS_REQUIRED", "RECON_RULE_INVALID"),
    ):
        yield Row(400, code, OTHERS, REFUSED, False)
    # Somebody else's words: perhaps Cloud's, perhaps a page in the place of a 400 that came after it was applied.
    yield Row(400, "", MONEY, LOOK, True)
    yield Row(400, "", but(MONEY), AGAIN, False)
    # Credentials: nobody's backlog becomes dead letters because a token ran out.
    for code in ("", "AUTH_INVALID_API_KEY", "AUTH_INSUFFICIENT_PERMISSIONS"):
        yield Row(401, code, everybody, AGAIN, False, False, PAUSE)
        yield Row(403, code, but(HOLDS_TOGETHER), AGAIN, False, False, PAUSE)
        # An optional route that is not forwarded must not stop the others (contract §2.13).
        yield Row(403, code, HOLDS_TOGETHER, AGAIN, False)
    yield Row(403, "IDT_TOKENIZATION_DISABLED", UPDATES, REFUSED, False)
    # A Core's key with scopes may write no metadata, whatever they are (contract §2.0).
    yield Row(403, "AUTH_UNKNOWN_RESOURCE", on("metadata"), REFUSED, False)
    # 404.
    yield Row(404, "TXN_NOT_FOUND", on("transaction", sync=True), REFUSED, False)
    yield Row(404, "TXN_NOT_FOUND", SEVERAL, LOOK_REFUSE, True)
    yield Row(404, "TXN_NOT_FOUND", on("inflight", "refund"), LOOK, False)
    # The same of v0.15.4 (contract §14.2).
    yield Row(404, "BAL_NOT_FOUND", SINGLE, REFUSED, False)
    yield Row(404, "BAL_NOT_FOUND", SEVERAL, LOOK_REFUSE, True)
    yield Row(404, "BAL_NOT_FOUND", on("inflight", "refund"), LOOK, False)
    yield Row(404, "META_ENTITY_NOT_FOUND", on("metadata"), AGAIN, False)
    yield Row(404, "META_ENTITY_NOT_FOUND", UPDATES, AGAIN, False)
    yield Row(404, "RECON_RULE_NOT_FOUND", UPDATES, LOOK_REFUSE, False)
    for code in ("BAL_NOT_FOUND", "IDT_NOT_FOUND", "LGR_NOT_FOUND", "RECON_NOT_FOUND"):
        yield Row(404, code, OTHERS, AGAIN, False)
    for status in (404, 405):
        yield Row(status, "", but(HOLDS_TOGETHER), AGAIN, False, False, PAUSE)
        yield Row(status, "", HOLDS_TOGETHER, REFUSED, False)
    yield Row(415, "", everybody, AGAIN, False, False, PAUSE)
    yield Row(408, "", everybody, LOOK, True)
    # 409: four different things (contract §0.1 fact 19).
    yield Row(409, "TXN_DUPLICATE_REFERENCE", SINGLE, LOOK, False)
    yield Row(409, "TXN_DUPLICATE_REFERENCE", SEVERAL, LOOK, True)
    yield Row(409, "GEN_CONFLICT", on("transaction", sync=True), AGAIN, False)
    yield Row(409, "GEN_CONFLICT", SEVERAL, LOOK, True)
    yield Row(409, "GEN_CONFLICT", HOLDS, LOOK, False)
    yield Row(409, "GEN_CONFLICT", REFUNDS, LOOK_REFUSE, True)
    yield Row(409, "TXN_ALREADY_REFUNDED", REFUNDS, LOOK_REFUSE, True)
    yield Row(409, "GEN_CONFLICT", on("balance"), LOOK_REFUSE, True)
    for code in ("TXN_ALREADY_COMMITTED", "TXN_ALREADY_VOIDED"):
        yield Row(409, code, HOLDS, LOOK_REFUSE, True)
    # Of several fields those before the one that has a token may be done.
    several: Who = lambda request: request.route == "tokenize" and "fields" in request.body  # noqa: E731
    one: Who = lambda request: UPDATES(request) and not several(request)  # noqa: E731
    yield Row(409, "IDT_FIELD_ALREADY_TOKENIZED", one, LOOK, False)
    yield Row(409, "IDT_FIELD_ALREADY_TOKENIZED", several, LOOK, True)
    yield Row(409, "LGR_DUPLICATE", CREATES, LOOK_REFUSE, False)
    for status, code in ((413, ""), (413, "GEN_PAYLOAD_TOO_LARGE")):
        yield Row(status, code, everybody, REFUSED, False)
    # Nobody's that we know: somebody in between, perhaps for a moment.
    yield Row(422, "", everybody, AGAIN, False)
    # A lock of this very hold or refund may be our own, when somebody repeated the request (finding R5).
    for text in ("inflight-commit:txn_x", "inflight-void:txn_x"):
        yield Row(423, "GEN_RESOURCE_LOCKED", HOLDS, LOOK, True, message=text)
    yield Row(423, "GEN_RESOURCE_LOCKED", REFUNDS, LOOK, True, message="refund:txn_x is already held")
    yield Row(423, "GEN_RESOURCE_LOCKED", SEVERAL, LOOK, True)
    yield Row(423, "GEN_RESOURCE_LOCKED", but(SEVERAL), AGAIN, False, message="failed to acquire lock")
    for code in ("GEN_RATE_LIMITED", ""):
        yield Row(429, code, everybody, AGAIN, False, False, SLOW)
    # 5xx: the classic ambiguity. An outage is not counted: it must not turn a backlog into dead letters (decision 46).
    yield Row(500, "RECON_UPLOAD_PROCESSING_FAILED", RECONCILES, LOOK_REFUSE, True)
    for code in ("GEN_INTERNAL", "RECON_START_FAILED", ""):
        yield Row(500, code, everybody, LOOK, True)
    yield Row(504, "", everybody, LOOK, True, gate=STRAIN)
    yield Row(502, "", everybody, LOOK, True, False, STRAIN)
    yield Row(503, "QUEUE_BACKPRESSURE", everybody, LOOK, True, False, SLOW)
    yield Row(503, "", everybody, LOOK, True, False, STRAIN)
    # What the contract does not know: it may be passing.
    for status, code in ((418, ""), (400, "SOMETHING_NEW"), (409, "SOMETHING_NEW")):
        yield Row(status, code, everybody, LOOK, True)
    for status, code in ((507, ""), (599, "SOMETHING_NEW")):
        yield Row(status, code, everybody, LOOK, True)


ROWS = tuple(rows())


def judged(specimen: Specimen, first: First, response: Response, **changes: Any) -> Verdict:
    """What an answer means; of a private kind without the ledger's words, as the workers hand it over."""
    kind = KINDS[specimen.kind]
    told = replace(response, message="") if kind.private else response
    return kind.judge(first.entry, replace(first.progress, **changes), first.request, told, POLICY)


@each
def test_every_answer_means_what_the_contract_says(specimen: Specimen) -> None:
    first, wrong = specimen.first(), []
    for row in (row for row in ROWS if row.who(first.request)):
        if KINDS[specimen.kind].private and row.message != "in words":
            # Their texts are not kept, so nothing can follow from them; none of these rows is about such a route.
            continue
        verdict = judged(specimen, first, row.response)
        expected = (row.action, row.acted, row.counted, row.gate)
        gate = verdict.gate.action if verdict.gate else None
        told = (action(verdict), verdict.acted, verdict.counted, gate)
        if told != expected:
            wrong.append((row.status, row.code, row.message, told, expected))
    assert wrong == []


def example_of(rule: Rule) -> Response:
    """An answer that a row of the code's table is about."""
    return Response(
        status=rule.status or 299,
        code="SOMETHING_ELSE" if rule.code == ANY else rule.code,
        message=rule.text[0] if rule.text else "in words",
        has_errors=rule.errors is True,
    )


@each
def test_no_row_of_the_table_is_left_untried_for_any_kind(specimen: Specimen) -> None:
    first = specimen.first()
    tried = {rule_for(first.request, row.response) for row in ROWS if row.who(first.request)}
    status, body = specimen.proof(first.request, first.ids)
    tried.add(rule_for(first.request, Response(status=status, body=body)))
    reachable = {rule for rule in TABLE if rule_for(first.request, example_of(rule)) is rule}
    assert [(rule.status, rule.code, rule.why) for rule in reachable - tried] == []


@each
def test_the_ledgers_yes_is_the_end_or_is_read_back(specimen: Specimen) -> None:
    first = specimen.first()
    status, body = specimen.proof(first.request, first.ids)
    verdict = judged(specimen, first, Response(status=status, body=body))
    assert verdict.acted
    assert verdict.gate is None
    assert action(verdict) == (DONE if specimen.final else LOOK)


@each
def test_a_request_that_never_left_is_sent_again_and_not_counted(specimen: Specimen) -> None:
    verdict = judged(specimen, specimen.first(), Response(failure=Failure.NOT_SENT, code="ConnectTimeout"))
    assert (action(verdict), verdict.acted, verdict.counted) == (AGAIN, False, False)


@each
def test_a_clear_no_after_an_attempt_that_was_none_is_looked_up_first(specimen: Specimen) -> None:
    first = specimen.first()
    for status, code in ((400, "GEN_MALFORMED_REQUEST"), (413, "")):
        response = Response(status=status, code=code, message="no")
        verdict = judged(specimen, first, response, sent=True, attempts=1, last_sent_ms=NOW_MS - 1)
        assert (action(verdict), verdict.acted) == (LOOK_REFUSE, False)


@each
def test_what_is_not_counted_never_ends_in_a_dead_letter(specimen: Specimen) -> None:
    first = specimen.first()
    optional = KINDS[specimen.kind].switch
    for status in (401, 429, 307) if optional else (401, 403, 429, 307, 404):
        verdict = judged(specimen, first, Response(status=status), attempts=24)
        assert action(verdict) == AGAIN
    assert action(judged(specimen, first, Response(status=301), attempts=24)) == LOOK


@each
def test_a_dead_letter_straight_from_an_answer_never_happened(specimen: Specimen) -> None:
    first = specimen.first()
    for row in ROWS:
        for attempts in (0, 40):
            verdict = judged(specimen, first, row.response, attempts=attempts)
            if isinstance(verdict.decision, Dead):
                assert verdict.decision.dead_class is DeadClass.REFUSED, row
                assert not verdict.acted, row
            if isinstance(verdict.decision, Again):
                assert not verdict.acted, row


# -- ambiguity: contract §4 ------------------------------------------------------------------------------------------

#: Answers after which nobody knows whether it happened (contract §4, §5).
AMBIGUOUS = (
    Response(failure=Failure.BROKEN, code="ReadTimeout"),
    *(Response(status=status) for status in (200, 201, 408, 500, 502, 504)),
    Response(status=500, code="GEN_INTERNAL"),
)


def after(specimen: Specimen, first: First, response: Response, quiet_s: float) -> Any:
    """The intent as the journal holds it when it is looked at, so long after such an answer to its first request."""
    verdict = judged(specimen, first, response)
    claimed = Claimed(first.entry, first.progress, "1")
    settlement = after_attempt(claimed, Sent(NOW_MS, NOW_MS, response, verdict, "r", "w"))
    fields = {
        "state": settlement.to,
        "since": str(NOW_MS - 1000),
        "deadline": str(NOW_MS + 86_400_000),
        "memo": json.dumps(first.progress.memo or ({"recorded": True} if KINDS[specimen.kind].recorded else {})),
    }
    return settlement, progress_of(specimen.kind, fields | settlement.fields, NOW_MS + int(quiet_s * 1000))


def decided(specimen: Specimen, first: First, progress: Any, *, shown: bool) -> tuple[Decision, int]:
    """What is done with it, and how many reads came first; the ledger shows what stood there before, or nothing."""
    found, reads = Found(), 0
    while isinstance(step := next_step(KINDS[specimen.kind], first.entry, progress, found, POLICY), tuple):
        assert step
        reads += 1
        found = found.plus(specimen.shows(first.ids) if shown else (), (), step)
        assert reads < 6
    return step, reads


@each
@pytest.mark.parametrize("response", AMBIGUOUS, ids=lambda response: str(response.status or response.failure))
def test_what_may_have_happened_is_looked_up_before_anything_else(specimen: Specimen, response: Response) -> None:
    first = specimen.first()
    settlement, soon = after(specimen, first, response, 0.001)
    assert settlement.to == "posted", "it waits for a look"
    assert soon.sent
    decision, reads = decided(specimen, first, soon, shown=True)
    assert reads > 0, "it was not looked up"
    if specimen.repeatable:
        return
    assert not isinstance(decision, Send), "it is sent again while the first request may still be under way"
    assert not isinstance(decision, Dead), "an old read is taken for an answer"


@each
def test_what_the_ledger_does_not_show_for_long_is_sent_again_or_is_for_a_human(specimen: Specimen) -> None:
    first = specimen.first()
    _, later = after(specimen, first, AMBIGUOUS[0], POLICY.quiet_s + POLICY.read_lag_s)
    decision, reads = decided(specimen, first, later, shown=True)
    assert reads > 0
    if specimen.kind == "matching_rule.delete":
        assert decision == Done("deleted", first.ids["rule"]), "what is not there is what was asked for"
        return
    if specimen.kind == "refund":
        assert isinstance(decision, Look), "the ledger may apply it, unseen, for as long as it retries"
        watched = {"watched": [later.now_ms, int(POLICY.horizon_s * 1000)]}
        decision, _ = decided(specimen, first, replace(later, memo={**later.memo, **watched}), shown=True)
    assert isinstance(decision, Send)


@each
def test_a_worker_that_died_with_it_leaves_it_to_be_looked_up(specimen: Specimen) -> None:
    first = specimen.first()
    fields = {
        "state": "posted",
        "lapsed": "1",
        "since": str(NOW_MS - 1000),
        "deadline": str(NOW_MS + 86_400_000),
        "sent_last": str(NOW_MS),
        "memo": json.dumps(first.progress.memo or ({"recorded": True} if KINDS[specimen.kind].recorded else {})),
    }
    progress = progress_of(specimen.kind, fields, NOW_MS + 1)
    decision, reads = decided(specimen, first, progress, shown=True)
    assert reads > 0
    if not specimen.repeatable:
        assert not isinstance(decision, Send)


# -- privacy ---------------------------------------------------------------------------------------------------------

#: What the specimens of private kinds hold, and what the ledger says of them here.
SECRETS = ("secretia", "secretary", "secret@")


@each_private
def test_nothing_private_stands_in_codes_or_messages(specimen: Specimen) -> None:
    first = specimen.first()
    texts = []
    for row in ROWS:
        response = replace(row.response, message=f"Secretia {row.message}")
        for changes in ({}, {"attempts": 40}, {"sent": True, "last_sent_ms": NOW_MS - 1}):
            decision = judged(specimen, first, response, **changes).decision
            if isinstance(decision, Dead):
                texts += [decision.code, decision.message]
    assert texts
    texts.append(first.intent.natural_key or "")
    assert [text for text in texts if any(secret in text.lower() for secret in SECRETS)] == []


@each_private
def test_what_is_refused_at_the_door_is_not_quoted(specimen: Specimen) -> None:
    given = given_of(specimen.sample()[0])
    for name in given:
        for spoiled in ({"Secretia": "Secretia"}, ["Secretia"], "Secretia\x00"):
            try:
                intent_of(specimen.kind, given | {name: spoiled})
            except InvalidIntent as refused:
                told = json.dumps({field: text for field, text in refused.errors.items() if field != "Secretia"})
                assert "Secretia" not in told.replace('"Secretia":', "")
