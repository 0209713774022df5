"""What happened: requests, deliveries per person, and the latest messages.

Counters grow with the number of people; the logs keep only the latest, so that a long run stays cheap.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_braze.emulator.rendering import render
from airflow_provider_braze.emulator.workspace import Campaign

REQUESTS_KEPT = 1000
MESSAGES_KEPT = 2000
REPEATS_KEPT = 1000
BODY_BYTES_KEPT = 200_000


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
class Message:
    """One message to one person, rendered only when somebody looks."""

    number: int
    at: float
    campaign: Campaign
    identity: str
    email: str | None
    attributes: Mapping[str, Any]
    properties: Mapping[str, Any]
    dispatch_id: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with subject and body as the person would read them."""
        facts = {"user_id": self.identity.partition(":")[2], "email_address": self.email, **self.attributes}
        return {
            "number": self.number,
            "at": iso(self.at),
            "recipient": self.identity,
            "name": " ".join(filter(None, (_text(facts.get(key)) for key in ("first_name", "last_name")))),
            "email": self.email,
            "campaign_id": self.campaign.id,
            "campaign": self.campaign.name,
            "channel": ", ".join(self.campaign.channels),
            "subject": render(self.campaign.message.get("subject", ""), self.properties, facts),
            "body": render(self.campaign.message.get("body", ""), self.properties, facts),
            "properties": self.properties,
            "dispatch_id": self.dispatch_id,
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
        self.per_campaign: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def record(self, exchange: Exchange) -> None:
        """Keep a request and its outcome."""
        self.requests += 1
        self.statuses[str(exchange.status or "dropped")] += 1
        self.exchanges.append(exchange)

    def deliver(self, message: Message) -> None:
        """Count a message to its person and keep it for the inbox."""
        counts = self.per_campaign[message.campaign.id]
        count = counts[message.identity] + 1
        counts[message.identity] = count
        self.per_recipient[message.identity] += 1
        self.delivered += 1
        self.messages.append(message)
        if count == 2:
            self.repeats += 1
        if count > 1 and len(self.repeated) < REPEATS_KEPT:
            self.repeated[message.identity, message.campaign.id] = None

    def times(self, campaign_id: str, identity: str) -> int:
        """How often a campaign reached a person."""
        return self.per_campaign[campaign_id][identity]

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
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


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
