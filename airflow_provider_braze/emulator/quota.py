"""Rate limits: fixed windows of the emulator's clock, and the headers that report them.

A call with a valid key draws from one pool, also where it is then refused with a 4xx; a 429 draws nothing. Only the
pool of send ids counts what was made, not what was asked for.
Broadcasts draw from the per-minute pools instead of the hourly one; of two pools the tighter is reported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_braze.emulator.specification import Bucket, EndpointSpec

HOURLY = "default_hourly"
BROADCAST = "broadcast_per_minute"
PER_AUDIENCE = "broadcast_unique_audience"
SEND_IDS = "sends_id_create_daily"
EXPORT, FAST_EXPORT = "users_export_ids", "users_export_ids_fast"
RECEIVED = ("campaigns_received", "canvases_received")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a pool says after a call: ``reset`` is epoch seconds, ``granted`` false means 429."""

    granted: bool
    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """The three headers, in lower case as they arrive over HTTP/2."""
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(self.reset),
        }


class Quotas:
    """All pools of one workspace."""

    def __init__(self, buckets: Mapping[str, Bucket], overrides: Mapping[str, Any] | None = None) -> None:
        self._buckets = dict(buckets)
        for name, wanted in (overrides or {}).items():
            if name not in buckets:
                raise ValueError(f"rate_limits: unknown {name}; known: {', '.join(sorted(buckets))}")
            self._buckets[name] = _changed(buckets[name], wanted)
        self._raised = frozenset(name for name, bucket in buckets.items() if self._buckets[name].limit != bucket.limit)
        self._window: dict[str, int] = {}
        self._used: dict[str, dict[str, int]] = {}

    def draw(self, endpoint: EndpointSpec, body: Any, now: float) -> Allowance:
        """Take one request out of the pools that apply to it, or out of none where one is empty."""
        pools = self._pools(endpoint, body)
        looks = [self._look(bucket, key, now) for bucket, key in pools]
        granted = all(look.remaining > 0 for look in looks)
        if granted:
            for bucket, key in pools:
                self._used[bucket][key] = self._used[bucket].get(key, 0) + 1
            looks = [self._look(bucket, key, now) for bucket, key in pools]
        tightest = min(looks, key=lambda look: look.remaining)
        return Allowance(granted, tightest.limit, tightest.remaining, tightest.reset)

    def give_back(self, endpoint: EndpointSpec, body: Any, now: float, drawn: Allowance) -> Allowance:
        """Undo a draw from a pool that counts what was made; any other stays drawn."""
        if SEND_IDS not in endpoint.buckets:
            return drawn
        for bucket, key in self._pools(endpoint, body):
            self._used[bucket][key] -= 1
        return self._look(SEND_IDS, "", now)

    def _pools(self, endpoint: EndpointSpec, body: Any) -> list[tuple[str, str]]:
        if EXPORT in endpoint.buckets:
            return [(FAST_EXPORT if self._is_fast_export(body) else EXPORT, "")]
        if BROADCAST in endpoint.buckets and is_broadcast(body):
            # One counter for all five endpoints: the strict reading of a sentence that can be read both ways.
            return [(BROADCAST, ""), (PER_AUDIENCE, _audience_key(body))]
        own = next((name for name in endpoint.buckets if name not in (BROADCAST, PER_AUDIENCE)), HOURLY)
        # The transactional endpoint has no limit of its own: it counts towards the overall one.
        return [(own if own in self._buckets else HOURLY, "")]

    def _is_fast_export(self, body: Any) -> bool:
        """Named fields, none of them about what was received, and nobody raised the plan's limit."""
        fields = body.get("fields_to_export") if isinstance(body, dict) else None
        if not isinstance(fields, list) or not fields or EXPORT in self._raised:
            return False
        return not any(name in fields for name in RECEIVED)

    def look(self, now: float, name: str = HOURLY) -> Allowance:
        """A shared pool as it stands, nothing drawn."""
        return self._look(name, "", now)

    def _look(self, name: str, key: str, now: float) -> Allowance:
        bucket = self._buckets[name]
        window = math.floor(now / bucket.seconds)
        if self._window.get(name) != window:
            self._window[name] = window
            self._used[name] = {}
        remaining = max(0, bucket.limit - self._used[name].get(key, 0))
        return Allowance(True, bucket.limit, remaining, (window + 1) * bucket.seconds)


def _changed(bucket: Bucket, wanted: Any) -> Bucket:
    """``wanted`` is another limit, or a mapping with ``limit``, ``seconds`` or both."""
    given = wanted if isinstance(wanted, Mapping) else {"limit": wanted}
    if not given or not given.keys() <= {"limit", "seconds"}:
        raise ValueError(f"rate_limits: {bucket.name} takes a number, or limit and seconds")
    seconds = int(given.get("seconds", bucket.seconds))
    if seconds < 1:
        raise ValueError(f"rate_limits: the window of {bucket.name} must be a second or more")
    return Bucket(bucket.name, int(given.get("limit", bucket.limit)), seconds)


def is_broadcast(body: Any) -> bool:
    """An audience or everybody, without recipients; recipients plus an audience are not a broadcast."""
    if not isinstance(body, dict):
        return False
    if body.get("recipients") or body.get("external_user_ids") or body.get("user_aliases"):
        return False
    return body.get("broadcast") is True or any(body.get(name) is not None for name in ("audience", "segment_id"))


def _audience_key(body: Mapping[str, Any]) -> str:
    parts = [body.get(name) for name in ("campaign_id", "canvas_id", "segment_id", "audience")]
    return json.dumps(parts, sort_keys=True, default=str)
