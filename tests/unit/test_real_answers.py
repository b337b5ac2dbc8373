"""No answer that a real ledger was heard to give on a route of ours is strange to the table of verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from blnk_relay.intents.exchange import Request, Response
from blnk_relay.intents.verdict_table import REDIRECT, STRANGE_2XX, STRANGE_4XX, STRANGE_5XX
from blnk_relay.intents.verdicts import rule_for
from blnk_relay.kinds.registry import KINDS
from tests.fidelity import recordings
from tests.support.specimens import SPECIMENS

STRANGE = (STRANGE_2XX, STRANGE_4XX, STRANGE_5XX, REDIRECT)

#: What asks what would happen is never sent by us.
NEVER_SENT = "dry runs"


def routes() -> Iterator[tuple[re.Pattern[str], str, bool]]:
    """Each request that a kind makes: its shape, its row of the table, and whether it is answered in the end."""
    for specimen in SPECIMENS.values():
        request, kind = specimen.first().request, KINDS[specimen.kind]
        for path in (kind.path, *kind.also):
            yield re.compile(f"{kind.method} " + re.sub(r":\w+", "[^/?]+", path)), request.route, request.sync


def response_of(line: Mapping[str, Any]) -> Response:
    body = line["body"] if isinstance(line["body"], dict) else None
    detail = (body or {}).get("error_detail") or {}
    return Response(
        status=line["status"],
        code=detail.get("code", ""),
        message=detail.get("message", ""),
        body=body,
        has_errors="errors" in (body or {}),
    )


@pytest.mark.parametrize("version", recordings.recorded_versions())
def test_every_answer_of_a_real_ledger_is_known(version: str) -> None:
    known, judged = tuple(routes()), 0
    for story, lines in recordings.of_version(version).items():
        for line in lines:
            asked = line.get("asked", "")
            method, _, path = asked.partition(" ")
            fitting = {(route, sync) for shape, route, sync in known if shape.fullmatch(asked)}
            if not fitting or story == NEVER_SENT:
                continue
            # A recording does not say in which mode it was asked: what is known in one of them is known.
            response = response_of(line)
            rules = [rule_for(Request(method, path, route, {}, sync=sync), response) for route, sync in fitting]
            assert any(rule not in STRANGE for rule in rules), (story, line)
            judged += 1
    assert judged > 300
