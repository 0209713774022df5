"""Airflow's task state for tests of operators outside of Airflow."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import airflow.sdk

# Airflow 3.3's word for an entry that stays; older ones have no store, and no word.
NEVER_EXPIRE = getattr(airflow.sdk, "NEVER_EXPIRE", timedelta.max)


class TaskState:
    """A task's store, with Airflow's calls: JSON by key."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self._kept[key]) if key in self._kept else None

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        assert retention == NEVER_EXPIRE, "a ledger must not expire"
        self._kept[key] = json.dumps(value)
