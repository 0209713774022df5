"""The database under a SqlLedger: its tables, what is said to it, and how it is connected to.

One text per statement for PostgreSQL and SQLite; what differs are a few words, see :func:`_write_out`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import to_json

from airflow_provider_braze.api.errors import BrazeConfigurationError, mask
from airflow_provider_braze.delivery.errors import BrazeLedgerError

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, Engine
    from tenacity import RetryCallState

Result = TypeVar("Result")
_SUPPORTED = "A SqlLedger keeps its tables in PostgreSQL (psycopg2 or psycopg 3), or in a SQLite file to try it."
LEAST_ATTEMPTS = 5
# A PostgreSQL that starts anew, or fails over, is away for seconds to a minute.
PATIENCE = 90.0
# Any number will do, as long as nobody else in the database uses it.
_LOCK = 0x6272617A65
_DRIVERS = ("psycopg", "psycopg2", "pysqlite")
# A worker that hangs within a transaction would hold up the others for ever.
_LIMITS = "set_config('lock_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '60s', true)"
_KEEPALIVE = {
    "connect_timeout": 15,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

_TABLES = (
    """CREATE TABLE IF NOT EXISTS {p}_deliveries (
        id BIGINT PRIMARY KEY, delivery_key TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS {p}_tries (
        delivery BIGINT NOT NULL, task TEXT NOT NULL, token TEXT NOT NULL, max_tries INTEGER NOT NULL,
        clear_number INTEGER NOT NULL, run_began DOUBLE PRECISION NOT NULL, run TEXT NOT NULL,
        generation INTEGER NOT NULL, target TEXT NOT NULL, note TEXT,
        began_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (delivery, task))""",
    """CREATE TABLE IF NOT EXISTS {p}_requests (
        id BIGINT PRIMARY KEY, delivery BIGINT NOT NULL, task TEXT NOT NULL, token TEXT NOT NULL,
        place INTEGER NOT NULL, state TEXT NOT NULL, recipients INTEGER NOT NULL, refused INTEGER NOT NULL DEFAULT 0,
        intent_at DOUBLE PRECISION NOT NULL, first_intent_at DOUBLE PRECISION NOT NULL,
        left_by DOUBLE PRECISION NOT NULL,
        schedule_id TEXT, dispatch_id TEXT)""",
    "CREATE INDEX IF NOT EXISTS {p}_requests_task ON {p}_requests (delivery, task)",
    """CREATE TABLE IF NOT EXISTS {p}_recipients (
        delivery BIGINT NOT NULL, recipient UUID NOT NULL, request BIGINT NOT NULL, PRIMARY KEY (delivery, recipient))
    """,
)
# GIVEN(columns) stands for the rows that come as one JSON parameter, NOW() for the database's clock, which all share.
_SQL = {
    "limits": "SELECT LIMITS",
    "add_delivery": """INSERT INTO {p}_deliveries (id, delivery_key, created_at)
        VALUES (:delivery, :delivery_key, NOW()) ON CONFLICT DO NOTHING""",
    "add_try": """INSERT INTO {p}_tries
            (delivery, task, token, max_tries, clear_number, run_began, run, generation, target, began_at, updated_at)
        VALUES (:base, :task, :token, :max_tries, :clear_number, :run_began, :run, 0, :target, NOW(), NOW())
        ON CONFLICT DO NOTHING""",
    "read_try": """SELECT max_tries, clear_number, run_began, run, generation, target, note FROM {p}_tries
        WHERE delivery = :base AND task = :task FOR UPDATE""",
    "find_sharing": """SELECT MIN(generation) FROM {p}_tries WHERE delivery = :base AND run = :run
        AND generation > :after AND generation <= :clear_number""",
    "take_over": """UPDATE {p}_tries SET token = :token, max_tries = :max_tries, clear_number = :clear_number,
        run_began = :run_began, run = :run, generation = :generation, target = :target, updated_at = NOW()
        WHERE delivery = :base AND task = :task""",
    "find_try": """SELECT max_tries, clear_number, run_began, run, generation, note FROM {p}_tries
        WHERE delivery = :base AND task = :task""",
    "keep_note": """UPDATE {p}_tries SET note = :note, updated_at = NOW()
        WHERE delivery = :base AND task = :task AND token = :token""",
    "restart": """UPDATE {p}_tries SET generation = :generation, target = :target, note = NULL,
        updated_at = NOW()
        WHERE delivery = :base AND task = :task AND token = :token""",
    "forget_recipients": """DELETE FROM {p}_recipients WHERE delivery = :delivery AND request IN (
        SELECT id FROM {p}_requests WHERE delivery = :delivery AND task = :task
        AND schedule_id IN (SELECT given.schedule_id FROM GIVEN(schedule_id text)))""",
    "forget_requests": """DELETE FROM {p}_requests WHERE delivery = :delivery AND task = :task
        AND schedule_id IN (SELECT given.schedule_id FROM GIVEN(schedule_id text))""",
    "doubt": """UPDATE {p}_requests SET state = 'unknown'
        WHERE delivery = :delivery AND task = :task AND state = 'intent' AND token <> :token""",
    "past": """SELECT MIN(first_intent_at) AS began,
        COALESCE(SUM(CASE WHEN state = 'accepted' THEN recipients - refused END), 0) AS accepted,
        COALESCE(SUM(CASE WHEN state = 'accepted' THEN refused END), 0) AS refused,
        COUNT(CASE WHEN state = 'accepted' THEN 1 END) AS accepted_requests,
        COALESCE(SUM(CASE WHEN state <> 'accepted' THEN recipients END), 0) AS doubtful,
        COUNT(CASE WHEN state <> 'accepted' THEN 1 END) AS doubtful_requests
        FROM {p}_requests WHERE delivery = :delivery AND task = :task""",
    "sent_before": "SELECT 1 FROM {p}_requests WHERE delivery = :other AND task = :other_task LIMIT 1",
    "count_known": """SELECT COUNT(*) FROM GIVEN(recipient uuid)
        JOIN {p}_recipients AS known ON known.delivery = :delivery AND known.recipient = given.recipient""",
    "broadcast": """SELECT try.target FROM {p}_recipients AS held JOIN {p}_requests AS owner ON owner.id = held.request
        JOIN {p}_tries AS try ON try.delivery = :base AND try.task = owner.task
        WHERE held.delivery = :delivery AND held.recipient = CAST(:recipient AS UUID)""",
    "schedule_ids": """SELECT schedule_id FROM {p}_requests WHERE delivery = :delivery AND task = :task
        AND state = 'accepted' AND schedule_id IS NOT NULL ORDER BY place, intent_at""",
    "dispatch_ids": """SELECT dispatch_id FROM {p}_requests WHERE delivery = :delivery AND task = :task
        AND state = 'accepted' AND dispatch_id IS NOT NULL ORDER BY place, intent_at LIMIT :most""",
    "fence": "SELECT token, LIMITS FROM {p}_tries WHERE delivery = :base AND task = :task FOR SHARE",
    "settle": """UPDATE {p}_requests AS mine SET state = given.state, refused = given.refused,
        schedule_id = given.schedule_id, dispatch_id = given.dispatch_id, left_by = GREATEST(NOW(), given.left_by)
        FROM GIVEN(id bigint, state text, refused int, schedule_id text, dispatch_id text, left_by double precision)
        WHERE mine.id = given.id AND mine.token = :token AND mine.state IN ('intent', 'unknown')""",
    "release": """DELETE FROM {p}_recipients WHERE delivery = :delivery AND (recipient, request) IN (
            SELECT given.recipient, given.request FROM GIVEN(recipient uuid, request bigint))
        AND request IN (SELECT id FROM {p}_requests WHERE token = :token AND state = 'unknown'
            AND id IN (SELECT given.request FROM GIVEN(request bigint))) RETURNING request""",
    "shrink": """UPDATE {p}_requests AS other SET recipients = other.recipients - given.people
        FROM GIVEN(id bigint, people int) WHERE other.id = given.id""",
    "drop_empty": """DELETE FROM {p}_requests
        WHERE recipients <= 0 AND id IN (SELECT given.id FROM GIVEN(id bigint))""",
    "claim": """INSERT INTO {p}_recipients (delivery, recipient, request)
        SELECT :delivery, given.recipient, given.request FROM GIVEN(recipient uuid, request bigint) WHERE true
        ON CONFLICT DO NOTHING""",
    "look_up": """SELECT given.number, held.request, owner.first_intent_at, owner.recipients, owner.refused,
        owner.left_by, owner.task = :task AS own,
        CASE WHEN held.request = given.request THEN 'mine'
            WHEN owner.state = 'intent' AND owner.token <> :token
                AND (owner.task = :task OR owner.left_by < NOW()) THEN 'unknown'
            ELSE owner.state END AS state
        FROM GIVEN(recipient uuid, request bigint, number int)
        JOIN {p}_recipients AS held ON held.delivery = :delivery AND held.recipient = given.recipient
        LEFT JOIN {p}_requests AS owner ON owner.id = held.request""",
    "lock": """SELECT id FROM {p}_requests WHERE id IN (SELECT given.previous FROM GIVEN(previous bigint))
        ORDER BY id FOR UPDATE""",
    "take": """UPDATE {p}_recipients AS held SET request = given.request
        FROM GIVEN(recipient uuid, request bigint, previous bigint)
        WHERE held.delivery = :delivery AND held.recipient = given.recipient AND held.request = given.previous
        AND EXISTS (SELECT 1 FROM {p}_requests AS owner WHERE owner.id = given.previous AND owner.state <> 'accepted')
        """,
    "intend": """INSERT INTO {p}_requests
            (id, delivery, task, token, place, state, recipients, intent_at, first_intent_at, left_by)
        SELECT given.id, :delivery, :task, :token, given.place, 'intent', given.people, NOW(),
            COALESCE(given.since, NOW()), GREATEST(NOW() + :doubt_after, given.left_by)
        FROM GIVEN(id bigint, place int, people int, since double precision, left_by double precision) WHERE true
        ON CONFLICT (id) DO UPDATE SET recipients = excluded.recipients, intent_at = excluded.intent_at,
            left_by = excluded.left_by""",
}


class SqlStore:
    """A connection to the tables.

    :param conn_id: Airflow connection.
    :param prefix: begins the names of the tables.
    :raises BrazeConfigurationError: the connection is missing, or of no database that can be used.
    """

    def __init__(self, conn_id: str, prefix: str) -> None:
        from sqlalchemy import text

        self._conn_id, self.prefix = conn_id, prefix
        self._reached = False
        self.hurried = Event()
        self._names = [f"{prefix}_{name}" for name in ("deliveries", "tries", "requests", "recipients")]
        self._engine = _connect(conn_id)
        self._postgres = self._engine.dialect.name == "postgresql"
        write_out = partial(_write_out, prefix, postgres=self._postgres)
        self._tables = [write_out(statement) for statement in _TABLES]
        self._sql = {name: text(write_out(statement)) for name, statement in _SQL.items()}

    def close(self) -> None:
        """Let go of the connection."""
        self._engine.dispose()

    def run(
        self, connection: Connection, name: str, rows: Sequence[Mapping[str, Any]] | None = None, **parameters: Any
    ) -> CursorResult[Any]:
        """Run a statement.

        :param name: key of ``_SQL``.
        :param rows: what its GIVEN stands for.
        """
        if rows is not None:
            parameters["rows"] = to_json(rows).decode()
        return connection.execute(self._sql[name], parameters)

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Work in a transaction, again where it broke; the work may then find that it was done already.

        A database that was reached before is waited for, long enough for it to start anew: what waits to be written has
        happened, and would be in doubt. One that never was may be the wrong one.

        :raises BrazeLedgerError: the database cannot be reached or written.
        """
        from sqlalchemy.exc import SQLAlchemyError
        from tenacity import Retrying, retry_if_exception, wait_exponential

        def attempt() -> Result:
            with self._engine.begin() as connection:
                done = work(connection)
            self._reached = True
            return done

        again, wait = retry_if_exception(_passes), wait_exponential(0.2, max=2)
        try:
            return Retrying(retry=again, stop=self._has_waited, wait=wait, reraise=True)(attempt)
        except SQLAlchemyError as error:
            reason = mask(str(getattr(error, "orig", error)), self._engine.url.password or "")
            raise BrazeLedgerError(
                f"The ledger on {self._conn_id!r} cannot be used, this worker sends nothing more: {reason}"
            ) from None

    def _has_waited(self, state: RetryCallState) -> bool:
        waits = self._reached and not self.hurried.is_set() and (state.seconds_since_start or 0.0) < PATIENCE
        return state.attempt_number >= LEAST_ATTEMPTS and not waits

    def has_tables(self, connection: Connection) -> bool:
        """Tell whether all tables are there."""
        from sqlalchemy import inspect

        return all(map(inspect(connection).has_table, self._names))

    def make_tables(self, connection: Connection) -> None:
        """Make the tables where they are missing, one worker at a time.

        :raises BrazeLedgerError: the user may not make tables.
        """
        from sqlalchemy.exc import ProgrammingError

        if self.has_tables(connection):
            return
        if self._postgres:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        try:
            for statement in self._tables:
                connection.exec_driver_sql(statement)
        except ProgrammingError as error:
            raise BrazeLedgerError(
                f"The ledger on {self._conn_id!r} cannot make its tables {', '.join(self._names)}, nothing was sent: "
                f"{mask(str(error.orig))}. Open it once as a user who may create tables."
            ) from None


def _passes(error: BaseException) -> bool:
    """Tell trouble that may pass: a lost connection, a deadlock, a database that starts anew."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    # SQLite has one class of errors for what may pass and for what is wrong.
    if getattr(getattr(error, "orig", None), "sqlite_errorname", "") == "SQLITE_ERROR":
        return False
    return isinstance(error, DBAPIError) and (
        isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    )


def _connect(conn_id: str) -> Engine:
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise BrazeConfigurationError(
            f"There is no connection {conn_id!r} for the ledger, nothing was sent: make it under Admin > Connections. "
            f"{_SUPPORTED}"
        ) from None
    try:
        hook = connection.get_hook()  # type: ignore[no-untyped-call]
        engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True, "pool_size": 1})
    except Exception as error:
        raise BrazeConfigurationError(
            f"Connection {conn_id!r} is none that a ledger can use, nothing was sent: "
            f"{mask(str(error), connection.password or '')}. {_SUPPORTED}"
        ) from None
    check_engine(conn_id, engine)
    ignored = getattr(hook, "ignored_extra_options", ())
    # The hook's engine leaves the extras out, such as sslmode.
    _tune(engine, {name: value for name, value in connection.extra_dejson.items() if name not in ignored})
    return engine


def check_engine(conn_id: str, engine: Engine) -> None:
    """Refuse what a ledger cannot be kept in.

    :raises BrazeConfigurationError: it is another database or driver, or none that outlives the process.
    """
    in_memory = engine.dialect.name == "sqlite" and engine.url.database in (None, "", ":memory:")
    if engine.dialect.driver not in _DRIVERS or in_memory:
        raise BrazeConfigurationError(
            f"Connection {conn_id!r} leads to {engine.dialect.name} by {engine.dialect.driver}"
            f"{', in memory' if in_memory else ''}, nothing was sent. {_SUPPORTED}"
        )


def _tune(engine: Engine, extras: Mapping[str, Any]) -> None:
    from sqlalchemy import event

    postgres = engine.dialect.name == "postgresql"

    def complete(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        for name, value in ({**_KEEPALIVE, **extras} if postgres else {"timeout": 60}).items():
            options.setdefault(name, value)

    def connected(dbapi_connection: Any, _record: Any) -> None:
        if postgres:
            # Each statement has to see what others have committed, whatever the database's own setting.
            engine.dialect.set_isolation_level(dbapi_connection, "READ COMMITTED")
        if engine.dialect.driver == "psycopg":
            # Poolers such as PgBouncer lose prepared statements; and a plan for an empty table is bad for a full one.
            dbapi_connection.prepare_threshold = None
        if engine.dialect.driver == "pysqlite":
            dbapi_connection.isolation_level = None

    def began(connection: Connection) -> None:
        if not postgres:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    for name, listener in (("do_connect", complete), ("connect", connected), ("begin", began)):
        event.listen(engine, name, listener)


def _write_out(prefix: str, statement: str, *, postgres: bool) -> str:
    """Write a statement out for a dialect."""
    if postgres:
        words = {"NOW()": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)", "LIMITS": _LIMITS}
    else:
        words = {"NOW()": "((julianday('now') - 2440587.5) * 86400.0)", "LIMITS": "1", "UUID": "TEXT"}
        words |= {"FOR UPDATE": "", "FOR SHARE": "", "GREATEST(": "MAX("}

    def given(columns: re.Match[str]) -> str:
        if postgres:
            return f"json_to_recordset(CAST(:rows AS json)) AS given({columns[1]})"
        names = (column.split()[0] for column in columns[1].split(","))
        listed = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
        return f"(SELECT {listed} FROM json_each(:rows)) AS given"  # noqa: S608

    statement = re.sub(r"GIVEN\(([^)]*)\)", given, statement)
    for word, meaning in words.items():
        statement = statement.replace(word, meaning)
    return statement.replace("{p}", prefix)
