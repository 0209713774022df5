"""The emulated workspace: campaigns, people, API keys. Built from a seed, back to it on reset."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from airflow_provider_braze.emulator.audience import audience_problems, parse_time
from airflow_provider_braze.emulator.profiles import Profiles
from airflow_provider_braze.emulator.specification import load_contract, read_yaml

Seed = Mapping[str, Any]
STATES = ("active", "paused", "archived", "stopped", "draft")


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign; ``message`` maps "subject" and "body" to templates, ``target_audience`` is a connected audience."""

    id: str
    name: str
    state: str = "active"
    is_api_campaign: bool = False
    tags: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("email",)
    message: Mapping[str, str] = field(default_factory=dict)
    target_audience: Mapping[str, Any] | None = None
    last_edited: datetime | None = None


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
        self.profiles = Profiles(bool(seed.get("everyone_is_known", False)))
        self.campaigns: dict[str, Campaign] = {}
        self.keys = [_key(row) for row in seed.get("api_keys") or ()]
        for row in seed.get("campaigns") or ():
            self.add_campaign(**row)
        self.add_users(seed.get("users") or ())

    def add_campaign(self, id: str, name: str = "", **rest: Any) -> Campaign:  # noqa: A002 - Braze's word
        """Add or replace a campaign; the keywords are those of the seed file."""
        state = rest.pop("state", "active")
        if state not in STATES:
            raise ValueError(f"campaign {id}: state must be one of {', '.join(STATES)}")
        channels = rest.pop("channels", None) or [rest.pop("channel", "email")]
        audience = rest.pop("target_audience", None)
        if audience is not None:
            _refuse_bad_audience(id, audience)
        edited = rest.pop("last_edited", None)
        campaign = Campaign(
            id=str(id),
            name=name or str(id),
            state=state,
            tags=tuple(rest.pop("tags", None) or ()),
            channels=tuple(channels),
            message={part: str(text) for part, text in (rest.pop("message", None) or {}).items()},
            target_audience=audience,
            last_edited=edited if isinstance(edited, datetime) else parse_time(edited),
            is_api_campaign=bool(rest.pop("is_api_campaign", False)),
        )
        if rest:
            raise ValueError(f"campaign {id}: unknown {', '.join(rest)}")
        self.campaigns[campaign.id] = campaign
        return campaign

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


_SEED_KEYS = {"name", "everyone_is_known", "api_keys", "campaigns", "users", "rate_limits"}


def _checked(seed: Any, where: str) -> Seed:
    if not isinstance(seed, Mapping) or set(seed) - _SEED_KEYS:
        raise ValueError(f"{where}: expected a mapping with {', '.join(sorted(_SEED_KEYS))}")
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


def _refuse_bad_audience(campaign_id: str, audience: Any) -> None:
    filters = load_contract().objects["connected_audience"].filters
    for problem in audience_problems(audience, "target_audience", filters):
        raise ValueError(f"campaign {campaign_id}: {problem}")
