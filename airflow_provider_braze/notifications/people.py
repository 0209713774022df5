"""Who is notified: a handful of people, each by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

MOST_PEOPLE = 50
_IDENTIFIERS = ("external_user_id", "user_alias", "braze_id", "email")


def problem_of(given: Any, *, ids_only: bool) -> str | None:
    """Say why something cannot be the people of a notification; None where it can.

    :param given: entries as their author wrote them, or as they were rendered.
    :param ids_only: whether only external user ids and aliases are possible, since everybody gets the same content.
    """
    if not isinstance(given, list | tuple):
        kind = "missing" if given is None else f"of type {type(given).__name__}"
        return f"is {kind}: give a list of external user ids or recipients"
    if not given:
        return "names nobody: a notification needs at least one person"
    if len(given) > MOST_PEOPLE:
        return (
            f"has {len(given)} entries: a notification goes to at most {MOST_PEOPLE} people, in one request. Use a "
            "task with a send operator for more"
        )
    places = (place for place, entry in enumerate(given) if not _names_somebody(entry, ids_only))
    place = next(places, None)
    if place is None:
        return None
    which = "external_user_id or user_alias, and nothing else" if ids_only else "such as {'external_user_id': ...}"
    return f"[{place}] must be an external user id, or an object with {which}"


def _names_somebody(entry: Any, ids_only: bool) -> bool:
    if isinstance(entry, Mapping):
        named = [name for name in _IDENTIFIERS if _is_told(entry.get(name))]
        return len(named) == 1 and (not ids_only or list(entry) in (["external_user_id"], ["user_alias"]))
    return isinstance(entry, str | int) and not isinstance(entry, bool) and _is_told(entry)


def _is_told(value: Any) -> bool:
    return value is not None and bool(str(value).strip()) and value != {}


def from_text(given: Any) -> Any:
    """Read a list that a template rendered to JSON text; anything else stays as it is."""
    if isinstance(given, str):
        try:
            return json.loads(given)
        except ValueError:
            return given
    return given


def distinct(entries: Sequence[Any]) -> list[dict[str, Any]]:
    """Give everybody once, as recipient objects."""
    people: list[dict[str, Any]] = []
    for entry in entries:
        person = dict(entry) if isinstance(entry, Mapping) else {"external_user_id": str(entry)}
        if person not in people:
            people.append(person)
    return people


def listed_by_kind(people: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Give people under the fields that /messages/send knows."""
    fields = {"external_user_id": "external_user_ids", "user_alias": "user_aliases"}
    by_kind = {field: [person[key] for person in people if key in person] for key, field in fields.items()}
    return {field: values for field, values in by_kind.items() if values}
