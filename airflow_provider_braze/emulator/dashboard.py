"""What people build in Braze's dashboard: campaigns, Canvases, segments. Frozen; a change replaces them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, ClassVar, TypeVar

from airflow_provider_braze.emulator.audience import audience_problems, parse_time
from airflow_provider_braze.emulator.specification import load_contract

STATES = ("active", "paused", "archived", "stopped", "draft")
SCHEDULE_TYPES = ("local_time_zones", "intelligent_delivery")
# What people change in the dashboard while a campaign or a Canvas is in use.
CHANGEABLE = ("state", "next_send_time", "schedule_type")


@dataclass(frozen=True, slots=True)
class Variation:
    """One message of a campaign or Canvas."""

    id: str
    channel: str
    name: str


@dataclass(frozen=True, slots=True)
class Program:
    """What campaigns and Canvases share; ``next_send_time`` is set where the dashboard has it scheduled."""

    kind: ClassVar[str] = ""
    label: ClassVar[str] = ""

    id: str
    name: str
    state: str = "active"
    tags: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("email",)
    message: Mapping[str, str] = field(default_factory=dict)
    variations: tuple[Variation, ...] = ()
    target_audience: Mapping[str, Any] | None = None
    last_edited: datetime | None = None
    description: str = ""
    next_send_time: datetime | None = None
    schedule_type: str | None = None

    @property
    def key(self) -> str:
        """Under which the journal tallies its deliveries."""
        return f"{self.kind}:{self.id}"

    @property
    def notice(self) -> str | None:
        """Why nothing would be sent; a draft is treated as paused, for it must not reach anybody."""
        if self.state == "active":
            return None
        return f"The {self.label} is {self.state}. The request was accepted, no messages were sent."


@dataclass(frozen=True, slots=True)
class Campaign(Program):
    """A campaign; ``message`` maps "subject" and "body" to templates, ``target_audience`` is a connected audience."""

    kind: ClassVar[str] = "campaign"
    label: ClassVar[str] = "campaign"

    is_api_campaign: bool = False
    is_transactional: bool = False


@dataclass(frozen=True, slots=True)
class Canvas(Program):
    """A Canvas of one step, whose message everybody gets who enters."""

    kind: ClassVar[str] = "canvas"
    label: ClassVar[str] = "Canvas"


@dataclass(frozen=True, slots=True)
class Segment:
    """Everybody who matches ``filter``, a connected audience; without one, everybody."""

    id: str
    name: str
    tags: tuple[str, ...] = ()
    description: str = ""
    filter: Mapping[str, Any] | None = None
    analytics_tracking_enabled: bool = True
    last_edited: datetime | None = None


def campaign_from(row: Mapping[str, Any]) -> Campaign:
    """A campaign from a row of a seed."""
    rest = dict(row)
    flags = {name: bool(rest.pop(name, False)) for name in ("is_api_campaign", "is_transactional")}
    return Campaign(**{**_program(rest, Campaign.label), **flags})


def canvas_from(row: Mapping[str, Any]) -> Canvas:
    """A Canvas from a row of a seed."""
    return Canvas(**_program(dict(row), Canvas.label))


P = TypeVar("P", bound=Program)


def changed_program(program: P, changes: Mapping[str, Any]) -> P:
    """The same campaign or Canvas in another state, or scheduled otherwise; its deliveries stay its own."""
    owner = f"{program.label} {program.id}"
    if not changes or not changes.keys() <= set(CHANGEABLE):
        unknown = ", ".join(changes.keys() - set(CHANGEABLE)) or "nothing"
        raise ValueError(f"{owner}: {', '.join(CHANGEABLE)} can be changed, not {unknown}")
    known = {name: getattr(program, name) for name in CHANGEABLE}
    return replace(program, **_status(owner, {**known, **changes}))


def _status(owner: str, rest: dict[str, Any]) -> dict[str, Any]:
    state, schedule_type = rest.pop("state", "active"), rest.pop("schedule_type", None)
    if state not in STATES:
        raise ValueError(f"{owner}: state must be one of {', '.join(STATES)}")
    if schedule_type not in (None, *SCHEDULE_TYPES):
        raise ValueError(f"{owner}: schedule_type must be one of {', '.join(SCHEDULE_TYPES)}, or left out")
    next_send_time = _moment(owner, rest, "next_send_time")
    return {"state": state, "schedule_type": schedule_type, "next_send_time": next_send_time}


def segment_from(row: Mapping[str, Any]) -> Segment:
    """A segment from a row of a seed."""
    rest = dict(row)
    own_id = str(rest.pop("id"))
    segment = Segment(
        id=own_id,
        name=str(rest.pop("name", "") or own_id),
        tags=tuple(rest.pop("tags", None) or ()),
        description=str(rest.pop("description", "")),
        filter=_audience(f"segment {own_id}", rest, "filter"),
        analytics_tracking_enabled=bool(rest.pop("analytics_tracking_enabled", True)),
        last_edited=_moment(f"segment {own_id}", rest, "last_edited"),
    )
    _refuse_rest(f"segment {own_id}", rest)
    return segment


def _program(rest: dict[str, Any], label: str) -> dict[str, Any]:
    own_id = str(rest.pop("id"))
    owner = f"{label} {own_id}"
    channels = tuple(rest.pop("channels", None) or [rest.pop("channel", "email")])
    program = {
        "id": own_id,
        "name": str(rest.pop("name", "") or own_id),
        **_status(owner, rest),
        "tags": tuple(rest.pop("tags", None) or ()),
        "channels": channels,
        "message": {part: str(text) for part, text in (rest.pop("message", None) or {}).items()},
        "variations": _variations(own_id, channels, rest.pop("variations", None)),
        "target_audience": _audience(owner, rest, "target_audience"),
        "last_edited": _moment(owner, rest, "last_edited"),
        "description": str(rest.pop("description", "")),
    }
    _refuse_rest(owner, rest)
    return program


def _variations(owner_id: str, channels: tuple[str, ...], given: Any) -> tuple[Variation, ...]:
    """``given`` maps ids to channels; a channel that it leaves out gets one with an id that stays the same."""
    chosen = {str(own_id): str(channel) for own_id, channel in (given or {}).items()}
    for channel in channels:
        if channel not in chosen.values():
            chosen[str(uuid.uuid5(uuid.NAMESPACE_URL, owner_id + channel))] = channel
    return tuple(Variation(own_id, channel, f"Variant {n}") for n, (own_id, channel) in enumerate(chosen.items(), 1))


def _moment(owner: str, rest: dict[str, Any], name: str) -> datetime | None:
    value = rest.pop(name, None)
    moment = parse_time(value.isoformat() if isinstance(value, date) else value)
    if moment is None and value is not None:
        raise ValueError(f"{owner}: {name} must be a time as in ISO 8601, not {value!r}")
    return moment


def _audience(owner: str, rest: dict[str, Any], name: str) -> Mapping[str, Any] | None:
    audience: Mapping[str, Any] | None = rest.pop(name, None)
    if audience is not None:
        filters = load_contract().objects["connected_audience"].filters
        for problem in audience_problems(audience, name, filters):
            raise ValueError(f"{owner}: {problem}")
    return audience


def _refuse_rest(owner: str, rest: Mapping[str, Any]) -> None:
    if rest:
        raise ValueError(f"{owner}: unknown {', '.join(rest)}")
