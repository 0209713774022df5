"""Asks Braze what became of a request whose answer was lost.

Braze keeps for each user when a campaign or Canvas last reached them (``/users/export/ids``); newer than the intent
means that they got it. See https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/.
Messages without a campaign, schedules, live activities and broadcasts leave no such trace.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_braze.api.client import AsyncBrazeClient, encode, find_endpoint, validate
from airflow_provider_braze.api.endpoints import Endpoint
from airflow_provider_braze.delivery.bodies import people_of
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.pacing import Pacer
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.request import PlannedRequest
from airflow_provider_braze.delivery.sender import Sender, Stop

# Braze's clock and ours may differ: who got it shortly before the intent counts as messaged, rather than twice.
CLOCKS_DIFFER = 60.0
_TRACES = {
    "campaign_id": ("campaigns_received", "api_campaign_id", ("last_received",)),
    "canvas_id": ("canvases_received", "api_canvas_id", ("last_entered", "last_received_message")),
}
log = logging.getLogger(__name__)


class Reconciler:
    """Asks for the recipients of one plan.

    :param stop: ends the waiting.
    :param settling_time: seconds after the intent before which Braze is not asked.
    """

    def __init__(self, client: AsyncBrazeClient, plan: Plan, stop: Stop, settling_time: float) -> None:
        self._plan, self._stop, self._settling_time = plan, stop, settling_time
        # The export has a quota of its own, and asking twice harms nobody.
        export = find_endpoint("users_export_ids")
        self._sender = Sender(client, export, Pacer(reserve=0.0), stop, repeat_unknown=True)

    async def received(self, request: PlannedRequest, since: float, left_at: float) -> set[int] | None:
        """Find out who got a request's message.

        :param since: when the first request may have left, in epoch seconds.
        :param left_at: when the latest one left at the latest.
        :return: places of the recipients who got it; None where it cannot be told now.
        """
        wait = left_at + self._settling_time - time.time()
        if wait > 0:
            if self._stop.too_long(wait, "Braze needs time before it can be asked who got it"):
                return None
            log.info("Waiting %.0f s before Braze is asked who of request %d got it.", wait, request.place + 1)
            await self._stop.sleep(wait)
        kind, program = next((name, given) for name in _TRACES if (given := json.loads(request.body).get(name)))
        field, id_field, times = _TRACES[kind]
        got: set[int] = set()
        for places, question in _questions(people_of(self._plan.endpoint, request.body)):
            users = await self._ask(
                {**question, "fields_to_export": ["external_id", "user_aliases", "braze_id", "email", field]}
            )
            if users is None:
                return None
            try:
                reached = [user for user in users if _reached(user.get(field), id_field, program, times, since)]
            except (AttributeError, TypeError, ValueError):
                self._stop.now("Braze's answer to who got it cannot be read")
                return None
            got |= {place for place, whom in places.items() if any(_is(whom, user) for user in reached)}
        log.info("Request %d: %d of %d recipients got it.", request.place + 1, len(got), request.recipients)
        return got

    async def _ask(self, question: dict[str, Any]) -> list[dict[str, Any]] | None:
        export: Endpoint = self._sender.endpoint
        sent = await self._sender.send(encode(export, validate(export, question)))
        users = sent.body.get("users")
        if (
            sent.outcome is Outcome.ACCEPTED
            and isinstance(users, list)
            and all(isinstance(user, dict) for user in users)
        ):
            return users
        self._stop.now(f"Braze could not be asked who got it: {sent.error or 'its answer cannot be read'}")
        return None


def _questions(people: list[Mapping[str, Any]]) -> Iterator[tuple[dict[int, Mapping[str, Any]], dict[str, Any]]]:
    """Ask for ids and aliases together, for addresses and Braze's own ids one by one."""
    ids = {place: whom for place, whom in enumerate(people) if "external_user_id" in whom}
    aliases = {place: whom for place, whom in enumerate(people) if "user_alias" in whom}
    if ids:
        yield ids, {"external_ids": [str(whom["external_user_id"]) for whom in ids.values()]}
    if aliases:
        yield aliases, {"user_aliases": [whom["user_alias"] for whom in aliases.values()]}
    for place, whom in enumerate(people):
        if "email" in whom:
            yield {place: whom}, {"email_address": whom["email"]}
        elif "braze_id" in whom:
            yield {place: whom}, {"braze_id": whom["braze_id"]}


def _is(whom: Mapping[str, Any], user: Mapping[str, Any]) -> bool:
    if "external_user_id" in whom:
        return str(whom["external_user_id"]) == str(user.get("external_id"))
    if alias := whom.get("user_alias"):
        return any(
            known.get("alias_name") == alias["alias_name"] and known.get("alias_label") == alias["alias_label"]
            for known in user.get("user_aliases") or []
        )
    # Only they were asked for; whichever of the profiles with an address got it, the person did.
    return True


def _reached(received: Any, id_field: str, program: str, times: tuple[str, ...], since: float) -> bool:
    for entry in received or []:
        if str(entry.get(id_field)) == program:
            moments = [_epoch(entry[name]) for name in times if entry.get(name)]
            return any(moment >= since - CLOCKS_DIFFER for moment in moments)
    return False


def _epoch(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
