"""Asks Braze what became of a request whose answer was lost.

Braze keeps for each user when they last got a campaign or entered a Canvas (``/users/export/ids``); newer than the
intent means that they got it. See https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/.
Messages without a campaign, schedules, live activities and broadcasts leave no such trace.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from airflow_provider_braze.api.client import AsyncBrazeClient, encode, find_endpoint, validate
from airflow_provider_braze.api.endpoints import Endpoint
from airflow_provider_braze.delivery.anonymous import without_names
from airflow_provider_braze.delivery.bodies import people_of
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.pacing import Pacer
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.request import PlannedRequest
from airflow_provider_braze.delivery.sender import NOT_BEGUN, Sender, Stop
from airflow_provider_braze.delivery.traces import TRACES, has_received, is_user, questions_about

log = logging.getLogger(__name__)


class Reconciler:
    """Asks for the recipients of one plan.

    :param stop: ends the waiting.
    :param settling_time: seconds after a request left at the latest, before which Braze is not asked about it.
    :param max_per_second: how many questions a second at most; None for any number.
    """

    def __init__(
        self,
        client: AsyncBrazeClient,
        plan: Plan,
        stop: Stop,
        settling_time: float,
        max_per_second: float | None = None,
    ) -> None:
        self._plan, self._stop, self._settling_time = plan, stop, settling_time
        # The export has a quota of its own, and asking twice harms nobody.
        export = find_endpoint("users_export_ids")
        pacer = Pacer(reserve=0.0, max_per_second=max_per_second)
        self._sender = Sender(client, export, pacer, stop, repeat_unknown=True)

    def wait(self, left_at: float) -> float:
        """Say how many seconds are left until Braze may be asked.

        :param left_at: by when the latest request had left, in epoch seconds, perhaps in the future.
        """
        return left_at + self._settling_time - time.time()

    async def received(self, request: PlannedRequest, since: float, until: float) -> set[int] | None:
        """Find out who got a request's message.

        :param since: when the first request may have left, in epoch seconds.
        :param until: instant of ``time.monotonic`` after which nothing more is asked.
        :return: places of the recipients who got it; None where it cannot be told now.
        """
        body = json.loads(request.body)
        trace, program = next((trace, body[trace.kind]) for trace in TRACES.values() if body.get(trace.kind))
        got: set[int] = set()
        for places, question in questions_about(people_of(self._plan.endpoint, request.body), trace):
            users = await self._ask(request, question, until)
            if users is None:
                return None
            try:
                reached = [user for user in users if has_received(user, trace, program, since, by_send=True)]
            except (AttributeError, TypeError, ValueError):
                self._stop.now("Braze's answer to who got it cannot be read")
                return None
            got |= {place for place, whom in places.items() if any(is_user(whom, user) for user in reached)}
        log.info("Request %d: %d of %d recipients got it.", request.place + 1, len(got), request.recipients)
        return got

    async def _ask(
        self, request: PlannedRequest, question: dict[str, Any], until: float
    ) -> list[dict[str, Any]] | None:
        export: Endpoint = self._sender.endpoint
        sent = await self._sender.send(encode(export, validate(export, question)), until=until)
        users = sent.body.get("users")
        if (
            sent.outcome is Outcome.ACCEPTED
            and isinstance(users, list)
            and all(isinstance(user, dict) for user in users)
        ):
            return users
        if sent is not NOT_BEGUN:
            reason = (
                without_names(sent.error, self._plan.endpoint, request.body)
                if sent.error
                else "its answer cannot be read"
            )
            self._stop.now(f"Braze could not be asked who got it: {reason}")
        return None
