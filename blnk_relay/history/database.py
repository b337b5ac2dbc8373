"""The database of history: one page of a journal is one transaction, under a lock on that journal.

The lock is held from before the journal is read until the page stands here, so what was read later is written later,
however many workers copy. A worker that is frozen while it holds the lock loses it with its connection, and its page.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError, OperationalError

from blnk_relay.errors import HistoryUnavailable, InvalidSettings
from blnk_relay.history import revisions, schema
from blnk_relay.history.address import SETTING, address_of, shown
from blnk_relay.history.telling import reported
from blnk_relay.history.values import UNREAD, Acted, Ended, Life, indexed, stored

if TYPE_CHECKING:
    from blnk_relay.history.waiting import Watch

T = TypeVar("T")

#: Longest wait for a connection, for a lock, and for one statement.
_CONNECT_S, _LOCK_S, _STATEMENT_S = 5, 2, 60

#: How much later than the server's own end of a statement a connection is cut here: it stands still, and ends nothing.
_GRACE_S = 5

#: Longest wait for one statement of an upgrade of the tables: an index of all that is kept is no matter of a minute.
_UPGRADE_S = 86_400

#: After which a transaction that says nothing is ended by the server: who began it is frozen, or gone.
_IDLE_S = 60

#: When the system gives up a host that is gone without a word: half as late as a statement ends, in seconds and, for
#: what was sent and not taken, in milliseconds. Whoever has others in the address has reasons.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

#: Rows in one statement; SQLite takes 32,766 values in one.
_ROWS = 500

#: Most rows of a table that are counted one by one; more take longer than anybody waits.
_MOST_COUNTED = 100_000

#: Each asked for by itself is found along the key.
_ENDS = (sa.func.min, sa.func.max)


@dataclass(frozen=True, slots=True)
class Place:
    """What stands in the database of one journal.

    Attributes:
        born: The id of the journal; empty where it was never copied here.
        page: The last page that was copied; 0 for none.
        epoch: The epoch of the journal that it was copied in.
    """

    born: str = ""
    page: int = 0
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Copied:
    """A journal that was copied here.

    Attributes:
        number: That of the journal in the other tables.
        copied_ms: Its time when the last page was copied.
    """

    number: int
    copied_ms: int


class Database:
    """The database of history. Threads may share it; each call has a connection of its own.

    Args:
        address: As in BLNK_RELAY_HISTORY_URL.
        longest_s: For how long an answer is waited for, of a PostgreSQL; None for the longest.

    Attributes:
        finds_classes: Whether it had an index for the class of a letter when :meth:`id` was asked.

    Raises:
        InvalidSettings: The address cannot be used, or what it needs is not installed.
    """

    def __init__(self, address: str, *, longest_s: float | None = None) -> None:
        url = address_of(address)
        self.shown = shown(url)
        self.is_postgres = url.drivername.startswith("postgresql")
        try:
            self.engine = sa.create_engine(url, **(_postgres(url) if self.is_postgres else _sqlite(url)))
            self._bound = _bounded(self.engine, longest_s or _STATEMENT_S + _GRACE_S) if self.is_postgres else None
        except (ModuleNotFoundError, NoSuchModuleError):
            raise InvalidSettings(
                f"{SETTING} needs what is not installed: pip install 'blnk-relay-worker[history]'"
            ) from None
        if self.is_postgres:
            _bound_by_server(self.engine)
        else:
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "connect", self._opened)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        self._path = Path(url.database or "")
        self._file: tuple[int, int] | None = None
        self.finds_classes = False
        self._lock = threading.Lock()
        self._journals: dict[str, int] = {}

    def close(self) -> None:
        """Give its connections back."""
        self.engine.dispose()
        if self._bound is not None:
            self._bound.close()

    def take_time(self, connection: sa.Connection) -> None:
        """Let statements over a connection take as long as an upgrade may, until it is given back.

        The server's own timeouts are another matter.
        """
        if self._bound is not None:
            raw: Any = connection.connection.driver_connection
            raw.longest_s = _UPGRADE_S

    # -- whether it can be used --------------------------------------------------------------------------------------

    def revision(self) -> str:
        """The newest migration that was made; empty for none.

        Raises:
            HistoryUnavailable: The database cannot be reached, or cannot hold every text.
        """
        with self.reading() as connection:
            if self.is_postgres:
                _check_encoding(connection.scalar(sa.text("show server_encoding")))
            if not sa.inspect(connection).has_table(schema.VERSIONS):
                return ""
            return connection.scalar(sa.text(f"select version_num from {schema.VERSIONS}")) or ""  # noqa: S608 - our own name

    def id(self) -> str:
        """Which database it is. Nothing of that is kept: it may be made anew, or upgraded, while a worker runs.

        Raises:
            HistoryUnavailable: It cannot be reached, or its tables are not those of this version.
        """
        if self.was_replaced():
            self.reconnect()
            self._file = None
        found = self.revision()
        revisions.check_usable(found)
        self.finds_classes = found == revisions.NEWEST
        with self.reading() as connection:
            return connection.scalar(sa.select(schema.database.c.id)) or ""

    def reconnect(self) -> None:
        """Let go of its connections: new ones may lead elsewhere, or be allowed what these are not."""
        self.engine.dispose()

    def was_replaced(self) -> bool:
        """Whether another file stands in the place of the one that is open, or none: what is written is lost then."""
        return self._file is not None and self._file != _file_at(self._path)

    def _opened(self, _connection: Any, _record: Any) -> None:
        """Note which file it is, with the first connection to it."""
        if self._file is None:
            self._file = _file_at(self._path)

    def journals(self) -> dict[str, Copied]:
        """All journals that were ever copied here, by name."""
        table = schema.journals
        with self.reading() as connection:
            rows = connection.execute(sa.select(table.c.name, table.c.number, table.c.copied_ms))
            return {row.name: Copied(row.number, row.copied_ms) for row in rows}

    def counts(self) -> dict[str, int]:
        """How many rows each table has; of large ones about how many."""
        found: dict[str, int] = {}
        with self.reading() as connection:
            for table in schema.metadata.sorted_tables:
                number = self._guess(connection, table)
                if number <= _MOST_COUNTED:
                    number = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                found[table.name.removeprefix(schema.NAMES)] = number
        return found

    def _guess(self, connection: sa.Connection, table: sa.Table) -> int:
        """About how many rows a table has, without reading them."""
        if self.is_postgres:
            about = sa.text("select reltuples::bigint from pg_class where oid = to_regclass(:name)")
            return connection.scalar(about, {"name": table.name}) or 0
        first, last = (connection.scalar(sa.select(end(sa.column("rowid"))).select_from(table)) for end in _ENDS)
        return 0 if last is None else last - first + 1

    # -- reading -----------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for one look.

        Raises:
            HistoryUnavailable: The database cannot be reached, or does not answer in time.
        """
        with reported(), self.engine.connect() as connection, connection.begin():
            yield connection

    # -- one page ----------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, name: str, target: str) -> Iterator[Page | None]:
        """The lock on a journal, for as long as the block lasts; what was written stands once it is left well.

        Gives None where somebody else has it.

        Args:
            name: Of the journal: its namespace and its target.
            target: The target.

        Raises:
            HistoryUnavailable: The database cannot be reached, or has ended the transaction.
        """
        writing = self.engine.execution_options(writes=True)
        with reported(), writing.connect() as connection:
            try:
                transaction = connection.begin()
            except OperationalError as error:
                if _is_locked(error):
                    yield None
                    return
                raise
            with transaction:
                found = self._locked_row(connection, name, target)
                if found is None:
                    transaction.rollback()
                    yield None
                    return
                number, place = found
                yield Page(connection, number, place, is_postgres=self.is_postgres)

    def _locked_row(self, connection: sa.Connection, name: str, target: str) -> tuple[int, Place] | None:
        table = schema.journals
        wanted = sa.select(table.c.number, table.c.born, table.c.page, table.c.epoch).where(table.c.name == name)
        if self.is_postgres:
            wanted = wanted.with_for_update(skip_locked=True)
        row = connection.execute(wanted).one_or_none()
        if row is None:
            known = sa.select(table.c.number).where(table.c.name == name)
            if connection.execute(known).one_or_none() is not None:
                # Somebody else holds it, so it was passed over.
                return None
            values = {"name": name, "target": target, "born": "", "page": 0, "epoch": "", "copied_ms": 0}
            try:
                connection.execute(_upsert(table, self.is_postgres, ("name",), ()).values(values))
            except OperationalError as error:
                if _is_locked(error):
                    return None
                raise
            row = connection.execute(wanted).one_or_none()
            if row is None:
                # Somebody else was first, and holds it.
                return None
        return row.number, Place(row.born, row.page, row.epoch)

    # -- retention ---------------------------------------------------------------------------------------------------

    def forget(self, before: Mapping[int, int], most: int) -> bool:
        """Delete intents that ended before a time, with all that is theirs, and actions from before it.

        Open letters stay.

        Args:
            before: The time, in milliseconds, by the numbers of the journals that it is said of.
            most: Intents, and actions, in one transaction.

        Returns:
            Whether there may be more.
        """
        gone = acted = 0
        writing = self.engine.execution_options(writes=True)
        with reported(), writing.begin() as connection:
            for number, before_ms in before.items():
                table = schema.intents
                old = (
                    sa.select(table.c.id)
                    .where(table.c.ended_ms < before_ms, table.c.journal == number, table.c.state.in_(_OVER))
                    .order_by(table.c.ended_ms)
                    .limit(most - gone)
                )
                ids = list(connection.scalars(old))
                for some in _batches(ids):
                    for of_intent in schema.OF_INTENT:
                        connection.execute(
                            sa.delete(of_intent).where(of_intent.c.journal == number, of_intent.c.intent.in_(some))
                        )
                    connection.execute(sa.delete(table).where(table.c.journal == number, table.c.id.in_(some)))
                gone += len(ids)
                acts = schema.actions
                those = (
                    sa.select(acts.c.entry)
                    .where(acts.c.journal == number, acts.c.at_ms < before_ms)
                    .order_by(acts.c.at_ms)
                    .limit(most - acted)
                )
                entries = list(connection.scalars(those))
                for some in _batches(entries):
                    connection.execute(sa.delete(acts).where(acts.c.journal == number, acts.c.entry.in_(some)))
                acted += len(entries)
        return max(gone, acted) >= most


