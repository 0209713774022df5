"""Rate limits: fixed windows of the emulator's clock, and the headers that report them.

A call with a valid key draws from one pool, also where it is then refused with a 4xx; a 429 draws nothing.
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

    def __init__(self, buckets: Mapping[str, Bucket], overrides: Mapping[str, int] | None = None) -> None:
        self._buckets = dict(buckets)
        for name, limit in (overrides or {}).items():
            if name not in buckets:
                raise ValueError(f"rate_limits: unknown {name}; known: {', '.join(sorted(buckets))}")
            self._buckets[name] = Bucket(name, int(limit), buckets[name].seconds)
        self._window: dict[str, int] = {}
        self._used: dict[str, dict[str, int]] = {}

    def draw(self, endpoint: EndpointSpec, body: Any, now: float) -> Allowance:
        """Take one request out of the pools that apply to it, or out of none where one is empty."""
        pools = _pools(endpoint, body)
        looks = [self._look(bucket, key, now) for bucket, key in pools]
        granted = all(look.remaining > 0 for look in looks)
        if granted:
            for bucket, key in pools:
                self._used[bucket][key] = self._used[bucket].get(key, 0) + 1
            looks = [self._look(bucket, key, now) for bucket, key in pools]
        tightest = min(looks, key=lambda look: look.remaining)
        return Allowance(granted, tightest.limit, tightest.remaining, tightest.reset)

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


def is_broadcast(body: Any) -> bool:
    """An audience or everybody, without recipients; recipients plus an audience are not a broadcast."""
    if not isinstance(body, dict):
        return False
    if body.get("recipients") or body.get("external_user_ids") or body.get("user_aliases"):
        return False
    return body.get("broadcast") is True or any(body.get(name) is not None for name in ("audience", "segment_id"))


def _pools(endpoint: EndpointSpec, body: Any) -> list[tuple[str, str]]:
    if BROADCAST not in endpoint.buckets or not is_broadcast(body):
        return [(next(name for name in endpoint.buckets if name not in (BROADCAST, PER_AUDIENCE)), "")]
    # One counter for all five endpoints: the strict reading of a sentence that can be read both ways.
    pools = [(BROADCAST, "")]
    if PER_AUDIENCE in endpoint.buckets:
        pools.append((PER_AUDIENCE, _audience_key(body)))
    return pools


def _audience_key(body: Mapping[str, Any]) -> str:
    parts = [body.get(name) for name in ("campaign_id", "canvas_id", "segment_id", "audience")]
    return json.dumps(parts, sort_keys=True, default=str)
