"""Puts the task instances of a DAG run to wait in a triggerer, without workers: thousands within seconds.

Each gets the state and the trigger that the server gives it when its worker says that it defers. Run as a program it
does so in the database of the Airflow whose settings it has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger
    from airflow_processes import Airflow


def defer_all(
    airflow: Airflow, dag_id: str, triggers: Iterable[BaseTrigger], runs: int = 1, method: str = "resume"
) -> list[str]:
    """Make runs of a DAG with one mapped task, pause the DAG, and let each task instance wait; gives the runs' ids.

    :param triggers: one for each task instance, in their order.
    :param runs: how many runs.
    :param method: what a task goes on with.
    """
    # Of a paused DAG the scheduler starts nothing.
    airflow.pause(dag_id)
    run_ids = [airflow.post(f"dags/{dag_id}/dagRuns", logical_date=None)["dag_run_id"] for _ in range(runs)]
    waits = [trigger.serialize() for trigger in triggers]
    known = {"dag_id": dag_id, "run_ids": run_ids, "method": method, "waits": waits}
    airflow.python(__file__, stdin=json.dumps(known))
    return run_ids


def _defer(dag_id: str, run_ids: list[str], method: str, waits: list[tuple[str, dict[str, Any]]]) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    mapped = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id.in_(run_ids))
    with create_session() as session:
        instances = session.scalars(mapped.order_by(TaskInstance.run_id, TaskInstance.map_index)).all()
        for instance, (classpath, kwargs) in zip(instances, waits, strict=True):
            instance.trigger = Trigger(classpath, kwargs)
            instance.state = TaskInstanceState.DEFERRED
            instance.try_number = 1
            instance.start_date = datetime.now(UTC)
            instance.next_method, instance.next_kwargs = method, {}


if __name__ == "__main__":
    _defer(**json.load(sys.stdin))
