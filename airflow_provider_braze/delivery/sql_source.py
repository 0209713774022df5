"""The way to a database through an Airflow connection, and what to do where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.api.errors import mask
from airflow_provider_braze.delivery.errors import BrazeAudienceError

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook


def sql_hook(conn_id: str) -> DbApiHook:
    """Give the hook of a SQL connection.

    :raises BrazeAudienceError: there is none.
    """
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook

    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise BrazeAudienceError(
            f"There is no connection {conn_id!r}, nothing was sent: make it under Admin > Connections, of the type of "
            "your database."
        ) from None
    try:
        hook = connection.get_hook()  # type: ignore[no-untyped-call]
    except (AirflowException, ImportError) as error:
        raise BrazeAudienceError(
            f"Connection {conn_id!r} is of type {connection.conn_type!r}, which cannot be used here ({error}), nothing "
            "was sent. Is the provider of that database installed where the task runs?"
        ) from None
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise BrazeAudienceError(
            f"Connection {conn_id!r} is no SQL connection ({type(hook).__name__}), nothing was sent: an audience needs "
            "one of a database."
        )
    return hook  # type: ignore[no-any-return]


def sql_engine(hook: DbApiHook) -> Any:
    """Make the hook's SQLAlchemy engine, None where the database has no dialect installed."""
    from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        # A failing statement would otherwise quote its parameters in the error.
        return hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True})
    except (
        ImportError,
        NotImplementedError,
        NoSuchModuleError,
        ArgumentError,
        AirflowOptionalProviderFeatureException,
    ):
        return None


@contextlib.contextmanager
def connecting(conn_id: str) -> Iterator[None]:
    """Say in an error which connection it is whose database cannot be reached."""
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        yield
    except Exception as error:
        text = mask(str(error), BaseHook.get_connection(conn_id).password or "")
        raise BrazeAudienceError(
            f"The database of connection {conn_id!r} cannot be reached ({type(error).__name__}: {text}), nothing was "
            "sent: once it is there, the task may run again."
        ) from None
