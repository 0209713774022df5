"""How schedule operators read times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_braze.api.errors import BrazeValidationError

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
