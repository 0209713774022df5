"""Waits for what the dashboard has scheduled: that something is, or that nothing is.

Braze tells when each campaign and Canvas goes out next, on the users' own clocks for some; what DAGs schedule through
the API is not in it. See
https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/get_messages_scheduled/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from airflow_provider_braze.conditions.base import Condition, Question, Verdict, moment_of
from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.conditions.status import NAMES, details_question

FIRST_ZONE, LAST_ZONE = timedelta(hours=14), timedelta(hours=12)
"""How long before and after UTC a local time comes, at the earliest and at the latest."""
A_DAY = timedelta(days=1)
BY_API = "api_triggered_delivery"
"""The ``schedule_type`` of campaigns and Canvases that the dashboard never schedules."""
ON_THEIR_CLOCKS = ("local_time_zones", "intelligent_delivery")
_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass
class Broadcasts(Condition):
    """The dashboard has something scheduled, or nothing.

    :param expect: ``scheduled``: it is yet to come, all of it before ``before``; ``nothing``: none comes from ``since``
        to ``before``.
    :param before: ISO 8601.
    :param since: ISO 8601, None for now.
    :param of: ``campaign`` or ``canvas``, None for either.
    :param program_id: which one, None for any.
    """

    expect: Literal["scheduled", "nothing"]
    before: str
    since: str | None = None
    of: str | None = None
    program_id: str | None = None

    kind: ClassVar[str] = "broadcasts"

    def first_questions(self) -> list[Question]:
        """Ask whether there is such a campaign or Canvas: one that does not exist is never in the list."""
        return [] if self.of is None or self.program_id is None else [details_question(self.of, self.program_id)]

    def admit(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """Refuse a window that is over, or has no length, and what is never in the list."""
        before, since = moment_of(self.before), moment_of(self.since) if self.since else now
        if before <= now:
            raise BrazeWaitRefusedError(f"before={self.before} is past: what Braze will send before it cannot change.")
        if since >= before:
            raise BrazeWaitRefusedError(f"The window ends before it begins: since={self.since}, before={self.before}.")
        for details in answers:
            # A draft may still be made one that the dashboard schedules.
            if (
                self.expect == "scheduled"
                and details.get("schedule_type") == BY_API
                and details.get("draft") is not True
            ):
                raise BrazeWaitRefusedError(
                    f"{NAMES[str(self.of)]} {details.get('name')!r} is sent through the API: Braze lists what the "
                    "dashboard schedules."
                )

    def questions(self, now: datetime) -> list[Question]:  # noqa: ARG002
        """Ask for two days more, since Braze cuts the end to midnight, and a local time may come a day later."""
        end = (moment_of(self.before).astimezone(UTC) + 2 * A_DAY).date()
        return [Question.of("messages_scheduled_broadcasts", {"end_time": f"{end}T00:00:00Z"})]

    def judge(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> Verdict:
        """Where it is not certain when something goes out, neither "scheduled" nor "nothing" is said of it."""
        rows = answers[0].get("scheduled_broadcasts")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BrazeWaitRefusedError("Braze's list of scheduled broadcasts cannot be read.")
        before, since = moment_of(self.before), moment_of(self.since) if self.since else now
        asked = [row for row in rows if self._is_meant(row)]
        if self.expect == "scheduled":
            found = [row for row in asked if now <= span_of(row)[1] < before]
            state: Any = "met" if found else "waiting"
        else:
            found = [row for row in asked if span_of(row)[0] < before and span_of(row)[1] >= since]
            state = "waiting" if found else "met"
        names = ", ".join(f"{row.get('type')} {row.get('name')!r} at {row.get('next_send_time')}" for row in found)
        text = f"Scheduled before {self.before}: {names or 'nothing that is waited for'}."
        if before <= now:
            return Verdict("failed", f"The time is over. {text}", {"broadcasts": found})
        return Verdict(state, text, {"broadcasts": found})

    def _is_meant(self, row: Mapping[str, Any]) -> bool:
        if self.program_id is None:
            return True
        return str(row.get("id")) == self.program_id and str(row.get("type", "")).lower() == self.of


def span_of(row: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Say when a broadcast goes out, at the earliest and at the latest; ever, where that cannot be told."""
    kind = str(row.get("schedule_type"))
    try:
        time = _time_of(str(row["next_send_time"]), kind)
    except (KeyError, ValueError):
        return _EVER
    if time.tzinfo is not None:
        return time, time
    here = time.replace(tzinfo=UTC)
    return here - FIRST_ZONE, here + LAST_ZONE + (A_DAY if kind == "intelligent_delivery" else timedelta())


def _time_of(text: str, kind: str) -> datetime:
    """Read a time; without a zone where it is on the users' own clocks, or on one that we do not know."""
    text = text.strip()
    clock, _, name = text[11:].partition(" ")
    time = datetime.fromisoformat(f"{text[:10]} {clock or '00:00:00'}")
    if kind in ON_THEIR_CLOCKS:
        return time.replace(tzinfo=None)
    if name and time.tzinfo is None:
        return time.replace(tzinfo=_zone_behind(name, time, kind))
    return time if time.tzinfo else time.replace(tzinfo=_zone(kind))


def _zone_behind(name: str, time: datetime, kind: str) -> tzinfo | None:
    """Read what stands behind a time: an offset, UTC, the name of a zone, or the short one of the company's zone."""
    if name in ("UTC", "GMT"):
        return UTC
    if "/" in name:
        return _zone(name)
    with suppress(ValueError):
        return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo
    zone = _zone(kind)
    return zone if zone is not None and time.replace(tzinfo=zone).tzname() == name else None


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        return None
