"""What only the workspace knows about a request: its campaign or Canvas, its variations, its segment, its send id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_braze.emulator.dashboard import Campaign, Canvas, Program, Segment
from airflow_provider_braze.emulator.problems import (
    INVALID_CAMPAIGN,
    INVALID_VARIANT,
    MISMATCHED_TYPE,
    Problem,
    Refused,
)
from airflow_provider_braze.emulator.state import State


def campaign_of(state: State, request: Mapping[str, Any]) -> Campaign:
    """The campaign that the request names; refused where there is none."""
    campaign = state.workspace.campaigns.get(request["campaign_id"])
    if campaign is None:
        raise Refused(Problem(f"no campaign has the id {request['campaign_id']!r}", INVALID_CAMPAIGN))
    return campaign


def canvas_of(state: State, request: Mapping[str, Any]) -> Canvas:
    """The Canvas that the request names; refused where there is none."""
    canvas = state.workspace.canvases.get(request["canvas_id"])
    if canvas is None:
        raise Refused(Problem(f"no Canvas has the id {request['canvas_id']!r}"))
    return canvas


def segment_of(state: State, request: Mapping[str, Any]) -> Segment:
    """The segment that the request names; refused where there is none: nobody else may stand in for it."""
    segment = state.workspace.segments.get(request["segment_id"])
    if segment is None:
        raise Refused(Problem(f"no segment has the id {request['segment_id']!r}"))
    return segment


def program_of(state: State, request: Mapping[str, Any]) -> Program | None:
    """The campaign or the Canvas, or None where the request names neither."""
    if request.get("canvas_id") is not None:
        return canvas_of(state, request)
    return campaign_of(state, request) if request.get("campaign_id") is not None else None


def check_send_id(state: State, request: Mapping[str, Any]) -> None:
    """A send id made for another campaign only is refused; one that nobody made is accepted and tracks nothing."""
    send_id, campaign_id = request.get("send_id"), request.get("campaign_id")
    owners = state.send_ids.campaigns_of(send_id) if send_id else ()
    if owners and campaign_id not in owners:
        raise Refused(Problem(f"send_id {send_id!r} belongs to another campaign"))


def check_variations(program: Program | None, messages: Any) -> None:
    """Each channel must name a variation of the campaign, and one of its own channel."""
    if program is not None and (problems := list(_variation_problems(program, messages or {}))):
        raise Refused(*problems)


def _variation_problems(program: Program, messages: Mapping[str, Any]) -> Iterator[Problem]:
    channels = {variation.id: variation.channel for variation in program.variations}
    for channel, content in messages.items():
        if not isinstance(content, Mapping):
            continue
        wanted = content.get("message_variation_id")
        if wanted not in channels:
            yield Problem(f"messages.{channel}: the campaign has no variation {wanted!r}", INVALID_VARIANT)
        elif channels[wanted] != channel and not (channels[wanted] == "push" and channel.endswith("_push")):
            detail = f"messages.{channel}: the variation {wanted!r} is for {channels[wanted]}"
            yield Problem(detail, MISMATCHED_TYPE)


def audiences_of(state: State, program: Program | None, request: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Everything that narrows the request down: the dashboard's audience, its own, its segment."""
    segment = segment_of(state, request).filter if request.get("segment_id") is not None else None
    wanted = (program.target_audience if program else None, request.get("audience"), segment)
    return tuple(audience for audience in wanted if audience)
