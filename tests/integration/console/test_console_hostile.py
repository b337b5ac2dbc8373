"""What comes from outside is shown by the console without harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from blnk_relay import Operator, transaction
from tests.support.cli import letters, payment
from tests.support.console import at
from tests.support.visiting import readable

pytestmark = pytest.mark.usefixtures("environment")


#: Script, an attribute that ends too early, an entity, what turns text round, what clears a terminal, a template.
HOSTILE = "<script>alert(1)</script>\" onload=x '&lt;\u202egpj.\x1b[2J\x9b2J{{7*7}}{%x%}\u200b\u2066"


class Tags(HTMLParser):
    """What of a page a browser would run, that is not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.alien: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.alien.append(tag)
        self.alien += [name for name in given if name.startswith(("on", "hx-on")) or name == "style"]
        self.alien += [link for name in ("href", "action", "src") if (link := given.get(name)) and link[0] not in "/#"]


def test_hostile_text_is_shown_harmless_wherever_it_stands(relay, ann, script):
    letters(relay, "poor")
    [status] = Operator(relay.journals).listed("dead")
    journal = relay.journals.of("default")
    journal.client.hset(
        journal.key(f"intent:{status.id}"),
        mapping={
            "message": HOSTILE,
            "code": HOSTILE,
            "class": HOSTILE,
            "lane": HOSTILE,
            "txn": HOSTILE,
            "kind": HOSTILE,
        },
    )
    line = {"at": 1, "what": HOSTILE, "note": HOSTILE, "by": HOSTILE, "code": HOSTILE, "request": HOSTILE}
    journal.client.rpush(journal.key(f"log:{status.id}"), json.dumps(line))
    where = at(ann, status.id)
    ann.said(ann.fill(f"{where}/discard", reason=HOSTILE))
    ann.said(ann.fill("/lanes/lane/refunds/pause", reason=HOSTILE))
    ann.said(ann.fill("/lanes/target/default/pause", reason=HOSTILE))
    relay.enqueue(transaction(**{**payment().payload, "description": HOSTILE} | {"reference": "h"}), key="h")
    shown = ann.post(f"{at(ann, 'h')}/payload", form_token=ann.form_token())
    plain = (where, "/intents?state=discarded", "/intents", "/lanes", "/actions", "/letters")
    asked = (("/intents", "code"), ("/actions", "who"), ("/signin", "onward"))
    answers = [shown, *(ann.get(path) for path in plain)]
    answers += [ann.session.get(f"{ann.url}{path}", params={name: HOSTILE}, timeout=30) for path, name in asked]
    refused = ann.session.get(f"{ann.url}/letters", params={HOSTILE[:90]: "x"}, timeout=30)
    assert (refused.status_code, "is not taken here" in readable(refused.text)) == (400, True)
    for page in answers:
        assert page.status_code == 200, readable(page.text)
    for page in (*answers, refused):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", page.text), page.url
        tags = Tags()
        tags.feed(page.text)
        assert tags.alien == [], page.url
    told = readable(ann.get(where).text)
    assert r"\u202egpj.\x1b[2J" in told, "what turns and clears is written out"
    assert "{{7*7}}" in told
    for path in (f"/api/v1{where}", "/api/v1/actions"):
        answer = script.get(path)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer.json()
