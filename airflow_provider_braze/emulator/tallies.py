"""What was delivered, counted: per campaign, per Canvas, per send id; per person and per day; and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

Part = tuple[str, str]
"""A channel, and the variation that went out in it."""


@dataclass(slots=True)
class Day:
    """One calendar day in the workspace's time zone."""

    people: set[str] = field(default_factory=set)
    deliveries: int = 0
    together: Counter[tuple[Part, ...]] = field(default_factory=Counter)
    added: defaultdict[tuple[Part | None, str], float] = field(default_factory=lambda: defaultdict(int))

    @property
    def sent(self) -> Counter[Part]:
        """How often each part went out."""
        sent: Counter[Part] = Counter()
        for parts, count in self.together.items():
            sent.update(dict.fromkeys(parts, count))
        return sent

    def add(self, counts: Mapping[str, float], part: Part | None = None) -> None:
        """Add figures: of one part, or of the day as a whole."""
        for name, count in counts.items():
            self.added[part, name] += count

    def with_added(self, counts: Mapping[str, float], part: Part | None = None) -> dict[str, float]:
        """These counts and what was added to them; nothing counts below zero."""
        return {name: max(count + self.added.get((part, name), 0), 0) for name, count in counts.items()}


@dataclass(slots=True)
class Tally:
    """All that one campaign, Canvas, send id or message did."""

    per_person: Counter[str] = field(default_factory=Counter)
    latest: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    days: defaultdict[str, Day] = field(default_factory=lambda: defaultdict(Day))
    first: float | None = None
    last: float | None = None

    def add(self, identity: str, at: float, day: str, parts: tuple[Part, ...]) -> int:
        """Count one delivery to a person; returns how many there have been."""
        count = self.per_person[identity] + 1
        self.per_person[identity] = count
        if count > 1:
            self.before[identity] = self.latest[identity]
        self.latest[identity] = at
        self.first = at if self.first is None else min(at, self.first)
        self.last = at if self.last is None else max(at, self.last)
        today = self.days[day]
        today.people.add(identity)
        today.deliveries += 1
        today.together[parts] += 1
        return count

    def received(self, identity: str, until: float) -> float | None:
        """When it last reached a person, told of no later time: the latest delivery, or else the one before it."""
        known = (self.latest.get(identity), self.before.get(identity))
        return next((at for at in known if at is not None and at <= until), None)

    def together(self, days: list[str]) -> Day:
        """These days as one."""
        all_in_one = Day()
        for day in filter(None, map(self.days.get, days)):
            all_in_one.people |= day.people
            all_in_one.deliveries += day.deliveries
            all_in_one.together.update(day.together)
            for (part, name), count in day.added.items():
                all_in_one.added[part, name] += count
        return all_in_one