#: States whose intents are forgotten after the retention.
_OVER = ("done", "cancelled", "discarded")


class Page:
    """A page of one journal that is being written.

    Attributes:
        place: How far the journal was copied before.
        number: That of the journal in the other tables.
    """

    def __init__(self, connection: sa.Connection, number: int, place: Place, *, is_postgres: bool) -> None:
        self._connection = connection
        self._is_postgres = is_postgres
        self.number = number
        self.place = place

    def has_one_of(self, created: Mapping[str, int]) -> bool:
        """Whether one of some intents stands here, accepted at the very same moment.

        Args:
            created: When they were accepted, by their ids.
        """
        table = schema.intents
        for some in _batches(created):
            wanted = sa.select(table.c.id, table.c.created_ms).where(
                table.c.journal == self.number, table.c.id.in_(some)
            )
            if any(created[row.id] == row.created_ms for row in self._connection.execute(wanted)):
                return True
        return False

    def write(
        self, place: Place, at_ms: int, ended: Sequence[Ended], lives: Sequence[Life], acts: Sequence[Acted]
    ) -> None:
        """Write what was read of the journal, and how far it is copied by that.

        Args:
            place: Where it is then.
            at_ms: The time of the journal.
            ended: Intents.
            lives: Lives of letters; the last one of several with one name counts.
            acts: What operators did.
        """
        self._forget_others(ended)
        self._put(schema.intents, (self._intent(one) for one in ended), ("journal", "id"))
        self._put(schema.letters, (self._life(one) for one in lives), ("journal", "intent", "life"), keep=("died_ms",))
        children: dict[sa.Table, Iterable[dict[str, Any]]] = {
            schema.names: (
                {"name": indexed(name.text), "sort": name.sort} | self._of(one) for one in ended for name in one.names
            ),
            schema.movements: (
                asdict(movement) | {"number": place} | self._of(one)
                for one in ended
                for place, movement in enumerate(one.movements)
            ),
            schema.meta: (
                {"number": place, "name": name, "value": value} | self._of(one)
                for one in ended
                for place, name, value in one.meta
            ),
        }
        self._forget_clear(ended)
        for table, rows in children.items():
            self._put(table, rows, tuple(column.name for column in table.primary_key.columns))
        lines = (
            asdict(line) | {"journal": self.number, "intent": one.id, **_told(line, ("what", "code", "worker", "note"))}
            for one in ended
            for line in one.lines
        )
        self._put(schema.attempts, lines, ("journal", "intent", "at_ms", "what", "status", "code"))
        self._put(
            schema.actions,
            (
                asdict(act) | {"journal": self.number, "document": stored(act.document), **_told(act, ("who", "what"))}
                for act in acts
            ),
            ("journal", "entry"),
        )
        table = schema.journals
        self._connection.execute(
            sa.update(table)
            .where(table.c.number == self.number)
            .values(born=place.born, page=place.page, epoch=place.epoch, copied_ms=at_ms)
        )

    def _forget_others(self, ended: Sequence[Ended]) -> None:
        """Delete what other intents of the same ids have moved and said.

        Their keys were forgotten, or went with a journal that was lost. Their references and ids stay, and lead to the
        key.
        """
        table = schema.intents
        created = {one.id: one.created_ms for one in ended}
        for some in _batches(created):
            known = sa.select(table.c.id, table.c.created_ms).where(
                table.c.journal == self.number, table.c.id.in_(some)
            )
            others = [row.id for row in self._connection.execute(known) if row.created_ms != created[row.id]]
            for of_it in (schema.movements, schema.meta) if others else ():
                self._connection.execute(
                    sa.delete(of_it).where(of_it.c.journal == self.number, of_it.c.intent.in_(others))
                )

    def _forget_clear(self, ended: Sequence[Ended]) -> None:
        """Delete names and metadata of what is hidden by now: they may have been written in the clear before it was.

        Not where what is hidden could not be read: others may have written what it is found by.
        """
        read = [one.id for one in ended if one.encrypted and not one.unread]
        for some in _batches(read):
            # Some have nothing that stands hidden, and were copied by somebody without the key before.
            names = schema.names
            self._connection.execute(
                sa.delete(names).where(names.c.journal == self.number, names.c.intent.in_(some), names.c.sort == UNREAD)
            )
        hidden = [one.id for one in ended if one.hides]
        for some in _batches(hidden):
            for table in (schema.names, schema.meta):
                self._connection.execute(
                    sa.delete(table).where(table.c.journal == self.number, table.c.intent.in_(some))
                )

    def _of(self, one: Ended) -> dict[str, Any]:
        return {"journal": self.number, "intent": one.id, "ended_ms": one.ended_ms}

    def _intent(self, one: Ended) -> dict[str, Any]:
        names = [column.name for column in schema.intents.columns if column.name not in ("journal", "payload")]
        texts = {name: getattr(one, name) for name in names}
        texts = {name: stored(value) if isinstance(value, str) else value for name, value in texts.items()}
        whole = None if one.payload is None else stored(one.payload, len(one.payload))
        return texts | {"journal": self.number, "payload": whole, **_told(one, ("key", "code", "kind", "outcome"))}

    def _life(self, life: Life) -> dict[str, Any]:
        return asdict(life) | {
            "journal": self.number,
            "message": stored(life.message),
            **_told(life, ("life", "code", "dead_class")),
        }

    def _put(
        self, table: sa.Table, rows: Iterable[Mapping[str, Any]], key: Sequence[str], keep: Sequence[str] = ()
    ) -> None:
        """Write rows, or write over those that have the same key; only so many are made at a time as go at once."""
        others = tuple(column.name for column in table.columns if column.name not in key)
        statement = _upsert(table, self._is_postgres, key, others, keep)
        for some in _batches(rows):
            # Of rows with one key the last counts; one statement must not have both.
            once = list({tuple(row[name] for name in key): row for row in some}.values())
            self._connection.execute(statement, once)


