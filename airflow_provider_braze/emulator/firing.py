"""Fires the schedules whose time has come. Called before anything looks, so that no thread has to wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_braze.emulator.contents import of_messages, of_program
from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.profiles import Profile
from airflow_provider_braze.emulator.programs import audiences_of
from airflow_provider_braze.emulator.scheduling import Scheduled, zone_of
from airflow_provider_braze.emulator.sending import Shipment, deliver, named_people
from airflow_provider_braze.emulator.state import State


def shipment_of(
    state: State, program: Program | None, body: Mapping[str, Any], dispatch_id: str, **more: Any
) -> Shipment:
    """What a send or schedule request asks for."""
    messages = body.get("messages")
    by_program = messages is None and program is not None
    details = {"send_id": body.get("send_id"), **more}
    return Shipment(
        source=of_program(program) if by_program and program else of_messages(messages or {}, program),
        body=body,
        dispatch_id=dispatch_id,
        audiences=audiences_of(state, program, body),
        subscription=body.get("recipient_subscription_state") or "subscribed",
        send_key=state.send_ids.key(details["send_id"], body.get("campaign_id")),
        **details,
    )


def catch_up(state: State) -> None:
    """Deliver what became due since the last look; each message carries the time it was due at."""
    now = state.clock.now()
    due = state.schedules.due(now)
    for scheduled in due:
        _fire(state, scheduled, now)
    if due:
        state.schedules.settle()
        state.touch()


def _fire(state: State, scheduled: Scheduled, now: float) -> None:
    """The campaign or Canvas counts as it is now: one that was paused since then reaches nobody."""
    program = _program(state, scheduled)
    gone = program is None and scheduled.program_id is not None
    turns = _Turns(scheduled, now)
    if not (gone or scheduled.blocked or (program is not None and program.notice)):
        more = {"schedule_id": scheduled.id, "withheld": scheduled.withheld, "swallowed": scheduled.swallowed}
        shipment = shipment_of(state, program, scheduled.body, scheduled.dispatch_id, **more)
        scheduled.reached += len(deliver(state, shipment, turns.of))
    end = _end(state, scheduled)
    scheduled.asked |= turns.come
    scheduled.looked, scheduled.next = now, min(end, turns.next)
    if now >= end:
        state.schedules.end(scheduled, "fired", min(now, end))
    elif scheduled.reached:
        scheduled.state = "sending"


class _Turns:
    """Whose time has come since the last look.

    A local time that had passed for somebody before it was scheduled, or while the campaign was paused, passes them
    by: late is the wrong hour. So does a second turn of somebody who moves to another zone.
    """

    def __init__(self, scheduled: Scheduled, now: float) -> None:
        self._scheduled, self._now = scheduled, now
        self.come: set[str] = set()
        self.next = float("inf")

    def of(self, profile: Profile, attributes: Mapping[str, Any]) -> float | None:
        """When this person's time was; None where it is not now."""
        scheduled = self._scheduled
        when = scheduled.when
        if not when.in_local_time:
            return when.due
        due = when.due_in(zone_of({**profile.attributes, **attributes}, when.zone))
        if due > self._now:
            self.next = min(self.next, due)
            return None
        if due <= scheduled.looked or profile.identity in scheduled.asked:
            return None
        self.come.add(profile.identity)
        return due


def _program(state: State, scheduled: Scheduled) -> Program | None:
    if scheduled.program_id is None:
        return None
    known: Mapping[str, Program] = state.workspace.canvases if scheduled.kind == "canvas" else state.workspace.campaigns
    return known.get(scheduled.program_id)


def _end(state: State, scheduled: Scheduled) -> float:
    """When nobody can be due any more."""
    when = scheduled.when
    people = named_people(scheduled.body)
    if not when.in_local_time or not people:
        return when.last
    profiles = state.workspace.profiles
    facts = [{**getattr(profiles.find(one), "attributes", {}), **(one.get("attributes") or {})} for one in people]
    return max(when.due_in(zone_of(known, when.zone)) for known in facts)
