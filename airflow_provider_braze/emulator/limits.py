"""Turns the contract's short limit texts ("<=50 KB; campaigns") into checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from airflow_provider_braze.emulator.problems import TOO_MANY_IDS, Problem

Limit = Callable[[Any, str], Problem | None]

# The docs do not say 1000 or 1024: a caller who keeps below 1000 is right either way.
KILOBYTE = 1000

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# Clauses that say nothing a body can be judged by, or that a rule of its own judges.
NOT_A_LIMIT = {
    "campaigns": "which endpoints take it; each endpoint's own table says so",
    "Canvas": "which endpoints take it; each endpoint's own table says so",
    "identifiers external_user_id | user_alias | email": "rule recipient.one_identifier",
    "must first exist via /sends/id/create": "that endpoint is not served yet, and a stray id is undocumented",
    "belongs to a campaign": "campaign_id is required wherever send_id is taken here",
    "file_name and url required each": "the attachment object says the same",
    "<=2 MB per file": "the emulator fetches nothing",
    "<=2 MB file": "the emulator fetches nothing",
    "must answer with a proper Content-Type": "the emulator fetches nothing",
    "not with broadcast": "rule attachments_not_broadcast",
    "not with user_alias": "rule no_create_for_alias",
    "false needs attributes": "rule create_needs_attributes",
    "ordered": "rule recipient.prioritization",
    "at most one of identified, unidentified": "rule recipient.prioritization",
    "100 items per page": "how the listing answers",
    "yyyy-MM-DDTHH:mm:ss": "type datetime",
    "ISO 8601": "type datetime",
    "E.164 advised": "advice",
    "ISO 3166-1 alpha-2": "Braze drops what it does not know, it refuses nothing",
    "ISO 639-1": "Braze drops what it does not know, it refuses nothing",
}


def parse_limits(text: str) -> tuple[list[Limit], list[str]]:
    """Read a limit text; returns the checks, and the clauses that nothing here understands."""
    limits, unknown = [], []
    for clause in filter(None, (part.strip() for part in text.split(";"))):
        limit = _parse_clause(clause)
        if limit is not None:
            limits.append(limit)
        elif clause not in NOT_A_LIMIT:
            unknown.append(clause)
    return limits, unknown


def _parse_clause(clause: str) -> Limit | None:
    for pattern, make in _PATTERNS:
        if match := pattern.fullmatch(clause):
            return make(*(int(group) for group in match.groups()))
    return None


def _at_most_kilobytes(kilobytes: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        size = len(_COMPACT(value).encode("utf-8", "replace"))
        if size > kilobytes * KILOBYTE:
            return Problem(f"{where} is {size:,} bytes as JSON, at most {kilobytes} KB are allowed")
        return None

    return check


def _at_most_items(items: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        if len(value) > items:
            return Problem(f"{where} has {len(value)} items, at most {items} are allowed", TOO_MANY_IDS)
        return None

    return check


def _at_most_ascii(characters: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        if len(value) > characters or not value.isascii():
            return Problem(f"{where} must be at most {characters} ASCII characters")
        return None

    return check


def _filled_and_at_most_bytes(limit: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        if not 0 < len(value.encode("utf-8", "replace")) <= limit:
            return Problem(f"{where} must be filled and at most {limit} bytes long")
        return None

    return check


def _at_least(least: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        return Problem(f"{where} must be {least} or more") if value < least else None

    return check


def _calendar_date() -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        try:
            date.fromisoformat(value)
        except ValueError:
            return Problem(f"{where} must be a date written YYYY-MM-DD")
        return None

    return check


_PATTERNS: tuple[tuple[re.Pattern[str], Callable[..., Limit]], ...] = (
    (re.compile(r"<=(\d+) KB"), _at_most_kilobytes),
    (re.compile(r"<=(\d+)"), _at_most_items),
    (re.compile(r"<=(\d+) ASCII characters"), _at_most_ascii),
    (re.compile(r"non-empty, <=(\d+) bytes(?:, case sensitive)?"), _filled_and_at_most_bytes),
    (re.compile(r">=(\d+)"), _at_least),
    (re.compile(r"YYYY-MM-DD"), _calendar_date),
)
