"""What each served endpoint does with a valid request: one function per endpoint id of the contract."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.faults import Fault
from airflow_provider_braze.emulator.problems import INVALID_CAMPAIGN, Problem
from airflow_provider_braze.emulator.quota import is_broadcast
from airflow_provider_braze.emulator.sending import deliver
from airflow_provider_braze.emulator.specification import EndpointSpec
from airflow_provider_braze.emulator.state import State

JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; ``status`` None stands for a connection dropped without one."""

    status: int | None
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(body, ensure_ascii=False).encode(), {**JSON, **(headers or {})})


def refusal(status: int, message: str, *details: str) -> Answer:
    """Braze's envelope of a fatal error: the wire message, and the details as ``errors``."""
    return json_answer(status, {"message": message, **({"errors": list(details)} if details else {})})


def refuse(problems: list[Problem]) -> Answer:
    """A 400 that says everything at once; the first problem gives the wire message."""
    return refusal(400, problems[0].message, *(problem.detail for problem in problems))


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed validation; ``fault`` is the one it suffers, if any."""

    state: State
    endpoint: EndpointSpec
    body: Mapping[str, Any]
    query: Mapping[str, str]
    fault: Fault | None

    def fault_of(self, kind: str) -> Mapping[str, Any] | None:
        """The options of the fault where it is of this kind."""
        return self.fault.options if self.fault is not None and self.fault.kind == kind else None


Handler = Callable[[Call], Answer]
HANDLERS: dict[str, Handler] = {}


def serves(endpoint_id: str) -> Callable[[Handler], Handler]:
    """Register a handler under the contract's endpoint id."""

    def keep(handler: Handler) -> Handler:
        HANDLERS[endpoint_id] = handler
        return handler

    return keep


@serves("campaigns_trigger_send")
def trigger_campaign_send(call: Call) -> Answer:
    """Deliver an API-triggered campaign."""
    campaign = call.state.workspace.campaigns.get(call.body["campaign_id"])
    if campaign is None:
        return refuse([Problem(f"no campaign has the id {call.body['campaign_id']!r}", INVALID_CAMPAIGN)])
    dispatch_id = secrets.token_hex(16)
    answer: dict[str, Any] = {"dispatch_id": dispatch_id, "message": "success"}
    send_id = call.body.get("send_id")
    if send_id or is_broadcast(call.body):
        answer["send_id"] = send_id or secrets.token_hex(12)
    call.state.journal.accepted_recipients += len(call.body.get("recipients") or ())
    if (notice := _notice(call, campaign.state)) is not None:
        return json_answer(call.endpoint.success_status, {**answer, "notice": notice})
    errors = call.fault_of("errors_in_201")
    withheld = frozenset(errors["indexes"]) if errors else frozenset()
    deliver(call.state, campaign, call.body, dispatch_id, withheld)
    if errors:
        answer["errors"] = [_item_error(place, errors) for place in sorted(withheld)]
    return json_answer(call.endpoint.success_status, answer)


def _notice(call: Call, campaign_state: str) -> str | None:
    """A draft is treated as paused: the docs are silent, and a draft must not reach anybody."""
    if fault := call.fault_of("notice_in_201"):
        return str(fault["text"])
    if campaign_state == "active":
        return None
    return f"The campaign is {campaign_state}. The request was accepted, no messages were sent."


def _item_error(place: int, options: Mapping[str, Any]) -> Any:
    if options["style"] == "objects":
        return {"type": options["text"], "input_array": "recipients", "index": place}
    return f"recipients[{place}]: {options['text']}"


PAGE_SIZE = 100
_NEVER = datetime.min.replace(tzinfo=UTC)


@serves("campaigns_list")
def list_campaigns(call: Call) -> Answer:
    """List campaigns, 100 to a page, oldest edit first unless asked otherwise."""
    archived_too = call.query.get("include_archived", "").lower() == "true"
    after = parse_time(call.query.get("last_edit.time[gt]")) or _NEVER
    found = [
        campaign
        for campaign in call.state.workspace.campaigns.values()
        if (archived_too or campaign.state != "archived") and (campaign.last_edited or _NEVER) >= after
    ]
    found.sort(key=lambda one: one.last_edited or _NEVER, reverse=call.query.get("sort_direction") == "desc")
    start = int(call.query.get("page", 0)) * PAGE_SIZE
    rows = [
        {
            "id": campaign.id,
            "last_edited": campaign.last_edited.isoformat() if campaign.last_edited else None,
            "name": campaign.name,
            "is_api_campaign": campaign.is_api_campaign,
            "tags": list(campaign.tags),
        }
        for campaign in found[start : start + PAGE_SIZE]
    ]
    return json_answer(call.endpoint.success_status, {"message": "success", "campaigns": rows})
