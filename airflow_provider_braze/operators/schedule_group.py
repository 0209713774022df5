"""Schedule, guard and teardown in one call: nobody is messaged unless the guard says so."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, TaskGroup, XCom

from airflow_provider_braze.operators.base import ForWorkspace
from airflow_provider_braze.operators.scheduling import Scheduling

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.delivery.schedule_calls import Called

_BEGAN = {"success", "failed", "running", "deferred", "up_for_retry"}
_FAILED = {"failed", "upstream_failed"}
_NO = {"skipped", *_FAILED}
_CALLED_OFF = "called_off"


def guarded_schedule(group_id: str, operator: type[Scheduling], /, **parameters: Any) -> GuardedSchedule:
    """Make a task group that schedules, and takes it back unless all is well.

    What is made inside of it is the guard::

        with guarded_schedule("launch", BrazeScheduleCampaignOperator, campaign_id=..., schedule=...) as launch:
            SQLCheckOperator(task_id="check_prices", ...)

        launch >> tell_the_team

    Its tasks: ``begin``, ``schedule``, yours, ``approved`` and ``call_off``. The last one is a teardown, which runs in
    any case. It deletes the schedules where a task of the guard failed or never ran, where a last one was skipped,
    where a short circuit said no, where scheduling itself failed halfway, and where the states of the tasks cannot be
    read. It keeps them where every last task of the guard succeeded, and none failed; teardowns do not count. The run
    fails where the guard failed, or where the schedules could not be deleted; it does not where the guard skips, or a
    short circuit says no. A mapped short circuit of which only some parts say no is no such word: let the task fail.

    What Braze refuses to delete may still go out: the teardown fails, is not tried again, and names it.

    Clear the group, or a task of the guard with all downstream: Airflow then clears the scheduling, too, which makes
    anew what was deleted. The key needs the permissions to create, update and delete schedules.

    :param group_id: name of the group; it begins the ids of its tasks.
    :param operator: what schedules, such as
        :class:`~airflow_provider_braze.operators.schedule.BrazeScheduleCampaignOperator`.
    :param parameters: of that operator, all but ``task_id``.
    :raises ValueError: the operator schedules nothing; it has ``wait_until_sent``: the guard would come after the
        messages; nothing was made inside of the group; or the DAG has a ``dagrun_timeout``: Airflow skips teardowns,
        too, where it is over, and the messages would go out. A guard may have an ``execution_timeout``.
    """
    if not issubclass(operator, Scheduling):
        raise ValueError(
            f"{operator.__name__} schedules nothing that could be taken back: give one such as "
            "BrazeScheduleCampaignOperator."
        )
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
        try:
            self._begin = EmptyOperator(task_id="begin")
            self.schedule_task = self._operator(task_id="schedule", **self._parameters)
            self._check()
        except BaseException as error:
            super().__exit__(type(error), error, None)  # type: ignore[no-untyped-call]
            raise
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

    def _check(self) -> None:
        """Refuse what would let messages go out unguarded; the DAG's ``default_args`` count, too."""
        if self.schedule_task.wait_until_sent:
            raise ValueError(
                "wait_until_sent does not go with a guard, which would run after the messages have gone out."
            )
        if self.dag.dagrun_timeout is not None:
            raise ValueError(
                f"Group {self.group_id!r} cannot guard in a DAG with dagrun_timeout: where that is over, Airflow skips "
                "all tasks that have not ended, the teardown too, and the messages go out unguarded. Give the tasks of "
                "the guard an execution_timeout instead."
            )

    def _close(self) -> None:
        from airflow.providers.standard.operators.empty import EmptyOperator

        made = [task for name, child in self.children.items() if name not in self._own for task in _tasks(child)]
        # Teardowns run in any case, and say nothing.
        guard = [task for task in made if not task.is_teardown]
        if not guard:
            raise ValueError(
                f"Group {self.group_id!r} has no guard: make a task inside of it that looks, and may say no. Teardowns "
                "are none."
            )
        inside = {task.task_id for task in made}
        looks = {task.task_id for task in guard}
        roots = [task for task in made if task.upstream_task_ids.isdisjoint(inside)]
        leaves = [task for task in guard if task.downstream_task_ids.isdisjoint(looks)]
        approved = EmptyOperator(task_id="approved")
        call_off = CallOff(
            task_id="call_off",
            braze_conn_id=self.schedule_task.braze_conn_id,
            workspace=self.schedule_task.workspace,
            endpoint=self.schedule_task.endpoint.replace("_create", "_delete"),
            schedule_task_id=self.schedule_task.task_id,
            guard_task_ids=sorted(looks),
            last_task_ids=[leaf.task_id for leaf in leaves],
            approved_task_id=approved.task_id,
        )
        self.schedule_task >> roots
        leaves >> approved
        leaves >> call_off
        # A setup of its own that succeeds: the teardown is to run where scheduling failed halfway, too.
        call_off.as_teardown(setups=[self._begin, self.schedule_task], on_failure_fail_dagrun=True)


