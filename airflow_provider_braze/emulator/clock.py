"""The time as the emulated workspace sees it; tests move it instead of waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Wall-clock time plus whatever it was advanced by."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time() + self._ahead

    def datetime(self) -> datetime:
        """The same instant as an aware UTC datetime."""
        return datetime.fromtimestamp(self.now(), UTC)

    def advance(self, seconds: float) -> float:
        """Move on by ``seconds`` and return the new time; quotas and windows follow."""
        if seconds < 0:
            raise ValueError("the clock only moves forward; use reset() to go back to the present")
        self._ahead += seconds
        return self.now()

    def reset(self) -> None:
        """Back to the present."""
        self._ahead = 0.0
