"""Says in the task log how far a delivery is, at a rate that a person can read."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.words import duration

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.engine import Delivery
    from airflow_provider_braze.delivery.pacing import Pacer

PROGRESS_SECONDS = 10.0
SLOWEST_SECONDS = 60.0
_PORTION = 50
log = logging.getLogger(__name__)


class _Rhythm:
    """A line after ten seconds, then ever more rarely, once a minute at last."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._pause = PROGRESS_SECONDS
        self._next = self._began + self._pause

    def due(self) -> float | None:
        """Give the seconds since the beginning if it is time for a line."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._pause = min(2 * self._pause, SLOWEST_SECONDS)
        self._next = now + self._pause
        return now - self._began


def reading(entries: Iterable[Any]) -> Iterator[Any]:
    """Pass on what is read of an audience, and say now and then how much that is."""
    log.info("Reading the audience.")
    rhythm, count, stream = _Rhythm(), 0, iter(entries)
    while portion := list(islice(stream, _PORTION)):
        count += len(portion)
        if rhythm.due() is not None:
            log.info("%s recipients read until now.", f"{count:,}")
        yield from portion


class ProgressLog:
    """Says how many have got it.

    :param log: where the lines go.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._rhythm = _Rhythm()

    def __call__(self, delivery: Delivery) -> None:
        """Write a line if it is time for one."""
        if (seconds := self._rhythm.due()) is None:
            return
        report = delivery.report
        people = report.recipients - report.duplicates - report.invalid
        done = report.accepted + report.failed + report.unknown
        rate = (done - report.accepted_before) / seconds
        quota = _quota(delivery.pacer)
        self._log.info(
            "%s of %s recipients (%.0f%%), %s a second, %s to go%s.",
            f"{done:,}",
            f"{people:,}",
            100 * done / people if people else 0,
            f"{rate:,.0f}",
            duration((people - done) / rate) if rate else "an unknown time",
            quota,
        )


def _quota(pacer: Pacer) -> str:
    left, reset = pacer.remaining, pacer.reset_after
    if left is None:
        return ""
    text = f"; {left:,} requests left in Braze's quota"
    # The time to go is by the pace until now, for which not enough is left.
    return (
        text if reset is None or (pacer.need or 0) <= left else f"{text}, too few until more come in {duration(reset)}"
    )
