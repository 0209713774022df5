"""How schedule operators read times, and how they go through schedule ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    if isinstance(moment, str):
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
    ids = [schedule_ids] if isinstance(schedule_ids, str) else list(schedule_ids or ())
    if not ids and not endpoint.endswith("_delete"):
        raise BrazeValidationError(endpoint, ["schedule_id: there is none, so nothing could be changed"])
    errors: list[BrazeError] = []
    for schedule_id in ids:
        try:
            hook.call(endpoint, {**payload, "schedule_id": schedule_id})
        except BrazeError as error:
            log.error("Schedule %s: %s", schedule_id, error)
            errors.append(error)
    log.info("%s: %d of %d schedules done.", endpoint, len(ids) - len(errors), len(ids))
    if errors:
        raise errors[0]
    return {"schedule_ids": ids, "requests": len(ids)}
