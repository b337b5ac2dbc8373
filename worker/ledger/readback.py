"""Reading the ledger back: filter routes, or by setting the Data API or the GET routes of Core (contract §1.7).

Cloud's filters and Core's own ask in different words and answer in nearly the same ones; what is believed of an answer
is one thing for both.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeGuard
from urllib.parse import quote

from blnk_relay.intents.exchange import SEVERAL_ROWS, Failure, Request, Response
from blnk_relay.intents.found import Lookup, Record, Row
from blnk_relay.intents.rows import made_ms, text_of
from tasks.runtime import Looked
from worker.ledger.proxy import Proxy

#: Values in one request (contract §4: references in lists of at most a hundred).
CHUNK = 100

#: Rows asked for at once. Core silently gives 20 to whoever asks for more than 100 (finding D15), and
#: what Cloud allows is not known, so the next page is fetched until an exact total is reached or a page is empty.
PAGE_SIZE = 100

#: Pages read for one question at most: a hold with ten thousand children is somebody's mistake.
MOST_PAGES = 50

#: What a read is answered with where the ledger, or what stands before it, has no such read (contract §1.7, §4).
_NO_SUCH_READ = frozenset({400, 404, 405, 501})

#: Code of ours for an answer that goes on after the last page that is read.
_TOO_MANY = "TOO_MANY_ROWS"

#: Instead of an answer, when the worker is to stop; like all codes in capitals it says nothing of the target.
_STOPPING = Response(code="STOPPING", failure=Failure.NOT_SENT)

#: Digits of an amount that is read at all; a longer one is no money but an attack on this process.
_MOST_DIGITS = 100

#: Reads that failed one after the other, after which nothing more of that resource is asked in one look; where there
#: was no answer at all, nothing more of any.
MOST_FAILED = 3

#: What is read first.
_FIRST = frozenset({"transactions", "balances"})

#: Answers after which no read will fare better, and those after which none of the same resource will.
_ALL_IN_VAIN = frozenset({401, 429})
_THIS_IN_VAIN = frozenset({403, 404, 405})

#: Filters API: resource to its path; the others are read through the Data API only (contract §1.7).
_FILTERS = {
    "transactions": "transactions",
    "balances": "balances",
    "identities": "identities",
    "ledgers": "ledger",
    "reconciliations": "reconciliation",
}

#: The same of a bare Core, which has no Data API for the others (findings part 7).
_CORE_FILTERS = {name: name for name in ("transactions", "balances", "identities", "ledgers")}

#: An answer that names what was asked for and says of it what cannot be.
_DOUBTFUL = Response(status=200, code="CONTRADICTS_ITSELF", failure=Failure.BROKEN)

#: Rows of one reference that are named where there are several.
_MOST_NAMED = 5

#: What of a transaction decisions rest on, besides its amount: a text wherever it is given.
_TEXTS = ("parent_transaction", "currency", "source", "destination", "created_at")

#: What tells two records of a resource apart.
_IDS = {
    "transactions": "transaction_id",
    "balances": "balance_id",
    "identities": "identity_id",
    "ledgers": "ledger_id",
    "reconciliations": "reconciliation_id",
    "matching-rules": "rule_id",
}


class LedgerOverHttp:
    """Writes to one target, reads back by the route of its settings.

    Args:
        proxy: The way there.
        route: ``filters``, ``data`` or ``core``.
        stopping: Whether nothing more is to be asked: a look at much is many requests, and may take long.
    """

    def __init__(self, proxy: Proxy, route: str, stopping: Callable[[], bool] = lambda: False) -> None:
        self._proxy = proxy
        self._route = route
        self._stopping = stopping

    def send(self, request: Request, request_id: str, *, start_by_s: float) -> Response:
        """Make one write."""
        return self._proxy.send(request, request_id, start_by_s=start_by_s)

    @property
    def ready_s(self) -> float:
        """Longest time before the first byte of a request leaves."""
        return self._proxy.ready_s

    def longest_s(self, request: Request) -> float:
        """Longest time that one write may take, connecting included."""
        return self._proxy.longest_s(request)

    def look(self, lookups: Sequence[Lookup]) -> Looked:
        """Read rows back, many values in few requests; what fails takes nothing else with it."""
        rows: list[Row] = []
        records: list[Record] = []
        failed: dict[Lookup, Response] = {}
        groups: dict[tuple[str, str], list[str]] = {}
        for lookup in lookups:
            groups.setdefault((lookup.resource, lookup.field), []).append(lookup.value)
        #: Of which resource, or of all, nothing more is asked, and the answer after which.
        in_vain: dict[str, Response] = {}
        in_a_row = 0
        # What payments are proven by comes first: nothing that fails before it may cost it its time.
        for (resource, field), values in sorted(groups.items(), key=lambda group: group[0][0] not in _FIRST):
            for chunk in self._chunks(resource, field, values):
                if self._stopping():
                    in_vain[""] = _STOPPING
                known = in_vain.get("") or in_vain.get(resource)
                answer = known or self._chunk(resource, field, chunk, rows, records)
                if not isinstance(answer, Response):
                    in_a_row = 0
                    failed.update({Lookup(resource, field, value): doubt for value, doubt in answer.items()})
                    continue
                failed.update({Lookup(resource, field, value): answer for value in chunk})
                if known is None:
                    in_a_row += 1
                    tired = in_a_row >= MOST_FAILED
                    if answer.status in _ALL_IN_VAIN or (tired and not answer.status):
                        in_vain[""] = answer
                    elif answer.status in _THIS_IN_VAIN or tired:
                        in_vain[resource] = answer
        return Looked(tuple(rows), tuple(records), failed)

    def made_between(self, since: str, until: str) -> list[Row] | Response:
        """All rows of transactions that the ledger made in some time.

        Args:
            since: At or after then, in RFC 3339.
            until: And before then.

        Returns:
            The rows, or the answer that was no success; ``TOO_MANY_ROWS`` where there are more than are read at once.
        """
        rows: dict[str, Row] = {}
        for page in range(1, MOST_PAGES + 1):
            if self._stopping():
                return _STOPPING
            answer = self._page_between(since, until, page)
            items = _items(answer)
            if items is None:
                return _failed(answer)
            known = len(rows)
            rows.update({row.transaction_id: row for row in map(_row, items)})
            if any(not _is_between(row, since, until) for row in rows.values()):
                # Whoever ignores a filter shows the rows of all times.
                return Response(status=501, code="NO_SUCH_READ", failure=Failure.BROKEN)
            if not items or len(rows) == known or _is_complete(answer.body or {}, len(rows)):
                return list(rows.values())
            if _total(answer.body or {}) > MOST_PAGES * PAGE_SIZE:
                break
        return Response(status=200, code=_TOO_MANY, failure=Failure.BROKEN)

    def _page_between(self, since: str, until: str, page: int) -> Response:
        """A page of the rows of some time; no row names what was asked for, so over a connection of its own."""
        rules = [
            {"field": "created_at", "operator": "gte", "value": since},
            {"field": "created_at", "operator": "lt", "value": until},
        ]
        if self._proxy.bare:
            return self._core_filter("transactions", rules, page, alone=True)
        query = {"page": str(page), "pageSize": str(PAGE_SIZE)}
        if self._route == "data":
            query |= {"created_at_gte": since, "created_at_lt": until}
            path = "/data/transactions"
            return self._proxy.call("GET", path, query, None, request_id=_request_id(), alone=True)
        query["strict_total"] = "true"
        body = json.dumps({"filters": rules}).encode()
        return self._proxy.call("POST", "/transactions/filter", query, body, request_id=_request_id(), alone=True)

    def share(self, lookup: Lookup) -> float:
        """What part of a request it takes to answer one of many such questions."""
        return 1 / self._chunk_size(lookup.resource, lookup.field)

    def _chunk(
        self, resource: str, field: str, values: Sequence[str], rows: list[Row], records: list[Record]
    ) -> Response | Mapping[Any, Response]:
        """Read for some values, whole or not at all, but for those of which the answer says what cannot be.

        Returns:
            Those values, and what is wrong with each; or the answer that was no success.
        """
        items: list[Mapping[str, Any]] = []
        for answer in self._pages(resource, field, values):
            if isinstance(answer, Response):
                return answer
            items += answer
        doubtful: dict[Any, list[Mapping[str, Any]]] = {}
        for item in _contradicting(resource, items):
            doubtful.setdefault(Record("", item).value(field), []).append(item)
        told = [item for item in items if Record("", item).value(field) not in doubtful] if doubtful else items
        if resource == "transactions":
            rows += [_row(item) for item in told]
        else:
            records += [Record(resource, item) for item in told]
        by_reference = (resource, field) == ("transactions", "reference")
        return {value: (by_reference and _several(those)) or _DOUBTFUL for value, those in doubtful.items()}

    def _chunk_size(self, resource: str, field: str) -> int:
        """How many values go into one question.

        A nested field is only known to be comparable with one (contract §1.7). So are the texts of others, such as the
        ids of a bank's statement, in which a comma would separate values.
        """
        alone = field.startswith("meta_data.") or resource not in _FILTERS or self._by_get(resource, field)
        return 1 if alone else CHUNK

    def _chunks(self, resource: str, field: str, values: Sequence[str]) -> Iterator[Sequence[str]]:
        size = self._chunk_size(resource, field)
        for at in range(0, len(values), size):
            yield values[at : at + size]

    def _by_get(self, resource: str, field: str) -> bool:
        """Whether it is read by Core's own GET routes, one row each."""
        return self._route == "core" and resource == "transactions" and field in ("reference", "transaction_id")

    def _pages(
        self, resource: str, field: str, values: Sequence[str], *, alone: bool = False
    ) -> Iterator[Sequence[Mapping[str, Any]] | Response]:
        if resource == "tokenized-fields":
            yield from self._tokenized(values)
            return
        if resource == "upload-runs":
            yield from self._upload_runs(values)
            return
        if self._proxy.bare and resource not in _CORE_FILTERS:
            # Refused at the door: this was accepted when the target still was an instance of Cloud.
            yield Response(status=200, code="NO_SUCH_READ", failure=Failure.BROKEN)
            return
        if resource == "upload-sizes":
            yield from self._upload_sizes(values)
            return
        if self._by_get(resource, field):
            yield from self._one_by_one(field, values)
            return
        seen: set[str] = set()
        total = 0
        for page in range(1, MOST_PAGES + 1):
            if page > 1 and self._stopping():
                yield _STOPPING
                return
            answer = self._page(resource, field, values, page, alone=alone)
            if _items(answer) == [] and not alone:
                # Rows name what was asked for; that there are none names nothing, and may be said to somebody else.
                answer = self._page(resource, field, values, page, alone=True)
            items = _items(answer)
            if items is None or not all(_is_asked(item, field, values) for item in items):
                yield _failed(answer)
                return
            yield items
            known = len(seen)
            seen.update(str(item.get(_IDS.get(resource, "id")) or sorted(item.items())) for item in items)
            # Core's count comes with its rows only: an empty page has none (findings part 7).
            total = max(total, _counted(answer.body or {}))
            if not items and len(seen) < total:
                break
            if not items or _is_complete(answer.body or {}, len(seen)):
                return
            if len(seen) == known:
                # The same page again: this server does not page, so it has shown what it shows.
                if _is_count((answer.body or {}).get("total")):
                    break
                return
        # Some rows of many must never be taken for all: a sum over them would be too small.
        yield Response(status=200, code=_TOO_MANY, failure=Failure.BROKEN)

    def _page(self, resource: str, field: str, values: Sequence[str], page: int, *, alone: bool) -> Response:
        if self._proxy.bare:
            return self._core_page(resource, field, values, page, alone=alone)
        query = {"page": str(page), "pageSize": str(PAGE_SIZE)}
        if self._route == "data" or resource not in _FILTERS:
            operator = "in" if len(values) > 1 else "eq"
            query[f"{field}_{operator}"] = ",".join(values)
            return self._proxy.call("GET", f"/data/{resource}", query, None, request_id=_request_id(), alone=alone)
        if resource == "transactions":
            query["strict_total"] = "true"
        body = json.dumps({"filters": [_rule(field, values)]}).encode()
        path = f"/{_FILTERS[resource]}/filter"
        return self._proxy.call("POST", path, query, body, request_id=_request_id(), alone=alone)

    def _core_page(self, resource: str, field: str, values: Sequence[str], page: int, *, alone: bool) -> Response:
        """Core's own filter: limits are in the body, and rows are told apart by a count and an order of ours.

        By its own order, which is that of creation, a row and its child stand level (finding D19), and
        one of them might be on no page at all.
        """
        return self._core_filter(resource, [_rule(field, values)], page, alone=alone)

    def _core_filter(self, resource: str, rules: Sequence[Mapping[str, Any]], page: int, *, alone: bool) -> Response:
        question = {
            "filters": rules,
            "limit": PAGE_SIZE,
            "offset": (page - 1) * PAGE_SIZE,
            "sort_by": _IDS[resource],
            "sort_order": "asc",
            "include_count": True,
        }
        path = f"/{_CORE_FILTERS[resource]}/filter"
        body = json.dumps(question).encode()
        return self._proxy.call("POST", path, {}, body, request_id=_request_id(), alone=alone)

    def _tokenized(self, values: Sequence[str]) -> Iterator[Sequence[Mapping[str, Any]] | Response]:
        """Names of the tokenized fields of identities, one request each (contract §2.11)."""
        for value in values:
            path = f"{self._proxy.prefix}/identities/{quote(value, safe='')}/tokenized-fields"
            # Names of fields do not say whose they are.
            answer = self._proxy.call("GET", path, {}, None, request_id=_request_id(), alone=True)
            if answer.status == 404 and answer.code == "IDT_NOT_FOUND":  # noqa: PLR2004
                continue
            names = (answer.body or {}).get("tokenized_fields") or []
            if answer.status != 200 or answer.failure or answer.body is None or not _are_texts(names):  # noqa: PLR2004
                yield _failed(answer)
                return
            yield [{"identity_id": value, "tokenized_fields": names}]

    def _upload_sizes(self, values: Sequence[str]) -> Iterator[Sequence[Mapping[str, Any]] | Response]:
        """How many external records there are of an upload, by an exact total: there may be many thousands."""
        for value in values:
            query = {"page": "1", "pageSize": "1", "upload_id_eq": value}
            # A count does not say of what.
            path = "/data/external-transactions"
            answer = self._proxy.call("GET", path, query, None, request_id=_request_id(), alone=True)
            total = (answer.body or {}).get("total")
            items = _items(answer)
            if (
                items is None
                or not _is_count(total)
                or not all(_is_asked(item, "upload_id", [value]) for item in items)
            ):
                yield _failed(answer)
                return
            yield [{"upload_id": value, "count": total}]

    def _upload_runs(self, values: Sequence[str]) -> Iterator[Sequence[Mapping[str, Any]] | Response]:
        """Ids of the runs of each upload; None where the ledger does not show them: a bare Core has no such read."""
        for value in values:
            shown = Response(status=501) if self._proxy.bare else self._runs_shown(value, alone=False)
            if not self._proxy.bare and _has_no_such_read(shown):
                # Whether a start can be told from another rests on this: one odd answer is not believed.
                shown = self._runs_shown(value, alone=True)
            if not isinstance(shown, Response):
                yield [{"upload_id": value, "runs": shown}]
            elif _has_no_such_read(shown) or shown.code == _TOO_MANY:
                yield [{"upload_id": value, "runs": None}]
            else:
                yield shown
                return

    def _runs_shown(self, upload: str, *, alone: bool) -> list[str] | Response:
        """Ids of the runs of one upload, or the answer that was no success."""
        shown: list[Mapping[str, Any]] = []
        for page in self._pages("reconciliations", "upload_id", [upload], alone=alone):
            if isinstance(page, Response):
                return page
            shown += page
        if _contradicting("reconciliations", shown):
            return _DOUBTFUL
        return sorted({str(run["reconciliation_id"]) for run in shown})

    def _one_by_one(self, field: str, values: Sequence[str]) -> Iterator[Sequence[Mapping[str, Any]] | Response]:
        """Core's own reads, one row each; 404 TXN_NOT_FOUND is an answer, not a failure."""
        folder = f"{self._proxy.prefix}/transactions/" + ("reference/" if field == "reference" else "")
        for value in values:
            path = folder + quote(value, safe="")
            answer = self._proxy.call("GET", path, {}, None, request_id=_request_id())
            if _is_absent(answer) and f"'{value}'" not in answer.message:
                answer = self._proxy.call("GET", path, {}, None, request_id=_request_id(), alone=True)
            if _is_absent(answer):
                continue
            body = answer.body
            if answer.status != 200 or answer.failure or body is None or not _is_asked(body, field, [value]):  # noqa: PLR2004
                yield _failed(answer)
                return
            yield [body]

    def rest(self) -> None:
        """Close the connections that nobody uses."""
        self._proxy.rest()

    def close(self) -> None:
        """Close all connections."""
        self._proxy.close()


