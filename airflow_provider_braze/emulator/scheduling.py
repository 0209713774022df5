"""When a scheduled send goes out, and which sends wait.

Absolute times fire at that instant, UTC where they name no offset. Local times fire at that clock time in the
attribute ``time_zone`` of each person, in the workspace's zone where it is unset. The optimal time is noon of the
date in the workspace's zone; where noon has passed, the given clock time, or else the date's last second.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.journal import iso
from airflow_provider_braze.emulator.problems import Problem, Refused

FIRST_ZONE, LAST_ZONE = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
OPTIMAL_TIMES = (time(12), time(23, 59, 59))
# Beyond it, some zone's clock cannot be written any more.
LAST_YEAR = 9998


@dataclass(frozen=True, slots=True)
class When:
    """A schedule object: ``clock`` without a zone where it is everybody's own, else an instant."""

    clock: datetime
    in_local_time: bool
    at_optimal_time: bool
    zone: tzinfo

    @property
    def due(self) -> float:
        """The instant; of a local time, in the workspace's own zone."""
        return self.due_in(self.zone)

    def due_in(self, zone: tzinfo) -> float:
        """The instant for somebody in this zone."""
        return (self.clock if self.clock.tzinfo else self.clock.replace(tzinfo=zone)).timestamp()

    @property
    def first(self) -> float:
        """When the first person on Earth could be due."""
        return self.due_in(FIRST_ZONE) if self.in_local_time else self.due

    @property
    def last(self) -> float:
        """When the last one could."""
        return self.due_in(LAST_ZONE) if self.in_local_time else self.due

    def words(self) -> str:
        """For a person: the time, and whose."""
        text = self.clock.strftime("%Y-%m-%d %H:%M:%S")
        if self.in_local_time:
            return f"{text} in local time"
        return f"{text} {self.zone if self.clock.tzinfo is None else self.clock.tzname()}"


def read_when(schedule: Mapping[str, Any], now: float, zone: tzinfo) -> When:
    """A validated schedule object; a time that has passed is refused.

    A local time counts as passed once it has everywhere: the pages differ, and both refuse it then.
    """
    clock = parse_time(schedule["time"])
    if clock is None or clock.year > LAST_YEAR or clock.year <= 1:
        raise Refused(Problem("schedule.time is outside of what a schedule can be"))
    local, optimal = schedule.get("in_local_time") is True, schedule.get("at_optimal_time") is True
    clock = clock.replace(tzinfo=None) if local or optimal else clock
    hours = OPTIMAL_TIMES if optimal else ()
    candidates = [When(datetime.combine(clock.date(), hour), False, True, zone) for hour in hours]
    candidates.insert(1, When(clock, local, optimal, zone))
    ahead = next((when for when in candidates if when.last > now), None)
    if ahead is None:
        raise Refused(Problem(f"schedule.time {schedule['time']} has passed; it is {iso(now)}"))
    return ahead


def zone_of(attributes: Mapping[str, Any], otherwise: tzinfo) -> tzinfo:
    """A person's own zone, by the attribute ``time_zone``."""
    name = attributes.get("time_zone")
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else otherwise
    except (ValueError, OSError, KeyError):  # an unknown zone is a KeyError
        return otherwise


@dataclass(slots=True)
class Scheduled:
    """One scheduled send; ``program_id`` is its campaign's or Canvas's.

    Of a local time, ``asked`` are those whose time has come, ``looked`` is until when that was looked at, and
    ``next`` when to look again.
    """

    kind: str
    program_id: str | None
    body: Mapping[str, Any]
    when: When
    created: float
    withheld: frozenset[int] = frozenset()
    swallowed: frozenset[str] = frozenset()
    blocked: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    dispatch_id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = "waiting"
    asked: set[str] = field(default_factory=set)
    looked: float = field(init=False)
    next: float = field(init=False)
    reached: int = 0
    updates: int = 0
    ignored_updates: int = 0
    ended: float | None = None

    def __post_init__(self) -> None:
        self.looked, self.next = self.created, self.when.first

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; ``state`` is waiting, sending (local times), fired or deleted."""
        return {
            "schedule_id": self.id,
            "kind": self.kind,
            "campaign_id": self.body.get("campaign_id"),
            "canvas_id": self.body.get("canvas_id"),
            "state": self.state,
            "when": self.when.words(),
            "due_at": iso(self.when.due),
            "in_local_time": self.when.in_local_time,
            "at_optimal_time": self.when.at_optimal_time,
            "created_at": iso(self.created),
            "ended_at": None if self.ended is None else iso(self.ended),
            "reached": self.reached,
            "updates": self.updates,
            "ignored_updates": self.ignored_updates,
            "dispatch_id": self.dispatch_id,
            "body": self.body,
        }


class Schedules:
    """All of them; those that wait are kept apart, so that a request costs nothing where none is due."""

    def __init__(self) -> None:
        self._all: dict[str, Scheduled] = {}
        self._waiting: dict[str, Scheduled] = {}
        self._next = float("inf")

    def __iter__(self) -> Iterator[Scheduled]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def find(self, schedule_id: str) -> Scheduled | None:
        """The schedule with this id, in whatever state."""
        return self._all.get(schedule_id)

    def add(self, scheduled: Scheduled) -> None:
        """Let it wait."""
        self._all[scheduled.id] = self._waiting[scheduled.id] = scheduled
        self._next = min(self._next, scheduled.next)

    def move(self, scheduled: Scheduled, when: When) -> None:
        """Replace its whole schedule object."""
        scheduled.when, scheduled.next = when, when.first
        self._next = min(self._next, scheduled.next)

    def end(self, scheduled: Scheduled, state: str, at: float) -> None:
        """It fired, or it was deleted."""
        scheduled.state, scheduled.ended = state, at
        self._waiting.pop(scheduled.id, None)

    def due(self, now: float) -> list[Scheduled]:
        """Those that may have somebody to message by now, earliest first."""
        if now < self._next:
            return []
        return sorted((one for one in self._waiting.values() if one.next <= now), key=lambda one: one.when.due)

    def settle(self) -> None:
        """Note when the next one is due, after the due ones were fired."""
        self._next = min((one.next for one in self._waiting.values()), default=float("inf"))


MIDNIGHT = datetime.min.time()


def midnight_utc(moment: datetime) -> datetime:
    """The beginning of that day in UTC."""
    return datetime.combine(moment.astimezone(UTC).date(), MIDNIGHT, UTC)
