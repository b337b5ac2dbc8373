"""What tests of the console ask and send, beside pages: keys of scripts, documents, forms."""

from __future__ import annotations

import hashlib
import re
from html import unescape
from typing import Any

import requests
from marshmallow import Schema

from tests.support.visiting import Visitor, readable

#: Keys of scripts, by what each may do.
KEYS = {
    name: f"{name}:{hashlib.sha256(name.encode()).hexdigest()}:{rights}"
    for name, rights in (("viewer", "viewer"), ("operator", "operator"), ("all", "approver+payload"))
}


def at(visitor: Visitor, key: str) -> str:
    """The address of an intent, as the search leads to it."""
    answer = visitor.get(f"/intents?key={key}")
    assert answer.status_code == 303, readable(answer.text)
    return str(answer.headers["Location"])


def post(script: Visitor, path: str, **document: object) -> requests.Response:
    """What the API answers to somebody who sends a document."""
    return script.session.post(f"{script.url}/api/v1{path}", json=document, timeout=30)


def hidden(visitor: Visitor, path: str) -> dict[str, str]:
    """The hidden fields of the form on a page, but for that of signing out, which is the same."""
    return {
        name: unescape(value)
        for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', visitor.get(path).text)
    }


def rest(schema: Schema | type[Schema], document: Any) -> dict[str, Any]:
    """What of a document is not as the API describes it."""
    made = schema() if isinstance(schema, type) else schema
    return dict(made.validate(document))
