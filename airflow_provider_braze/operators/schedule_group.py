"""Schedule, guard and teardown in one call: nobody is messaged unless the guard says so."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, TaskGroup

from airflow_provider_braze.operators.base import BrazeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.operators.scheduling import Scheduling

_BEGAN = ("success", "failed", "running", "deferred", "up_for_retry")
_SAYS_NO = ("skipped", "failed", "upstream_failed")


def guarded_schedule(group_id: str, operator: type[Scheduling], /, **parameters: Any) -> GuardedSchedule:
    """Make a task group that schedules, and takes it back unless all is well.

    What is made inside of it is the guard::

        with guarded_schedule("launch", BrazeScheduleCampaignOperator, campaign_id=..., schedule=...) as launch:
            SQLCheckOperator(task_id="check_prices", ...)

        launch >> tell_the_team

    Its tasks: ``begin``, ``schedule``, yours, ``approved`` and ``call_off``. The last one is a teardown, which runs in
    any case. It deletes the schedules where a task of the guard failed, was skipped or never ran, where a short circuit
    said no, where scheduling itself failed halfway, and where the states of the tasks cannot be read. It keeps them
    where every last task of the guard succeeded. The run fails where the guard failed, or where the schedules could not
    be deleted; it does not where the guard skips, or a short circuit says no.

    Clear the group, or a task of the guard with all downstream: Airflow then clears the scheduling, too, which makes
    anew what was deleted. The key needs the permissions to create, update and delete schedules.

    :param group_id: name of the group; it begins the ids of its tasks.
    :param operator: what schedules, such as
        :class:`~airflow_provider_braze.operators.schedule.BrazeScheduleCampaignOperator`.
    :param parameters: of that operator, all but ``task_id``.
    :raises ValueError: ``wait_until_sent`` is among them: the guard would come after the messages; or nothing was made
        inside of the group.
    """
    if parameters.get("wait_until_sent"):
        raise ValueError("wait_until_sent does not go with a guard, which would run after the messages have gone out.")
    return GuardedSchedule(group_id, operator, parameters)


class GuardedSchedule(TaskGroup):
    """The task group that :func:`guarded_schedule` makes; ``schedule_task`` is the task that schedules."""

    def __init__(self, group_id: str, operator: type[Scheduling], parameters: dict[str, Any]) -> None:
        super().__init__(group_id=group_id)
        self._operator, self._parameters = operator, parameters

    def __enter__(self) -> GuardedSchedule:
        """Schedule before the tasks of the guard."""
        from airflow.providers.standard.operators.empty import EmptyOperator

        super().__enter__()
        self._begin = EmptyOperator(task_id="begin")
        self.schedule_task = self._operator(task_id="schedule", **self._parameters)
        self._begin >> self.schedule_task
        self._own = set(self.children)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the tasks of the guard between scheduling and teardown."""
        try:
            if kind is None:
                self._close()
        finally:
            super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]

    def _close(self) -> None:
        from airflow.providers.standard.operators.empty import EmptyOperator

        guard = [child for name, child in self.children.items() if name not in self._own]
        if not guard:
            raise ValueError(
                f"Group {self.group_id!r} has no guard: make a task inside of it that looks, and may say no."
            )
        inside = {task.task_id for child in guard for task in _tasks(child)}
        roots = [task for child in guard for task in _tasks(child) if task.upstream_task_ids.isdisjoint(inside)]
        leaves = [task for child in guard for task in _tasks(child) if task.downstream_task_ids.isdisjoint(inside)]
        approved = EmptyOperator(task_id="approved")
        call_off = CallOff(
            task_id="call_off",
            braze_conn_id=self.schedule_task.braze_conn_id,
            endpoint=self.schedule_task.endpoint.replace("_create", "_delete"),
            program=self.schedule_task.program,
            schedule_task_id=self.schedule_task.task_id,
            guard_task_ids=[leaf.task_id for leaf in leaves],
            approved_task_id=approved.task_id,
        )
        self.schedule_task >> roots
        leaves >> approved
        leaves >> call_off
        # A setup of its own that succeeds: the teardown is to run where scheduling failed halfway, too.
        call_off.as_teardown(setups=[self._begin, self.schedule_task], on_failure_fail_dagrun=True)


def _tasks(child: Any) -> list[Any]:
    return list(child.iter_tasks()) if isinstance(child, TaskGroup) else [child]


