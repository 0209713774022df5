"""How schedule operators read times, and how they go through schedule ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.api.errors import BrazeError, BrazeValidationError

if TYPE_CHECKING:
    from airflow_provider_braze.hooks.braze import BrazeHook

_FLAGS = ("in_local_time", "at_optimal_time")
_NO_ZONE = (
    "schedule.time: has no time zone, so it is not clear which hour is meant: add Z or an offset, or write "
    "in_local_time: true for this time of day in each user's own zone"
)


def schedule_object(endpoint: str, when: Mapping[str, Any] | datetime | str) -> dict[str, Any]:
    """Make Braze's schedule object of what an author may write.

    :param endpoint: name for the error.
    :param when: a time, or a schedule object.
    :raises BrazeValidationError: the time has no zone, and no flag says that it is local.
    """
    schedule = dict(when) if isinstance(when, Mapping) else {"time": when}
    moment = schedule.get("time")
    if isinstance(moment, str) and len(moment.strip()) > len("2031-04-07"):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            return schedule
    if not isinstance(moment, datetime):
        return schedule
    if moment.tzinfo is None and not any(schedule.get(flag) for flag in _FLAGS):
        raise BrazeValidationError(endpoint, [_NO_ZONE])
    return schedule | {"time": moment.isoformat()}


def call_per_schedule(
    hook: BrazeHook, endpoint: str, payload: Mapping[str, Any], schedule_ids: str | Iterable[str] | None, log: Any
) -> dict[str, Any]:
    """Call an endpoint for each schedule id, try all, and raise the first error at the end."""
    ids = _ids(endpoint, schedule_ids)
    errors: list[BrazeError] = []
    failed: list[str] = []
    for schedule_id in ids:
        try:
            hook.call(endpoint, {**payload, "schedule_id": schedule_id})
        except BrazeError as error:
            log.error("Schedule %s: %s", schedule_id, error)
            failed.append(f"\n  - {schedule_id}: {error}")
            errors.append(error)
    log.info("%s: %d of %d schedules done.", endpoint, len(ids) - len(errors), len(ids))
    if errors:
        first = errors[0]
        first.args = (f"{len(errors)} of {len(ids)} schedules failed, the others are done:{''.join(failed)}",)
        raise first
    return {"schedule_ids": ids, "requests": len(ids)}


def _ids(endpoint: str, given: str | Iterable[str] | None) -> list[str]:
    """Read schedule ids: one, a list, or a list as JSON text. An empty list is nothing to delete, None is not."""
    if given is None:
        raise BrazeValidationError(
            endpoint, ["schedule_id: there is none: the task that made the schedules left no ids, look into Braze"]
        )
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            given = json.loads(given)
        except ValueError:
            raise BrazeValidationError(
                endpoint, ["schedule_id: is a list as text: give the creating task's .output['schedule_ids'] instead"]
            ) from None
    ids = list(_flat(given))
    if not all(isinstance(schedule_id, str) and schedule_id for schedule_id in ids):
        raise BrazeValidationError(endpoint, ["schedule_id: holds something that is no id: ids are texts"])
    if not ids and not endpoint.endswith("_delete"):
        raise BrazeValidationError(endpoint, ["schedule_id: the list is empty, so nothing could be changed"])
    return ids


def _flat(given: Any) -> Iterator[Any]:
    """Mapped tasks give one list each."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        yield given
    else:
        for part in given:
            yield from _flat(part)
