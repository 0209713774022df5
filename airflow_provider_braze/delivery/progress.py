"""Says in the task log how far a delivery is, at a rate that a person can read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.words import duration

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.engine import Delivery

PROGRESS_SECONDS = 10.0
SLOWEST_SECONDS = 60.0


class ProgressLog:
    """A line after ten seconds, then ever more rarely, once a minute at last.

    :param log: where the lines go.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._began = time.monotonic()
        self._pause = PROGRESS_SECONDS
        self._next = self._began + self._pause

    def __call__(self, delivery: Delivery) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if now < self._next:
            return
        self._pause = min(2 * self._pause, SLOWEST_SECONDS)
        self._next = now + self._pause
        report, seconds = delivery.report, now - self._began
        people = report.recipients - report.duplicates - report.invalid
        done = report.accepted + report.failed + report.unknown
        rate = (done - report.accepted_before) / seconds
        left = delivery.pacer.remaining
        self._log.info(
            "%s of %s recipients (%.0f%%), %s a second, %s to go%s.",
            f"{done:,}",
            f"{people:,}",
            100 * done / people if people else 0,
            f"{rate:,.0f}",
            duration((people - done) / rate) if rate else "an unknown time",
            "" if left is None else f"; {left:,} requests left in Braze's quota",
        )
