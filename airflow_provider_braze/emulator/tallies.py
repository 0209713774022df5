"""What was delivered, counted: per campaign, per Canvas, per send id; per person and per day."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

Part = tuple[str, str]
"""A channel, and the variation that went out in it."""


@dataclass(slots=True)
class Day:
    """One calendar day in the workspace's time zone."""

    people: set[str] = field(default_factory=set)
    deliveries: int = 0
    together: Counter[tuple[Part, ...]] = field(default_factory=Counter)

    @property
    def sent(self) -> Counter[Part]:
        """How often each part went out."""
        sent: Counter[Part] = Counter()
        for parts, count in self.together.items():
            sent.update(dict.fromkeys(parts, count))
        return sent


@dataclass(slots=True)
class Tally:
    """All that one campaign, Canvas, send id or message did."""

    per_person: Counter[str] = field(default_factory=Counter)
    latest: dict[str, float] = field(default_factory=dict)
    days: defaultdict[str, Day] = field(default_factory=lambda: defaultdict(Day))
    first: float | None = None
    last: float | None = None

    def add(self, identity: str, at: float, day: str, parts: tuple[Part, ...]) -> int:
        """Count one delivery to a person; returns how many there have been."""
        count = self.per_person[identity] + 1
        self.per_person[identity] = count
        self.latest[identity] = at
        self.first = at if self.first is None else min(at, self.first)
        self.last = at if self.last is None else max(at, self.last)
        today = self.days[day]
        today.people.add(identity)
        today.deliveries += 1
        today.together[parts] += 1
        return count
