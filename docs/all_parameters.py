"""A Sphinx extension: documents each class with all of its parameters, also those that its bases take.

Operators are small and their parameters stand in the bases that define them; a reader wants them in one place. Only
this package's bases are joined: Airflow documents its own.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow_provider_braze.delivery.words import duration

PACKAGE = "airflow_provider_braze"
QUALIFIER = re.compile(r"\b[a-z]\w*\.")
# A role, such as :class:`X`, may begin a line of prose.
FIELD = re.compile(r":(?P<kind>\w+)(?: (?P<name>[*\w]+))?:(?!`)")


def family(kind: type) -> list[type]:
    """The class and those of its bases that are this package's, nearest first."""
    return [each for each in kind.__mro__ if each.__module__.partition(".")[0] == PACKAGE]


def split(lines: list[str]) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Divide a docstring into its prose, its parameters by name, and its other fields."""
    prose: list[str] = []
    params: dict[str, list[str]] = {}
    others: list[str] = []
    into = prose
    for line in lines:
        if field := FIELD.match(line):
            into = params.setdefault(field["name"], []) if field["kind"] == "param" else others
        elif line and not line[0].isspace() and into is not prose:
            into = prose
        into.append(line)
    return prose, params, others


def accepted(kind: type) -> dict[str, inspect.Parameter]:
    """What may be given to a class by name, over its whole family."""
    found: dict[str, inspect.Parameter] = {}
    for each in family(kind):
        if "__init__" in vars(each):
            for name, parameter in inspect.signature(vars(each)["__init__"]).parameters.items():
                if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    found.setdefault(name, parameter)
    return found


def typed(name: str, parameter: inspect.Parameter | None) -> Iterator[str]:
    """Say what type a parameter has, and what it is where it is not given."""
    if parameter is None or parameter.annotation is parameter.empty:
        return
    yield f":type {name}: {QUALIFIER.sub('', str(parameter.annotation))}{default_of(parameter)}"


def default_of(parameter: inspect.Parameter) -> str:
    """Say what a parameter is where it is not given."""
    value = parameter.default
    if value is parameter.empty:
        return ", required"
    if value is None or type(value) is object:  # Such an object only stands for "not given".
        return ""
    return f", default {duration(value.total_seconds()) if isinstance(value, timedelta) else repr(value)}"


def join_parameters(_app: Any, what: str, _name: str, kind: Any, _options: Any, lines: list[str]) -> None:
    """Lay the parameters of the bases beside the class's own, nearest first; the first text counts."""
    if what not in ("class", "exception"):
        return
    prose, params, others = split(lines)
    # An error's parameters are its fields, and those of its base are on the same page.
    for base in family(kind)[1:] if what == "class" else ():
        for name, text in split((inspect.cleandoc(base.__doc__ or "")).splitlines())[1].items():
            params.setdefault(name, text)
    known = accepted(kind)
    lines[:] = [*prose, ""]
    # The required ones first, else in the order of the docstrings.
    for name, text in sorted(params.items(), key=lambda item: not is_required(known.get(item[0]))):
        lines += [*text, *typed(name, known.get(name))]
    lines += others


def is_required(parameter: inspect.Parameter | None) -> bool:
    """Tell whether a parameter must be given."""
    return parameter is not None and parameter.default is parameter.empty


def required_only(
    _app: Any, what: str, _name: str, kind: Any, _options: Any, signature: str | None, _returns: Any
) -> tuple[str, None] | None:
    """Show what must be given; the rest is in the list below."""
    if what not in ("class", "exception") or signature is None:
        return None
    names = [name for name, each in accepted(kind).items() if is_required(each)]
    left_out = len(names) < len(accepted(kind))
    return f"({', '.join([*names, '...'] if left_out else names)})", None


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", join_parameters)
    app.connect("autodoc-process-signature", required_only)
    return {"parallel_read_safe": True}
