"""The people of the emulated workspace, found by any of their identifiers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Alias = tuple[str, str]
"""A label and a name, in this order."""


@dataclass(slots=True, eq=False)
class Profile:
    """One person. ``attributes`` is replaced, never changed in place, so that messages may keep it."""

    external_id: str | None = None
    aliases: tuple[Alias, ...] = ()
    email: str | None = None
    braze_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    updated: int = 0

    @property
    def identity(self) -> str:
        """One stable text per person, for instance ``external_user_id:123``."""
        if self.external_id is not None:
            return f"external_user_id:{self.external_id}"
        if self.aliases:
            label, name = self.aliases[0]
            return f"user_alias:{label}:{name}"
        if self.email is not None:
            return f"email:{self.email}"
        return f"braze_id:{self.braze_id}"

    @property
    def names(self) -> tuple[str, ...]:
        """All that a request may call this person: the external id, alias names, the address, the Braze id."""
        given = (self.external_id, *(name for _, name in self.aliases), self.email, self.braze_id)
        return tuple(name for name in given if name is not None)


class Profiles:
    """Profiles with an index for each kind of identifier."""

    def __init__(self, everyone_is_known: bool) -> None:
        self.everyone_is_known = everyone_is_known
        self._all: list[Profile] = []
        self._by_external_id: dict[str, Profile] = {}
        self._by_alias: dict[Alias, Profile] = {}
        self._by_braze_id: dict[str, Profile] = {}
        self._by_email: dict[str, list[Profile]] = {}
        self._updates = itertools.count(1)

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, user: Mapping[str, Any]) -> Profile:
        """Add or extend a person: external_id, aliases, email, braze_id; the rest are attributes."""
        rest = dict(user)
        external_id, braze_id, email = (rest.pop(key, None) for key in ("external_id", "braze_id", "email"))
        aliases = tuple(_alias(alias) for alias in rest.pop("aliases", None) or ())
        rest.update(rest.pop("attributes", None) or {})
        if external_id is None and braze_id is None and email is None and not aliases:
            raise ValueError(f"a user needs an external_id, an alias, an email or a braze_id: {dict(user)}")
        known = next((self._by_alias[alias] for alias in aliases if alias in self._by_alias), None)
        if external_id is not None:
            known = self._by_external_id.get(str(external_id))
        profile = known or Profile(
            external_id=None if external_id is None else str(external_id),
            aliases=aliases,
            braze_id=None if braze_id is None else str(braze_id),
        )
        if known is None:
            self.keep(profile)
        self.update(profile, rest if email is None else {"email": email, **rest})
        return profile

    def find(self, recipient: Mapping[str, Any]) -> Profile | None:
        """The one person a recipient object names; None where there is nobody, or no telling who."""
        if (external_id := recipient.get("external_user_id")) is not None:
            key = str(external_id)
            return self._by_external_id.get(key) or self._assumed(external_id=key)
        if (user_alias := recipient.get("user_alias")) is not None:
            alias = _alias(user_alias)
            return self._by_alias.get(alias) or self._assumed(aliases=(alias,))
        if (email := recipient.get("email")) is not None:
            return self._find_by_email(email.strip().lower(), recipient.get("prioritization") or ())
        return self._by_braze_id.get(str(recipient.get("braze_id")))

    def keep(self, profile: Profile) -> None:
        """Put a new person into the indexes."""
        self._all.append(profile)
        if profile.external_id is not None:
            self._by_external_id[profile.external_id] = profile
        if profile.braze_id is not None:
            self._by_braze_id[profile.braze_id] = profile
        for alias in profile.aliases:
            self._by_alias[alias] = profile
        if profile.email is not None:
            self._by_email.setdefault(profile.email, []).append(profile)

    def update(self, profile: Profile, attributes: Mapping[str, Any]) -> None:
        """Write attributes to a kept profile, as Braze does before a send."""
        merged = dict(profile.attributes)
        for name, value in attributes.items():
            if name in ("external_id", "user_alias", "braze_id", "_update_existing_only"):
                continue
            changed = _changed(merged.get(name), value)
            merged.pop(name, None)
            if changed is not None:
                merged[name] = changed
        email = merged.pop("email", None) if "email" in attributes else profile.email
        profile.attributes = merged
        profile.updated = next(self._updates)
        self._set_email(profile, email)

    def is_kept(self, profile: Profile) -> bool:
        """False for somebody only assumed because everyone is known."""
        return profile.updated > 0

    def _assumed(self, **identifier: Any) -> Profile | None:
        return Profile(**identifier) if self.everyone_is_known else None

    def _find_by_email(self, email: str, prioritization: Iterable[str]) -> Profile | None:
        candidates = self._by_email.get(email, [])
        if not candidates:
            return self._assumed(email=email) if "@" in email else None
        for preference in prioritization:
            candidates = _preferred(candidates, preference)
        return candidates[0] if len(candidates) == 1 else None

    def _set_email(self, profile: Profile, email: Any) -> None:
        email = email.strip().lower() if isinstance(email, str) else None
        if email == profile.email:
            return
        if profile.email is not None:
            self._by_email[profile.email].remove(profile)
        if email is not None:
            self._by_email.setdefault(email, []).append(profile)
        profile.email = email


def _alias(alias: Mapping[str, Any]) -> Alias:
    return str(alias["alias_label"]), str(alias["alias_name"])


def _preferred(candidates: list[Profile], preference: str) -> list[Profile]:
    """Those whom the preference puts first; everybody where it tells nobody apart."""
    if preference in ("identified", "unidentified"):
        wanted = preference == "identified"
        return [one for one in candidates if (one.external_id is not None) is wanted] or candidates
    pick = max if preference == "most_recently_updated" else min
    return [pick(candidates, key=lambda profile: profile.updated)]


def _changed(before: Any, value: Any) -> Any:
    """The new value of an attribute: {"inc": n}, {"add": [...]} and {"remove": [...]} change the old one."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    [(change, operand)] = value.items()
    if change == "inc" and isinstance(operand, int | float):
        return (before if isinstance(before, int | float) else 0) + operand
    if change in ("add", "remove") and isinstance(operand, list):
        items = before if isinstance(before, list) else []
        kept = [item for item in items if item not in operand]
        return kept + operand if change == "add" else kept
    return value
