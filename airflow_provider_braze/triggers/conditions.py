"""The trigger behind all sensors: it waits for a condition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow_provider_braze.conditions.base import Condition, Verdict
    from airflow_provider_braze.triggers.polls import Subscriber


class BrazeConditionTrigger(BaseTrigger):
    """Waits until a condition holds, or cannot hold any more.

    It keeps nothing that a restart of the triggerer could lose. All triggers in one triggerer that ask the same
    question over the same connection share one request per interval. Its event holds ``state`` (``met`` or ``failed``),
    ``text`` and ``result``, or else ``error``.

    :param braze_conn_id: Airflow connection of type ``braze``.
    :param condition: what :meth:`airflow_provider_braze.conditions.base.Condition.as_dict` gave.
    :param poll_interval: seconds between two questions.
    :param admitted: whether it is known that the wait can end.
    :param silent_fail: whether errors mean later, as the sensor's ``silent_fail`` says; a wait that cannot end well
        ends all the same.
    """

    def __init__(
        self,
        *,
        braze_conn_id: str,
        condition: dict[str, Any],
        poll_interval: float,
        admitted: bool = True,
        silent_fail: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.braze_conn_id = braze_conn_id
        self.condition = condition
        self.poll_interval = poll_interval
        self.admitted = admitted
        self.silent_fail = silent_fail

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what Airflow stores: plain JSON."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {
            "braze_conn_id": self.braze_conn_id,
            "condition": self.condition,
            "poll_interval": self.poll_interval,
            "admitted": self.admitted,
            "silent_fail": self.silent_fail,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask again and again, and end with the first verdict that is one."""
        from airflow_provider_braze.api.errors import BrazeError
        from airflow_provider_braze.conditions.errors import error_as_dict

        try:
            verdict = await self._verdict()
        except BrazeError as error:
            event: dict[str, Any] = {"error": error_as_dict(error)}
        else:
            event = {"state": verdict.state, "text": verdict.text, "result": verdict.result}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _verdict(self) -> Verdict:
        from airflow_provider_braze.api.errors import BrazeError
        from airflow_provider_braze.conditions.errors import LATER, BrazeWaitError
        from airflow_provider_braze.conditions.kinds import condition_from_dict
        from airflow_provider_braze.triggers.polls import Subscriber

        condition = condition_from_dict(self.condition)
        subscriber = Subscriber(self.braze_conn_id, self.poll_interval)
        not_now = (BrazeError,) if self.silent_fail else LATER
        standing = ""
        while True:
            next_round = asyncio.get_running_loop().time() + subscriber.interval
            try:
                answered, verdict = await self._look(condition, subscriber)
                if verdict.state != "waiting":
                    return verdict
                text = verdict.text
            except BrazeWaitError:
                raise
            except not_now as error:
                answered, text = False, f"The next time is later: {error}"
            if text != standing:
                self.log.info(text)
                standing = text
            if not answered:
                # Whatever went wrong, a round that awaits nothing would hold up every trigger of this triggerer.
                await asyncio.sleep(next_round - asyncio.get_running_loop().time())

    async def _look(self, condition: Condition, subscriber: Subscriber) -> tuple[bool, Verdict]:
        """Give the verdict, and whether anything was asked for it."""
        from airflow_provider_braze.conditions.asking import admit

        if not self.admitted:
            await admit(condition, subscriber.next, self.log)
            self.admitted = True
        answers = await subscriber.next(condition.questions(datetime.now(UTC)))
        return bool(answers), condition.judge(answers, datetime.now(UTC))
