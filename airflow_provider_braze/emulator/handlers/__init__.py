"""What each served endpoint does with a valid request: one function per endpoint id of the contract."""

from __future__ import annotations

from airflow_provider_braze.emulator.calls import HANDLERS
from airflow_provider_braze.emulator.handlers import (  # noqa: F401 - each registers its handlers
    campaigns,
    canvases,
    live_activities,
    schedules,
    segments,
    sends,
    transactional,
    users,
)

__all__ = ["HANDLERS"]
