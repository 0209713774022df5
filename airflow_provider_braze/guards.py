"""Decides before anything is sent, by what Airflow knows of the task.

Braze has no idempotency key: a task that began to send and is run again would message people twice. Airflow repeats
tasks on failure, on a lost worker and when a person clears them. A mark in Airflow's task state (3.3 and newer),
written before the first request, tells these apart from a task that failed before it sent anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.errors import BrazeDeliveryError

if TYPE_CHECKING:
    from airflow.sdk import Context

MARK = "braze/sending_began"
_WAY_ON = (
    "Look into Braze who got it. A new run of the DAG sends again on purpose, to everybody, also to those who got it."
)


def refuse_blind_repeat(context: Context) -> None:
    """Stop a try that may message people a second time.

    :raises BrazeDeliveryError: an earlier try began to send, or may have.
    """
    task_instance: Any = context.get("ti")
    if task_instance is None or task_instance.try_number <= 1:
        return
    store: Any = context.get("task_state_store")
    began = store.get(MARK) if store else None
    if began:
        raise BrazeDeliveryError(
            f"An earlier try of this task began to send at {began}, nothing was sent now. {_WAY_ON}", {}
        )
    # Clearing discards the mark from Airflow 3.4 on, so that its absence then proves nothing.
    dag_run: Any = context.get("dag_run")
    cleared: int = getattr(dag_run, "clear_number", 0)
    if store is None or cleared:
        raise BrazeDeliveryError(
            f"This is try {task_instance.try_number}, and an earlier one may have messaged people: it is not known, "
            f"nothing was sent now. {_WAY_ON}",
            {},
        )


def note_sending(context: Context) -> None:
    """Write down that the first request is about to leave."""
    store: Any = context.get("task_state_store")
    if store:
        store.set(MARK, datetime.now(UTC).isoformat(timespec="seconds"))


def forget_sending(context: Context) -> None:
    """Take the mark back: sending ended before anybody was messaged."""
    store: Any = context.get("task_state_store")
    if store:
        store.delete(MARK)
