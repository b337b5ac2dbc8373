"""Reading back over real HTTP while some reads fail: what is read stays read, and what is not is told by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from blnk_relay import Settings
from blnk_relay.intents.found import Lookup
from blnk_relay.sandbox import Faults, Options, Sandbox
from blnk_relay.sandbox.faults.kinds import Fault, Subject
from worker.ledger.proxy import Proxy
from worker.ledger.readback import MOST_FAILED, LedgerOverHttp

RULE = Lookup("matching-rules", "name", "mine")
PAID = Lookup("transactions", "reference", "nothing")
TOKENS = [Lookup("tokenized-fields", "identity_id", f"idt_{number}") for number in range(10)]


class Failing(Faults):
    """Reads whose paths hold one of these fail."""

    def __init__(self, fault: str, *paths: str) -> None:
        self._fault = Fault.of(fault)
        self._paths = paths

    def decide(self, subject: Subject) -> Fault | None:
        """The same for each."""
        return self._fault if any(path in subject.path for path in self._paths) else None


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Options()) as running:
        yield running


def ledger_of(sandbox: Sandbox, route: str = "filters") -> LedgerOverHttp:
    options = sandbox.options
    settings = Settings(base_url=sandbox.url, token=options.token, instance_id=options.instance_id)
    return LedgerOverHttp(Proxy(settings), route)


def asked(sandbox: Sandbox) -> Sequence[str]:
    return [seen.path for seen in sandbox.requests_seen()]


@pytest.mark.parametrize(("fault", "status"), [("500_no_effect", 500), ("403", 403), ("503_no_effect", 503)])
def test_a_read_that_fails_takes_nothing_else_with_it(sandbox, fault, status):
    sandbox.set_faults(Failing(fault, "/matching-rules"))
    looked = ledger_of(sandbox).look([RULE, PAID])
    assert {lookup: answer.status for lookup, answer in looked.failed.items()} == {RULE: status}
    assert asked(sandbox)[0] == "/transactions/filter", "what payments are proven by comes first"


def test_one_value_of_many_fails_alone_where_each_is_a_request(sandbox):
    sandbox.set_faults(Failing("500_no_effect", "/reference/bad"))
    lookups = [Lookup("transactions", "reference", value) for value in ("a", "bad", "b")]
    looked = ledger_of(sandbox, "core").look(lookups)
    assert list(looked.failed) == [lookups[1]]


def test_a_resource_that_fails_and_fails_is_not_asked_for_any_more_in_this_look(sandbox):
    sandbox.set_faults(Failing("500_no_effect", "/tokenized-fields"))
    looked = ledger_of(sandbox).look([*TOKENS, PAID])
    assert set(looked.failed) == set(TOKENS)
    assert sum("tokenized-fields" in path for path in asked(sandbox)) == MOST_FAILED


@pytest.mark.parametrize(("fault", "status"), [("401", 401), ("429", 429)])
def test_who_is_not_let_in_or_too_fast_asks_nothing_more(sandbox, fault, status):
    sandbox.set_faults(Failing(fault, "/"))
    looked = ledger_of(sandbox).look([PAID, RULE, *TOKENS])
    assert {answer.status for answer in looked.failed.values()} == {status}
    assert len(looked.failed) == 2 + len(TOKENS)
    assert len(asked(sandbox)) == 1


def test_what_a_question_costs_is_its_share_of_a_request(sandbox):
    filters, core = ledger_of(sandbox), ledger_of(sandbox, "core")
    assert (filters.share(PAID), core.share(PAID), filters.share(TOKENS[0])) == (0.01, 1.0, 1.0)