class CallOff(BrazeBaseOperator):
    """Deletes the schedules of a task, unless all tasks of its guard have succeeded.

    :param endpoint: that deletes one schedule.
    :param program: what it takes beside ``schedule_id``. (templated)
    :param schedule_task_id: the task that scheduled.
    :param guard_task_ids: the last tasks of the guard.
    :param approved_task_id: the task after them, which a short circuit skips.
    """

    template_fields = (*BrazeBaseOperator.template_fields, "program")

    def __init__(
        self,
        *,
        endpoint: str,
        program: dict[str, str],
        schedule_task_id: str,
        guard_task_ids: list[str],
        approved_task_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.delete_endpoint = endpoint
        self.program = program
        self.schedule_task_id = schedule_task_id
        self.guard_task_ids = guard_task_ids
        self.approved_task_id = approved_task_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Decide by the states of the tasks, then keep or delete."""
        from airflow_provider_braze.hooks.errors import airflow_errors

        instance: Any = context["ti"]
        states = self._states(instance)
        reason = "the states of the tasks cannot be read" if states is None else self._reason(states)
        ids = instance.xcom_pull(task_ids=self.schedule_task_id, key="schedule_ids")
        if not reason:
            self.log.info("The guard has succeeded, %d schedules stay.", len(ids or ()))
            return {"deleted": 0, "kept": len(ids or ())}
        self.log.warning("What is scheduled is deleted: %s.", reason)
        due = instance.xcom_pull(task_ids=self.schedule_task_id, key="due_from")
        with airflow_errors(repeatable=True):
            deleted = self._delete(self._ids(ids, states), due)
        if states is None:
            # Another try might read them, and would report as kept what is deleted.
            raise AirflowFailException(
                f"{deleted} schedules were deleted: {reason}. Clear the group to make them anew."
            )
        return {"deleted": deleted, "kept": 0}

    def _states(self, instance: Any) -> dict[str, str] | None:
        """Read the states of the tasks; None where Airflow cannot be asked."""
        wanted = [self.schedule_task_id, *self.guard_task_ids, self.approved_task_id]
        for pause in (1, 5, 0):
            try:
                found = instance.get_task_states(
                    dag_id=instance.dag_id, task_ids=wanted, run_ids=[instance.run_id]
                ).get(instance.run_id, {})
                return {name: str(getattr(state, "value", state)) for name, state in found.items()}
            except Exception as error:
                self.log.warning("The states of the tasks cannot be read: %r", error)
                time.sleep(pause)
        return None

    def _reason(self, states: dict[str, str]) -> str:
        """Say why the schedules are not wanted; empty where they are."""
        if (state := states.get(self.schedule_task_id)) != "success":
            return f"{self.schedule_task_id} is {state}"
        for name in self.guard_task_ids:
            # A mapped task has a state for each part, and none where it was skipped before it was expanded.
            parts = [state for part, state in states.items() if part == name or part.startswith(f"{name}_")]
            if set(parts) != {"success"}:
                return f"{name} is {', '.join(sorted(set(parts))) or 'not there'}"
        state = states.get(self.approved_task_id)
        return f"the guard said no ({self.approved_task_id} is {state})" if state in _SAYS_NO else ""

    def _ids(self, ids: list[str] | None, states: dict[str, str] | None) -> list[str]:
        from airflow_provider_braze.api.errors import BrazeConfigurationError

        if ids is None and (states is None or states.get(self.schedule_task_id) in _BEGAN):
            raise BrazeConfigurationError(
                f"{self.schedule_task_id} left no ids of what it may have scheduled, so nothing can be deleted: look "
                "into Braze, or clear the group with a ledger that knows them."
            )
        return list(ids or ())

    def _delete(self, ids: list[str], due: str | None) -> int:
        from airflow_provider_braze.api.errors import BrazeConfigurationError
        from airflow_provider_braze.delivery.pacing import Pacer
        from airflow_provider_braze.delivery.schedule_calls import Called, ScheduleCalls

        calls, total = ScheduleCalls(self.hook.get_async_conn, Pacer), Called()
        # Late is better than not at all: with local times some may not have got it yet.
        for called in calls.each(self.delete_endpoint, self.program, ids, math.inf):
            for name in ("done", "gone", "errors"):
                getattr(total, name).extend(getattr(called, name))
        self.log.info("%d schedules deleted, %d were not there.", len(total.done), len(total.gone))
        total.raise_first()
        if total.gone and (due is None or datetime.fromisoformat(due) <= datetime.now(UTC)):
            raise BrazeConfigurationError(
                f"{len(total.gone)} of {len(ids)} schedules are not there any more, and their time has come: they may "
                "have been sent. Look into Braze."
            )
        return len(total.done)
