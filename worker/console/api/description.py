"""The description of the API, as OpenAPI has it, made from the doors themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from blnk_relay import __version__
from worker.console.api import answered
from worker.console.asking import Ask, Data, Door

#: What every door may answer besides what it is there for.
_FAILURES = {
    "400": "what was sent cannot be used",
    "401": "nobody was let in",
    "403": "the right is missing",
    "404": "not found",
    "405": "the address is there for another method",
    "409": "refused: it has changed, or would double",
    "414": "the address is too long",
    "421": "the console is not known by that host",
    "429": "too many wrong keys from that address; Retry-After says how long to wait",
    "500": "the console has failed",
    "503": "the journal cannot be reached, or there is too much to do",
    "504": "it took too long; what it began goes on",
}

_PLACE, _WORD = re.compile(r"{([a-z]+)}"), re.compile(r"[a-z]+")


def described(doors: Sequence[Door]) -> dict[str, Any]:
    """The description of some doors."""
    made = APISpec(
        title="Console of blnk-relay",
        version=__version__,
        openapi_version="3.1.0",
        info={
            "description": "The answers and acts of operators. Everything is refused that the library refuses; "
            "acts stand in the action log with the name of the key.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
    )
    made.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    for door in doors:
        made.path(path=door.path, operations={door.method.lower(): _operation(door)})
    return made.to_dict() | {"security": [{"key": []}]}


def _name(schema: Any) -> str:
    return schema.__name__ if isinstance(schema, type) else type(schema).__name__


def _operation(door: Door) -> dict[str, Any]:
    about = door.about
    parameters: list[dict[str, Any]] = [
        {"in": "path", "name": name, "required": True, "schema": {"type": "string", **about.get(name, {})}}
        for name in _PLACE.findall(door.path)
    ]
    if "query" in about:
        parameters.append({"in": "query", "schema": about["query"]})
    made: dict[str, Any] = {
        "operationId": "_".join((door.method.lower(), *_WORD.findall(door.path.removeprefix("/api/v1")))),
        "summary": (door.answer.__doc__ or "").splitlines()[0],
        "description": f"Takes the right *{door.right.value}*{about.get('more', '')}.",
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "done" if door.method == "POST" else "what was asked for",
                "content": {"application/json": {"schema": about.get("out", {"type": "object"})}},
            },
            **{
                status: {
                    "description": words,
                    "content": {"application/json": {"schema": answered.Failure}},
                }
                for status, words in _FAILURES.items()
            },
        },
    }
    if "body" in about:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": about["body"]}}}
    return made


def description(doors: Sequence[Door]) -> Any:
    """What answers with the description of some doors."""

    @cache
    def whole() -> dict[str, Any]:
        return described(doors)

    def answer(ask: Ask) -> Data:
        """This description."""
        return Data(whole() | {"servers": [{"url": ask.root or "/"}]})

    return answer
