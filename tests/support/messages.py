"""Celery messages of every sort, as they come to lie in a queue on Redis."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

#: Fields of a payment that any ledger takes.
FIELDS: Mapping[str, Any] = {
    "source": "@world",
    "destination": "@shop",
    "currency": "EUR",
    "amount": "10.00",
    "description": "Order",
    "allow_overdraft": True,
}

TASK = "tasks.enqueue_transaction"

NOTHING_FOLLOWS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def envelope(content: bytes, /, queue: str = "relay.ingest", **changes: Any) -> bytes:
    """A whole message around a body.

    Args:
        content: The bytes of the body.
        queue: Where it goes.
        **changes: Fields of the envelope that win, with underscores for dashes; None takes one away.
    """
    id_ = str(uuid4())
    whole = {
        "body": base64.b64encode(content).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK, "id": id_, "eta": None, "expires": None, "retries": 0},
        "properties": {
            "correlation_id": id_,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    for name, value in changes.items():
        whole[name.replace("_", "-")] = value
        if value is None:
            del whole[name.replace("_", "-")]
    return json.dumps(whole).encode()


def message(kwargs: Any = None, *, task: Any = TASK, args: Any = (), embed: Any = None, **headers: Any) -> bytes:
    """A message of Celery's second protocol.

    Args:
        kwargs: Keyword arguments.
        task: Name of the task.
        args: Positional arguments.
        embed: What follows it.
        **headers: Headers that win.
    """
    body = json.dumps([args, {} if kwargs is None else kwargs, NOTHING_FOLLOWS if embed is None else embed])
    id_ = str(uuid4())
    return envelope(body.encode(), headers={"lang": "py", "task": task, "id": id_, **headers})


def old_message(kwargs: Any, **fields: Any) -> bytes:
    """A message of Celery's first protocol, which has all in its body."""
    body = {"task": TASK, "id": str(uuid4()), "args": [], "kwargs": kwargs, "utc": True, "retries": 0, **fields}
    return envelope(json.dumps(body).encode(), headers={})
