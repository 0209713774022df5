"""Audiences: where recipients come from.

An audience yields recipients as they come; it neither validates nor merges. That is the plan's work.
"""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_braze.api.errors import mask
from airflow_provider_braze.delivery.columns import ColumnReader, Columns
from airflow_provider_braze.delivery.entries import entries_of, holds_output, is_output, refuse_emptied
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.partitions import check_count, placing
from airflow_provider_braze.delivery.sql_source import connecting, sql_engine, sql_hook

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

_LONGEST_REPR = 2000


class Audience(ABC):
    """People to send to.

    ``has_others`` tells, once it is read, whether there were people who belong to other parts of it: that nobody is
    left for this one is no sign of an error then.
    """

    has_others: bool = False
    part_of: tuple[tuple[int, int], ...] = ()
    """Which part of how many it is, and of what that is a part in turn; empty for a whole audience."""

    @property
    def share(self) -> float:
        """How large a part of the whole audience this is, and of the quota that its delivery may take."""
        return 1.0

    @abstractmethod
    def recipients(self, values_field: str | None = None) -> Iterator[Any]:
        """Yield one entry per person: an object as Braze's recipients, or a plain external user id.

        :param values_field: the recipients' field for values of their own, such as ``trigger_properties``; None where
            the endpoint has none.
        :raises BrazeAudienceError: the source cannot be read as it is.
        """

    def partitions(self, count: int) -> list[AudiencePart]:
        """Divide the audience into parts for as many mapped tasks: ``.expand(recipients=audience.partitions(8))``.

        Each task reads the whole source, and sends to those whose identity falls to it: everybody is in exactly one
        part, also who has several rows.

        :param count: how many parts.
        :raises ValueError: it is no number of parts.
        """
        check_count(count)
        return [AudiencePart(self, index, count) for index in range(count)]


class _AroundAudience(Audience):
    """Gives people of another audience.

    :param audience: that one. (templated)
    """

    template_fields: ClassVar[Sequence[str]] = ("audience",)

    def __init__(self, audience: Audience) -> None:
        self._given = self._audience = audience

    @property
    def audience(self) -> Audience:
        """The other audience as it was written, and a copy: Airflow renders it in place, once for each task and run."""
        return copy.copy(self._given)

    @audience.setter
    def audience(self, rendered: Audience) -> None:
        self._audience = rendered


class AudiencePart(_AroundAudience):
    """One of the parts of an audience, made by :meth:`Audience.partitions`.

    :param audience: the whole one. (templated)
    :param index: which part, from 0.
    :param count: how many parts there are.
    """

    def __init__(self, audience: Audience, index: int, count: int) -> None:
        super().__init__(audience)
        self.index = index
        self.count = count
        self.has_others = False
        self.part_of = ((index, count), *audience.part_of)

    def __repr__(self) -> str:
        # Airflow stores it with the DAG, once for each part.
        whole = str(self._audience)
        whole = whole if len(whole) <= _LONGEST_REPR else whole[:_LONGEST_REPR] + " ..."
        return f"<part {self.index + 1} of {self.count} of {whole}>"

    @property
    def share(self) -> float:
        """One part of as many as there are."""
        return self._audience.share / self.count

    def recipients(self, values_field: str | None = None) -> Iterator[Any]:
        """Yield those entries of the whole audience that belong to this part."""
        place = placing(self.count)
        self.has_others = False
        for entry in self._audience.recipients(values_field):
            if place(entry) == self.index:
                yield entry
            else:
                self.has_others = True


