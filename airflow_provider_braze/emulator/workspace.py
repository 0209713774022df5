"""The emulated workspace: campaigns, Canvases, segments, people, API keys. Built from a seed, back to it on reset."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_braze.emulator.dashboard import (
    Campaign,
    Canvas,
    Segment,
    campaign_from,
    canvas_from,
    changed_program,
    segment_from,
)
from airflow_provider_braze.emulator.profiles import Profiles
from airflow_provider_braze.emulator.specification import read_yaml

Seed = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A REST API key: which permissions it has, and from which networks it may be used (none = any)."""

    name: str
    key: str
    permissions: frozenset[str]
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    def allows(self, permission: str) -> bool:
        """Whether the key carries the permission; ``*`` carries all."""
        return "*" in self.permissions or permission in self.permissions

    def admits(self, address: str) -> bool:
        """Whether a request from this IP address may use the key."""
        if not self.networks:
            return True
        try:
            caller = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(caller in network for network in self.networks)


class Workspace:
    """What a seed describes; the emulator changes it as requests come in."""

    def __init__(self, seed: Seed) -> None:
        self.name: str = seed.get("name", "Local workspace")
        self.time_zone = ZoneInfo(seed.get("time_zone", "UTC"))
        self.profiles = Profiles(bool(seed.get("everyone_is_known", False)))
        self.campaigns: dict[str, Campaign] = {}
        self.canvases: dict[str, Canvas] = {}
        self.segments: dict[str, Segment] = {}
        self.apps = {str(row["id"]): str(row.get("name") or row["id"]) for row in seed.get("apps") or ()}
        self.keys = [_key(row) for row in seed.get("api_keys") or ()]
        for row in seed.get("campaigns") or ():
            self.add_campaign(**row)
        for row in seed.get("canvases") or ():
            self.add_canvas(**row)
        for row in seed.get("segments") or ():
            self.add_segment(**row)
        self.add_users(seed.get("users") or ())

    def add_campaign(self, id: str, **rest: Any) -> Campaign:  # noqa: A002 - Braze's word
        """Add or replace a campaign; the keywords are those of the seed file."""
        campaign = campaign_from({"id": id, **rest})
        self.campaigns[campaign.id] = campaign
        return campaign

    def add_canvas(self, id: str, **rest: Any) -> Canvas:  # noqa: A002 - Braze's word
        """Add or replace a Canvas; the keywords are those of the seed file."""
        canvas = canvas_from({"id": id, **rest})
        self.canvases[canvas.id] = canvas
        return canvas

    def program(self, campaign_id: str | None, canvas_id: str | None) -> Campaign | Canvas:
        """The campaign or the Canvas of this id; a ValueError where there is none."""
        if (campaign_id is None) == (canvas_id is None):
            raise ValueError("name a campaign_id or a canvas_id, one of the two")
        if canvas_id is not None and canvas_id in self.canvases:
            return self.canvases[canvas_id]
        if campaign_id is not None and campaign_id in self.campaigns:
            return self.campaigns[campaign_id]
        label, own_id = (Campaign.label, campaign_id) if canvas_id is None else (Canvas.label, canvas_id)
        raise ValueError(f"no {label} has the id {own_id!r}")

    def change_program(
        self, campaign_id: str | None = None, canvas_id: str | None = None, **changes: Any
    ) -> Campaign | Canvas:
        """Put a campaign or a Canvas into another state, or schedule it otherwise."""
        program = changed_program(self.program(campaign_id, canvas_id), changes)
        known: dict[str, Any] = self.canvases if isinstance(program, Canvas) else self.campaigns
        known[program.id] = program
        return program

    def add_segment(self, id: str, **rest: Any) -> Segment:  # noqa: A002 - Braze's word
        """Add or replace a segment; the keywords are those of the seed file."""
        segment = segment_from({"id": id, **rest})
        self.segments[segment.id] = segment
        return segment

    def add_users(self, users: Iterable[Mapping[str, Any]]) -> None:
        """Make people known; each has at least one of external_id, aliases, email, braze_id."""
        for user in users:
            self.profiles.add(user)

    def find_key(self, key: str) -> ApiKey | None:
        """The key with this text, if there is one."""
        offered = key.encode()
        return next((known for known in self.keys if secrets.compare_digest(known.key.encode(), offered)), None)


def load_seed(seed: str | Path | Seed | None) -> Seed:
    """A seed from a file, from a mapping (what it leaves out comes from the default), or the default itself."""
    if isinstance(seed, str | Path):
        return _checked(read_yaml(Path(seed).read_text(encoding="utf-8")), str(seed))
    default = read_yaml(resources.files(__package__).joinpath("seed.yaml").read_text(encoding="utf-8"))
    return _checked({**default, **(seed or {})}, "seed")


_SEED_KEYS = {
    *("name", "time_zone", "everyone_is_known", "rate_limits", "api_keys", "users"),
    *("campaigns", "canvases", "segments", "apps", "live_activities", "figures"),
}


def _checked(seed: Any, where: str) -> Seed:
    if not isinstance(seed, Mapping):
        raise ValueError(f"{where}: expected a mapping with {', '.join(sorted(_SEED_KEYS))}")
    if unknown := sorted(map(str, set(seed) - _SEED_KEYS)):
        raise ValueError(f"{where}: {', '.join(unknown)} is none of {', '.join(sorted(_SEED_KEYS))}")
    if not seed.get("api_keys"):
        raise ValueError(f"{where}: give at least one entry under api_keys")
    return seed


def _key(row: Mapping[str, Any]) -> ApiKey:
    permissions = row.get("permissions", "*")
    return ApiKey(
        name=row["name"],
        key=str(row["key"]),
        permissions=frozenset([permissions] if isinstance(permissions, str) else permissions),
        networks=tuple(ipaddress.ip_network(str(entry), strict=False) for entry in row.get("ip_allowlist") or ()),
    )
