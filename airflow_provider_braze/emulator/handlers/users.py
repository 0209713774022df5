"""The export of people by their ids: who exists, and what reached them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any

from airflow_provider_braze.emulator.calls import Answer, Call, serves
from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.profiles import Profile
from airflow_provider_braze.emulator.state import State

OWN_ATTRIBUTES = (
    *("first_name", "last_name", "gender", "dob", "country", "home_city", "language", "phone", "time_zone"),
    *("email_subscribe", "push_subscribe"),
)


@serves("users_export_ids")
def export_users(call: Call) -> Answer:
    """Known are those of the seed, those whom a request created, and those who were messaged."""
    found, invalid = _lookup(call.state, call.body)
    wanted = call.body.get("fields_to_export")
    late = call.fault_of("late_receipts")
    until = call.state.clock.now() - late["seconds"] if late else inf
    users = [_export(call.state, profile, wanted, until) for profile in found.values()]
    answer: dict[str, Any] = {"message": "success", "users": users}
    return call.answer({**answer, "invalid_user_ids": invalid} if invalid else answer)


def _lookup(state: State, body: Mapping[str, Any]) -> tuple[dict[str, Profile], list[str]]:
    found: dict[str, Profile] = {}
    invalid = []
    for external_id in body.get("external_ids") or ():
        profile = _known(state, {"external_user_id": external_id})
        if profile is None:
            invalid.append(str(external_id))
        else:
            found[profile.identity] = profile
    for recipient in _others(body):
        if (profile := _known(state, recipient)) is not None:
            found[profile.identity] = profile
    for profile in _with_attributes(state, body):
        found[profile.identity] = profile
    return found, invalid


def _others(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from ({"user_alias": alias} for alias in body.get("user_aliases") or ())
    if body.get("braze_id") is not None:
        yield {"braze_id": body["braze_id"]}
    if body.get("email_address") is not None:
        yield {"email": body["email_address"]}


def _with_attributes(state: State, body: Mapping[str, Any]) -> Iterator[Profile]:
    """Several people may share an address or a number; devices are the attribute ``device_id``."""
    email = str(body.get("email_address") or "").strip().lower()
    for profile in state.workspace.profiles:
        if email and profile.email == email:
            yield profile
        for name in ("phone", "device_id"):
            if body.get(name) is not None and profile.attributes.get(name) == body[name]:
                yield profile


def _known(state: State, recipient: Mapping[str, Any]) -> Profile | None:
    profiles = state.workspace.profiles
    profile = profiles.find(recipient)
    if profile is None or profiles.is_kept(profile) or profile.identity in state.journal.per_recipient:
        return profile
    return None


def _export(state: State, profile: Profile, wanted: list[str] | None, until: float) -> dict[str, Any]:
    """A field that is null or empty is left out; receipts are told ``until`` then."""
    attributes = dict(profile.attributes)
    own = {name: attributes.pop(name, None) for name in OWN_ATTRIBUTES}
    everything = {
        "external_id": profile.external_id,
        "user_aliases": [{"alias_label": label, "alias_name": name} for label, name in profile.aliases],
        "braze_id": profile.braze_id,
        "email": profile.email,
        **own,
        "custom_attributes": attributes,
        "campaigns_received": list(_campaigns(state, profile, until)),
        "canvases_received": list(_canvases(state, profile, until)),
    }
    return {name: value for name, value in everything.items() if value and (wanted is None or name in wanted)}


def _campaigns(state: State, profile: Profile, until: float) -> Iterator[dict[str, Any]]:
    for campaign, at in _received(state, profile, state.workspace.campaigns, until):
        yield {
            "name": campaign.name,
            "api_campaign_id": campaign.id,
            "last_received": _instant(at),
            "engaged": {},
            "converted": False,
        }


def _canvases(state: State, profile: Profile, until: float) -> Iterator[dict[str, Any]]:
    for canvas, at in _received(state, profile, state.workspace.canvases, until):
        yield {
            "name": canvas.name,
            "api_canvas_id": canvas.id,
            "last_received_message": _instant(at),
            "last_entered": _instant(at),
            "in_control": False,
        }


def _received(
    state: State, profile: Profile, programs: Mapping[str, Program], until: float
) -> Iterator[tuple[Program, float]]:
    for program in programs.values():
        at = state.journal.tally(program.key).received(profile.identity, until)
        if at is not None:
            yield program, at


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
