"""Reads the shapes that the contract writes inside a type, for instance ``array<{id:string, name?}>``.

A field is required unless it has a question mark; where one is marked ``(required)``, only those so marked are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_braze.emulator.specification import Field

_ITEM = re.compile(r"(?P<name>\w+)(?P<optional>\?)?\s*(?::\s*(?P<type>.+))?", re.DOTALL)
_LIMITED = re.compile(r"(?P<type>\w+)(?P<limit><=\d+ chars)")
_SCALARS = ("string", "integer", "number", "boolean", "object", "array")


def shape_of(notation: str) -> tuple[Field, ...]:
    """The fields of ``{...}`` or ``object{...}``."""
    inside = notation.removeprefix("object").strip()[1:-1]
    marked = "(required)" in inside
    return tuple(_field(item, marked) for item in _split(inside))


def _field(item: str, marked: bool) -> Field:
    match = _ITEM.fullmatch(item.strip())
    if match is None:
        raise NotImplementedError(f"the contract has a shape that nothing here reads: {item}")
    text = match["type"] or "any"
    required = "(required)" in text if marked else match["optional"] is None
    kind = text if "{" in text else re.sub(r"\s*\(.*?\)", "", text).strip()
    if limited := _LIMITED.fullmatch(kind):
        return Field(match["name"], limited["type"], required, (), limited["limit"])
    choices = tuple(kind.split("|")) if "|" in kind and kind.split("|")[0] not in _SCALARS else ()
    return Field(match["name"], "string" if choices else kind, required, choices, "")


def _split(inside: str) -> Iterator[str]:
    """At the commas that are in no further bracket."""
    depth, start = 0, 0
    for place, sign in enumerate(inside):
        depth += (sign in "{(") - (sign in "})")
        if sign == "," and depth == 0:
            yield inside[start:place]
            start = place + 1
    yield inside[start:]
