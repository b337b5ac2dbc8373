"""A journal of payments as large as wanted, written past the scripts, in the layout that they leave.

For measurements and for counts of what a command costs, where the scripts would take minutes. What it writes is held
against what the scripts write by tests/integration/test_bulk.py, key by key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import redis

from blnk_relay import Intent, transaction
from blnk_relay.journal.entries import id_of, new_entry
from blnk_relay.journal.flows import batched
from blnk_relay.journal.shape import NEWEST
from blnk_relay.relay import Relay

#: What becomes of payments here: they wait for a worker, have been applied, or were rejected.
Fate = Literal["open", "done", "dead"]

LANE = "transactions"
FUNDS = "TXN_INSUFFICIENT_FUNDS"
MESSAGE = "The ledger said no."

#: Stands where the key goes, in what all of them have in common.
_MARK = "the-key-of-this-one"

_CHUNK = 1_000

#: How long an intent may be tried; the setting's default.
_DEADLINE_MS = 86_400_000


def a_payment(key: str) -> Intent:
    """The intent that all keys have here."""
    return transaction(
        source="@bank", destination="@alice", currency="EUR", amount="10.50", description=f"Top-up {key}"
    )


@dataclass(frozen=True, slots=True)
class Fill:
    """So many payments of one fate.

    Attributes:
        fate: What becomes of them.
        name: Keys are ``<name>-1`` and so on, the oldest first.
        number: How many.
        code: What those that died are dead of.
    """

    fate: Fate
    name: str
    number: int
    code: str = FUNDS

    @property
    def cause(self) -> str:
        """As letters are kept by it."""
        return f"transaction|rejected|{self.code}"


def fill(relay: Relay, *fills: Fill) -> None:
    """Write all of them, a millisecond apart, so that they have an order; nothing else may stand in the journal.

    Args:
        relay: Whose journal of the default target.
        fills: What to write, the oldest first.
    """
    journal = relay.journal()
    with redis.Redis.from_url(relay.settings.redis_url) as client:
        prefix, total = journal.prefix, sum(one.number for one in fills)
        now_ms = journal.now_ms()
        writing = _Writing(client, prefix, journal.target, now_ms - total)
        pipe = client.pipeline(transaction=False)
        pipe.hset(f"{prefix}ground", mapping={"shape": NEWEST, "names": 1})
        pipe.sadd(f"{prefix}lanes", LANE)
        pipe.sadd(f"{prefix.rpartition(':default')[0]}}}:targets", journal.target)
        for one in fills:
            for numbers in batched(range(1, one.number + 1), _CHUNK):
                writing.write(one, numbers)
            _totals(pipe, prefix, one)
        pipe.execute()


#: Of so many rows each id, time, body and fingerprint, and what else stands in all of them: one trip for thousands.
_WRITE = """
local prefix, fate, set, detail, letters, deadline = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local number = tonumber(ARGV[7])
for at = 8 + number, #ARGV, 4 do
  local id, time, body, fp = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local key, till = prefix .. 'intent:' .. id, string.format('%d', tonumber(time) + deadline)
  redis.call('SET', prefix .. 'body:' .. id, body)
  redis.call('HSET', key, 'fp', fp, 'created', time, 'since', time, 'deadline', till, unpack(ARGV, 8, 7 + number))
  redis.call('ZADD', prefix .. set, time, id)
  if fate == 'done' then redis.call('HSET', key, 'txn', 'txn_' .. id) end
  if fate ~= 'open' then
    redis.call('HSET', key, 'updated', time)
    redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', 10000, '*',
      'id', id, 'kind', 'transaction', 'event', fate, 'detail', detail)
  end
  if letters ~= '' then redis.call('ZADD', prefix .. letters, time, id) end
end
"""


class _Writing:
    def __init__(self, client: redis.Redis, prefix: str, target: str, first_ms: int) -> None:
        self._script, self._prefix, self._target = client.register_script(_WRITE), prefix, target
        self._at_ms = first_ms
        model = new_entry(a_payment(_MARK), _MARK, LANE, target=target, not_before="+0", deadline=f"~{_DEADLINE_MS}")
        self._body = model.body
        payload = self._body[self._body.index('"payload":') + len('"payload":') : -1]
        self._plain = f"{target}\0transaction\0{_MARK}\0{payload}"

    def write(self, one: Fill, numbers: Iterable[int]) -> None:
        fields: dict[str, Any] = {"state": "ready", "kind": "transaction", "lane": LANE}
        if one.fate != "open":
            fields |= {"state": one.fate, "token": "1-000000000000.1", "worker": "bench", "claims": 0}
        if one.fate == "done":
            fields |= {"outcome": "applied"}
        if one.fate == "dead":
            fields |= {"code": one.code, "class": "rejected", "message": MESSAGE, "worth": "EUR/100 1050"}
        flat = [text for pair in fields.items() for text in pair]
        place = f"ready:{LANE}" if one.fate == "open" else one.fate
        detail = "applied" if one.fate == "done" else "rejected"
        letters = f"letters:{one.cause}" if one.fate == "dead" else ""
        rows: list[Any] = []
        for number in numbers:
            key = f"{one.name}-{number}"
            self._at_ms += 1
            fingerprint = blake2b(self._plain.replace(_MARK, key).encode(), digest_size=16).hexdigest()
            rows += (id_of(self._target, key), self._at_ms, self._body.replace(_MARK, key), fingerprint)
        self._script(args=[self._prefix, one.fate, place, detail, letters, _DEADLINE_MS, len(flat), *flat, *rows])


def _totals(pipe: Any, prefix: str, one: Fill) -> None:
    pipe.hincrby(f"{prefix}counts", "accepted|transaction", one.number)
    if one.fate == "done":
        pipe.hincrby(f"{prefix}counts", "done|transaction|applied", one.number)
    if one.fate == "dead":
        pipe.hincrby(f"{prefix}counts", f"dead|{one.cause}", one.number)
        pipe.sadd(f"{prefix}causes", one.cause)
        pipe.hincrby(f"{prefix}sums:{one.cause}", "EUR/100", 1050 * one.number)
        pipe.hincrby(f"{prefix}sums:{one.cause}", "known", one.number)
