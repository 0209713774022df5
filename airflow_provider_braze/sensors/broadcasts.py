"""A sensor that waits for what Braze's dashboard has scheduled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_braze.guards import check_choice
from airflow_provider_braze.sensors.base import BrazeSensor
from airflow_provider_braze.sensors.checks import identifier, is_plain, moment

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.conditions.broadcasts import Broadcasts

Expected = Literal["scheduled", "nothing"]


class BrazeScheduledBroadcastSensor(BrazeSensor):
    """Wait until a campaign or Canvas is among what Braze will send, or until nothing is scheduled in a window.

    Returns ``{"broadcasts": [...]}``: what was found. Only what somebody scheduled in the dashboard is known, and of
    what recurs only the next time. A time on the users' own clocks is a span of 26 hours: "scheduled" wants all of it
    before ``before``, "nothing" none of it in the window. The key needs the permission
    ``messages.schedule_broadcasts``, and ``campaigns.details`` or ``canvas.details`` where one of them is meant.
    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/get_messages_scheduled/.

    :param expect: ``"scheduled"``, or ``"nothing"``.
    :param before: the end, as a ``datetime`` or ISO 8601 text; without a zone it is UTC. (templated)
    :param since: the beginning of the window, now by default; with ``expect="nothing"``. (templated)
    :param campaign_id: API identifier of the campaign that is meant; by default any with ``"nothing"``. (templated)
    :param canvas_id: API identifier of the Canvas that is meant, instead. (templated)
    """

    template_fields: Sequence[str] = (*BrazeSensor.template_fields, "before", "since", "campaign_id", "canvas_id")

    def __init__(
        self,
        *,
        expect: Expected,
        before: datetime | str,
        since: datetime | str | None = None,
        campaign_id: str | None = None,
        canvas_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("expect", expect, get_args(Expected))
        if campaign_id is not None and canvas_id is not None:
            raise ValueError("Give campaign_id or canvas_id, not both.")
        if expect == "scheduled" and campaign_id is None and canvas_id is None:
            raise ValueError("expect='scheduled' needs campaign_id or canvas_id: what is to be scheduled?")
        if expect == "scheduled" and since is not None:
            raise ValueError("since is for expect='nothing': what is scheduled counts from now on.")
        for name, given in (("before", before), ("since", since)):
            if is_plain(given):
                moment(name, given)
        self.expect = expect
        self.before = before
        self.since = since
        self.campaign_id = campaign_id
        self.canvas_id = canvas_id
        # A template may come to nothing: what is meant is decided by what the author gave.
        self._of = (
            None if campaign_id is None and canvas_id is None else "canvas" if campaign_id is None else "campaign"
        )

    def condition(self, context: Context) -> Broadcasts:  # noqa: ARG002
        """It is scheduled, or nothing is."""
        from airflow_provider_braze.conditions.broadcasts import Broadcasts

        return Broadcasts(
            expect=self.expect,
            before=moment("before", self.before).isoformat(),
            since=None if self.since is None else moment("since", self.since).isoformat(),
            of=self._of,
            program_id=None if self._of is None else identifier(f"{self._of}_id", getattr(self, f"{self._of}_id")),
        )