def _told(value: object, names: Sequence[str]) -> dict[str, str]:
    return {name: indexed(str(getattr(value, name))) for name in names}


def _upsert(
    table: sa.Table, is_postgres: bool, key: Sequence[str], others: Sequence[str], keep: Sequence[str] = ()
) -> Any:
    """An insert that writes over what has the same key; what is to be kept stays where the new value is 0."""
    # Only the one that is needed: each takes its time to import.
    statement: Any
    if is_postgres:
        from sqlalchemy.dialects import postgresql

        statement = postgresql.insert(table)
    else:
        from sqlalchemy.dialects import sqlite

        statement = sqlite.insert(table)
    if not others:
        return statement.on_conflict_do_nothing(index_elements=list(key))
    new = statement.excluded
    values = {
        name: sa.func.coalesce(sa.func.nullif(new[name], 0), table.c[name]) if name in keep else new[name]
        for name in others
    }
    return statement.on_conflict_do_update(index_elements=list(key), set_=values)


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    left = iter(rows)
    while some := list(islice(left, _ROWS)):
        yield some


# -- dialects ----------------------------------------------------------------------------------------------------------


def _postgres(url: URL) -> dict[str, Any]:
    keepalive = {name: value for name, value in _KEEPALIVE.items() if name not in url.query}
    return {
        "connect_args": {
            "connect_timeout": _CONNECT_S,
            "application_name": "blnk-relay",
            # Without it texts of a database that says nothing of its encoding come as bytes.
            "client_encoding": "utf8",
            # Behind a pooler another server may be the one that answers next, which has prepared nothing.
            "prepare_threshold": None,
            **keepalive,
        },
        # Nothing of that type is stored, and to look for it is a wait that cannot be bounded.
        "use_native_hstore": False,
        "pool_size": 2,
        "max_overflow": 8,
        "pool_pre_ping": True,
        "pool_timeout": _CONNECT_S,
        "hide_parameters": True,
    }


