"""What recipients come in: a list, JSON text, or the output of an upstream task, which is there only in the run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_braze.delivery.errors import BrazeAudienceError


def is_output(value: Any) -> bool:
    """Tell whether a value stands for what an upstream task will return, as Airflow's ``XComArg`` does."""
    return hasattr(value, "iter_references")


def holds_output(value: Any) -> bool:
    """Tell whether there is such a value anywhere inside a collection."""
    if isinstance(value, dict):
        return any(map(holds_output, value.values()))
    return any(map(holds_output, value)) if isinstance(value, list | tuple | set) else is_output(value)


def entries_of(value: Any, name: str) -> Iterable[Any]:
    """Give the entries of what is to hold recipients.

    :param value: a list, or JSON text.
    :param name: the parameter, for the error.
    :raises BrazeAudienceError: it is nothing that could hold recipients.
    """
    if isinstance(value, str):
        value = _from_json(value, name)
    # A data frame would yield the names of its columns.
    if (
        isinstance(value, Mapping | str | bytes | bytearray)
        or hasattr(value, "to_dict")
        or not isinstance(value, Iterable)
        or is_output(value)
    ):
        raise BrazeAudienceError(
            f"{name} is {'missing' if value is None else f'of type {type(value).__name__}'}, nothing was sent. Give a "
            "list of recipients or ids, an upstream task's output, or an Audience such as SqlAudience; a data frame as "
            "its to_dict('records')."
        )
    # A set has another order in every process, and a ledger knows requests by their place.
    return sorted(value, key=str) if isinstance(value, set | frozenset) else value


def _from_json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BrazeAudienceError(
            f"{name} is a text, nothing was sent. A template such as '{{{{ ti.xcom_pull(...) }}}}' renders to text: "
            "give the upstream task's .output instead, or end the template with `| tojson`."
        ) from None


def refuse_emptied(source: str, given: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to read an audience of which a piece came to nothing: without it others would be meant, or nobody.

    :param source: what is read, for the error.
    :param given: the templated fields as the author wrote them.
    :param now: the same ones, rendered.
    :raises BrazeAudienceError: a template or an upstream task gave nothing.
    """
    if emptied := [name for field, value in given.items() for name in _emptied(field, value, now[field])]:
        raise BrazeAudienceError(
            f"{source} would be read without {' and '.join(emptied)}, nothing was sent: given, but when the task runs "
            "the template or upstream task gave nothing. Did that task run, and before this one?"
        )


def _emptied(name: str, given: Any, now: Any) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(now, Mapping):
        for key, value in given.items():
            yield from _emptied(f"{name}[{key!r}]", value, now.get(key))
    elif isinstance(given, list | tuple) and isinstance(now, list | tuple):
        for place, (value, found) in enumerate(zip(given, now, strict=False)):
            yield from _emptied(f"{name}[{place}]", value, found)
    elif given is not None and now is not given and (now is None or (now == "None" != given)):
        yield name
