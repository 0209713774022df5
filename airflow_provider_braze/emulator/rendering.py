"""Fills a message template for the inbox: the few Liquid forms that personalise a message.

``{{${first_name}}}`` and ``{{custom_attribute.${tier}}}`` read the profile, ``{{api_trigger_properties.${offer}}}``
the request; a path may follow (``${order}.number``), and ``| default: 'text'`` fills a gap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(
    r"\{\{\s*(?:(?P<source>api_trigger_properties|custom_attribute|context)\.)?"
    r"\$\{(?P<name>[^}]*)\}(?P<path>[\w.]*)\s*"
    r"(?:\|\s*default:\s*(?P<quote>['\"])(?P<default>.*?)(?P=quote)\s*)?\}\}"
)


def render(template: str, properties: Mapping[str, Any], profile: Mapping[str, Any]) -> str:
    """The text that a person would read; a value that is not there leaves a gap, as with Braze."""

    def fill(match: re.Match[str]) -> str:
        from_request = match["source"] in ("api_trigger_properties", "context")
        value: Any = (properties if from_request else profile).get(match["name"])
        for step in filter(None, match["path"].split(".")):
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is None or value == "":
            return match["default"] or ""
        return str(value)

    return _PLACEHOLDER.sub(fill, template)
