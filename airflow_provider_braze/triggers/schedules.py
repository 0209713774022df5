"""The trigger of a task that has scheduled messages: whoever ends its wait calls them off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow_provider_braze.api.client import AsyncBrazeClient

# What could not be deleted is named soon. After 30 seconds Airflow cancels it, which it outlives.
PATIENCE = 25.0
# Sixteen at a time, each may take four seconds.
PATIENCE_PER_SCHEDULE = 0.25
LOOK_EVERY = 60.0
_TRIES = 4
_HAS_ON_KILL = hasattr(BaseTrigger, "on_kill")
# An event loop itself keeps only weak references to its tasks.
_UNDER_WAY: set[asyncio.Task[None]] = set()


class BrazeScheduleTrigger(BaseTrigger):
    """Waits until a moment; deletes the schedules where a person clears the waiting task, or marks it failed.

    Marked a success, the task leaves them as they are. So does a triggerer that stops or hands the trigger on. Where
    many are to be deleted, it may stop in the middle of it: a cleared task deletes the others when it runs again.

    :param braze_conn_id: Airflow connection of type ``braze``.
    :param endpoint: that deletes one schedule, such as ``"campaigns_trigger_schedule_delete"``.
    :param fields: what it takes beside ``schedule_id``.
    :param schedule_ids: the schedules.
    :param moment: until when to wait, in ISO 8601.
    :param report: what the task is to return, in its event: ``dag.test()`` drops a deferral's own kwargs.
    """

    def __init__(
        self,
        *,
        braze_conn_id: str,
        endpoint: str,
        fields: Mapping[str, str],
        schedule_ids: list[str],
        moment: str,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.braze_conn_id = braze_conn_id
        self.endpoint = endpoint
        self.fields = dict(fields)
        self.schedule_ids = schedule_ids
        self.moment = moment
        self.report = report
        self._is_over = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what Airflow stores: plain JSON."""
        names = ("braze_conn_id", "endpoint", "fields", "schedule_ids", "moment", "report")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; clocks may be set and machines may sleep, so the time is looked at now and then."""
        moment = datetime.fromisoformat(self.moment)
        while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
            await asyncio.sleep(min(left, LOOK_EVERY))
        self._is_over = True
        yield TriggerEvent({"moment": self.moment, "report": self.report})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Call the schedules off, unless the task was marked a success (Airflow 3.3 and newer)."""
        if not self._is_over and self.schedule_ids:
            await _to_the_end(self._end(otherwise=True))

    async def cleanup(self) -> None:
        """Do the same on Airflow 3.1 and 3.2, where it is called at any end and the state alone tells which."""
        if not _HAS_ON_KILL and not self._is_over and self.schedule_ids:
            # A triggerer that stops may not be able to ask; the task then goes on in another one.
            await _to_the_end(self._end(otherwise=False))

    async def _is_given_up(self, *, otherwise: bool) -> bool:
        """Tell whether the task was cleared or failed, by its state.

        :param otherwise: the answer where Airflow cannot be asked.
        """
        try:
            state = await self._state()
        except Exception as error:
            self.log.error("The state of the task cannot be read (%r), schedules are deleted: %s", error, otherwise)
            return otherwise
        # A triggerer that is thought dead sees its triggers go as if a person had ended them.
        return state not in ("deferred", "success")

    async def _state(self) -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
        from asgiref.sync import sync_to_async

        task: Any = self.task_instance
        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
        )
        name = task.task_id if task.map_index < 0 else f"{task.task_id}_{task.map_index}"
        state = states.get(task.run_id, {}).get(name)
        return None if state is None else str(getattr(state, "value", state))

    async def _end(self, *, otherwise: bool) -> None:
        if not await self._is_given_up(otherwise=otherwise):
            self.log.info("The wait has ended, %d schedules stay as they are.", len(self.schedule_ids))
            return
        left = list(self.schedule_ids)
        self.log.info("The task was cleared or failed: its %d schedules are deleted.", len(left))
        try:
            async with asyncio.timeout(max(PATIENCE, PATIENCE_PER_SCHEDULE * len(left))):
                await self._delete(left)
        except Exception as error:
            self.log.error("%s: %s", type(error).__name__, error)
        finally:
            if left:
                count = f"{len(left):,} of {len(self.schedule_ids):,}"
                self.log.error("%s schedules could NOT be deleted, delete them in Braze: %s", count, ", ".join(left))
            else:
                self.log.info("All %d schedules are deleted.", len(self.schedule_ids))

    async def _delete(self, left: list[str]) -> None:
        """Delete several at a time; who is done is taken off the list."""
        from airflow_provider_braze.hooks.braze import BrazeHook

        async with await BrazeHook(self.braze_conn_id).aget_async_conn() as client:
            lanes = asyncio.Semaphore(client.lanes)

            async def one(schedule_id: str) -> None:
                async with lanes:
                    if await self._delete_one(client, schedule_id):
                        left.remove(schedule_id)

            await asyncio.gather(*(one(schedule_id) for schedule_id in self.schedule_ids))

    async def _delete_one(self, client: AsyncBrazeClient, schedule_id: str) -> bool:
        from airflow_provider_braze.api.errors import BrazeError, BrazeRateLimitError
        from airflow_provider_braze.delivery.outcome import Outcome, outcome_of
        from airflow_provider_braze.delivery.schedule_calls import is_refusal

        was_lost = False
        for attempt in range(_TRIES):
            try:
                await client.call(self.endpoint, {**self.fields, "schedule_id": schedule_id})
            except BrazeError as error:
                if is_refusal(error):
                    if was_lost:
                        self.log.info("Schedule %s is deleted, the answer to it was lost.", schedule_id)
                    else:
                        # It may be gone, or wait still: only a person can tell.
                        self.log.error("Schedule %s: %s", schedule_id, error)
                    return was_lost
                self.log.warning("Schedule %s: %s", schedule_id, error)
                was_lost |= outcome_of(error) is Outcome.UNKNOWN
                # Of other errors it is when the quota begins anew.
                wished = error.retry_after if isinstance(error, BrazeRateLimitError) else None
                await asyncio.sleep(max(2.0**attempt / 4, wished or 0))
            else:
                return True
        return False


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Go on where it is cancelled: Airflow 3.3 cancels a trigger each second until it has ended, its on_kill too."""
    task = asyncio.create_task(work)
    _UNDER_WAY.add(task)
    task.add_done_callback(_UNDER_WAY.discard)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
