"""What Braze's rate-limit headers say.

Header names arrive in lower case, may be absent, and may hold empty strings. ``X-RateLimit-Reset`` is a UTC epoch
in general and a number of seconds on some plans. See https://www.braze.com/docs/api/api_limits/.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

QUOTAS: Mapping[str, str] = {
    "default_hourly": "250,000 a clock hour, shared by the workspace",
    "sends_id_create_daily": "100 new send ids a day",
    "transactional": "counts towards the hourly 250,000",
    "campaigns_data_series": "50,000 a minute",
    "users_export_ids": "250 a minute",
}
"""Braze's quotas by the names that the endpoint table uses; a contract may raise them."""
BROADCAST_QUOTA = "broadcasts: 250 a minute, 10 a minute for one audience"

_EPOCH_FROM = 1_000_000_000
LONGEST_WAIT = 3600.0
"""Seconds after which an hourly window has certainly been renewed."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The quota as one answer told it.

    :param limit: requests allowed in the window, None where not said.
    :param remaining: requests left in it, None where not said.
    :param reset_after: seconds until the window is renewed, None where not said.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_after: float | None = None


def read_rate_limit(headers: Mapping[str, str], now: float | None = None) -> RateLimit:
    """Read the quota off an answer's headers.

    :param headers: header names in lower case.
    :param now: UTC epoch seconds; the present by default.
    """
    reset = _number(headers.get("x-ratelimit-reset"))
    if reset is not None and reset >= _EPOCH_FROM:
        reset = max(0.0, reset - (time.time() if now is None else now))
    return RateLimit(
        limit=_whole(headers.get("x-ratelimit-limit")),
        remaining=_whole(headers.get("x-ratelimit-remaining")),
        reset_after=reset,
    )


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a 429 asks to wait, at most an hour; None where it does not say."""
    for name in ("x-ratelimit-retry-after", "retry-after"):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return min(seconds, LONGEST_WAIT)
    reset = read_rate_limit(headers, now).reset_after
    return None if reset is None else min(reset, LONGEST_WAIT)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _whole(text: str | None) -> int | None:
    value = _number(text)
    return None if value is None else int(value)