def _bound_by_server(engine: sa.Engine) -> None:
    """Let the server end what takes too long by itself.

    It is said of each transaction and not of the connection: behind a pooler the next one may be carried out over
    another, and poolers refuse a connection that asks for more than they know.
    """
    bounds = {
        "lock_timeout": _LOCK_S,
        "statement_timeout": _STATEMENT_S,
        "idle_in_transaction_session_timeout": _IDLE_S,
    }
    said = "select " + ", ".join(f"set_config('{name}', '{seconds}s', true)" for name, seconds in bounds.items())
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(said))


def _check_encoding(name: str | None) -> None:
    """See that a server can keep whatever a payment may say."""
    if name != "UTF8":
        raise HistoryUnavailable(
            f"the database of history has the encoding {name}, which does not hold every text: make one with "
            "\"encoding 'UTF8' template template0\"",
            "encoding",
        )


def _bounded(engine: sa.Engine, longest_s: float) -> Watch:
    """Let each answer that is waited for over connections of an engine end by our clock as well."""
    from blnk_relay.history.waiting import Watch, connected

    watch, in_pool_s = Watch(), min(_CONNECT_S, longest_s)

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return connected(watch, longest_s, *arguments, **options)

    def take(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.longest_s = longest_s

    def give_back(connection: Any, _record: Any) -> None:
        # Before it is taken again it is asked whether it is still there, which is to take no longer than a new one.
        if connection is not None:
            connection.longest_s = in_pool_s

    for name, act in (("do_connect", connect), ("checkout", take), ("checkin", give_back)):
        sa.event.listen(engine, name, act)
    return watch


def _sqlite(url: URL) -> dict[str, Any]:
    folder = Path(url.database or "").parent
    if not folder.is_dir():
        raise InvalidSettings(f"{SETTING}: there is no folder {str(folder)!r} for the file")
    return {"connect_args": {"timeout": _LOCK_S, "check_same_thread": False}, "hide_parameters": True}


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path; None for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun by us, so that one that will write has its lock before it reads.
    connection.isolation_level = None
    # What was told to the journal as copied must not be lost with the power.
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_locked(error: BaseException) -> bool:
    return "locked" in str(getattr(error, "orig", "")) or "lock timeout" in str(getattr(error, "orig", ""))
