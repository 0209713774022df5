"""Campaigns and Canvases, as they stand in the seed and in what waits for them."""

from __future__ import annotations

KEY, WRONG_KEY = "triggerer-key", "no-key-of-theirs"
NAMES = ("SALE", "PAUSED", "NEWS", "BOUNCING", "LATE", "CROWD", "FEW", "LETTER", "JOURNEY")
SALE, PAUSED, NEWS, BOUNCING, LATE, CROWD, FEW, LETTER, JOURNEY = (
    f"5d1e0f3a-0000-4000-8000-{number:012d}" for number in range(len(NAMES))
)
POLL_SECONDS = 1.5
CROWD_SIZE, FEW_SIZE = 1000, 3
