"""Scheduled sends: created, updated, deleted; and the listing of what the dashboard has scheduled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.calls import Answer, Call, serves
from airflow_provider_braze.emulator.channel_rules import missing_variations
from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.handlers.sends import (
    errors_of,
    notice_of,
    send_id_of,
    swallowed_by,
    withheld_by,
)
from airflow_provider_braze.emulator.journal import iso
from airflow_provider_braze.emulator.problems import Problem, Refused
from airflow_provider_braze.emulator.programs import audiences_of, check_send_id, check_variations, program_of
from airflow_provider_braze.emulator.scheduling import Scheduled, midnight_utc, read_when
from airflow_provider_braze.emulator.sending import named_people

_KINDS = {
    "messages_schedule": "messages",
    "campaigns_trigger_schedule": "campaign",
    "canvas_trigger_schedule": "canvas",
}


@serves("messages_schedule_create", "campaigns_trigger_schedule_create", "canvas_trigger_schedule_create")
def create_schedule(call: Call) -> Answer:
    """A paused campaign or Canvas may be scheduled, with a notice: whether it reaches anybody is decided when due."""
    state, body = call.state, call.body
    program = program_of(state, body)
    if "messages" in body:
        check_variations(program, body["messages"])
    check_send_id(state, body)
    audiences_of(state, program, body)
    now = state.clock.now()
    send_id = send_id_of(call)
    scheduled = Scheduled(
        kind=_kind(call),
        program_id=program.id if program is not None else None,
        body={**body, "send_id": send_id} if send_id is not None else body,
        when=read_when(body["schedule"], now, state.workspace.time_zone),
        created=now,
        withheld=withheld_by(call),
        swallowed=swallowed_by(call),
        blocked=call.fault_of("notice_in_201") is not None,
    )
    state.schedules.add(scheduled)
    state.journal.accepted_recipients += len(named_people(body))
    answer = {"dispatch_id": scheduled.dispatch_id, "schedule_id": scheduled.id, "message": "success"}
    notice = notice_of(call, program.notice if program is not None else None)
    if notice is not None:
        answer["notice"] = notice
    return call.answer({**answer, **errors_of(call, scheduled.withheld)})


@serves("messages_schedule_update", "campaigns_trigger_schedule_update", "canvas_trigger_schedule_update")
def update_schedule(call: Call) -> Answer:
    """The whole schedule object is replaced, so are the messages; a local time that has passed somewhere stays."""
    state, body = call.state, call.body
    scheduled = _waiting(call)
    now = state.clock.now()
    if scheduled.when.in_local_time and scheduled.when.first <= now:
        scheduled.ignored_updates += 1
        return call.answer({"message": "success"})
    when = read_when(body["schedule"], now, state.workspace.time_zone) if body.get("schedule") is not None else None
    if body.get("messages") is not None:
        _replace_messages(call, scheduled)
    if when is not None:
        state.schedules.move(scheduled, when)
        scheduled.body = {**scheduled.body, "schedule": body["schedule"]}
    scheduled.updates += 1
    return call.answer({"message": "success"})


@serves("messages_schedule_delete", "campaigns_trigger_schedule_delete", "canvas_trigger_schedule_delete")
def delete_schedule(call: Call) -> Answer:
    """Before the send only; those in the first time zones may have got it."""
    scheduled = _waiting(call)
    call.state.schedules.end(scheduled, "deleted", call.state.clock.now())
    return call.answer({"message": "success"})


def _kind(call: Call) -> str:
    return _KINDS[call.endpoint.id.rpartition("_")[0]]


def _waiting(call: Call) -> Scheduled:
    """The schedule that the call is about; unknown, sent and deleted ones are refused, each in its own words."""
    schedule_id = call.body["schedule_id"]
    scheduled = call.state.schedules.find(schedule_id)
    if scheduled is None or scheduled.kind != _kind(call):
        raise Refused(Problem(f"no schedule of this endpoint has the schedule_id {schedule_id!r}"))
    for name in ("campaign_id", "canvas_id"):
        if name in call.body and call.body[name] != scheduled.body.get(name):
            raise Refused(Problem(f"the schedule {schedule_id!r} belongs to another {name}"))
    if scheduled.ended is not None:
        done = "was sent already" if scheduled.state == "fired" else "was deleted already"
        raise Refused(Problem(f"the schedule {schedule_id!r} {done}, {iso(scheduled.ended)}"))
    return scheduled


def _replace_messages(call: Call, scheduled: Scheduled) -> None:
    messages = call.body["messages"]
    program = program_of(call.state, scheduled.body)
    if program is not None and (problems := list(missing_variations(messages))):
        raise Refused(*problems)
    check_variations(program, messages)
    scheduled.body = {**scheduled.body, "messages": messages}


@serves("messages_scheduled_broadcasts")
def list_scheduled_broadcasts(call: Call) -> Answer:
    """What the dashboard has scheduled from now until midnight UTC of end_time; the API's schedules are not listed."""
    end = parse_time(call.query["end_time"])
    assert end is not None  # noqa: S101 - the validator saw to it
    workspace = call.state.workspace
    programs: list[Program] = [*workspace.campaigns.values(), *workspace.canvases.values()]
    now = call.state.clock.datetime()
    upcoming = [
        (one.next_send_time, _broadcast(one, str(workspace.time_zone)))
        for one in programs
        if one.state == "active" and one.next_send_time is not None and now <= one.next_send_time < midnight_utc(end)
    ]
    rows = [row for _, row in sorted(upcoming, key=lambda pair: pair[0])]
    return call.answer({"scheduled_broadcasts": rows})


def _broadcast(program: Program, time_zone: str) -> Mapping[str, Any]:
    moment = program.next_send_time
    text = moment.strftime("%Y-%m-%d %H:%M:%S") if moment is not None else ""
    return {
        "name": program.name,
        "id": program.id,
        "type": program.kind.capitalize(),
        "tags": list(program.tags),
        "next_send_time": text if program.schedule_type else f"{text} {moment.tzname() if moment else ''}",
        "schedule_type": program.schedule_type or time_zone,
    }
