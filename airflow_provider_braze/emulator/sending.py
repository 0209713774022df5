"""Who gets a message: from a validated request to deliveries. Sends, schedules and live activities share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_braze.emulator.audience import matches
from airflow_provider_braze.emulator.journal import Message, Source
from airflow_provider_braze.emulator.profiles import Profile
from airflow_provider_braze.emulator.state import State

Reached = tuple[Profile, Mapping[str, Any], float]
Timing = Callable[[Profile, Mapping[str, Any]], float | None]
"""When a person (with the attributes the request brings) gets the message; None: not now."""

PROPERTIES = ("trigger_properties", "context", "canvas_entry_properties")
SUBSCRIBED = ("subscribed", "opted_in")


@dataclass(frozen=True, slots=True)
class Shipment:
    """One send: what goes out, whom the request names, and which audiences narrow it down."""

    source: Source
    body: Mapping[str, Any]
    dispatch_id: str
    audiences: tuple[Mapping[str, Any], ...] = ()
    subscription: str = "subscribed"
    send_id: str | None = None
    send_key: str | None = None
    schedule_id: str | None = None
    withheld: Set[int] = field(default_factory=frozenset)
    swallowed: Set[str] = field(default_factory=frozenset)


def deliver(state: State, shipment: Shipment, timing: Timing | None = None) -> list[Profile]:
    """Deliver to everybody whom the request reaches, except who is withheld or swallowed; returns them."""
    now = state.clock.now()
    moment = state.clock.datetime()
    days: dict[float, str] = {}
    reached = []
    for profile, properties, at in _reached(state, shipment, timing or (lambda _, __: now)):
        audiences = shipment.audiences
        if audiences and not all(matches(audience, profile.attributes, moment) for audience in audiences):
            continue
        if not _is_subscribed(profile, shipment):
            continue
        if shipment.swallowed and not shipment.swallowed.isdisjoint(profile.names):
            continue
        if at not in days:
            days[at] = state.day(at)
        reached.append(profile)
        state.journal.deliver(
            Message(
                number=state.journal.delivered + 1,
                at=at,
                source=shipment.source,
                identity=profile.identity,
                email=profile.email,
                attributes=profile.attributes,
                properties=properties,
                dispatch_id=shipment.dispatch_id,
                send_id=shipment.send_id,
                schedule_id=shipment.schedule_id,
            ),
            days[at],
            shipment.send_key,
        )
    return reached


def named_people(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The recipients of a request in one shape, whichever of the three lists they came in."""
    people = list(body.get("recipients") or ())
    people.extend({"external_user_id": one} for one in body.get("external_user_ids") or ())
    people.extend({"user_alias": one} for one in body.get("user_aliases") or ())
    return people


def _reached(state: State, shipment: Shipment, timing: Timing) -> Iterator[Reached]:
    common = properties_of(shipment.body)
    people = named_people(shipment.body)
    if not people:
        timed = ((profile, common, timing(profile, {})) for profile in state.workspace.profiles)
        return iter([(profile, properties, at) for profile, properties, at in timed if at is not None])
    chosen: dict[str, Reached] = {}
    for place, recipient in enumerate(people):
        found = None if place in shipment.withheld else _resolve(state, recipient, timing)
        if found is not None:
            profile, at = found
            own = properties_of(recipient)
            chosen[_collapse_key(profile, shipment.source)] = (profile, {**common, **own} if own else common, at)
    return iter(chosen.values())


def properties_of(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    """The template values of a request or a recipient; ``context`` wins over its older name."""
    for name in PROPERTIES:
        if given := owner.get(name):
            return given  # type: ignore[no-any-return]
    return {}


def _collapse_key(profile: Profile, source: Source) -> str:
    """Entries that resolve to the same person, or by email to the same address, are one message."""
    if profile.email is not None and len(source.parts) == 1 and source.parts[0].channel == "email":
        return profile.email
    return profile.identity


def _resolve(state: State, recipient: Mapping[str, Any], timing: Timing) -> tuple[Profile, float] | None:
    profiles = state.workspace.profiles
    attributes = recipient.get("attributes") or {}
    profile = profiles.find(recipient)
    external_id = recipient.get("external_user_id")
    if profile is None and external_id is not None and recipient.get("send_to_existing_only") is False:
        profile = Profile(external_id=str(external_id))
    at = None if profile is None else timing(profile, attributes)
    if profile is None or at is None:
        return None
    if attributes:
        if not profiles.is_kept(profile):
            profiles.keep(profile)
        profiles.update(profile, attributes)
    return profile, at


def _is_subscribed(profile: Profile, shipment: Shipment) -> bool:
    """Somebody who may get one of the channels gets the message; only email and push have a subscription."""
    if shipment.subscription == "all" or (shipment.subscription == "subscribed" and not profile.attributes):
        return True
    allowed = SUBSCRIBED if shipment.subscription == "subscribed" else ("opted_in",)
    parts = shipment.source.parts
    return not parts or any(_state(profile, part.channel, allowed) in allowed for part in parts)


def _state(profile: Profile, channel: str, allowed: tuple[str, ...]) -> Any:
    if channel == "email":
        return profile.attributes.get("email_subscribe", "subscribed")
    if channel.endswith("push"):
        return profile.attributes.get("push_subscribe", "subscribed")
    return allowed[0]
