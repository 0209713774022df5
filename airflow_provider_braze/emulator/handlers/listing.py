"""Pages of a hundred, as all lists have them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.calls import Call

PAGE_SIZE = 100
NEVER = datetime.min.replace(tzinfo=UTC)


class Listed(Protocol):
    """What can be listed."""

    @property
    def last_edited(self) -> datetime | None:
        """When somebody last changed it."""


T = TypeVar("T", bound=Listed)


def page_of(call: Call, items: Iterable[T]) -> list[T]:
    """The page that the query asks for, oldest edit first unless asked otherwise."""
    after = parse_time(call.query.get("last_edit.time[gt]"))
    found = [one for one in items if after is None or (one.last_edited or NEVER) > after]
    found.sort(key=lambda one: one.last_edited or NEVER, reverse=call.query.get("sort_direction") == "desc")
    start = int(call.query.get("page", 0)) * PAGE_SIZE
    return found[start : start + PAGE_SIZE]


def is_asked(call: Call, name: str) -> bool:
    """Whether a boolean of the query is true."""
    return call.query.get(name, "").lower() == "true"


def text_of(moment: datetime | None) -> str | None:
    """ISO 8601, or null."""
    return moment.isoformat() if moment else None
