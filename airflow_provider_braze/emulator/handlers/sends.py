"""The send endpoints, and the ids that group their analytics."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from airflow_provider_braze.emulator.calls import Answer, Call, json_answer, serves
from airflow_provider_braze.emulator.firing import shipment_of
from airflow_provider_braze.emulator.programs import (
    audiences_of,
    campaign_of,
    check_send_id,
    check_variations,
    program_of,
)
from airflow_provider_braze.emulator.quota import is_broadcast
from airflow_provider_braze.emulator.sending import deliver, named_people


@serves("campaigns_trigger_send", "canvas_trigger_send", "messages_send")
def send(call: Call) -> Answer:
    """Deliver at once; a campaign or Canvas that is not active takes the call and reaches nobody."""
    state, body = call.state, call.body
    program = program_of(state, body)
    if "messages" in body:
        check_variations(program, body["messages"])
    check_send_id(state, body)
    audiences_of(state, program, body)
    dispatch_id = secrets.token_hex(16)
    answer: dict[str, Any] = {"dispatch_id": dispatch_id, "message": "success"}
    send_id = send_id_of(call)
    if send_id is not None:
        answer["send_id"] = send_id
    withheld, swallowed = withheld_by(call), swallowed_by(call)
    details = {"send_id": send_id, "withheld": withheld, "swallowed": swallowed}
    shipment = shipment_of(state, program, body, dispatch_id, **details)
    state.journal.accepted_recipients += len(named_people(body))
    notice = notice_of(call, program.notice if program is not None else None)
    if notice is not None:
        return call.answer({**answer, "notice": notice})
    deliver(state, shipment)
    return call.answer({**answer, **errors_of(call, withheld)})


def send_id_of(call: Call) -> str | None:
    """The caller's send id, or the one that Braze makes for a broadcast of a campaign; it counts towards no quota."""
    body = call.body
    if body.get("send_id") is not None:
        return str(body["send_id"])
    if body.get("campaign_id") is None or not is_broadcast(body):
        return None
    send_id = secrets.token_hex(12)
    call.state.send_ids.create(send_id, body["campaign_id"], call.state.clock.now())
    return send_id


def notice_of(call: Call, notice: str | None) -> str | None:
    """The notice of the campaign or Canvas, or of the fault that pretends there is one."""
    fault = call.fault_of("notice_in_201")
    return str(fault["text"]) if fault else notice


def withheld_by(call: Call) -> frozenset[int]:
    """The places of the recipients whom the fault keeps from being messaged."""
    fault = call.fault_of("errors_in_201")
    return frozenset(fault["indexes"]) if fault else frozenset()


def swallowed_by(call: Call) -> frozenset[str]:
    """The people whom the fault keeps from being messaged, without a word in the answer."""
    fault = call.fault_of("swallowed")
    return frozenset(fault["recipients"]) if fault else frozenset()


def errors_of(call: Call, withheld: frozenset[int]) -> dict[str, Any]:
    """Non-fatal errors, as Braze would name them: by the list they came in."""
    fault = call.fault_of("errors_in_201")
    if fault is None:
        return {}
    given = [name for name in ("recipients", "external_user_ids", "user_aliases") if call.body.get(name)]
    return {"errors": [_item_error(place, given[0] if given else "recipients", fault) for place in sorted(withheld)]}


def _item_error(place: int, array: str, options: Mapping[str, Any]) -> Any:
    if options["style"] == "objects":
        return {"type": options["text"], "input_array": array, "index": place}
    return f"{array}[{place}]: {options['text']}"


@serves("sends_id_create")
def create_send_id(call: Call) -> Answer:
    """A pair that is there already is answered like a new one and draws nothing, so that a call may be repeated."""
    campaign = campaign_of(call.state, call.body)
    send_id = call.body.get("send_id") or secrets.token_hex(12)
    created = call.state.send_ids.create(send_id, campaign.id, call.state.clock.now())
    return json_answer(call.endpoint.success_status, {"message": "success", "send_id": send_id}, free=not created)