def _tasks(child: Any) -> list[Any]:
    return list(child.iter_tasks()) if isinstance(child, TaskGroup) else [child]


class CallOff(ForWorkspace):
    """Deletes the schedules of a task, unless its guard succeeded: no task of it failed, the last ones are all well.

    :param endpoint: that deletes one schedule.
    :param schedule_task_id: the task that scheduled; it says of what in its XCom ``program``.
    :param guard_task_ids: the tasks of the guard.
    :param last_task_ids: the last ones of them.
    :param approved_task_id: the task after them, which a short circuit skips.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        schedule_task_id: str,
        guard_task_ids: list[str],
        last_task_ids: list[str],
        approved_task_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.delete_endpoint = endpoint
        self.schedule_task_id = schedule_task_id
        self.guard_task_ids = guard_task_ids
        self.last_task_ids = last_task_ids
        self.approved_task_id = approved_task_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Decide by the states of the tasks, then keep or delete."""
        from airflow_provider_braze.hooks.errors import airflow_errors

        instance: Any = context["ti"]
        states = self._states(instance)
        reason = "the states of the tasks cannot be read" if states is None else self._reason(states)
        ids = self._left(instance, "schedule_ids")
        if not reason:
            self.log.info("The guard has succeeded, %d schedules stay.", len(ids or ()))
            return {"deleted": 0, "kept": len(ids or ())}
        with airflow_errors(repeatable=True):
            known = self._ids(ids, states)
            what = "What is scheduled is deleted" if known else "Nothing is scheduled, so nothing is deleted"
            self.log.warning("%s: %s.", what, reason)
            if known:
                self.check_workspace_if_possible()
            deleted = self._delete(known, instance)
        if states is None:
            # Another try might read them, and would report as kept what is deleted.
            raise AirflowFailException(
                f"{deleted} schedules were deleted: {reason}. Clear the group to make them anew."
            )
        return {"deleted": deleted, "kept": 0}

    def _left(self, instance: Any, key: str) -> Any:
        """Read what the scheduling task left, in a mapped task group that of the same part."""
        where = {"map_indexes": instance.map_index} if instance.map_index >= 0 else {}
        return instance.xcom_pull(task_ids=self.schedule_task_id, key=key, **where)

    def _states(self, instance: Any) -> dict[str, list[str]] | None:
        """Read the states of the tasks, by their ids; None where Airflow cannot be asked."""
        wanted = [self.schedule_task_id, *self.guard_task_ids, self.approved_task_id]
        mapped = {"map_index": instance.map_index} if instance.map_index >= 0 else {}
        for pause in (1, 5, 0):
            try:
                found = instance.get_task_states(
                    dag_id=instance.dag_id, task_ids=wanted, run_ids=[instance.run_id], **mapped
                ).get(instance.run_id, {})
                return _by_task(wanted, found, instance.map_index)
            except Exception as error:
                self.log.warning("The states of the tasks cannot be read: %r", error)
                time.sleep(pause)
        return None

    def _reason(self, states: dict[str, list[str]]) -> str:
        """Say why the schedules are not wanted; empty where they are."""
        if states[self.schedule_task_id] != ["success"]:
            return f"{self.schedule_task_id} is {_said(states[self.schedule_task_id])}"
        for name in self.guard_task_ids:
            # What comes after it may run all the same.
            if not _FAILED.isdisjoint(states[name]):
                return f"{name} is {_said(states[name])}"
        for name in self.last_task_ids:
            # None where a mapped task was skipped before it was expanded.
            if set(states[name]) != {"success"}:
                return f"{name} is {_said(states[name])}"
        approved = states[self.approved_task_id]
        return "" if _NO.isdisjoint(approved) else f"the guard said no ({self.approved_task_id} is {_said(approved)})"

    def _ids(self, ids: list[str] | None, states: dict[str, list[str]] | None) -> list[str]:
        from airflow_provider_braze.api.errors import BrazeConfigurationError

        if ids is None and (states is None or not _BEGAN.isdisjoint(states[self.schedule_task_id])):
            raise BrazeConfigurationError(
                f"{self.schedule_task_id} left no ids of what it may have scheduled, so nothing can be deleted: look "
                "into Braze, or clear the group with a ledger that knows them."
            )
        return list(ids or ())

    def _delete(self, ids: list[str], instance: Any) -> int:
        from airflow_provider_braze.api.errors import BrazeConfigurationError
        from airflow_provider_braze.delivery.schedule_calls import Called, ScheduleCalls

        calls, total = ScheduleCalls(self.hook.get_async_conn, self.make_pacer), Called()
        program, due = self._left(instance, "program") or {}, self._left(instance, "due_from")
        is_due = datetime.fromisoformat(due) <= datetime.now(UTC) if due else None
        before = self._left(instance, _CALLED_OFF)
        # A try that is cut short from here on may have deleted any of them.
        self._note(instance, ids)
        # Late is better than not at all: with local times some may not have got it yet.
        for called in calls.each(self.delete_endpoint, program, ids, math.inf):
            total.add(called)
        if before:
            # Who cleared this task has looked into Braze.
            total.take_for_gone(before["ids"] if before["max_tries"] == instance.max_tries else ids)
        self._note(instance, [*total.done, *total.gone, *total.lost])
        self.log.info("%d schedules deleted, %d were not there.", len(total.done), len(total.gone))
        self._check_refused(total, len(ids), may_be_sent=bool(is_due))
        total.raise_first()
        if total.gone and is_due is not False:
            raise BrazeConfigurationError(
                f"{len(total.gone)} of {len(ids)} schedules are not there any more, and their time has come: they may "
                "have been sent. Look into Braze."
            )
        return len(total.done)

    def _note(self, instance: Any, ids: list[str]) -> None:
        """Note for the next try which are, or may be, deleted: beside their ids, since its own XCom begins empty."""
        where = {"dag_id": instance.dag_id, "run_id": instance.run_id, "map_index": instance.map_index}
        value = {"ids": ids, "max_tries": instance.max_tries}
        try:
            XCom.set(_CALLED_OFF, value, task_id=self.schedule_task_id, **where)
        except Exception as error:
            # To delete matters more; without it another try only asks for a person too soon.
            self.log.warning("What is deleted could not be noted: %r", error)

    def _check_refused(self, total: Called, count: int, *, may_be_sent: bool) -> None:
        """Fail, and not be tried again, where what Braze refused to delete may go out.

        :param may_be_sent: whether the time of the first message has come, after which Braze refuses that, too.

        :raises AirflowFailException: it refused to.
        """
        if not total.refused:
            return
        error = next(iter(total.refused.values()))
        fate = "their time has come, and they may have been sent" if may_be_sent else "they may go out"
        raise AirflowFailException(
            f"{len(total.refused)} of {count} schedules could NOT be deleted: {fate}. Look into Braze, delete "
            f"there what still waits, and clear this task: {', '.join(total.refused)}. Braze said: {error}"
        ) from error


def _by_task(names: list[str], found: Mapping[str, Any], map_index: int) -> dict[str, list[str]]:
    """Sort states by tasks. Airflow gives parts of a mapped task, or of any in a mapped task group, as ``name_0``."""
    states: dict[str, list[str]] = {name: [] for name in names}
    for key, state in found.items():
        name = key if key in states and map_index < 0 else re.sub(r"_\d+$", "", key)
        if name in states:
            states[name].append(str(getattr(state, "value", state)))
    return states


def _said(states: list[str]) -> str:
    return ", ".join(sorted(set(states))) or "not there"
