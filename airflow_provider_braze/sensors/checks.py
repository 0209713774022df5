"""What sensors make of their parameters: a value, or a sentence that says which one is wrong.

What an author wrote is looked at when the DAG is parsed; templates and outputs of other tasks when they are rendered.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_braze.conditions.base import moment_of


def is_plain(given: Any) -> bool:
    """Tell whether a parameter is what it will be: neither a template nor another task's output."""
    return isinstance(given, int | float | datetime) or (
        isinstance(given, str) and not any(mark in given for mark in ("{{", "{%"))
    )


def identifier(name: str, given: Any) -> str:
    """Read an API identifier or a send id.

    :raises ValueError: a template, or another task's output, came to nothing; most templates write that as None.
    """
    if given is None or str(given).strip() in ("", "None"):
        raise ValueError(f"{name} is missing: it came to {given!r}, from a template or a task that left none.")
    return str(given)


def number(name: str, given: Any, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """Read a number.

    :param above: it must be larger than that.
    :param least: it must be that at least.
    :raises ValueError: it is none, or too small.
    """
    try:
        found = float(given)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(given, bool) or not math.isfinite(found):
        raise ValueError(f"{name} is {reprlib.repr(given)}, which is no number.")
    if not found > above:
        raise ValueError(f"{name} is {given!r}: give a number above {above:g}.")
    if found < least:
        raise ValueError(f"{name} is {given!r}: give a number of at least {least:g}.")
    return found


def whole(name: str, given: Any, *, least: int, most: float = math.inf) -> int:
    """Read a whole number, which is no template.

    :raises ValueError: it is none, or out of range.
    """
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        upper = f" to {most:,.0f}" if most < math.inf else " on"
        raise ValueError(f"{name} is {given!r}: give a whole number from {least:,}{upper}.")
    return given


def share(name: str, given: Any, *, zero: bool) -> float:
    """Read a share, which is no template.

    :param zero: whether it may be nothing.
    :raises ValueError: it is none.
    """
    if isinstance(given, bool) or not isinstance(given, int | float) or not (0 < given <= 1 or (zero and given == 0)):
        raise ValueError(f"{name} is {given!r}: give a share {'from 0' if zero else 'above 0 and up'} to 1.")
    return given


def moment(name: str, given: Any) -> datetime:
    """Read a time; one without a zone is UTC.

    :raises ValueError: it is none.
    """
    try:
        return moment_of(given)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} is {given!r}, which is no time: give a datetime, or ISO 8601 such as 2026-11-26T09:00:00Z."
        ) from None


def reports_of(accepted: Any) -> list[Any]:
    """Give what each task that sent told, a number or a report: mapped tasks give one each.

    :raises ValueError: none told anything.
    """
    if not isinstance(accepted, Sequence) or isinstance(accepted, str | bytes):
        return [accepted]
    # An upstream task's outputs are fetched one by one, each time that they are gone through.
    reports = list(accepted)
    if not reports:
        raise ValueError("accepted is an empty list: none of the tasks that send left a report.")
    return reports


def accepted_of(reports: Sequence[Any]) -> int:
    """Add up the accepted recipients of numbers and reports.

    :raises ValueError: one of them does not tell.
    """
    places = ["accepted"] if len(reports) == 1 else [f"accepted[{place}]" for place in range(len(reports))]
    return sum(map(_accepted_by, places, reports))


def _accepted_by(name: str, given: Any) -> int:
    if isinstance(given, Mapping):
        given = given.get("accepted")
    found = number(name, given, least=0)
    if found != int(found):
        raise ValueError(f"{name} is {given!r}: give a whole number, or the report of the task that sent.")
    return int(found)


def told(reports: Sequence[Any], name: str) -> list[Any]:
    """Give a field of all reports that tell it; numbers and an older version's reports tell less."""
    values = [report.get(name) for report in reports if isinstance(report, Mapping)]
    return [value for value in values if value is not None]


def began_of(reports: Sequence[Any]) -> datetime | None:
    """Read off reports when a delivery began, its first task; None where they do not tell.

    :raises ValueError: one tells something that is no time.
    """
    return min((moment("accepted['began']", began) for began in told(reports, "began")), default=None)


def names_of(name: str, given: Any) -> Mapping[str, Any]:
    """Read figures with a value each.

    :raises ValueError: it is no mapping.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} is {given!r}: give figures and what they may reach, such as {{'bounces': 20}}.")
    return given
