"""Airflow's task state for tests of operators outside of Airflow."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
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


def instance(**facts: Any) -> SimpleNamespace:
    """What Airflow tells a task of its instance; its first try, unless told otherwise."""
    given = {"try_number": 1, "max_tries": 0, "dag_id": "d", "run_id": "r", "task_id": "send", "map_index": -1}
    return SimpleNamespace(**{**given, "xcom_push": lambda key, value: None, **facts})
