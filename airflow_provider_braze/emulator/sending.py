"""Who gets a message: from a validated send request to deliveries. Campaign and Canvas sends share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from airflow_provider_braze.emulator.audience import matches
from airflow_provider_braze.emulator.journal import Message
from airflow_provider_braze.emulator.profiles import Profile
from airflow_provider_braze.emulator.state import State
from airflow_provider_braze.emulator.workspace import Campaign

Reached = tuple[Profile, Mapping[str, Any]]


def deliver(
    state: State, campaign: Campaign, body: Mapping[str, Any], dispatch_id: str, withheld: Set[int] = frozenset()
) -> int:
    """Deliver to everybody whom the request reaches, except the entries at ``withheld``; returns how many."""
    now = state.clock.now()
    moment = state.clock.datetime()
    audiences = [audience for audience in (campaign.target_audience, body.get("audience")) if audience]
    reached = 0
    for profile, properties in _reached(state, campaign, body, withheld):
        if audiences and not _belongs(profile, audiences, moment):
            continue
        reached += 1
        state.journal.deliver(
            Message(
                number=state.journal.delivered + 1,
                at=now,
                campaign=campaign,
                identity=profile.identity,
                email=profile.email,
                attributes=profile.attributes,
                properties=properties,
                dispatch_id=dispatch_id,
            )
        )
    return reached


def _belongs(profile: Profile, audiences: list[Any], moment: Any) -> bool:
    return all(matches(audience, profile.attributes, moment) for audience in audiences)


def _reached(state: State, campaign: Campaign, body: Mapping[str, Any], withheld: Set[int]) -> Iterator[Reached]:
    common = body.get("trigger_properties") or {}
    recipients = body.get("recipients")
    if not recipients:
        return iter([(profile, common) for profile in state.workspace.profiles])
    chosen: dict[str, Reached] = {}
    for place, recipient in enumerate(recipients):
        profile = None if place in withheld else _resolve(state, recipient)
        if profile is None:
            continue
        own = recipient.get("trigger_properties")
        chosen[_collapse_key(profile, campaign)] = (profile, {**common, **own} if own else common)
    return iter(chosen.values())


def _collapse_key(profile: Profile, campaign: Campaign) -> str:
    """Entries that resolve to the same person, or by email to the same address, are one message."""
    if profile.email is not None and campaign.channels == ("email",):
        return profile.email
    return profile.identity


def _resolve(state: State, recipient: Mapping[str, Any]) -> Profile | None:
    profiles = state.workspace.profiles
    attributes = recipient.get("attributes") or {}
    profile = profiles.find(recipient)
    external_id = recipient.get("external_user_id")
    if profile is None and external_id is not None and recipient.get("send_to_existing_only") is False:
        profile = Profile(external_id=str(external_id))
    if profile is not None and attributes:
        if not profiles.is_kept(profile):
            profiles.keep(profile)
        profiles.update(profile, attributes)
    return profile
