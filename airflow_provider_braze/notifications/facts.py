"""What the context of a callback tells somebody on call, under stable names.

Task callbacks have a task instance, callbacks of a DAG may lack it, and a deadline brings no more than its DAG run, as
plain JSON: a fact that the context does not have is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from airflow_provider_braze.api.errors import mask

# Where each fact may be found; the first place that has it counts.
_PLACES = {
    "dag_id": ("ti.dag_id", "dag_run.dag_id", "dag.dag_id"),
    "task_id": ("ti.task_id",),
    "map_index": ("ti.map_index",),
    "run_id": ("ti.run_id", "run_id", "dag_run.run_id", "dag_run.dag_run_id"),
    "try_number": ("ti.try_number",),
    "logical_date": ("logical_date", "dag_run.logical_date"),
    "run_after": ("dag_run.run_after",),
    "log_url": ("ti.log_url",),
    "error": ("exception",),
    "reason": ("reason",),
    "deadline": ("deadline.deadline_time",),
}


def facts_of(context: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what a context tells, as plain JSON.

    :param context: what Airflow gives to a callback.
    :return: those of ``dag_id``, ``task_id``, ``map_index`` (of a mapped task), ``run_id``, ``try_number``,
        ``logical_date`` and ``run_after`` (ISO 8601), ``log_url``, ``error`` (type and text of the exception),
        ``reason`` (why a DAG's callback runs) and ``deadline`` (when it was missed; ISO 8601) that it has. Secrets that
        Airflow knows are out of the texts, e-mail addresses are hashed; the texts have at most 500 characters.
    """
    facts = {name: _fact(context, name, places) for name, places in _PLACES.items()}
    return {name: value for name, value in facts.items() if value is not None}


def _fact(context: Mapping[str, Any], name: str, places: tuple[str, ...]) -> Any:
    for place in places:
        # Whatever a half-made context raises, the rest of the notification is worth more than this fact.
        with suppress(Exception):
            value = _look(context, place)
            if value is not None:
                return _WORDS[name](value) if name in _WORDS else value
    return None


def _look(context: Any, place: str) -> Any:
    for part in place.split("."):
        context = context.get(part) if isinstance(context, Mapping) else getattr(context, part, None)
    return context


def _index(number: int) -> int | None:
    return number if number >= 0 else None


def _time(when: Any) -> str:
    return when if isinstance(when, str) else str(when.isoformat())


def _text(said: Any) -> str:
    from airflow.providers.common.compat.sdk import redact

    text = f"{type(said).__name__}: {said}" if isinstance(said, BaseException) else str(said)
    return mask(str(redact(text)))


_WORDS: Mapping[str, Callable[[Any], Any]] = {
    "map_index": _index,
    "logical_date": _time,
    "run_after": _time,
    "error": _text,
    "reason": _text,
    "deadline": _time,
}
