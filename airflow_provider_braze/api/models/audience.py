"""The connected audience: filters nested in AND and OR.

Rules: https://www.braze.com/docs/api/objects_filters/connected_audience/.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator

_EXISTENCE = {"exists", "does_not_exist"}
_EQUALITY = {"equals", "not_equal"}
_REGEX = {"matches_regex", "does_not_match_regex"}
_MEMBERSHIP = {"includes_value", "does_not_include_value"}
_ORDER = {"greater_than", "greater_than_or_equal_to", "less_than", "less_than_or_equal_to"}
_DAYS = {
    "less_than_x_days_ago",
    "greater_than_x_days_ago",
    "less_than_x_days_in_the_future",
    "greater_than_x_days_in_the_future",
}
_MOMENT = {"after", "before"}
_CUSTOM = _EXISTENCE | _EQUALITY | _REGEX | _MEMBERSHIP | _ORDER | _DAYS | _MOMENT
_STATUSES = {"opted_in", "subscribed", "unsubscribed"}
_DEEPEST = 64


def check_audience(audience: dict[str, Any], path: str = "", depth: int = 0) -> dict[str, Any]:
    """Hold an audience against Braze's grammar, and give it back unchanged.

    A filter that Braze does not document is refused rather than passed on: one that was ignored over there would
    widen the audience.
    """
    if len(audience) != 1:
        raise ValueError(
            f"{path or 'it'} must hold exactly one filter, or one AND or OR; it holds {len(audience)} keys"
        )
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} levels deep")
    ((name, value),) = audience.items()
    here = f"{path}.{name}".removeprefix(".")
    if name in {"AND", "OR"}:
        _check_list(value, here, depth)
    elif name not in _FILTERS:
        raise ValueError(f"{here} is no filter of Braze's; it knows {', '.join(_FILTERS)}, AND, OR")
    elif not isinstance(value, Mapping):
        raise ValueError(f"{here} must be an object")
    else:
        _FILTERS[name](value, here)
    return audience


def _check_list(value: Any, here: str, depth: int) -> None:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{here} must be a list with at least one filter; an empty one would restrict nobody")
    for place, item in enumerate(value):
        if not isinstance(item, dict):
            raise ValueError(f"{here}[{place}] must be an object")
        check_audience(item, f"{here}[{place}]", depth + 1)


def _check_custom_attribute(value: Mapping[str, Any], here: str) -> None:
    if not isinstance(value.get("custom_attribute_name"), str) or not value["custom_attribute_name"]:
        raise ValueError(f"{here}.custom_attribute_name is missing")
    comparison = _member(value, "comparison", _CUSTOM, here)
    operand = value.get("value")
    if comparison in _EXISTENCE:
        return
    if not isinstance(operand, str | int | float):
        raise ValueError(f"{here}.value must be a text, a number or a boolean for {comparison}")
    if comparison in _ORDER | _DAYS and (isinstance(operand, bool) or not isinstance(operand, int | float)):
        raise ValueError(f"{here}.value must be a number for {comparison}")
    if comparison in _REGEX and not isinstance(operand, str):
        raise ValueError(f"{here}.value must be a text for {comparison}")
    if comparison in _MOMENT:
        _check_moment(operand, here)


def _check_subscription(value: Mapping[str, Any], here: str) -> None:
    _member(value, "comparison", {"is", "is_not"}, here)
    _member(value, "value", _STATUSES, here)


def _check_last_used_app(value: Mapping[str, Any], here: str) -> None:
    _member(value, "comparison", _MOMENT, here)
    _check_moment(value.get("value"), here)


def _member(value: Mapping[str, Any], key: str, allowed: set[str], here: str) -> str:
    found = value.get(key)
    if not isinstance(found, str) or found not in allowed:
        raise ValueError(f"{here}.{key} must be one of {', '.join(sorted(allowed))}")
    return found


def _check_moment(value: Any, here: str) -> None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{here}.value must be a date and time in ISO 8601, as text") from None


_FILTERS = {
    "custom_attribute": _check_custom_attribute,
    "push_subscription_status": _check_subscription,
    "email_subscription_status": _check_subscription,
    "last_used_app": _check_last_used_app,
}

ConnectedAudience = Annotated[dict[str, Any], AfterValidator(check_audience)]