def _rule(field: str, values: Sequence[str]) -> dict[str, Any]:
    if field.startswith("meta_data."):
        return {"field": field, "operator": "eq", "value": values[0]}
    return {"field": field, "operator": "in", "values": list(values)}


def _items(answer: Response) -> list[Mapping[str, Any]] | None:
    """The rows of a page; None when it is no page. ``null`` stands for no rows (finding D13)."""
    body = answer.body
    if answer.status != 200 or answer.failure or body is None or "data" not in body:  # noqa: PLR2004
        return None
    data = [] if body["data"] is None else body["data"]
    return data if isinstance(data, list) and all(isinstance(item, dict) for item in data) else None


def _contradicting(resource: str, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Records that cannot be as they are shown: without an id, unreadable, or in two ways at once.

    An id and a reference stand for one row each, which does not change (contract §3.2, §3.4).
    """
    if resource != "transactions":
        # External records are kept by their upload, which is what they are looked up for.
        named = "upload_id" if resource == "external-transactions" else _IDS.get(resource)
        return [item for item in items if named is not None and not text_of(item, named)]
    shown: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for item in items:
        row = tuple(text_of(item, name) for name in ("transaction_id", "reference", "status"))
        shown.setdefault(("transaction_id", row[0]), set()).add(row)
        shown.setdefault(("reference", row[1]), set()).add(row)
    return [
        item
        for item in items
        if not _is_readable(item)
        or any(len(shown[name, text_of(item, name)]) > 1 for name in ("transaction_id", "reference"))
    ]


def _several(items: Sequence[Mapping[str, Any]]) -> Response | None:
    """What is wrong with the rows of one reference, where each of them is in order and there is more than one."""
    rows = {text_of(item, "transaction_id"): text_of(item, "status") for item in items}
    if len(rows) < 2 or not all(map(_is_readable, items)):  # noqa: PLR2004
        return None
    shown = ", ".join(f"{id_} ({status})" for id_, status in sorted(rows.items())[:_MOST_NAMED])
    return Response(status=200, code=SEVERAL_ROWS, message=shown, failure=Failure.BROKEN)


def _is_readable(item: Mapping[str, Any]) -> bool:
    """Whether a row says which it is and how it stands, and what else it says can be read."""
    return (
        all(text_of(item, name) for name in ("transaction_id", "reference", "status"))
        and all(isinstance(item.get(name), str | None) for name in _TEXTS)
        and (item.get("precise_amount") in (None, "") or _whole(item) is not None)
    )


def _is_asked(item: Mapping[str, Any], field: str, values: Sequence[str]) -> bool:
    """Whether a row is one that was asked for: an answer with any other is the answer to another question."""
    return Record("", item).value(field) in values


def _is_between(row: Row, since: str, until: str) -> bool:
    """Whether a row was made within some time, as far as that can be read."""
    made = made_ms(row.created_at)
    return not made or made_ms(since) <= made < made_ms(until)


def _is_absent(answer: Response) -> bool:
    return answer.status == 404 and answer.code == "TXN_NOT_FOUND"  # noqa: PLR2004


def _are_texts(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _counted(body: Mapping[str, Any]) -> int:
    """The count of all rows, where there is one that is exact."""
    count = body.get("total", body.get("total_count"))
    return count if _is_count(count) and not body.get("total_is_estimate") else 0


def _total(body: Mapping[str, Any]) -> int:
    """How many rows there are in all, as far as an answer says; 0 where it does not."""
    total = body.get("total", body.get("total_count"))
    return total if _is_count(total) else 0


def _is_complete(body: Mapping[str, Any], seen: int) -> bool:
    """Whether all rows were seen: an exact total says so; a short page does not, where page sizes are capped."""
    total = body.get("total", body.get("total_count"))
    return _is_count(total) and not body.get("total_is_estimate") and seen >= total


def _request_id() -> str:
    return secrets.token_hex(8)


def _has_no_such_read(shown: list[str] | Response) -> bool:
    return isinstance(shown, Response) and shown.status in _NO_SUCH_READ


def _failed(answer: Response) -> Response:
    """A failure even when the status is 200: the body was not what the route promises."""
    if answer.failure or answer.status != 200:  # noqa: PLR2004
        return answer
    return Response(status=200, code="NOT_THE_ANSWER", failure=Failure.BROKEN, latency_ms=answer.latency_ms)


def _whole(item: Mapping[str, Any]) -> int | None:
    """``precise_amount`` as a number or a string; some reads leave it out (contract §1.7)."""
    value = item.get("precise_amount")
    try:
        if value not in (None, ""):
            number = Decimal(str(value))
        elif item["precision"] > 0:  # Some reads say 0 where they leave it out.
            number = Decimal(str(item["amount"])) * item["precision"]
        else:
            return None
    except (ArithmeticError, KeyError, TypeError):
        # Not a number, or one that no decimal can hold.
        return None
    if not number.is_finite() or number.adjusted() > _MOST_DIGITS:
        return None
    return int(number) if number == number.to_integral_value() else None


def _row(item: Mapping[str, Any]) -> Row:
    meta = item.get("meta_data")
    rejection = meta.get("blnk_rejection_reason", "") if isinstance(meta, dict) else ""
    description = item.get("description")

    return Row(
        transaction_id=text_of(item, "transaction_id"),
        reference=text_of(item, "reference"),
        status=text_of(item, "status"),
        parent=text_of(item, "parent_transaction"),
        precise_amount=_whole(item),
        currency=text_of(item, "currency"),
        source=text_of(item, "source"),
        destination=text_of(item, "destination"),
        created_at=text_of(item, "created_at"),
        rejection=rejection if isinstance(rejection, str) else "",
        description=description if isinstance(description, str) else "",
        meta=meta if isinstance(meta, dict) else {},
    )
