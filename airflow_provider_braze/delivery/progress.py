"""Says in the task log how far a delivery is, at a rate that a person can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.reading import PROGRESS_SECONDS, Rhythm
from airflow_provider_braze.delivery.words import duration

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.engine import Delivery
    from airflow_provider_braze.delivery.pacing import Pacer


class ProgressLog:
    """Says how many have got it.

    :param log: where the lines go.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._rhythm = Rhythm(PROGRESS_SECONDS)

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
