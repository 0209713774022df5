"""What happened: requests, deliveries per person, and the latest messages.

Counters grow with the number of people; the logs keep only the latest, so that a long run stays cheap.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_braze.emulator.rendering import render
from airflow_provider_braze.emulator.tallies import Tally

REQUESTS_KEPT = 1000
MESSAGES_KEPT = 2000
REPEATS_KEPT = 1000
BODY_BYTES_KEPT = 200_000
# What a datetime can hold; callers may write times just outside of it.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what it was answered; ``body`` is parsed only when somebody looks."""

    number: int
    at: float
    method: str
    path: str
    query: str
    status: int | None
    key: str
    body: bytes
    fault: str | None
    answer: bytes

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, without any key; ``status`` is null where the connection was dropped."""
        return {
            "number": self.number,
            "at": iso(self.at),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "key": self.key,
            "fault": self.fault,
            "body": _parsed(self.body),
            "answer": _parsed(self.answer),
        }


@dataclass(frozen=True, slots=True)
class Part:
    """What goes out in one channel: templates, and the variation they belong to."""

    channel: str
    variation: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a message comes from: a campaign, a Canvas, or the request itself (kind ``messages``)."""

    kind: str
    id: str
    name: str
    parts: tuple[Part, ...]
    key: str = field(init=False)
    counted: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.kind}:{self.id}")
        object.__setattr__(self, "counted", tuple((part.channel, part.variation) for part in self.parts))


@dataclass(slots=True)
class Message:
    """One message to one person, rendered only when somebody looks. Not frozen, for that makes it slow to make."""

    number: int
    at: float
    source: Source
    identity: str
    email: str | None
    attributes: Mapping[str, Any]
    properties: Mapping[str, Any]
    dispatch_id: str
    send_id: str | None = None
    schedule_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with subject and body as the person would read them; ``parts`` has them per channel."""
        facts = {"user_id": self.identity.partition(":")[2], "email_address": self.email, **self.attributes}
        source = self.source
        parts = [
            {
                "channel": part.channel,
                "subject": render(part.subject, self.properties, facts),
                "body": render(part.body, self.properties, facts),
            }
            for part in source.parts
        ]
        first = parts[0] if parts else {"subject": "", "body": ""}
        return {
            "number": self.number,
            "at": iso(self.at),
            "recipient": self.identity,
            "name": " ".join(filter(None, (_text(facts.get(key)) for key in ("first_name", "last_name")))),
            "email": self.email,
            "kind": source.kind,
            "source": source.name,
            "campaign_id": source.id if source.kind == "campaign" else None,
            "campaign": source.name if source.kind == "campaign" else None,
            "canvas_id": source.id if source.kind == "canvas" else None,
            "channel": ", ".join(part.channel for part in source.parts),
            "subject": first["subject"],
            "body": first["body"],
            "parts": parts,
            "properties": self.properties,
            "dispatch_id": self.dispatch_id,
            "send_id": self.send_id,
            "schedule_id": self.schedule_id,
        }


class Journal:
    """Counts without bound, remembers the latest."""

    def __init__(self) -> None:
        self.exchanges: deque[Exchange] = deque(maxlen=REQUESTS_KEPT)
        self.messages: deque[Message] = deque(maxlen=MESSAGES_KEPT)
        self.per_recipient: Counter[str] = Counter()
        self.repeated: dict[tuple[str, str], None] = {}
        self.repeats = 0
        self.requests = 0
        self.accepted_recipients = 0
        self.delivered = 0
        self.statuses: Counter[str] = Counter()
        self.per_endpoint: Counter[str] = Counter()
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self.sources: dict[str, Source] = {}

    def record(self, exchange: Exchange, endpoint: str) -> None:
        """Keep a request and its outcome, and count it for its endpoint."""
        self.requests += 1
        self.per_endpoint[endpoint] += 1
        self.statuses[str(exchange.status or "dropped")] += 1
        self.exchanges.append(exchange)

    def deliver(self, message: Message, day: str, send_key: str | None = None) -> None:
        """Count a message to its person and keep it for the inbox."""
        source, identity = message.source, message.identity
        count = self.tallies[source.key].add(identity, message.at, day, source.counted)
        if send_key is not None:
            self.tallies[send_key].add(identity, message.at, day, source.counted)
        self.sources[source.key] = source
        self.per_recipient[identity] += 1
        self.delivered += 1
        self.messages.append(message)
        if count == 2:
            self.repeats += 1
        if count > 1 and len(self.repeated) < REPEATS_KEPT:
            self.repeated[identity, source.key] = None

    def tally(self, key: str) -> Tally:
        """The tally under this key; an empty one where nothing was delivered."""
        return self.tallies.get(key) or Tally()

    def times(self, key: str, identity: str) -> int:
        """How often a campaign, a Canvas or a message reached a person."""
        return self.tally(key).per_person[identity]

    def summary(self) -> dict[str, int]:
        """``requests`` received, distinct ``recipients``, ``total`` messages, ``min`` and ``max`` per person."""
        counts = self.per_recipient.values()
        return {
            "requests": self.requests,
            "recipients": len(counts),
            "total": self.delivered,
            "min": min(counts, default=0),
            "max": max(counts, default=0),
        }


def iso(moment: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(max(EARLIEST, min(moment, LATEST)), UTC).isoformat(timespec="milliseconds")


def kept(body: bytes) -> bytes:
    """As much of a body as the log keeps."""
    return body if len(body) <= BODY_BYTES_KEPT else b""


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace") or None


def _text(value: Any) -> str:
    return "" if value is None else str(value)
