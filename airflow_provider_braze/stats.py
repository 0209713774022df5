"""What deliveries have done, as counters in Airflow's own metrics (StatsD, Datadog or OpenTelemetry).

With the tags ``dag_id``, ``task_id`` and ``endpoint`` where the metrics backend knows tags. A delivery may take several
tries; what is counted when:

====================================================  ==================================================================
``braze.requests``, ``braze.recipients.accepted``     what each try achieved, also one that pauses
``braze.recipients.duplicates``, ``.invalid``         once, by the try that begins the delivery
``braze.recipients.failed``, ``.unknown``,            how each try left things when it ended; a pause is no end
``.skipped``
====================================================  ==================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)
_PLANNED = ("invalid", "duplicates")
_LEFT = ("failed", "unknown", "skipped")


def count(
    report: Mapping[str, Any], *, dag_id: str, task_id: str, endpoint: str, goes_on: bool = False, paused: bool = False
) -> None:
    """Add a delivery's report to the counters; it never fails, and does nothing where metrics are off.

    :param report: the counts as an operator returns them. What an earlier try of the task achieved was counted then.
    :param dag_id: for the tags, as the others.
    :param task_id: the task.
    :param endpoint: key of ``ENDPOINTS``.
    :param goes_on: whether an earlier try of the task began the delivery.
    :param paused: whether it is to go on after a deferral.
    """
    try:
        increase = _increase()
        names = ("accepted", *(() if goes_on else _PLANNED), *(() if paused else _LEFT))
        counts = {f"braze.recipients.{name}": report.get(name) or 0 for name in names}
        counts["braze.recipients.accepted"] -= report.get("accepted_before") or 0
        if not paused:
            counts["braze.recipients.failed"] -= report.get("failed_elsewhere") or 0
        counts["braze.requests"] = report.get("requests") or 0
        tags = {"dag_id": dag_id, "task_id": task_id, "endpoint": endpoint}
        for name, number in counts.items():
            if number > 0:
                increase(name, number, tags=tags)
    except Exception as error:
        log.warning("The delivery is not in Airflow's metrics (%s).", type(error).__name__)


def _increase() -> Any:
    try:
        # Functions from Airflow 3.3 on, where the class remains as a shim.
        from airflow.sdk.observability.stats import incr
    except ImportError:
        from airflow.providers.common.compat.sdk import Stats

        return Stats.incr
    return incr