class ListAudience(Audience):
    """People who are at hand already, or will be in the run.

    :param entries: recipient objects, plain ids, or both; or the output of an upstream task, which gives them. A set is
        put in order. (templated where it holds an output)
    """

    def __init__(self, entries: Any) -> None:
        self.entries = entries

    @property
    def template_fields(self) -> Sequence[str]:
        """What Airflow renders: it would look for templates in every name of a long list, so only where it must."""
        return ("entries",) if holds_output(self.entries) else ()

    def __repr__(self) -> str:
        count = f"{len(self.entries):,} entries" if isinstance(self.entries, Sized) else "entries"
        return f"<{type(self).__name__} of {count}>"

    def recipients(self, values_field: str | None = None) -> Iterator[Any]:  # noqa: ARG002
        """Yield the entries as they are."""
        yield from entries_of(self.entries, "The list of an audience")

    def partitions(self, count: int) -> list[AudiencePart]:
        """Divide the audience into parts; what can be read only once cannot be divided."""
        if isinstance(self.entries, Iterator):
            raise ValueError("An iterator can be read only once, but each part reads it whole: give a list.")
        return super().partitions(count)


_NO_ROWS = "The statement gives no rows, nothing was sent: an audience needs a query, such as SELECT ..."


@dataclass
class SqlAudience(Audience):
    """People whom a SQL query finds, read in portions through any SQL connection of Airflow.

    Columns become fields by their names, see :mod:`airflow_provider_braze.delivery.columns`. Where the database has
    server-side cursors they are used, so that an audience of millions is never held in memory.

    The query only reads: nothing that it changes is committed, so an ``UPDATE ... RETURNING`` that takes people off a
    list would find, and message, the same people in the next run. Remember who got it by a ``delivery_key``, or take
    them off in a task after this one.

    :param conn_id: Airflow connection of the database. (templated)
    :param sql: the query, or the path of a ``.sql`` file. Where one person has several rows the first one counts, so
        order them. (templated)
    :param parameters: values for the query's placeholders, in the style of the database's driver. (templated)
    :param columns: other names for columns, as ``{"customer_id": "external_user_id"}``; None leaves one out.
    :param fetch_size: rows to fetch at a time.
    """

    conn_id: str
    sql: str
    parameters: Mapping[str, Any] | Sequence[Any] | None = field(default=None, repr=False)
    columns: Columns | None = None
    fetch_size: int = 2000

    template_fields: ClassVar[Sequence[str]] = ("conn_id", "sql", "parameters")

    def __post_init__(self) -> None:
        self._given = {name: getattr(self, name) for name in self.template_fields}

    def recipients(self, values_field: str | None = None) -> Iterator[dict[str, Any]]:
        """Run the query and yield one recipient per row."""
        refuse_emptied(f"The query on {self.conn_id!r}", self._given, vars(self))
        hook = sql_hook(self.conn_id)
        with contextlib.ExitStack() as stack:
            names, portions = self._open(hook, stack)
            reader = ColumnReader(names, self.columns, values_field)
            for rows in self._fetched(portions):
                yield from map(reader.recipient, rows)

    def _open(self, hook: DbApiHook, stack: contextlib.ExitStack) -> tuple[list[str], Iterator[Sequence[Any]]]:
        parameters = tuple(self.parameters) if isinstance(self.parameters, list) else self.parameters
        engine = sql_engine(hook)
        if engine is None:
            return self._open_plain(hook, stack, parameters)
        stack.callback(engine.dispose)
        with connecting(self.conn_id):
            opened = engine.connect()
        connection = stack.enter_context(opened).execution_options(
            stream_results=True, max_row_buffer=self.fetch_size, no_parameters=True
        )
        with self._unquoted():
            result = connection.exec_driver_sql(self.sql, parameters or None)
        if not result.returns_rows:
            raise BrazeAudienceError(_NO_ROWS)
        return list(result.keys()), result.partitions(self.fetch_size)

    def _fetched(self, portions: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        """A driver's own words may quote a row that it cannot read."""
        while True:
            try:
                rows = next(portions, None)
            except Exception as error:
                # The driver's own error says more: which kind of value it was, say.
                kind = type(getattr(error, "orig", None) or error).__name__
                break
            if not rows:
                return
            yield rows
        # Not while the other error is being handled, which holds a piece of the row.
        raise BrazeAudienceError(
            f"The rows of the query on {self.conn_id!r} could not be read ({kind}), nothing was sent: run the query "
            "with the same connection to see why."
        )

    @contextlib.contextmanager
    def _unquoted(self) -> Iterator[None]:
        """A driver's own words may quote the parameters, which may be somebody's address."""
        values = self.parameters.values() if isinstance(self.parameters, Mapping) else self.parameters or ()
        try:
            yield
        except Exception as error:
            text = mask(str(error), *(str(value) for value in values if len(str(value)) >= 3))
            raise BrazeAudienceError(f"The query on {self.conn_id!r} failed, nothing was sent: {text}") from None

    def _open_plain(
        self, hook: DbApiHook, stack: contextlib.ExitStack, parameters: Any
    ) -> tuple[list[str], Iterator[Sequence[Any]]]:
        with connecting(self.conn_id):
            opened = hook.get_conn()
        connection = stack.enter_context(contextlib.closing(opened))
        cursor = stack.enter_context(contextlib.closing(connection.cursor()))
        with self._unquoted():
            cursor.execute(self.sql, *([parameters] if parameters else []))
        if cursor.description is None:
            raise BrazeAudienceError(_NO_ROWS)
        names = [column[0] for column in cursor.description]
        return names, iter(lambda: cursor.fetchmany(self.fetch_size), [])


class UnusableAudience(Audience):
    """Stands for what is no audience, so that it is stored nowhere; reading it raises why.

    :param error: what is wrong.
    """

    def __init__(self, error: BrazeAudienceError) -> None:
        self._error = error

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def recipients(self, values_field: str | None = None) -> Iterator[Any]:  # noqa: ARG002
        """Raise the error."""
        raise self._error


def as_audience(value: Any, name: str = "recipients") -> Audience:
    """Make an audience of what an operator was given as recipients.

    :param value: a list, an upstream task's output, JSON text, or an audience already.
    :param name: the parameter, for the error.
    :raises BrazeAudienceError: it is nothing that could hold recipients.
    """
    if isinstance(value, Audience):
        return value
    return ListAudience(value if is_output(value) else entries_of(value, name))


def join_audiences(given: Mapping[str, Any]) -> Audience:
    """Make one audience of several parameters that hold people.

    :param given: the parameters by name.
    :raises BrazeAudienceError: one of them cannot hold recipients, or they are different parts of audiences.
    """
    kinds = {"user_aliases": AliasAudience}
    audiences = [kinds.get(name, as_audience)(value, name) for name, value in given.items()]
    if len({audience.part_of for audience in audiences}) > 1:
        # Each of the other tasks would send to the whole one, or to the other part, once more.
        raise BrazeAudienceError(
            f"{' and '.join(given)} are not the same part of as many, nothing was sent: somebody would get it from "
            "several tasks. Put all of them into one audience, aliases as {'user_alias': {...}}, and give its "
            "partitions() as recipients; or let another task send to the others."
        )
    return _JoinedAudience(audiences) if len(audiences) > 1 else audiences[0]


class AliasAudience(_AroundAudience):
    """People named by user aliases.

    :param aliases: objects with ``alias_name`` and ``alias_label``: a list, or what an upstream task returned.
    """

    def __init__(self, aliases: Any, name: str = "user_aliases") -> None:
        super().__init__(as_audience(aliases, name))
        self.part_of = self._audience.part_of

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._audience}>"

    @property
    def share(self) -> float:
        """The share of the aliases."""
        return self._audience.share

    def recipients(self, values_field: str | None = None) -> Iterator[Any]:
        """Yield one recipient per alias."""
        for alias in self._audience.recipients(values_field):
            yield {"user_alias": alias}
        self.has_others = self._audience.has_others


@dataclass
class _JoinedAudience(Audience):
    parts: list[Audience]

    def __post_init__(self) -> None:
        self.part_of = self.parts[0].part_of

    @property
    def share(self) -> float:
        """The share of its parts, which are the same one of as many."""
        return min(part.share for part in self.parts)

    def recipients(self, values_field: str | None = None) -> Iterator[Any]:
        for part in self.parts:
            yield from part.recipients(values_field)
        self.has_others = any(part.has_others for part in self.parts)
