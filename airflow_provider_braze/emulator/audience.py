"""Connected audiences: whether a filter is well formed, and whether a profile matches it.

Filters are judged on the profile's attributes. Subscription states are the attributes ``email_subscribe`` and
``push_subscribe`` ("subscribed" where unset), the last used app is the attribute ``last_used_app``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

SUBSCRIPTIONS = {"push_subscription_status": "push_subscribe", "email_subscription_status": "email_subscribe"}
EXISTENCE = ("exists", "does_not_exist")


def parse_time(value: Any) -> datetime | None:
    """An ISO 8601 text as an aware datetime, UTC where it names no offset; None where it is not one."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def has_zone(value: str) -> bool:
    """Whether an ISO 8601 text names a zone: Z, or an offset."""
    return datetime.fromisoformat(value).tzinfo is not None


def audience_problems(audience: Any, where: str, filters: Mapping[str, Any]) -> Iterator[str]:
    """What keeps ``audience`` from being one filter, or AND/OR over filters, as in the contract."""
    if not isinstance(audience, Mapping) or len(audience) != 1:
        yield f"{where} must be an object with one key: AND, OR or a filter"
        return
    [(kind, content)] = audience.items()
    if kind in ("AND", "OR"):
        if not isinstance(content, list) or not content:
            yield f"{where}.{kind} must be a list of filters"
            return
        for place, part in enumerate(content):
            yield from audience_problems(part, f"{where}.{kind}[{place}]", filters)
    elif kind not in filters:
        yield f"{where}.{kind} is not a filter of a connected audience"
    elif not isinstance(content, Mapping):
        yield f"{where}.{kind} must be an object"
    elif kind == "custom_attribute":
        yield from _custom_attribute_problems(content, f"{where}.{kind}", filters[kind])
    else:
        yield from _status_problems(content, f"{where}.{kind}", filters[kind])


def _custom_attribute_problems(content: Mapping[str, Any], where: str, spec: Mapping[str, Any]) -> Iterator[str]:
    name, comparison, value = content.get("custom_attribute_name"), content.get("comparison"), content.get("value")
    allowed = sorted({known for group in spec["comparisons_by_type"].values() for known in group})
    if not isinstance(name, str) or not name:
        yield f"{where}.custom_attribute_name is required"
    if comparison not in allowed:
        yield f"{where}.comparison must be one of {', '.join(allowed)}"
    elif comparison in EXISTENCE:
        return
    elif not isinstance(value, str | int | float):
        yield f"{where}.value is required: a string, a number or a boolean"
    elif not _value_fits(comparison, value):
        yield f"{where}.value does not fit the comparison {comparison}"


def _value_fits(comparison: Any, value: Any) -> bool:
    if comparison in ("after", "before"):
        return parse_time(value) is not None
    if "regex" in comparison:
        return isinstance(value, str)
    if "_x_days_" in comparison or "less" in comparison or "greater" in comparison:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return True


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _status_problems(content: Mapping[str, Any], where: str, spec: Mapping[str, Any]) -> Iterator[str]:
    for key in ("comparison", "value"):
        allowed = spec[key]
        value = content.get(key)
        if isinstance(allowed, list) and value not in allowed:
            yield f"{where}.{key} must be one of {', '.join(allowed)}"
        elif isinstance(allowed, str) and parse_time(value) is None:
            yield f"{where}.{key} must be an ISO 8601 date and time"


def matches(audience: Mapping[str, Any], attributes: Mapping[str, Any], now: datetime) -> bool:
    """Whether a profile with these attributes belongs to a well-formed ``audience`` at ``now``."""
    [(kind, content)] = audience.items()
    if kind == "AND":
        return all(matches(part, attributes, now) for part in content)
    if kind == "OR":
        return any(matches(part, attributes, now) for part in content)
    if kind in SUBSCRIPTIONS:
        same = attributes.get(SUBSCRIPTIONS[kind], "subscribed") == content["value"]
        return same is (content["comparison"] == "is")
    if kind == "last_used_app":
        return _compare(content["comparison"], attributes.get("last_used_app"), content["value"], now)
    if "regex" in content["comparison"] and not _compiles(content["value"]):
        # Braze's own engine knows more than Python's: of what cannot be told here, nobody is reached.
        return False
    actual = attributes.get(content["custom_attribute_name"])
    return _compare(content["comparison"], actual, content.get("value"), now)


def _compare(comparison: str, actual: Any, value: Any, now: datetime) -> bool:
    if comparison in EXISTENCE:
        return (actual is not None) is (comparison == "exists")
    if comparison in _UNEQUAL:
        return not _compare(_UNEQUAL[comparison], actual, value, now)
    if actual is None:
        return False
    if comparison in _TIMES:
        moment = parse_time(actual)
        return moment is not None and _TIMES[comparison](moment, value, now)
    try:
        return bool(_PLAIN[comparison](actual, value))
    except TypeError:
        return False


_UNEQUAL = {
    "not_equal": "equals",
    "does_not_match_regex": "matches_regex",
    "does_not_include_value": "includes_value",
}
_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "equals": operator.eq,
    "matches_regex": lambda actual, value: isinstance(actual, str) and re.search(value, actual),
    "includes_value": lambda actual, value: isinstance(actual, list) and value in actual,
    "greater_than": operator.gt,
    "greater_than_or_equal_to": operator.ge,
    "less_than": operator.lt,
    "less_than_or_equal_to": operator.le,
}
_TIMES: dict[str, Callable[[datetime, Any, datetime], bool]] = {
    "after": lambda moment, value, _: moment > (parse_time(value) or moment),
    "before": lambda moment, value, _: moment < (parse_time(value) or moment),
    "less_than_x_days_ago": lambda moment, days, now: now - timedelta(days=days) < moment <= now,
    "greater_than_x_days_ago": lambda moment, days, now: moment < now - timedelta(days=days),
    "less_than_x_days_in_the_future": lambda moment, days, now: now <= moment < now + timedelta(days=days),
    "greater_than_x_days_in_the_future": lambda moment, days, now: moment > now + timedelta(days=days),
}
