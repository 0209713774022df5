"""Ids that callers bring: send ids, which group analytics, and external send ids, which prevent a second send."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEDUP_SECONDS = 24 * 3600


class SendIds:
    """Pairs of a send id and a campaign; one id may be made for several campaigns."""

    def __init__(self) -> None:
        self._campaigns: dict[str, dict[str, float]] = {}

    def create(self, send_id: str, campaign_id: str, at: float) -> bool:
        """Keep a pair; False where it was there already."""
        known = self._campaigns.setdefault(send_id, {})
        if campaign_id in known:
            return False
        known[campaign_id] = at
        return True

    def campaigns_of(self, send_id: str) -> Collection[str]:
        """The campaigns an id was made for; none where nobody made it."""
        return self._campaigns.get(send_id, {}).keys()

    def key(self, send_id: Any, campaign_id: Any) -> str | None:
        """Under which key the journal tallies this pair; None where it was never made."""
        known = send_id is not None and campaign_id in self.campaigns_of(send_id)
        return tally_key(send_id, campaign_id) if known else None

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Send id, campaign id and when it was made, oldest first."""
        for send_id, campaigns in self._campaigns.items():
            for campaign_id, at in campaigns.items():
                yield send_id, campaign_id, at


def tally_key(send_id: str, campaign_id: str) -> str:
    """The journal's key of a pair."""
    return f"send:{campaign_id}:{send_id}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A transactional send that an external send id stands for."""

    campaign_id: str
    at: float
    answer: Mapping[str, Any]


class ExternalSendIds:
    """Remembered for 24 hours, across the whole workspace."""

    def __init__(self) -> None:
        self._sent: dict[str, Sent] = {}

    def find(self, external_send_id: str, now: float) -> Sent | None:
        """The send that used the id less than 24 hours ago."""
        sent = self._sent.get(external_send_id)
        return sent if sent is not None and now - sent.at < DEDUP_SECONDS else None

    def keep(self, external_send_id: str, sent: Sent) -> None:
        """Remember it."""
        self._sent[external_send_id] = sent
