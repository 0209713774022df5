"""The transactional email: one person per call, and a key of the caller's own that prevents a second send."""

from __future__ import annotations

import secrets
from typing import Any

from airflow_provider_braze.emulator.calls import Answer, Call, serves
from airflow_provider_braze.emulator.dashboard import Campaign
from airflow_provider_braze.emulator.firing import shipment_of
from airflow_provider_braze.emulator.handlers.sends import swallowed_by
from airflow_provider_braze.emulator.problems import NO_CAMPAIGN, Problem, Refused
from airflow_provider_braze.emulator.references import Sent
from airflow_provider_braze.emulator.sending import deliver


@serves("transactional_send")
def send_transactional(call: Call) -> Answer:
    """Send once per external_send_id in 24 hours; a repeat gets the first answer, whatever else it says."""
    state, body = call.state, call.body
    campaign = _campaign(call)
    reference = body.get("external_send_id")
    if reference is not None and (sent := state.external_send_ids.find(reference, state.clock.now())):
        if sent.campaign_id != campaign.id:
            # The key counts in the whole workspace: the reading that sends less.
            raise Refused(Problem(f"the external_send_id {reference!r} is already queued for another campaign"))
        return call.answer(sent.answer)
    dispatch_id = secrets.token_hex(16)
    metadata = {"external_send_id": reference} if reference is not None else {}
    answer = {
        "dispatch_id": dispatch_id,
        "status": "sent",
        "metadata": {**metadata, "campaign_api_id": campaign.id},
    }
    state.journal.accepted_recipients += 1
    fault = call.fault_of("errors_in_201") or call.fault_of("notice_in_201")
    if fault is None:
        _deliver(call, campaign, dispatch_id)
    if reference is not None:
        state.external_send_ids.keep(reference, Sent(campaign.id, state.clock.now(), answer))
    return call.answer(answer)


def _campaign(call: Call) -> Campaign:
    """Paused and archived are errors here, where a trigger send answers with a notice."""
    campaign_id = call.path["campaign_id"]
    campaign = call.state.workspace.campaigns.get(campaign_id)
    if campaign is None:
        raise Refused(Problem(f"no campaign has the id {campaign_id!r}", NO_CAMPAIGN))
    if not campaign.is_transactional:
        raise Refused(Problem(f"the campaign {campaign_id!r} is not transactional", "Campaign is not transactional"))
    if campaign.state != "active":
        raise Refused(Problem(f"the campaign is {campaign.state}, nothing was sent", f"Campaign is {campaign.state}"))
    return campaign


def _deliver(call: Call, campaign: Campaign, dispatch_id: str) -> None:
    """An unknown external id with any attributes makes a profile; everybody gets it, also the unsubscribed."""
    recipient = dict(call.body["recipient"])
    if recipient.get("attributes") and recipient.get("external_user_id") is not None:
        recipient["send_to_existing_only"] = False
    properties: Any = call.body.get("trigger_properties") or {}
    request = {"recipients": [recipient], "trigger_properties": properties, "recipient_subscription_state": "all"}
    deliver(call.state, shipment_of(call.state, campaign, request, dispatch_id, swallowed=swallowed_by(call)))
