"""Live activities: started for people, their content moved on, ended, dismissed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.journal import iso


@dataclass(slots=True)
class LiveActivity:
    """One activity on the phones of all who have it; who started it in the app is not known."""

    app_id: str
    activity_id: str
    at: float
    updated: float
    content_state: Mapping[str, Any]
    attributes_type: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    people: dict[str, None] = field(default_factory=dict)
    updates: int = 0
    ignored_updates: int = 0
    ended: bool = False
    stale_at: float | None = None
    dismissal_at: float | None = None

    def state(self, now: float) -> str:
        """``active``, ``stale``, ``ended`` or ``dismissed``; a dismissal counts only once it has ended."""
        if self.ended:
            return "dismissed" if self.dismissal_at is not None and self.dismissal_at <= now else "ended"
        return "stale" if self.stale_at is not None and self.stale_at <= now else "active"

    def as_dict(self, now: float) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "app_id": self.app_id,
            "activity_id": self.activity_id,
            "state": self.state(now),
            "content_state": self.content_state,
            "activity_attributes_type": self.attributes_type,
            "activity_attributes": self.attributes,
            "recipients": list(self.people),
            "started_at": iso(self.at),
            "updated_at": iso(self.updated),
            "updates": self.updates,
            "ignored_updates": self.ignored_updates,
            "stale_date": None if self.stale_at is None else iso(self.stale_at),
            "dismissal_date": None if self.dismissal_at is None else iso(self.dismissal_at),
        }


class LiveActivities:
    """Known by their app and their id."""

    def __init__(self, seed: Iterable[Mapping[str, Any]], now: float) -> None:
        self._all: dict[tuple[str, str], LiveActivity] = {}
        for row in seed:
            self.start(str(row["app_id"]), str(row["activity_id"]), now, row)

    def __iter__(self) -> Iterator[LiveActivity]:
        return iter(self._all.values())

    def find(self, app_id: str, activity_id: str) -> LiveActivity | None:
        """The activity, if it is known here."""
        return self._all.get((app_id, activity_id))

    def start(self, app_id: str, activity_id: str, now: float, body: Mapping[str, Any]) -> LiveActivity:
        """Begin an activity; one of the same id that still runs goes on with the people it has."""
        before = self.find(app_id, activity_id)
        activity = LiveActivity(
            app_id=app_id,
            activity_id=activity_id,
            at=now,
            updated=now,
            content_state=body["content_state"],
            attributes_type=body.get("activity_attributes_type"),
            attributes=body.get("activity_attributes") or {},
            people=dict(before.people) if before is not None and not before.ended else {},
            stale_at=epoch(body.get("stale_date")),
        )
        self._all[app_id, activity_id] = activity
        return activity

    def update(self, activity: LiveActivity, now: float, body: Mapping[str, Any]) -> None:
        """Move the content on; after its end nothing moves, so that a repeated end does no harm."""
        if activity.ended:
            activity.ignored_updates += 1
            return
        activity.updated = now
        activity.updates += 1
        activity.content_state = body["content_state"]
        activity.ended = body.get("end_activity") is True
        if body.get("stale_date") is not None:
            activity.stale_at = epoch(body["stale_date"])
        if body.get("dismissal_date") is not None:
            activity.dismissal_at = epoch(body["dismissal_date"])


def epoch(value: Any) -> float | None:
    """Epoch seconds of an ISO 8601 text."""
    moment = parse_time(value)
    return None if moment is None else moment.timestamp()
