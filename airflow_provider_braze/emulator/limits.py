"""Turns the contract's short limit texts ("<=50 KB; campaigns") into checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from airflow_provider_braze.emulator.problems import BAD_REQUEST, INVALID_EXTRA, TOO_MANY_IDS, Problem

Limit = Callable[[Any, str], Problem | None]

# The docs do not say 1000 or 1024: a caller who keeps below 1000 is right either way.
KILOBYTE = 1000

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# Clauses that say nothing a body can be judged by, or that a rule of its own judges.
NOT_A_LIMIT = {
    "campaigns": "which endpoints take it; each endpoint's own table says so",
    "Canvas": "which endpoints take it; each endpoint's own table says so",
    "identifiers external_user_id | user_alias | email": "rule recipient.one_identifier",
    "must first exist via /sends/id/create": "a stray id is undocumented: accepted, it tracks nothing",
    "belongs to a campaign": "programs.py: an id made for another campaign is refused",
    "counts towards the 50": "rule max_50",
    "context per recipient instead of trigger_properties": "the recipient object has both",
    "UTC when neither flag is set": "scheduling.py",
    "no offset or Z when in_local_time or at_optimal_time is used": "rule schedule.offset",
    "true is an error together with alert or title": "rule android_push#1",
    "only with link_shortening_enabled true": "rule sms.click_tracking",
    "not with header_image_uri": "rule whats_app.message",
    "not with header_text": "rule whats_app.message",
    "index must equal the CTA button index": "the template is Braze's, the emulator does not have it",
    "FCM keeps 4 per device, Braze uses one": "devices are not emulated",
    "one of the addresses configured in the workspace": "the emulator has no list of them",
    "should carry alert.title and alert.body": "should, not must: accepted",
    "-2..2, else 0": "anything else counts as 0, it refuses nothing",
    "1:1": "the emulator fetches nothing",
    "1:1, at least 40x40": "the emulator fetches nothing",
    "50-100 characters advised": "advice",
    "HTML": "any text is HTML",
    "may be empty": "so nothing to refuse",
    "seconds": "the unit",
    "typed string": "type string",
    "E.164": "an unknown number finds nobody",
    "the API takes it as midnight UTC": "handlers/schedules.py",
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


def json_size(value: Any) -> int:
    """The bytes of a value as compact JSON."""
    return len(_COMPACT(value).encode("utf-8", "replace"))


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


def _plain_check(is_wrong: Callable[[Any], bool], text: str, message: str = BAD_REQUEST) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        return Problem(f"{where} {text}", message) if is_wrong(value) else None

    return check


def _is_no_index(mapping: Any) -> bool:
    return any(not (key.isascii() and key.isdigit()) for key in mapping)


def _list_rows(value: Any) -> list[Any]:
    sections = value.get("list_sections")
    parts = sections if isinstance(sections, list) else []
    rows = [part.get("list_rows") for part in parts if isinstance(part, dict)]
    return [row for part in rows if isinstance(part, list) for row in part]


_ENTRY_KEYS = _plain_check(_is_no_index, "must have keys that are indexes from 0, as strings")
# Clauses that one value breaks or keeps, without numbers to read out of them.
PLAIN: dict[str, Limit] = {
    "keys ab and aps are rejected": _plain_check(
        lambda value: "ab" in value or "aps" in value, "must not have the keys ab and aps", INVALID_EXTRA
    ),
    # What Liquid makes of it is not known here.
    "Display Name <address>": _plain_check(
        lambda value: "{{" not in value and re.fullmatch(r"\s*\S.*<[^<>@\s]+@[^<>@\s]+>\s*", value) is None,
        "must be written Display Name <address>",
    ),
    "zero or one entry": _plain_check(lambda value: len(value) > 1, "must have at most one entry"),
    "one entry": _plain_check(lambda value: len(value) != 1, "must have exactly one entry"),
    "keys are zero-based indexes as strings": _ENTRY_KEYS,
    "zero-based index keys": _ENTRY_KEYS,
    ">=1 section": _plain_check(lambda value: not value.get("list_sections"), "must have a section in list_sections"),
    "<=10 rows over all sections": _plain_check(
        lambda value: len(_list_rows(value)) > 10, "must have at most 10 rows over all sections"
    ),
}


def _parse_clause(clause: str) -> Limit | None:
    if clause in PLAIN:
        return PLAIN[clause]
    for pattern, make in _PATTERNS:
        if match := pattern.fullmatch(clause):
            return make(*(float(group) if "." in group else int(group) for group in match.groups()))
    if match := re.fullmatch(r"regex (\S+) \(.*\)", clause):
        return _matching(match[1])
    return None


def _at_most_kilobytes(kilobytes: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        size = json_size(value)
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
        if not 0 < len(value) <= characters or not value.isascii():
            return Problem(f"{where} must be at most {characters} ASCII characters, and not empty")
        return None

    return check


def _filled_and_at_most_bytes(limit: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        if not 0 < len(value.encode("utf-8", "replace")) <= limit:
            return Problem(f"{where} must be filled and at most {limit} bytes long")
        return None

    return check


def _at_most_characters(characters: int) -> Limit:
    return _plain_check(lambda value: len(value) > characters, f"must be at most {characters} characters")


def _at_least(least: int) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        return Problem(f"{where} must be {least} or more") if value < least else None

    return check


def _between(least: float, most: float) -> Limit:
    """A number, or one that travels as text."""

    def check(value: Any, where: str) -> Problem | None:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value
        if isinstance(number, str) or not least <= number <= most:
            return Problem(f"{where} must be between {least} and {most}")
        return None

    return check


def _at_most_number(most: float) -> Limit:
    def check(value: Any, where: str) -> Problem | None:
        return Problem(f"{where} must be {most} or less") if value > most else None

    return check


def _matching(pattern: str) -> Limit:
    # The contract's "9-_+" is a set of characters to Braze's own engine; to Python's, "-" must come last.
    known = re.compile(pattern.removeprefix("^").removesuffix("$").replace("9-_", "9_").replace("]+", "-]+"))

    def check(value: Any, where: str) -> Problem | None:
        return None if known.fullmatch(value) else Problem(f"{where} must match {pattern}")

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
    (re.compile(r"<=(\d+)(?: \(ids and aliases are counted together .*\))?"), _at_most_items),
    (re.compile(r"<=(\d+) chars"), _at_most_characters),
    (re.compile(r"<=(\d+) seconds"), _at_most_number),
    (re.compile(r"([\d.]+?)\.\.([\d.]+)(?: days)?"), _between),
    (re.compile(r"<=(\d+) ASCII characters"), _at_most_ascii),
    (re.compile(r"non-empty, <=(\d+) bytes(?:, case sensitive)?"), _filled_and_at_most_bytes),
    (re.compile(r">=(\d+)"), _at_least),
    (re.compile(r"YYYY-MM-DD"), _calendar_date),
)
