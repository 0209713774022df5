"""Live activities: start, update and end."""

from __future__ import annotations

import secrets

from airflow_provider_braze.emulator.calls import Answer, Call, serves
from airflow_provider_braze.emulator.contents import of_messages
from airflow_provider_braze.emulator.handlers.sends import errors_of, notice_of, swallowed_by, withheld_by
from airflow_provider_braze.emulator.journal import Source
from airflow_provider_braze.emulator.programs import audiences_of
from airflow_provider_braze.emulator.sending import Shipment, deliver


@serves("live_activity_start")
def start_live_activity(call: Call) -> Answer:
    """One activity for each person reached, with its notification; a second start alerts them again, and counts."""
    state, body = call.state, call.body
    request = {**body, "audience": body.get("custom_audience")}
    audiences = audiences_of(state, None, request)
    withheld, swallowed = withheld_by(call), swallowed_by(call)
    notice = notice_of(call, None)
    if notice is not None:
        return call.answer({"message": "success", "notice": notice})
    activity = state.live_activities.start(body["app_id"], body["activity_id"], state.clock.now(), body)
    parts = of_messages({"apple_push": body["notification"]}, None).parts
    source = Source("live_activity", body["activity_id"], f"Live activity {body['activity_id']}", parts)
    shipment = Shipment(
        source, request, secrets.token_hex(16), audiences, subscription="all", withheld=withheld, swallowed=swallowed
    )
    activity.people.update((profile.identity, None) for profile in deliver(state, shipment))
    return call.answer({"message": "success", **errors_of(call, withheld)})


@serves("live_activity_update")
def update_live_activity(call: Call) -> Answer:
    """An unknown id is accepted, for the app may have started it; it is shown where everyone is known."""
    state, body = call.state, call.body
    now = state.clock.now()
    notice = notice_of(call, None)
    if notice is not None:
        return call.answer({"message": "success", "notice": notice})
    activities = state.live_activities
    activity = activities.find(body["app_id"], body["activity_id"])
    if activity is None and state.workspace.profiles.everyone_is_known:
        activity = activities.start(body["app_id"], body["activity_id"], now, {"content_state": {}})
    if activity is not None:
        activities.update(activity, now, body)
    return call.answer({"message": "success"})
