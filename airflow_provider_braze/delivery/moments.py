"""When a schedule's first message may go out, and its last one.

A local time comes first where the day begins, 14 hours before the same time in UTC, and last 12 hours after it. The
optimal time is some time of that day, on each user's own clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_braze.api.models.common import parse_time

_FIRST_ZONE, _LAST_ZONE, _DAY = timedelta(hours=14), timedelta(hours=12), timedelta(days=1)


def first_moment(schedules: Iterable[Mapping[str, Any]]) -> float:
    """Give the earliest instant at which one of these schedules may message somebody, in epoch seconds."""
    return min((_first(schedule).timestamp() for schedule in schedules), default=math.inf)


def last_moment(schedule: Mapping[str, Any]) -> datetime:
    """Give the instant after which a schedule messages nobody any more."""
    time = _utc(schedule)
    if schedule.get("at_optimal_time"):
        return time + _LAST_ZONE + _DAY
    return time + _LAST_ZONE if schedule.get("in_local_time") else time


def same_time(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two schedules mean the same, however they are written."""
    flags = ("in_local_time", "at_optimal_time")
    return _utc(one) == _utc(other) and all(bool(one.get(flag)) == bool(other.get(flag)) for flag in flags)


def _first(schedule: Mapping[str, Any]) -> datetime:
    time = _utc(schedule)
    if schedule.get("at_optimal_time"):
        return time.replace(hour=0, minute=0, second=0, microsecond=0) - _FIRST_ZONE
    return time - _FIRST_ZONE if schedule.get("in_local_time") else time


def _utc(schedule: Mapping[str, Any]) -> datetime:
    time = parse_time(str(schedule["time"]))
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
